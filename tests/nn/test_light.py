import numpy as np
import torch

from kgrec.nn.light import LightPropagation
from kgrec.ops.csr import Csr, symmetric_weights


def random_graph(nodes, pairs, seed):
    """Return a symmetric graph, its weights, and both as a dense matrix."""
    rng = np.random.default_rng(seed)
    ends = np.stack(np.triu_indices(nodes, 1))
    a, b = torch.from_numpy(ends[:, rng.choice(ends.shape[1], pairs, replace=False)])
    csr, _ = Csr.from_edges(torch.cat([a, b]), torch.cat([b, a]), nodes)
    weight = symmetric_weights(csr, torch.float64)
    dense = torch.zeros(nodes, nodes, dtype=torch.float64)
    dense[csr.destinations(), csr.idx.long()] = weight
    return csr, weight, dense


def test_layers_are_averaged():
    csr, weight, dense = random_graph(9, 14, 0)
    x = torch.randn(9, 3, dtype=torch.float64)
    expected = (x + dense @ x + dense @ dense @ x) / 3
    propagate = LightPropagation(2)
    torch.testing.assert_close(propagate(x, csr, weight), expected)
    rows = torch.tensor([4, 0, 7])
    z, start = propagate.rows(x, csr, weight, rows)
    torch.testing.assert_close(z, expected[rows])
    assert torch.equal(start, x[rows])


def test_without_layers_the_vectors_stay():
    csr, weight, _ = random_graph(5, 4, 1)
    x = torch.randn(5, 2, dtype=torch.float64)
    torch.testing.assert_close(LightPropagation(0)(x, csr, weight), x)


def test_dropped_edges_go_both_ways_in_training_alone():
    csr, weight, _ = random_graph(30, 120, 2)
    propagate = LightPropagation(1, 0.4)
    propagate.edge_dropout.reseed(5)
    kept = propagate.kept(csr, weight)
    assert torch.equal(kept, kept[csr.rev.long()])
    assert 0.4 < float((kept > 0).double().mean()) < 0.8
    torch.testing.assert_close(kept[kept > 0], weight[kept > 0] / 0.6)
    assert propagate.eval().kept(csr, weight) is weight


def test_a_new_node_gathers_from_its_neighbors_and_changes_nobody():
    csr, weight, dense = random_graph(8, 12, 3)
    x = torch.randn(8, 3, dtype=torch.float64)
    own, mask = torch.tensor([[1, 6, 0], [2, 0, 0]]), torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()
    light = LightPropagation(2)
    got = light.fold_in(light.received(x, csr, weight), csr, own, mask)
    degree = csr.degree.double()
    received = (x + dense @ x) / 3
    for row, items in enumerate(([1, 6], [2])):
        expected = sum(received[i] / (len(items) * degree[i]).sqrt() for i in items)
        torch.testing.assert_close(got[row], expected)
    nobody = light.fold_in(x, csr, own[:1], torch.zeros(1, 3).bool())
    assert not nobody.any()
