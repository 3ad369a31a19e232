"""CAFE against its equations and every path there is, and worlds in which one pattern leads somewhere."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

import kgrec
from kgrec.batches import UserBatch
from kgrec.errors import ConfigError
from kgrec.graph import CollaborativeKG, verify_paths
from kgrec.models import PathReasoner
from kgrec.models.paths import cafe
from kgrec.models.paths.cafe import CAFE, CAFEConfig, walk_losses
from kgrec.models.paths.patterns import TypedSteps, mined, shares, tree_of
from kgrec.queries import queries
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

TINY = {"dim": 3, "hidden": (4,), "max_patterns": 4, "paths": 400, "pattern_paths": 100}


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def built(data, **config):
    ckg = CollaborativeKG.from_dataset(data)
    model = CAFE(ckg, CAFEConfig(**{**TINY, **config}), torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) / 2)
    return model.eval()


def facts(ckg):
    return sorted(set(zip(*(part.tolist() for part in ckg.both_ways()), strict=True)))


def every_path(ckg, user, length):
    """Each walk of a user, never straight back, as nodes and relations."""
    paths = [((ckg.user_node(user),), ())]
    for _ in range(length):
        paths = [
            ((*nodes, t), (*kinds, r))
            for nodes, kinds in paths
            for h, r, t in facts(ckg)
            if h == nodes[-1] and (len(nodes) < 2 or t != nodes[-2])
        ]
    return paths


def likes(data, user):
    return set(data.train.item[data.train.user == user].tolist())


@pytest.mark.parametrize("seed", range(2))
def test_patterns_are_those_of_walks_that_end_at_items_of_the_user(seed):
    data = worlds.random_world(seed)
    ckg = CollaborativeKG.from_dataset(data)
    found = Counter(
        kinds
        for user in range(data.num_users)
        for nodes, kinds in every_path(ckg, user, 3)
        if nodes[-1] in likes(data, user) and nodes[-1] != nodes[1]
    )
    patterns = mined(ckg, TypedSteps(ckg), 3, 1000)
    assert set(patterns) == set(found)
    assert mined(ckg, TypedSteps(ckg), 3, 2) == patterns[:2]


def test_the_tree_of_prefixes_by_hand():
    nodes, places = tree_of([(0, 3, 1), (0, 2, 1), (0, 3, 2), (4, 3, 1)])
    assert nodes == ((-1, 0), (-1, 4), (0, 3), (0, 2), (1, 3), (2, 1), (3, 1), (2, 2), (4, 1))
    assert places.tolist() == [[0, 2, 5], [0, 3, 6], [0, 2, 7], [1, 4, 8]]


@pytest.mark.parametrize(("total", "most"), [(5, 2), (4, 4), (9, 3), (7, 3)])
def test_a_profile_is_the_best_of_all_whole_numbers_with_its_sum(total, most):
    prominence = np.random.default_rng(total).normal(size=(6, 3))
    rows = shares(torch.from_numpy(prominence), total, most).tolist()
    for row, worth in zip(rows, prominence, strict=True):
        choices = [x for x in itertools.product(range(most + 1), repeat=3) if sum(x) == total]
        assert tuple(row) == max(choices, key=lambda x: np.dot(x, worth))


def states_by_hand(model, user, pattern):
    own = h = model.nodes[model.ckg.user_node(user)]
    found = []
    for relation in pattern:
        first, _, second, _ = model.reasoning[str(relation)]
        hidden = torch.relu(first.weight @ torch.cat([own, h]) + first.bias)
        h = h + second.weight @ hidden + second.bias
        found.append(h)
    return found


@pytest.mark.usefixtures("_float64")
def test_paths_profile_and_ranking_are_those_of_every_path():
    """With room for all: the best path to each node of a prefix, and so to each new item."""
    data = worlds.random_world(0)
    model = built(data)
    user, count = 2, data.num_items
    own = likes(data, user)
    expected, fits, prominence = {}, np.zeros(count), []
    with torch.no_grad():
        walks = [
            walk
            for walk in every_path(model.ckg, user, 3)
            if walk[1] in model.patterns and walk[0][-1] not in own and walk[0][-1] < count
        ]
        for pattern in model.patterns:
            h = states_by_hand(model, user, pattern)
            logit = (model.nodes[:count] @ h[-1]).numpy()
            fits += logit
            share = np.log(1 / (1 + np.exp(-logit)))
            used = np.isin(np.arange(count), list(own))
            prominence.append(share[used].mean() - share[~used].mean())
            for nodes, kinds in walks:
                if kinds == pattern:
                    p = [
                        1 / (1 + np.exp(-float(s @ model.nodes[n])))
                        for s, n in zip(h, nodes[1:], strict=True)
                    ]
                    expected[nodes, kinds] = np.log(p).sum()

        _, nodes, kinds, chance = model.walked(torch.tensor([user]))
        found = dict(
            zip(
                zip(map(tuple, nodes.tolist()), map(tuple, kinds.tolist()), strict=True),
                chance.tolist(),
                strict=True,
            )
        )
        scores = model.scorer()(queries(data.train, np.array([user])))[0].numpy()
        few = built(data, paths=3, pattern_paths=2)
        narrow = few.walked(torch.tensor([user]))

    best = {}
    for (walk, pattern), p in expected.items():
        best[walk[-1], pattern] = max(p, best.get((walk[-1], pattern), -np.inf))
    assert all(found[walk] == pytest.approx(expected[walk]) for walk in found)
    reached = {(walk[-1], pattern): p for (walk, pattern), p in found.items()}
    ends = {item for item, _ in best}
    assert {item for item, _ in reached} == ends
    assert len(ends) > 1
    top = {item: max(p for (end, _), p in best.items() if end == item) for item in ends}
    fits = fits / 4  # 100 paths of 400
    for item in range(count):
        if item in ends:
            wanted = fits.max() + 1 + top[item] - min(top.values())
        else:
            wanted = fits[item]
        assert scores[item] == pytest.approx(wanted)

    order = np.argsort(prominence)[::-1]
    allowed = {few.patterns[order[0]]: 2, few.patterns[order[1]]: 1}
    taken = Counter(map(tuple, narrow[2].tolist()))
    assert all(taken[pattern] <= allowed.get(pattern, 0) for pattern in taken)
    assert taken


@pytest.mark.usefixtures("_float64")
def test_the_losses_of_walks_by_hand():
    """Two steps, the true end first: logits 1; 2 and 0, then -1; 3 and 1, the last the user's own."""
    logit = torch.tensor([[[1.0, 2.0, 0.0], [-1.0, 3.0, 1.0]]])
    path, rank = walk_losses(logit, torch.tensor([[False, True]]))
    expected = [1 + np.exp(-1), 1 + np.exp(2), 2, 1 + np.exp(1), 1 + np.exp(3)]
    assert path.item() == pytest.approx(np.log(expected).sum())
    assert rank.item() == pytest.approx(np.log1p(np.exp(3 + 1)) / 2)
    assert [part.item() for part in walk_losses(logit[:0], torch.zeros(0, 2).bool())] == [0, 0]


