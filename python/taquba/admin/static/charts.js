// The four charts of the last hour, for the whole store or for one queue.

import { chart } from "./chart.js";
import { count, h } from "./dom.js";
import { duration } from "./time.js";

const EMPTY = "Counted while somebody looks: the first point comes after ten seconds.";

/** The charts; `update(points)` takes the points of `api/history`. */
export function charts() {
  const all = [
    chart({
      title: "Throughput, per second",
      format: rate,
      lines: [
        { name: "done", tone: "accent", of: (point) => point.acked },
        { name: "enqueued", tone: "calm", of: (point) => point.enqueued, dash: true },
        { name: "retried", tone: "wait", of: (point) => point.retried },
      ],
    }),
    chart({
      title: "Latency",
      format: duration,
      isLog: true,
      lines: [
        { name: "wait p50", tone: "calm", of: (point) => point.wait_p50, dash: true },
        { name: "wait p99", tone: "calm", of: (point) => point.wait_p99 },
        { name: "run p50", tone: "accent", of: (point) => point.run_p50, dash: true },
        { name: "run p99", tone: "accent", of: (point) => point.run_p99 },
      ],
    }),
    chart({
      title: "Backlog, jobs",
      format: whole,
      least: 2,
      lines: [
        { name: "pending", tone: "accent", of: (point) => point.pending },
        { name: "scheduled", tone: "calm", of: (point) => point.scheduled, dash: true },
        { name: "claimed", tone: "good", of: (point) => point.claimed },
      ],
    }),
    chart({
      title: "Dead letters, jobs",
      format: whole,
      least: 2,
      lines: [{ name: "kept", tone: "bad", of: (point) => point.dead_count }],
    }),
  ];
  const told = h("p", { class: "muted under" }, EMPTY);
  return {
    element: h("div", {}, h("div", { class: "charts" }, all.map(({ element }) => element)), told),
    update: (points) => {
      for (const each of all) each.update(points);
      told.hidden = points.length > 1;
    },
  };
}

/** A rate: `0`, `0.03`, `0.3`, `12`, `1 500`. */
export function rate(value) {
  if (value >= 1000) return whole(value);
  if (value >= 9.95 || value === 0) return String(Math.round(value));
  return value >= 0.1 ? value.toFixed(1) : value.toFixed(2);
}

function whole(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(value >= 1e7 ? 0 : 1)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(value >= 1e5 ? 0 : 1)} k`;
  return count(Number.isInteger(value) ? value : value.toFixed(1));
}
