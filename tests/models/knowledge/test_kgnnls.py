import pytest
import torch

from kgrec.batches import PointwiseBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.kgcn import KGCN, KGCNConfig
from kgrec.models.knowledge.kgnnls import KGNNLS, KGNNLSConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

SMALL = {"dim": 4, "num_hops": 2, "num_neighbors": 3}


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def built(data, **config):
    graph = CollaborativeKG.from_dataset(data)
    settings = KGNNLSConfig(**{**SMALL, **config})
    return KGNNLS(graph, settings, torch.Generator().manual_seed(0))


def label_by_hand(model, user, target, entity, iterations):
    """Return l(entity) in the target's field after some iterations, from the equations."""
    known = {int(k): float(v) for k, v in zip(model.labeled, model.label, strict=True)}
    own = known.get(user * model.ckg.num_items + entity, 0.5)
    if entity >= model.ckg.num_items or entity == target:
        own = 0.5
    if own != 0.5 or iterations == 0:
        return own
    edges = [e for e in model.neighbors[entity].tolist() if e < model.facts.num_edges]
    if not edges:
        return 0.5
    relations = model.relations[model.facts.relation[edges]]
    logits = relations @ model.users[user]
    if model.config.form == "code":
        logits = logits / model.config.dim
    shares = torch.softmax(logits, 0).detach()
    if model.config.form == "code":
        shares = shares / model.config.num_neighbors
    near = [
        label_by_hand(model, user, target, int(model.facts.tail[e]), iterations - 1) for e in edges
    ]
    return float(shares @ torch.tensor(near))


@pytest.mark.parametrize("form", ["paper", "code"])
@pytest.mark.parametrize("seed", [0, 3])
def test_labels_are_the_equations(form, seed):
    model = built(worlds.random_world(seed), form=form)
    users, items = torch.arange(6).repeat_interleave(8), torch.arange(8).repeat(6)
    entities, edges = model.field(items)
    shares = [model.shares(model.users[users], hop) for hop in edges]
    found = model.propagated_labels(users, entities, shares)
    expected = [
        label_by_hand(model, u, i, i, 2)
        for u, i in zip(users.tolist(), items.tolist(), strict=True)
    ]
    torch.testing.assert_close(found.detach(), torch.tensor(expected))


def test_the_label_of_the_target_never_reaches_itself():
    data = worlds.random_world(1)
    model = built(data)
    users, items = torch.arange(6).repeat_interleave(8), torch.arange(8).repeat(6)
    entities, edges = model.field(items)
    shares = [model.shares(model.users[users], hop) for hop in edges]
    before = model.propagated_labels(users, entities, shares)
    own = torch.isin(model.labeled, users * 8 + items)
    assert own.any()
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        key = user * 8 + item
        label = model.label.clone()
        model.label[model.labeled == key] = 1 - label[model.labeled == key]
        after = model.propagated_labels(users, entities, shares)
        assert after[key] == before[key]
        model.label.copy_(label)


def test_without_smoothness_it_is_kgcn():
    data = worlds.random_world(2)
    model = built(data, ls_weight=0.0)
    plain = KGCN(
        CollaborativeKG.from_dataset(data), KGCNConfig(**SMALL), torch.Generator().manual_seed(0)
    )
    batch = PointwiseBatch(
        torch.tensor([0, 1, 2]), torch.tensor([1, 5, 7]), torch.tensor([1.0, 0.0, 1.0])
    )
    assert torch.equal(model.loss(batch), plain.loss(batch))
    assert torch.equal(model.catalog(torch.arange(6)), plain.catalog(torch.arange(6)))


def test_known_labels_are_ones_of_training_and_zeros_of_what_was_passed():
    model = built(worlds.random_world(4))
    users, items = model.ckg.interactions()
    labels = model.known_labels(torch.arange(6), torch.arange(13).expand(6, 13))
    assert (labels[users, items] == 1).all()
    assert int((labels == 1).sum()) == len(users)
    assert int((labels == 0).sum()) > 0
    assert (labels[:, 8:] == 0.5).all()  # no entity but items has a label


@pytest.mark.parametrize("form", ["paper", "code"])
def test_smoothness_that_cannot_act_is_told(form, caplog):
    """Where facts go to what is no item, labels come back to items after two hops."""
    data = worlds.planted("both")
    assert not ((data.triples.head < data.num_items) & (data.triples.tail < data.num_items)).any()
    user, item = torch.ones(60, dtype=torch.long), torch.arange(60)

    def smoothness(hops):
        settings = KGNNLSConfig(dim=4, num_hops=hops, num_neighbors=8, form=form, ls_weight=1.0)
        model = KGNNLS.from_dataset(data, settings, torch.Generator().manual_seed(0))
        entities, edges = model.field(item)
        shares = [model.shares(model.users[user], hop) for hop in edges]
        label = model.propagated_labels(user, entities, shares).sum()
        return torch.autograd.grad(label, model.users)[0].abs().max()

    assert smoothness(1) < 1e-12
    assert "this is KGCN. Set num_hops=2." in caplog.text
    caplog.clear()
    assert smoothness(2) > 1e-6
    assert not caplog.text


def test_other_aggregators_are_refused():
    with pytest.raises(ConfigError, match='aggregator "sum"'):
        KGNNLSConfig(aggregator="concat")


class TestContract(RecommenderContract):
    name = "kgnn-ls"
    settings = {"dim": 8, "learning_rate": 0.02, "num_neighbors": 4, "l2_weight": 1e-3}
    uses_knowledge = True
