import polars as pl
import pytest

from kgrec.data.titles import read_titles
from kgrec.errors import FormatError


def test_titles_are_found_by_name():
    for column in ("title", "name", "movie_title", "Game_Name"):
        frame, _, unused = read_titles(pl.DataFrame({"item_id": ["1", "2", "1"], "year": ["9", "9", "9"], column: ["A", " ", "B"]}))
        assert frame.rows() == [("1", "A"), ("2", None)]
        assert unused == ("year",)


def test_without_titles_labels_are_null():
    frame, _, unused = read_titles(pl.DataFrame({"film": ["1"], "year": ["1999"]}))
    assert frame.rows() == [("1", None)]
    assert unused == ("year",)


def test_the_id_column_can_be_named():
    table = pl.DataFrame({"item_id": ["x"], "code": ["7"], "title": ["T"]})
    assert read_titles(table, item="code")[0].rows() == [("7", "T")]
    with pytest.raises(FormatError, match=r"no column 'cod'\. Nearest: code"):
        read_titles(table, item="cod")
    with pytest.raises(FormatError, match="one column"):
        read_titles(pl.DataFrame({"item_id": ["x"]}))
