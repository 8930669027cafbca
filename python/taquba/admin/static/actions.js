// Everything that changes something. Each one asks first if it destroys, naming what and how many,
// and says afterwards what was done. All resolve to whether it was done.

import { get, post } from "./api.js";
import { ask } from "./dialog.js";
import { code, h, plain, several } from "./dom.js";
import { tell, tellError, tellProgress } from "./notice.js";

const BATCH = 1000;
// Of more than these nobody wants to wait for the exact number.
const COUNTED_MAX = 20000;
const DAY_SECONDS = 86400;

async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    tellError(error);
    return false;
  }
}

/** The waiting step of a run becomes due now. */
export function wakeRun(runId) {
  return attempt(async () => {
    await post("run/wake", { run_id: runId });
    tell(`Run ${runId} goes on now.`);
    return true;
  });
}

/** A failed run is submitted again, as a run of its own. */
export async function submitAgain(runId) {
  const facts = ["It begins anew with the same input, under another id. What it did before it failed is done again."];
  if (!(await ask({ title: `Submit run ${runId} again?`, facts, verb: "Submit again" }))) return false;
  return retryRun(runId);
}

/** A waiting run goes on now. */
export function retryRun(runId) {
  return attempt(async () => {
    const answer = await post("run/retry", { run_id: runId });
    const isNew = answer.run_id && answer.run_id !== runId;
    tell(isNew ? `Submitted again as ${answer.run_id}.` : `Run ${runId} is tried again now.`);
    return true;
  });
}

/** A run ends as cancelled. */
export async function cancelRun(runId) {
  const facts = ["No step of it is delivered again. It cannot be undone."];
  const sure = await ask({ title: `Cancel run ${runId}?`, facts, verb: "Cancel the run", danger: true });
  if (!sure) return false;
  return attempt(async () => {
    const { is_cancelled: isCancelled } = await post("run/cancel", { run_id: runId });
    tell(isCancelled ? `Run ${runId} is being cancelled.` : `Run ${runId} had ended already.`);
    return isCancelled;
  });
}

/** A scheduled job becomes claimable now; it may carry a run, or the news of its end. */
export function wakeJob(jobId, runId = null) {
  return attempt(async () => {
    await post("job/wake", { job_id: jobId });
    tell(runId ? `Run ${runId} goes on now.` : `Job ${jobId} is due now.`);
    return true;
  });
}

/** A dead job waits again, with all its attempts. */
export function requeueJob(jobId) {
  return attempt(async () => {
    await post("job/requeue", { job_id: jobId });
    tell(`Job ${jobId} waits again.`);
    return true;
  });
}

/** A job goes, or its holder is asked to stop. */
export async function cancelJob(jobId) {
  const facts = ["If it waits it is removed; if it is being delivered its holder is asked to stop."];
  const sure = await ask({ title: `Cancel job ${jobId}?`, facts, verb: "Cancel the job", danger: true });
  if (!sure) return false;
  return attempt(async () => {
    const { became } = await post("job/cancel", { job_id: jobId });
    tell(became === "removed" ? `Job ${jobId} was removed.` : `The holder of ${jobId} was asked to stop.`);
    return true;
  });
}

/** Dead jobs that were selected wait again. */
export async function requeueSelected(queue, jobIds) {
  const what = several(jobIds.length, "dead job");
  const facts = [h("p", {}, "Each is delivered again, with all its attempts.")];
  if (!(await ask({ title: `Requeue ${what} of ${queue}?`, facts, verb: `Requeue ${what}` }))) return false;
  return attempt(async () => {
    const body = { queue, error: null, job_ids: jobIds, limit: BATCH, dry_run: false, cursor: null };
    const { requeued } = await post("dead/requeue", body);
    tell(`${several(requeued, "job")} of ${queue} ${requeued === 1 ? "waits" : "wait"} again.`);
    return true;
  });
}

/** All dead jobs of a queue whose error has this text in it wait again; they are counted before. */
export async function requeueMatching(queue, error) {
  const request = { queue, error: error || null, job_ids: null, limit: BATCH };
  const counted = await attempt(() => sum(request, true, "matched", COUNTED_MAX));
  if (!counted) return false;
  if (counted.total === 0) {
    tell(`No dead job of ${queue} that can be requeued fits.`);
    return false;
  }
  const what = (counted.isAll ? "" : "at least ") + several(counted.total, "dead job");
  const facts = [
    error ? h("span", {}, "Those whose last error contains ", code(error), ".") : "All that the queue keeps.",
    "Each is delivered again, with all its attempts. If the cause is still there they will fail again.",
  ];
  if (!(await ask({ title: `Requeue ${what} of ${queue}?`, facts, verb: `Requeue ${what}` }))) return false;
  return attempt(async () => {
    const { total } = await sum(request, false, "requeued", Infinity);
    tell(`${several(total, "job")} of ${queue} ${total === 1 ? "waits" : "wait"} again.`);
    return true;
  });
}

// Batch by batch, as far as the cursor leads, or until there are so many.
async function sum(request, dryRun, field, most) {
  const progress = tellProgress();
  let total = 0;
  let cursor = null;
  try {
    do {
      const answer = await post("dead/requeue", { ...request, dry_run: dryRun, cursor });
      total += answer[field];
      cursor = answer.cursor;
      progress(`${several(total, "job")} ${dryRun ? "counted" : "requeued"} so far`);
    } while (cursor !== null && total < most);
  } finally {
    progress();
  }
  return { total, isAll: cursor === null };
}

/** Dead jobs of a queue go for good. */
export async function purgeDead(queue) {
  const overview = await attempt(() => get("overview"));
  if (!overview) return false;
  const deadCount = overview.queues.find(({ name }) => name === queue)?.dead_count ?? 0;
  const days = h("input", { name: "days", type: "number", min: "0", step: "any", value: "7", required: true });
  const answer = await ask({
    title: `Purge dead jobs of ${queue}?`,
    facts: [
      `${several(deadCount, "dead job")} ${deadCount === 1 ? "is" : "are"} kept now. What died longer ago than ` +
        "you say is deleted, with its payload. It cannot be undone.",
    ],
    fields: [h("label", {}, "Died more than ", days, " days ago; 0 deletes all")],
    verb: "Purge",
    danger: true,
  });
  if (!answer) return false;
  return attempt(async () => {
    const older = Number(answer.days) * DAY_SECONDS;
    const { purged } = await post("dead/purge", { queue, older_than_seconds: older });
    tell(`${several(purged, "dead job")} of ${queue} ${purged === 1 ? "is" : "are"} gone.`);
    return true;
  });
}

/** A button for one of the above, `primary` or `danger` in tone; `after` is called if it was done. */
export function button(text, action, after, { tone = "", disabled = false } = {}) {
  const node = h("button", { type: "button", class: `small ${tone}`, disabled }, plain(text));
  node.addEventListener("click", async () => {
    node.disabled = true;
    try {
      if (await action()) await after?.();
    } finally {
      node.disabled = false;
    }
  });
  return node;
}
