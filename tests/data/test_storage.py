import hashlib
import json
import pickle
import shutil
from dataclasses import fields, is_dataclass, replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shares import share

from kgrec.data.io.folders import MANIFEST
from kgrec.data.records.content import Content, Impressions, Vectors
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import InteractionLog, Interactions
from kgrec.data.storage import open_dataset, save_dataset
from kgrec.errors import CheckpointError
from kgrec.runs.folder import write_data


def small():
    log = InteractionLog(
        pl.DataFrame(
            {
                "user": list("aaabbb"),
                "item": list("xyzxyz"),
                "time": [1.0, 2, 3, 4, 5, 6],
                "rating": [5.0] * 6,
            }
        ),
        sources=("clicks.csv",),
    )
    triples = pl.DataFrame({"head": ["x", "y"], "relation": ["r", "r"], "tail": ["t", "t"]})
    users = pl.DataFrame({"user_id": ["a"], "job": ["cook"]})
    return Dataset.build(log, triples, split="leave-one-out", user_attributes=users, name="small")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    place = tmp_path_factory.mktemp("whole") / "d"
    small().save(place)
    return place


def assert_equal(one, other):
    assert one.summary() == other.summary()
    assert one.report == other.report
    assert (one.users, one.items, one.triples.entities, one.triples.relations) == (
        other.users,
        other.items,
        other.triples.entities,
        other.triples.relations,
    )
    for part in ("train", "valid", "test"):
        for column in ("user", "item", "time", "rating"):
            left, right = getattr(getattr(one, part), column), getattr(getattr(other, part), column)
            assert (left is None and right is None) or (
                np.array_equal(left, right, equal_nan=True) and left.dtype == right.dtype
            )
    for column in ("head", "relation", "tail", "source", "locator"):
        left, right = getattr(one.triples, column), getattr(other.triples, column)
        assert np.array_equal(left, right)
        assert left.dtype == right.dtype
    assert np.array_equal(one.user_facts, other.user_facts)
    assert_same(one.content, other.content)
    for parts in ("negatives", "impressions", "held_triples"):
        assert_same(dict(getattr(one, parts)), dict(getattr(other, parts)))
    for frame in ("labels", "relation_labels", "types", "attributes"):
        assert getattr(one.triples, frame).equals(getattr(other.triples, frame))
    assert (one.triples.sources, one.triples.dropped) == (
        other.triples.sources,
        other.triples.dropped,
    )


def assert_same(one, other):
    """Whatever is in the one is in the other: records, mappings, series and arrays, None
    included.
    """
    assert type(one) is type(other) or isinstance(one, np.ndarray)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert np.array_equal(one, other)
    elif isinstance(one, pl.Series):
        assert one.to_list() == other.to_list()
    elif is_dataclass(one):
        for column in fields(one):
            assert_same(getattr(one, column.name), getattr(other, column.name))


def rich():
    """Return a small dataset with one of everything."""
    impressions = Impressions(
        user=np.array([0, 1], np.int32),
        time=np.array([5.0, 6.0]),
        start=np.array([0, 2, 4]),
        item=np.array([0, 1, 2, 0], np.int32),
        clicked=np.array([True, False, False, True]),
        history_start=np.array([0, 0, 1]),
        history=np.array([2], np.int32),
    )
    content = Content(
        texts=pl.Series("text", ["Rome", None, "東京 x"]),
        mentions=np.array([[0, 0, 4, 3], [2, 0, 2, 0]], np.int32),
        features=np.array([[1, 2], [3, 4], [5, 6]], np.float32),
        words=Vectors(
            pl.Series("key", ["rome", "x"]), np.array([[1, 2, 3], [4, 5, 6]], np.float32)
        ),
        entities=Vectors(pl.Series("key", ["t"]), np.array([[0.5]], np.float32)),
    )
    pairs = Interactions(np.array([0, 1], np.int32), np.array([2, 1], np.int32))
    held = {"valid": np.empty((0, 3), np.int32), "test": np.array([[1, 0, 3]], np.int32)}
    return replace(
        small(),
        content=content,
        negatives={"train": pairs, "test": pairs},
        impressions={"valid": impressions},
        held_triples=held,
    )


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    place = tmp_path_factory.mktemp("full") / "d"
    rich().save(place)
    return place


def test_content_labels_lists_and_held_out_triples_come_back(full):
    stored = open_dataset(full)
    assert_equal(rich(), stored)
    for array in (
        stored.content.features,
        stored.content.words.values,
        stored.impressions["valid"].item,
        stored.held_triples["test"],
    ):
        assert isinstance(array, np.memmap)
    told = stored.summary()
    assert told["content"] == {
        "texts": 2,
        "mentions": 2,
        "features": 2,
        "word_vectors": 2,
        "entity_vectors": 1,
    }
    assert (told["negatives"], told["impressions"], told["held_triples"]) == (
        {"train": 2, "test": 2},
        {"valid": 2},
        {"valid": 0, "test": 1},
    )


