// The overview: what is stuck, since when, why, and the button that makes it go on; then every
// queue, and the last hour.

import { button, cancelJob, cancelRun, requeueJob, requeueMatching, retryRun, submitAgain, wakeJob, wakeRun } from "../actions.js";
import { get } from "../api.js";
import { charts } from "../charts.js";
import { count, fill, h, refill, sentence, several } from "../dom.js";
import { mark } from "../mark.js";
import { every, heading, link, section } from "../parts.js";
import { queueTable } from "../queue-table.js";
import { clock, since } from "../time.js";

const HISTORY_MS = 10000;
// The first of these in a row is what Enter opens.
const OPEN = { "data-open": true };
const INSTANT = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/;

/** The page. */
export function overviewPage(context) {
  const { info, live, signal } = context;
  const beside = h("span", { class: "muted" });
  const attention = h("div", { class: "attention" });
  const queues = h("div", {});
  const hour = charts();
  let shown = null;

  const loadHistory = async () => {
    try {
      hour.update((await get("history", {}, signal)).points);
    } catch {
      // The next one comes soon, and a lost connection is said above.
    }
  };
  live.subscribe((overview) => {
    fill(beside, totals(overview));
    refill(queues, queueTable(overview.queues));
    // Not rebuilt under the pointer of somebody who is about to press a button.
    const text = JSON.stringify(overview.attention);
    if (text !== shown) refill(attention, items(overview, info));
    shown = text;
  }, signal);
  every(HISTORY_MS, context, loadHistory);
  loadHistory();

  const element = h(
    "div",
    {},
    heading("Overview", beside),
    section("Needs attention", attention),
    section("Queues", queues),
    section("Last hour", hour.element),
  );
  return { title: "Overview", element };
}

function totals({ queues }) {
  const sum = (name) => count(queues.reduce((total, queue) => total + queue[name], 0));
  return `${several(queues.length, "queue")} · ${sum("pending_count")} pending · ` +
    `${sum("claimed_count")} claimed · ${sum("scheduled_count")} scheduled · ${sum("dead_count")} dead`;
}

function items({ attention, queues }, info) {
  if (attention.length > 0) return h("ul", { class: "items" }, attention.map((each) => item(each, info)));
  if (queues.length > 0) return h("p", { class: "fine" }, mark("done", "Nothing is stuck."));
  return h(
    "p",
    { class: "empty" },
    "The store is empty. Enqueue a first job with ",
    h("code", {}, 'await queue.enqueue("emails", b"hello")'),
    " and it shows here.",
  );
}

function item(each, info) {
  const title = h("span", { class: "plain" }, sentence(each.title));
  const about = [
    each.run_id && ["run ", link("run", { run_id: each.run_id }, each.run_id, OPEN)],
    each.job_id && !each.run_id && ["job ", link("job", { job_id: each.job_id }, each.job_id, OPEN)],
    each.kind === "dead" && each.queue && [link("dead", { queue: each.queue }, "dead letters", OPEN)],
    each.queue && ["queue ", link("queue", { queue: each.queue }, each.queue, OPEN)],
  ].filter(Boolean);
  return h(
    "li",
    { class: `item ${each.severity}`, "data-kind": each.kind, tabindex: "0", "data-row": keyOf(each) },
    h(
      "div",
      { class: "what" },
      h("div", { class: "title" }, mark(each.severity, title), forHowLong(each)),
      h("p", { class: "why" }, withClocks(each.why)),
      h("p", { class: "remedy" }, sentence(each.remedy), about.map((part) => [" · ", part])),
    ),
    info.can_act && h("div", { class: "buttons" }, actionButton(each, info)),
  );
}

function keyOf({ kind, queue, run_id: runId, job_id: jobId }) {
  return [kind, queue, runId, jobId].join(" ");
}

// Instants in a sentence, as the reader's clock shows them.
function withClocks(text) {
  return text.split(INSTANT).map((part, at) => (at % 2 ? clock(part) : part && sentence(part)));
}

function forHowLong({ since: iso }) {
  return iso && h("span", { class: "muted" }, "for ", since(iso));
}

function actionButton({ action, kind, run_id: runId, job_id: jobId, queue }, info) {
  const primary = { tone: "primary" };
  const wakeWord = kind === "retrying" ? "Retry now" : "Wake now";
  if (action === "wake" && jobId) return button(wakeWord, () => wakeJob(jobId, runId), null, primary);
  if (action === "wake" && runId) return button(wakeWord, () => wakeRun(runId), null, primary);
  if (action === "retry" && runId && kind !== "dead") {
    return button("Retry now", () => retryRun(runId), null, primary);
  }
  // A run that has failed is submitted by the runtime of its queue, which may be elsewhere.
  if (action === "retry" && runId && info.can_submit_runs.includes(queue)) {
    return button("Submit again…", () => submitAgain(runId));
  }
  if (action === "cancel" && runId) return button("Cancel…", () => cancelRun(runId));
  if (action === "cancel" && jobId) return button("Cancel…", () => cancelJob(jobId));
  if (action === "requeue" && jobId) return button("Requeue", () => requeueJob(jobId));
  if (action === "requeue" && queue) return button("Requeue…", () => requeueMatching(queue, ""));
  return null;
}
