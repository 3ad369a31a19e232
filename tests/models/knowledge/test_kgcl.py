import numpy as np
import pytest
import torch
from dense import info_nce

from kgrec.batches import PairwiseBatch, TripleBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.kgcl import KGCL, KGCLConfig
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


pytestmark = pytest.mark.usefixtures("_float64")


def built(data, **config):
    settings = {"dim": 3, "loss": "bpr", **config}
    graph = CollaborativeKG.from_dataset(data)
    model = KGCL(graph, KGCLConfig(**settings), torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for table in (model.nodes, model.entities, model.relations):
            table.mul_(10)  # attention that is not even
        model.attention_bias.copy_(torch.arange(model.config.dim))
    return model


def columns(ckg):
    return enumerate(zip(ckg.head.tolist(), ckg.relation.tolist(), ckg.tail.tolist(), strict=True))


def triples_of(model):
    """Return (item, relation, entity, fact) of every triple that an item is an end of."""
    found, ckg = [], model.whole
    for fact, (h, r, t) in columns(ckg):
        if r > 0:
            found += [(h, r - 1, t, fact), (t, r - 1 + ckg.num_relations - 1, h, fact)]
    return [triple for triple in found if triple[0] < ckg.num_items]


def described(model, there, weigh=None):
    """Return x'_i, item by item; triples count that are ``there`` among those that are weighed."""
    nodes, entities, relations, weight, bias = (
        p.detach().numpy()
        for p in (
            model.nodes,
            model.entities,
            model.relations,
            model.attention_weight,
            model.attention_bias,
        )
    )
    items = nodes[: model.ckg.num_items].copy()

    def power(i, r, e):
        value = relations[r] @ (np.concatenate([nodes[i], entities[e]]) @ weight + bias)
        return np.exp(value if value > 0 else 0.2 * value)

    for item in range(len(items)):
        own = [t for t in triples_of(model) if t[0] == item]
        mass = sum(power(*t[:3]) for t in own if (weigh or there)(t))
        for t in own:
            if there(t):
                items[item] += power(*t[:3]) / mass * entities[t[2]]
    return items


def by_hand(model, without=(), keep=False):
    """Return z of items and users by dense matrices; facts in ``without`` are not there."""
    ckg, count = model.whole, model.ckg.num_items
    every = (lambda t: True) if keep else None
    items = described(model, lambda t: t[3] not in without, every)
    x = np.concatenate([items, model.nodes.detach().numpy()[count:]])
    a, weighed = np.zeros((len(x), len(x))), np.zeros((len(x), len(x)))
    for fact, (h, r, t) in columns(ckg):
        if r == 0:
            u = h - ckg.num_entities + count
            weighed[u, t] = weighed[t, u] = 1
            a[u, t] = a[t, u] = fact not in without
    degree = np.maximum((weighed if keep else a).sum(1), 1)
    a = a / np.sqrt(np.outer(degree, degree))
    total = x
    for _ in range(model.config.num_layers):
        x = a @ x
        total = total + x
    return total / (model.config.num_layers + 1)


@pytest.mark.parametrize("seed", [0, 1])
def test_vectors_are_those_of_dense_matrices(seed):
    model = built(worlds.random_world(seed))
    torch.testing.assert_close(model().detach(), torch.from_numpy(by_hand(model)))


def test_attention_over_two_triples_by_hand():
    """Item (1, 0), entities (0, 1) and (2, 0); W adds both, b = 0, relations (1, 1) and (-1, 0):
    logits 2 and -3, the latter times 0.2: shares 1 / (1 + e^-2.6) and the rest.
    """
    data = worlds.dataset([(0, 0)], triples=[(0, 0, 1), (0, 1, 2)], num_items=1)
    model = built(data, dim=2)
    with torch.no_grad():
        model.nodes[0] = torch.tensor([1.0, 0.0])
        model.entities.copy_(torch.tensor([(9.0, 9.0), (0.0, 1.0), (2.0, 0.0)]))
        model.relations[:2] = torch.tensor([(1.0, 1.0), (-1.0, 0.0)])
        model.attention_weight.copy_(torch.cat([torch.eye(2), torch.eye(2)]))
        model.attention_bias.zero_()
        found = model.start()[0]
    share = 0.930862  # of (0, 1)
    expected = torch.tensor([1 + 2 * (1 - share), share])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_probabilities_by_hand():
    """Stabilities 1, 0 and -1: exp scaled to 1, .268941 and 0, of which at least .3; mean .533333;
    times .8 / .533333, at most .95.
    """
    model = built(worlds.random_world(0), drop=0.2)
    found = model.keep_probability(torch.tensor([1.0, 0.0, -1.0]))
    torch.testing.assert_close(found, torch.tensor([0.95, 0.45, 0.45]))
    alike = model.keep_probability(torch.ones(4))
    torch.testing.assert_close(alike, torch.full((4,), 0.8))


def test_items_whose_triples_agree_are_stable():
    """Whatever is left out of item 0's triples, its entity is the same; item 1's are opposites."""
    triples = [(0, r, 2) for r in range(6)] + [(1, r, 3 + r % 2) for r in range(6)]
    model = built(worlds.dataset([(0, 0), (0, 1)], triples=triples), dim=2)
    with torch.no_grad():
        model.nodes[:2] = 0.1
        model.entities[2:] = torch.tensor([(1.0, 1.0), (4.0, -4.0), (-4.0, 4.0)])
        model.relations.zero_()
    item = model.facts.edges.forward.row_of_edge()
    first = torch.arange(len(item)) % 2 == 0  # one of the opposites
    c = model.stability(first, ~first).detach()
    assert float(c[0]) == pytest.approx(1.0)
    assert float(c[1]) < 0
    p = model.keep_probability(c)
    assert p[0] > p[1]


BATCH = PairwiseBatch(torch.tensor([0, 1, 0]), torch.tensor([0, 2, 5]), torch.tensor([6, 0, 1]))


@pytest.mark.parametrize("contrast", ["batch", "all"])
def test_the_loss_by_dense_matrices(contrast):
    model = built(
        worlds.random_world(3), contrast=contrast, l2_weight=0.1, contrast_weight=0.5, drop=0.4
    )
    model.plan().begin_epoch(1, 0)
    z = torch.from_numpy(by_hand(model))
    views = []
    csr, count = model.graph.csr, model.ckg.num_items
    by = model.facts.edges.forward
    rows, kinds = by.row_of_edge().tolist(), by.relation_of_edge().tolist()
    for kept, weight in model._views:
        left = {
            key
            for key, there in zip(zip(rows, kinds, by.idx.tolist(), strict=True), kept, strict=True)
            if there
        }
        a = torch.zeros(csr.num_nodes, csr.num_nodes)
        a[csr.destinations(), csr.idx.long()] = weight
        x = torch.from_numpy(described(model, lambda t, left=left: t[:3] in left))
        x = torch.cat([x, model.nodes.detach()[count:]])
        views.append((x + a @ x + a @ a @ x) / 3)

    users, items = (BATCH.user + count).tolist(), BATCH.positive.tolist()
    groups = (users, range(count, csr.num_nodes)), (items, range(count))
    if contrast == "batch":
        groups = [(sorted(set(own)), sorted(set(own))) for own in (users, items)]
    expected = 0.5 * sum(info_nce(*views, 0.2, own, list(others)) for own, others in groups)
    loss = model.loss(BATCH)
    torch.testing.assert_close(loss["contrast"].detach(), expected)
    own = model.nodes.detach()[torch.cat([BATCH.user + count, BATCH.positive, BATCH.negative])]
    u, p, n = z[BATCH.user + count], z[BATCH.positive], z[BATCH.negative]
    ranking = torch.nn.functional.softplus((u * (n - p)).sum(1)).mean()
    expected = ranking + 0.1 * own.square().sum() / 2 / 3
    torch.testing.assert_close(loss["bpr"].detach(), expected)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_a_view_leaves_out_interactions_or_whole_items(form):
    data = worlds.cold_items(users=40, warm=10, cold=2, likes=5)
    model = built(data, form=form, drop=0.4)
    begin = model.plan().begin_epoch
    begin(3, 7)
    csr, weight = model.graph.csr, model._views[0][1]
    torch.testing.assert_close(weight[csr.rev.long()], weight)  # both directions
    kept = torch.split((weight > 0).float(), csr.degree.tolist())
    shares = torch.stack([part.mean() for part in kept[:10]])
    assert bool(((shares == 0) | (shares == 1)).all()) == (form == "code")
    assert float(shares.mean()) == pytest.approx(0.6, abs=0.2)
    begin(4, 7)
    assert not torch.equal(model._views[0][1], weight)
    begin(3, 7)
    assert torch.equal(model._views[0][1], weight)


def test_triples_are_ranked_by_translation():
    model = built(worlds.random_world(1), kg_l2_weight=0.1)
    batch = TripleBatch(*(torch.tensor(part) for part in ([0, 2], [1, 3], [9, 4], [5, 12])))
    rows = [model.nodes[batch.head], model.relations[batch.relation]]
    rows += [model.entities[batch.tail], model.entities[batch.negative_tail]]
    h, r, t, n = (part.detach() for part in rows)
    above = ((h + r - t) ** 2).sum(1) - ((h + r - n) ** 2).sum(1)
    expected = torch.log1p(above.exp()).mean() + 0.1 * sum((v**2).sum() for v in (h, r, t, n)) / 4
    torch.testing.assert_close(model.kg_loss(batch).detach(), expected)
    source = model.plan().objectives[1].source
    found = torch.stack([source.head, source.relation, source.tail], 1).tolist()
    assert sorted(found) == sorted(list(t[:3]) for t in triples_of(model))


@pytest.mark.parametrize("keep", [True, False])
def test_effects_are_scores_without_the_facts(keep):
    model = built(worlds.random_world(2))
    effects = model.explanation_effects()
    count = len(model.whole.head)
    groups = [[], [0], [1, 5], [count - 1, count - 2, 0], list(range(count))]
    expected = []
    for group in groups:
        z = by_hand(model, without=set(group), keep=keep)
        expected.append(z[model.ckg.num_items + 1] @ z[3])
    found = effects.rerun(1, 3, groups, keep_weights=keep)
    torch.testing.assert_close(found, torch.tensor(expected))


def test_first_order_effects_and_another_graph():
    model = built(worlds.random_world(2), num_layers=1)
    effects = model.explanation_effects()
    screened = effects.screen(1, 3)
    kept = torch.ones(len(model.whole.head))
    for fact in (0, len(kept) - 1, int(screened.abs().argmax())):
        less = kept.clone()
        less[fact] -= 1e-6
        users, items = effects.vectors(less, keep_weights=True)
        whole = effects.rerun(1, 3, [[]])[0]
        slope = (whole - users[1] @ items[3]).detach() / 1e-6
        assert float(slope) == pytest.approx(float(screened[fact]), abs=1e-5)

    gone = np.arange(len(kept)) % 3 == 0
    other = effects.on_graph(model.whole.take(~gone))
    expected = by_hand(model, without=set(np.flatnonzero(gone).tolist()))
    torch.testing.assert_close(other().detach(), torch.from_numpy(expected))


def begin_many(model):
    for epoch in range(60):
        model.plan().begin_epoch(epoch, 0)


@pytest.mark.parametrize(("share", "edges"), [("kg_drop", 1), ("drop", 2)])
def test_views_without_a_triple_or_an_interaction_are_refused(share, edges):
    data = worlds.dataset([(0, 0), (1, 1)], triples=[(0, 0, 2)])
    model = built(data, **{"kg_drop": 0.0, "drop": 0.0, share: 0.9})
    with pytest.raises(ConfigError, match=f"none of its {edges} edges"):
        begin_many(model)


def test_presets():
    paper, official = (choose("kgcl", preset, {}) for preset in ("paper", "official"))
    assert (paper.config.form, official.config.form) == ("paper", "code")
    config = official.config
    assert (config.num_layers, config.kg_drop, config.drop, config.dropout) == (3, 0.5, 0.1, 0.4)
    assert (config.contrast_temperature, config.contrast_weight) == (0.2, 0.1)
    assert (paper.train.learning_rate, paper.train.batch_size) == (1e-3, 2048)


@pytest.mark.parametrize(
    "wrong",
    [{"dim": 0}, {"drop": 1.0}, {"kg_drop": -0.1}, {"least_keep": 0.0}, {"l2_weight": -1.0}],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"KGCL needs [^\n]*" + next(iter(wrong))):
        KGCLConfig(**wrong)


class TestContract(RecommenderContract):
    name = "kgcl"
    settings = {"dim": 8, "learning_rate": 0.03, "batch_size": 128, "epochs": 10}
    uses_knowledge = True

    @pytest.fixture(autouse=True)
    def _float32(self, _float64):
        torch.set_default_dtype(torch.float32)
