// Draws the charts, filters the gallery, and collects corrections. All text comes from the data element and is
// set as text, never as HTML.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const PAGE = 48; // items that are drawn at once

  function make(tag, fields = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(fields)) {
      if (name === "class") element.className = value;
      else if (name.startsWith("aria-") || name === "role") element.setAttribute(name, value);
      else element[name] = value;
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const percent = (value, digits = 0) => `${(100 * value).toFixed(digits)} %`;

  // Charts

  const dark = matchMedia("(prefers-color-scheme: dark)");

  function config() {
    const style = getComputedStyle(document.documentElement);
    const [fg, dim, line] = ["--fg", "--dim", "--line"].map((name) => style.getPropertyValue(name).trim());
    const text = { labelColor: fg, titleColor: dim, titleFontWeight: "normal" };
    return {
      background: "transparent", font: "system-ui, sans-serif", view: { stroke: line },
      axis: { ...text, gridColor: line, domainColor: line, tickColor: line, labelFontSize: 11 },
      legend: { ...text, labelFontSize: 11 }, rule: { color: fg },
    };
  }

  async function draw() {
    for (const [name, spec] of Object.entries(data.charts)) {
      const place = $(`chart-${name}`);
      const options = { renderer: "svg", actions: false, config: config(), tooltip: { theme: dark.matches ? "dark" : "light" } };
      const view = await window.vegaEmbed(place, spec, options).then((drawn) => drawn.view, () => null);
      if (view === null) place.textContent = "This chart cannot be drawn here. Its numbers are below.";
      if (view && name === "heads") {
        view.addEventListener("mouseover", (_, item) => {
          if (item && item.datum && item.datum.layer !== undefined) showHead(item.datum.layer, item.datum.head);
        });
      }
    }
    document.body.dataset.drawn = "yes";
  }

  // Heads

  function showHead(layer, number) {
    const found = data.heads && data.heads.cells.find((one) => one.layer === layer && one.head === number);
    if (!found) return;
    const share = found.score === null ? "" : `: ${found.score} of ${data.heads.examples} examples right alone`;
    const rank = found.rank === null ? "not chosen" : `chosen, place ${found.rank}`;
    $("head").hidden = false;
    $("head").replaceChildren(...[
      make("p", {}, make("strong", {}, `Layer ${layer}, head ${number}`), `${share} (${rank})`),
      otherwise(found) ? make("p", { class: "note" }, "The score counts examples otherwise that are equally near to two centroids, up to rounding.") : null,
      found.pairs.length ? pairsOf(found.pairs) : make("p", { class: "note" }, "Its confusions are not known: the artifact has no vectors of its examples."),
    ].filter(Boolean));
  }

  // Whether all pairs are there and the score is not their right answers.
  function otherwise(head) {
    const count = (pairs) => pairs.reduce((sum, pair) => sum + pair[2], 0);
    const right = head.pairs.filter(([label, named]) => label === named);
    return count(head.pairs) === data.heads.examples && count(right) !== head.score;
  }

  function pairsOf(pairs) {
    const names = data.heads.classes;
    if (names.length <= 10) {
      const counts = new Map(pairs.map(([label, named, count]) => [`${label} ${named}`, count]));
      const rows = names.map((name, label) => make("tr", {}, make("th", { scope: "row" }, name),
        ...names.map((_, named) => make("td", {}, String(counts.get(`${label} ${named}`) || "")))));
      const head = make("tr", {}, make("td"), ...names.map((name) => make("th", { scope: "col" }, name)));
      const table = make("table", {}, make("caption", {}, "Rows: labels of the examples. Columns: the class that the head names."),
        make("thead", {}, head), make("tbody", {}, ...rows));
      return make("div", { class: "scroll" }, table);
    }
    const wrong = pairs.filter(([label, named]) => label !== named).slice(0, 12);
    return make("ul", {}, ...wrong.map(([label, named, count]) => make("li", {}, `${names[label]} → ${names[named]}: ${count}`)));
  }

  function listHeads() {
    if (!data.heads) return;
    const chosen = data.heads.cells.filter((one) => one.rank !== null).sort((a, b) => a.rank - b.rank).slice(0, 20);
    $("head-buttons").append(...chosen.map((one) => make("button", {
      type: "button", onclick: () => showHead(one.layer, one.head), "aria-label": `Layer ${one.layer}, head ${one.head}`,
    }, `${one.layer}.${one.head}`)));
  }

  // Gallery: what is shown

  const filters = $("filters");
  let tab = "items";
  let limit = PAGE;

  const predicted = (row) => row.predictions || (row.prediction === null || row.prediction === undefined ? [] : [row.prediction]);
  const labels = (row) => (row.label === null || row.label === undefined ? [] : [].concat(row.label));

  const KINDS = {
    all: ["all", () => true],
    doubtful: ["doubtful ones", (row) => row.why === "doubtful"],
    wrong: ["prediction is not the label", (row) => row.wrong],
    right: ["prediction is the label", (row) => labels(row).length > 0 && !row.wrong && !row.error],
    divided: ["heads disagree", (row) => (row.votes || []).length > 1 && row.votes[0][1] <= 2 * row.votes[1][1]],
    none: ["no prediction", (row) => !row.error && predicted(row).length === 0],
    error: ["failed", (row) => Boolean(row.error)],
  };

  function setUpFilters() {
    const every = (rows, of) => [...new Set(rows.flatMap(of))].sort();
    const rows = [...data.items, ...data.wrong];
    const fill = (select, names) => select.append(new Option("all", ""), ...names.map((name, n) => new Option(name, String(n + 1))));
    filters.names = { prediction: every(rows, predicted), label: every(rows, labels) };
    fill(filters.elements.prediction, filters.names.prediction);
    fill(filters.elements.label, filters.names.label);
    for (const [key, [name, test]] of Object.entries(KINDS)) {
      if (key === "all" || data.items.some(test)) filters.elements.show.append(new Option(name, key));
    }
    data.others.forEach((name, n) => filters.elements.show.append(new Option(`differs from ${name}`, `other ${n}`)));
    for (const event of ["input", "change"]) filters.addEventListener(event, () => { limit = PAGE; show(); });
    $("unfiltered").addEventListener("click", () => { filters.reset(); limit = PAGE; show(); });
    filters.addEventListener("submit", (event) => event.preventDefault());
    $("more").addEventListener("click", () => { limit += PAGE; show(); });
  }

  function matches(row) {
    const { prediction, label, show: kind, from, to, text } = filters.elements;
    if (prediction.value && !predicted(row).includes(filters.names.prediction[prediction.value - 1])) return false;
    if (label.value && !labels(row).includes(filters.names.label[label.value - 1])) return false;
    if (kind.value.startsWith("other ")) {
      const other = row.others[Number(kind.value.slice(6))];
      if (other === undefined || JSON.stringify(other) === JSON.stringify(row.predictions || row.prediction)) return false;
    } else if (!KINDS[kind.value][1](row)) return false;
    const low = Number(from.value) / 100, high = to.value === "" ? 1 : Number(to.value) / 100;
    if (low > 0 || high < 1) {
      if (row.confidence === null || row.confidence === undefined || row.confidence < low || row.confidence > high) return false;
    }
    const wanted = text.value.trim().toLowerCase();
    return !wanted || [row.id, row.index, row.question, row.error, ...row.media.map((one) => one.name), ...predicted(row), ...labels(row)]
      .some((one) => String(one ?? "").toLowerCase().includes(wanted));
  }

  const rowsOf = () => (tab === "items" ? data.items : data.wrong);

  function show() {
    const found = rowsOf().filter(matches);
    $("shown").textContent = found.length === 1 ? "1 item" : `${found.length} items`;
    $("panel").replaceChildren(...found.slice(0, limit).map(card));
    $("more").hidden = found.length <= limit;
  }

  function choose(name) {
    tab = name;
    for (const one of ["items", "wrong"]) {
      $(`tab-${one}`).setAttribute("aria-selected", String(one === name));
      $(`tab-${one}`).tabIndex = one === name ? 0 : -1;
    }
    $("panel").setAttribute("aria-labelledby", `tab-${name}`);
    limit = PAGE;
    show();
  }

  function setUpTabs() {
    for (const one of ["items", "wrong"]) $(`tab-${one}`).addEventListener("click", () => choose(one));
    document.querySelector(".tabs").addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      choose(tab === "items" ? "wrong" : "items");
      $(`tab-${tab}`).focus();
    });
    document.addEventListener("click", (event) => {
      const button = event.target.closest(".confusion button");
      if (!button) return;
      filters.reset();
      const at = (name, value) => { filters.elements[name].value = String(filters.names[name].indexOf(value) + 1 || ""); };
      at("prediction", button.dataset.prediction);
      at("label", button.dataset.label);
      choose("items");
      $("gallery").scrollIntoView();
      $("shown").textContent += ` of ${button.textContent} with label ${button.dataset.label}, predicted as ${button.dataset.prediction}`;
    });
  }

  // Gallery: one item

  function card(row) {
    const element = make("article", { class: "item", tabIndex: 0, "aria-label": `${row.training === undefined ? "Item" : "Example"} ${row.id}` },
      pictures(row), row.question ? make("p", { class: "question" }, row.question) : null,
      row.error ? make("p", { class: "wrong" }, row.error) : said(row), known(row),
      bars(row.scores, (p) => percent(p)), bars(row.votes, String),
      row.others && row.others.some((one) => one !== undefined && one !== null) ? others(row) : null,
      row.error ? null : control(row), foot(row));
    element.row = row;
    mark(element);
    return element;
  }

  function pictures(row) {
    const shown = row.media.flatMap((one) => one.pictures.length
      ? one.pictures.map((url, n) => make("img", { src: url, alt: one.pictures.length > 1 ? `${one.name}, frame ${n + 1} of ${one.pictures.length}` : one.name }))
      : [make("span", { class: "missing" }, `${one.name}: no picture, ${one.reason}`)]);
    return shown.length ? make("div", { class: shown.length > 1 ? "pictures strip" : "pictures" }, ...shown) : null;
  }

  function said(row) {
    const text = row.training !== undefined ? `likelier: ${row.prediction}` : predicted(row).join(", ") || (row.predictions ? "no label" : "no prediction");
    const sure = row.confidence === null || row.confidence === undefined ? null : make("span", {}, percent(row.confidence));
    return make("p", { class: "said" }, make("span", {}, text), sure);
  }

  function known(row) {
    if (row.label === null || row.label === undefined) return null;
    const text = `label: ${labels(row).join(", ") || "none"}`;
    if (row.training !== undefined) return make("p", {}, `${text} (training example)`);
    if (row.error || (!row.predictions && row.prediction === null)) return make("p", {}, text);
    const likely = row.likelier ? `; likelier: ${row.likelier}` : "";
    return make("p", { class: row.wrong ? "wrong" : "right" }, `${row.wrong ? "✗" : "✓"} ${text}${likely}`);
  }

  function bars(values, shown) {
    if (!values || !values.length) return null;
    const most = Math.max(...values.map(([, value]) => value), 1e-9);
    const top = most > 1 ? most : 1;
    const list = make("dl", { class: "bars" });
    for (const [name, value] of values) {
      const fill = make("i");
      fill.style.width = `${(100 * value) / top}%`;
      list.append(make("dt", { title: name }, name), make("dd", { "aria-hidden": "true" }, make("div", { class: "bar" }, fill)), make("dd", {}, shown(value)));
    }
    return list;
  }

  function others(row) {
    const text = row.others.map((one, n) => (one === undefined || one === null ? null : `${data.others[n]}: ${[].concat(one).join(", ")}`));
    return make("p", { class: "question" }, text.filter(Boolean).join(" · "));
  }

  function foot(row) {
    const names = row.media.map((one) => one.name).join(", ");
    const notes = row.notes ? ` · ${row.notes.join("; ")}` : "";
    return make("p", { class: "foot" }, `${row.training === undefined ? "row" : "example"} ${row.training ?? row.index}${row.id !== String(row.training ?? row.index) ? ` · ${row.id}` : ""}${names ? ` · ${names}` : ""}${notes}`);
  }

  // Corrections

  const corrections = new Map(); // "row 17" or "example 3" → its line of corrections.jsonl
  let saved = true;

  const keyOf = (row) => (row.training === undefined ? `row ${row.index}` : `example ${row.training}`);
  const nameOf = (row) => (row.training === undefined ? { index: row.index, id: row.id } : { training: row.training, id: row.id });

  function correct(row, what) {
    if (what === null) corrections.delete(keyOf(row));
    else corrections.set(keyOf(row), { ...nameOf(row), ...(data.task ? { task: data.task } : {}), ...what });
    saved = corrections.size === 0;
    $("basket").hidden = corrections.size === 0;
    $("basket-count").textContent = corrections.size === 1 ? "1 correction" : `${corrections.size} corrections`;
    for (const element of $("panel").children) if (keyOf(element.row) === keyOf(row)) mark(element);
  }

  const current = (row) => (corrections.get(keyOf(row)) || {}).label ?? (row.training === undefined ? predicted(row) : labels(row));

  function toggle(row, name) {
    const had = [].concat(current(row));
    correct(row, { label: had.includes(name) ? had.filter((one) => one !== name) : [...had, name] });
  }

  const set = (row, name) => (data.multi ? toggle(row, name) : correct(row, { label: name }));

  function control(row) {
    if (data.multi) {
      return make("fieldset", { class: "marks", "aria-label": "Correct labels" },
        ...data.classes.slice(0, 40).map((name) => make("button", { type: "button", value: name, onclick: () => toggle(row, name) }, name)),
        make("button", { type: "button", value: "", onclick: () => correct(row, { unusable: true }) }, "unusable"));
    }
    const select = make("select", { onchange: () => {
      if (select.value === "") correct(row, null);
      else if (select.value === "x") correct(row, { unusable: true });
      else correct(row, { label: data.classes[Number(select.value)] });
    } });
    select.append(new Option("as it is", ""), ...data.classes.map((name, n) => new Option(name, String(n))), new Option("unusable", "x"));
    return make("label", {}, "Correct:", select);
  }

  function mark(element) {
    const line = corrections.get(keyOf(element.row));
    element.classList.toggle("corrected", line !== undefined);
    const select = element.querySelector("label select");
    if (select) select.value = line === undefined ? "" : line.unusable ? "x" : String(data.classes.indexOf(line.label));
    const now = line && line.unusable ? [] : [].concat(current(element.row));
    for (const button of element.querySelectorAll(".marks button")) {
      button.setAttribute("aria-pressed", String(button.value === "" ? Boolean(line && line.unusable) : now.includes(button.value)));
    }
  }

  function setUpKeys() {
    $("key-list").append(...data.classes.slice(0, 9).map((name) => make("li", {}, name)));
    $("panel").addEventListener("keydown", (event) => {
      const element = event.target.closest(".item");
      if (!element || event.target.tagName === "SELECT" || event.ctrlKey || event.metaKey || event.altKey) return;
      const cards = [...$("panel").children];
      const place = cards.indexOf(element);
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      if (steps[event.key]) {
        const next = cards[place + steps[event.key]];
        if (next) next.focus();
      } else if (element.row.error) return;
      else if (/^[1-9]$/.test(event.key) && data.classes[event.key - 1] !== undefined) set(element.row, data.classes[event.key - 1]);
      else if (event.key === "x") correct(element.row, { unusable: true });
      else if (event.key === "0") correct(element.row, null);
      else return;
      event.preventDefault();
    });
  }

  // Some readers of lines also end one at these characters, which JSON need not escape.
  const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

  function setUpBasket() {
    $("save").addEventListener("click", () => {
      const text = [...corrections.values()].map((line) => `${JSON.stringify(line).replace(/[\u0085\u2028\u2029]/g, escaped)}\n`).join("");
      const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "application/x-ndjson" })), download: "corrections.jsonl" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000); // not before the browser has read it
      saved = true;
    });
    $("clear").addEventListener("click", () => {
      if (!confirm("Discard all corrections?")) return;
      corrections.clear();
      saved = true;
      $("basket").hidden = true;
      for (const element of $("panel").children) mark(element);
    });
    addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });
  }

  setUpFilters();
  setUpTabs();
  setUpKeys();
  setUpBasket();
  listHeads();
  show();
  draw();
  dark.addEventListener("change", draw);
  addEventListener("beforeprint", () => { limit = Infinity; show(); });
})();
