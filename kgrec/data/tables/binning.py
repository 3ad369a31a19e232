"""Ranges of numbers, with about as many rows each."""

import polars as pl

BINS = 10


def ranges(rows: pl.DataFrame, bins: int = BINS) -> pl.DataFrame:
    """Return the rows (columns ``name`` and ``number``, float64) with a ``label`` for the range
    that their number falls into.

    Up to ``bins`` distinct numbers of one name stay as they are; more are divided into that many
    ranges with about as many rows each.
    """
    value = pl.col("number")
    few = value.n_unique().over("name") <= bins
    part = ((value.rank("min").over("name") - 1) * bins // pl.len().over("name")).cast(pl.Int64)
    rows = rows.with_columns(
        part=pl.when(few).then(value.rank("dense").over("name").cast(pl.Int64)).otherwise(part)
    )
    low, high = (written(edge.over("name", "part")) for edge in (value.min(), value.max()))
    label = pl.when(low == high).then(low).otherwise(pl.concat_str(low, high, separator=" to "))
    return rows.with_columns(label=label).drop("part")


def written(number: pl.Expr) -> pl.Expr:
    """Return numbers as text, whole ones without a fraction."""
    whole = (number == number.round()) & (number.abs() < 1e15)
    return (
        pl.when(whole)
        .then(number.cast(pl.Int64, strict=False).cast(pl.String))
        .otherwise(number.cast(pl.String))
    )
