// What every page has: the look, the keys, the list of keys.
import { announce, byId } from "./dom.js";

const LOOKS = ["system", "light", "dark"];
const PLACES = { c: "/chat", r: "/runs", h: "/choice", d: "/documents" };

function look() { return document.documentElement.dataset.theme || "system"; }

function nextLook() {
  const next = LOOKS[(LOOKS.indexOf(look()) + 1) % LOOKS.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try { localStorage.setItem("sartor-look", next); } catch { /* it lasts as long as the page then */ }
  byId("theme-word").textContent = next;
  announce(`Look: ${next}`);
}

let gone = 0; // when g was pressed: the next key within a second names a page

function onKey(event) {
  const writing = event.target.closest("input, textarea, select, [contenteditable]");
  if (writing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (performance.now() - gone < 1000 && PLACES[event.key]) { location.assign(PLACES[event.key]); return; }
  gone = event.key === "g" ? performance.now() : 0;
  if (event.key === "?") byId("keys").showModal();
  else if (event.key === "t") nextLook();
  else if (event.key === "/") {
    const field = document.querySelector("[data-main-field]");
    if (field) { event.preventDefault(); field.focus(); }
  }
}

byId("theme-word").textContent = look();
byId("theme-button").addEventListener("click", nextLook);
byId("keys-button").addEventListener("click", () => byId("keys").showModal());
document.addEventListener("keydown", onKey);
