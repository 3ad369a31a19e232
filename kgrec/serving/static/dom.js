// Elements. Text reaches the page by textContent alone, never as markup.

const SHOWN = 200;
// Joiners are spelling between letters of Arabic and Indic scripts, and between the parts of an emoji.
const JOINED =
  "[\\u0600-\\u06ff\\u0750-\\u077f\\u0900-\\u0dff\\u2600-\\u27bf\\ufe0f\\u{1f000}-\\u{1faff}]";
const UNSAFE = new RegExp(
  "[\\x00-\\x1f\\x7f-\\x9f\\u00ad\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff\\ufff9-\\ufffb]" +
    `|(?<!${JOINED})[\\u200c\\u200d]|[\\u200c\\u200d](?!${JOINED})`,
  "gu",
);
const MARKS =
  /([\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff]{4})[\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff]+/g;

const nothing = (value) => value === null || value === undefined || value === false;

/** Make an element: "on..." are listeners, "width" is a style; children are nodes or text. */
export function el(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (nothing(value)) continue;
    if (key === "class") made.className = value;
    else if (key === "width") made.style.width = `${value}%`;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && typeof value !== "string") made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat(4).filter((child) => !nothing(child)));
  return made;
}

/** Make an element of a drawing; attributes are presentation, children nodes or text. */
export function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (nothing(value)) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children.flat(3).filter((child) => !nothing(child)));
  return made;
}

/** Return other people's text as it may be shown: one line, cut, the invisible written out. */
export function plain(text) {
  const whole = String(text).slice(0, 10000).replace(MARKS, "$1");
  const cut = whole.length <= SHOWN ? whole : `${whole.slice(0, SHOWN - 1)}…`;
  return cut.replace(UNSAFE, (c) => {
    const code = c.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u${code.padStart(4, "0")}`;
  });
}

export const plainWords = (text) => text.split(" ").map(plain).join(" ");

export const label = (text, attributes) => el("bdi", attributes || null, plain(text));

/** Return a link to an address of the web, or its text where it is something else. */
export function outside(iri) {
  if (!/^https?:\/\/[^\s<>"]+$/i.test(iri)) return el("code", null, plain(iri));
  const link = { href: iri, rel: "noopener noreferrer", target: "_blank", class: "code" };
  return el("a", link, plain(iri));
}

export const own = (object, key) => (Object.hasOwn(object, key) ? object[key] : undefined);

export const say = (words) => {
  document.getElementById("status").textContent = words;
};
