"""The commands of docs/reproductions.md parse, name what exists, and run on a tiny folder of the
same layout.
"""

import re
import shlex
from pathlib import Path

import pytest
import typer

from kgrec.cli import app
from kgrec.cli import run as command
from kgrec.data.public.catalog import public_set
from kgrec.models.catalog import MODELS
from kgrec.runs.settings import choose
from kgrec.testing import worlds

PAGE = Path(__file__).parents[1] / "docs" / "reproductions.md"
LINES = [
    shlex.split(line)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
]
TRAINED = [words for words in LINES if words[0] == "train"]


def parsed(words):
    """Return the parameters of a command as typer reads them; an unknown option or value raises."""
    group = typer.main.get_command(app)
    context = group.make_context("kgrec", words)
    while hasattr(group, "commands"):
        name, group, rest = group.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        context = group.make_context(name, rest, parent=context)
    return context.params


def settings(given):
    return {key: value for key, _, value in (pair.partition("=") for pair in given or [])}


@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_every_command_parses_and_names_what_exists(words):
    told = parsed(words)
    if words[:2] == ["data", "get"]:
        assert public_set(told["name"]).name == words[2]
    if words[0] == "train":
        chosen = choose(
            told["model"], told["preset"], settings(told["set_"]) | {"selection": told["selection"]}
        )
        assert chosen.preset in MODELS[chosen.name].load()[2]
        assert chosen.train.validate_every == 10


def test_each_run_that_is_judged_was_trained_and_each_dataset_built():
    built = {words[-1] for words in LINES if words[0] == "build"}
    fetched = {words[-1] for words in LINES if words[:2] == ["data", "get"]}
    trained = {words[words.index("--out") + 1] for words in TRAINED}
    assert {words[1] for words in LINES if words[0] == "build"} == fetched
    assert {words[1] for words in TRAINED} == built
    assert len(trained) == len(TRAINED)
    judged = {
        word
        for words in LINES
        if words[0] in ("evaluate", "compare")
        for word in words[1:]
        if word.startswith("runs/")
    }
    assert judged <= trained


def test_the_table_names_every_published_preset():
    page = PAGE.read_text(encoding="utf-8").partition("## The presets, line by line")[2]
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    for name, entry in MODELS.items():
        for preset in {"paper", "official", "recommenders"} & set(entry.load()[2]):
            assert any(
                f"`{name}`" in cell and (f"`{preset}`" in cell or cell.endswith(" both "))
                for cell in cells
            ), (name, preset)


def test_the_commands_run_on_a_folder_of_the_same_layout(tmp_path, monkeypatch, capsys):
    """One epoch of each model, preset and selection, on the processor."""
    monkeypatch.chdir(tmp_path)
    worlds.kgat_folder(Path("data/tiny"))
    assert command(["-q", "build", "data/tiny", "--out", "sets/tiny"]) == 0
    small = ["--set", "dim=4", "--set", "epochs=1", "--device", "cpu"]
    tried = {}
    for words in TRAINED:
        model, preset, selection = (
            words[words.index(f"--{name}") + 1] for name in ("model", "preset", "selection")
        )
        tried[model, preset, selection] = [
            *words,
            *small,
            *(["--set", "warm_start_epochs=1"] if model == "kgat" else []),
        ]
    for words in tried.values():
        words[1] = "sets/tiny"
        words[words.index("--out") + 1] = f"runs/{len(list(Path().glob('runs/*')))}"
        assert command(["-q", *words]) == 0, words
        shown = capsys.readouterr().out
        assert ("(test-selected)" in shown) == (words[words.index("--selection") + 1] == "paper")
    assert len(tried) == 9
