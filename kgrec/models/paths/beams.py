"""Ranking and reasons by the walks that a model finds."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.batches import Query
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.paths import ReasonedPath
from kgrec.models.paths.walks import Steps

_USERS_AT_ONCE = 64


Walks = tuple[Int[Tensor, " _"], Int[Tensor, "_ _"], Int[Tensor, "_ _"], Float[Tensor, " _"]]
"""Whose each walk is, as a position in the users asked for, its nodes and its relations, and its
log-probability."""


@runtime_checkable
class Finder(Protocol):
    """A model that finds walks from users, and says how well items fit them."""

    ckg: CollaborativeKG

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def fits(self, user: Int[Tensor, " batch"]) -> Float[Tensor, "batch items"]:
        """Return how well each item of the catalog fits users."""

    def walked(self, user: Int[Tensor, " batch"]) -> Walks:
        """Return the walks found for users; relations beyond the graph's stay at the node."""


@runtime_checkable
class Policy(Protocol):
    """A model that walks from users by a policy."""

    steps: Steps

    def start(self, user: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return where walks start: the node before, the relation of the last step, the node."""

    def choices(
        self, user: Tensor, now: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Float[Tensor, "batch cand"], Float[Tensor, " batch"]]:
        """Return the steps of walkers, their logits, and the value of the state."""


@torch.no_grad()
def beam(policy: Policy, user: Int[Tensor, " batch"], widths: tuple[int, ...]) -> Walks:
    """Return the likeliest walks of users.

    Args:
        policy: The model.
        user: User rows.
        widths: How many steps are tried from each walker, a number for each step.
    """
    owner = torch.arange(len(user), device=user.device)
    now = policy.start(user)
    nodes, relations = now[2].unsqueeze(1), now[1].new_empty(len(user), 0)
    chance = torch.zeros(len(user), device=user.device, dtype=torch.get_default_dtype())
    for width in widths:
        (relation, end, held), logits, _ = policy.choices(user[owner], now)
        share = logits.log_softmax(1).masked_fill(~held, -torch.inf)
        best, at = share.topk(min(width, share.shape[1]), 1)
        row, column = torch.isfinite(best).nonzero(as_tuple=True)
        at = at[row, column]
        relation, end = relation[row, at], end[row, at]
        chance, owner = chance[row] + best[row, column], owner[row]
        now = now[2][row], relation, end
        nodes = torch.cat([nodes[row], end.unsqueeze(1)], 1)
        relations = torch.cat([relations[row], relation.unsqueeze(1)], 1)

    return owner, nodes, relations, chance


class WalkScorer:
    """Ranks items that walks end at before the others, which stand by how well they fit.

    Args:
        finder: The trained model.
        by_walk: Whether the items of walks stand by their likeliest walk; by how well they fit
            otherwise.
    """

    def __init__(self, finder: Finder, by_walk: bool = False) -> None:
        self._finder = finder
        self._by_walk = by_walk

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of candidates, or of the whole catalog."""
        users = torch.split(query.user.clamp(min=0), _USERS_AT_ONCE)
        scores = torch.cat([self._scores(some) for some in users])
        if items is None:
            return scores
        return scores.gather(1, items)

    def _scores(self, user: Tensor) -> Tensor:
        scores = self._finder.fits(user)
        if not len(user):
            return scores

        owner, nodes, _, chance = self._finder.walked(user)
        item = nodes[:, -1] < scores.shape[1]
        at = owner[item] * scores.shape[1] + nodes[item, -1]
        best = torch.full_like(scores, -torch.inf).flatten()
        best = best.scatter_reduce(0, at, chance[item], "amax").view_as(scores)
        found = torch.isfinite(best)
        worth = best if self._by_walk else scores
        above = scores.amax(1, keepdim=True) + 1
        lowest = worth.masked_fill(~found, torch.inf).amin(1, keepdim=True)
        return torch.where(found, above + worth - lowest, scores)


class Walker:
    """Gives the walks that lead a user to items not used yet.

    Args:
        finder: The trained model.
        by_walk: Whether a walk's score is its log-probability; how well its item fits otherwise.
    """

    def __init__(self, finder: Finder, by_walk: bool = False) -> None:
        self._finder = finder
        self._by_walk = by_walk

    @torch.no_grad()
    def paths(self, user: int, k: int) -> list[ReasonedPath]:
        """Return the likeliest walk to each item, the item with the highest score first."""
        ckg = self._finder.ckg
        row = torch.tensor([user], device=self._finder.device)
        fits = self._finder.fits(row)[0].tolist()
        _, nodes, relations, chance = self._finder.walked(row)
        users, items = ckg.interactions()
        seen = set(items[users == user].tolist())
        best: list[ReasonedPath] = []
        for at in chance.argsort(descending=True).tolist():
            end = int(nodes[at, -1])
            if end >= ckg.num_items or end in seen:
                continue

            seen.add(end)
            path, kinds = [int(nodes[at, 0])], []
            for node, relation in zip(nodes[at, 1:].tolist(), relations[at].tolist(), strict=True):
                if relation < 2 * ckg.num_relations:
                    path.append(node)
                    kinds.append(relation)

            score = float(chance[at]) if self._by_walk else fits[end]
            best.append(ReasonedPath(tuple(path), tuple(kinds), score))

        return sorted(best, key=lambda path: -path.score)[:k]
