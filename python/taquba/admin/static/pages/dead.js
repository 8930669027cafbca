// Dead letters: grouped by error, listed by queue and text, and made to wait again one by one, as
// selected, or all that fit.

import { button, purgeDead, requeueMatching, requeueSelected } from "../actions.js";
import { get } from "../api.js";
import { code, count, fill, h, several } from "../dom.js";
import { BELONGS, DELIVERIES, DIED, ERROR, JOB } from "../job-columns.js";
import { every, field, heading, problem, queueChoice, section } from "../parts.js";
import { keep } from "../router.js";
import { PagedTable, table } from "../table.js";
import { ago } from "../time.js";

const REFRESH_MS = 5000;

/** The page. */
export function deadPage(context) {
  const { parameters, info, live, signal } = context;
  const wanted = { queue: parameters.queue ?? "", error: parameters.error ?? "" };
  const groups = h("div", {});
  const tools = h("div", { class: "tools" });
  const filters = h("div", { class: "filters", role: "search" });
  let selected = [];
  let deadTotal = null;

  const list = new PagedTable({
    caption: "Dead jobs",
    columns: [JOB, BELONGS, DIED, DELIVERIES, ERROR],
    keyOf: ({ job_id: id }) => id,
    load: async (cursor, limit) => {
      if (!wanted.queue) return { rows: [], cursor: null };
      const page = await get("dead", { ...wanted, cursor, limit }, signal);
      return { rows: page.jobs, cursor: page.cursor, examined: page.examined };
    },
    empty: () => (wanted.error ? "No dead job has such an error." : "No dead letters. Nothing was given up."),
    onSelect: info.can_act
      ? (rows) => {
          selected = rows;
          showTools();
        }
      : undefined,
  });
  const again = () => Promise.all([list.restart(), showGroups()]);
  const showTools = () => fill(tools, info.can_act && toolButtons(wanted, selected, again));
  const showGroups = async () => {
    try {
      const found = await get("dead/groups", {}, signal);
      fill(groups, groupTable(found, narrow));
    } catch (error) {
      if (error.name !== "AbortError") fill(groups, problem(error));
    }
  };
  const change = (name) => (value) => {
    if (wanted[name] === value) return;
    wanted[name] = value;
    keep("dead", wanted);
    showTools();
    list.restart();
  };
  // A group is a filter: its queue, and its error, whose blanked parts the server knows.
  const narrow = (group) => {
    wanted.queue = group.queue;
    wanted.error = group.error ?? "";
    keep("dead", wanted);
    filters.querySelector("select").value = wanted.queue;
    filters.querySelector("input").value = wanted.error;
    showTools();
    again();
  };

  live.subscribe(({ queues }) => {
    const total = queues.reduce((sum, queue) => sum + queue.dead_count, 0);
    if (total !== deadTotal) showGroups();
    deadTotal = total;
  }, signal);
  every(REFRESH_MS, context, () => list.refresh());
  fill(
    filters,
    queueChoice(context, wanted.queue, change("queue"), "dead_count"),
    field("Error contains", wanted.error, change("error"), { "data-search": true, class: "wide" }),
  );
  showTools();
  list.restart();
  const element = h(
    "div",
    {},
    heading("Dead letters"),
    section("By error", groups),
    section("Jobs", filters, tools, list.element),
  );
  return { title: "Dead letters", element };
}

function toolButtons({ queue, error }, selected, again) {
  if (!queue) return null;
  const ids = selected.map(({ job_id: id }) => id);
  const some = `Requeue selected (${count(ids.length)})…`;
  const all = error ? "Requeue all that match…" : "Requeue all…";
  return [
    button(some, () => requeueSelected(queue, ids), again, { disabled: ids.length === 0 }),
    button(all, () => requeueMatching(queue, error), again),
    button("Purge…", () => purgeDead(queue), again, { tone: "danger" }),
  ];
}

function groupTable({ groups, examined, is_complete: isComplete }, narrow) {
  if (groups.length === 0) return h("p", { class: "muted" }, "None.");
  const columns = [
    { title: "Jobs", kind: "number", cell: (group) => count(group.count) },
    { title: "Error", kind: "text", cell: (group) => groupButton(group, narrow) },
    { title: "Queue", kind: "name", cell: (group) => code(group.queue, { class: "code long" }) },
    { title: "First", kind: "when", cell: (group) => ago(group.first_at) },
    { title: "Latest", kind: "when", cell: (group) => ago(group.last_at) },
  ];
  const told = `Of the ${several(examined, "dead job")} looked at.`;
  return [table("Dead jobs by error", columns, groups), !isComplete && h("p", { class: "muted" }, told)];
}

function groupButton(group, narrow) {
  const text = group.error === null || group.error === "" ? "no error" : group.error;
  const node = h("button", { type: "button", class: "link", title: "List these" }, code(text));
  node.addEventListener("click", () => narrow(group));
  return node;
}
