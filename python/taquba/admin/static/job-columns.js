// The columns of lists of jobs.

import { code, count, h, nothing, size } from "./dom.js";
import { mark } from "./mark.js";
import { link } from "./parts.js";
import { ago, due } from "./time.js";
import { errorText } from "./timeline.js";

/** A link to the job. */
export const JOB = {
  title: "Job",
  kind: "when",
  cell: ({ job_id: id }) => link("job", { job_id: id }, id, { "data-open": true }),
};

export const STATE = { title: "State", kind: "state", cell: ({ state }) => mark(state) };
export const DUE = {
  title: "Due",
  kind: "when",
  only: ({ run_at: at }) => at !== null,
  cell: ({ run_at: at }) => due(at),
};
export const DIED = { title: "Died", kind: "when", cell: ({ ended_at: at }) => ago(at) };
export const ERROR = { title: "Last error", kind: "text", cell: ({ last_error: error }) => errorText(error) };

export const DELIVERIES = {
  title: "Deliveries",
  kind: "number",
  hint: "So far, and at most",
  cell: ({ attempts, max_attempts: most }) => `${count(attempts)} of ${count(most)}`,
};

export const BELONGS = {
  title: "Belongs to",
  only: ({ run_id: runId }) => runId !== null,
  cell: ({ kind, run_id: runId }) => {
    if (!runId) return nothing();
    return [kind === "notification" && "end of ", link("run", { run_id: runId }, runId, { class: "long" })];
  },
};

const ENQUEUED = { title: "Enqueued", kind: "when", cell: ({ enqueued_at: at }) => ago(at) };
const PRIORITY = { title: "Priority", kind: "number", cell: ({ priority }) => count(priority) };
const PAYLOAD = { title: "Payload", kind: "number", cell: ({ payload_bytes: bytes }) => size(bytes) };
const DEDUP = {
  title: "Dedup key",
  only: ({ dedup_key: key }) => key !== null,
  cell: ({ dedup_key: key }) => (key ? h("span", { class: "long" }, code(key)) : nothing()),
};

/** Columns of a queue's jobs. */
export function jobColumns() {
  return [STATE, JOB, BELONGS, ENQUEUED, DUE, DELIVERIES, PRIORITY, PAYLOAD, DEDUP, ERROR];
}
