"""What every model over histories must do beside its contract: read the order of times, start from
a graph, resume, and be explained truly.
"""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.batches import Query
from kgrec.data.records.interactions import Interactions
from kgrec.errors import ConfigError, DataError
from kgrec.models.catalog import MODELS
from kgrec.models.sequential.base import Catalog, SequenceConfig
from kgrec.models.sequential.start import ItemStart
from kgrec.queries import histories, queries
from kgrec.testing import worlds

SETTINGS = {
    "gru4rec": {"hidden": 16},
    "sasrec": {"dropout": 0.0},
    "youtubednn": {"layers": (32, 16)},
    "youtubednn-seq": {"layers": (32, 16)},
    "lstm-cnn": {"hidden": 16, "word_dim": 8, "num_filters": 8, "max_words": 3, "min_count": 1},
}


def titled(data):
    titles = pl.Series("text", [f"word{row}" for row in range(data.num_items)])
    return replace(data, content=replace(data.content, texts=titles))


def fitted(name, data, **more):
    settings = {"dim": 16, "length": 6, "batch_size": 20, "learning_rate": 0.02, "patience": 0}
    return kgrec.fit(name, data, device="cpu", **settings | SETTINGS[name] | more)


def all_scores(run):
    with torch.inference_mode():
        return run.scorer()(queries(run.data.train, np.arange(run.data.num_users)))


@pytest.fixture(scope="module")
def runs():
    data = titled(worlds.forks())
    return {name: fitted(name, data, epochs=30) for name in SETTINGS}


@pytest.mark.parametrize("name", SETTINGS)
def test_an_item_three_steps_back_decides_for_models_of_order_alone(runs, name):
    data = runs[name].data
    test = worlds.forks().test
    frame = runs[name].recommend([data.users.key(user) for user in test.user], k=1)
    right = np.mean([data.items.row(item) for item in frame["item"]] == test.item)
    if name == "youtubednn":  # a mean knows no order
        assert 0.3 <= right <= 0.7
    else:
        assert right >= 0.9


@pytest.mark.parametrize("name", SETTINGS)
def test_someone_unseen_is_ranked_for_by_the_order_of_the_history(runs, name):
    run = runs[name]
    for first in (0, 1):
        frame = run.recommend(history=[f"i{first}", f"i{1 - first}", "i5"], k=1)
        assert set(frame["kind"]) == {"history"}
        if name != "youtubednn":
            assert frame["item"][0] == f"i{2 + first}"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_like_is_worth_what_the_score_loses_without_it(runs, name):
    run = runs[name]
    user = "u70"
    row = run.data.users.row(user)
    own = run.data.train.item[run.data.train.user == row].tolist()  # in their order
    item = run.recommend(user, k=1)["item"][0]
    found = run.explain(user, item, 1)
    drops = run.explainer().explained.like_drops(row, run.data.items.row(item))
    with torch.inference_mode():
        for like in own:
            rest = histories([[one for one in own if one != like], own])
            query = replace(rest, user=torch.full((2,), row))
            without, whole = run.scorer()(query)[:, run.data.items.row(item)].tolist()
            assert drops[like] == pytest.approx(whole - without, abs=1e-5)
            assert found.score == pytest.approx(whole, abs=1e-5)
    assert any("No fact of the graph has an effect" in note for note in found.notes)


def test_a_history_beside_that_of_a_known_user_comes_after_it(runs):
    run = runs["gru4rec"]
    other = run.explainer().with_history(["i5", "i4"], "u70")
    row = run.data.users.row("u70")
    own = run.data.train.item[run.data.train.user == row].tolist()
    extended = [*own, *(item for item in (5, 4) if item not in own)]
    with torch.inference_mode():
        expected = run.scorer()(histories([extended]))[0]
    standing = other.explained.standing(row)
    np.testing.assert_allclose(standing.scores, expected.double().numpy(), atol=1e-5)


def test_items_without_interactions_are_no_part_of_a_history(runs):
    run = runs["gru4rec"]
    data = titled(worlds.with_times(worlds.dataset([(0, 0), (0, 1), (1, 0), (1, 1)], num_items=3)))
    run = fitted("gru4rec", data, epochs=1)
    with torch.inference_mode():
        found = run.scorer()(histories([[0, 2, 1], [0, 1], [2], []]))
    assert torch.equal(found[0], found[1])
    assert not found[2:].any()
    holes = Query(
        torch.tensor([-1]), torch.tensor([[0, 1, 1]]), torch.tensor([[True, False, True]])
    )
    with torch.inference_mode():
        torch.testing.assert_close(run.scorer()(holes)[0], found[1])


class StoppedError(Exception):
    """A training that somebody cut off."""


def stop(state):
    if state.epoch == 1:
        raise StoppedError


