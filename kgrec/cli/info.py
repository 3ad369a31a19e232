"""``kgrec info``."""

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgrec.cli.options import DatasetArgument, JsonOption
from kgrec.cli.output import show_json, show_table, whole
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.data.records.dataset import Dataset


HtmlOption = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write it with plots as one HTML page.", show_default=False
    ),
]


def info(dataset: DatasetArgument, html: HtmlOption = None, json: JsonOption = False) -> None:
    """Say what a dataset holds.

    Counts, coverage, relations, how both are spread, what was dropped and why, and what to do about
    it.
    """
    from kgrec.data.formats.load import load
    from kgrec.data.profile import profile
    from kgrec.reports.dataset_html import page

    data = load(dataset)
    summary = data.summary() | {"profile": profile(data)}

    if html is not None:
        text = page(summary)
        whole(html, lambda path: path.write_text(text, encoding="utf-8"))

    if json:
        show_json(summary)
        return

    show_dataset(data, summary["profile"])
    if html is not None:
        print(f"page written to {clean(str(html))}")


def show_dataset(data: "Dataset", profile: Mapping[str, Any] | None = None) -> None:
    """Print what a dataset holds, and where there is one, its profile."""
    summary = data.summary()
    parts = ", ".join(f"{count:,} {part}" for part, count in summary["interactions"].items())
    _print(
        f"{clean(data.name)}: {summary['users']:,} users, {summary['items']:,} items, interactions: "
        f"{parts}"
    )
    _print(
        f"knowledge graph: {summary['triples']:,} triples, {summary['entities']:,} entities (items "
        f"included), {summary['relations']:,} relations"
    )
    _show_content(summary)
    for name, count in summary["counts"].items():
        print(f"{clean(name)}: {count:,}")

    if summary["columns"]:
        _show_columns(summary["columns"])

    if summary["relations"]:
        _show_relations(data)

    if profile is not None:
        _show_profile(profile)

    for lost in summary["dropped"]:
        _print(
            f"dropped {lost['count']:,} {clean(lost['what'])}: "
            f"{clean(lost['why'])}{_places(lost.get('where', ()))}"
        )

    for note in summary["notes"]:
        _print(clean(note))

    for caution in (profile or summary)["warnings"]:
        _print(f"! {clean(caution['what'])}. {clean(caution['remedy'])}")


def _show_columns(columns: Sequence[Mapping[str, Any]]) -> None:
    rows = []
    for column in columns:
        numbers = (
            f"{column[name]:,}" if column["kind"] != "unused" else ""
            for name in ("distinct", "rows", "triples")
        )
        relation = column["relation"] or ("-" if not column["triples"] else "")
        rows.append(
            (
                clean(column["column"]),
                column["kind"],
                clean(relation),
                *numbers,
                clean(column["note"]),
            )
        )

    show_table(
        ("column", "kind", "relation", "values", "rows", "triples", "note"),
        rows,
        right=("values", "rows", "triples"),
    )


def _print(text: str) -> None:
    """Print a sentence, folded where there is a terminal."""
    width = max(shutil.get_terminal_size().columns, 20)
    print(
        textwrap.fill(text, width, subsequent_indent="  ", break_on_hyphens=False)
        if sys.stdout.isatty()
        else text
    )


def _places(places: Sequence[str]) -> str:
    if places:
        return f" (first {', '.join(map(clean, places[:3]))})"
    return ""


def _show_profile(profile: Mapping[str, Any]) -> None:
    rows: list[tuple[str, object, object, object, object]] = []
    if (own := profile["interactions"]) is not None:
        rows += [
            _spread("interactions per user", own["per_user"]),
            _spread("interactions per item", own["per_item"]),
        ]
        _print(f"density: {100 * own['density']:.3g} % of all pairs of a user and an item")
        _print(
            f"without a training interaction: {own['cold_items']:,} items, {own['cold_users']:,} "
            "users"
        )

        if (times := own["times"]) is not None:
            first, last = (times[f"{end}_date"] or f"{times[end]:g}" for end in ("first", "last"))
            _print(f"time: {first} to {last}")

    if (graph := profile["graph"]) is not None:
        rows += [
            _spread("triples per item", graph["per_item"]),
            _spread("triples per other entity", graph["per_entity"]),
        ]
        if own is not None and own["total"]:
            share = 100 * graph["interactions_with_triples"] / own["total"]
            _print(
                f"coverage: {graph['items_with_triples']:,} items with triples have {share:.1f} "
                "% of the interactions"
            )

        parts = graph["components"]
        _print(
            f"components: {parts['count']:,}, the largest with {parts['largest']:,} of "
            f"{parts['entities']:,} entities with triples"
        )
        _print(
            "hubs: "
            + ", ".join(
                f"{clean(hub['label'])[:40]} ({hub['triples']:,})" for hub in graph["hubs"][:5]
            )
        )

    show_table(
        ("", "least", "median", "mean", "most"), rows, right=("least", "median", "mean", "most")
    )


def _spread(name: str, spread: Mapping[str, Any]) -> tuple[str, object, object, object, object]:
    return (
        name,
        f"{spread['least']:,}",
        f"{spread['median']:g}",
        f"{spread['mean']:.1f}",
        f"{spread['most']:,}",
    )


def _show_content(summary: dict[str, Any]) -> None:
    """Print what a dataset holds beyond interactions and triples, a line for each kind that is
    there.
    """
    content = summary["content"]
    if content["texts"]:
        print(
            f"texts: {content['texts']:,} of {summary['items']:,} items, {content['mentions']:,} "
            "mentions of entities"
        )

    if content["features"]:
        print(f"features: {content['features']:,} numbers per item")

    if content["word_vectors"] or content["entity_vectors"]:
        print(f"vectors: {content['word_vectors']:,} words, {content['entity_vectors']:,} entities")

    for name, kind in (
        ("negatives", "labelled negatives"),
        ("impressions", "impressions"),
        ("held_triples", "held-out triples"),
    ):
        if summary[name]:
            print(
                f"{kind}: "
                + ", ".join(f"{count:,} {part}" for part, count in summary[name].items())
            )


_MOST_RELATIONS = 20


def _show_relations(data: "Dataset") -> None:
    import numpy as np

    counts = np.bincount(data.triples.relation, minlength=data.num_relations)
    counts += np.bincount(data.user_facts[:, 1], minlength=data.num_relations)
    order = np.argsort(-counts, kind="stable")
    rows = [
        (data.triples.relation_label(r), f"{counts[r]:,}", data.triples.relations.key(r))
        for r in order[:_MOST_RELATIONS]
    ]
    show_table(("relation", "facts", "key"), rows, right=("facts",))

    if len(order) > _MOST_RELATIONS:
        print(
            f"and {len(order) - _MOST_RELATIONS:,} more relations with "
            f"{counts[order[_MOST_RELATIONS:]].sum():,} facts"
        )
