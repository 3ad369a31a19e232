// Why an item is where it is: the sentence, the whole score, the paths and their drawing.

import { place } from "../address.js";
import { el, label, plain, plainWords, say } from "../dom.js";
import { drawing } from "../drawing.js";
import { count, many, rich, t } from "../language.js";
import { known, number, percent, signed, sum } from "../numbers.js";
import { asShares, partsList, split } from "../parts.js";
import { copySentence, largestDrop, pathRow, reason, worth } from "../paths.js";
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
  picture,
  question,
  rowHead,
  state,
  table,
  tellFlip,
  th,
} from "../pieces.js";
import { session } from "../session.js";
import { filterPanel, filtersOf } from "./filters.js";

const SLICE = 20;
const MANY = 60; // paths before those out of sight are left to be laid out later

export async function whyScreen(params) {
  const user = params.get("user");
  const item = params.get("item");
  const k = params.get("k") || undefined;
  const list = session.source.recommend(user, 10).catch(() => null);
  const [base, listed] = await Promise.all([session.source.explain(user, item, { k }), list]);
  const told = base.explanation;
  const at = listed ? listed.rows.findIndex((row) => row.item === item) : -1;
  const neighbor = (offset) => (at >= 0 && listed.rows[at + offset]) || null;
  const beside = (row, words) =>
    row &&
    link("why", { user, item: row.item }, { class: "button", title: plain(row.label) }, words);
  const rival = told.next_item ? told.next_item.key : (neighbor(1) || neighbor(-1) || {}).item;

  const results = el("div", { id: "results" });
  const show = () => showPaths(base, user, item, k, results);
  const flip = el("div", { class: "flip-slot", "aria-live": "polite" });
  session.afterwards.push(async () => {
    await show();
    if (told.rank === 1) await tellFlip(user, item, flip);
  });

  const rank = told.rank === null ? t("no-rank") : t("rank-n", { n: count(told.rank) });
  return [
    head(
      rich("why-title", { item: label(told.item_label) }),
      [rank, t("for-user"), label(told.user_label), "."],
      beside(neighbor(-1), t("previous")),
      beside(neighbor(1), t("next")),
      rival &&
        link("compare", { user, first: item, second: rival }, { class: "button" }, t("compare")),
      session.source.served && link("what-if", { user, item }, { class: "button" }, t("what-if")),
      session.source.served && link("item", { item }, { class: "button" }, t("who-gets-this")),
    ),
    help(
      "score",
      "margin",
      "like",
      "facts",
      "drop",
      "placebo",
      "mask",
      "own",
      "supported",
      "loose",
      "basis",
      "hidden",
    ),
    bounded(base, "paths"),
    sentenceCard(base, flip, at >= 0 ? listed.rows[at] : { item, label: told.item_label }),
    told.budget ? budgetCard(told) : card(t("the-score"), figures(told)),
    told.rank !== null && told.rank > 10 && session.source.served ? whyNotCard(user, item) : null,
    el("div", { class: "side after" }, filterPanel(base, show), results),
  ];
}

function sentenceCard(view, flip, row) {
  return el(
    "section",
    { class: "card pick-card first", "aria-label": t("in-one-sentence") },
    picture(row),
    el(
      "div",
      { class: "body" },
      reason(view),
      worth(view),
      flip,
      el("div", { class: "actions" }, copySentence(view)),
    ),
  );
}

async function showPaths(base, user, item, k, results) {
  const mine = session.turn;
  const { params } = place();
  const asked = filtersOf(params);
  results.setAttribute("aria-busy", "true");
  try {
    const filtered = Object.keys(asked).length > 0;
    const view = filtered ? await session.source.explain(user, item, { ...asked, k }) : base;
    if (mine !== session.turn) return;
    const { parts, start } = pathsOf(base, view, filtered, params);
    results.replaceChildren(...parts);
    if (start) start();
    const shown = count(view.explanation.paths.length);
    say(t("paths-shown", { all: many(sum(view.explanation.counts), "n.paths"), n: shown }));
  } catch (error) {
    if (mine === session.turn) results.replaceChildren(card(null, failure(error)));
  }
  results.removeAttribute("aria-busy");
  document.body.dataset.ready = "paths";
}

