// Starts the dashboard: who may see it, the frame around the pages, and which page is shown. One
// page is alive at a time; leaving it ends its requests and what it listens to.

import { get, endSession, setCsrf } from "./api.js";
import { code, fill, h, plain } from "./dom.js";
import { installKeys, showHelp } from "./keys.js";
import { Live } from "./live.js";
import { installNotices, tellError } from "./notice.js";
import { deadPage } from "./pages/dead.js";
import { jobPage } from "./pages/job.js";
import { keysPage } from "./pages/keys.js";
import { loginPage } from "./pages/login.js";
import { overviewPage } from "./pages/overview.js";
import { queuePage, queuesPage } from "./pages/queues.js";
import { runPage } from "./pages/run.js";
import { runsPage } from "./pages/runs.js";
import { scheduledPage } from "./pages/scheduled.js";
import { here, href, onChange } from "./router.js";
import { applyTheme, themeButton } from "./theme.js";
import { clock, moveAges, since } from "./time.js";

const PAGES = {
  overview: overviewPage,
  runs: runsPage,
  run: runPage,
  queues: queuesPage,
  queue: queuePage,
  job: jobPage,
  dead: deadPage,
  scheduled: scheduledPage,
  keys: keysPage,
};
const NAVIGATION = [
  ["overview", "Overview", ["overview"]],
  ["runs", "Runs", ["runs", "run"]],
  ["queues", "Queues", ["queues", "queue", "job"]],
  ["dead", "Dead letters", ["dead"]],
  ["scheduled", "Schedules", ["scheduled"]],
  ["keys", "Keys", ["keys"]],
];
const LIVE_WORDS = {
  connecting: "connecting",
  live: "live",
  polling: "live, every 5 s",
  paused: "paused",
};
const AGE_MS = 1000;

const main = h("main", { id: "main", tabindex: "-1" });
const navigation = h("nav", { "aria-label": "Pages" });
const liveMark = h("span", { class: "live", role: "status" });
const banner = h("div", { class: "banner", hidden: true });
const actions = h("div", { class: "bar-end" });
const foot = h("footer", {});
const live = new Live();

let info = null;
let wasLost = false;
let leaving = new AbortController();

async function start() {
  applyTheme();
  const skip = h("a", { class: "skip", href: "#main" }, "Skip to the content");
  skip.addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  const brand = h("a", { class: "brand", href: href("overview") }, "taquba");
  document.body.append(skip, h("header", {}, brand, navigation, actions), banner, main, foot);
  installNotices();
  installKeys();
  live.watch(showLive);
  onChange(showPage);
  window.addEventListener("taquba-login", showLogin);
  setInterval(moveAges, AGE_MS);
  await enter();
}

async function enter() {
  try {
    info = await get("info");
  } catch (error) {
    if (error.status === 401) showLogin();
    else showUnreachable(error);
    return;
  }
  setCsrf(info.csrf);
  showFrame();
  live.start();
  showPage();
}

// The server may be another process now, with another proof of origin.
async function renew() {
  try {
    info = await get("info");
    setCsrf(info.csrf);
  } catch (error) {
    if (error.status === 401) showLogin();
  }
}

function showUnreachable(error) {
  const again = h("button", { type: "button", onclick: enter }, "Try again");
  fill(main, h("div", { class: "empty problem" }, `${plain(error.message)}. `, again));
}

function showLogin() {
  leaving.abort();
  live.stop();
  fill(navigation);
  fill(foot);
  fill(actions, themeButton());
  banner.hidden = true;
  document.title = "Sign in · taquba";
  fill(main, loginPage(enter));
  main.querySelector("input").focus();
}

function showFrame() {
  const help = h("button", { class: "quiet", type: "button", title: "Keyboard (?)", onclick: showHelp }, "Keys: ?");
  const leave = h("button", { class: "quiet", type: "button", onclick: signOut }, "Sign out");
  fill(actions, liveMark, themeButton(), help, info.needs_login && leave);
  const told = readOnly();
  banner.hidden = told === null;
  if (told) fill(banner, told);
  fill(foot, ownership());
}

function ownership() {
  const store = ["taquba ", info.version, ", store ", code(info.path), ", "];
  const { owner } = info;
  if (!owner) return [store, "owned by nobody now"];
  return [store, `owned by process ${owner.pid} on `, code(owner.host), " since ", clock(owner.since)];
}

// Why there are no buttons, and where there are some.
function readOnly() {
  if (info.can_act) return null;
  if (info.mode !== "reader") return "Read-only: this dashboard was started without actions.";
  const { owner } = info;
  const where = owner ? `the process that owns the store (${owner.pid} on ${owner.host})` : "the owner";
  return `Read-only: a reader shows what is durable. To act, use the dashboard of ${plain(where)}.`;
}

async function signOut() {
  try {
    await endSession();
    showLogin();
  } catch (error) {
    tellError(error);
  }
}

function showLive(state) {
  if (info !== null && wasLost && state !== "lost") renew();
  wasLost = state === "lost" || (wasLost && state === "connecting");
  liveMark.className = `live ${state}`;
  liveMark.dataset.state = state;
  if (state !== "lost") fill(liveMark, h("i", {}), LIVE_WORDS[state]);
  else fill(liveMark, h("i", {}), "connection lost for ", since(new Date().toISOString()), ", trying again");
}

function showPage() {
  if (info === null) return;
  leaving.abort();
  leaving = new AbortController();
  const { page, parameters } = here();
  const make = Object.hasOwn(PAGES, page) ? PAGES[page] : notFound;
  const { title, element } = make({ parameters, info, live, signal: leaving.signal });
  document.title = `${plain(title)} · taquba`;
  showNavigation(page);
  const wasInside = main.contains(document.activeElement);
  fill(main, element);
  if (wasInside) main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function showNavigation(page) {
  const links = NAVIGATION.map(([name, text, pages]) =>
    h("a", { href: href(name), "aria-current": pages.includes(page) && "page" }, text),
  );
  fill(navigation, links);
}

function notFound() {
  const back = h("a", { href: href("overview") }, "Overview");
  return { title: "No such page", element: h("div", { class: "empty" }, "There is no such page. ", back) };
}

start();
