"""Match items to entities by labels and years, with a review for people."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.graphs.kept_labels import LABEL_PREDICATES
from kgrec.data.io.files import FilePath
from kgrec.data.io.writing import write_file
from kgrec.data.readers.items import ItemTable, titles
from kgrec.data.records.triples import Triples
from kgrec.data.tables.column_kinds import YEAR_NAME, as_number, as_text, as_year, guess
from kgrec.data.tables.delimited import find_column
from kgrec.data.tables.ordering import one_per_key
from kgrec.data.texts.spoiled import repaired_all
from kgrec.errors import ConfigError, LinkError

WAYS = ("label-year", "label")
REVIEW = (
    "link",
    "status",
    "item",
    "item_label",
    "item_year",
    "entity",
    "entity_label",
    "entity_year",
    "reason",
)

_ARTICLES = "the|a|an|il|lo|la|le|les|l'|el|los|las|un|une|una|der|die|das|den|het|de"
_DATE_NAME = r"(?i)(?:year|date|released?|published|inception|[/#]P577|[/#]P571)$"
_IN_BRACKETS = r"\(([^()]*)\)\s*$"
_YEAR = r"(?:^|[^\d])(1[5-9]\d\d|20\d\d)(?:[^\d]|$)"
_LABELS = LABEL_PREDICATES
_OTHER = (
    r"(?i)(?:^|[/#:])(?:altLabel|alternateName|alternativeName|hiddenLabel|name|title|label|P1476)$"
)
_ALIKE = 0.6
_DESCRIBED = 0.5
_COMMON = 100
_SUGGESTIONS = 3
_NO_YEAR = pl.lit(None, dtype=pl.Int64)


@dataclass(frozen=True, slots=True)
class Matches:
    """Items matched to entities.

    Attributes:
        review: Columns as ``REVIEW``: what needs a decision first, then what found nothing, then
            what is sure.
        counts: How many items are sure, doubtful and unmatched.
    """

    review: pl.DataFrame
    counts: dict[str, int]

    @property
    def links(self) -> pl.DataFrame:
        """The links that are sure: columns ``item`` and ``entity``."""
        return self.review.filter(pl.col("status") == "sure").select("item", "entity")


def items_to_match(table: ItemTable, keys: pl.Series, year: str | None = None) -> pl.DataFrame:
    """Return columns ``item``, ``label`` and ``year`` of the items with these ids.

    The years are in the column ``year``, else in one that looks like years or dates, else in
    brackets at the end of the titles.

    Raises:
        ConfigError: If the table has no column of titles.
        FormatError: If it has no column ``year``.
    """
    if table.title is None:
        raise ConfigError(f"{table.table.name}: no column of titles to link by. Name one 'title'.")

    if year is None:
        column = _year_column(table)
    else:
        column = find_column(table.table, year, ())

    labels = titles(table).with_columns(
        written=pl.col("label").str.extract(r"\((\d{4})\)\s*$").cast(pl.Int64)
    )
    column_frame = pl.DataFrame(
        {
            "item": table.ids,
            "year": [None] * len(table.ids)
            if column is None
            else _years_in(table.table.frame[column]),
        }
    )
    years = one_per_key(column_frame.cast({"year": pl.Int64}).drop_nulls(), "item", "year")
    found = pl.DataFrame({"item": keys})
    for column_frame in (labels, years):
        found = found.join(column_frame, on="item", how="left", maintain_order="left")

    return found.select("item", "label", year=pl.coalesce("year", "written"))


def _year_column(table: ItemTable) -> str | None:
    """Return the column of years, by its cells; of several the one that is called so."""
    frame = table.table.frame
    others = [name for name in frame.columns if name not in (table.key, table.title)]
    found = [
        name
        for name in others
        if guess(name, as_cells(frame[name]), frame.height).kind in ("year", "date")
    ]

    return next((name for name in found if YEAR_NAME.search(name)), found[0] if found else None)


def as_cells(cells: pl.Series) -> pl.Series:
    """Return the cells that say something."""
    if cells.dtype == pl.String:
        return as_text(cells).drop_nulls()
    return cells.drop_nulls()


def _years_in(cells: pl.Series) -> pl.Series:
    if cells.dtype in (pl.Date, pl.Datetime):
        return cells.dt.year().cast(pl.Int64)

    text = as_text(cells)
    plain = as_number(text)

    return pl.select(
        pl.coalesce(
            as_year(text), plain.set(plain != plain.round(), None).cast(pl.Int64, strict=False)
        )
    ).to_series()


def match_items(items: pl.DataFrame, triples: Triples, by: str = "label-year") -> Matches:
    """Match items to the entities of a graph by label, and by year where both sides have one.

    Where no entity has an item's title as its label, all its labels and names are tried, in every
    language. Labels are compared without case, accents, punctuation and what stands in brackets at their end;
    "Godfather, The" is "The Godfather". A match is sure where the labels agree and the years do, or
    the graph gives no year and neither the item nor the entity has another candidate. It is
    doubtful where several entities or several different items fit, where the years are one apart,
    where only the labels without their articles or a title in brackets agree, where the entity
    begins no triple though most others do, and where labels share most of their words. Other years
    are no match.

    Args:
        items: Columns ``item``, ``label`` and ``year``.
        triples: The graph. Years of entities stand in brackets in their labels, or in attributes
            and relations called a year or a date.
        by: "label-year", or "label" without regard to years.

    Raises:
        ConfigError: If ``by`` is unknown, the graph has no labels, or no item has a year to match
            by.
    """
    _check(items, triples, by)
    if by == "label":
        items = items.with_columns(year=_NO_YEAR)

    entities = _entities(triples, by)
    pairs = _pairs(items, entities)
    others = _with_other_labels(entities, triples)
    if others.height:
        rest = items.join(pairs, on="item", how="anti", maintain_order="left")
        pairs = pl.concat([pairs, _pairs(rest, others)])

    pairs = _graded(pairs)
    decided = _decided(pairs)
    return _reviewed(items, entities, decided, _suggested(items, entities, decided))


def _check(items: pl.DataFrame, triples: Triples, by: str) -> None:
    if by not in WAYS:
        raise ConfigError(f"link_by: {by!r} is unknown. Known: {', '.join(WAYS)}.")
    if triples.labels.null_count() == len(triples.labels):
        raise ConfigError(
            "link_by: no entity of the graph has a label. Give links, or a graph with labels."
        )
    if by == "label-year" and items["year"].null_count() == items.height:
        raise ConfigError(
            "link_by: no item has a year. Give the table of items a column of years, or link by "
            "'label' alone."
        )


def _entities(triples: Triples, by: str) -> pl.DataFrame:
    """Return columns ``entity`` (row), ``iri``, ``label``, ``years`` (list), ``full``, ``key`` and
    ``described`` (it begins a triple).
    """
    size = len(triples.entities)
    described = np.zeros(size, dtype=bool)
    described[triples.head] = True
    others = one_per_key(_other_labels(triples), "entity", "other")
    rows = pl.DataFrame(
        {"entity": np.arange(size, dtype=np.int64), "label": triples.labels, "described": described}
    ).join(others, on="entity", how="left", maintain_order="left")
    rows = rows.with_columns(label=pl.coalesce("label", "other")).drop("other")
    rows = rows.with_columns(iri=triples.entities.series).drop_nulls("label")

    if by == "label-year":
        years = _entity_years(triples)
    else:
        years = pl.DataFrame(schema={"entity": pl.Int64, "years": pl.List(pl.Int64)})

    rows = rows.join(years, on="entity", how="left", maintain_order="left").with_columns(
        pl.col("years").fill_null([])
    )
    return rows.with_columns(_forms(_bare(rows["label"])))


def _with_other_labels(entities: pl.DataFrame, triples: Triples) -> pl.DataFrame:
    """Return the entities under their other labels, in all languages: a row for each."""
    rows = _other_labels(triples).join(entities, on="entity", maintain_order="left")
    rows = rows.filter(pl.col("other") != pl.col("label")).with_columns(label="other")
    forms = _forms(_bare(rows["label"]))
    return rows.with_columns(forms).select(entities.columns)


def _other_labels(triples: Triples) -> pl.DataFrame:
    """Return columns ``entity`` and ``other``: the labels and names among the literals."""
    attributes = triples.attributes
    named = attributes.filter(pl.col("name").is_in(_LABELS) | pl.col("name").str.contains(_OTHER))
    found = named.select(pl.col("entity").cast(pl.Int64), other="value")
    return found.unique(maintain_order=True)


def _entity_years(triples: Triples) -> pl.DataFrame:
    """Return columns ``entity`` and ``years``, a list."""
    rows = pl.DataFrame(
        {
            "entity": np.arange(len(triples.entities), dtype=np.int64),
            "text": triples.labels.str.extract(_IN_BRACKETS),
        }
    )
    dated = triples.attributes.filter(pl.col("name").str.contains(_DATE_NAME)).select(
        pl.col("entity").cast(pl.Int64), text="value"
    )
    named = np.flatnonzero(triples.relations.series.str.contains(_DATE_NAME).to_numpy())
    stated = np.flatnonzero(np.isin(triples.relation, named))
    values = pl.coalesce(pl.lit(triples.labels), pl.lit(triples.entities.series))
    texts = pl.select(values).to_series().gather(triples.tail[stated])
    related = pl.DataFrame({"entity": triples.head[stated].astype(np.int64), "text": texts})
    found = (
        pl.concat([rows, dated, related])
        .with_columns(year=pl.col("text").str.extract(_YEAR).cast(pl.Int64))
        .drop_nulls("year")
    )

    return found.group_by("entity").agg(pl.col("year").unique().sort().alias("years"))


def _bare(labels: pl.Series) -> pl.Series:
    """Return labels without what stands in brackets at their end."""
    bare = labels.str.replace(_IN_BRACKETS, "").str.strip_chars()
    return pl.select(pl.when(bare != "").then(bare).otherwise(labels).alias("label")).to_series()


def _forms(labels: pl.Series) -> list[pl.Series]:
    """Return labels in the form in which they are compared: ``full``, and ``key`` without an
    article.
    """
    plain = (
        repaired_all(labels).str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.to_lowercase()
    )
    plain = plain.str.replace(rf"^(.+), ({_ARTICLES})$", "${2} ${1}")
    plain = plain.str.replace_all(r"['\x{2019}`\x{b4}]", "").str.replace_all(
        "&", " and ", literal=True
    )
    full = plain.str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars()
    key = full.str.replace(rf"^(?:{_ARTICLES}) (.+)$", "${1}")
    return [full.rename("full"), key.rename("key")]


def _pairs(items: pl.DataFrame, entities: pl.DataFrame) -> pl.DataFrame:
    """Return items with the entities of the same key, and how their labels agree: ``exact``, or the
    reason why not quite.
    """
    rows = items.select("item", "label", "year").drop_nulls("label")
    main = rows.with_columns(_forms(_bare(rows["label"]))).with_columns(other=pl.lit(False))
    other = rows.with_columns(label=pl.col("label").str.extract(_IN_BRACKETS)).drop_nulls("label")
    other = other.filter(~pl.col("label").str.contains(r"^\s*\d{4}\s*$"))
    other = other.with_columns(_forms(other["label"])).with_columns(other=pl.lit(True))
    keyed = pl.concat([main, other]).filter(pl.col("key") != "")
    pairs = keyed.join(
        entities, on="key", how="inner", suffix=" of entity", maintain_order="left_right"
    )
    if pairs.height and pairs["described"].mean() > _DESCRIBED:  # type: ignore[operator]
        pairs = pairs.filter(pl.col("described") | ~pl.col("described").any().over("item"))
    else:
        pairs = pairs.with_columns(described=pl.lit(True))

    wording = (
        pl.when(~pl.col("described"))
        .then(pl.lit("the same label, of an entity that the graph does not describe"))
        .when("other")
        .then(pl.lit("a title in brackets"))
        .when(pl.col("full") != pl.col("full of entity"))
        .then(pl.lit("the label but for its article"))
        .otherwise(pl.lit(""))
    )
    pairs = pairs.select("item", "year", "entity", "years", "full", wording=wording)
    return pairs.unique(["item", "entity"], keep="first", maintain_order=True)


def _graded(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs with ``grade``: 0 label and year, 1 label alone, 2 doubtful, 3 another year;
    and ``reason`` in words.
    """
    nearest = (pl.col("years") - pl.col("year")).list.eval(pl.element().abs()).list.min()
    exact = pl.col("wording") == ""
    grade = (
        pl.when(nearest > 1)
        .then(3)
        .when((nearest == 1) | ~exact)
        .then(2)
        .when(nearest == 0)
        .then(0)
        .otherwise(1)
    )

    years = (
        pl.when(nearest == 0)
        .then(pl.lit("the same year"))
        .when(nearest == 1)
        .then(pl.lit("a year apart"))
        .when(nearest > 1)
        .then(pl.lit("another year"))
        .otherwise(pl.lit("no year to compare"))
    )
    said = pl.when(exact).then(pl.lit("the same label")).otherwise("wording")
    return pairs.with_columns(grade=grade, reason=pl.concat_str(said, years, separator=", "))


