"""KGFuse against its equations computed densely, and against refits made from nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import kgrec
from kgrec.batches import PositiveBatch, UserBatch
from kgrec.data.derive.removal import Removal, without
from kgrec.errors import ConfigError
from kgrec.evaluation.report import evaluate
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.graph.attributes import ItemAttributes
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.kgfuse import KGFuse, KGFuseConfig
from kgrec.queries import queries
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

SMALL = {
    "dim": 8,
    "steps": 2,
    "l2": 5.0,
    "trial_epochs": 1,
    "attribute_weights": (0.0, 3.0),
    "item_weights": (0.0, 0.1, 1.0, 10.0),
}


def world():
    """Cold items and a validation part."""
    found = worlds.cold_items(users=24, warm=20, cold=8)
    valid = [(user, 2 * (user % 5) + user % 2) for user in range(24)]
    train = [
        pair
        for pair in zip(found.train.user.tolist(), found.train.item.tolist(), strict=True)
        if pair not in valid
    ]
    facts = np.stack([found.triples.head, found.triples.relation, found.triples.tail], 1)
    test = list(zip(found.test.user.tolist(), found.test.item.tolist(), strict=True))
    return worlds.dataset(train, valid, test, facts, num_entities=found.num_entities)


def fitted(data, **more):
    return kgrec.fit(
        "kgfuse", data, device="cpu", **{**SMALL, "epochs": 4, "learning_rate": 0.05, **more}
    )


def scores_of(run):
    query = queries(run.data.train, np.arange(run.data.num_users))
    with torch.inference_mode():
        return run.scorer()(query).double().numpy()


@pytest.fixture(scope="module")
def data():
    return world()


@pytest.fixture(scope="module")
def run(data):
    return fitted(data)


def ridge(data, weights, l2, min_items=2):
    """Item weights by a regression per item: the constraint that none predicts itself, solved."""
    table = data.train.csr(data.num_users, data.num_items).toarray().astype(float)
    found = ItemAttributes.from_dataset(data, min_items)
    rows = found.matrix.toarray().T * np.sqrt(np.array(weights)[found.relation])[:, None]
    stacked = np.concatenate([table, rows])
    size = data.num_items
    made = np.zeros((size, size))
    for item in range(size):
        others = np.delete(np.arange(size), item)
        x, y = stacked[:, others], stacked[:, item]
        made[others, item] = np.linalg.solve(x.T @ x + l2 * np.eye(size - 1), x.T @ y)
    return table @ made


def propagated(model, ckg):
    """Cosines of users and items by a dense normalized graph."""
    size = ckg.num_nodes
    near = np.zeros((size, size))
    near[ckg.head, ckg.tail] = near[ckg.tail, ckg.head] = 1
    degree = np.maximum(near.sum(1), 1)
    near /= np.sqrt(np.outer(degree, degree))
    start = model.graphs.best.nodes.detach().double().numpy()
    z = (start + near @ start + near @ near @ start) / 3
    items = z[: ckg.num_items]
    lengths = np.maximum(np.linalg.norm(items, axis=1, keepdims=True), 1e-12)
    return z[ckg.num_entities :] @ (items / lengths).T


def by_equation(run, data):
    """Eq. (1), the graph and the regressions being those of a dataset."""
    model = run.model
    of_items = ridge(data, model.item_weights.relation_weights.tolist(), SMALL["l2"])
    of_graph = propagated(model, CollaborativeKG.from_dataset(data))
    left, right = model.factors.tolist()
    return left * of_items + right * of_graph


class TestKGFuse(RecommenderContract):
    name = "kgfuse"
    settings = {**SMALL, "learning_rate": 0.05}
    uses_knowledge = True
    by_heart = 0.6

    def test_scores_are_those_of_the_equations(self, run, data):
        np.testing.assert_allclose(scores_of(run), by_equation(run, data), rtol=1e-4, atol=1e-5)

    def test_scales_are_deviations_within_a_user(self, run, data):
        model = run.model
        known = model.can_rank(data).items
        for number, table in enumerate(
            (
                ridge(data, model.item_weights.relation_weights.tolist(), SMALL["l2"]),
                propagated(model, CollaborativeKG.from_dataset(data)),
            )
        ):
            part = table[:, known]
            within = np.sqrt(np.mean(np.square(part - part.mean(1, keepdims=True))))
            g = run.summary["settled"]["item_weights"][0] if number == 0 else 1.0
            assert float(model.factors[number]) == pytest.approx(g / within, rel=1e-4)


def test_what_is_chosen_is_best_on_validation(data, run):
    model = run.model
    chosen = run.summary["settled"]
    measured = {
        g: evaluate(_fixed(model, g), data, "valid", (10,), ("ndcg",)).metrics["ndcg@10"]
        for g in SMALL["item_weights"]
    }
    assert measured[chosen["item_weights"][0]] == max(measured.values())
    assert run.summary["valid"]["ndcg@10"] == pytest.approx(max(measured.values()))
    assert len(set(measured.values())) > 1
    left = [number for number, graph in enumerate(model.graphs.graphs) if len(graph.nodes)]
    rivals = [(v, tau) for v in run.config.triple_weights for tau in run.config.temperatures]
    kept = [(*chosen["triple_weights"], *chosen["temperatures"])]
    assert [rivals[n] for n in left] == kept


def _fixed(model, g):
    left, right = model.factors.tolist()
    scale = left / float(model.chosen)

    def scorer(query, items=None):
        a, b = (scorer(query, items) for scorer in model.scorers())
        return scale * g * a + right * b

    return scorer


def test_the_loss_by_user_is_that_by_interaction(data):
    """One row of cosines per user gives the same number and gradients, L2 as well."""
    torch.set_default_dtype(torch.float64)
    try:
        config = KGFuseConfig(dim=4, triple_weights=(0.0,), l2_weight=0.3)
        model = KGFuse(data, config, torch.Generator().manual_seed(0))
        matrix = data.train.csr(data.num_users, data.num_items)
        users = torch.tensor([3, 0, 7])
        lists = [torch.from_numpy(matrix[int(u)].indices).long() for u in users]
        items = torch.nn.utils.rnn.pad_sequence(lists, batch_first=True)
        mask = torch.arange(items.shape[1]) < torch.tensor([len(own) for own in lists])[:, None]
        pairs = PositiveBatch(torch.repeat_interleave(users, mask.sum(1)), torch.cat(lists))
        losses = (
            model.graphs.user_loss(UserBatch(users, items, mask)),
            model.graphs.pair_loss(pairs),
        )
        gradients = [torch.autograd.grad(loss, model.graphs.best.nodes)[0] for loss in losses]
        torch.testing.assert_close(losses[0], losses[1])
        torch.testing.assert_close(gradients[0], gradients[1])
        assert float(gradients[0].abs().max()) > 1e-3
    finally:
        torch.set_default_dtype(torch.float32)


def test_budgets_add_up_and_drops_are_scores_without(data, run):
    table = scores_of(run)
    explained = ExplainedModel(run)
    graph = explained.graph
    left, right = run.model.factors.tolist()
    weights = run.model.item_weights.weights.double().numpy()
    for user in range(4):
        item = int(np.argmax(table[user]))
        budget = run.explain(f"u{user}", f"i{item}").budget
        total = budget.own + budget.bias + budget.residual + sum(budget.other.values())
        total += sum(term.value for term in budget.by_liked)
        assert budget.basis == "exact"
        assert abs(budget.residual) <= 1e-6 * max(1, abs(table[user, item]))
        assert total == pytest.approx(table[user, item], rel=1e-5)

        # item weights and vectors as they are; the history and the graph without the like
        liked = int(data.train.item[data.train.user == user][0])
        edited = without(data, Removal(interactions=((user, liked),)))
        own = edited.train.csr(data.num_users, data.num_items)[user].toarray()[0] @ weights
        around = propagated(run.model, CollaborativeKG.from_dataset(edited))[user]
        expected = left * own[item] + right * around[item]
        edge = np.flatnonzero((graph.low == liked) & (graph.high == graph.ckg.user_node(user)))
        found = explained.effects_at(user, item).without([edge])[0, 1]
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_effects_through_training_equal_refits_of_item_weights(data, run):
    effects = run.model.explanation_effects()
    drawn = np.random.default_rng(0)
    for _ in range(6):
        rows = tuple(sorted(drawn.choice(len(data.triples), 2, replace=False).tolist()))
        at = drawn.integers(len(data.train.user))
        pair = (int(data.train.user[at]), int(data.train.item[at]))
        removal = Removal(interactions=(pair,), triples=rows)
        user = pair[0]
        items = [0, 5, 21]
        found = effects.refitted_scores(user, items, removal)
        expected = by_equation(run, without(data, removal))[user, items]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)

    found = run.explain("u0", "i2", scope="training")
    assert not found.training.exact
    assert "exact" in found.training.to_text()


class StoppedError(Exception):
    """A training that somebody cut off."""


@pytest.mark.parametrize("at", [1, 3])
def test_resumed_training_is_bit_equal(at, data, run, tmp_path, monkeypatch):
    """Cut off while values are tried, and when one is left."""
    place = data.save(tmp_path / "data")
    monkeypatch.setattr("kgrec.runs.fit._SECONDS_BETWEEN_CHECKPOINTS", 0.0)

    def stop(state):
        if state.epoch == at:
            raise StoppedError

    with pytest.raises(StoppedError):
        fitted(place, out=tmp_path / "run", on_epoch=stop)
    resumed = kgrec.fit("kgfuse", place, out=tmp_path / "run", resume=True)
    assert np.array_equal(scores_of(run), scores_of(resumed))
    assert resumed.summary["settled"] == run.summary["settled"]


def test_a_refit_takes_what_was_chosen(data, run):
    again = fitted(data, refit=True)
    settled = run.summary["settled"]
    assert again.config.triple_weights == settled["triple_weights"]
    assert again.config.temperatures == settled["temperatures"]
    assert again.config.relation_weights == settled["relation_weights"]
    assert again.config.item_weights == settled["item_weights"]
    assert len(again.data.train) == len(data.train) + len(data.valid) + len(data.test)


def test_without_validation_it_takes_stated_values(data):
    run = fitted(replace(data, valid=data.valid.take(np.arange(0))), epochs=2)
    settled = run.summary["settled"]
    assert settled["item_weights"] == (0.1,)
    assert settled["triple_weights"] == (0.0,)
    assert np.isfinite(scores_of(run)).all()


def test_without_triples_it_still_ranks(data):
    bare = replace(data, triples=worlds.dataset([(0, 0)], num_items=28, num_users=24).triples)
    model = KGFuse.from_dataset(bare, KGFuseConfig(dim=4), torch.Generator().manual_seed(0))
    assert len(model.plan().objectives) == 1


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"triple_weights": ()}, "triple_weights"),
        ({"item_weights": (1.0, 1.0)}, "distinct"),
        ({"attribute_weights": (-1.0,)}, "attribute_weights"),
        ({"temperatures": (0.2, 0.0)}, "temperature"),
        ({"triple_temperature": 2.0}, "temperature"),
        ({"relation_weights": (1.0, 2.0, 3.0)}, "relation_weights"),
    ],
)
def test_nonsense_is_refused(setting, words, data):
    with pytest.raises(ConfigError, match=words):
        fitted(data, **setting)
