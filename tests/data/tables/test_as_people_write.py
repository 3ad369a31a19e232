"""Cells, columns and files as people have them: read for what they are, or told."""

import json

import polars as pl
import pytest

from kgrec import Dataset
from kgrec.data.readers.interactions import read_interactions
from kgrec.data.tables.column_kinds import as_number, guess
from kgrec.data.tables.delimited import has_decimal_commas, read_table
from kgrec.data.tables.id_forms import difference
from kgrec.errors import ConfigError, DataError, FormatError


def used(items):
    """A log in which two users used every item."""
    pairs = [(user, item) for user in "uv" for item in items]
    return pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["10-20", "from 5", "up to 8 €", "7.50 - 8.50"], [15, 5, 8, 8]),
        (
            ["10 \u2013 20 €", "12,50 €", "ab 5,50 €", "1.000,00 - 2.000,00 €"],
            [15, 12.5, 5.5, 1500],
        ),
        (["$10 to $20", "$5+", "<$3", ">= $7"], [15, 5, 3, 7]),
        (["£10...£20", "£7", "£9"], [15, 7, 9]),
        (["10 bis 20 EUR", "von 5 bis 6 EUR", "EUR 3"], [15, 5.5, 3]),
        (["€ 10,- bis € 20,-", "€ 5,-", "ab 7,- €"], [15, 5, 7]),
        (["9.99", "19.99-29.99", "4.99"], [9.99, 24.99, 4.99]),
        (["5-7 kg", "5 kg", "6 kg", "9 kg"], [6, 5, 6, 9]),
        (["20-10 €", "5 €"], [None, 5]),  # no range: the larger end comes first
        (["12-34", "13-88", "15-17"], [None, None, None]),  # codes
        (["555-1234", "555-9876"], [None, None]),
        (["1.5", "-3", "+4"], [1.5, -3, 4]),
        (["10-20-30", "5", "6", "7"], [None, 5, 6, 7]),
        (["from", "5 €"], [None, 5]),
    ],
)
def test_ranges_of_prices_count_as_their_middle(cells, numbers):
    assert as_number(pl.Series(cells)).to_list() == numbers


def test_ranges_are_told(tmp_path):
    prices = ["10-20 €", "5 €", "ab 7 €", "9 €", "4 €", "3 €", "2 €", "1 €"]
    items = pl.DataFrame({"item_id": list("abcdefgh"), "price": prices})
    data = Dataset.build(used("abcdefgh"), items=items, item_attributes=True)
    (price,) = (column for column in data.report.columns if column.column == "price")
    assert (price.kind, "2 ranges count as their middle" in price.note) == ("number", True)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["Home / Kitchen / Pans", "Home / Kitchen", "Home / Garden", "Toys / Cars"], "path"),
        (["Shoes / Running", "Shoes / City", "Hats"], "path"),
        (["Action / Drama", "Drama / Action", "Action / Comedy", "Comedy / Drama"], "category"),
        (["AC / DC", "Ike / Tina", "Simon / Garfunkel"], "category"),
        (["Home/Kitchen", "Home/Garden", "Toys/Cars"], "category"),
        (["1 / 2", "3 / 4", "5 / 6"], "category"),
    ],
)
def test_slashes_between_blanks_divide_the_levels_of_a_path(cells, kind):
    assert guess("category", pl.Series(cells * 8), 8 * len(cells)).kind == kind


def test_levels_of_slashes_are_joined_to_those_above(tmp_path):
    paths = ["Home / Kitchen / Pans", "Home / Kitchen", "Home / Garden", "Toys / Cars"]
    items = pl.DataFrame({"item_id": list("abcdefgh"), "category": paths * 2})
    data = Dataset.build(used("abcdefgh"), items=items, item_attributes=True)
    triples = data.triples
    named = {
        (triples.entities.key(head), triples.entities.key(tail))
        for head, tail in zip(triples.head, triples.tail, strict=True)
    }
    above = {(head.split("=")[-1], tail.split("=")[-1]) for head, tail in named}
    assert ("Home / Kitchen / Pans", "Home / Kitchen") in above
    assert ("Home / Kitchen", "Home") in above


ROWS = {"user_id": ["a", "b", "a"], "item_id": ["1", "2", "3"], "rating": [1.5, 2.0, None]}
AS_JSON = {
    "columns": ROWS,
    "pandas' columns": {n: dict(zip("012", v, strict=True)) for n, v in ROWS.items()},
    "split": {
        "columns": list(ROWS),
        "index": [0, 1, 2],
        "data": [list(row) for row in zip(*ROWS.values(), strict=True)],
    },
    "table": {
        "schema": {"fields": []},
        "data": [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)],
    },
    "an array": [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)],
}


@pytest.mark.parametrize("form", AS_JSON)
@pytest.mark.parametrize("indent", [None, 2])
def test_tables_in_json_are_one_table(tmp_path, form, indent):
    path = tmp_path / "log.json"
    path.write_text(json.dumps(AS_JSON[form], indent=indent))
    frame = read_table(path).frame
    assert frame.to_dict(as_series=False) == ROWS


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"a": [1, 2], "b": [1]}, "columns of different lengths \\('a' 2, 'b' 1\\)"),
        ({"columns": ["a", "b"], "data": [[1, 2], [3]]}, "not rows of 2 cells"),
        ({"index": [0], "data": [[1, 2]]}, "not rows of 0 cells"),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path, found, words):
    path = tmp_path / "log.json"
    path.write_text(json.dumps(found))
    with pytest.raises(FormatError, match=words):
        read_table(path)


