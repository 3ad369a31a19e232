// Everybody, to choose whose list to look at.

import { address } from "../address.js";
import { el, label, plain, say } from "../dom.js";
import { count, many, t } from "../language.js";
import { card, failure, head, link, meter, rowHead, state, table, th } from "../pieces.js";
import { session } from "../session.js";

export async function usersScreen(params) {
  const asked = params.get("q") || "";
  const list = el("div");
  const field = el("input", {
    type: "search",
    value: asked,
    placeholder: t("id-or-name"),
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": t("search-users"),
    maxlength: "200",
  });
  let asks = 0;
  const fill = async (words) => {
    const mine = ++asks;
    const found = await session.source.users(words, 0).catch((error) => error);
    if (mine !== asks) return;
    if (found instanceof Error) list.replaceChildren(failure(found));
    else {
      say(many(found.total, "n.users-found"));
      list.replaceChildren(
        found.rows.length ? usersTable(found, words) : state(t("no-user"), t("no-user-why")),
      );
    }
  };
  let timer = 0;
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      history.replaceState(null, "", address("users", { q: field.value }));
      session.drawn = location.hash;
      fill(field.value);
    }, 180);
  });
  await fill(asked);
  return [head(t("users-title"), t("users-lead")), el("div", { class: "search" }, field), list];
}

function usersTable(found, words) {
  const most = Math.max(1, ...found.rows.map((row) => row.history));
  const named = found.rows.some((row) => row.label !== row.user);
  const line = (row) =>
    el(
      "tr",
      { class: "pick" },
      rowHead(link("recommendations", { user: row.user }, null, label(row.label))),
      named && el("td", { class: "hide-small" }, el("code", { class: "soft" }, plain(row.user))),
      el(
        "td",
        { class: "wide" },
        meter(row.history / most, "plain", many(row.history, "n.interactions")),
      ),
      el("td", { class: "num" }, count(row.history)),
    );
  const heads = [
    th(t("user")),
    named && th(t("id"), "hide-small"),
    th(el("span", { class: "sr" }, t("history-bar"))),
    th(t("history"), "num"),
  ];
  const made = table(
    many(found.total, words ? "n.users-found" : "n.users"),
    heads,
    found.rows.map(line),
  );
  made.classList.add("people");
  let shown = found.rows.length;
  const next = el(
    "button",
    {
      type: "button",
      onclick: async () => {
        const page = await session.source.users(words, shown);
        made.tBodies[0].append(...page.rows.map(line));
        shown += page.rows.length;
        if (shown >= found.total) next.remove();
      },
    },
    t("show-more"),
  );
  return card(null, made, shown < found.total ? el("div", { class: "actions" }, next) : null);
}
