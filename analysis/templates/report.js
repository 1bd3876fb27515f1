"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const charts = JSON.parse(document.getElementById("charts").textContent);

  function draw() {
    for (const { id, spec } of charts.figures) {
      const place = document.getElementById(id);
      const width = place.parentElement.clientWidth;
      const config = structuredClone(dark.matches ? charts.dark : charts.light);
      config.legend.columns = width < 420 ? 2 : 4;
      const sized = { ...spec, width: "container", autosize: { type: "fit-x", contains: "padding" } };
      sized.title = { text: spec.title, limit: width };
      vegaEmbed(place, sized, {
        config, renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false },
      }).then(
        () => place.parentElement.classList.add("drawn"),
        (error) => { place.textContent = ""; console.error(id, error); },  // the still picture stays
      );
    }
  }

  function sortBy(table, column) {
    const heads = [...table.tHead.rows[0].cells];
    const up = heads[column].getAttribute("aria-sort") !== "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    const number = heads[column].classList.contains("num");
    const key = (row) => {
      const cell = row.cells[column];
      if (!number) return cell.textContent;
      return cell.dataset.value === "" ? null : Number(cell.dataset.value);
    };
    const words = new Intl.Collator(undefined, { numeric: true });
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);  // blanks last, either way
      const order = number ? a - b : words.compare(a, b);
      return up ? order : -order;
    });
    body.append(...rows.map(([, row]) => row));
  }

  for (const table of document.querySelectorAll("table.data")) {
    table.tHead.querySelectorAll("button").forEach((button, column) => {
      button.addEventListener("click", () => sortBy(table, column));
    });
  }

  const input = document.getElementById("filter");
  const runs = document.getElementById("table-runs");
  const count = document.getElementById("filter-count");
  function filter() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of runs.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${runs.tBodies[0].rows.length} rows`;
  }
  input.addEventListener("input", filter);
  filter();

  draw();
  dark.addEventListener("change", draw);
})();
