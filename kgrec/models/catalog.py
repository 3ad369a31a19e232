"""MODELS: every model by its name. The only registry.

Entries name classes by module and are imported when asked for, so that listing them needs no torch.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, get_type_hints

from kgrec.errors import ConfigError, UnknownModelError, nearest
from kgrec.log import logger

if TYPE_CHECKING:
    from kgrec.models.base import Preset, Recommender, Space


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One line of the catalog.

    Attributes:
        name: Name on the command line.
        module: Module that holds it.
        model: Class name of the model.
        config: Class name of its configuration; "" takes what ``from_dataset`` annotates.
        summary: What it does, in a few words.
        paper: Where it comes from.
        needs: What a dataset must have, by the names of ``kgrec.data.records.needs.NEEDS``.
        reads: What it takes besides where a dataset has it: "texts", "features".
        fixed: Configuration that makes this name what it is; it cannot be overridden.
        presets: Name of the mapping of presets in the module.
        space: Name of the mapping in the module that tuning searches.
        found: The class itself, of a model from outside.
    """

    name: str
    module: str
    model: str
    config: str
    summary: str
    paper: str
    needs: tuple[str, ...]
    reads: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    presets: str = "PRESETS"
    space: str = "SPACE"
    found: "type[Recommender] | None" = None

    def load(self) -> "tuple[type[Recommender], type[Any], Mapping[str, Preset]]":
        """Return the model class, its configuration class and its presets."""
        names = self._names()
        if self.found is not None:
            model = self.found
        else:
            model = names[self.model]

        config = names[self.config] if self.config else config_of(model)
        return model, config, names.get(self.presets, {})

    def search_space(self) -> "Space":
        """Return what tuning searches; empty where there is nothing to tune."""
        found: Space = self._names().get(self.space, {})
        return found

    def _names(self) -> Mapping[str, Any]:
        """Return what the module holds; a class made in a script or a function may have none."""
        if self.found is not None:
            return vars(sys.modules.get(self.module, object))
        return vars(importlib.import_module(self.module))


def _entry(
    name: str,
    place: str,
    model: str,
    paper: str,
    summary: str,
    needs: tuple[str, ...],
    **more: Any,
) -> ModelEntry:
    """Return the entry of a model of ``kgrec.models``.

    Args:
        name: Name on the command line.
        place: Its family, and behind a dot its module where that is not called as the model.
        model: Class name; that of its configuration is this with ``Config`` behind
            it, unless ``more`` says another.
        paper: Where it comes from.
        summary: What it does, in a few words.
        needs: What a dataset must have.
        more: Other fields of ``ModelEntry``.
    """
    family, _, module = place.partition(".")
    module = f"kgrec.models.{family}.{module or name}"
    config = more.pop("config", f"{model}Config")
    return ModelEntry(name, module, model, config, summary, paper, needs, **more)


_LIKES = ("interactions",)
_FACTS = ("triples",)
_GRAPH = ("interactions", "triples")
_TEXTS = ("interactions", "texts")
_RATINGS = ("interactions", "ratings")
_PLAIN = {"knowledge": False}
_WITH_TRIPLES = {"knowledge": True}
_HISTORIES = ("interactions", "sequences")
_READ = ("interactions", "sequences", "texts")

