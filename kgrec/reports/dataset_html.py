"""What a dataset holds, as one HTML page: offline, without scripts, light or dark, for wide and
narrow screens.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from kgrec.escaping import clean

_LONGEST = 160
_RELATIONS = 12
_WIDTH = 360
_HEIGHT = 190
_LEFT = 40
_TOP = 14
_BOTTOM = 30
_PARTS = {"train": "training", "valid": "validation", "test": "test"}

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #52606d; --line: #d8dee5; --ground: #f6f8fa; --card: #ffffff;
  --bar: #0f766e; --second: #b7791f; --third: #64748b; --note: #fff8e6; --noteline: #d9a441; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --soft: #a3b1bf; --line: #35404c; --ground: #12171d; --card: #1b222a;
  --bar: #2fb5a8; --second: #e0b252; --third: #8fa3b8; --note: #2b2517; --noteline: #b98a2f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 36px 0 12px; }
h3, caption { font-size: 1rem; font-weight: 600; margin: 0 0 6px; text-align: left; }
p { margin: 0 0 8px; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); }
.tiles { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(112px, 1fr)); margin: 20px 0 0; padding: 0; }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px; min-width: 0; }
.tile dt { color: var(--soft); font-size: .85rem; }
.tile dd { margin: 0; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.card figure { margin: 0; }
svg { display: block; width: 100%; max-width: 480px; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.axis { stroke: var(--line); stroke-width: 1; }
.train { fill: var(--bar); } .valid { fill: var(--second); } .test { fill: var(--third); }
.curve { fill: none; stroke: var(--bar); stroke-width: 2; } .even { fill: none; stroke: var(--third); stroke-dasharray: 4 4; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; } .n { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal; white-space: nowrap; }
td.share { width: 28%; min-width: 56px; } .track { background: var(--line); border-radius: 3px; height: 10px; margin-top: 7px; }
table + p, .wide + p { margin-top: 10px; } p:last-child { margin-bottom: 0; } td small { color: var(--soft); display: block; }
.track span { display: block; background: var(--bar); border-radius: 3px; height: 10px; }
.wide { height: 14px; } .wide span { height: 14px; }
ul.warnings { list-style: none; padding: 0; margin: 0; display: grid; gap: 10px; }
ul.warnings li { background: var(--note); border: 1px solid var(--noteline); border-left-width: 5px; border-radius: 6px;
  padding: 10px 14px; overflow-wrap: anywhere; }
details { margin-top: 8px; } summary { cursor: pointer; color: var(--soft); font-size: .88rem; }
.legend { font-size: .85rem; color: var(--soft); margin: 4px 0 0; } .legend b { font-weight: 400; margin-right: 12px; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px; }
.legend .train { background: var(--bar); } .legend .valid { background: var(--second); } .legend .test { background: var(--third); }
"""


