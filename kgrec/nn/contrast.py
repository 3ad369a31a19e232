"""Contrastive learning: losses between two views of the same rows, views of a graph, noise."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.errors import ConfigError
from kgrec.nn.init import glorot_uniform
from kgrec.ops.contrast import log_mean_kernel, sampled_softmax_rows, softmax_rows
from kgrec.ops.csr import Csr, symmetric_weights
from kgrec.ops.dropout import recipe, words
from kgrec.ops.rows import inverse_length, unit_rows
from kgrec.random import derive
from kgrec.scale.columns import WHOLE, Whole


def check_contrast(
    model: str, temperature: float | int, weight: float | int, l2_weight: float | int
) -> None:
    """Refuse a temperature outside (0, 1], and negative weights.

    Raises:
        ConfigError: Names the model.
    """
    if not 0 < temperature <= 1 or weight < 0 or l2_weight < 0:
        raise ConfigError(
            f"{model} needs contrast_temperature in (0, 1], contrast_weight >= 0, l2_weight >= 0."
        )


def info_nce(
    first: Float[Tensor, "batch dim"],
    second: Float[Tensor, "nodes dim"],
    temperature: float | int,
    positive: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of each row's other view among all rows of ``second``, by
    cosine over a temperature.

    The scores are never held at once. Differentiable once.

    Args:
        first: One view.
        second: The other one, which the negatives come from.
        temperature: What a cosine is divided by.
        positive: Row of ``second`` that is the other view of each row; None takes them in order.

    Source: Wu et al., SGL, SIGIR 2021, Eq. (10). https://arxiv.org/abs/2010.10783
    """
    if positive is None:
        positive = torch.arange(len(first), device=first.device)
    return softmax_rows(unit_rows(first) / temperature, unit_rows(second), positive)


