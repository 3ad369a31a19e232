"""Train as if some interactions and facts had never been in the data, with the draws of a training
that has them.

Two trainings of the same draws differ by what was taken out, and by little else: a shuffle of one
row fewer would be another shuffle, whose noise is larger than what one like does.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from kgrec.batches import (
    PairwiseBatch,
    PointwiseBatch,
    PositiveBatch,
    SampledBatch,
    TripleBatch,
)
from kgrec.data.derive.removal import Removal
from kgrec.errors import CapabilityError
from kgrec.models.base import Objective, Plan, Recommender
from kgrec.models.sources import Triples

_OF_PAIRS = (PairwiseBatch, SampledBatch, PositiveBatch, PointwiseBatch)


def can_withdraw(plan: Plan) -> bool:
    """Return whether the rows of all batches of a plan are interactions or facts, so that some can
    be left out.
    """
    return all(_withdrawable(objective) for objective in _objectives(plan))


def plan_without(edited: Recommender, whole: Recommender, removal: Removal, num_items: int) -> Plan:
    """Return the plan of a model on edited data, by the draws of one on the whole data.

    Rows that were taken out are left out of the batches in which they are drawn. Negatives of a
    user are drawn as before, so that an item whose interaction is gone is no negative of the user.

    Args:
        edited: The model on the edited data: what is trained.
        whole: The same model on the whole data: what its batches are drawn from.
        removal: What was taken out.
        num_items: Size of the catalog.

    Raises:
        CapabilityError: If a batch has no rows that could be left out.
    """
    plan = edited.plan()
    full = whole.plan()

    if not can_withdraw(plan):
        raise CapabilityError(
            "its training batches are not made of single interactions and facts, so none can be "
            "left out."
        )

    gone = torch.tensor([u * num_items + i for u, i in removal.interactions], dtype=torch.int64)
    objectives = tuple(
        _without(mine, theirs, gone, num_items)
        for mine, theirs in zip(plan.objectives, full.objectives, strict=True)
    )
    warm_up = None

    if plan.warm_up is not None and full.warm_up is not None:
        first = _without(plan.warm_up[0], full.warm_up[0], gone, num_items)
        warm_up = (first, plan.warm_up[1])

    return replace(plan, objectives=objectives, warm_up=warm_up)


def _objectives(plan: Plan) -> tuple[Objective[Any], ...]:
    if plan.warm_up is None:
        return plan.objectives
    return (*plan.objectives, plan.warm_up[0])


def _withdrawable(objective: Objective[Any]) -> bool:
    if objective.batch is TripleBatch:
        return isinstance(objective.source, Triples)
    return objective.batch in _OF_PAIRS


def _without(
    mine: Objective[Any], theirs: Objective[Any], pairs: Int[Tensor, " _"], num_items: int
) -> Objective[Any]:
    """Return an objective that takes the rows of another's batches, but those that are gone."""
    size = num_items
    gone = pairs

    if isinstance(mine.source, Triples) and isinstance(theirs.source, Triples):
        size = theirs.source.num_tails
        known = _codes(theirs.source, size)
        gone = known[~torch.isin(known, _codes(mine.source, size))]

    def loss(batch: Any) -> Any:
        if not len(gone):
            return mine.loss(batch)

        codes = _codes(batch, size)
        kept = ~torch.isin(codes, gone.to(codes.device))
        if bool(kept.any()):
            return mine.loss(_rows(batch, kept))

        found = mine.loss(batch)  # nothing is left of it: no gradient
        if isinstance(found, Mapping):
            return {name: 0 * value for name, value in found.items()}

        return 0 * found

    return replace(mine, loss=loss, source=theirs.source, capturable=False)


def _codes(rows: Any, size: int) -> Int[Tensor, " _"]:
    """Return a number for what each row of a batch or a source states."""
    codes: Tensor
    if isinstance(rows, Triples | TripleBatch):
        codes = (rows.relation * size + rows.head) * size + rows.tail
    elif isinstance(rows, PointwiseBatch):
        codes = rows.user * size + rows.item
    else:
        codes = rows.user * size + rows.positive

    return codes


def _rows(batch: Any, kept: Bool[Tensor, " batch"]) -> Any:
    columns = {field.name: getattr(batch, field.name)[kept] for field in fields(batch)}
    return type(batch)(**columns)
