// The same curve of several runs, and the settings in which they differ.
import { read } from "./api.js";
import { LineChart, smoothed } from "./chart.js";
import { Curves, nameOf } from "./curves.js";
import { address, byId, duration, figure, fill, link, make, problem, table } from "./dom.js";
import { pill } from "./pill.js";

const names = [...new Set(new URLSearchParams(location.search).getAll("run"))];
const all = names.map((name) => new Curves(name));
const chart = new LineChart("Loss", { large: true });
let details = [];

function draw() {
  const metric = byId("metric").value;
  chart.element.querySelector("h3").textContent = nameOf(metric);
  chart.title = nameOf(metric);
  chart.draw(all.map((curves, at) => ({ label: names[at], points: metric === "loss" ? smoothed(curves.series(metric)) : curves.series(metric), colour: at })));
}

function showTables() {
  const keys = [...new Set(details.flatMap((each) => Object.keys(each.settings)))];
  const text = (value) => (value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));
  const unlike = keys.filter((key) => new Set(details.map((each) => text(each.settings[key]))).size > 1);
  const results = [["State", (each) => pill(each.summary.state)], ["Made by", (each) => each.summary.kind], ["Base", (each) => each.summary.base || "–"],
    ["Steps", (each) => figure(each.summary.steps)], ["Best step", (each) => figure(each.best_step)], ["Held-out loss before", (each) => figure(each.dev_loss_before)],
    ["Held-out loss, kept", (each) => figure(each.summary.dev_loss)], ["Score", (each) => figure(each.summary.score === null ? each.summary.outcome : each.summary.score, 3)], ["Time", (each) => duration(each.summary.seconds)]];
  const heads = names.map((name) => link("/runs/show", { run: name }, name));
  fill(byId("tables"), make("h2", {}, "Results"),
    table(["", ...heads], results.map(([word, cell]) => [word, ...details.map(cell)]), { caption: "Results of the runs" }),
    make("h2", {}, "Settings that differ"),
    unlike.length ? table(["", ...names], unlike.map((key) => [make("code", {}, key), ...details.map((each) => text(each.settings[key]))]), { caption: "Settings that differ" })
      : make("p", {}, "All settings are the same."));
}

async function follow() {
  const some = (await Promise.all(all.map((curves) => curves.readOn()))).some(Boolean);
  if (some) draw();
  if (details.some((each) => each.summary.state === "running")) {
    setTimeout(async () => {
      try {
        details = await Promise.all(names.map((name) => read(address("/ui/run", { run: name }))));
        await follow();
      } catch (error) { problem(error); }
    }, 2000);
  }
}

async function start() {
  if (names.length < 2) { fill(byId("tables"), make("p", {}, "Choose two runs or more ", link("/runs", {}, "in the list"), ".")); return; }
  byId("chart").append(chart.element);
  details = await Promise.all(names.map((name) => read(address("/ui/run", { run: name }))));
  await Promise.all(all.map((curves) => curves.readOn()));
  const metrics = [...new Set(all.flatMap((curves) => curves.names()))].filter((name) => name !== "seconds");
  const wanted = ["dev_loss", "loss"].find((name) => all.every((curves) => curves.series(name).length)) || metrics[0];
  fill(byId("metric"), metrics.map((name) => make("option", { value: name, selected: name === wanted }, nameOf(name))));
  byId("metric").addEventListener("change", draw);
  if (metrics.length) draw();
  showTables();
  await follow();
}
start().catch(problem);
