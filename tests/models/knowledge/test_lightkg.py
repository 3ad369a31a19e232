import numpy as np
import pytest
import torch

from kgrec.batches import SampledBatch
from kgrec.errors import ConfigError
from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.effects.closed_form_of_facts import LinearOfFacts
from kgrec.explanation.effects.of_model import effects_of
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.lightkg import LightKG, LightKGConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


pytestmark = pytest.mark.usefixtures("_float64")


def built(ckg, **config):
    settings = {"dim": 4, "relation_start": "glorot", **config}
    return LightKG(ckg, LightKGConfig(**settings), torch.Generator().manual_seed(0)).eval()


def random_model(seed=0, **config):
    model = built(CollaborativeKG.from_dataset(worlds.random_world(seed)), **config)
    with torch.no_grad():
        model.numbers.mul_(2)
    return model


def by_hand(model, without=(), keep=False):
    """Return z from dense matrices, edge by edge; facts in ``without`` are not there."""
    ckg, n = model.ckg, model.ckg.num_nodes
    facts = list(zip(ckg.head, ckg.relation, ckg.tail, strict=True))
    numbers, x = model.numbers.detach().numpy(), model.nodes.detach().numpy()
    left = [fact for number, fact in enumerate(facts) if number not in without]
    near = np.zeros((n, n))
    for h, _, t in facts if keep else left:
        near[h, t] = near[t, h] = 1
    degree = np.maximum(near.sum(1), 1)
    a = np.zeros((n, n))
    for h, r, t in left:
        a[h, t] += numbers[r] / np.sqrt(degree[h] * degree[t])
        a[t, h] += numbers[r + ckg.num_relations] / np.sqrt(degree[h] * degree[t])
    total = x
    for _ in range(model.config.num_layers):
        x = a @ x
        total = total + x
    return total / (model.config.num_layers + 1)


def test_with_ones_and_no_triples_it_is_lightgcn_by_its_known_numbers():
    data = worlds.dataset([(0, 0), (0, 1), (1, 1)], num_items=3)
    model = built(CollaborativeKG.from_dataset(data), dim=2, num_layers=2, relation_start="ones")
    with torch.no_grad():
        model.nodes.copy_(torch.tensor([*worlds.TOY_ENTITIES[:3], *worlds.TOY_USERS]))
        z = model()
    expected = [[0.836235, 0.536654, -0.255753], [0.355852, 0.159458, -0.014876]]
    torch.testing.assert_close(z[3:] @ z[:3].T, torch.tensor(expected), atol=1e-6, rtol=0)


