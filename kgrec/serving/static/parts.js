// The budget of a score: its parts, as a bar with a key.

import { el, plain } from "./dom.js";
import { many, t } from "./language.js";
import { fixed, known, percent, signed } from "./numbers.js";

/** Return the parts of a budget that a bar shows; they add up to the score. */
export function pieces(budget) {
  const liked = budget.by_liked.reduce((all, term) => all + term.value, 0);
  const out = [{ kind: "own", name: t("part.own"), value: budget.own, what: t("part-what.own") }];
  if (known(budget.supported)) {
    const rest = liked - budget.supported;
    out.push({
      kind: "liked",
      name: t("part.liked"),
      value: budget.supported,
      what: t("part-what.liked"),
    });
    out.push({ kind: "loose", name: t("part.loose"), value: rest, what: t("part-what.loose") });
  } else if (budget.by_liked.length) {
    const what = many(budget.by_liked.length, "n.liked");
    out.push({ kind: "liked", name: t("part.all-liked"), value: liked, what });
  }
  if (budget.bias) {
    out.push({ kind: "rest", name: t("part.bias"), value: budget.bias, what: t("part-what.bias") });
  }
  for (const [name, value] of Object.entries(budget.other)) {
    if (value) out.push({ kind: "rest", name: plain(name), value, what: "" });
  }
  return out;
}

/** Return whether parts may be called shares: score and parts are positive. */
export function asShares(budget) {
  return budget.score > 0 && pieces(budget).every((part) => part.value >= -0.0005 * budget.score);
}

export function split(budget, words = "", share = 1) {
  const parts = pieces(budget);
  const size = parts.reduce((all, part) => all + Math.abs(part.value), 0) || 1;
  const width = (part) => (100 * Math.abs(part.value)) / size;
  const bar = (list, kind) =>
    list.map((part) => el("i", { class: kind || part.kind, width: width(part) }));
  const said = parts.map((part) => `${part.name} ${fixed(part.value, 3)}`).join(", ");
  const down = parts.filter((part) => part.value < 0);
  const read = { role: "img", "aria-label": t("parts-of-score", { parts: said }) };
  return el(
    "div",
    { class: `stack ${words}`, width: 100 * share, ...read },
    bar(down, "neg"),
    down.length ? el("i", { class: "zero" }) : null,
    bar(parts.filter((part) => part.value > 0)),
  );
}

/** Return the key of the bars: what each color and pattern stands for. */
export function barKey(kinds) {
  return el(
    "p",
    { class: "bar-key" },
    kinds.map((kind) => el("span", null, el("span", { class: `dot ${kind}` }), t(`key.${kind}`))),
  );
}

export function partsList(budget) {
  const shares = asShares(budget);
  return el(
    "ul",
    { class: "key" },
    pieces(budget).map((part) =>
      el(
        "li",
        null,
        el("span", { class: `dot ${part.value < 0 ? "neg" : part.kind}` }),
        el(
          "span",
          null,
          el("b", null, part.name),
          " ",
          signed(part.value, 3),
          " ",
          shares ? el("span", { class: "soft small" }, percent(part.value, budget.score)) : null,
        ),
        part.what ? el("span", { class: "what" }, part.what) : null,
      ),
    ),
  );
}
