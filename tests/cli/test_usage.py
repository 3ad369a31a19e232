"""The one error handler: exit codes and one line, without a model."""

import errno
import json
import os
import subprocess
import sys

import pytest

import kgrec
from kgrec import cli, log
from kgrec.cli.commands import COMMANDS, GROUPS, load_command
from kgrec.errors import FormatError


@pytest.fixture(autouse=True)
def _logging():
    yield
    for handler in list(log.logger.handlers):
        log.logger.removeHandler(handler)


def one_line(capsys):
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("kgrec: ")
    assert told.err.count("\n") == 1
    assert "Traceback" not in told.err
    return told.err


def raising(error):
    def command():
        raise error

    return command


@pytest.fixture
def command(monkeypatch):
    """Replace ``kgrec models`` by something that raises."""

    def install(error):
        app = cli.typer.Typer(rich_markup_mode=None)
        app.callback()(lambda: None)
        app.command("models")(raising(error))
        monkeypatch.setattr(cli, "app", app)

    return install


def test_version(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"kgrec {kgrec.__version__}\n"


def test_no_arguments_show_the_help(capsys):
    assert cli.run([]) == 0
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recommned"], "recommend"),
        (["models", "--josn"], "--json"),
        (["recommend"], "RUN"),
        (["recommend", "somewhere", "--user", "1", "-k", "0"], "-k"),
        (["recommend", "somewhere", "--user", "1", "-k", "many"], "-k"),
        (["recommend", "somewhere"], "--history"),
        (["recommend", "somewhere", "--user", "1", "--users", "all"], "exactly one"),
        (["recommend", "somewhere", "--user", "1", "--format", "xml"], "parquet"),
        (["recommend", "somewhere", "--user", "1", "--format", "parquet"], "--out"),
        (["recommend", "somewhere", "--user", "1", "--out", "list.txt"], "--format"),
        (["recommend", "somewhere", "--history", ",,"], "no item"),
        (["recommend", "somewhere", "--users", "no-such-file.txt"], "no-such-file.txt"),
        (["evaluate", "somewhere", "--k", "10,x"], "10,20"),
        (["evaluate", "somewhere", "--k", "0"], "positive"),
        (["evaluate", "somewhere", "--on", "train"], "test"),
        (["evaluate", "somewhere", "--per-user", "values.csv"], "parquet"),
        (["explain", "somewhere", "--user", "1"], "--top"),
        (["explain", "somewhere", "--user", "1", "--item", "2", "--top", "3"], "either"),
        (["explain", "somewhere", "--user", "1", "--item", "2", "--format", "html"], "--out"),
        (
            ["explain", "somewhere", "--user", "1", "--item", "2", "--max-length", "50"],
            "--max-length",
        ),
        (["train", "films", "--out", "r"], "--model"),
        (["train", "films", "--model", "bprmf", "--out", "r", "--set", "dim"], "key=value"),
        (
            ["train", "films", "--model", "bprmf", "--out", "r", "--config", "missing.toml"],
            "missing.toml",
        ),
        (["build", "--out", "d"], "--interactions"),
        (["build", "films"], "--out"),
        (["build", "films", "--out", "d", "--ratios", "a,b"], "--ratios"),
        (["build", "films", "--out", "d", "--split", "weekly"], "temporal"),
        (["info", "no-such-dataset"], "no-such-dataset"),
        (["doctor", "films"], "--model"),
    ],
)
def test_bad_usage_is_one_line_and_code_2(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(arguments) == 2
    assert words in one_line(capsys)
    assert not list(tmp_path.iterdir()), "something was written"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            FormatError("a.csv:3: two columns.\nGive\x1b[31m three."),
            2,
            r"a.csv:3: two columns. Give\x1b[31m three.",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/x"),
            2,
            "runs/x: No space left on device",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "data"), 2, "data: Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_become_codes(error, code, words, command, capsys):
    command(error)
    assert cli.run(["models"]) == code
    assert words in one_line(capsys)


def test_a_note_on_an_interruption_is_shown(command, capsys):
    error = KeyboardInterrupt()
    error.add_note("Go on with --resume.")
    command(error)
    assert cli.run(["models"]) == 130
    assert one_line(capsys) == "kgrec: interrupted. Go on with --resume.\n"


def test_a_bug_keeps_its_traceback(command):
    command(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        cli.run(["models"])


def test_a_reader_that_has_enough_is_no_error(root):
    program = f"{sys.executable} -m kgrec -q info films --json | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {program}"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
    )
    assert (done.returncode, done.stderr) == (0, "")
    closed = (
        "import os, sys; from kgrec.cli import main; sys.argv = ['kgrec', 'data', 'list']; r, w = "
        "os.pipe(); os.close(r); os.dup2(w, 1); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", closed], capture_output=True, text=True, timeout=60, cwd=root
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_installed_program_says_2_without_a_traceback(tmp_path):
    program = os.path.join(os.path.dirname(sys.executable), "kgrec")
    done = subprocess.run(
        [program, "info", "nowhere"], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_models_as_json_and_as_a_table(capsys):
    from kgrec.models.catalog import MODELS

    assert cli.run(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert sorted(m["name"] for m in listed) == sorted(MODELS)
    assert cli.run(["models"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in MODELS)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_memory_that_does_not_suffice_is_the_machine_in_the_way(error, command, capsys):
    command(error)
    assert cli.run(["models"]) == 2
    assert "memory" in one_line(capsys)


def test_another_runtime_error_is_a_bug(command):
    command(RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes"):
        cli.run(["models"])


def test_usage_names_the_command_behind_options(capsys):
    assert cli.run(["-q", "build", "films", "--out", "d", "--split", "randon"]) == 2
    told = one_line(capsys)
    assert "See `kgrec build --help`" in told
    assert "Value error" not in told


@pytest.mark.parametrize("name", [*COMMANDS, *GROUPS])
def test_the_list_says_of_a_command_what_its_own_help_says(name):
    summary = {**COMMANDS, **GROUPS}[name][1]
    command = load_command(name)
    assert command.name == name
    assert " ".join(command.help.partition("\n\n")[0].split()) == summary


@pytest.mark.parametrize("arguments", [["--help"], ["models", "--help"], ["recommned"]])
def test_no_command_is_imported_but_the_one_that_is_called(arguments, root):
    script = (
        f"import sys\nfrom kgrec.cli import run\nrun({arguments!r})\n"
        "from kgrec.cli.commands import COMMANDS, GROUPS\n"
        "modules = {place.partition('.')[0] for place, _ in [*COMMANDS.values(), *GROUPS.values()]}\n"
        "print(*(m for m in sorted(modules) if f'kgrec.cli.{m}' in sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    loaded = done.stderr.splitlines()[-1].split()
    assert loaded == [word for word in arguments if word in COMMANDS]