@pytest.mark.usefixtures("_float64")
def test_training_reads_each_walk_by_a_pattern_to_another_item_of_the_user(monkeypatch):
    data = worlds.random_world(1)
    model = built(data, walks=4000, negatives=2, rank_weight=3.0)
    model._reseed(1, 0)
    seen = {}

    def kept(name):
        function = getattr(cafe, name)
        monkeypatch.setattr(cafe, name, lambda *a: seen.setdefault(name, (a, function(*a)))[1])

    kept("walks_to_used")
    kept("other_ends")
    user = torch.tensor([3, 0])
    losses = model.walk_loss(UserBatch(user, torch.zeros(2, 1).long(), torch.zeros(2, 1).bool()))
    (_, whose, *_), (nodes, kinds, held) = seen["walks_to_used"]
    (_, owner, *_), (other, mistaken) = seen["other_ends"]
    assert torch.equal(owner, whose[held])
    columns = [part.tolist() for part in (owner, nodes[held], kinds[held], other, mistaken)]
    drawn = {(who, tuple(n), tuple(k)) for who, n, k, *_ in zip(*columns, strict=True)}
    assert drawn == {
        (who, n, k)
        for who in user.tolist()
        for n, k in every_path(model.ckg, who, 3)
        if k in model.patterns and n[-1] in likes(data, who) and n[-1] != n[1]
    }
    assert len(drawn) > 2

    warm = {int(item) for item in data.train.item}
    logits = []
    with torch.no_grad():
        states = {(who, k): states_by_hand(model, who, k) for who, _, k in drawn}
        for who, n, k, others, wrong in zip(*columns, strict=True):
            assert set(others[-1]) <= warm
            assert wrong == [item in likes(data, who) for item in others[-1]]
            steps = zip(states[who, tuple(k)], n[1:], others, strict=True)
            logits.append([[float(h @ model.nodes[e]) for e in (t, *o)] for h, t, o in steps])
        path, rank = walk_losses(torch.tensor(logits), mistaken)
    assert losses["path"].item() == pytest.approx(path.item())
    assert losses["rank"].item() == pytest.approx(3 * rank.item())


def signposts():
    """Items are of four kinds, which a relation says; another relation leads to hubs at random.
    Users keep to a kind.
    """
    rng = np.random.default_rng(0)
    train = [
        (user, int(item) * 4 + user % 4)
        for user in range(48)
        for item in rng.choice(10, 5, replace=False)
    ]
    triples = [(item, 0, 40 + item % 4) for item in range(40)]
    triples += [(item, 1, 44 + int(hub)) for item in range(40) for hub in rng.choice(6, 3, False)]
    return worlds.dataset(sorted(train), triples=triples, num_users=48, num_items=40)


def test_paths_lead_to_what_the_users_keep_to():
    data = signposts()
    settings = {"dim": 8, "hidden": (32,), "embed_epochs": 10, "learning_rate": 0.02}
    settings |= {"paths": 10, "pattern_paths": 5, "walks": 100, "l2_weight": 0.02}
    run = kgrec.fit("cafe", data, epochs=20, patience=0, batch_size=128, **settings)
    model = run.model.eval()
    reasoner = model.own_paths()
    assert isinstance(reasoner, PathReasoner)
    kinds = []
    for user in range(48):
        paths = reasoner.paths(user, 3)
        verify_paths(model.ckg, user, paths)
        assert not likes(data, user) & {path.nodes[-1] for path in paths}
        assert [p.score for p in paths] == sorted((p.score for p in paths), reverse=True)
        assert all(path.relations in model.patterns for path in paths)
        kinds += [path.nodes[-1] % 4 == user % 4 for path in paths]
    assert model.patterns[0][0] == 0
    assert len(kinds) > 80
    assert np.mean(kinds) > 0.8, np.mean(kinds)


@pytest.mark.parametrize(
    "wrong", [{"dim": 0}, {"length": 1}, {"hidden": ()}, {"paths": 0}, {"init_scale": 0.0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="CAFE needs"):
        CAFEConfig(**wrong)


class TestCAFE(RecommenderContract):
    name = "cafe"
    settings = {"dim": 8, "hidden": (16,), "embed_epochs": 20, "learning_rate": 0.03, "walks": 50}
    uses_knowledge = True
