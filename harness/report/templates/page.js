"use strict";
(function () {
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const layout = JSON.parse(document.getElementById("layout").textContent);
  const narrowestSegment = 66;

  // The views of a concatenation have no width of their container: theirs is set here.
  function fit(spec, width) {
    if (!spec.hconcat && !spec.concat) return spec;
    const fitted = structuredClone(spec);
    if (fitted.concat) {
      fitPanels(fitted, width);
    } else {
      fitSegments(fitted, width);
    }
    return fitted;
  }

  function fitSegments(spec, width) {
    const segments = spec.hconcat.filter((view) => (view.name || "").startsWith(layout.segment));
    const room = width - 2 * layout.labelRoom - layout.axisWidth * (spec.hconcat.length - segments.length);
    const each = Math.max(narrowestSegment, Math.floor(room / segments.length));
    segments.forEach((view) => { view.width = each; });
    spec.hconcat.flatMap((view) => view.layer || []).filter((layer) => layer.mark.type === "text")
      .forEach((layer) => { layer.mark.limit = each + layout.axisWidth; });
  }

  function fitPanels(spec, width) {
    const panels = spec.concat.length;
    let columns = Math.min(panels, layout.maxColumns, Math.max(1, Math.floor(width / layout.leastPanel)));
    if (panels === 4 && columns === 3) columns = 2;
    spec.columns = columns;
    const each = Math.floor((width - (columns - 1) * layout.panelGap) / columns) - layout.axisRoom;
    spec.concat.forEach((view) => { view.width = each; });
  }

  function draw(name) {
    const element = document.getElementById(name);
    if (element === null) return;
    const options = { actions: false, renderer: "svg", tooltip: { theme: "page" } };
    vegaEmbed(element, fit(specs[name], element.clientWidth), options).then(() => {
      // Whatever scrolls must be reachable from the keyboard.
      if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
      else element.removeAttribute("tabindex");
    }).catch((error) => {
      element.textContent = "This picture could not be drawn: " + error.message;
    });
  }

  Object.keys(specs).forEach(draw);

  let drawnWidth = window.innerWidth;
  let waiting = 0;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (window.innerWidth === drawnWidth) return;
      drawnWidth = window.innerWidth;
      Object.keys(specs).filter((name) => specs[name].hconcat || specs[name].concat).forEach(draw);
    }, 150);
  });

  // On paper nothing can be opened; a row for every trial would be a book.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open], .long)")];
    opened.forEach((details) => { details.open = true; });
  });
  window.addEventListener("afterprint", () => { opened.forEach((details) => { details.open = false; }); });

  // The contents show where the reader is.
  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  if (links.size && "IntersectionObserver" in window) {
    const mark = (id) => links.forEach((link, name) => {
      if (name === id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    const watcher = new IntersectionObserver((entries) => {
      entries.filter((entry) => entry.isIntersecting).forEach((entry) => mark(entry.target.id));
    }, { rootMargin: "0px 0px -75% 0px" });
    links.forEach((_, id) => watcher.observe(document.getElementById(id)));
  }
})();
