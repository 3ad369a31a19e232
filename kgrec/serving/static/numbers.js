// Numbers for people; data-value keeps what the server said.

import { el } from "./dom.js";
import { language, t } from "./language.js";

export const known = (value) => value !== null && value !== undefined;

export function fixed(value, digits) {
  if (!known(value)) return "–";
  const size = Math.abs(value);
  let text = value.toExponential(1);
  if (size === 0 || size >= 0.5 * 10 ** -digits) text = value.toFixed(digits);
  else if (size >= 1e-6) text = value.toPrecision(2);
  const shown = text.replace(/^-(?=[0.]*$)/, "").replace(/-/g, "−");
  return language() === "de" ? shown.replace(".", ",") : shown;
}

export const number = (value, digits = 4) =>
  el("span", { class: "num", "data-value": String(value) }, fixed(value, digits));

export const signed = (value, digits = 4) =>
  el(
    "span",
    { class: `num ${value < 0 ? "down" : "up"}`, "data-value": String(value) },
    (value > 0 ? "+" : "") + fixed(value, digits),
  );

export function percent(part, whole) {
  if (!whole) return "";
  const share = (100 * part) / whole;
  if (share !== 0 && Math.abs(share) < 0.1) return t("under-tenth");
  return `${fixed(share, Math.abs(share) < 10 ? 1 : 0)}\u00a0%`;
}

export const sum = (counts) => Object.values(counts).reduce((all, n) => all + n, 0);
