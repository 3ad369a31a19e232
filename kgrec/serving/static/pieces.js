// Pieces that several screens are made of.

import { el, label, plainWords, say } from "./dom.js";
import { address } from "./address.js";
import { session } from "./session.js";
import { count, rich, t } from "./language.js";

const LARGE = 1_000_000; // edges: every flip computes whole rankings over them

export const link = (screen, params, attributes, ...children) =>
  el("a", { href: address(screen, params), ...attributes }, ...children);

export const badge = (basis) =>
  el("span", { class: `badge ${basis}`, title: t(`basis.${basis}`) }, t(`basis-name.${basis}`));

/** Return a bar; without words it is an ornament beside a number that says the same. */
export function meter(share, kind, words) {
  const read = words ? { role: "img", "aria-label": words } : { "aria-hidden": "true" };
  const width = 100 * Math.min(Math.max(share, 0), 1);
  return el("span", { class: "meter", ...read }, el("i", { class: kind || "", width }));
}

export function card(title, ...children) {
  return el("section", { class: "card" }, title && el("h2", null, title), ...children);
}

export function head(title, words, ...actions) {
  const buttons = actions.flat().filter(Boolean);
  return el(
    "div",
    { class: "head" },
    el("div", null, el("h1", { tabindex: "-1" }, title), words && el("p", null, words)),
    buttons.length ? el("div", { class: "actions" }, buttons) : null,
  );
}

export function state(title, words, ...actions) {
  return el(
    "div",
    { class: "state" },
    el("h2", null, title),
    el("p", null, words),
    actions.length ? el("div", { class: "actions" }, ...actions) : null,
  );
}

export function failure(error) {
  const known = [0, 401, 404, 409, 410, 503].includes(error.status);
  const again = el("button", { type: "button", onclick: () => session.redraw() }, t("try-again"));
  const title = t(known ? `failed.${error.status}` : "failed");
  return state(
    title,
    plainWords(error.message),
    ...([0, 503].includes(error.status) ? [again] : []),
  );
}

export const lead = (...words) => el("p", { class: "lead" }, ...words);
export const note = (...words) => el("p", { class: "note" }, ...words);
export const th = (words, kind) => el("th", { scope: "col", class: kind || "" }, words);
export const rowHead = (...words) => el("th", { scope: "row" }, ...words);

export function table(caption, heads, rows, kind) {
  return el(
    "table",
    { class: kind || "" },
    caption && el("caption", null, caption),
    el("thead", null, el("tr", null, heads)),
    el("tbody", null, rows),
  );
}

export const scroll = (words, ...children) =>
  el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": words }, ...children);

export const segments = (words, links) =>
  el("nav", { class: "segments", "aria-label": words }, links);

export const figure = (words, ...value) =>
  el("div", null, el("dt", null, words), el("dd", null, ...value));

/** Say how to read a screen, at its top and out of the way. */
export function help(...names) {
  return el(
    "details",
    { class: "help" },
    el("summary", null, t("how-to-read")),
    el(
      "dl",
      { class: "legend" },
      names.map((name) =>
        el("div", null, el("dt", null, t(`mean-name.${name}`)), el("dd", null, t(`mean.${name}`))),
      ),
    ),
  );
}

/** Show that something is computed: how long for, and after a while why that may be. */
export function waiting(words) {
  const line = el("p", { class: "progress" });
  const begun = performance.now();
  const tell = () => {
    const seconds = Math.round((performance.now() - begun) / 1000);
    const parts = [words || t("computing")];
    if (seconds >= 2) parts.push(t("seconds", { n: count(seconds) }));
    if (seconds >= 6) parts.push(t("one-after-another"));
    line.textContent = parts.join(" ");
  };
  tell();
  const timer = setInterval(() => {
    if (line.isConnected) tell();
    else if (performance.now() - begun > 2000) clearInterval(timer);
  }, 1000);
  return el(
    "div",
    { class: "loading" },
    line,
    el("div", { class: "sweep", "aria-hidden": "true" }, el("i")),
  );
}

