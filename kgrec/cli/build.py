"""``kgrec build``."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kgrec.cli.info import show_dataset
from kgrec.cli.options import (
    JsonOption,
    SeedOption,
    cores,
    graph_settings,
    numbers,
    settings,
    values,
    weight_of,
    whole_numbers,
)
from kgrec.cli.output import show_json
from kgrec.errors import ConfigError
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.data.rdf.sparql import SparqlQuery
    from kgrec.data.rdf.sparql_files import FileQuery
    from kgrec.data.records.report import ColumnRole


def build(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE_DIR]",
            help="A recognized folder, or a bundled graph's name.",
            show_default=False,
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(metavar="DATASET", help="Folder to write.")],
    interactions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Interactions: CSV, TSV, JSON, Parquet, RecBole; a folder or glob of such files; "
            "an address: sqlite:///shop.db#clicks, postgresql://host/db#clicks.",
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of user ids.", show_default=False)
    ] = None,
    item: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of item ids.", show_default=False)
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="Column of times; row: the rows are in the order of their times.",
            show_default=False,
        ),
    ] = None,
    time_format: Annotated[
        str | None,
        typer.Option(
            metavar="FORM",
            help="How times are written, where it is not found: iso, epoch (any unit, by size), "
            "s, ms, us, ns, excel, day-first, month-first, or a pattern such as %d.%m.%Y.",
            show_default=False,
        ),
    ] = None,
    rating: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of ratings.", show_default=False)
    ] = None,
    min_rating: Annotated[
        float | None, typer.Option(metavar="X", help="Leave out lower ratings.", show_default=False)
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Database of --interactions, --items, --links and the parts, which then are "
            "tables, queries or .sql files: postgresql://host/db, sqlite:///shop.db, "
            "duckdb:///shop.duckdb. Passwords come from PGPASSWORD or ~/.pgpass.",
            show_default=False,
        ),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="Column of event types, for --weights and for what explanations say was done.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE=X,...",
            help="Weight of each event type, for instance view=1,cart=3,purchase=5; 0 leaves it "
            "out.",
            show_default=False,
        ),
    ] = None,
    weight: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Column of weights, 0 or more.", show_default=False),
    ] = None,
    quantity: Annotated[
        str | None,
        typer.Option(
            metavar="COL", help="Column of quantities, which weights grow by.", show_default=False
        ),
    ] = None,
    half_life: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS", help="Interactions count half after so long.", show_default=False
        ),
    ] = None,
    cap: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Keep the latest N interactions of each user.", show_default=False
        ),
    ] = None,
    min_events: Annotated[
        int, typer.Option(metavar="N", min=0, help="Leave out users with fewer rows.")
    ] = 0,
    session_gap: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            help="Sessions are the users; one ends where nothing happened for so long.",
            show_default=False,
        ),
    ] = None,
    negatives: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Draw N unused items per interaction of each user as rows with label 0, before "
            "the split, as the click-through papers do (evaluate --protocol ctr).",
            show_default=False,
        ),
    ] = 0,
    kg: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Knowledge graph; may be repeated.", show_default=False),
    ] = None,
    kg_valid: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Held-out triples for validation.", show_default=False),
    ] = None,
    kg_test: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Held-out triples for the test.", show_default=False),
    ] = None,
    sparql: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="SPARQL endpoint to ask for a knowledge graph.", show_default=False
        ),
    ] = None,
    query: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Query for --sparql, or else to the files of --kg: CONSTRUCT, or SELECT of head, "
            "relation, tail; may be repeated.",
            show_default=False,
        ),
    ] = None,
    sparql_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="How to ask, for instance page=1000, cache=DIR, refresh=true, timeout=60, "
            "contact=me@example.org; of files cache, refresh and max_rows. May be repeated.",
            show_default=False,
        ),
    ] = None,
    items: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Table of items: CSV, TSV, JSON Lines, Parquet. Its titles become labels and "
            "texts, its other columns triples.",
            show_default=False,
        ),
    ] = None,
    items_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="How the columns of --items become triples, for instance "
            "spaces=director:person,actor:person, kinds=zip:category, "
            "separators=genre:|, exclude=COL,COL, bins=5, years=decade, min_count=3; columns= "
            "for none. May be repeated.",
            show_default=False,
        ),
    ] = None,
    link_by: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="Link items to entities: label-year or label (by their titles; needs --review), "
            "value or value:PROPERTY (a literal that equals the id), prefix or prefix:PREFIX (an "
            "IRI that ends with it).",
            show_default=False,
        ),
    ] = None,
    review: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where --link-by lists what is sure, doubtful and unmatched. Edited, give it as "
            "--links.",
            show_default=False,
        ),
    ] = None,
    item_year: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="Column of years in --items for --link-by; found where omitted.",
            show_default=False,
        ),
    ] = None,
    item_id: Annotated[
        str | None,
        typer.Option(
            metavar="COL", help="Column of item ids in --items and --features.", show_default=False
        ),
    ] = None,
    texts: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="Column of texts in --items, or several with commas; the titles where omitted.",
            show_default=False,
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Features of items: a table of ids and numbers, or .npy in the order of --items.",
            show_default=False,
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="PKG.MODULE:FUNCTION",
            help="Make features of the items' texts: a function from texts to vectors, whose module "
            "is imported, or sentence-transformers:NAME.",
            show_default=False,
        ),
    ] = None,
    word_vectors: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Word vectors: GloVe or word2vec, text or binary.",
            show_default=False,
        ),
    ] = None,
    entity_vectors: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Entity vectors: an id and its numbers per line, or .npy with ids in a .txt "
            "beside.",
            show_default=False,
        ),
    ] = None,
    links: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Two columns: item, entity.", show_default=False),
    ] = None,
    links_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Columns of --links: item=COL, entity=COL; may be repeated.",
            show_default=False,
        ),
    ] = None,
    user_attributes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Table of users whose attributes become triples.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        Literal["random", "temporal", "leave-one-out", "users", "sessions", "given"] | None,
        typer.Option(
            help="How to divide; given where the source has parts, else random per user. "
            "leave-one-out: the last of each user; sessions: users as wholes, by when they end.",
            show_default=False,
        ),
    ] = None,
    ratios: Annotated[
        str | None,
        typer.Option(
            metavar="T,V,T",
            help="Shares of train, valid and test; 0.8,0.1,0.1, of labeled rows 0.6,0.2,0.2.",
            show_default=False,
        ),
    ] = None,
    triple_ratios: Annotated[
        str | None,
        typer.Option(
            metavar="T,V,T", help="Hold out triples; needs no interactions.", show_default=False
        ),
    ] = None,
    train: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Training part of a given split.", show_default=False),
    ] = None,
    valid: Annotated[
        str | None, typer.Option(metavar="FILE", help="Validation part.", show_default=False)
    ] = None,
    test: Annotated[
        str | None, typer.Option(metavar="FILE", help="Test part.", show_default=False)
    ] = None,
    k_core: Annotated[
        str,
        typer.Option(
            metavar="N[,M]",
            help="Leave out users with fewer than N interactions and items with fewer than M, "
            "until none is left.",
        ),
    ] = "0",
    min_entity: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Leave out entities with fewer triples, until none is left; items stay.",
        ),
    ] = 0,
    min_relation: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Leave out relations with fewer triples, likewise."),
    ] = 0,
    without_relation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="Leave out a relation; may be repeated.", show_default=False
        ),
    ] = None,
    leaks: Annotated[
        Literal["keep", "drop"],
        typer.Option(
            help="What becomes of triples that state interactions between users and items."
        ),
    ] = "keep",
    catalog: Annotated[
        Literal["interactions", "all", "items"],
        typer.Option(
            help="Items with an interaction; also those only in tables and links; or those of "
            "--items alone."
        ),
    ] = "interactions",
    kg_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Setting of the graph's reader, for instance literals=entities, same_as=merge, "
            "language=de,en, types=edges, closure=subclass, axioms=drop, blank=flatten, "
            "keep_labels=best, or columns of its tables: head=COL, relation=COL, tail=COL; may be "
            "repeated. Lists have commas: predicates=wdt:P57,IRI.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Read the graph without the plumbing of its vocabulary: wikidata, dbpedia, schema, "
            "skos or owl.",
            show_default=False,
        ),
    ] = None,
    hops: Annotated[
        str | None,
        typer.Option(
            metavar="K[,N[,M]]",
            help="Keep what is within K steps of an item, following N triples of an entity per "
            "relation and direction, and no entity with more than M.",
            show_default=False,
        ),
    ] = None,
    verb: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[EVENT=]TEXT",
            help="What users did, in the past tense, for explanations: 'listened to'. By type of "
            "event: purchase=bought; may be repeated.",
            show_default=False,
        ),
    ] = None,
    phrases: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="How relations read in explanations: a table of relation, phrase, inverse, "
            "language.",
            show_default=False,
        ),
    ] = None,
    on_error: Annotated[
        Literal["stop", "skip"], typer.Option(help="At a malformed line.")
    ] = "stop",
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="How much reading --interactions may take, such as 1.5G: rows are on disk "
            "meanwhile, beside DATASET. Found where omitted; the dataset is the same.",
            show_default=False,
        ),
    ] = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Make a dataset from a folder or from parts.

    Given both, a part named here replaces the folder's own of that kind.
    """
    from kgrec.data.building.build import build_dataset
    from kgrec.data.building.sources import prepared, sources_and_options
    from kgrec.data.formats.load import load
    from kgrec.data.io.folders import check_replaceable
    from kgrec.data.storage import KIND

    check_replaceable(out, KIND)
    files = {
        "interactions": interactions,
        "train": train,
        "valid": valid,
        "test": test,
        "links": links,
        "kg_valid": kg_valid,
        "kg_test": kg_test,
        "items": items,
        "features": features,
        "encoder": encoder,
        "word_vectors": word_vectors,
        "entity_vectors": entity_vectors,
        "user_attributes": user_attributes,
        "review": review,
        "phrases": phrases,
    }
    given: dict[str, Any] = {name: str(path) for name, path in files.items() if path is not None}
    if database is not None:
        given |= _of_database(database, given)

    if items is not None or items_set is not None:
        given["item_attributes"] = settings(items_set or [], None)

    others = {
        "kg": _graphs(kg or [], sparql, query, sparql_set) or None,
        "texts": None if texts is None else tuple(values(texts)),
        "verb": None if verb is None else _verbs(verb),
        "ratios": None if ratios is None else numbers(ratios, "--ratios"),
        "triple_ratios": (
            None if triple_ratios is None else numbers(triple_ratios, "--triple-ratios")
        ),
        "user": user,
        "item": item,
        "time": time,
        "rating": rating,
        "time_format": time_format,
        "event": event,
        "weights": None if weights is None else weight_of(weights),
        "weight": weight,
        "quantity": quantity,
        "half_life": half_life,
        "cap": cap,
        "min_events": min_events,
        "session_gap": session_gap,
        "negatives": negatives,
        "link_columns": settings(links_set or [], None) or None,
        "item_id": item_id,
        "item_year": item_year,
        "link_by": link_by,
        "min_rating": min_rating,
        "split": split,
        "k_core": cores(k_core),
        "min_entity": min_entity,
        "min_relation": min_relation,
        "without_relation": tuple(without_relation or ()),
        "leaks": leaks,
        "catalog": catalog,
        "on_error": on_error,
        "reading": graph_settings(kg_set, profile),
        "seed": seed,
        "hops": None if hops is None else whole_numbers(hops, "--hops"),
        "memory": memory,
        "scratch": out.absolute().with_name(f"{out.absolute().name}.rows"),
    }
    given |= {name: value for name, value in others.items() if value is not None}

    if source is not None:
        data = load(source, **given)
    else:
        given |= _of_graph_alone(given)
        given["name"] = out.name or "dataset"
        data = build_dataset(*prepared(*sources_and_options(given)))

    stored = data.save(out)
    if json:
        roles = [asdict(role) for role in data.report.roles]
        show_json(stored.summary() | {"roles": roles})
        return

    show_dataset(stored)
    _show_roles(data.report.roles)
    print(f"stored in {clean(str(out))}")


