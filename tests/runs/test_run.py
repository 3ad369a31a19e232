import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.errors import (
    CapabilityError,
    CheckpointError,
    ConfigError,
    DataError,
    UnknownIdError,
    UnknownModelError,
)
from kgrec.testing import worlds
from kgrec.training import loop

SMALL = {"epochs": 3, "batch_size": 64, "dim": 8}


@pytest.fixture(scope="module")
def data():
    world = worlds.cold_items(users=30)
    held = np.arange(len(world.train)) % 8 == 7
    from dataclasses import replace

    return replace(world, train=world.train.take(~held), valid=world.train.take(held))


@pytest.fixture(scope="module")
def run(data):
    return kgrec.fit(
        "lightgcn-kg", data, **(SMALL | {"epochs": 30}), num_layers=2, learning_rate=0.02
    )


def test_recommends_what_a_full_sort_gives_without_what_the_user_has(run, data):
    frame = run.recommend(["u3", "u7"], k=5)
    scorer = run.scorer()
    for user in (3, 7):
        scores = (scorer.users[user] @ scorer.items.T).clone()
        for part in (data.train, data.valid):
            scores[part.item[part.user == user]] = float("-inf")
        expected = [f"i{row}" for row in torch.argsort(-scores, stable=True)[:5].tolist()]
        own = frame.filter(pl.col("user") == f"u{user}")
        assert own["item"].to_list() == expected
        assert own["rank"].to_list() == [1, 2, 3, 4, 5]
        np.testing.assert_allclose(own["score"], np.sort(scores.numpy())[::-1][:5], rtol=1e-6)


def test_filters_narrow_the_candidates(run):
    assert set(
        run.recommend("u0", k=10, items=["i1", "i3", "i5"], exclude=["i3"], allow_seen=True)["item"]
    ) == {"i1", "i5"}
    seen = set(run.recommend("u0", k=60, allow_seen=True)["item"]) - set(
        run.recommend("u0", k=60)["item"]
    )
    assert len(seen) == 8
    assert run.recommend("all", k=1)["user"].to_list() == [f"u{row}" for row in range(30)]


def test_someone_unseen_gets_items_like_their_history(run, data):
    own = [f"i{row}" for row in data.train.item[data.train.user == 4]]
    ranked = run.recommend(history=own, k=10)
    assert not set(ranked["item"]) & set(own)
    rows = data.items.rows(ranked["item"])
    assert (rows % 2 == 0).mean() >= 0.8  # user 4 likes even items


def test_similar_items_is_the_cosine(run):
    frame = run.similar_items("i2", k=3)
    items = torch.nn.functional.normalize(run.scorer().items, dim=1)
    scores = items @ items[2]
    scores[2] = -9
    assert frame["item"].to_list() == [f"i{row}" for row in scores.topk(3).indices.tolist()]
    assert frame.columns == ["rank", "item", "label", "score"]


def test_inner_products_of_exported_embeddings_are_the_scores(run):
    frames = run.embeddings()
    users, items = (np.array(frames[name]["vector"].to_list()) for name in ("users", "items"))
    top = run.recommend("u5", k=1).row(0, named=True)
    assert float(users[5] @ items[int(top["item"][1:])]) == pytest.approx(top["score"], rel=1e-5)
    assert len(frames["entities"]) == run.data.num_entities


def test_the_summary_has_what_train_json_promises(run):
    assert {
        "model",
        "epochs",
        "best_epoch",
        "seconds",
        "seconds_per_epoch",
        "valid",
        "test",
        "peak_memory_bytes",
    } <= set(run.summary)
    assert run.summary["test"] == pytest.approx(run.evaluate().metrics)
    json.dumps(run.summary)