# two lines a model
# fmt: off
_ENTRIES = (
    _entry("popularity", "baselines", "Popularity", "Cremonesi et al., RecSys 2010",
           "items by their number of interactions", _LIKES),
    _entry("itemknn", "baselines", "ItemKNN", "Sarwar et al., WWW 2001",
           "items by their similarity to what somebody used", _LIKES),
    _entry("userknn", "baselines", "UserKNN", "Resnick et al., CSCW 1994",
           "items of the users most like somebody", _LIKES),
    _entry("rp3beta", "baselines", "RP3Beta", "Paudel et al., TiiS 2017",
           "random walks of three steps, popular items held back", _LIKES),
    _entry("content", "baselines", "Content", "Lops et al., 2011",
           "items by the attributes that they share with what somebody used", _GRAPH,
           reads=("texts", "features"), fixed={"attributes": True}),
    _entry("content-text", "baselines.content", "Content", "Lops et al., 2011",
           "items by the words that they share with what somebody used", _TEXTS,
           reads=("features",), fixed={"attributes": False}),
    _entry("bprmf", "factorization", "BPRMF", "Rendle et al., UAI 2009",
           "matrix factorization by pairwise ranking", _LIKES),
    _entry("ials", "factorization", "IALS", "Hu et al., ICDM 2008; Rendle et al., RecSys 2022",
           "matrix factorization by alternating least squares", _LIKES),
    _entry("gmf", "factorization.neumf", "NeuMF", "He et al., WWW 2017",
           "matrix factorization whose products are weighted", _LIKES,
           fixed={"part": "gmf"}, presets="PART_PRESETS", space="GMF_SPACE"),
    _entry("mlp", "factorization.neumf", "NeuMF", "He et al., WWW 2017",
           "a network over a user's and an item's vector", _LIKES,
           fixed={"part": "mlp"}, presets="PART_PRESETS"),
    _entry("neumf", "factorization", "NeuMF", "He et al., WWW 2017",
           "products of vectors and a network over others, fused", _LIKES, fixed={"part": "both"}),
    _entry("biasedmf", "factorization.svdpp", "BiasedMF", "Koren et al., IEEE Computer 2009",
           "ratings by biases and factors", _RATINGS,
           config="SVDPPConfig", fixed={"implicit": False}),
    _entry("svdpp", "factorization", "SVDPP", "Koren, KDD 2008",
           "ratings by biases, factors, and what somebody rated at all", _RATINGS,
           fixed={"implicit": True}),
    _entry("acf", "factorization", "ACF", "Chen et al., SIGIR 2017",
           "users by attention to what they used", _LIKES, fixed={"components": False}),
    _entry("acf-kg", "factorization.acf", "ACFKG", "Chen et al., SIGIR 2017",
           "users by attention to what they used, and to its (relation, entity) pairs", _GRAPH,
           config="ACFConfig", fixed={"components": True}, space="KG_SPACE"),
    _entry("mmoe", "multitask", "MMoE", "Ma et al., KDD 2018",
           "use, and ratings or events, by gates over shared experts", _LIKES),
    _entry("shared-bottom", "multitask.mmoe", "MMoE", "Caruana, Machine Learning 1997",
           "use, and ratings or events, from one shared layer", _LIKES,
           fixed={"num_experts": 1}, presets="BOTTOM_PRESETS", space="BOTTOM_SPACE"),
    _entry("ntn-head", "multitask.ntn", "NTNHead", "Socher et al., NIPS 2013",
           "use, and ratings or events, by a neural tensor layer each", _LIKES),
    _entry("ntn-rating", "multitask.ntn", "NTNRating", "Socher et al., NIPS 2013",
           "ratings by a neural tensor layer, learned beside use", _RATINGS,
           config="NTNHeadConfig", fixed={"second": "rating"}, presets="RATING_PRESETS"),
    _entry("irgan", "adversarial", "IRGAN", "Wang et al., SIGIR 2017",
           "items drawn against a discriminator that tells them from the user's", _LIKES,
           fixed={"discriminators": "items"}),
    _entry("dualgan", "adversarial.irgan", "DualGAN", "Wang et al., SIGIR 2017, and one more",
           "IRGAN against two discriminators, of items and of users", _LIKES,
           config="IRGANConfig", fixed={"discriminators": "both"}),
    _entry("autorec", "autoencoders", "AutoRec", "Sedhain et al., WWW 2015",
           "ratings of an item, or of a user, through one hidden layer", _RATINGS),
    _entry("fm", "features", "FM", "Rendle, ICDM 2010",
           "weights and products of the values of fields", _LIKES, reads=("features",), fixed=_PLAIN),
    _entry("fm-kg", "features.fm", "FM", "Rendle, ICDM 2010",
           "weights and products of the values of fields, triples among them", _GRAPH,
           reads=("features",), fixed=_WITH_TRIPLES),
    _entry("ffm", "features", "FFM", "Juan et al., RecSys 2016",
           "FM with vectors for each other field", _LIKES, reads=("features",), fixed=_PLAIN),
    _entry("ffm-kg", "features.ffm", "FFM", "Juan et al., RecSys 2016",
           "FM with vectors for each other field, triples among them", _GRAPH,
           reads=("features",), fixed=_WITH_TRIPLES),
    _entry("nfm", "features", "NFM", "He and Chua, SIGIR 2017",
           "a network over the products that FM adds up", _LIKES, reads=("features",), fixed=_PLAIN),
    _entry("nfm-kg", "features.nfm", "NFM", "He and Chua, SIGIR 2017",
           "a network over the products that FM adds up, triples among them", _GRAPH,
           reads=("features",), fixed=_WITH_TRIPLES),
    _entry("deepfm", "features", "DeepFM", "Guo et al., IJCAI 2017",
           "FM and a network over the same vectors", _LIKES, reads=("features",), fixed=_PLAIN),
    _entry("deepfm-kg", "features.deepfm", "DeepFM", "Guo et al., IJCAI 2017",
           "FM and a network over the same vectors, triples among them", _GRAPH,
           reads=("features",), fixed=_WITH_TRIPLES),
    _entry("widedeep", "features", "WideDeep", "Cheng et al., DLRS 2016",
           "crosses of values, and a network over their vectors", _LIKES, reads=("features",), fixed=_PLAIN),
    _entry("widedeep-kg", "features.widedeep", "WideDeep", "Cheng et al., DLRS 2016",
           "crosses of values, and a network over their vectors, triples among them", _GRAPH,
           reads=("features",), fixed=_WITH_TRIPLES),
    _entry("multvae", "autoencoders", "MultVAE", "Liang et al., WWW 2018",
           "a user's items through a code that is a distribution", _LIKES, fixed=_PLAIN),
    _entry("multvae-kg", "autoencoders.multvae", "MultVAE", "Chen and de Rijke, DLRS 2018",
           "Mult-VAE of users' and of attributes' items", _GRAPH,
           fixed=_WITH_TRIPLES, space="KG_SPACE"),
    _entry("slim", "linear", "SLIM", "Ning and Karypis, ICDM 2011",
           "sparse item-to-item weights, none negative", _LIKES),
    _entry("gru4rec", "sequential", "GRU4Rec", "Hidasi et al., ICLR 2016",
           "histories read item by item by a GRU", _HISTORIES),
    _entry("sasrec", "sequential", "SASRec", "Kang and McAuley, ICDM 2018",
           "histories whose items attend to those before them", _HISTORIES),
    _entry("youtubednn", "sequential", "YouTubeDNN", "Covington et al., RecSys 2016",
           "a tower over the mean of a history, against a vector for each item", _HISTORIES,
           fixed={"sequential": False}),
    _entry("youtubednn-seq", "sequential.youtubednn", "YouTubeDNN", "Covington et al., RecSys 2016",
           "the same over a history whose items count by how long ago they were", _HISTORIES,
           fixed={"sequential": True}),
    _entry("lstm-cnn", "sequential.lstmcnn", "LSTMCNN", "Kim et al., RecSys 2016; textbooks",
           "histories by an LSTM, texts by a CNN, blended with factorization", _READ),
    _entry("ease", "linear", "EASE", "Steck, WWW 2019",
           "linear item-to-item weights in closed form", _LIKES),
    _entry("ease-kg", "linear.ease", "EASEKG", "Jeunen et al., RecSys 2020",
           "EASE with the (relation, entity) pairs of items", _GRAPH,
           presets="KG_PRESETS", space="KG_SPACE"),
    _entry("gfcf", "graph", "GFCF", "Shen et al., CIKM 2021",
           "graph filters without training", _LIKES),
    _entry("lightgcn", "graph", "LightGCN", "He et al., SIGIR 2020",
           "linear propagation over users and items", _LIKES, fixed=_PLAIN),
    _entry("lightgcn-kg", "graph.lightgcn", "LightGCN", "He et al., SIGIR 2020",
           "linear propagation over the collaborative knowledge graph", _GRAPH,
           fixed=_WITH_TRIPLES, presets="KG_PRESETS", space="KG_SPACE"),
    _entry("ngcf", "graph", "NGCF", "Wang et al., SIGIR 2019",
           "propagation with transforms, products and activations", _LIKES),
    _entry("sgl", "graph", "SGL", "Wu et al., SIGIR 2021",
           "LightGCN whose nodes are recognized across views of the graph", _LIKES),
    _entry("simgcl", "graph", "SimGCL", "Yu et al., SIGIR 2022",
           "LightGCN whose nodes are recognized under noise", _LIKES),
    _entry("xsimgcl", "graph", "XSimGCL", "Yu et al., TKDE 2023",
           "SimGCL in one pass, a layer against the whole", _LIKES),
    _entry("directau", "graph", "DirectAU", "Wang et al., KDD 2022",
           "users near what they used, all else apart; no negatives", _LIKES),
    _entry("ultragcn", "graph", "UltraGCN", "Mao et al., CIKM 2021",
           "embeddings at the limit of propagation, without any", _LIKES),
    _entry("cke", "knowledge", "CKE", "Zhang et al., KDD 2016",
           "matrix factorization plus TransR, item features and texts", _GRAPH,
           reads=("features", "texts")),
    _entry("cfkg", "knowledge", "CFKG", "Ai et al., Algorithms 2018",
           "translation in one graph of interactions and triples", _GRAPH),
    _entry("dkn", "news", "DKN", "Wang et al., WWW 2018",
           "convolution over titles and the entities they name", _TEXTS),
    _entry("kgat", "knowledge", "KGAT", "Wang et al., KDD 2019",
           "attentive propagation over the collaborative knowledge graph", _GRAPH),
    _entry("kgin", "knowledge", "KGIN", "Wang et al., WWW 2021",
           "users by their intents, items by relational paths", _GRAPH),
    _entry("kgfuse", "knowledge", "KGFuse", "docs/models/kgfuse.md",
           "item weights and propagated vectors that know their facts, in one sum", _GRAPH),
    _entry("kgcn", "knowledge", "KGCN", "Wang et al., WWW 2019",
           "items by the entities around them, weighted by user and relation", _GRAPH),
    _entry("kgnn-ls", "knowledge.kgnnls", "KGNNLS", "Wang et al., KDD 2019",
           "KGCN whose weights also carry labels", _GRAPH),
    _entry("ripplenet", "knowledge", "RippleNet", "Wang et al., CIKM 2018",
           "what spreads from a user's items along triples", _GRAPH),
    _entry("mkr", "knowledge", "MKR", "Wang et al., WWW 2019",
           "items and their entities in two tasks that share features", _GRAPH),
    _entry("ckan", "knowledge", "CKAN", "Wang et al., SIGIR 2020",
           "users and items by the triples around what they, or their users, used", _GRAPH),
    _entry("ktup", "knowledge", "KTUP", "Cao et al., WWW 2019",
           "users translated to items by relations as preferences", _GRAPH),
    _entry("lightkg", "knowledge", "LightKG", "Li et al., KDD 2025",
           "linear propagation with a number for each relation and direction", _GRAPH),
    _entry("kgcl", "knowledge", "KGCL", "Yang et al., SIGIR 2022",
           "LightGCN over items and their triples, recognized across views of both", _GRAPH),
    _entry("kgrec", "knowledge", "KGRec", "Yang et al., KDD 2023",
           "attention to triples that are rationales, learned by masking and contrast", _GRAPH),
    _entry("mcclk", "knowledge", "MCCLK", "Zou et al., SIGIR 2022",
           "triples, near items and interactions as three views that are contrasted", _GRAPH),
    _entry("diffkg", "knowledge", "DiffKG", "Jiang et al., WSDM 2024",
           "two graphs, of all triples and of those that a diffusion keeps", _GRAPH),
    _entry("kguf", "knowledge", "KGUF", "Bufi et al., IRonGraphs 2024",
           "propagation with the features of items that users' decision trees test", _GRAPH),
    _entry("pgpr", "paths", "PGPR", "Xian et al., SIGIR 2019",
           "walks by a policy that is rewarded for where they end", _GRAPH),
    _entry("cafe", "paths", "CAFE", "Xian et al., CIKM 2020",
           "paths of the patterns that a user's own items prefer, found by a network per relation",
           _GRAPH),
    _entry("transe", "triples", "TransE", "Bordes et al., NIPS 2013",
           "entities moved by relations", _FACTS),
    _entry("transr", "triples", "TransR", "Lin et al., AAAI 2015",
           "entities moved in a space of each relation", _FACTS),
    _entry("transd", "triples", "TransD", "Ji et al., ACL 2015",
           "entities moved in a space of relation and entity", _FACTS),
    _entry("distmult", "triples", "DistMult", "Yang et al., ICLR 2015",
           "triples by a product of three vectors", _FACTS),
    _entry("complex", "triples", "ComplEx", "Trouillon et al., ICML 2016",
           "triples by a product of three complex vectors", _FACTS),
    _entry("rotate", "triples", "RotatE", "Sun et al., ICLR 2019",
           "entities turned by relations", _FACTS),
    _entry("ntn", "triples", "NTN", "Socher et al., NIPS 2013",
           "triples by a neural tensor layer of each relation", _FACTS),
)
# fmt: on

