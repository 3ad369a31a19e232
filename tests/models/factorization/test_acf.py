"""ACF against its equations, and a world in which most of what was used says nothing."""

import numpy as np
import pytest
import torch

import kgrec
from kgrec.batches import PairwiseBatch
from kgrec.errors import ConfigError
from kgrec.models.factorization.acf import ACF, ACFConfig
from kgrec.queries import histories, queries
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract, auc

DATA = worlds.random_world(1)


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def built(components, **config):
    settings = ACFConfig(components=components, **{"dim": 3, "hidden": 4, **config})
    model = ACF.from_dataset(DATA, settings, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return model.eval()


def softmax(logits):
    values = torch.tensor([float(x.detach()) for x in logits]).exp()
    return values / values.sum()


def user_by_hand(model, own, items, facts=()):
    """Eqs. (6) to (10), an item and a fact at a time."""
    logits = []
    w = model.attention
    for item in items:
        total = own @ w.layers[0] + model.items[item] @ w.layers[1]
        total = total + model.implicit[item] @ w.layers[2] + w.bias
        if model.config.components:
            v = model.content_attention
            found = [model.contents[fact] for fact in facts[item]]
            share = softmax(
                v.out @ torch.relu(own @ v.layers[0] + x @ v.layers[1] + v.bias) for x in found
            )
            content = sum((s * x for s, x in zip(share, found, strict=True)), torch.zeros(3))
            total = total + content @ w.layers[3]
        logits.append(w.out @ torch.relu(total))
    alpha = softmax(logits)
    return own + sum(
        (a * model.implicit[item] for a, item in zip(alpha, items, strict=True)), torch.zeros(3)
    )


def facts_of(data):
    """The (relation, direction, entity) pairs of each item, numbered as they sort."""
    pairs = set()
    for h, r, t in zip(data.triples.head, data.triples.relation, data.triples.tail, strict=True):
        pairs |= {(0, int(r), int(t), int(h)), (1, int(r), int(h), int(t))}
    pairs = {pair for pair in pairs if pair[3] < data.num_items}
    number = {key: at for at, key in enumerate(sorted({pair[:3] for pair in pairs}))}
    return {
        item: sorted(number[pair[:3]] for pair in pairs if pair[3] == item)
        for item in range(data.num_items)
    }


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("components", [False, True])
def test_scores_loss_and_parts_are_the_equations(components):
    model = built(components, l2_weight=0.1)
    facts = facts_of(DATA)
    used = {u: DATA.train.item[DATA.train.user == u].tolist() for u in range(DATA.num_users)}
    with torch.no_grad():
        vectors = torch.stack(
            [user_by_hand(model, model.users[u], used[u], facts) for u in range(DATA.num_users)]
        )
        expected = vectors @ model.items.T
        scorer = model.scorer()
        found = scorer(queries(DATA.train, np.arange(DATA.num_users)))
        torch.testing.assert_close(found, expected)

        stranger = user_by_hand(model, torch.zeros(3), [2, 5, 7], facts) @ model.items.T
        torch.testing.assert_close(scorer(histories([[2, 5, 7]]))[0], stranger)

        effects = model.explanation_effects()
        parts = effects.score_parts(0, 3)
        assert parts.own + parts.liked.sum() == pytest.approx(float(expected[0, 3]))
        assert parts.items.tolist() == used[0]
        others = effects.history_scores(0, [torch.tensor([2, 5]), torch.tensor([], dtype=int)])
        changed = user_by_hand(model, model.users[0], [2, 5], facts) @ model.items.T
        torch.testing.assert_close(others[0], changed)
        torch.testing.assert_close(others[1], model.users[0] @ model.items.T)

    positive = torch.tensor([used[0][0], used[4][-1], used[0][-1]])
    batch = PairwiseBatch(torch.tensor([0, 4, 0]), positive, torch.tensor([4, 5, 6]))
    vectors = torch.stack(
        [
            user_by_hand(model, model.users[u], [i for i in used[u] if i != own], facts)
            for u, own in zip(batch.user.tolist(), batch.positive.tolist(), strict=True)
        ]
    )
    items = model.items[batch.positive] - model.items[batch.negative]
    apart = (vectors * items).sum(1)
    rows = vectors, model.items[batch.positive], model.items[batch.negative]
    squares = sum(row.square().sum().item() for row in rows) / 2 / 3
    loss = -torch.sigmoid(apart).log().mean().item() + 0.1 * squares
    assert model.loss(batch).item() == pytest.approx(loss)


def telling():
    """Users are of four kinds; four items of each history are the kind's, nine are drawn from what
    everybody uses. What is to be found are the kind's items.
    """
    rng = np.random.default_rng(0)
    train = []
    for user in range(96):
        kind = user % 4
        train += [(user, int(i)) for i in 40 + rng.choice(30, 9, replace=False)]
        train += [(user, 10 * kind + int(i)) for i in rng.choice(10, 4, replace=False)]
    return worlds.dataset(sorted(train), num_users=96, num_items=70)


def test_attention_is_paid_to_what_says_something():
    """A mean over the history gives the kind's items a share of 4/13."""
    data = telling()
    settings = {"learning_rate": 0.03, "l2_weight": 0.01}
    run = kgrec.fit("acf", data, epochs=40, patience=0, batch_size=256, dim=8, hidden=8, **settings)
    model = run.model.eval()
    rows = torch.arange(96)
    with torch.inference_mode():
        history, mask = model.attended(rows)
        share = model.weights(model.users, history, mask)
        strangers = run.scorer()(
            histories([[10 * (n % 4) + n % 10, 41, 52, 60] for n in range(20)])
        )
    telling_share = (share * (history < 40)).sum(1).mean()
    assert float(telling_share) > 0.8, telling_share
    own = np.arange(40)[None, :] // 10 == (np.arange(20) % 4)[:, None]
    found = [auc(row, mask) for row, mask in zip(strangers[:, :40].numpy(), own, strict=True)]
    assert np.mean(found) > 0.9, found


@pytest.mark.parametrize("wrong", [{"dim": 0}, {"max_history": 0}, {"init_scale": 0.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="ACF needs"):
        ACFConfig(**wrong)


class TestACF(RecommenderContract):
    name = "acf"
    settings = {"dim": 8, "hidden": 4, "learning_rate": 0.05, "l2_weight": 0.0}


class TestACFKG(RecommenderContract):
    name = "acf-kg"
    settings = {"dim": 8, "hidden": 4, "learning_rate": 0.05, "l2_weight": 0.0}
