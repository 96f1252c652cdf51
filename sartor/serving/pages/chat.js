// A conversation with one or several models, each with its own answers before it.
import { read, send, stream } from "./api.js";
import { address, announce, byId, fill, make, problem } from "./dom.js";
import { render } from "./markdown.js";
import { openPassage } from "./passage.js";

const STORED = "sartor-conversation";
const EXAMPLES = ["What can you help me with?", "Explain what a language model is in one sentence.", "Write a short list of three good habits."];
const MOST_AT_ONCE = 4;

let state = { state: "resting", offered: [], models: [] };
let chosen = new Set();
let turns = []; // {question, system, answers: {model: {text, passages, finish, error}}}
let under = null; // AbortController while answers arrive

function models() { return state.state === "ready" ? state.models : state.offered.map((id) => ({ id })); }

function stateWords() {
  const names = state.offered.join(", ");
  const words = {
    resting: `${names}: loaded when you first ask.`,
    loading: `Loading ${names} …`,
    ready: "Ready. Everything stays on this machine.",
    failed: `Cannot be loaded: ${state.problem}`,
  };
  return words[state.state];
}

function showState() {
  byId("model-state").textContent = stateWords();
  byId("model-state").className = `state-line ${state.state}`;
}

function showModels() {
  const known = models();
  chosen = new Set([...chosen].filter((id) => known.some((model) => model.id === id)));
  if (!chosen.size && known.length) chosen.add(known[0].id);
  fill(byId("model-list"), known.map((model, at) => make("label", { class: "model", for: `model-${at}` },
    make("input", { type: "checkbox", id: `model-${at}`, checked: chosen.has(model.id), onchange: (event) => choose(model.id, event.target) }),
    make("span", {}, model.id, make("span", { class: "sub" }, facts(model))))));
  showOwn();
}

function facts(model) {
  if (!model.sampling) return "not loaded yet";
  const examples = model.num_examples ? `, ${model.num_examples} worked examples` : "";
  return `${model.reads_documents ? "reads documents, " : ""}${model.max_context_tokens.toLocaleString("en")} tokens${examples}`;
}

function choose(id, box) {
  if (box.checked && chosen.size >= MOST_AT_ONCE) {
    box.checked = false;
    problem(new Error(`At most ${MOST_AT_ONCE} side by side.`));
  } else if (box.checked) chosen.add(id);
  else if (chosen.size > 1) chosen.delete(id);
  else box.checked = true; // somebody has to answer
  showOwn();
}

/** The instructions and settings that the chosen paths bring themselves. */
function showOwn() {
  const picked = models().filter((model) => chosen.has(model.id) && model.sampling);
  fill(byId("own-prompts"), picked.filter((model) => model.instruction).map((model) =>
    make("p", { class: "own", tabindex: "0" }, make("strong", {}, `${model.id} says besides: `), model.instruction)));
  const own = (name) => [...new Set(picked.map((model) => model.sampling[name]))].join(" / ") || "own";
  byId("temperature").placeholder = own("temperature");
  byId("top-p").placeholder = own("top_p");
  byId("max-tokens").placeholder = own("max_tokens");
}

function settings() {
  const fields = [["temperature", "temperature", 0, 2, false], ["top_p", "top-p", 0, 1, false], ["max_tokens", "max-tokens", 1, 1e6, true], ["seed", "seed", 0, 2 ** 31, true]];
  const given = {};
  for (const [name, id, low, high, whole] of fields) {
    const typed = byId(id).value.trim();
    const written = whole ? typed.replace(/[.,](?=\d{3}(\D|$))/g, "") : typed.replace(",", "."); // "1,000" is a thousand, "0,7" has a comma for a point
    const value = Number(written);
    const wrong = written !== "" && (!Number.isFinite(value) || value < low || value > high || (whole && !Number.isInteger(value)));
    byId(id).setAttribute("aria-invalid", String(wrong));
    if (wrong) { byId(id).focus(); throw new Error(`${name.replace("_", " ")}: a ${whole ? "whole " : ""}number from ${low} to ${high}`); }
    if (written !== "") given[name] = value;
  }
  return given;
}

