// Line charts and interval charts as SVG: told apart by dash and mark as well as colour, with their numbers as a table.
import { figure, make, table } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const DASHES = [null, "7 4", "2 4", "10 3 2 3", "1 6"];
const MARKS = ["circle", "square", "diamond", "triangle", "cross"];
const MOST_ROWS = 200;

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) element.setAttribute(name, String(value));
  element.append(...children.flat().filter(Boolean));
  return element;
}

const text = (words, x, y, attributes = {}) => svg("text", { x, y, ...attributes }, document.createTextNode(words));

/** Round numbers from `low` to `high`, about `count` of them. */
export function ticks(low, high, count = 5) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= raw * 0.999);
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-6; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

function markAt(kind, x, y, at) {
  const r = 3.6;
  const cls = { class: `hollow s${at % 5}` };
  if (kind === "circle") return svg("circle", { cx: x, cy: y, r, ...cls });
  if (kind === "square") return svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r, ...cls });
  if (kind === "diamond") return svg("path", { d: `M${x} ${y - 4.6}L${x + 4.6} ${y}L${x} ${y + 4.6}L${x - 4.6} ${y}Z`, ...cls });
  if (kind === "triangle") return svg("path", { d: `M${x} ${y - 4.6}L${x + 4.4} ${y + 3.6}H${x - 4.4}Z`, ...cls });
  return svg("path", { d: `M${x - r} ${y - r}L${x + r} ${y + r}M${x + r} ${y - r}L${x - r} ${y + r}`, ...cls });
}

/** At most 600 points: the lowest and highest of each stretch, so that spikes stay. */
export function thinned(points, most = 600) {
  if (points.length <= most) return points;
  const kept = [];
  const stretches = most / 2;
  for (let at = 0; at < stretches; at += 1) {
    const part = points.slice(Math.floor(at * points.length / stretches), Math.floor((at + 1) * points.length / stretches));
    const low = part.reduce((a, b) => (b[1] < a[1] ? b : a));
    const high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...(low === high ? [low] : low[0] < high[0] ? [low, high] : [high, low]));
  }
  return kept;
}

/** The mean over neighbouring points, as the reports smooth: a twentieth of the run to either side, 2 to 25 points. */
export function smoothed(points) {
  const reach = Math.min(25, Math.max(2, Math.floor(points.length / 20)));
  const sums = [0];
  for (const point of points) sums.push(sums.at(-1) + point[1]);
  return points.map(([step], at) => {
    const from = Math.max(0, at - reach);
    const to = Math.min(points.length, at + reach + 1);
    return [step, (sums[to] - sums[from]) / (to - from)];
  });
}

/** A chart that can be given new points. `draw([{label, points: [[step, value]], faint}])`. */
export class LineChart {
  constructor(title, { large = false } = {}) {
    this.large = large;
    this.title = title;
    this.legend = make("ul", { class: "legend" });
    this.place = make("div", {});
    this.read = make("p", { class: "read", "aria-live": "polite" });
    this.rows = make("div", {});
    this.details = make("details", { ontoggle: () => this.fillTable() }, make("summary", {}, "As a table"), this.rows);
    this.element = make("figure", { class: large ? "chart large" : "chart" }, make("h3", {}, title), this.legend, this.place, this.read, this.details);
    this.series = [];
    this.at = null;
  }

