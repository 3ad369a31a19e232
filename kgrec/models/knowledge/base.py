"""What the papers of this family share: facts of a graph in samples, pairs that are scored one by
one.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from kgrec.batches import Query
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.views import sample_evenly
from kgrec.models.capabilities import Rerunnable
from kgrec.ops.memory import available_memory

_PAIRS_AT_ONCE = 4096
_TABLES_OF_A_STEP = 3  # values, what they become, gradients


@dataclass(frozen=True)
class PairScorer:
    """The scorer of models without a vector per item that holds for everyone.

    Attributes:
        catalog: Returns the scores of the whole catalog for some users.
        pairs: Returns the score of each of some pairs.
    """

    catalog: Callable[[Tensor], Tensor]
    pairs: Callable[[Tensor, Tensor], Tensor]

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of candidates, or of the catalog."""
        users = query.user.clamp(min=0)
        if items is None:
            return self.catalog(users)

        pairs = users.repeat_interleave(items.shape[1]), items.flatten()
        parts = zip(*(torch.split(part, _PAIRS_AT_ONCE) for part in pairs), strict=True)
        return torch.cat([self.pairs(*part) for part in parts]).view(items.shape)


class SampledFacts(nn.Module):
    """The triples of a graph as edges that leave an entity, and samples of them; facts about users
    and interactions apart.

    The last edge is none: it is in the samples of what has no edge.

    Args:
        ckg: The graph.
        inverses: Whether edges leave the tail as well.
        shared: Whether inverses are of the relation itself rather than of one of their own.

    Attributes:
        head: What each edge leaves, int64.
        tail: Where each edge leads to, int64.
        relation: Its relation, from 0.
        fact: Position of its fact in the columns of ``ckg``; one past the last for none.
        num_edges: Number of edges, which is also the position of none.
        num_relations: Relations, at least 1.
    """

    head: Tensor
    tail: Tensor
    relation: Tensor
    fact: Tensor
    _ptr: Tensor

    def __init__(
        self, ckg: CollaborativeKG, *, inverses: bool = True, shared: bool = False
    ) -> None:
        super().__init__()
        facts = np.flatnonzero(ckg.fact >= 0)
        head = ckg.head[facts]
        relation = ckg.relation[facts] - 1
        tail = ckg.tail[facts]
        own = ckg.num_relations - 1
        if inverses:
            further = relation if shared else relation + own
            head, tail = np.concatenate([head, tail]), np.concatenate([tail, head])
            relation = np.concatenate([relation, further])
            facts = np.concatenate([facts, facts])

        order = np.lexsort((facts, tail, relation, head))
        self.num_edges = len(head)
        self.num_relations = max(1, own if shared or not inverses else 2 * own)
        count = np.bincount(head, minlength=ckg.num_entities)
        columns = {
            "_ptr": np.concatenate([[0], np.cumsum(count)]),
            "head": np.append(head[order], 0),
            "tail": np.append(tail[order], 0),
            "relation": np.append(relation[order], 0),
            "fact": np.append(facts[order], len(ckg.head)),
        }
        for name, values in columns.items():
            column = torch.from_numpy(values.astype(np.int64))
            self.register_buffer(name, column, persistent=False)

    def draw(
        self,
        nodes: Int[Tensor, " _"],
        ptr: Int[Tensor, " _"],
        count: int,
        generator: torch.Generator,
    ) -> Int[Tensor, "batch cand"]:
        """Return ``count`` edges that leave each set of nodes; ``num_edges`` where none does.

        Args:
            nodes: The nodes of all sets.
            ptr: First node of each set, and their number last.
            count: Edges of each set.
            generator: Where draws come from.
        """
        edges, there = sample_evenly(self._ptr, nodes, ptr, count, generator)
        return edges.where(there.unsqueeze(1), self.num_edges)

    def around(self, count: int, generator: torch.Generator) -> Int[Tensor, "entities cand"]:
        """Return ``count`` edges that leave each entity."""
        starts = torch.arange(len(self._ptr))
        return self.draw(starts[:-1], starts, count, generator)

    def tails_of(
        self, sets: Int[Tensor, "batch cand"]
    ) -> tuple[Int[Tensor, " _"], Int[Tensor, " _"]]:
        """Return the distinct entities that each set of edges leads to, as ``draw`` takes them."""
        row, column = self.there(sets).nonzero(as_tuple=True)
        entities = len(self._ptr) - 1
        key = torch.unique(row * entities + self.tail[sets[row, column]])
        starts = torch.arange(len(sets) + 1, device=key.device) * entities
        return key % entities, torch.searchsorted(key, starts)

    def there(self, edges: Int[Tensor, "..."]) -> Bool[Tensor, "..."]:
        """Return which of some edges there are."""
        return edges < self.num_edges


