// A user's list, for two readers: cards with one plain sentence each, or the numbers behind them.

import { keep, kept } from "../address.js";
import { el, label, plain, plainWords } from "../dom.js";
import { count, many, t } from "../language.js";
import { number, sum } from "../numbers.js";
import { barKey, split } from "../parts.js";
import { copySentence, reason, worth } from "../paths.js";
import {
  badge,
  bounded,
  card,
  head,
  help,
  lead,
  link,
  picture,
  segments,
  state,
  tellFlip,
} from "../pieces.js";
import { session } from "../session.js";

export async function recommendationsScreen(params) {
  const user = params.get("user");
  const found = await session.source.recommend(user, Number(params.get("k") || 10));
  const past = found.history;
  const learned = past.total - past.rows.filter((row) => row.part === "validation").length;
  const view = params.get("view") || kept("kgrec-view") || "cards";
  const rows = found.rows.map(view === "numbers" ? numbersRow(user, found) : cardRow(user, found));
  const flip = el("div", { class: "flip-slot", "aria-live": "polite" });
  const progress = el("p", { class: "progress", role: "status" });
  session.afterwards.push(() => fill(user, rows, progress, flip));

  const choice = segments(
    t("shown-as"),
    ["cards", "numbers"].map((name) =>
      link(
        "recommendations",
        { user, k: params.get("k"), view: name },
        { "aria-current": name === view ? "true" : null, onclick: () => keep("kgrec-view", name) },
        t(`view.${name}`),
      ),
    ),
  );
  const title = t("recommendations");
  const list = el(
    "ol",
    { class: view === "numbers" ? "recs" : "cards" },
    rows.map((row) => row.li),
  );
  const empty = card(title, state(t("nothing-left"), t("nothing-left-why")));
  const numbers = [lead(t("bar-lead")), barKey(["own", "liked", "loose", "neg"]), list];
  const shown = view === "numbers" ? card(title, numbers) : list;
  return [
    head(
      label(past.label),
      learned ? t("learned-from", { items: many(learned, "n.items") }) : t("learned-nothing"),
      choice,
    ),
    view === "numbers"
      ? help("score", "like", "own", "liked", "supported", "loose", "basis", "found")
      : null,
    bounded(found, "items"),
    flip,
    progress,
    el(
      "div",
      { class: "two" },
      el("div", null, found.rows.length ? shown : empty),
      historyCard(user, past),
    ),
  ];
}

function historyCard(user, past) {
  if (!past.rows.length) return card(t("history"), el("p", { class: "soft" }, t("nothing-here")));
  const part =
    past.total > past.rows.length
      ? `, ${t("n-of", { n: count(past.rows.length), all: count(past.total) })}`
      : "";
  const line = (row) =>
    el(
      "li",
      null,
      link("why", { user, item: row.item }, null, label(row.label)),
      row.part === "validation" ? el("span", { class: "badge" }, t("validation")) : null,
    );
  return card(
    t("history"),
    lead(`${t("latest-first")}${part}.`),
    el("ul", { class: "history", tabindex: "0", "aria-label": t("history") }, past.rows.map(line)),
  );
}

const pending = () => el("div", null, el("p", { class: "reason soft" }, "…"));

function cardRow(user) {
  return (row) => {
    const said = pending();
    const why = link(
      "why",
      { user, item: row.item },
      { class: "button main small", "aria-label": t("why-of", { item: plain(row.label) }) },
      t("show-me-why"),
    );
    const actions = el("div", { class: "actions" }, why);
    const kind =
      row.kind && row.kind !== "personal" ? el("span", { class: "badge" }, row.kind) : null;
    const li = el(
      "li",
      { class: "card pick-card" },
      picture(row),
      el(
        "div",
        { class: "body" },
        el(
          "h2",
          null,
          link("why", { user, item: row.item }, { class: "title" }, label(row.label)),
          " ",
          kind,
        ),
        said,
        actions,
      ),
    );
    const show = (view) => {
      said.replaceChildren(...[reason(view), worth(view)].filter(Boolean));
      actions.append(...[copySentence(view)].filter(Boolean));
    };
    return { row, li, said, show };
  };
}

function numbersRow(user, found) {
  const most = found.rows.length ? found.rows[0].score : 0;
  return (row) => {
    const said = pending();
    const bar = el("div", { class: "split" }, el("div", { class: "stack" }));
    const rival = found.rows.find((other) => other.rank === (row.rank === 1 ? 2 : 1)) || row;
    const compare = {
      class: "button small",
      "aria-label": t("compare-of", { item: plain(row.label) }),
    };
    const kind =
      row.kind && row.kind !== "personal" ? el("small", { class: "soft" }, ` ${row.kind}`) : null;
    const li = el(
      "li",
      null,
      el("span", { class: "place" }, row.rank),
      el(
        "div",
        null,
        link("why", { user, item: row.item }, { class: "title" }, label(row.label)),
        said,
      ),
      bar,
      el("span", { class: "score" }, number(row.score, 3), kind),
      el(
        "span",
        { class: "act" },
        link("compare", { user, first: row.item, second: rival.item }, compare, t("compare")),
      ),
    );
    const show = (view) => {
      const told = view.explanation;
      const basis = told.paths.length ? told.paths[0].basis : null;
      said.replaceChildren(
        reason(view),
        el(
          "p",
          { class: "meta small soft" },
          basis && badge(basis),
          many(sum(told.counts), "n.paths"),
          told.truncated ? ` ${t("more-exist")}` : "",
        ),
      );
      const share = most > 0 && row.score > 0 ? row.score / most : 1;
      if (told.budget) bar.replaceChildren(split(told.budget, "", share));
    };
    return { row, li, said, show };
  };
}

/** Ask for the reasons one after another, then for what would change the first item. */
async function fill(user, rows, progress, flip) {
  const mine = session.turn;
  for (const [at, { row, said, show }] of rows.entries()) {
    progress.textContent = t("reasons-progress", { n: count(at + 1), all: count(rows.length) });
    try {
      const view = await session.source.explain(user, row.item, {});
      if (mine !== session.turn) return;
      show(view);
    } catch (error) {
      said.replaceChildren(el("p", { class: "reason" }, plainWords(error.message)));
    }
  }
  progress.remove();
  document.body.dataset.ready = "reasons";
  if (!rows.length) return;
  await tellFlip(user, null, flip);
}

export function noUser() {
  return [
    state(
      t("whose"),
      t("whose-why"),
      link("users", {}, { class: "button main" }, t("choose-user")),
    ),
  ];
}
