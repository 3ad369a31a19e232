import numpy as np
import pytest
import torch

from kgrec.batches import PairwiseBatch, TripleBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.diffkg import DiffKG, DiffKGConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract, auc


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


pytestmark = pytest.mark.usefixtures("_float64")


def built(data, **config):
    settings = DiffKGConfig(**{"dim": 3, "hidden": 7, "kg_layers": 2, **config})
    ckg = CollaborativeKG.from_dataset(data)
    return DiffKG(ckg, settings, torch.Generator().manual_seed(0)).eval()


def by_hand(model, kept=None, without=()):
    """Return z of items, then users, edge by edge."""
    ckg, config = model.ckg, model.config
    table, users, relations = (
        p.detach().numpy() for p in (model.entities, model.users, model.relations)
    )
    weight = model.weight.detach().numpy()
    cold = np.setdiff1d(np.arange(ckg.num_items), ckg.tail[ckg.relation == 0])
    table = np.where(np.isin(np.arange(len(table)), cold)[:, None], 0.0, table)
    edges, used = [], []
    for number, fact in enumerate(zip(ckg.head, ckg.relation, ckg.tail, strict=True)):
        head, relation, tail = (int(part) for part in fact)
        if number in without:
            continue
        if relation == 0:
            used.append((head - ckg.num_entities, tail))
        else:
            edges += [(head, relation, tail), (tail, relation + ckg.num_relations, head)]
    if kept is not None:
        edges = [edge for edge in edges if (edge[0], edge[2]) in kept]
    e = table
    total = e
    for _ in range(config.kg_layers):
        new = e.copy()
        for head in range(len(e)):
            own = [edge for edge in edges if edge[0] == head]
            logits = [np.concatenate([e[h], e[t]]) @ weight @ relations[r] for h, r, t in own]
            mass = np.exp([x if x > 0 else 0.2 * x for x in logits])
            for share, (_, _, tail) in zip(mass / mass.sum(), own, strict=True):
                new[head] = new[head] + share * e[tail]
        e = new / np.maximum(np.linalg.norm(new, axis=1, keepdims=True), 1e-12)
        total = config.residual * total + e
    x = np.concatenate([total[: ckg.num_items], users])
    near = np.zeros((len(x), len(x)))
    for user, item in used:
        near[item, ckg.num_items + user] = near[ckg.num_items + user, item] = 1
    degree = np.maximum(near.sum(1), 1)
    a = near / np.sqrt(np.outer(degree, degree))
    z = x
    for _ in range(config.num_layers):
        x = a @ x
        z = z + x
    return z


def pairs_of(model, kept):
    csr = model.facts.csr
    edges = zip(csr.destinations()[kept].tolist(), csr.idx[kept].tolist(), strict=True)
    return set(edges)


def test_vectors_are_the_equations_over_either_graph():
    model = built(worlds.random_world(1))
    torch.testing.assert_close(model().detach(), torch.from_numpy(by_hand(model)))

    csr = model.facts.csr
    even = (csr.destinations() + csr.idx.long()) % 2 == 0
    found = model(even).detach()
    torch.testing.assert_close(found, torch.from_numpy(by_hand(model, pairs_of(model, even))))


def test_attention_by_hand():
    """r = (1, 0), W of ones: logits are sums of both ends, .2 of them below 0. i0 with e2 and e3:
    1 + 1 and 1 - 3, so that e2 counts exp(2) and e3 exp(-.4).
    """
    data = worlds.dataset([(0, 0)], triples=[(0, 0, 1), (0, 0, 2)], num_items=1, num_entities=3)
    model = built(data, dim=2, kg_layers=1, residual=0.0, num_layers=1)
    with torch.no_grad():
        model.entities.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-3.0, 0.0]]))
        model.relations.copy_(torch.tensor([[1.0, 0.0]]).repeat(4, 1))
        model.weight.fill_(1.0)
        found = model.gathered()[0]
    share = np.exp(2) / (np.exp(2) + np.exp(-0.4))
    gathered = np.array([1 - 3 * (1 - share), share])
    torch.testing.assert_close(found, torch.tensor(gathered / np.linalg.norm(gathered)))


@pytest.mark.parametrize("ranked_by", ["whole", "denoised"])
def test_the_loss_ranks_over_one_graph_and_contrasts_with_the_other(ranked_by):
    model = built(worlds.random_world(2), ranked_by=ranked_by, l2_weight=0.1)
    csr = model.facts.csr
    model.kept.copy_((csr.destinations() * csr.idx.long()) % 3 > 0)
    batch = PairwiseBatch(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([4, 4]))
    graphs = [by_hand(model), by_hand(model, pairs_of(model, model.kept))]
    z, other = graphs if ranked_by == "whole" else graphs[::-1]
    items = model.ckg.num_items
    apart = [z[items + u] @ (z[n] - z[p]) for u, p, n in [(0, 2, 4), (1, 3, 4)]]
    e, u = model.entities.detach().numpy(), model.users.detach().numpy()
    squares = sum((row**2).sum() for row in (u[0], u[1], e[2], e[3], e[4], e[4]))
    found = {name: float(value.detach()) for name, value in model.loss(batch).items()}
    assert found["bpr"] == pytest.approx(np.log1p(np.exp(apart)).mean() + 0.1 * squares / 4)

    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    contrast = 0.0
    for rows, every, first in (
        (unit(other[items:]), unit(z[items:]), (0, 1)),
        (unit(other[:items]), unit(z[:items]), (2, 3)),
    ):
        logits = np.exp(rows[list(first)] @ every.T / model.config.temperature)
        contrast -= np.log(logits[[0, 1], list(first)] / logits.sum(1)).mean()
    assert found["contrast"] == pytest.approx(0.1 * contrast)
    with torch.no_grad():
        ranked = model.scorer()
    torch.testing.assert_close(ranked.users.detach(), torch.from_numpy(z[items:]))


