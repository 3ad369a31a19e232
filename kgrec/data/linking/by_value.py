"""Link items whose ids are in the graph: as values of a property, or behind a prefix."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import EXACT_MATCH, SAME_AS
from kgrec.data.records.report import Caution, Dropped
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.shaping.namespaces import PREFIXES, SCHEMA, expanded, shortened
from kgrec.errors import ConfigError, nearest

WAYS = ("value", "prefix")

_IDENTITY = (SAME_AS, EXACT_MATCH, *(space + "sameAs" for space in SCHEMA))
_LOCAL = r"[^/#:]*$"
_WORTH = 0.5  # of the items linked already, nothing is proposed


@dataclass(frozen=True, slots=True)
class LinksFound:
    """Links that were found.

    Attributes:
        links: Columns ``item`` and ``entity`` (keys).
        counts: What was found, by name.
        dropped: What was not linked.
        note: How, in a sentence.
    """

    links: pl.DataFrame
    counts: dict[str, int]
    dropped: tuple[Dropped, ...]
    note: str


def links_found(items: Vocabulary, triples: Triples, link_by: str) -> LinksFound:
    """Return links of items by "value" of a property or by "prefix", with what to go by behind a
    colon, or found.

    An item with several entities is not linked, and counted. Where an entity is only another name
    (``owl:sameAs``, ``skos:exactMatch``, schema.org's ``sameAs``) of one that the graph describes,
    that one is linked.

    Args:
        items: Item ids.
        triples: The graph.
        link_by: "value", "value:P345", "value:IRI", "prefix", "prefix:wd", "prefix:IRI".

    Raises:
        ConfigError: If nothing fits, or several properties fit equally.
    """
    way, _, given = link_by.partition(":")
    if way == "value":
        pairs, note = _by_value(items, triples, given)
    else:
        pairs, note = _by_prefix(items, triples, given)

    described = _described_names(triples)
    pairs = pairs.with_columns(entity=pl.Series(described[pairs["entity"].to_numpy()])).unique()
    alone = pairs.filter(pl.len().over("item") == 1)
    lost = pairs["item"].n_unique() - alone.height
    why = f"several entities fit the item, by {way}"
    dropped = (Dropped("links", why, lost),) if lost else ()
    links = alone.sort("item").select(
        "item", entity=triples.entities.series.gather(alone.sort("item")["entity"])
    )
    return LinksFound(links, {f"items linked by {way}": links.height}, dropped, note)


def _forms(items: Vocabulary) -> list[tuple[str, pl.DataFrame, bool]]:
    """Return the forms in which ids are compared, the next one where none fits: in words, columns
    ``item`` and ``form``, and whether case counts.
    """
    ids = items.series
    ends = ids.str.strip_chars_end("/#").str.extract(r"([^/#:]+)$")
    ending = ", by what the ids end with"
    forms = (("", ids, True), (ending, ends, True), (f"{ending}, in any case", ends, False))
    return [
        (words, pl.DataFrame({"item": ids, "form": form}).drop_nulls(), cased)
        for words, form, cased in forms
    ]


def _fitting(items: Vocabulary, known: pl.DataFrame, column: str) -> tuple[pl.DataFrame, str]:
    """Return the rows of ``known`` whose ``column`` is an item's id in the first form that fits any,
    with ``item``; and the form in words.
    """
    for words, ids, cased in _forms(items):
        form, other = pl.col("form"), pl.col(column)
        ids = ids.select("item", form=form if cased else form.str.to_lowercase())
        rows = known.with_columns(form=other if cased else other.str.to_lowercase())
        found = rows.join(ids, on="form").drop("form")
        if found.height:
            return found, words

    return known.clear().with_columns(item=pl.lit("")), ""


def _values(items: Vocabulary, triples: Triples) -> tuple[pl.DataFrame, str]:
    """Return columns ``item``, ``entity`` (row) and ``name`` of literals that equal an item's id, and
    in which form.
    """
    values = triples.attributes.select("name", "value", entity=pl.col("entity").cast(pl.Int64))
    found, words = _fitting(items, values, "value")
    return found.drop("value").unique(), words


def _by_value(items: Vocabulary, triples: Triples, given: str) -> tuple[pl.DataFrame, str]:
    found, words = _values(items, triples)
    sizes = found.group_by("name").agg(pl.col("item").n_unique().alias("items"))
    sizes = sizes.sort("items", "name", descending=[True, False])
    name = _property(triples, sizes, given) if given else _most_frequent(sizes, items)
    return (
        found.filter(pl.col("name") == name).select("item", "entity"),
        f"Items were linked by the values of {shortened(name)}{words}.",
    )


def _property(triples: Triples, sizes: pl.DataFrame, given: str) -> str:
    names = triples.attributes["name"].unique().sort().to_list()
    wanted = expanded(given)
    if wanted in names:
        return wanted

    fit = [name for name in names if name.rstrip("/").replace("#", "/").rsplit("/", 1)[-1] == given]
    of_items = sizes.filter(pl.col("name").is_in(fit))["name"].to_list()
    if of_items or fit:
        return str((of_items or fit)[0])

    short = [shortened(name) for name in names]
    raise ConfigError(
        f"link_by: no literal of the graph has the property {given!r}.{nearest(given, short)} "
        f"Known: {', '.join(short[:12])}."
    )


def _most_frequent(sizes: pl.DataFrame, items: Vocabulary) -> str:
    if not sizes.height:
        raise ConfigError(
            f"link_by: no literal of the graph equals an item's id, for instance {items.key(0)!r}. "
            "Are literals read as attributes?"
        )
    if sizes.height > 1 and sizes["items"][0] == sizes["items"][1]:
        names = ", ".join(shortened(name) for name in sizes["name"][:3])
        raise ConfigError(
            f"link_by: values of several properties equal {sizes['items'][0]:,} item ids: {names}. "
            f"Say which, for instance link_by=value:{shortened(sizes['name'][0])}."
        )

    return str(sizes["name"][0])


def _by_prefix(items: Vocabulary, triples: Triples, given: str) -> tuple[pl.DataFrame, str]:
    if given:
        space = PREFIXES.get(given.rstrip(":"), given)
    else:
        space, fit = _most_frequent_space(items, triples)
        if not fit and not _curies(items, triples).height:
            raise ConfigError(
                "link_by: no entity of the graph is a prefix and an item's id, for instance "
                f"{items.key(0)!r}. Name the prefix, for instance link_by=prefix:wd."
            )

    tried = [_curies(items, triples)]
    for ids in (items.series, items.series.str.replace_all(" ", "_", literal=True)):
        rows = triples.entities.match(space + ids)
        tried.append(pl.DataFrame({"item": items.series, "entity": rows}))

    pairs = pl.concat([frame.cast({"entity": pl.Int64}) for frame in tried])
    known = pairs.filter(pl.col("entity") >= 0).unique(maintain_order=True)
    if known.height:
        return known, f"Items were linked as {space} and their ids."

    local = _local_names(triples).filter(pl.col("space") == space)
    found, words = _fitting(items, local, "local")
    if not found.height:
        raise ConfigError(
            f"link_by: no entity of the graph is {space!r} and an item's id, for instance "
            f"{items.key(0)!r}. {_begins_so(triples, space)}"
        )
    return found.select("item", "entity"), f"Items were linked as {space} and their ids{words}."


def _begins_so(triples: Triples, space: str) -> str:
    """Return what entities begin with instead, or an example of those that begin so."""
    keys = triples.entities.series
    of_space = keys.filter(keys.str.starts_with(space))
    if len(of_space):
        return f"The graph has, for instance, {of_space[0]!r}."

    sizes = _local_names(triples).group_by("space").len()
    most = sizes.sort("len", "space", descending=[True, False])["space"].head(3).to_list()
    return f"Most begin with {', '.join(most)}." if most else "Its entities are no IRIs."


def _curies(items: Vocabulary, triples: Triples) -> pl.DataFrame:
    """Return the items whose id has a well-known prefix, with their entities."""
    split = items.series.filter(items.series.str.contains(r"^[\w.-]+:[^/]"))
    keys = pl.Series("key", [expanded(one) for one in split], dtype=pl.String)
    rows = pl.DataFrame({"item": split, "entity": triples.entities.match(keys)})
    return rows.filter(pl.col("entity") >= 0)


def _local_names(triples: Triples) -> pl.DataFrame:
    keys = triples.entities.series
    local = keys.str.extract(f"({_LOCAL})")
    return pl.DataFrame(
        {
            "local": local,
            "space": keys.str.replace(_LOCAL, ""),
            "entity": np.arange(len(keys), dtype=np.int64),
        }
    ).filter((pl.col("space") != "") & (pl.col("local") != ""))


def _most_frequent_space(items: Vocabulary, triples: Triples) -> tuple[str, int]:
    """Return the namespace whose local names equal the most item ids, and how many."""
    ids = pl.DataFrame({"local": items.series.str.replace_all(" ", "_", literal=True)})
    known = _local_names(triples)
    found = known.join(ids.unique(), on="local", how="semi")
    if not found.height:
        found = _fitting(items, known, "local")[0]
    if not found.height:
        return "", 0

    sizes = found.group_by("space").len().sort("len", "space", descending=[True, False])
    return str(sizes["space"][0]), int(sizes["len"][0])


def _described_names(triples: Triples) -> np.ndarray:
    """Return for each entity the one that the graph describes and that it is another name of, else
    itself.
    """
    own = np.arange(len(triples.entities), dtype=np.int64)
    relations = triples.relations.match(pl.Series("key", list(_IDENTITY), dtype=pl.String))
    same = np.isin(triples.relation, relations[relations >= 0])
    if not same.any():
        return own

    described = np.zeros(len(own), dtype=bool)
    described[triples.head[~same]] = True
    for one, two in ((triples.head, triples.tail), (triples.tail, triples.head)):
        bare = same & ~described[one] & described[two]
        own[one[bare]] = two[bare]

    return own


def proposals(items: Vocabulary, triples: Triples, linked: int) -> list[Caution]:
    """Return how more items could be linked, where few are.

    Args:
        items: Item ids.
        triples: The graph as read.
        linked: Items that are linked.
    """
    total = len(items)
    if not total or linked >= _WORTH * total:
        return []

    found = []
    values, words = _values(items, triples)
    if values.height:
        sizes = values.group_by("name").agg(pl.col("item").n_unique().alias("items"))
        name, count = sizes.sort("items", "name", descending=[True, False]).row(0)
        found.append(
            (count, f"equal values of {shortened(name)}{words}", f"value:{shortened(name)}")
        )

    space, count = _most_frequent_space(items, triples)
    if count:
        short = next((name for name, iri in PREFIXES.items() if iri == space), space)
        found.append((count, f"are the ends of IRIs in {space}", f"prefix:{short}"))

    curies = _curies(items, triples).height
    if curies:
        found.append((curies, "are IRIs with a well-known prefix", "prefix"))

    return [
        Caution(
            f"{count:,} of {total:,} item ids {what}, and {linked:,} items are linked",
            f"Link them with link_by={how} (--link-by {how}).",
        )
        for count, what, how in sorted(found, reverse=True)[:1]
        if count > linked
    ]
