// Instants and durations for people. Ages are counted by the server's clock, and go on by
// themselves: one timer moves every `time` element of the page that has `data-age`.

import { h, nothing } from "./dom.js";

const UNITS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

// An age that moves each second for long would only be restless.
const AGE_SECONDS_MAX = 120;

let ahead = 0;

/** Takes over the server's clock from an instant that it just gave. */
export function setServerTime(iso) {
  const difference = Date.parse(iso) - Date.now();
  if (Number.isFinite(difference)) ahead = difference;
}

/** Now, by the server's clock, in milliseconds. */
export function now() {
  return Date.now() + ahead;
}

/** A duration in seconds: `850 ms`, `4.2 s`, `34 s`, `4 min 5 s`, `17 min`, `3 h 12 min`, `2 d 4 h`. */
export function duration(seconds) {
  const value = Math.max(0, seconds);
  if (value === 0) return "0 s";
  if (value < 0.001) return "< 1 ms";
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  if (value < 9.95) return `${value.toFixed(1)} s`;
  return coarse(Math.round(value), 600);
}

// Seconds are told up to so many of them: of a wait of an hour nobody wants them.
function coarse(whole, secondsMax) {
  if (whole < 1) return "0 s";
  const at = UNITS.findIndex(([unit]) => whole >= unit);
  const [unit, name] = UNITS[at];
  const first = `${Math.floor(whole / unit)} ${name}`;
  const next = UNITS[at + 1];
  if (!next || (unit === 60 && whole >= secondsMax)) return first;
  const rest = Math.floor((whole % unit) / next[0]);
  return rest === 0 ? first : `${first} ${rest} ${next[1]}`;
}

/** Seconds between two instants; up to now if the second is absent. */
export function secondsBetween(from, until) {
  return ((until ? Date.parse(until) : now()) - Date.parse(from)) / 1000;
}

/** An instant in full, in the reader's time zone, with the exact UTC beside it. */
export function exact(iso) {
  const at = new Date(iso);
  return `${at.toLocaleString("sv-SE")} local time; ${iso}`;
}

/** How long ago: `4 min ago`, and `in 4 min` for what is to come. */
export function ago(iso) {
  return iso ? age(iso, "ago") : nothing();
}

/** How long since: `4 min`. */
export function since(iso) {
  return iso ? age(iso, "since") : nothing();
}

/** When it is due: `in 4 min`, `due now`. */
export function due(iso) {
  return iso ? age(iso, "due") : nothing();
}

function age(iso, form) {
  const node = h("time", { datetime: iso, title: exact(iso), "data-age": form });
  node.textContent = told(iso, form);
  return node;
}

function told(iso, form) {
  const seconds = secondsBetween(iso);
  if (form === "since") return coarse(Math.floor(seconds), AGE_SECONDS_MAX);
  if (seconds < -0.5) return `in ${coarse(Math.ceil(-seconds), AGE_SECONDS_MAX)}`;
  if (form === "due") return "due now";
  return seconds < 1 ? "just now" : `${coarse(Math.floor(seconds), AGE_SECONDS_MAX)} ago`;
}

/** An instant as a clock shows it, with its day if that is not today. */
export function clock(iso) {
  if (!iso) return nothing();
  const at = new Date(iso);
  const [day, time] = at.toLocaleString("sv-SE").split(" ");
  const today = new Date(now()).toLocaleDateString("sv-SE");
  return h("time", { datetime: iso, title: exact(iso) }, day === today ? time : `${day} ${time}`);
}

/** Moves every age on the page. */
export function moveAges() {
  for (const node of document.querySelectorAll("time[data-age]")) {
    const text = told(node.getAttribute("datetime"), node.dataset.age);
    if (node.textContent !== text) node.textContent = text;
  }
}
