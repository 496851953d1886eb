"use strict";
// The page's behaviour: filters kept in the address, moving by keyboard, and the panel behind a cell. All text from results goes into
// the document as text nodes; drawings are rebuilt from an allow-list. Nothing is loaded.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const SVG = "http://www.w3.org/2000/svg";

  // ---- building blocks

  function put(element, props, children) {
    for (const [name, value] of Object.entries(props || {})) {
      if (value === false || value == null) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(9).filter((child) => child != null && child !== false && child !== ""));
    return element;
  }
  const h = (tag, props, ...children) => put(document.createElement(tag), props, children);
  const s = (tag, props, ...children) => put(document.createElementNS(SVG, tag), props, children);
  const chip = (word) => h("span", { class: `chip v-${word}` }, data.words[word]);
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
  const piece = (value) => (value && typeof value === "object" && "blob" in value ? data.blobs[value.blob] : value);
  const say = (words) => { $("#say").textContent = words; };

  async function copy(button, words) {
    let done = true;
    try {
      await navigator.clipboard.writeText(words);
    } catch {
      // Without the clipboard API (plain http), the old way still works.
      const area = h("textarea", { style: "position:fixed;opacity:0" });
      area.value = words;
      (button.closest("dialog") || document.body).append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
    }
    button.textContent = done ? "Copied" : "Select and copy by hand";
    say(button.textContent);
    button.focus();
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  }
  const copyButton = (words, what) => h("button", { type: "button", class: "copy", "aria-label": `Copy ${what}`, onclick: (event) => copy(event.currentTarget, words) }, "Copy");
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".facts .copy");
    if (button) copy(button, $("code", button.parentElement).textContent);
  });

  // ---- filters, kept in the address

  const rows = $$("tr.leaf").map((row) => {
    const leaf = data.leaves[row.dataset.leaf];
    const results = data.cells[row.dataset.leaf].flatMap((cell) => cell.results.map((index) => data.results[index]));
    const words = [row.dataset.leaf, leaf.title, leaf.definition, leaf.area, ...leaf.urns,
      ...leaf.assertions.flatMap((a) => [a.id, a.statement, a.rule]),
      ...results.flatMap((r) => [r.assertion, r.statement, r.rule, r.message, r.level])];
    return { row, hay: words.filter(Boolean).join("\n").toLowerCase(), words: row.dataset.words.split(" "), tier: row.dataset.tier };
  });
  const bodies = $$("tbody[data-area]");
  const state = { q: "", v: [], t: "", a: "", fold: "", cell: "" };

  function parse() {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const name of Object.keys(state)) state[name] = name === "v" ? (given.get(name) || "").split(",").filter((v) => v in data.words) : given.get(name) || "";
  }
  function address() {
    const parts = Object.entries(state).filter(([, value]) => value.length).map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%2C", ",").replaceAll("%40", "@")}`);
    return parts.length ? `#${parts.join("&")}` : location.pathname + location.search;
  }
  const remember = (push) => history[push ? "pushState" : "replaceState"](null, "", address());

  function show() {
    $("#q").value = state.q; $("#tier").value = state.t; $("#area").value = state.a;
    for (const box of $$("input[name=v]")) box.checked = state.v.includes(box.value);
    const terms = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { row, hay, words, tier } of rows) {
      row.hidden = !(terms.every((term) => hay.includes(term)) && (!state.v.length || state.v.some((v) => words.includes(v))) && (!state.t || tier === state.t));
    }
    for (const body of bodies) {
      const left = state.a && body.dataset.area !== state.a ? 0 : $$("tr.leaf:not([hidden])", body).length;
      body.hidden = !left;
      shown += left;
    }
    const filtered = terms.length || state.v.length || state.t || state.a;
    $("#shown").textContent = filtered ? `${shown} of ${rows.length} leaves` : `${rows.length} leaves`;
    $("#clear").hidden = !filtered;
    $("#none").hidden = shown > 0;
    $("#fold").setAttribute("aria-pressed", String(Boolean(state.fold)));
    for (const body of bodies) fold(body, Boolean(state.fold));
    home();
  }
  function fold(body, closed) {
    body.classList.toggle("folded", closed);
    $(".toggle", body).setAttribute("aria-expanded", String(!closed));
  }
  function filter(change) { Object.assign(state, change); remember(false); show(); }
  const clear = () => { filter({ q: "", v: [], t: "", a: "" }); $("#q").focus(); };

  $("#q").addEventListener("input", (event) => filter({ q: event.target.value }));
  $("#tier").addEventListener("change", (event) => filter({ t: event.target.value }));
  $("#area").addEventListener("change", (event) => filter({ a: event.target.value }));
  for (const box of $$("input[name=v]")) box.addEventListener("change", () => filter({ v: $$("input[name=v]:checked").map((b) => b.value) }));
  $("#clear").addEventListener("click", clear);
  $("#clear2").addEventListener("click", clear);
  $("#fold").addEventListener("click", () => filter({ fold: state.fold ? "" : "1" }));
  for (const body of bodies) $(".toggle", body).addEventListener("click", () => { fold(body, !body.classList.contains("folded")); home(); });

  // ---- moving in the matrix: one tab stop, arrows between cells

  let current = null;
  const visible = () => $$("tr.leaf:not([hidden])").filter((row) => row.offsetParent !== null);
  function stop(cell) {
    if (current) current.tabIndex = -1;
    current = cell;
    if (cell) cell.tabIndex = 0;
  }
  function home() {
    if (!current || current.offsetParent === null) stop(visible().map((row) => $(".cell", row)).find(Boolean) || null);
  }
  $("#matrix").addEventListener("focusin", (event) => { if (event.target.matches(".cell")) stop(event.target); });
  $("#matrix").addEventListener("keydown", (event) => {
    if (!event.target.matches(".cell") || event.ctrlKey || event.metaKey || event.altKey) return;
    const list = visible();
    const row = list.indexOf(event.target.closest("tr"));
    const column = Number(event.target.dataset.c);
    const last = data.columns.length - 1;
    const to = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], Home: [row, 0], End: [row, last], PageUp: [Math.max(0, row - 12), column], PageDown: [Math.min(list.length - 1, row + 12), column] }[event.key];
    if (!to) return;
    event.preventDefault();
    const cell = list[to[0]] && $$(".cell", list[to[0]])[to[1]];
    if (cell) { cell.focus({ preventScroll: true }); cell.scrollIntoView({ block: "nearest", inline: "nearest" }); reveal(cell); }
  });
  // The sticky head must not cover the cell that has the focus.
  function reveal(cell) {
    const under = $(".matrix thead").getBoundingClientRect().bottom + 8 - cell.getBoundingClientRect().top;
    if (under > 0) scrollBy(0, -under);
  }
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !typing && !panel.open) { event.preventDefault(); $("#q").focus(); $("#q").select(); }
    if (panel.open && !typing && (event.key === "j" || event.key === "k")) step(event.key === "j" ? 1 : -1);
  });

  // ---- the panel behind a cell

  const panel = $("#panel");
  let opener = null;

  $("#matrix").addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    state.cell = `${cell.closest("tr").dataset.leaf}@${cell.dataset.c}`;
    remember(true);
    open();
  });
  function at() {
    const [leaf, column] = state.cell.split("@");
    return leaf in data.cells && data.cells[leaf][Number(column) || 0] ? [leaf, Number(column) || 0] : null;
  }
  function open() {
    const place = at();
    if (!place) { if (panel.open) panel.close(); return; }
    opener = $(`#${place[0]} .cell[data-c="${place[1]}"]`);
    $(".panel").replaceChildren();
    put($(".panel"), {}, contents(...place));
    if (!panel.open) panel.showModal();
    $("#panel-title").focus();
    panel.scrollTop = 0;
    for (const marked of $$(".marked", panel)) centre(marked);
  }
  function centre(row) {
    const box = row.closest(".wire");
    box.scrollTop = row.offsetTop - box.clientHeight / 2;
  }
  panel.addEventListener("close", () => {
    state.cell = "";
    remember(false);
    if (opener && opener.offsetParent !== null) { stop(opener); opener.focus(); }
  });
  panel.addEventListener("click", (event) => { if (event.target === panel) panel.close(); });
  function neighbours(leaf) {
    const list = rows.filter(({ row }) => !row.hidden && !row.closest("tbody").hidden).map(({ row }) => row.dataset.leaf);
    const index = list.indexOf(leaf);
    return [list[index - 1], list[index + 1]];
  }
  function step(by) {
    const [leaf, column] = at();
    const next = neighbours(leaf)[by < 0 ? 0 : 1];
    if (next) go(next, column);
  }
  function go(leaf, column) { state.cell = `${leaf}@${column}`; remember(false); open(); }
  function find(words) { panel.close(); filter({ q: words, v: [], t: "", a: "" }); $("#q").focus(); }

  function rules(list) {
    return (list || "").split(/[\s,]+/).filter(Boolean).map((rule) => {
      const file = { M: "model.md", P: "protocol.md", I: "protocol.md" }[rule[0]];
      const here = h("button", { type: "button", class: "rule", title: `Show every leaf that cites ${rule}`, onclick: () => find(rule) }, rule);
      return data.docs && file ? [here, h("a", { href: `${data.docs}${file}#${rule.toLowerCase()}` }, "read it"), " "] : here;
    });
  }

  // The words of the rules that an assertion cites, below their ids.
  function words(list) {
    return (list || "").split(/[\s,]+/).filter((rule) => rule in data.rules).map((rule) => h("p", { class: "ruletext" }, h("b", {}, rule), " ", data.rules[rule]));
  }
  // The planted faults of which an assertion failed; nothing where the page knows of none.
  function killed(assertion) {
    if (!Object.keys(data.kills).length) return "";
    const found = data.kills[assertion.replace(/--.*/, "")] || [];
    const listed = h("ul", { class: "kills" }, found.map((id) => h("li", {}, h("b", {}, id), " ", data.mutants[id] || "")));
    return h("div", {}, h("dt", {}, "Killed mutants"), h("dd", {}, found.length ? listed : "none: of no planted fault has it failed yet"));
  }

  function contents(leafId, column) {
    const leaf = data.leaves[leafId];
    const cell = data.cells[leafId][column];
    const [before, after] = neighbours(leafId);
    const counted = Object.entries(cell.counts).map(([level, counts]) => `${level}: ${Object.entries(counts).map(([word, n]) => `${n} ${data.words[word]}`).join(", ")}`);
    const fact = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, ...value));
    const ran = new Set(cell.results.map((index) => data.results[index].assertion));
    return [
      h("header", {},
        h("div", { class: "nav" }, h("span", {}, leaf.area), h("span", { class: "sp" }),
          h("button", { type: "button", disabled: !before, onclick: () => step(-1), "aria-keyshortcuts": "k" }, "Previous"),
          h("button", { type: "button", disabled: !after, onclick: () => step(1), "aria-keyshortcuts": "j" }, "Next"),
          h("button", { type: "button", onclick: () => panel.close() }, "Close")),
        h("h2", { id: "panel-title", tabindex: "-1" }, h("code", {}, leafId), leaf.title),
        h("p", { class: "lead" }, leaf.definition)),
      h("div", { class: "others" }, data.columns.map((c) => h("button", { type: "button", "aria-current": c.index === column ? "true" : null, onclick: () => go(leafId, c.index) },
        `${c.label}${c.partial ? " (partial)" : ""}`, chip(data.cells[leafId][c.index].word)))),
      h("dl", { class: "meta" },
        fact("Tier", String(leaf.tier)),
        counted.length ? fact("Assertions", counted.join("; ")) : "",
        leaf.urns.length ? fact("Reaches", leaf.urns.map((urn) => h("code", {}, urn))) : "",
        leaf.requires.length ? fact("Rests on", leaf.requires.map((id) => h("button", { type: "button", class: "rule", onclick: () => go(id, column) }, id))) : "",
        leaf.tests ? fact("Beam's own tests", leaf.tests) : ""),
      cell.reason ? h("p", { class: "reason" }, h("b", {}, "Not run. "), cell.reason) : "",
      cell.results.map((index) => assertion(data.results[index], column)),
      leaf.assertions.filter((a) => !ran.has(a.id)).map((a) => h("details", { class: "assertion" },
        h("summary", {}, chip("not-run"), h("b", {}, a.statement), h("span", { class: "slug" }, `${a.level} · ${a.id}`)),
        h("div", { class: "body" }, h("dl", { class: "meta" }, a.rule ? fact("Rule", rules(a.rule), words(a.rule)) : "", a.source ? fact("Source", a.source) : "", killed(a.id))))),
    ];
  }

  function assertion(result, column) {
    const proof = result.evidence;
    const bad = result.verdict !== "pass";
    const fact = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, ...value));
    const others = data.columns.filter((c) => c.index !== column).flatMap((c) => data.cells[result.assertion.split("/")[0]]?.[c.index].results.map((i) => data.results[i]).filter((r) => r.assertion === result.assertion).map((r) => [c, r]) || []);
    const body = h("div", { class: "body" });
    const element = h("details", { class: "assertion", open: bad && result.verdict !== "no-verdict" },
      h("summary", {}, chip(result.verdict), h("b", {}, result.statement || result.assertion), h("span", { class: "slug" }, `${result.level} · ${result.assertion}`)), body);
    const fill = () => {
      if (body.childNodes.length) return;
      put(body, {}, [
        result.message ? h("p", { class: `message v-${result.verdict}` }, result.message) : "",
        h("dl", { class: "meta" },
          fact("Level", result.level), fact("Mode", result.mode || "batch"),
          result.rule ? fact("Rule", rules(result.rule), words(result.rule)) : "", killed(result.assertion), result.source ? fact("Source", result.source) : "",
          result.phase ? fact("Phase", result.phase) : "", fact("Took", `${(result.seconds || 0).toFixed(3)} s`),
          proof.seed != null ? fact("Seed", text(proof.seed)) : "",
          result.listed ? fact("Known", /^https?:/.test(result.listed) ? h("a", { href: result.listed, rel: "noreferrer" }, result.listed) : result.listed) : "",
          others.length ? fact("Elsewhere", others.map(([c, r]) => [`${c.label} `, chip(r.verdict), " "])) : ""),
        pair(proof.expected, proof.observed),
        proof.reference !== undefined ? [h("h3", {}, "The reference runner"), h("pre", { class: "wrap" }, text(proof.reference))] : "",
        program(piece(proof.program)),
        proof.script !== undefined ? folded("Script", h("pre", {}, text(piece(proof.script)))) : "",
        transcript(piece(proof.transcript), proof.mark_seq),
        proof.log_tail ? [h("h3", {}, "End of the runner's log"), h("pre", { class: "wrap", tabindex: "0" }, text(piece(proof.log_tail)))] : "",
        proof.command ? [h("h3", {}, "Reproduce"), h("p", { class: "command" }, h("code", {}, proof.command), copyButton(proof.command, "the command"))] : "",
        proof.notes ? h("ul", { class: "notes" }, proof.notes.map((note) => h("li", {}, text(note)))) : "",
      ]);
    };
    if (element.open) fill();
    element.addEventListener("toggle", () => { fill(); for (const marked of $$(".marked", element)) centre(marked); });
    return element;
  }

  const folded = (title, ...children) => h("details", { class: "fold" }, h("summary", {}, title), ...children);

  // Lines that only one side has are marked, by colour and by a sign.
  function pair(expected, observed) {
    if (expected === undefined && observed === undefined) return "";
    const sides = [expected, observed].map((value) => (value === undefined ? "" : text(value)));
    const lines = sides.map((side) => side.split("\n"));
    const both = expected !== undefined && observed !== undefined && lines[0].length + lines[1].length > 2;
    const mark = (own, other, kind, sign) => {
      const left = new Map();
      for (const line of other) left.set(line, (left.get(line) || 0) + 1);
      return own.flatMap((line) => {
        const found = left.get(line) || 0;
        if (found) left.set(line, found - 1);
        return [both && !found ? h("span", { class: `only ${kind}` }, `${sign} ${line}`) : `${both ? "  " : ""}${line}`, "\n"];
      });
    };
    return h("div", { class: "pair" },
      h("div", {}, h("h3", {}, "Expected"), h("pre", { tabindex: "0" }, expected === undefined ? "nothing stated" : mark(lines[0], lines[1], "missing", "−"))),
      h("div", {}, h("h3", {}, "Observed"), h("pre", { tabindex: "0" }, observed === undefined ? "nothing recorded" : mark(lines[1], lines[0], "extra", "+"))));
  }

  function program(given) {
    if (!given) return "";
    const source = typeof given === "string" ? given : given.mermaid;
    const drawing = typeof given === "object" && given.svg ? draw(given.svg) : null;
    return [h("h3", {}, "Program"), drawing,
      source ? folded("Mermaid source", h("pre", {}, source), copyButton(source, "the Mermaid source")) : ""];
  }

  // A drawing comes from a results file, which anyone may have written: only known elements and attributes are rebuilt, in a shadow
  // root, where its styles stay its own.
  const ELEMENTS = new Set("svg g path rect circle ellipse line polyline polygon text tspan title desc defs marker style linearGradient stop".split(" "));
  const ATTRIBUTES = /^(id|class|d|x|y|x1|x2|y1|y2|dx|dy|cx|cy|r|rx|ry|width|height|viewBox|points|transform|fill|fill-opacity|stroke|stroke-[a-z]+|opacity|font-[a-z]+|text-anchor|dominant-baseline|marker-(start|mid|end)|marker[WHU][a-z]+|ref[XY]|orient|offset|stop-[a-z]+|role|aria-[a-z]+|preserveAspectRatio|textLength|lengthAdjust|paint-order)$/;
  function draw(source) {
    const parsed = new DOMParser().parseFromString(source, "image/svg+xml").documentElement;
    if (parsed.namespaceURI !== SVG || parsed.localName !== "svg") return null;
    const rebuild = (from) => {
      if (from.namespaceURI !== SVG || !ELEMENTS.has(from.localName)) return null;
      const to = document.createElementNS(SVG, from.localName);
      for (const { name, value } of from.attributes) {
        if (ATTRIBUTES.test(name) && !/url\(\s*["']?(?!#)/i.test(value)) to.setAttribute(name, value);
      }
      for (const child of from.childNodes) {
        if (child.nodeType === Node.TEXT_NODE || child.nodeType === Node.CDATA_SECTION_NODE) {
          to.append(from.localName === "style" ? child.data.replace(/@import|url\(\s*["']?(?!#)/gi, "") : child.data);
        } else if (child.nodeType === Node.ELEMENT_NODE) {
          const inner = rebuild(child);
          if (inner) to.append(inner);
        }
      }
      return to;
    };
    const frame = h("div", { class: "drawing", tabindex: "0", role: "img", "aria-label": "The program as a graph" });
    frame.attachShadow({ mode: "open" }).append(rebuild(parsed));
    return frame;
  }

  // Three lanes: the suite (job client), the runner, the SDK worker.
  const LANES = { C: 31, R: 93, S: 155 };
  function transcript(events, mark) {
    if (!Array.isArray(events) || !events.length) return "";
    const start = Number(events[0].time) || 0;
    const lines = [];
    let last = null;
    for (const event of events) {
      if (last !== null && event.seq > last + 1) lines.push(h("tr", {}, h("td", { class: "n" }, "…"), h("td", { colspan: "4", class: "muted" }, `${event.seq - last - 1} messages left out`)));
      last = event.seq;
      const marked = mark != null && event.seq === mark;
      const [from, to] = (event.direction || "").split("->");
      const a = LANES[from], b = LANES[to];
      const turn = b > a ? -7 : 7;
      lines.push(h("tr", { class: marked ? "marked" : null },
        h("td", { class: "n" }, String(event.seq ?? "")),
        h("td", { class: "n" }, event.time == null ? "" : ((event.time - start) * 1000).toFixed(1)),
        h("td", { class: "lanes" }, s("svg", { role: "img", "aria-label": `${NAMES[from] || "?"} to ${NAMES[to] || "?"}` },
          Object.values(LANES).map((x) => s("line", { class: "life", x1: x, x2: x, y1: 0, y2: "100%" })),
          a && b ? [s("line", { class: "arrow", x1: a, x2: b + turn, y1: 14.5, y2: 14.5 }), s("path", { class: "head", d: `M${b} 14.5l${turn} -4v8z` })] : "")),
        h("td", {}, h("details", { ontoggle: (e) => { if (e.target.childNodes.length < 2) e.target.append(h("pre", {}, text(event.message))); } },
          h("summary", {}, h("b", {}, event.method || ""), ` ${event.kind || ""}`, marked ? h("span", { class: "here" }, "first wrong message") : ""))),
        h("td", { class: "muted" }, [event.plane, event.worker_id].filter(Boolean).join(" · "))));
    }
    return [h("h3", {}, "Transcript"),
      h("div", { class: "wire", tabindex: "0", role: "region", "aria-label": "Transcript" }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", {}, "#"), h("th", {}, "ms"), h("th", {}, h("span", { class: "lanehead" }, h("span", {}, "suite"), h("span", {}, "runner"), h("span", {}, "SDK"))), h("th", {}, "message"), h("th", {}, "plane"))),
        h("tbody", {}, lines)))];
  }
  const NAMES = { C: "suite", R: "runner", S: "SDK" };

  // ---- beginning

  const apply = () => { parse(); show(); open(); };
  addEventListener("popstate", apply);
  addEventListener("hashchange", apply);
  const tools = $("#tools");
  const measure = () => document.documentElement.style.setProperty("--tools", `${tools.offsetHeight}px`);
  new ResizeObserver(measure).observe(tools);
  measure();
  apply();
})();