def test_bad_requests_say_what_is_wrong(run, data):
    with pytest.raises(UnknownIdError, match=r"'u33'.*Nearest"):
        run.recommend("u33")
    with pytest.raises(UnknownIdError, match="item"):
        run.similar_items("x")
    with pytest.raises(ConfigError, match="at least 1"):
        run.recommend("u1", k=0)
    with pytest.raises(ConfigError, match="give users or a history"):
        run.recommend()
    with pytest.raises(UnknownModelError, match="lightgcn"):
        kgrec.fit("lihgtgcn", data)
    with pytest.raises(ConfigError, match="learning_rate"):
        kgrec.fit("lightgcn", data, learning_rat=0.1)
    with pytest.raises(ConfigError, match="fixed"):
        kgrec.fit("lightgcn", data, knowledge=True)
    with pytest.raises(ConfigError, match="whole number"):
        kgrec.fit("lightgcn", data, dim="many")
    with pytest.raises(CapabilityError, match="vectors"):
        kgrec.fit("popularity", data).similar_items("i1")
    with pytest.raises(DataError, match="needs triples"):
        kgrec.fit("kgat", worlds.dataset([(0, 0), (1, 1)], test=[(0, 1)]))
    with pytest.raises(ConfigError, match="negative"):
        kgrec.fit("popularity", data, seed=-1)
    with pytest.raises(ConfigError, match="device"):
        kgrec.fit("popularity", data, device="abacus")


def test_recbole_names_and_text_are_understood(data):
    run = kgrec.fit("kgat", data, embedding_size="8", stopping_step="2", layer_dims="8,4", epochs=1)
    assert (run.config.dim, run.config.layer_dims, run.train_config.patience) == (8, (8, 4), 2)


def test_a_loaded_run_finds_its_dataset_and_notices_when_it_changed(data, tmp_path):
    saved = data.save(tmp_path / "data")
    run = kgrec.fit("bprmf", saved, out=tmp_path / "run", epochs=2, dim=4)
    loaded = kgrec.load_run(tmp_path / "run")
    assert not len(loaded.data.test)
    assert loaded.evaluate().metrics == run.evaluate().metrics
    worlds.toy().save(tmp_path / "data")
    with pytest.raises(CheckpointError, match="has changed"):
        kgrec.load_run(tmp_path / "run").evaluate()


def test_a_run_of_an_unsaved_dataset_keeps_its_test_part(data, tmp_path):
    run = kgrec.fit("bprmf", data, epochs=2, dim=4)
    run.save(tmp_path / "run")
    assert kgrec.load_run(tmp_path / "run").evaluate().metrics == run.evaluate().metrics


class Killed(BaseException):
    """Stands for a signal that no handler sees."""


@pytest.mark.parametrize("model", ["bprmf", "lightgcn", "kgat"])
@pytest.mark.parametrize("when", [1, 3])
def test_a_killed_run_opens_and_resumes_to_the_same_bits(data, tmp_path, monkeypatch, model, when):
    settings = {"epochs": 5, "batch_size": 64, "dim": 8, "seed": 3}
    whole = kgrec.fit(model, data, out=tmp_path / "whole", **settings)
    monkeypatch.setattr("kgrec.runs.fit._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    real = loop._epoch

    def dies(model, plan, rounds, epoch, *rest):
        if epoch == when + 1:
            raise Killed
        return real(model, plan, rounds, epoch, *rest)

    monkeypatch.setattr(loop, "_epoch", dies)
    with pytest.raises(Killed):
        kgrec.fit(model, data, out=tmp_path / "run", **settings)
    monkeypatch.setattr(loop, "_epoch", real)
    opened = kgrec.load_run(tmp_path / "run")
    assert len(opened.history) == when
    assert len(opened.recommend("u1", k=3)) == 3
    with pytest.raises(CheckpointError, match="unfinished"):
        kgrec.fit(model, data, out=tmp_path / "run", **settings)
    with pytest.raises(CheckpointError, match="was started with"):
        kgrec.fit(model, data, out=tmp_path / "run", **(settings | {"dim": 4}), resume=True)
    resumed = kgrec.fit(model, data, out=tmp_path / "run", **settings, resume=True)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    again = kgrec.fit(model, data, out=tmp_path / "run", **settings, resume=True)
    assert again.summary == resumed.summary


def test_refit_trains_on_everything_and_says_that_nothing_is_held_out(data, tmp_path):
    run = kgrec.fit("bprmf", data, out=tmp_path / "run", refit=True, **SMALL)
    assert len(run.data.train) == len(data.train) + len(data.valid) + len(data.test)
    assert len(run.history) == run.summary["best_epoch"]
    with pytest.raises(DataError, match="nothing is held out"):
        kgrec.load_run(tmp_path / "run").evaluate()


def test_the_paper_preset_takes_the_held_out_validation_part_back(data):
    from dataclasses import replace

    held = replace(data, settings={"valid_held_out": True})
    run = kgrec.fit("bprmf", held, preset="paper", epochs=1, dim=4)
    assert len(run.data.train) == len(data.train) + len(data.valid)
    assert run.summary["valid"] is None


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "data/manifest.json"])
def test_a_damaged_folder_is_refused(data, tmp_path, file):
    kgrec.fit("bprmf", data, epochs=1, dim=4, out=tmp_path / "run")
    path = tmp_path / "run" / file
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CheckpointError):
        kgrec.load_run(tmp_path / "run")


