"""``kgrec info``."""

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgrec.cli.options import JsonOption, graph_settings
from kgrec.cli.output import show_json, show_table, whole
from kgrec.errors import ConfigError
from kgrec.escaping import clean
from kgrec.languages import repaired

if TYPE_CHECKING:
    from kgrec.data.records.dataset import Dataset


HtmlOption = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write it with plots as one HTML page.", show_default=False
    ),
]


def info(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET|GRAPH|RUN",
            help="A built dataset, a recognized folder, a bundled graph's name, a graph file, or a "
            "trained run.",
            show_default=False,
        ),
    ],
    html: HtmlOption = None,
    profile_name: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="Read a graph file without the plumbing of its vocabulary, as kgrec build does.",
            show_default=False,
        ),
    ] = None,
    kg_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Setting of the graph's reader; may be repeated.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say what a dataset holds, a graph file, or a run.

    Counts, coverage, relations, how both are spread, what was dropped and why, and what to do about
    it. Of a graph file: what to clean, and what could be items. Of a run: model, settings, data and
    figures.
    """
    reading = graph_settings(kg_set, profile_name)
    if Path(dataset).is_file():
        _graph_info(Path(dataset), reading, html, json)
        return

    if reading:
        raise ConfigError("--kg-set and --profile are for graph files, and this is none.")

    if _is_run(Path(dataset)):
        if html is not None:
            raise ConfigError(f"--html is not for runs. See it: kgrec inspect {dataset}")

        _run_info(Path(dataset), json)
        return

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


def _is_run(path: Path) -> bool:
    """Return whether a folder says that it is a run."""
    try:
        return '"kgrec-run"' in (path / "config.json").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _run_info(path: Path, json: bool) -> None:
    """Say what a run is."""
    from kgrec.runs.folder import read_config

    record = read_config(path)
    if json:
        show_json({name: value for name, value in record.items() if name != "history"})
        return

    summary = record["summary"]
    data = record["dataset"]
    _print(
        f"{clean(record['model'])}, preset {clean(record['preset'])}, seed {record['seed']}, "
        f"{'finished' if record['status'] == 'done' else 'training unfinished'}"
        f"{', refit on everything' if record['refit'] else ''}"
    )
    _print(
        f"dataset {clean(str(data.get('name')))} at {clean(str(data.get('path') or 'nowhere'))}, "
        f"checksum {clean(str(data.get('checksum') or 'none'))[:12]}"
    )
    if summary.get("epochs"):
        _print(
            f"{summary['epochs']} epochs, the best {summary.get('best_epoch')}, "
            f"{summary.get('seconds', 0.0):.0f} s, {summary.get('parameters', 0):,} parameters"
        )

    for member in record.get("members", ()):
        _print(f"member {clean(member['model'])}, seed {member['seed']}")

    settings = record["config"] | record["train"]
    _print("settings: " + ", ".join(f"{name} {clean(str(settings[name]))}" for name in settings))
    parts = {part: summary.get(part) for part in ("valid", "test") if summary.get(part)}
    if parts:
        names = list(next(iter(parts.values())))
        rows = [(name, *(f"{one.get(name, 0.0):.4f}" for one in parts.values())) for name in names]
        show_table(("metric", *parts), rows, right=list(parts))


def _graph_info(path: Path, reading: dict[str, Any], html: Path | None, json: bool) -> None:
    """Say what a graph file holds."""
    from kgrec.data.readers.triples import read_triples, reader_settings
    from kgrec.data.shaping.survey import survey
    from kgrec.reports.graph_html import graph_page, graph_tables

    figures = survey(read_triples(str(path), **reader_settings(reading)))
    if html is not None:
        text = graph_page(path.name, figures)
        whole(html, lambda file: file.write_text(text, encoding="utf-8"))

    if json:
        show_json(figures)
        return

    _print(
        f"{clean(path.name)}: {figures['triples']:,} triples, {figures['entities']:,} entities, "
        f"{figures['relations']:,} relations, {figures['literals']:,} literals"
    )
    if figures["vocabularies"]:
        _print(f"vocabularies: {', '.join(figures['vocabularies'])}")

    for name, count in figures["counts"].items():
        print(f"{clean(name)}: {count:,}")

    labels = figures["labels"]
    _print(
        f"without a label: {labels['entities_without']:,} entities, "
        f"{labels['relations_without']:,} relations; {labels['blank_nodes']:,} blank nodes"
    )
    for table in graph_tables(figures):
        if table["rows"]:
            print(table["caption"])
            show_table(
                table["columns"],
                [tuple(clean(cell)[:80] for cell in row) for row in table["rows"]],
                right=table["columns"][1:],
            )

    for caution in figures["warnings"]:
        _print(f"! {clean(caution['what'])}. {clean(caution['remedy'])}")

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
                f"{clean(repaired(hub['label']))[:40]} ({hub['triples']:,})"
                for hub in graph["hubs"][:5]
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
