import polars as pl
import pytest

from kgrec.data.readers.items import read_items, text_columns, texts, titles
from kgrec.errors import FormatError


def test_titles_are_found_by_name():
    for column in ("title", "name", "movie_title", "Game_Name"):
        items = read_items(
            pl.DataFrame(
                {"item_id": ["1", "2", "1"], "year": ["9", "9", "9"], column: ["A", " ", "B"]}
            )
        )
        assert titles(items).rows() == [("1", "A"), ("2", None)]
        assert text_columns(items, None) == (column,)


def test_without_titles_labels_are_null():
    items = read_items(pl.DataFrame({"film": ["1"], "year": ["1999"]}))
    assert titles(items).rows() == [("1", None)]
    assert text_columns(items, None) == ()


def test_the_id_column_can_be_named():
    table = pl.DataFrame({"item_id": ["x"], "code": ["7"], "title": ["T"]})
    assert titles(read_items(table, item="code")).rows() == [("7", "T")]
    with pytest.raises(FormatError, match=r"no column 'cod'\. Nearest: code"):
        read_items(table, item="cod")
    with pytest.raises(FormatError, match="one column"):
        read_items(pl.DataFrame({"item_id": ["x"]}))


def test_texts_of_several_columns():
    items = read_items(
        pl.DataFrame({"id": ["1", "2"], "title": ["A", None], "plot": ["  ", "long"]})
    )
    assert text_columns(items, "plot") == ("plot",)
    assert texts(items, text_columns(items, ["title", "plot"])).rows() == [
        ("1", ["A", None]),
        ("2", [None, "long"]),
    ]
    with pytest.raises(FormatError, match=r"no column 'plott'\. Nearest: plot"):
        text_columns(items, "plott")