def page(told: Mapping[str, Any]) -> str:
    """Return the page of a dataset.

    Args:
        told: What ``kgrec info --json`` prints: the counts, and its profile.
    """
    profile = told["profile"]
    body = [
        _head(told),
        _warnings(profile["warnings"]),
        _interactions(profile["interactions"]) if profile["interactions"] else "",
        _graph(told, profile["graph"], profile["interactions"]) if profile["graph"] else "",
        _report(told),
    ]
    title = _text(f"{told['name']}: what the dataset holds")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src '
        "'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _text(value: object) -> str:
    """Return text that may stand anywhere in the page: one line, cut where it is too long,
    escaped.
    """
    line = clean(str(value))
    return escape(line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…", quote=True)


def _name(value: object) -> str:
    """Return a label from the data: its writing direction stays its own."""
    return f"<bdi>{_text(value)}</bdi>"


def _percent(part: float | int, whole: float | int) -> str:
    """Return a share, never rounded to all or nothing where it is neither."""
    if whole:
        share = 100 * part / whole
    else:
        share = 0.0
    shown = f"{share:.1f}".removesuffix(".0")
    if shown == "100" and part < whole:
        shown = "99.9"
    return f"{'under 0.1' if shown == '0' and part else shown} %"


def _tiles(rows: Iterable[tuple[str, str]]) -> str:
    return (
        '<dl class="tiles">'
        + "".join(
            f'<div class="tile"><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>'
            for name, value in rows
        )
        + "</dl>"
    )


def _table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()
) -> str:
    """Return a table; cells are markup already."""
    head = "".join(
        f'<th scope="col"{_right(n in numbers)}>{_text(column)}</th>'
        for n, column in enumerate(columns)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{_right(n in numbers)}>{cell}</td>" for n, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<table><caption>{_text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _right(number: bool) -> str:
    if number:
        return ' class="n"'
    return ""


def _track(share: float, extra: str = "") -> str:
    return f'<div class="track{extra}" aria-hidden="true"><span style="width:{100 * min(max(share, 0.0), 1.0):.1f}%"></span></div>'


def _ranked(
    caption: str, columns: tuple[str, str], rows: Sequence[tuple[str, int, str]], note: str = ""
) -> str:
    """Return a card with names, bars and counts; of equal names each has its key below."""
    most = max((count for _, count, _ in rows), default=1) or 1
    names = [name for name, _, _ in rows]
    body = ""
    for name, count, key in rows:
        if names.count(name) > 1:
            own = f"<small>{_name(key)}</small>"
        else:
            own = ""
        body += f'<tr><td>{_name(name)}{own}</td><td class="share">{_track(count / most)}</td><td class="n">{count:,}</td></tr>'
    head = f'<th scope="col">{_text(columns[0])}</th><td></td><th scope="col" class="n">{_text(columns[1])}</th>'
    if note:
        after = f'<p class="soft">{_text(note)}</p>'
    else:
        after = ""
    table = f"<table><caption>{_text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="card">{table}{after}</div>'


def _head(told: Mapping[str, Any]) -> str:
    parts = told["interactions"]
    if told["users"] or told["items"]:
        tiles = [("users", f"{told['users']:,}"), ("items", f"{told['items']:,}")]
    else:
        tiles = []
    if told["users"]:
        tiles += [(f"{_PARTS[part]} interactions", f"{count:,}") for part, count in parts.items()]
    else:
        tiles += []
    tiles += [
        ("triples", f"{told['triples']:,}"),
        ("entities", f"{told['entities']:,}"),
        ("relations", f"{told['relations']:,}"),
    ]
    further = [
        ("negatives", "labelled negatives"),
        ("impressions", "impressions"),
        ("held_triples", "held-out triples"),
    ]
    tiles += [(name, f"{sum(told[key].values()):,}") for key, name in further if told[key]]
    tiles += [
        (f"items with {name}", f"{told['content'][key]:,}")
        for key, name in (("texts", "texts"),)
        if told["content"][key]
    ]
    split = told["settings"].get("split")
    if split:
        how = f"Split: {_text(split)}. "
    else:
        how = ""
    return f'<h1>{_name(told["name"])}</h1>\n<p class="soft">{how}Items count as entities.</p>\n{_tiles(tiles)}'


def _warnings(warnings: Sequence[Mapping[str, str]]) -> str:
    if not warnings:
        return ""
    rows = "".join(
        f"<li><strong>{_full(w['what'])}.</strong> {_full(w['remedy'])}</li>" for w in warnings
    )
    return f'<h2>Worth acting on</h2>\n<ul class="warnings">{rows}</ul>'


def _full(value: object) -> str:
    """Return a sentence, which is not cut."""
    return escape(clean(str(value)), quote=True)


def _short(number: float | int) -> str:
    """Return a number in few characters.

    >>> [_short(n) for n in (0, 2.5, 999, 1024, 1719, 12500, 2_000_000, 10**10)]
    ['0', '2.5', '999', '1k', '1.7k', '12.5k', '2M', '10G']
    """
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.{2 if number < 10 * size else 3}g}{unit}"
    return f"{number:g}"


