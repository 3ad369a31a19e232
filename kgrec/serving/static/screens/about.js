// What was trained, on what, and what every number of these pages means.

import { el, plain } from "../dom.js";
import { count, t } from "../language.js";
import { known } from "../numbers.js";
import { card, head, note } from "../pieces.js";
import { session } from "../session.js";

const MEANING = [
  "score",
  "rank",
  "margin",
  "like",
  "facts",
  "drop",
  "placebo",
  "mask",
  "own",
  "liked",
  "supported",
  "loose",
  "basis",
  "found",
  "hidden",
  "difference",
  "relation-share",
  "pattern",
  "knock-out",
];

function shown(value) {
  if (typeof value !== "number") return plain(String(value));
  return Number.isInteger(value) ? count(value) : String(value);
}

const list = (rows) =>
  el(
    "dl",
    { class: "facts" },
    rows
      .filter(([, value]) => known(value) && value !== "")
      .map(([name, value]) => [
        el("dt", null, plain(name)),
        el("dd", { class: "num" }, shown(value)),
      ]),
  );

export async function aboutScreen() {
  const { about } = session;
  const { sizes, training, limits } = about;
  const model = [
    [t("model"), about.model],
    [t("preset"), about.preset],
    [t("epochs"), training.epochs],
    [t("best-epoch"), training.best_epoch],
    [t("chosen-by"), training.selection],
    [t("seed"), about.seed],
    ...Object.entries(about.config),
  ];
  const data = [
    [t("name"), about.dataset],
    ...["users", "items", "entities", "relations", "triples", "train", "valid"].map((name) => [
      t(`size.of-${name}`),
      sizes[name],
    ]),
    [t("checksum"), about.checksum ? `${about.checksum.slice(0, 16)}…` : ""],
    [t("images"), about.images ? t("images-n", { n: count(about.images) }) : ""],
  ];
  const bounds = [
    [t("limit.paths"), limits.paths],
    [t("limit.items"), limits.items],
    [t("limit.changes"), limits.changes],
    ["kgrec", about.versions.kgrec],
  ];
  return [
    head(t("about-title"), t("about-lead")),
    el(
      "div",
      { class: "thirds" },
      card(t("model"), list(model)),
      card(t("dataset"), list(data)),
      card(t("limits"), list(bounds), note(t("limits-note"))),
    ),
    card(
      t("meaning"),
      el(
        "dl",
        { class: "legend" },
        MEANING.map((name) =>
          el(
            "div",
            null,
            el("dt", null, t(`mean-name.${name}`)),
            el("dd", null, t(`mean.${name}`)),
          ),
        ),
      ),
    ),
  ];
}
