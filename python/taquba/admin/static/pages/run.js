// One run: what it does now and why, its steps as a timeline, its deliveries, headers, payload,
// result and memos, and what one can do about it.

import { button, cancelRun, submitAgain, wakeRun } from "../actions.js";
import { get } from "../api.js";
import { code, copyButton, count, fill, h, refill, size } from "../dom.js";
import { isDialogOpen } from "../dialog.js";
import { mark } from "../mark.js";
import { every, facts, heading, link, problem, section } from "../parts.js";
import { payloadPanel } from "../payload.js";
import { PagedTable } from "../table.js";
import { ago, clock, due, duration, secondsBetween, since } from "../time.js";
import { deliveries, headerTable, timeline, wholeError } from "../timeline.js";

const REFRESH_MS = 2000;
const ENDED = new Set(["succeeded", "failed", "cancelled"]);

/** The page. */
export function runPage(context) {
  const { parameters, info, signal } = context;
  const runId = parameters.run_id ?? "";
  const top = h("div", {});
  const bytes = h("div", {});
  const memos = memoTable(runId, signal);
  const rest = h("div", { hidden: true }, bytes, section("Memos", memos.element));
  let shown = null;
  let shownBytes;

  const load = async () => {
    try {
      const found = await get("run", { run_id: runId }, signal);
      const text = JSON.stringify(found);
      // What somebody has opened stays open until it is of another step, or of a run that has ended.
      if (shownBytes !== found.run.job_id) {
        fill(bytes, secrets(found, context));
        memos.restart();
        rest.hidden = false;
      }
      shownBytes = found.run.job_id;
      if (text !== shown || !ENDED.has(found.run.state)) refill(top, view(found, info, load));
      shown = text;
    } catch (error) {
      if (error.name !== "AbortError" && (shown === null || error.status === 404)) fill(top, problem(error));
    }
  };
  every(REFRESH_MS, context, () => {
    if (!isDialogOpen() && getSelection().isCollapsed) load();
  });
  load();
  return { title: `Run ${runId}`, element: h("div", {}, top, rest) };
}

function view({ run, steps, attempts, is_repeatable: isKept }, info, again) {
  // By a runtime that is here.
  const canRepeat = isKept && info.can_submit_runs.includes(run.queue);
  const title = ["Run ", code(run.run_id), " ", copyButton(run.run_id, "the run id")];
  return [
    heading(title, mark(run.state), info.can_act ? buttons(run, canRepeat, again) : []),
    story(run, attempts),
    summary(run),
    section("Steps", steps.length ? timeline(run, steps, attempts) : "Its steps are not kept."),
    attempts.length > 0 && section(`Deliveries of step ${count(run.step_number)}`, deliveries(attempts)),
    section("Headers", headerTable(run.headers)),
  ];
}

function buttons(run, canRepeat, again) {
  const id = run.run_id;
  const isRetry = run.attempts > 0 && run.last_error !== null;
  const word = isRetry ? "Retry now" : "Wake now";
  const danger = { tone: "danger" };
  return [
    run.state === "scheduled" && button(word, () => wakeRun(id), again, { tone: "primary" }),
    canRepeat && button("Submit again…", () => submitAgain(id), again, { tone: "primary" }),
    !ENDED.has(run.state) && button("Cancel…", () => cancelRun(id), again, danger),
  ].filter(Boolean);
}

// One sentence: what it does now, and why.
function story(run, attempts) {
  const step = `Step ${count(run.step_number)}`;
  const failedAt = attempts.findLast(({ ended_at: at }) => at !== null)?.ended_at;
  const failed = run.last_error && [
    " The last delivery failed",
    failedAt ? [" ", ago(failedAt)] : "",
    ":",
    wholeError(run.last_error),
  ];
  const tries = run.max_attempts && `${count(run.attempts)} of ${count(run.max_attempts)}`;
  const told = {
    pending: () => [`${step} is ready and waits for a free worker of queue `, code(run.queue), ".", failed],
    scheduled: () => [
      run.last_error ? `${step} waits for its retry, due ` : `${step} waits for its time, due `,
      due(run.run_at),
      run.last_error ? `; ${tries} deliveries are used.` : ".",
      failed,
    ],
    running: () => [`${step} is being delivered for `, since(run.started_at), ` (delivery ${tries}).`, failed],
    cancelling: () => [`${step} is being delivered; the run ends with it.`, failed],
    succeeded: () => [`It ended with step ${count(run.step_number)}, after ${took(run)}.`],
    failed: () => [`${step} failed for good, after ${took(run)}.`, run.error && wholeError(run.error)],
    cancelled: () => [`It was cancelled at step ${count(run.step_number)}.`, run.error && wholeError(run.error)],
  }[run.state];
  return h("div", { class: "story" }, told ? told() : null);
}

function took(run) {
  return duration(secondsBetween(run.submitted_at, run.ended_at));
}

function summary(run) {
  return facts([
    ["Queue", link("queue", { queue: run.queue }, run.queue)],
    ["Submitted", clock(run.submitted_at)],
    ["Due", run.run_at && clock(run.run_at)],
    ["Ended", run.ended_at && clock(run.ended_at)],
    ["Priority", run.priority === null ? null : count(run.priority)],
    ["Job of the step", run.job_id && link("job", { job_id: run.job_id }, run.job_id)],
  ]);
}

// Bytes are asked for only when somebody wants to see them, and only if the server shows them.
function secrets({ run }, { info, signal }) {
  if (!info.shows_payloads) {
    return section("Payload and result", h("p", { class: "muted" }, "This server does not show them."));
  }
  const payload = run.job_id && payloadPanel("payload of the present step", async () => {
    return (await get("job", { job_id: run.job_id, payload: 1 }, signal)).payload;
  });
  const result = payloadPanel("result", async () => {
    return (await get("run/result", { run_id: run.run_id }, signal)).payload;
  });
  return section("Payload and result", payload, ENDED.has(run.state) && result);
}

function memoTable(runId, signal) {
  return new PagedTable({
    caption: "Memos",
    columns: [
      { title: "Step", kind: "number", cell: (memo) => count(memo.step_number) },
      { title: "SHA-256 of the key", cell: (memo) => code(memo.key_sha256.slice(0, 16), { title: memo.key_sha256 }) },
      { title: "Value", kind: "number", cell: (memo) => size(memo.value_bytes) },
      { title: "Kept", cell: (memo) => (memo.is_object ? "as an object" : "in the log") },
    ],
    keyOf: (memo) => `${memo.step_number} ${memo.key_sha256}`,
    load: async (cursor, limit) => {
      const page = await get("run/memos", { run_id: runId, cursor, limit }, signal);
      return { rows: page.memos, cursor: page.cursor };
    },
    empty: () => "None in this store.",
  });
}
