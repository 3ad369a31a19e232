import numpy as np
import pytest
import torch

from kgrec.errors import GraphError
from kgrec.graph.typed_mean import TypedMean
from kgrec.ops.typed import TypedEdges, typed_products, typed_scores, typed_sum

ROWS, COLUMNS, RELATIONS, EDGES = 6, 9, 4, 40


def edges(seed, count=EDGES):
    rng = np.random.default_rng(seed)
    return tuple(
        torch.from_numpy(rng.integers(size, size=count)) for size in (ROWS, COLUMNS, RELATIONS - 1)
    )  # relation 3 has no edge


def problem(seed):
    row, column, relation = edges(seed)
    structure, order = TypedEdges.from_edges(row, column, ROWS, COLUMNS, relation, RELATIONS)
    generator = torch.Generator().manual_seed(seed)
    x, vectors, weight = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((COLUMNS, 5), (RELATIONS, 5), (EDGES,))
    )
    return structure, order, (row, column, relation), x, vectors, weight


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("typed", [True, False])
def test_sums_over_typed_edges(seed, typed):
    """Against a loop over the edges, parallel ones included."""
    structure, order, (row, column, relation), x, vectors, weight = problem(seed)
    expected = torch.zeros(ROWS, 5, dtype=torch.float64)
    for place, edge in enumerate(order.tolist()):
        message = x[column[edge]] * (vectors[relation[edge]] if typed else 1.0)
        expected[row[edge]] += weight[place] * message
    torch.testing.assert_close(
        typed_sum(x, structure, weight, vectors if typed else None), expected
    )


@pytest.mark.parametrize("seed", range(3))
def test_gradients_equal_finite_differences(seed):
    structure, _, _, x, vectors, weight = problem(seed)
    x.requires_grad_()
    vectors.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: typed_sum(a, structure, weight, b), (x, vectors))
    assert torch.autograd.gradcheck(lambda a: typed_sum(a, structure, weight), (x,))
    assert torch.autograd.gradcheck(
        lambda b: typed_sum(x.detach(), structure, weight, b), (vectors,)
    )


@pytest.mark.parametrize("typed", [True, False])
def test_derivatives_by_the_weights_are_products_edge_by_edge(typed):
    structure, order, (row, column, relation), x, vectors, _ = problem(4)
    upstream = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    got = typed_products(upstream, structure, x, vectors if typed else None)
    for place, edge in enumerate(order.tolist()):
        message = x[column[edge]] * (vectors[relation[edge]] if typed else 1.0)
        assert float(got[place]) == pytest.approx(float(upstream[row[edge]] @ message), abs=1e-12)


def test_no_edges_give_zeros():
    nothing = torch.zeros(0, dtype=torch.int64)
    structure, order = TypedEdges.from_edges(nothing, nothing, 3, 2)
    assert len(order) == 0
    assert torch.equal(typed_sum(torch.ones(2, 4), structure, torch.zeros(0)), torch.zeros(3, 4))
    assert len(typed_products(torch.ones(3, 4), structure, torch.ones(2, 4))) == 0


def test_mean_weights_add_up_to_one_in_every_row_with_edges():
    row, column, relation = edges(0, count=8)
    mean = TypedMean(TypedEdges.from_edges(row, column, ROWS, COLUMNS, relation, RELATIONS)[0])
    sums = typed_sum(torch.ones(COLUMNS, 1), mean.edges, mean.weight)[:, 0]
    torch.testing.assert_close(sums, (torch.bincount(row, minlength=ROWS) > 0).float())
    assert 0 < int((sums > 0).sum()) < ROWS


@pytest.mark.parametrize(
    ("what", "edge"), [("row", (6, 0, 0)), ("column", (0, -1, 0)), ("relation", (0, 0, 4))]
)
def test_an_edge_out_of_range_is_refused(what, edge):
    row, column, relation = (torch.tensor([value]) for value in edge)
    with pytest.raises(GraphError, match=f"names a {what} outside 0\\.\\."):
        TypedEdges.from_edges(row, column, ROWS, COLUMNS, relation, RELATIONS)


def test_weights_have_a_gradient_where_they_ask_for_one():
    structure, _, _, x, vectors, weight = problem(5)
    for table in (x, vectors, weight):
        table.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b, w: typed_sum(a, structure, w, b), (x, vectors, weight)
    )
    assert torch.autograd.gradcheck(lambda a, w: typed_sum(a, structure, w), (x, weight))


def test_scores_of_edges_are_products_of_three():
    structure, order, (row, column, relation), x, vectors, _ = problem(6)
    a = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for table in (a, x, vectors):
        table.requires_grad_()
    expected = (a[row] * vectors[relation] * x[column]).sum(1)[order]
    torch.testing.assert_close(typed_scores(a, structure, x, vectors), expected)
    assert torch.autograd.gradcheck(
        lambda *t: typed_scores(t[0], structure, *t[1:]), (a, x, vectors)
    )
