"""Folders of Parquet parts that other engines write: read as they are, refused where they are not."""

import json
import pickle

import polars as pl
import pytest

import kgrec
from kgrec.data.formats.lake import check_lake, write_manifest
from kgrec.errors import FormatError

PART = "interactions/day=1/part-0.snappy.parquet"
LOG = pl.DataFrame(
    {
        "user": [f"u{n % 7}" for n in range(42)],
        "item": [n * 5 % 11 for n in range(42)],
        "time": [1_700_000_000 + n for n in range(42)],
    }
)
TRIPLES = pl.DataFrame(
    {
        "head": [f"http://x.org/{n}" for n in range(11)],
        "relation": ["http://x.org/genre"] * 11,
        "tail": [f"http://x.org/g{n % 3}" for n in range(11)],
    }
)
LINKS = pl.DataFrame({"item": list(range(11)), "entity": [f"http://x.org/{n}" for n in range(11)]})
LABELS = pl.DataFrame(
    {
        "entity": ["http://x.org/g0", "http://x.org/g0", "http://x.org/g1"],
        "label": ["Krimi", "crime", "drama"],
        "lang": ["de", "en", None],
    }
)


@pytest.fixture
def lake(tmp_path):
    """A folder as the contract has it."""
    folder = tmp_path / "lake"
    for name in ("interactions", "triples"):
        (folder / name).mkdir(parents=True)
    for day in (1, 2):
        (folder / f"interactions/day={day}").mkdir()
    LOG.head(20).write_parquet(folder / PART, compression="snappy")
    LOG.tail(22).cast({"item": pl.Int32}).write_parquet(folder / "interactions/day=2/b.parquet")
    TRIPLES.write_parquet(folder / "triples/all.parquet")
    LINKS.write_parquet(folder / "links.parquet")
    LABELS.write_parquet(folder / "labels.parquet")
    (folder / "_SUCCESS").touch()
    return folder


def test_a_folder_becomes_the_dataset_of_its_tables(lake):
    data = kgrec.load(lake, split="temporal")
    assert (data.num_users, data.num_items, len(data.triples)) == (7, 11, 11)
    assert (
        len(data.train) + len(data.valid) + len(data.test) == LOG.select("user", "item").n_unique()
    )
    assert data.items.series.to_list() == [str(n) for n in range(11)]
    assert data.triples.entities.key(3) == "http://x.org/3"
    label = dict(zip(data.triples.entities.series, data.triples.labels, strict=True))
    assert (label["http://x.org/g0"], label["http://x.org/g1"]) == ("crime", "drama")
    kept = data.triples.attributes.filter(pl.col("value") == "Krimi")
    assert kept["language"].to_list() == ["de"]


