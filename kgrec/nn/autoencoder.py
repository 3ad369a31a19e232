"""A stacked denoising auto-encoder."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import glorot_uniform


class DenoisingAutoEncoder(nn.Module):
    """Reconstruct clean input from corrupted input, through a narrow layer whose values are the
    code.

        X_l = sigmoid(X_(l-1) W_l + b_l),   X_0 the input with a share of its values set to zero (in
        training only) loss = mean over rows of |X_L - clean input|^2

    The decoder's layers mirror the encoder's; each layer has weights of its own.

    Args:
        sizes: Width of the input, of the hidden layers, and of the code.
        noise: Share of the input values set to zero in training, in [0, 1).
        generator: Draws the weights.

    Source: Vincent et al., Stacked Denoising Autoencoders, JMLR 2010, Sections 2.3 and 3.2 (masking
    noise); Zhang et al., CKE, KDD 2016, Section 3.2 (as a part of a recommender, all layers trained
    together).
    """

    def __init__(self, sizes: Sequence[int], noise: float, generator: torch.Generator) -> None:
        super().__init__()
        self.noise = SeededDropout(noise)
        widths = [*sizes, *reversed(sizes[:-1])]
        self.weights = nn.ParameterList(
            glorot_uniform(*pair, generator=generator) for pair in pairwise(widths)
        )  # W_l
        self.biases = nn.ParameterList(torch.zeros(width) for width in widths[1:])  # b_l
        self.depth = len(sizes) - 1

    def reseed(self, seed: int) -> None:
        """Start the stream of noise again."""
        self.noise.reseed(seed)

    def forward(
        self, x: Float[Tensor, "batch din"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, ""]]:
        """Return the codes and the reconstruction error: squared, summed over a row's values,
        averaged over rows.
        """
        code = output = x * (self.noise(torch.ones_like(x)) > 0)  # masked, not rescaled
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True), 1):
            output = torch.sigmoid(torch.addmm(bias, output, weight))
            if number == self.depth:
                code = output

        return code, (output - x).square().sum(1).mean()


def multinomial_loss(
    logits: Float[Tensor, "batch items"], x: Float[Tensor, "batch items"]
) -> Float[Tensor, ""]:
    """Return the mean over rows of minus the log-likelihood of ``x`` by softmax of the logits.

    Source: Liang et al., Mult-VAE, WWW 2018, Eq. (2). https://arxiv.org/abs/1802.05814
    """
    return -(logits.log_softmax(1) * x).sum(1).mean()


def divergence_from_normal(
    mean: Float[Tensor, "batch dim"], log_variance: Float[Tensor, "batch dim"]
) -> Float[Tensor, ""]:
    """Return the mean over rows of the divergence of N(mean, variance) from N(0, I).

    Source: Kingma and Welling, Auto-Encoding Variational Bayes, ICLR 2014, Appendix B.
    """
    return (log_variance.exp() + mean.square() - 1 - log_variance).sum(1).mean() / 2
