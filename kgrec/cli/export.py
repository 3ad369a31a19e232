"""``kgrec export``."""

from collections.abc import Sequence
from functools import partial
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgrec.cli.options import AllowOption, JsonOption, RunArgument
from kgrec.cli.output import show_json, whole
from kgrec.errors import ConfigError
from kgrec.escaping import clean
from kgrec.scale.world import World

if TYPE_CHECKING:
    from kgrec.runs.run import Vectors
    from kgrec.serving.publishing.vector_index import Index

_STATEMENT = "vectors.json"


def export(
    run: RunArgument,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for users, items and, where there are any, entities and relations "
            "(.parquet).",
            show_default=False,
        ),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(
            metavar="usearch|faiss",
            help="With --embeddings: also an index of the items, measured against the exact lists.",
            show_default=False,
        ),
    ] = None,
    index_dtype: Annotated[
        str | None,
        typer.Option(metavar="float32|int8", help="Numbers of the index.", show_default="float32"),
    ] = None,
    serving: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of tables for kgrec serve.", show_default=False),
    ] = None,
    without_users: Annotated[
        bool,
        typer.Option("--without-users", help="Tables for histories alone, no row of a user."),
    ] = False,
    lists: Annotated[
        int, typer.Option(metavar="N", min=0, help="Compute lists of N items for every user.")
    ] = 0,
    neighbors: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Keep the N largest numbers per item of an item matrix; 0 keeps all.",
        ),
    ] = 0,
    reasons: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl|DIR", help="Reasons from kgrec explain-batch.", show_default=False
        ),
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table of items to filter lists by.", show_default=False),
    ] = None,
    item_id: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Its column of ids.", show_default=False),
    ] = None,
    beside_run: Annotated[bool, typer.Option("--beside-run", hidden=True)] = False,
    json: JsonOption = False,
    allow_class: AllowOption = None,
) -> None:
    """Write what a run has learned for other programs: vectors, or tables that are served.

    --embeddings: the trained vectors as Parquet tables by the caller's ids, and what makes a score
    of them (vectors.json); with --index also an index of the items. --serving: everything that
    lists are made of, for kgrec serve; with --lists, processes that torchrun starts share them, and
    the same command goes on where it was interrupted.
    """
    world = World.here()
    if world.size > 1 and not (serving and lists):
        raise ConfigError(
            "several processes share the lists of kgrec export --serving DIR --lists N. Start it "
            "without torchrun."
        )
    if (embeddings is None) == (serving is None):
        raise ConfigError("export what? Pass one of --embeddings DIR and --serving DIR.")
    if index_dtype is not None and index is None:
        raise ConfigError(f"--index-dtype {index_dtype[:40]}: goes with --index usearch or faiss.")
    if embeddings is not None:
        given = (without_users, lists, neighbors, reasons, items, item_id)
        if any(given):
            raise ConfigError("tables of vectors are whole. The other options go with --serving.")

        _embeddings(run, embeddings, json, allow_class or (), index, index_dtype or "float32")
        return
    if index is not None:
        raise ConfigError(f"--index {index[:40]}: goes with --embeddings DIR.")

    from kgrec.runs.run import load_run
    from kgrec.serving.write_tables import (
        Choice,
        described,
        folder_size,
        summary_lines,
        write_tables,
    )

    assert serving is not None
    choice = Choice(not without_users, lists, neighbors, reasons, items, item_id)
    loaded = load_run(run, allow=allow_class or ())
    about = write_tables(loaded, serving, choice, model_serves=beside_run, world=world)
    if json:
        show_json(described(about) | {"bytes": folder_size(serving)})
        return

    for line in summary_lines(about, serving, folder_size(serving)):
        print(clean(line))


def _embeddings(
    run: Path,
    embeddings: Path,
    json: bool,
    allow: Sequence[str],
    index: str | None,
    index_dtype: str,
) -> None:
    from kgrec._version import __version__
    from kgrec.data.io.files import write_parquet
    from kgrec.runs.run import load_run
    from kgrec.serving.publishing.vector_index import KINDS

    loaded = load_run(run, allow=allow)
    vectors = loaded.vectors()
    made = None if index is None else _index(vectors, index, index_dtype)
    embeddings.mkdir(parents=True, exist_ok=True)
    tables = {}
    if (embeddings / _STATEMENT).is_file():  # an index of the vectors before is none of these
        for kind in KINDS:
            (embeddings / f"items.{kind}").unlink(missing_ok=True)

    for name, frame in vectors.frames.items():
        goal = embeddings / f"{name}.parquet"
        whole(goal, partial(write_parquet, frame))
        tables[name] = {
            "file": goal.name,
            "rows": frame.height,
            "dim": frame["vector"].to_numpy().shape[1],
        }

    score = vectors.to_dict()
    about = {
        "format": "kgrec-vectors",
        "version": 1,
        "kgrec": __version__,
        "model": loaded.name,
        "score": score,
        "tables": tables,
    }
    if made is not None:
        name = f"items.{index}"
        whole(embeddings / name, made.write)
        about["index"] = {"file": name} | made.about

    whole(
        embeddings / _STATEMENT,
        lambda path: path.write_text(dumps(about, indent=2) + "\n", encoding="utf-8"),
    )
    if json:
        show_json(about)
        return

    for table in tables.values():
        print(f"{clean(str(embeddings / table['file']))}: {table['rows']:,} rows")

    print(
        f"{clean(str(embeddings / _STATEMENT))}: score = {score['formula']}, u of "
        f"{score['users']}, i of {score['items']}"
    )
    if made is not None:
        held = made.about
        print(
            f"{clean(str(embeddings / name))}: {held['rows']:,} items, recall@20 "
            f"{held['recall@20']:.3f} of the exact lists at ef {held['ef']}, by "
            f"{held['measured_on']:,} users"
        )


def _index(vectors: "Vectors", kind: str, dtype: str) -> "Index":
    """Return an index of the items that are ranked."""
    import numpy as np

    from kgrec.serving.publishing.vector_index import build_index

    items = vectors.frames[vectors.items]
    users = vectors.frames.get(vectors.users)
    known = np.empty((0, 1)) if users is None else users.filter(users["known"])["vector"].to_numpy()
    numbers = items["vector"].to_numpy(), items["known"].to_numpy()
    return build_index(kind, *numbers, known, vectors.function, dtype)