def _decided(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs that are offered, with their ``status``."""
    best = pairs.filter(
        (pl.col("grade") == pl.col("grade").min().over("item")) & (pl.col("grade") < 3)
    )
    several = pl.len().over("item") > 1
    claims = pl.struct("full", "year").filter(pl.col("grade") < 2).n_unique().over("entity")
    different = (claims > 1) & (pl.col("grade") > 0)
    best = best.join(
        pairs.group_by("item").agg(pl.len().alias("rivals")),
        on="item",
        how="left",
        maintain_order="left",
    )

    doubt = (
        pl.when(pl.col("grade") == 2)
        .then(pl.lit(""))
        .when(several)
        .then(pl.lit("several entities fit"))
        .when(different)
        .then(pl.lit("several items fit the entity"))
        .when((pl.col("grade") == 1) & (pl.col("rivals") > 1))
        .then(pl.lit("others of the label are of another year"))
    )
    best = best.with_columns(doubt=doubt)
    status = pl.when(pl.col("doubt").is_null()).then(pl.lit("sure")).otherwise(pl.lit("doubtful"))
    reason = (
        pl.when(pl.col("doubt").fill_null("") == "")
        .then("reason")
        .otherwise(pl.concat_str("reason", "doubt", separator=", "))
    )

    return best.select("item", "entity", status=status, reason=reason)


def _suggested(items: pl.DataFrame, entities: pl.DataFrame, decided: pl.DataFrame) -> pl.DataFrame:
    """Return entities whose labels share most of their words with those of items that found
    nothing, as doubtful pairs.
    """
    rest = items.drop_nulls("label").join(decided, on="item", how="anti", maintain_order="left")
    words = pl.col("key").str.split(" ").list.unique()
    rest = (
        rest.with_columns(_forms(_bare(rest["label"])))
        .filter(pl.col("key") != "")
        .with_columns(words=words)
    )

    if entities["described"].any():
        pool = entities.filter("described")
    else:
        pool = entities

    pool = pool.filter(pl.col("key") != "").select("entity", "years", own=words)
    known = (
        pool.select("entity", word="own").explode("word").filter(pl.len().over("word") <= _COMMON)
    )
    pairs = (
        rest.select("item", "year", "words", word="words")
        .explode("word")
        .join(known, on="word")
        .unique(["item", "entity"])
    )
    pairs = pairs.join(pool, on="entity")
    common = pl.col("words").list.set_intersection("own").list.len()
    alike = common / (pl.col("words").list.len() + pl.col("own").list.len() - common)
    pairs = pairs.with_columns(alike=alike).filter(
        (pl.col("alike") >= _ALIKE) & (pl.col("alike") < 1)
    )
    pairs = pairs.filter(
        (pl.col("years").list.len() == 0)
        | pl.col("year").is_null()
        | pl.col("years").list.contains(pl.col("year"))
    )
    pairs = pairs.sort(["item", "alike", "entity"], descending=[False, True, False])
    pairs = pairs.group_by("item", maintain_order=True).head(_SUGGESTIONS)
    return pairs.select(
        "item", "entity", status=pl.lit("doubtful"), reason=pl.lit("most words of the label")
    )


def _reviewed(
    items: pl.DataFrame, entities: pl.DataFrame, decided: pl.DataFrame, suggested: pl.DataFrame
) -> Matches:
    """Return every item with what was found for it."""
    found = pl.concat([decided, suggested])
    about = entities.select(
        "entity",
        iri="iri",
        entity_label="label",
        entity_year=pl.col("years").cast(pl.List(pl.String)).list.join(" "),
    )
    rows = items.with_row_index("order").join(found, on="item", how="left", maintain_order="left")
    rows = rows.join(about, on="entity", how="left", maintain_order="left")
    why = (
        pl.when(pl.col("label").is_null())
        .then(pl.lit("the item has no label"))
        .otherwise(pl.lit("no entity has the label and the year"))
    )
    rows = rows.with_columns(
        pl.col("status").fill_null("unmatched"), pl.col("reason").fill_null(why)
    )
    rank = pl.col("status").replace_strict(
        {"doubtful": 0, "unmatched": 1, "sure": 2}, return_dtype=pl.Int8
    )
    mark = pl.col("status").replace_strict(
        {"doubtful": "?", "unmatched": "", "sure": "yes"}, return_dtype=pl.String
    )
    rows = rows.sort(rank, "order", maintain_order=True).with_columns(
        link=mark, item_year=pl.col("year").cast(pl.String)
    )
    rows = rows.rename({"label": "item_label"})
    by_status = dict(rows.group_by("status").agg(pl.col("item").n_unique()).rows())
    counts = {f"items {words}": by_status.get(status, 0) for status, words in _COUNTED.items()}
    return Matches(rows.with_columns(entity="iri").select(REVIEW), counts)


_COUNTED = {
    "sure": "linked by label",
    "doubtful": "with a doubtful match, not linked",
    "unmatched": "without a match",
}


def check_review(path: FilePath) -> None:
    """Refuse to write over a review that somebody may have edited.

    Raises:
        ConfigError: If something is there, or the folder is not.
    """
    target = Path(path)
    if target.exists():
        raise ConfigError(
            f"{path}: is there already, and may hold your decisions. Give it as links, or name "
            "another file."
        )
    if not target.parent.is_dir():
        raise ConfigError(f"{path}: no such folder as {target.parent}. Make it first.")


def write_review(matches: Matches, path: FilePath) -> None:
    """Write a review as tab-separated text, whole or not at all.

    Given back as links, its rows that say yes in the first column count.

    Raises:
        LinkError: If an id holds a tab or a line break.
    """
    rows = matches.review
    for column in ("item", "entity"):
        broken = rows.filter(pl.col(column).str.contains(r"[\t\r\n]"))
        if broken.height:
            raise LinkError(
                f"{path}: the {column} {broken[column][0]!r} holds a tab or a line break, which "
                "the file cannot. Give links."
            )

    labels = [pl.col(name).str.replace_all(r"\s+", " ") for name in ("item_label", "entity_label")]
    text = (
        rows.with_columns(labels)
        .with_columns(pl.all().fill_null(""))
        .select(pl.concat_str(pl.all(), separator="\t"))
        .to_series()
    )
    target = Path(path)
    whole = "\n".join(["\t".join(REVIEW), *text, ""])
    write_file(target, lambda part: part.write_text(whole, encoding="utf-8"))
