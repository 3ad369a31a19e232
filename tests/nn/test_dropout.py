import torch

from kgrec.nn.dropout import SeededDropout


def test_keeps_the_mean_and_drops_the_share():
    layer = SeededDropout(0.25)
    layer.reseed(0)
    out = layer(torch.ones(400, 100))
    assert abs(float((out == 0).float().mean()) - 0.25) < 0.01
    assert abs(float(out.mean()) - 1) < 0.02


def test_the_same_seed_draws_the_same_masks_and_evaluation_draws_none():
    layer, x = SeededDropout(0.5), torch.ones(10, 10)
    layer.reseed(3)
    first = layer(x)
    assert not torch.equal(first, layer(x))
    layer.reseed(3)
    assert torch.equal(first, layer(x))
    assert torch.equal(layer.eval()(x), x)
