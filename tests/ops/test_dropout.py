import pytest
import torch

from kgrec.ops.backends import native
from kgrec.ops.dropout import dropout, words


def word(place, key):
    """The generator in Python's integers, as the formula has it."""

    def mix(value):
        value = (value ^ (value >> 16)) * 0x7FEB352D % 2**32
        value = (value ^ (value >> 15)) * 0x846CA68B % 2**32
        return value ^ (value >> 16)

    return mix((mix(place % 2**32 ^ key % 2**32) + (key >> 32) + (place >> 32)) % 2**32)


@pytest.fixture(params=["native", "torch"])
def backend(request, monkeypatch):
    if request.param == "native" and native.library() is None:
        pytest.skip("the compiled kernels were not built here (no C++ compiler)")
    if request.param == "torch":
        monkeypatch.setenv("KGREC_BACKEND", "torch")
    native.library.cache_clear()
    yield
    monkeypatch.undo()
    native.library.cache_clear()


@pytest.mark.parametrize("key", [0, 1, 0xFFFFFFFF, 2**63 - 1, 0x123456789ABCDEF0])
@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.999])
def test_every_backend_drops_what_the_formula_says(backend, key, probability):
    x = torch.randn(37, 29, generator=torch.Generator().manual_seed(0))
    kept = torch.tensor(
        [word(place, key) >= round(probability * 2**32) for place in range(x.numel())]
    ).view(x.shape)
    torch.testing.assert_close(
        dropout(x, probability, key), torch.where(kept, x / (1 - probability), 0.0)
    )


def test_the_gradient_is_dropped_alike(backend):
    x = torch.randn(50, 7, requires_grad=True)
    upstream = torch.randn(50, 7)
    out = dropout(x, 0.3, 7)
    (gradient,) = torch.autograd.grad(out, x, upstream)
    torch.testing.assert_close(gradient, torch.where(out == 0, 0.0, upstream / 0.7))


def test_words_are_uniform_and_those_of_neighboring_keys_and_places_are_unlike():
    table = torch.stack(
        [words(1 << 14, key, torch.device("cpu")) for key in (0, 1, 2, 1 << 32, 2 << 32)]
    )
    bits = (table.unsqueeze(2) >> torch.arange(32)) & 1
    assert float((bits.double().mean((0, 1)) - 0.5).abs().max()) < 0.01
    for left in range(len(table)):
        for right in range(left):
            alike = (bits[left] == bits[right]).double().mean(0)
            assert float((alike - 0.5).abs().max()) < 0.03
    following = (bits[:, 1:] == bits[:, :-1]).double().mean((0, 1))
    assert float((following - 0.5).abs().max()) < 0.02
    share = (table < 0.1 * 2**32).double()
    assert float((share.mean(1) - 0.1).abs().max()) < 0.01


def test_a_strided_table_is_taken_in_the_order_of_its_values(backend):
    x = torch.randn(8, 6)
    assert torch.equal(dropout(x.T, 0.5, 3), dropout(x.T.contiguous(), 0.5, 3))
    assert dropout(torch.zeros(0, 4), 0.5, 3).shape == (0, 4)


def test_a_block_drops_what_the_whole_matrix_drops_there(backend):
    x = torch.randn(37, 29, generator=torch.Generator().manual_seed(0))
    whole = dropout(x, 0.5, 7)
    part = x[5:20, 8:16].contiguous().requires_grad_()
    found = dropout(part, 0.5, 7, (5, 8, 29))
    torch.testing.assert_close(found, whole[5:20, 8:16])
    found.sum().backward()
    torch.testing.assert_close(part.grad, (whole[5:20, 8:16] != 0).float() * 2)
