// One item or entity: its facts, and who gets it, or gets items joined to it, and why.

import { el, label, outside, plain, plainWords } from "../dom.js";
import { count, many, t } from "../language.js";
import { number } from "../numbers.js";
import { reason, stop } from "../paths.js";
import {
  card,
  head,
  lead,
  link,
  picture,
  question,
  rowHead,
  scroll,
  state,
  table,
  th,
} from "../pieces.js";
import { session } from "../session.js";

const EXPLAINED = 8;

export const itemScreen = (params) => nodeScreen("item", params.get("item"));
export const entityScreen = (params) => nodeScreen("entity", params.get("entity"));

async function nodeScreen(kind, key) {
  if (!key) return [state(t("nothing-here"), t("node-none"))];
  const found = await session.source.node(kind, key);
  const words = kind === "item" ? t("who-gets-this-lead") : t("who-gets-joined-lead");
  const about = [
    t(`kind.${kind}`),
    " · ",
    many(found.total, "n.facts"),
    found.iri ? [" · ", outside(found.iri)] : null,
  ];
  return [
    el(
      "div",
      { class: "with-picture" },
      picture({ ...found, label: found.label }),
      head(label(found.label), about),
    ),
    el(
      "div",
      { class: "even" },
      card(
        t(kind === "item" ? "who-gets-this" : "who-gets-joined"),
        lead(words),
        question(t("look"), () => audience(kind, key), { class: "main" }),
      ),
      factsCard(found),
    ),
  ];
}

function factsCard(found) {
  if (!found.rows.length) return card(t("facts"), el("p", { class: "soft" }, t("no-facts")));
  const line = (row) =>
    el(
      "tr",
      null,
      el("td", null, plain(row.words)),
      el("td", null, stop({ kind: row.kind, key: row.key, label: row.label })),
      el("td", { class: "small hide-small" }, el("code", null, plain(row.place))),
    );
  const part =
    found.total > found.rows.length
      ? t("n-of", { n: count(found.rows.length), all: count(found.total) })
      : null;
  return card(
    t("facts"),
    part && lead(part),
    scroll(
      t("facts"),
      table(
        null,
        [th(t("relation")), th(t("joined-to")), th(t("stated-at"), "hide-small")],
        found.rows.map(line),
        "plain",
      ),
    ),
  );
}

async function audience(kind, key) {
  const found = await session.source.audience(kind, key);
  if (!found.rows.length)
    return state(t("gets-none"), t("gets-none-why", { lists: many(found.users, "n.lists") }));
  const rows = found.rows.map((row) => {
    const said = el("div", { class: "small" });
    const about = kind === "item" ? null : [" – ", label(row.item_label)];
    const li = el(
      "li",
      null,
      el("span", { class: "place" }, row.rank),
      el(
        "div",
        null,
        link(
          "why",
          { user: row.user, item: row.item },
          { class: "title" },
          label(row.label),
          about,
        ),
        said,
      ),
      el("span", { class: "score" }, number(row.score, 3)),
    );
    return { row, said, li };
  });
  const list = el("ol", { class: "recs beside" });
  const next = el("button", { type: "button", onclick: () => showMore() }, t("show-more"));
  const showMore = () => {
    const some = rows.splice(0, EXPLAINED);
    list.append(...some.map((one) => one.li));
    if (!rows.length) next.remove();
    explainSome(some);
  };
  showMore();
  return [
    el("p", { class: "found" }, t("gets-of", { n: count(found.total), lists: many(found.users, "n.lists") })),
    list,
    rows.length ? el("div", { class: "actions after" }, next) : null,
    found.total > found.rows.length
      ? el("p", { class: "small soft" }, t("listed-first", { n: count(found.rows.length) }))
      : null,
  ];
}

async function explainSome(rows) {
  const mine = session.turn;
  for (const { row, said } of rows) {
    try {
      const view = await session.source.explain(row.user, row.item, {});
      if (mine !== session.turn) return;
      said.replaceChildren(reason(view));
    } catch (error) {
      said.replaceChildren(el("p", { class: "reason" }, plainWords(error.message)));
    }
  }
}