def test_the_toy_by_hand():
    """One layer over docs/metrics.md, section 9: u0 reaches i0 (degrees 2, 2) and i1 (2, 4) by 2,
    i0 reaches u0 by 3 and e3 (degrees 2, 2) by 1; scores follow.
    """
    model = built(CollaborativeKG.from_dataset(worlds.toy()), dim=2, num_layers=1)
    with torch.no_grad():
        model.nodes.copy_(torch.tensor([*worlds.TOY_ENTITIES, *worlds.TOY_USERS]))
        # interacts, r0, r1, and their inverses
        model.numbers.copy_(torch.tensor([2.0, 1.0, 0.5, 3.0, -1.0, 0.2]))
        z = model()
    # u0: 2 (1, 1) / 2 + 2 (.5, -.5) / sqrt(8); i0: 3 (1, 0) / 2 + (.2, .4) / 2
    u0 = (np.array([1, 0]) + np.array([1, 1]) + np.array([1, -1]) / np.sqrt(8)) / 2
    i0 = (np.array([1, 1]) + np.array([1.5, 0]) + np.array([0.1, 0.2])) / 2
    torch.testing.assert_close(z[[4, 0]], torch.tensor(np.stack([u0, i0])))
    assert float(z[4] @ z[0]) == pytest.approx(1.723744, abs=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_vectors_are_those_of_dense_matrices(seed):
    model = random_model(seed)
    torch.testing.assert_close(model().detach(), torch.from_numpy(by_hand(model)))


@pytest.mark.parametrize("most", [0, 1 << 20])
def test_contrast_is_the_sum_over_all_pairs(monkeypatch, most):
    """By a table of all pairs, and without one."""
    monkeypatch.setattr("kgrec.graph.symmetric.MOST_BYTES", most)
    model = random_model(2)
    ckg = model.ckg
    plain = set(range(ckg.num_items)) | set(range(ckg.num_entities, ckg.num_nodes))
    every, near = {}, {}
    for h, t in zip(ckg.head.tolist(), ckg.tail.tolist(), strict=True):
        for a, b in ((h, t), (t, h)):
            every.setdefault(a, set()).add(b)
            if {a, b} <= plain:
                near.setdefault(a, set()).add(b)
    x = model.nodes.detach()
    a, b = [0, 3, 3, 7], [1, 3, 5]
    expected = 0.0
    for i in a:
        for j in b:
            degrees = np.sqrt(max(1, len(every.get(i, ()))) * max(1, len(every.get(j, ()))))
            common = len(near.get(i, set()) & near.get(j, set())) + (j in near.get(i, ()))
            cosine = float(torch.cosine_similarity(x[i], x[j], dim=0))
            expected += (1 - 1 / degrees) * np.exp(cosine * (1 - common / degrees) / 0.6)
    found = model.contrast(torch.tensor(a), torch.tensor(b))
    assert float(found.detach()) == pytest.approx(expected)


def test_the_loss_ranks_each_interaction_above_all_of_its_negatives():
    model = random_model(1, user_weight=0.0, item_weight=0.0)
    batch = SampledBatch(
        torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([[1, 4, 5], [0, 0, 7]])
    )
    z = by_hand(model)
    apart = [
        z[model.ckg.user_node(u)] @ (z[n] - z[p])
        for u, p, row in zip((0, 1), (2, 3), batch.negative.tolist(), strict=True)
        for n in row
    ]
    loss = model.loss(batch)["bpr"]
    assert float(loss.detach()) == pytest.approx(np.log1p(np.exp(apart)).mean())


@pytest.mark.parametrize("keep", [True, False])
def test_effects_are_those_of_graphs_without_the_facts(keep):
    model = random_model(3)
    effects = model.explanation_effects()
    count = len(model.ckg.head)
    groups = [[], [0], [1, 5], [count - 1, count - 2, 0], list(range(count))]
    expected = []
    for group in groups:
        z = by_hand(model, without=set(group), keep=keep)
        expected.append(z[model.ckg.user_node(0)] @ z[2])
    found = effects.rerun(0, 2, groups, keep_weights=keep)
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_drops_in_closed_form_are_graphs_without_the_facts(layers):
    model = random_model(layers, num_layers=layers)
    ckg = model.ckg
    linear = LinearOfFacts(model.explanation_effects().propagation(), ckg)
    user, count = ckg.user_node(0), len(ckg.head)
    drawn = np.random.default_rng(0)
    groups = [np.array([fact]) for fact in range(count)]
    groups += [drawn.choice(count, 5, replace=False) for _ in range(5)] + [np.arange(count)]
    found = linear.at(user, 2).without(groups, ("delete", "mask"))
    for keep, scores in zip((False, True), found, strict=True):
        z = [by_hand(model, without=set(group.tolist()), keep=keep) for group in groups]
        np.testing.assert_allclose(scores, [one[user] @ one[2] for one in z], atol=1e-10)


def test_budget_and_walks_are_the_score_from_either_side():
    model = built(CollaborativeKG.from_dataset(worlds.cold_items(0, 8, 6, 4, 3)), num_layers=1)
    ckg = model.ckg
    effects = effects_of(model.explanation_effects(), graph := PathGraph(ckg, merged=False))
    one = effects.at(1, 3)
    z, x = by_hand(model), model.nodes.detach().numpy()
    user, score = ckg.user_node(1), one.pair.score
    assert one.basis == "exact"
    assert score == pytest.approx(z[user] @ z[3])
    assert one.pair.own() == pytest.approx(x[user] @ z[3] / 2)
    assert one.pair.own() + one.pair.by_neighbor()[1].sum() == pytest.approx(score)
    own, _, parts = one.pair.from_item_side()
    assert own == pytest.approx(z[user] @ x[3] / 2)
    assert own + parts.sum() == pytest.approx(score)

    # P = (1 + A) / 2 of rows: what all walks from the user to the item carry
    p = by_hand_matrix(model)
    walked = (p[user] * p[3] * (x**2).sum(1)).sum()
    assert one.pair.on_graph() == pytest.approx(walked)
    found = 0.0
    hops = [(int(n), int(e)) for n, e in zip(graph.neighbor, graph.edge, strict=True)]
    near = [hops[graph.ptr[n] : graph.ptr[n + 1]] for n in range(ckg.num_nodes)]
    for middle, first in near[user]:
        if middle == 3:
            found += one.walks(np.array([[user, 3]]), np.array([[first]]))[0][0]
        for end, second in near[middle]:
            if end == 3:
                nodes, edges = np.array([[user, middle, 3]]), np.array([[first, second]])
                found += one.walks(nodes, edges)[0][0]
    assert found == pytest.approx(walked)


def by_hand_matrix(model):
    """Return Z as a function of X."""
    nodes = model.nodes.detach().clone()
    with torch.no_grad():
        model.nodes = torch.nn.Parameter(torch.eye(len(nodes)))
        found = model().numpy()
        model.nodes = torch.nn.Parameter(nodes)
    return found


def test_first_order_effects_are_finite_differences():
    model = random_model(3)
    effects = model.explanation_effects()
    screened = effects.screen(0, 2)
    exact = effects.rerun(0, 2, [[], *([f] for f in range(len(model.ckg.head)))], True)
    # one layer fewer than products of a fact with itself
    single = random_model(3, num_layers=1).explanation_effects()
    plain = single.screen(0, 2)
    whole, *without = single.rerun(0, 2, [[], *([f] for f in range(len(plain)))], True)
    users_or_item = (whole - torch.stack(without)).abs() > 0
    assert users_or_item.sum() < len(plain)
    assert (plain[~users_or_item] == 0).all()
    assert np.corrcoef((exact[0] - exact[1:]).numpy(), screened.numpy())[0, 1] > 0.9


def test_parts_add_up_and_layers_rank_as_the_model():
    model = random_model(0)
    z = model().detach()
    score = float(z[model.ckg.user_node(2)] @ z[5])
    effects = model.explanation_effects()
    parts = effects.score_parts(2, 5)
    assert parts.own + parts.liked.sum() + sum(parts.other.values()) == pytest.approx(score)

    layers = effects.message_layers()
    states = [layers.start]
    for update in layers.updates:
        sent = layers.weight.unsqueeze(1) * states[-1][layers.edge_index[0]]
        gathered = torch.zeros_like(layers.start)
        gathered.index_add_(0, layers.edge_index[1], sent)
        states.append(update(states[-1], gathered))
    torch.testing.assert_close(layers.combined(states), z)


def test_on_another_graph_it_has_its_parameters():
    model = random_model(1)
    kept = np.arange(len(model.ckg.head)) % 3 > 0
    other = model.explanation_effects().on_graph(model.ckg.take(kept))
    expected = by_hand(model, without=set(np.flatnonzero(~kept).tolist()))
    torch.testing.assert_close(other().detach(), torch.from_numpy(expected))


def test_a_new_user_is_folded_in_by_a_history():
    model = random_model(1)
    history = torch.tensor([[1, 4, 0]])
    mask = torch.tensor([[True, True, False]])
    found = model.scorer().fold(history, mask)
    sent = model.sent().detach()
    expected = sum(model.numbers[0] * model.scale[i] * sent[i] for i in (1, 4)) / np.sqrt(2)
    torch.testing.assert_close(found[0].detach(), expected.detach())


@pytest.mark.parametrize("wrong", [{"negatives": 0}, {"temperature": 0.0}, {"dropout": 1.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="LightKG needs"):
        LightKGConfig(**wrong)


class TestContract(RecommenderContract):
    name = "lightkg"
    settings = {"dim": 8, "learning_rate": 0.03, "negatives": 4}
    uses_knowledge = True

    @pytest.fixture(autouse=True)
    def _float32(self, _float64):
        torch.set_default_dtype(torch.float32)