  draw(series) {
    this.series = series.filter((each) => each.points.length).map((each, at) => ({ ...each, at: each.colour ?? at }));
    const [width, height] = this.large ? [Math.max(320, Math.min(1100, this.place.clientWidth || 760)), 300] : [360, 210];
    const box = { left: 56, right: width - 12, top: 10, bottom: height - 30 };
    const all = this.series.flatMap((each) => each.points);
    if (!all.length) { this.place.replaceChildren(make("p", { class: "note" }, "Nothing was measured yet.")); return; }
    let [low, high] = span(all.map((point) => point[1]));
    const [first, last] = span(all.map((point) => point[0]));
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    [low, high] = [low - room, high + room];
    this.x = (step) => box.left + (last === first ? 0.5 : (step - first) / (last - first)) * (box.right - box.left);
    this.y = (value) => box.bottom - (value - low) / (high - low) * (box.bottom - box.top);
    const shown = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0", "aria-label": this.words() });
    for (const value of ticks(low, high, this.large ? 6 : 4)) {
      shown.append(svg("line", { class: "grid", x1: box.left, x2: box.right, y1: this.y(value), y2: this.y(value) }));
      shown.append(text(figure(value, 3), box.left - 7, this.y(value) + 4, { class: "tick", "text-anchor": "end" }));
    }
    for (const step of ticks(first, last, this.large ? 8 : 4).filter(Number.isInteger))
      shown.append(text(figure(step), this.x(step), box.bottom + 18, { class: "tick", "text-anchor": "middle" }));
    shown.append(svg("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }));
    for (const each of this.series) shown.append(...this.curve(each));
    this.cursor = svg("line", { class: "cursor", y1: box.top, y2: box.bottom, x1: box.left, x2: box.left, visibility: "hidden" });
    shown.append(this.cursor);
    shown.addEventListener("pointermove", (event) => this.point((event.clientX - shown.getBoundingClientRect().left) / shown.getBoundingClientRect().width * width));
    shown.addEventListener("keydown", (event) => this.key(event));
    const hadFocus = this.place.contains(document.activeElement);
    this.place.replaceChildren(shown);
    if (hadFocus) shown.focus({ preventScroll: true });
    this.legend.replaceChildren(...(this.series.length > 1 ? this.series.map((each) => this.key_of(each)) : []));
    this.fillTable();
  }

  curve(each) {
    const points = thinned(each.points);
    const d = points.map(([step, value], at) => `${at ? "L" : "M"}${this.x(step).toFixed(1)} ${this.y(value).toFixed(1)}`).join("");
    const cls = `curve s${each.at % 5}${each.faint ? " faint" : ""}`;
    const dash = each.faint ? null : DASHES[each.at % 5];
    const few = each.points.length <= 40 ? points : each.faint ? [] : [points.at(-1)];
    const marks = each.faint && each.points.length > 1 ? [] : few.map(([step, value]) => markAt(MARKS[each.at % 5], this.x(step), this.y(value), each.at));
    return [svg("path", { class: cls, d, "stroke-dasharray": dash }), ...marks];
  }

  key_of(each) {
    const sample = svg("svg", { viewBox: "0 0 36 12", "aria-hidden": "true" },
      svg("path", { class: `curve s${each.at % 5}${each.faint ? " faint" : ""}`, d: "M2 6H34", "stroke-dasharray": each.faint ? null : DASHES[each.at % 5] }),
      each.faint ? null : markAt(MARKS[each.at % 5], 18, 6, each.at));
    return make("li", {}, sample, each.label);
  }

  words() {
    return `${this.title}. ` + this.series.filter((each) => !each.faint).map((each) => {
      const [from, to] = [each.points[0], each.points.at(-1)];
      return `${each.label}: ${figure(from[1])} at step ${from[0]}, ${figure(to[1])} at step ${to[0]}`;
    }).join("; ") + ". Arrow keys read single values.";
  }

  steps() { return [...new Set(this.series.flatMap((each) => each.points.map((point) => point[0])))].sort((a, b) => a - b); }

  point(x) {
    const steps = this.steps();
    if (steps.length) this.tell(steps.reduce((a, b) => (Math.abs(this.x(b) - x) < Math.abs(this.x(a) - x) ? b : a)));
  }

  key(event) {
    const steps = this.steps();
    const at = Math.max(0, steps.indexOf(this.at));
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: steps.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.tell(steps[Math.min(steps.length - 1, Math.max(0, to))]);
  }

  tell(step) {
    this.at = step;
    this.cursor.removeAttribute("visibility");
    this.cursor.setAttribute("x1", this.x(step));
    this.cursor.setAttribute("x2", this.x(step));
    const values = this.series.map((each) => [each.label, each.points.find((point) => point[0] === step)]).filter(([, found]) => found);
    this.read.textContent = `step ${figure(step)}: ` + values.map(([label, [, value]]) => `${label} ${figure(value)}`).join(", ");
  }

  fillTable() {
    if (!this.details.open) return;
    const shown = this.series.filter((each) => !each.faint);
    const steps = [...new Set(shown.flatMap((each) => each.points.map((point) => point[0])))].sort((a, b) => a - b);
    const stride = Math.ceil(steps.length / MOST_ROWS);
    const kept = steps.filter((_, at) => at % stride === 0 || at === steps.length - 1);
    const found = shown.map((each) => new Map(each.points));
    this.rows.replaceChildren(
      ...(stride > 1 ? [make("p", { class: "note" }, `Every ${stride}th of ${figure(steps.length)} steps.`)] : []),
      table(["step", ...shown.map((each) => each.label)], kept.map((step) => [figure(step), ...found.map((map) => figure(map.get(step)))]), { caption: `${this.title}, numbers` }));
  }
}

function span(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
  return [low, high];
}

/** Scores with their intervals, one line each: {title, score, low, high, marked}, in points of 100. */
export function intervalChart(lines, place) {
  const narrow = (place.clientWidth || 800) < 560;
  const [width, label, pitch] = narrow ? [360, 8, 62] : [760, 215, 46];
  const right = narrow ? width - 14 : width - 130;
  const from = narrow ? 14 : label + 15;
  const height = lines.length * pitch + 40;
  const x = (value) => from + value / 100 * (right - from);
  const words = lines.map((line) => `${line.title} ${points(line)}`).join("; ");
  const shown = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Scores in points of 100: ${words}` });
  for (const value of [0, 25, 50, 75, 100]) {
    shown.append(svg("line", { class: "grid", x1: x(value), x2: x(value), y1: 4, y2: height - 30 }));
    shown.append(text(String(value), x(value), height - 12, { class: "tick", "text-anchor": "middle" }));
  }
  lines.forEach((line, at) => {
    const y = at * pitch + (narrow ? 40 : 24);
    const cls = line.marked ? 0 : 1;
    const bold = line.marked ? { "font-weight": 700 } : {};
    shown.append(narrow ? text(`${line.title}${line.marked ? " (chosen)" : ""}: ${points(line)}`, from, y - 16, { class: `f${cls}`, ...bold })
      : text(line.title, label, y + 4, { class: `f${cls}`, "text-anchor": "end", ...bold }));
    if (!narrow && line.marked) shown.append(text("chosen", label, y + 18, { class: "f0", "text-anchor": "end", "font-size": 11 }));
    if (typeof line.score !== "number") return;
    if (typeof line.low === "number") {
      shown.append(svg("path", { class: `curve s${cls}`, d: `M${x(line.low)} ${y}H${x(line.high)}M${x(line.low)} ${y - 6}v12M${x(line.high)} ${y - 6}v12` }));
    }
    shown.append(line.marked ? svg("path", { class: "f0", d: `M${x(line.score)} ${y - 9}l9 9l-9 9l-9 -9Z` })
      : svg("circle", { class: "hollow s1", cx: x(line.score), cy: y, r: 5 }));
    if (!narrow) shown.append(text(points(line), right + 14, y + 4, { class: `f${cls}`, ...bold }));
  });
  return shown;
}

function points(line) {
  if (typeof line.score !== "number") return line.failed ? "not measured" : "–";
  return typeof line.low === "number" ? `${Math.round(line.score)} (${Math.round(line.low)} to ${Math.round(line.high)})` : `${Math.round(line.score)}`;
}
