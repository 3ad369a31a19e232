"use strict";
// The path inspector. Text reaches the page by textContent alone; the list is the source of truth, the drawing a second view of it.

(() => {
  const GRAPH_PATHS = 12;
  const SLICE = 30;
  const SHOWN = 200;
  const TOKEN = "kgrec-token";

  // ---- elements

  /** Make an element. Attributes named "on..." are listeners, "width" of a bar is set as a style; children are nodes or text. */
  function el(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "class") made.className = value;
      else if (key === "width") made.style.width = `${value}%`;
      else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (key in made && typeof value !== "string") made[key] = value;
      else made.setAttribute(key, value === true ? "" : value);
    }
    for (const child of children.flat(3)) if (child !== null && child !== undefined && child !== false) made.append(child);
    return made;
  }

  const UNSAFE = /[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;
  const MARKS = /([\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff]{4})[\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff]+/g;

  /** Return text of other people's data as it may be shown: one line, cut, with what cannot be seen or turns the line around written out. */
  function plain(text) {
    const whole = String(text).slice(0, 10000).replace(MARKS, "$1");
    const cut = whole.length <= SHOWN ? whole : `${whole.slice(0, SHOWN - 1)}…`;
    return cut.replace(UNSAFE, (c) => {
      const code = c.charCodeAt(0);
      return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
    });
  }

  const label = (text, attributes) => el("bdi", attributes || null, plain(text));

  /** Return a link to an address of the web, or its text alone where it is something else. It is never fetched. */
  function outside(iri) {
    if (!/^https?:\/\/[^\s<>"]+$/i.test(iri)) return el("code", null, plain(iri));
    return el("a", { href: iri, rel: "noopener noreferrer", target: "_blank", class: "code" }, plain(iri));
  }

  // ---- numbers

  function fixed(value, digits) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    const text = size === 0 || size >= 0.5 * 10 ** -digits ? value.toFixed(digits) : size >= 1e-6 ? value.toPrecision(2) : value.toExponential(1);
    return text.replace(/^-(?=[0.]*$)/, "").replace(/-/g, "−");
  }
  const number = (value, digits = 4) => el("span", { class: "num", "data-value": String(value) }, fixed(value, digits));
  const signed = (value, digits = 4) => el("span", { class: `num ${value < 0 ? "down" : "up"}`, "data-value": String(value) }, (value > 0 ? "+" : "") + fixed(value, digits));
  const count = (value) => Number(value).toLocaleString("en-US");
  const many = (value, word, plural) => `${count(value)} ${value === 1 ? word : plural || `${word}s`}`;
  function percent(part, whole) {
    if (!whole) return "";
    const share = (100 * part) / whole;
    if (share !== 0 && Math.abs(share) < 0.1) return "under 0.1\u00a0%";
    return `${fixed(share, Math.abs(share) < 10 ? 1 : 0)}\u00a0%`;
  }

  // ---- the address: #/screen?name=value

  function place() {
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
    return { screen: SCREENS[path] ? path : "users", params: new URLSearchParams(query || "") };
  }
  function address(screen, params) {
    const query = new URLSearchParams();
    for (const [key, value] of Object.entries(params || {})) for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") query.append(key, one);
    const text = query.toString();
    return `#/${screen}${text ? `?${text}` : ""}`;
  }

  // ---- where answers come from

  class Failed extends Error {
    constructor(message, status) { super(message); this.status = status; }
  }

  class Server {
    constructor() {
      this.answers = new Map();
      const given = /[#?&]token=([\w-]+)/.exec(location.hash);
      if (given) {
        keep(TOKEN, given[1]);
        history.replaceState(null, "", "#/users");
      }
    }
    async ask(name, params, body) {
      const url = `/api/${name}?${new URLSearchParams(Object.entries(params || {}).flatMap(([k, v]) => [v].flat().filter((x) => x !== null && x !== undefined && x !== "").map((x) => [k, x])))}`;
      const key = url + (body ? JSON.stringify(body) : "");
      if (!this.answers.has(key)) {
        const answer = this.fetch(url, body);
        this.answers.set(key, answer);
        answer.catch(() => this.answers.delete(key));
        if (this.answers.size > 400) this.answers.delete(this.answers.keys().next().value);
      }
      return this.answers.get(key);
    }
    async request(url, body) {
      const headers = { "X-Kgrec-Token": kept(TOKEN) || "" };
      if (body) headers["Content-Type"] = "application/json";
      try {
        return await fetch(url, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), credentials: "omit", cache: "no-store" });
      } catch {
        throw new Failed("The inspector does not answer. Is kgrec inspect still running?", 0);
      }
    }
    async fetch(url, body) {
      const response = await this.request(url, body);
      let found = {};
      try { found = await response.json(); } catch { /* told below */ }
      if (!response.ok) throw new Failed(found.error || `The inspector answered ${response.status}.`, response.status);
      return found;
    }
    run() { return this.ask("run"); }
    users(q, offset) { return this.ask("users", { q, offset, limit: 25 }); }
    items(q) { return this.ask("items", { q, limit: 12 }); }
    recommend(user, k) { return this.ask("recommend", { user, k }); }
    explain(user, item, asked) { return this.ask("explain", { user, item, ...asked }); }
    compare(user, first, second) { return this.ask("compare", { user, first, second }); }
    flip(user, item) { return this.ask("flip", { user, item }); }
    whyNot(user, item) { return this.ask("why-not", { user, item }); }
    facts(item) { return this.ask("facts", { item }); }
    whatIf(body) { return this.ask("what-if", {}, body); }
    summary(by, knock) { return this.ask("summary", { by, knock_out: knock ? 1 : null, users: by === "pattern" ? 20 : 200 }); }
    async export(user) {
      const response = await this.request(`/api/export?${new URLSearchParams({ user })}`);
      if (!response.ok) throw new Failed("The page could not be written.", response.status);
      return response.blob();
    }
  }

  const ABSENT = "This page was saved for reading offline: it holds what was asked for when it was written. Start kgrec inspect RUN to ask the model.";

  class Saved {
    constructor(data) { this.data = data; }
    found(value) {
      if (!value) throw new Failed(ABSENT, 410);
      if (value.error) throw new Failed(value.error, 409);
      return value;
    }
    async run() { return this.data.run; }
    async users(q, offset) {
      const wanted = q.trim().toLowerCase();
      const rows = this.data.users.filter((row) => `${row.user} ${row.label}`.toLowerCase().includes(wanted));
      return { total: rows.length, offset, rows: rows.slice(offset, offset + 50) };
    }
    async items() { return { total: 0, rows: [] }; }
    async recommend(user) { return this.found(own(this.data.recommend, user)); }
    async explain(user, item, asked) {
      const view = this.found(own(own(this.data.explain, user) || {}, item));
      return sift(view, asked);
    }
    async compare(user, first, second) {
      const views = await Promise.all([first, second].map((item) => this.explain(user, item, {})));
      for (const [a, b, found] of own(this.data.compare, user) || []) {
        if (a === first && b === second) return { ...this.found(found), views };
        if (a === second && b === first) return { contrast: turned(this.found(found).contrast), views };
      }
      throw new Failed(ABSENT, 410);
    }
    async flip(user, item) {
      const found = this.found(own(this.data.flip, user));
      if (item && found.flip.item.key !== item) throw new Failed(ABSENT, 410);
      return found;
    }
    async whyNot() { throw new Failed(ABSENT, 410); }
    async facts() { return { total: 0, rows: [] }; }
    async whatIf() { throw new Failed(ABSENT, 410); }
    async summary(by, knock) { return this.found(knock ? null : own(this.data.summary, by)); }
  }

  const own = (object, key) => (Object.hasOwn(object, key) ? object[key] : undefined);

  /** Return a contrast read from its other side. */
  function turned(c) {
    const back = (terms) => terms.map((term) => ({ ...term, value: -term.value })).reverse();
    return {
      ...c, first: c.second, second: c.first, difference: -c.difference, own: -c.own, bias: -c.bias, residual: -c.residual, by_liked: back(c.by_liked),
      other: Object.fromEntries(Object.entries(c.other).map(([key, value]) => [key, -value])), only_first: c.only_second, only_second: c.only_first,
    };
  }

  /** Return a saved explanation with the paths that pass the filters: the server searches anew, a saved page sifts what it holds. */
  function sift(view, asked) {
    const deny = new Set([asked.deny || []].flat());
    const types = new Set([asked.type || []].flat());
    const told = view.explanation;
    const keep = told.paths.map((path) => {
      const stops = path.hops.slice(0, -1).map((hop) => hop.target);
      const denied = path.hops.some((hop) => [hop, ...hop.also].every((one) => deny.has(one.relation)));
      const degree = Math.max(0, ...stops.map((stop) => (own(view.nodes, `${stop.kind} ${stop.key}`) || { degree: 0 }).degree));
      return !denied
        && (!types.size || stops.slice(1).every((stop) => types.has(stop.kind === "user" ? "users" : stop.kind)))
        && (!asked.max_length || path.length <= Number(asked.max_length)) && (!asked.max_degree || degree <= Number(asked.max_degree))
        && !(asked.users === "hide" && stops.some((stop) => stop.kind === "users" || stop.kind === "user"))
        && (asked.min_drop === undefined || asked.min_drop === null || path.drop_delete >= Number(asked.min_drop));
    });
    const first = asked.k ? Number(asked.k) : 10;
    const size = (at) => Math.abs(told.paths[at].attribution ?? told.paths[at].drop_delete);
    const all = told.paths.reduce((sum, _, at) => sum + size(at), 0);
    const gone = told.paths.reduce((sum, _, at) => sum + (keep[at] ? 0 : size(at)), 0);
    const rows = told.paths.map((_, at) => at).filter((at) => keep[at]).slice(0, first);
    const missing = keep.filter((kept) => !kept).length;
    const counts = {};
    if (missing) told.paths.forEach((path, at) => { if (keep[at]) counts[path.length] = (counts[path.length] || 0) + 1; });
    return {
      ...view, saved: told.paths.length, paths: rows.map((at) => view.paths[at]),
      explanation: {
        ...told, paths: rows.map((at) => told.paths[at]), counts: missing ? counts : told.counts,
        hidden: missing ? { paths: missing, share: all ? gone / all : null } : told.hidden,
      },
    };
  }

  // A browser may refuse storage: the page works without.
  function keep(name, value) { try { localStorage.setItem(name, value); } catch { memory[name] = value; } }
  function kept(name) { try { return localStorage.getItem(name); } catch { return memory[name]; } }
  const memory = {};

  // ---- pieces of screens

  const link = (screen, params, attributes, ...children) => el("a", { href: address(screen, params), ...attributes }, ...children);
  const badge = (basis) => el("span", { class: `badge ${basis}`, title: BASES[basis] || "" }, basis);
  const BASES = {
    exact: "computed in closed form; equal to running the model again",
    measured: "the model was run again without the path",
    linearized: "adds up at this point; the parts move when the graph does",
    "post-hoc": "the facts connect, they do not cause: no fact enters this model's score",
  };
  const meter = (share, kind, words) => el("span", words ? { class: "meter", role: "img", "aria-label": words } : { class: "meter", "aria-hidden": "true" }, el("i", { class: kind || "", width: 100 * Math.min(Math.max(share, 0), 1) }));

  function card(title, ...children) { return el("section", { class: "card" }, title && el("h2", null, title), ...children); }

  function head(title, told, ...actions) {
    return el("div", { class: "head" }, el("div", null, el("h1", { tabindex: "-1" }, title), told && el("p", null, told)), actions.flat().length ? el("div", { class: "actions" }, ...actions) : null);
  }

  function state(title, words, ...actions) {
    return el("div", { class: "state" }, el("h2", null, title), el("p", null, words), actions.length ? el("div", { class: "actions" }, ...actions) : null);
  }

  function failure(error) {
    const titles = { 0: "No answer", 401: "This page needs its token", 404: "Not found", 409: "This model cannot say", 410: "Not in this file", 503: "Still working" };
    const again = [0, 503].includes(error.status) && el("button", { type: "button", onclick: () => draw() }, "Try again");
    return state(titles[error.status] || "That did not work", plainWords(error.message), ...(again ? [again] : []));
  }
  const plainWords = (text) => text.split(" ").map(plain).join(" ");

  const waiting = () => el("div", { class: "loading", "aria-hidden": "true" }, ...Array.from({ length: 6 }, () => el("i")));

  function legend(rows) {
    return card("What the numbers mean", el("dl", { class: "legend" }, rows.map((name) => el("div", null, el("dt", null, name), el("dd", null, MEANING[name])))));
  }

  const MEANING = {
    Score: "What the model gives the item for this user; only the order of scores means something, not their size.",
    Rank: "Place of the item among all items the user does not have yet, from 1.",
    Margin: "How far the score is ahead of the next item in the list.",
    "Like and facts": "How much the score falls without the like alone, and without the path's facts alone while the like is kept; both are re-runs, everything computed again. Paths share likes and facts, so drops do not add up.",
    "Weights kept": "The same drop with the weights of all other edges left as they were. Where its sign differs, whether this is a reason depends on how you count.",
    "Own taste": "The part of the score that the user's own trained vector gives; no fact of the graph carries it.",
    "Liked items": "The part of the score that comes through each item the user liked; the parts add up exactly.",
    "Supported by facts": "The piece of the liked items' part where the liked item is joined to this item by a fact, or shares a neighbor with it.",
    "Learned similarity": "The rest of the liked items' part: nodes that the model finds alike though no short path joins them.",
    Effect: "First-order effect of the path's facts on the score; the drawing shows it as the width of the lines.",
    Basis: "Exact: a closed form, equal to a re-run. Measured: the model was run again. Post-hoc: the model reads no graph, so the facts connect but have no effect. Not measured: the model offers no way to take facts away.",
    "Paths found": "All simple paths within the limits between the user and the item, before the best are chosen.",
    Hidden: "The part of all first-order effects that the filters leave out of sight; it still works in the score.",
    Difference: "Score of the first item minus score of the second; the rows add up to it.",
    "Relation share": "What the facts of a relation carry of all these scores, by exact attribution along the graph; the share is its size as a part of all sizes.",
    "Knock-out": "What changes in the lists when all facts of a relation are taken away at once.",
  };

  /** Return the stops and hops of a path as a list; a hop is a button that tells its facts. */
  function lane(path, shown, view) {
    const parts = [el("li", { class: "claim" }, shown.claim || "is connected through"), el("li", null, el("span", { class: "stop user" }, "you"))];
    path.hops.forEach((hop, at) => {
      const words = shown.hops[at].words.map(plain).join(" and ");
      const arrow = hop.forward ? "→" : "←";
      parts.push(el("li", null, el("button", { type: "button", class: "hop", "aria-haspopup": "dialog", onclick: () => openHop(path, shown, at, view) },
        el("span", { class: "arrow", "aria-hidden": "true" }, hop.forward ? "—" : arrow), el("span", { class: "word" }, words),
        el("span", { class: "arrow", "aria-hidden": "true" }, hop.forward ? arrow : "—"), el("span", { class: "sr" }, ": show the facts")),
      label(hop.target.label, { class: `stop ${hop.target.kind}` })));
    });
    return el("ol", { class: "lane" }, parts);
  }

  function reason(view) {
    const told = view.explanation;
    if (!told.paths.length) return el("p", { class: "reason" }, "No path within the limits.");
    const at = Math.max(told.paths.findIndex((path) => path.claims && path.claims.facts === "cause"), 0);
    const path = told.paths[at];
    const shown = view.paths[at];
    const words = (hop) => shown.hops[hop].words.map(plain).join(" and ");
    const chain = (from) => path.hops.slice(from).flatMap((hop, step) => [`${words(from + step)} `, from + step === path.hops.length - 1 ? "this" : label(hop.target.label, { class: "em" }), from + step === path.hops.length - 1 ? "" : " › "]);
    const liked = path.hops.length > 1 && shown.claim.startsWith("because of the like");
    if (!liked) {
      const lead = shown.claim.startsWith("because") ? el("b", null, "Because of the facts: you ") : el("span", null, shown.claim.startsWith("depends") ? "Depends on how you count: you " : "Is connected through: you ");
      return el("p", { class: "reason" }, lead, chain(0));
    }
    const first = label(path.hops[0].target.label, { class: "em" });
    const joined = shown.claim.endsWith("facts") ? el("b", null, ", and because of what joins the two: ") : el("span", null, ". The two are also connected: ");
    return el("p", { class: "reason" }, el("b", null, "Because you "), `${words(0)} `, first, joined, chain(1));
  }

  function split(budget, words = "", share = 1) {
    const parts = pieces(budget);
    const size = parts.reduce((sum, part) => sum + Math.abs(part.value), 0) || 1;
    const bar = (list) => list.map((part) => el("i", { class: part.value < 0 ? "neg" : part.kind, width: (100 * Math.abs(part.value)) / size }));
    const told = parts.map((part) => `${part.name} ${fixed(part.value, 3)}`).join(", ");
    const down = parts.filter((part) => part.value < 0);
    return el("div", { class: `stack ${words}`, width: 100 * share, role: "img", "aria-label": `Parts of the score: ${told}` }, bar(down), down.length ? el("i", { class: "zero" }) : null, bar(parts.filter((part) => part.value > 0)));
  }

  /** Return the parts of a budget that a bar shows; they add up to the score. */
  function pieces(budget) {
    const liked = budget.by_liked.reduce((sum, term) => sum + term.value, 0);
    const out = [{ name: "Own taste", value: budget.own, kind: "own", what: "the user's own trained vector" }];
    const told = budget.supported !== null && budget.supported !== undefined;
    if (told) {
      out.push({ name: "Liked, supported by facts", value: budget.supported, kind: "liked", what: "a fact or shared neighbor joins them to this item" });
      out.push({ name: "Liked, learned similarity", value: liked - budget.supported, kind: "loose", what: "no short path joins them" });
    } else if (budget.by_liked.length) out.push({ name: "Liked items", value: liked, kind: "liked", what: many(budget.by_liked.length, "liked item") });
    if (budget.bias) out.push({ name: "Bias", value: budget.bias, kind: "rest", what: "the same whatever was liked" });
    for (const [name, value] of Object.entries(budget.other)) if (value) out.push({ name: plain(name), value, kind: "rest", what: "" });
    return out;
  }

  // ---- drawer: the facts of a hop

  const drawer = document.getElementById("drawer");
  drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });

  function openHop(path, shown, at, view) {
    const hop = path.hops[at];
    const relations = [hop, ...hop.also];
    const node = (stop) => {
      const more = own(view.nodes, `${stop.kind} ${stop.key}`) || { iri: "", degree: 0 };
      return el("dl", { class: "facts" },
        el("dt", null, "Label"), el("dd", null, label(stop.label)),
        stop.key && stop.key !== more.iri ? [el("dt", null, "Id"), el("dd", null, el("code", null, plain(stop.key)))] : null,
        more.iri ? [el("dt", null, "IRI"), el("dd", null, outside(more.iri))] : null,
        stop.kind === "users" ? null : [el("dt", null, "Facts"), el("dd", { class: "num" }, `${count(more.degree)} in the training graph`)]);
    };
    const fact = (relation, n) => {
      const [from, to] = relation.forward ? [hop.source, hop.target] : [hop.target, hop.source];
      const places = [...new Set(shown.hops[at].places[n] || [])];
      return el("section", null, el("h3", null, label(from.label), " — ", label(relation.relation_label), " → ", label(to.label)),
        el("p", { class: "small soft" }, "Relation ", /^https?:/.test(relation.relation) ? outside(relation.relation) : el("code", null, plain(relation.relation))),
        el("ul", { class: "places small" }, places.map((where) => el("li", null, el("code", null, plain(where))))),
        relation.facts.length > places.length && places.length >= 20 ? el("p", { class: "small soft" }, `and ${count(relation.facts.length - places.length)} more`) : null);
    };
    drawer.replaceChildren(el("div", { class: "in" },
      el("header", null, el("div", null, el("p", { class: "small soft" }, `Hop ${at + 1} of ${path.length}`), el("h2", { id: "drawer-title" }, label(hop.source.label), " ", shown.hops[at].words.map(plain).join(" and "), " ", label(hop.target.label))),
        el("button", { type: "button", class: "quiet", onclick: () => drawer.close() }, "Close")),
      el("p", { class: "lead" }, relations.length > 1 ? "Several relations join the two; the model gives them one weight, so the numbers belong to all of them." : "Stated in:"),
      relations.map(fact),
      el("section", null, el("h3", null, "From"), node(hop.source)), el("section", null, el("h3", null, "To"), node(hop.target))));
    drawer.showModal();
  }

  // ---- screens

  let source = null;
  let about = null;
  let turn = 0;
  let afterwards = []; // what a screen does once it stands on the page

  const SCREENS = { users: usersScreen, recommendations: recommendationsScreen, why: whyScreen, compare: compareScreen, "what-if": whatIfScreen, overall: overallScreen, about: aboutScreen };
  const TITLES = { users: "Users", recommendations: "Recommendations", why: "Why", compare: "Compare", "what-if": "What if", overall: "Overall", about: "About this run" };

  async function usersScreen(params) {
    const asked = params.get("q") || "";
    const list = el("div");
    let asks = 0;
    const field = el("input", { type: "search", value: asked, placeholder: "Id or name", autocomplete: "off", spellcheck: "false", "aria-label": "Search users by id or label", maxlength: "200" });
    const fill = async (words) => {
      const mine = ++asks;
      let found;
      try { found = await source.users(words, 0); } catch (error) { list.replaceChildren(failure(error)); return; }
      if (mine !== asks) return;
      say(`${many(found.total, "user")} found`);
      if (!found.rows.length) { list.replaceChildren(state("Nobody by that name", "No user's id or label has this in it.")); return; }
      const most = Math.max(1, ...found.rows.map((row) => row.history));
      const named = found.rows.some((row) => row.label !== row.user);
      const body = el("tbody");
      const more = el("div", { class: "actions" });
      const add = (rows) => body.append(...rows.map((row) => el("tr", { class: "pick" },
        el("th", { scope: "row" }, link("recommendations", { user: row.user }, null, label(row.label))),
        named && el("td", { class: "hide-small" }, el("code", { class: "soft" }, plain(row.user))), el("td", { class: "wide" }, meter(row.history / most, "plain", many(row.history, "interaction"))), el("td", { class: "num" }, count(row.history)))));
      add(found.rows);
      let shown = found.rows.length;
      const next = el("button", { type: "button", onclick: async () => {
        const page = await source.users(words, shown);
        add(page.rows);
        shown += page.rows.length;
        if (shown >= found.total) next.remove();
      } }, "Show more");
      if (shown < found.total) more.append(next);
      list.replaceChildren(card(null, el("table", null, el("caption", null, words ? `${many(found.total, "user")} found` : many(found.total, "user")),
        el("thead", null, el("tr", null, el("th", { scope: "col" }, "User"), named && el("th", { scope: "col", class: "hide-small" }, "Id"), el("th", { scope: "col" }, el("span", { class: "sr" }, "History, as a bar")), el("th", { scope: "col", class: "num" }, "History"))), body), more));
    };
    let timer = 0;
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => { history.replaceState(null, "", address("users", { q: field.value })); drawn = location.hash; fill(field.value); }, 180);
    });
    await fill(asked);
    return [head("Whose recommendations?", "Choose a user to see the list the model makes, and what each place in it rests on."), el("div", { class: "search" }, field), list];
  }

  async function recommendationsScreen(params) {
    const user = params.get("user");
    const k = Number(params.get("k") || 10);
    const found = await source.recommend(user, k);
    const past = found.history;
    const most = found.rows.length ? found.rows[0].score : 0;
    const learned = past.total - past.rows.filter((row) => row.part === "validation").length;
    const rows = found.rows.map((row) => {
      const told = el("div", null, el("p", { class: "reason" }, "…"));
      const bar = el("div", { class: "split" }, el("div", { class: "stack" }));
      const li = el("li", null, el("span", { class: "place" }, row.rank),
        el("div", null, link("why", { user, item: row.item }, { class: "title" }, label(row.label)), told),
        bar, el("span", { class: "score" }, number(row.score, 3), row.kind && row.kind !== "personal" ? el("small", { class: "soft" }, ` ${row.kind}`) : null),
        el("span", { class: "act" }, link("compare", { user, first: row.item, second: (found.rows.find((other) => other.rank === (row.rank === 1 ? 2 : 1)) || row).item }, { class: "button small", "aria-label": `Compare ${plain(row.label)} with another item` }, "Compare")));
      return { row, li, told, bar };
    });
    const fill = async () => {
      const mine = turn;
      for (const { row, told, bar } of rows) {
        try {
          const view = await source.explain(user, row.item, {});
          if (mine !== turn) return;
          const all = Object.values(view.explanation.counts).reduce((sum, n) => sum + n, 0);
          const basis = view.explanation.paths.length ? view.explanation.paths[0].basis : null;
          told.replaceChildren(reason(view), el("p", { class: "meta small soft" }, basis && badge(basis), many(all, "path"), view.explanation.truncated ? " (more exist)" : ""));
          if (view.explanation.budget) bar.replaceChildren(split(view.explanation.budget, "", most > 0 && row.score > 0 ? row.score / most : 1));
        } catch (error) {
          told.replaceChildren(el("p", { class: "reason" }, plainWords(error.message)));
        }
      }
      document.body.dataset.ready = "reasons";
    };
    afterwards.push(fill);
    const list = rows.length ? card("Recommendations", el("p", { class: "lead" }, "The bar splits each score into own taste (grey) and liked items (green); the line below the title is its strongest path."), el("ol", { class: "recs" }, rows.map((row) => row.li)))
      : card("Recommendations", state("Nothing left to recommend", "The user has every item of the catalog."));
    return [
      head(label(past.label), learned ? `The model learned from ${many(learned, "item")} of this user's history.` : "No history: the list rests on what the model knows of everybody."),
      bounded(found, "items"),
      el("div", { class: "two" }, el("div", null, list), card("History", past.rows.length
        ? [el("p", { class: "lead" }, `Latest first${past.total > past.rows.length ? `, ${count(past.rows.length)} of ${count(past.total)}` : ""}.`), el("ul", { class: "history", tabindex: "0", "aria-label": "History" }, past.rows.map((row) => el("li", null, link("why", { user, item: row.item }, null, label(row.label)), row.part === "validation" ? el("span", { class: "badge" }, "validation") : null)))]
        : el("p", { class: "soft" }, "Nothing here."))),
      legend(["Score", "Own taste", "Liked items", "Basis", "Paths found"]),
    ];
  }

  function bounded(found, what) {
    if (!found.bounded) return null;
    return el("p", { class: "note warn" }, `${count(found.bounded.asked)} ${what} were asked for; a page shows at most ${count(found.bounded.given)}.`);
  }

  const FILTERS = ["deny", "type", "max_length", "max_degree", "users", "min_drop", "rank_by"];
  function filtersOf(params) {
    const out = {};
    for (const name of FILTERS) if (params.has(name)) out[name] = ["deny", "type"].includes(name) ? params.getAll(name) : params.get(name);
    return out;
  }

  async function whyScreen(params) {
    const user = params.get("user");
    const item = params.get("item");
    const k = params.get("k") || undefined;
    const [base, listed] = await Promise.all([source.explain(user, item, { k }), source.recommend(user, 10).catch(() => null)]);
    const told = base.explanation;
    const at = listed ? listed.rows.findIndex((row) => row.item === item) : -1;
    const beside = (offset, words) => {
      const row = at >= 0 && listed.rows[at + offset];
      return row ? link("why", { user, item: row.item }, { class: "button", title: plain(row.label) }, words) : null;
    };
    const rival = told.next_item ? told.next_item.key : at >= 0 && (listed.rows[at + 1] || listed.rows[at - 1] || {}).item;
    const results = el("div", { id: "results" });
    const show = async () => {
      const mine = turn;
      const current = place().params;
      const asked = filtersOf(current);
      results.setAttribute("aria-busy", "true");
      try {
        const view = Object.keys(asked).length ? await source.explain(user, item, { ...asked, k }) : base;
        if (mine !== turn) return;
        results.replaceChildren(...pathsOf(base, view, asked, current));
        drawGraph(view);
        const total = sum(view.explanation.counts);
        say(`${many(total, "path")}, ${count(view.explanation.paths.length)} shown`);
      } catch (error) {
        if (mine === turn) results.replaceChildren(card(null, failure(error)));
      }
      results.removeAttribute("aria-busy");
      document.body.dataset.ready = "paths";
    };
    afterwards.push(show);
    const rank = told.rank === null ? "Already in the history, so it has no rank" : `Rank ${count(told.rank)}`;
    const figures = el("dl", { class: "figure" },
      el("div", null, el("dt", null, "Score"), el("dd", null, number(told.score, 3))),
      told.rank === null ? null : el("div", null, el("dt", null, "Rank"), el("dd", { id: "rank" }, count(told.rank))),
      told.margin === null || told.margin === undefined ? null : el("div", null, el("dt", null, "Margin"), el("dd", null, number(told.margin, 3), told.next_item ? el("small", null, "ahead of ", label(told.next_item.label)) : null)),
      el("div", null, el("dt", null, "Paths found"), el("dd", null, count(sum(told.counts)), el("small", null, lengths(told.counts)))));
    return [
      head(["Why ", label(told.item_label), "?"], [rank, " for user ", label(told.user_label), "."],
        beside(-1, "← Previous"), beside(1, "Next →"), rival ? link("compare", { user, first: item, second: rival }, { class: "button" }, "Compare") : null, link("what-if", { user, item }, { class: "button" }, "What if")),
      bounded(base, "paths"),
      told.budget ? budgetCard(told, figures) : card("The score", figures),
      told.rank !== null && told.rank > 10 && source instanceof Server ? whyNotCard(user, item) : null,
      el("div", { class: "side after" }, filterPanel(base, show), results),
      legend(["Like and facts", "Weights kept", "Own taste", "Supported by facts", "Learned similarity", "Effect", "Basis", "Hidden"]),
    ];
  }

  function whyNotCard(user, item) {
    const answer = el("div");
    const ask = el("button", { type: "button", onclick: async () => {
      ask.disabled = true;
      answer.replaceChildren(waiting());
      try {
        const told = (await source.whyNot(user, item)).why_not;
        const words = told.enters === null ? `Even all of them together do not bring it into the first ${count(told.k)}.` : `With the first ${told.enters === 1 ? "one" : count(told.enters)} of these it would be among the first ${count(told.k)}.`;
        answer.replaceChildren(told.additions.length ? el("p", { class: "note" }, words) : el("p", { class: "note" }, "No further like raises its score."),
          el("table", null, el("thead", null, el("tr", null, el("th", { scope: "col" }, "If this were liked too"), el("th", { scope: "col", class: "num" }, "Change of the score"))), el("tbody", null, told.additions.map((term) => el("tr", null, el("th", { scope: "row" }, label(term.label)), el("td", { class: "num" }, signed(term.value)))))),
          told.note ? el("p", { class: "note small" }, plainWords(told.note)) : null);
      } catch (error) { answer.replaceChildren(failure(error)); }
      ask.disabled = false;
      say("Done");
    } }, "What would bring it in?");
    return card("Why is it not in the list?", el("p", { class: "lead" }, "Which further likes would raise it most? Each is checked by computing the score again."), ask, answer);
  }

  const sum = (counts) => Object.values(counts).reduce((all, n) => all + n, 0);
  const lengths = (counts) => Object.entries(counts).filter(([, n]) => n).map(([length, n]) => `${count(n)} of ${many(Number(length), "hop")}`).join(", ");

  function budgetCard(told, figures) {
    const budget = told.budget;
    const parts = pieces(budget);
    const terms = [...budget.by_liked];
    const largest = Math.max(...terms.map((term) => Math.abs(term.value)), 1e-12);
    const row = (term) => el("tr", null, el("th", { scope: "row" }, label(term.label)), el("td", { class: "wide" }, meter(Math.abs(term.value) / largest, term.value < 0 ? "down" : "", "")), el("td", { class: "num" }, signed(term.value)), el("td", { class: "num soft hide-small" }, percent(term.value, budget.score > 0 ? budget.score : 0)));
    const table = (rows, caption) => el("table", null, el("caption", null, caption), el("thead", null, el("tr", null, el("th", { scope: "col" }, "Liked item"), el("td"), el("th", { scope: "col", class: "num" }, "Part"), el("th", { scope: "col", class: "num hide-small" }, "Of the score"))), el("tbody", null, rows.map(row)));
    const first = terms.slice(0, 5);
    const against = told.against.length ? told.against : terms.filter((term) => term.value < 0).sort((a, b) => a.value - b.value).slice(0, 5);
    return card("Where the score comes from", el("p", { class: "lead" }, "The whole score, nothing left out. ", badge(budget.basis)), figures, split(budget, "tall"),
      el("ul", { class: "key" }, parts.map((part) => el("li", null, el("span", { class: `dot ${part.value < 0 ? "neg" : part.kind}` }), el("span", null, el("b", null, part.name), " ", signed(part.value, 3), " ", el("span", { class: "soft small" }, percent(part.value, budget.score > 0 ? budget.score : 0))), part.what ? el("span", { class: "what" }, part.what) : null))),
      terms.length ? el("details", null, el("summary", null, `The ${many(terms.length, "liked item")}, one by one${against.length ? `; ${count(terms.filter((term) => term.value < 0).length)} pull the score down` : ""}`),
        el("div", { class: "even" }, el("div", null, table(first, "Pull up most")), against.length ? el("div", null, table(against.slice(0, 5), "Pull down most")) : null),
        terms.length > 5 ? el("details", null, el("summary", null, "All of them"), table(terms, "Largest first")) : null) : null,
      budget.on_graph !== null && budget.on_graph !== undefined ? el("p", { class: "small soft note" }, "Real walks from the user to the item carry ", number(budget.on_graph), " of the score", budget.score > 0 ? ` (${percent(budget.on_graph, budget.score)})` : "", "; the rest compares learned vectors of different nodes.") : null,
      el("p", { class: "small soft note" }, "Rounding leaves ", number(budget.residual, 6), "."));
  }

  /** Return the filters; a change goes into the address and fetches the paths anew. */
  function filterPanel(base, show) {
    const params = place().params;
    const set = (name, values) => {
      const now = place();
      now.params.delete(name);
      for (const value of [values].flat()) if (value !== "" && value !== null) now.params.append(name, value);
      history.pushState(null, "", `#/${now.screen}?${now.params}`);
      drawn = location.hash;
      crumbs();
      show();
    };
    const denied = new Set(params.getAll("deny"));
    const known = [{ key: "interacts", label: "liked (interactions)", facts: about.sizes.train }, ...about.relations];
    const ticks = el("div", { class: "list" }, known.map((relation) => {
      const tick = el("input", { type: "checkbox", checked: !denied.has(relation.key), value: relation.key, name: "relation" });
      tick.addEventListener("change", () => set("deny", [...ticks.querySelectorAll("input")].filter((one) => !one.checked).map((one) => one.value)));
      return el("label", { class: "tick", title: plain(relation.key) }, tick, label(relation.label), el("span", { class: "n" }, count(relation.facts)));
    }));
    const kinds = [["item", "items"], ["entity", "entities"], ["users", "other users"]];
    const chosen = params.getAll("type");
    const types = el("div", null, kinds.map(([kind, words]) => {
      const tick = el("input", { type: "checkbox", checked: !chosen.length || chosen.includes(kind), value: kind, name: "type" });
      tick.addEventListener("change", () => {
        const on = [...types.querySelectorAll("input")].filter((one) => one.checked).map((one) => one.value);
        set("type", on.length === kinds.length ? [] : on.length ? on : ["none"]);
      });
      return el("label", { class: "tick" }, tick, words);
    }));
    const pick = (name, options) => {
      const made = el("select", { name, onchange: () => set(name, made.value) }, options.map(([value, words]) => el("option", { value }, words)));
      made.value = params.get(name) || "";
      return made;
    };
    const drop = el("input", { type: "number", step: "any", inputmode: "decimal", value: params.get("min_drop") || "", placeholder: "any", name: "min_drop" });
    drop.addEventListener("change", () => set("min_drop", drop.value));
    const field = (words, input) => el("fieldset", null, el("label", { class: "field" }, el("span", { class: "name" }, words), input));
    const clear = el("button", { type: "button", class: "quiet", onclick: () => {
      const now = place();
      for (const name of FILTERS) now.params.delete(name);
      location.hash = `#/why?${now.params}`;
    } }, "Clear all");
    const inner = [
      el("fieldset", null, el("legend", null, "Relations"), ticks),
      el("fieldset", null, el("legend", null, "Stops on the way"), types),
      field("Other users", pick("users", [["", "counted, not named"], ["show", "named"], ["hide", "left out"]])),
      field("Longest path", pick("max_length", [["", "as the run has it"], ["1", "1 hop"], ["2", "2 hops"], ["3", "3 hops"], ["4", "4 hops (slow)"]])),
      field("Leave out hubs", pick("max_degree", [["", "keep all"], ["1000", "above 1,000 facts"], ["200", "above 200 facts"], ["50", "above 50 facts"], ["20", "above 20 facts"]])),
      field("Smallest drop", drop),
      field("Order by", pick("rank_by", [["", "like"], ["facts", "facts"], ["drop", "like and facts"], ["drop_mask", "drop, weights kept"], ["attribution", "effect"], ["joint", "walks that need every hop"], ["weight", "product of weights"], ["length", "length"]])),
    ];
    const narrow = matchMedia("(max-width: 62rem)").matches;
    return el("aside", { class: "card filters", "aria-label": "Filters" }, narrow
      ? el("details", null, el("summary", null, "Filters"), clear, inner)
      : [el("div", { class: "head-row" }, el("h2", null, "Filters"), clear), inner]);
  }

  function pathsOf(base, view, asked, params) {
    const told = view.explanation;
    const before = sum(base.explanation.counts);
    const after = sum(told.counts);
    const filtered = Object.keys(asked).length > 0;
    const share = told.hidden && told.hidden.share;
    const facts = [el("span", null, el("b", { id: "count-shown" }, count(told.paths.length)), " shown")];
    if (filtered) {
      facts.push(el("span", null, el("b", { id: "count-after" }, count(after)), " pass the filters, of ", el("b", { id: "count-before" }, count(before))));
      if (told.hidden && told.hidden.paths !== undefined) facts.push(el("span", { class: "hid", id: "hidden" }, "Hidden by the filters: ", share === null || share === undefined ? many(told.hidden.paths, "path") : [el("b", { "data-value": String(share) }, percent(share, 1)), ` of the effects, ${many(told.hidden.paths, "path")}`]));
    } else facts.push(el("span", null, "of ", el("b", { id: "count-before" }, count(before)), " found"));
    if (view.saved) facts.push(el("span", { class: "soft" }, `this file holds the ${count(view.saved)} best`));
    const out = [el("p", { class: "told", role: "status" }, facts)];
    if (told.truncated) out.push(el("p", { class: "note warn" }, "The search stopped at its limit: paths through the widest nodes are missing. Leave out hubs or take a smaller length to see everything."));
    if (told.paths.length) out.push(el("section", { class: "card" }, el("h2", null, told.paths.length > GRAPH_PATHS ? "The strongest paths, drawn" : "The paths, drawn"), el("div", { id: "graph", role: "img", "aria-label": "Drawing of the paths listed below, from the user on the left to the item on the right" }),
      el("p", { class: "graph-legend" }, [["k-person", "user"], ["k-item", "item"], ["k-entity", "entity"]].map(([kind, words]) => el("span", null, el("i", { class: kind }), words)), [["k-up", "raises the score"], ["k-down", "lowers it"]].map(([kind, words]) => el("span", null, el("i", { class: `edge ${kind}` }), words)), el("span", null, "wider: larger effect"))));
    out.push(pathList(view, filtered, params));
    for (const note of told.notes) out.push(el("p", { class: "note" }, plainWords(note)));
    return out;
  }

  function pathList(view, filtered, params) {
    const told = view.explanation;
    if (!told.paths.length) {
      return card("Paths", filtered ? state("Every path is hidden", "No path passes the filters; clear them to see what there is.") : state("No path", "No path within the limits joins this user and this item. The score rests on what the parts above say."));
    }
    const groups = new Map();
    told.paths.forEach((path, at) => {
      const first = path.hops[0].target;
      const key = `${first.kind} ${first.key}`;
      if (!groups.has(key)) groups.set(key, { node: first, at: [] });
      groups.get(key).at.push(at);
    });
    const parts = new Map((told.budget ? told.budget.by_liked : []).map((term) => [`${term.kind} ${term.key}`, term]));
    const largest = Math.max(...told.paths.flatMap((path) => drops(path).map(([, drop]) => Math.abs(drop))), 1e-12);
    const group = ([key, group]) => el("section", { class: "group" },
      el("header", null, el("h3", null, "Through ", label(group.node.label)), parts.has(key) ? el("span", { class: "small soft" }, "gives ", signed(parts.get(key).value), " of the score in all") : null),
      rows(group.at));
    // A few hundred paths are written in slices, so that the page answers from the first on.
    const slices = [];
    let budget = SLICE;
    const rows = (all) => {
      const list = el("ul");
      const now = all.splice(0, Math.max(budget, 0));
      budget -= now.length;
      list.append(...now.map(row));
      while (all.length) {
        const next = all.splice(0, SLICE);
        slices.push(() => list.append(...next.map(row)));
      }
      return list;
    };
    const row = (at) => pathRow(told.paths[at], view.paths[at], at, told, largest, view);
    const made = [...groups].map(group);
    const mine = turn;
    const write = () => {
      if (mine !== turn || !slices.length) return;
      slices.shift()();
      setTimeout(write);
    };
    setTimeout(write);
    const first = Number(params.get("k") || 10);
    const more = told.paths.length >= first && first < about.limits.paths && !(view.saved && view.saved <= first)
      ? el("div", { class: "actions" }, link("why", { ...Object.fromEntries([...new Set(params.keys())].map((name) => [name, params.getAll(name)])), k: Math.min(first * 5, about.limits.paths) }, { class: "button" }, "Show more paths")) : null;
    return el("section", { class: `card paths ${made.length > 40 ? "many" : ""}` }, el("h2", null, "Paths"), el("p", { class: "lead" }, "By the liked item they start with. A hop opens its facts."), made, more);
  }

  /** Return the measured drops of a path, like and facts apart. */
  function drops(path) {
    const known = (value) => value !== null && value !== undefined;
    if (known(path.like_drop) || known(path.facts_drop)) {
      const apart = [["like", path.like_drop], ["facts", path.basis === "post-hoc" ? null : path.facts_drop]];
      return apart.filter(([, drop]) => known(drop));
    }
    return path.basis === "post-hoc" || !known(path.drop_delete) ? [] : [["like and facts", path.drop_delete]];
  }

  function pathRow(path, shown, at, told, largest, view) {
    const measured = drops(path);
    const bars = measured.map(([name, drop]) => {
      const words = `${name}: the score ${drop < 0 ? "rises" : "falls"} by ${fixed(Math.abs(drop), 4)} without it`;
      return el("div", { class: "part" }, el("span", { class: "name" }, name), el("span", { class: `drop ${drop < 0 ? "down" : ""}`, title: words, "data-value": String(drop) }, fixed(drop, 4)),
        meter(Math.abs(drop) / largest, drop < 0 ? "down" : "", words));
    });
    const none = path.basis === "not measured" ? "effect not measured" : "no effect";
    const whole = measured.length > 1 ? el("span", null, "both ", number(path.drop_delete)) : null;
    return el("li", { class: "path", id: `path-${at + 1}` },
      el("div", { class: "effect" },
        bars.length ? bars : el("span", { class: "soft" }, none),
        el("span", { class: "more" }, whole, path.drop_mask === null || path.drop_mask === undefined ? null : el("span", null, "weights kept ", number(path.drop_mask)),
          path.rank_after ? el("span", null, `rank ${told.rank === null ? "–" : count(told.rank)} → ${count(path.rank_after)}`) : null,
          path.users ? el("span", null, many(path.users, "user"), " together") : null, badge(path.basis))),
      lane(path, shown, view));
  }

  // ---- the drawing: hop number gives the column, so pictures repeat

  let picture = null;

  function drawGraph(view) {
    const box = document.getElementById("graph");
    if (picture) { picture.destroy(); picture = null; }
    if (!box || typeof cytoscape !== "function") return;
    const told = view.explanation;
    const narrow = box.clientWidth < 520;
    const best = told.paths.map((path, at) => [path, at]).slice(0, narrow ? GRAPH_PATHS / 2 : GRAPH_PATHS);
    const columns = Math.max(...best.map(([path]) => path.length));
    const nodes = new Map();
    const edges = new Map();
    for (const [path, at] of best) {
      let before = null;
      [path.hops[0].source, ...path.hops.map((hop) => hop.target)].forEach((stop, column) => {
        const place = column === path.length ? columns : column;
        const id = stop.kind === "users" ? `${place} users ${at}` : `${place} ${stop.kind} ${stop.key}`;
        if (!nodes.has(id)) nodes.set(id, { id, column: place, kind: stop.kind, text: column === 0 ? "you" : plain(stop.label), order: nodes.size, near: [] });
        if (before !== null) {
          const key = `${before}\n${id}`;
          if (!edges.has(key)) edges.set(key, { id: key, source: before, target: id, effect: 0, path: at, hop: column - 1, text: view.paths[at].hops[column - 1].words.map(plain).join(" / ") });
          edges.get(key).effect += (path.hop_drops || [])[column - 1] ?? path.attribution ?? path.drop_delete ?? 0;
          nodes.get(before).near.push(id);
          nodes.get(id).near.push(before);
        }
        before = id;
      });
    }
    const rows = Array.from({ length: columns + 1 }, () => []);
    for (const node of nodes.values()) rows[node.column].push(node);
    const height = Math.max(...rows.map((row) => row.length));
    const settle = (row) => row.forEach((node, n) => { node.y = ((n + 0.5) * height) / row.length; });
    rows.forEach(settle);
    for (let sweep = 0; sweep < 6; sweep++) {
      for (const row of sweep % 2 ? [...rows].reverse() : rows) {
        for (const node of row) node.pull = node.near.reduce((all, id) => all + nodes.get(id).y, 0) / node.near.length;
        row.sort((a, b) => a.pull - b.pull || a.order - b.order);
        settle(row);
      }
    }
    const wide = Math.max(box.clientWidth, 280);
    const tall = Math.max(box.clientHeight, 200);
    const size = narrow ? 74 : 132;
    const step = Math.max((wide - size - 36) / columns, size + (narrow ? 10 : 30));
    const colors = getComputedStyle(document.documentElement);
    const color = (name) => colors.getPropertyValue(`--${name}`).trim();
    const most = Math.max(...[...edges.values()].map((edge) => Math.abs(edge.effect)), 1e-12);
    const kind = { item: "item", entity: "entity", user: "person", users: "person" };
    const short = (text) => (text.length > 26 ? `${text.slice(0, 25)}…` : text);
    const spot = (id) => ({ x: nodes.get(id).column * step, y: (nodes.get(id).y * tall) / height });
    const gap = Math.max(step - size - 8, 60);
    const taken = [...nodes.keys()].map((id) => ({ ...spot(id), wide: size, tall: 34 }));
    for (const edge of edges.values()) {  // a label stands where on its edge it covers least of nodes and labels before it
      const [from, to] = [spot(edge.source), spot(edge.target)];
      const long = 6.2 * short(edge.text).length + 6;
      const box = (at) => ({ x: from.x + at * (to.x - from.x), y: from.y + at * (to.y - from.y), wide: Math.min(long, gap), tall: 15 * Math.ceil(long / gap) });
      const covered = (one) => taken.reduce((sum, other) => sum + Math.max(0, (one.wide + other.wide) / 2 - Math.abs(one.x - other.x)) * Math.max(0, (one.tall + other.tall) / 2 - Math.abs(one.y - other.y)), 0);
      const best = [0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65].map(box).map((one) => [covered(one), one]).reduce((a, b) => (b[0] < a[0] ? b : a))[1];
      taken.push(best);
      edge.aside = best.x - (from.x + to.x) / 2;
      edge.down = best.y - (from.y + to.y) / 2;
    }
    picture = cytoscape({
      container: box,
      elements: [
        ...[...nodes.values()].map((node) => ({ data: { id: node.id, text: short(node.text), paint: color(kind[node.kind]), ground: color(`${kind[node.kind]}-bg`) }, position: { x: node.column * step, y: (node.y * tall) / height } })),
        ...[...edges.values()].map((edge) => ({ data: { ...edge, text: short(edge.text), wide: 1.2 + 6 * Math.sqrt(Math.abs(edge.effect) / most), paint: edge.effect < 0 ? color("down") : color("up") } })),
      ],
      layout: { name: "preset", fit: true, padding: 14 },
      autoungrabify: true, boxSelectionEnabled: false, userZoomingEnabled: false, userPanningEnabled: false, maxZoom: 1.15, minZoom: 0.3,
      style: [
        { selector: "node", style: { label: "data(text)", "font-family": "system-ui, sans-serif", "font-size": narrow ? 9.5 : 12.5, color: "data(paint)", "text-valign": "center", "text-halign": "center", "text-wrap": "wrap", "text-max-width": narrow ? "68px" : "116px", "background-color": "data(ground)", shape: "round-rectangle", width: size, height: narrow ? 30 : 34, "border-width": 0 } },
        { selector: "edge", style: { width: "data(wide)", "line-color": "data(paint)", "line-opacity": 0.55, "curve-style": "bezier", label: !narrow && columns < 4 && edges.size <= 30 ? "data(text)" : "", "font-family": "system-ui, sans-serif", "font-size": 11, color: color("soft"), "text-background-color": color("card"), "text-background-opacity": 0.9, "text-background-padding": 2, "text-rotation": "none", "text-wrap": "wrap", "text-max-width": `${gap}px`, "text-margin-x": "data(aside)", "text-margin-y": "data(down)", "target-arrow-shape": "none" } },
        { selector: "edge:active, edge.over", style: { "line-opacity": 1, "overlay-opacity": 0 } },
      ],
    });
    picture.on("tap", "edge", (event) => {
      const { path, hop } = event.target.data();
      openHop(told.paths[path], view.paths[path], hop, view);
    });
    picture.on("mouseover", "edge", (event) => { event.target.addClass("over"); box.style.cursor = "pointer"; });
    picture.on("mouseout", "edge", (event) => { event.target.removeClass("over"); box.style.cursor = ""; });
  }

  async function compareScreen(params) {
    const user = params.get("user");
    const listed = await source.recommend(user, 10);
    const first = params.get("first") || (listed.rows[0] || {}).item;
    const second = params.get("second") || (listed.rows[1] || {}).item;
    const names = new Map(listed.rows.map((row) => [row.item, `${row.rank}. ${plain(row.label)}`]));
    const choose = (words, name, value) => {
      const made = el("select", { name, onchange: () => { location.hash = address("compare", { user, first, second, [name]: made.value }); } },
        [...new Set([...names.keys(), value])].map((item) => el("option", { value: item }, names.get(item) || plain(item))));
      made.value = value;
      return el("label", { class: "field" }, el("span", null, words), made);
    };
    const top = [head("Why one and not the other?", "The difference of two scores, as a sum that adds up.")];
    if (!first || !second) return [...top, state("Nothing to compare", "The list has fewer than two items.")];
    top.push(el("div", { class: "choose" }, choose("This item", "first", first), choose("held against", "second", second),
      link("compare", { user, first: second, second: first }, { class: "button" }, "Swap"), source instanceof Server ? itemSearch("Another item", (item) => { location.hash = address("compare", { user, first, second: item }); }) : null));
    if (first === second) return [...top, state("The same item twice", "Choose two different items.")];
    const found = await source.compare(user, first, second);
    const c = found.contrast;
    const rows = [["Own taste", c.own, null], ...(c.bias ? [["Bias", c.bias, null]] : []), ...Object.entries(c.other).filter(([, value]) => value).map(([name, value]) => [name, value, null]), ...c.by_liked.map((term) => [null, term.value, term])];
    const size = Math.max(...rows.map((row) => Math.abs(row[1])), 1e-12);
    const liked = c.by_liked.length;
    const line = ([name, value, term]) => el("tr", null, el("th", { scope: "row" }, term ? label(term.label) : plain(name)), el("td", { class: "wide" }, pull(value / size)), el("td", { class: "num" }, number(value)));
    const fixedRows = rows.filter((row) => !row[2]);
    const likedRows = rows.filter((row) => row[2]);
    const shown = likedRows.length > 16 ? [...likedRows.slice(0, 8), ...likedRows.slice(-8)] : likedRows;
    const table = (list, caption) => el("table", null, el("caption", null, caption), el("thead", null, el("tr", null, el("th", { scope: "col" }, "Part"), el("th", { scope: "col" }, el("span", { class: "sr" }, "Whom it speaks for")), el("th", { scope: "col", class: "num" }, "Difference"))), el("tbody", null, list.map(line)));
    const side = (ranked, kind) => el("div", null, el("dt", null, el("span", { class: kind }, label(ranked.item.label))), el("dd", null, number(ranked.score, 3), el("small", null, ranked.rank === null ? "in the history" : `rank ${count(ranked.rank)}`)));
    const neighbors = (title, list) => card(title, list.length ? [el("p", { class: "lead" }, many(list.length, "neighbor")), el("ul", { class: "chips" }, list.slice(0, 40).map((node) => el("li", null, label(node.label, { class: `stop ${node.kind}` }))), list.length > 40 ? el("li", { class: "soft" }, `and ${count(list.length - 40)} more`) : null)] : el("p", { class: "soft" }, "None."));
    return [...top,
      card("Difference", el("dl", { class: "figure" }, side(c.first, "up"), side(c.second, "rival"), el("div", null, el("dt", null, "Difference"), el("dd", { id: "difference" }, number(c.difference, 4)))),
        el("p", { class: "lead" }, "To the left: speaks for ", label(c.first.item.label), ". To the right: for ", label(c.second.item.label), ". ", badge(c.basis)),
        table([...fixedRows, ...shown], shown.length < liked ? `The ${shown.length} strongest of ${count(liked)} liked items` : "Every part"),
        shown.length < liked ? el("details", null, el("summary", null, "All liked items"), table(likedRows, "Strongest for the first item first")) : null),
      el("div", { class: "thirds after" }, neighbors(["Only ", label(c.first.item.label)], c.only_first), neighbors("Both", c.shared), neighbors(["Only ", label(c.second.item.label)], c.only_second)),
      el("div", { class: "even after" }, found.views.map((view) => card(["Paths to ", label(view.explanation.item_label)], view.explanation.paths.length
        ? el("ul", null, view.explanation.paths.slice(0, 5).map((path, at) => pathRow(path, view.paths[at], at, view.explanation, Math.max(...view.explanation.paths.map((one) => Math.abs(one.drop_delete)), 1e-12), view)))
        : el("p", { class: "soft" }, "No path within the limits."), link("why", { user, item: view.explanation.item }, { class: "button" }, "Everything about it")))),
      legend(["Difference", "Own taste", "Liked items", "Like and facts"])];
  }

  const pull = (share) => el("span", { class: "pull", role: "img", "aria-label": share >= 0 ? "for the first item" : "for the second item" },
    el("span", null, share > 0 ? el("i", { class: "a", width: 100 * share }) : null), el("span", null, share < 0 ? el("i", { class: "b", width: -100 * share }) : null));

  function itemSearch(words, chosen) {
    const list = el("ul", { class: "results", hidden: true });
    const field = el("input", { type: "search", placeholder: "Title or id", autocomplete: "off", spellcheck: "false", maxlength: "200" });
    let timer = 0;
    let asked = 0;
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(async () => {
        const mine = ++asked;
        if (!field.value.trim()) { list.hidden = true; return; }
        const found = await source.items(field.value).catch(() => ({ rows: [] }));
        if (mine !== asked) return;
        list.replaceChildren(...(found.rows.length ? found.rows.map((row) => el("li", null, el("button", { type: "button", onclick: () => { list.hidden = true; field.value = ""; chosen(row.item, row.label); } }, label(row.label)))) : [el("li", { class: "soft small" }, "No item by that name.")]));
        list.hidden = false;
      }, 200);
    });
    return el("div", { class: "item-search" }, el("label", { class: "field" }, el("span", null, words), field), list);
  }

  async function whatIfScreen(params) {
    const user = params.get("user");
    const listed = await source.recommend(user, 10);
    const item = params.get("item") || (listed.rows[0] || {}).item;
    const title = [head("What if?", "Take likes or facts away, or add some, and see the list computed anew. The model stays as trained; the graph it runs on changes.")];
    if (!item) return [...title, state("Nothing to ask about", "The list is empty.")];
    const removed = params.getAll("remove");
    const added = params.getAll("add");
    const without = params.getAll("fact").map((text) => { try { const key = JSON.parse(text); return Array.isArray(key) && key.length === 3 ? key.map(String) : null; } catch { return null; } }).filter(Boolean);
    const go = (change) => { location.hash = address("what-if", { user, item, remove: removed, add: added, fact: without.map((key) => JSON.stringify(key)), ...change }); };
    const past = listed.history.rows.filter((row) => row.part === "training");
    const toggle = (list, value) => (list.includes(value) ? list.filter((one) => one !== value) : [...list, value]);
    const names = new Map([...past, ...listed.rows].map((row) => [row.item, row.label]));
    const likes = el("ul", { class: "ticks", tabindex: "0", "aria-label": "Liked items" },
      added.map((key) => el("li", null, el("label", null, el("input", { type: "checkbox", checked: true, onchange: () => go({ add: toggle(added, key) }) }), el("span", { class: "new" }, label(names.get(key) || key), " (added)")))),
      [...past].sort((a, b) => removed.includes(b.item) - removed.includes(a.item)).map((row) => el("li", null, el("label", null, el("input", { type: "checkbox", checked: !removed.includes(row.item), value: row.item, onchange: () => go({ remove: toggle(removed, row.item) }) }), label(row.label, { class: removed.includes(row.item) ? "gone" : "" })))));
    const facts = await source.facts(item).catch(() => ({ total: 0, rows: [] }));
    const gone = (key) => without.some((one) => JSON.stringify(one) === JSON.stringify(key));
    const factList = facts.rows.length ? el("ul", { class: "ticks", tabindex: "0", "aria-label": "Facts of the item" }, facts.rows.map((row) => el("li", null, el("label", { title: plain(row.place) },
      el("input", { type: "checkbox", checked: !gone(row.key), onchange: () => go({ fact: (gone(row.key) ? without.filter((key) => JSON.stringify(key) !== JSON.stringify(row.key)) : [...without, row.key]).map((key) => JSON.stringify(key)) }) }),
      el("span", { class: gone(row.key) ? "gone" : "" }, label(row.labels[0]), " — ", label(row.labels[1]), " → ", label(row.labels[2])))))) : el("p", { class: "soft" }, "No facts to take away.");
    const chooser = el("select", { name: "item", onchange: () => go({ item: chooser.value }) }, [...new Set([item, ...listed.rows.map((row) => row.item)])].map((key) => el("option", { value: key }, plain(names.get(key) || key))));
    chooser.value = item;
    const asked = removed.length + added.length + without.length > 0;
    let answer = card("The list", state("Nothing changed yet", "Untick a like or a fact, or let the inspector look for the smallest set of likes that changes the top item."));
    if (asked) {
      try {
        answer = changesCard(item, (await source.whatIf({ user, remove: removed, add: added, items: [item], remove_facts: without })).what_if);
      } catch (error) { answer = card("The list", failure(error)); }
    }
    const flips = el("div");
    const flip = el("button", { type: "button", class: "main", onclick: async () => {
      flip.disabled = true;
      flips.replaceChildren(waiting());
      try { flips.replaceChildren(flipCard((await source.flip(user, null)).flip, go)); } catch (error) { flips.replaceChildren(failure(error)); }
      flip.disabled = false;
      say("Done");
    } }, "What would change the top item?");
    return [...title,
      el("div", { class: "choose" }, el("label", { class: "field" }, el("span", null, "Item to watch"), chooser), asked ? el("button", { type: "button", onclick: () => go({ remove: [], add: [], fact: [] }) }, "Put everything back") : null),
      el("div", { class: "even" }, el("div", null, answer, el("section", { class: "card" }, el("h2", null, "The smallest change"), el("p", { class: "lead" }, "Which likes, if gone, would put another item at the top? Every answer is checked by computing the whole list again."), flip, flips)),
        el("div", null, card("Likes", el("p", { class: "lead" }, `${many(past.length, "like")} that the model learned from; untick to take away.`), likes, source instanceof Server ? itemSearch("Add a like", (key) => go({ add: toggle(added, key) })) : null),
          card(["Facts of ", label(names.get(item) || item)], facts.total > facts.rows.length ? el("p", { class: "lead" }, `${count(facts.rows.length)} of ${count(facts.total)}.`) : null, factList))),
      legend(["Score", "Rank"])];
  }

  function changesCard(item, told) {
    const before = new Map(told.before.map((row) => [row.item.key, row]));
    const now = told.after.find((row) => row.item.key === item);
    const was = before.get(item);
    const rank = (row) => (row.rank === null ? "–" : count(row.rank));
    return card("The list, computed anew", now && was ? el("dl", { class: "figure" },
      el("div", null, el("dt", null, "Rank of ", label(now.item.label)), el("dd", null, rank(was), " → ", el("span", { id: "new-rank" }, rank(now)))),
      el("div", null, el("dt", null, "Score"), el("dd", null, number(was.score, 3), " → ", el("span", { id: "new-score" }, number(now.score, 3)), el("small", null, signed(now.score - was.score))))) : null,
    el("table", null, el("caption", null, "The first items of the list under the changes"), el("thead", null, el("tr", null, el("th", { scope: "col", class: "num" }, "Rank"), el("th", { scope: "col" }, "Item"), el("th", { scope: "col", class: "num" }, "Before"), el("th", { scope: "col", class: "num" }, "Score"))),
      el("tbody", null, told.top.map((row) => el("tr", null, el("td", { class: "num" }, rank(row)), el("th", { scope: "row" }, label(row.item.label)), el("td", { class: "num soft" }, before.has(row.item.key) ? rank(before.get(row.item.key)) : "new"), el("td", { class: "num" }, number(row.score, 3)))))),
    told.note ? el("p", { class: "note" }, plainWords(told.note)) : null);
  }

  function flipCard(told, go) {
    if (!told.rival) return el("div", { class: "flip" }, el("p", { class: "note" }, el("b", null, "No set of likes changes the top item. "), plainWords(told.note || "")));
    return el("div", { class: "flip" }, el("p", { class: "note" }, `Without ${told.removed.length === 1 ? "this like" : `these ${count(told.removed.length)} likes`} (of ${count(told.likes)}), `, el("b", null, label(told.rival.label)), " is at the top instead of ", el("b", null, label(told.item.label)), ". ", told.verified ? "Checked: no smaller part of the set does it." : plainWords(told.note)),
      el("ul", { class: "chips" }, told.removed.map((term) => el("li", null, label(term.label, { class: "stop item" })))),
      source instanceof Server ? el("div", { class: "actions" }, el("button", { type: "button", onclick: () => go({ item: told.item.key, remove: told.removed.map((term) => term.key) }) }, "Try it")) : null);
  }

  async function overallScreen(params) {
    const by = ["relation", "type", "pattern"].includes(params.get("by")) ? params.get("by") : "relation";
    const knock = params.get("knock") === "1";
    const tabs = el("nav", { class: "segments", "aria-label": "Shares by" }, [["relation", "Relations"], ["type", "Kinds of nodes"], ["pattern", "Patterns"]].filter(([key]) => key !== "pattern" || source instanceof Server).map(([key, words]) => link("overall", { by: key, knock: key === "relation" && knock ? 1 : null }, key === by ? { "aria-current": "true" } : null, words)));
    const quality = metricsCard();
    const title = head("What drives the recommendations?", "Added up over the lists of many users: what each relation, kind of node or pattern carries.", by === "relation" && source instanceof Server ? link("overall", { by, knock: knock ? null : 1 }, { class: "button", "aria-label": knock ? "Hide the knock-outs" : "Measure knock-outs; may take a minute" }, knock ? "Without knock-out" : "Measure knock-outs") : null);
    let body;
    try {
      const found = await source.summary(by, knock);
      const told = found.summary;
      const whole = by !== "pattern";
      const size = (share) => Math.abs(whole ? share.share : share.value);
      const largest = Math.max(...told.shares.map(size), 1e-12);
      const measured = [...new Set(told.shares.flatMap((share) => Object.keys(share.change)))];
      const overlap = told.shares.some((share) => share.overlap !== null && share.overlap !== undefined);
      body = [bounded(found, "users"), card({ relation: "Shares of relations", type: "Shares of kinds of nodes", pattern: "Patterns of paths" }[by], el("p", { class: "lead" }, `${many(told.pairs, "recommendation")} of ${many(told.users, "user")}. `, badge(told.basis)),
        el("dl", { class: "figure" }, el("div", null, el("dt", null, "Scores, added up"), el("dd", null, number(told.score, 1))), told.without_graph === null ? null : [el("div", null, el("dt", null, "Without any edge"), el("dd", null, number(told.without_graph, 1))), el("div", null, el("dt", null, "The graph carries"), el("dd", null, percent(told.score - told.without_graph, told.score)))]),
        told.shares.length ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Shares" }, el("table", null, el("thead", null, el("tr", null, el("th", { scope: "col" }, { relation: "Relation", type: "Kind", pattern: "Pattern" }[by]), el("td"), whole ? el("th", { scope: "col", class: "num" }, "Share") : null, el("th", { scope: "col", class: "num" }, whole ? "Value" : "Mean drop of the facts"), el("th", { scope: "col", class: "num" }, by === "pattern" ? "Paths" : "Facts"), measured.map((name) => el("th", { scope: "col", class: "num" }, plain(name))), overlap ? el("th", { scope: "col", class: "num" }, "Same lists") : null)),
          el("tbody", null, told.shares.slice(0, 100).map((share) => el("tr", null, el("th", { scope: "row" }, label(share.label)), el("td", { class: "wide" }, meter(size(share) / largest, share.value < 0 ? "down" : "", "")), whole ? el("td", { class: "num" }, percent(share.share, 1)) : null, el("td", { class: "num" }, signed(share.value, whole ? 2 : 4)), el("td", { class: "num" }, share.facts === null ? "–" : count(share.facts)), measured.map((name) => el("td", { class: "num" }, share.change[name] === undefined ? "–" : signed(share.change[name], 4))), overlap ? el("td", { class: "num" }, share.overlap === null ? "–" : percent(share.overlap, 1)) : null))))) : state("No shares", "The model's score does not depend on the graph."),
        told.note ? el("p", { class: "note" }, plainWords(told.note)) : null, told.residual === null ? null : el("p", { class: "note small" }, "Rounding leaves ", number(told.residual, 6), "."))];
    } catch (error) { body = [card(null, failure(error))]; }
    return [title, el("p", { class: "after-tabs" }, tabs), ...body, quality, legend(["Relation share", "Knock-out", "Basis"])];
  }

  function metricsCard() {
    const parts = Object.entries(about.metrics);
    if (!parts.length) return null;
    const names = [...new Set(parts.flatMap(([, values]) => Object.keys(values)))].filter((name) => /@(10|20)$/.test(name)).sort();
    return card("Quality of the lists", el("p", { class: "lead" }, "From the training of this run."), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Quality of the lists" }, el("table", null, el("thead", null, el("tr", null, el("th", { scope: "col" }, "Metric"), parts.map(([part]) => el("th", { scope: "col", class: "num" }, part === "valid" ? "validation" : part)))), el("tbody", null, names.map((name) => el("tr", null, el("th", { scope: "row" }, name), parts.map(([, values]) => el("td", { class: "num" }, values[name] === undefined ? "–" : number(values[name])))))))));
  }

  async function aboutScreen() {
    const list = (rows) => el("dl", { class: "facts" }, rows.filter((row) => row[1] !== null && row[1] !== undefined && row[1] !== "").map(([name, value]) => [el("dt", null, plain(name)), el("dd", { class: "num" }, typeof value === "number" ? (Number.isInteger(value) ? count(value) : String(value)) : plain(String(value)))]));
    const s = about.sizes;
    return [head("About this run", "What was trained, on what, and what the numbers of these pages mean."),
      el("div", { class: "thirds" },
        card("Model", list([["Model", about.model], ["Preset", about.preset], ["Epochs", about.training.epochs], ["Best epoch", about.training.best_epoch], ["Chosen by", about.training.selection], ["Seed", about.seed], ...Object.entries(about.config)])),
        card("Dataset", list([["Name", about.dataset], ["Users", s.users], ["Items", s.items], ["Entities, items included", s.entities], ["Relations", s.relations], ["Triples", s.triples], ["Training interactions", s.train], ["Validation interactions", s.valid], ["Checksum", about.checksum ? `${about.checksum.slice(0, 16)}…` : ""]])),
        card("Limits of these pages", list([["Paths at once", about.limits.paths], ["Items at once", about.limits.items], ["Changes at once", about.limits.changes], ["kgrec", about.versions.kgrec]]), el("p", { class: "note" }, "Only facts the model was trained on explain anything. Taking something away is tried on the trained model: its vectors stay as they are."))),
      card("What the numbers mean", el("dl", { class: "legend" }, Object.entries(MEANING).map(([name, words]) => el("div", null, el("dt", null, name), el("dd", null, words)))))];
  }

  // ---- the frame around the screens

  let drawn = null;

  function tabs(screen) {
    const current = ["overall", "about"].includes(screen) ? screen : "users";
    document.getElementById("tabs").replaceChildren(el("ul", null, [["users", "Users"], ["overall", "Overall"], ["about", "About this run"]].map(([key, words]) => el("li", null, link(key, {}, key === current ? { "aria-current": key === screen ? "page" : "true" } : null, words)))));
  }

  function crumbs() {
    const { screen, params } = place();
    const nav = document.getElementById("crumbs");
    const user = params.get("user");
    nav.hidden = !user;
    document.getElementById("export").hidden = !user || !(source instanceof Server);
    if (!user) return;
    const item = params.get("item") || params.get("first");
    const to = { recommendations: { user }, why: item && { user, item }, compare: { user, first: item }, "what-if": { user, item } };
    nav.replaceChildren(el("ol", null, el("li", { class: "who" }, el("span", { class: "sr" }, "User "), label(user)), Object.entries(to).filter(([, value]) => value).map(([key, value]) => el("li", null, link(key, value, key === screen ? { "aria-current": "page" } : null, TITLES[key])))));
  }

  const say = (words) => { document.getElementById("status").textContent = words; };

  async function draw() {
    drawn = location.hash;
    const mine = ++turn;
    const { screen, params } = place();
    const main = document.getElementById("main");
    delete document.body.dataset.ready;
    if (drawer.open) drawer.close();
    tabs(screen);
    crumbs();
    const patience = setTimeout(() => { if (mine === turn) { main.replaceChildren(waiting()); say("Loading"); } }, 150);
    let parts;
    afterwards = [];
    try {
      if (!about) {
        about = await source.run();
        document.getElementById("run").textContent = `${plain(about.model)} on ${plain(about.dataset)}`;
        document.getElementById("foot").textContent = source instanceof Server ? "Served by this machine to this browser alone." : "Saved for reading offline: this page asks the network for nothing.";
      }
      if (["recommendations", "why", "compare", "what-if"].includes(screen) && !params.get("user")) parts = [state("Whose?", "This page is about one user.", link("users", {}, { class: "button main" }, "Choose a user"))];
      else if (screen === "why" && !params.get("item")) parts = [state("Which item?", "This page is about one item of the user's list.", link("recommendations", { user: params.get("user") }, { class: "button main" }, "To the list"))];
      else parts = await SCREENS[screen](params);
    } catch (error) {
      if (!(error instanceof Failed)) console.error(error);
      parts = [failure(error instanceof Failed ? error : new Failed("Something went wrong on this page.", 500))];
    }
    clearTimeout(patience);
    if (mine !== turn) return; // the reader has gone on
    if (picture) { picture.destroy(); picture = null; }
    main.replaceChildren(...parts.flat().filter(Boolean));
    const heading = main.querySelector("h1");
    document.title = `${heading ? heading.textContent : TITLES[screen]} · kgrec inspect`;
    if (moved && heading) heading.focus({ preventScroll: true });
    if (moved) scrollTo(0, 0);
    moved = true;
    if (afterwards.length) afterwards.splice(0).forEach((step) => step());
    else document.body.dataset.ready = screen;
  }
  let moved = false;

  function frame() {
    const themes = ["auto", "light", "dark"];
    const button = document.getElementById("theme");
    const paint = (name) => {
      if (name === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = name;
      button.textContent = { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" }[name];
    };
    let theme = themes.includes(kept("kgrec-theme")) ? kept("kgrec-theme") : "auto";
    paint(theme);
    button.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % 3];
      keep("kgrec-theme", theme);
      paint(theme);
      if (picture) draw();
    });
    document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); document.getElementById("main").focus(); });
    const out = document.getElementById("export");
    out.addEventListener("click", async () => {
      out.disabled = true;
      out.textContent = "Writing…";
      try {
        const url = URL.createObjectURL(await source.export(place().params.get("user")));
        el("a", { href: url, download: "kgrec.html" }).click();
        setTimeout(() => URL.revokeObjectURL(url), 60000);
        say("The page was saved");
      } catch (error) { say(error.message); }
      out.disabled = false;
      out.textContent = "Export";
    });
    addEventListener("popstate", () => { if (location.hash !== drawn) draw(); });
    addEventListener("hashchange", () => { if (location.hash !== drawn) draw(); });
  }

  const data = document.getElementById("data");
  source = data ? new Saved(JSON.parse(data.textContent)) : new Server();
  frame();
  draw();
})();
