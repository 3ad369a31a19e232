"""IRGAN: A Minimax Game for Unifying Generative and Discriminative Information Retrieval Models. Wang
et al., SIGIR 2017; and the same game against two discriminators.

https://arxiv.org/abs/1705.10513
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import softplus

from kgrec.batches import PairwiseBatch, PositiveBatch
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span
from kgrec.nn.init import normal
from kgrec.nn.losses import bpr, l2
from kgrec.ops.rows import take_rows
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class IRGANConfig:
    """Hyper-parameters of IRGAN and of the game with two discriminators.

    Attributes:
        discriminators: "items" for one that tells a user's items; "both" for another that tells an
            item's users.
        dim: Number of factors of each player; 5 in the authors' code on ml-100k, 16 to 20 in the
            paper.
        pretrain_epochs: Epochs in which the players are trained alone on sampled pairs before the
            game.
        samples: Items drawn from the generator for each interaction; 0 sums over the whole catalog
            by its probabilities, which is what draws come to on average.
        temperature: Of the generator where it gives the discriminator items; 0.2 in the authors'
            code, below 1 for harder ones.
        reward: "log" is log(1 + exp f), Eq. (8) in the paper; "sigmoid" is 2 sigma(f) - 1, as in
            the authors' code.
        generator_rate: Learning rate of the generator, as a multiple of the discriminator's.
        init_scale: Standard deviation of the factors at first.
        l2_weight: Weight of half the squares of a batch's factors, divided by its size.
    """

    discriminators: Literal["items", "both"] = "items"
    dim: int = 32
    pretrain_epochs: int = 10
    samples: int = 0
    temperature: float = 0.2
    reward: Literal["log", "sigmoid"] = "sigmoid"
    generator_rate: float = 0.2
    init_scale: float = 0.05
    l2_weight: float = 0.01

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or min(self.samples, self.pretrain_epochs, self.l2_weight) < 0:
            raise ConfigError(
                "IRGAN needs dim >= 1, and samples, pretrain_epochs and l2_weight of at least 0."
            )
        if min(self.temperature, self.generator_rate, self.init_scale) <= 0:
            raise ConfigError("IRGAN needs temperature, generator_rate and init_scale above 0.")


_PUBLISHED = {"generator_rate": 1.0, "dim": 20, "samples": 16, "reward": "log", "temperature": 1.0}
_CODE = {"generator_rate": 1.0, "dim": 5, "samples": 16, "temperature": 0.2, "l2_weight": 0.1}
_STEPS = {"optimizer": "sgd", "epochs": 100, "patience": 0, "batch_size": 16}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.002, "epochs": 100}),
    "paper": Preset(_PUBLISHED, {**_STEPS, "learning_rate": 0.016}),
    "official": Preset(_CODE, {**_STEPS, "learning_rate": 0.016}),
    "fast": Preset({"pretrain_epochs": 5}, {"learning_rate": 0.005, "epochs": 20, "patience": 3}),
}

SPACE = {
    "dim": (16, 32, 64),
    "temperature": (0.2, 0.5, 1.0),
    "reward": ("log", "sigmoid"),
    "generator_rate": Span(0.1, 10.0, log=True),
    "learning_rate": Span(2e-4, 1e-2, log=True),
    "l2_weight": Span(1e-5, 0.1, log=True),
}


class Factors(nn.Module):
    """A player: factors of users and items, and a bias per item.

    Args:
        counts: Users and items.
        config: Sizes.
        generator: Draws the factors.
    """

    def __init__(
        self, counts: tuple[int, int], config: IRGANConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.users, self.items = (
            nn.Parameter(normal(count, config.dim, scale=config.init_scale, generator=generator))
            for count in counts
        )
        self.bias = nn.Parameter(torch.zeros(counts[1], 1))

    def rows(self, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the factors of pairs, and the items' biases."""
        parts = (self.users, user), (self.items, item), (self.bias, item)
        found = [take_rows(table, rows) for table, rows in parts]
        return found[0], found[1], found[2]

    def pairs(self, user: Int[Tensor, " batch"], item: Int[Tensor, " batch"]) -> Tensor:
        """Return the scores of pairs."""
        u, i, bias = self.rows(user, item)
        return (u * i).sum(1) + bias.squeeze(1)

    def of_users(self, user: Int[Tensor, " batch"]) -> Float[Tensor, "batch items"]:
        """Return the scores of users with every item."""
        return torch.addmm(self.bias.T, take_rows(self.users, user), self.items.T)

    def of_items(self, item: Int[Tensor, " batch"]) -> Float[Tensor, "batch users"]:
        """Return the scores of items with every user."""
        return take_rows(self.items, item) @ self.users.T + take_rows(self.bias, item)


