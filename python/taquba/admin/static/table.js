// A table of one page of rows at a time. Whatever the store holds, the page holds PAGE_ROWS_MAX of
// them; the next ones take their place.

import { count, fill, h, refill } from "./dom.js";
import { isDialogOpen } from "./dialog.js";

/** Rows asked for at once. */
export const PAGE_ROWS_MAX = 50;

/** A plain table of rows that are all there: columns are `{title, cell, kind, hint}`. */
export function table(caption, columns, rows, properties = () => ({})) {
  return h(
    "table",
    {},
    h("caption", { class: "unseen" }, caption),
    head(columns),
    h("tbody", {}, rows.map((row) => h("tr", properties(row), cells(columns, row)))),
  );
}

function head(columns) {
  const titles = columns.map(({ title, kind, hint }) =>
    h("th", { scope: "col", class: kind, title: hint }, title),
  );
  return h("thead", {}, h("tr", {}, titles));
}

function cells(columns, row) {
  return columns.map(({ cell, kind }) => h("td", { class: kind }, cell(row)));
}

/**
 * A table over a cursor. `load(cursor, limit)` gives `{rows, cursor, examined}`; `keyOf(row)` tells
 * rows apart; a column with `only` is there if a row of the page needs it; `empty()` is shown instead
 * of no rows; `onSelect(rows)` makes rows selectable.
 */
export class PagedTable {
  #options;
  #cursors = [null];
  #next = null;
  #shown = null;
  #turn = 0;
  #loading = null;
  #selected = new Map();
  #body = h("div", { class: "rows" });
  #foot = h("div", { class: "foot" });

  constructor(options) {
    this.#options = options;
    this.element = h("div", { class: "paged" }, this.#body, this.#foot);
  }

  /** Shows the first page anew: what is asked for has changed. */
  async restart() {
    this.#cursors = [null];
    this.#shown = null;
    this.#select([]);
    await this.#load();
  }

  /** Asks for the page that is shown again, unless somebody is busy with it. */
  async refresh() {
    const isBusy = isDialogOpen() || this.#selected.size > 0 || !getSelection().isCollapsed;
    if (!isBusy && this.#shown !== null) await this.#load();
  }

  #load() {
    this.#loading = this.#ask();
    return this.#loading;
  }

  async #ask() {
    this.#turn += 1;
    const turn = this.#turn;
    this.element.setAttribute("aria-busy", "true");
    try {
      const page = await this.#options.load(this.#cursors.at(-1), PAGE_ROWS_MAX);
      if (turn === this.#turn) this.#show(page);
    } catch (error) {
      // What is shown stays, and the head of the page says that the connection is lost.
      const isNeeded = turn === this.#turn && this.#shown === null;
      if (isNeeded && error.name !== "AbortError") this.#fail(error);
    } finally {
      if (turn === this.#turn) this.element.removeAttribute("aria-busy");
    }
  }

  #show(page) {
    const text = JSON.stringify(page);
    if (text === this.#shown) return;
    this.#shown = text;
    this.#next = page.cursor;
    refill(this.#body, page.rows.length ? this.#table(page.rows) : this.#none(page));
    refill(this.#foot, this.#steps(page));
  }

  #table(rows) {
    const { caption, columns, keyOf, onSelect } = this.#options;
    const needed = columns.filter(({ only }) => !only || rows.some(only));
    const all = onSelect ? [this.#box(rows), ...needed] : needed;
    return table(caption, all, rows, (row) => ({ tabindex: "0", "data-row": keyOf(row) }));
  }

  #box(rows) {
    const { keyOf } = this.#options;
    const every = h("input", { type: "checkbox", "aria-label": "Select all rows of this page" });
    every.addEventListener("change", () => {
      this.#select(every.checked ? rows : []);
      for (const box of this.#body.querySelectorAll("tbody input")) box.checked = every.checked;
    });
    const cell = (row) => {
      const box = h("input", { type: "checkbox", "aria-label": `Select ${keyOf(row)}` });
      box.addEventListener("change", () => {
        if (box.checked) this.#selected.set(keyOf(row), row);
        else this.#selected.delete(keyOf(row));
        every.checked = this.#selected.size === rows.length;
        this.#options.onSelect([...this.#selected.values()]);
      });
      return box;
    };
    return { title: every, cell, kind: "narrow" };
  }

  #select(rows) {
    this.#selected = new Map(rows.map((row) => [this.#options.keyOf(row), row]));
    this.#options.onSelect?.(rows);
  }

  #none(page) {
    const { empty } = this.#options;
    if (page.cursor === null) return h("div", { class: "empty" }, empty());
    return h("div", { class: "empty" }, "Nothing that fits among those looked at so far.");
  }

  #steps(page) {
    const at = this.#cursors.length;
    const step = (text, name, isOn, move) =>
      h("button", { type: "button", class: "small", [name]: true, disabled: !isOn, onclick: move }, text);
    const back = step("Previous", "data-previous", at > 1, () => this.#turnPage(-1));
    const forth = step("Next", "data-next", page.cursor !== null, () => this.#turnPage(1));
    const looked = page.examined ? `looked at ${count(page.examined)}` : "";
    if (at === 1 && page.cursor === null) return [];
    return [back, h("span", {}, `page ${count(at)}`), forth, h("span", { class: "muted" }, looked)];
  }

  // From where the page on its way leads, if one is.
  async #turnPage(step) {
    await this.#loading;
    if (step > 0 ? this.#next === null : this.#cursors.length === 1) return;
    if (step > 0) this.#cursors.push(this.#next);
    else this.#cursors.pop();
    this.#shown = null;
    this.#select([]);
    this.#load();
  }

  #fail(error) {
    const again = h("button", { type: "button", class: "small", onclick: () => this.#load() }, "Try again");
    fill(this.#body, h("div", { class: "empty problem" }, `${error.message}. `, again));
    fill(this.#foot);
  }
}
