// The drawing of the strongest paths: hop numbers give the columns, so that pictures repeat. Every
// edge has its own slot in the gap between two columns, where its label stands: labels never meet.
// The list below the drawing says the same; nothing is in the drawing alone.

import { el, label, plain, svg } from "./dom.js";
import { count, t } from "./language.js";
import { fixed, known } from "./numbers.js";
import { failure, link } from "./pieces.js";
import { openHop } from "./paths.js";
import { session } from "./session.js";

const PATHS = 12;
const ROW = 54; // between the nodes of a column
const LINE = 13; // of a label
const TALL = 40; // of a node
const PAD = 12;
const LETTER = 6.6; // width of one, about; of a label
const SMALL = 5.7;
const NEIGHBORS = 12;

// ---- what is drawn

function graphOf(view) {
  const best = view.explanation.paths.slice(0, PATHS);
  const last = Math.max(...best.map((path) => path.length));
  const nodes = new Map();
  const edges = new Map();
  const node = (id, made) =>
    nodes.get(id) || nodes.set(id, { id, near: [], order: nodes.size, ...made }).get(id);
  const join = (from, to) => {
    from.near.push(to);
    to.near.push(from);
  };

  best.forEach((path, at) => {
    const stops = [path.hops[0].source, ...path.hops.map((hop) => hop.target)];
    const at_column = (n) => (n === path.length ? last : n);
    const made = stops.map((stop, n) => {
      const column = at_column(n);
      const key = stop.kind === "users" ? `users ${at}` : `${stop.kind} ${stop.key}`;
      return node(`${column} ${key}`, {
        column,
        kind: stop.kind,
        text: n ? plain(stop.label) : t("you"),
        stop,
      });
    });
    path.hops.forEach((hop, n) => {
      const id = `${made[n].id}\n${made[n + 1].id}`;
      if (edges.has(id)) return edges.get(id).paths.push(at);
      // An edge that spans columns passes through points of its own in those between.
      const via = [];
      for (let column = made[n].column + 1; column < made[n + 1].column; column++) {
        via.push(node(`${column} via ${id}`, { column, kind: "via", text: "" }));
      }
      const points = [made[n], ...via, made[n + 1]];
      points.slice(1).forEach((point, step) => join(points[step], point));
      edges.set(id, {
        points,
        hop: n,
        path: at,
        paths: [at],
        forward: hop.forward,
        drop: (path.hop_drops || [])[n] ?? null,
        text: view.paths[at].hops[n].words.map(plain).join(" / "),
      });
      return null;
    });
  });
  return { nodes: [...nodes.values()], edges: [...edges.values()], columns: last + 1, last };
}

// ---- where it stands

function layout(graph, width) {
  const node = Math.max(108, Math.min(168, (0.56 * width) / graph.columns));
  const room =
    graph.columns > 1 ? (width - 2 * PAD - graph.columns * node) / (graph.columns - 1) : 0;
  const gap = Math.max(104, Math.min(200, room));
  const columns = Array.from({ length: graph.columns }, () => []);
  for (const one of graph.nodes) columns[one.column].push(one);
  const gaps = Array.from({ length: graph.columns - 1 }, (_, n) =>
    graph.edges.filter((edge) => edge.points[0].column === n),
  );
  for (const edge of graph.edges) edge.lines = labelOf(edge, gap - 26);
  const high = (edges) => edges.reduce((all, edge) => all + slot(edge), 0);
  const tall = Math.max(...columns.map((one) => one.length * ROW), ...gaps.map(high)) + PAD;

  const settle = (column) =>
    column.forEach((one, n) => {
      one.y = ((n + 0.5) * tall) / column.length;
    });
  columns.forEach(settle);
  for (let sweep = 0; sweep < 8; sweep++) {
    for (const column of sweep % 2 ? [...columns].reverse() : columns) {
      for (const one of column)
        one.pull = one.near.reduce((all, other) => all + other.y, 0) / (one.near.length || 1);
      column.sort((a, b) => a.pull - b.pull || a.order - b.order);
      settle(column);
    }
  }
  for (const one of graph.nodes) one.x = PAD + one.column * (node + gap);
  for (const edges of gaps) slots(edges, tall);
  return { node, gap, tall, wide: 2 * PAD + graph.columns * node + (graph.columns - 1) * gap };
}

