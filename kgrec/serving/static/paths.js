// Paths: the sentence of one, its stops and hops, its measured drops, and the facts of a hop.

import { el, label, outside, own, plain } from "./dom.js";
import { count, many, rich, t } from "./language.js";
import { fixed, known, number, percent } from "./numbers.js";
import { badge, copyButton, link, meter } from "./pieces.js";
import { session } from "./session.js";

// ---- the sentence

/** Return the server's sentence, begun with a capital, without the marks of titles. */
export function spoken(text) {
  const whole = text.replace(/\*/g, "");
  return whole.slice(0, 1).toUpperCase() + whole.slice(1);
}

/** Return the server's sentence with its titles set apart. */
export function sentence(text) {
  const parts = text.split("*").map((part, at) => {
    if (at % 2) return label(part, { class: "em" });
    const words = part.split(" - ").join(" – ");
    return at === 0 ? plain(words.slice(0, 1).toUpperCase() + words.slice(1)) : spaced(words);
  });
  return el("p", { class: "reason" }, parts);
}

const spaced = (words) =>
  words
    .split(/( )/)
    .map((one) => (one === " " ? one : plain(one)))
    .join("");

/** Return a button that copies the sentence of an explanation, null where there is no path. */
export function copySentence({ explanation: told, headline }) {
  if (!told.paths.length) return null;
  return copyButton(() => spoken(told.paths[headline].text), t("copy-sentence"));
}

export function reason({ explanation: told, headline }) {
  if (!told.paths.length) return el("p", { class: "reason" }, t("no-path-short"));
  return sentence(told.paths[headline].text);
}

/** Return the drop that the sentence rests on, or null where it claims no cause. */
function claimed(path) {
  const causes = [path.claims.like === "cause", path.claims.facts === "cause"];
  if (causes[0] && causes[1]) return ["size.both", path.drop_delete];
  if (causes[0]) return ["size.like", path.like_drop];
  return causes[1] ? ["size.facts", path.facts_drop] : null;
}

/** Return how much the sentence's reason is worth, in words and as a bar. */
export function worth({ explanation: told, headline }) {
  if (!told.paths.length) return null;
  const path = told.paths[headline];
  const [key, drop] = claimed(path) || [];
  if (!known(drop))
    return el(
      "p",
      { class: "size" },
      t(path.basis === "not measured" ? "size.unmeasured" : "size.none"),
    );
  // Of a score near 0 a drop is no share: it would be many times the whole.
  const share = told.score > 0 && drop <= told.score ? drop / told.score : null;
  const value = share === null ? fixed(drop, 4) : percent(drop, told.score);
  const item = label(path.text.split("*")[1], { class: "em" });
  const words = share !== null && share < 0.001 ? t("size.small") : rich(key, { value, item });
  return el(
    "p",
    { class: "size" },
    share === null ? null : meter(share, ""),
    el("span", null, words),
  );
}

// ---- stops and hops

/** Return a stop as a link to its own page, where it has one. */
export function stop(node) {
  const shown = { class: `stop ${node.kind}` };
  const screens = { item: ["item", { item: node.key }], entity: ["entity", { entity: node.key }] };
  if (!screens[node.kind] || !session.source.served) return label(node.label, shown);
  return link(...screens[node.kind], shown, label(node.label));
}

export function lane(path, shown, view) {
  const parts = [el("li", null, el("span", { class: "stop user" }, t("you")))];
  path.hops.forEach((hop, at) => {
    const words = shown.hops[at].words.map(plain).join(t("and"));
    const open = () => openHop(path, shown, at, view);
    const button = { type: "button", class: "hop", "aria-haspopup": "dialog", onclick: open };
    const drop = (path.hop_drops || [])[at];
    parts.push(
      el(
        "li",
        null,
        el(
          "button",
          button,
          el("span", { class: "arrow", "aria-hidden": "true" }, hop.forward ? "—" : "←"),
          el("span", { class: "word" }, words),
          known(drop)
            ? el("span", { class: "hop-drop num", title: t("hop-drop") }, fixed(drop, 4))
            : null,
          el("span", { class: "arrow", "aria-hidden": "true" }, hop.forward ? "→" : "—"),
          el("span", { class: "sr" }, t("show-facts")),
        ),
        stop(hop.target),
      ),
    );
  });
  return el("ol", { class: "lane" }, parts);
}

/** Return the measured drops of a path, like and facts apart. */
export function drops(path) {
  const apart = [
    ["like", path.like_drop],
    ["facts", path.basis === "post-hoc" ? null : path.facts_drop],
  ];
  const measured = apart.filter(([, drop]) => known(drop));
  if (measured.length || path.basis === "post-hoc" || !known(path.drop_delete)) return measured;
  return [["both", path.drop_delete]];
}

export const largestDrop = (paths) =>
  Math.max(...paths.flatMap((path) => drops(path).map(([, drop]) => Math.abs(drop))), 1e-12);

