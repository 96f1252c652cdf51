// What is in a knowledge file: search, list, add, delete.
import { read, send, upload } from "./api.js";
import { address, announce, byId, bytes, figure, fill, link, make, problem, table } from "./dom.js";

let file = Number(new URLSearchParams(location.search).get("file")) || 0;
let held = null;

function show() {
  const { files, statistics, documents, fields } = held;
  const own = files[file];
  byId("whole").hidden = false;
  byId("file-choice").hidden = files.length < 2;
  fill(byId("file"), files.map((each) => make("option", { value: each.number, selected: each.number === file }, each.path)));
  byId("file-note").textContent = `${own.path}: ${figure(statistics.documents)} documents, ${figure(statistics.chunks)} passages, ${bytes(statistics.file_bytes)}${own.writable ? "" : "; belongs to a measured run, so it is only shown"}`;
  byId("adding").hidden = !own.writable;
  const picked = byId("where-field").value;
  fill(byId("where-field"), make("option", { value: "" }, "anything"), Object.keys(fields).sort().map((field) => make("option", { value: field, selected: field === picked }, field)));
  fill(byId("documents"), documents.length ? table(["Document", "About it", "Passages", "Characters", ...(own.writable ? [""] : [])], documents.map((each) => line(each, own.writable)), { caption: "Documents", figures: [2, 3], name: "stack" })
    : make("p", {}, "Nothing yet. Add files above, then ask about them in the chat."));
}

function line(each, writable) {
  const tags = Object.entries(each.metadata).filter(([, value]) => value !== "").map(([key, value]) => make("span", { class: "tag" }, `${key}: ${value}`));
  const name = make("span", {}, link("/documents/show", { file, id: each.id }, each.title || each.id), make("span", { class: "sub" }, each.id));
  const row = [name, make("span", { class: "tags" }, tags), figure(each.chunks), figure(each.characters)];
  return writable ? [...row, make("button", { type: "button", class: "danger", "aria-label": `Delete ${each.id}`, onclick: () => remove(each).catch(problem) }, "Delete")] : row;
}

async function refresh() {
  held = await read(address("/ui/documents", { file }));
  if (held.files.length) { show(); return; }
  byId("empty").hidden = false;
  fill(byId("empty"), make("p", {}, "No knowledge file is open. Start with one; it is made if it is missing:"), make("pre", {}, "sartor ui --documents handbook.sqlite"));
}

async function remove(each) {
  const dialog = byId("confirm");
  byId("confirm-words").textContent = `${each.title || each.id} (${each.id}) and its ${figure(each.chunks)} passages leave the knowledge file; the file it came from stays. Nothing of its text is left behind.`;
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  if (dialog.returnValue !== "yes") return;
  await send("/ui/document", { file, id: each.id }, "DELETE");
  announce(`${each.id} was deleted`);
  await refresh();
  byId("list-title").focus();
}

async function add(files) {
  for (const each of files) {
    const words = make("li", {}, `${each.name}: reading …`);
    byId("upload-list").append(words);
    try {
      const done = await upload(address("/ui/documents", { file }), each);
      const parts = [[done.added, "added"], [done.replaced, "replaced"], [done.unchanged, "unchanged"]].filter(([count, word]) => count && !(word === "unchanged" && done.added + done.replaced));
      const empty = done.without_text.length ? `; no text in ${done.without_text.join(", ")}, so it cannot be found` : "";
      words.textContent = `✓ ${each.name}: ${done.documents.length === 1 ? parts.map(([, word]) => word).join(", ") : parts.map(([count, word]) => `${count} ${word}`).join(", ")}${empty}${done.notices.length ? `; ${done.notices.join("; ")}` : ""}`;
    } catch (error) { words.textContent = `✗ ${each.name}: ${error.message}`; }
  }
  await refresh();
}

async function search(event) {
  event.preventDefault();
  const field = byId("where-field").value;
  const values = { q: byId("query").value, file, weight: byId("weight").value || null };
  if (field) values.where = JSON.stringify({ [field]: JSON.parse(byId("where-value").value) });
  if (!values.q.trim()) return;
  fill(byId("found"), make("p", { class: "note" }, "Searching …"));
  try {
    const { passages } = await read(address("/ui/search", values));
    fill(byId("found"), make("h2", {}, passages.length ? `Found ${passages.length} passages` : "Nothing was found"), passages.map(hit));
  } catch (error) { fill(byId("found")); problem(error); }
}

function hit(passage, at) {
  const score = Math.max(0, Math.min(1, passage.score));
  return make("article", { class: "hit" }, make("h3", {}, `${at + 1}. `, link("/documents/show", { file, id: passage.document_id, start: passage.start, end: passage.end }, passage.title || passage.document_id)),
    make("span", { class: "sub" }, `${passage.document_id}, characters ${figure(passage.start)} to ${figure(passage.end)} · score `, make("meter", { class: "meter", min: 0, max: 1, value: score, "aria-label": "score" }), passage.score.toFixed(3)),
    make("div", { class: "text", tabindex: "0" }, passage.text));
}

byId("search").addEventListener("submit", search);
byId("file").addEventListener("change", (event) => { file = Number(event.target.value); fill(byId("found")); refresh().catch(problem); });
byId("where-field").addEventListener("change", (event) => {
  const field = event.target.value;
  const values = [...new Set(held.documents.map((each) => each.metadata[field]).filter((value) => value !== undefined))].sort();
  byId("where-value-label").hidden = !field;
  fill(byId("where-value"), values.map((value) => make("option", { value: JSON.stringify(value) }, value === "" ? "(top)" : String(value))));
});
byId("upload").addEventListener("change", (event) => { add([...event.target.files]).catch(problem); event.target.value = ""; });
const drop = byId("adding");
for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => { event.preventDefault(); add([...event.dataTransfer.files]).catch(problem); });
refresh().catch(problem);
