// The list of runs; it is read again while one of them runs.
import { read } from "./api.js";
import { address, byId, duration, figure, fill, link, make, problem, table } from "./dom.js";
import { pill } from "./pill.js";

let runs = [];
let folder = "";
const ticked = new Set();

function outcome(run) {
  if (run.outcome !== null && run.outcome !== undefined) return `${figure(run.outcome, 3)} ${run.outcome_name.replaceAll("_", " ")}`;
  return run.score === null || run.score === undefined ? "" : figure(run.score, 3);
}

function line(run) {
  const box = make("input", { type: "checkbox", "aria-label": `Compare ${run.name}`, checked: ticked.has(run.name), disabled: !run.has_curves,
    onchange: (event) => { if (event.target.checked) ticked.add(run.name); else ticked.delete(run.name); showTicked(); } });
  const name = run.name === "." ? folder : run.name;
  const started = run.begun ? run.begun.slice(0, 16).replace("T", " ") : "";
  return [
    make("span", {}, link(run.has_choice ? "/choice" : "/runs/show", { run: run.name }, name), make("span", { class: "sub" }, run.problem || started)),
    pill(run.state), run.kind || "", run.base ? String(run.base).replace(/\/+$/, "").split("/").at(-1) : "", figure(run.steps), figure(run.last_loss), figure(run.dev_loss),
    run.choice ? make("span", {}, outcome(run), make("span", { class: "sub" }, run.choice)) : outcome(run) || "–", duration(run.seconds), box,
  ];
}

function show() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = runs.filter((run) => words.every((word) => [run.name, run.kind, run.base, run.state, run.choice].join(" ").toLowerCase().includes(word)));
  if (!runs.length) {
    fill(byId("runs"), make("p", {}, "There is no run in this folder yet."), make("pre", {}, "sartor demo"), make("p", { class: "note" }, "makes one in some minutes. Another folder: sartor ui --runs FOLDER"));
    return;
  }
  fill(byId("runs"), shown.length ? table(["Run", "State", "Made by", "Base", "Steps", "Last loss", "Held-out loss", "Score", "Time", "Compare"],
    [...shown].reverse().map(line), { caption: "Runs, the newest first", figures: [4, 5, 6, 8], name: "stack" }) : make("p", {}, "No run matches the filter."));
}

function showTicked() {
  byId("compare-button").disabled = ticked.size < 2;
  byId("compare-note").textContent = ticked.size < 2 ? "Tick two runs or more to compare their curves." : `${ticked.size} runs`;
}

async function refresh() {
  const found = await read("/ui/runs");
  const focused = document.activeElement && document.activeElement.getAttribute("aria-label");
  ({ runs, folder } = found);
  byId("folder").textContent = `${runs.length} in ${folder}`;
  show();
  if (focused && focused.startsWith("Compare ")) [...document.querySelectorAll("#runs input")].find((box) => box.getAttribute("aria-label") === focused)?.focus();
  setTimeout(() => refresh().catch(problem), runs.some((run) => run.state === "running") ? 3000 : 15000);
}

byId("filter").addEventListener("input", show);
byId("compare-button").addEventListener("click", () => location.assign(address("/runs/compare", { run: [...ticked] })));
refresh().catch(problem);