def _round_up(most: float | int) -> int:
    """Return the next whole number that reads well at the end of an axis.

    >>> [_round_up(n) for n in (1, 3, 243, 1719, 9001)]
    [1, 3, 250, 2000, 10000]
    """
    size: int = 10 ** (len(str(int(most))) - 1)
    return next(
        step * size // 10
        for step in (10, 15, 20, 25, 30, 40, 50, 60, 80, 100)
        if step * size >= 10 * most and step * size % 10 == 0
    )


def _figure(title: str, drawing: str, described: str, table: str, under: str = "") -> str:
    name = _text(title)
    svg = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}. {_text(described)}"><title>{name}</title>{drawing}</svg>'
    details = f"<details><summary>as a table</summary>{table}</details>"
    drawn = f"<figure><figcaption><h3>{name}</h3></figcaption>{svg}{under}</figure>"
    return f'<div class="card">{drawn}<p class="soft">{_text(described)}</p>{details}</div>'


def _axes(most: float | int) -> str:
    base = _HEIGHT - _BOTTOM
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = base - share * (base - _TOP)
        lines.append(
            f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - 4}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        value = most * share
        if share != 0.5 or most % 2 == 0 or most >= 10:
            lines.append(
                f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>'
            )
    return "".join(lines)


def _bars(columns: Sequence[Sequence[tuple[str, int]]], ticks: Sequence[tuple[float, str]]) -> str:
    """Return bars, each of pieces on top of one another (class, height), and marks along the axis
    (place in bars, text).
    """
    most = _round_up(max((sum(count for _, count in pieces) for pieces in columns), default=0) or 1)
    base = _HEIGHT - _BOTTOM
    step = (_WIDTH - 4 - _LEFT) / max(len(columns), 1)
    drawn = [_axes(most)]
    for place, pieces in enumerate(columns):
        y = float(base)
        for kind, count in pieces:
            tall = count / most * (base - _TOP)
            if count:
                tall = max(tall, 1.0)
            else:
                tall = 0.0
            y -= tall
            if count:
                size = f'width="{max(step - 2, 1):.1f}" height="{tall:.1f}"'
                drawn.append(
                    f'<rect class="{kind}" x="{_LEFT + place * step + 1:.1f}" y="{y:.1f}" {size}/>'
                )
    drawn += [
        f'<text x="{_LEFT + at * step:.1f}" y="{base + 16}" text-anchor="{"end" if at == len(columns) else "middle"}">{_text(text)}</text>'
        for at, text in ticks
    ]
    return "".join(drawn)


