"use strict";
(function () {
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const layout = JSON.parse(document.getElementById("layout").textContent);
  const narrowestSegment = 66;

  // The views of a concatenation have no width of their container: theirs is set here.
  function fit(spec, width) {
    if (!spec.hconcat) return spec;
    const fitted = structuredClone(spec);
    const segments = fitted.hconcat.filter((view) => (view.name || "").startsWith(layout.segment));
    const room = width - 2 * layout.labelRoom - layout.axisWidth * (fitted.hconcat.length - segments.length);
    const each = Math.max(narrowestSegment, Math.floor(room / segments.length));
    segments.forEach((view) => { view.width = each; });
    return fitted;
  }

  function draw(name) {
    const element = document.getElementById(name);
    if (element === null) return;
    const options = { actions: false, renderer: "svg", tooltip: { theme: "page" } };
    vegaEmbed(element, fit(specs[name], element.clientWidth), options).then(() => {
      // Whatever scrolls must be reachable from the keyboard.
      if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
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
      Object.keys(specs).filter((name) => specs[name].hconcat).forEach(draw);
    }, 150);
  });
})();
