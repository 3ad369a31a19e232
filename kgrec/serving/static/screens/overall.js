// What drives the recommendations of many users, and how good the lists are.

import { el, label, plain, plainWords } from "../dom.js";
import { count, many, rich, t } from "../language.js";
import { known, number, percent, signed } from "../numbers.js";
import {
  badge,
  bounded,
  card,
  failure,
  figure,
  head,
  help,
  lead,
  link,
  meter,
  note,
  rowHead,
  scroll,
  segments,
  state,
  table,
  th,
} from "../pieces.js";
import { session } from "../session.js";

const SHARES = 100;

export async function overallScreen(params) {
  const { served } = session.source;
  const kinds = served ? ["relation", "type", "pattern"] : ["relation", "type"];
  const by = kinds.includes(params.get("by")) ? params.get("by") : "relation";
  const knock = params.get("knock") === "1" && by === "relation";
  const tab = (key) =>
    link("overall", { by: key }, key === by ? { "aria-current": "true" } : null, t(`by.${key}`));
  const measure =
    by === "relation" &&
    served &&
    link(
      "overall",
      { by, knock: knock ? null : 1 },
      { class: "button" },
      t(knock ? "knock-hide" : "knock"),
    );
  const body = await session.source.summary(by, knock).then(
    (found) => summaryCards(found, by),
    (error) => [card(null, failure(error))],
  );
  return [
    head(t("overall-title"), t("overall-lead"), measure),
    help("relation-share", "pattern", "knock-out", "basis"),
    el("p", { class: "after-tabs" }, segments(t("shares-by"), kinds.map(tab))),
    ...body,
    metricsCard(),
  ];
}

function summaryCards(found, by) {
  const told = found.summary;
  const lists = t("lists-of", {
    lists: many(told.pairs, "n.recommendations"),
    users: many(told.users, "n.users"),
  });
  const carried = known(told.without_graph)
    ? [
        figure(t("without-edge"), number(told.without_graph, 1)),
        figure(t("graph-carries"), signed(told.score - told.without_graph, 1)),
      ]
    : null;
  const amounts = told.basis === "exact" ? "share-lead" : "first-order-lead";
  const figures = el(
    "dl",
    { class: "figure" },
    figure(t("scores-added"), number(told.score, 1)),
    carried,
  );
  return [
    bounded(found, "users"),
    card(
      t(`shares.${by}`),
      lead(lists, " ", badge(told.basis)),
      figures,
      lead(t(by === "pattern" ? "pattern-lead" : amounts)),
      told.shares.length
        ? scroll(t(`shares.${by}`), sharesTable(told, by))
        : state(t("no-shares"), t("no-shares-why")),
      told.note ? note(plainWords(told.note)) : null,
      known(told.residual)
        ? el("p", { class: "note small" }, rich("rounding", { value: number(told.residual, 6) }))
        : null,
    ),
  ];
}

function sharesTable(told, by) {
  const whole = by !== "pattern";
  const size = (share) => Math.abs(share.value);
  const largest = Math.max(...told.shares.map(size), 1e-12);
  const measured = [...new Set(told.shares.flatMap((share) => Object.keys(share.change)))];
  const overlap = told.shares.some((share) => known(share.overlap));
  const heads = [
    th(t(`one.${by}`)),
    el("td"),
    th(t(whole ? "carries" : "mean-facts-drop"), "num"),
    th(t(whole ? "facts" : "paths"), "num"),
    whole && th(t("of-all-sizes"), "num"),
    measured.map((name) => th(plain(name), "num")),
    overlap && th(t("same-lists"), "num"),
  ];
  const line = (share) =>
    el(
      "tr",
      null,
      rowHead(label(share.label)),
      el("td", { class: "wide" }, meter(size(share) / largest, share.value < 0 ? "down" : "", "")),
      el("td", { class: "num" }, signed(share.value, whole ? 2 : 4)),
      el("td", { class: "num" }, known(share.facts) ? count(share.facts) : "–"),
      whole && el("td", { class: "num soft" }, percent(share.share, 1)),
      measured.map((name) =>
        el("td", { class: "num" }, known(share.change[name]) ? signed(share.change[name], 4) : "–"),
      ),
      overlap && el("td", { class: "num" }, known(share.overlap) ? percent(share.overlap, 1) : "–"),
    );
  return table(null, heads, told.shares.slice(0, SHARES).map(line), "named");
}

function metricsCard() {
  const parts = Object.entries(session.about.metrics);
  if (!parts.length) return null;
  const names = [...new Set(parts.flatMap(([, values]) => Object.keys(values)))]
    .filter((name) => /@(10|20)$/.test(name))
    .sort();
  const heads = [th(t("metric")), parts.map(([part]) => th(t(`part-of.${part}`), "num"))];
  const line = (name) =>
    el(
      "tr",
      null,
      rowHead(name),
      parts.map(([, values]) =>
        el("td", { class: "num" }, known(values[name]) ? number(values[name]) : "–"),
      ),
    );
  return card(
    t("quality"),
    lead(t("quality-lead")),
    scroll(t("quality"), table(null, heads, names.map(line), "named")),
  );
}
