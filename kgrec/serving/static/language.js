// Words of the page, from the table in strings.js.

import { STRINGS } from "./strings.js";
import { UNLIKED } from "./unliked.js";
import { keep, kept } from "./address.js";

export const LANGUAGES = { en: "English", de: "Deutsch" };

const known = Object.keys(LANGUAGES);
let chosen = known.includes(kept("kgrec-language")) ? kept("kgrec-language") : null;

export function language() {
  return chosen || known.find((name) => navigator.language.startsWith(name)) || "en";
}

export function speak(name) {
  chosen = name;
  keep("kgrec-language", name);
  document.documentElement.lang = name;
}

let verb = "liked";

/** Say what users did: where they are not known to have liked anything, no text says so. */
export function did(what) {
  verb = what;
}

function row(key) {
  const texts = (verb !== "liked" && UNLIKED[key]) || STRINGS[key];
  return texts[known.indexOf(language())].replaceAll("{verb}", verb);
}

/** Return a text of the page, {name} replaced by its value. */
export function t(key, values = {}) {
  return row(key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Return a text of the page as nodes: {name} is replaced by a node or a list of nodes. */
export function rich(key, values) {
  return row(key)
    .split(/(\{\w+\})/)
    .map((part) => {
      const name = /^\{(\w+)\}$/.exec(part);
      return name ? values[name[1]] : part;
    });
}

/** Return a number with its noun; the table has singular and plural, with a bar between them. */
export function many(value, key) {
  const [one, more] = row(key).split("|");
  return (value === 1 ? one : more).replace("{n}", count(value));
}

export const count = (value) => Number(value).toLocaleString(language());
