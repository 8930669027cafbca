// Parts that several pages share: headings, lists of facts, filters, and refreshing.

import { count, fill, h, plain, sentence } from "./dom.js";
import { href } from "./router.js";

const TYPING_PAUSE_MS = 300;
const READER_PACE = 8;

/** The head of a page: its title, what is beside it, and its buttons. */
export function heading(title, beside = [], buttons = []) {
  return h(
    "div",
    { class: "heading" },
    h("h1", {}, title),
    h("div", { class: "beside" }, beside),
    h("div", { class: "buttons" }, buttons),
  );
}

/** A part of a page under a title. */
export function section(title, ...children) {
  return h("section", { "aria-label": title }, h("h2", {}, title), children);
}

/** Names and values; pairs whose value is null are left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined);
  const items = shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  return h("dl", { class: "facts" }, items);
}

/** A link to a run, a job or a queue. */
export function link(page, parameters, text, properties = {}) {
  return h("a", { href: href(page, parameters), ...properties }, h("bdi", { class: "code" }, plain(text)));
}

/**
 * Calls back with each overview, but not more often than each `milliseconds`; before a reader, which
 * asks the store and pays for it, less often.
 */
export function every(milliseconds, { info, live, signal }, callback) {
  const pace = info.mode === "reader" ? READER_PACE * milliseconds : milliseconds;
  let last = Date.now();
  live.subscribe(() => {
    if (Date.now() - last < pace) return;
    last = Date.now();
    callback();
  }, signal);
}

/** A field that calls `change(value)` when somebody stops typing, or presses Enter. */
export function field(label, value, change, properties = {}) {
  const input = h("input", { type: "search", value, autocomplete: "off", spellcheck: "false", ...properties });
  let timer = null;
  const send = () => {
    clearTimeout(timer);
    change(input.value.trim());
  };
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(send, TYPING_PAUSE_MS);
  });
  input.addEventListener("keydown", (event) => event.key === "Enter" && send());
  return h("label", { class: "field" }, h("span", {}, label), input);
}

/**
 * A choice of one queue, kept up to date; `change(queue)` is called with the new one. With `counted`,
 * the name of a count, there is no choice of all queues: the one that has most is chosen at first.
 */
export function queueChoice({ live, signal }, value, change, counted = null) {
  const select = h("select", {});
  select.addEventListener("change", () => change(select.value));
  let shown = null;
  let wanted = value ?? "";
  const show = (queues) => {
    const texts = queues.map((queue) => (counted ? `${queue.name} (${count(queue[counted])})` : queue.name));
    if (JSON.stringify(texts) === shown) return;
    shown = JSON.stringify(texts);
    if (select.options.length > 0) wanted = select.value;
    const options = queues.map(({ name }, at) => h("option", { value: name }, plain(texts[at])));
    fill(select, counted === null && h("option", { value: "" }, "all queues"), options);
    if (counted !== null && wanted === "" && queues.length > 0) {
      wanted = queues.reduce((most, queue) => (queue[counted] > most[counted] ? queue : most)).name;
      change(wanted);
    }
    select.value = wanted;
  };
  if (wanted !== "") fill(select, h("option", { value: wanted }, plain(wanted)));
  live.subscribe(({ queues }) => show(queues), signal);
  return h("label", { class: "field" }, h("span", {}, "Queue"), select);
}

/** Buttons of which one is pressed; `change(name)` is called with the new one. */
export function chips(label, choices, value, change) {
  const buttons = choices.map(([name, content]) => {
    const node = h("button", { type: "button", class: "chip", "aria-pressed": String(name === value) }, content);
    node.addEventListener("click", () => {
      for (const each of buttons) each.setAttribute("aria-pressed", String(each === node));
      change(name);
    });
    return node;
  });
  return h("div", { class: "chips", role: "group", "aria-label": label }, buttons);
}

/** What went wrong, instead of a page. */
export function problem(error) {
  return h("div", { class: "empty problem", role: "alert" }, sentence(error.message));
}
