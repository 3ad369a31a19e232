"""What explains the scores of iALS: Hu, Koren and Volinsky, ICDM 2008."""

from typing import TYPE_CHECKING

import torch

from kgrec.models.capabilities import Parted, ScoreParts
from kgrec.models.effects import HistoryEffects

if TYPE_CHECKING:
    from kgrec.models.factorization.ials import IALS


class IALSEffects(HistoryEffects, Parted):
    """A part per item of the user; other histories are solved for like a user's.

    The history as it is does not give exactly the scores that rank: those come of a solve before
    the last pass over the items. Compare with ``history_scores`` of the history as it is.

    Args:
        model: The model.
    """

    def __init__(self, model: "IALS") -> None:
        super().__init__(model, model.items.device)
        self._ials = model

    @torch.no_grad()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return one part per item of the user: how alike it and the candidate are in the eyes of
        this user.

            score(u, i) = sum over j in I_u of w_j v_j^T W_u v_i,
            W_u = (alpha_0 V^T V + sum over I_u of w v v^T + lambda ... I)^-1

        Vectors of users were solved for before the last pass over the items: what that moved is a
        line in ``other``. W_u changes with the history, so parts hold at this point alone.

        Source: Hu, Koren and Volinsky, ICDM 2008, Section 5.
        """
        model = self._ials
        everything = model.items.double()
        own = slice(int(model.user_ptr[user]), int(model.user_ptr[user + 1]))
        chosen = model.user_idx[own]
        used = everything[chosen]  # (items of the user, dim)
        weighted = used
        if model.user_weight is not None:
            weighted = used * model.user_weight[own].double().unsqueeze(1)

        system = model.config.unobserved_weight * everything.T @ everything + used.T @ weighted
        size = model.user_ptr[user : user + 2].diff()
        strength = model.strength(size, len(everything)).double()
        system.diagonal().add_(model.config.l2 * strength)
        liked = weighted @ torch.linalg.solve(system, everything[item])
        moved = float(model.users[user].double() @ everything[item] - liked.sum())

        return ScoreParts(
            0.0,
            items=chosen.cpu().numpy(),
            liked=liked.cpu().numpy(),
            other={"moved by the last pass over the items": moved},
            basis="linearized",
        )
