"""A training that starts from another run: rows by ids, newcomers at their starts."""

from dataclasses import replace

import numpy as np
import pytest

import kgrec
from kgrec.cli import run as command
from kgrec.data.derive.extend import extend
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import CheckpointError, ConfigError
from kgrec.runs.fit import start_of
from kgrec.runs.run import build_model
from kgrec.runs.start import take_over
from kgrec.testing import worlds


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(5)
    train = {(user, int(i)) for user in range(20) for i in rng.choice(14, 5, replace=False)}
    facts = [(item, 0, 16 + item % 3) for item in range(16)]
    valid = [(0, next(i for i in range(14) if (0, i) not in train))]
    return worlds.dataset(sorted(train), valid=valid, triples=facts, num_items=16)


@pytest.fixture(scope="module")
def first(world):
    return kgrec.fit("kgat", world, dim=4, relation_dim=4, layer_dims="4", epochs=2, patience=0)


def log(*pairs):
    import polars as pl

    return pl.DataFrame(pairs, schema=["user", "item"], orient="row")


def test_rows_go_by_ids_whatever_the_order(world, first):
    """The same data with users and relations in another order gives the same scores."""
    turned = np.arange(world.num_users)[::-1]
    parts = {
        name: replace(part, user=(world.num_users - 1 - part.user).astype(np.int32))
        for name, part in (("train", world.train), ("valid", world.valid))
    }
    parts = {name: part.take(np.argsort(part.user, kind="stable")) for name, part in parts.items()}
    other = replace(world, users=Vocabulary(world.users.keys(turned), kind="user"), **parts)
    model = build_model(first.chosen, other, 7)
    kept = take_over(model, other, start_of(first, first.chosen))
    assert kept["kept"] == {"users": 20, "items": 16, "entities": 19, "relations": 1}
    assert kept["fresh"] == []
    nodes = dict(first.model.named_parameters())
    for name, value in model.named_parameters():
        if len(value) == world.num_entities + world.num_users:
            there = nodes[name]
            np.testing.assert_array_equal(
                value[: world.num_entities].detach(), there[: world.num_entities].detach()
            )
            np.testing.assert_array_equal(
                value[world.num_entities :].detach(), there[world.num_entities :].flip(0).detach()
            )
            break
    else:
        raise AssertionError("kgat has no table of nodes")


def test_new_users_start_at_the_mean_and_new_items_at_their_neighbors(world):
    run = kgrec.fit("bprmf", world, dim=4, epochs=2, patience=0)
    grown = extend(world, log(("zoe", "i1"), ("u0", "fresh"))).data
    model = build_model(run.chosen, grown, 0)
    kept = take_over(model, grown, start_of(run, run.chosen))["kept"]
    assert (kept["users"], kept["items"]) == (20, 16)
    np.testing.assert_allclose(
        model.users[20].detach(), run.model.users.mean(0).detach(), rtol=1e-5
    )
    # no fact: the first user alone, less half the average user, as long as items are on average
    users = model.users.detach().double().numpy()
    unit = users / np.linalg.norm(users, axis=1, keepdims=True)
    average = unit.mean(0) / np.linalg.norm(unit.mean(0))
    pull = unit[0] - average / 2
    length = np.linalg.norm(run.model.items.detach().double().numpy(), axis=1)
    found = model.items[16].detach().numpy()
    np.testing.assert_allclose(
        found / np.linalg.norm(found), pull / np.linalg.norm(pull), rtol=1e-3, atol=1e-4
    )
    assert 0.5 * length.mean() < np.linalg.norm(found) < 1.5 * length.mean()


def test_no_epoch_of_training_keeps_what_was_learned(world, first, tmp_path):
    """With a learning rate of next to nothing, the run that starts from another is the other."""
    world.save(tmp_path / "data")
    first.save(tmp_path / "first")
    arguments = ["train", str(tmp_path / "data"), "--model", "kgat", "--start"]
    small = [f"--set={pair}" for pair in ("dim=4", "relation_dim=4", "layer_dims=4", "epochs=1")]
    small += ["--set", "learning_rate=1e-9", "--set", "patience=0"]
    out = str(tmp_path / "second")
    assert command(["-q", *arguments, str(tmp_path / "first"), *small, "--out", out]) == 0
    second = kgrec.load_run(out)
    np.testing.assert_allclose(second.scorer().users, first.scorer().users, rtol=1e-3, atol=1e-5)
    assert second.summary["start"]["kept"]["users"] == 20
    assert len(second.summary["start"]["run"]) == 12


def test_what_cannot_be_started_from_is_refused(world, first, tmp_path):
    with pytest.raises(ConfigError, match="is kgat, not bprmf"):
        kgrec.fit("bprmf", world, start=first)
    with pytest.raises(ConfigError, match="in one step"):
        kgrec.fit("ease", world, start=kgrec.fit("ease", world))
    with pytest.raises(ConfigError, match="refit"):
        kgrec.fit("kgat", world, start=first, refit=True)
    done = kgrec.fit("bprmf", world, dim=2, epochs=1, out=tmp_path / "run")
    with pytest.raises(CheckpointError, match="start"):
        kgrec.fit("bprmf", world, start=done, resume=True, out=tmp_path / "run")
