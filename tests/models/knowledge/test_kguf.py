from dataclasses import replace

import numpy as np
import pytest
import torch

from kgrec.batches import PairwiseBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.kguf import KGUF, KGUFConfig
from kgrec.models.knowledge.kguf_trees import chosen_features, features_of_items
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


pytestmark = pytest.mark.usefixtures("_float64")


def built(data, chosen=None, **config):
    settings = KGUFConfig(**{"dim": 3, "num_layers": 2, **config})
    ckg = CollaborativeKG.from_dataset(data)
    return KGUF(ckg, settings, torch.Generator().manual_seed(0), chosen).eval()


def by_hand(model, without=()):
    """Return z of items and users, one sum after the other; facts in ``without`` are not there."""
    ckg, config = model.ckg, model.config
    facts = [
        f
        for n, f in enumerate(zip(ckg.head, ckg.relation, ckg.tail, strict=True))
        if n not in without
    ]
    used, said = {}, {}
    chosen = model.chosen.tolist()
    for head, relation, tail in facts:
        if relation == 0:
            used.setdefault(int(head) - ckg.num_entities, set()).add(int(tail))
        elif head < ckg.num_items:
            key = (int(relation) - 1) * ckg.num_entities + int(tail)
            if key in chosen:
                said.setdefault(int(head), set()).add(chosen.index(key))
    by = {i: {u for u in used if i in used[u]} for i in range(ckg.num_items)}
    table, start = (p.detach().numpy() for p in (model.features, model.nodes))
    f = [
        np.mean([table[n] for n in said[i]], 0) if i in said else np.zeros(config.dim)
        for i in range(ckg.num_items)
    ]
    x_i, x_u = start[: ckg.num_items], start[ckg.num_items :]
    if config.gathered_by == "items":
        warm = np.isin(np.arange(len(x_i)), ckg.tail[ckg.relation == 0])
        x_i = np.where(warm[:, None], x_i, 0.0)
    total = [x_i, x_u]
    for layer in range(config.num_layers):
        new_i, new_u = np.zeros_like(x_i), np.zeros_like(x_u)
        for u, items in used.items():
            for i in items:
                weight = 1 / np.sqrt(len(items) * len(by[i]))
                new_i[i] += weight * x_u[u]
                new_u[u] += weight * x_i[i]
        if config.gathered_by == "items":
            new_i = (1 - config.alpha) * new_i + config.alpha * np.array(f)
        else:
            told = [sum((f[i] for i in used.get(u, ())), np.zeros(3)) for u in range(len(x_u))]
            new_u = (1 - config.alpha) * new_u + config.alpha * np.array(told)
        x_i, x_u = new_i, new_u
        total = [t + x / (layer + 2) for t, x in zip(total, (x_i, x_u), strict=True)]
    return np.concatenate(total)


@pytest.mark.parametrize("gathered_by", ["items", "users"])
def test_the_toy_by_hand(gathered_by):
    """One layer, alpha .25: u has i0 and i1 (1 / sqrt 2 each way); i0 is of a and b, i1 of b."""
    data = worlds.dataset(
        [(0, 0), (0, 1)], triples=[(0, 0, 2), (0, 0, 3), (1, 0, 3)], num_items=2, num_entities=4
    )
    model = built(
        data, torch.tensor([2, 3]), dim=2, num_layers=1, alpha=0.25, gathered_by=gathered_by
    )
    with torch.no_grad():
        model.nodes.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        model.features.copy_(torch.tensor([[2.0, 0.0], [0.0, 4.0]]))
        z = model()
    # f_0 = (1, 2), f_1 = (0, 4)
    third = 0.75 / np.sqrt(2)
    if gathered_by == "items":
        i0, i1 = np.array([third + 0.25, third + 0.5]), np.array([third, third + 1])
        u = np.array([1, 1]) / np.sqrt(2)
    else:
        i0 = i1 = np.array([1, 1]) / np.sqrt(2)
        u = third * np.array([1, 1]) + 0.25 * np.array([1, 6])
    expected = [np.array([1, 0]) + i0 / 2, np.array([0, 1]) + i1 / 2, np.array([1, 1]) + u / 2]
    torch.testing.assert_close(z, torch.tensor(np.stack(expected)))


