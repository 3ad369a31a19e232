"""The JSON Schemas in docs/schemas: up to date, and true of what the commands write and print."""

import json
import runpy

import jsonschema
import pytest

from kgrec.cli import run


@pytest.fixture(scope="module")
def folder(root):
    return root / "docs" / "schemas"


@pytest.fixture
def valid(folder):
    """Validate a document by the schema of that name."""

    def check(name, document):
        schema = json.loads((folder / f"{name}.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(document)

    return check


def test_the_files_are_what_make_schemas_writes(folder):
    wanted = runpy.run_path(str(folder / "write.py"))["schemas"]()
    assert {file.name: file.read_text() for file in folder.glob("*.json")} == wanted


def test_folders(valid, dataset, trained):
    valid("run-config", json.loads((trained / "config.json").read_text()))
    for place in (dataset, trained / "data"):
        valid("dataset-manifest", json.loads((place / "manifest.json").read_text()))
        valid("dataset-about", json.loads((place / "dataset.json").read_text()))


@pytest.mark.parametrize(
    ("schema", "command"),
    [
        ("evaluate", ["evaluate", "--json"]),
        ("evaluate", ["evaluate", "--json", "--diversity", "0.5", "--popularity", "0.1"]),
        ("evaluate", ["evaluate", "--json", "--protocol", "ctr"]),
        ("recommend", ["recommend", "--user", "u1", "--format", "json"]),
        ("recommend", ["recommend", "--history", "f1,f2", "--format", "json"]),
        ("explanation-2", ["explain", "--user", "u1", "--item", "f4", "--format", "json"]),
        ("explanation-2", ["explain", "--history", "f1,f2", "--item", "f4", "--format", "json"]),
        ("contrast", ["explain", "--user", "u1", "--contrast", "f4", "f5", "--format", "json"]),
        ("flip", ["explain", "--user", "u1", "--flip", "--format", "json"]),
        ("why-not", ["explain", "--user", "u1", "--why-not", "f4", "-k", "2", "--format", "json"]),
        ("what-if", ["explain", "--user", "u1", "--what-if", "--add", "f4", "--format", "json"]),
        ("list", ["explain", "--user", "u1", "--list", "3", "--format", "json"]),
    ],
)
def test_what_is_printed(schema, command, valid, trained, capsys):
    assert run(["-q", command[0], str(trained), *command[1:]]) == 0
    valid(schema, json.loads(capsys.readouterr().out))


def test_studies(valid, dataset, tmp_path):
    quick = ["--set", "epochs=1", "--set", "patience=0", "--set", "dim=4"]
    tuned = ["tune", str(dataset), "--model", "bprmf", "--trials", "1", "--out", tmp_path / "t"]
    assert run(["-q", *map(str, tuned), *quick]) == 0
    valid("tune-study", json.loads((tmp_path / "t" / "study.json").read_text()))
    ablated = ["ablate", str(dataset), "--model", "lightgcn-kg", "--out", tmp_path / "a"]
    assert run(["-q", *map(str, ablated), *quick]) == 0
    valid("ablate-study", json.loads((tmp_path / "a" / "study.json").read_text()))


def test_other_records_are_refused(valid, trained):
    record = json.loads((trained / "config.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        valid("run-config", record | {"version": 2})
    with pytest.raises(jsonschema.ValidationError):
        valid("run-config", record | {"seed": -1})