async function ready() {
  if (state.state !== "ready") {
    const wanted = [...chosen];
    state = await send("/ui/models/load", {});
    showState();
    announce(stateWords());
    while (state.state === "loading") {
      await new Promise((done) => setTimeout(done, 500));
      if (under && under.signal.aborted) throw new DOMException("stopped", "AbortError");
      state = await read("/ui/models");
    }
    showState();
    chosen = new Set(wanted);
    showModels();
  }
  if (state.state === "failed") throw new Error(stateWords());
}

function history(model, system, upTo) {
  const before = turns.slice(0, upTo).filter((turn) => turn.answers[model] && turn.answers[model].text && !turn.answers[model].error);
  const messages = before.flatMap((turn) => [{ role: "user", content: turn.question }, { role: "assistant", content: turn.answers[model].text }]);
  return [...(system ? [{ role: "system", content: system }] : []), ...messages, { role: "user", content: turns[upTo].question }];
}

async function ask(question) {
  const given = settings();
  under = new AbortController();
  const turn = { question, answers: {} };
  turns.push(turn);
  busy(true);
  for (const id of chosen) turn.answers[id] = { text: "", passages: [] };
  const view = showTurn(turn);
  try {
    await ready();
    for (const id of Object.keys(turn.answers)) if (!chosen.has(id)) delete turn.answers[id];
    for (const id of chosen) turn.answers[id] = turn.answers[id] || { text: "", passages: [] };
    view.refresh();
    const at = turns.length - 1;
    await Promise.all([...chosen].map((id) => answer(id, turn, at, given, view)));
  } catch (error) {
    for (const each of Object.values(turn.answers)) each.error = error.name === "AbortError" ? null : error.message;
    for (const each of Object.values(turn.answers)) if (error.name === "AbortError") each.finish = "stopped";
    view.refresh();
  }
  under = null;
  busy(false);
  keep();
}

async function answer(id, turn, at, given, view) {
  const found = turn.answers[id];
  const started = performance.now();
  found.writing = true;
  announce(`${id} answers`);
  let told = 0;
  try {
    const body = { model: id, messages: history(id, byId("system").value.trim(), at), stream: true, ...given };
    for await (const event of stream("/v1/chat/completions", body, under.signal)) {
      const choice = event.choices[0];
      if (!choice) continue;
      found.text += choice.delta.content || "";
      if (choice.delta.sartor) found.passages = choice.delta.sartor.passages;
      if (choice.finish_reason) found.finish = choice.finish_reason;
      told = tell(id, found.text, told, Boolean(choice.finish_reason));
      view.later(id);
    }
  } catch (error) {
    if (error.name === "AbortError") found.finish = "stopped";
    else found.error = error.message;
  }
  found.writing = false;
  found.seconds = (performance.now() - started) / 1000;
  view.refresh(id);
}

/** Whole sentences are read out while the answer grows; where it was told up to. */
function tell(id, text, told, all) {
  const end = all ? text.length : Math.max(...[". ", "! ", "? ", "\n"].map((mark) => text.lastIndexOf(mark) + 1));
  if (end <= told) return told;
  announce(`${chosen.size > 1 ? `${id}: ` : ""}${text.slice(told, end)}`);
  return end;
}

function showTurn(turn) {
  const place = make("div", { class: "answers" });
  const waiting = new Set();
  const view = {
    refresh(only) {
      const ids = Object.keys(turn.answers);
      if (only && place.querySelectorAll(".answer").length === ids.length) place.children[ids.indexOf(only)].replaceWith(card(only, turn.answers[only], turn));
      else fill(place, ids.map((id) => card(id, turn.answers[id], turn)));
      follow();
    },
    later(id) { // many tokens a second become a few drawings a second
      if (waiting.has(id)) return;
      waiting.add(id);
      setTimeout(() => { waiting.delete(id); view.refresh(id); }, 60);
    },
  };
  if (byId("turns").querySelector(".welcome")) fill(byId("turns"));
  byId("turns").append(make("div", { class: "turn" }, make("h2", { class: "asked" }, turn.question), place));
  view.refresh();
  return view;
}

