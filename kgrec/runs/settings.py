"""Settings by name -> a model's configuration and the training settings. The one place where keys
are checked and values converted.
"""

import functools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import resources
from typing import Any, Literal, get_args, get_origin, get_type_hints

from kgrec.errors import ConfigError, nearest
from kgrec.models.base import Preset, Recommender
from kgrec.models.blend import Blend, BlendConfig
from kgrec.models.catalog import ModelEntry, class_path, entry_of, find
from kgrec.models.factorization.placed import Placed, PlacedConfig
from kgrec.training.config import PAPER_SELECTION, PUBLISHED, TrainConfig

ALIASES = {
    "embedding_size": "dim",
    "n_layers": "num_layers",
    "train_batch_size": "batch_size",
    "lr": "learning_rate",
    "stopping_step": "patience",
    "valid_metric": "metric",
}


TUNED = "tuned:"
"""What the name of a preset begins with that a search chose on a data set, ``tuned:DATASET``."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model with every setting decided; of a blend, with its members.

    Attributes:
        name: Catalog name, or the class name of a model from outside.
        model: The class.
        config: Its configuration.
        train: Training settings.
        preset: Name of the preset they started from.
        needs: What the dataset must have.
        outside: ``pkg.module:Class`` of a model that is not in the catalog, else "".
        members: What a blend is made of, each with its seed; () for any other model.
    """

    name: str
    model: type[Recommender]
    config: Any
    train: TrainConfig
    preset: str
    needs: tuple[str, ...] = ("interactions",)
    outside: str = ""
    members: "tuple[tuple[Chosen, int], ...]" = ()


def choose(model: str | type[Recommender], preset: str, settings: Mapping[str, Any]) -> Chosen:
    """Return a model's settings: the class defaults, overridden by the preset, overridden by
    ``settings``.

    Args:
        model: Catalog name, ``pkg.module:Class``, or a class whose ``from_dataset`` annotates its
            configuration.
        preset: Name of one of the model's presets; "tuned:DATASET" is what a search on the
            validation part of that data set chose.
        settings: Values by field name; RecBole's names for the common ones are understood. Text is
            converted ("64,32" to a tuple).

    Raises:
        UnknownModelError: If there is no such model.
        ConfigError: If a preset or a setting is unknown (with the nearest name), fixed for this
            model, or out of range.
    """
    entry = _entry(model)
    name = entry.name
    cls, config_type, presets = entry.load()
    tuned = tuned_settings(name)
    if preset not in (*presets, *tuned, "default"):
        known = ", ".join((*presets, *tuned)) or "default"
        raise ConfigError(f"{name} has no preset {preset!r}. Known: {known}.")

    config_types = _types(config_type)
    train_types = _types(TrainConfig)
    recipe = presets.get("default" if preset in tuned else preset, Preset())
    if preset in tuned:
        recipe = _over(recipe, name, preset, tuned[preset], config_types, train_types)

    config = dict(recipe.config)
    train = dict(recipe.train)

    if settings.get("selection") == "paper" or ("selection" in settings and preset in PUBLISHED):
        # "valid" said of a published recipe: the authors' rule, on the validation part
        train |= PAPER_SELECTION

    for given, value in settings.items():
        if given in config_types or given in train_types:
            key = given
        else:
            key = ALIASES.get(given, given)
        if key in config_types and key not in entry.fixed:
            config[key] = _convert(key, value, config_types[key])
        elif key in train_types:
            train[key] = _convert(key, value, train_types[key])
        else:
            raise ConfigError(_unknown(name, given, key, entry, [*config_types, *train_types]))

    return Chosen(
        name,
        cls,
        config_type(**config | dict(entry.fixed)),
        TrainConfig(**train),
        preset,
        entry.needs,
        ""
        if entry.found is None or cls.__module__.startswith("kgrec.models.")
        else class_path(cls),
    )


