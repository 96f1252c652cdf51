"use strict";
// The page's only script. What models and files say is put in as text, never as markup.
const POLL_MILLISECONDS = 400;
const LEAST_READING_MILLISECONDS = 300; // a second press of a key is no judgement of the pair that follows
const KEYS = { 1: "left", ArrowLeft: "left", 2: "right", ArrowRight: "right", t: "tie", s: "skip" };
const element = (id) => document.getElementById(id);
let shown = null; // id of the pair on show
let shownAt = 0;
let isBusy = false;
let isOver = false;

async function ask(name, body) {
  const request = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  const response = await fetch(name, { ...request, cache: "no-store", redirect: "error" });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error.message);
  return answer;
}

function show(state) {
  const counts = state.counts;
  element("progress").max = Math.max(counts.questions, 1);
  element("progress").value = counts.questions - counts.remaining;
  element("counts").textContent =
    `${counts.preferences} preferences, ${counts.ties} ties, ${counts.skips} skipped; ` +
    `${counts.remaining} of ${counts.questions} questions left`;
  element("undo").disabled = !state.can_undo;
  element("pair").hidden = state.pair === null;
  for (const button of document.querySelectorAll("[data-verdict]")) button.disabled = state.pair === null;
  if (state.pair === null) {
    shown = null;
    element("status").textContent = state.is_finished ? finished(counts) : "The next answers are being written …";
    if (!state.is_finished) setTimeout(refresh, POLL_MILLISECONDS);
    return;
  }
  if (shown === state.pair.id) return;
  shown = state.pair.id;
  shownAt = performance.now();
  element("status").textContent = "";
  element("prompt").replaceChildren(...state.pair.prompt.flatMap(turn));
  for (const side of ["left", "right"]) {
    element(side).textContent = state.pair[side];
    element(`${side}-cut`).hidden = !state.pair[`${side}_is_cut`];
  }
  window.scrollTo(0, 0);
}

function finished(counts) {
  const unseen = [[counts.identical, "with twice the same answer"], [counts.empty, "with an empty answer"],
    [counts.failed, "that could not be answered"]].filter(([count]) => count > 0);
  const aside = unseen.map(([count, what]) => `${count} ${what}`).join(", ");
  return `All questions are judged${aside ? ` (not shown: ${aside})` : ""}. Undo the last, or finish.`;
}

function turn(message, index, all) {
  const role = document.createElement("p");
  role.className = "role";
  role.textContent = { system: "Instruction", user: "User", assistant: "Assistant" }[message.role] || message.role;
  const text = document.createElement("pre");
  text.className = index === all.length - 1 ? "text turn asked" : "text turn";
  text.textContent = message.content;
  return [role, text];
}

async function act(work) {
  if (isBusy || isOver) return;
  isBusy = true;
  try {
    show(await work());
  } catch (error) {
    shown = null;
    element("pair").hidden = true;
    for (const button of document.querySelectorAll("[data-verdict]")) button.disabled = true;
    element("status").textContent = `${error.message} (load the page again to go on)`;
  } finally {
    isBusy = false;
  }
}

const refresh = () => act(() => ask("state"));
function judge(verdict) {
  if (shown === null || performance.now() - shownAt < LEAST_READING_MILLISECONDS) return;
  act(() => ask("judge", { pair: shown, verdict }));
}
const undo = () => act(() => ask("undo", {}));

async function finish() {
  if (isOver) return;
  try {
    await ask("finish", {});
  } catch (error) {
    element("status").textContent = error.message;
    return;
  }
  isOver = true;
  element("pair").hidden = true;
  for (const button of document.querySelectorAll("button")) button.disabled = true;
  element("status").textContent = "Finished; this page can be closed.";
}

document.querySelectorAll("[data-verdict]").forEach((button) =>
  button.addEventListener("click", () => judge(button.dataset.verdict)));
element("undo").addEventListener("click", undo);
element("finish").addEventListener("click", finish);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (KEYS[event.key]) judge(KEYS[event.key]);
  else if (event.key === "u") undo();
  else if (event.key === "q") finish();
  else return;
  event.preventDefault();
});
refresh();
