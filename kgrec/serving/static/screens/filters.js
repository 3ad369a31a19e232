// The filters of a Why page: a change goes into the address, and the paths are searched again.

import { place } from "../address.js";
import { el, label, plain } from "../dom.js";
import { count, t } from "../language.js";
import { session } from "../session.js";

const FILTERS = ["deny", "type", "max_length", "max_degree", "users", "min_drop", "rank_by"];
const LISTS = ["deny", "type"];
const ORDERS = ["", "facts", "drop", "drop_mask", "attribution", "joint", "weight", "length"];

export function filtersOf(params) {
  const given = FILTERS.filter((name) => params.has(name));
  return Object.fromEntries(
    given.map((name) => [name, LISTS.includes(name) ? params.getAll(name) : params.get(name)]),
  );
}

export function filterPanel(base, show) {
  const { params } = place();
  const set = (name, values) => {
    const now = place();
    now.params.delete(name);
    for (const value of [values].flat())
      if (value !== "" && value !== null) now.params.append(name, value);
    history.pushState(null, "", `#/${now.screen}?${now.params}`);
    session.drawn = location.hash;
    show();
  };
  const clear = el(
    "button",
    {
      type: "button",
      class: "quiet",
      onclick: () => {
        const now = place();
        for (const name of FILTERS) now.params.delete(name);
        location.hash = `#/why?${now.params}`;
      },
    },
    t("clear-all"),
  );

  const pick = (name, options) => {
    const made = el(
      "select",
      { name, onchange: () => set(name, made.value) },
      options.map(([value, words]) => el("option", { value }, words)),
    );
    made.value = params.get(name) || "";
    return made;
  };
  const field = (words, input) =>
    el(
      "fieldset",
      null,
      el("label", { class: "field" }, el("span", { class: "name" }, words), input),
    );
  const drop = el("input", {
    type: "number",
    step: "any",
    inputmode: "decimal",
    value: params.get("min_drop") || "",
    placeholder: t("any"),
    name: "min_drop",
    onchange: () => set("min_drop", drop.value),
  });
  const hub = (most) => [most, t("above-facts", { n: count(most) })];
  const hops = (n) => [String(n), t(n === 4 ? "hops-slow" : n === 1 ? "hop-1" : "hops-n", { n })];
  const inner = [
    el("fieldset", null, el("legend", null, t("relations")), relationTicks(params, set)),
    el("fieldset", null, el("legend", null, t("stops")), typeTicks(params, set)),
    field(
      t("order-by"),
      pick(
        "rank_by",
        ORDERS.map((name) => [name, t(`order.${name || "like"}`)]),
      ),
    ),
    field(
      t("other-users"),
      pick(
        "users",
        ["", "show", "hide"].map((name) => [name, t(`users.${name || "count"}`)]),
      ),
    ),
    field(t("longest"), pick("max_length", [["", t("as-run")], ...[1, 2, 3, 4].map(hops)])),
    field(
      t("hubs"),
      pick("max_degree", [["", t("keep-all")], ...["1000", "200", "50", "20"].map(hub)]),
    ),
    field(t("least-drop"), drop),
  ];
  const folded = el(
    "details",
    { open: !matchMedia("(max-width: 62rem)").matches },
    el("summary", null, t("filters")),
    clear,
    inner,
  );
  return el("aside", { class: "card filters", "aria-label": t("filters") }, folded);
}

function relationTicks(params, set) {
  const denied = new Set(params.getAll("deny"));
  const likes = { key: "interacts", label: t("interactions"), facts: session.about.sizes.train };
  const tick = (relation) => {
    const box = el("input", {
      type: "checkbox",
      checked: !denied.has(relation.key),
      value: relation.key,
      name: "relation",
    });
    box.addEventListener("change", () => {
      set(
        "deny",
        [...made.querySelectorAll("input")].filter((one) => !one.checked).map((one) => one.value),
      );
    });
    return el(
      "label",
      { class: "tick", title: plain(relation.key) },
      box,
      label(relation.label),
      el("span", { class: "n" }, count(relation.facts)),
    );
  };
  const made = el("div", { class: "list" }, [likes, ...session.about.relations].map(tick));
  return made;
}

function typeTicks(params, set) {
  const kinds = ["item", "entity", "users"];
  const chosen = params.getAll("type");
  const tick = (kind) => {
    const box = el("input", {
      type: "checkbox",
      checked: !chosen.length || chosen.includes(kind),
      value: kind,
      name: "type",
    });
    box.addEventListener("change", () => {
      const on = [...made.querySelectorAll("input")]
        .filter((one) => one.checked)
        .map((one) => one.value);
      if (on.length === kinds.length) set("type", []);
      else set("type", on.length ? on : ["none"]);
    });
    return el("label", { class: "tick" }, box, t(`kinds.${kind}`));
  };
  const made = el("div", null, kinds.map(tick));
  return made;
}
