"""What explains the scores of DKN: Wang et al., WWW 2018.

https://arxiv.org/abs/1801.08284
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.models.capabilities import Parted, ScoreParts
from kgrec.models.effects import HistoryEffects
from kgrec.nn.text import DotPairing
from kgrec.ops.lists import last_of_lists

if TYPE_CHECKING:
    from kgrec.models.news.dkn import DKN

_POINTS = 256  # of integration: the gradient jumps wherever a ReLU switches


class DKNEffects(HistoryEffects, Parted):
    """A part per title that the user has read (training and validation, as a run recommends).

    Args:
        model: The model.
    """

    reads_validation = True

    def __init__(self, model: "DKN") -> None:
        super().__init__(model, model.word.device)
        self._dkn = model

    @torch.no_grad()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return one part per clicked title of the user, attention as it is.

        Where a dot product scores, a title's part is its attention times its product with the
        candidate. Else it is its integrated gradient on the way from no interest at all to the
        user's, what the candidate gets for nothing is a line in ``other``, and so is what the
        integration misses.
        """
        model = self._dkn
        users = torch.tensor([user], device=model.clicks.device)
        history, mask = model.histories(*last_of_lists(model.click_ptr, model.clicks, users))
        both = torch.cat([history[0], history.new_tensor([item])])
        news, at = torch.unique(both, return_inverse=True)
        tables = model.tables(model.encode(news))
        candidate = at[-1:].unsqueeze(0)
        rows, weight = model.attended(tables, at[:-1].unsqueeze(0), mask, candidate)

        no_news = torch.zeros_like(model.no_history).unsqueeze(0)
        nothing = model.click.sides(no_news)[0]  # as an interest
        shares = weight[0, 0].unsqueeze(1) * (tables.interest[rows[0]] - nothing)  # (hist + 1, dim)
        interest = shares.sum(0)
        offered = tables.offered[candidate[0]]
        values = (shares @ self._gradient(nothing, interest, offered)).double().cpu()
        read = (weight[0, 0, :-1] > 0).cpu()
        items, place = torch.unique(history[0].cpu()[read], return_inverse=True)
        liked = values.new_zeros(len(items)).index_add_(0, place, values[:-1][read])

        other = {}
        if bool(weight[0, 0, -1] > 0):
            other["the empty history"] = float(values[-1])

        # the text that unmasked histories are padded with
        if bool(len(items) and items[-1] == model.num_items):
            other["padding of the history"] = float(liked[-1])
            items = items[:-1]
            liked = liked[:-1]

        if not isinstance(model.click, DotPairing):
            ends = torch.stack([nothing, nothing + interest])
            alone, whole = model.click.pairs(ends, offered.expand(2, 1, -1)).double()[:, 0]
            other["the title itself"] = float(alone)
            other["missed by the integration"] = float(whole - alone - values.sum())

        return ScoreParts(
            0.0, items=items.numpy(), liked=liked.numpy(), other=other, basis="linearized"
        )

    def _gradient(self, start: Tensor, way: Tensor, offered: Tensor) -> Float[Tensor, " dim"]:
        """Return the mean gradient of the score by the interest, on the way from ``start``, by the
        middles of equal steps.
        """
        points = (torch.arange(_POINTS, dtype=way.dtype, device=way.device) + 0.5) / _POINTS
        with torch.enable_grad():
            interest = (start + points.unsqueeze(1) * way).unsqueeze(1).requires_grad_()
            score = self._dkn.click.pairs(interest, offered.expand(_POINTS, 1, -1)).sum()
            (gradient,) = torch.autograd.grad(score, interest)

        return gradient[:, 0].mean(0)
