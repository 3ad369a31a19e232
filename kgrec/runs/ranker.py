"""Ranker: a trained model's lists for everyone, with what every request needs kept at hand."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.batches import Query
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.ids import Ids, known_rows
from kgrec.data.records.interactions import concatenate
from kgrec.data.records.tie_order import tie_order
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.evaluation.ranking import Lists
from kgrec.models.base import DotProduct, Recommender, Scorer, reads_history
from kgrec.models.fallback import FallbackChoice, Served, served, user_kinds
from kgrec.models.folding import Folded
from kgrec.ops.folding import SumFold
from kgrec.ops.ranking import chunk_rows, topk_unseen_
from kgrec.ops.strangers import CONTENT, HISTORY, KINDS, PERSONAL, POPULAR
from kgrec.scale.world import World

NONE = -1
"""Kind of a place that nothing fills."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Lists of items, best first.

    Attributes:
        items: Item rows; -1 where a place is empty.
        scores: Their scores; -inf where a place is empty.
        kinds: Where each place comes from, as a place in ``KINDS``; -1 where it is empty.
    """

    items: Int[Tensor, "users cand"]
    scores: Float[Tensor, "users cand"]
    kinds: Int[Tensor, "users cand"]


def allowed_items(
    known: Vocabulary, items: Ids | None, exclude: Ids, on_unknown: str
) -> Bool[Tensor, " items"] | None:
    """Return which items may be shown; None where all may.

    Args:
        known: Ids of the items.
        items: Ids of the only ones that may be; None for all.
        exclude: Ids of those that may not be.
        on_unknown: "error", or "ignore" ids that are not known.

    Raises:
        UnknownIdError: If an id is not known, or none of ``items`` is.
    """
    if items is None and isinstance(exclude, tuple) and not exclude:
        return None

    allowed = torch.full((len(known),), items is None)
    if items is not None:
        allowed[known_rows(known, items, on_unknown)] = True

    allowed[known_rows(known, exclude, on_unknown, empty=True)] = False
    return allowed


_COLUMNS = 64  # items are shared in blocks of so many
_NO_HISTORY = torch.zeros(1, 0, dtype=torch.int64)


class Ranker:
    """Ranks for known users, for histories, and for strangers by the fallback.

    Tables of scores have the items in the order that breaks ties: by training interactions, then by
    id.

    Args:
        model: Says whom and what it knows.
        scorer: Its snapshot, on the CPU.
        data: Training and validation interactions, which are a user's own, and what the fallback
            needs.
        choice: The fallback.

    Attributes:
        scorer: What ranks, with an answer for everyone.
        known: Items that the model knows.
        order: Item rows in the order that breaks ties.
    """

    def __init__(
        self, model: Recommender, scorer: Scorer, data: Dataset, choice: FallbackChoice
    ) -> None:
        self.scorer = served(model, scorer, data, choice)
        if isinstance(self.scorer, Served):
            part = self.scorer
        else:
            part = None

        if part is None:
            self.known = torch.ones(data.num_items, dtype=torch.bool)
        else:
            self.known = part.items

        if part is None:
            self._known_users = np.ones(data.num_users, dtype=bool)
        else:
            self._known_users = part.users.numpy()

        newcomers = model.newcomers()
        if part is not None:
            self._kind = part.kind
        elif newcomers is not None:
            self._kind = torch.from_numpy(user_kinds(model, data))
        else:
            self._kind = None

        self._own_kind = KINDS.index(model.list_kind)
        self._model_scorer = scorer
        self._model = model

        # What reads the history of known users too ranks by the longer one.
        self._keeps = model.keeps_fold or getattr(scorer, "reads_known_histories", False)
        self._off = choice.way == "off"
        self._num_items = data.num_items
        self._own = slice(None)
        self._world: World | None = None
        self.order = torch.from_numpy(tie_order(data))
        self._column = torch.argsort(self.order)
        self._placed = None if newcomers is None else torch.from_numpy(newcomers.items)[self.order]
        self._cold = self._column[~self.known]
        self._catalog = scorer.items[self.order].T if isinstance(scorer, DotProduct) else None
        log = concatenate([data.train, data.valid])
        ptr = np.searchsorted(log.user, np.arange(data.num_users + 1, dtype=log.user.dtype)).astype(
            np.int64
        )
        self._log = Lists(torch.from_numpy(ptr), torch.from_numpy(log.item.astype(np.int64)))

    @cached_property
    def _sums_history(self) -> bool:
        """Whether the model makes vectors of a history by a sum of its own."""
        with torch.inference_mode():
            return isinstance(self._model.own_fold(), SumFold)

    def own_lists(self, rows: np.ndarray) -> Lists:
        """Return what users (rows) have, oldest first."""
        if len(rows) == 1:
            start, stop = self._log.ptr[rows[0] : rows[0] + 2].tolist()
            return Lists(torch.tensor([0, stop - start]), self._log.items[start:stop])
        return self._log.pick(torch.from_numpy(rows))

    @torch.inference_mode()
    def rank(
        self,
        rows: np.ndarray,
        own: Lists,
        k: int,
        *,
        allowed: Bool[Tensor, " items"] | None = None,
        allow_seen: bool = False,
        vectors: Float[Tensor, "users dim"] | None = None,
    ) -> Ranked:
        """Return the k best items for each user; of equal scores the more popular, then the lower
        id.

        Places that the model cannot fill, since it does not know enough of the candidates, are
        filled with those that it does not know.

        Args:
            rows: User rows; -1 for someone unseen.
            own: What each has, oldest first.
            k: Length of each list, at most the number of items.
            allowed: Items that may be shown; None allows all.
            allow_seen: Whether own items may be shown.
            vectors: Of known users of a model with such, instead of the trained ones.
        """
        parts = list(self._chunks(rows, own, k, allowed, allow_seen, vectors))
        if not parts:
            nothing = torch.empty(0, k, dtype=torch.int64)
            return Ranked(nothing, nothing.float(), nothing)

        if len(parts) == 1:
            return Ranked(*parts[0])

        return Ranked(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def rank_updated(
        self,
        row: int,
        own: Lists,
        k: int,
        *,
        allowed: Bool[Tensor, " items"] | None = None,
        allow_seen: bool = False,
    ) -> Ranked:
        """Return the k best items of a known user (row) with new interactions.

        A vector is moved from where training left it (``kgrec.ops.folding``); a model by sets of
        items goes by the larger set; what can do neither ranks as before. None shows what the user
        has.

        Args:
            row: The user.
            own: All that the user has, old and new, as one list.
            k: Length of the list.
            allowed: Items that may be shown; None allows all.
            allow_seen: Whether own items may be shown.
        """
        scorer = self._model_scorer
        rows = np.array([row])
        usable = own.items[self.known[own.items]].numpy()
        kept = not reads_history(scorer) or self._keeps or self._sums_history
        if not self._known_users[row]:
            return self.rank(np.array([-1]), own, k, allowed=allowed, allow_seen=allow_seen)
        if kept or not len(usable):
            return self.rank(rows, own, k, allowed=allowed, allow_seen=allow_seen)
        if isinstance(scorer, DotProduct) and isinstance(scorer.fold, Folded):
            vector = scorer.fold.moved(scorer.users[row], usable).unsqueeze(0)
            return self.rank(rows, own, k, allowed=allowed, allow_seen=allow_seen, vectors=vector)

        found = self.rank(np.array([-1]), own, k, allowed=allowed, allow_seen=allow_seen)
        personal = torch.full_like(found.kinds, PERSONAL)
        return replace(found, kinds=torch.where(found.kinds == HISTORY, personal, found.kinds))

    def _chunks(
        self,
        rows: np.ndarray,
        own: Lists,
        k: int,
        allowed: Tensor | None,
        allow_seen: bool,
        vectors: Tensor | None,
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield items, scores and kinds, a chunk of users at a time, so that memory does not grow
        with their number.
        """
        if allowed is None:
            hidden = None
        else:
            hidden = self._column[~allowed]

        user = torch.from_numpy(rows)
        seen = Lists(own.ptr, self._column[own.items])
        step = chunk_rows(self._num_items, "cpu")
        for start in range(0, len(rows), step):
            stop = min(start + step, len(rows))
            if allow_seen:
                ptr = None
            else:
                ptr = seen.ptr[start : stop + 1]

            some = None if vectors is None else vectors[start:stop]
            table, kind = self._scored(rows[start:stop], user[start:stop], own, start, some)
            scores, columns = self._best(table, k, hidden, ptr, seen.items)
            if self._world is not None:
                scores, columns = merged(scores, columns, self._world)
            kinds = kind.unsqueeze(1).expand_as(columns).masked_fill(columns < 0, NONE)
            if self._placed is not None:
                placed = (kinds <= HISTORY) & (kinds >= 0) & self._placed[columns.clamp(min=0)]
                kinds = kinds.masked_fill(placed, CONTENT)

            if (
                self._off and self._own_kind != POPULAR
            ):  # without a fallback, a stranger's items all tie: there is no list
                columns = columns.masked_fill(kinds == POPULAR, NONE)
                scores = scores.masked_fill(columns < 0, -torch.inf)
                kinds = kinds.masked_fill(columns < 0, NONE)
            elif not self._off and not bool(self.known.all()) and bool((columns < 0).any()):
                whole = Query(user[start:stop], *own.padded(start, stop))
                scores, columns, kinds = self._filled(
                    whole, scores, columns, kinds, hidden, ptr, seen.items
                )

            yield torch.where(columns < 0, -1, self.order[columns.clamp(min=0)]), scores, kinds

    def _scored(
        self,
        rows: np.ndarray,
        user: Tensor,
        own: Lists,
        start: int,
        vectors: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the scores of some users by column, free to be overwritten, and the kind of each
        row.
        """
        if (
            self._catalog is not None
            and isinstance(self._model_scorer, DotProduct)
            and (rows >= 0).all()
            and self._known_users[rows].all()
        ):
            query = Query(
                user, _NO_HISTORY.expand(len(rows), 0), _NO_HISTORY.expand(len(rows), 0).bool()
            )
            if vectors is None:
                vectors = self._model_scorer.vectors(query)
            scores = vectors @ self._catalog
            if self._world is not None:
                scores = self._widened(scores)
            if len(self._cold):
                scores.index_fill_(1, self._cold, -torch.inf)

            if self._kind is None:
                return scores, torch.full_like(user, self._own_kind)
            return scores, self._kind[user]

        query = Query(user, *own.padded(start, start + len(rows)))
        scores = self.scorer(query)[:, self.order]
        if self._world is not None:
            scores = self._widened(scores[:, self._own])
        return scores, self._kinds(query)

    def _widened(self, scores: Tensor) -> Tensor:
        """Return scores of this process's items as columns of all, the others' at -inf."""
        wide = scores.new_full((len(scores), self._num_items), -torch.inf)
        wide[:, self._own] = scores
        return wide

    def share(self, world: World) -> None:
        """Score this process's part of the items only, from here on; all processes then rank the
        same users at once, and each gets the same lists.

        Parts are ranges of the order that breaks ties, whole blocks of columns, so that products
        are made as those of all items are.
        """
        blocks = -(-self._num_items // _COLUMNS)
        first, last = (blocks * (world.rank + one) // world.size * _COLUMNS for one in (0, 1))
        self._own = slice(first, min(last, self._num_items))
        self._world = world
        if self._catalog is not None:
            self._catalog = self._catalog[:, self._own].contiguous()

    def _best(
        self, scores: Tensor, k: int, hidden: Tensor | None, ptr: Tensor | None, seen: Tensor
    ) -> tuple[Tensor, Tensor]:
        if hidden is not None:
            scores.index_fill_(1, hidden, -torch.inf)
        return topk_unseen_(scores, k, ptr, seen)

    def _kinds(self, query: Query) -> Tensor:
        if isinstance(self.scorer, Served):
            return self.scorer.kinds(query)

        if self._own_kind != POPULAR:
            unseen = HISTORY
        else:
            unseen = POPULAR

        own = self._own_kind if self._kind is None else self._kind[query.user.clamp(min=0)]
        return torch.where(query.user < 0, unseen, own)

    def _filled(
        self,
        query: Query,
        scores: Tensor,
        columns: Tensor,
        kinds: Tensor,
        hidden: Tensor | None,
        ptr: Tensor | None,
        seen: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fill places at the end of lists with items that the model does not know, by content where
        that tells something.
        """
        if isinstance(self.scorer, Served):
            fallback = self.scorer.fallback
        else:
            fallback = None

        if fallback is None:
            return scores, columns, kinds

        further = fallback.content(query)[:, self.order].to(scores.dtype)
        further[:, self.known[self.order]] = -torch.inf
        row, place = (columns >= 0).nonzero(as_tuple=True)
        further[row, columns[row, place]] = -torch.inf  # a fallback has listed them already
        values, at = self._best(further, columns.shape[1], hidden, ptr, seen)
        first = (columns >= 0).sum(1, keepdim=True)
        place = (
            torch.arange(columns.shape[1]) - first
        )  # of a filled place, its place among the further ones
        use = place >= 0
        place = place.clamp(min=0)
        columns = torch.where(use, at.gather(1, place), columns)
        scores = torch.where(use, values.gather(1, place), scores)
        kinds = torch.where(use, torch.where(scores > 0, CONTENT, POPULAR), kinds).masked_fill(
            columns < 0, NONE
        )
        return scores, columns, kinds


def merged(
    scores: Float[Tensor, "users cand"], columns: Int[Tensor, "users cand"], world: World
) -> tuple[Float[Tensor, "users cand"], Int[Tensor, "users cand"]]:
    """Return the best of everyone's lists, to all: as if one process had ranked every column.

    Each process has the best of a range of columns, in the order of ranks; of equal scores the
    lower column first.

    Args:
        scores: This process's list of each user, -inf where a place is empty.
        columns: Its columns.
        world: The processes.
    """
    users, length = scores.shape
    lists = []
    for part in (scores, columns):
        every = world.all_gather(part).view(world.size, users, length)
        lists.append(every.transpose(0, 1).reshape(users, -1))

    values, order = lists[0].sort(dim=1, descending=True, stable=True)
    return values[:, :length], lists[1].gather(1, order)[:, :length]
