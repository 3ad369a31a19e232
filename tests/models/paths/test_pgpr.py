"""PGPR against its equations, and a world in which only one relation leads somewhere."""

import numpy as np
import pytest
import torch

import kgrec
from kgrec.batches import CorruptedBatch
from kgrec.errors import ConfigError
from kgrec.graph import CollaborativeKG, verify_paths
from kgrec.models import PathReasoner
from kgrec.models.paths.beams import beam
from kgrec.models.paths.pgpr import PGPR, PGPRConfig
from kgrec.models.paths.walks import Steps
from kgrec.queries import queries
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

TINY = {"dim": 3, "hidden": (4,), "beams": (50, 50), "walks": 2}


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def built(data, **config):
    ckg = CollaborativeKG.from_dataset(data)
    model = PGPR(ckg, PGPRConfig(**{**TINY, **config}), torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return model.eval()


def edges(ckg):
    return list(zip(*(part.tolist() for part in ckg.both_ways()), strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_steps_are_the_facts_of_a_node_both_ways_but_for_the_last_one_back(seed):
    ckg = CollaborativeKG.from_dataset(worlds.random_world(seed))
    steps = Steps(ckg, 250)
    for node in range(ckg.num_nodes):
        for previous in (node, 9):
            relation, end, held = (
                part[0].tolist()
                for part in steps.of(torch.tensor([node]), torch.tensor([previous]))
            )
            found = sorted((r, e) for r, e, there in zip(relation, end, held, strict=True) if there)
            facts = [(r, t) for h, r, t in edges(ckg) if h == node and t != previous]
            assert found == sorted([*facts, (steps.stay, node)])


def policy_by_hand(model, user, before, last, node):
    """Eq. (3): log-probability by step, and the value."""
    ckg, e, count = model.ckg, model.nodes, model.ckg.num_relations

    def vector(relation):
        if relation == 2 * count:
            return torch.zeros(3)
        sign = 1 if relation < count else -1
        return sign * model.relations[relation % count]

    state = torch.cat([e[user + ckg.num_entities], e[before], vector(last), e[node]])
    h = torch.relu(model.body[0].weight @ state + model.body[0].bias)
    asked = model.actor.weight @ h + model.actor.bias
    actions = [(2 * count, node)]
    actions += [(r, t) for head, r, t in edges(ckg) if head == node and t != before]
    logits = torch.stack([asked @ torch.cat([vector(r), e[t]]) for r, t in actions])
    value = model.critic.weight @ h + model.critic.bias
    return list(zip(actions, logits.log_softmax(0).tolist(), strict=True)), value.item()


@pytest.mark.usefixtures("_float64")
def test_a_beam_that_holds_all_is_every_walk_with_its_probability():
    model = built(worlds.random_world(0))
    user = 2
    start = model.ckg.user_node(user)
    expected = {}
    with torch.no_grad():
        first, _ = policy_by_hand(model, user, start, model.steps.stay, start)
        for (r1, n1), p1 in first:
            for (r2, n2), p2 in policy_by_hand(model, user, start, r1, n1)[0]:
                walk = (start, n1, n2), (r1, r2)
                expected[walk] = np.exp(p1 + p2)
        owner, nodes, relations, chance = beam(model, torch.tensor([user]), (50, 50))
    found = {
        (tuple(n), tuple(r)): np.exp(c)
        for n, r, c in zip(nodes.tolist(), relations.tolist(), chance.tolist(), strict=True)
    }
    assert found.keys() == expected.keys()
    assert all(found[walk] == pytest.approx(expected[walk]) for walk in expected)
    assert sum(found.values()) == pytest.approx(1.0)
    assert owner.tolist() == [0] * len(found)


@pytest.mark.usefixtures("_float64")
def test_reward_ranking_and_losses_are_the_equations():
    model = built(worlds.random_world(0))
    ckg, e = model.ckg, model.nodes
    with torch.no_grad():
        fits = np.array(
            [
                [float((e[ckg.user_node(u)] + model.relations[0]) @ e[i]) for i in range(8)]
                for u in range(6)
            ]
        )
        best = int(fits[1].argmax())
        worst = int(fits[1].argmin())
        ends = torch.tensor([best, worst, 9, 3])
        reward = model.reward(torch.tensor([1, 1, 1, 1]), ends)
        third = min(1.0, max(0.0, fits[1, 3] / fits[1, best]))
        assert reward.tolist() == pytest.approx(
            [1.0, max(0.0, fits[1, worst] / fits[1, best]), 0.0, third]
        )

        scores = model.scorer()(queries(worlds.random_world(0).train, np.arange(6))).numpy()
        _, nodes, _, _ = beam(model, torch.tensor([1]), (50, 50))
        ended = np.isin(np.arange(8), nodes[:, -1].numpy())
        spread = 1 + fits[1].max() - fits[1].min()
        assert scores[1].tolist() == pytest.approx((fits[1] + spread * ended).tolist())

    batch = CorruptedBatch(
        *map(torch.tensor, ([0, 3], [1, 2], [9, 4], [[2, 5], [7, 8]], [True, False]))
    )

    def f(h, r, t):
        return float(((e[h] + model.relations[r]) * e[t]).sum().detach())

    true = [f(0, 1, 9), f(3, 2, 4)]
    false = [f(2, 1, 9), f(5, 1, 9), f(3, 2, 7), f(3, 2, 8)]
    expected = (np.log1p(np.exp(-np.array(true))).sum() + np.log1p(np.exp(false)).sum()) / 2
    rows = [e[0], e[3], e[9], e[4], model.relations[1], model.relations[2]]
    expected += 1e-3 * sum(float(row.detach().square().sum()) for row in rows) / 2 / 2
    assert model.facts_loss(batch).item() == pytest.approx(expected)


def test_the_losses_of_a_walk_by_hand():
    """Two steps of log-probability -1 and -2, values .5 and .2, entropies .1 and .3, reward 1 and
    discount .9: gains .9 - .5 and 1 - .2; 1 * .4 + 2 * .8, .16 + .64, -.5 * .4.
    """
    model = built(worlds.random_world(0), discount=0.9, entropy_weight=0.5)
    taken = [
        tuple(torch.tensor([x]) for x in step) for step in ((-1.0, 0.5, 0.1), (-2.0, 0.2, 0.3))
    ]
    losses = model.reinforced(taken, torch.tensor([1.0]))
    assert losses["policy"].item() == pytest.approx(2.0)
    assert losses["value"].item() == pytest.approx(0.8)
    assert losses["entropy"].item() == pytest.approx(-0.2)


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
    facts = [(item, 0, 40 + item % 4) for item in range(40)]
    facts += [(item, 1, 44 + int(hub)) for item in range(40) for hub in rng.choice(6, 3, False)]
    return worlds.dataset(sorted(train), triples=facts, num_users=48, num_items=40)


def test_the_policy_learns_which_relation_leads_to_the_users_items():
    data = signposts()
    settings = {"dim": 8, "hidden": (32,), "embed_epochs": 20, "learning_rate": 0.02}
    settings |= {"walks": 8, "l2_weight": 0.02}
    run = kgrec.fit("pgpr", data, epochs=20, patience=0, batch_size=128, **settings)
    model = run.model.eval()
    reasoner = model.own_paths()
    assert isinstance(reasoner, PathReasoner)
    kinds = []
    for user in range(48):
        paths = reasoner.paths(user, 3)
        verify_paths(model.ckg, user, paths)
        used = set(data.train.item[data.train.user == user].tolist())
        assert not used & {path.nodes[-1] for path in paths}
        assert [p.score for p in paths] == sorted((p.score for p in paths), reverse=True)
        kinds += [path.nodes[-1] % 4 == user % 4 for path in paths]
    assert len(kinds) > 80
    assert np.mean(kinds) > 0.8, np.mean(kinds)

    users = torch.arange(48).repeat_interleave(50)
    draws = torch.Generator().manual_seed(0)
    now = model.start(users)
    with torch.no_grad():
        for _ in range(3):
            (relation, end, _), logits, _ = model.choices(users, now)
            step = torch.multinomial(logits.softmax(1), 1, generator=draws)
            now = now[2], relation.gather(1, step)[:, 0], end.gather(1, step)[:, 0]
    own = (now[2] < 40) & (now[2] % 4 == users % 4)
    assert own.float().mean() > 0.95, own.float().mean()


@pytest.mark.parametrize(
    "wrong", [{"dim": 0}, {"max_actions": 1}, {"beams": ()}, {"discount": 0.0}, {"init_scale": 0.0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="PGPR needs"):
        PGPRConfig(**wrong)


class TestPGPR(RecommenderContract):
    name = "pgpr"
    settings = {"dim": 8, "hidden": (16,), "embed_epochs": 20, "learning_rate": 0.03, "walks": 4}
    uses_knowledge = True
