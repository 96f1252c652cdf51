// A passage in its document: the text around it, scrolled to where it stands.
import { read } from "./api.js";
import { address, byId, fill, make } from "./dom.js";

export async function openPassage(number, passage, file) {
  byId("passage-title").textContent = `[${number}] ${passage.title || passage.document_id}`;
  const whole = file !== null && file !== undefined && passage.end > passage.start
    ? await read(address("/ui/document", { file, id: passage.document_id })).catch(() => null) : null;
  const stands = whole !== null && slice(whole.text, passage.start, passage.end) === passage.text;
  byId("passage-place").textContent = stands ? `${passage.document_id}, characters ${passage.start} to ${passage.end}`
    : `${passage.document_id}: the passage as it was read${whole === null ? "" : "; the document has changed since"}`;
  const mark = make("mark", {}, passage.text);
  fill(byId("passage-text"), stands ? [slice(whole.text, 0, passage.start), mark, slice(whole.text, passage.end)] : [mark]);
  const link = byId("passage-link");
  link.hidden = !stands;
  if (stands) link.href = address("/documents/show", { file, id: passage.document_id, start: passage.start, end: passage.end });
  byId("passage").showModal();
  byId("passage-text").scrollTop = mark.offsetTop - byId("passage-text").offsetTop - 40;
}

/** Offsets count characters (code points), which JavaScript's own do not. */
export function slice(text, start, end) {
  return Array.from(text).slice(start, end).join("");
}
