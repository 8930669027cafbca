// Bytes that users gave, shown behind a button: as JSON, as text, as hexadecimal. Numbers in JSON
// are shown digit by digit as they came, not as this browser would round them.

import { fill, h, plain, plainLines, size } from "./dom.js";

const LINE_BYTES = 16;

/** A button that loads bytes with `load` and shows them. */
export function payloadPanel(what, load) {
  const place = h("div", { class: "payload" });
  const button = h("button", { type: "button", class: "small" }, `Show ${what}`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const payload = await load();
      fill(place, payload ? viewer(payload) : h("p", { class: "muted" }, "There is none."));
    } catch (error) {
      button.disabled = false;
      if (error.name !== "AbortError") fill(place, button, h("p", { class: "problem" }, plain(error.message)));
    }
  });
  return fill(place, button);
}

/** What shows bytes, with a choice of views. */
export function viewer(payload) {
  const views = { ...jsonView(payload), ...textView(payload), hex: () => hexLines(payload.base64) };
  const text = h("pre", { class: "bytes", tabindex: "0" });
  const buttons = Object.keys(views).map((name) => h("button", { type: "button", class: "chip" }, name));
  const choose = (name) => {
    text.textContent = views[name]();
    for (const button of buttons) button.setAttribute("aria-pressed", button.textContent === name);
  };
  for (const button of buttons) button.addEventListener("click", () => choose(button.textContent));
  choose(buttons[0].textContent);
  const told = payload.is_cut ? `${size(payload.bytes)}; the beginning is shown` : size(payload.bytes);
  return [h("div", { class: "chips" }, buttons, h("span", { class: "muted" }, told)), text];
}

function textView({ text }) {
  return text === null ? {} : { text: () => plainLines(text) };
}

function jsonView({ text, is_cut: isCut }) {
  if (text === null || isCut) return {};
  try {
    const value = JSON.parse(text);
    if (typeof value !== "object" || value === null) return {};
  } catch {
    return {};
  }
  return { json: () => plainLines(indented(text)) };
}

/** Valid JSON with one member on a line; every token as it was. */
export function indented(text) {
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/gs) ?? [];
  const written = tokens.map((token, at) => {
    if (token === "[" || token === "{") {
      depth += 1;
      return isEnd(tokens[at + 1]) ? token : token + line();
    }
    if (isEnd(token)) {
      depth -= 1;
      return isStart(tokens[at - 1]) ? token : line() + token;
    }
    if (token === ",") return token + line();
    return token === ":" ? ": " : token;
  });
  return written.join("");
}

function isStart(token) {
  return token === "[" || token === "{";
}

function isEnd(token) {
  return token === "]" || token === "}";
}

function hexLines(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const lines = [];
  for (let at = 0; at < bytes.length; at += LINE_BYTES) {
    const part = [...bytes.subarray(at, at + LINE_BYTES)];
    const digits = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${digits.padEnd(LINE_BYTES * 3)} ${letters}`);
  }
  return lines.join("\n");
}
