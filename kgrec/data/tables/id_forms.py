"""Ids that are the same but for the way they are written."""

from collections.abc import Callable

import polars as pl

_INVISIBLE = "[\u200b-\u200f\u2060\ufeff\u00ad]"  # zero-width spaces and marks, soft hyphens

_WITHIN = "[-\\s\u2010-\u2013]"
_BOOK = r"^\d{7}[\dXx]$|^\d{9}[\dXx]$|^\d{12,14}$"  # ISSN, ISBN-10, ISBN-13 and EAN, GTIN


def without_hyphens(ids: pl.Series) -> pl.Series:
    """Return ids without hyphens and blanks where that makes the number of a book, a journal or an
    article of trade; others as they are.

    >>> without_hyphens(pl.Series(["978-3-16-148410-0", "0-306-40615-x", "a-1"])).to_list()
    ['9783161484100', '030640615X', 'a-1']
    """
    if not ids.str.contains(rf"^\d+{_WITHIN}+\d").any():
        return ids

    bare = ids.str.replace_all(_WITHIN, "").str.to_uppercase()
    return pl.select(pl.when(bare.str.contains(_BOOK)).then(bare).otherwise(ids)).to_series()


def without_point(ids: pl.Series) -> pl.Series:
    """Return ids without a ".0" behind a whole number, as tools write ids that they took for
    numbers.
    """
    return ids.str.replace(r"^(-?\d+)\.0+$", "${1}")


def _bare(ids: pl.Series) -> pl.Series:
    return ids.str.replace_all(_INVISIBLE, "").str.strip_chars()


# How ids may differ, and what makes them equal.
_FORMS: tuple[tuple[str, Callable[[pl.Series], pl.Series]], ...] = (
    ("a .0 at the end", without_point),
    ("white space", _bare),
    ("case", lambda ids: ids.str.to_lowercase()),
    ("zeros in front", lambda ids: ids.str.replace(r"^0+(\d)", "${1}")),
    ("the form of letters", lambda ids: ids.str.normalize("NFKC")),
    ("hyphens or blanks within", lambda ids: ids.str.replace_all(_WITHIN, "")),
    ("quotes", lambda ids: ids.str.strip_chars("\"'")),
)


def plainest(ids: pl.Series) -> pl.Series:
    """Return ids in the plainest form."""
    for _, form in reversed(_FORMS):
        ids = form(ids)
    return ids


def difference(ids: pl.Series, others: pl.Series) -> str:
    """Return in words how ids differ from others that are the same but for their form, "" where
    none is.

    >>> difference(pl.Series(["1", "2"]), pl.Series(["1.0", "3.0"]))
    "1 differs by a .0 at the end ('1' and '1.0')"
    """
    ids = ids.unique(maintain_order=True)
    others = others.unique(maintain_order=True)
    rest = ids.filter(~ids.is_in(others.implode()))
    found = []
    forms = (*_FORMS, ("several of these", plainest))

    for words, form in forms:
        if not len(rest):
            break

        pairs = pl.DataFrame({"id": rest, "plain": form(rest)}).join(
            pl.DataFrame({"other": others, "plain": form(others)}).unique("plain", keep="first"),
            on="plain",
            maintain_order="left",
        )
        if pairs.height:
            first = pairs.row(0, named=True)
            verb = "differs" if pairs.height == 1 else "differ"
            found.append(
                f"{pairs.height:,} {verb} by {words} ({first['id']!r} and {first['other']!r})"
            )
            rest = rest.filter(~rest.is_in(pairs["id"].implode()))

    return ", ".join(found)
