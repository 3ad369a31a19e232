// Likes and facts off or on, the list computed again; with undo, a log, and saved scenarios.

import { address, keep, keptRecord, move, pairs, place } from "../address.js";
import { el, label, plain, plainWords } from "../dom.js";
import { count, many, rich, t } from "../language.js";
import { number, signed } from "../numbers.js";
import {
  card,
  failure,
  figure,
  flipSentence,
  head,
  help,
  itemSearch,
  lead,
  link,
  note,
  question,
  rowHead,
  state,
  table,
  th,
} from "../pieces.js";
import { session } from "../session.js";

const LOG = "kgrec-log";
const SCENARIOS = "kgrec-scenarios";

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const toggle = (list, value) =>
  list.includes(value) ? list.filter((one) => one !== value) : [...list, value];

function factsOf(params) {
  const read = (text) => {
    try {
      const key = JSON.parse(text);
      return Array.isArray(key) && key.length === 3 ? key.map(String) : null;
    } catch {
      return null;
    }
  };
  return params.getAll("fact").map(read).filter(Boolean);
}

export async function whatIfScreen(params) {
  const user = params.get("user");
  if (!session.source.served) return savedScreen(user);
  const { changeable } = session.about;
  if (!changeable.likes)
    return [head(t("what-if-title")), state(t("failed.409"), t("what-if-unable"))];
  const listed = await session.source.recommend(user, 10);
  const item = params.get("item") || (listed.rows[0] || {}).item;
  const title = head(
    t("what-if-title"),
    t(changeable.facts ? "what-if-lead" : "what-if-lead-likes"),
  );
  if (!item) return [title, state(t("nothing-to-ask"), t("list-empty"))];

  const removed = params.getAll("remove");
  const added = params.getAll("add");
  const without = factsOf(params);
  const asFact = (keys) => keys.map((key) => JSON.stringify(key));
  const go = (change, words) => {
    const next = { user, item, remove: removed, add: added, fact: asFact(without), ...change };
    if (words) logChange(user, words);
    move("what-if", next);
  };
  const past = listed.history.rows.filter((row) => row.part === "training");
  const names = new Map([...past, ...listed.rows].map((row) => [row.item, row.label]));
  const named = (key) => names.get(key) || key;
  const facts = await session.source.facts(item).catch(() => ({ total: 0, rows: [] }));
  const chooser = el(
    "select",
    { name: "item", onchange: () => go({ item: chooser.value }) },
    [...new Set([item, ...listed.rows.map((row) => row.item)])].map((key) =>
      el("option", { value: key }, plain(named(key))),
    ),
  );
  chooser.value = item;

  const asked = removed.length + added.length + without.length > 0;
  const body = { user, remove: removed, add: added, items: [item], remove_facts: without };
  const answer = asked
    ? await session.source.whatIf(body).then(
        (found) => changesCard(item, found.what_if),
        (error) => card(t("the-list"), failure(error)),
      )
    : card(t("the-list"), state(t("nothing-changed"), t("nothing-changed-why")));
  const flip = question(
    t("flip-ask"),
    async () => flipCard(user, (await session.source.flip(user, null)).flip, go),
    { class: "main" },
  );
  const likes = likesList({ past, removed, added, named, go });
  return [
    title,
    help("score", "rank"),
    el(
      "div",
      { class: "choose" },
      el("label", { class: "field" }, el("span", null, t("watch")), chooser),
      asked
        ? el(
            "button",
            { type: "button", onclick: () => go({ remove: [], add: [], fact: [] }, ["log.reset"]) },
            t("put-back"),
          )
        : null,
    ),
    el(
      "div",
      { class: "even" },
      el(
        "div",
        null,
        answer,
        logCard(user),
        scenariosCard(user, asked),
        card(t("smallest-change"), lead(t("smallest-change-lead")), flip),
      ),
      el(
        "div",
        null,
        card(
          t("likes"),
          lead(many(past.length, "n.likes-learned")),
          likes,
          itemSearch(t("add-like"), (key, name) =>
            go({ add: toggle(added, key) }, ["log.add", name]),
          ),
        ),
        card(
          rich("facts-of", { item: label(named(item)) }),
          changeable.facts && facts.total > facts.rows.length
            ? lead(t("n-of", { n: count(facts.rows.length), all: count(facts.total) }))
            : null,
          changeable.facts
            ? factsList(facts, without, (keys, words) => go({ fact: asFact(keys) }, words))
            : el("p", { class: "soft" }, t("facts-unable")),
        ),
      ),
    ),
  ];
}