const slot = (edge) => edge.lines.length * LINE + 10;

/** Give each edge of a gap its own height for its label; what is left over is spread evenly. */
function slots(edges, tall) {
  const middle = (edge) => edge.points[0].y + edge.points[1].y;
  const sorted = [...edges].sort((a, b) => middle(a) - middle(b) || a.points[0].y - b.points[0].y);
  const free = (tall - sorted.reduce((all, edge) => all + slot(edge), 0)) / (sorted.length || 1);
  let above = 0;
  for (const edge of sorted) {
    edge.y = above + (slot(edge) + free) / 2;
    above += slot(edge) + free;
  }
}

/** Return the lines of an edge's label: its words, and what removing it alone does. */
function labelOf(edge, room) {
  const words = lines(edge.text, room, SMALL);
  if (!known(edge.drop)) return words;
  return [...words, fixed(edge.drop, 4)];
}

// ---- the picture

const kinds = { item: "item", entity: "entity", user: "person", users: "person" };

function cut(text, room, letter = LETTER) {
  const most = Math.max(4, Math.floor(room / letter));
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

/** Break a name into at most two lines. */
function lines(text, room, letter = LETTER) {
  const most = Math.floor(room / letter);
  if (text.length <= most) return [text];
  const at = text.lastIndexOf(" ", most);
  if (at < 3) return [cut(text, room, letter)];
  return [text.slice(0, at), cut(text.slice(at + 1), room, letter)];
}

function drawNode(one, size, pick) {
  const said = lines(one.text, size.node - 14);
  const words = said.map((line, n) =>
    svg(
      "text",
      { x: one.x + size.node / 2, y: one.y + (n - (said.length - 1) / 2) * 15 + 4 },
      line,
    ),
  );
  return svg(
    "g",
    { class: `node ${kinds[one.kind]}`, onclick: () => pick(one) },
    svg("title", null, one.text),
    svg("rect", { x: one.x, y: one.y - TALL / 2, width: size.node, height: TALL, rx: 8 }),
    words,
  );
}

const thick = (edge, most) =>
  known(edge.drop) ? 1.5 + 6 * Math.sqrt(Math.abs(edge.drop) / most) : 2;

/** Return an edge's line and its label: all labels stand above all lines. */
function drawEdge(edge, size, most, open) {
  const side = (point) => [point.x + size.node, point.y];
  const [x1, y1] = side(edge.points[0]);
  const middle = x1 + size.gap / 2;
  const bend = size.gap / 4;
  const x2 = x1 + size.gap;
  let way = `M${x1} ${y1}C${x1 + bend} ${y1} ${middle - bend} ${edge.y} ${middle} ${edge.y}`;
  way += `S${x2 - bend} ${edge.points[1].y} ${x2} ${edge.points[1].y}`;
  edge.points.slice(2).forEach((point, n) => {
    const [fromX, fromY] = side(edge.points[n + 1]);
    way += `H${fromX}C${fromX + size.gap / 2} ${fromY} ${point.x - size.gap / 2} ${point.y} ${point.x} ${point.y}`;
  });

  const end = edge.forward ? edge.points.at(-1) : edge.points[0];
  const tip = edge.forward ? [end.x - 1, end.y, -1] : [end.x + size.node + 1, end.y, 1];
  const arrow = `M${tip[0]} ${tip[1]}l${9 * tip[2]} -5v10z`;
  const said = edge.lines;
  const broad = Math.max(...said.map((line) => line.length)) * SMALL + 8;
  const high = said.length * LINE + 4;
  const last = known(edge.drop) ? said.length - 1 : -1;
  const told = known(edge.drop)
    ? t("edge-says", { words: edge.text, value: fixed(edge.drop, 4) })
    : edge.text;
  const line = (words, n) =>
    svg(
      "text",
      {
        class: n === last ? "drop" : "word",
        x: middle,
        y: edge.y + (n - (said.length - 1) / 2) * LINE + 4,
      },
      words,
    );
  const part = (...children) =>
    svg(
      "g",
      {
        class: `edge ${edge.drop < 0 ? "lowers" : "raises"}`,
        onclick: () => open(edge),
      },
      svg("title", null, told),
      children,
    );
  const dashes = edge.drop < 0 ? "7 4" : null;
  const drawn = part(
    svg("path", {
      class: "line",
      d: way,
      "stroke-width": thick(edge, most),
      "stroke-dasharray": dashes,
    }),
    svg("path", { class: "arrow", d: arrow }),
  );
  const label = part(
    svg("rect", {
      class: "plate",
      x: middle - broad / 2,
      y: edge.y - high / 2,
      width: broad,
      height: high,
      rx: 4,
    }),
    said.map(line),
  );
  return [drawn, label];
}

/** Draw what else a node is joined to, below the paths. */
function drawNeighbors(expanded, graph, size) {
  if (!expanded) return { parts: [], tall: 0 };
  const from = graph.nodes.find(
    (one) => one.stop && one.stop.key === expanded.key && one.kind === expanded.kind,
  );
  const across = Math.max(1, Math.floor((size.wide - PAD) / (size.node + 14)));
  const top = size.tall + 34;
  const rows = expanded.rows.slice(0, NEIGHBORS);
  const parts = rows.flatMap((row, n) => {
    const x = PAD + (n % across) * (size.node + 14);
    const y = top + Math.floor(n / across) * (TALL + 14);
    const middle = x + size.node / 2;
    const start = from ? [from.x + size.node / 2, from.y + TALL / 2] : [middle, top];
    const way = `M${start[0]} ${start[1]}C${start[0]} ${top - 30} ${middle} ${top - 30} ${middle} ${y}`;
    return [
      svg("path", { class: "thread", d: way }),
      svg(
        "g",
        { class: `node ${kinds[row.kind]} neighbor` },
        svg("title", null, `${plain(row.words)} ${plain(row.label)}`),
        svg("rect", { x, y, width: size.node, height: TALL, rx: 8 }),
        svg("text", { class: "word", x: middle, y: y + 16 }, cut(plain(row.words), size.node - 10)),
        svg("text", { x: middle, y: y + 32 }, cut(plain(row.label), size.node - 10)),
      ),
    ];
  });
  return { parts, tall: rows.length ? 34 + Math.ceil(rows.length / across) * (TALL + 14) : 0 };
}

function picture(view, width, expanded, pick) {
  const graph = graphOf(view);
  const size = layout(graph, width);
  const most = Math.max(...graph.edges.map((edge) => Math.abs(edge.drop || 0)), 1e-12);
  const open = (edge) =>
    openHop(view.explanation.paths[edge.path], view.paths[edge.path], edge.hop, view);
  const more = drawNeighbors(expanded, graph, size);
  const high = size.tall + more.tall + PAD;
  const edges = graph.edges.map((edge) => drawEdge(edge, size, most, open));
  const made = svg(
    "svg",
    {
      class: "drawing",
      viewBox: `0 0 ${size.wide} ${high}`,
      width: size.wide,
      height: high,
      "aria-hidden": "true",
    },
    more.parts.filter((part) => part.tagName === "path"),
    edges.map(([line]) => line),
    edges.map(([, words]) => words),
    graph.nodes.filter((one) => one.kind !== "via").map((one) => drawNode(one, size, pick)),
    more.parts.filter((part) => part.tagName !== "path"),
  );
  const named = graph.nodes.filter((one) => one.stop && ["item", "entity"].includes(one.kind));
  return { made, named };
}

/** Return the drawing with its key, its files, and a way to expand a node. */
export function drawing(view) {
  const box = el("div", {
    class: "scroll drawing-box",
    tabindex: "0",
    role: "region",
    "aria-label": t("drawing-words"),
  });
  const tools = el("div", { class: "actions small" });
  const below = el("div");
  let expanded = null;
  let shown = null;

  let before = 0;
  const draw = () => {
    before = box.clientWidth;
    const width = Math.max((before || 860) - 2, 300);
    shown = picture(view, width, expanded, (node) => expand(node.stop));
    box.replaceChildren(shown.made);
  };
  const expand = async (node) => {
    if (!node || !["item", "entity"].includes(node.kind) || !session.source.served) return;
    try {
      const found = await session.source.node(node.kind, node.key);
      expanded = { key: node.key, kind: node.kind, rows: found.rows };
      const screen =
        node.kind === "item" ? ["item", { item: node.key }] : ["entity", { entity: node.key }];
      below.replaceChildren(
        el(
          "p",
          { class: "small soft" },
          t("expanded", {
            n: count(Math.min(found.rows.length, NEIGHBORS)),
            all: count(found.total),
          }),
          " ",
          link(...screen, null, label(node.label)),
          " ",
          el(
            "button",
            {
              type: "button",
              class: "link",
              onclick: () => {
                expanded = null;
                below.replaceChildren();
                draw();
              },
            },
            t("fold"),
          ),
        ),
      );
      draw();
    } catch (error) {
      below.replaceChildren(failure(error));
    }
  };
  const name = `kgrec-${view.explanation.user}-${view.explanation.item}`
    .replace(/[^\w-]+/g, "-")
    .slice(0, 80);
  const file = (ending, make) =>
    el(
      "button",
      {
        type: "button",
        class: "quiet",
        onclick: async () => save(await make(shown.made), `${name}.${ending}`),
      },
      ending.toUpperCase(),
    );
  const start = () => {
    draw();
    const choices = shown.named.map((node, at) => el("option", { value: at }, node.text));
    const chooser = el(
      "select",
      {
        "aria-label": t("expand"),
        onchange: () => {
          if (chooser.value !== "") expand(shown.named[Number(chooser.value)].stop);
        },
      },
      el("option", { value: "" }, t("expand")),
      choices,
    );
    tools.replaceChildren(
      ...(session.source.served ? [chooser] : []),
      file("svg", svgFile),
      file("png", pngFile),
    );
  };
  new ResizeObserver(() => {
    if (Math.abs(box.clientWidth - before) >= 8) draw();
  }).observe(box);
  const swatch = (kind, key) => el("span", null, el("i", { class: kind }), t(key));
  const key = el(
    "p",
    { class: "graph-legend" },
    swatch("k-person", "kind.user"),
    swatch("k-item", "kind.item"),
    swatch("k-entity", "kind.entity"),
    swatch("edge k-up", "edge.raises"),
    swatch("edge k-down", "edge.lowers"),
    el("span", null, t("edge.width")),
  );
  const title = t(view.explanation.paths.length > PATHS ? "drawn-strongest" : "drawn");
  const made = el(
    "section",
    { class: "card" },
    el("div", { class: "head-row" }, el("h2", null, title), tools),
    box,
    below,
    key,
  );
  return { made, start };
}

// ---- files

const COPIED = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "font-size",
  "font-weight",
  "font-family",
  "text-anchor",
  "opacity",
];

/** Return the drawing as a file of its own, its colors in it. */
function svgText(drawn) {
  const out = drawn.cloneNode(true);
  const [from, to] = [drawn, out].map((one) => [one, ...one.querySelectorAll("*")]);
  from.forEach((one, n) => {
    const look = getComputedStyle(one);
    for (const name of COPIED) to[n].setAttribute(name, look.getPropertyValue(name));
    to[n].removeAttribute("class");
  });
  const paper = svg("rect", {
    width: "100%",
    height: "100%",
    fill: getComputedStyle(document.body).backgroundColor,
  });
  out.prepend(paper);
  out.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return new XMLSerializer().serializeToString(out);
}

const svgFile = async (drawn) => new Blob([svgText(drawn)], { type: "image/svg+xml" });

async function pngFile(drawn) {
  const shown = new Image();
  shown.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(drawn))}`;
  await shown.decode();
  const canvas = el("canvas");
  canvas.width = 2 * drawn.width.baseVal.value;
  canvas.height = 2 * drawn.height.baseVal.value;
  canvas.getContext("2d").drawImage(shown, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => {
    canvas.toBlob(done, "image/png");
  });
}

export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
