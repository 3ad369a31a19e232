"""What explains the scores of the content model: parts of a score, and scores on other graphs."""

from typing import TYPE_CHECKING

from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.capabilities import GraphEditable
from kgrec.models.effects import HistorySumEffects

if TYPE_CHECKING:
    from kgrec.models.baselines.content import Content


class ContentEffects(HistorySumEffects, GraphEditable):
    """A part per item of the user; scores of other histories, and without some facts.

    Args:
        model: The model.
    """

    def __init__(self, model: "Content") -> None:
        super().__init__(model, model.train_items.device)
        self.ckg = model.ckg
        self._content = model

    def on_graph(self, ckg: CollaborativeKG) -> "Content":
        """Return the model of what another graph says of the items."""
        model = self._content
        return type(model)(ckg, model.config, model.beside).to(model.train_items.device).eval()