def test_a_run_keeps_what_ranking_needs_and_judging_stays(tmp_path):
    data = replace(
        rich(),
        impressions={part: rich().impressions["valid"] for part in ("train", "valid", "test")},
    )
    write_data(data, tmp_path / "unsaved")
    assert_equal(data, open_dataset(tmp_path / "unsaved"))
    write_data(data.save(tmp_path / "d"), tmp_path / "run")
    kept = open_dataset(tmp_path / "run")
    assert_same(kept.content, data.content)
    assert (
        set(kept.negatives),
        set(kept.impressions),
        dict(kept.held_triples),
        len(kept.test),
    ) == ({"train"}, {"train"}, {}, 0)


def test_what_is_saved_is_opened(tmp_path):
    data = small()
    stored = data.save(tmp_path / "d")
    assert_equal(data, stored)
    assert stored.path == str(tmp_path / "d")
    assert len(stored.checksum) == 64
    assert (
        open_dataset(tmp_path / "d").checksum
        == stored.checksum
        == data.save(tmp_path / "again").checksum
    )
    assert isinstance(stored.train.user, np.memmap)
    labelled = replace(data, user_labels=pl.Series("label", ["Anna", None]))
    assert labelled.save(tmp_path / "d").user_label(0) == "Anna"
    assert stored.user_labels is None


KEY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(KEY, KEY), min_size=1, max_size=10),
    st.lists(st.tuples(KEY, KEY, KEY), max_size=8),
    st.booleans(),
)
def test_any_dataset_comes_back(tmp_path_factory, rows, triples, timed):
    columns = {"user": [u for u, _ in rows], "item": [i for _, i in rows]}
    train = InteractionLog(
        pl.DataFrame(columns | ({"time": [float(n) for n in range(len(rows))]} if timed else {}))
    )
    test = InteractionLog(pl.DataFrame({"user": ["someone new"], "item": [rows[0][1]]}))
    graph = (
        pl.DataFrame(triples, schema=["head", "relation", "tail"], orient="row")
        if triples
        else None
    )
    data = Dataset.build(train=train, test=test, triples=graph)
    place = tmp_path_factory.mktemp("d") / "d"
    assert_equal(data, save_dataset(data, place))


