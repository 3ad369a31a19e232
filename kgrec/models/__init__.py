"""One paper, one file; ``catalog`` lists them without importing any."""

from typing import TYPE_CHECKING

from kgrec.lazy import lazy_names

if TYPE_CHECKING:
    from kgrec.models.base import DotProduct as DotProduct
    from kgrec.models.base import Objective as Objective
    from kgrec.models.base import PathReasoner as PathReasoner
    from kgrec.models.base import Plan as Plan
    from kgrec.models.base import Preset as Preset
    from kgrec.models.base import Recommender as Recommender
    from kgrec.models.base import Scorer as Scorer
    from kgrec.models.base import Split as Split
    from kgrec.models.base import TripleScorer as TripleScorer
    from kgrec.models.catalog import MODELS as MODELS
    from kgrec.models.catalog import ModelEntry as ModelEntry
    from kgrec.models.hetero import HeteroConfig as HeteroConfig
    from kgrec.models.hetero import HeteroRecommender as HeteroRecommender
    from kgrec.models.sources import Fields as Fields
    from kgrec.models.sources import NegativeSource as NegativeSource
    from kgrec.models.sources import Pairs as Pairs
    from kgrec.models.sources import Points as Points
    from kgrec.models.sources import Positives as Positives
    from kgrec.models.sources import SamplerContext as SamplerContext
    from kgrec.models.sources import Sequences as Sequences
    from kgrec.models.sources import Shown as Shown
    from kgrec.models.sources import Triples as Triples
    from kgrec.models.sources import Users as Users
    from kgrec.models.sources import register_source as register_source

_HOMES = {
    "DotProduct": "kgrec.models.base",
    "Fields": "kgrec.models.sources",
    "HeteroConfig": "kgrec.models.hetero",
    "HeteroRecommender": "kgrec.models.hetero",
    "MODELS": "kgrec.models.catalog",
    "ModelEntry": "kgrec.models.catalog",
    "NegativeSource": "kgrec.models.sources",
    "Objective": "kgrec.models.base",
    "Pairs": "kgrec.models.sources",
    "PathReasoner": "kgrec.models.base",
    "Plan": "kgrec.models.base",
    "Points": "kgrec.models.sources",
    "Positives": "kgrec.models.sources",
    "Preset": "kgrec.models.base",
    "Recommender": "kgrec.models.base",
    "SamplerContext": "kgrec.models.sources",
    "Scorer": "kgrec.models.base",
    "Split": "kgrec.models.base",
    "Sequences": "kgrec.models.sources",
    "Shown": "kgrec.models.sources",
    "TripleScorer": "kgrec.models.base",
    "Triples": "kgrec.models.sources",
    "Users": "kgrec.models.sources",
    "register_source": "kgrec.models.sources",
}

__all__ = [
    "MODELS",
    "DotProduct",
    "Fields",
    "HeteroConfig",
    "HeteroRecommender",
    "ModelEntry",
    "NegativeSource",
    "Objective",
    "Pairs",
    "PathReasoner",
    "Plan",
    "Points",
    "Positives",
    "Preset",
    "Recommender",
    "SamplerContext",
    "Scorer",
    "Sequences",
    "Shown",
    "Split",
    "TripleScorer",
    "Triples",
    "Users",
    "register_source",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
