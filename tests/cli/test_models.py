import json

import pytest

from kgrec import cli
from kgrec.models.catalog import MODELS


def told(capsys, *words):
    assert cli.run(["models", *words]) == 0
    return capsys.readouterr().out


def test_models_are_listed_by_family(capsys):
    rows = json.loads(told(capsys, "--json"))
    assert {row["name"] for row in rows} >= set(MODELS)
    families = [row["family"] for row in rows]
    assert families == sorted(families, key=families.index)
    row = next(row for row in rows if row["name"] == "lightgcn-kg")
    assert row == {
        "name": "lightgcn-kg",
        "summary": "linear propagation over the collaborative knowledge graph",
        "paper": "He et al., SIGIR 2020",
        "needs": ["interactions", "triples"],
        "family": "graph",
        "reads": ["graph"],
        "folds_in": True,
        "explains": "exact",
    }
    table = told(capsys)
    assert "folds in" in table
    assert "simgcl" in table


def test_a_model_says_what_it_is(capsys):
    text = told(capsys, "EASE_KG")
    for part in (
        "Jeunen et al.",
        "equations",
        "histories",
        "meaning",
        "default",
        "0.396",
        "lastfm-dbpedia",
    ):
        assert part in text
    found = json.loads(told(capsys, "sgl", "--json"))
    assert found["presets"]["paper"]["config"]["contrast"] == "all"
    assert found["results"] == {}
    names = [setting["name"] for setting in found["settings"]]
    assert names[:2] == ["dim", "num_layers"]
    assert "1 / (L + 1)" in found["equations"]


def test_an_unknown_model_is_refused_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as stopped:
        raise SystemExit(cli.run(["models", "lightgnc"]))
    assert stopped.value.code == 2
    assert "lightgcn" in capsys.readouterr().err
