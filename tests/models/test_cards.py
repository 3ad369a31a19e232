"""What ``kgrec models`` says of a model is true of it."""

import inspect
import re

import numpy as np
import pytest
import torch

import kgrec
from kgrec.models.base import reads_history
from kgrec.models.cards import FAMILIES, card
from kgrec.models.catalog import MODELS
from kgrec.models.folding import folding
from kgrec.runs.settings import choose
from kgrec.testing import worlds


@pytest.mark.parametrize("name", MODELS)
def test_a_card_is_true_of_the_model(name):
    one = card(MODELS[name])
    assert one.family in FAMILIES
    assert one.equations
    assert all(setting.meaning for setting in one.settings), one.settings
    assert not one.presets or "default" in one.presets
    data = worlds.with_ratings(worlds.cold_items())
    if "texts" in one.needs:
        data = worlds.with_texts(data)
    chosen = choose(name, "default", {})
    model = chosen.model.from_dataset(data, chosen.config, torch.Generator().manual_seed(0)).eval()
    plan = model.plan()
    with torch.no_grad():
        if plan.fit is not None:
            plan.fit()
        scorer = folding(model, model.scorer(), data, chosen.config)
        assert reads_history(scorer) == one.folds_in
    assert one.folds_in or "histories" not in one.reads
    assert ("graph" in one.reads) == ("triples" in one.needs)


@pytest.mark.parametrize(
    ("name", "explains"),
    [
        ("lightgcn", "exact"),
        ("ease-kg", "exact"),
        ("itemknn", "exact"),
        ("kgat", "measured"),
        ("ngcf", "measured"),
        ("bprmf", "post-hoc"),
        ("cfkg", "post-hoc"),
        ("transe", "post-hoc"),
    ],
)
def test_what_explains_follows_from_the_effects(name, explains):
    assert card(MODELS[name]).explains == explains


def test_settings_are_the_fields_with_their_meaning():
    settings = {setting.name: setting for setting in card(MODELS["lightgcn-kg"]).settings}
    assert settings["dim"].default == 64
    assert settings["dim"].meaning == "Embedding size d; 64 in the paper."
    assert settings["edge_dropout"].meaning.startswith("Probability of leaving an edge out of")
    assert settings["edge_dropout"].meaning.endswith("which it does not by default.")
    assert (settings["knowledge"].default, settings["knowledge"].fixed) == (True, True)


def test_equations_are_one_line_without_their_numbers():
    equations = card(MODELS["gfcf"]).equations
    assert equations == (
        "R~ = D_U^(-1/2) R D_I^(-1/2); "
        "score(u, .) = r_u (R~^T R~ + alpha D_I^(-1/2) V V^T D_I^(1/2))"
    )
    assert "(9)" not in card(MODELS["lightgcn"]).equations


def test_results_are_those_of_the_page(root):
    page = (root / "docs/choosing-a-model.md").read_text()
    rows = re.findall(r"^\| ([\w-]+) \| (?:yes)? ?\| (.+?) / (.+?) \| (.+?) / (.+?) \|", page, re.M)
    assert len(rows) >= 13
    for name, *figures in rows:
        found = [float(figure.strip("* ")) for figure in figures]
        results = card(MODELS[name]).results
        np.testing.assert_allclose([*results["ml-100k"], *results["lastfm-dbpedia"]], found)


def test_what_is_read_where_there_is_any_is_named():
    assert card(MODELS["cke"]).reads == ("graph", "features", "texts")


def test_no_setting_has_the_name_of_an_argument_of_fit():
    taken = inspect.signature(kgrec.fit).parameters.keys()
    for name, entry in MODELS.items():
        assert not taken & entry.load()[1].__dataclass_fields__.keys(), name
