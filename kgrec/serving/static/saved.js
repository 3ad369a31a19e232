// Answers of a saved page: what was asked for when it was written.

import { own } from "./dom.js";
import { known } from "./numbers.js";
import { Failed } from "./session.js";
import { t } from "./language.js";

export class Saved {
  served = false;

  constructor(data) {
    this.data = data;
  }

  found(value) {
    if (!value) throw this.absent();
    if (value.error) throw new Failed(value.error, 409);
    return value;
  }

  absent() {
    return new Failed(t("absent"), 410);
  }
  async run() {
    return this.data.run;
  }

  async users(q, offset) {
    const wanted = q.trim().toLowerCase();
    const has = (row) => `${row.user} ${row.label}`.toLowerCase().includes(wanted);
    const rows = this.data.users.filter(has);
    return { total: rows.length, offset, rows: rows.slice(offset, offset + 50) };
  }

  async items() {
    return { total: 0, rows: [] };
  }
  async recommend(user) {
    return this.found(own(this.data.recommend, user));
  }

  async explain(user, item, asked) {
    return sift(this.found(own(own(this.data.explain, user) || {}, item)), asked);
  }

  async compare(user, first, second) {
    const views = await Promise.all([first, second].map((item) => this.explain(user, item, {})));
    for (const [a, b, found] of own(this.data.compare, user) || []) {
      if (a === first && b === second) return { ...this.found(found), views };
      if (a === second && b === first)
        return { contrast: turned(this.found(found).contrast), views };
    }
    throw this.absent();
  }

  async flip(user, item) {
    const found = this.found(own(this.data.flip, user));
    if (item && found.flip.item.key !== item) throw this.absent();
    return found;
  }

  async whyNot() {
    throw this.absent();
  }
  async facts() {
    return { total: 0, rows: [] };
  }
  async node() {
    throw this.absent();
  }
  async audience() {
    throw this.absent();
  }
  async whatIf() {
    throw this.absent();
  }
  async summary(by, knock) {
    return this.found(knock ? null : own(this.data.summary, by));
  }
}

/** Return a contrast read from its other side. */
function turned(c) {
  const back = (terms) => terms.map((term) => ({ ...term, value: -term.value })).reverse();
  const other = Object.fromEntries(Object.entries(c.other).map(([key, value]) => [key, -value]));
  const parts = { own: -c.own, bias: -c.bias, residual: -c.residual, other };
  return {
    ...c,
    ...parts,
    first: c.second,
    second: c.first,
    difference: -c.difference,
    by_liked: back(c.by_liked),
    only_first: c.only_second,
    only_second: c.only_first,
  };
}

/** Return a saved explanation with the paths that pass the filters; the server searches again. */
function sift(view, asked) {
  const told = view.explanation;
  const keep = told.paths.map((path) => passes(path, view, asked));
  const size = (at) => Math.abs(told.paths[at].attribution ?? told.paths[at].drop_delete);
  const all = told.paths.reduce((whole, _, at) => whole + size(at), 0);
  const gone = told.paths.reduce((whole, _, at) => whole + (keep[at] ? 0 : size(at)), 0);
  const rows = told.paths.map((_, at) => at).filter((at) => keep[at]);
  const shown = rows.slice(0, asked.k ? Number(asked.k) : 10);
  const missing = told.paths.length - rows.length;
  const counts = {};
  for (const at of rows) counts[told.paths[at].length] = (counts[told.paths[at].length] || 0) + 1;

  const hidden = { paths: missing, share: all ? gone / all : null };
  return {
    ...view,
    saved: told.paths.length,
    headline: Math.max(shown.indexOf(view.headline), 0),
    paths: shown.map((at) => view.paths[at]),
    explanation: {
      ...told,
      paths: shown.map((at) => told.paths[at]),
      counts: missing ? counts : told.counts,
      hidden: missing ? hidden : told.hidden,
    },
  };
}

function passes(path, view, asked) {
  const deny = new Set([asked.deny || []].flat());
  const types = new Set([asked.type || []].flat());
  const stops = path.hops.slice(0, -1).map((hop) => hop.target);
  const degree = (stop) => (own(view.nodes, `${stop.kind} ${stop.key}`) || { degree: 0 }).degree;
  const kind = (stop) => (stop.kind === "user" ? "users" : stop.kind);
  const refused = path.hops.some((hop) =>
    [hop, ...hop.also].every((one) => deny.has(one.relation)),
  );
  if (refused || (types.size && !stops.slice(1).every((stop) => types.has(kind(stop)))))
    return false;
  if (asked.max_length && path.length > Number(asked.max_length)) return false;
  if (asked.max_degree && stops.some((stop) => degree(stop) > Number(asked.max_degree)))
    return false;
  if (asked.users === "hide" && stops.some((stop) => kind(stop) === "users")) return false;
  return !known(asked.min_drop) || path.drop_delete >= Number(asked.min_drop);
}