def test_one_object_with_a_list_is_still_one_row(tmp_path):
    path = tmp_path / "item.jsonl"
    path.write_text('{"tags": ["x", "y"]}\n{"tags": ["z"]}\n')
    assert read_table(path).frame.height == 2
    path.write_text('{"tags": ["x", "y"], "item": "a"}\n')
    assert read_table(path).frame.height == 1


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["0,5", "12,125", "3"], True),
        (["-1,25", "4"], True),
        (["0,125", "0,250"], True),
        (["1,000", "2,500"], False),  # thousands, or not: nobody knows
        (["0,5", "1.5"], False),
        (["1,2,3"], False),
        (["a,5"], False),
        (["3", "4"], False),
    ],
)
def test_decimal_commas_are_taken_beyond_doubt(cells, found):
    assert has_decimal_commas(pl.Series(cells)) == found


def test_weights_with_decimal_commas_are_numbers_and_told(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user_id;item_id;w;rating\na;1;0,5;4,5\nb;2;1,25;3\nc;3;2;1,0\n")
    log = read_interactions(path, weight="w", separator=";")
    assert log.frame["weight"].to_list() == [0.5, 1.25, 2]
    assert log.frame["rating"].to_list() == [4.5, 3, 1]
    assert any("commas in 'w' are decimal commas" in note for note in log.notes)
    path.write_text("user_id;item_id;w\na;1;1,500\nb;2;2,000\n")
    with pytest.raises(FormatError, match="'1,500', not a number"):
        read_interactions(path, weight="w", separator=";")


def test_days_of_a_spreadsheet_are_told_and_read_where_it_is_said(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id,timestamp\na,1,45292\nb,2,45292.5\nc,3,45293\n")
    log = read_interactions(path)
    assert log.frame["time"].to_list() == [45292, 45292.5, 45293]
    assert any("45292 would be 2024-01-01" in note for note in log.notes)
    log = read_interactions(path, time_format="excel")
    assert log.frame["time"].to_list() == [1704067200, 1704110400, 1704153600]
    assert not any("spreadsheet" in note for note in log.notes)


@pytest.mark.parametrize("times", ["1,2,3", "0,30000,40000", "90000,90001,90002", "1e9,2e9,1.5e9"])
def test_other_numbers_are_no_days_of_a_spreadsheet(tmp_path, times):
    path = tmp_path / "log.csv"
    rows = [f"u{n},{n},{time}\n" for n, time in enumerate(times.split(","))]
    path.write_text("user_id,item_id,timestamp\n" + "".join(rows))
    assert not any("spreadsheet" in note for note in read_interactions(path).notes)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("978-3-16-148410-0", "9783161484100"),
        ("978 3 16 148410 0", "978-3-16-148410-0"),
        ("0-306-40615-x", "030640615X"),
        ("2049-3630", "20493630"),
        ("4006381-333931", "4006381333931"),
    ],
)
def test_numbers_of_books_that_differ_by_hyphens_are_told_and_never_merged(one, other):
    data = Dataset.build(used([one, other, "a-b", "ab", *"cdefg"]))
    assert data.num_items == 9
    (told,) = (w.what for w in data.report.warnings if "look like another one" in w.what)
    assert told.startswith("2 item ids")
    assert one in told
    assert other in told


def test_hyphens_between_files_are_told():
    said = difference(pl.Series(["978-3-16-148410-0", "x"]), pl.Series(["9783161484100", "y"]))
    assert said.startswith("1 differs by hyphens or blanks within")


EVENTS = pl.DataFrame(
    {
        "user_id": ["u", "v", "w"] * 6,
        "item_id": [str(n % 7) for n in range(18)],
        "type": ["View", "view", "add-to-cart", "PURCHASE", "view", "view"] * 3,
    }
)


def test_event_types_in_another_case_take_the_weight_and_are_told():
    weights = {"view": 1, "add_to_cart": 3, "Purchase": 5}
    data = Dataset.build(EVENTS, event="type", weights=weights)
    told = [w.what for w in data.report.warnings if w.what.startswith("Event type")]
    assert sorted(what.split("'")[1] for what in told) == ["PURCHASE", "View", "add-to-cart"]
    assert set(data.settings["events"]) == {"View", "view", "add-to-cart", "PURCHASE"}
    assert data.report.counts["events View (weight 1)"] == 3
    assert data.report.counts["events add-to-cart (weight 3)"] == 3


def test_types_that_are_named_apart_keep_their_own_weights():
    weights = {"view": 1, "View": 2, "add-to-cart": 3, "PURCHASE": 5}
    data = Dataset.build(EVENTS, event="type", weights=weights)
    assert data.report.counts["events View (weight 2)"] == 3
    assert not [w for w in data.report.warnings if w.what.startswith("Event type")]


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ({"view": 1, "VIEW": 2, "add-to-cart": 3, "PURCHASE": 5}, ConfigError),  # which is View?
        ({"view": 1, "cart": 3, "purchase": 5}, ConfigError),
        ({"view": 1, "purchase": 5}, DataError),
    ],
)
def test_types_that_fit_nothing_or_several_are_refused(weights, error):
    with pytest.raises(error):
        Dataset.build(EVENTS, event="type", weights=weights)
