// States of jobs and runs: each has a word, a shape and a tone, so that none depends on colour.

import { h, s } from "./dom.js";

const CIRCLE = "M6 1.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9z";
const SHAPES = {
  ring: { d: CIRCLE },
  clock: { d: `${CIRCLE}M6 3.6V6l1.8 1.2` },
  play: { d: "M3.2 1.8 10 6 3.2 10.2z", solid: true },
  stop: { d: "M2.5 2.5h7v7h-7z" },
  check: { d: "M2 6.4 4.9 9.2 10 3.2" },
  cross: { d: "M2.6 2.6 9.4 9.4M9.4 2.6 2.6 9.4" },
  slash: { d: `${CIRCLE}M2.9 9.1 9.1 2.9` },
  warning: { d: "M6 1.2 11.2 10.6H.8zM6 4.6v2.6M6 8.8v.4" },
  error: { d: "M3.9 1.2h4.2l2.7 2.7v4.2l-2.7 2.7H3.9L1.2 8.1V3.9zM6 3.6v2.9M6 8.1v.4" },
};

const STATES = {
  pending: ["ring", "calm"],
  scheduled: ["clock", "wait"],
  claimed: ["play", "busy"],
  running: ["play", "busy"],
  cancelling: ["stop", "wait"],
  done: ["check", "good"],
  succeeded: ["check", "good"],
  failed: ["cross", "bad"],
  dead: ["cross", "bad"],
  cancelled: ["slash", "calm"],
  open: ["play", "busy"],
  acked: ["check", "good"],
  nacked: ["cross", "bad"],
  "dead-lettered": ["cross", "bad"],
  released: ["ring", "calm"],
  expired: ["clock", "wait"],
  lost: ["slash", "wait"],
  warning: ["warning", "wait"],
  error: ["error", "bad"],
};

/** The shape of a state alone. */
export function shape(state) {
  const [name] = toneOf(state);
  const { d, solid } = SHAPES[name];
  const classes = solid ? "shape solid" : "shape";
  return s("svg", { class: classes, viewBox: "0 0 12 12", "aria-hidden": "true" }, s("path", { d }));
}

/** Shape and word of a state; another word if given. */
export function mark(state, word = state) {
  const [, tone] = toneOf(state);
  return h("span", { class: `mark tone-${tone}` }, shape(state), h("span", {}, word));
}

// A state that this page does not know yet is shown by its word.
function toneOf(state) {
  return Object.hasOwn(STATES, state) ? STATES[state] : ["ring", "calm"];
}
