"""What the columns of an item table hold, guessed from a sample of their cells."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from kgrec.data.tables.binning import written
from kgrec.data.tables.list_cells import (
    are_lists,
    are_records,
    are_sure_lists,
    field_name,
    record_name,
)

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "\\N")
SEPARATORS = ("|", ";", ",")
_UNKNOWN = (
    *(
        "-",
        "--",
        "\u2013",
        "\u2014",
        "?",
        "??",
        "unknown",
        "n.a.",
        "na",
        "none",
        "nil",
        "tbd",
        "tba",
        ".",
    ),
    *("n.d.", "s.d.", "tbc", "n.n.", "k. a.", "sin datos", "non disponible", "nicht verfügbar"),
    *("missing", "undefined", "not available", "not applicable", "unbekannt", "inconnu", "#n/a"),
    *("(null)", "k.a.", "keine angabe", "desconocido", "*", "x"),
)
_SLASH = " / "
_LEVELS = ("->", ">", "»", "\u203a", "→", "::", _SLASH)
TRUE, FALSE = ("1", "true", "yes", "y", "t"), ("0", "false", "no", "n", "f")

UNNAMED = ("genre", "has")

_SAMPLE = 20_000
_MOSTLY = 0.95
_SOME_LISTS = 0.1  # of cells that can be nothing but lists, in columns that have other cells too
_UNIQUE_FROM = 20
_LONG_CHARS, _LONG_WORDS = 80, 8
_PIECE_CHARS, _PIECE_WORDS = 40, 4
_YEARS = (1800, 2100)
_ID_NAME = re.compile(
    r"(?i:(^|[_\s.-])(id|ids|key|code|isbn|issn|ean|upc|sku|asin|uuid|guid|imdb|tmdb|barcode|index)$)|[a-z](Id|ID)$"
)
YEAR_NAME = re.compile(r"(?i)(^|[^a-z])(year|yr|jahr|released?|published)([^a-z]|$)|Year$")
_URL = r"^(?i:https?://|ftp://|www\.)\S+$"
_MONTH = r"(?:0?[1-9]|1[0-2]|[A-Za-z]{3,9}\.?)"
_YEAR_IN_DATE = (
    r"^(-?\d{4})[-/.]"
    + _MONTH
    + r"(?:[-/.](?:0?[1-9]|[12]\d|3[01]))?(?:[T ][\d:.,]+ ?(?:Z|UTC|[+-]\d\d:?\d\d)?)?$",
    r"^(?:\d{1,2}|[A-Za-z]{3,9}\.?)[-/. ](?:\d{1,2}|[A-Za-z]{3,9}\.?),?[-/. ](\d{4})$",
)
_CURRENCY = (
    r"[$€£¥₹₽₺₩₪฿]|(?i:\b(?:EUR|USD|GBP|CHF|JPY|CNY|SEK|NOK|DKK|PLN|CZK|HUF|AUD|CAD|INR|BRL|TRY)\b)"
    r"|(?i:\b(?:Rs|kr|Fr)\b\.?|z\x{142}|K\x{10d})"
)
_UNITS = (
    r"(?i:kg|mg|g|lbs?|oz|ml|cl|l|cm|mm|km|m|in|inch|inches|ft|min|mins|minutes|minuten|h|hrs?|hours"
    r"|sec|seconds|days|tage|years|jahre|pages|pp|seiten|pcs|st\x{fc}ck|gb|mb|tb|m?ah|[mgk]?hz|kwh|k?w|v"
    r"|px|\x{b0}[cf]|[\x22\x{2033}\x{201d}'\x{2032}])\.?$"
)
_BLANKS = r"[\s\u00a0\u202f']"
_AMOUNT = r"[^\d\s+-]{0,4}\s?\d[\d.,' \x{a0}\x{202f}]*\s?(?:[^\d\s+-]{0,4})"
_RANGE = (
    rf"^\s*(?i:from|von|de|between|zwischen|entre)?\s*(?P<low>{_AMOUNT}?)\s*"
    rf"(?:-|\x{{2013}}|\x{{2014}}|\.\.\.?|\x{{2026}}|~|(?i:\bto\b|\bbis\b|\band\b|\bund\b|\x{{e0}}|\ba\b|\bet\b))"
    rf"\s*(?P<high>{_AMOUNT})\s*$"
)
_OPEN = (
    r"^\s*(?i:from|starting (?:at|from)|starts at|ab|von|desde|\x{e0} partir de|min\.?|over|\x{fc}ber"
    r"|up to|upto|bis(?: zu)?|under|unter|max\.?|hasta|jusqu'\x{e0}|[<>]=?|\x{2264}|\x{2265})"
    rf"\s*({_AMOUNT})\s*$"
)
_PLUS = rf"^\s*({_AMOUNT})\s*\+$"
_COMMA_NUMBER = r"^([+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?)%?$"
_COMMA_AT_END = r"^[+-]?[\d.]*\d,\d{1,2}%?$"
_PRICE = r"^[+-]?\d+,\d\d$"
_THOUSANDS = r"^[+-]?\d{1,3}(?:,\d{3})+%?$"
_POINT_AT_END = r"^[+-]?(?:\d{1,3}(?:,\d{3})*|\d+)\.\d{1,2}%?$"
_NUMBER = r"^\s*[$€£¥]?\s*([+-]?(?:\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}|\d*)(?:\.\d*)?(?:[eE][+-]?\d{1,3})?)\s*%?\s*$"
_SUFFIXES = [
    "inc",
    "inc.",
    "ltd",
    "ltd.",
    "llc",
    "co.",
    "corp.",
    "jr.",
    "jr",
    "sr.",
    "the",
    "a",
    "an",
    "la",
    "le",
    "les",
    "il",
    "der",
    "die",
]


@dataclass(frozen=True, slots=True)
class Guess:
    """What a column seems to hold.

    Attributes:
        kind: As of ``TableColumn``.
        separator: Between the values of a cell, "" for JSON lists, None where a cell is one value.
        left_out: Why it makes no triples, "" where it does.
        distinct: How many different cells there are, 0 where that was not counted.
    """

    kind: str
    separator: str | None = None
    left_out: str = ""
    distinct: int = 0


def as_text(cells: pl.Series, missing: Sequence[str] = MISSING) -> pl.Series:
    """Return cells as text without white space around them, null where they say nothing.

    Numbers stay as they are written.
    """
    if cells.dtype.is_numeric() or cells.dtype == pl.Boolean:
        if cells.dtype.is_float():
            text = pl.select(written(pl.lit(cells))).to_series()
        else:
            text = cells.cast(pl.String)
    else:
        text = cells.cast(pl.String).str.strip_chars()

    return text.set(text.is_in(list(missing)).fill_null(False), None)


def as_number(text: pl.Series) -> pl.Series:
    """Return text as finite float64, null where it is none; "1,234", "$5", "12,50 €", "EUR 12.50"
    and "7 %" are numbers.

    A comma before one or two last digits is a decimal comma where a currency or a percent sign
    stands in some cell, points stand between thousands, or every cell is a number with two digits
    behind a comma, as prices are; then points are no decimal points, unless other cells end with
    them.

    Where a currency stands in some cell, or half of the cells are numbers, ranges count as their
    middle and open ranges as their end.

    >>> as_number(pl.Series(["1,234", "$5.50", "7 %", "1,2", "x", "."])).to_list()
    [1234.0, 5.5, 7.0, 1.2, None, None]
    >>> as_number(pl.Series(["12,50 €", "EUR 1.234,00", "9"])).to_list()
    [12.5, 1234.0, 9.0]
    >>> as_number(pl.Series(["12,50", None, "9,99"])).to_list()
    [12.5, None, 9.99]
    >>> as_number(pl.Series(["10-20", "from 5", "up to 8 €", "7.50 - 8.50"])).to_list()
    [15.0, 5.0, 8.0, 8.0]
    """
    low, high = _ends_of_ranges(text)
    if not len(low.drop_nulls()):
        return _single_number(text, text)

    size = len(text)
    every = _single_number(pl.concat([text, low, high]), high.fill_null(text))
    numbers, low, high = (every.slice(start * size, size) for start in range(3))
    rest = text.filter(numbers.is_null()).drop_nulls()
    priced = text.str.contains(_CURRENCY).fill_null(False).any()
    if not priced and 2 * len(rest) > len(text.drop_nulls()):
        return numbers  # codes such as 12-34

    middle = ((low + high) / 2).set((low > high).fill_null(False), None)
    return numbers.fill_null(middle).alias(text.name)


def _ends_of_ranges(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the two ends of ranges as text, twice the same of an open one; null of others."""
    text = text.str.replace_all(r"[.,][-\x{2013}\x{2014}]+(\s|$)", "$1")
    both = text.str.extract_groups(_RANGE)
    low, high = both.struct.field("low"), both.struct.field("high")
    for pattern in (_OPEN, _PLUS):
        end = text.str.extract(pattern)
        low, high = low.fill_null(end), high.fill_null(end)
    return low, high