const FINISHES = { length: "It stopped at its greatest length.", stopped: "You stopped it." };

function card(id, found, turn) {
  const file = (state.models.find((model) => model.id === id) || {}).file;
  const cite = (number) => {
    const passage = found.passages[number - 1];
    return passage ? make("button", { type: "button", class: "cite", "aria-label": `Source ${number}: ${passage.title || passage.document_id}`,
      onclick: () => openPassage(number, passage, file).catch(problem) }, `[${number}]`) : null;
  };
  const note = found.writing ? "writing" : found.seconds ? `${found.seconds.toFixed(1)} s` : "";
  return make("article", { class: found.writing ? "answer writing" : "answer", "aria-busy": String(Boolean(found.writing)), "aria-label": `Answer of ${id}` },
    make("header", {}, make("strong", {}, id), make("span", {}, note)),
    make("div", { class: "words" }, render(found.text, cite)),
    found.error ? make("p", { class: "failed" }, `It failed: ${found.error}`) : null,
    FINISHES[found.finish] ? make("p", { class: "stopped" }, FINISHES[found.finish]) : null,
    found.passages.length ? make("ul", { class: "sources", "aria-label": "Passages that were read" }, found.passages.map((passage, at) =>
      make("li", {}, cite(at + 1), make("span", {}, passage.title || passage.document_id, make("span", { class: "sub" }, passage.document_id))))) : null);
}

function follow() {
  const bottom = document.documentElement.scrollHeight - innerHeight - scrollY;
  if (bottom < 260) scrollTo({ top: document.documentElement.scrollHeight });
}

function busy(is) {
  byId("stop-button").hidden = !is;
  byId("send-button").disabled = is;
}

function keep() {
  try { sessionStorage.setItem(STORED, JSON.stringify({ turns, chosen: [...chosen], system: byId("system").value })); } catch { /* too long to keep beyond the page */ }
}

function recall() {
  try {
    const stored = JSON.parse(sessionStorage.getItem(STORED) || "null");
    if (stored) { turns = stored.turns; chosen = new Set(stored.chosen); byId("system").value = stored.system; }
  } catch { turns = []; }
}

function welcome() {
  fill(byId("turns"), make("div", { class: "welcome" }, make("h2", {}, "Made to measure"),
    make("p", { class: "note" }, "Ask one path, or several side by side. Paths that read documents show the passages they read."),
    make("div", { class: "examples" }, EXAMPLES.map((text) => make("button", { type: "button", onclick: () => { byId("question").value = text; byId("question").focus(); } }, text)))));
}

function submit(event) {
  event.preventDefault();
  const question = byId("question").value.trim();
  if (!question || under) return;
  byId("question").value = "";
  ask(question).catch((error) => { byId("question").value = question; problem(error); });
}

byId("ask").addEventListener("submit", submit);
byId("question").addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event); });
byId("stop-button").addEventListener("click", () => { if (under) under.abort(); byId("question").focus(); });
byId("new-button").addEventListener("click", () => {
  if (under) under.abort();
  turns = [];
  keep();
  welcome();
  byId("question").focus();
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && under && !document.querySelector("dialog[open]")) under.abort(); });
if (matchMedia("(max-width: 52rem)").matches) byId("settings").open = false;

recall();
const asked = new URLSearchParams(location.search).get("q");
if (asked) byId("question").value = asked;
async function start() {
  state = await read(address("/ui/models"));
  showState();
  showModels();
  if (turns.length) for (const turn of turns) showTurn(turn);
  else welcome();
  while (state.state === "loading") {
    await new Promise((done) => setTimeout(done, 700));
    state = await read("/ui/models");
    showState();
    if (state.state !== "loading") showModels();
  }
}
start().catch(problem);