function whyNotCard(user, item) {
  const ask = question(t("bring-in"), async () => {
    const told = (await session.source.whyNot(user, item)).why_not;
    const k = count(told.k);
    const enters =
      told.enters === null ? t("enters-not", { k }) : t("enters", { n: count(told.enters), k });
    const line = (term) =>
      el("tr", null, rowHead(label(term.label)), el("td", { class: "num" }, signed(term.value)));
    return [
      note(told.additions.length ? enters : t("no-addition")),
      table(null, [th(t("if-liked-too")), th(t("score-change"), "num")], told.additions.map(line)),
      told.note ? el("p", { class: "note small" }, plainWords(told.note)) : null,
    ];
  });
  return card(t("why-not"), lead(t("why-not-lead")), ask);
}

const lengths = (counts) =>
  Object.entries(counts)
    .filter(([, n]) => n)
    .map(([length, n]) => t("of-length", { n: count(n), hops: many(Number(length), "n.hops") }))
    .join(", ");

function figures(told) {
  const ahead = told.next_item
    ? el("small", null, t("ahead-of"), " ", label(told.next_item.label))
    : null;
  return el(
    "dl",
    { class: "figure" },
    figure(t("score"), number(told.score, 3)),
    told.rank === null
      ? null
      : el("div", null, el("dt", null, t("rank")), el("dd", { id: "rank" }, count(told.rank))),
    known(told.margin) ? figure(t("margin"), number(told.margin, 3), ahead) : null,
    figure(t("paths-found"), count(sum(told.counts)), el("small", null, lengths(told.counts))),
  );
}

function budgetCard(told) {
  const { budget } = told;
  const terms = [...budget.by_liked];
  const shares = asShares(budget);
  const largest = Math.max(...terms.map((term) => Math.abs(term.value)), 1e-12);
  const line = (term) =>
    el(
      "tr",
      null,
      rowHead(label(term.label)),
      el(
        "td",
        { class: "wide" },
        meter(Math.abs(term.value) / largest, term.value < 0 ? "down" : "", ""),
      ),
      el("td", { class: "num" }, signed(term.value)),
      shares ? el("td", { class: "num soft hide-small" }, percent(term.value, budget.score)) : null,
    );
  const heads = () => [
    th(t("liked-item")),
    el("td"),
    th(t("part"), "num"),
    shares && th(t("of-the-score"), "num hide-small"),
  ];
  const rows = (list, caption) => table(caption, heads(), list.map(line));
  const down = terms.filter((term) => term.value < 0).sort((a, b) => a.value - b.value);
  const pull = down.length ? `; ${many(down.length, "n.pull-down")}` : "";
  const all = el(
    "details",
    null,
    el("summary", null, t("all-of-them")),
    rows(terms, t("largest-first")),
  );
  const one = el(
    "details",
    null,
    el("summary", null, `${many(terms.length, "n.one-by-one")}${pull}`),
    el(
      "div",
      { class: "even" },
      el("div", null, rows(terms.filter((term) => term.value > 0).slice(0, 5), t("pull-up-most"))),
      down.length ? el("div", null, rows(down.slice(0, 5), t("pull-down-most"))) : null,
    ),
    terms.length > 5 ? all : null,
  );
  const share =
    shares && known(budget.on_graph) ? ` (${percent(budget.on_graph, budget.score)})` : "";
  return card(
    t("where-from"),
    lead(t("nothing-left-out"), " ", badge(budget.basis)),
    figures(told),
    split(budget, "tall"),
    partsList(budget),
    terms.length ? one : null,
    known(budget.on_graph)
      ? el(
          "p",
          { class: "small soft note" },
          rich("walks", { value: number(budget.on_graph), share }),
        )
      : null,
    el("p", { class: "small soft note" }, rich("rounding", { value: number(budget.residual, 6) })),
  );
}

