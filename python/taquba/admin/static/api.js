// The admin API: one function that asks, one that changes. Addresses are relative to this file, so
// the dashboard works below any prefix.

const BASE = new URL("../api/", import.meta.url);

let csrf = null;

/** What the server said no with. `code` is stable, `message` is for people. */
export class ApiError extends Error {
  constructor(status, code, message, field) {
    super(message);
    this.status = status;
    this.code = code;
    this.field = field;
  }
}

/** Takes over the token that every change has to carry. */
export function setCsrf(value) {
  csrf = value;
}

/** The address of a route, with its parameters; absent and empty ones are left out. */
export function address(route, parameters = {}) {
  const url = new URL(route, BASE);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/** Asks. */
export function get(route, parameters = {}, signal = undefined) {
  return ask(address(route, parameters), { signal });
}

/** Changes something. */
export function post(route, body) {
  return send("POST", route, body);
}

/** Drops the session. */
export function endSession() {
  return send("DELETE", "session", {});
}

function send(method, route, body) {
  const headers = { "Content-Type": "application/json" };
  if (csrf) headers["X-Taquba-CSRF"] = csrf;
  return ask(address(route), { method, headers, body: JSON.stringify(body) });
}

async function ask(url, options) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "the server does not answer", null);
  }
  const body = await read(answer);
  if (answer.ok) return body;
  // The session has ended. Whoever asks for the first time, or for a session, handles it alone.
  const isKnown = url.pathname.endsWith("/api/info") || url.pathname.endsWith("/api/session");
  if (answer.status === 401 && !isKnown) window.dispatchEvent(new Event("taquba-login"));
  const told = body?.error ?? {};
  const message = told.message ?? `the server answered ${answer.status}`;
  throw new ApiError(answer.status, told.code ?? "unknown", message, told.field ?? null);
}

async function read(answer) {
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (answer.ok) throw new ApiError(answer.status, "unreadable", "the answer is no JSON", null);
    return null;
  }
}
