"""Load knowledge graphs, train graph-based recommenders, and inspect the paths that explain a
recommendation.

The public names below are resolved when they are first used, so that ``import kgrec`` costs
milliseconds and no torch.
"""

from typing import TYPE_CHECKING

from kgrec._version import __version__
from kgrec.lazy import lazy_names
from kgrec.process import watch_forks

if TYPE_CHECKING:
    from kgrec.data.formats.convert import convert as convert
    from kgrec.data.formats.load import load as load
    from kgrec.data.rdf.sparql import SparqlQuery as SparqlQuery
    from kgrec.data.readers.attributes import triples_from_table as triples_from_table
    from kgrec.data.readers.interactions import read_interactions as read_interactions
    from kgrec.data.readers.triples import read_triples as read_triples
    from kgrec.data.records.dataset import Dataset as Dataset
    from kgrec.errors import KgrecError as KgrecError
    from kgrec.evaluation.report import evaluate as evaluate
    from kgrec.explanation.core.records import Explanation as Explanation
    from kgrec.explanation.explainer import Explainer as Explainer
    from kgrec.graph.ckg import CollaborativeKG as CollaborativeKG
    from kgrec.graph.hetero import build_hetero_data as build_hetero_data
    from kgrec.models.base import Recommender as Recommender
    from kgrec.models.catalog import MODELS as MODELS
    from kgrec.runs.fit import fit as fit
    from kgrec.runs.run import Run as Run
    from kgrec.runs.run import load_run as load_run
    from kgrec.study.ablate import ablate as ablate
    from kgrec.study.bench import run_experiment as run_experiment
    from kgrec.study.blend import blend as blend
    from kgrec.study.compare import compare as compare
    from kgrec.study.tune import tune as tune

watch_forks()

_HOME = {
    "CollaborativeKG": "kgrec.graph.ckg",
    "Dataset": "kgrec.data.records.dataset",
    "Explainer": "kgrec.explanation.explainer",
    "Explanation": "kgrec.explanation.core.records",
    "KgrecError": "kgrec.errors",
    "MODELS": "kgrec.models.catalog",
    "Recommender": "kgrec.models.base",
    "Run": "kgrec.runs.run",
    "SparqlQuery": "kgrec.data.rdf.sparql",
    "ablate": "kgrec.study.ablate",
    "blend": "kgrec.study.blend",
    "build_hetero_data": "kgrec.graph.hetero",
    "compare": "kgrec.study.compare",
    "convert": "kgrec.data.formats.convert",
    "evaluate": "kgrec.evaluation.report",
    "fit": "kgrec.runs.fit",
    "load": "kgrec.data.formats.load",
    "load_run": "kgrec.runs.run",
    "read_interactions": "kgrec.data.readers.interactions",
    "read_triples": "kgrec.data.readers.triples",
    "run_experiment": "kgrec.study.bench",
    "triples_from_table": "kgrec.data.readers.attributes",
    "tune": "kgrec.study.tune",
}

__all__ = [
    "MODELS",
    "CollaborativeKG",
    "Dataset",
    "Explainer",
    "Explanation",
    "KgrecError",
    "Recommender",
    "Run",
    "SparqlQuery",
    "__version__",
    "ablate",
    "blend",
    "build_hetero_data",
    "compare",
    "convert",
    "evaluate",
    "fit",
    "load",
    "load_run",
    "read_interactions",
    "read_triples",
    "run_experiment",
    "triples_from_table",
    "tune",
]


__getattr__, __dir__ = lazy_names(__name__, _HOME)