MODELS: dict[str, ModelEntry] = {entry.name: entry for entry in _ENTRIES}


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def find(name: str) -> ModelEntry:
    """Return the entry of a model; case, hyphens and underscores are ignored.

    Names that are not built in are looked up among the entry points of the group ``kgrec.models``,
    whose values are ``ModelEntry``. ``pkg.module:Class`` names a class outside the catalog: its
    module is imported, which runs its code.

    Raises:
        UnknownModelError: If there is no such model; the message gives the nearest names.
        ConfigError: If a class cannot be imported, or is not a model.
    """
    if ":" in name:
        return entry_of(import_class(name))

    for entry in MODELS.values():
        if _plain(entry.name) == _plain(name):
            return entry

    for point in entry_points(group=_GROUP):
        if _plain(point.name) == _plain(name):
            return _installed(point)

    known = nearest(name.lower(), MODELS) or f" Known: {', '.join(sorted(MODELS))}."
    raise UnknownModelError(f"unknown model {name!r}.{known} Or name a class: pkg.module:Class.")


def installed_models() -> Iterator[ModelEntry]:
    """Yield the entries that installed packages declare in the group ``kgrec.models``.

    One that cannot be imported is a warning of the log: it must not hide the others.
    """
    for point in entry_points(group=_GROUP):
        try:
            yield _installed(point)
        except ConfigError as error:
            logger.warning("%s", error)