def count_ranges(text: pl.Series) -> int:
    """Return how many cells count as the middle or the end of a range."""
    if not len(_ends_of_ranges(text)[0].drop_nulls()):
        return 0
    return int((as_number(text).is_not_null() & _single_number(text, text).is_null()).sum())


def _single_number(text: pl.Series, column: pl.Series) -> pl.Series:
    """Return text as a number; the unit is that of the column that it comes from."""
    bare = text.str.replace_all(_CURRENCY, "").str.replace_all(_BLANKS, "")
    bare = bare.str.replace(r"[.,][-\x{2013}\x{2014}]+$", "")
    if measure_of(column):
        bare = bare.str.replace(_UNITS, "")
    if not _has_decimal_comma(text, bare, column):
        plain = bare.str.extract(_NUMBER).str.replace_all(",", "", literal=True)
    else:
        comma = bare.str.extract(_COMMA_NUMBER)
        comma = comma.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        point = bare.str.extract(_NUMBER).str.replace_all(",", "", literal=True)
        pointed = bare.str.contains(_POINT_AT_END).fill_null(False)
        if pointed.any():
            # Both habits in one column: three digits after a comma are thousands.
            pointed |= bare.str.contains(_THOUSANDS).fill_null(False)

        plain = pl.select(pl.when(pointed).then(point).otherwise(comma)).to_series()

    numbers = plain.cast(pl.Float64, strict=False).alias(text.name)
    return numbers.set(~numbers.is_finite().fill_null(False), None)


