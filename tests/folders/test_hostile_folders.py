"""Folders that someone made on purpose: one line, within a bounded time, and nothing else."""

import copy
import hashlib
import json
import os
import shutil
import struct
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import kgrec
from kgrec.data.storage import open_dataset
from kgrec.errors import KgrecError
from kgrec.study import tune as study
from kgrec.study.ablate import ablate
from kgrec.testing import worlds

NASTY = [
    None,
    True,
    -1,
    10**9,
    10**400,
    1e30,
    float("inf"),
    float("nan"),
    "x\ny",
    "\0",
    [[]],
    {"a": None},
]
SMALL = {"epochs": 2, "dim": 4, "batch_size": 64}


def signed(record):
    plain = {key: value for key, value in record.items() if key != "sha256"}
    return json.dumps(
        plain | {"sha256": hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()}
    )


def places(value, path=()):
    """Yield the way to every value in a document; of lists, to the first."""
    if path:
        yield path
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value[:1])
        if isinstance(value, list)
        else ()
    )
    for key, one in inner:
        yield from places(one, (*path, key))


def changed(document, path, value):
    new = copy.deepcopy(document)
    holder = new
    for key in path[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return new


def survives(work):
    """Let something be refused in one line, or succeed; any other error is one."""
    said = None
    try:
        work()
    except KgrecError as error:
        said = str(error)
    assert said is None or "\n" not in said
    return said


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("hostile")
    world = worlds.cold_items(users=12)
    data = world.save(place / "data")
    kgrec.fit("lightgcn-kg", data, out=place / "lightgcn-kg", **SMALL)
    return place


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.long)])
def test_any_value_of_any_field_of_the_configuration(made, tmp_path, step):
    """Each run of the tests tries some of the values in each field, all of them a release."""
    place = tmp_path / "r"
    shutil.copytree(made / "lightgcn-kg", place)
    record = json.loads((place / "config.json").read_text())
    refused = 0
    for number, path in enumerate(places(record)):
        nasty = [*NASTY, ...][number % step :: step]
        for value in nasty if path[0] != "versions" else ["x"]:  # read by people alone
            (place / "config.json").write_text(signed(changed(record, path, value)))

            def use():
                run = kgrec.load_run(place)
                run.recommend("u1", k=2)
                repr(run)

            refused += survives(use) is not None
    assert refused > 200 / step


def test_any_value_of_any_field_of_a_run_that_is_gone_on_with(made, tmp_path, capsys):
    from kgrec.cli import run as command

    place = tmp_path / "r"
    shutil.copytree(made / "lightgcn-kg", place)
    record = json.loads((place / "config.json").read_text())
    for path in [*(("summary", key) for key in record["summary"]), ("summary", "test", "ndcg@10")]:
        for value in (None, 10**400, float("nan"), "x\ny", [[]]):
            (place / "config.json").write_text(signed(changed(record, path, value)))
            assert command(["-q", "train", "--resume", "--out", str(place)]) in (0, 2)
            assert capsys.readouterr().err.count("\n") <= 1


@pytest.mark.parametrize("name", ["manifest.json", "dataset.json"])
def test_any_value_of_any_field_of_a_dataset(made, tmp_path, name):
    place = tmp_path / "d"
    shutil.copytree(made / "data", place)
    manifest = json.loads((place / "manifest.json").read_text())
    document = json.loads((place / name).read_text())
    for path in places(document):
        for value in [*NASTY, ...]:
            text = json.dumps(changed(document, path, value)).encode()
            (place / name).write_bytes(text)
            if name != "manifest.json":
                entry = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
                (place / "manifest.json").write_text(
                    json.dumps(changed(manifest, ("files", name), entry))
                )
            survives(lambda: open_dataset(place).summary())


DOCUMENTS = [
    b"",
    b"null",
    b"[]",
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b'{"format": "kgrec-run", "format": "kgrec-run"}',
    b'{"format": NaN}',
    b'{"format": "\\ud800"}',
    b'{"format": ' + b"9" * 10_000 + b"}",
    b"\xff\xfe{}",
]


@pytest.mark.parametrize(
    "name", ["lightgcn-kg/config.json", "data/manifest.json", "data/dataset.json"]
)
def test_documents_of_any_shape_and_files_that_are_none(made, tmp_path, name):
    shutil.copytree(made, tmp_path / "m")
    file = tmp_path / "m" / name

    def opens():
        return (
            kgrec.load_run(file.parent) if file.name == "config.json" else open_dataset(file.parent)
        )

    for document in DOCUMENTS:
        file.write_bytes(document)
        assert survives(opens)
    with open(file, "wb") as stream:
        stream.truncate(1 << 33)  # 8 GiB that take no space
    assert survives(opens)
    for make in (
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        os.mkdir,
        lambda path: path.symlink_to(path),
    ):
        shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
        make(file)
        assert survives(opens)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "data", "data/train_user.npy", "state.safetensors"]
)
@pytest.mark.parametrize("kind", ["fifo", "zero", "gone"])
def test_no_pipe_and_no_device_in_the_place_of_a_file_is_waited_for(made, tmp_path, name, kind):
    place = tmp_path / "r"
    shutil.copytree(made / "lightgcn-kg", place)
    (place / name).rename(tmp_path / "away")
    if kind == "fifo":
        os.mkfifo(place / name)
    elif kind == "zero":
        (place / name).symlink_to("/dev/zero")
    if name == "state.safetensors":
        kgrec.load_run(place)  # what only going on needs
        assert survives(lambda: kgrec.fit(out=place, resume=True, epochs=9))
    else:
        assert survives(lambda: kgrec.load_run(place))


