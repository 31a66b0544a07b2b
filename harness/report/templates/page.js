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

  // Numbers as the report writes them: a share, a size or a duration of several units, or a number and what belongs to it.
  const units = { h: 3600, min: 60, s: 1, GB: 1e9, MB: 1e6 };
  const quantity = /^(?:\d+(?:\.\d+)? (?:h|min|s|GB|MB)(?: |$))+$/;
  const number = /^(?:< )?([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?:$|[ %*x\u00a0])/;
  const missing = new Set(["", "-", "–", "not known", "none seen", "too few trials"]);
  const fewestToSort = 2;
  const fewestToFilter = 6;

  function textOf(row, column) {
    return row.cells[column].textContent.replaceAll("\u00a0", " ").trim();
  }

  function isMissing(text) {
    return missing.has(text);
  }

  function numberIn(text) {
    if (quantity.test(text)) {
      return [...text.matchAll(/([\d.]+) (\w+)/g)].reduce((sum, [, value, unit]) => sum + value * units[unit], 0);
    }
    const found = number.exec(text);
    return found === null ? NaN : Number(found[1]);
  }

  // Missing values are last in either direction; equal ones keep the order of the report.
  function sortRows(rows, column, sign) {
    const texts = new Map(rows.map((row) => [row, textOf(row, column)]));
    const known = rows.filter((row) => !isMissing(texts.get(row)));
    const areNumbers = known.every((row) => !Number.isNaN(numberIn(texts.get(row))));
    const keys = new Map(known.map((row) => [row, areNumbers ? numberIn(texts.get(row)) : texts.get(row)]));
    known.sort((one, other) => sign * (areNumbers ? keys.get(one) - keys.get(other)
      : keys.get(one).localeCompare(keys.get(other), "en", { numeric: true })));
    return [...known, ...rows.filter((row) => isMissing(texts.get(row)))];
  }

  function makeSortable(table, rows) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const isDescending = heading.getAttribute("aria-sort") === "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
        table.tBodies[0].append(...sortRows(rows, column, isDescending ? -1 : 1));
      });
    });
  }

  function makeFilter(table, rows) {
    const line = document.createElement("p");
    line.className = "filter";
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "search";
    label.append("Rows with ", box);
    box.setAttribute("aria-label", `Rows with this text, table ${table.caption.textContent}`);
    const count = document.createElement("span");
    count.setAttribute("role", "status");
    line.append(label, " ", count);
    table.closest(".scroll").before(line);
    box.addEventListener("input", () => {
      const wanted = box.value.trim().toLowerCase();
      rows.forEach((row) => {
        row.hidden = ![...row.cells].some((_, column) => textOf(row, column).toLowerCase().includes(wanted));
      });
      const num = rows.filter((row) => !row.hidden).length;
      count.textContent = wanted === "" ? "" : `${num} of ${rows.length} rows`;
    });
  }

  document.querySelectorAll(".scroll table").forEach((table) => {
    const rows = [...table.tBodies[0].rows];
    if (table.tHead === null || rows.length < fewestToSort) return;
    makeSortable(table, rows);
    if (rows.length >= fewestToFilter) makeFilter(table, rows);
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
