// One job: what it does now, its deliveries, headers and payload, and what one can do about it.

import { button, cancelJob, requeueJob, wakeJob } from "../actions.js";
import { get } from "../api.js";
import { code, copyButton, count, fill, h, refill, size } from "../dom.js";
import { isDialogOpen } from "../dialog.js";
import { mark } from "../mark.js";
import { every, facts, heading, link, problem, section } from "../parts.js";
import { payloadPanel } from "../payload.js";
import { clock, due } from "../time.js";
import { deliveries, headerTable, wholeError } from "../timeline.js";

const REFRESH_MS = 2000;
const NOT_KEPT = "A job that is done is not kept unless its queue says so.";

/** The page. */
export function jobPage(context) {
  const { parameters, info, signal } = context;
  const jobId = parameters.job_id ?? "";
  const top = h("div", {});
  const rest = h("div", {});
  let shown = null;

  const load = async () => {
    try {
      const found = await get("job", { job_id: jobId }, signal);
      const text = JSON.stringify(found);
      if (shown === null) fill(rest, section("Payload", payload(jobId, context)));
      if (text !== shown) refill(top, view(found, info, load));
      shown = text;
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(top, problem(error));
      if (error.status === 404) fill(rest, h("p", { class: "muted" }, NOT_KEPT));
    }
  };
  every(REFRESH_MS, context, () => {
    if (!isDialogOpen() && getSelection().isCollapsed) load();
  });
  load();
  return { title: `Job ${jobId}`, element: h("div", {}, top, rest) };
}

function view({ job, attempts }, info, again) {
  const title = ["Job ", code(job.job_id), " ", copyButton(job.job_id, "the job id")];
  return [
    heading(title, mark(job.state), info.can_act ? buttons(job, again) : []),
    story(job),
    summary(job),
    section("Deliveries", attempts.length ? deliveries(attempts) : h("p", { class: "muted" }, "None yet.")),
    section("Headers", headerTable(job.headers)),
  ];
}

function buttons(job, again) {
  const id = job.job_id;
  const isLive = ["pending", "scheduled", "claimed"].includes(job.state);
  const word = job.attempts > 0 ? "Retry now" : "Wake now";
  return [
    job.state === "scheduled" && button(word, () => wakeJob(id), again, { tone: "primary" }),
    job.state === "dead" && job.kind !== "step" && button("Requeue", () => requeueJob(id), again, { tone: "primary" }),
    isLive && !job.run_id && button("Cancel…", () => cancelJob(id), again, { tone: "danger" }),
  ].filter(Boolean);
}

function story(job) {
  const failed = job.last_error && [" The last delivery failed:", wholeError(job.last_error)];
  const told = {
    pending: ["It waits for a free worker."],
    scheduled: [`It waits for its ${job.attempts > 0 ? "retry" : "time"}, due `, due(job.run_at), "."],
    claimed: [job.is_cancel_requested ? "It is being delivered, and was asked to stop." : "It is being delivered."],
    done: ["It is done, and kept for a while."],
    dead: [
      job.kind === "step"
        ? "It was given up, and its run has failed with it: submit the run again."
        : "It was given up. Requeue it once the cause is gone.",
    ],
  }[job.state];
  return h("div", { class: "story" }, told, failed);
}

function summary(job) {
  return facts([
    ["Queue", link("queue", { queue: job.queue }, job.queue)],
    ["Kind", job.kind],
    ["Run", job.run_id && link("run", { run_id: job.run_id }, job.run_id)],
    ["Enqueued", clock(job.enqueued_at)],
    ["Due", job.run_at && clock(job.run_at)],
    ["Ended", job.ended_at && clock(job.ended_at)],
    ["Deliveries", `${count(job.attempts)} of ${count(job.max_attempts)}`],
    ["Priority", count(job.priority)],
    ["Dedup key", job.dedup_key && code(job.dedup_key)],
    ["Payload", size(job.payload_bytes)],
  ]);
}

function payload(jobId, { info, signal }) {
  if (!info.shows_payloads) return h("p", { class: "muted" }, "This server does not show payloads.");
  return payloadPanel("payload", async () => {
    return (await get("job", { job_id: jobId, payload: 1 }, signal)).payload;
  });
}
