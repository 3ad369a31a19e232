"""What explains the scores of BPR-MF: Rendle et al., UAI 2009.

https://arxiv.org/abs/1205.2618
"""

from typing import TYPE_CHECKING

import torch

from kgrec.models.capabilities import Parted, ScoreParts

if TYPE_CHECKING:
    from kgrec.models.factorization.bprmf import BPRMF


class BPRMFEffects(Parted):
    """The inner product and the bias.

    Args:
        model: The model.
    """

    def __init__(self, model: "BPRMF") -> None:
        self._model = model

    @torch.no_grad()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return the inner product and the bias; nothing that the user has used carries a part of
        its own.
        """
        model = self._model
        product = float(model.users[user].double() @ model.items[item].double())
        if model.item_bias is None:
            return ScoreParts(product)

        return ScoreParts(product, float(model.item_bias[item]))
