import numpy as np
import pytest
import torch

from kgrec.nn.translation import neighbor_mean, train_translation, translation_tables


def test_neighbors_count_once_in_both_directions():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 2.0], [4.0, 4.0], [9.0, 9.0], [5.0, 5.0]])
    head, tail = (
        torch.tensor([0, 1, 0, 2, 3]),
        torch.tensor([1, 0, 2, 2, 0]),
    )  # 0-1 twice, 2 with itself
    known = torch.tensor([True, True, True, False, True])
    expected = torch.tensor([[2.0, 3.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(neighbor_mean(vectors, head, tail, known), expected)


def test_no_triples_no_context():
    nothing = torch.zeros(0, dtype=torch.int64)
    assert bool(
        (
            neighbor_mean(torch.ones(3, 2), nothing, nothing, torch.ones(3, dtype=torch.bool)) == 0
        ).all()
    )


def world(members=8, groups=4):
    """Members of a group share their tail; relation 0 names it, relation 1 leads from there to a
    further one.
    """
    people = members * groups
    head = [*range(people), *(people + g for g in range(groups))]
    tail = [
        *(people + p % groups for p in range(people)),
        *(people + groups + g for g in range(groups)),
    ]
    relation = [0] * people + [1] * groups
    return tuple(torch.tensor(column) for column in (head, relation, tail)), people, groups


@pytest.mark.parametrize("kind", ["transe", "transr", "transd"])
def test_entities_of_one_neighbor_come_together(kind):
    triples, people, groups = world()

    def vectors(seed):
        generator = torch.Generator().manual_seed(seed)
        tables = translation_tables(kind, people + 2 * groups, 2, 8, generator)
        train_translation(tables, *triples, epochs=60, generator=generator, learning_rate=0.05)
        return tables.nodes.detach()

    found = vectors(0)
    near = torch.cdist(found[:people], found[:people]).numpy()
    same = (np.arange(people)[:, None] - np.arange(people)) % groups == 0
    assert near[same & ~np.eye(people, dtype=bool)].mean() < 0.85 * near[~same].mean()
    assert torch.equal(found, vectors(0))
    assert not torch.equal(found, vectors(1))
    assert float(found.norm(dim=1).max()) <= 1 + 1e-5
