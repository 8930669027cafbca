// Schedules: what waits for its time in a queue, and the button that does not wait. The server lists
// jobs in the order of their enqueueing; here those of one page are put in the order of their time.

import { button, wakeJob } from "../actions.js";
import { get } from "../api.js";
import { h } from "../dom.js";
import { BELONGS, DELIVERIES, DUE, ERROR, JOB } from "../job-columns.js";
import { every, heading, queueChoice } from "../parts.js";
import { keep } from "../router.js";
import { PagedTable } from "../table.js";
import { clock } from "../time.js";

const REFRESH_MS = 4000;

/** The page. */
export function scheduledPage(context) {
  const { parameters, info, signal } = context;
  const wanted = { queue: parameters.queue ?? "" };
  const wake = {
    title: "",
    kind: "act",
    cell: ({ job_id: id, attempts }) =>
      button(attempts > 0 ? "Retry now" : "Wake now", () => wakeJob(id), () => list.refresh()),
  };
  const why = { title: "Waits for", cell: ({ attempts }) => (attempts > 0 ? "its retry" : "its time") };
  const at = { title: "At", kind: "when", cell: ({ run_at: runAt }) => clock(runAt) };
  const columns = [DUE, at, why, JOB, BELONGS, DELIVERIES, ERROR];
  const list = new PagedTable({
    caption: "Scheduled jobs",
    columns: info.can_act ? [...columns, wake] : columns,
    keyOf: ({ job_id: id }) => id,
    load: async (cursor, limit) => {
      if (!wanted.queue) return { rows: [], cursor: null };
      const page = await get("scheduled", { ...wanted, cursor, limit }, signal);
      return { rows: page.jobs.sort(byDue), cursor: page.cursor };
    },
    empty: () => [
      "Nothing waits for its time. Schedule a job with ",
      h("code", {}, "EnqueueOptions(delay=3600)"),
      ".",
    ],
  });
  const change = (queue) => {
    wanted.queue = queue;
    keep("scheduled", wanted);
    list.restart();
  };
  every(REFRESH_MS, context, () => list.refresh());
  list.restart();
  const filters = h("div", { class: "filters" }, queueChoice(context, wanted.queue, change, "scheduled_count"));
  return { title: "Schedules", element: h("div", {}, heading("Schedules"), filters, list.element) };
}

function byDue(one, other) {
  return (one.run_at ?? "").localeCompare(other.run_at ?? "");
}