function likesList({ past, removed, added, named, go }) {
  const gone = (row) => removed.includes(row.item);
  const words = (row) => [gone(row) ? "log.back" : "log.remove", row.label];
  const tick = (row) =>
    el(
      "li",
      null,
      el(
        "label",
        null,
        el("input", {
          type: "checkbox",
          checked: !gone(row),
          value: row.item,
          onchange: () => go({ remove: toggle(removed, row.item) }, words(row)),
        }),
        label(row.label, { class: gone(row) ? "gone" : "" }),
      ),
    );
  const plus = (key) =>
    el(
      "li",
      null,
      el(
        "label",
        null,
        el("input", {
          type: "checkbox",
          checked: true,
          onchange: () => go({ add: toggle(added, key) }, ["log.unadd", named(key)]),
        }),
        el("span", { class: "new" }, label(named(key)), ` (${t("added")})`),
      ),
    );
  const sorted = [...past].sort((a, b) => gone(b) - gone(a));
  return el(
    "ul",
    { class: "ticks", tabindex: "0", "aria-label": t("liked-items") },
    added.map(plus),
    sorted.map(tick),
  );
}

function factsList(facts, without, go) {
  if (!facts.rows.length) return el("p", { class: "soft" }, t("no-facts"));
  const gone = (key) => without.some((one) => same(one, key));
  const next = (key) => (gone(key) ? without.filter((one) => !same(one, key)) : [...without, key]);
  const tick = (row) =>
    el(
      "li",
      null,
      el(
        "label",
        { title: plain(row.place) },
        el("input", {
          type: "checkbox",
          checked: !gone(row.key),
          onchange: () =>
            go(next(row.key), [gone(row.key) ? "log.back" : "log.remove", row.labels.join(" – ")]),
        }),
        el(
          "span",
          { class: gone(row.key) ? "gone" : "" },
          label(row.labels[0]),
          " — ",
          label(row.labels[1]),
          " → ",
          label(row.labels[2]),
        ),
      ),
    );
  return el(
    "ul",
    { class: "ticks", tabindex: "0", "aria-label": t("facts") },
    facts.rows.map(tick),
  );
}

function changesCard(item, told) {
  const before = new Map(told.before.map((row) => [row.item.key, row]));
  const now = told.after.find((row) => row.item.key === item);
  const was = before.get(item);
  const rank = (row) => (row.rank === null ? "–" : count(row.rank));
  const moved =
    now && was
      ? el(
          "dl",
          { class: "figure" },
          figure(
            rich("rank-of", { item: label(now.item.label) }),
            rank(was),
            " → ",
            el("span", { id: "new-rank" }, rank(now)),
          ),
          figure(
            t("score"),
            number(was.score, 3),
            " → ",
            el("span", { id: "new-score" }, number(now.score, 3)),
            el("small", null, signed(now.score - was.score)),
          ),
        )
      : null;
  const line = (row) =>
    el(
      "tr",
      null,
      el("td", { class: "num" }, rank(row)),
      rowHead(label(row.item.label)),
      el(
        "td",
        { class: "num soft" },
        before.has(row.item.key) ? rank(before.get(row.item.key)) : t("new"),
      ),
      el("td", { class: "num" }, number(row.score, 3)),
    );
  const heads = [
    th(t("rank"), "num"),
    th(t("item")),
    th(t("before"), "num"),
    th(t("score"), "num"),
  ];
  return card(
    t("list-again"),
    moved,
    table(t("list-again-caption"), heads, told.top.map(line)),
    told.note ? note(plainWords(told.note)) : null,
  );
}

function flipCard(user, told, go) {
  if (!told.rival)
    return el(
      "div",
      { class: "flip" },
      note(el("b", null, t("flip-none")), " ", plainWords(told.note || "")),
    );
  const change = {
    item: told.item.key,
    remove: told.removed.map((term) => term.key),
    add: [],
    fact: [],
  };
  const words = ["log.flip", ...told.removed.map((term) => term.label)];
  const sentence = flipSentence({ ...told, user });
  sentence.querySelector("a").remove();
  return el(
    "div",
    { class: "flip" },
    sentence,
    el(
      "p",
      { class: "small soft" },
      t("flip-size", { n: count(told.removed.length), all: many(told.likes, "n.likes") }),
      " ",
      told.verified ? t("flip-checked") : plainWords(told.note),
    ),
    el(
      "ul",
      { class: "chips" },
      told.removed.map((term) => el("li", null, label(term.label, { class: "stop item" }))),
    ),
    el(
      "div",
      { class: "actions" },
      el("button", { type: "button", onclick: () => go(change, words) }, t("try-it")),
    ),
  );
}

