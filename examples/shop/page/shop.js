"use strict";

const NOTES = {
  personal: "Chosen for you, from what you and others looked at.",
  history: "From what you looked at just now.",
  content: "Like what you looked at.",
  popular: "What others like most. Look at something, and the list becomes yours.",
  none: "Nothing is left to show.",
};
const byId = (id) => document.getElementById(id);
let turn = 0;

function node(name, text, kind) {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// "*A* because *B*": what is between asterisks is a product
function sentence(text) {
  const made = node("p", "", "reason");
  text.split("*").forEach((part, place) => made.append(place % 2 ? node("em", part) : part));
  return made;
}

function card(product) {
  const made = node("li", "", "card");
  made.append(node("h3", product.title));
  made.append(node("p", `${product.brand} · ${product.category} · ${product.material}`, "facts"));
  if (product.reason) made.append(sentence(product.reason));
  const foot = node("div", "", "foot");
  foot.append(node("span", `${product.price.toFixed(2)} €`));
  const button = node("button", "Look at it");
  button.setAttribute("aria-label", `Look at ${product.title}`);
  button.addEventListener("click", () => look(product.item));
  foot.append(button);
  made.append(foot);
  return made;
}

async function show() {
  const mine = ++turn;
  delete document.body.dataset.ready;
  const query = new URLSearchParams({ user: sessionStorage.user, category: byId("category").value });
  let found;
  try {
    const answer = await fetch(`api/list?${query}`);
    found = await answer.json();
  } catch {
    found = { error: "The shop does not answer. Try again." };
  }
  if (mine !== turn) return; // a later question has been asked
  if (found.error) {
    byId("note").textContent = found.error;
    return;
  }
  byId("note").textContent = found.items.length ? NOTES[found.kind] : NOTES.none;
  byId("list").replaceChildren(...found.items.map(card));
  byId("clicked").replaceChildren(...found.clicked.map((product) => node("li", product.title)));
  byId("nothing").hidden = found.clicked.length > 0;
  const category = byId("category");
  if (category.length === 1) category.append(...found.categories.map((name) => new Option(name, name)));
  document.body.dataset.ready = String(mine);
}

async function look(item) {
  await fetch("api/click", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user: sessionStorage.user, item }),
  });
  await show();
}

function enter(user) {
  sessionStorage.user = user;
  byId("user").value = user;
  show();
}

const visitor = () => enter(`visitor-${crypto.randomUUID()}`);
byId("who").addEventListener("submit", (event) => {
  event.preventDefault();
  const user = byId("user").value.trim();
  if (user) enter(user);
});
byId("new").addEventListener("click", visitor);
byId("category").addEventListener("change", show);
if (sessionStorage.user) enter(sessionStorage.user);
else visitor();
