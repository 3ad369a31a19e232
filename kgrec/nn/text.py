"""Blocks of news models: a convolution over words, and what compares two vectors."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from kgrec.nn.init import glorot_uniform
from kgrec.ops.rows import take_rows


class KCNN(nn.Module):
    """Convolution over the words of a text, each word given by one vector in each of several
    channels.

        c_t = ReLU(sum over channels and places of h . W_{t:t+l-1} + b),    e = max over t of c_t,
        for each filter h of each width l

    A convolution is linear before its ReLU, so it needs no vectors, only what they add at each
    place of each filter (``responses``): those are computed once per distinct word, not once per
    occurrence.

    Args:
        channels: Channels: 1 for words, and one more each for entities and contexts.
        dim: Size of the vectors of every channel.
        widths: Words that a filter spans, each at least 1.
        num_filters: Filters of each width.
        generator: Draws the filters; biases start at 0.

    Source: Wang et al., DKN, WWW 2018, Section 4.3 (KCNN); after Kim, EMNLP 2014.
    https://arxiv.org/abs/1801.08284
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        widths: tuple[int, ...],
        num_filters: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.widths = widths
        self.num_filters = num_filters
        drawn = [
            glorot_uniform(width * channels * dim, num_filters, generator=generator)
            for width in widths
        ]
        stacks = [
            rows.view(width, channels, dim, num_filters)
            for width, rows in zip(widths, drawn, strict=True)
        ]
        self.filters = nn.Parameter(
            torch.cat(stacks).transpose(0, 1).contiguous()
        )  # (channels, places of all widths, dim, filters)
        self.bias = nn.Parameter(torch.zeros(len(widths) * num_filters))

    @property
    def dim(self) -> int:
        """Size of a text's vector."""
        return len(self.bias)

    def responses(
        self, vectors: Float[Tensor, "words din"], channel: int
    ) -> Float[Tensor, "_ words dout"]:
        """Return what each vector of a channel adds at every place of the filters, those of the
        first width first.
        """
        return vectors @ self.filters[channel]

    def forward(
        self, responses: Float[Tensor, "_ words dout"], texts: Int[Tensor, "news _"]
    ) -> Float[Tensor, "news dim"]:
        """Return a vector per text.

        Args:
            responses: Of each distinct word, all channels added up. A word of response -inf is no
                word: a filter that meets it is passed over, and a text with nowhere for a filter to
                stand gets 0 from it.
            texts: Which words each text has, at least as many as the widest filter spans.
        """
        found = []
        place = 0

        for width in self.widths:
            windows = texts.shape[1] - width + 1
            met = [
                take_rows(responses[place + at], texts[:, at : at + windows].flatten()).view(
                    -1, windows, self.num_filters
                )
                for at in range(width)
            ]
            found.append(sum(met[1:], start=met[0]).max(1).values)
            place += width

        return torch.relu(torch.cat(found, 1) + self.bias)


class Pairing(nn.Module, ABC):
    """A number for two vectors, in two steps: what each contributes by itself, once, and what the
    two make together, per pair.
    """

    @abstractmethod
    def sides(
        self, vectors: Float[Tensor, "news din"]
    ) -> tuple[Float[Tensor, "news dim"], Float[Tensor, "news dim"]]:
        """Return the contributions of vectors as the left and as the right of a pair; those of the
        left may be averaged.
        """

    @abstractmethod
    def pairs(
        self, left: Float[Tensor, "batch cand dim"], right: Float[Tensor, "batch cand dim"]
    ) -> Float[Tensor, "batch cand"]:
        """Return a number per pair."""

    @abstractmethod
    def all_pairs(
        self, left: Float[Tensor, "batch hist dim"], right: Float[Tensor, "batch cand dim"]
    ) -> Float[Tensor, "batch cand hist"]:
        """Return a number for every right with every left."""


