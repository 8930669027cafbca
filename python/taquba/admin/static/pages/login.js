// The page for those who are not signed in: one token, sent once, kept by the browser in a cookie
// that scripts cannot read.

import { post } from "../api.js";
import { fill, h, plain } from "../dom.js";

/** A form; `entered` is called once the token was accepted. */
export function loginPage(entered) {
  const told = h("p", { class: "problem", role: "alert" });
  const token = h("input", {
    type: "password",
    name: "token",
    required: true,
    autocomplete: "current-password",
    "aria-describedby": "token-help",
  });
  const button = h("button", { type: "submit", class: "primary" }, "Sign in");
  const form = h(
    "form",
    { class: "login" },
    h("h1", {}, "Sign in"),
    h("label", {}, "Token", token),
    h("p", { id: "token-help", class: "muted" }, "The one that the dashboard was started with."),
    told,
    button,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await post("session", { token: token.value });
      token.value = "";
      await entered();
    } catch (error) {
      fill(told, plain(error.status === 401 ? "This is not the token." : error.message));
      token.select();
    } finally {
      button.disabled = false;
    }
  });
  return form;
}