def forge(place, name, content):
    """Replace a file and give the manifest the right sum for it."""
    (place / name).write_bytes(content)
    manifest = json.loads((place / MANIFEST).read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (place / MANIFEST).write_text(json.dumps(manifest))


def array_bytes(folder, array):
    np.save(folder / "forged.npy", array, allow_pickle=True)
    return (folder / "forged.npy").read_bytes()


def parquet_bytes(folder, frame):
    frame.write_parquet(folder / "forged.parquet")
    return (folder / "forged.parquet").read_bytes()


def npy_header(text):
    header = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("train_item.npy", lambda f: array_bytes(f, np.array([99, 0], dtype=np.int32))),
        ("train_item.npy", lambda f: array_bytes(f, np.array([-1, 0], dtype=np.int32))),
        ("train_item.npy", lambda f: array_bytes(f, np.array([0], dtype=np.int32))),
        ("train_item.npy", lambda f: array_bytes(f, np.array([0, 0], dtype=np.int64))),
        ("train_item.npy", lambda f: array_bytes(f, np.array([[0, 0]], dtype=np.int32))),
        ("train_item.npy", lambda f: array_bytes(f, np.array([{"a": 1}, None], dtype=object))),
        ("train_item.npy", lambda f: pickle.dumps([0, 1])),
        ("train_item.npy", lambda f: b""),
        ("train_item.npy", lambda f: b"PK\x03\x04 not a zip"),
        (
            "train_item.npy",
            lambda f: npy_header(
                "{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000000000,), }"
            ),
        ),
        (
            "train_item.npy",
            lambda f: npy_header("{'descr': '<i4', 'fortran_order': False, 'shape': (-5,), }"),
        ),
        (
            "train_item.npy",
            lambda f: npy_header("{'descr': '<i4', 'fortran_order': False, 'shape': (10**99,), }"),
        ),
        ("triple_head.npy", lambda f: array_bytes(f, np.array([0, 77], dtype=np.int32))),
        ("triple_source.npy", lambda f: array_bytes(f, np.array([9, 9], dtype=np.uint16))),
        ("user_facts.npy", lambda f: array_bytes(f, np.array([[0, 9, 0]], dtype=np.int32))),
        ("user_facts.npy", lambda f: array_bytes(f, np.zeros((1, 2), dtype=np.int32))),
        ("users.parquet", lambda f: b"PAR1 nonsense PAR1"),
        (
            "users.parquet",
            lambda f: parquet_bytes(f, pl.DataFrame({"key": ["a", "a"], "label": ["", ""]})),
        ),
        (
            "users.parquet",
            lambda f: parquet_bytes(f, pl.DataFrame({"key": ["a", None], "label": ["", ""]})),
        ),
        (
            "users.parquet",
            lambda f: parquet_bytes(f, pl.DataFrame({"key": [1, 2], "label": ["", ""]})),
        ),
        ("users.parquet", lambda f: parquet_bytes(f, pl.DataFrame({"name": ["a"]}))),
        (
            "entities.parquet",
            lambda f: parquet_bytes(f, pl.DataFrame({"key": ["a"], "label": ["a"]})),
        ),
        (
            "types.parquet",
            lambda f: parquet_bytes(
                f,
                pl.DataFrame(
                    {"entity": [50], "type": ["t"]}, schema={"entity": pl.Int32, "type": pl.String}
                ),
            ),
        ),
        (
            "types.parquet",
            lambda f: parquet_bytes(
                f,
                pl.DataFrame(
                    {"entity": [None], "type": ["t"]},
                    schema={"entity": pl.Int32, "type": pl.String},
                ),
            ),
        ),
        ("dataset.json", lambda f: b"{"),
        ("dataset.json", lambda f: b"\xff"),
        ("dataset.json", lambda f: b"[]"),
        ("dataset.json", lambda f: b"{}"),
        (
            "dataset.json",
            lambda f: b'{"name": 1, "settings": 1, "sources": [], "dropped": [], "report": {}}',
        ),
        (
            "dataset.json",
            lambda f: b'{"name": 1, "settings": {}, "sources": 5, "dropped": [{}], "report": []}',
        ),
        ("dataset.json", lambda f: b"[" * 50_000),
    ],
)
def test_a_folder_that_contradicts_itself(tmp_path, whole, name, make):
    place = tmp_path / "d"
    shutil.copytree(whole, place)
    forge(place, name, make(tmp_path))
    with pytest.raises(CheckpointError) as caught:
        open_dataset(place)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("texts.parquet", lambda f: parquet_bytes(f, pl.DataFrame({"text": ["a"]}))),
        ("texts.parquet", lambda f: parquet_bytes(f, pl.DataFrame({"key": ["a", "b", "c"]}))),
        (
            "texts.parquet",
            lambda f: parquet_bytes(f, pl.DataFrame({"text": ["Rom", None, "xxxx"]})),
        ),
        ("mentions.npy", lambda f: array_bytes(f, np.array([[9, 0, 1, 0]], np.int32))),
        ("mentions.npy", lambda f: array_bytes(f, np.array([[0, 0, 1, 9]], np.int32))),
        ("mentions.npy", lambda f: array_bytes(f, np.array([[0, 2, 2, 0]], np.int32))),
        ("mentions.npy", lambda f: array_bytes(f, np.array([[0, -1, 2, 0]], np.int32))),
        ("mentions.npy", lambda f: array_bytes(f, np.array([[0, 3, 5, 0]], np.int32))),
        ("mentions.npy", lambda f: array_bytes(f, np.array([[1, 0, 1, 0]], np.int32))),
        ("features.npy", lambda f: array_bytes(f, np.zeros((2, 2), np.float32))),
        ("features.npy", lambda f: array_bytes(f, np.full((3, 2), np.nan, np.float32))),
        ("words.npy", lambda f: array_bytes(f, np.zeros((3, 2), np.float32))),
        ("words.parquet", lambda f: parquet_bytes(f, pl.DataFrame({"key": ["a", "a"]}))),
        ("words.parquet", lambda f: parquet_bytes(f, pl.DataFrame({"key": ["a", None]}))),
        ("entity_vectors.npy", lambda f: array_bytes(f, np.full((1, 1), np.inf, np.float32))),
        ("negatives_train_item.npy", lambda f: array_bytes(f, np.array([0, 3], np.int32))),
        ("negatives_train_item.npy", lambda f: array_bytes(f, np.array([0], np.int32))),
        ("impressions_valid_user.npy", lambda f: array_bytes(f, np.array([0, 2], np.int32))),
        ("impressions_valid_item.npy", lambda f: array_bytes(f, np.array([0, 1, 2, 3], np.int32))),
        ("impressions_valid_start.npy", lambda f: array_bytes(f, np.array([0, 3, 2]))),
        ("impressions_valid_start.npy", lambda f: array_bytes(f, np.array([0, 2, 3]))),
        ("impressions_valid_start.npy", lambda f: array_bytes(f, np.array([1, 2, 4]))),
        ("impressions_valid_history_start.npy", lambda f: array_bytes(f, np.array([0, 2, 1]))),
        (
            "impressions_valid_clicked.npy",
            lambda f: array_bytes(f, np.array([1, 0, 0, 1], np.uint8)),
        ),
        (
            "impressions_valid_clicked.npy",
            lambda f: array_bytes(f, np.array([5, 0, 0, 1], np.uint8).view(bool)),
        ),
        ("impressions_valid_time.npy", lambda f: array_bytes(f, np.array([0.0]))),
        ("held_triples_test.npy", lambda f: array_bytes(f, np.array([[0, 9, 0]], np.int32))),
        ("held_triples_test.npy", lambda f: array_bytes(f, np.array([[0, 0, 99]], np.int32))),
    ],
)
def test_content_that_contradicts_itself(tmp_path, full, name, make):
    place = tmp_path / "d"
    shutil.copytree(full, place)
    forge(place, name, make(tmp_path))
    with pytest.raises(CheckpointError) as caught:
        open_dataset(place)
    assert "\n" not in str(caught.value)


