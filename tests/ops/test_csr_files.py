"""The structure on disk is the one in memory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrec.errors import GraphError
from kgrec.ops.csr import Csr, symmetric_weights
from kgrec.ops.csr_files import csr_on_disk, open_csr


def in_blocks(destination, source, size):
    def edges():
        for start in range(0, len(destination), size):
            yield destination[start : start + size], source[start : start + size]

    return edges


@st.composite
def graphs(draw):
    """Edges with their reverses: parallel ones, self-loops and nodes without any included."""
    nodes = draw(st.integers(1, 8))
    node = st.integers(0, nodes - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=30))
    both = np.array(pairs + [(b, a) for a, b in pairs if a != b], dtype=np.int64).reshape(-1, 2)
    return nodes, both[np.random.default_rng(0).permutation(len(both))]


@settings(max_examples=30)
@given(graphs(), st.integers(1, 9), st.integers(1, 40))
def test_any_ranges_give_the_structure_of_from_edges(tmp_path_factory, world, size, most):
    nodes, edges = world
    folder = tmp_path_factory.mktemp("csr")
    right, _ = Csr.from_edges(edges[:, 0], edges[:, 1], nodes)
    blocks = in_blocks(edges[:, 0], edges[:, 1], size)
    found = csr_on_disk(blocks, nodes, folder, most_edges=most)
    for name in ("ptr", "idx"):
        assert torch.equal(getattr(found, name), getattr(right, name))
        assert getattr(found, name).dtype == getattr(right, name).dtype
    # Equal edges have no order of their own: the reverse is one of the right edges, and back again.
    where = found.destinations()
    rev = found.rev.long()
    assert torch.equal(where[rev], found.idx.long())
    assert torch.equal(found.idx[rev].long(), where)
    assert torch.equal(rev.sort().values, torch.arange(len(rev)))


@pytest.mark.parametrize(("largest", "dtype"), [(7, torch.int64), (8, torch.int32)])
def test_positions_are_64_bit_beyond_the_limit(tmp_path, largest, dtype):
    pairs = np.array([(0, 1), (0, 2), (1, 3), (2, 3)])
    edges = np.r_[pairs, pairs[:, ::-1]]
    right, _ = Csr.from_edges(edges[:, 0], edges[:, 1], 4, largest=largest)
    found = csr_on_disk(in_blocks(edges[:, 0], edges[:, 1], 3), 4, tmp_path, largest=largest)
    assert right.rev.dtype == found.rev.dtype == dtype
    assert torch.equal(right.rev, found.rev)
    assert torch.equal(open_csr(tmp_path).idx, right.idx)
    assert symmetric_weights(found).tolist() == symmetric_weights(right).tolist() == [0.5] * 8


@pytest.mark.parametrize(
    ("destination", "source", "words"),
    [
        ([0, 1, 2], [1, 0, 0], "no reverse"),
        ([0, 1, 1], [1, 0, 0], "no reverse"),
        ([0, 3], [3, 0], "names node 3, outside 0..2"),
        ([0, -1], [-1, 0], "names node -1, outside 0..2"),
    ],
)
def test_edges_that_do_not_fit_are_named(tmp_path, destination, source, words):
    blocks = in_blocks(np.array(destination), np.array(source), 2)
    with pytest.raises(GraphError, match=words):
        csr_on_disk(blocks, 3, tmp_path)