def _distribution(title: str, spread: Mapping[str, Any], what: str, of: str) -> str:
    """Return a histogram of counts, which double from bin to bin."""
    bins = spread["bins"]
    every = -(-len(bins) // 12)
    ticks = [
        (n + 0.5 * (bin["to"] == 0), _short(bin["from"]))
        for n, bin in enumerate(bins)
        if n % every == 0
    ]
    if bins and bins[-1]["to"]:
        ticks += [(float(len(bins)), _short(bins[-1]["to"] + 1))]
    else:
        ticks += []
    drawing = _bars([[("train", bin["count"])] for bin in bins], ticks)
    rows = [(_range(bin), f"{bin['count']:,}") for bin in bins]
    described = (
        f"{of.capitalize()}: median {spread['median']:g}, mean {spread['mean']:.1f}, "
        f"from {spread['least']:,} to {spread['most']:,}."
    )
    if spread["none"]:
        described += f" None: {spread['none']:,}."
    return _figure(title, drawing, described, _table(title, (of, what), rows, numbers=(0, 1)))


def _range(bin: Mapping[str, int]) -> str:
    if bin["from"] == bin["to"]:
        return f"{bin['from']:,}"
    return f"{bin['from']:,} to {bin['to']:,}"


def _interactions(told: Mapping[str, Any]) -> str:
    held = told["held_out_cold"]
    cards = [
        _distribution("Interactions per user", told["per_user"], "users", "interactions of a user"),
        _distribution(
            "Interactions per item", told["per_item"], "items", "interactions of an item"
        ),
        _popularity(told["popularity"]) if told["popularity"] else "",
        _times(told["times"]) if told["times"] else "",
        _ratings(told["ratings"]) if told["ratings"] else "",
    ]
    facts = [
        ("pairs of a user and an item that interact", _percent(told["density"], 1)),
        ("items without a training interaction", f"{told['cold_items']:,}"),
        ("users without a training interaction", f"{told['cold_users']:,}"),
        (
            "such items in validation and test",
            f"{held['valid']['items']:,} and {held['test']['items']:,}",
        ),
        (
            "such users in validation and test",
            f"{held['valid']['users']:,} and {held['test']['users']:,}",
        ),
    ]
    table = _table(
        "Sparsity and cold starts",
        ("what", "figure"),
        [(_text(name), _text(value)) for name, value in facts],
        numbers=(1,),
    )
    return f'<h2>Interactions</h2>\n<div class="grid">{"".join(cards)}<div class="card">{table}</div></div>'


def _popularity(points: Sequence[Sequence[float | int]]) -> str:
    base = _HEIGHT - _BOTTOM
    width = _WIDTH - 4 - _LEFT
    path = " ".join(f"{_LEFT + x * width:.1f},{base - y * (base - _TOP):.1f}" for x, y in points)
    ticks = "".join(
        f'<text x="{_LEFT + n / 4 * width:.1f}" y="{base + 16}" text-anchor="{"end" if n == 4 else "middle"}">{25 * n} %</text>'
        for n in range(5)
    )
    drawing = (
        _axes(100)
        + ticks
        + f'<line class="even" x1="{_LEFT}" y1="{base}" x2="{_LEFT + width}" y2="{_TOP}"/><polyline class="curve" points="{path}"/>'
    )
    tenth = next(y for x, y in points if x >= 0.0999)
    described = (
        f"The most popular tenth of the items has {100 * tenth:.0f} % of the "
        "interactions. Dashed: if all were equally popular."
    )
    rows = [(f"{100 * x:.0f} %", f"{100 * y:.1f} %") for x, y in points]
    table = _table(
        "Share of interactions of the most popular items",
        ("items", "interactions"),
        rows,
        numbers=(0, 1),
    )
    return _figure("Share of the interactions, most popular items first", drawing, described, table)


def _times(told: Mapping[str, Any]) -> str:
    counts = {part: own for part, own in told["counts"].items() if sum(own)}
    size = len(next(iter(counts.values()), []))
    columns = [[(part, own[n]) for part, own in counts.items()] for n in range(size)]
    first, last = (told[f"{end}_date"] or f"{told[end]:g}" for end in ("first", "last"))
    base = _HEIGHT - _BOTTOM
    ends = f'<text x="{_LEFT}" y="{base + 16}">{_text(first)}</text>'
    ends += f'<text x="{_WIDTH - 4}" y="{base + 16}" text-anchor="end">{_text(last)}</text>'
    rows = [
        (f"{n + 1} of {size}", *(f"{own[n]:,}" for own in counts.values())) for n in range(size)
    ]
    names = [_PARTS[part] for part in counts]
    table = _table(
        "Interactions over time",
        ("piece of the time", *names),
        rows,
        numbers=tuple(range(1, len(names) + 1)),
    )
    legend = (
        '<p class="legend">'
        + "".join(f'<b><i class="{part}"></i>{_PARTS[part]}</b>' for part in counts)
        + "</p>"
    )
    described = f"From {first} to {last}" + (
        f"; {told['missing']:,} have no time." if told["missing"] else "."
    )
    return _figure("Interactions over time", _bars(columns, ()) + ends, described, table, legend)


def _ratings(ratings: Sequence[Sequence[float | int]]) -> str:
    ticks = [(n + 0.5, f"{value:g}") for n, (value, _) in enumerate(ratings)]
    drawing = _bars([[("train", int(count))] for _, count in ratings], ticks)
    total = sum(count for _, count in ratings)
    described = f"Mean {sum(value * count for value, count in ratings) / total:.2f}."
    rows = [(f"{value:g}", f"{int(count):,}") for value, count in ratings]
    return _figure(
        "Ratings",
        drawing,
        described,
        _table("Ratings", ("rating", "interactions"), rows, numbers=(0, 1)),
    )


def _graph(
    told: Mapping[str, Any], graph: Mapping[str, Any], interactions: Mapping[str, Any] | None
) -> str:
    relations = graph["relations"]
    parts = graph["components"]
    rest = relations["most"][_RELATIONS:]
    others = relations["others"] + len(rest)
    facts = relations["in_others"] + sum(one["triples"] for one in rest)
    if others:
        more = f"And {others:,} more relations with {facts:,} facts."
    else:
        more = ""
    cards = [
        _coverage(told, graph, interactions),
        _distribution("Triples per item", graph["per_item"], "items", "triples of an item")
        if told["items"]
        else "",
        _distribution(
            "Triples per entity",
            graph["per_entity"],
            "entities",
            "triples of an entity that is no item",
        ),
        _ranked(
            "Relations",
            ("relation", "facts"),
            [(one["label"], one["triples"], one["key"]) for one in relations["most"][:_RELATIONS]],
            more,
        ),
        _ranked(
            "Hubs",
            ("entity", "triples"),
            [(one["label"], one["triples"], one["key"]) for one in graph["hubs"]],
        ),
        _ranked(
            "Types",
            ("type", "entities"),
            [(one["key"], one["entities"], "") for one in graph["types"][:_RELATIONS]],
        )
        if graph["types"]
        else "",
    ]
    bins = [(f"{_range(bin)} entities", bin["count"], "") for bin in parts["bins"] if bin["count"]]
    note = (
        f"The largest holds {_percent(parts['largest'], parts['entities'])} of the entities "
        "with a triple"
    )
    if told["items"]:
        note += f", and {parts['items_in_largest']:,} items."
    else:
        note += "."
    cards.append(
        _ranked(f"Connected components: {parts['count']:,}", ("size", "components"), bins, note)
    )
    return f'<h2>Knowledge graph</h2>\n<div class="grid">{"".join(cards)}</div>'


def _coverage(
    told: Mapping[str, Any], graph: Mapping[str, Any], interactions: Mapping[str, Any] | None
) -> str:
    if told["items"]:
        rows = [("items with a triple", graph["items_with_triples"], told["items"])]
    else:
        rows = []
    if interactions:
        rows += [
            (
                "interactions with such items",
                graph["interactions_with_triples"],
                interactions["total"],
            )
        ]
    else:
        rows += []
    rows += [("entities with a label", graph["labelled"], told["entities"])]
    body = ""
    for name, part, whole in rows:
        share = f'<strong>{_percent(part, whole)}</strong> <span class="soft">({part:,} of {whole:,})</span>'
        body += f"<p>{_text(name)}: {share}</p>{_track(part / max(whole, 1), ' wide')}"
    return f'<div class="card"><h3>Coverage</h3>{body}</div>'


def _report(told: Mapping[str, Any]) -> str:
    cards = []
    if told["dropped"]:
        rows = [
            (_text(d["what"]), _text(d["why"]), f"{d['count']:,}", _where(d.get("where", ())))
            for d in told["dropped"]
        ]
        cards.append(
            f'<div class="card">{_table("Left out", ("what", "why", "rows", "first places"), rows, numbers=(2,))}</div>'
        )
    if told["counts"]:
        counted = [(_text(name), f"{count:,}") for name, count in told["counts"].items()]
        cards.append(
            f'<div class="card">{_table("Counted", ("what", "how many"), counted, numbers=(1,))}</div>'
        )
    sources = [(_name(source),) for source in told["sources"]]
    cards.append(
        f'<div class="card">{_table("Sources", ("file",), sources)}</div>' if sources else ""
    )
    settings = [(_text(name), _text(value)) for name, value in told["settings"].items()]
    cards.append(
        f'<div class="card">{_table("Settings", ("setting", "value"), settings)}</div>'
        if settings
        else ""
    )
    notes = "".join(f"<p>{_full(note)}</p>" for note in told["notes"])
    return f'<h2>How it was built</h2>\n{notes}<div class="grid">{"".join(cards)}</div>'


def _where(places: Sequence[str]) -> str:
    return "<br>".join(_name(place) for place in places[:3])
