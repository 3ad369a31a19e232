from dataclasses import replace

import numpy as np
import pytest
import torch

import kgrec
from kgrec.batches import PointwiseBatch
from kgrec.errors import ConfigError, GraphError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.ripplenet import RippleNet, RippleNetConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract, auc


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


pytestmark = pytest.mark.usefixtures("_float64")


def built(data, **config):
    settings = {"dim": 3, "num_hops": 2, "memory": 4, **config}
    graph = CollaborativeKG.from_dataset(data)
    return RippleNet(graph, RippleNetConfig(**settings), torch.Generator().manual_seed(0)).eval()


def by_hand(model, user, item, without=(), keep=False):
    """Return a score, triple by triple, from the equations; facts in ``without`` are not there."""
    facts, ckg = model.facts, model.ckg
    entities, relations = (p.detach().numpy() for p in (model.entities, model.relations))
    node = ckg.user_node(user)
    reached = {
        int(t)
        for f, (h, r, t) in enumerate(zip(ckg.head, ckg.relation, ckg.tail, strict=True))
        if h == node and r == 0 and f not in without
    }
    v, total, before, left = entities[item], 0.0, None, []
    for edges in model.ripples[user].tolist():
        drawn = [e for e in edges if e < facts.num_edges]
        if edges != before:
            left = [
                e
                for e in drawn
                if int(facts.head[e]) in reached and int(facts.fact[e]) not in without
            ]
            reached = {int(facts.tail[e]) for e in left}
        before = edges
        logit = {e: v @ relations[facts.relation[e]] @ entities[facts.head[e]] for e in drawn}
        weigh = drawn if keep else left
        mass = sum(np.exp(logit[e]) for e in weigh)
        answer = sum(
            (np.exp(logit[e]) / mass * entities[facts.tail[e]] for e in left),
            np.zeros(len(v)),
        )
        if model.config.form == "code":
            v = (v + answer) @ model.transform.detach().numpy()
        total = total + answer
    return float(v @ total)


@pytest.mark.parametrize(("form", "chance"), [("paper", 0.592667), ("code", 0.718594)])
def test_the_score_is_that_computed_by_hand(form, chance):
    """One hop of two triples: h = (1, 0), R = I, t = (.5, .5) and h = (0, 1), R = [[0, 1], [1, 0]],
    t = (-.5, 1); v = (1, .5).
    """
    data = worlds.dataset(
        [(0, 1), (0, 2)], triples=[(1, 0, 3), (2, 1, 4)], num_items=3, num_entities=5
    )
    model = built(data, dim=2, num_hops=1, memory=2, form=form, inverses=False)
    with torch.no_grad():
        rows = [(1.0, 0.5), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (-0.5, 1.0)]
        model.entities.copy_(torch.tensor(rows))
        model.relations.copy_(torch.stack([torch.eye(2), torch.eye(2).flip(0)]))
        if form == "code":
            model.transform.copy_(torch.eye(2))

    assert sorted(model.facts.tail[model.ripples[0, 0]].tolist()) == [3, 4]
    logit = model.pairs(torch.tensor([0]), torch.tensor([0]))
    assert float(torch.sigmoid(logit.detach())) == pytest.approx(chance, abs=1e-6)


@pytest.mark.parametrize("form", ["paper", "code"])
@pytest.mark.parametrize("inverses", [True, False])
def test_scores_are_the_equations(form, inverses):
    model = built(worlds.random_world(1), form=form, inverses=inverses)
    with torch.no_grad():
        model.entities.mul_(3)
        model.relations.mul_(3)
        everything = model.catalog(torch.arange(6))

    expected = [[by_hand(model, u, i) for i in range(8)] for u in range(6)]
    torch.testing.assert_close(everything, torch.tensor(expected))
    users, items = torch.arange(6).repeat_interleave(8), torch.arange(8).repeat(6)
    torch.testing.assert_close(model.pairs(users, items), everything.flatten())


def test_a_hop_starts_where_the_one_before_ended_and_an_empty_one_repeats_it():
    data = worlds.dataset(
        [(0, 0), (1, 1), (2, 3)],
        triples=[(0, 0, 4), (1, 0, 2), (2, 1, 4), (2, 0, 0)],
        num_items=4,
        num_entities=5,
    )
    model = built(data, inverses=False)
    facts = model.facts
    assert facts.tail[model.ripples[0]].tolist() == [[4] * 4, [4] * 4]  # 4 leads nowhere
    assert facts.head[model.ripples[1]].tolist() == [[1] * 4, [2] * 4]
    assert sorted(facts.tail[model.ripples[1, 1]].tolist()) == [0, 0, 4, 4]
    assert not facts.there(model.ripples[2]).any()