def _has_decimal_comma(text: pl.Series, bare: pl.Series, column: pl.Series) -> bool:
    """Return whether commas of a column are decimal commas."""
    commas = bare.str.contains(_COMMA_AT_END).fill_null(False)
    if not commas.any():
        return False

    if measure_of(column) or bare.drop_nulls().str.contains(_PRICE).all():
        return True

    marked = text.str.contains(_CURRENCY).fill_null(False) | text.str.contains("%", literal=True)
    thousands = bare.str.contains(r"\.\d{3},\d").fill_null(False)
    return bool(marked.any() or thousands.any())


def measure_of(text: pl.Series) -> str:
    """Return the unit that stands behind the numbers of nearly all cells, "" if there is none.

    >>> measure_of(pl.Series(["5 kg", "12,5 kg", "7kg"])), measure_of(pl.Series(["5 kg", "500 g"]))
    ('kg', '')
    """
    said = text.drop_nulls()
    found = said.str.extract(rf"^[+-]?[\d.,'\s]*\d\s*({_UNITS})").drop_nulls().str.to_lowercase()
    if not len(found):
        return ""

    most = found.value_counts(name="n", sort=True).row(0)
    return str(most[0]) if most[1] > _MOSTLY * len(said) else ""


def currencies(text: pl.Series) -> list[str]:
    """Return the currencies of prices, most frequent first."""
    found = text.str.extract(f"({_CURRENCY})").drop_nulls().str.strip_chars().str.to_uppercase()
    counts = found.value_counts(name="n").sort("n", found.name, descending=[True, False])
    return [str(mark) for mark in counts[found.name]]


def as_year(text: pl.Series) -> pl.Series:
    """Return the years of dates as int64, null where a cell is no date.

    Day and month may stand in either order.

    >>> as_year(pl.Series(["1995-01-31", "01-Jan-1996", "3/12/1997", "March 5, 1998"])).to_list()
    [1995, 1996, 1997, 1998]
    >>> as_year(pl.Series(["1999-05", "12-1995", "soon"])).to_list()
    [1999, None, None]
    """
    found = [text.str.extract(pattern).cast(pl.Int64, strict=False) for pattern in _YEAR_IN_DATE]
    return pl.select(pl.coalesce(found).alias(text.name)).to_series()


def guess(name: str, cells: pl.Series, rows: int, sequence: bool = False) -> Guess:
    """Return what a column seems to hold.

    Args:
        name: The column's name, which tells an id or a year from another number.
        cells: Its cells as the table has them, without those that say nothing.
        rows: Rows of the table.
        sequence: Whether the file's header says that a cell is several words (RecBole's
            ``token_seq``).
    """
    kind = _by_type(cells)
    if kind is not None:
        return kind

    if cells.dtype == pl.String:
        text = cells
    else:
        text = as_text(cells)

    distinct = text.n_unique()
    if not len(text):
        return Guess("empty", left_out="no cell says anything")
    if distinct == 1 and len(text) == rows > 1:
        return Guess("constant", left_out="every row says the same", distinct=1)
    if sequence:
        return Guess("list", " ")
    if distinct <= len(TRUE) and text.str.to_lowercase().is_in([*TRUE, *FALSE]).all():
        return Guess("boolean")

    sample = _sample(text)
    return replace(_of_text(name, text, sample, distinct), distinct=distinct)