def _installed(point: EntryPoint) -> ModelEntry:
    """Return the entry of an installed package.

    Raises:
        ConfigError: If it cannot be imported, or is not a ``ModelEntry``.
    """
    where = f"the installed model {point.name!r}"
    try:
        found = point.load()
    except _BROKEN as error:
        raise ConfigError(f"{where} cannot be imported: {_line(error)}.") from None

    if not isinstance(found, ModelEntry):
        raise ConfigError(f"{where} is not a ModelEntry but {type(found).__name__}.")

    return found


_GROUP = "kgrec.models"
_BROKEN = (
    ImportError,
    SyntaxError,
    ArithmeticError,
    AttributeError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What importing a module of somebody else may raise."""


def import_class(path: str) -> "type[Recommender]":
    """Return the class that ``pkg.module:Class`` names. Importing a module runs its code.

    Raises:
        ConfigError: If the module cannot be imported, or holds no such model.
    """
    from kgrec.models.base import Recommender

    module_name, _, class_name = path.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), class_name)):
        raise ConfigError(f"model {path!r}: not of the form pkg.module:Class.")

    try:
        module = importlib.import_module(module_name)
    except _BROKEN as error:
        raise ConfigError(
            f"model {path}: importing {module_name} failed: {_line(error)}."
        ) from None

    found = vars(module).get(class_name)
    if found is None:
        models = [name for name, value in vars(module).items() if _is_model(value, module_name)]
        known = nearest(class_name, models) or f" Models there: {', '.join(models) or 'none'}."
        raise ConfigError(f"model {path}: {module_name} has no {class_name}.{known}")

    if not (isinstance(found, type) and issubclass(found, Recommender)):
        raise ConfigError(f"model {path}: {class_name} is not a subclass of kgrec.Recommender.")

    return found


def entry_of(model: "type[Recommender]") -> ModelEntry:
    """Return what a class outside the catalog says of itself in its module.

    ``NEEDS`` (what a dataset must have), ``PRESETS`` and ``SPACE`` are read from there; without
    them it needs interactions alone, has the preset "default", and nothing to tune.

    Raises:
        ConfigError: If a method is missing, or ``from_dataset`` does not annotate its
            configuration.
    """
    if missing := sorted(model.__abstractmethods__):
        raise ConfigError(f"{model.__name__} lacks {', '.join(missing)}. Define each of them.")

    config_of(model)
    names = vars(sys.modules.get(model.__module__, object))
    needs = names.get("NEEDS", ("interactions",))
    if isinstance(needs, str):
        needs = (needs,)

    return ModelEntry(
        model.__name__,
        model.__module__,
        model.__qualname__,
        config="",
        summary=(model.__doc__ or "").strip().partition("\n")[0],
        paper="",
        needs=tuple(needs),
        found=model,
    )


def config_of(model: "type[Recommender]") -> type[Any]:
    """Return the configuration class that ``from_dataset`` annotates.

    Raises:
        ConfigError: If it annotates none.
    """
    config = get_type_hints(model.from_dataset).get("config")
    if not (isinstance(config, type) and is_dataclass(config)):
        raise ConfigError(
            f"{model.__name__}.from_dataset does not annotate its config. Write config: <your "
            "dataclass>."
        )

    return config


def class_path(model: "type[Recommender]") -> str:
    """Return ``pkg.module:Class`` of a class."""
    return f"{model.__module__}:{model.__qualname__}"


def _is_model(value: object, module: str) -> bool:
    from kgrec.models.base import Recommender

    return isinstance(value, type) and issubclass(value, Recommender) and value.__module__ == module


def _line(error: BaseException) -> str:
    """Return an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")[:300]
