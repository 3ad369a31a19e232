import polars as pl
import pytest

from kgrec.data.formats.load import load
from kgrec.data.records.dataset import Dataset
from kgrec.data.splitting.labeled import LabeledLog
from kgrec.errors import ConfigError, DataError, FormatError

ROWS = [(u, i, int((u + i) % 2 == 0)) for u in range(10) for i in range(10)]


def fill(folder, rows=ROWS, separator="\t", kg="0\t0\t20\n1\t1\t20\n2\t0\t3\n"):
    folder.mkdir(exist_ok=True)
    (folder / "ratings_final.txt").write_text(
        "".join(separator.join(map(str, row)) + "\n" for row in rows)
    )
    (folder / "kg_final.txt").write_text(kg)
    return folder


def pairs(data, part):
    return {
        (int(data.users.key(u)), int(data.items.key(i)))
        for u, i in zip(part.user, part.item, strict=True)
    }


def test_rows_are_divided_six_to_two_to_two(tmp_path):
    data = load(fill(tmp_path / "music"))
    assert (
        data.name,
        data.num_users,
        data.num_items,
        len(data.triples),
        data.report.counts["items in the graph"],
    ) == (
        "music",
        10,
        10,
        3,
        4,
    )
    assert (data.settings["split"], data.settings["ratios"]) == ("random", [0.6, 0.2, 0.2])
    sizes = {
        part: len(getattr(data, part)) + len(data.negatives[part])
        for part in ("train", "valid", "test")
    }
    assert sizes == {"train": 60, "valid": 20, "test": 20}
    clicked = [pairs(data, getattr(data, part)) for part in ("train", "valid", "test")]
    others = [pairs(data, data.negatives[part]) for part in ("train", "valid", "test")]
    assert set.union(*clicked) == {(u, i) for u, i, label in ROWS if label}
    assert set.union(*others) == {(u, i) for u, i, label in ROWS if not label}
    again, other = load(tmp_path / "music"), load(tmp_path / "music", seed=1)
    assert pairs(again, again.test) == clicked[2] != pairs(other, other.test)
    halves = load(fill(tmp_path / "spaces", separator=" "), ratios=(0.5, 0.25, 0.25))
    assert len(halves.train) + len(halves.negatives["train"]) == 50


def test_negative_items_are_in_the_catalog(tmp_path):
    data = load(fill(tmp_path / "f", [(1, n, 1) for n in range(10)] + [(1, 99, 0), (2, 5, 0)]))
    assert {"99", "5"} <= set(data.items)
    assert set(data.users) == {"1", "2"}
    core = load(tmp_path / "f", k_core=1)
    assert set(core.users) == {"1", "2"}


def test_users_outside_the_core_lose_their_negatives(tmp_path):
    rows = [(u, i, 1) for u in range(3) for i in range(3)] + [(u, 9, 0) for u in range(3)]
    data = load(fill(tmp_path / "f", rows), k_core=3)
    assert "9" not in data.items
    assert ("negatives", "their user or item is outside the k-core", 3) in {
        (d.what, d.why, d.count) for d in data.report.dropped
    }


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([*ROWS, (1, 2, 5)], FormatError, r"ratings_final\.txt:101: label '5' is neither 0 nor 1"),
        ([*ROWS, (1, 2)], FormatError, r"ratings_final\.txt:101: expected 3 columns, found 2"),
        ([(1, 2, 0)], DataError, r"ratings_final\.txt: no row has label 1"),
        ([*ROWS, (1, 2, "NaN")], FormatError, r"ratings_final\.txt:101: label 'NaN' is neither"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, rows, error, message):
    with pytest.raises(error, match=message):
        load(fill(tmp_path / "f", rows))


def test_rows_of_label_1_alone_are_interactions_and_the_report_says_so(tmp_path):
    data = load(fill(tmp_path / "f", [(user, item, 1) for user in range(9) for item in range(4)]))
    assert not data.negatives
    assert len(data.train) + len(data.valid) + len(data.test) == 36
    assert any("every row has label 1. Negatives are sampled" in note for note in data.report.notes)


def labelled(*rows):
    return LabeledLog(
        pl.DataFrame(
            rows,
            schema={"user": pl.String, "item": pl.String, "clicked": pl.Boolean, "part": pl.Int8},
            orient="row",
        )
    )


def test_a_pair_of_both_labels():
    """A negative goes where the pair is an interaction by then; what is chosen only later was no
    choice yet.
    """
    log = labelled(
        *(("a", "x", True, 0), ("a", "x", False, 0), ("a", "x", False, 2)),
        *(("a", "y", False, 0), ("a", "y", True, 2), ("a", "z", False, 0), ("a", "z", False, 2)),
        *(("b", "x", True, 1), ("b", "z", True, 2)),
    )
    data = Dataset.build(labelled=log)
    got = {
        part: {
            (data.users.key(u), data.items.key(i)) for u, i in zip(own.user, own.item, strict=True)
        }
        for part, own in data.negatives.items()
    }
    assert got == {"train": {("a", "y"), ("a", "z")}}
    dropped = {(d.what, d.why): d.count for d in data.report.dropped if d.what == "negatives"}
    assert dropped == {
        ("negatives", "an interaction of the same or an earlier part"): 1,
        ("negatives", "repeated, the earliest part kept"): 2,
    }
    assert data.settings["split"] == "given"


def test_sources_of_interactions_exclude_each_other():
    log = labelled(("a", "x", True, 0), ("a", "y", False, 2), ("b", "x", True, 1))
    with pytest.raises(ConfigError, match="exclude each other"):
        Dataset.build(pl.DataFrame({"user": ["a"], "item": ["x"]}), labelled=log)
    with pytest.raises(DataError, match="needs a time"):
        Dataset.build(labelled=log, split="temporal")
