// The key-value space, to look at: keys by their beginning, and values if the server shows them.

import { get } from "../api.js";
import { code, h, nothing, plain, size } from "../dom.js";
import { show } from "../dialog.js";
import { field, heading } from "../parts.js";
import { viewer } from "../payload.js";
import { keep } from "../router.js";
import { PagedTable } from "../table.js";

const LINE_LENGTH = 80;

/** The page. */
export function keysPage({ parameters, info, signal }) {
  const wanted = { prefix: parameters.prefix ?? "" };
  const columns = [
    { title: "Key", cell: ({ key }) => code(key, { class: "code long" }) },
    { title: "Size", kind: "number", cell: ({ bytes }) => size(bytes) },
  ];
  if (info.shows_payloads) columns.push({ title: "Value", kind: "text", cell: value });
  const list = new PagedTable({
    caption: "Keys",
    columns,
    keyOf: ({ key }) => key,
    load: async (cursor, limit) => {
      const page = await get("kv", { ...wanted, cursor, limit }, signal);
      return { rows: page.entries, cursor: page.cursor };
    },
    empty: () =>
      wanted.prefix
        ? "No key begins like this."
        : ["No keys. Set one with ", h("code", {}, 'await queue.kv_put("key", b"value")'), "."],
  });
  const change = (prefix) => {
    if (prefix === wanted.prefix) return;
    wanted.prefix = prefix;
    keep("keys", wanted);
    list.restart();
  };
  list.restart();
  const filters = h(
    "div",
    { class: "filters", role: "search" },
    field("Key begins with", wanted.prefix, change, { "data-search": true, class: "wide" }),
  );
  const told = info.shows_payloads ? [] : h("span", { class: "muted" }, "This server does not show values.");
  return { title: "Keys", element: h("div", {}, heading("Keys", told), filters, list.element) };
}

function value({ key, value: payload }) {
  if (!payload) return nothing();
  const line = payload.text === null ? "bytes" : payload.text.slice(0, LINE_LENGTH);
  const open = () => show(["Value of ", code(key)], viewer(payload));
  const text = code(plain(line) || "empty");
  return h("button", { type: "button", class: "link", "data-open": true, onclick: open }, text);
}
