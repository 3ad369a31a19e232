import dataclasses
import json

import pytest

from kgrec.errors import ConfigError, UnknownModelError
from kgrec.models.catalog import MODELS
from kgrec.models.knowledge.kgat import KGAT, KGATConfig
from kgrec.runs.settings import choose, restore


def test_presets_override_defaults_and_settings_override_presets():
    plain, paper = choose("kgat", "default", {}), choose("KGAT", "paper", {"epochs": 7})
    assert plain.config.loss == "softmax"
    assert (paper.config.loss, paper.config.kg_sampling, paper.train.sampler) == (
        "bpr",
        "head",
        "user_uniform",
    )
    assert (paper.train.epochs, paper.train.patience) == (7, 0)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_preset_of_every_model_is_valid(name):
    _, _, presets = MODELS[name].load()
    for preset in ["default", *presets]:
        assert choose(name, preset, {}).name == name


def test_case_hyphens_and_underscores_are_ignored():
    assert choose("LightGCN_KG", "default", {}).config.knowledge is True
    assert choose("lightgcn", "default", {}).config.knowledge is False


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dimm": 3}, "no setting 'dimm'.*dim"),
        ({"dim": "x"}, "dim='x': expected a whole number"),
        ({"dim": 2.5}, "expected a whole number"),
        ({"dim": 0}, "at least 1"),
        ({"layer_dims": "64,x"}, "separated by commas"),
        ({"learning_rate": float("nan")}, "a finite number"),
        ({"learning_rate": 0}, "outside"),
        ({"attention": "dead"}, "one of live, static_si"),
        ({"epochs": True}, "whole number"),
        ({"message_dropout": 1}, r"\[0, 1\)"),
    ],
)
def test_bad_settings_say_what_is_wrong(settings, words):
    with pytest.raises(ConfigError, match=words):
        choose("kgat", "default", settings)


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(UnknownModelError, match="kgat"):
        choose("kgatt", "default", {})
    with pytest.raises(ConfigError, match="Known: default, paper, official"):
        choose("kgat", "best", {})


def test_a_class_is_a_model_too():
    assert choose(KGAT, "default", {"dim": 8}).config == KGATConfig(dim=8)


@pytest.mark.parametrize(
    "config",
    [KGATConfig(), KGATConfig(dim=7, layer_dims=(), message_dropout=0.99, attention="static_si")],
)
def test_settings_survive_json(config):
    assert restore(KGATConfig, json.loads(json.dumps(dataclasses.asdict(config)))) == config
