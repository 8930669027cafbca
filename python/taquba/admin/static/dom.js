// Makes elements. Text from users is always a text node, never markup, and what cannot be seen in
// it (control characters, marks that turn the direction of writing) is spelled out.

const SVG = "http://www.w3.org/2000/svg";
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
const UNSEEN_BUT_LINES =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** An HTML element: `on...` are listeners, the rest are attributes. */
export function h(tag, properties = {}, ...children) {
  return build(document.createElement(tag), properties, children);
}

/** An SVG element, as `h`. */
export function s(tag, properties = {}, ...children) {
  return build(document.createElementNS(SVG, tag), properties, children);
}

function build(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

/** Replaces what is in an element. */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

/** Replaces what is in an element that is shown anew by itself: who was in there stays in there. */
export function refill(node, ...children) {
  const active = node.contains(document.activeElement) ? document.activeElement : null;
  const row = active?.closest("[data-row]");
  const at = active ? reachable(row ?? node).indexOf(active) : -1;
  fill(node, children);
  if (active === null) return;
  const rows = [...node.querySelectorAll("[data-row]")];
  const again = row ? rows.find((each) => each.dataset.row === row.dataset.row) : node;
  if (!again) return;
  const same = reachable(again)[at];
  if (same?.textContent === active.textContent) same.focus({ preventScroll: true });
  else if (row) again.focus({ preventScroll: true });
}

function reachable(node) {
  return [...node.querySelectorAll("a[href], button, input, select, [tabindex]")];
}

/** Text of a user on one line, with what cannot be seen spelled out. */
export function plain(text) {
  return String(text).replace(UNSEEN, spelled);
}

/** The same, with its lines and tabs kept. */
export function plainLines(text) {
  return String(text).replace(UNSEEN_BUT_LINES, spelled);
}

function spelled(character) {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** An identifier: in the font of identifiers, apart from the text around it. */
export function code(text, properties = {}) {
  return h("bdi", { class: "code", ...properties }, plain(text));
}

/** A sentence of the server's, in which names stand between backticks: these become identifiers. */
export function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return first.split("`").map((part, at) => (at % 2 ? code(part) : h("bdi", {}, plain(part))));
}

/** What is absent. */
export function nothing() {
  return h("span", { class: "nothing", "aria-label": "none" }, "–");
}

/** A number with its thousands apart. */
export function count(number) {
  return Number(number).toLocaleString("en-US").replaceAll(",", "\u2009");
}

/** `1 job`, `2 jobs`. */
export function several(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

const SIZES = ["B", "KiB", "MiB", "GiB"];

/** A size in bytes, for people. */
export function size(bytes) {
  let step = 0;
  let value = bytes;
  while (value >= 1024 && step < SIZES.length - 1) {
    value /= 1024;
    step += 1;
  }
  return `${step === 0 ? value : value.toFixed(1)} ${SIZES[step]}`;
}

/** A button that copies a text. */
export function copyButton(text, what) {
  const button = h("button", { class: "quiet small", type: "button", "aria-label": `Copy ${what}` });
  button.textContent = "copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      button.textContent = "not allowed";
    }
    setTimeout(() => (button.textContent = "copy"), 1500);
  });
  return button;
}
