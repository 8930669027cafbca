// The keyboard: letters go to pages and through rows. Nothing is taken from who is typing, and
// nothing that has a modifier.

import { h } from "./dom.js";
import { isDialogOpen, show } from "./dialog.js";
import { closeNotice } from "./notice.js";
import { go } from "./router.js";

const GOES = { o: "overview", r: "runs", q: "queues", d: "dead", s: "scheduled", k: "keys" };
const SECOND_KEY_MS = 1500;

const HELP = [
  ["?", "this help"],
  ["g o", "Overview"],
  ["g r", "Runs"],
  ["g q", "Queues"],
  ["g d", "Dead letters"],
  ["g s", "Schedules"],
  ["g k", "Keys"],
  ["/", "first filter of the page"],
  ["j  k", "next row, row before"],
  ["Enter", "open the row"],
  ["x", "select the row, where rows can be selected"],
  ["n  p", "next page of rows, page before"],
  ["Esc", "leave a field, close a dialog or a message"],
];

let wentAt = 0;

/** Listens. */
export function installKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isDialogOpen()) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (handle(event)) event.preventDefault();
  });
}

/** Shows what the keys do. */
export function showHelp() {
  const rows = HELP.map(([keys, what]) =>
    h("tr", {}, h("td", {}, keys.split(" ").filter(Boolean).map((key) => h("kbd", {}, key))), h("td", {}, what)),
  );
  show("Keyboard", h("table", { class: "help" }, h("tbody", {}, rows)));
}

function isTyping(target) {
  if (target.isContentEditable || target.matches("select, textarea")) return true;
  return target.matches("input") && !["checkbox", "radio", "button"].includes(target.type);
}

function handle(event) {
  const key = event.key;
  if (Date.now() - wentAt < SECOND_KEY_MS && GOES[key]) {
    wentAt = 0;
    go(GOES[key]);
    return true;
  }
  wentAt = 0;
  if (key === "g") wentAt = Date.now();
  else if (key === "?") showHelp();
  else if (key === "/") document.querySelector("main [data-search]")?.focus();
  else if (key === "j") move(1);
  else if (key === "k") move(-1);
  else if (key === "x") focusedRow()?.querySelector("input[type=checkbox]")?.click();
  else if (key === "n") document.querySelector("main [data-next]:enabled")?.click();
  else if (key === "p") document.querySelector("main [data-previous]:enabled")?.click();
  else if (key === "Escape") return closeNotice();
  else if (key === "Enter" && event.target.matches("[data-row]")) open(event.target);
  else return false;
  return true;
}

function focusedRow() {
  return document.activeElement?.closest("[data-row]");
}

function move(step) {
  const rows = [...document.querySelectorAll("main [data-row]")];
  if (rows.length === 0) return;
  const at = rows.indexOf(focusedRow());
  const next = at === -1 ? (step > 0 ? 0 : rows.length - 1) : at + step;
  const row = rows[Math.min(Math.max(next, 0), rows.length - 1)];
  row.focus();
  row.scrollIntoView({ block: "nearest" });
}

function open(row) {
  row.querySelector("[data-open]")?.click();
}
