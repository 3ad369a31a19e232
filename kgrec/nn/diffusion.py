"""Gaussian diffusion of rows of numbers, and the network that takes the noise away."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout, linear

_DROPPED = 0.5
_FIRST_BETA = 1e-4
_LEAST_LENGTH = 1e-12


class RowDiffusion(nn.Module):
    """Predict rows from noisy ones, and take the noise away step by step.

        x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise,   a_t = product of (1 - beta_s) up to t
        loss = (SNR(t - 1) - SNR(t)) |x_0 - f(x_t, t)|^2 / width, at the first step without a
               weight,   SNR(t) = a_t / (1 - a_t)
        x_(t-1) = sqrt(a_(t-1)) beta_t / (1 - a_t) f(x_t, t)
                  + sqrt(1 - beta_t) (1 - a_(t-1)) / (1 - a_t) x_t

    f has one hidden layer with tanh, and reads the length-normalized row and the step in sines.
    Steps, noise and dropout come from torch's global stream.

    Args:
        width: Numbers of a row.
        hidden: Width of the hidden layer.
        steps: Steps T.
        generator: Draws the weights.
        time_dim: Numbers that stand for the step; even.
        noise: Smallest and largest of 1 - a_t before the first beta is set to 1e-4: in DiffKG's
            code a scale of .1 times 1e-4 and 2e-2.

    Source: Ho et al., DDPM, NeurIPS 2020, Eqs. (4), (7) and (12), with x_0 predicted as in Wang et
    al., Diffusion Recommender Model, SIGIR 2023, Eqs. (8)-(10), and in DiffKG, WSDM 2024.
    """

    level: Tensor
    beta: Tensor

    def __init__(
        self,
        width: int,
        hidden: int,
        steps: int,
        generator: torch.Generator,
        time_dim: int = 10,
        noise: tuple[float, float] = (1e-5, 2e-3),
    ) -> None:
        super().__init__()
        level = 1 - torch.linspace(*noise, steps, dtype=torch.float64)
        beta = 1 - level / torch.cat([level.new_ones(1), level[:-1]])
        beta = beta.clamp(max=0.999)
        beta[0] = _FIRST_BETA
        self.register_buffer("beta", beta, persistent=False)
        self.register_buffer("level", (1 - beta).cumprod(0), persistent=False)  # a_t
        sizes = ((time_dim, time_dim), (width + time_dim, hidden), (hidden, width))
        self.of_step, self.inner, self.outer = (nn.Linear(*size) for size in sizes)
        layers = self.of_step, self.inner, self.outer
        for layer, (din, dout) in zip(layers, sizes, strict=True):
            drawn = torch.randn(dout, din, generator=generator) * math.sqrt(2 / (din + dout))
            with torch.no_grad():
                layer.weight.copy_(drawn)
                layer.bias.zero_()

    def forward(
        self, x: Float[Tensor, "batch din"], step: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch din"]:
        """Return f(x_t, t)."""
        half = self.of_step.in_features // 2
        rates = torch.exp(-math.log(10000) * torch.arange(half, device=x.device) / half)
        angles = step.unsqueeze(1) * rates.to(x.dtype)
        time = self.of_step(torch.cat([angles.cos(), angles.sin()], 1))
        of_row, of_time = torch.split(self.inner.weight, [x.shape[1], time.shape[1]], 1)
        # A row is as long as there are entities: it is normalized behind the product, not copied.
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=_LEAST_LENGTH)
        by_row = linear(dropout(x, _DROPPED, self.training), of_row) / length
        found: Tensor = self.outer(torch.tanh(by_row + linear(time, of_time, self.inner.bias)))
        return found

    def loss(
        self, x: Float[Tensor, "batch din"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "batch din"]]:
        """Return the mean loss at drawn steps, and the rows that f predicted."""
        step = torch.randint(len(self.beta), (len(x),), device=x.device)
        level = self.level[step].to(x.dtype).unsqueeze(1)
        predicted = self(level.sqrt() * x + (1 - level).sqrt() * torch.randn_like(x), step)
        ratio = self.level / (1 - self.level)
        weight = torch.cat([ratio.new_ones(1), ratio[:-1] - ratio[1:]])[step].to(x.dtype)
        return (weight * (x - predicted).square().mean(1)).mean(), predicted

    def restored(self, x: Float[Tensor, "batch din"]) -> Float[Tensor, "batch din"]:
        """Return x_0 after all steps back from ``x``, without drawing anything."""
        before = torch.cat([self.level.new_ones(1), self.level[:-1]])
        of_prediction = before.sqrt() * self.beta / (1 - self.level)
        of_row = (1 - self.beta).sqrt() * (1 - before) / (1 - self.level)
        for step in reversed(range(len(self.beta))):
            predicted = self(x, torch.full((len(x),), step, device=x.device))
            x = predicted.mul_(float(of_prediction[step])).add_(x, alpha=float(of_row[step]))

        return x
