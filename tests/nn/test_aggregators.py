import pytest
import torch

from kgrec.nn.aggregators import Aggregator, aggregators

NAMES = ("bi-interaction", "gcn", "graphsage")


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_of_each_size(name):
    layers = aggregators(name, (5, 4, 3), 0.2, torch.Generator().manual_seed(0))
    x = torch.randn(7, 5)
    for layer in layers:
        x = layer(x, 0.5 * x)
    assert x.shape == (7, 3)
    assert not len(aggregators(name, (5,), 0.2, torch.Generator()))


@pytest.mark.parametrize("name", NAMES)
def test_frozen_shares_add_up_to_the_output(name):
    """With its slopes fixed, LeakyReLU is linear: nothing is left over."""
    generator = torch.Generator().manual_seed(1)
    layer = aggregators(name, (4, 3), 0.2, generator).double()[0]
    assert isinstance(layer, Aggregator)
    for _ in range(5):
        ego, near, upstream = (
            torch.randn(size, generator=generator, dtype=torch.float64) for size in (4, 4, 3)
        )
        to_self, to_neighbors, to_bias = layer.frozen(ego, near, upstream)
        got = ego @ to_self + near @ to_neighbors + to_bias
        expected = layer(ego.unsqueeze(0), near.unsqueeze(0))[0] @ upstream
        torch.testing.assert_close(got, expected)
