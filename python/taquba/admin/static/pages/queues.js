// All queues, and one queue: its counts, its last hour, its jobs by state.

import { get } from "../api.js";
import { charts } from "../charts.js";
import { code, h, refill } from "../dom.js";
import { jobColumns } from "../job-columns.js";
import { mark } from "../mark.js";
import { chips, every, heading, link, section } from "../parts.js";
import { queueTable } from "../queue-table.js";
import { keep } from "../router.js";
import { PagedTable } from "../table.js";

const HISTORY_MS = 10000;
const REFRESH_MS = 4000;
const STATES = ["pending", "scheduled", "claimed", "done", "dead"];

/** The page of all queues. */
export function queuesPage({ live, signal }) {
  const place = h("div", {});
  live.subscribe(({ queues }) => refill(place, queueTable(queues)), signal);
  return { title: "Queues", element: h("div", {}, heading("Queues"), place) };
}

/** The page of one queue. */
export function queuePage(context) {
  const { parameters, live, signal } = context;
  const queue = parameters.queue ?? "";
  const counts = h("div", {});
  const hour = charts();
  const wanted = { queue, state: parameters.state ?? "" };
  const jobs = new PagedTable({
    caption: `Jobs of ${queue}`,
    columns: jobColumns(),
    keyOf: ({ job_id: id }) => id,
    load: async (cursor, limit) => {
      const page = await get("jobs", { ...wanted, cursor, limit }, signal);
      return { rows: page.jobs, cursor: page.cursor };
    },
    empty: () => (wanted.state ? `No job of this queue is ${wanted.state}.` : "No jobs: all are done and gone."),
  });
  const choose = (state) => {
    wanted.state = state;
    keep("queue", wanted);
    jobs.restart();
  };
  const loadHistory = async () => {
    try {
      hour.update((await get("history", { queue }, signal)).points);
    } catch {
      // The next one comes soon, and a lost connection is said above.
    }
  };
  live.subscribe(({ queues }) => {
    const found = queues.filter(({ name }) => name === queue);
    refill(counts, found.length ? queueTable(found) : h("p", { class: "empty" }, "There is no such queue."));
  }, signal);
  every(HISTORY_MS, context, loadHistory);
  every(REFRESH_MS, context, () => jobs.refresh());
  loadHistory();
  jobs.restart();

  const choices = [["", "all"], ...STATES.map((state) => [state, mark(state)])];
  const elsewhere = [
    link("runs", { queue }, "runs"),
    " · ",
    link("dead", { queue }, "dead letters"),
    " · ",
    link("scheduled", { queue }, "schedules"),
  ];
  const element = h(
    "div",
    {},
    heading(["Queue ", code(queue)], elsewhere),
    counts,
    section("Last hour", hour.element),
    section("Jobs", chips("State", choices, wanted.state, choose), jobs.element),
  );
  return { title: `Queue ${queue}`, element };
}

