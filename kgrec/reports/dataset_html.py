"""What a dataset holds, as one HTML page: offline, without scripts, for wide and narrow screens.

The markup is in ``templates/``; here are the words, numbers and coordinates that it shows.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from typing import Any

import jinja2
from markupsafe import Markup

from kgrec.escaping import clean
from kgrec.languages import repaired
from kgrec.templates import environment, source

_LONGEST = 160
_RELATIONS = 12
_WIDTH = 360
_HEIGHT = 190
_LEFT = 40
_TOP = 14
_BOTTOM = 30
_BASE = _HEIGHT - _BOTTOM
_RIGHT = _WIDTH - 4
_PARTS = {"train": "training", "valid": "validation", "test": "test"}
_View = dict[str, Any]  # what the template shows of one thing


def page(summary: Mapping[str, Any]) -> str:
    """Return the page of a dataset.

    Args:
        summary: What ``kgrec info --json`` prints: the counts, and its profile.
    """
    profile = summary["profile"]
    interactions = None
    if profile["interactions"]:
        interactions = _interactions(profile["interactions"])

    graph = None
    if profile["graph"]:
        graph = _graph(summary, profile["graph"], profile["interactions"])

    return (
        page_templates()
        .get_template("dataset.html")
        .render(
            name=summary["name"],
            split=summary["settings"].get("split"),
            style=source(page_templates(), "dataset.css"),
            tiles=_tiles(summary),
            warnings=profile["warnings"],
            interactions=interactions,
            graph=graph,
            notes=summary["notes"],
            tables=_tables(summary),
        )
    )


@cache
def page_templates() -> jinja2.Environment:
    """Return the templates of the pages about datasets and graphs."""
    templates = environment("kgrec.reports", _line)
    templates.filters["whole"] = _whole
    return templates


def _line(value: str) -> str:
    """Return text that may stand anywhere in the page: one line, cut where it is too long."""
    line = clean(value)
    if len(line) > _LONGEST:
        return line[: _LONGEST - 1] + "…"
    return line


def _whole(value: object) -> Markup:
    """Return a sentence, which is not cut."""
    return Markup(escape(clean(str(value)), quote=True))


def _percent(part: float | int, whole: float | int) -> str:
    """Return a share, never rounded to all or nothing where it is neither."""
    share = 0.0
    if whole:
        share = 100 * part / whole

    shown = f"{share:.1f}".removesuffix(".0")
    if shown == "100" and part < whole:
        shown = "99.9"

    if shown == "0" and part:
        shown = "under 0.1"

    return f"{shown} %"


def _short(number: float | int) -> str:
    """Return a number in few characters.

    >>> [_short(n) for n in (0, 2.5, 999, 1024, 1719, 12500, 2_000_000, 10**10)]
    ['0', '2.5', '999', '1k', '1.7k', '12.5k', '2M', '10G']
    """
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            digits = 2 if number < 10 * size else 3
            return f"{number / size:.{digits}g}{unit}"

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


def _range(bin: Mapping[str, int]) -> str:
    if bin["from"] == bin["to"]:
        return f"{bin['from']:,}"
    return f"{bin['from']:,} to {bin['to']:,}"


def _width(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"


# ---- pieces of the page


def _table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | list[str]]],
    numbers: Sequence[int] = (),
) -> _View:
    """Return a table; a cell is a text, or a list of names from the data."""
    heads = [{"name": name, "number": n in numbers} for n, name in enumerate(columns)]
    return {"caption": caption, "columns": heads, "rows": list(rows)}


def _ranked(
    caption: str, columns: tuple[str, str], rows: Sequence[tuple[str, int, str]], note: str = ""
) -> _View:
    """Return names, bars and counts; of equal names each has its key below."""
    most = max((count for _, count, _ in rows), default=1) or 1
    names = [name for name, _, _ in rows]
    shown = []

    for name, count, key in rows:
        if names.count(name) == 1:
            key = ""
        shown.append({"name": name, "key": key, "width": _width(count / most), "count": count})

    return {"caption": caption, "columns": columns, "rows": shown, "note": note}


def _figure(
    title: str,
    drawing: _View,
    described: str,
    table: _View,
    legend: Sequence[Mapping[str, str]] = (),
) -> _View:
    return {
        "title": title,
        "drawing": drawing,
        "described": described,
        "table": table,
        "legend": legend,
        "width": _WIDTH,
        "height": _HEIGHT,
    }


def _drawing(most: float | int) -> _View:
    """Return an empty drawing whose vertical axis ends at ``most``."""
    axes = []
    for share in (0.0, 0.5, 1.0):
        y = _BASE - share * (_BASE - _TOP)
        label = ""
        if share != 0.5 or most % 2 == 0 or most >= 10:
            label = _short(most * share)

        axes.append(
            {
                "x1": _LEFT,
                "x2": _RIGHT,
                "y": f"{y:.1f}",
                "x": _LEFT - 5,
                "below": f"{y + 4:.1f}",
                "label": label,
            }
        )

    return {"axes": axes, "bars": [], "marks": [], "curve": "", "even": None}


def _mark(x: str | int, text: str, anchor: str) -> _View:
    """Return a text below the horizontal axis."""
    return {"x": x, "y": _BASE + 16, "anchor": anchor, "text": text}


def _bars(
    columns: Sequence[Sequence[tuple[str, int]]], ticks: Sequence[tuple[float, str]]
) -> _View:
    """Return bars, each of pieces on top of one another (part, height).

    Ticks are (position in bars, text).
    """
    most = _round_up(max((sum(count for _, count in pieces) for pieces in columns), default=0) or 1)
    drawing = _drawing(most)
    step = (_RIGHT - _LEFT) / max(len(columns), 1)

    for n, pieces in enumerate(columns):
        y = float(_BASE)
        for part, count in pieces:
            if not count:
                continue

            height = max(count / most * (_BASE - _TOP), 1.0)
            y -= height
            drawing["bars"].append(
                {
                    "part": part,
                    "x": f"{_LEFT + n * step + 1:.1f}",
                    "y": f"{y:.1f}",
                    "width": f"{max(step - 2, 1):.1f}",
                    "height": f"{height:.1f}",
                }
            )

    for position, text in ticks:
        anchor = "middle"
        if position == len(columns):
            anchor = "end"

        drawing["marks"].append(_mark(f"{_LEFT + position * step:.1f}", text, anchor))

    return drawing


# ---- interactions


def _tiles(summary: Mapping[str, Any]) -> list[tuple[str, int]]:
    tiles = []
    if summary["users"] or summary["items"]:
        tiles += [("users", summary["users"]), ("items", summary["items"])]

    if summary["users"]:
        parts = summary["interactions"].items()
        tiles += [(f"{_PARTS[part]} interactions", count) for part, count in parts]

    tiles += [(name, summary[name]) for name in ("triples", "entities", "relations")]
    further = [
        ("negatives", "labeled negatives"),
        ("impressions", "impressions"),
        ("held_triples", "held-out triples"),
    ]
    tiles += [(name, sum(summary[key].values())) for key, name in further if summary[key]]
    if summary["content"]["texts"]:
        tiles.append(("items with texts", summary["content"]["texts"]))

    return tiles


def _interactions(profile: Mapping[str, Any]) -> _View:
    figures = [
        _distribution(
            "Interactions per user", profile["per_user"], "users", "interactions of a user"
        ),
        _distribution(
            "Interactions per item", profile["per_item"], "items", "interactions of an item"
        ),
    ]
    if profile["popularity"]:
        figures.append(_popularity(profile["popularity"]))

    if profile["times"]:
        figures.append(_times(profile["times"]))

    if profile["ratings"]:
        figures.append(_ratings(profile["ratings"]))

    cold = profile["held_out_cold"]
    facts = [
        ("pairs of a user and an item that interact", _percent(profile["density"], 1)),
        ("items without a training interaction", f"{profile['cold_items']:,}"),
        ("users without a training interaction", f"{profile['cold_users']:,}"),
        (
            "such items in validation and test",
            f"{cold['valid']['items']:,} and {cold['test']['items']:,}",
        ),
        (
            "such users in validation and test",
            f"{cold['valid']['users']:,} and {cold['test']['users']:,}",
        ),
    ]
    sparsity = _table("Sparsity and cold starts", ("what", "figure"), facts, numbers=(1,))
    return {"figures": figures, "sparsity": sparsity}


def _distribution(title: str, spread: Mapping[str, Any], what: str, of: str) -> _View:
    """Return a histogram of counts, which double from bin to bin."""
    bins = spread["bins"]
    every = -(-len(bins) // 12)
    ticks = [
        (n + 0.5 * (bin["to"] == 0), _short(bin["from"]))
        for n, bin in enumerate(bins)
        if n % every == 0
    ]
    if bins and bins[-1]["to"]:
        ticks.append((float(len(bins)), _short(bins[-1]["to"] + 1)))

    drawing = _bars([[("train", bin["count"])] for bin in bins], ticks)
    described = (
        f"{of.capitalize()}: median {spread['median']:g}, mean {spread['mean']:.1f}, "
        f"from {spread['least']:,} to {spread['most']:,}."
    )
    if spread["none"]:
        described += f" None: {spread['none']:,}."

    rows = [(_range(bin), f"{bin['count']:,}") for bin in bins]
    return _figure(title, drawing, described, _table(title, (of, what), rows, numbers=(0, 1)))


def _popularity(points: Sequence[Sequence[float | int]]) -> _View:
    width = _RIGHT - _LEFT
    drawing = _drawing(100)
    drawing["even"] = {"x1": _LEFT, "y1": _BASE, "x2": _RIGHT, "y2": _TOP}
    drawing["curve"] = " ".join(
        f"{_LEFT + x * width:.1f},{_BASE - y * (_BASE - _TOP):.1f}" for x, y in points
    )

    for n in range(5):
        anchor = "middle"
        if n == 4:
            anchor = "end"

        drawing["marks"].append(_mark(f"{_LEFT + n / 4 * width:.1f}", f"{25 * n} %", anchor))

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


def _times(times: Mapping[str, Any]) -> _View:
    counts = {part: bins for part, bins in times["counts"].items() if sum(bins)}
    size = len(next(iter(counts.values()), []))
    first, last = (times[f"{end}_date"] or f"{times[end]:g}" for end in ("first", "last"))
    drawing = _bars([[(part, bins[n]) for part, bins in counts.items()] for n in range(size)], ())
    drawing["marks"] += [_mark(_LEFT, first, "start"), _mark(_RIGHT, last, "end")]
    rows = [
        (f"{n + 1} of {size}", *(f"{bins[n]:,}" for bins in counts.values())) for n in range(size)
    ]
    names = [_PARTS[part] for part in counts]
    table = _table(
        "Interactions over time",
        ("piece of the time", *names),
        rows,
        numbers=tuple(range(1, len(names) + 1)),
    )
    legend = [{"key": part, "name": _PARTS[part]} for part in counts]
    described = f"From {first} to {last}."
    if times["missing"]:
        described = f"From {first} to {last}; {times['missing']:,} have no time."

    return _figure("Interactions over time", drawing, described, table, legend)


def _ratings(ratings: Sequence[Sequence[float | int]]) -> _View:
    ticks = [(n + 0.5, f"{value:g}") for n, (value, _) in enumerate(ratings)]
    drawing = _bars([[("train", int(count))] for _, count in ratings], ticks)
    total = sum(count for _, count in ratings)
    described = f"Mean {sum(value * count for value, count in ratings) / total:.2f}."
    rows = [(f"{value:g}", f"{int(count):,}") for value, count in ratings]
    table = _table("Ratings", ("rating", "interactions"), rows, numbers=(0, 1))
    return _figure("Ratings", drawing, described, table)


# ---- knowledge graph


def _graph(
    summary: Mapping[str, Any], graph: Mapping[str, Any], interactions: Mapping[str, Any] | None
) -> _View:
    figures = []
    if summary["items"]:
        figures.append(
            _distribution("Triples per item", graph["per_item"], "items", "triples of an item")
        )

    figures.append(
        _distribution(
            "Triples per entity",
            graph["per_entity"],
            "entities",
            "triples of an entity other than an item",
        )
    )
    hubs = [(repaired(hub["label"]), hub["triples"], hub["key"]) for hub in graph["hubs"]]
    lists = [_relations(graph["relations"]), _ranked("Hubs", ("entity", "triples"), hubs)]

    if graph["types"]:
        types = [(kind["key"], kind["entities"], "") for kind in graph["types"][:_RELATIONS]]
        lists.append(_ranked("Types", ("type", "entities"), types))

    lists.append(_components(graph["components"], summary["items"]))
    coverage = _coverage(summary, graph, interactions)
    return {"coverage": coverage, "figures": figures, "lists": lists}


def _relations(relations: Mapping[str, Any]) -> _View:
    rest = relations["most"][_RELATIONS:]
    others = relations["others"] + len(rest)
    facts = relations["in_others"] + sum(relation["triples"] for relation in rest)
    note = ""
    if others:
        note = f"And {others:,} more relations with {facts:,} facts."

    rows = [
        (relation["label"], relation["triples"], relation["key"])
        for relation in relations["most"][:_RELATIONS]
    ]

    return _ranked("Relations", ("relation", "facts"), rows, note)


def _components(parts: Mapping[str, Any], items: int) -> _View:
    rows = [(f"{_range(bin)} entities", bin["count"], "") for bin in parts["bins"] if bin["count"]]
    share = _percent(parts["largest"], parts["entities"])
    note = f"The largest holds {share} of the entities with a triple."
    if items:
        note = f"{note[:-1]}, and {parts['items_in_largest']:,} items."
    return _ranked(f"Connected components: {parts['count']:,}", ("size", "components"), rows, note)


def _coverage(
    summary: Mapping[str, Any], graph: Mapping[str, Any], interactions: Mapping[str, Any] | None
) -> list[_View]:
    rows = [("entities with a label", graph["labelled"], summary["entities"])]
    if interactions:
        with_triples = graph["interactions_with_triples"]
        rows.insert(0, ("interactions with such items", with_triples, interactions["total"]))

    if summary["items"]:
        rows.insert(0, ("items with a triple", graph["items_with_triples"], summary["items"]))

    return [
        {
            "name": name,
            "share": _percent(part, whole),
            "part": part,
            "whole": whole,
            "width": _width(part / max(whole, 1)),
        }
        for name, part, whole in rows
    ]


# ---- report


def _tables(summary: Mapping[str, Any]) -> list[_View]:
    """Return what was omitted and counted, the sources, and the settings."""
    tables = []
    if summary["dropped"]:
        rows = [
            (drop["what"], drop["why"], f"{drop['count']:,}", list(drop.get("where", ())[:3]))
            for drop in summary["dropped"]
        ]
        columns = ("what", "why", "rows", "first places")
        tables.append(_table("Left out", columns, rows, numbers=(2,)))

    if summary["counts"]:
        counts = [(name, f"{count:,}") for name, count in summary["counts"].items()]
        tables.append(_table("Counted", ("what", "how many"), counts, numbers=(1,)))

    if summary["sources"]:
        tables.append(_table("Sources", ("file",), [([source],) for source in summary["sources"]]))

    if summary["settings"]:
        settings = [(name, str(value)) for name, value in summary["settings"].items()]
        tables.append(_table("Settings", ("setting", "value"), settings))

    return tables