class DotPairing(Pairing):
    """The inner product."""

    def sides(
        self, vectors: Float[Tensor, "news din"]
    ) -> tuple[Float[Tensor, "news dim"], Float[Tensor, "news dim"]]:
        """Return the vectors."""
        return vectors, vectors

    def pairs(
        self, left: Float[Tensor, "batch cand dim"], right: Float[Tensor, "batch cand dim"]
    ) -> Float[Tensor, "batch cand"]:
        """Return inner products."""
        return (left * right).sum(2)

    def all_pairs(
        self, left: Float[Tensor, "batch hist dim"], right: Float[Tensor, "batch cand dim"]
    ) -> Float[Tensor, "batch cand hist"]:
        """Return inner products."""
        return right @ left.transpose(1, 2)


class PairNet(Pairing):
    """A network over two vectors next to each other: ReLU layers, then one number.

    The first layer is a sum of a part of each side, so that a vector that is in many pairs is
    multiplied once.

    Args:
        dim: Size of each vector.
        hidden: Sizes of the hidden layers, at least one.
        bias: Whether the number has a bias; a softmax over it would not see one.
        generator: Draws the weights; biases start at 0.

    Source: Wang et al., DKN, WWW 2018, Section 4.4 (the networks H and G).
    https://arxiv.org/abs/1801.08284
    """

    def __init__(
        self, dim: int, hidden: tuple[int, ...], bias: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.first = nn.Parameter(glorot_uniform(2 * dim, hidden[0], generator=generator))
        self.weights = nn.ParameterList(
            glorot_uniform(a, b, generator=generator)
            for a, b in zip(hidden, (*hidden[1:], 1), strict=True)
        )
        sizes = hidden + ((1,) if bias else ())
        self.biases = nn.ParameterList(torch.zeros(size) for size in sizes)

    def sides(
        self, vectors: Float[Tensor, "news din"]
    ) -> tuple[Float[Tensor, "news dim"], Float[Tensor, "news dim"]]:
        """Return both vectors' parts of the first layer; the left has its bias."""
        left, right = self.first.chunk(2)
        return vectors @ left + self.biases[0], vectors @ right

    def pairs(
        self, left: Float[Tensor, "batch cand dim"], right: Float[Tensor, "batch cand dim"]
    ) -> Float[Tensor, "batch cand"]:
        """Return a number per pair."""
        return self._above(left + right)

    def all_pairs(
        self, left: Float[Tensor, "batch hist dim"], right: Float[Tensor, "batch cand dim"]
    ) -> Float[Tensor, "batch cand hist"]:
        """Return a number for every right with every left."""
        return self._above(left.unsqueeze(1) + right.unsqueeze(2))

    def _above(self, x: Tensor) -> Tensor:
        """Return what the layers above the first make of its sums."""
        for at, weight in enumerate(self.weights, start=1):
            x = x.relu() @ weight
            if at < len(self.biases):
                x = x + self.biases[at]
        return x.squeeze(-1)


def pairing(
    kind: str, dim: int, hidden: tuple[int, ...], bias: bool, generator: torch.Generator
) -> Pairing:
    """Return a ``PairNet``, or the inner product for the kind "dot"."""
    if kind == "dot":
        return DotPairing()
    return PairNet(dim, hidden, bias, generator)


def latest(
    history: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"], most: int
) -> tuple[Int[Tensor, "batch _"], Bool[Tensor, "batch _"]]:
    """Return the last ``most`` items of each history, in their order and in front, with the mask
    that says which are some.
    """
    kept = mask & (mask.flip(1).cumsum(1).flip(1) <= most)
    order = torch.sort(~kept, dim=1, stable=True).indices[:, :most]
    return history.gather(1, order), kept.gather(1, order)


def filled(
    history: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"], length: int, empty: int
) -> tuple[Int[Tensor, "batch _"], Bool[Tensor, "batch _"]]:
    """Return histories of one length, with the item ``empty`` wherever there is none, and a mask
    that is True throughout.
    """
    padding = (0, length - history.shape[1])
    out = pad(history.masked_fill(~mask, empty), padding, value=empty)
    return out, torch.ones_like(out, dtype=torch.bool)