def test_parts_in_any_number_and_order_are_one_dataset(lake, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for start in range(0, 42, 9):
        rows = LOG.sample(fraction=1, shuffle=True, seed=1)[start : start + 9]
        (other / "interactions").mkdir(exist_ok=True)
        rows.write_parquet(other / f"interactions/z{99 - start}.parquet", compression="zstd")

    one, another = (
        kgrec.Dataset.build(str(folder / "interactions"), split="temporal")
        for folder in (lake, other)
    )
    assert one.users == another.users
    assert one.train.item.tolist() == another.train.item.tolist()


def test_what_a_writer_left_behind_is_not_read(lake):
    """As Spark leaves ``_temporary`` where a job was killed; a name may hold a pattern's signs."""
    left = TRIPLES.head(1).with_columns(relation=pl.lit("http://x.org/half"))
    for name in ("triples/_temporary/0/p.parquet", "triples/.stage/p.parquet"):
        (lake / name).parent.mkdir(parents=True)
        left.write_parquet(lake / name)
    odd = lake.rename(lake.parent / "_lake[1]")
    assert not check_lake(odd).problems
    data = kgrec.load(odd, split="temporal")
    assert (data.num_users, len(data.triples), data.num_relations) == (7, 11, 1)


def test_a_column_of_the_split_is_the_split(lake):
    part = pl.Series(["train"] * 30 + ["valid"] * 5 + ["test"] * 7)
    for path in (lake / "interactions").rglob("*.parquet"):
        path.unlink()
    LOG.with_columns(split=part).write_parquet(lake / "interactions/a.parquet")
    data = kgrec.load(lake)
    assert data.settings["split"] == "given"
    assert len(data.train) == LOG.head(30).select("user", "item").n_unique()


def test_a_sound_folder_passes_and_says_what_it_holds(lake):
    report = check_lake(lake)
    assert report.problems == ()
    assert report.rows == {"interactions": 42, "triples": 11, "links": 11, "labels": 3}
    assert report.files["interactions"] == 2
    write_manifest(lake)
    assert check_lake(lake).manifest
    assert check_lake(lake).problems == ()


def change(path, **columns):
    frame = pl.read_parquet(path, hive_partitioning=False)
    frame.with_columns(**columns).write_parquet(path)


def cut(lake, share):
    path = lake / "triples/all.parquet"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


FAULTS = {
    "cut short": (lambda lake: cut(lake, 0.7), "all.parquet: no readable Parquet file"),
    "emptied": (lambda lake: cut(lake, 0), "all.parquet: no readable Parquet file"),
    "text in place": (
        lambda lake: (lake / "links.parquet").write_text("item,entity\n1,a\n"),
        "links.parquet: no readable Parquet file",
    ),
    "no column": (
        lambda lake: TRIPLES.drop("tail").write_parquet(lake / "triples/all.parquet"),
        "no column 'tail' \\(text\\). Found: head, relation",
    ),
    "fractions as ids": (
        lambda lake: change(lake / PART, item=pl.col("item").cast(pl.Float64)),
        "column 'item' is Float64, not text or whole numbers",
    ),
    "dates as times": (
        lambda lake: change(lake / PART, time=pl.from_epoch("time")),
        "column 'time' is Datetime",
    ),
    "lists": (
        lambda lake: change(lake / PART, item=pl.concat_list("item")),
        "column 'item' is nested",
    ),
    "structures": (
        lambda lake: change(lake / PART, user=pl.struct("user", "item")),
        "column 'user' is nested",
    ),
    "two schemas": (
        lambda lake: change(lake / PART, item=pl.col("item").cast(pl.String)),
        "two schemas",
    ),
    "a column in some parts": (
        lambda lake: change(lake / PART, weight=pl.lit(1.0)),
        "two schemas",
    ),
    "a pickle": (
        lambda lake: (lake / "vectors.pkl").write_bytes(pickle.dumps([1])),
        "vectors.pkl: a pickle or array file",
    ),
    "a pickle among the parts": (
        lambda lake: (lake / "triples/a.pickle").write_bytes(pickle.dumps([1])),
        "a.pickle: a pickle or array file",
    ),
    "CSV among the parts": (
        lambda lake: (lake / "triples/a.csv").write_text("head,relation,tail\n"),
        "a.csv: is no .parquet file",
    ),
    "another sum": (
        lambda lake: change(lake / PART, time=pl.col("time") + 1),
        "its SHA-256 is not the manifest's",
    ),
    "fewer rows": (
        lambda lake: LOG.head(19).write_parquet(lake / PART),
        "19 rows, not 20 as the manifest says",
    ),
    "a part too many": (
        lambda lake: TRIPLES.write_parquet(lake / "triples/new.parquet"),
        "does not name triples/new.parquet",
    ),
    "a part missing": (
        lambda lake: (lake / PART).unlink(),
        "names 'interactions/day=1/part-0.snappy.parquet', which is not there",
    ),
    "another manifest": (
        lambda lake: (lake / "manifest.json").write_text('{"format": "kgrec-run"}'),
        "is not the manifest of such a folder",
    ),
    "a manifest that is no JSON": (
        lambda lake: (lake / "manifest.json").write_text("rows: 7"),
        "manifest.json",
    ),
    "files that is a list": (
        lambda lake: (lake / "manifest.json").write_text(
            json.dumps({"format": "kgrec-lake", "version": 1, "files": [1]})
        ),
        "is not the manifest of such a folder",
    ),
    "no rows": (
        lambda lake: TRIPLES.clear().write_parquet(lake / "triples/all.parquet"),
        "triples: no rows",
    ),
}
CELLS = {
    "an empty id": (
        lambda lake: change(lake / PART, user=pl.lit(None, pl.String)),
        "20 empty cells",
    ),
    "an empty text": (lambda lake: change(lake / PART, user=pl.lit("")), "20 empty texts"),
    "negative ids": (
        lambda lake: change(lake / PART, item=-1 - pl.col("item")),
        "ids are negative",
    ),
    "an empty tail": (
        lambda lake: change(lake / "triples/all.parquet", tail=pl.lit(None, pl.String)),
        "column 'tail': 11 empty cells",
    ),
    "other splits": (
        lambda lake: [
            change(path, split=pl.lit("dev")) for path in (lake / "interactions").rglob("*.parquet")
        ],
        "cells are none of train, valid, test",
    ),
    "weights": (
        lambda lake: [
            change(path, weight=pl.lit(float("nan")))
            for path in (lake / "interactions").rglob("*.parquet")
        ],
        "weights are negative or no numbers",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_is_named_and_nothing_is_built(lake, name):
    do, words = FAULTS[name]
    write_manifest(lake)
    do(lake)
    with pytest.raises(FormatError, match=words):
        kgrec.load(lake)


@pytest.mark.parametrize("name", CELLS)
def test_cells_are_checked_by_check_folder(lake, name):
    do, words = CELLS[name]
    do(lake)
    assert any(words in problem for problem in check_lake(lake).problems)


def test_a_folder_without_either_table_is_none(tmp_path):
    LINKS.write_parquet(tmp_path / "links.parquet")
    assert "neither interactions" in check_lake(tmp_path).problems[0]


def test_duckdb_writes_it_by_one_statement(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    clicks = tmp_path / "clicks.csv"
    LOG.write_csv(clicks)
    lake = tmp_path / "lake"
    lake.mkdir()
    with duckdb.connect() as base:
        base.execute(
            f"COPY (SELECT user, item, time FROM '{clicks}') TO '{lake}/interactions' "
            "(FORMAT parquet, PER_THREAD_OUTPUT)"
        )
    assert check_lake(lake).problems == ()
    assert kgrec.load(lake, split="temporal").num_users == 7
