"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const specs = new Map(charts.figures.map(({ id, spec }) => [id, spec]));
  const boxes = [...document.querySelectorAll(".pick input")];
  const views = new Map();

  const pen = document.createElement("canvas").getContext("2d");

  function wide(text, font) {
    pen.font = `${font} ${charts.light.font}`;
    return pen.measureText(text).width;
  }

  // A title in lines that fit `width` pixels.
  function lines(text, width) {
    const made = [""];
    for (const word of text.split(" ")) {
      const longer = made.at(-1) ? `${made.at(-1)} ${word}` : word;
      if (made.at(-1) && wide(longer, "bold 13px") > width) made.push(word);
      else made[made.length - 1] = longer;
    }
    return made;
  }

  function draw(id) {
    const place = document.getElementById(id);
    const width = place.parentElement.clientWidth;
    const spec = specs.get(id);
    const config = structuredClone(dark.matches ? charts.dark : charts.light);
    const names = spec.layer.flatMap((layer) => layer.encoding?.color?.scale?.domain ?? []);
    const entry = Math.max(60, ...names.map((name) => wide(name, "12px"))) + 34;  // 34: the mark and the gap
    config.legend.columns = Math.max(1, Math.min(6, Math.floor((width - 60) / entry)));
    config.axis.labelLimit = Math.max(100, 0.36 * width);
    const sized = { ...spec, width: "container", autosize: { type: "fit-x", contains: "padding" } };
    sized.title = { text: lines(spec.title, width - 40), limit: width };  // 40: the menu in the corner
    vegaEmbed(place, sized, {
      config, renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false },
    }).then(
      ({ view }) => {
        views.set(id, view);
        place.parentElement.classList.add("drawn");
        place.querySelector("summary")?.setAttribute("aria-label", `Save the figure: ${spec.title}`);
        if (boxes.some((box) => !box.checked)) pick(view);
      },
      (error) => { place.textContent = ""; console.error(id, error); },  // the still picture stays
    );
  }

  // A chart is drawn when it comes near the window: a page of a hundred figures opens at once.
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      draw(entry.target.querySelector(".chart").id);
    }
  }, { rootMargin: "600px" });
  for (const id of specs.keys()) near.observe(document.getElementById(id).parentElement);
  dark.addEventListener("change", () => [...views.keys()].forEach(draw));

  // The boxes do for every figure, and by keyboard, what a click on a legend does for one.
  function pick(view) {
    const chosen = boxes.filter((box) => box.checked);
    const all = chosen.length === boxes.length;
    const rows = chosen.map((box) => ({ unit: "", fields: [{ type: "E", field: "method" }], values: [box.value] }));
    try { view.data("pick_store", all ? [] : rows.length ? rows : [{ unit: "", fields: [{ type: "E", field: "method" }], values: [null] }]).runAsync(); }
    catch (error) { if (!/pick_store/.test(error.message)) throw error; }  // a chart that is not about methods
  }
  for (const box of boxes) box.addEventListener("change", () => views.forEach(pick));
  document.querySelector(".pick").hidden = boxes.length < 2;

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

  for (const input of document.querySelectorAll(".filter input")) {
    const rows = [...document.getElementById(input.dataset.table).tBodies[0].rows];
    const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent.toLowerCase()).join(" "));
    const count = document.getElementById(input.getAttribute("aria-describedby"));
    const filter = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach((row, i) => { row.hidden = !words.every((word) => texts[i].includes(word)); });
      count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    };
    input.addEventListener("input", filter);
    filter();
  }
})();
