"""Times of tables: one unit per column, or a stop.

Numbers stay as they are written. Where float64 holds them all exactly they are float64, else
int64: nanoseconds since the epoch need 61 bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from kgrec.data.tables.delimited import Table, checked
from kgrec.errors import ConfigError, FormatError

UNITS: dict[str, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
SHEET = "excel"
FORMS = ("iso", "epoch", "day-first", "month-first", SHEET, *UNITS)
# Sizes from which a number is a moment since 1970 in that unit: 3 March 1973 in each of them.
_FROM = {"s": 1e8, "ms": 1e11, "us": 1e14, "ns": 1e17}
SMALLEST_MOMENT = _FROM["s"]
_EXACT = 1 << 53
_SHEET_DAYS = (20_000, 80_000)  # 1954 to 2119, as spreadsheets count days
_FIRST_OF_1970 = 25_569
_WANTED = "a number or an ISO 8601 date"
_CLOCK = r"(?:[T ,]+(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?: ?([AaPp])\.?[Mm]\.?)?)?"
_ZONE = r"(?: ?(Z|UTC|GMT|[+-]\d\d:?\d\d))?"
_NUMBERED = rf"^(\d{{1,2}})[./-](\d{{1,2}})[./-](\d{{4}}){_CLOCK}{_ZONE}$"
_YEAR_FIRST = rf"^(\d{{4}})[./-](\d{{1,2}})[./-](\d{{1,2}}){_CLOCK}{_ZONE}$"
_MONTHS = (
    ("jan", "ene"),
    ("feb", "fév", "fev"),
    ("mar", "mär", "mrz"),
    ("apr", "avr", "abr"),
    ("may", "mai"),
    ("jun", "juin"),
    ("jul", "juil"),
    ("aug", "aoû", "aou", "ago"),
    ("sep", "set"),
    ("oct", "okt", "out"),
    ("nov",),
    ("dec", "dez", "déc", "dic"),
)
_NAME = r"([A-Za-zäéûÄÉÛ]{3,10})\.?"
_DAY_NAME = r"^(?:[A-Za-zäé]{2,10}\.?,? +)?"
_NAMED_DAY = rf"{_DAY_NAME}(\d{{1,2}})(?:st|nd|rd|th|\.)?[ -]{_NAME}[ -](\d{{4}}){_CLOCK}{_ZONE}$"
_NAMED_MONTH = rf"{_DAY_NAME}{_NAME} (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}}){_CLOCK}{_ZONE}$"
# As C's ctime and Twitter write it: Mon Jan 05 13:45:00 +0000 2024.
_CTIME = rf"{_DAY_NAME}{_NAME} +(\d{{1,2}}) (\d\d):(\d\d):(\d\d){_ZONE} (\d{{4}})$"


@dataclass(frozen=True, slots=True)
class Times:
    """Times of a column.

    Attributes:
        values: Float64, or int64 where that does not hold them; null for a cell that could not be
            read.
        unit: Of numbers that are moments since 1970, "" for other numbers.
    """

    values: pl.Series
    unit: str


def unit_of(values: pl.Series | np.ndarray) -> str:
    """Return the unit of times since 1970 by their size, "" where they are something else."""
    column = pl.Series(values).drop_nulls()
    if column.dtype.is_float():
        column = column.drop_nans()
    if not len(column):
        return ""

    size = float(column.abs().median() or 0)  # type: ignore[arg-type]
    return next((unit for unit in reversed(list(_FROM)) if size >= _FROM[unit]), "")


def read_times(table: Table, column: str, on_error: str = "stop", form: str | None = None) -> Times:
    """Return a column of times.

    Numbers stay as they are; dates and date-times become seconds since the epoch, days written as
    numbers too (20240131). Text without an offset is taken for UTC.

    Args:
        table: The table.
        column: Its column.
        on_error: "stop" at a cell that is no time, or "skip" it: null.
        form: "iso"; "epoch": numbers of any unit, told by their size, become seconds; "s", "ms",
            "us", "ns": numbers of that unit become seconds; "excel": days as a spreadsheet counts
            them (45292 is 1 January 2024) become seconds; "day-first" or "month-first" for
            dates such as 05/01/2024; or a pattern such as "%d.%m.%y". Found where None.

    Raises:
        FormatError: At the first cell that is no time, and where the cells are of several units.
        ConfigError: If the form is unknown.
    """
    if form is not None and form not in FORMS and "%" not in form:
        raise ConfigError(
            f"time_format: {form!r} is unknown. Known: {', '.join(FORMS)}, or a pattern such as "
            "%d.%m.%Y."
        )

    cells = table.frame[column]
    if cells.dtype in (pl.Date, pl.Datetime):
        return Times(seconds_of(cells), "s")

    if cells.dtype == pl.String:
        text = cells.str.strip_chars()
        numbers, dates = _numbers(text), _dates(table, column, text, form)
        if form is not None and "%" in form:
            numbers = numbers.clear(len(numbers))
        else:
            dates = dates.set(numbers.is_not_null(), None)
    elif cells.dtype.is_integer() and cells.dtype not in (pl.UInt64, pl.Int128):
        numbers, dates = cells.cast(pl.Int64), pl.Series([None] * len(cells), dtype=pl.Float64)
    elif cells.dtype.is_numeric() or cells.dtype == pl.Boolean:
        numbers = cells.cast(pl.Float64)
        dates = pl.Series([None] * len(cells), dtype=pl.Float64)
    else:
        raise FormatError(
            f"{table.name}: column {column!r} holds {cells.dtype}, not times. Name a column of "
            "numbers or dates."
        )

    if form is None and are_days(numbers):
        dates = _days(numbers)
        numbers = numbers.clear(len(numbers))

    if form in ("epoch", SHEET, *UNITS):
        numbers = _seconds(numbers, form)
    else:
        _check_units(table, column, numbers, dates)

    values = numbers
    if dates.null_count() < len(dates):
        values = numbers.cast(pl.Float64).fill_null(dates)

    values = checked(table, column, _narrow(values), on_error, _WANTED)
    return Times(values, unit_of(values))


def are_days(numbers: pl.Series) -> bool:
    """Return whether all numbers are days such as 20240131, of different months or years."""
    some = numbers.drop_nulls()
    return (
        len(some) > 0
        and bool(_is_day(some).fill_null(False).all())
        and _days(some).null_count() == 0
    )


def are_sheet_days(numbers: pl.Series) -> bool:
    """Return whether all numbers may be days as spreadsheets count them, of this or the last
    decades.
    """
    some = numbers.drop_nulls()
    low, high = _SHEET_DAYS
    return len(some) > 0 and bool(some.is_between(low, high).all())


def has_dates_and_numbers(cells: pl.Series) -> bool:
    """Return whether some cells are numbers and others, with something in them, are not."""
    if cells.dtype != pl.String:
        return False

    filled = cells.str.strip_chars().replace("", None).drop_nulls()
    numbers = filled.cast(pl.Float64, strict=False).is_not_null()
    return bool(numbers.any() and not numbers.all())


def sheet_note(name: str, column: str, times: pl.Series) -> str:
    """Return a sentence on times that may be days of a spreadsheet."""
    first = times.drop_nulls()[0]
    day = date(1970, 1, 1) + timedelta(days=float(first) - _FIRST_OF_1970)
    return (
        f"{name}: the times in {column!r} look like days as spreadsheets count them ({first:g} would "
        f"be {day:%Y-%m-%d}) and are taken as plain numbers. --time-format {SHEET} makes moments of "
        "them."
    )


def _days(numbers: pl.Series) -> pl.Series:
    """Return days such as 20240131 as seconds since the epoch, null where there is no such day."""
    text = numbers.cast(pl.Int64, strict=False).cast(pl.String)
    days = text.str.to_date("%Y%m%d", strict=False)
    return days.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6


def _numbers(text: pl.Series) -> pl.Series:
    """Return numbers, int64 where every number is whole, else float64; null for other text."""
    floats = text.cast(pl.Float64, strict=False)
    if not len(text) or floats.null_count() == len(text):
        return floats
    if float(floats.abs().max() or 0) < _EXACT:  # type: ignore[arg-type]
        return floats

    whole = text.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == floats.null_count() else floats


def _narrow(values: pl.Series) -> pl.Series:
    """Return whole numbers as float64 where that holds them exactly."""
    if values.dtype == pl.Int64 and float(values.abs().max() or 0) >= _EXACT:  # type: ignore[arg-type]
        return values
    return values.cast(pl.Float64)


def seconds_of(cells: pl.Series) -> pl.Series:
    """Return dates and date-times as seconds since the epoch, or as nanoseconds where they are as
    fine as that.
    """
    if cells.dtype == pl.Datetime("ns") or getattr(cells.dtype, "time_unit", "") == "ns":
        fine = cells.dt.epoch("ns")
        if (fine % 1000 != 0).any():
            return fine

    return cells.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6


def _seconds(numbers: pl.Series, form: str) -> pl.Series:
    """Return numbers of a unit, or each of its own, as seconds."""
    values = numbers.cast(pl.Float64)
    if form in UNITS:
        return values / UNITS[form]
    if form == SHEET:
        return (values - _FIRST_OF_1970) * 86_400

    divisor = pl.lit(1.0)
    for unit in ("ms", "us", "ns"):
        large = pl.col("value").abs() >= _FROM[unit]
        divisor = pl.when(large).then(UNITS[unit]).otherwise(divisor)

    return values.to_frame("value").select(pl.col("value") / divisor).to_series()


def _check_units(table: Table, column: str, numbers: pl.Series, dates: pl.Series) -> None:
    """Refuse a column whose cells are of several units."""
    size = numbers.abs()
    starts = [*_FROM.values(), float("inf")]
    kinds: list[tuple[str, pl.Series]] = [
        (WORDS[unit], (size >= low) & (size < high))
        for unit, low, high in zip(_FROM, starts[:-1], starts[1:], strict=True)
    ]
    kinds.append(("dates", dates.is_not_null()))
    small = (size < _FROM["s"]) & (size > 0)
    if dates.null_count() < len(dates):
        kinds.append(("numbers too small for seconds since 1970", small))
    elif small.any():
        kinds.append(("days written as numbers", small & _is_day(numbers)))

    found = [(name, mask.fill_null(False)) for name, mask in kinds]
    found = [(name, mask) for name, mask in found if mask.any()]
    names = {"seconds" if name == "dates" else name for name, _ in found}
    if len(names) < 2:
        return

    parts = [
        f"{int(mask.sum()):,} {_counted(name)} (first "
        f"{str(table.frame[column][int(mask.arg_true()[0])])[:40]}, {_line(table, mask)})"
        for name, mask in found
    ]
    raise FormatError(
        f"{table.name}: column {column!r} has times of several units: {', '.join(parts)}. Correct "
        "the file; or say time_format=epoch: every number by its size, as seconds."
    )


def _counted(name: str) -> str:
    return name if name in ("dates", *_SENTENCES) else f"in {name}"


_SENTENCES = ("numbers too small for seconds since 1970", "days written as numbers")


def _line(table: Table, mask: pl.Series) -> str:
    return table.at(int(mask.arg_true()[0]))


def _is_day(numbers: pl.Series) -> pl.Series:
    """Return which numbers are days such as 20240131."""
    whole = numbers.cast(pl.Int64, strict=False)
    month = whole // 100 % 100
    day = whole % 100
    return (
        whole.is_between(19_000_101, 21_001_231) & month.is_between(1, 12) & day.is_between(1, 31)
    )


def _dates(table: Table, column: str, text: pl.Series, form: str | None) -> pl.Series:
    """Return dates and date-times in the usual forms as seconds since the epoch, else null."""
    if form is not None and "%" in form:
        moments = text.str.to_datetime(form, time_unit="us", strict=False, ambiguous="null")
        if moments.null_count() == len(moments):
            moments = text.str.to_date(form, strict=False).cast(pl.Datetime("us"))
        return moments.dt.replace_time_zone(None).dt.epoch("us").cast(pl.Float64) / 1e6

    seconds = iso_seconds(text)
    rest = text.set(seconds.is_not_null(), None)
    if rest.null_count() == len(rest):
        return seconds

    seconds = seconds.fill_null(_usual(rest, _YEAR_FIRST, ("year", "month", "day")))
    for pattern, parts in (
        (_NAMED_DAY, ("day", "name", "year")),
        (_NAMED_MONTH, ("name", "day", "year")),
        (_CTIME, ("name", "day", "hour", "minute", "second", "zone", "year")),
    ):
        seconds = seconds.fill_null(_usual(rest, pattern, parts))

    numbered = rest.set(~rest.str.contains(_NUMBERED).fill_null(False), None)
    if numbered.null_count() < len(numbered):
        order = _day_order(table, column, numbered, form)
        if order is not None:
            seconds = seconds.fill_null(_usual(numbered, _NUMBERED, order))

    return seconds


def _day_order(
    table: Table, column: str, cells: pl.Series, form: str | None
) -> tuple[str, str, str] | None:
    """Return whether day or month comes first, None where that cannot be told and the column is
    not one of such dates anyway.

    Raises:
        FormatError: If it cannot be told.
    """
    day, month = ("day", "month", "year"), ("month", "day", "year")
    if form in ("day-first", "month-first"):
        return day if form == "day-first" else month

    parts = [cells.str.extract(_NUMBERED, place).cast(pl.Int64) for place in (1, 2)]
    first, second = (bool((part > 12).any()) for part in parts)
    dotted = bool(cells.drop_nulls().str.contains(r"^\d{1,2}\.\d{1,2}\.\d").all())
    if first != second:
        return day if first else month
    if dotted and not first:
        return day  # dots are written between day, month and year alone
    if cells.null_count() > table.frame[column].null_count():
        return None

    row = int(cells.is_not_null().arg_true()[0])
    raise FormatError(
        f"{table.at(row)}: column {column!r}: is {cells[row]} day or month first? The other cells "
        "do not tell. Say time_format=day-first or time_format=month-first."
    )


def _usual(text: pl.Series, pattern: str, order: Sequence[str]) -> pl.Series:
    """Return dates of one pattern as seconds since the epoch, null for other text."""
    fields = [*order]
    if "hour" not in fields:
        fields += ["hour", "minute", "second", "fraction", "half", "zone"]

    parts = {name: text.str.extract(pattern, place) for place, name in enumerate(fields, 1)}
    number = {
        name: parts[name].cast(pl.Int64, strict=False)
        for name in ("year", "month", "day", "hour", "minute", "second")
        if name in parts
    }
    if "name" in parts:
        number["month"] = _month(parts["name"])

    frame = pl.DataFrame(
        {name: column for name, column in number.items()}
        | {
            "half": parts.get("half", pl.Series([None] * len(text), dtype=pl.String)),
            "zone": parts["zone"],
            "fraction": parts.get("fraction", pl.Series([None] * len(text), dtype=pl.String)),
        }
    )
    afternoon = pl.col("half").str.to_lowercase()
    hour = (
        pl.when(afternoon == "p")
        .then(pl.col("hour") % 12 + 12)
        .when(afternoon == "a")
        .then(pl.col("hour") % 12)
        .otherwise(pl.col("hour").fill_null(0))
    )
    known = (
        pl.col("month").is_between(1, 12)
        & pl.col("day").is_between(1, 31)
        & hour.is_between(0, 23)
        & pl.col("minute").fill_null(0).is_between(0, 59)
        & pl.col("second").fill_null(0).is_between(0, 59)
    )
    stamp = pl.format(
        "{}-{}-{}T{}:{}:{}+00:00",
        pl.col("year").cast(pl.String).str.zfill(4),
        *(
            part.cast(pl.String).str.zfill(2)
            for part in (
                pl.col("month"),
                pl.col("day"),
                hour,
                pl.col("minute").fill_null(0),
                pl.col("second").fill_null(0),
            )
        ),
    )
    seconds = frame.select(pl.when(known).then(stamp)).to_series()
    moments = seconds.str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%z", time_unit="us", time_zone="UTC", strict=False
    )
    shift = _offset(frame["zone"])
    fraction = ("0." + frame["fraction"]).cast(pl.Float64, strict=False).fill_null(0.0)
    return moments.dt.epoch("us").cast(pl.Float64) / 1e6 - shift + fraction


def _month(names: pl.Series) -> pl.Series:
    lower = names.str.to_lowercase()
    months = {start: number for number, starts in enumerate(_MONTHS, 1) for start in starts}
    found = lower.str.slice(0, 4).replace_strict(months, default=None, return_dtype=pl.Int64)
    return found.fill_null(
        lower.str.slice(0, 3).replace_strict(months, default=None, return_dtype=pl.Int64)
    )


def _offset(zones: pl.Series) -> pl.Series:
    """Return offsets from UTC in seconds."""
    sign = zones.str.starts_with("-").cast(pl.Int64).fill_null(0) * -2 + 1
    hours = zones.str.extract(r"[+-](\d\d)").cast(pl.Int64).fill_null(0)
    minutes = zones.str.extract(r"[+-]\d\d:?(\d\d)").cast(pl.Int64).fill_null(0)
    return (sign * (hours * 3600 + minutes * 60)).cast(pl.Float64)


def iso_seconds(cells: pl.Series) -> pl.Series:
    """Return ISO 8601 dates and date-times as seconds since the epoch, null where a cell is
    neither.
    """
    text = cells.str.replace(r"^(\d{4}-\d\d-\d\d)$", "${1}T00:00:00").str.replace(
        r"^(\d{4}-\d\d-\d\d) ", "${1}T"
    )
    text = text.str.replace(r" (UTC|GMT)$", "Z")
    text = text.str.replace(r"T(\d\d:\d\d)(Z|[+-]\d\d:?\d\d)?$", "T${1}:00${2}").str.replace(
        r"Z$", "+00:00"
    )
    text = pl.select(
        pl.when(text.str.contains(r"T.*[+-]\d\d:?\d\d$")).then(text).otherwise(text + "+00:00")
    ).to_series()
    moments = text.str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", time_zone="UTC", strict=False
    )
    return moments.dt.epoch("us").cast(pl.Float64) / 1e6