// ---- the log of changes, and undo

function logChange(user, words) {
  const log = keptRecord(LOG, {});
  const mine = log.user === user ? log.rows : [];
  const row = { what: words[0], names: words.slice(1).map(plain), before: location.hash };
  keep(LOG, JSON.stringify({ user, rows: [...mine, row].slice(-50) }));
}

function logCard(user) {
  const log = keptRecord(LOG, {});
  const rows =
    log.user === user && Array.isArray(log.rows)
      ? log.rows.filter((row) => Array.isArray(row.names))
      : [];
  if (!rows.length) return null;
  const undo = el(
    "button",
    {
      type: "button",
      onclick: () => {
        const { before } = rows.at(-1);
        keep(LOG, JSON.stringify({ user, rows: rows.slice(0, -1) }));
        location.hash = before;
      },
    },
    t("undo"),
  );
  const forget = el(
    "button",
    {
      type: "button",
      class: "quiet",
      onclick: () => {
        keep(LOG, "{}");
        session.redraw();
      },
    },
    t("forget"),
  );
  const line = (row) =>
    el("li", null, el("span", { class: "soft" }, t(row.what)), " ", row.names.join(", "));
  return el(
    "section",
    { class: "card log" },
    el(
      "div",
      { class: "head-row" },
      el("h2", null, t("changes")),
      el("div", { class: "actions" }, undo, forget),
    ),
    el("ol", null, rows.map(line)),
  );
}

// ---- scenarios of a run and a user, in this browser

function scenariosCard(user, asked) {
  const all = keptRecord(SCENARIOS, {});
  const key = `${session.about.checksum} ${session.about.model} ${user}`;
  const rows = Array.isArray(all[key]) ? all[key] : [];
  if (!rows.length && !asked) return null;
  const write = (next) => {
    keep(SCENARIOS, JSON.stringify({ ...all, [key]: next }));
    session.redraw();
  };
  const name = el("input", {
    type: "text",
    maxlength: "80",
    placeholder: t("scenario-name"),
    "aria-label": t("scenario-name"),
  });
  const form = el(
    "form",
    {
      class: "inline",
      onsubmit: (event) => {
        event.preventDefault();
        const { params } = place();
        const state_of = pairs(
          Object.fromEntries(
            ["item", "remove", "add", "fact"].map((one) => [one, params.getAll(one)]),
          ),
        );
        const called = name.value.trim() || t("scenario-n", { n: rows.length + 1 });
        write([...rows.filter((row) => row.name !== called), { name: called, state: state_of }]);
      },
    },
    name,
    el("button", { type: "submit" }, t("save")),
  );
  const open = (row) => {
    const lists = {};
    for (const [one, value] of row.state) lists[one] = [...(lists[one] || []), value];
    return address("what-if", { user, ...lists });
  };
  const line = (row) =>
    el(
      "li",
      null,
      el("a", { href: open(row) }, plain(row.name)),
      el(
        "button",
        {
          type: "button",
          class: "quiet small",
          "aria-label": t("delete-of", { name: plain(row.name) }),
          onclick: () => write(rows.filter((one) => one !== row)),
        },
        t("delete"),
      ),
    );
  return card(
    t("scenarios"),
    lead(t("scenarios-lead")),
    rows.length ? el("ul", { class: "scenarios" }, rows.map(line)) : null,
    asked ? form : null,
  );
}

// ---- a saved page: what was found when it was written, and no more

async function savedScreen(user) {
  const found = await session.source.flip(user, null).catch((error) => error);
  const told = found.flip;
  const told_none =
    found instanceof Error
      ? failure(found)
      : note(el("b", null, t("flip-none")), " ", plainWords(told.note || ""));
  const said =
    told && told.rival
      ? [
          flipSentence({ ...told, user }),
          el(
            "p",
            { class: "small soft" },
            told.verified ? t("flip-checked") : plainWords(told.note),
          ),
        ]
      : told_none;
  return [
    head(t("what-if-title"), t("what-if-saved")),
    card(t("smallest-change"), said),
    el(
      "p",
      { class: "after" },
      link("recommendations", { user }, { class: "button" }, t("to-list")),
    ),
  ];
}