@pytest.mark.parametrize("name", SETTINGS)
def test_resumed_training_is_bit_equal(name, tmp_path, monkeypatch):
    valid = Interactions(np.array([0, 1, 2], np.int32), np.array([9, 10, 11], np.int32))
    data = titled(worlds.forks(users=20))
    data = replace(data, valid=valid).save(tmp_path / "data")
    more = {"epochs": 2, "item_init": "random", "dropout": 0.3}
    whole = fitted(name, data, **more)
    monkeypatch.setattr("kgrec.runs.fit._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with pytest.raises(StoppedError):
        fitted(name, data, out=tmp_path / "run", on_epoch=stop, **more)
    torch.manual_seed(99)
    resumed = kgrec.fit(name, data, out=tmp_path / "run", resume=True)
    assert torch.equal(all_scores(whole), all_scores(resumed))


# Where item vectors start


def told(seed=0):
    """Items of two kinds, and triples that say which; one item has none."""
    pairs = [(user, item) for user in range(6) for item in range(user % 2, 12, 2)]
    facts = [(item, 0, 12 + item % 2) for item in range(11)]
    facts += [(item, 1, 14 + item % 4) for item in range(11)]
    return worlds.with_times(worlds.dataset(pairs, triples=facts, num_items=12))


@pytest.mark.parametrize("kind", ["transe", "complex"])
def test_item_vectors_start_from_the_triples(kind):
    data = told()
    start = ItemStart.from_dataset(data, kind, 80)
    table = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)) / 10
    before = table.clone()
    start.put(table, seed=1)
    assert torch.equal(table[11], before[11])  # of which no triple says anything
    assert not torch.isclose(table[:11], before[:11]).any(1).all()
    assert table[:11].std().item() == pytest.approx(before.std().item(), rel=0.01)
    again = before.clone()
    start.put(again, seed=1)
    assert torch.equal(again, table)
    near = torch.cdist(table[:11], table[:11])
    same = torch.arange(11).unsqueeze(1) % 4 == torch.arange(11) % 4
    apart = torch.eye(11).bool()
    assert near[same & ~apart].mean() < 0.8 * near[~same].mean()


def test_item_vectors_start_from_features():
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(12, 2)) @ rng.normal(size=(2, 7))).astype(np.float32)
    features[4] = 0
    data = told()
    data = replace(data, content=replace(data.content, features=features))
    start = ItemStart.from_dataset(data, "features", 1)
    table = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)).double()
    before = table.clone()
    start.put(table, seed=0)
    assert torch.equal(table[4], before[4])
    known = np.arange(12) != 4
    centered = (features - features.mean(0))[known].astype(np.float64)
    angles = table[known, :2].numpy()  # two dimensions hold all of the distances
    expected = np.linalg.norm(centered[:, None] - centered, axis=2)
    found = np.linalg.norm(angles[:, None] - angles, axis=2)
    upper = np.triu_indices(11, 1)
    np.testing.assert_allclose(
        found[upper] / found[upper].mean(), expected[upper] / expected[upper].mean(), rtol=1e-3
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_a_start_from_the_graph_is_taken_before_the_first_epoch_alone(name):
    data = titled(told())
    chosen = {"epochs": 1, "learning_rate": 1e-9, "init_epochs": 2}
    plain, started = (fitted(name, data, item_init=kind, **chosen) for kind in ("random", "transe"))
    assert (plain.model.items[:11] - started.model.items[:11]).abs().max() > 1e-3
    torch.testing.assert_close(plain.model.items[11], started.model.items[11])


def test_without_a_graph_item_vectors_start_at_random_and_a_line_says_so(caplog):
    bare = worlds.with_times(worlds.dataset([(0, 0), (0, 1)]))
    for kind, lack in (("transe", "no triples"), ("features", "no features")):
        assert Catalog.from_dataset(bare, SequenceConfig(item_init=kind)).start is None
        assert lack in caplog.text


# Bad input


def test_histories_that_are_longer_than_what_is_read_are_said(caplog):
    caplog.set_level("INFO", "kgrec")
    Catalog.from_dataset(worlds.forks(), SequenceConfig(length=3))
    assert "40 histories have more than length=3 items: rankings read the latest" in caplog.text
    caplog.clear()
    Catalog.from_dataset(worlds.forks(), SequenceConfig(length=4))
    assert "length=" not in caplog.text


@pytest.mark.parametrize("name", SETTINGS)
def test_without_times_there_are_no_sequences(name):
    data = titled(worlds.forks())
    data = replace(data, train=replace(data.train, time=None))
    with pytest.raises(DataError, match=rf"^{name} needs sequences .*--time row"):
        fitted(name, data)


def test_settings_that_cannot_be_are_refused():
    for wrong in ({"dim": 0}, {"length": 0}, {"dropout": 1.0}, {"init_scale": 0.0}):
        with pytest.raises(ConfigError, match=r"^Mine needs"):
            SequenceConfig(**wrong).check("Mine")
    assert all("sequences" in MODELS[name].needs for name in SETTINGS)


def test_what_a_start_from_the_graph_is_worth_can_be_ablated(tmp_path):
    data = worlds.forks(users=20)
    facts = worlds.knowledge(
        np.array([(item, 0, 12 + item % 2) for item in range(12)]),
        [*(f"i{row}" for row in range(12)), "e0", "e1"],
        1,
    )
    last = np.array([18, 19], np.int32)
    data = replace(data, triples=facts, valid=Interactions(last, np.array([2, 3], np.int32)))
    settings = {"dim": 4, "hidden": 4, "length": 4, "epochs": 1, "init_epochs": 1}
    said = {"out": tmp_path, "seeds": 1, "relations": 0, "device": "cpu", "on": "valid"}
    with pytest.raises(ConfigError, match="or a model of histories with item_init=transe"):
        kgrec.ablate(data, "gru4rec", settings=settings, **said)
    settings["item_init"] = "transe"
    found = kgrec.ablate(data, "gru4rec", settings=settings, **said)
    assert found.to_dict()["settings"]["item_init"] == "transe"


def test_new_interactions_of_a_known_user_come_last():
    """The history that is read is what training has in its order, then the new items in theirs."""
    data = worlds.with_times(worlds.checkerboard())
    run = kgrec.fit("gru4rec", data, dim=8, hidden=8, epochs=1)
    user = data.users.key(0)
    had = [data.items.key(int(item)) for item in data.train.item[data.train.user == 0]]
    new = [item for item in data.items if item not in had][:3][::-1]
    known = run.recommend(user, history=new, k=5)
    stranger = run.recommend(history=[*had, *new], k=5)
    assert known["item"].to_list() == stranger["item"].to_list()
    np.testing.assert_allclose(known["score"], stranger["score"], rtol=1e-5)
