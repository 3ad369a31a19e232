from dataclasses import replace

import numpy as np
import pytest
import torch

from kgrec.batches import PairwiseBatch, TripleBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.ktup import KTUP, KTUPConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract, auc


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


pytestmark = pytest.mark.usefixtures("_float64")


def built(data, **config):
    graph = CollaborativeKG.from_dataset(data)
    settings = KTUPConfig(**{"dim": 4, **config})
    return KTUP(graph, settings, torch.Generator().manual_seed(0)).eval()


@pytest.mark.parametrize(("form", "squared"), [("code", 2.77), ("paper", 1.13)])
def test_the_score_is_that_computed_by_hand(form, squared):
    """u = (1, 0), i' = (.5, .5), P = I, R = [[0, 1], [1, 0]], normals diag(.6, .8): similarities
    [1, 1]. As they are: p = (1, 1), n = (.6, .8), u_n = (.64, -.48), i_n = (.08, -.06).
    """
    data = worlds.dataset([(0, 0)], triples=[(0, 0, 1), (0, 1, 1)], num_items=1)
    model = built(data, dim=2, form=form)
    with torch.no_grad():
        model.users.copy_(torch.tensor([[1.0, 0.0]]))
        model.items.copy_(torch.tensor([[0.2, 0.1]]))
        model.entities.copy_(torch.tensor([[0.3, 0.4], [0.0, 0.0]]))
        model.preferences.copy_(torch.eye(2))
        model.relations.copy_(torch.eye(2).flip(0))
        for normals in (model.preference_normals, model.relation_normals):
            normals.copy_(torch.diag(torch.tensor([0.6, 0.8])))

    score = model.pairs(torch.tensor([0]), torch.tensor([0]))
    assert float(score.detach()) == pytest.approx(-squared)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_scores_are_the_equations(form):
    model = built(worlds.random_world(1), form=form)
    with torch.no_grad():
        everything = model.catalog(torch.arange(6))
        for user, item in [(0, 0), (3, 5), (5, 7)]:
            u, i = model.users[user], model.items[item] + model.entities[item]
            both = [(p + r) / 2 for p, r in zip(model.preferences, model.relations, strict=True)]
            normals = [
                (p + r) / 2
                for p, r in zip(model.preference_normals, model.relation_normals, strict=True)
            ]
            weight = torch.stack([(u + i) @ k for k in both])
            if form == "paper":
                weight = weight.exp() / weight.exp().sum()
            p = sum(w * k for w, k in zip(weight, both, strict=True))
            n = sum(w * k for w, k in zip(weight, normals, strict=True))
            if form == "paper":
                n = n / n.norm()
            apart = (u - (n @ u) * n) + p - (i - (n @ i) * n)
            torch.testing.assert_close(everything[user, item], -(apart @ apart))

    users, items = torch.arange(6).repeat_interleave(8), torch.arange(8).repeat(6)
    torch.testing.assert_close(model.pairs(users, items).detach(), everything.flatten())


def test_energies_are_those_of_transh():
    """h = (1, 2), r = (.5, -.5), t = (1, 1), normal (.6, .8): .02."""
    data = worlds.dataset([(0, 0)], triples=[(0, 0, 1)], num_items=1)
    model = built(data, dim=2)
    with torch.no_grad():
        model.entities.copy_(torch.tensor([[1.0, 2.0], [1.0, 1.0]]))
        model.relations.copy_(torch.tensor([[0.5, -0.5]]))
        model.relation_normals.copy_(torch.tensor([[0.6, 0.8]]))
    found = model.energies(torch.tensor([0]), torch.tensor([0]), torch.tensor([1]))
    assert float(found.detach()) == pytest.approx(0.02)
    chance = model.explanation_effects().plausibility(
        torch.tensor([0]), torch.tensor([0]), torch.tensor([1])
    )
    assert float(chance.exp()) == pytest.approx(1 / (1 + 2.718281828**0.02))


def test_losses_are_weighted_by_their_shares():
    data = worlds.random_world(2)
    pairs = PairwiseBatch(torch.tensor([0]), torch.tensor([1]), torch.tensor([2]))
    triples = TripleBatch(
        torch.tensor([0]), torch.tensor([1]), torch.tensor([9]), torch.tensor([12])
    )
    quarter, half = built(data, kg_weight=0.25), built(data, kg_weight=0.5)
    torch.testing.assert_close(quarter.bpr_loss(pairs) / 3, half.bpr_loss(pairs) / 2)
    torch.testing.assert_close(quarter.kg_loss(triples), half.kg_loss(triples) / 2)
    plan = half.plan()
    assert plan.joint
    assert [objective.name for objective in plan.objectives] == ["bpr", "transh"]


def test_items_without_interactions_start_as_their_entities():
    data = worlds.cold_items()
    model = built(data)
    items, entities = model.items.detach(), model.entities.detach()[:60]
    assert torch.equal(items[40:], entities[40:])
    assert not (items[:40] == entities[:40]).any()
    assert model.can_rank(data).items.all()


@pytest.mark.parametrize("wrong", [{"dim": 0}, {"kg_weight": 1.5}, {"align_weight": -1.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="KTUP needs"):
        KTUPConfig(**wrong)


class TestContract(RecommenderContract):
    name = "ktup"
    settings = {"dim": 8, "learning_rate": 0.02}

    @pytest.fixture(autouse=True)
    def _float32(self, _float64):
        torch.set_default_dtype(torch.float32)

    def test_cold_items_are_decided_by_the_knowledge_graph_alone(self):
        """The hinge of TransH pulls entities of a kind together no further than its margin."""
        data = worlds.cold_items(0, users=40, warm=24, cold=24, likes=6)
        own = np.arange(24, 48)[None, :] % 2 == np.arange(40)[:, None] % 2
        tails = np.random.default_rng(0).permutation(data.triples.tail)
        found = []
        for triples in (data.triples, replace(data.triples, tail=tails)):
            world = replace(data, triples=triples)
            more = {"dim": 16, "epochs": 30, "learning_rate": 0.05, "batch_size": 64}
            run = self.run(world, kg_weight=0.8, align_weight=1.0, **more)
            scores = self.scores(run)[:, 24:].numpy()
            found.append(np.mean([auc(row, mask) for row, mask in zip(scores, own, strict=True)]))

        assert found[0] > 0.65, found
        assert found[1] < 0.6, found

    def run(self, data, seed=0, **more):
        size = 16 if data.num_users < 20 else 128
        return super().run(data, seed, **{"batch_size": size, **more})
