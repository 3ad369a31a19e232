import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from kgrec.batches import PointwiseBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.mcclk import MCCLK, MCCLKConfig
from kgrec.models.knowledge.mcclk_views import near_items
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
    settings = {"dim": 3, "num_layers": 2, "loss": "bce", "neighbors": 3, **config}
    graph = CollaborativeKG.from_dataset(data)
    model = MCCLK(graph, MCCLKConfig(**settings), torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.nodes.mul_(2)
        model.relations.mul_(2)
    return model


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def near_by_hand(tables, count):
    """Return the matrix of near items from a list of (share, table)."""
    total = 0
    for share, x in tables:
        cosine = unit(x) @ unit(x).T
        s = np.zeros_like(cosine)
        for i, row in enumerate(cosine):
            for j in np.argsort(-row, kind="stable")[:count]:
                s[i, j] = max(0, row[j])
        degree = s.sum(1)
        total = total + share * s / np.sqrt(np.outer(degree, degree))
    return total


def by_hand(model, without=(), keep=False):
    """Return the three views and what users and items are compared by, from dense matrices."""
    ckg, config = model.ckg, model.config
    table, relations = (p.detach().numpy() for p in (model.nodes, model.relations))
    items, count = ckg.num_items, ckg.num_relations - 1
    edges, likes = [], []
    for fact, (h, r, t) in enumerate(zip(ckg.head, ckg.relation, ckg.tail, strict=True)):
        if r > 0:
            edges += [(h, r - 1, t, fact), (t, r - 1 + count, h, fact)]
        else:
            likes.append((h - ckg.num_entities, t, fact))

    first, users = table[: ckg.num_entities], table[ckg.num_entities :]
    e, u, whole = first, users, first
    totals, unchanged = [u, e], first

    def gathered(e, start, left, weigh):
        new = np.zeros_like(e)
        for h, r, t, _ in left:
            mass = sum(power(start, *edge[:3]) for edge in weigh if edge[0] == h)
            new[h] += power(start, h, r, t) / mass * e[t] * relations[r]
        return unit(new)

    def power(e, h, r, t):
        return np.exp(((e[h] * relations[r]) ** 2).sum() * ((e[t] * relations[r]) ** 2).sum())

    left = [edge for edge in edges if edge[3] not in without]
    share = np.zeros((len(u), items))
    for user, item, fact in likes:
        if fact not in without:
            share[user, item] = 1 / sum(
                v == user and (keep or f not in without) for v, _, f in likes
            )
    for _ in range(config.num_layers):
        mean = share @ e[:items]
        logits = np.exp(u @ relations.T)
        care = logits / logits.sum(1, keepdims=True) @ relations
        e = gathered(e, whole if keep else e, left, edges if keep else left)
        whole = gathered(whole, whole, edges, edges)
        u = unit(mean + care * mean)
        totals, unchanged = [totals[0] + u, totals[1] + e], unchanged + whole

    nearest = unchanged if keep else totals[1]
    tables = [(1 - config.static_share, nearest[:items]), (config.static_share, first[:items])]
    semantic = unit(near_by_hand(tables, config.neighbors) @ first[:items])
    x = local = np.concatenate([first[:items], users])
    b = np.zeros((len(x), len(x)))
    b[items:, :items] = share
    b = b + b.T
    for _ in range(config.local_layers):
        x = b @ x
        local = local + x
    local = local / (config.local_layers + 1)
    of_users = np.concatenate([totals[0], local[items:], local[items:]], 1)
    of_items = np.concatenate([totals[1][:items], semantic, local[:items]], 1)
    return of_users, of_items, (totals, semantic, local)


@pytest.mark.parametrize("seed", [0, 1])
def test_vectors_are_the_equations(seed):
    scorer = built(worlds.random_world(seed)).eval().scorer()
    users, items, _ = by_hand(built(worlds.random_world(seed)))
    torch.testing.assert_close(scorer.users.detach(), torch.from_numpy(users))
    torch.testing.assert_close(scorer.items.detach(), torch.from_numpy(items))


def test_attention_over_two_triples_by_hand():
    """Item (1, 2), tails (1, 0) and (0, 1), relations (1, 1) and (0, 1): (5 * 1) and (4 * 1), so
    that the first has 1 / (1 + 1 / e).
    """
    data = worlds.dataset([(0, 0)], triples=[(0, 0, 1), (0, 1, 2)], num_items=1)
    model = built(data, dim=2)
    with torch.no_grad():
        model.relations[:2] = torch.tensor([(1.0, 1.0), (0.0, 1.0)])
        e = torch.tensor([(1.0, 2.0), (1.0, 0.0), (0.0, 1.0)])
        found = model.attention(e)
    head, kind = (
        part
        for part in (
            model.facts.edges.forward.row_of_edge(),
            model.facts.edges.forward.relation_of_edge(),
        )
    )
    assert float(found[(head == 0) & (kind == 0)]) == pytest.approx(0.731059, abs=1e-6)


def test_near_items_by_hand():
    """Directions 0, 60 and 180 degrees, the two nearest: cosines 1 and .5 of the first two; the
    third has itself and the second at -.5, which is 0. Row sums 1.5, 1.5 and 1.
    """
    x = torch.tensor([(1.0, 0.0), (1.0, np.sqrt(3)), (-3.0, 0.0)])
    edges, weight = near_items([(0.5, x)], 2)
    found = torch.zeros(3, 3)
    found[edges.forward.row_of_edge(), edges.forward.idx.long()] = weight
    expected = torch.tensor([(1 / 1.5, 0.5 / 1.5, 0), (0.5 / 1.5, 1 / 1.5, 0), (0, 0, 1.0)]) / 2
    torch.testing.assert_close(found, expected)


def test_near_items_take_memory_by_item():
    x = torch.randn(500, 4)
    edges, weight = near_items([(0.5, x), (0.5, -x)], 7)
    assert len(edges.forward.idx) == len(weight) == 2 * 7 * 500
    matrix = near_by_hand([(1.0, x.numpy())], 7)
    found = np.zeros((500, 500))
    rows, columns = edges.forward.row_of_edge().numpy(), edges.forward.idx.numpy()
    np.add.at(found, (rows, columns), weight.numpy())
    np.testing.assert_allclose(found, matrix, atol=1e-12)


def contrast_by_hand(one, two, tau):
    """Return the mean of -log of the other view's share among both views but the row itself."""
    one, two = (torch.nn.functional.normalize(part, dim=1) for part in (one, two))
    total = 0
    for i in range(len(one)):
        own = (one[i] @ two[i] / tau).exp()
        rest = sum((one[i] @ other / tau).exp() for other in two)
        rest = rest + sum((one[i] @ one[j] / tau).exp() for j in range(len(one)) if j != i)
        total = total - (own / rest).log()
    return total / len(one)


BATCH = PointwiseBatch(
    torch.tensor([0, 1, 0, 3]), torch.tensor([0, 2, 5, 2]), torch.tensor([1.0, 0.0, 1.0, 0.0])
)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_the_loss_by_hand(form):
    model = built(worlds.random_world(3), **CALM, form=form, contrast_weight=2.0, l2_weight=0.1)
    model.plan().begin_epoch(1, 0)
    assert model.training
    users, items, (totals, semantic, local) = by_hand(model)
    loss = {name: value.detach() for name, value in model.loss(BATCH).items()}
    u, i = torch.from_numpy(users)[BATCH.user], torch.from_numpy(items)[BATCH.item]
    expected = binary_cross_entropy_with_logits((u * i).sum(1), BATCH.label)
    squares = (u.square().sum() + i.square().sum()) / 8
    torch.testing.assert_close(loss["bce"], expected + 0.1 * squares)

    user, item, count = [0, 1, 3], [0, 2, 5], model.ckg.num_items
    start = model.nodes.detach()
    semantic, local = torch.from_numpy(semantic)[item], torch.from_numpy(local)
    parts = [[semantic, local[item]]]
    if form == "code":
        parts += [[start[item], local[item]]]
        parts += [[start[model.ckg.num_entities :][user], local[count:][user]]]
    else:
        parts += [[torch.from_numpy(totals[1])[item], local[item] + semantic]]
        parts += [[torch.from_numpy(totals[0])[user], local[count:][user]]]
    found = []
    for head, (one, two) in zip(model.contrast.heads, parts, strict=True):
        one, two = head(one).detach(), head(two).detach()
        both = contrast_by_hand(one, two, 0.6), contrast_by_hand(two, one, 0.6)
        found.append(both[0] if form == "code" and not found else sum(both) / 2)
    by_form = {"code": sum(found), "paper": 0.2 * found[0] + 0.4 * (found[1] + found[2])}
    torch.testing.assert_close(loss["contrast"], 2 * by_form[form])


@pytest.mark.parametrize("keep", [True, False])
def test_effects_are_scores_without_the_facts(keep):
    model = built(worlds.random_world(2)).eval()
    effects = model.explanation_effects()
    count = len(model.ckg.head)
    groups = [[], [0], [1, count - 5], list(range(count))]
    expected = []
    for group in groups:
        users, items, _ = by_hand(model, without=set(group), keep=keep)
        expected.append(users[1] @ items[3])
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
    users, items, _ = by_hand(model, without=set(np.flatnonzero(gone).tolist()))
    torch.testing.assert_close(other.users.detach(), torch.from_numpy(users))
    torch.testing.assert_close(other.items.detach(), torch.from_numpy(items))


def test_a_new_user_gathers_from_a_history():
    """As a known user who starts at the mean would, over the same items."""
    model = built(worlds.random_world(1)).eval()
    with torch.no_grad():
        model.nodes[model.ckg.num_entities :] = 0.3
    likes = [int(i) for u, i in zip(*model.ckg.interactions(), strict=True) if u == 2]
    scorer = model.scorer()
    mask = torch.ones(1, len(likes), dtype=torch.bool)
    found = scorer.fold(torch.tensor([likes]), mask)[0]
    # in the collaborative view the known user is also among what items gather
    torch.testing.assert_close(found[:3], scorer.users[2, :3])
    one = built(worlds.random_world(1), local_layers=1).eval()
    one.load_state_dict(model.state_dict())
    scorer = one.scorer()
    torch.testing.assert_close(scorer.fold(torch.tensor([likes]), mask)[0], scorer.users[2])


def many_losses(model):
    for epoch in range(60):
        model.plan().begin_epoch(epoch, 0)
        model.loss(BATCH)


def test_a_structural_view_without_an_edge_is_refused():
    data = worlds.dataset([(u, i) for u in range(4) for i in range(6)], triples=[(0, 0, 6)])
    with pytest.raises(ConfigError, match="none of its 2 edges"):
        many_losses(built(data, node_dropout=0.9))


def test_presets():
    paper, official = (choose("mcclk", preset, {}) for preset in ("paper", "official"))
    assert (paper.config.form, official.config.form) == ("paper", "code")
    config = official.config
    assert (config.num_layers, config.local_layers, config.neighbors) == (2, 2, 10)
    assert (config.contrast_temperature, config.contrast_weight) == (0.6, 0.001)
    assert (paper.train.learning_rate, paper.train.batch_size) == (3e-3, 4096)


@pytest.mark.parametrize(
    "wrong", [{"dim": 0}, {"static_share": 2.0}, {"neighbors": 0}, {"node_dropout": 1.0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"MCCLK needs [^\n]*" + next(iter(wrong))):
        MCCLKConfig(**wrong)


class TestContract(RecommenderContract):
    name = "mcclk"
    settings = {"dim": 8, "learning_rate": 0.03, "num_layers": 2, **CALM, "epochs": 12}
    uses_knowledge = True

    @pytest.fixture(autouse=True)
    def _float32(self, _float64):
        torch.set_default_dtype(torch.float32)
