// A small part of Markdown, built of elements: paragraphs, lists, headings, code, strong and stressed words, marks of
// citations. Links and pictures stay the text they were written as: what a model writes leads nowhere.
import { make } from "./dom.js";

const INLINE = /(`[^`\n]+`)|(\*\*[^*\n]+\*\*)|(\*[^*\s][^*\n]*\*)|\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]/g;

/** The text's elements. `cite(number)` gives the element of a mark, or null where that number was no source. */
export function render(text, cite = () => null) {
  const blocks = [];
  const lines = text.split("\n");
  for (let at = 0; at < lines.length;) {
    const line = lines[at];
    if (/^\s*```/.test(line)) {
      let end = at + 1;
      while (end < lines.length && !/^\s*```/.test(lines[end])) end += 1;
      blocks.push(make("pre", { tabindex: "0" }, make("code", {}, lines.slice(at + 1, end).join("\n"))));
      at = end + 1;
    } else if (/^\s*$/.test(line)) at += 1;
    else if (/^#{1,6}\s/.test(line)) {
      blocks.push(make("p", {}, make("strong", {}, inline(line.replace(/^#+\s+/, ""), cite))));
      at += 1;
    } else if (item(line)) {
      const ordered = Boolean(item(line)[1]);
      const items = [];
      for (let found = item(line); found && Boolean(found[1]) === ordered; found = item(lines[at])) {
        items.push(make("li", { value: found[1] }, inline(found[2], cite))); // the number that was written, whatever stood before it
        at += 1;
      }
      blocks.push(make(ordered ? "ol" : "ul", {}, items));
    } else {
      const start = at;
      while (at < lines.length && !/^\s*$|^\s*```|^#{1,6}\s/.test(lines[at]) && !(at > start && item(lines[at]))) at += 1;
      blocks.push(make("p", {}, inline(lines.slice(start, at).join("\n"), cite)));
    }
  }
  return blocks;
}

const item = (line = "") => /^\s*(?:[-*+•]|(\d{1,3})[.)])\s+(.*)$/.exec(line);

function inline(text, cite) {
  const found = [];
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, code, strong, stressed, marks] = match;
    found.push(text.slice(last, match.index));
    if (code) found.push(make("code", {}, code.slice(1, -1)));
    else if (strong) found.push(make("strong", {}, strong.slice(2, -2)));
    else if (stressed) found.push(make("em", {}, stressed.slice(1, -1)));
    else {
      const made = marks.split(/[,;]/).map((mark) => cite(Number(mark)));
      found.push(...(made.every(Boolean) ? made : [whole]));
    }
    last = match.index + whole.length;
  }
  found.push(text.slice(last));
  return found;
}
