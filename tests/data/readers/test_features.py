import numpy as np
import polars as pl
import pytest

from kgrec.data.readers.features import read_features
from kgrec.data.readers.items import read_items
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import ConfigError, DataError, FormatError

ITEMS = Vocabulary(["a", "b", "c"], kind="item")


def test_a_table_with_ids(tmp_path):
    (tmp_path / "f.csv").write_text("item_id,x,y\nc,5,6\na,1,2\nzz,0,0\nb,3,4\n")
    values, name, unknown = read_features(tmp_path / "f.csv", ITEMS, None)
    assert (values.tolist(), values.dtype, unknown) == ([[1, 2], [3, 4], [5, 6]], np.float32, 1)
    assert name.endswith("f.csv")
    frame = pl.DataFrame({"x": [1.5, 2.5, 3.5], "code": ["a", "b", "c"]})
    frame.write_parquet(tmp_path / "f.parquet")
    for source in (frame, str(tmp_path / "f.parquet")):
        assert read_features(source, ITEMS, None, item="code")[0].tolist() == [[1.5], [2.5], [3.5]]


def test_an_array_in_the_order_of_the_items_table(tmp_path):
    table = read_items(pl.DataFrame({"item_id": ["c", "b", "a"], "title": ["C", "B", "A"]}))
    np.save(tmp_path / "f.npy", np.array([[3.0], [2.0], [1.0]]))
    for source in (str(tmp_path / "f.npy"), np.array([[3], [2], [1]])):
        assert read_features(source, ITEMS, table)[0].tolist() == [[1], [2], [3]]
    with pytest.raises(ConfigError, match="an array has no item ids"):
        read_features(tmp_path / "f.npy", ITEMS, None)
    with pytest.raises(FormatError, match="2 rows, but the frame has 3 items"):
        read_features(np.zeros((2, 4)), ITEMS, table)
    with pytest.raises(FormatError, match="row 2: a number that is not finite"):
        read_features(np.array([[0.0], [np.inf], [0.0]]), ITEMS, table)
    with pytest.raises(FormatError, match="two dimensions"):
        read_features(np.zeros(3), ITEMS, table)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            "item_id,x\na,1\n",
            DataError,
            r"f\.csv: 2 of 3 items have no row: 'b', 'c'\. Give every item a row\.",
        ),
        ("item_id,x\na,1\nb,1\nc,1\na,2\n", DataError, r"item 'a' has more than one row"),
        (
            "item_id,x\na,1\nb,inf\nc,1\n",
            FormatError,
            r"f\.csv:3: column 'x' holds 'inf', not a number",
        ),
        ("item_id,x\na,1\nb,\nc,1\n", FormatError, r"f\.csv:3: column 'x' holds '', not a number"),
        (
            "item_id,x\na,1\nb,red\nc,1\n",
            FormatError,
            r"f\.csv:3: column 'x' holds 'red', not a number",
        ),
        ("item_id,x\na,1\nb,1e39\nc,1\n", FormatError, r"f\.csv:3: a number that is not finite"),
        ("item_id\na\n", FormatError, "one column"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, error, message):
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(error, match=message) as caught:
        read_features(tmp_path / "f.csv", ITEMS, None)
    assert "\n" not in str(caught.value)
