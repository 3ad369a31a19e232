"""Times: one unit a column, exact, dates in the usual forms."""

from datetime import UTC, datetime

import polars as pl
import pytest

from kgrec import read_interactions
from kgrec.errors import ConfigError, FormatError


def times(cells, **settings):
    frame = pl.DataFrame({"user_id": "u", "item_id": range(len(cells)), "timestamp": cells})
    return read_interactions(frame, **settings).frame["time"]


def seconds(*parts):
    return datetime(*parts, tzinfo=UTC).timestamp()


def test_nanoseconds_keep_their_order():
    start = 1_700_000_000_000_000_000
    found = times([start + n for n in (3, 1, 2)])
    assert found.dtype == pl.Int64
    assert found.to_list() == [start + 3, start + 1, start + 2]
    assert times([str(start + 1), str(start)]).to_list() == [start + 1, start]
    assert times([5, 3]).dtype == pl.Float64


def test_times_from_a_file_stay_exact(tmp_path):
    path = tmp_path / "a.csv"
    start = 1_700_000_000_000_000_000
    path.write_text("user_id,item_id,timestamp\n" + "".join(f"u,{n},{start + n}\n" for n in (1, 0)))
    assert read_interactions(path).frame["time"].to_list() == [start + 1, start]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            ["1700000000", "1700000001", "1700000002000"],
            r"2 in seconds \(first 1700000000, the frame:1\), 1 in milliseconds "
            r"\(first 1700000002000, the frame:3\)",
        ),
        (["2024-01-05", "1700000002000"], "1 in milliseconds .*, 1 dates"),
        (["2024-01-05", "12"], "1 dates .*, 1 numbers too small"),
        (["20240105", "1700000002"], "1 in seconds .*, 1 days written as numbers"),
        ([1_700_000_000, 1_700_000_000_000_000], "1 in seconds .*, 1 in microseconds"),
    ],
)
def test_several_units_are_refused(cells, message):
    with pytest.raises(FormatError, match=f"times of several units: .*{message}"):
        times(cells)


def test_dates_beside_seconds_are_moments_and_told():
    frame = pl.DataFrame(
        {"user": "u", "item": ["a", "b"], "time": ["1700000000", "2024-01-01T00:00:00Z"]}
    )
    log = read_interactions(frame)
    assert log.frame["time"].to_list() == [1_700_000_000, seconds(2024, 1, 1)]
    assert any("'time' are dates, others seconds since 1970" in note for note in log.notes)
    assert not read_interactions(frame[:1]).notes


def test_units_can_be_converted():
    cells = ["1700000000", "1700000000500", "2023-11-14T22:13:21Z"]
    assert times(cells, time_format="epoch").to_list() == [1.7e9, 1.7e9 + 0.5, 1.7e9 + 1]
    assert times([1_700_000_000_500], time_format="ms").to_list() == [1.7e9 + 0.5]
    with pytest.raises(ConfigError, match="time_format: 'hours' is unknown"):
        times([1], time_format="hours")


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("31.01.2024", (2024, 1, 31)),
        ("5.1.2024 13:45", (2024, 1, 5, 13, 45)),
        ("31/01/2024 7:05:09", (2024, 1, 31, 7, 5, 9)),
        ("01/31/2024", (2024, 1, 31)),
        ("1/31/2024 1:05 PM", (2024, 1, 31, 13, 5)),
        ("12/31/2024 12:05 AM", (2024, 12, 31, 0, 5)),
        ("2024/01/05", (2024, 1, 5)),
        ("2024/1/5 13:45:10", (2024, 1, 5, 13, 45, 10)),
        ("Jan 5, 2024", (2024, 1, 5)),
        ("5 January 2024", (2024, 1, 5)),
        ("05-Jan-2024", (2024, 1, 5)),
        ("5. März 2024", (2024, 3, 5)),
        ("Mon Jan 05 13:45:00 +0000 2024", (2024, 1, 5, 13, 45)),
        ("Fri, 05 Jan 2024 15:45:00 +0200", (2024, 1, 5, 13, 45)),
        ("2024-01-05 13:45:00 UTC", (2024, 1, 5, 13, 45)),
    ],
)
def test_dates_in_the_usual_forms(cell, moment):
    assert times([cell]).to_list() == [seconds(*moment)]


def test_day_or_month_is_asked_where_no_cell_tells():
    with pytest.raises(FormatError, match=r"is 05/01/2024 day or month first\?"):
        times(["05/01/2024", "06/02/2024"])
    assert times(["05/01/2024", "06/02/2024"], time_format="day-first")[0] == seconds(2024, 1, 5)
    assert times(["05/01/2024"], time_format="month-first")[0] == seconds(2024, 5, 1)
    assert times(["05/01/2024", "13/02/2024"])[0] == seconds(2024, 1, 5)
    assert times(["05.01.24"], time_format="%d.%m.%y")[0] == seconds(2024, 1, 5)


def test_a_column_called_a_date_that_holds_none_is_no_time():
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "visit_date": ["Monday"]})
    assert read_interactions(frame).frame.columns == ["user", "item"]
