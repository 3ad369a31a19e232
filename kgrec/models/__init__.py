"""One paper, one file; ``catalog`` lists them without importing any."""

from typing import TYPE_CHECKING

from kgrec.lazy import lazy_names

if TYPE_CHECKING:
    from kgrec.models.base import DotProduct as DotProduct
    from kgrec.models.base import Objective as Objective
    from kgrec.models.base import Plan as Plan
    from kgrec.models.base import Preset as Preset
    from kgrec.models.base import Recommender as Recommender
    from kgrec.models.base import Scorer as Scorer
    from kgrec.models.base import TripleScorer as TripleScorer
    from kgrec.models.catalog import MODELS as MODELS
    from kgrec.models.catalog import ModelEntry as ModelEntry
    from kgrec.models.hetero import HeteroConfig as HeteroConfig
    from kgrec.models.hetero import HeteroRecommender as HeteroRecommender

_HOMES = {
    "DotProduct": "kgrec.models.base",
    "HeteroConfig": "kgrec.models.hetero",
    "HeteroRecommender": "kgrec.models.hetero",
    "MODELS": "kgrec.models.catalog",
    "ModelEntry": "kgrec.models.catalog",
    "Objective": "kgrec.models.base",
    "Plan": "kgrec.models.base",
    "Preset": "kgrec.models.base",
    "Recommender": "kgrec.models.base",
    "Scorer": "kgrec.models.base",
    "TripleScorer": "kgrec.models.base",
}

__all__ = [
    "MODELS",
    "DotProduct",
    "HeteroConfig",
    "HeteroRecommender",
    "ModelEntry",
    "Objective",
    "Plan",
    "Preset",
    "Recommender",
    "Scorer",
    "TripleScorer",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
