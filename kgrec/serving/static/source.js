// Answers of the server that serves this page.

import { keep, kept, pairs } from "./address.js";
import { Failed, session } from "./session.js";
import { language, t } from "./language.js";

const TOKEN = "kgrec-token";
const KEPT = 400;

/** Return the language of sentences, where the server has more than one. */
function spoken() {
  const { languages } = session.about || {};
  return languages && languages.includes(language()) ? { language: language() } : {};
}

export class Server {
  served = true;
  answers = new Map();

  constructor() {
    const given = /[#?&]token=([\w-]+)/.exec(location.hash);
    if (given) {
      keep(TOKEN, given[1]);
      history.replaceState(null, "", "#/users");
    }
  }

  async ask(name, params, body) {
    const url = `/api/${name}?${new URLSearchParams(pairs(params))}`;
    const key = url + (body ? JSON.stringify(body) : "");
    if (!this.answers.has(key)) {
      const answer = this.fetch(url, body);
      this.answers.set(key, answer);
      answer.catch(() => this.answers.delete(key));
      if (this.answers.size > KEPT) this.answers.delete(this.answers.keys().next().value);
    }
    return this.answers.get(key);
  }

  async request(url, body) {
    const headers = { "X-Kgrec-Token": kept(TOKEN) || "" };
    if (body) headers["Content-Type"] = "application/json";
    const method = body ? "POST" : "GET";
    const sent = body && JSON.stringify(body);
    try {
      const settings = { method, headers, body: sent, credentials: "omit", cache: "no-store" };
      return await fetch(url, settings);
    } catch {
      throw new Failed(t("no-server"), 0);
    }
  }

  async fetch(url, body) {
    const response = await this.request(url, body);
    const found = await response.json().catch(() => ({}));
    if (response.ok) return found;
    throw new Failed(found.error || t("bad-answer", { status: response.status }), response.status);
  }

  run() {
    return this.ask("run");
  }
  users(q, offset) {
    return this.ask("users", { q, offset, limit: 25 });
  }
  items(q) {
    return this.ask("items", { q, limit: 12 });
  }
  recommend(user, k, model) {
    return this.ask("recommend", { user, k, model });
  }
  explain(user, item, asked) {
    return this.ask("explain", { user, item, ...asked, ...spoken() });
  }
  compare(user, first, second) {
    return this.ask("compare", { user, first, second, ...spoken() });
  }
  flip(user, item) {
    return this.ask("flip", { user, item, ...spoken() });
  }
  whyNot(user, item) {
    return this.ask("why-not", { user, item });
  }
  facts(item) {
    return this.ask("facts", { item, ...spoken() });
  }
  node(kind, key) {
    return this.ask("node", { kind, key, ...spoken() });
  }
  audience(kind, key) {
    return this.ask("audience", { kind, key });
  }
  whatIf(body) {
    return this.ask("what-if", {}, body);
  }

  summary(by, knock) {
    return this.ask("summary", {
      by,
      knock_out: knock ? 1 : null,
      users: by === "pattern" ? 20 : 200,
    });
  }

  async export(user) {
    const response = await this.request(`/api/export?${new URLSearchParams({ user })}`);
    if (!response.ok) throw new Failed(t("not-written"), response.status);
    return response.blob();
  }
}
