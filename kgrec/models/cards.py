"""What a model is, for people and programs: its card. Makes no model; importing its module is
enough.
"""

import dataclasses
import functools
import inspect
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, get_type_hints

from kgrec.models import capabilities
from kgrec.models.base import ModelEffects, Preset, Recommender
from kgrec.models.catalog import ModelEntry
from kgrec.models.effects import HistorySumEffects

FAMILIES = (
    *("baselines", "factorization", "features", "multitask", "adversarial", "linear"),
    *("autoencoders", "sequential", "graph", "knowledge", "paths", "news", "triples"),
)
"""Families in the order in which they are listed; models from outside come last."""

_READS = {
    "triples": "graph",
    "texts": "texts",
    "features": "features",
    "times": "times",
    "sequences": "times",
    "ratings": "ratings",
}
_EXACT = (
    capabilities.LinearlyPropagated,
    capabilities.LinearOverFacts,
    capabilities.Refittable,
    HistorySumEffects,
)
_MEASURED = (
    capabilities.Rerunnable,
    capabilities.GraphEditable,
    capabilities.HistoryEditable,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One hyper-parameter.

    Attributes:
        name: Its name.
        default: Its value by default.
        meaning: What it is.
        fixed: Whether the model's name sets it.
    """

    name: str
    default: Any
    meaning: str
    fixed: bool


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is and can do.

    Attributes:
        name: Name on the command line.
        family: Folder of ``kgrec.models``, or "outside".
        summary: What it does, in a few words.
        paper: Where it comes from.
        needs: What a dataset must have.
        reads: What enters its scores or its training beyond interactions: "graph", "texts",
            "features", "times", "ratings", and "histories" where a person is known by theirs alone.
        folds_in: Whether it ranks for someone unseen by a history.
        explains: What the effects of facts and likes on a score are: "exact", "measured" by running
            the model again, or "post-hoc", where paths connect without a claim.
        equations: The model in one line.
        settings: Its hyper-parameters.
        presets: Settings of the model and of training, by the name of the preset.
        results: Recall@20 and NDCG@20 on test parts by data set; {} where none were measured.
        newcomers: What folding in costs by data set, by the names of ``newcomers.toml``; {} where it
            was not measured.
    """

    name: str
    family: str
    summary: str
    paper: str
    needs: tuple[str, ...]
    reads: tuple[str, ...]
    folds_in: bool
    explains: str
    equations: str
    settings: tuple[Setting, ...]
    presets: Mapping[str, Preset]
    results: Mapping[str, tuple[float, float]]
    newcomers: Mapping[str, Mapping[str, float]]


def card(entry: ModelEntry) -> ModelCard:
    """Return the card of a model.

    Raises:
        ConfigError: If its module cannot be imported.
    """
    model, config, presets = entry.load()
    reads = [*(_READS[need] for need in entry.needs if need in _READS), *entry.reads]
    if issubclass(_effects(model), capabilities.HistoryEditable):
        reads.append("histories")

    return ModelCard(
        name=entry.name,
        family=_family(entry),
        summary=entry.summary,
        paper=entry.paper,
        needs=entry.needs,
        reads=tuple(reads),
        folds_in=model.folds_in,
        explains=explains(model),
        equations=_equations(model),
        settings=settings_of(config, entry.fixed),
        presets=presets,
        results=_results().get(entry.name, {}),
        newcomers=_newcomers().get(entry.name, {}),
    )


def explains(model: type[Recommender]) -> str:
    """Return "exact", "measured" or "post-hoc", by what its effects are annotated to be."""
    effects = _effects(model)
    if issubclass(effects, _EXACT):
        return "exact"
    if issubclass(effects, _MEASURED):
        return "measured"
    return "post-hoc"


def _effects(model: type[Recommender]) -> type:
    effects = get_type_hints(model.explanation_effects).get("return")
    if isinstance(effects, type):
        return effects
    return ModelEffects


def _family(entry: ModelEntry) -> str:
    parts = entry.module.split(".")
    if parts[:2] == ["kgrec", "models"] and parts[2] in FAMILIES:
        return parts[2]
    return "outside"


def _equations(model: type[Recommender]) -> str:
    """Return the first block of equations of the docstring, without their numbers, in one line."""
    text = inspect.cleandoc(model.__doc__ or "")
    block: list[str] = []
    for line in text.splitlines():
        if line.startswith("    "):
            block.append(re.sub(r"\s{2,}\(.*\)$", "", line.strip()))
        elif block and line.strip():
            break

    return "; ".join(re.sub(r"\s+", " ", line).rstrip(";,") for line in block if line)


def settings_of(config: type[Any], fixed: Mapping[str, Any]) -> tuple[Setting, ...]:
    """Return the fields of a configuration with what its docstring says of them."""
    meanings: dict[str, str] = {}
    for kind in reversed(config.__mro__):
        meanings |= _attributes(inspect.cleandoc(kind.__doc__ or ""))

    found = []
    for field in dataclasses.fields(config):
        default = fixed.get(field.name, field.default)
        if default is dataclasses.MISSING:
            default = None
        meaning = meanings.get(field.name, "")
        found.append(Setting(field.name, default, meaning, field.name in fixed))

    return tuple(found)


def _attributes(text: str) -> dict[str, str]:
    """Return the meaning of each attribute of a docstring in Google form."""
    _, _, section = text.partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        start = re.match(r" {4}(\w+): (.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif name and line.startswith(" " * 8):
            found[name] += " " + line.strip()
        elif line.strip():
            break

    return found


@functools.cache
def _results() -> Mapping[str, Mapping[str, tuple[float, float]]]:
    text = resources.files("kgrec.models").joinpath("results.toml").read_text(encoding="utf-8")
    return {
        model: {data: (float(recall), float(ndcg)) for data, (recall, ndcg) in rows.items()}
        for model, rows in tomllib.loads(text).items()
    }


@functools.cache
def _newcomers() -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    text = resources.files("kgrec.models").joinpath("newcomers.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