def test_a_file_the_manifest_does_not_name_is_not_read(tmp_path):
    place = tmp_path / "d"
    small().save(place)
    manifest = json.loads((place / MANIFEST).read_text())
    del manifest["files"]["users.parquet"]
    (place / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"users\.parquet: not in the manifest"):
        open_dataset(place)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    data = small()
    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(OSError, match="No space"):
        data.save(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=share(60), deadline=None)
@given(st.data())
def test_no_damage_to_any_file_does_more_than_say_so(tmp_path_factory, full, data):
    place = tmp_path_factory.mktemp("d") / "d"
    shutil.copytree(full, place)
    name = data.draw(st.sampled_from(sorted(p.name for p in place.iterdir() if p.name != MANIFEST)))
    content = bytearray((place / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    forge(
        place,
        name,
        bytes(content[: data.draw(st.integers(0, len(content)))])
        if data.draw(st.booleans())
        else bytes(content),
    )
    said = ""
    try:
        assert isinstance(open_dataset(place), Dataset)
    except CheckpointError as error:
        said = str(error)
    assert "\n" not in said


def test_named_graphs_formats_and_counts_come_back(tmp_path):
    text = "<x:a> <x:r> <x:b> <x:g> .\n<x:c> <x:r> _:b .\nno statement\n<x:a> <x:s> <x:c> <x:h> .\n"
    (tmp_path / "kg.nq").write_text(text)
    log = pl.DataFrame({"user": list("aaabbb"), "item": ["x:a", "x:c", "z"] * 2, "time": range(6)})
    data = Dataset.build(
        log,
        str(tmp_path / "kg.nq"),
        split="leave-one-out",
        on_error="skip",
        reading={"language": "de"},
    )
    assert [data.triples.graph_name(row) for row in range(3)] == ["x:g", "x:h", None]
    stored = data.save(tmp_path / "d")
    assert_equal(data, stored)
    assert isinstance(stored.triples.graph, np.memmap)
    assert (stored.triples.graph.tolist(), stored.triples.graphs.to_list()) == (
        [0, 1, -1],
        ["x:g", "x:h"],
    )
    assert (stored.triples.formats, stored.triples.counts) == (
        ("N-Quads",),
        {"blank nodes read": 1, "statements that fit the rule language=de": 0},
    )
    assert (stored.report.dropped[0].where, stored.settings["reading"]) == (
        (f"{tmp_path / 'kg.nq'}:3",),
        {"language": "de"},
    )
    assert stored.summary()["dropped"][0]["where"] == [f"{tmp_path / 'kg.nq'}:3"]
    assert not (tmp_path / "whole" / "triple_graph.npy").exists()


def test_a_graph_that_is_none_is_refused(tmp_path):
    (tmp_path / "kg.nq").write_text("<x:a> <x:r> <x:b> <x:g> .\n")
    log = pl.DataFrame({"user": list("aaabbb"), "item": ["x:a", "x:c", "z"] * 2, "time": range(6)})
    data = Dataset.build(log, str(tmp_path / "kg.nq"), split="leave-one-out")
    for number in (-2, 1):
        wrong = replace(data, triples=replace(data.triples, graph=np.array([number], np.int32)))
        with pytest.raises(
            CheckpointError, match=r"triple_graph\.npy: a row number outside -1\.\.0"
        ):
            wrong.save(tmp_path / f"d{number}")