/** Return a button that asks a slow question and shows its answer. */
export function question(words, ask, attributes = {}) {
  const answer = el("div", { class: "answer", "aria-live": "polite" });
  const button = el(
    "button",
    {
      type: "button",
      ...attributes,
      onclick: async () => {
        button.disabled = true;
        answer.replaceChildren(waiting());
        try {
          answer.replaceChildren(...[await ask()].flat(3).filter(Boolean));
        } catch (error) {
          answer.replaceChildren(failure(error));
        }
        button.disabled = false;
        say(t("done"));
      },
    },
    words,
  );
  return [button, answer];
}

export function bounded(found, key) {
  if (!found.bounded) return null;
  const { asked, given } = found.bounded;
  const words = t(`bounded.${key}`, { asked: count(asked), given: count(given) });
  return el("p", { class: "note warn" }, words);
}

export function itemSearch(words, chosen) {
  const list = el("ul", { class: "results", hidden: true });
  const field = el("input", {
    type: "search",
    placeholder: t("title-or-id"),
    autocomplete: "off",
    spellcheck: "false",
    maxlength: "200",
  });
  const pick = (row) =>
    el(
      "li",
      null,
      el(
        "button",
        {
          type: "button",
          onclick: () => {
            list.hidden = true;
            field.value = "";
            chosen(row.item, row.label);
          },
        },
        label(row.label),
      ),
    );

  let timer = 0;
  let asked = 0;
  const search = async () => {
    const mine = ++asked;
    if (!field.value.trim()) {
      list.hidden = true;
      return;
    }
    const found = await session.source.items(field.value).catch(() => ({ rows: [] }));
    if (mine !== asked) return;
    const none = el("li", { class: "soft small" }, t("no-item"));
    list.replaceChildren(...(found.rows.length ? found.rows.map(pick) : [none]));
    list.hidden = false;
  };
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, 200);
  });
  return el(
    "div",
    { class: "item-search" },
    el("label", { class: "field" }, el("span", null, words), field),
    list,
  );
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = el("textarea", { class: "sr" }, text);
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  say(t("copied"));
}

export function copyButton(text, words) {
  const button = el(
    "button",
    {
      type: "button",
      class: "quiet small",
      onclick: async () => {
        await copy(text());
        button.textContent = t("copied");
        setTimeout(() => {
          button.textContent = words || t("copy");
        }, 1500);
      },
    },
    words || t("copy"),
  );
  return button;
}

/** Return a picture's slot: the picture, or the first letter where there is none. */
export function picture(row) {
  if (!session.about.images) return null;
  const letter = el(
    "span",
    { class: "picture", "aria-hidden": "true" },
    [...plain1(row.label)][0] || "?",
  );
  if (!row.image || !session.source.served) return letter;
  const shown = el("img", {
    class: "picture",
    src: row.image,
    alt: "",
    loading: "lazy",
    referrerpolicy: "no-referrer",
    decoding: "async",
  });
  shown.addEventListener("error", () => shown.replaceWith(letter));
  return shown;
}

const plain1 = (text) =>
  String(text)
    .replace(/[^\p{L}\p{N}]/gu, "")
    .slice(0, 8)
    .toUpperCase();

/** Return what would be first without some likes: the flip sentence, with a way to try it. */
export function flipSentence(found) {
  if (!found.rival) return null;
  const names = found.removed.map((term, at) => [
    at ? t("and") : "",
    label(term.label, { class: "em" }),
  ]);
  const change = {
    user: found.user,
    item: found.item.key,
    remove: found.removed.map((one) => one.key),
  };
  const shown =
    names.length > 3 ? [names.slice(0, 2), t("and-more", { n: count(names.length - 2) })] : names;
  return el(
    "p",
    { class: "flip-line" },
    rich("flip", { likes: shown, rival: label(found.rival.label, { class: "em" }) }),
    " ",
    session.source.served ? link("what-if", change, { class: "quiet-link" }, t("try-it")) : null,
  );
}

/** Say what would be first without some likes: at once, or, on large data, when it is asked. */
export async function tellFlip(user, item, slot) {
  const mine = session.turn;
  const { train, triples } = session.about.sizes;
  const sentence = async () => {
    const found = await session.source.flip(user, item);
    return flipSentence({ ...found.flip, user });
  };
  if (session.source.served && train + triples > LARGE) {
    const ask = async () => (await sentence()) || note(t("flip-none"));
    slot.replaceChildren(...question(t("flip-ask"), ask, { class: "small" }));
    return;
  }
  const said = await sentence().catch(() => null);
  if (said && mine === session.turn) slot.replaceChildren(said);
}
