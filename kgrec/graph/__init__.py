"""Graphs of a dataset: the collaborative knowledge graph, its views for models, HeteroData, and the
way to other libraries.
"""

from typing import TYPE_CHECKING

from kgrec.lazy import lazy_names

if TYPE_CHECKING:
    from kgrec.graph.attributes import ItemAttributes as ItemAttributes
    from kgrec.graph.ckg import CollaborativeKG as CollaborativeKG
    from kgrec.graph.convert import adjacency as adjacency
    from kgrec.graph.convert import from_networkx as from_networkx
    from kgrec.graph.convert import from_rdflib as from_rdflib
    from kgrec.graph.convert import from_scipy as from_scipy
    from kgrec.graph.convert import to_networkx as to_networkx
    from kgrec.graph.convert import to_pykeen as to_pykeen
    from kgrec.graph.convert import to_rdflib as to_rdflib
    from kgrec.graph.convert import to_rdflib_dataset as to_rdflib_dataset
    from kgrec.graph.convert import to_scipy as to_scipy
    from kgrec.graph.fields import FieldTable as FieldTable
    from kgrec.graph.hetero import build_hetero_data as build_hetero_data
    from kgrec.graph.paths import ReasonedPath as ReasonedPath
    from kgrec.graph.paths import verify_paths as verify_paths
    from kgrec.graph.reach import reached as reached
    from kgrec.graph.relational import RelationalGraph as RelationalGraph
    from kgrec.graph.symmetric import PairGraph as PairGraph
    from kgrec.graph.typed_mean import TypedMean as TypedMean
    from kgrec.graph.views import of_relations as of_relations
    from kgrec.graph.views import sample_evenly as sample_evenly
    from kgrec.graph.views import sample_neighbors as sample_neighbors
    from kgrec.graph.views import subgraph as subgraph
    from kgrec.graph.views import without_edges as without_edges
    from kgrec.graph.views import without_nodes as without_nodes

_HOMES = {
    "CollaborativeKG": "kgrec.graph.ckg",
    "FieldTable": "kgrec.graph.fields",
    "ItemAttributes": "kgrec.graph.attributes",
    "PairGraph": "kgrec.graph.symmetric",
    "ReasonedPath": "kgrec.graph.paths",
    "RelationalGraph": "kgrec.graph.relational",
    "TypedMean": "kgrec.graph.typed_mean",
    "adjacency": "kgrec.graph.convert",
    "build_hetero_data": "kgrec.graph.hetero",
    "from_networkx": "kgrec.graph.convert",
    "from_rdflib": "kgrec.graph.convert",
    "from_scipy": "kgrec.graph.convert",
    "of_relations": "kgrec.graph.views",
    "reached": "kgrec.graph.reach",
    "sample_evenly": "kgrec.graph.views",
    "sample_neighbors": "kgrec.graph.views",
    "subgraph": "kgrec.graph.views",
    "to_networkx": "kgrec.graph.convert",
    "to_pykeen": "kgrec.graph.convert",
    "to_rdflib": "kgrec.graph.convert",
    "to_rdflib_dataset": "kgrec.graph.convert",
    "to_scipy": "kgrec.graph.convert",
    "verify_paths": "kgrec.graph.paths",
    "without_edges": "kgrec.graph.views",
    "without_nodes": "kgrec.graph.views",
}

__all__ = [
    "CollaborativeKG",
    "FieldTable",
    "ItemAttributes",
    "PairGraph",
    "ReasonedPath",
    "RelationalGraph",
    "TypedMean",
    "adjacency",
    "build_hetero_data",
    "from_networkx",
    "from_rdflib",
    "from_scipy",
    "of_relations",
    "reached",
    "sample_evenly",
    "sample_neighbors",
    "subgraph",
    "to_networkx",
    "to_pykeen",
    "to_rdflib",
    "to_rdflib_dataset",
    "to_scipy",
    "verify_paths",
    "without_edges",
    "without_nodes",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
