"""Literals as entities: numbers as ranges, dates as years, short texts as categories."""

from dataclasses import dataclass

import polars as pl

from kgrec.data.tables.binning import ranges

LONGEST_CATEGORY = 64

_XSD = "http://www.w3.org/2001/XMLSchema#"
_INTEGERS = (
    "integer",
    "int",
    "long",
    "short",
    "byte",
    "nonNegativeInteger",
    "positiveInteger",
    "nonPositiveInteger",
    "negativeInteger",
)
_NUMBERS = [
    _XSD + name
    for name in (
        *_INTEGERS,
        "unsignedInt",
        "unsignedLong",
        "unsignedShort",
        "unsignedByte",
        "decimal",
        "double",
        "float",
    )
]
_DATES = [_XSD + name for name in ("date", "dateTime", "dateTimeStamp", "gYear", "gYearMonth")]


@dataclass(frozen=True, slots=True)
class Categories:
    """Literals, divided.

    Attributes:
        made: The rows that became entities, with the columns ``key`` and ``label`` of the entity
            added.
        left: The rows that stay attributes.
    """

    made: pl.DataFrame
    left: pl.DataFrame


def categories(attributes: pl.DataFrame) -> Categories:
    """Return which literals become entities.

    Numbers of up to 10 distinct values of one attribute stay as they are; more are divided into 10
    ranges with about as many values each. A date becomes its year. A text becomes an entity where
    it has at most 64 characters and at least two entities share it. Numbers and dates that cannot
    be read stay attributes.

    Args:
        attributes: Columns ``term``, ``name``, ``value``, ``datatype`` and any others.
    """
    rows = attributes.with_row_index("row").with_columns(
        number=pl.when(pl.col("datatype").is_in(_NUMBERS)).then(
            pl.col("value").str.strip_chars().cast(pl.Float64, strict=False)
        ),
        year=pl.when(pl.col("datatype").is_in(_DATES)).then(
            pl.col("value").str.extract(r"^\s*(-?\d{4,9})")
        ),
    )
    rows = rows.with_columns(number=pl.when(pl.col("number").is_finite()).then("number"))
    numbers = ranges(rows.filter(pl.col("number").is_not_null()))
    years = rows.filter(pl.col("year").is_not_null()).with_columns(label=pl.col("year"))
    texts = rows.filter(
        ~pl.col("datatype").is_in([*_NUMBERS, *_DATES])
        & (pl.col("value").str.len_chars() <= LONGEST_CATEGORY)
    )
    shared = texts.filter(
        (pl.col("term").n_unique().over("name", "value") > 1) & (pl.col("value") != "")
    )
    made = pl.concat([numbers, years, shared.with_columns(label=pl.col("value"))]).sort("row")
    left = rows.join(made.select("row"), on="row", how="anti", maintain_order="left")
    made = made.with_columns(key=pl.col("name") + "=" + pl.col("label"))
    return Categories(made.drop("row", "number", "year"), left.drop("row", "number", "year"))