def test_the_denoised_graph_is_what_is_restored_first_and_there():
    data = worlds.random_world(3)
    model = built(data, top=2)
    csr, count = model.facts.csr, model.ckg.num_nodes - model.ckg.num_users
    pairs = pairs_of(model, torch.ones(csr.num_edges, dtype=torch.bool))
    rows = np.zeros((model.ckg.num_items, count))
    for a, b in pairs:
        if a < model.ckg.num_items:
            rows[a, b] = 1
    every = torch.arange(model.ckg.num_items)
    torch.testing.assert_close(model.denoiser.rows(every), torch.from_numpy(rows))

    with torch.no_grad():
        restored = model.denoiser.diffusion.restored(torch.from_numpy(rows))
    best = {(i, int(e)) for i, row in enumerate(restored) for e in row.topk(2).indices}
    expected = {(a, b) for a, b in pairs if (a, b) in best or (b, a) in best}
    found = pairs_of(model, model.denoiser.kept_edges(2))
    assert found == expected
    assert 0 < len(found) < len(pairs)


def test_the_diffusion_loss_adds_what_users_say_of_items():
    model = built(worlds.random_world(1), collaborative=0.25)
    items = torch.tensor([0, 3])
    e, u = model.entities.detach() * model.own, model.users.detach()
    users, used = model.ckg.interactions()
    of_users = torch.zeros(model.ckg.num_items, 3)
    of_users.index_add_(0, torch.from_numpy(used), u[torch.from_numpy(users)])
    torch.manual_seed(5)
    error, predicted = model.denoiser.diffusion.loss(model.denoiser.rows(items))
    apart = (predicted[:, : model.ckg.num_items] @ of_users - e[items]).square().mean()
    torch.manual_seed(5)
    batch = TripleBatch(items, items, items, items)
    torch.testing.assert_close(model.diffusion_loss(batch), 0.75 * error + 0.25 * apart)


def test_on_another_graph_it_has_its_parameters_and_what_is_left_of_kept_edges():
    model = built(worlds.random_world(1), ranked_by="denoised")
    csr = model.facts.csr
    model.kept.copy_((csr.destinations() + csr.idx.long()) % 2 == 0)
    left = np.arange(len(model.ckg.head)) % 3 > 0
    other = model.explanation_effects().on_graph(model.ckg.take(left))
    gone = set(np.flatnonzero(~left).tolist())
    with torch.no_grad():
        found = other(other.kept)
    expected = by_hand(model, pairs_of(model, model.kept), without=gone)
    torch.testing.assert_close(found, torch.from_numpy(expected))


def test_epochs_after_the_first_have_a_share_of_the_denoised_edges_by_the_seed():
    model = built(worlds.random_world(3), top=3, keep=0.5)
    begin = model.plan().begin_epoch
    begin(1, 0)
    assert model.kept.all()
    begin(2, 0)
    first = model.kept.clone()
    whole = model.denoiser.kept_edges(3)
    assert 0 < first.sum() < whole.sum()
    assert not (first & ~whole).any()
    begin(2, 1)
    assert not torch.equal(first, model.kept)
    begin(2, 0)
    assert torch.equal(first, model.kept)


@pytest.mark.parametrize("wrong", [{"top": 0}, {"keep": 0.0}, {"dropout": 1.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="DiffKG needs"):
        DiffKGConfig(**wrong)


class TestContract(RecommenderContract):
    name = "diffkg"
    settings = {"dim": 8, "learning_rate": 0.03, "hidden": 16}

    @pytest.fixture(autouse=True)
    def _float32(self, _float64):
        torch.set_default_dtype(torch.float32)

    def test_cold_items_are_decided_by_the_knowledge_graph_alone(self):
        """Entities of one kind are held apart by the contrast, which is weak here."""
        more = {"learning_rate": 0.05, "contrast_weight": 0.01, "dropout": 0.0, "residual": 0.0}
        scores = self.scores(self.run(worlds.cold_items(), **more))[:, 40:].numpy()
        own = np.arange(40, 60)[None, :] % 2 == np.arange(60)[:, None] % 2
        found = np.mean([auc(row, mask) for row, mask in zip(scores, own, strict=True)])
        assert found > 0.75, found
