"""MODELS: every model by its name. The only registry.

Entries name classes by module and are imported when asked for, so that listing them needs no torch.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from kgrec.errors import UnknownModelError, nearest

if TYPE_CHECKING:
    from kgrec.models.base import Preset, Recommender, Space


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One line of the catalog.

    Attributes:
        name: Name on the command line.
        module: Module that holds it.
        model: Class name of the model.
        config: Class name of its configuration.
        summary: What it does, in a few words.
        paper: Where it comes from.
        needs: What a dataset must have: "interactions", "triples", "texts".
        fixed: Configuration that makes this name what it is; it cannot be overridden.
        presets: Name of the mapping of presets in the module.
        space: Name of the mapping in the module that tuning searches.
    """

    name: str
    module: str
    model: str
    config: str
    summary: str
    paper: str
    needs: tuple[str, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    presets: str = "PRESETS"
    space: str = "SPACE"

    def load(self) -> "tuple[type[Recommender], type[Any], Mapping[str, Preset]]":
        """Return the model class, its configuration class and its presets."""
        module = importlib.import_module(self.module)
        return (
            vars(module)[self.model],
            vars(module)[self.config],
            vars(module).get(self.presets, {}),
        )

    def search_space(self) -> "Space":
        """Return what tuning searches; empty where there is nothing to tune."""
        found: Space = vars(importlib.import_module(self.module)).get(self.space, {})
        return found


MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            "popularity",
            "kgrec.models.baselines.popularity",
            "Popularity",
            "PopularityConfig",
            "items by their number of interactions",
            "Cremonesi et al., RecSys 2010",
            ("interactions",),
        ),
        ModelEntry(
            "itemknn",
            "kgrec.models.baselines.itemknn",
            "ItemKNN",
            "ItemKNNConfig",
            "items by their similarity to what somebody used",
            "Sarwar et al., WWW 2001",
            ("interactions",),
        ),
        ModelEntry(
            "bprmf",
            "kgrec.models.factorization.bprmf",
            "BPRMF",
            "BPRMFConfig",
            "matrix factorization by pairwise ranking",
            "Rendle et al., UAI 2009",
            ("interactions",),
        ),
        ModelEntry(
            "ials",
            "kgrec.models.factorization.ials",
            "IALS",
            "IALSConfig",
            "matrix factorization by alternating least squares",
            "Hu et al., ICDM 2008; Rendle et al., RecSys 2022",
            ("interactions",),
        ),
        ModelEntry(
            "ease",
            "kgrec.models.linear.ease",
            "EASE",
            "EASEConfig",
            "linear item-to-item weights in closed form",
            "Steck, WWW 2019",
            ("interactions",),
        ),
        ModelEntry(
            "ease-kg",
            "kgrec.models.linear.ease",
            "EASEKG",
            "EASEKGConfig",
            "EASE with the (relation, entity) pairs of items",
            "Jeunen et al., RecSys 2020",
            ("interactions", "triples"),
            presets="KG_PRESETS",
            space="KG_SPACE",
        ),
        ModelEntry(
            "gfcf",
            "kgrec.models.graph.gfcf",
            "GFCF",
            "GFCFConfig",
            "graph filters without training",
            "Shen et al., CIKM 2021",
            ("interactions",),
        ),
        ModelEntry(
            "lightgcn",
            "kgrec.models.graph.lightgcn",
            "LightGCN",
            "LightGCNConfig",
            "linear propagation over users and items",
            "He et al., SIGIR 2020",
            ("interactions",),
            fixed={"knowledge": False},
        ),
        ModelEntry(
            "lightgcn-kg",
            "kgrec.models.graph.lightgcn",
            "LightGCN",
            "LightGCNConfig",
            "linear propagation over the collaborative knowledge graph",
            "He et al., SIGIR 2020",
            ("interactions", "triples"),
            fixed={"knowledge": True},
            presets="KG_PRESETS",
        ),
        ModelEntry(
            "cke",
            "kgrec.models.knowledge.cke",
            "CKE",
            "CKEConfig",
            "matrix factorization plus TransR, item features and texts",
            "Zhang et al., KDD 2016",
            ("interactions", "triples"),
        ),
        ModelEntry(
            "cfkg",
            "kgrec.models.knowledge.cfkg",
            "CFKG",
            "CFKGConfig",
            "translation in one graph of interactions and triples",
            "Ai et al., Algorithms 2018",
            ("interactions", "triples"),
        ),
        ModelEntry(
            "dkn",
            "kgrec.models.news.dkn",
            "DKN",
            "DKNConfig",
            "convolution over titles and the entities they name",
            "Wang et al., WWW 2018",
            ("interactions", "texts"),
        ),
        ModelEntry(
            "kgat",
            "kgrec.models.knowledge.kgat",
            "KGAT",
            "KGATConfig",
            "attentive propagation over the collaborative knowledge graph",
            "Wang et al., KDD 2019",
            ("interactions", "triples"),
        ),
        ModelEntry(
            "kgin",
            "kgrec.models.knowledge.kgin",
            "KGIN",
            "KGINConfig",
            "users by their intents, items by relational paths",
            "Wang et al., WWW 2021",
            ("interactions", "triples"),
        ),
        ModelEntry(
            "transe",
            "kgrec.models.triples.transe",
            "TransE",
            "TransEConfig",
            "entities moved by relations",
            "Bordes et al., NIPS 2013",
            ("triples",),
        ),
        ModelEntry(
            "transr",
            "kgrec.models.triples.transr",
            "TransR",
            "TransRConfig",
            "entities moved in a space of each relation",
            "Lin et al., AAAI 2015",
            ("triples",),
        ),
        ModelEntry(
            "transd",
            "kgrec.models.triples.transd",
            "TransD",
            "TransDConfig",
            "entities moved in a space of relation and entity",
            "Ji et al., ACL 2015",
            ("triples",),
        ),
        ModelEntry(
            "distmult",
            "kgrec.models.triples.distmult",
            "DistMult",
            "DistMultConfig",
            "triples by a product of three vectors",
            "Yang et al., ICLR 2015",
            ("triples",),
        ),
        ModelEntry(
            "complex",
            "kgrec.models.triples.complex",
            "ComplEx",
            "ComplExConfig",
            "triples by a product of three complex vectors",
            "Trouillon et al., ICML 2016",
            ("triples",),
        ),
        ModelEntry(
            "rotate",
            "kgrec.models.triples.rotate",
            "RotatE",
            "RotatEConfig",
            "entities turned by relations",
            "Sun et al., ICLR 2019",
            ("triples",),
        ),
    )
}


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def find(name: str) -> ModelEntry:
    """Return the entry of a model; case, hyphens and underscores are ignored.

    Names that are not built in are looked up among the entry points of the group ``kgrec.models``,
    whose values are ``ModelEntry``.

    Raises:
        UnknownModelError: If there is no such model; the message gives the nearest names.
    """
    for entry in MODELS.values():
        if _plain(entry.name) == _plain(name):
            return entry
    for point in entry_points(group="kgrec.models"):
        if _plain(point.name) == _plain(name):
            found: ModelEntry = point.load()
            return found
    known = nearest(name.lower(), MODELS) or f" Known: {', '.join(sorted(MODELS))}."
    raise UnknownModelError(f"unknown model {name!r}.{known}")
