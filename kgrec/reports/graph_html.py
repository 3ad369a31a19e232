"""What a graph holds, as one HTML page: offline, without scripts."""

from collections.abc import Mapping
from typing import Any

from kgrec.reports.dataset_html import page_templates
from kgrec.templates import source

_SHOWN = 20


def graph_page(name: str, figures: Mapping[str, Any]) -> str:
    """Return the page of a graph.

    Args:
        name: Of the graph.
        figures: What ``kgrec info GRAPH --json`` prints.
    """
    templates = page_templates()
    tiles = ("triples", "entities", "relations", "literals")
    return templates.get_template("graph.html").render(
        name=name,
        vocabularies=", ".join(figures["vocabularies"]),
        style=source(templates, "dataset.css"),
        tiles=[(tile, figures[tile]) for tile in tiles],
        warnings=figures["warnings"],
        tables=[table for table in graph_tables(figures) if table["rows"]],
    )


def graph_tables(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tables of a graph's survey: ``caption``, ``columns`` and ``rows`` of texts."""
    parts = figures["components"]
    return [
        _table(
            "what could be items",
            ("kind", "entities", "triples each", "share a neighbor"),
            [
                (
                    row["kind"],
                    f"{row['entities']:,}",
                    f"{row['triples_per_entity']:.1f}",
                    f"{row['shared']:.0%}",
                )
                for row in figures["candidates"]
            ],
        ),
        _table(
            "relations",
            ("relation", "triples", "heads", "tails"),
            [
                (row["label"], *(f"{row[name]:,}" for name in ("triples", "heads", "tails")))
                for row in figures["relation_list"]
            ],
        ),
        _table(
            "literals",
            ("property", "values", "distinct", "example"),
            [
                (row["property"], f"{row['values']:,}", f"{row['distinct']:,}", row["example"])
                for row in figures["properties"]
            ],
        ),
        _table(
            "classes",
            ("class", "entities"),
            [(row["class"], f"{row['entities']:,}") for row in figures["classes"]],
        ),
        _table(
            "hubs",
            ("entity", "triples"),
            [(row["label"], f"{row['triples']:,}") for row in figures["hubs"]],
        ),
        _table(
            "nearly equal IRIs",
            ("IRI", "and"),
            [(group[0], ", ".join(group[1:])) for group in figures["near_equal"]],
        ),
        _table(
            "connected parts",
            ("", "entities"),
            [
                ("parts", f"{parts['count']:,}"),
                ("in the largest", f"{parts['largest']:,}"),
                ("without a triple", f"{parts['without_triples']:,}"),
            ],
        ),
        _table(
            "left out while reading",
            ("what", "count"),
            [(f"{row['what']}: {row['why']}", f"{row['count']:,}") for row in figures["dropped"]],
        ),
    ]


def _table(caption: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> dict[str, Any]:
    return {"caption": caption, "columns": columns, "rows": rows[:_SHOWN]}
