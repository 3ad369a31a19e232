import pytest
import torch
from torch.nn.functional import conv1d, pad

from kgrec.nn.text import KCNN, DotPairing, PairNet


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def encode(kcnn, channels, length=None):
    """Return the vectors of texts given as (news, words, dim) per channel; words from ``length`` on
    are no words.
    """
    news, words, _ = channels[0].shape
    responses = sum(
        kcnn.responses(channel.flatten(0, 1), at) for at, channel in enumerate(channels)
    )
    if length is not None:
        none = (torch.arange(words) >= torch.tensor(length).unsqueeze(1)).flatten()
        responses = responses.masked_fill(none.unsqueeze(1), -torch.inf)
    return kcnn(responses, torch.arange(news * words).view(news, words))


def test_three_channels_by_hand():
    """models.md 1.7 (a): positions give 2.75 and 1."""
    kcnn = KCNN(3, 1, (2,), 1, drawn())
    with torch.no_grad():
        kcnn.filters.fill_(1.0)
        kcnn.bias.fill_(-1.0)
    channels = [
        torch.tensor(column).view(1, 3, 1)
        for column in ([1.0, 2.0, 0.0], [0.5, 0.0, 0.0], [0.25, 0.0, 0.0])
    ]
    torch.testing.assert_close(encode(kcnn, channels), torch.tensor([[2.75]]), atol=1e-12, rtol=0)
    second = [channel[:, 1:] for channel in channels]
    torch.testing.assert_close(encode(kcnn, second), torch.tensor([[1.0]]), atol=1e-12, rtol=0)


def test_equals_a_convolution_over_concatenated_channels():
    kcnn = KCNN(2, 3, (1, 2, 4), 5, drawn())
    with torch.no_grad():
        kcnn.bias.normal_(generator=drawn(1))
    channels = [torch.randn(7, 6, 3, generator=drawn(at)) for at in (2, 3)]
    expected, place = [], 0
    for at, width in enumerate(kcnn.widths):
        weight = (
            kcnn.filters[:, place : place + width].permute(3, 0, 2, 1).flatten(1, 2)
        )  # (filters, channels * dim, width)
        place += width
        convolved = conv1d(
            torch.cat(channels, 2).transpose(1, 2), weight, kcnn.bias[5 * at : 5 * at + 5]
        )
        expected.append(convolved.relu().amax(2))
    torch.testing.assert_close(encode(kcnn, channels), torch.cat(expected, 1))
    assert kcnn.dim == 15


def test_padding_changes_nothing():
    """models.md 1.7 (c), and more of it does not either."""
    kcnn = KCNN(1, 3, (1, 3), 4, drawn())
    words = torch.randn(5, 6, 3, generator=drawn(1))
    length = [6, 4, 3, 2, 0]
    found = encode(kcnn, [words], length)
    other = words.clone()
    for row, end in enumerate(length):
        other[row, end:] = 9.0
    torch.testing.assert_close(encode(kcnn, [pad(other, (0, 0, 0, 3))], length), found)
    assert bool((found[:3] != 0).any(1).all())
    assert bool((found[3, 4:] == 0).all())  # two words are too few for a filter of three
    assert bool((found[4] == 0).all())


def test_gradients():
    kcnn = KCNN(2, 3, (1, 2), 4, drawn())
    words = [torch.randn(3, 4, 3, generator=drawn(at), requires_grad=True) for at in (1, 2)]

    def run(filters, bias, *channels):
        with torch.no_grad():
            kcnn.bias.copy_(bias)
        table = torch.func.functional_call
        responses = sum(channel.flatten(0, 1) @ filters[at] for at, channel in enumerate(channels))
        responses = responses.masked_fill((torch.arange(12) % 4 == 3).unsqueeze(1), -torch.inf)
        return table(
            kcnn, {"filters": filters, "bias": bias}, (responses, torch.arange(12).view(3, 4))
        )

    assert torch.autograd.gradcheck(run, (kcnn.filters, kcnn.bias, *words))


@pytest.mark.parametrize("bias", [True, False])
def test_pair_net_is_a_network_on_both_vectors(bias):
    net = PairNet(3, (5, 4), bias, drawn())
    with torch.no_grad():
        for parameter in net.biases:
            parameter.normal_(generator=drawn(1))
    left, right = torch.randn(2, 6, 3, generator=drawn(2)), torch.randn(2, 6, 3, generator=drawn(3))

    def plain(a, b):
        x = (torch.cat([a, b]) @ net.first + net.biases[0]).relu()
        x = (x @ net.weights[0] + net.biases[1]).relu() @ net.weights[1]
        return float((x + net.biases[2] if bias else x).detach())

    sides = (
        net.sides(left.flatten(0, 1))[0].view(2, 6, -1),
        net.sides(right.flatten(0, 1))[1].view(2, 6, -1),
    )
    pairs, every = net.pairs(*sides).detach(), net.all_pairs(*sides).detach()
    for row in range(2):
        for at in range(6):
            assert float(pairs[row, at]) == pytest.approx(
                plain(left[row, at], right[row, at]), abs=1e-12
            )
            assert float(every[row, at, 2]) == pytest.approx(
                plain(left[row, 2], right[row, at]), abs=1e-12
            )


def test_dot_pairing():
    left, right = torch.randn(2, 3, 4, generator=drawn(2)), torch.randn(2, 3, 4, generator=drawn(3))
    dot = DotPairing()
    rows = left[0]
    assert all(side is rows for side in dot.sides(rows))
    torch.testing.assert_close(dot.pairs(left, right), torch.einsum("bcd,bcd->bc", left, right))
    torch.testing.assert_close(
        dot.all_pairs(left, right), torch.einsum("bhd,bcd->bch", left, right)
    )
