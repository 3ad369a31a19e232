"""Users and items as columns: counted by hand."""

from dataclasses import replace

import numpy as np
import torch

from kgrec.graph import CollaborativeKG, FieldTable
from kgrec.graph.fields import field_values
from kgrec.testing import worlds


def test_a_column_holds_the_fact_that_is_true_of_most_items():
    """Relation 0: item 0 has entities 4 and 5, item 1 has 5, item 2 has 6; 5 is the commonest."""
    facts = [(0, 0, 4), (0, 0, 5), (1, 0, 5), (2, 0, 6), (5, 1, 2)]
    data = worlds.dataset([(0, 0), (1, 3)], triples=facts, num_items=4)
    table = FieldTable.from_dataset(data)
    assert table.names == ("user", "item", "r0", "^r1")
    assert table.sizes == (2, 4, 4, 2)
    assert table.items.tolist() == [[2, 0], [2, 0], [3, 1], [0, 0]]
    assert table.users.shape == (2, 0)
    assert table.rows(torch.tensor([0, 1]), torch.tensor([2, 3])).tolist() == [
        [0, 2, 3, 1],
        [1, 3, 0, 0],
    ]
    assert table.offsets == (0, 2, 6, 10)
    assert table.num_values == 12


def test_further_facts_fill_further_columns_of_the_same_values():
    facts = [(0, 0, 4), (0, 0, 5), (1, 0, 5), (0, 0, 6)]
    data = worlds.dataset([(0, 0), (1, 3)], triples=facts, num_items=4)
    table = FieldTable.from_dataset(data, most=2)
    assert table.names == ("user", "item", "r0", "r0")
    assert table.items.tolist() == [[2, 1], [2, 0], [0, 0], [0, 0]]
    assert table.sizes == (2, 4, 4, 4)
    assert table.offsets == (0, 2, 6, 6)
    assert table.num_values == 10
    assert FieldTable.from_dataset(data, most=9).names.count("r0") == 3


def test_facts_about_users_have_columns_of_their_own():
    data = worlds.dataset([(0, 0), (1, 1)], triples=[(0, 0, 2)], num_items=2, num_entities=4)
    data = replace(data, user_facts=np.array([(1, 0, 3)], dtype=np.int32))
    table = FieldTable.from_dataset(data)
    assert table.names == ("user", "item", "r0", "user r0")
    assert table.rows(torch.tensor([0, 1]), torch.tensor([0, 1])).tolist() == [
        [0, 0, 1, 0],
        [1, 1, 0, 1],
    ]


def test_without_facts_there_are_user_and_item():
    table = FieldTable.from_dataset(worlds.dataset([(0, 0), (1, 1)]))
    assert table.names == ("user", "item")
    assert table.rows(torch.tensor([1]), torch.tensor([0])).tolist() == [[1, 0]]


def test_values_of_fields_have_numbers_that_are_their_mean():
    """Item 0 has r0 of 4 and 5, the former stated twice; item 2 is the tail of item 1."""
    facts = [(0, 0, 4), (0, 0, 4), (0, 0, 5), (1, 0, 5), (1, 1, 2), (3, 0, 6)]
    data = worlds.dataset([(0, 0), (1, 3)], triples=facts, num_items=4, num_entities=7)
    ckg = CollaborativeKG.from_dataset(data)
    found = field_values(ckg, "items", ["r0", "r1"])
    assert found.names == ("r0", "r1", "^r1")
    assert found.field.tolist() == [0, 0, 0, 1, 2]  # 4, 5, 6; 2; 1
    entries = zip(found.row.tolist(), found.value.tolist(), found.x.tolist(), strict=True)
    assert list(entries) == [
        (0, 0, 0.5),
        (0, 1, 0.5),
        (1, 1, 1.0),
        (1, 3, 1.0),
        (2, 4, 1.0),
        (3, 2, 1.0),
    ]
    assert found.stated.tolist() == [
        [0, 0, 2],
        [0, 0, 3],
        [0, 1, 4],
        [1, 1, 5],
        [1, 3, 6],
        [3, 2, 7],
        [2, 4, 6],
    ]
    assert found.warm.tolist() == [True, False, False, True]
    assert found.known.tolist() == [True, True, False, True]
    shared = field_values(ckg, "items", ["r0", "r1"], min_count=2)
    assert (shared.names, shared.row.tolist(), shared.x.tolist()) == (("r0",), [0, 1], [1.0, 1.0])


def test_values_of_users_are_the_facts_about_them_and_numbers_are_standardized():
    data = worlds.dataset([(0, 0), (1, 1)], triples=[(0, 0, 2)], num_items=2, num_entities=4)
    data = replace(data, user_facts=np.array([(1, 0, 3), (0, 0, 2), (1, 0, 2)], dtype=np.int32))
    ckg = CollaborativeKG.from_dataset(data)
    users = field_values(ckg, "users", ["r0"])
    assert (users.row.tolist(), users.value.tolist()) == ([0, 1, 1], [0, 0, 1])
    assert users.x.tolist() == [1.0, 0.5, 0.5]
    numbers = np.array([[1.0, 7.0], [3.0, 7.0]], dtype=np.float32)
    items = field_values(ckg, "items", ["r0"], features=numbers)
    assert items.names == ("r0", "features")
    assert items.field.tolist() == [0, 1, 1]
    entries = zip(items.row.tolist(), items.value.tolist(), items.x.tolist(), strict=True)
    assert list(entries) == [(0, 0, 1.0), (0, 1, -1.0), (1, 1, 1.0)]
