// Short messages at the foot of the page: what was done, what went wrong. Errors stay until closed.

import { fill, h, plain } from "./dom.js";
import { shape } from "./mark.js";

const SHOWN_MS = 6000;
const NOTICES_MAX = 4;

const place = h("div", { class: "notices", role: "status", "aria-live": "polite" });

/** Puts the place for messages into the page. */
export function installNotices() {
  document.body.append(place);
}

/** Says what was done. */
export function tell(text) {
  show(text, "done", SHOWN_MS);
}

/** Says what went wrong. */
export function tellError(error) {
  if (error.name === "AbortError") return;
  show(error.code ? `${error.message} [${error.code}]` : error.message, "error", null);
}

/** Says how far something has come: call what is returned with each new text, then with nothing. */
export function tellProgress() {
  const notice = show("", "open", null);
  return (text) => (text === undefined ? notice.remove() : fill(notice.querySelector("span"), text));
}

function show(text, kind, milliseconds) {
  const close = h("button", { class: "quiet small", type: "button", "aria-label": "Close" }, "close");
  const notice = h("div", { class: `notice ${kind}` });
  fill(notice, shape(kind), h("span", {}, plain(text)), close);
  close.addEventListener("click", () => notice.remove());
  place.append(notice);
  while (place.children.length > NOTICES_MAX) place.firstElementChild.remove();
  if (milliseconds) setTimeout(() => notice.remove(), milliseconds);
  return notice;
}

/** Closes the oldest message; tells whether there was one. */
export function closeNotice() {
  const oldest = place.firstElementChild;
  oldest?.remove();
  return Boolean(oldest);
}