function counts(base, view, filtered) {
  const told = view.explanation;
  const hidden = told.hidden || {};
  const before = el("b", { id: "count-before" }, count(sum(base.explanation.counts)));
  const shown = el("b", { id: "count-shown" }, count(told.paths.length));
  const facts = [el("span", null, shown, ` ${t("shown")}`)];
  if (filtered) {
    const after = el("b", { id: "count-after" }, count(sum(told.counts)));
    facts.push(el("span", null, rich("pass", { after, before })));
    const paths = known(hidden.paths) ? many(hidden.paths, "n.paths") : "";
    const share =
      known(hidden.share) &&
      el("b", { "data-value": String(hidden.share) }, percent(hidden.share, 1));
    const what = share ? rich("of-effects", { share, paths }) : paths;
    if (paths) facts.push(el("span", { class: "hid", id: "hidden" }, t("hidden-by"), what));
  } else facts.push(el("span", null, rich("of-found", { before })));
  if (view.saved)
    facts.push(el("span", { class: "soft" }, t("file-holds", { n: count(view.saved) })));
  return el("p", { class: "told", role: "status" }, facts);
}

function pathsOf(base, view, filtered, params) {
  const told = view.explanation;
  const drawn = told.paths.length ? drawing(view) : null;
  const parts = [
    counts(base, view, filtered),
    told.truncated ? el("p", { class: "note warn" }, t("truncated")) : null,
    drawn && drawn.made,
    pathList(view, filtered, params),
    ...told.notes.map((words) => note(plainWords(words))),
  ];
  return { parts: parts.filter(Boolean), start: drawn && drawn.start };
}

function groupsOf(told) {
  const groups = new Map();
  told.paths.forEach((path, at) => {
    const first = path.hops[0].target;
    const key = `${first.kind} ${first.key}`;
    if (!groups.has(key)) groups.set(key, { key, node: first, at: [] });
    groups.get(key).at.push(at);
  });
  return [...groups.values()];
}

function pathList(view, filtered, params) {
  const told = view.explanation;
  if (!told.paths.length) {
    return card(
      t("paths"),
      filtered
        ? state(t("all-hidden"), t("all-hidden-why"))
        : state(t("no-path"), t("no-path-why")),
    );
  }
  const parts = new Map(
    (told.budget ? told.budget.by_liked : []).map((term) => [`${term.kind} ${term.key}`, term]),
  );
  const largest = largestDrop(told.paths);
  const row = (at) => pathRow(told.paths[at], view.paths[at], at, told, largest, view);
  const slices = []; // hundreds of paths are written in slices, so that the page answers from the first
  let room = SLICE;
  const rows = (all) => {
    const list = el("ul");
    const now = all.splice(0, Math.max(room, 0));
    room -= now.length;
    list.append(...now.map(row));
    while (all.length) {
      const next = all.splice(0, SLICE);
      slices.push(() => list.append(...next.map(row)));
    }
    return list;
  };
  const gives = (key) =>
    parts.has(key) &&
    el("span", { class: "small soft" }, rich("gives", { value: signed(parts.get(key).value) }));
  const made = groupsOf(told).map((group) =>
    el(
      "section",
      { class: "group" },
      el(
        "header",
        null,
        el("h3", null, rich("through", { item: label(group.node.label) })),
        gives(group.key),
      ),
      rows(group.at),
    ),
  );
  const mine = session.turn;
  const write = () => {
    if (mine !== session.turn || !slices.length) return;
    slices.shift()();
    setTimeout(write);
  };
  setTimeout(write);
  return el(
    "section",
    { class: `card paths ${told.paths.length > MANY ? "many" : ""}` },
    el("h2", null, t("paths")),
    lead(t("paths-lead")),
    made,
    more(view, params),
  );
}

function more(view, params) {
  const first = Number(params.get("k") || 10);
  const { paths: most } = session.about.limits;
  if (view.explanation.paths.length < first || first >= most || (view.saved && view.saved <= first))
    return null;
  const same = Object.fromEntries(
    [...new Set(params.keys())].map((name) => [name, params.getAll(name)]),
  );
  const next = link(
    "why",
    { ...same, k: Math.min(first * 5, most) },
    { class: "button" },
    t("more-paths"),
  );
  return el("div", { class: "actions" }, next);
}
