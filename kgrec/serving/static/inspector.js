// The path inspector: which screen the address names, and the frame around it.

import { address, keep, kept, place } from "./address.js";
import { el, label, plain, say } from "./dom.js";
import { save } from "./drawing.js";
import { LANGUAGES, did, language, speak, t } from "./language.js";
import { closeDrawer } from "./paths.js";
import { failure, link, state, waiting } from "./pieces.js";
import { Saved } from "./saved.js";
import { Failed, session } from "./session.js";
import { Server } from "./source.js";
import { aboutScreen } from "./screens/about.js";
import { compareScreen } from "./screens/compare.js";
import { modelsScreen } from "./screens/models.js";
import { entityScreen, itemScreen } from "./screens/node.js";
import { overallScreen } from "./screens/overall.js";
import { noUser, recommendationsScreen } from "./screens/recommendations.js";
import { usersScreen } from "./screens/users.js";
import { whatIfScreen } from "./screens/what_if.js";
import { whyScreen } from "./screens/why.js";

const SCREENS = {
  users: usersScreen,
  recommendations: recommendationsScreen,
  why: whyScreen,
  compare: compareScreen,
  models: modelsScreen,
  "what-if": whatIfScreen,
  item: itemScreen,
  entity: entityScreen,
  overall: overallScreen,
  about: aboutScreen,
};
const OF_A_USER = ["recommendations", "why", "compare", "models", "what-if"];
const THEMES = ["auto", "light", "dark"];
const PATIENCE = 150; // milliseconds before a page says that it waits

let moved = false;

function tabs(screen) {
  const current = ["overall", "about"].includes(screen) ? screen : "users";
  const tab = (key) => {
    const here = key === current ? { "aria-current": key === screen ? "page" : "true" } : null;
    return el("li", null, link(key, {}, here, t(`screen.${key}`)));
  };
  document
    .getElementById("tabs")
    .replaceChildren(el("ul", null, ["users", "overall", "about"].map(tab)));
}

function crumbs(screen, params) {
  const nav = document.getElementById("crumbs");
  const user = params.get("user");
  nav.hidden = !user;
  document.getElementById("export").hidden = !user || !session.source.served;
  if (!user) return;
  const item = params.get("item") || params.get("first");
  const to = {
    recommendations: { user },
    why: item && { user, item },
    compare: { user, first: item },
    models: session.about && session.about.other && { user },
    "what-if": { user, item },
  };
  const steps = Object.entries(to)
    .filter(([, values]) => values)
    .map(([key, values]) =>
      el(
        "li",
        null,
        link(key, values, key === screen ? { "aria-current": "page" } : null, t(`screen.${key}`)),
      ),
    );
  const who = el("li", { class: "who" }, el("span", { class: "sr" }, t("user"), " "), label(user));
  nav.replaceChildren(el("ol", null, who, steps));
}

async function learnAbout() {
  if (session.about) return;
  session.about = await session.source.run();
  did(session.about.verb || "liked");
  const { model, dataset, other } = session.about;
  const names = other ? `${plain(session.about.name)} · ${plain(other.name)}` : plain(model);
  document.getElementById("run").textContent = t("model-on", {
    model: names,
    dataset: plain(dataset),
  });
}

async function parts(screen, params) {
  await learnAbout();
  crumbs(screen, params);
  if (OF_A_USER.includes(screen) && !params.get("user")) return noUser();
  if (screen === "why" && !params.get("item")) {
    const list = link(
      "recommendations",
      { user: params.get("user") },
      { class: "button main" },
      t("to-list"),
    );
    return [state(t("which-item"), t("which-item-why"), list)];
  }
  return SCREENS[screen](params);
}

async function draw() {
  session.drawn = location.hash;
  const mine = ++session.turn;
  const { screen, params } = place();
  const main = document.getElementById("main");
  delete document.body.dataset.ready;
  closeDrawer();
  frameWords();
  tabs(screen);
  crumbs(screen, params);
  session.afterwards = [];
  const patience = setTimeout(() => {
    if (mine !== session.turn) return;
    main.replaceChildren(waiting(t(`wait.${screen}`)));
    say(t("computing"));
  }, PATIENCE);
  const made = await parts(screen, params).catch((error) => {
    if (!(error instanceof Failed)) console.error(error);
    return [failure(error instanceof Failed ? error : new Failed(t("went-wrong"), 500))];
  });
  clearTimeout(patience);
  if (mine !== session.turn) return; // the reader has gone on
  main.replaceChildren(...made.flat(3).filter(Boolean));
  settle(screen, main);
}

function settle(screen, main) {
  const heading = main.querySelector("h1");
  document.title = `${heading ? heading.textContent : t(`screen.${screen}`)} · kgrec inspect`;
  if (moved && heading) heading.focus({ preventScroll: true });
  if (moved) scrollTo(0, 0);
  moved = true;
  if (session.afterwards.length) session.afterwards.splice(0).forEach((step) => step());
  else document.body.dataset.ready = screen;
}

// ---- the frame

const theme = () => (THEMES.includes(kept("kgrec-theme")) ? kept("kgrec-theme") : "auto");

function frameWords() {
  document.documentElement.lang = language();
  if (theme() === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme();
  document.getElementById("theme").textContent = t(`theme.${theme()}`);
  document.getElementById("export").textContent = t("export");
  document.getElementById("skip").textContent = t("skip");
  document.getElementById("tabs").setAttribute("aria-label", t("screens"));
  document.getElementById("crumbs").setAttribute("aria-label", t("where"));
  document.getElementById("foot").textContent = t(
    session.source.served ? "foot-served" : "foot-saved",
  );
}

async function exportPage(button) {
  button.disabled = true;
  button.textContent = t("writing");
  try {
    save(await session.source.export(place().params.get("user")), "kgrec.html");
    say(t("saved"));
  } catch (error) {
    say(error.message);
  }
  button.disabled = false;
  button.textContent = t("export");
}

function frame() {
  const button = document.getElementById("theme");
  button.addEventListener("click", () => {
    keep("kgrec-theme", THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
    frameWords();
  });
  const chooser = document.getElementById("language");
  chooser.append(
    ...Object.entries(LANGUAGES).map(([value, words]) =>
      el("option", { value, lang: value }, words),
    ),
  );
  chooser.value = language();
  chooser.addEventListener("change", () => {
    speak(chooser.value);
    moved = false; // the focus stays where it is
    session.about = null;
    draw();
  });
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
  const out = document.getElementById("export");
  out.addEventListener("click", () => exportPage(out));
  for (const name of ["popstate", "hashchange"]) {
    addEventListener(name, () => {
      if (location.hash !== session.drawn) draw();
    });
  }
}

const data = document.getElementById("data");
session.source = data ? new Saved(JSON.parse(data.textContent)) : new Server();
session.redraw = draw;
frame();
draw();
