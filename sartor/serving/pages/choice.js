// A measured choice: what it says, how sure it is, and every test question with the answers of all paths.
import { read } from "./api.js";
import { intervalChart } from "./chart.js";
import { address, byId, figure, fill, link, make, problem, table } from "./dom.js";

const PAGE = 10;
const name = new URLSearchParams(location.search).get("run");
let view;
let kind = "";
let words = "";
let from = 0;
const rowsPlace = make("div", {});
const pager = make("div", { class: "toolbar" });
const counted = make("p", { class: "note", role: "status" });

async function list() {
  const { runs, folder } = await read("/ui/runs");
  const found = runs.filter((run) => run.has_choice);
  if (found.length === 1) { location.replace(address("/choice", { run: found[0].name })); return; }
  fill(byId("choice"), make("h1", {}, "Choices"), found.length
    ? table(["Run", "Chosen", "Score", "Begun"], found.reverse().map((run) => [link("/choice", { run: run.name }, run.name), run.choice || "–", figure(run.score, 3), (run.begun || "").slice(0, 10)]), { caption: "Measured choices", name: "stack" })
    : [make("p", {}, `No choice was measured in ${folder} yet.`), make("pre", {}, "sartor choose my-task --out runs/my-task --budget 20m")]);
}

function show() {
  document.title = `Choice for ${view.task} · Sartor`;
  const chart = make("figure", { class: "chart large" });
  const decided = view.verdict === "decided";
  fill(byId("choice"),
    make("p", { class: "crumbs" }, "Measured choice for ", make("strong", {}, view.task), " · ", link("/runs/show", { run: name }, "the run"), " · ",
      make("a", { href: address("/report", { run: name }), target: "_blank", rel: "noopener" }, "its report")),
    make("h1", {}, view.headline),
    make("p", {}, make("span", { class: decided ? "verdict" : "verdict open" }, view.verdict[0].toUpperCase() + view.verdict.slice(1)), make("span", { class: "note" }, view.meaning)),
    chart,
    make("p", { class: "note" }, "Score on the test questions. Bars are 95 % intervals; the filled diamond is the path that the verdict names."),
    careful(),
    make("div", { class: "three" }, [["Why", view.why], ["How sure", view.sure], ["What would change it", view.change]]
      .filter(([, words]) => words).map(([title, words]) => make("section", {}, make("h2", {}, title), make("p", {}, words)))),
    view.command ? make("section", {}, make("h2", {}, "Serve it"), make("pre", { tabindex: "0" }, view.command)) : null,
    view.sections.map(evidence),
    make("h2", { id: "rows" }, "Every question"),
    browser());
  const candidates = view.lines.filter((line) => !line.reference);
  chart.append(intervalChart(candidates.length ? candidates : view.lines, chart));
  showRows();
}

/** Warnings with what to do; the test rows that show them are found by their names in the browser below. */
function careful() {
  if (!view.cautions.length) return view.checked ? make("p", { class: "note" }, `✓ ${view.checked}`) : null;
  return make("div", { class: "care" }, make("h2", {}, "Read this with care"), make("ul", {}, view.cautions.map((each) => make("li", {},
    each.found ? make("strong", {}, each.what) : each.what, each.hint ? make("span", { class: "sub" }, `What to do: ${each.hint}`) : null,
    each.rows.length ? make("span", { class: "sub" }, `Test rows: ${each.rows.join(", ")}${each.more_rows ? ` and ${figure(each.more_rows)} more` : ""}`) : null))));
}

/** A part of the report: its sentences and tables; long tables are folded. */
function evidence(section) {
  const said = ([value, remark]) => make("span", {}, value, remark ? make("span", { class: "sub" }, remark) : null);
  const tables = section.tables.map((each) => {
    const shown = table(each.columns, each.rows.map((row) => row.cells.map(said)), { caption: each.caption, name: "stack" });
    if (each.folded) return make("details", {}, make("summary", {}, each.folded), shown);
    return section.tables.length > 1 ? [make("h3", {}, each.caption), shown] : shown;
  });
  return make("section", {}, make("h2", {}, section.title), section.sentences.map((sentence) => make("p", {}, sentence)), tables.flat());
}

function browser() {
  const all = [{ kind: "", words: "all", count: view.rows.length }, ...view.kinds];
  const select = make("select", { onchange: (event) => { kind = event.target.value; from = 0; showRows(); } }, all.map((each) => make("option", { value: each.kind }, `${each.words} (${each.count})`)));
  const search = make("input", { type: "search", "data-main-field": "", placeholder: "in questions and answers", oninput: (event) => { words = event.target.value.toLowerCase(); from = 0; showRows(); } });
  return make("section", { "aria-labelledby": "rows" },
    make("div", { class: "toolbar" }, make("label", { class: "field" }, "Show", select), make("label", { class: "field grow" }, "Find", search)), counted, rowsPlace, pager);
}

function matching() {
  return view.rows.filter((row) => (!kind || row.kind === kind)
    && (!words || [row.id, row.question, ...row.accepted, ...row.answers.map((answer) => answer.text)].join("\n").toLowerCase().includes(words)));
}

function showRows() {
  const found = matching();
  const shown = found.slice(from, from + PAGE);
  counted.textContent = found.length ? `${from + 1} to ${from + shown.length} of ${found.length}` : "No question matches.";
  fill(rowsPlace, shown.map(rowOf));
  const turn = (by) => () => { from += by; showRows(); byId("rows").scrollIntoView(); rowsPlace.querySelector(".row")?.focus(); };
  fill(pager, make("button", { type: "button", disabled: from === 0, onclick: turn(-PAGE) }, "Earlier"), make("button", { type: "button", disabled: from + PAGE >= found.length, onclick: turn(PAGE) }, "Later"));
}

function cut(part) { return [part.text || "(nothing)", part.hidden ? make("span", { class: "note" }, ` … ${figure(part.hidden)} more characters`) : null]; }

function rowOf(row) {
  return make("article", { class: "row", tabindex: "-1" }, make("h3", {}, row.question),
    row.accepted.length ? make("p", { class: "note" }, "Accepted: ", make("strong", {}, row.accepted.join(" · "))) : null,
    make("div", { class: "answers" }, row.answers.map((answer) => make("div", { class: `answer ${["right", "wrong", "partial"].includes(answer.style) ? answer.style : ""}` },
      make("header", {}, make("strong", {}, answer.label), make("span", {}, make("span", { "aria-hidden": "true" }, `${answer.sign} `), answer.word, answer.note ? `, ${answer.note}` : "")),
      make("div", { class: "text", tabindex: "0" }, cut(answer))))),
    row.sources.map((source) => make("details", {}, make("summary", {}, `Passages read by ${source.labels.join(", ")}`),
      source.passages.map((passage, at) => make("div", { class: "hit" }, make("strong", {}, `[${at + 1}] ${passage.title}`), make("span", { class: "sub" }, passage.chunk_id), make("div", { class: "text", tabindex: "0" }, cut(passage)))))));
}

document.addEventListener("keydown", (event) => {
  if (!["j", "k"].includes(event.key) || event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const rows = [...rowsPlace.querySelectorAll(".row")];
  const at = rows.indexOf(document.activeElement);
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + (event.key === "j" ? 1 : -1)))];
  if (next) { next.focus(); next.scrollIntoView({ block: "center" }); }
});

async function start() {
  if (name === null) { await list(); return; }
  view = await read(address("/ui/choice", { run: name }));
  show();
}
start().catch((error) => { fill(byId("choice"), make("h1", {}, "Choice"), make("p", {}, error.message)); problem(error); });