def _sample(text: pl.Series) -> pl.Series:
    """Return some thousand cells, spread over all that occur.

    Which ones does not depend on the order of the rows.
    """
    step = len(text) // _SAMPLE
    if step < 2:
        return text

    return text.gather(text.hash().arg_sort().gather_every(step))


def _by_type(cells: pl.Series) -> Guess | None:
    """Return what a column's type alone says."""
    kind = cells.dtype
    if isinstance(kind, pl.List | pl.Array):
        inner = kind.inner
        if isinstance(inner, pl.Struct) and field_name(inner) is None:
            return Guess("nested", left_out="its cells are lists of records without a name")
        if isinstance(inner, pl.List | pl.Array):
            return Guess("nested", left_out="its cells are lists of lists")

        return Guess("list", "")

    if isinstance(kind, pl.Struct):
        return Guess("nested", left_out="its cells are records")
    if kind in (pl.Object, pl.Binary, pl.Duration, pl.Time):
        return Guess("nested", left_out=f"its cells are neither text, numbers nor dates ({kind})")
    if kind == pl.Boolean:
        return Guess("boolean")
    if kind in (pl.Date, pl.Datetime):
        return Guess("date")

    return None


def _share(mask: pl.Series) -> float:
    return float(mask.fill_null(False).mean() or 0)  # type: ignore[arg-type]


def _of_text(name: str, text: pl.Series, sample: pl.Series, distinct: int) -> Guess:
    unique = distinct == len(text) >= _UNIQUE_FROM
    if _share(sample.str.contains(_URL)) > _MOSTLY:
        if distinct > 0.9 * len(text):
            return Guess("url", left_out="addresses")
        return Guess("category")

    if _share(are_lists(sample)) > _MOSTLY or _share(are_sure_lists(sample)) > _SOME_LISTS:
        return _of_lists(sample)
    if _share(as_year(sample).is_not_null()) > _MOSTLY:
        return Guess("date")

    codes = _share(sample.str.contains(r"^0\d+$")) > 0.01
    if not codes and _mostly_numbers(sample):
        return _of_numbers(name, as_number(text), unique)

    hierarchy = find_hierarchy(sample)
    if hierarchy is not None:
        return Guess("path", hierarchy)

    separator = find_separator(sample)
    if separator is not None:
        return Guess("list", separator)

    long = (
        _mean(sample.str.len_chars()) > _LONG_CHARS
        or _mean(sample.str.count_matches(r"\S+")) >= _LONG_WORDS
    )
    if long and distinct > len(text) / 2:
        return Guess("text", left_out="free text")
    if unique:
        return Guess("identifier", left_out="every row has its own value")

    return Guess("category")


def _mostly_numbers(sample: pl.Series) -> bool:
    """Return whether cells are numbers, but for marks that say nothing and a few others."""
    said = sample.filter(~sample.str.to_lowercase().is_in(_UNKNOWN))
    if not len(said) or (len(said) < len(sample) / 2):
        return False

    return _share(as_number(said).is_not_null()) > _MOSTLY


def find_hierarchy(cells: pl.Series) -> str | None:
    """Return what stands between the levels of paths such as "Shoes > Running", None if they are
    none.

    >>> find_hierarchy(pl.Series(["Shoes > Running", "Shoes > City", "Shoes"]))
    '>'
    """
    cells = cells.unique(maintain_order=True)
    for mark in _LEVELS:
        several = cells.str.contains(mark, literal=True)
        if _share(several) < 0.5:
            continue

        levels = cells.str.split(mark)
        first = levels.list.first().str.strip_chars()
        if mark == _SLASH:  # may stand between equals, each of which comes first somewhere
            below = levels.list.slice(1).explode().drop_nulls().str.strip_chars()
            if first.is_in(below.implode()).any():
                continue

        if first.n_unique() < len(cells) or len(cells) < 3:
            return mark

    return None


def _mean(numbers: pl.Series) -> float:
    return float(numbers.mean() or 0)  # type: ignore[arg-type]


def _of_lists(sample: pl.Series) -> Guess:
    records = sample.filter(are_records(sample))
    if len(records) > 0.05 * len(sample) and record_name(records) is None:
        return Guess("nested", left_out="its cells are lists of records without a name")
    if _share(sample.str.contains(r"^\[\s*\[")) > 0.05:
        return Guess("nested", left_out="its cells are lists of lists")
    return Guess("list", "")


