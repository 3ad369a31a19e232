import torch

from kgrec.ops.lists import entries_of_lists, last_of_lists, pairs_of_lists

START, VALUES = torch.tensor([0, 3, 3, 5]), torch.tensor([7, 8, 9, 4, 5])


def test_lists_are_padded_at_the_right():
    found, held = last_of_lists(START, VALUES, torch.tensor([2, 0, 1, 0]))
    assert found.tolist() == [[4, 5, 0], [7, 8, 9], [0, 0, 0], [7, 8, 9]]
    assert held.sum(1).tolist() == [2, 3, 0, 3]


def test_the_last_are_kept():
    found, held = last_of_lists(START, VALUES, torch.tensor([0, 2]), most=2)
    assert found.tolist() == [[8, 9], [4, 5]]
    assert bool(held.all())


def test_nothing_at_all():
    empty = torch.zeros(0, dtype=torch.int64)
    assert last_of_lists(torch.tensor([0, 0]), empty, torch.tensor([0]))[0].shape == (1, 0)
    assert last_of_lists(START, VALUES, empty)[0].shape == (0, 0)


def test_entries_of_lists_and_pairs_of_their_owners():
    start = torch.tensor([0, 2, 2, 5])
    owner, place = entries_of_lists(start, torch.tensor([2, 1, 0, 2]))
    assert owner.tolist() == [0, 0, 0, 2, 2, 3, 3, 3]
    assert place.tolist() == [2, 3, 4, 0, 1, 2, 3, 4]
    left, right = torch.tensor([1, 0, 1]), torch.tensor([0, 1, 1, 2])
    pairs = zip(*(side.tolist() for side in pairs_of_lists(left, right, 3)), strict=True)
    assert list(pairs) == [(0, 1), (0, 2), (1, 0), (2, 1), (2, 2)]
