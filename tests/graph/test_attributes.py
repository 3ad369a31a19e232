import numpy as np

from kgrec.graph.attributes import ItemAttributes
from kgrec.testing import worlds


def named(attributes):
    """Return {item: {(relation, inverse, entity)}}."""
    columns = list(
        zip(
            attributes.relation.tolist(),
            attributes.inverse.tolist(),
            attributes.entity.tolist(),
            strict=True,
        )
    )
    return {
        item: {columns[c] for c in attributes.matrix[item].indices}
        for item in range(attributes.matrix.shape[0])
    }


def test_attributes_are_read_in_both_directions():
    triples = [(0, 0, 3), (1, 0, 3), (1, 1, 2), (4, 1, 0), (3, 0, 4)]
    data = worlds.dataset([(0, 0)], triples=triples, num_items=3)
    assert named(ItemAttributes.from_dataset(data)) == {
        0: {(0, False, 3), (1, True, 4)},
        1: {(0, False, 3), (1, False, 2)},
        2: {(1, True, 1)},
    }


def test_facts_count_once_and_rare_attributes_can_be_left_out():
    data = worlds.dataset(
        [(0, 0)], triples=[(0, 0, 3), (0, 0, 3), (1, 0, 3), (2, 0, 4)], num_items=3
    )
    attributes = ItemAttributes.from_dataset(data, min_items=2)
    assert named(attributes) == {0: {(0, False, 3)}, 1: {(0, False, 3)}, 2: set()}
    assert attributes.matrix.data.tolist() == [1.0, 1.0]


def test_agrees_with_sets_on_a_random_graph():
    for seed in range(5):
        data = worlds.random_world(seed)
        expected = {item: set() for item in range(data.num_items)}
        for h, r, t in zip(
            data.triples.head.tolist(),
            data.triples.relation.tolist(),
            data.triples.tail.tolist(),
            strict=True,
        ):
            for item, fact in ((h, (r, False, t)), (t, (r, True, h))):
                if item < data.num_items:
                    expected[item].add(fact)
        attributes = ItemAttributes.from_dataset(data)
        assert named(attributes) == expected
        assert (np.diff(attributes.relation + data.num_relations * attributes.inverse) >= 0).all()


def test_no_triples_no_attributes():
    assert ItemAttributes.from_dataset(worlds.dataset([(0, 0), (0, 1)])).matrix.shape == (2, 0)