def test_the_loss_of_triples_and_l2_are_those_of_the_authors_code():
    model = built(worlds.random_world(1), kg_weight=0.3, l2_weight=0.01)
    batch = PointwiseBatch(
        torch.tensor([0, 3, 0]), torch.tensor([1, 2, 5]), torch.tensor([1.0, 0, 0])
    )
    score = model.pairs(batch.user, batch.item)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(score, batch.label)
    expected = float(plain.detach())
    for hop in range(2):
        for user in batch.user.tolist():
            for edge in model.ripples[user, hop].tolist():
                if edge == model.facts.num_edges:
                    continue
                h, t = (model.entities[part[edge]] for part in (model.facts.head, model.facts.tail))
                r = model.relations[model.facts.relation[edge]]
                expected -= 0.3 * float(torch.sigmoid(h @ r.T @ t).detach()) / (3 * 4)
                expected += 0.01 * float((h.square().sum() + t.square().sum()).detach())
                expected += 0.01 * float(r.square().sum().detach())
    # R h with t is h^T R^T t
    assert float(model.loss(batch).detach()) == pytest.approx(expected)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("form", ["paper", "code"])
def test_effects_are_ripple_sets_without_likes_and_facts(keep, form):
    model = built(worlds.random_world(2), form=form)
    ckg, effects = model.ckg, model.explanation_effects()
    user = 1
    likes = np.flatnonzero((ckg.head == ckg.user_node(user)) & (ckg.relation == 0)).tolist()
    drawn = [int(f) for f in model.facts.fact[model.ripples[user, 0]] if f < len(ckg.head)]
    groups = [[], [likes[0]], [drawn[0]], [likes[0], drawn[-1]], likes, list(range(len(ckg.head)))]
    expected = [by_hand(model, user, 3, without=set(group), keep=keep) for group in groups]
    found = effects.rerun(user, 3, groups, keep_weights=keep)
    torch.testing.assert_close(found, torch.tensor(expected))
    assert float(found[-1]) == 0.0  # without its likes nothing is left

    screened = effects.screen(user, 3)
    others = (ckg.relation == 0) & (ckg.head != ckg.user_node(user))
    assert screened[torch.from_numpy(others)].abs().max() == 0
    assert screened.abs().max() > 0


def test_a_user_without_ripple_set_is_not_ranked_for():
    data = worlds.dataset([(0, 0), (1, 1)], triples=[(0, 0, 2)], num_items=2)
    model = built(data)
    assert model.can_rank(data).users.tolist() == [True, False]
    assert (model.catalog(torch.tensor([1])) == 0).all()


def test_a_graph_whose_triples_no_item_heads_is_refused():
    data = worlds.dataset([(0, 0)], triples=[(1, 0, 0)], num_items=1)
    with pytest.raises(GraphError, match="inverses=true"):
        built(data, inverses=False)
    model = built(data, inverses=True)
    assert model.facts.there(model.ripples).all()


def test_ripple_sets_that_would_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"ripple sets of 9 hops .* GiB.*memory"):
        built(worlds.random_world(0), num_hops=9, memory=10**12)


def test_users_are_told_apart_by_what_their_items_have_in_the_graph_and_by_nothing_else():
    """No user has a vector: where all items have one and the same triple, all users are alike."""
    torch.set_default_dtype(torch.float32)
    data = worlds.cold_items()
    alike = replace(
        data.triples,
        relation=np.zeros_like(data.triples.relation),
        tail=np.full_like(data.triples.tail, 60),
    )
    found = []
    for triples in (data.triples, alike):
        run = kgrec.fit(
            "ripplenet",
            replace(data, triples=triples),
            **{"dim": 8, "memory": 8, "epochs": 6, "batch_size": 128, "learning_rate": 0.03},
            inverses=False,
            device="cpu",
        )
        with torch.inference_mode():
            scores = run.scorer().catalog(torch.arange(60))[:, :40].numpy()
        own = np.arange(40)[None, :] % 2 == np.arange(60)[:, None] % 2
        used = data.train.csr(60, 60).toarray()[:, :40] > 0
        rows = zip(scores, own, ~used, strict=True)
        found.append(np.mean([auc(row[new], mask[new]) for row, mask, new in rows]))

    assert found[0] > 0.9
    assert found[1] < 0.6


def test_items_without_interactions_are_ranked_by_their_triples():
    """By what else has their triples, inverses walked: not where tails are exchanged."""
    torch.set_default_dtype(torch.float32)
    data = worlds.cold_items()
    tails = np.random.default_rng(0).permutation(data.triples.tail)
    own = np.arange(40, 60)[None, :] % 2 == np.arange(60)[:, None] % 2
    found = []
    for triples in (data.triples, replace(data.triples, tail=tails)):
        more = {"epochs": 15, "batch_size": 128, "learning_rate": 0.02, "device": "cpu"}
        world = replace(data, triples=triples)
        run = kgrec.fit("ripplenet", world, dim=8, memory=16, **more)
        assert run.model.can_rank(world).items.all()
        with torch.inference_mode():
            scores = run.scorer().catalog(torch.arange(60))[:, 40:].numpy()
        found.append(np.mean([auc(row, mask) for row, mask in zip(scores, own, strict=True)]))

    assert found[0] > 0.9, found
    assert found[1] < 0.7, found


class TestContract(RecommenderContract):
    name = "ripplenet"
    settings = {"dim": 8, "learning_rate": 0.02, "memory": 16, "inverses": False}

    @pytest.fixture(autouse=True)
    def _float32(self, _float64):
        torch.set_default_dtype(torch.float32)