def _verbs(given: list[str]) -> dict[str, str]:
    """Return verbs by type of event, "" for all others."""
    found: dict[str, str] = {}
    for one in given:
        event, equals, verb = one.partition("=")
        if not equals:
            event, verb = "", one

        if event in found:
            raise ConfigError(
                f"--verb {one!r}: a verb of {event or 'all others'!r} is given already."
            )
        found[event] = verb

    return found


def _of_database(address: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the sources that are rows of a database: all but files that are there."""
    from kgrec.data.io.databases import query_of

    names = ("interactions", "train", "valid", "test", "items", "links", "user_attributes")
    return {
        name: query_of(given[name], address)
        for name in names
        if name in given and (given[name].endswith(".sql") or not Path(given[name]).exists())
    }


def _show_roles(roles: "Sequence[ColumnRole]") -> None:
    """Print which columns were taken for what, a line for each table."""
    for table in dict.fromkeys(role.table for role in roles):
        said = ", ".join(
            f"{role.role} = {clean(role.column)} ({clean(role.why)})"
            for role in roles
            if role.table == table
        )
        print(f"columns of {clean(table)}: {said}")


def _of_graph_alone(given: dict[str, Any]) -> dict[str, Any]:
    """Return what a graph without interactions needs further; nothing where there are some.

    Raises:
        ConfigError: If there is neither.
    """
    if given.keys() & {"interactions", "train", "triple_ratios", "kg_valid", "kg_test"}:
        return {}
    if "kg" not in given:
        raise ConfigError(
            "build from what? Name a folder, or --interactions FILE, or --train FILE and --test "
            "FILE; or --kg FILE alone."
        )

    return {"held": {}}


def _graphs(
    kg: list[str], url: str | None, files: list[Path] | None, pairs: list[str] | None
) -> "tuple[str | SparqlQuery | FileQuery, ...]":
    """Return the sources of the graph: files, queries to an endpoint, or queries to the files."""
    paths = tuple(kg)
    if url is None and not files and not pairs:
        return paths
    if not files or (url is None and not paths):
        raise ConfigError(
            "--sparql URL and --query FILE go together, or --kg FILE and --query FILE. Give both."
        )

    own = settings(pairs or [], None)
    if url is None:
        from kgrec.data.rdf.sparql_files import file_query

        return tuple(file_query(paths, file, own) for file in files)

    from kgrec.data.rdf.sparql import query_from_file

    return (*paths, *(query_from_file(url, file, own) for file in files))
