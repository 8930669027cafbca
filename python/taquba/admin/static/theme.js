// Light or dark: as the system has it until somebody chooses, then as chosen, in this browser.

import { h } from "./dom.js";

const KEY = "taquba-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };

/** Applies what was chosen before. */
export function applyTheme() {
  show(chosen());
}

/** The button that changes it. */
export function themeButton() {
  const button = h("button", { class: "quiet", type: "button" });
  const label = () => {
    button.textContent = `Theme: ${chosen()}`;
    button.title = `Use ${NEXT[chosen()]}`;
  };
  button.addEventListener("click", () => {
    choose(NEXT[chosen()]);
    label();
  });
  label();
  return button;
}

function chosen() {
  try {
    const value = localStorage.getItem(KEY);
    return Object.hasOwn(NEXT, value ?? "") ? value : "system";
  } catch {
    return "system"; // storage is forbidden here
  }
}

function choose(value) {
  try {
    localStorage.setItem(KEY, value);
  } catch {
    // It holds until the page is left.
  }
  show(value);
}

function show(value) {
  if (value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
}
