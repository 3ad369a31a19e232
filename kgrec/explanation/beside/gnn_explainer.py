"""GNNExplainer of PyTorch Geometric, on the model as a PyG module.

Source: Ying, Bourgeois, You, Zitnik and Leskovec, GNNExplainer, NeurIPS 2019.
https://arxiv.org/abs/1903.03894
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kgrec.explanation.beside.ranked_edges import RankedEdges, best_first, candidate_edges
from kgrec.explanation.search.ranked import PathSearch
from kgrec.random import derive

_EPOCHS = 100
_SHARPNESS = 3.0


class GNNExplainerEdges:
    """Rank the edges on the paths by a mask that keeps the item's score, learned with PyG's
    defaults.

    The mask is over all edges that the score depends on. The prediction is binary, that the score
    is at least what it is, with logit 3 (score - its value now) / (standard deviation of the user's
    scores): of nine forms tried on the films (the score itself at four scales, a softmax over all
    items, thresholds), the one whose edges mattered most over two models. With raw scores the
    mask's penalties outweigh all that edges do.

    Args:
        search: The search for paths, whose edges are the candidates.
        seed: Draws the start of the mask.
        epochs: Steps.
    """

    def __init__(self, search: PathSearch, seed: int = 0, epochs: int = _EPOCHS) -> None:
        self._search = search
        self._seed = seed
        self._epochs = epochs

    def rank_edges(self, user: int, item: int) -> RankedEdges:
        """Return the edges by their masks, both directions added up, the largest first.

        Raises:
            CapabilityError: If the model is not layers of weighted messages.
        """
        from torch_geometric.explain import Explainer, GNNExplainer

        from kgrec.explanation.beside.pyg_module import PygScores

        explained = self._search.explained
        scores = PygScores(explained, user, standardized=True)
        near = scores.receptive_field(item)
        now = float(explained.standing(user).scores[item]) / scores.spread
        explainer = Explainer(
            _Holds(scores, now),
            GNNExplainer(epochs=self._epochs),
            explanation_type="phenomenon",
            node_mask_type=None,
            edge_mask_type="object",
            model_config={
                "mode": "binary_classification",
                "task_level": "graph",
                "return_type": "raw",
            },
        )

        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(derive(self._seed, "gnnexplainer", user, item))
            found = explainer(
                scores.x,
                scores.edge_index[:, near],
                target=scores.x.new_ones(1, 1),
                edge_weight=scores.edge_weight[near],
                items=torch.tensor([item], device=near.device),
            )

        mask = scores.edge_weight.new_zeros(scores.edge_index.shape[1])
        mask[near] = found.edge_mask.to(mask)
        edges = candidate_edges(self._search, user, item)
        return best_first(edges, np.asarray(scores.per_edge(mask)[edges]), self._epochs)


class _Holds(nn.Module):
    """The logit of a score being at least what it is."""

    def __init__(self, scores: nn.Module, now: float) -> None:
        super().__init__()
        self._scores = scores
        self._now = now

    def forward(self, *graph: Tensor, **more: Any) -> Any:
        return (self._scores(*graph, **more) - self._now) * _SHARPNESS
