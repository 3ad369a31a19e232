"""``kgrec pull``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kgrec.cli.options import JsonOption, settings, values
from kgrec.cli.output import show_json
from kgrec.escaping import clean

app = typer.Typer(help="Fetch a graph about your items.", rich_markup_mode=None)

_SHOWN = 5


@app.command("wikidata")
def wikidata(
    *,
    items: Annotated[
        Path, typer.Option(metavar="FILE", help="Table of items: CSV, TSV, JSON Lines, Parquet.")
    ],
    item_id: Annotated[str, typer.Option("--id", metavar="COL", help="Column of ids in it.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="N-Triples to write, gzipped as .nt.gz.")
    ],
    identifier: Annotated[
        str | None,
        typer.Option(
            "--property",
            metavar="P",
            help="Property whose values the ids are, such as P345 (IMDb); none where they are "
            "Wikidata's own.",
            show_default=False,
        ),
    ] = None,
    relations: Annotated[
        str,
        typer.Option(
            metavar="P,P", help="Properties of the facts with commas, or default for usual ones."
        ),
    ] = "default",
    language: Annotated[
        str, typer.Option(metavar="TAG,TAG", help="Languages of the labels.")
    ] = "en",
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Ids in one query.")] = 100,
    endpoint: Annotated[
        str, typer.Option(metavar="URL", help="Where to ask.")
    ] = "https://query.wikidata.org/sparql",
    sparql_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="How to ask: contact=me@example.org, cache=DIR, refresh=true, timeout=60; may be "
            "repeated.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write what Wikidata says of your items as a graph file.

    Ids that no entity has are listed. kgrec build reads the file with --link-by value:PROPERTY.
    """
    from kgrec.data.rdf.sparql import query_of
    from kgrec.data.rdf.wikidata_pull import Pull, pull
    from kgrec.data.shaping.wikidata import PROPERTIES
    from kgrec.data.tables.delimited import as_ids, find_column, read_table

    table = read_table(str(items), known={item_id})
    column = find_column(table, item_id, ())
    ids = as_ids(table, str(column), "stop").drop_nulls().to_list()
    chosen = tuple(PROPERTIES) if relations == "default" else tuple(values(relations))
    wanted = Pull(identifier, chosen, tuple(values(language)))
    asking = query_of(endpoint, wanted.label_query(), "", settings(sparql_set or [], None))
    done = pull(ids, wanted, out, asking, batch)
    if json:
        show_json(asdict(done))
        return

    print(
        f"{done.ids - len(done.missing):,} of {done.ids:,} ids found, {done.statements:,} statements"
    )
    if done.missing:
        shown = ", ".join(done.missing[:_SHOWN])
        more = ", ..." if len(done.missing) > _SHOWN else ""
        print(f"not found: {clean(shown)}{more}")

    how = "prefix:wd" if identifier is None else f"value:wdt:{identifier}"
    print(f"written to {clean(done.path)}; kgrec build --kg {clean(done.path)} --link-by {how} ...")
