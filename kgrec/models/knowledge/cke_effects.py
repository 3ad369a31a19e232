"""What explains the scores of CKE: Zhang et al., KDD 2016.

https://doi.org/10.1145/2939672.2939673
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid

from kgrec.models.capabilities import Parted, Plausible, ScoreParts
from kgrec.ops.rows import inverse_length

if TYPE_CHECKING:
    from kgrec.models.knowledge.cke import CKE


class CKEEffects(Parted, Plausible):
    """The pieces of an item's vector, and how plausible facts are.

    Args:
        model: The model.
    """

    def __init__(self, model: "CKE") -> None:
        self._model = model

    @torch.no_grad()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return what the user's vector finds in each piece of the item's: its offset
        (collaborative), knowledge, features and text.

        Trained by cosine, each is divided by the length of the whole item vector.
        """
        model = self._model
        row = torch.tensor([item], device=model.users.device)
        pieces = {
            "collaborative offset of the item": model.items[row],
            "knowledge embedding of the item": model.entities[row],
        }
        for name in model.encoders:
            pieces[f"{name} of the item"] = model.code(name, row)[0] - 0.5

        whole = torch.cat([piece.double() for piece in pieces.values()])  # (pieces, dim)
        scale = inverse_length(whole.sum(0)) if model.config.loss == "softmax" else 1.0
        values = whole @ model.users[user].double() * scale
        return ScoreParts(0.0, other=dict(zip(pieces, values.tolist(), strict=True)))

    @torch.no_grad()
    def plausibility(
        self,
        head: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        tail: Int[Tensor, " batch"],
    ) -> Float[Tensor, " batch"]:
        """Return log sigmoid(-g(h, r, t)) by TransR, at most log 1/2; triples as
        ``Dataset.triples`` counts them.
        """
        energy, _, _ = self._model.energies(head, relation, tail, tail)
        return logsigmoid(-energy)
