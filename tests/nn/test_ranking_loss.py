import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from kgrec.errors import ConfigError
from kgrec.nn.ranking_loss import CosineSoftmax, WarmItems, check_ranking_loss, ranked_items

ITEMS = np.array([1, 2, 4, 7])
POSITION = np.array([-1, 0, 1, -1, 2, -1, -1, 3])


def vectors(seed=0):
    draw = torch.Generator().manual_seed(seed)
    users, items = (
        torch.randn(size, 5, generator=draw, dtype=torch.float64) for size in (3, len(POSITION))
    )
    return users, items, torch.tensor([4, 1, 4])


def test_warm_items_alone_are_contrasted():
    users, items, positive = vectors()
    warm = WarmItems(ITEMS, POSITION)
    assert warm.count == 4
    assert torch.equal(warm.of(items), items[ITEMS])
    target = torch.tensor([2, 0, 2])
    got = warm.softmax(users, warm.of(items), positive)
    torch.testing.assert_close(got, cross_entropy(users @ items[ITEMS].T, target))

    cosine = CosineSoftmax(ITEMS, POSITION, 0.5)
    logits = normalize(users) @ normalize(items[ITEMS]).T / 0.5
    got = cosine(users, cosine.of(items), positive)
    torch.testing.assert_close(got, cross_entropy(logits, target))
    assert not list(cosine.state_dict())


def test_drawing_every_item_is_the_loss_over_all():
    """An item is no negative of itself: drawn items that are not the positive count once each."""
    users, items, positive = vectors(1)
    cosine = CosineSoftmax(ITEMS, POSITION, 0.5, negatives=4)
    assert not cosine.sampled  # four of four
    drawn = cosine.items
    unit = normalize(items)
    got = cosine.over_drawn(normalize(users), unit[positive], unit[drawn], (positive, drawn))
    torch.testing.assert_close(got, cosine(users, cosine.of(items), positive))


def test_items_are_drawn_among_the_warm_ones_by_seed():
    cosine = CosineSoftmax(ITEMS, POSITION, 0.5, negatives=3)
    assert cosine.sampled
    cosine.reseed(8)
    first, second = cosine.draw(), cosine.draw()
    cosine.reseed(8)
    assert torch.equal(cosine.draw(), first)
    assert torch.equal(cosine.draw(), second)
    many = torch.cat([cosine.draw() for _ in range(60)])
    assert set(many.tolist()) == set(ITEMS.tolist())
    assert not CosineSoftmax(ITEMS, POSITION, 0.5).sampled


def test_items_are_ranked_as_they_were_trained():
    items = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert ranked_items(items, "bpr") is items
    torch.testing.assert_close(
        ranked_items(items, "softmax"), torch.tensor([[0.6, 0.8], [0.0, 0.0]])
    )


@pytest.mark.parametrize(("loss", "temperature"), [("hinge", 0.5), ("bpr", 0.0), ("softmax", 1.1)])
def test_unknown_losses_and_temperatures_are_refused(loss, temperature):
    with pytest.raises(ConfigError, match=r'^Mine needs loss "bpr" or "softmax" and a temperature'):
        check_ranking_loss("Mine", loss, temperature)
    check_ranking_loss("Mine", "softmax", 1.0)