def info_nce_of_both(
    first: Float[Tensor, "batch dim"], second: Float[Tensor, "batch dim"], temperature: float | int
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of each row's other view among all rows of both views but its
    own, by cosine over a temperature.

    Source: Zhu et al., Deep Graph Contrastive Representation Learning, 2020, Eq. (1), one
    direction. https://arxiv.org/abs/2006.04131
    """
    one, two = unit_rows(first), unit_rows(second)
    own = torch.arange(len(one), device=one.device)
    same = own, torch.cat([own, own])
    return sampled_softmax_rows(one / temperature, two, torch.cat([two, one]), same, 1.0)


def alignment(
    first: Float[Tensor, "batch dim"], second: Float[Tensor, "batch dim"]
) -> Float[Tensor, ""]:
    """Return the mean squared distance of rows that belong together, by direction.

    Source: Wang et al., DirectAU, KDD 2022, Section 3. https://arxiv.org/abs/2206.12811
    """
    return (unit_rows(first) - unit_rows(second)).square().sum(1).mean()


def uniformity(x: Float[Tensor, "batch dim"]) -> Float[Tensor, ""]:
    """Return ``log mean exp(-2 |x_i - x_j|^2)`` over the pairs of rows, by direction; 0 of a single
    row.

    Source: Wang et al., DirectAU, KDD 2022, Section 3. https://arxiv.org/abs/2206.12811
    """
    if len(x) < 2:
        return x.sum() * 0
    return log_mean_kernel(unit_rows(x), 2.0)


def kept_edges(graph: Csr, probability: float | int, key: int) -> Bool[Tensor, " edges"]:
    """Return which edges stay when each is left out with a probability, both directions together.

    Args:
        graph: The structure.
        probability: Share to leave out, in [0, 1).
        key: What the draw depends on; every device draws the same.
    """
    _, threshold, _ = recipe(probability, key)
    reverse = graph.rev.long()
    first = torch.minimum(torch.arange(len(reverse), device=reverse.device), reverse)
    return (words(graph.num_edges, key, reverse.device) >= threshold)[first]


def drawn(
    probability: Float[Tensor, " _"] | float, count: int, key: int, device: torch.device
) -> Bool[Tensor, " _"]:
    """Return ``count`` independent draws, each true with a probability of its own or with the same.

    Args:
        probability: In [0, 1], one for each draw or one for all.
        count: Number of draws.
        key: What they depend on; every device draws the same.
        device: Where they are made.
    """
    return words(count, key, device).double() / 2**32 < probability


def gumbel(count: int, key: int, device: torch.device) -> Float[Tensor, " _"]:
    """Return ``count`` independent draws of the standard Gumbel distribution, float64: the k largest
    of log-weights with such noise are k draws without replacement.

    Args:
        count: Number of draws.
        key: What they depend on; every device draws the same.
        device: Where they are made.
    """
    return -(-((words(count, key, device).double() + 0.5) / 2**32).log()).log()


def check_view(kept: Bool[Tensor, " _"], edges: int) -> None:
    """Refuse a view that keeps none of some edges.

    Args:
        kept: What it keeps.
        edges: How many edges there are, in words of the message.

    Raises:
        ConfigError: If there are any, and none is kept.
    """
    if len(kept) and not bool(kept.any()):
        raise ConfigError(
            f"a view of the graph keeps none of its {edges} edges, so there is "
            "nothing to contrast. Choose a smaller share to drop."
        )


def edges_of_kept_nodes(graph: Csr, probability: float | int, key: int) -> Bool[Tensor, " edges"]:
    """Return which edges stay when each node is left out with a probability, and its edges with
    it.
    """
    _, threshold, _ = recipe(probability, key)
    kept = words(graph.num_nodes, key, graph.ptr.device) >= threshold
    return kept[graph.destinations()] & kept[graph.idx.long()]


def view_weights(
    graph: Csr, kept: Bool[Tensor, " edges"], dtype: torch.dtype
) -> Float[Tensor, " edges"]:
    """Return the symmetric normalization of a view: of the edges that it keeps, 0 for the others.

    Args:
        graph: The structure.
        kept: Which edges the view keeps; an edge and its reverse alike.
        dtype: Type of the weights.

    Raises:
        ConfigError: If the view keeps none of the graph's edges.
    """
    check_view(kept, graph.num_edges // 2)
    return symmetric_weights(graph, dtype, kept)


class SignedNoise(nn.Module):
    """Noise of a fixed length in the orthant of each row: ``x + scale sign(x) u / |u|``, u being
    uniform in [0, 1).

    Its draws depend on (seed, call) alone, on every device.

    Args:
        scale: Length of the noise.

    Source: Yu et al., SimGCL, SIGIR 2022, Section 3. https://arxiv.org/abs/2112.08679
    """

    def __init__(self, scale: float | int) -> None:
        super().__init__()
        self.scale = scale
        self.reseed(0)

    def reseed(self, seed: int) -> None:
        """Start the stream of noise again."""
        self._seed = seed
        self._calls = 0

    def forward(
        self, x: Float[Tensor, "nodes dim"], shard: Whole = WHOLE
    ) -> Float[Tensor, "nodes dim"]:
        """Return the rows with noise; to a gradient it is a constant.

        Args:
            x: The rows.
            shard: Which of their columns these are; noise is drawn for all.
        """
        self._calls += 1
        key = derive(self._seed, "noise", self._calls)
        shape = len(x), shard.width(x.shape[1])
        count = shape[0] * shape[1]
        halves = (words((count + 1) // 2, key, x.device) - 2**31).int().view(torch.int16)
        uniform = (halves[:count].view(shape).to(x.dtype) + 2**15) / 2**16
        length = (self.scale * inverse_length(uniform)).unsqueeze(1)
        return x + x.detach().sign() * uniform[:, shard.columns] * length


class ProjectionHead(nn.Module):
    """What a contrast compares in the place of vectors: two linear maps with a ReLU in between.

    Args:
        dim: Size of the vectors.
        generator: Draws the weights, Glorot uniform; biases start at 0.

    Source: Chen et al., SimCLR, ICML 2020, Section 2.1. https://arxiv.org/abs/2002.05709
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        weights = [glorot_uniform(dim, dim, generator=generator) for _ in range(2)]
        self.weights = nn.ParameterList(weights)
        self.biases = nn.Parameter(torch.zeros(2, dim))

    def forward(self, x: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes dim"]:
        """Return the projected rows."""
        first, second = self.weights
        hidden = torch.relu(x @ first + self.biases[0])
        projected: Tensor = hidden @ second + self.biases[1]
        return projected
