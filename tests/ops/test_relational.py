import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kgrec.errors import GraphError
from kgrec.ops.backends import native
from kgrec.ops.csr import Csr
from kgrec.ops.relational import rel_project, rel_scores


def typed_graph(seed):
    """Relations 0..2 and inverses 3..5 of which 1 and 4 are not used; parallel relations; an
    isolated node.
    """
    rng = np.random.default_rng(seed)
    head, tail = rng.integers(7, size=(2, 20))
    relation = rng.choice([0, 2], size=20)
    head, tail, relation = (
        np.append(head, head[0]),
        np.append(tail, tail[0]),
        np.append(relation, 2 - relation[0]),
    )
    columns = (
        np.concatenate(pair) for pair in ((head, tail), (tail, head), (relation, relation + 3))
    )
    destination, source, kind = columns
    return Csr.from_edges(
        destination, source, 8, relation=kind, inverse=np.array([3, 4, 5, 0, 1, 2])
    )[0]


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_the_formula_edge_by_edge(seed):
    graph = typed_graph(seed)
    x, projection, vectors = (
        torch.randn(*shape, dtype=torch.float64) for shape in ((8, 4), (6, 4, 3), (6, 3))
    )
    expected = [
        (x[t] @ projection[r]) @ torch.tanh(x[h] @ projection[r] + vectors[r])
        for h, r, t in zip(
            graph.destinations().tolist(), graph.relation.tolist(), graph.idx.tolist(), strict=True
        )
    ]
    torch.testing.assert_close(rel_scores(x, projection, vectors, graph), torch.stack(expected))
    single = rel_scores(x.float(), projection.float(), vectors.float(), graph)
    torch.testing.assert_close(single, torch.stack(expected).float(), rtol=1e-5, atol=1e-5)


def test_more_equal_triples_than_cells():
    twice = np.array([0, 1, 0, 1])
    graph, _ = Csr.from_edges(twice, 1 - twice, 2, relation=twice, inverse=np.array([1, 0]))
    x, projection, vectors = (
        torch.randn(*shape, dtype=torch.float64) for shape in ((2, 4), (2, 4, 3), (2, 3))
    )
    scores = rel_scores(x, projection, vectors, graph)
    expected = [
        (x[1 - r] @ projection[r]) @ torch.tanh(x[r] @ projection[r] + vectors[r])
        for r in (0, 0, 1, 1)
    ]
    torch.testing.assert_close(scores, torch.stack(expected))


def test_no_edges():
    none = np.empty(0, np.int64)
    graph, _ = Csr.from_edges(none, none, 2, relation=none, inverse=np.array([1, 0]))
    assert (
        rel_scores(torch.randn(2, 3), torch.randn(2, 3, 3), torch.randn(2, 3), graph).tolist() == []
    )


def test_a_graph_without_relations_or_with_too_many_is_refused():
    plain, _ = Csr.from_edges(np.array([0, 1]), np.array([1, 0]), 2)
    x, projection, vectors = torch.randn(2, 3), torch.randn(2, 3, 3), torch.randn(2, 3)
    with pytest.raises(GraphError, match="no relations"):
        rel_scores(x, projection, vectors, plain)
    typed, _ = Csr.from_edges(
        np.array([0, 1]),
        np.array([1, 0]),
        2,
        relation=np.array([2, 3]),
        inverse=np.array([0, 1, 3, 2]),
    )
    with pytest.raises(GraphError, match="relation 3, but there are 2 projections"):
        rel_scores(x, projection, vectors, typed)


def test_rel_project_is_one_product_per_row():
    x = torch.randn(11, 4, dtype=torch.float64, requires_grad=True)
    projection = torch.randn(5, 4, 3, dtype=torch.float64, requires_grad=True)
    relation = torch.tensor([3, 0, 3, 1, 0, 0, 3, 4, 1, 0, 3])  # 2 is absent
    torch.testing.assert_close(
        rel_project(x, relation, projection), torch.einsum("bi,bio->bo", x, projection[relation])
    )
    assert gradcheck(lambda x, projection: rel_project(x, relation, projection), (x, projection))
    (gradient,) = torch.autograd.grad(rel_project(x, relation, projection).sum(), projection)
    assert gradient[2].abs().sum() == 0


@pytest.mark.parametrize(("dim_in", "dim_out"), [(64, 32), (16, 48), (16, 16)])
def test_rel_project_in_single_precision_is_that_in_double_for_any_number_of_threads(
    dim_in, dim_out
):
    if native.library() is None:
        pytest.skip("the compiled kernels were not built here (no C++ compiler)")
    generator = torch.Generator().manual_seed(0)
    relation = (
        torch.randint(0, 9, (700,), generator=generator) ** 2 // 9
    )  # of unequal size, some absent
    x, projection = (
        torch.randn(700, dim_in, generator=generator),
        torch.randn(9, dim_in, dim_out, generator=generator),
    )
    upstream = torch.randn(700, dim_out, generator=generator)

    def run(*parts):
        parts = [part.clone().requires_grad_() for part in parts]
        out = rel_project(parts[0], relation, parts[1])
        return out.detach(), *torch.autograd.grad(out, parts, upstream.to(out))

    results, threads = [], torch.get_num_threads()
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            results.append(run(x, projection))
    finally:
        torch.set_num_threads(threads)
    for got, *others, exact in zip(*results, run(x.double(), projection.double()), strict=True):
        assert float((got - exact).norm()) <= 1e-6 * float(exact.norm())
        assert all(torch.equal(got, other) for other in others)
    assert bool((results[0][2][3] == 0).all())  # the gradient of an absent relation


def test_rel_project_of_nothing():
    assert rel_project(
        torch.randn(0, 4), torch.zeros(0, dtype=torch.int64), torch.randn(2, 4, 3)
    ).shape == (0, 3)