def tuned_settings(name: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the settings that searches chose for a model, by preset: ``tuned:DATASET``."""
    return {f"{TUNED}{data}": settings for data, settings in _tuned_file().get(name, {}).items()}


@functools.cache
def _tuned_file() -> dict[str, dict[str, dict[str, Any]]]:
    """Return ``kgrec/models/tuned.toml``; ``benchmarks/results.py --presets`` writes it."""
    return tomllib.loads((resources.files("kgrec.models") / "tuned.toml").read_text("utf-8"))


def _over(
    default: Preset,
    name: str,
    preset: str,
    settings: Mapping[str, Any],
    config_types: Mapping[str, Any],
    train_types: Mapping[str, Any],
) -> Preset:
    """Return the default preset with settings that a search chose over it.

    Raises:
        ConfigError: If the model no longer has one of them.
    """
    config = dict(default.config)
    train = dict(default.train)
    for key, value in settings.items():
        types, part = (config_types, config) if key in config_types else (train_types, train)
        if key not in types:
            raise ConfigError(f"preset {preset!r} of {name} sets {key!r}, which it does not have.")
        part[key] = _convert(key, value, types[key])

    return Preset(config=config, train=train)


def blended(members: "tuple[tuple[Chosen, int], ...]", config: BlendConfig) -> Chosen:
    """Return the settings of a blend of models, each with its seed.

    Raises:
        ConfigError: If the configuration is of another number of members.
    """
    if len(config.members) != len(members):
        raise ConfigError(f"a blend of {len(members)} models names {len(config.members)}.")

    needs = dict.fromkeys(need for member, _ in members for need in member.needs)
    settings = TrainConfig()
    return Chosen("blend", Blend, config, settings, "default", tuple(needs), members=members)


def pinned(chosen: Chosen, settled: Mapping[str, Any]) -> Chosen:
    """Return settings with those of the model that were chosen on validation in their place
    (``Recommender.settled``).
    """
    config = restore(type(chosen.config), asdict(chosen.config) | dict(settled))
    return replace(chosen, config=config)


def placed_in(base: Chosen, seed: int, config: PlacedConfig) -> Chosen:
    """Return the settings of a model's vectors with newcomers among them.

    Args:
        base: Settings of the model.
        seed: Its seed.
        config: Of the vectors.
    """
    return replace(base, model=Placed, config=config, members=((base, seed),))


def setting(chosen: Chosen, name: str) -> tuple[str, Any]:
    """Return the field that a setting's name means, and its value; ``choose`` knows the name."""
    parts = {field.name: part for part in (chosen.train, chosen.config) for field in fields(part)}
    if name in parts:
        key = name
    else:
        key = ALIASES.get(name, name)

    return key, getattr(parts[key], key)


def refuse_test_selection(chosen: Chosen, study: str) -> None:
    """Refuse settings that choose by the test part where a study's own answer must not have seen
    it.

    Raises:
        ConfigError: If they do.
    """
    if chosen.train.test_selected:
        raise ConfigError(
            f'{study} must not choose by the test part, which selection "paper" does. Leave it out.'
        )


def restore(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Return a settings dataclass from its JSON form.

    Raises:
        ConfigError: If a key is unknown or a value out of range.
    """
    types = _types(kind)
    for key in values:
        if key not in types:
            raise ConfigError(f"{kind.__name__} has no setting {key!r}.{nearest(key, types)}")

    return kind(**{key: _convert(key, value, types[key]) for key, value in values.items()})


def _entry(model: str | type[Recommender]) -> ModelEntry:
    if isinstance(model, str):
        return find(model)
    if not (isinstance(model, type) and issubclass(model, Recommender)):
        raise ConfigError(f"{model!r} is neither a model name nor a Recommender class.")
    return entry_of(model)


def _types(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _unknown(name: str, given: str, key: str, entry: ModelEntry, known: list[str]) -> str:
    if key in entry.fixed:
        return f"{given!r} is fixed to {entry.fixed[key]} for {name}."
    return (
        f"{name} has no setting "
        f"{given!r}.{nearest(given, known) or ' Known: ' + ', '.join(sorted(known)) + '.'}"
    )


def _convert(key: str, value: Any, kind: Any) -> Any:
    """Return a value of the annotated kind, from text (command line), JSON (lists) or Python."""
    try:
        return _as(value, kind)
    except (TypeError, ValueError, KeyError, OverflowError):
        raise ConfigError(f"{key}={str(value)[:80]!r}: expected {_words(kind)}.") from None


def _as(value: Any, kind: Any) -> Any:
    origin = get_origin(kind)
    if origin is Literal:
        return get_args(kind)[get_args(kind).index(value)]

    if origin is tuple:
        if isinstance(value, str):
            parts = value.split(",")
        else:
            parts = value
        return tuple(_as(part, get_args(kind)[0]) for part in parts if part != "")

    if kind is bool:
        return {"true": True, "false": False}[str(value).lower()]
    if kind is int:
        return int(str(value))
    if kind is float and not math.isfinite(float(value)):
        raise ValueError(value)

    return kind(value)


def _words(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return "one of " + ", ".join(str(arm) for arm in get_args(kind))
    if origin is tuple:
        return f"{_words(get_args(kind)[0])}s separated by commas"

    return {int: "a whole number", float: "a finite number", bool: "true or false"}.get(
        kind, "text"
    )