def test_a_flipped_bit_in_the_configuration_is_noticed(data, tmp_path):
    kgrec.fit("bprmf", data, epochs=1, dim=4, out=tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    path.write_text(path.read_text().replace('"learning_rate": 0.002', '"learning_rate": 0.003'))
    with pytest.raises(CheckpointError, match="SHA-256"):
        kgrec.load_run(tmp_path / "run")


def test_more_than_the_catalog_is_the_catalog(run):
    assert len(run.recommend("u1", k=10**30)) == 60 - 8
    assert len(run.similar_items("i1", k=10**30)) == 59
    assert run.evaluate("valid", k=(10**9,)).metrics[f"recall@{10**9}"] == 1.0


def test_a_user_with_every_item_is_named(data):
    world = worlds.dataset([(0, 0), (1, 0), (1, 1)], test=[(0, 1)])
    with pytest.raises(DataError, match="user 'u1' has all 2 items"):
        kgrec.fit("bprmf", world)


def test_a_foreign_folder_is_left_alone(data, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="not a kgrec run"):
        kgrec.fit("popularity", data, out=tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(CheckpointError, match="not a kgrec run"):
        kgrec.load_run(tmp_path / "mine")


def test_a_run_never_names_code_to_import(data, tmp_path):
    kgrec.fit("popularity", data, out=tmp_path / "run")
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    record["model"] = "os:system"
    del record["sha256"]
    record["sha256"] = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    (tmp_path / "run" / "config.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="not a name"):
        kgrec.load_run(tmp_path / "run")


def test_explains_with_the_measured_effect(run):
    item = run.recommend("u2", k=1)["item"][0]
    found = run.explain("u2", item, k=3)
    assert found.paths
    assert found.paths[0].drop_delete == max(path.drop_delete for path in found.paths)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "epochs"),
    [
        ("kgat", 1),
        *(pytest.param(m, 3, marks=pytest.mark.long) for m in ("kgat", "bprmf", "lightgcn-kg")),
    ],
)
def test_two_processes_with_several_threads_give_the_same_bits(model, epochs):
    """In one thread everything is equal anyway; atomics and races only show with more."""
    code = (
        "import hashlib, sys, kgrec\n"
        "run = kgrec.fit(sys.argv[1], 'films', epochs=int(sys.argv[2]), patience=0)\n"
        "print(hashlib.sha256(b''.join(v.numpy().tobytes() for v in "
        "run.model.state_dict().values())).hexdigest())"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "4", "OMP_WAIT_POLICY": "PASSIVE"}
    call = [sys.executable, "-c", code, model, str(epochs)]
    found = {
        subprocess.run(call, env=environment, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    }
    assert len(found) == 1