def keep_samples(
    model: nn.Module, drawn_from: tuple[int, ...], **samples: Shaped[Tensor, "..."]
) -> None:
    """Keep samples with a model's weights, as buffers by their names. A state whose samples are of
    another graph gives the model its weights alone: positions mean nothing there.

    Args:
        model: The model.
        drawn_from: Numbers by which the graph is known: of edges, of interactions.
        samples: The samples; the same seed draws alike from what two graphs have in common.
    """
    for name, values in samples.items():
        model.register_buffer(name, values)

    model.register_buffer("drawn_from", torch.tensor(drawn_from))
    names = ("drawn_from", *samples)

    def take_own(owner: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
        stored = state.get(f"{prefix}drawn_from")
        if stored is not None and stored.tolist() != list(drawn_from):
            state |= {f"{prefix}{name}": owner.get_buffer(name) for name in names}

    model.register_load_state_dict_pre_hook(take_own)  # type: ignore[no-untyped-call]


def interactions_by_user(ckg: CollaborativeKG) -> tuple[Int[Tensor, " _"], Int[Tensor, " _"]]:
    """Return the first interaction of each user, their number last, and their items."""
    users, items = ckg.interactions()
    order = np.lexsort((items, users))
    ptr = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=ckg.num_users))])
    return torch.from_numpy(ptr.astype(np.int64)), torch.from_numpy(items[order].astype(np.int64))


def interactions_alone(ckg: CollaborativeKG) -> CollaborativeKG:
    """Return the graph of items and users, and their interactions."""
    kept = ckg.take(ckg.relation == 0)
    head = kept.head - ckg.num_entities + ckg.num_items
    return replace(kept, num_entities=ckg.num_items, head=head)


def own_vectors(ckg: CollaborativeKG) -> Float[Tensor, "entities 1"]:
    """Return 1 for each entity but the items without interactions, whose vectors only negatives
    would move.
    """
    own = torch.ones(ckg.num_entities, 1)
    own[: ckg.num_items, 0] = torch.from_numpy(ckg.warm_items()[1] >= 0).to(own)
    return own


def passed_on(
    gates: Float[Tensor, "batch _"], tails: Int[Tensor, " _"], heads: Int[Tensor, " cand"]
) -> Float[Tensor, "batch cand"]:
    """Return the largest gate by which each head is reached, 0 for one that is not.

    Args:
        gates: What gets through to each tail, in [0, 1].
        tails: Entities that are reached.
        heads: Entities from where edges go on.
    """
    if not len(tails):
        return gates.new_zeros(len(gates), len(heads))

    same = (tails.unsqueeze(1) == heads).to(gates.dtype)
    return (gates.unsqueeze(2) * same).amax(1)


def gated(
    shares: Float[Tensor, "... cand"], gates: Float[Tensor, "... cand"], *, keep_weights: bool
) -> Float[Tensor, "... cand"]:
    """Return weights with some of what they weigh taken away: what is left shares their sum, unless
    weights are kept.
    """
    left = shares * gates
    if keep_weights:
        return left

    whole, rest = shares.sum(-1, keepdim=True), left.sum(-1, keepdim=True)
    return left * (whole / rest.clamp(min=1e-30))


def check_memory(what: str, values: int, like: Tensor, remedy: str) -> None:
    """Refuse a step whose tables would not fit into the memory that is free.

    Args:
        what: What needs them, in words.
        values: Numbers in one table.
        like: A tensor of their type, where they would be.
        remedy: What to do about it.

    Raises:
        ConfigError: If they would not fit.
    """
    needed = _TABLES_OF_A_STEP * values * like.element_size()
    free = available_memory(like.device)
    if needed > free:
        raise ConfigError(
            f"{what} would take about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} are free. "
            f"{remedy}"
        )


class SampledEffects(Rerunnable):
    """Effects of the facts that a model has drawn: a score is a function of how much of each fact is
    there. Nothing is drawn in the place of one that is gone.

    Implementations set ``ckg`` and say what ``scores`` are.
    """

    ckg: CollaborativeKG

    @abstractmethod
    def scores(
        self, user: int, item: int, kept: Float[Tensor, "batch _"], *, keep_weights: bool
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) with each fact there by a number, one row a score; the
        last column is for places without a fact.
        """

    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return the first-order effect of each fact on the score of (user, item), the others'
        weights kept.
        """
        with torch.enable_grad():
            kept = self._all_there(1).requires_grad_()
            score = self.scores(user, item, kept, keep_weights=True)[0]
            (gradient,) = torch.autograd.grad(
                score, kept, allow_unused=True, materialize_grads=True
            )

        return gradient[0, :-1]

    @torch.no_grad()
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) without each group of facts."""
        kept = self._all_there(len(removed))
        if not len(removed):
            return kept.new_zeros(0)

        for row, facts in zip(kept, removed, strict=True):
            row[torch.as_tensor(facts, dtype=torch.int64, device=kept.device)] = 0.0

        return self.scores(user, item, kept, keep_weights=keep_weights)

    def _all_there(self, count: int) -> Float[Tensor, "batch _"]:
        return self.like.new_ones(count, len(self.ckg.head) + 1)

    @property
    @abstractmethod
    def like(self) -> Tensor:
        """A parameter, for type and device."""
