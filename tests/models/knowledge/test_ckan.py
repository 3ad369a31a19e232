import numpy as np
import pytest
import torch

from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.ckan import CKAN, CKANConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


pytestmark = pytest.mark.usefixtures("_float64")


def built(data, **config):
    settings = {"dim": 3, "num_layers": 2, "user_size": 4, "item_size": 5, **config}
    graph = CollaborativeKG.from_dataset(data)
    return CKAN(graph, CKANConfig(**settings), torch.Generator().manual_seed(0)).eval()


def side(model, sets, reached, own, without, keep):
    """Return one side's vector, triple by triple, from the equations."""
    facts, config = model.facts, model.config
    entities, relations = (p.detach().numpy() for p in (model.entities, model.relations))
    layers = []
    for number, edges in enumerate(sets.tolist()):
        drawn = [e for e in edges if e < facts.num_edges]
        left = [
            e for e in drawn if int(facts.head[e]) in reached and int(facts.fact[e]) not in without
        ]
        weigh = drawn if keep else left

        def logit(e):
            x = np.concatenate([entities[facts.head[e]], relations[facts.relation[e]]])
            for weight in model.weights[:-1]:
                x = np.maximum(x @ weight.detach().numpy(), 0)
            return 1 / (1 + np.exp(-(x @ model.weights[-1].detach().numpy())[0]))

        mass = sum(np.exp(logit(e)) for e in weigh)
        zero = np.zeros(config.dim)
        gathered = (np.exp(logit(e)) / mass * entities[facts.tail[e]] for e in left)
        layers.append(sum(gathered, zero))
        if number == 0:
            heads = sum((entities[facts.head[e]] for e in left), zero)
            count = len(drawn) if keep else len(left)
            mean = heads / max(1, count)
        reached = {int(facts.tail[e]) for e in left}
    if own is None:
        parts = [mean, *layers]
    else:
        parts = [own, *([] if config.aggregator == "concat" else [mean]), *layers]
    join = {"concat": np.concatenate, "sum": lambda p: np.sum(p, 0), "pool": lambda p: np.max(p, 0)}
    return join[config.aggregator](parts)


def by_hand(model, user, item, without=(), keep=False):
    """Return a score; facts in ``without`` are not there."""
    ckg = model.ckg
    likes = {
        (int(h) - ckg.num_entities, int(t)): f
        for f, (h, r, t) in enumerate(zip(ckg.head, ckg.relation, ckg.tail, strict=True))
        if r == 0
    }
    by_user = sorted(likes)
    used = {t for (h, t), f in likes.items() if h == user and f not in without}
    leads = set()
    drawn = [s for s in model.seeds[item].tolist() if s < len(by_user)]
    for seed in drawn:
        person, first = by_user[seed]
        if likes[person, first] not in without and likes[person, item] not in without:
            leads.add(first)
    if not drawn:
        leads = {item}
    own = model.entities[item].detach().numpy()
    u = side(model, model.user_sets[user], used, None, without, keep)
    return float(u @ side(model, model.item_sets[item], leads, own, without, keep))


@pytest.mark.parametrize("aggregator", ["concat", "sum", "pool"])
def test_scores_are_the_equations(aggregator):
    model = built(worlds.random_world(1), aggregator=aggregator)
    with torch.no_grad():
        ranked = model.scorer()
    expected = [[by_hand(model, u, i) for i in range(8)] for u in range(6)]
    torch.testing.assert_close(ranked.users @ ranked.items.T, torch.tensor(expected))


def test_attention_over_two_triples_by_hand():
    """Heads (1, 0) and (0, 1), relation (1, 1), first weights that add head and relation, the
    others ones: sigmoid(2 * (2 + 1)) of both, so that both count a half.
    """
    data = worlds.dataset([(0, 0), (0, 1)], triples=[(0, 0, 2), (1, 0, 3)], num_items=2)
    model = built(data, dim=2, num_layers=1, user_size=2)
    with torch.no_grad():
        rows = [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (-0.5, 1.0)]
        model.entities.copy_(torch.tensor(rows))
        model.relations.fill_(1.0)
        model.weights[0].copy_(torch.cat([torch.eye(2), torch.eye(2)]))
        model.weights[1].fill_(1.0)
        model.weights[2].fill_(1.0)
        users = model.users(torch.tensor([0]))
    # the mean of the heads, then half of both tails
    torch.testing.assert_close(users, torch.tensor([[0.5, 0.5, 0.0, 0.75]]))

    with torch.no_grad():
        model.weights[2].copy_(torch.tensor([[0.0], [0.1]]))
        model.weights[1].copy_(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
        shares = model.shares(model.user_sets)[0, 0]
    # logits sigmoid(.1 (2 - 1)) of head (1, 0) and sigmoid(0) of head (0, 1)
    first = np.exp(1 / (1 + np.exp(-0.1)))
    expected = np.array([first, np.exp(0.5)]) / (first + np.exp(0.5))
    order = model.facts.head[model.user_sets[0, 0]].argsort()
    torch.testing.assert_close(shares[order], torch.tensor(expected))


def test_items_start_from_what_their_users_used_and_unused_ones_from_themselves():
    data = worlds.dataset(
        [(0, 0), (0, 1), (1, 2)],
        triples=[(0, 0, 4), (1, 0, 4), (2, 0, 5), (3, 0, 5)],
        num_items=4,
        num_entities=6,
    )
    model = built(data, num_layers=1, item_size=8)
    heads = [set(model.facts.head[edges].tolist()) for edges in model.item_sets[:, 0]]
    assert heads == [{0, 1}, {0, 1}, {2}, {3}]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("aggregator", ["concat", "sum"])
def test_effects_are_sets_without_likes_and_facts(keep, aggregator):
    model = built(worlds.random_world(2), aggregator=aggregator)
    ckg, effects = model.ckg, model.explanation_effects()
    user, item = 1, 3
    likes = np.flatnonzero((ckg.head == ckg.user_node(user)) & (ckg.relation == 0)).tolist()
    others = np.flatnonzero((ckg.tail == item) & (ckg.relation == 0)).tolist()
    drawn = [int(f) for f in model.facts.fact[model.item_sets[item, 0]] if f < len(ckg.head)]
    groups = [[], [likes[0]], others, drawn[:1], [likes[-1], *drawn], list(range(len(ckg.head)))]
    expected = [by_hand(model, user, item, without=set(group), keep=keep) for group in groups]
    found = effects.rerun(user, item, groups, keep_weights=keep)
    torch.testing.assert_close(found, torch.tensor(expected))
    assert effects.screen(user, item).abs().max() > 0


def test_sets_that_would_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"GiB.*user_size"):
        built(worlds.random_world(0), user_size=10**13)


@pytest.mark.parametrize("wrong", [{"num_layers": 0}, {"item_size": 0}, {"negatives": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="CKAN needs"):
        CKANConfig(**wrong)


class TestContract(RecommenderContract):
    name = "ckan"
    settings = {
        "dim": 8,
        "learning_rate": 0.02,
        "user_size": 16,
        "item_size": 16,
        "weight_decay": 0.01,  # keeps vectors that nothing trains small
    }
    uses_knowledge = True

    @pytest.fixture(autouse=True)
    def _float32(self, _float64):
        torch.set_default_dtype(torch.float32)

    def test_renumbering_the_users_renumbers_the_scores(self, monkeypatch):
        # as many as there are, so that none is left out by chance
        monkeypatch.setattr(TestContract, "settings", {**self.settings, "item_size": 256})
        super().test_renumbering_the_users_renumbers_the_scores()