export function pathRow(path, shown, at, told, largest, view) {
  const bar = ([kind, drop]) => {
    const value = fixed(Math.abs(drop), 4);
    const words = t(drop < 0 ? `rises.${kind}` : `falls.${kind}`, { value });
    const side = drop < 0 ? "down" : kind;
    return el(
      "div",
      { class: "part" },
      el("span", { class: "name" }, t(`drop.${kind}`)),
      el(
        "span",
        {
          class: `drop ${drop < 0 ? "down" : ""}`,
          title: words,
          "data-value": String(drop),
          "data-kind": kind,
        },
        fixed(drop, 4),
      ),
      meter(Math.abs(drop) / largest, side, words),
    );
  };
  const measured = drops(path);
  const none = t(path.basis === "not measured" ? "effect-unmeasured" : "effect-none");
  const rank = told.rank === null ? "–" : count(told.rank);
  const more = [
    measured.length > 1 ? [t("drop.whole"), " ", number(path.drop_delete)] : null,
    known(path.drop_mask) ? [t("weights-kept"), " ", number(path.drop_mask)] : null,
    known(path.placebo) && path.placebo !== null && typeof path.placebo === "number"
      ? [t("placebo"), " ", number(path.placebo)]
      : null,
    path.rank_after ? t("rank-change", { before: rank, after: count(path.rank_after) }) : null,
    path.users ? many(path.users, "n.users-together") : null,
  ];
  return el(
    "li",
    { class: "path", id: `path-${at + 1}` },
    el(
      "div",
      { class: "say" },
      sentence(path.text),
      copyButton(() => spoken(path.text)),
    ),
    el(
      "div",
      { class: "effect" },
      measured.length ? measured.map(bar) : el("span", { class: "soft" }, none),
      el(
        "span",
        { class: "more" },
        more.filter(Boolean).map((one) => el("span", null, one)),
        badge(path.basis),
      ),
    ),
    lane(path, shown, view),
  );
}

// ---- the facts of a hop, in a drawer

const drawer = document.getElementById("drawer");
drawer.addEventListener("click", (event) => {
  if (event.target === drawer) drawer.close();
});

export function closeDrawer() {
  if (drawer.open) drawer.close();
}

export function openDrawer(over, title, ...children) {
  const close = el("button", { type: "button", class: "quiet", onclick: closeDrawer }, t("close"));
  drawer.replaceChildren(
    el(
      "div",
      { class: "in" },
      el(
        "header",
        null,
        el(
          "div",
          null,
          el("p", { class: "small soft" }, over),
          el("h2", { id: "drawer-title" }, title),
        ),
        close,
      ),
      ...children,
    ),
  );
  drawer.showModal();
}

function nodeFacts(view, node) {
  const more = own(view.nodes, `${node.kind} ${node.key}`) || { iri: "", degree: 0 };
  const row = (words, ...value) => [el("dt", null, words), el("dd", null, ...value)];
  return el(
    "dl",
    { class: "facts" },
    row(t("label"), label(node.label)),
    node.key && node.key !== more.iri ? row(t("id"), el("code", null, plain(node.key))) : null,
    more.iri ? row("IRI", outside(more.iri)) : null,
    node.kind === "users" ? null : row(t("facts"), many(more.degree, "n.facts-in-training")),
  );
}

export function openHop(path, shown, at, view) {
  const hop = path.hops[at];
  const relations = [hop, ...hop.also];
  const fact = (relation, n) => {
    const [from, to] = relation.forward ? [hop.source, hop.target] : [hop.target, hop.source];
    const places = [...new Set(shown.hops[at].places[n] || [])];
    const iri = /^https?:/.test(relation.relation);
    const more = relation.facts.length - places.length;
    return el(
      "section",
      null,
      el(
        "h3",
        null,
        label(from.label),
        " — ",
        label(relation.relation_label),
        " → ",
        label(to.label),
      ),
      el(
        "p",
        { class: "small soft" },
        t("relation"),
        " ",
        iri ? outside(relation.relation) : el("code", null, plain(relation.relation)),
      ),
      el(
        "ul",
        { class: "places small" },
        places.map((where) => el("li", null, el("code", null, plain(where)))),
      ),
      more > 0 && places.length >= 20
        ? el("p", { class: "small soft" }, t("and-more", { n: count(more) }))
        : null,
    );
  };
  const words = shown.hops[at].words.map(plain).join(t("and"));
  const drop = (path.hop_drops || [])[at];
  openDrawer(
    t("hop-of", { n: at + 1, all: path.length }),
    [label(hop.source.label), ` ${words} `, label(hop.target.label)],
    known(drop) ? el("p", null, t("hop-drop"), ": ", number(drop)) : null,
    el("p", { class: "lead" }, t(relations.length > 1 ? "several-relations" : "stated-in")),
    relations.map(fact),
    el("section", null, el("h3", null, t("from")), nodeFacts(view, hop.source)),
    el("section", null, el("h3", null, t("to")), nodeFacts(view, hop.target)),
  );
}