@pytest.mark.parametrize("gathered_by", ["items", "users"])
def test_vectors_are_the_equations(gathered_by):
    model = built(worlds.random_world(1), gathered_by=gathered_by)
    assert len(model.chosen) > 2
    torch.testing.assert_close(model().detach(), torch.from_numpy(by_hand(model)))

    effects = model.explanation_effects()
    kept = np.arange(len(model.ckg.head)) % 3 > 0
    other = effects.on_graph(model.ckg.take(kept))
    assert torch.equal(other.chosen, model.chosen)
    expected = by_hand(model, without=set(np.flatnonzero(~kept).tolist()))
    torch.testing.assert_close(other().detach(), torch.from_numpy(expected))


def test_trees_test_what_tells_items_apart_and_nothing_else():
    """User 0 has the items of a that are not of b: entities a, b; c is everywhere, d on one of the
    user's items and one other.
    """
    a, b, c, d = 6, 7, 8, 9
    said = {0: (a, c), 1: (a, c, d), 2: (a, b, c), 3: (b, c), 4: (c, d), 5: (c,)}
    triples = [(item, 0, entity) for item, entities in said.items() for entity in entities]
    data = worlds.dataset([(0, 0), (0, 1)], triples=triples, num_items=6, num_entities=10)
    ckg = CollaborativeKG.from_dataset(data)
    item, feature = features_of_items(ckg)
    assert list(zip(item.tolist(), feature.tolist(), strict=True)) == sorted(
        (item, entity) for item, entities in said.items() for entity in entities
    )
    draw = torch.Generator().manual_seed(0)
    assert chosen_features(ckg, 2, 0, draw).tolist() == [a, b]
    assert chosen_features(ckg, 2, 1, draw).tolist() == [a]


def test_the_loss_is_bpr_and_squares_of_nodes_and_of_what_describes_the_items():
    model = built(worlds.random_world(2), l2_weight=0.1)
    batch = PairwiseBatch(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([4, 4]))
    z, x = by_hand(model), model.nodes.detach().numpy()
    u = z[model.ckg.num_items :]
    expected = np.mean(
        [np.log1p(np.exp(u[a] @ (z[c] - z[b]))) for a, b, c in [(0, 2, 4), (1, 3, 4)]]
    )
    squares = sum((x[n] ** 2).sum() for n in (8, 9, 2, 3, 4, 4))
    squares += float(model.described().detach()[[2, 3]].square().sum())
    assert float(model.loss(batch).detach()) == pytest.approx(expected + 0.1 * squares / 4)


def test_weights_of_another_graph_are_taken_feature_by_feature():
    data = worlds.cold_items(0, users=12, warm=12, cold=4, likes=4)
    tail = data.triples.tail.copy()
    tail[data.triples.tail == data.triples.tail[0]] = data.num_entities - 1
    whole = built(data)
    edited = built(replace(data, triples=replace(data.triples, tail=tail)))
    own = edited.features.detach().clone()
    edited.load_state_dict(whole.state_dict())
    alike = torch.isin(edited.chosen, whole.chosen)
    assert alike.any()
    at = torch.searchsorted(whole.chosen, edited.chosen[alike])
    assert torch.equal(edited.features[alike], whole.features[at])
    assert torch.equal(edited.features[~alike], own[~alike])


def test_items_without_interactions_are_ranked_where_items_gather_features():
    data = worlds.cold_items(0, users=12, warm=12, cold=4, likes=4)
    assert built(data).can_rank(data).items.all()
    assert (
        built(data, gathered_by="users").can_rank(data).items.tolist() == [True] * 12 + [False] * 4
    )


@pytest.mark.parametrize("wrong", [{"num_layers": 0}, {"alpha": 1.5}, {"depth": -1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="KGUF needs"):
        KGUFConfig(**wrong)


class TestContract(RecommenderContract):
    name = "kguf"
    settings = {"dim": 8, "learning_rate": 0.05, "num_layers": 2}
    uses_knowledge = True

    @pytest.fixture(autouse=True)
    def _float32(self, _float64):
        torch.set_default_dtype(torch.float32)
