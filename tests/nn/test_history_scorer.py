import itertools

import torch

from kgrec.nn.history_scorer import HistorySets


def test_known_users_go_by_their_items_and_strangers_by_the_history():
    weight = torch.arange(16.0).view(4, 4)

    def sums(ptr, items):
        parts = [weight[items[a:b]].sum(0) for a, b in itertools.pairwise(ptr)]
        return torch.stack(parts)

    sets = HistorySets(torch.tensor([0, 2, 3]), torch.tensor([0, 3, 1]), 4, sums)
    user = torch.tensor([1, -1, 0, -1])
    history = torch.tensor([[3, 3, 0], [2, 1, 2], [0, 0, 0], [0, 0, 0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]]).bool()
    got = sets.scores(user, history, mask)
    expected = torch.stack(
        [weight[1], weight[1] + weight[2], weight[0] + weight[3], torch.zeros(4)]
    )
    assert torch.equal(got, expected)
    some = torch.tensor([[3, 0]] * 4)
    assert torch.equal(sets.scores(user, history, mask, some), expected[:, [3, 0]])
    assert torch.equal(sets.similar(2), weight[2])
    assert torch.equal(sets.alone(torch.tensor([2, 0]), 1), torch.tensor([9.0, 1.0]))
