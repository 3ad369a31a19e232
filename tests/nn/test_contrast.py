import numpy as np
import pytest
import torch

from kgrec.errors import ConfigError
from kgrec.nn.contrast import (
    ProjectionHead,
    SignedNoise,
    alignment,
    check_contrast,
    drawn,
    edges_of_kept_nodes,
    gumbel,
    info_nce,
    info_nce_of_both,
    kept_edges,
    uniformity,
    view_weights,
)
from kgrec.ops import contrast
from kgrec.ops.csr import Csr


def double(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def ring(size=60):
    """Return a ring with chords, both directions of each edge."""
    pairs = [(a, (a + step) % size) for step in (1, 7) for a in range(size)]
    a, b = np.array(pairs).T
    return Csr.from_edges(np.concatenate([a, b]), np.concatenate([b, a]), size)[0]


def dense(graph, values):
    out = torch.zeros(graph.num_nodes, graph.num_nodes, dtype=torch.float64)
    out[graph.destinations(), graph.idx.long()] = values.double()
    return out


def test_info_nce_by_hand():
    """Cosines over .2 are [[4, 0], [4.8, 4]], the positives on the diagonal."""
    first, second = double([1.0, 0.0], [0.6, 0.8]), double([0.8, 0.6], [0.0, 1.0])
    assert float(info_nce(first, second, 0.2)) == pytest.approx(0.594625, abs=1e-6)
    assert float(info_nce(3 * first, 7 * second, 0.2)) == pytest.approx(0.594625, abs=1e-6)


def test_info_nce_against_a_table_of_its_own():
    draw = torch.Generator().manual_seed(0)
    first = torch.randn(5, 4, generator=draw, dtype=torch.float64).requires_grad_()
    second = torch.randn(9, 4, generator=draw, dtype=torch.float64).requires_grad_()
    positive = torch.tensor([8, 0, 0, 3, 7])
    logits = (
        torch.nn.functional.normalize(first, dim=1)
        @ torch.nn.functional.normalize(second, dim=1).T
        / 0.3
    )
    expected = torch.nn.functional.cross_entropy(logits, positive)
    got = info_nce(first, second, 0.3, positive)
    torch.testing.assert_close(got, expected)
    for ours, theirs in zip(
        torch.autograd.grad(got, (first, second)),
        torch.autograd.grad(expected, (first, second)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_alignment_and_uniformity_by_hand():
    users, items = double([0.6, 0.8], [0.0, 1.0]), double([0.8, 0.6], [1.0, 0.0])
    assert float(alignment(users, items)) == pytest.approx(1.04)
    assert float(uniformity(users)) == pytest.approx(-0.8)
    assert float(uniformity(2 * items)) == pytest.approx(-0.8)


@pytest.mark.parametrize("cells", [1, 20, 1 << 20])
def test_uniformity_is_the_mean_over_pairs(cells, monkeypatch):
    monkeypatch.setattr(contrast, "_CELLS_AT_ONCE", cells)
    x = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = torch.cat([x, x[:1]]).requires_grad_()  # a row that is there twice counts as a pair
    unit = torch.nn.functional.normalize(x, dim=1)
    expected = torch.pdist(unit).pow(2).mul(-2).exp().mean().log()
    got = uniformity(x)
    torch.testing.assert_close(got, expected)
    ours, theirs = (torch.autograd.grad(loss, x)[0] for loss in (got, expected))
    torch.testing.assert_close(ours, theirs)


def test_uniformity_of_one_row_is_0():
    x = double([0.3, 0.4]).requires_grad_()
    loss = uniformity(x)
    loss.backward()
    assert float(loss.detach()) == 0
    assert (x.grad == 0).all()


@pytest.mark.parametrize("draw", [kept_edges, edges_of_kept_nodes])
def test_a_view_is_a_graph_of_its_own_normalized_again(draw):
    graph = ring()
    kept = draw(graph, 0.3, 5)
    assert torch.equal(kept, kept[graph.rev.long()])
    assert torch.equal(kept, draw(graph, 0.3, 5))
    assert not torch.equal(kept, draw(graph, 0.3, 6))
    adjacency = dense(graph, kept)
    scale = adjacency.sum(1).clamp(min=1).rsqrt()
    expected = scale[:, None] * adjacency * scale
    got = dense(graph, view_weights(graph, kept, torch.float64))
    torch.testing.assert_close(got, expected)


def test_shares_that_stay():
    graph = ring(3000)
    assert float(kept_edges(graph, 0.3, 1).double().mean()) == pytest.approx(0.7, abs=0.02)
    assert float(edges_of_kept_nodes(graph, 0.3, 1).double().mean()) == pytest.approx(
        0.49, abs=0.04
    )
    assert bool(kept_edges(graph, 0.0, 1).all())


def test_a_node_that_is_left_out_has_no_edge():
    graph = ring()
    rows = dense(graph, edges_of_kept_nodes(graph, 0.5, 2)).sum(1)
    assert 10 < int((rows == 0).sum()) < 50


def test_a_view_without_edges_is_refused():
    graph = ring()
    nothing = torch.zeros(graph.num_edges, dtype=torch.bool)
    with pytest.raises(ConfigError, match=r"keeps none of its 120 edges.*smaller share"):
        view_weights(graph, nothing, torch.float32)


def test_noise_has_its_length_and_the_signs_of_the_row():
    x = torch.randn(50, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[3, 2] = 0
    noise = SignedNoise(0.1)
    first, second = noise(x) - x, noise(x) - x
    assert not torch.equal(first, second)
    whole = torch.arange(50) != 3
    torch.testing.assert_close(first.norm(dim=1)[whole], torch.full((49,), 0.1).double())
    assert first[3, 2] == 0
    assert (first * x >= 0).all()
    noise.reseed(0)
    torch.testing.assert_close(noise(x) - x, first)


def test_noise_is_uniform_and_a_constant_to_the_gradient():
    x = torch.ones(2000, 5, dtype=torch.float64, requires_grad=True)
    y = SignedNoise(1.0)(x)
    y.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
    added = (y - 1).detach()
    share = added / added.amax(1, keepdim=True)  # u / the largest of five: mean 3/5
    assert float(share.mean()) == pytest.approx((4 * 0.5 + 1) / 5, abs=0.01)


@pytest.mark.parametrize("values", [(0.0, 1, 0), (1.5, 1, 0), (0.2, -1, 0), (0.2, 1, -1)])
def test_refuses_values_out_of_range(values):
    with pytest.raises(ConfigError, match=r"^SGL needs contrast_temperature in \(0, 1\]"):
        check_contrast("SGL", *values)


def test_info_nce_of_both_views_by_hand():
    """Cosines .8, 0, .96 and .8 across the views and .6 within the first, over .2: rows
    -log(e^4 / (e^4 + e^0 + e^3)) and -log(e^4 / (e^4 + e^4.8 + e^3)).
    """
    first = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    second = torch.tensor([[0.8, 0.6], [0.0, 1.0]])
    expected = np.mean([np.log(1 + np.exp(-4) + np.exp(-1)), np.log(1 + np.exp(0.8) + np.exp(-1))])
    assert float(info_nce_of_both(first, second, 0.2)) == pytest.approx(expected, abs=1e-6)
    longer = info_nce_of_both(3 * first, 7 * second, 0.2)
    assert float(longer) == pytest.approx(expected, abs=1e-6)


def test_draws_have_their_probabilities():
    device = torch.device("cpu")
    probability = torch.tensor([0.0, 0.3, 1.0]).repeat_interleave(10_000)
    shares = drawn(probability, 30_000, 7, device).view(3, -1).double().mean(1)
    torch.testing.assert_close(shares, torch.tensor([0.0, 0.3, 1.0]).double(), atol=0.02, rtol=0)
    assert torch.equal(drawn(0.4, 50, 7, device), drawn(torch.full((50,), 0.4), 50, 7, device))
    noise = gumbel(30_000, 3, device)
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.02)  # Euler's constant
    assert float((noise < 0).double().mean()) == pytest.approx(np.exp(-1), abs=0.01)


def test_a_projection_by_hand():
    head = ProjectionHead(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        head.weights[0].copy_(torch.tensor([[1.0, -1.0], [0.0, 2.0]]))
        head.weights[1].copy_(torch.tensor([[1.0, 1.0], [3.0, 0.0]]))
        head.biases.copy_(torch.tensor([[0.0, 1.0], [10.0, 20.0]]))
        found = head(torch.tensor([[1.0, 1.0], [-1.0, -2.0]]))
    # hidden (1, 2) and (0, 0)
    assert found.tolist() == [[17.0, 21.0], [10.0, 20.0]]