def _of_numbers(name: str, numbers: pl.Series, unique: bool) -> Guess:
    found = numbers.drop_nulls()
    whole = bool((found == found.floor()).all())
    low, high = float(found.min()), float(found.max())  # type: ignore[arg-type]

    if YEAR_NAME.search(name):
        first = 1
        last = 2200
    else:
        first, last = _YEARS

    if whole and _share((found >= first) & (found <= last)) > _MOSTLY and found.median() >= 1000:  # type: ignore[operator]
        return Guess("year")

    if whole and _ID_NAME.search(name):
        if unique:
            return Guess("identifier", left_out="every row has its own number")
        return Guess("category")

    if whole and unique and high - low + 1 == len(numbers):
        return Guess("identifier", left_out="numbers in a row, a different one in every row")

    return Guess("number")


def find_separator(cells: pl.Series) -> str | None:
    """Return what separates several values in a cell, None where a cell seems to be one value.

    The parts must be short and recur. A comma also stands within names ("Scott, Ridley", "Paris,
    France"): it counts only where the parts behind it also come first.

    >>> find_separator(pl.Series(["Drama|War", "Drama", "Comedy|Drama"]))
    '|'
    >>> find_separator(pl.Series(["Paris, France", "Nice, France"])) is None
    True
    """
    cells = cells.unique(maintain_order=True)
    return next((mark for mark in SEPARATORS if _separates(cells, mark)), None)


def _separates(cells: pl.Series, mark: str) -> bool:
    several = cells.str.contains(mark, literal=True)
    if _share(several) < (0.1 if mark == "," else 0.02):
        return False

    lists = cells.str.split(mark)
    pieces = lists.explode().str.strip_chars()
    pieces = pieces.filter(pieces != "")
    if (
        not len(pieces)
        or _mean(pieces.str.count_matches(r"\S+")) > _PIECE_WORDS
        or _mean(pieces.str.len_chars()) > _PIECE_CHARS
    ):
        return False

    if mark == "|":
        return True

    distinct = pieces.n_unique()
    if mark == ";":
        return distinct < len(pieces) or len(cells) < _UNIQUE_FROM

    first = lists.list.first().str.strip_chars().unique()
    behind = lists.list.slice(1).explode().drop_nulls().str.strip_chars().unique()
    behind = behind.filter(
        ~behind.str.to_lowercase().is_in(_SUFFIXES) & ~behind.str.contains(r"^\d*$")
    )

    return (
        len(behind) > 0
        and len(pieces) >= 1.2 * distinct
        and _share(behind.is_in(first.implode())) >= 0.2
    )


def flag_groups(names: Sequence[str], least: int = 4) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return columns of flags that together are one attribute: its name, and column and value of
    each.

    Columns whose names begin alike ("genre_Action", "genre_War") are one group under that
    beginning; of the others, so many columns are needed, and the group is called "genre" where most
    of them are genres, else "has".

    >>> flag_groups(["g_War", "g_Drama", "new"])
    [('g', [('g_War', 'War'), ('g_Drama', 'Drama')])]
    """
    parts = {name: re.match(r"^(.+?)(?:__?|[:.=/]\s?| - )(.+)$", name) for name in names}
    heads = Counter(found[1] for found in parts.values() if found)
    groups: dict[str, list[tuple[str, str]]] = {}
    rest = []

    for name, found in parts.items():
        if found and heads[found[1]] > 1:
            groups.setdefault(found[1], []).append((name, found[2]))
        else:
            rest.append(name)

    if len(rest) >= least:
        known = sum(name.lower().strip() in _GENRES for name in rest)
        groups.setdefault("genre" if known * 2 > len(rest) else "has", []).extend(
            (name, name) for name in rest
        )

    return list(groups.items())


_GENRES = frozenset(
    re.split(
        r"\|",
        "action|adventure|animation|biography|children|children's|classical|comedy|crime|documentary|drama|family|fantasy|film-noir|folk|history"
        "|horror|imax|jazz|music|musical|mystery|news|pop|rock|romance|sci-fi|scifi|short|sport|thriller|unknown|war|western",
    )
)


def look_alikes(keys: pl.Series) -> int:
    """Return how many of some distinct keys differ from another one only by white space, case or
    the form of letters (NFKC).

    >>> look_alikes(pl.Series(["a", "A ", "b", "\uff42"]))
    4
    """
    return int(plain_form(keys).is_duplicated().sum())


def plain_form(keys: pl.Series) -> pl.Series:
    """Return keys without white space around them, in lower case and in the plainest form of their
    letters (NFKC).
    """
    plain = keys.str.strip_chars().str.to_lowercase().str.replace_all("ß", "ss", literal=True)
    if (keys.str.len_bytes() == keys.str.len_chars()).all():
        return plain

    return plain.str.normalize("NFKC").str.to_lowercase()
