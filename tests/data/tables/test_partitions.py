"""Folders, patterns, JSON arrays, frames of other libraries: the rows of the file."""

import json

import polars as pl
import pytest

import kgrec
from kgrec.data.tables.delimited import read_table
from kgrec.errors import FormatError, MissingFileError

ROWS = pl.DataFrame(
    {
        "user_id": [f"u{n % 4}" for n in range(24)],
        "item_id": [f"{n % 5:03}" for n in range(24)],
        "timestamp": [1_700_000_000 + n for n in range(24)],
    }
)


def same(source):
    found = kgrec.read_interactions(source).frame.sort("time")
    assert found.equals(kgrec.read_interactions(ROWS).frame)


def test_folders_and_patterns_of_parquet(tmp_path):
    parts = tmp_path / "parts"
    for shop in ("007", "8"):
        (parts / f"shop={shop}").mkdir(parents=True)
    for number in range(4):
        ROWS[number * 6 : number * 6 + 6].write_parquet(
            parts / f"shop={'007' if number < 2 else '8'}" / f"part-{number}.parquet"
        )
    (parts / "_SUCCESS").write_text("")
    (parts / ".crc").write_text("x")
    (parts / "notes.csv").write_text("a,b\n")
    same(parts)
    same(str(parts / "**" / "*.parquet"))
    assert read_table(parts).frame["shop"].unique().sort().to_list() == ["007", "8"]
    one = kgrec.read_interactions(str(parts / "shop=007" / "*"))
    assert one.frame.height == 12


def test_folders_of_text(tmp_path):
    for number in range(3):
        ROWS[number * 8 : number * 8 + 8].write_csv(tmp_path / f"clicks-{number}.csv")
    same(tmp_path)
    same(str(tmp_path / "clicks-*.csv"))
    (tmp_path / "more.tsv").write_text("a\tb\n")
    with pytest.raises(FormatError, match=r"files of several kinds \(csv, tsv\)"):
        kgrec.read_interactions(tmp_path)


def test_two_schemas_are_refused(tmp_path):
    ROWS.write_parquet(tmp_path / "a.parquet")
    ROWS.rename({"item_id": "sku"}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(FormatError, match=r"two schemas: b\.parquet and a\.parquet .*'item_id'"):
        kgrec.read_interactions(tmp_path)
    ROWS.cast({"item_id": pl.Int64}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(FormatError, match=r"column 'item_id' is Int64 in b\.parquet and String in"):
        kgrec.read_interactions(tmp_path)
    ROWS.cast({"timestamp": pl.Int32}).write_parquet(tmp_path / "b.parquet")
    assert kgrec.read_interactions(tmp_path).frame.height == 48
    with pytest.raises(MissingFileError, match="no table there"):
        kgrec.read_interactions(str(tmp_path / "*.json"))


@pytest.mark.parametrize("name", ["rows.json", "rows.csv", "rows"])
def test_json_arrays_are_known_by_their_beginning(tmp_path, name):
    (tmp_path / name).write_text(json.dumps(ROWS.to_dicts(), indent=1))
    same(tmp_path / name)


def test_json_that_is_no_array_of_objects(tmp_path):
    path = tmp_path / "a.json"
    for text, message in (
        ('[{"user_id": 1', "not a JSON array"),
        ("[1, 2]", "not a JSON object"),
        ("[]", "an empty array"),
    ):
        path.write_text(text)
        with pytest.raises(FormatError, match=message):
            kgrec.read_interactions(path)


def test_parquet_by_its_first_bytes(tmp_path):
    ROWS.write_parquet(tmp_path / "rows.bin")
    same(tmp_path / "rows.bin")


def test_frames_and_dicts():
    same(ROWS.lazy())
    same(ROWS.to_dicts())
    same(ROWS.to_dict(as_series=False))

    class Arrow:
        """What has Arrow's stream, as tables of pyarrow and DuckDB do."""

        def __arrow_c_stream__(self, requested_schema=None):
            return ROWS.__arrow_c_stream__(requested_schema)

    same(Arrow())
    with pytest.raises(FormatError, match="expected a path or a polars or pandas frame, got int"):
        kgrec.read_interactions(7)
    with pytest.raises(FormatError, match="list: not a table"):
        kgrec.read_interactions([1, 2])


def test_triples_items_and_links_from_all_of_them(tmp_path):
    triples = pl.DataFrame({"head": ["a", "b"], "relation": ["r", "r"], "tail": ["c", "c"]})
    (tmp_path / "kg").mkdir()
    for number in range(2):
        triples[number : number + 1].write_parquet(tmp_path / "kg" / f"{number}.parquet")
    assert len(kgrec.read_triples(tmp_path / "kg")) == 2
    assert len(kgrec.read_triples(str(tmp_path / "kg" / "*.parquet"))) == 2
    assert len(kgrec.read_triples(triples.lazy())) == 2
    items = [{"item_id": f"{n:03}", "genre": f"g{n % 2}"} for n in range(5)]
    data = kgrec.Dataset.build(ROWS, items=items, item_attributes=True)
    assert len(data.triples) == 5
