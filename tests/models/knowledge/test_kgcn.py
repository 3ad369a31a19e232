import numpy as np
import pytest
import torch

from kgrec.batches import PointwiseBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.kgcn import KGCN, KGCNConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def built(data, **config):
    settings = {"dim": 4, "num_hops": 2, "num_neighbors": 3, **config}
    graph = CollaborativeKG.from_dataset(data)
    return KGCN(graph, KGCNConfig(**settings), torch.Generator().manual_seed(0)).eval()


def by_hand(model, user, item, without=(), keep=False):
    """Return a score, node by node, from the equations; facts in ``without`` are not there."""
    config, facts = model.config, model.facts
    u, entities, relations = (
        p.detach().numpy() for p in (model.users[user], model.entities, model.relations)
    )

    def vector(entity, iterations):
        """Return the entity's vector after some iterations."""
        if iterations == 0:
            return entities[entity]
        number = iterations - 1
        edges = [e for e in model.neighbors[entity].tolist() if e < facts.num_edges]
        left = [e for e in edges if int(facts.fact[e]) not in without]
        weigh = edges if keep else left
        logits = {e: u @ relations[facts.relation[e]] for e in weigh}
        if config.form == "code":
            logits = {e: value / config.dim for e, value in logits.items()}
        # an edge that was drawn twice counts twice
        total = sum(np.exp(logits[e]) for e in weigh)
        around = sum(
            (np.exp(logits[e]) / total * vector(int(facts.tail[e]), number) for e in left),
            np.zeros(config.dim),
        )
        if config.form == "code":
            around = around / config.num_neighbors
        own = vector(entity, number)
        both = {"sum": own + around, "concat": np.concatenate([own, around]), "neighbor": around}
        out = both[config.aggregator] @ model.weights[number].detach().numpy()
        out = out + model.biases[number].detach().numpy()
        return np.tanh(out) if iterations == config.num_hops else np.maximum(out, 0)

    return float(u @ vector(item, config.num_hops))


@pytest.mark.parametrize(
    ("form", "share", "around"),
    [
        ("code", (0.377541, 0.622459), (0.377541, 0.622459)),
        ("paper", (0.268941, 0.731059), (0.537883, 1.462117)),
    ],
)
def test_shares_and_sums_are_those_computed_by_hand(form, share, around):
    """One entity with two neighbors (2, 0) and (0, 2), relations (1, 0) and (0, 1), user (1, 2)."""
    data = worlds.dataset([(0, 0)], triples=[(0, 0, 1), (0, 1, 2)], num_items=1)
    model = built(data, dim=2, num_hops=1, num_neighbors=2, form=form)
    with torch.no_grad():
        model.users.copy_(torch.tensor([[1.0, 2.0]]))
        model.entities.copy_(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]))
        model.relations.copy_(torch.eye(2))
        model.weights[0].copy_(torch.eye(2))

    entities, edges = model.field(torch.tensor([0]))
    shares = model.shares(model.users, edges[0])
    mean = 2 if form == "code" else 1
    order = entities[1][0].argsort()
    assert entities[1][0][order].tolist() == [1, 2]
    found = shares[0, 0][order] * mean
    torch.testing.assert_close(found, torch.tensor(share), atol=1e-6, rtol=0)
    vector = model.vectors(model.users, entities, [shares])
    torch.testing.assert_close(vector[0], torch.tensor(around).tanh(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("aggregator", ["sum", "concat", "neighbor"])
@pytest.mark.parametrize("form", ["paper", "code"])
def test_scores_are_the_equations(aggregator, form):
    model = built(worlds.random_world(1), aggregator=aggregator, form=form)
    with torch.no_grad():
        model.relations.mul_(5)
        model.biases.fill_(0.2)
        everything = model.catalog(torch.arange(6))

    expected = [[by_hand(model, u, i) for i in range(8)] for u in range(6)]
    torch.testing.assert_close(everything, torch.tensor(expected))
    users, items = torch.arange(6).repeat_interleave(8), torch.arange(8).repeat(6)
    torch.testing.assert_close(model.pairs(users, items), everything.flatten())


@pytest.mark.parametrize("keep", [True, False])
def test_effects_are_fields_without_the_facts(keep):
    model = built(worlds.random_world(2))
    effects = model.explanation_effects()
    drawn = [int(f) for f in model.facts.fact[model.neighbors[3]] if f < len(model.ckg.head)]
    groups = [[], [drawn[0]], drawn, list(range(len(model.ckg.head)))]
    expected = [by_hand(model, 1, 3, without=set(group), keep=keep) for group in groups]
    found = effects.rerun(1, 3, groups, keep_weights=keep)
    torch.testing.assert_close(found, torch.tensor(expected))

    # a small step along a fact's weight
    screened = effects.screen(1, 3)
    kept = torch.ones(1, len(model.ckg.head) + 1)
    kept[0, drawn[0]] -= 1e-6
    moved = effects.scores(1, 3, kept, keep_weights=True).detach()
    whole = effects.rerun(1, 3, [[]])
    assert float((whole - moved)[0] / 1e-6) == pytest.approx(float(screened[drawn[0]]), abs=1e-5)
    assert screened[model.ckg.relation == 0].abs().max() == 0  # interactions are not read


def test_every_edge_is_as_likely_and_none_comes_twice_where_there_are_enough():
    triples = [(0, 0, t) for t in range(1, 11)]
    model = built(worlds.dataset([(0, 0)], triples=triples, num_items=1), num_neighbors=4)
    times = np.zeros(11)
    for seed in range(300):
        tails = model.facts.tail[model.facts.around(4, torch.Generator().manual_seed(seed))[0]]
        assert len(set(tails.tolist())) == 4
        times[tails] += 1

    assert times[1:].min() > 80  # of 120
    assert times[1:].max() < 160
    all_of_few = model.facts.around(13, torch.Generator().manual_seed(0))[0]
    assert set(model.facts.tail[all_of_few].tolist()) == set(range(1, 11))


def test_fields_that_would_not_fit_are_refused():
    model = built(worlds.random_world(0), num_hops=20, num_neighbors=8)
    batch = PointwiseBatch(torch.tensor([0]), torch.tensor([0]), torch.tensor([1.0]))
    with pytest.raises(ConfigError, match=r"20 hops of 8 neighbors .* GiB.*num_hops"):
        model.loss(batch)


@pytest.mark.parametrize("wrong", [{"num_hops": 0}, {"negatives": 0}, {"l2_weight": -1.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="KGCN needs"):
        KGCNConfig(**wrong)


class TestContract(RecommenderContract):
    name = "kgcn"
    settings = {"dim": 8, "learning_rate": 0.02, "num_neighbors": 4, "l2_weight": 1e-3}
    uses_knowledge = True
