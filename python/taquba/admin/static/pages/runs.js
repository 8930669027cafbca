// Runs, the latest submission first, by state, queue, beginning of the id, header and error. The
// filters are in the address.

import { get } from "../api.js";
import { code, count, h, nothing } from "../dom.js";
import { mark } from "../mark.js";
import { chips, every, field, heading, link, queueChoice } from "../parts.js";
import { keep } from "../router.js";
import { PagedTable } from "../table.js";
import { ago, due, duration, secondsBetween, since } from "../time.js";
import { errorText } from "../timeline.js";

const REFRESH_MS = 4000;
const STATES = ["pending", "scheduled", "running", "cancelling", "succeeded", "failed", "cancelled"];
const COLUMNS = [
  { title: "State", kind: "state", cell: ({ state }) => mark(state) },
  {
    title: "Run",
    cell: ({ run_id: id }) => link("run", { run_id: id }, id, { "data-open": true, class: "long" }),
  },
  { title: "Queue", cell: ({ queue }) => code(queue, { class: "code long" }) },
  { title: "Step", kind: "number", cell: ({ step_number: number }) => count(number) },
  { title: "Deliveries", kind: "number", hint: "Of the present or last step, and at most", cell: deliveries },
  { title: "Submitted", kind: "when", cell: ({ submitted_at: at }) => ago(at) },
  { title: "Now", kind: "when", cell: present },
  { title: "Error", kind: "text", cell: ({ error, last_error: last }) => errorText(error ?? last) },
];

/** The page. */
export function runsPage(context) {
  const { parameters, signal } = context;
  const wanted = { ...parameters };
  const table = new PagedTable({
    caption: "Runs",
    columns: COLUMNS,
    keyOf: ({ run_id: id }) => id,
    load: async (cursor, limit) => {
      const page = await get("runs", { ...query(wanted), cursor, limit }, signal);
      return { rows: page.runs, cursor: page.cursor, examined: page.examined };
    },
    empty: () => nobody(wanted),
  });
  const change = (name) => (value) => {
    if ((wanted[name] ?? "") === value) return;
    wanted[name] = value;
    keep("runs", wanted);
    table.restart();
  };
  const filters = h(
    "div",
    { class: "filters", role: "search" },
    queueChoice(context, wanted.queue, change("queue")),
    field("Id begins with", wanted.prefix, change("prefix"), { "data-search": true }),
    field("Header", wanted.header, change("header"), { placeholder: "name:value" }),
    field("Error contains", wanted.error, change("error")),
  );
  const choices = [["", "all"], ...STATES.map((state) => [state, mark(state)])];
  const states = chips("State", choices, wanted.state ?? "", change("state"));
  every(REFRESH_MS, context, () => table.refresh());
  table.restart();
  return { title: "Runs", element: h("div", {}, heading("Runs"), states, filters, table.element) };
}

function query({ queue, state, prefix, header, error }) {
  // Half a header is not sent: somebody is still typing.
  const whole = header && /^[^:]+:./.test(header) ? header : "";
  return { queue, state, prefix, header: whole, error };
}

function nobody(wanted) {
  if (Object.values(wanted).some(Boolean)) return "No run fits. Take a filter away.";
  return [
    "No runs yet. Start one with ",
    h("code", {}, "await runtime.submit(RunSpec(payload))"),
    "; ended runs stay for the queue's run retention.",
  ];
}

function deliveries({ attempts, max_attempts: most }) {
  return most === null ? count(attempts) : `${count(attempts)} of ${count(most)}`;
}

/** What a run does now, and since or until when. */
export function present(run) {
  const { state, run_at: runAt, started_at: startedAt, ended_at: endedAt } = run;
  if (endedAt) return `took ${duration(secondsBetween(run.submitted_at, endedAt))}`;
  if (startedAt && (state === "running" || state === "cancelling")) return ["for ", since(startedAt)];
  if (runAt && state === "scheduled") return due(runAt);
  return nothing();
}