def test_a_pipe_where_something_is_to_be_written_is_not_waited_for(made, tmp_path):
    os.mkfifo(tmp_path / ".r.lock")
    os.mkfifo(tmp_path / "batch")
    run = kgrec.load_run(made / "lightgcn-kg")
    run.save(tmp_path / "r")
    os.mkfifo(tmp_path / "r" / ".config.json.tmp")
    kgrec.fit(out=tmp_path / "r", resume=True)
    assert not (tmp_path / "r" / ".config.json.tmp").exists()
    from kgrec.explanation.questions.batch import write_batch

    assert "pipe" in survives(
        lambda: write_batch(run.explainer().search, ["u1"], tmp_path / "batch")
    )


def header(tensors, metadata):
    text = json.dumps({"__metadata__": metadata, **tensors}).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 2**63) + b"{}",
        header(
            {"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}},
            {"record": "{}"},
        )
        + b"\0" * 4,
        header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, {"record": "{}"})
        + b"\0" * 4,
        header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, {"record": "{}"})
        + b"\0" * 4,
        header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**40]}}, {"record": "{}"})
        + b"\0" * 4,
        header({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, {"record": "{}"})
        + b"\0" * 4,
        header({}, {"record": "[" * 100_000}),
        header({}, {"record": "[]", "sha256": hashlib.sha256(b"[]").hexdigest()}),
    ],
)
def test_weights_that_lie_about_themselves(made, tmp_path, content):
    place = tmp_path / "r"
    shutil.copytree(made / "lightgcn-kg", place)
    (place / "model.safetensors").write_bytes(content)
    assert survives(lambda: kgrec.load_run(place))


@pytest.mark.parametrize("change", ["other", "larger", "complex", "missing"])
def test_weights_of_another_shape_or_kind(made, tmp_path, change):
    import torch

    from kgrec.training.checkpoint import read_state, read_tensors, write_state, write_tensors

    place = tmp_path / "r"
    shutil.copytree(made / "lightgcn-kg", place)
    tensors, record = read_tensors(place / "model.safetensors")
    name = next(iter(tensors))
    if change == "missing":
        del tensors[name]
    elif change == "complex":
        tensors[name] = tensors[name].to(torch.int8)
    else:
        tensors[name] = torch.zeros((3, 3) if change == "other" else (10**6, 8))
    if change != "complex":
        write_tensors(place / "model.safetensors", tensors, record)
        assert "do not fit" in survives(lambda: kgrec.load_run(place))
        shutil.copy(made / "lightgcn-kg" / "model.safetensors", place)
    state, owner = read_state(place / "state.safetensors")
    for slots in state.optimizers[0]["state"].values():
        slots["exp_avg"] = torch.zeros(7)
    write_state(place / "state.safetensors", state, owner)
    assert "does not fit" in survives(lambda: kgrec.fit(out=place, resume=True, epochs=9))


def forged(place, name, array):
    np.save(place / name, array)
    content = (place / name).read_bytes()
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (place / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("part", ["train_user.npy", "train_time.npy"])
def test_interactions_in_another_order_are_refused(tmp_path, part):
    log = pl.DataFrame(
        {"user": list("aaaabbbb"), "item": list("wxyzwxyz"), "time": [1.0, 2, 3, 4, 5, 6, 7, 8]}
    )
    from kgrec.data.records.dataset import Dataset

    place = tmp_path / "d"
    stored = Dataset.build(log, split="leave-one-out").save(place)
    array = np.array(getattr(stored.train, part.removeprefix("train_").removesuffix(".npy")))
    forged(place, part, array[::-1])
    assert "not sorted by user, and by time" in survives(lambda: open_dataset(place))


def test_studies_that_someone_made(made, tmp_path):
    pytest.importorskip("optuna")
    data = kgrec.load(made / "data")
    data = replace(data, valid=data.test)
    settings = {"epochs": 1, "dim": 2}

    def search():
        return study.tune(
            data, "bprmf", out=tmp_path / "t", trials=1, settings=settings, final=False
        )

    search()
    record = json.loads((tmp_path / "t" / "study.json").read_text())
    for path in places(record):
        for value in [1e30, None, []]:
            (tmp_path / "t" / "study.json").write_text(json.dumps(changed(record, path, value)))
            assert survives(search)
    for document in DOCUMENTS:
        (tmp_path / "t" / "study.json").write_bytes(document)
        assert survives(search)
    (tmp_path / "t" / "study.json").write_text(json.dumps(record))
    for content in (b"", b"no database" * 1000):
        (tmp_path / "t" / "optuna.db").write_bytes(content)
        assert survives(search) or not content
    (tmp_path / "t" / "optuna.db").unlink()
    os.mkfifo(tmp_path / "t" / "optuna.db")
    assert "plain file" in survives(search)

    def ask():
        return ablate(
            data,
            "lightgcn-kg",
            out=tmp_path / "a",
            seeds=1,
            relations=0,
            settings=settings,
            on="valid",
        )

    ask()
    kept = tmp_path / "a" / "runs" / "graph-0.parquet"
    for make in (
        lambda: kept.write_bytes(b"PAR1 nonsense"),
        lambda: pl.DataFrame({"user": [1]}).write_parquet(kept),
        lambda: os.mkfifo(kept),
    ):
        kept.unlink()
        make()
        assert "not the values of a training" in survives(ask)
