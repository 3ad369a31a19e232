// Two items for one user: the difference of their scores as a sum that adds up.

import { address, move } from "../address.js";
import { el, label, plain } from "../dom.js";
import { count, many, rich, t } from "../language.js";
import { number, signed } from "../numbers.js";
import { largestDrop, pathRow, stop } from "../paths.js";
import {
  badge,
  card,
  figure,
  head,
  help,
  itemSearch,
  lead,
  link,
  rowHead,
  state,
  table,
  th,
} from "../pieces.js";
import { session } from "../session.js";

const SHOWN = 8; // liked items of each side before the rest is added up

export async function compareScreen(params) {
  const user = params.get("user");
  const listed = await session.source.recommend(user, 10);
  const first = params.get("first") || (listed.rows[0] || {}).item;
  const second = params.get("second") || (listed.rows[1] || {}).item;
  const top = [
    head(t("compare-title"), t("compare-lead")),
    help("difference", "own", "liked", "like", "facts", "basis"),
  ];
  if (!first || !second)
    return [...top, state(t("nothing-to-compare"), t("nothing-to-compare-why"))];
  top.push(chooser(user, first, second, listed));
  if (first === second) return [...top, state(t("same-twice"), t("choose-two"))];

  const found = await session.source.compare(user, first, second);
  const { contrast } = found;
  return [
    ...top,
    card(
      t("difference"),
      sides(contrast),
      lead(directions(contrast), " ", badge(contrast.basis)),
      sumTable(contrast),
    ),
    el(
      "div",
      { class: "thirds after" },
      neighbors(rich("only", { item: label(contrast.first.item.label) }), contrast.only_first),
      neighbors(t("both"), contrast.shared),
      neighbors(rich("only", { item: label(contrast.second.item.label) }), contrast.only_second),
    ),
    el(
      "div",
      { class: "even after" },
      found.views.map((view) => pathsCard(user, view)),
    ),
  ];
}

function chooser(user, first, second, listed) {
  const names = new Map(listed.rows.map((row) => [row.item, `${row.rank}. ${plain(row.label)}`]));
  const choose = (words, name, value) => {
    const go = () => move("compare", { user, first, second, [name]: made.value });
    const made = el(
      "select",
      { name, onchange: go },
      [...new Set([...names.keys(), value])].map((item) =>
        el("option", { value: item }, names.get(item) || plain(item)),
      ),
    );
    made.value = value;
    return el("label", { class: "field" }, el("span", null, words), made);
  };
  const search = session.source.served
    ? itemSearch(t("another-item"), (item) => {
        location.hash = address("compare", { user, first, second: item });
      })
    : null;
  return el(
    "div",
    { class: "choose" },
    choose(t("this-item"), "first", first),
    choose(t("held-against"), "second", second),
    link("compare", { user, first: second, second: first }, { class: "button" }, t("swap")),
    search,
  );
}

function sides(contrast) {
  const side = (ranked, kind) => {
    const rank = ranked.rank === null ? t("in-history") : t("rank-n", { n: count(ranked.rank) });
    return figure(
      el("span", { class: kind }, label(ranked.item.label)),
      number(ranked.score, 3),
      el("small", null, rank),
    );
  };
  const difference = el(
    "div",
    null,
    el("dt", null, t("difference")),
    el("dd", { id: "difference", class: "sides" }, signed(contrast.difference, 4)),
  );
  return el(
    "dl",
    { class: "figure" },
    side(contrast.first, "up"),
    side(contrast.second, "rival"),
    difference,
  );
}

const directions = (contrast) =>
  rich("directions", {
    first: label(contrast.first.item.label, { class: "up" }),
    second: label(contrast.second.item.label, { class: "rival" }),
  });

/** Return a bar to the right for the first item, to the left for the second. */
const pull = (share) =>
  el(
    "span",
    { class: "pull", role: "img", "aria-label": t(share >= 0 ? "for-first" : "for-second") },
    el("span", null, share < 0 ? el("i", { class: "b", width: -100 * share }) : null),
    el("span", null, share > 0 ? el("i", { class: "a", width: 100 * share }) : null),
  );

function sumTable(contrast) {
  const total = (terms) => terms.reduce((all, term) => all + term.value, 0);
  const other = Object.entries(contrast.other)
    .filter(([, value]) => value)
    .map(([name, value]) => [plain(name), value]);
  const few = contrast.by_liked.length <= 2 * SHOWN;
  const liked = few
    ? contrast.by_liked
    : [...contrast.by_liked.slice(0, SHOWN), ...contrast.by_liked.slice(-SHOWN)];
  const rest = contrast.by_liked.length - liked.length;
  const rows = [
    [t("part.own"), contrast.own],
    ...(contrast.bias ? [[t("part.bias"), contrast.bias]] : []),
    ...other,
    ...liked.map((term) => [label(term.label), term.value]),
    ...(rest ? [[many(rest, "n.others-together"), total(contrast.by_liked) - total(liked)]] : []),
    ...(Math.abs(contrast.residual) > 5e-5 ? [[t("rounding-row"), contrast.residual]] : []),
  ];
  const size = Math.max(...rows.map(([, value]) => Math.abs(value)), 1e-12);
  const line = ([name, value]) =>
    el(
      "tr",
      null,
      rowHead(name),
      el("td", { class: "wide" }, pull(value / size)),
      el("td", { class: "num" }, signed(value)),
    );
  const bars = el(
    "span",
    { class: "pull-head" },
    el("span", null, t("to-second")),
    el("span", null, t("to-first")),
  );
  const made = table(
    t("every-part"),
    [th(t("part")), th(bars), th(t("difference"), "num")],
    rows.map(line),
    "sides",
  );
  made.append(
    el(
      "tfoot",
      null,
      el(
        "tr",
        null,
        rowHead(t("together")),
        el("td"),
        el("td", { class: "num" }, signed(contrast.difference)),
      ),
    ),
  );
  if (few) return made;
  const all = table(
    t("strongest-for-first"),
    [th(t("part")), th(bars.cloneNode(true)), th(t("difference"), "num")],
    contrast.by_liked.map((term) => line([label(term.label), term.value])),
    "sides",
  );
  return [made, el("details", null, el("summary", null, t("all-liked")), all)];
}

function neighbors(title, list) {
  if (!list.length) return card(title, el("p", { class: "soft" }, t("none")));
  return card(
    title,
    lead(many(list.length, "n.neighbors")),
    el(
      "ul",
      { class: "chips" },
      list.slice(0, 40).map((node) => el("li", null, stop(node))),
      list.length > 40
        ? el("li", { class: "soft" }, t("and-more", { n: count(list.length - 40) }))
        : null,
    ),
  );
}

function pathsCard(user, view) {
  const told = view.explanation;
  const largest = largestDrop(told.paths);
  const rows = told.paths
    .slice(0, 5)
    .map((path, at) => pathRow(path, view.paths[at], at, told, largest, view));
  return card(
    rich("paths-to", { item: label(told.item_label) }),
    rows.length ? el("ul", null, rows) : el("p", { class: "soft" }, t("no-path-short")),
    link("why", { user, item: told.item }, { class: "button" }, t("everything-about")),
  );
}
