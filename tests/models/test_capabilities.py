"""Capabilities are declared by hooks; the names of a model's own attributes say nothing."""

import dataclasses

import pytest
import torch

import kgrec
from kgrec.batches import PairwiseBatch
from kgrec.errors import CapabilityError, ModelError
from kgrec.models.base import DotProduct, Objective, Plan, Recommender
from kgrec.models.capabilities import Parted, ScoreParts
from kgrec.models.catalog import MODELS
from kgrec.models.effects import HistoryEffects
from kgrec.nn.losses import bpr
from kgrec.testing import worlds


@dataclasses.dataclass(frozen=True)
class MineConfig:
    dim: int = 8


class Mine(kgrec.Recommender):
    """Matrix factorization as it is often written: common names for parameters and modules."""

    def __init__(self, num_users, num_items, config, generator):
        super().__init__()
        self.num_users = num_users
        self.embeddings = torch.nn.Embedding(num_users + num_items, config.dim)
        with torch.no_grad():
            self.embeddings.weight.normal_(generator=generator)
        self.parts = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
        self.intents = torch.nn.Linear(2, 2)
        self.screen = torch.nn.Dropout(0.1)
        self.rerun = torch.nn.ReLU()
        self.propagation = torch.nn.ReLU()
        self.on_graph = torch.nn.ReLU()
        self.history_scores = torch.nn.ReLU()
        self.plausibility = torch.nn.Sigmoid()
        self.score_tails = torch.nn.ReLU()
        self.score_heads = torch.nn.ReLU()
        self.ckg = torch.nn.Module()
        self.merges_relations = self.through_users = True
        self.name, self.model, self.data = "mine", torch.nn.ReLU(), None  # as a run has them

    @classmethod
    def from_dataset(cls, data, config: MineConfig, generator):
        return cls(data.num_users, data.num_items, config, generator)

    def loss(self, batch):
        user = self.embeddings(batch.user)
        positive, negative = (
            self.embeddings(self.num_users + item) for item in (batch.positive, batch.negative)
        )
        return bpr((user * positive).sum(1), (user * negative).sum(1))

    def plan(self):
        return Plan((Objective(PairwiseBatch, self.loss, name="bpr"),))

    def scorer(self):
        return DotProduct(*self.embeddings.weight.tensor_split([self.num_users]))


def test_common_names_are_no_capabilities():
    run = kgrec.fit(Mine, "films", epochs=1)
    vectors = run.embeddings()
    assert set(vectors) == {"users", "items"}
    weight = run.model.embeddings.weight.detach()
    got = torch.tensor(vectors["items"]["vector"].to_list())
    torch.testing.assert_close(got, weight[run.data.num_users :])
    assert run.vectors().function == "inner_product"

    item = run.recommend("u0001", k=1)["item"][0]
    explained = run.explain("u0001", item)
    assert explained.paths
    assert {path.basis for path in explained.paths} == {"not measured"}
    assert "is not measured: the model offers no deletion" in explained.notes[0]
    assert explained.budget is None
    with pytest.raises(CapabilityError, match="does not state what other interactions"):
        run.explainer().flip("u0001", item)
    with pytest.raises(CapabilityError, match="does not score triples"):
        run.evaluate(protocol="triples")
    model_alone = kgrec.Explainer(run.model, run.data)
    assert model_alone.explain("u0001", item).paths


def test_the_note_points_to_a_budget_only_where_there_is_one():
    class ByHistory(Mine):
        def explanation_effects(self):
            return HistoryEffects(self, torch.device("cpu"))

    run = kgrec.fit(ByHistory, "films", epochs=1)
    explained = run.explain("u0001", run.recommend("u0001", k=1)["item"][0])
    assert explained.budget is None
    assert explained.notes[0].endswith("is not known. What each like does is known.")


@pytest.mark.parametrize("value", [torch.nn.ReLU(), torch.nn.Parameter(torch.ones(1)), 3, None])
@pytest.mark.parametrize(
    "hook", ["scorer", "plan", "can_rank", "export_vectors", "explanation_effects"]
)
def test_an_attribute_named_like_a_hook_is_refused(hook, value):
    class Taken(Mine):
        def __init__(self, *parts):
            super().__init__(*parts)
            setattr(self, hook, value)

    kind = type(value).__name__
    with pytest.raises(ModelError, match=rf"^Taken\.{hook} cannot be set to a {kind}: .*another"):
        Taken(2, 3, MineConfig(), torch.Generator())


def test_a_hook_that_is_no_method_is_refused_where_the_class_is_defined():
    with pytest.raises(ModelError, match=r"Fixed\.export_vectors is dict, .* hook .* method"):
        type("Fixed", (Mine,), {"export_vectors": {}})
    with pytest.raises(ModelError, match=r"Fixed\.scorer is property"):
        type("Fixed", (Mine,), {"scorer": property(lambda self: None)})


def test_every_hook_is_a_method_of_the_base():
    from kgrec.models.base import _HOOKS

    public = {
        name
        for name, value in vars(Recommender).items()
        if not name.startswith("_") and (callable(value) or isinstance(value, classmethod))
    }
    assert public == _HOOKS


def test_effects_that_a_model_returns_are_used():
    class Own(Parted):
        def score_parts(self, user, item):
            return ScoreParts(1.0, other={"all the rest": 2.0})

    class Explained(Mine):
        def explanation_effects(self):
            return Own()

    data = worlds.cold_items()
    model = Explained.from_dataset(data, MineConfig(), torch.Generator().manual_seed(0))
    budget = kgrec.Explainer(model, data).explain("u1", "i3").budget
    assert (budget.own, dict(budget.other)) == (1.0, {"all the rest": 2.0})


@pytest.mark.parametrize("name", MODELS)
def test_models_of_the_catalog_declare_what_they_have(name):
    model = MODELS[name].load()[0]
    overrides = model.triple_scorer is not Recommender.triple_scorer
    assert model.scores_triples == overrides
