"""``kgrec build``."""

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
    whole_numbers,
)
from kgrec.cli.output import show_json
from kgrec.errors import ConfigError
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.data.rdf.sparql import SparqlQuery
    from kgrec.data.rdf.sparql_files import FileQuery


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
        Path | None,
        typer.Option(
            metavar="FILE", help="Interactions: CSV, TSV, Parquet, RecBole.", show_default=False
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of user ids.", show_default=False)
    ] = None,
    item: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of item ids.", show_default=False)
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of times.", show_default=False)
    ] = None,
    rating: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of ratings.", show_default=False)
    ] = None,
    min_rating: Annotated[
        float | None, typer.Option(metavar="X", help="Leave out lower ratings.", show_default=False)
    ] = None,
    kg: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Knowledge graph; may be repeated.", show_default=False),
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
        Path | None,
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
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Features of items: a table of ids and numbers, or .npy in the order of --items.",
            show_default=False,
        ),
    ] = None,
    word_vectors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Word vectors: GloVe or word2vec, text or binary.",
            show_default=False,
        ),
    ] = None,
    entity_vectors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Entity vectors: an id and its numbers per line, or .npy with ids in a .txt "
            "beside.",
            show_default=False,
        ),
    ] = None,
    links: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Two columns: item, entity.", show_default=False),
    ] = None,
    user_attributes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Table of users whose attributes become triples.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        Literal["random", "temporal", "leave-one-out", "given"] | None,
        typer.Option(
            help="How to divide; given where the source has parts, else random per user.",
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
        Path | None,
        typer.Option(metavar="FILE", help="Training part of a given split.", show_default=False),
    ] = None,
    valid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Validation part.", show_default=False)
    ] = None,
    test: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Test part.", show_default=False)
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
        Literal["interactions", "all"],
        typer.Option(help="Items with an interaction, or also those only in tables and links."),
    ] = "interactions",
    kg_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Setting of the graph's reader, for instance literals=entities, same_as=merge, "
            "language=de,en, types=edges, closure=subclass, axioms=drop, blank=flatten, "
            "keep_labels=all; may be repeated. Lists have commas: predicates=wdt:P57,IRI.",
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
    on_error: Annotated[
        Literal["stop", "skip"], typer.Option(help="At a malformed line.")
    ] = "stop",
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
        "items": items,
        "features": features,
        "word_vectors": word_vectors,
        "entity_vectors": entity_vectors,
        "user_attributes": user_attributes,
        "review": review,
    }
    given: dict[str, Any] = {name: str(path) for name, path in files.items() if path is not None}
    if texts is not None:
        given["texts"] = tuple(values(texts))

    graphs = _graphs(kg or [], sparql, query, sparql_set)
    if graphs:
        given["kg"] = graphs

    if ratios is not None:
        given["ratios"] = numbers(ratios, "--ratios")

    if triple_ratios is not None:
        given["triple_ratios"] = numbers(triple_ratios, "--triple-ratios")

    if items is not None or items_set is not None:
        given["item_attributes"] = settings(items_set or [], None)

    others = {
        "user": user,
        "item": item,
        "time": time,
        "rating": rating,
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
        show_json(stored.summary())
        return

    show_dataset(stored)
    print(f"stored in {clean(str(out))}")


def _of_graph_alone(given: dict[str, Any]) -> dict[str, Any]:
    """Return what a graph without interactions needs further; nothing where there are some.

    Raises:
        ConfigError: If there is neither.
    """
    if "interactions" in given or "train" in given or "triple_ratios" in given:
        return {}
    if "kg" not in given:
        raise ConfigError(
            "build from what? Name a folder, or --interactions FILE, or --train FILE and --test "
            "FILE; or --kg FILE alone."
        )

    return {"held": {}}


def _graphs(
    kg: list[Path], url: str | None, files: list[Path] | None, pairs: list[str] | None
) -> "tuple[str | SparqlQuery | FileQuery, ...]":
    """Return the sources of the graph: files, queries to an endpoint, or queries to the files."""
    paths = tuple(map(str, kg))
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
