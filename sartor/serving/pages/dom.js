// The only way the pages make elements: every text is a text node, every attribute is named in this file's callers.
const REFUSED = /^(on|srcdoc$|style$)/i;

/** An element: `attributes` with true become bare, those with null, false or undefined are left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on") && typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (REFUSED.test(name)) throw new Error(`attribute ${name} is not allowed`);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

export function fill(place, ...children) {
  place.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
}

/** A link to a page of this server; the values are percent-encoded, so none of them can lead elsewhere. */
export function link(path, query, ...children) {
  return make("a", { href: address(path, query) }, ...children);
}

export function address(path, query = {}) {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) if (each !== null && each !== undefined) parts.append(name, each);
  }
  const text = parts.toString();
  return text ? `${path}?${text}` : path;
}

/** A table from rows of nodes or texts; the first cell of a row is its header. `figures` are columns of numbers. */
export function table(columns, rows, { caption, figures = [], name = "" } = {}) {
  const cls = (at) => (figures.includes(at) ? "figure" : null);
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    make("table", { class: name || null },
      make("caption", { class: "unseen" }, caption),
      make("thead", {}, make("tr", {}, columns.map((column, at) => make("th", { scope: "col", class: cls(at) }, column)))),
      make("tbody", {}, rows.map((cells) => make("tr", {}, cells.map((cell, at) =>
        at === 0 ? make("th", { scope: "row" }, cell) : make("td", { class: cell === "–" ? `${cls(at) || ""} none` : cls(at), "data-label": columns[at] }, cell)))))));
}

/** Says something to people who listen to the page. */
export function announce(text) {
  const place = byId("live");
  place.append(make("span", {}, `${text} `));
  while (place.childElementCount > 40) place.firstElementChild.remove();
}

export function problem(error) {
  const place = byId("problem");
  fill(place, make("span", {}, error.message || String(error)),
    make("button", { type: "button", onclick: () => { place.hidden = true; } }, "Close"));
  place.hidden = false;
}

/** Numbers as people read them. */
export function figure(value, digits = 4) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(digits)));
}

export function duration(seconds) {
  if (typeof seconds !== "number") return "–";
  if (seconds < 90) return `${figure(seconds, 2)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${figure(seconds / 3600, 3)} h`;
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let value = count;
  while (value >= 1000 && at < units.length - 1) { value /= 1000; at += 1; }
  return `${value < 10 && at ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}
