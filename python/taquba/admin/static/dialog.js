// Dialogs: a question before anything is destroyed, and help. Escape closes and means no.

import { h, plain } from "./dom.js";

/** Whether a dialog is open. */
export function isDialogOpen() {
  return document.querySelector("dialog[open]") !== null;
}

/**
 * Asks whether to do it. `title` is the question, `facts` what will happen, `verb` the button's
 * word, `fields` form elements with names. Resolves to the form's values, or to `null` for no.
 */
export function ask({ title, facts = [], verb, danger = false, fields = [] }) {
  const no = h("button", { type: "button", class: "quiet" }, "Not now");
  const yes = h("button", { type: "submit", class: danger ? "danger" : "primary" }, verb);
  const form = h(
    "form",
    {},
    h("h2", { id: "dialog-title" }, plain(title)),
    facts.map((fact) => h("p", {}, fact)),
    fields,
    h("div", { class: "buttons" }, no, yes),
  );
  return new Promise((resolve) => {
    let answer = null;
    const dialog = open(form, "dialog-title", () => resolve(answer));
    no.addEventListener("click", () => dialog.close());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      answer = Object.fromEntries(new FormData(form));
      dialog.close();
    });
    // What is destroyed is destroyed on purpose: Enter at once means no.
    (fields.length ? form.querySelector("input, select") : danger ? no : yes).focus();
  });
}

/** Shows something until it is closed. */
export function show(title, ...children) {
  const close = h("button", { type: "button" }, "Close");
  const body = h("div", {}, h("h2", { id: "dialog-title" }, title), children);
  body.append(h("div", { class: "buttons" }, close));
  const dialog = open(body, "dialog-title", () => {});
  close.addEventListener("click", () => dialog.close());
  close.focus();
}

function open(content, labelledBy, onClose) {
  const before = document.activeElement;
  const dialog = h("dialog", { "aria-labelledby": labelledBy }, content);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before?.isConnected) before.focus();
    onClose();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
