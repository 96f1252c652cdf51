// One run: how far it is, its curves while they grow, what it was told, what it learnt from.
import { read } from "./api.js";
import { LineChart, smoothed } from "./chart.js";
import { Curves, nameOf } from "./curves.js";
import { address, announce, byId, duration, figure, fill, link, make, problem } from "./dom.js";
import { pill } from "./pill.js";

const name = new URLSearchParams(location.search).get("run") || "";
const curves = new Curves(name);
const charts = new Map();
const UNINTERESTING = new Set(["seconds", "row_tokens", "trained_tokens"]);
const MOST_CHARTS = 12;
const FIRST = ["dev_score", "dev_accuracy", "reward", "dev_reward", "kl", "learning_rate", "gradient_norm", "entropy"];
let figures;
let grid;
let details;

function showFigures() {
  const { summary, planned_steps: planned } = details;
  const steps = curves.last("loss") === null ? summary.steps : curves.records.at(-1).step;
  const rows = [
    ["Steps", planned ? `${figure(steps)} of ${figure(planned)}` : figure(steps)],
    ["Training loss", figure(curves.last("loss") === null ? null : smoothed(curves.series("loss")).at(-1)[1])],
    ["Held-out loss", figure(curves.last("dev_loss"))],
    ["Score", summary.score === null ? figure(summary.outcome, 3) : figure(summary.score, 3)],
    ["Time", duration(summary.seconds)],
    ["Best step", figure(details.best_step)],
  ];
  fill(figures, rows.filter(([, value]) => value !== "–").map(([word, value]) => make("div", {}, make("dt", {}, word), make("dd", {}, value))));
}

function chart(key, title, large = false) {
  if (!charts.has(key)) {
    charts.set(key, new LineChart(title, { large }));
    grid.append(charts.get(key).element);
  }
  return charts.get(key);
}

function showCurves() {
  const loss = curves.series("loss");
  const held = curves.series("dev_loss");
  const losses = [{ label: "training, mean of neighbours", points: smoothed(loss), colour: 0 }, { label: "training, each step", points: loss, faint: true, colour: 0 }, { label: "held out", points: held, colour: 2 }];
  if (loss.length || held.length) chart("loss", "Loss", true).draw(losses.filter((each) => !(each.faint && loss.length < 8)));
  const rest = curves.names().filter((each) => !["loss", "dev_loss"].includes(each) && !UNINTERESTING.has(each));
  rest.sort((a, b) => (FIRST.indexOf(a) + 99) % 100 - (FIRST.indexOf(b) + 99) % 100);
  for (const metric of rest.slice(0, MOST_CHARTS)) chart(metric, nameOf(metric)).draw([{ label: nameOf(metric), points: curves.series(metric), colour: 1 }]);
}

function section(title, ...children) { return make("section", {}, make("h2", {}, title), ...children); }

function shown(value) { return value === null ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value); }

function settings() {
  const given = new Set(details.given);
  const rows = Object.entries(details.settings).sort((a, b) => given.has(b[0]) - given.has(a[0]));
  return make("details", {}, make("summary", {}, `Settings (${given.size} were given, ${rows.length - given.size} are as they come)`),
    make("div", { class: "scroll" }, make("table", { class: "settings" }, make("caption", { class: "unseen" }, "Settings"),
      make("tbody", {}, rows.map(([key, value]) => make("tr", { class: given.has(key) ? "given" : null }, make("th", { scope: "row" }, key), make("td", {}, make("code", {}, shown(value)))))))),
    make("p", { class: "note" }, "• was given, or differs from its default."));
}

function samples() {
  const steps = [...new Set(details.samples.map((each) => each.step))];
  return details.samples.length ? section("What it writes", steps.reverse().map((step, at) => make("details", { open: at === 0 }, make("summary", {}, `after step ${figure(step)}`),
    details.samples.filter((each) => each.step === step).map((each) => make("pre", { class: "text", tabindex: "0" }, each.prompt ? make("strong", {}, each.prompt) : null, each.text))))) : null;
}

function frame() {
  const { summary } = details;
  figures = make("dl", { class: "figures" });
  grid = make("div", { class: "charts" });
  document.title = `${name} · Sartor`;
  const links = [details.has_report ? make("a", { href: address("/report", { run: name }), target: "_blank", rel: "noopener" }, "Its report") : null,
    details.has_choice ? link("/choice", { run: name }, "Its choice") : null].filter(Boolean);
  fill(byId("run"), make("h1", {}, name),
    make("p", {}, pill(summary.state), ` ${summary.kind}`, summary.base ? [" on ", make("strong", {}, summary.base)] : null, summary.rows ? `, ${figure(summary.rows)} rows` : null, links.map((each) => [" · ", each]).flat()),
    details.failure ? make("div", { class: "care bad" }, make("h2", {}, "It failed"), make("p", {}, details.failure)) : null,
    figures,
    details.alarm_sentences.map((alarm) => make("div", { class: "care" }, make("h2", {}, `Alarm: ${alarm.name}`), alarm.sentences.map((each) => make("p", {}, each)))),
    details.verdict ? make("div", { class: "care" }, make("h2", {}, details.verdict), details.sentences.map((each) => make("p", {}, each))) : null,
    section("Curves", grid),
    samples(),
    details.certificate.length ? section("What it learnt from", make("ul", {}, details.certificate.map((each) => make("li", {}, each)))) : null,
    section("How it was set", settings()),
    section("Files", make("ul", { class: "plain" }, details.files.map((file) => make("li", {}, make("code", {}, file))))));
}

async function follow() {
  const some = await curves.readOn();
  if (some) { showFigures(); showCurves(); }
  if (details.summary.state !== "running") return;
  setTimeout(async () => {
    try {
      if (document.hidden) { await follow(); return; }
      const before = details.summary.state;
      details = await read(address("/ui/run", { run: name }));
      if (details.summary.state !== before) { frame(); charts.clear(); showFigures(); showCurves(); announce(`The run is ${details.summary.state}.`); }
      await follow();
    } catch (error) { problem(error); }
  }, 1500);
}

async function start() {
  details = await read(address("/ui/run", { run: name }));
  frame();
  showFigures();
  await follow();
  if (!curves.records.length) fill(grid, make("p", { class: "note" }, details.has_choice ? "A choice has no curves of its own; its trainings are listed among the runs." : "Nothing was measured yet."));
}
start().catch((error) => { fill(byId("run"), make("h1", {}, "Run"), make("p", {}, error.message)); });
