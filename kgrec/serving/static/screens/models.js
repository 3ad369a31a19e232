// Two models for one user: both lists beside each other, each with its reasons.

import { el, label, plain, plainWords } from "../dom.js";
import { count, many, t } from "../language.js";
import { number } from "../numbers.js";
import { reason, worth } from "../paths.js";
import { card, head, help, lead, link, note, state } from "../pieces.js";
import { session } from "../session.js";

export async function modelsScreen(params) {
  const user = params.get("user");
  const { about, source } = session;
  if (!about.other) return [head(t("models-title")), state(t("one-model"), t("one-model-why"))];
  const lists = await Promise.all([1, 2].map((model) => source.recommend(user, 10, model)));
  const both = lists[0].rows.filter((row) =>
    lists[1].rows.some((other) => other.item === row.item),
  ).length;
  const rows = lists.map((list, at) =>
    list.rows.map((row) => line(user, row, at + 1, lists[1 - at])),
  );
  session.afterwards.push(() => fill(user, rows));
  const names = [about, about.other].map((one) => plain(one.name));
  return [
    head(
      t("models-title"),
      t("models-lead", { n: count(both), all: many(lists[0].rows.length, "n.items") }),
    ),
    help("score", "rank", "like", "facts", "basis"),
    about.other.same_data ? null : note(t("other-data")),
    el(
      "div",
      { class: "even" },
      rows.map((made, at) =>
        card(
          names[at],
          at === 0 ? lead(t("first-model")) : lead(t("second-model")),
          el(
            "ol",
            { class: "recs beside" },
            made.map((one) => one.li),
          ),
        ),
      ),
    ),
  ];
}

function line(user, row, model, other) {
  const there = other.rows.find((one) => one.item === row.item);
  const said = el("div", null, el("p", { class: "reason soft" }, "…"));
  const title =
    model === 1
      ? link("why", { user, item: row.item }, { class: "title" }, label(row.label))
      : label(row.label, { class: "title" });
  const li = el(
    "li",
    { class: there ? "" : "alone" },
    el("span", { class: "place" }, row.rank),
    el(
      "div",
      null,
      title,
      el("p", { class: "small soft" }, there ? t("there-rank", { n: there.rank }) : t("there-not")),
      said,
    ),
    el("span", { class: "score" }, number(row.score, 3)),
  );
  return { li, said, row, model };
}

async function fill(user, rows) {
  const mine = session.turn;
  for (const { said, row, model } of rows[0].flatMap((one, at) =>
    [one, rows[1][at]].filter(Boolean),
  )) {
    try {
      const view = await session.source.explain(user, row.item, { model });
      if (mine !== session.turn) return;
      said.replaceChildren(...[reason(view), worth(view)].filter(Boolean));
    } catch (error) {
      said.replaceChildren(el("p", { class: "reason" }, plainWords(error.message)));
    }
  }
  document.body.dataset.ready = "models";
}
