// Line charts of the last hour. The picture is SVG of our own; the latest values stand beside the
// names of the lines, and the values under the pointer take their place.

import { fill, h, s } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 112;
const LEFT = 44;
const RIGHT = 6;
const TOP = 6;
const BOTTOM = 18;
const POINTS_MAX = 180;
const TICKS_MIN = [60, 30, 0];
const SPAN_MS = 3600 * 1000;
// Between points farther apart than this nobody looked, so nothing was counted.
const GAP_MS = 60 * 1000;

/**
 * A chart that `update(points)` fills. `lines` are `{name, tone, of}`, where `of(point)` is a number
 * or null; `format` writes a value; `isLog` spreads values over decades; otherwise the axis reaches to
 * `least` at least.
 */
export function chart({ title, lines, format, isLog = false, least = 1 }) {
  const picture = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "chart" });
  const legend = h("div", { class: "legend" });
  const element = h("figure", {}, h("figcaption", {}, title), legend, picture);
  let shown = [];

  const say = (point, when = null) => {
    const items = lines.map(({ name, tone, dash }, at) => {
      const value = point ? point.values[at] : null;
      const text = value === null ? "–" : format(value);
      const classes = `line tone-${tone} ${dash ? "dash" : ""}`;
      return h("span", { class: classes }, h("i", {}), `${name} `, h("b", {}, text));
    });
    fill(legend, items, when && h("span", { class: "when" }, when));
  };

  const update = (points) => {
    shown = columns(points, lines);
    const top = Math.max(0, ...shown.flatMap((point) => point.values));
    const scale = isLog ? logScale(top) : linearScale(top, least);
    fill(picture, grid(scale, format), lines.map((line, at) => curve(line, at, shown, scale)));
    say(shown.at(-1));
    picture.setAttribute("aria-label", `${title}: ${legend.textContent}`);
  };

  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const across = ((event.clientX - box.left) / box.width) * WIDTH;
    const point = nearest(shown, across);
    if (point) say(point, new Date(point.at).toLocaleTimeString("sv-SE"));
  });
  picture.addEventListener("pointerleave", () => say(shown.at(-1)));
  update([]);
  return { element, update };
}

function place(share) {
  return LEFT + share * (WIDTH - LEFT - RIGHT);
}

// Several points in one column would be drawn over each other: the highest of them is kept, because
// peaks are what one looks for.
function columns(points, lines) {
  const width = Math.max(1, Math.ceil(points.length / POINTS_MAX));
  const kept = [];
  for (let end = points.length; end > 0; end -= width) {
    const group = points.slice(Math.max(0, end - width), end);
    kept.unshift({ at: group.at(-1).at, values: lines.map((line) => highest(group, line)) });
  }
  return kept;
}

function highest(group, { of }) {
  const known = group.map(of).filter((value) => value !== null && value !== undefined);
  return known.length ? Math.max(...known) : null;
}

function linearScale(largest, least) {
  const top = Math.max(round(largest), least);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  return { y, ticks: [0, top / 2, top] };
}

// The next round number above, whose half is short too.
function round(value) {
  if (value <= 0) return 0;
  const decade = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * decade).find((step) => step >= value * 0.9999);
}

function logScale(largest) {
  const bottom = -3;
  const decades = Math.max(4, Math.ceil(Math.log10(largest || 1)) - bottom);
  const step = Math.ceil(decades / 4);
  const top = bottom + Math.ceil(decades / step) * step;
  const y = (value) => {
    const share = (Math.log10(Math.max(value, 10 ** bottom)) - bottom) / (top - bottom);
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
  };
  const ticks = [];
  for (let power = bottom; power <= top; power += step) ticks.push(10 ** power);
  return { y, ticks };
}

function grid({ y, ticks }, format) {
  const across = ticks.map((value) => [
    s("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
    s("text", { class: "tick", x: LEFT - 5, y: y(value) + 3, "text-anchor": "end" }, format(value)),
  ]);
  const below = TICKS_MIN.map((minutes) => {
    const anchor = minutes === 60 ? "start" : minutes === 0 ? "end" : "middle";
    const text = minutes === 0 ? "now" : `-${minutes} min`;
    const at = { class: "tick", x: place(1 - minutes / 60), y: HEIGHT - 5, "text-anchor": anchor };
    return s("text", at, text);
  });
  return [across, below];
}

function curve({ tone, dash }, at, points, { y }) {
  let d = "";
  let isDown = false;
  let before = 0;
  for (const point of points) {
    const value = point.values[at];
    const time = Date.parse(point.at);
    if (value === null || time - before > GAP_MS) isDown = false;
    before = time;
    if (value === null) continue;
    // A point alone between two gaps is shown as a dot.
    d += isDown ? "L" : "M";
    d += `${place(along(point, points)).toFixed(1)} ${y(value).toFixed(1)}${isDown ? "" : "h0.5"}`;
    isDown = true;
  }
  return s("path", { class: `curve tone-${tone} ${dash ? "dash" : ""}`, d });
}

// Where in the last hour a point lies: 0 at its beginning, 1 at its end.
function along(point, points) {
  return 1 - (Date.parse(points.at(-1).at) - Date.parse(point.at)) / SPAN_MS;
}

function nearest(points, across) {
  const wanted = (across - LEFT) / (WIDTH - LEFT - RIGHT);
  const far = (point) => Math.abs(along(point, points) - wanted);
  return points.length ? points.reduce((best, point) => (far(point) < far(best) ? point : best)) : null;
}
