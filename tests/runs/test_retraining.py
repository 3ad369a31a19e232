"""Training without what was never in the data, by the draws of a training that has it."""

import numpy as np
import pytest
import torch

from kgrec.batches import PairwiseBatch, PositiveBatch, TripleBatch
from kgrec.data.derive.removal import Removal, without
from kgrec.models.base import Objective, Plan, Recommender
from kgrec.models.sources import Triples
from kgrec.queries import queries
from kgrec.runs.retraining import Retraining
from kgrec.runs.run import build_model
from kgrec.runs.settings import choose
from kgrec.runs.withdrawn import can_withdraw, plan_without
from kgrec.testing import worlds
from kgrec.training.config import TrainConfig
from kgrec.training.loop import train


class Stub(Recommender):
    """A model of these objectives."""

    def __init__(self, objectives):
        super().__init__()
        self.objectives = objectives

    @classmethod
    def from_dataset(cls, data, config, generator):
        raise NotImplementedError

    def scorer(self):
        raise NotImplementedError

    def plan(self):
        return Plan(tuple(self.objectives))


def ids(*values):
    return torch.tensor(values)


def seen(kind, source=None, source_of_whole=None):
    """Return the batches that the loss of an objective gets, and the objective without (1, 2)."""
    batches = []

    def loss(batch):
        batches.append(batch)
        return torch.ones(())

    edited = Stub([Objective(kind, loss, source=source)])
    whole = Stub([Objective(kind, loss, source=source_of_whole)])
    (objective,) = plan_without(edited, whole, Removal(((1, 2),)), num_items=5).objectives
    return batches, objective


def test_rows_of_removed_interactions_are_left_out():
    batches, objective = seen(PairwiseBatch)
    batch = PairwiseBatch(ids(0, 1, 1), ids(2, 2, 3), ids(4, 4, 4))
    assert objective.loss(batch) == 1
    assert batches[0].user.tolist() == [0, 1]
    assert batches[0].positive.tolist() == [2, 3]


def test_a_batch_of_nothing_else_has_no_loss():
    _, objective = seen(PositiveBatch)
    assert objective.loss(PositiveBatch(ids(1), ids(2))) == 0


def test_rows_of_removed_facts_are_left_out_and_draws_are_those_of_all_facts():
    whole = Triples(ids(0, 1, 2), ids(0, 0, 1), ids(3, 3, 4), num_tails=5)
    edited = Triples(ids(0, 2), ids(0, 1), ids(3, 4), num_tails=5)
    batches, objective = seen(TripleBatch, edited, whole)
    assert objective.source is whole
    objective.loss(TripleBatch(ids(1, 2), ids(0, 1), ids(3, 4), ids(0, 0)))
    assert batches[0].head.tolist() == [2]


def test_plans_of_other_batches_cannot():
    assert not can_withdraw(Plan((Objective(object, lambda batch: torch.ones(())),)))


@pytest.mark.parametrize("name", ["bprmf", "lightgcn-kg", "kgat", "cke"])
def test_what_nothing_reads_changes_nothing(name):
    """A training without nothing equals one by the model's own plan, bit for bit."""
    data = worlds.planted("interactions", users=20)
    chosen = choose(name, "default", {"dim": 4} if name != "kgat" else {})
    config = TrainConfig(epochs=2, batch_size=64, patience=0)

    def build(data, seed):
        return build_model(chosen, data, seed)

    again = Retraining(build, data, config, 3, epochs=2)
    model = build(data, 3)
    train(model, data, config, seed=3, device=torch.device("cpu"))
    model.eval()
    query = everyone(data)
    with torch.inference_mode():
        torch.testing.assert_close(
            again.scorer(Removal())(query), model.scorer()(query), atol=0, rtol=0
        )


def everyone(data):
    return queries(data.train, np.arange(data.num_users))


@pytest.mark.parametrize("name", ["lightgcn-kg", "kgat"])
def test_training_goes_on_from_parameters_on_an_edited_graph(name):
    data = worlds.planted("interactions", users=20)
    chosen = choose(name, "default", {})

    def build(data, seed):
        return build_model(chosen, data, seed)

    start = build(data, 0).state_dict()
    again = Retraining(build, data, TrainConfig(), 0, start=start, epochs=1)
    like = (1, int(data.train.item[data.train.user == 1][0]))
    whole = again.score(1, 7, Removal())
    assert again.score(1, 7, Removal((like,), (0,))) != whole
    assert again.score(1, 7, Removal()) == whole


def test_an_item_gone_from_the_data_is_not_trained():
    """Without its only interactions an item keeps its first vector, but for the decay."""
    data = worlds.dataset([(0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (2, 2), (3, 3)], num_items=5)
    chosen = choose("bprmf", "default", {"dim": 4, "l2_weight": 0.0})
    gone = Removal(((3, 3),))
    again = Retraining(
        lambda data, seed: build_model(chosen, data, seed),
        data,
        TrainConfig(batch_size=2),
        0,
        epochs=3,
    )
    first = build_model(chosen, data, 0).scorer().users[3]
    assert torch.equal(again.scorer(gone).users[3], first)
    assert not torch.equal(again.scorer(Removal()).users[3], first)


def test_closed_forms_are_refits():
    data = worlds.planted("interactions", users=20)
    chosen = choose("gfcf", "default", {"k": 4})

    def build(data, seed):
        return build_model(chosen, data, seed)

    removal = Removal(((1, int(data.train.item[data.train.user == 1][0])),))
    again = Retraining(build, data, TrainConfig(), 0)
    model = build(without(data, removal), 0)
    model.plan().fit()
    assert again.exact
    expected = float(model.scorer()(everyone(without(data, removal)))[1, 7])
    assert again.score(1, 7, removal) == pytest.approx(expected, rel=1e-6)
