import numpy as np
import polars as pl
import pytest

from kgrec.data.readers.interactions import read_interactions, read_item_lists, read_part
from kgrec.errors import ConfigError, FormatError


def written(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_columns_by_name_by_custom_and_by_place(tmp_path):
    named = written(tmp_path, "a.csv", "stars,who,what,when\n5,u,i,10\n1,v,j,20\n")
    log = read_interactions(
        named, user="who", item="what", time="when", rating="stars", min_rating=2
    )
    assert log.frame.rows(named=True) == [{"user": "u", "item": "i", "time": 10.0, "rating": 5.0}]
    assert [(d.what, d.why, d.count) for d in log.dropped] == [
        ("interactions", "rating below 2", 1)
    ]
    known = read_interactions(written(tmp_path, "b.csv", "timestamp,item_id,user_id\n1,i,u\n"))
    assert known.frame.rows(named=True) == [{"user": "u", "item": "i", "time": 1.0}]
    bare = read_interactions(written(tmp_path, "c.tsv", "u\ti\nv\tj\n"))
    assert bare.frame.rows() == [("u", "i"), ("v", "j")]


def test_recbole(tmp_path):
    log = read_interactions(
        written(
            tmp_path,
            "a.inter",
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n01\t2\t3\t4\n",
        )
    )
    assert log.frame.rows(named=True) == [{"user": "01", "item": "2", "time": 4.0, "rating": 3.0}]


def test_one_known_column_and_one_by_place(tmp_path):
    assert read_interactions(
        written(tmp_path, "a.csv", "item_iri,person\nx,anna\n")
    ).frame.rows() == [("anna", "x")]


@pytest.mark.parametrize(
    ("text", "settings", "error", "message"),
    [
        (
            "user_id,item_id\nu,i\n",
            {"user": "usr_id"},
            FormatError,
            r"no column 'usr_id'\. Nearest: user_id",
        ),
        (
            "user_id,item_id,rating\nu,i,5\nu,j,good\n",
            {},
            FormatError,
            r"a\.csv:3: column 'rating' holds 'good', not a number",
        ),
        (
            "user_id,item_id,timestamp\nu,i,inf\n",
            {},
            FormatError,
            r"a\.csv:2: column 'timestamp' holds 'inf'",
        ),
        ("user_id,item_id\nu,i\nv\n", {}, FormatError, r"a\.csv:3: expected 2 columns, found 1"),
        ("user_id,item_id\n,i\n", {}, FormatError, r"a\.csv:2: column 'user_id' is empty"),
        ("user_id,item_id\n", {}, FormatError, "a header and no rows"),
        ("user_id\nu\n", {}, FormatError, "one column, expected a user and an item column"),
        ("user_id,item_id\nu,i\n", {"min_rating": 3.0}, ConfigError, "there is no rating column"),
        (
            "user_id,item_id\nu,i\n",
            {"user": "item_id", "item": "item_id"},
            ConfigError,
            "both column 'item_id'",
        ),
    ],
)
def test_bad_input(tmp_path, text, settings, error, message):
    with pytest.raises(error, match=message):
        read_interactions(written(tmp_path, "a.csv", text), **settings)


def test_bad_rows_can_be_skipped_and_are_counted(tmp_path):
    path = written(tmp_path, "a.csv", "user_id,item_id,rating\nu,i,5\nu,j,good\nv\n")
    log = read_interactions(path, on_error="skip")
    assert log.frame.rows() == [("u", "i", 5.0)]
    assert [d.count for d in log.dropped] == [1, 1]


def test_a_part_takes_names_only_where_they_are(tmp_path):
    path = written(tmp_path, "train.tsv", "user_id\titem_iri\nu\ti\n")
    assert read_part(path, user="who", item="item_iri").frame.rows() == [("u", "i")]


def test_frames_keep_whole_number_ids_as_text():
    log = read_interactions(
        pl.DataFrame({"user_id": [7], "item_id": [8], "rating": [np.float32(2)]})
    )
    assert log.frame.rows(named=True) == [{"user": "7", "item": "8", "rating": 2.0}]


def test_item_lists(tmp_path):
    log = read_item_lists(written(tmp_path, "train.txt", "0 5 6 \n1\n\n2 5\n"))
    assert log.frame.rows() == [("0", "5"), ("0", "6"), ("2", "5")]
    assert [(d.what, d.count) for d in log.dropped] == [("users", 1)]
    with pytest.raises(FormatError, match="no line names an item"):
        read_item_lists(written(tmp_path, "b.txt", "1\n2\n"))


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("1970-01-02", 86400.0),
        ("1970-01-01T00:01", 60.0),
        ("1970-01-01 00:01:30", 90.0),
        ("1970-01-01T00:01:30.25", 90.25),
        ("1970-01-01T00:01:30Z", 90.0),
        ("1970-01-01T02:01:30+02:00", 90.0),
        ("1970-01-01T02:01:30.5+0200", 90.5),
        ("1969-12-31T23:59Z", -60.0),
        ("90", 90.0),
    ],
)
def test_times_may_be_iso_8601(tmp_path, cell, seconds):
    log = read_interactions(written(tmp_path, "a.csv", f"user_id,item_id,timestamp\nu,i,{cell}\n"))
    assert log.frame["time"].to_list() == [seconds]


@pytest.mark.parametrize("cell", ["02/01/1970", "1970-13-01", "1970-01-01T25:00", "soon", ""])
def test_other_dates_are_refused_with_their_place(tmp_path, cell):
    with pytest.raises(FormatError, match=r"a\.csv:3: .* not a number or an ISO 8601 date"):
        read_interactions(
            written(tmp_path, "a.csv", f"user_id,item_id,timestamp\nu,j,1970-01-02\nu,i,{cell}\n")
        )


def test_rows_with_an_empty_id_can_be_skipped(tmp_path):
    log = read_interactions(
        written(tmp_path, "a.csv", "user_id,item_id\nu,i\n,i\nu,\nv,j\n"), on_error="skip"
    )
    assert log.frame.rows() == [("u", "i"), ("v", "j")]
    assert [d.count for d in log.dropped] == [2]
