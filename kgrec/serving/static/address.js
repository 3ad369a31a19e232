// The address holds the state: #/screen?name=value. What outlives it is in the browser's storage.

export const NAMES = [
  "users",
  "recommendations",
  "why",
  "compare",
  "models",
  "what-if",
  "item",
  "entity",
  "overall",
  "about",
];

export function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return {
    screen: NAMES.includes(path) ? path : "users",
    params: new URLSearchParams(query || ""),
  };
}

export function pairs(params) {
  const given = (one) => one !== null && one !== undefined && one !== "";
  return Object.entries(params || {}).flatMap(([name, value]) =>
    [value]
      .flat()
      .filter(given)
      .map((one) => [name, String(one)]),
  );
}

export function address(screen, params) {
  const query = new URLSearchParams(pairs(params)).toString();
  return `#/${screen}${query ? `?${query}` : ""}`;
}

export function move(screen, params) {
  location.hash = address(screen, params);
}

const memory = {}; // a browser may refuse storage: the page works without

export function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    memory[name] = value;
  }
}

export function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return memory[name];
  }
}

/** Return a stored record, or what stands for none where it is missing or damaged. */
export function keptRecord(name, none) {
  try {
    return JSON.parse(kept(name)) ?? none;
  } catch {
    return none;
  }
}
