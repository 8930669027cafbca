// The table of all queues: counts, the job that has waited longest, rates and latencies.

import { rate } from "./charts.js";
import { count, h, nothing } from "./dom.js";
import { link } from "./parts.js";
import { table } from "./table.js";
import { duration, since } from "./time.js";

const COLUMNS = [
  { title: "Queue", cell: ({ name }) => link("queue", { queue: name }, name, { "data-open": true, class: "long" }) },
  counted("Pending", "pending_count", "Claimable now"),
  {
    title: "Oldest",
    kind: "number",
    hint: "How long the job that is next in line has waited",
    cell: ({ oldest_pending: oldest }) => (oldest ? since(oldest.since) : nothing()),
  },
  counted("Claimed", "claimed_count", "Being delivered"),
  counted("Scheduled", "scheduled_count", "Claimable later, or waiting for a retry"),
  counted("Dead", "dead_count", "Dead-lettered and still kept"),
  counted("Live runs", "live_run_count", "Runs that have not ended"),
  { title: "In / s", kind: "number", hint: "Enqueued, last minute", cell: rated("enqueued") },
  { title: "Done / s", kind: "number", hint: "Acked, last minute", cell: rated("acked") },
  { title: "Wait p50 / p99", kind: "number", hint: "Claimable until delivered", cell: latency("wait_seconds") },
  { title: "Run p50 / p99", kind: "number", hint: "Delivered until settled", cell: latency("run_seconds") },
];

/** The table. */
export function queueTable(queues) {
  if (queues.length === 0) return h("p", { class: "empty" }, "No queue yet: a queue is there with its first job.");
  return table("Queues", COLUMNS, queues, ({ name }) => ({ tabindex: "0", "data-row": name }));
}

function counted(title, name, hint) {
  const cell = (queue) => h("span", { class: queue[name] === 0 ? "zero" : name }, count(queue[name]));
  return { title, kind: "number", hint, cell };
}

function rated(name) {
  return ({ rates }) => (rates ? h("span", { class: rates[name] === 0 && "zero" }, rate(rates[name])) : nothing());
}

function latency(name) {
  return (queue) => {
    const value = queue[name];
    if (!value || value.p50 === null) return nothing();
    return `${duration(value.p50)} / ${value.p99 === null ? "–" : duration(value.p99)}`;
  };
}
