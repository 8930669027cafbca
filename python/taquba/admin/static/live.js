// What goes on, as it goes on: one stream of overviews while somebody looks. A hidden tab costs the
// server nothing; a lost connection is said, and tried again.

import { address, get } from "./api.js";
import { setServerTime } from "./time.js";

const RETRY_MS = [1000, 2000, 5000, 10000];
const POLL_MS = 5000;

/** The stream. States: `connecting`, `live`, `polling`, `paused`, `lost`. */
export class Live {
  #source = null;
  #timer = null;
  #failures = 0;
  #listeners = new Set();
  #watchers = new Set();
  state = "connecting";
  overview = null;

  /** Starts, and follows whether the tab is shown. */
  start() {
    document.addEventListener("visibilitychange", this.#follow);
    this.#follow();
  }

  /** Stops for good: nobody is logged in any more. */
  stop() {
    document.removeEventListener("visibilitychange", this.#follow);
    this.#pause();
  }

  /** Calls back with each overview, and at once with the latest, until `signal` aborts. */
  subscribe(listener, signal) {
    this.#listeners.add(listener);
    signal.addEventListener("abort", () => this.#listeners.delete(listener));
    if (this.overview) listener(this.overview);
  }

  /** Calls back with each change of `state`. */
  watch(watcher) {
    this.#watchers.add(watcher);
    watcher(this.state);
  }

  #follow = () => {
    if (document.hidden) this.#pause();
    else if (!this.#source && !this.#timer) this.#open();
  };

  #pause() {
    this.#close();
    this.#become("paused");
  }

  #open() {
    this.#close();
    if (this.state === "paused") this.#become("connecting");
    this.#source = new EventSource(address("events"));
    this.#source.addEventListener("overview", (event) => this.#take(JSON.parse(event.data), "live"));
    this.#source.addEventListener("error", () => this.#fail());
  }

  #close() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  #take(overview, state) {
    this.#failures = 0;
    this.overview = overview;
    setServerTime(overview.taken_at);
    this.#become(state);
    for (const listener of this.#listeners) listener(overview);
  }

  // The server may refuse streams, because it has enough of them, and still answer questions.
  async #fail() {
    this.#close();
    let overview;
    try {
      overview = await get("overview");
    } catch (error) {
      if (error.status === 401) return;
      this.#become("lost");
      this.#later(RETRY_MS[Math.min(this.#failures, RETRY_MS.length - 1)]);
      this.#failures += 1;
      return;
    }
    this.#take(overview, "polling");
    this.#later(POLL_MS);
  }

  #later(milliseconds) {
    if (document.hidden) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#open();
    }, milliseconds);
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    for (const watcher of this.#watchers) watcher(state);
  }
}
