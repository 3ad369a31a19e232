import numpy as np
import pytest
import torch

from kgrec.batches import PairwiseBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.kgrec import KGRec, KGRecConfig
from kgrec.runs.fit import fit
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


pytestmark = pytest.mark.usefixtures("_float64")

CALM = {"node_dropout": 0.0, "message_dropout": 0.0}


def built(data, **config):
    settings = {"dim": 4, "num_layers": 2, "loss": "bpr", **config}
    graph = CollaborativeKG.from_dataset(data)
    model = KGRec(graph, KGRecConfig(**settings), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for table in (model.nodes, model.relations, model.query):
            table.mul_(3)  # attention that is not even
    return model


def edges_of(model):
    """Return (head, relation, tail, fact) of every triple, both ways, in the model's order."""
    ckg, found = model.ckg, []
    for fact, (h, r, t) in enumerate(zip(ckg.head, ckg.relation, ckg.tail, strict=True)):
        if r > 0:
            found += [(h, r - 1, t, fact), (t, r - 1 + ckg.num_relations - 1, h, fact)]
    found = [tuple(map(int, edge)) for edge in found]
    by = model.facts.edges.forward
    rows, kinds = by.row_of_edge().tolist(), by.relation_of_edge().tolist()
    order = list(zip(rows, kinds, by.idx.tolist(), model.facts.fact.tolist(), strict=True))
    assert sorted(order) == sorted(found)
    return order


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def logits_of(model, e):
    """Return f of every edge, (heads, edges)."""
    relations, query = (p.detach().numpy() for p in (model.relations, model.query))
    heads, found = model.config.num_heads, []
    size = model.config.dim // heads
    q = e @ query
    for h, r, t, _ in edges_of(model):
        product = q[h] * q[t] * relations[r]
        found.append(product.reshape(heads, size).sum(1) / np.sqrt(size))
    return np.array(found).T


def by_hand(model, without=(), keep=False, hidden=()):
    """Return e* of users and entities, edge by edge; facts in ``without`` are not there, nor edges
    that are ``hidden``.
    """
    ckg, d = model.ckg, model.config.dim
    table, relations = (p.detach().numpy() for p in (model.nodes, model.relations))
    e, users = table[: ckg.num_entities], table[ckg.num_entities :]
    whole, totals = e, [users, e]
    edges = edges_of(model)
    likes = [
        (int(h) - ckg.num_entities, int(t), fact)
        for fact, (h, r, t) in enumerate(zip(ckg.head, ckg.relation, ckg.tail, strict=True))
        if r == 0
    ]
    left = [n for n, edge in enumerate(edges) if edge[3] not in without and n not in hidden]
    for _ in range(model.config.num_layers):
        logits = logits_of(model, whole if keep else e)
        new, mean = np.zeros_like(e), np.zeros_like(users)
        for head, power in enumerate(np.exp(logits)):
            part = slice(head * d // len(logits), (head + 1) * d // len(logits))
            for n in left:
                h, r, t, _ = edges[n]
                mass = sum(
                    power[m] for m in (range(len(edges)) if keep else left) if edges[m][0] == h
                )
                new[h, part] += (power[n] / mass * relations[r] * e[t])[part]
        for u, i, fact in likes:
            if fact in without:
                continue
            count = sum(v == u and (keep or f not in without) for v, _, f in likes)
            mean[u] += e[i] / count
        if keep:
            whole = by_hand_step(model, whole, logits)
        e = unit(new)
        totals = [totals[0] + unit(mean), totals[1] + e]
    return totals


def by_hand_step(model, e, logits):
    """Return what entities are after a layer over all edges."""
    d, new = model.config.dim, np.zeros_like(e)
    relations, edges = model.relations.detach().numpy(), edges_of(model)
    for head, power in enumerate(np.exp(logits)):
        part = slice(head * d // len(logits), (head + 1) * d // len(logits))
        for n, (h, r, t, _) in enumerate(edges):
            mass = sum(power[m] for m, edge in enumerate(edges) if edge[0] == h)
            new[h, part] += (power[n] / mass * relations[r] * e[t])[part]
    return unit(new)


@pytest.mark.parametrize("seed", [0, 1])
def test_vectors_are_the_equations(seed):
    model = built(worlds.random_world(seed)).eval()
    scorer = model.scorer()
    users, entities = by_hand(model)
    torch.testing.assert_close(scorer.users.detach(), torch.from_numpy(users))
    torch.testing.assert_close(scorer.items.detach(), torch.from_numpy(entities[:8]))


def test_the_toy_by_hand():
    """One layer and head over docs/metrics.md, section 9; W = 1 and relations (1, 0), (0, 2) and
    their inverses (1, 1), (1, 1). i1 = (.5, -.5) gathers from e3 = (.2, .4) by f = .1 / sqrt(2),
    and from i2 = (-1, .5) by -.5 / sqrt(2): shares .604504 and the rest.
    """
    model = built(worlds.toy(), dim=2, num_layers=1, num_heads=1).eval()
    with torch.no_grad():
        model.nodes.copy_(torch.tensor([*worlds.TOY_ENTITIES, *worlds.TOY_USERS]))
        model.relations.copy_(torch.tensor([(1.0, 0.0), (0.0, 2.0), (1.0, 1.0), (1.0, 1.0)]))
        model.query.copy_(torch.eye(2))
        scorer = model.scorer()
    share = 0.604504
    gathered = np.array([0.2 * share, (1 - share) * 1.0])
    i1 = np.array([0.5, -0.5]) + gathered / np.linalg.norm(gathered)
    torch.testing.assert_close(scorer.items[1], torch.tensor(i1), atol=1e-5, rtol=0)
    u0 = np.array([1.0, 0.0]) + np.array([0.75, 0.25]) / np.hypot(0.75, 0.25)
    torch.testing.assert_close(scorer.users[0], torch.tensor(u0))


def test_rationales_are_shares_times_edges_and_leave_out_what_is_not_there():
    model = built(worlds.random_world(2))
    logits = logits_of(model, model.nodes.detach().numpy()[: model.ckg.num_entities]).mean(0)
    there = torch.arange(len(logits)) % 3 > 0
    edges = edges_of(model)
    expected = np.zeros(len(edges))
    for n, (h, *_) in enumerate(edges):
        own = [m for m, edge in enumerate(edges) if edge[0] == h and there[m]]
        if there[n]:
            expected[n] = np.exp(logits[n]) / np.exp(logits[own]).sum() * len(own)
    found = model.rationales.scores(torch.from_numpy(logits), there)
    torch.testing.assert_close(found, torch.from_numpy(expected))
    of_items = []
    for item in range(8):
        as_tail = [expected[m] for m, edge in enumerate(edges) if edge[2] == item and there[m]]
        of_items.append(0.5 + 0.5 * (np.mean(as_tail) if as_tail else 1))
    got = model.rationales.of_items(found, there)
    torch.testing.assert_close(got, torch.tensor(of_items))


def test_what_a_step_masks_and_leaves_out():
    """Scores far apart: Gumbel noise does not change their order."""
    model = built(worlds.random_world(3), node_dropout=0.0, num_masked=5, drop=0.4)
    logits = [part.detach() for part in model.logits(model.tables()[0])]
    draws = model.rationales
    count = len(logits[0])
    ranked = torch.arange(count).to(logits[0]) * 1000
    draws.scores = lambda logits, there: ranked.where(there, 0.0)
    draws.reseed(5)
    step = draws.draw(logits)
    assert bool(step.there.all())
    assert bool(step.masked[-5:].all())  # the highest scores
    assert 5 <= int(step.masked.sum()) <= 10  # and as many at random
    gone = int(0.4 * count)
    assert not bool(step.view[:gone].any())  # the lowest scores
    assert bool(step.view[gone:].all())
    likes = step.liked > 0
    csr = draws.pairs.csr
    assert torch.equal(likes, likes[csr.rev.long()])
    assert int(likes.sum()) == 2 * int(0.6 * csr.num_edges / 2)
    torch.testing.assert_close(step.liked[likes], draws.pairs.by_user[likes] / 0.6)
    assert not torch.equal(draws.draw(logits).masked, step.masked)
    draws.reseed(5)
    assert torch.equal(draws.draw(logits).masked, step.masked)
    draws.config = KGRecConfig(node_dropout=0.0, num_masked=10**6)
    assert int(draws.draw(logits).masked.sum()) <= count // 2


def test_interactions_with_items_of_high_scores_stay_in_the_view():
    data = worlds.cold_items(users=40, warm=10, cold=2, likes=5)
    draws = built(data, drop=0.5, node_dropout=0.0).rationales
    by_item = torch.zeros(12)
    by_item[:5] = 3.0
    used = torch.ones(len(draws.ckg.head), dtype=torch.bool)
    kept = draws._liked(by_item, used, 1) > 0
    item = draws.pairs.item
    assert float(kept[item < 5].double().mean()) > 2 * float(kept[item >= 5].double().mean())


BATCH = PairwiseBatch(torch.tensor([0, 1, 0]), torch.tensor([0, 2, 5]), torch.tensor([6, 0, 1]))


def test_the_loss_by_hand():
    model = built(
        worlds.random_world(3),
        **CALM,
        num_masked=3,
        mask_weight=2.0,
        contrast_weight=3.0,
        l2_weight=0.1,
    )
    model.plan().begin_epoch(1, 0)
    logits = [part.detach() for part in model.logits(model.tables()[0])]
    step = model.rationales.draw(logits)
    model.plan().begin_epoch(1, 0)
    loss = {name: value.detach() for name, value in model.loss(BATCH).items()}
    hidden = set(step.masked.nonzero().squeeze(1).tolist())
    users, e = (torch.from_numpy(part) for part in by_hand(model, hidden=hidden))
    u, p, n = users[BATCH.user], e[BATCH.positive], e[BATCH.negative]
    ranking = torch.log1p(((u * n).sum(1) - (u * p).sum(1)).exp()).mean()
    squares = sum(part.square().sum() for part in (u, p, n)) / 6
    torch.testing.assert_close(loss["bpr"], ranking + 0.1 * squares)

    relations, edges = model.relations.detach(), edges_of(model)
    parts = [
        torch.log1p(torch.exp(-(e[h] * e[t] * relations[r]).sum()))
        for n, (h, r, t, _) in enumerate(edges)
        if n in hidden
    ]
    torch.testing.assert_close(loss["mask"], 2 * torch.stack(parts).mean())

    start, own = (part.detach() for part in model.tables())
    x, total = torch.cat([start[:8], own]), torch.cat([start[:8], own])
    csr = model.rationales.pairs.csr
    a = torch.zeros(14, 14)
    a[csr.destinations(), csr.idx.long()] = step.liked
    f, of_facts = start, start
    for _ in range(2):
        x = torch.from_numpy(unit((a @ x).numpy()))
        total = total + x
        new = torch.zeros_like(f)
        for number, (h, r, t, _) in enumerate(edges):
            own_edges = [m for m, edge in enumerate(edges) if edge[0] == h and step.view[m]]
            if step.view[number]:
                new[h] += relations[r] * f[t] / len(own_edges)
        f = torch.from_numpy(unit(new.numpy()))
        of_facts = of_facts + f
    heads = model.rationales.heads
    views = [head(v).detach() for head, v in zip(heads, (total[:8], of_facts[:8]), strict=True)]
    one, two = (torch.from_numpy(unit(v.numpy())) for v in views)
    from kgrec.nn.contrast import gumbel
    from kgrec.random import derive

    other = gumbel(8, derive(model.rationales._seed, "others", 1), one.device).argsort()
    s = torch.exp((one * two).sum(1) / 0.5)
    n = torch.exp((one * two[other]).sum(1) / 0.5) + torch.exp((two * one[other]).sum(1) / 0.5)
    expected = -torch.log(s / (2 * s + n)).mean()
    torch.testing.assert_close(loss["contrast"], 3 * expected)


@pytest.mark.parametrize("keep", [True, False])
def test_effects_are_scores_without_the_facts(keep):
    model = built(worlds.random_world(2)).eval()
    effects = model.explanation_effects()
    count = len(model.ckg.head)
    groups = [[], [0], [1, count - 5], list(range(count))]
    expected = []
    for group in groups:
        users, entities = by_hand(model, without=set(group), keep=keep)
        expected.append(users[1] @ entities[3])
    found = effects.rerun(1, 3, groups, keep_weights=keep)
    torch.testing.assert_close(found, torch.tensor(expected))


def test_first_order_effects_and_another_graph():
    model = built(worlds.random_world(2)).eval()
    effects = model.explanation_effects()
    screened = effects.screen(1, 3)
    count = len(model.ckg.head)
    for fact in (0, count - 1, int(screened.abs().argmax())):
        kept = torch.ones(count)
        kept[fact] -= 1e-6
        users, items = effects.vectors(kept, keep_weights=True)
        slope = (effects.rerun(1, 3, [[]])[0] - users[1] @ items[3]).detach() / 1e-6
        assert float(slope) == pytest.approx(float(screened[fact]), abs=1e-5)

    gone = np.arange(count) % 3 == 0
    other = effects.on_graph(model.ckg.take(~gone)).scorer()
    users, entities = by_hand(model, without=set(np.flatnonzero(gone).tolist()))
    torch.testing.assert_close(other.users.detach(), torch.from_numpy(users))
    torch.testing.assert_close(other.items.detach(), torch.from_numpy(entities[:8]))


def test_a_new_user_gathers_from_a_history():
    model = built(worlds.random_world(1), num_layers=1).eval()
    mask = torch.tensor([[True, True, False]])
    found = model.scorer().fold(torch.tensor([[1, 4, 0]]), mask)[0].detach().numpy()
    e, users = (part.detach().numpy() for part in model.tables())
    mean = (e[1] + e[4]) / 2
    np.testing.assert_allclose(found, users.mean(0) + mean / np.linalg.norm(mean))


def test_steps_without_an_edge_are_refused():
    data = worlds.dataset([(0, 0), (1, 1)], triples=[(0, 0, 2)])
    model = built(data, node_dropout=0.9)
    model.plan().begin_epoch(1, 0)
    batch = PairwiseBatch(*(torch.tensor([0]) for _ in range(3)))
    with pytest.raises(ConfigError, match="none of its 2 edges"):
        [model.loss(batch) for _ in range(60)]


def test_rationales_are_the_triples_that_tell_what_users_like():
    """One triple of an item names its kind, which users keep to, and one is drawn at random."""
    rng = np.random.default_rng(0)
    train = []
    for user in range(60):
        own = rng.permutation(np.arange(user % 3, 60, 3))[:6]
        train += [(user, int(item)) for item in own]
    kinds = [(item, 0, 60 + item % 3) for item in range(60)]
    chance = [(item, 1, 63 + int(rng.integers(3))) for item in range(60)]
    data = worlds.dataset(train, triples=kinds + chance)
    settings = {"dim": 8, "num_layers": 2, "learning_rate": 0.03, "batch_size": 64, **CALM}
    torch.set_default_dtype(torch.float32)
    model = fit("kgrec", data, epochs=15, patience=0, device="cpu", **settings).model
    logits = torch.stack([part.detach() for part in model.logits(model.tables()[0])]).mean(0)
    found = model.rationales.scores(logits, torch.ones_like(logits, dtype=torch.bool))
    by = model.facts.edges.forward
    told, drawn = (found[by.relation_of_edge() == relation].mean() for relation in (0, 1))
    assert told > 1.05 > 0.95 > drawn


def test_presets():
    paper = choose("kgrec", "paper", {})
    config = paper.config
    assert (config.num_layers, config.num_masked, config.mask_weight) == (2, 256, 0.1)
    assert (config.contrast_temperature, config.contrast_weight, config.drop) == (1.0, 0.01, 0.5)
    assert (paper.train.learning_rate, paper.train.batch_size) == (1e-4, 1024)


@pytest.mark.parametrize(
    "wrong", [{"dim": 3}, {"drop": 1.0}, {"num_masked": -1}, {"num_layers": 0}, {"l2_weight": -1.0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"KGRec needs [^\n]*" + next(iter(wrong))):
        KGRecConfig(**wrong)


class TestContract(RecommenderContract):
    name = "kgrec"
    settings = {"dim": 8, "learning_rate": 0.03, "num_layers": 2, **CALM, "epochs": 12}
    uses_knowledge = True

    @pytest.fixture(autouse=True)
    def _float32(self, _float64):
        torch.set_default_dtype(torch.float32)
