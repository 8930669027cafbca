// The steps of a run as bars over one axis of time: thin while a step waits, thick while it is
// delivered. Of the last step each delivery is shown, of those before all of them as one.

import { code, count, h, nothing, plain, plainLines, s } from "./dom.js";
import { mark } from "./mark.js";
import { table } from "./table.js";
import { clock, duration, now, secondsBetween } from "./time.js";

const WIDTH = 1000;
const HEIGHT = 16;
// Narrower than this it could not be seen.
const BAR_MIN = 4;
const WORDS = {
  wait: "waited for",
  busy: "running for",
  good: "ran for",
  bad: "failed after",
  calm: "ran for",
  tried: "in several deliveries, with the waits between them,",
};
const WAITED = "Until its first delivery; of the last step, in all";
const RAN = "From its first delivery on; of the last step, in its deliveries alone";
const FAILED = new Set(["nacked", "dead-lettered", "expired", "lost"]);

/** The table of steps of `run`; `attempts` are the deliveries of its last step, if known. */
export function timeline(run, steps, attempts) {
  const rows = steps.map((step, at) => {
    const isLast = at === steps.length - 1;
    return { ...step, ...(isLast ? lastStep(run, step, attempts) : pastStep(step)) };
  });
  const from = Math.min(...steps.map((step) => Date.parse(step.ready_at)));
  const until = run.ended_at ? Date.parse(run.ended_at) : now();
  const axis = { from, span: Math.max(until - from, 1) };
  return h("div", { class: "timeline" }, cut(steps), table("Steps of the run", columns(axis), rows));
}

function cut(steps) {
  const first = steps[0].step_number;
  return first > 0 && h("p", { class: "muted" }, `Steps before ${count(first)} are not kept.`);
}

// Of a past step it is known when its first delivery began, not what lay between several.
function pastStep(step) {
  const began = step.started_at ?? step.ended_at;
  const parts = [{ from: step.ready_at, until: began, kind: "wait" }];
  if (step.started_at) parts.push({ from: began, until: step.ended_at, kind: kindOf(step, "good") });
  return { state: "done", parts };
}

function kindOf({ attempts }, kind) {
  return attempts > 1 && kind === "good" ? "tried" : kind;
}

function lastStep(run, step, attempts) {
  const isOver = run.ended_at !== null;
  const seen = attempts.filter((attempt) => attempt.started_at);
  if (seen.length === 0 || attempts[0].number > 1) return { state: run.state, parts: outline(run, step) };
  const parts = [];
  let at = step.ready_at;
  for (const { started_at: from, ended_at: ended, end } of seen) {
    // Nobody saw the end of a delivery whose process died.
    const until = ended ?? (end === "open" ? null : from);
    parts.push({ from: at, until: from, kind: "wait" });
    const kind = until === null ? "busy" : FAILED.has(end) ? "bad" : "good";
    parts.push({ from, until, kind });
    at = until;
  }
  if (at !== null && !isOver) parts.push({ from: at, until: null, kind: "wait" });
  return { state: run.state, parts };
}

// What is known without the deliveries.
function outline(run, step) {
  const until = run.ended_at;
  if (!step.started_at) return [{ from: step.ready_at, until, kind: "wait" }];
  const isBusy = run.state === "running" || run.state === "cancelling";
  const end = { succeeded: "good", failed: "bad", cancelled: "calm" }[run.state];
  return [
    { from: step.ready_at, until: step.started_at, kind: "wait" },
    { from: step.started_at, until, kind: kindOf(step, isBusy ? "busy" : (end ?? "tried")) },
  ];
}

function columns(axis) {
  return [
    { title: "Step", kind: "number", cell: (step) => count(step.step_number) },
    { title: "State", cell: (step) => mark(step.state) },
    { title: axisTitle(axis), kind: "bars", cell: (step) => bars(step, axis) },
    { title: "Waited", kind: "number", hint: WAITED, cell: (step) => spent(step, true) },
    { title: "Ran", kind: "number", hint: RAN, cell: (step) => spent(step, false) },
    { title: "Deliveries", kind: "number", cell: (step) => count(step.attempts) },
    { title: "Last error", kind: "text", cell: (step) => errorText(step.error) },
  ];
}

function axisTitle({ from, span }) {
  const iso = new Date(from).toISOString();
  return h("span", { class: "ends" }, h("span", {}, clock(iso)), h("span", {}, `+ ${duration(span / 1000)}`));
}

function spent(step, isWaiting) {
  const parts = step.parts.filter(({ kind }) => (kind === "wait") === isWaiting);
  if (parts.length === 0) return nothing();
  return duration(parts.reduce((sum, { from, until }) => sum + secondsBetween(from, until), 0));
}

function bars(step, { from, span }) {
  const place = (iso) => ((iso ? Date.parse(iso) : now()) - from) / span * WIDTH;
  const rectangles = step.parts.map((part) => {
    const left = Math.min(Math.max(place(part.from), 0), WIDTH - BAR_MIN);
    const right = Math.min(Math.max(place(part.until), left + BAR_MIN), WIDTH);
    const seconds = secondsBetween(part.from, part.until);
    const isThin = part.kind === "wait";
    const box = { x: left, width: right - left, y: isThin ? 6 : 2, height: isThin ? 4 : 12 };
    const told = `${WORDS[part.kind]} ${duration(seconds)}`;
    return s("rect", { class: `bar ${part.kind}`, ...box }, s("title", {}, told));
  });
  const label = step.parts.map((part) => WORDS[part.kind]).join(", ");
  const view = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" };
  return s("svg", { ...view, "aria-label": label }, rectangles);
}

/** An error on one line, in full in its title. */
export function errorText(error) {
  if (!error) return nothing();
  return h("bdi", { class: "error-text", title: plainLines(error) }, plain(error));
}

/** The deliveries of a job, the latest first. */
export function deliveries(attempts) {
  const rows = attempts.toReversed();
  return table("Deliveries", [
    { title: "Delivery", kind: "number", cell: (attempt) => count(attempt.number) },
    { title: "End", kind: "state", cell: (attempt) => mark(attempt.end) },
    { title: "Began", kind: "when", cell: (attempt) => clock(attempt.started_at) },
    { title: "Took", kind: "number", cell: took },
    { title: "Error", kind: "text wrap", cell: (attempt) => wholeError(attempt.error) },
  ], rows);
}

function took({ started_at: from, ended_at: until, end }) {
  if (!from || (!until && end !== "open")) return nothing();
  return duration(secondsBetween(from, until));
}

/** An error with its lines. */
export function wholeError(error) {
  return error ? h("pre", { class: "error-text" }, plainLines(error)) : nothing();
}

/** Headers of a job or run, by name. */
export function headerTable(headers) {
  const names = Object.keys(headers).sort();
  if (names.length === 0) return h("p", { class: "muted" }, "None.");
  return table("Headers", [
    { title: "Name", kind: "name", cell: (name) => code(name) },
    { title: "Value", kind: "text wrap", cell: (name) => code(headers[name]) },
  ], names);
}
