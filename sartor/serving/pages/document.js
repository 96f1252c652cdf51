// A document with the places where it was cut; a passage that was linked to is marked.
import { read } from "./api.js";
import { address, byId, figure, fill, make } from "./dom.js";

const query = new URLSearchParams(location.search);
const [start, end] = [Number(query.get("start")), Number(query.get("end"))];

/** Pieces of the text: chunks, which may overlap a little, and what lies between them. */
function pieces(characters, spans) {
  const made = [];
  let at = 0;
  const cut = (from, to) => characters.slice(from, to).join("");
  spans.forEach(([from, to], number) => {
    if (from > at) made.push(make("div", { class: "between" }, cut(at, from)));
    const here = end > start && from < end && start < to;
    const begins = Math.max(from, at);
    const name = make("span", { class: "chunk-name" }, `passage ${number}, characters ${figure(from)} to ${figure(to)}`);
    const body = here ? [cut(begins, Math.max(begins, start)), make("mark", {}, cut(Math.max(begins, start), Math.min(to, end))), cut(Math.max(begins, Math.min(to, end)), to)] : [cut(begins, to)];
    made.push(make("div", { class: here ? "chunk here" : "chunk", id: `chunk-${number}`, tabindex: "-1" }, name, body));
    at = Math.max(at, to);
  });
  made.push(make("div", { class: "between" }, cut(at)));
  return made;
}

function show(found) {
  document.title = `${found.title || found.id} · Sartor`;
  const tags = Object.entries(found.metadata).filter(([, value]) => value !== "").map(([key, value]) => make("span", { class: "tag" }, `${key}: ${value}`));
  fill(byId("document"), make("h1", {}, found.title || found.id),
    make("p", { class: "note" }, `${found.id} in ${found.file_name}: ${figure(Array.from(found.text).length)} characters, ${figure(found.spans.length)} passages`),
    make("p", { class: "tags" }, tags), make("div", { class: "document-text" }, pieces(Array.from(found.text), found.spans)));
  const here = document.querySelector(".chunk.here");
  if (here) { here.scrollIntoView({ block: "center" }); here.focus({ preventScroll: true }); }
}

document.addEventListener("keydown", (event) => {
  if (!["j", "k"].includes(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
  const chunks = [...document.querySelectorAll(".chunk")];
  const at = chunks.indexOf(document.activeElement);
  const next = chunks[Math.min(chunks.length - 1, Math.max(0, at + (event.key === "j" ? 1 : -1)))];
  if (next) { next.focus({ preventScroll: true }); next.scrollIntoView({ block: "center" }); }
});

read(address("/ui/document", { file: query.get("file") || 0, id: query.get("id") || "" })).then(show)
  .catch((error) => fill(byId("document"), make("h1", {}, "Document"), make("p", {}, error.message)));
