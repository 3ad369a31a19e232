"""What explains the scores of models over fields: what they score without some facts, and of those
whose pairs of fields give products, a part per field.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.models.capabilities import Parted, Rerunnable, ScoreParts
from kgrec.nn.fields import Side

if TYPE_CHECKING:
    from kgrec.models.features.base import Factorized, FieldModel, Name


class FieldEffects(Rerunnable):
    """Effects of the facts that state the values of a user and of an item; others have none.

    What is left of a field's values again counts as their mean, unless weights are kept.

    Args:
        model: The model.
    """

    merges_relations = False
    through_users = False

    def __init__(self, model: "FieldModel") -> None:
        self.ckg = model.known.ckg
        self._model = model

    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return the first-order effect of each fact on the score of (user, item), the others'
        numbers kept.
        """
        with torch.enable_grad():
            kept = self._all_there(1).requires_grad_()
            score = self._scores(user, item, kept, keep_weights=True)[0]
            (gradient,) = torch.autograd.grad(
                score, kept, allow_unused=True, materialize_grads=True
            )

        return gradient[0]

    @torch.no_grad()
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) without each group of facts."""
        kept = self._all_there(len(removed))
        for row, facts in zip(kept, removed, strict=True):
            row[torch.as_tensor(facts, dtype=torch.int64, device=kept.device)] = 0.0

        return self._scores(user, item, kept, keep_weights=keep_weights)

    def _all_there(self, count: int) -> Float[Tensor, "batch _"]:
        return self._model.bias.detach().new_ones(count, len(self.ckg.head))

    def _scores(
        self, user: int, item: int, kept: Float[Tensor, "batch _"], *, keep_weights: bool
    ) -> Float[Tensor, " batch"]:
        """Return the score with each fact there by a number, one row a score. Rows of the same
        numbers are one, so that what has no effect has none in the last bit either.
        """
        model = self._model
        numbers = [
            self.numbers(name, row, kept, keep_weights=keep_weights)
            for name, row in (("users", user), ("items", item))
        ]
        at, first = _alike(torch.cat(numbers, 1).detach())
        x, y = (part[first] for part in numbers)
        ends = [
            model.parts(self.side(name, row, part), name)
            for name, row, part in (("users", user, x), ("items", item, y))
        ]
        scores = model.logits(*ends)
        crosses = model.gated_crosses((user, item), x, y)
        return (scores if crosses is None else scores + crosses)[at]

    def entries(self, name: "Name", row: int) -> tuple[Int[Tensor, " _"], Float[Tensor, " _"]]:
        """Return the values of a user or item, and their numbers."""
        known = self._model.known.of(name)
        start, end = np.searchsorted(known.row, [row, row + 1])
        like = self._model.bias
        value = torch.from_numpy(known.value[start:end]).to(like.device)
        return value, torch.from_numpy(known.x[start:end]).to(like)

    def numbers(
        self, name: "Name", row: int, kept: Float[Tensor, "batch _"], *, keep_weights: bool
    ) -> Float[Tensor, "batch _"]:
        """Return the numbers of its values with each fact there by a number: a value is there by
        the most that a fact of it is.
        """
        known = self._model.known.of(name)
        value, x = self.entries(name, row)
        own = known.stated[known.stated[:, 0] == row]
        at = torch.from_numpy(np.searchsorted(value.cpu().numpy(), own[:, 1])).to(value.device)
        gates = kept[:, torch.from_numpy(own[:, 2]).to(value.device)]
        stated = torch.zeros_like(x, dtype=torch.bool)
        stated[at] = True
        there = kept.new_zeros(len(kept), len(value))
        there = there.scatter_reduce(1, at.expand(len(kept), -1), gates, "amax")
        if keep_weights or not len(own):
            return torch.where(stated, there, 1.0) * x

        field = torch.from_numpy(known.field).to(value.device)[value]
        left = there.new_zeros(len(kept), len(known.names)).index_add(1, field, there)
        return torch.where(stated, there / left[:, field].clamp(min=1), x)

    def side(self, name: "Name", row: int, x: Float[Tensor, "batch _"]) -> Side:
        """Return what the model takes of a user or item whose values have these numbers."""
        model = self._model
        own = model.ids(name, torch.tensor([row], device=model.bias.device)).detach()
        squares = model.squared(own, own.new_zeros(1, dtype=torch.int64))
        total, squares = own.expand(len(x), 1, -1), squares.expand(len(x), -1)
        table = model.table(name)
        if table is None:
            return Side(total, squares)

        value = self.entries(name, row)[0]
        field = model.get_buffer(f"{name}_field")[value]
        rows = table.detach()[value]
        squares = squares + x.square() @ model.squared(rows, field)
        if not model.by_field:
            return Side(total + (x @ rows).unsqueeze(1), squares)

        fields = len(model.known.of(name).names)
        apart = torch.nn.functional.one_hot(field - 1, fields).to(rows)
        sums = torch.einsum("bv,vf,vd->bfd", x, apart, rows)
        return Side(torch.cat([total, sums], 1), squares)


class FactorizedEffects(FieldEffects, Parted):
    """Effects of facts, and a part per field; nothing that the user has used carries a part.

    Args:
        model: The model.
    """

    def __init__(self, model: "Factorized") -> None:
        super().__init__(model)
        self._factorized = model

    @torch.no_grad()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return what the ids give together; what each field of the item gives, with all of the
        user and by its weights; the same of the user's; and what pairs within either side give.
        """
        model = self._factorized
        kept = self._all_there(1)
        totals, weights = [], []
        within = []

        for name, row in (("users", user), ("items", item)):
            x = self.numbers(name, row, kept, keep_weights=True)
            fields = self._by_field(name, row, x[0])
            totals.append(fields)
            weights.append(fields[:, -1].double())
            given = float(model.parts(self.side(name, row, x), name)[1])
            within.append(given - float(weights[-1].sum()))

        products = model.products(*totals).double()
        other = {}
        for words, found, sums, names in (
            ("of the item", weights[1], products.sum(0), model.known.items.names),
            ("of the user", weights[0], products[:, 0], model.known.users.names),
        ):
            for at, field in enumerate(names, start=1):
                other[f"{field} {words}"] = float(found[at] + sums[at])

        other["pairs within the item"] = within[1]
        if model.known.users.names:
            other["pairs within the user"] = within[0]

        other = {words: value for words, value in other.items() if value}
        bias = float(model.bias + weights[0][0] + weights[1][0])
        return ScoreParts(float(products[0, 0]), bias, other=other)

    def _by_field(self, name: "Name", row: int, x: Float[Tensor, " _"]) -> Float[Tensor, "_ dim"]:
        """Return the sums of the values of each field, the id first."""
        model = self._factorized
        own = model.ids(name, torch.tensor([row], device=model.bias.device))
        table = model.table(name)
        if table is None:
            return own

        value = self.entries(name, row)[0]
        field = model.get_buffer(f"{name}_field")[value]
        sums = own.new_zeros(len(model.known.of(name).names) + 1, own.shape[1])
        return sums.index_add(0, field, x.unsqueeze(1) * table[value]).index_add(
            0, field.new_zeros(1), own
        )


def _alike(rows: Float[Tensor, "batch _"]) -> tuple[Int[Tensor, " batch"], Int[Tensor, " _"]]:
    """Return which of the distinct rows each one is, and one row of each."""
    if not rows.numel():
        at = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
        return at, torch.arange(min(1, len(rows)), device=rows.device)

    distinct, at = torch.unique(rows, dim=0, return_inverse=True)
    first = at.new_empty(len(distinct))
    first[at] = torch.arange(len(rows), device=rows.device)
    return at, first