class IRGAN(Recommender):
    """Draw items that a discriminator takes for the user's, and tell them from the user's.

        p(i | u) = exp(g(u, i)) / sum over j of exp(g(u, j)),   g, f = u . i + b_i         (4), (11)
        discriminator: min -log sigma(f(u, i)) - E over j ~ p^(1/T) of log(1 - sigma(f(u, j)))   (3)
        generator: max E over j ~ p of reward(f(u, j)), by the policy gradient              (7), (8)
        score(u, i) = g(u, i)

    The two take an epoch in turn. With ``samples=0`` both expectations are sums over the catalog.

    Differs from the paper: users count by their interactions; the authors' code draws what the
    generator is rewarded for from a mixture with the user's items and weights it back, here it is
    drawn from the generator itself; both players start from a few epochs on sampled pairs, in the
    code the generator from a trained model.

    Args:
        counts: Users and items.
        config: Hyper-parameters.
        generator: Draws the initial factors.

    Source: Wang et al., IRGAN, SIGIR 2017. https://arxiv.org/abs/1705.10513
    """

    scores_read_graph = False

    def __init__(
        self, counts: tuple[int, int], config: IRGANConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config = config
        self.generator = Factors(counts, config, generator)
        self.discriminator = Factors(counts, config, generator)
        self.other = Factors(counts, config, generator) if config.discriminators == "both" else None
        self._draws: torch.Generator | None = None

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: IRGANConfig, generator: torch.Generator
    ) -> "IRGAN":
        """Take the numbers of users and items."""
        return cls((data.num_users, data.num_items), config, generator)

    def expected(
        self, logits: Float[Tensor, "batch cand"], values: Float[Tensor, "batch cand"]
    ) -> Float[Tensor, ""]:
        """Return the mean over the rows of values expected under the softmax of logits. Its
        gradient by the logits is the policy gradient, Eq. (7), of draws where they are drawn.
        """
        count = self.config.samples
        if not count:
            return (logits.softmax(1) * values).sum(1).mean()

        share = logits.softmax(1)
        drawn = torch.multinomial(share.detach(), count, replacement=True, generator=self._draws)
        chosen, found = share.gather(1, drawn).log(), values.gather(1, drawn)
        score_function = chosen * found.detach()
        return (found + score_function - score_function.detach()).mean()

    def told_apart(self, batch: PositiveBatch) -> Mapping[str, Float[Tensor, ""]]:
        """Return the discriminators' cross-entropy of interactions and what is drawn, Eq. (3)."""
        user, item = batch.user, batch.positive
        with torch.no_grad():
            items = self.generator.of_users(user) / self.config.temperature
        drawn = self.expected(items, softplus(self.discriminator.of_users(user)))
        losses = {"items": softplus(-self.discriminator.pairs(user, item)).mean() + drawn}
        players = [self.discriminator]

        if self.other is not None:
            with torch.no_grad():
                users = self.generator.of_items(item) / self.config.temperature
            drawn = self.expected(users, softplus(self.other.of_items(item)))
            losses["users"] = softplus(-self.other.pairs(user, item)).mean() + drawn
            players.append(self.other)

        return {**losses, "l2": self._penalty(batch, *players)}

    def rewarded(self, batch: PositiveBatch) -> Mapping[str, Float[Tensor, ""]]:
        """Return the generator's expected reward with its sign turned, Eqs. (7) and (8)."""
        user = batch.user
        with torch.no_grad():
            players = [p for p in (self.discriminator, self.other) if p is not None]
            rewards = torch.stack([self.reward(p.of_users(user)) for p in players]).mean(0)

        gained = self.expected(self.generator.of_users(user), rewards)
        return {"reward": -gained, "l2": self._penalty(batch, self.generator)}

    def reward(self, scores: Tensor) -> Tensor:
        """Return what a discriminator's scores are worth to the generator."""
        if self.config.reward == "log":
            return softplus(scores)
        return 2 * torch.sigmoid(scores) - 1

    def alone(self, batch: PairwiseBatch) -> Mapping[str, Float[Tensor, ""]]:
        """Return each player's pairwise loss without the others."""
        players = {"generator": self.generator, "discriminator": self.discriminator}
        if self.other is not None:
            players["other"] = self.other

        losses = {}
        for name, player in players.items():
            apart = (player.pairs(batch.user, item) for item in (batch.positive, batch.negative))
            losses[name] = bpr(*apart)
        return losses

    def _penalty(self, batch: PositiveBatch, *players: Factors) -> Float[Tensor, ""]:
        rows = [row for p in players for row in p.rows(batch.user, batch.positive)]
        return self.config.l2_weight * l2(*rows)

    def plan(self) -> Plan:
        """Return an epoch of telling apart, an epoch of the generator, in turn; before them pairs
        for each player alone, where the settings say so.
        """
        mine = tuple(self.generator.parameters())
        ids = {id(p) for p in mine}
        theirs = tuple(p for p in self.parameters() if id(p) not in ids)
        tell = Objective(PositiveBatch, self.told_apart, theirs, name="discriminator")
        draw = Objective(
            PositiveBatch, self.rewarded, mine, name="generator", rate=self.config.generator_rate
        )
        warm_up = None
        if self.config.pretrain_epochs:
            alone = Objective(PairwiseBatch, self.alone, name="alone")
            warm_up = (alone, self.config.pretrain_epochs)
        return Plan((tell, draw), begin_epoch=self._reseed, warm_up=warm_up)

    def _reseed(self, epoch: int, seed: int) -> None:
        device = self.generator.users.device
        self._draws = torch.Generator(device).manual_seed(derive(seed, "drawn items", epoch))

    def scorer(self) -> DotProduct:
        """Return the generator's scores; the bias is one dimension more."""
        users, items = self.generator.users.detach(), self.generator.items.detach()
        ones = users.new_ones(len(users), 1)
        bias = self.generator.bias.detach()
        return DotProduct(torch.cat([users, ones], 1), torch.cat([items, bias], 1))


class DualGAN(IRGAN):
    """Draw items that two discriminators take for real, one of items and one of users.

        p(i | u), p(u | i) = softmax of g(u, i) over items, over users
        D_u: is this item the user's, against items drawn by p(i | u)
        D_i: is this user the item's, against users drawn by p(u | i)
        generator: max E over j ~ p(j | u) of (reward(D_u(u, j)) + reward(D_i(j, u))) / 2
        score(u, i) = g(u, i)

    Surveys describe a recommender with two discriminators ("DNEN") for which no paper was found;
    this is IRGAN's game with a second discriminator of the same form.

    Differs from the paper: there is none; what differs from IRGAN's is said there.

    Source: Wang et al., IRGAN, SIGIR 2017, with a discriminator more.
    https://arxiv.org/abs/1705.10513
    """
