"""Closed streams, readers that leave, and locales that know ASCII alone: no traceback, an exit code
that means something.
"""

import json
import os
import shlex
import subprocess
import sys

import pytest

from kgrec.cli import run as in_this_process

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
CLOSED = {"out": ">&-", "err": "2>&-", "both": ">&- 2>&-", "all": "<&- >&- 2>&-"}

SEVERAL = """
import json, sys
from kgrec.cli import main

_, commands, told = sys.argv
codes = []
for words in json.loads(commands):
    sys.argv = ["kgrec", *words]
    try:
        main()
    except SystemExit as end:
        codes.append(end.code)
with open(told, "w") as file:
    json.dump(codes, file)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def shell(root, arguments, redirected="", program=("-m", "kgrec"), **environment):
    """Return exit code, standard output and standard error of a command line."""
    command = shlex.join([sys.executable, *program, *map(str, arguments)])
    script = (
        f"{{ ({command}; echo $? >&3) {redirected}; }} 3>&1"
        if redirected.startswith("|")
        else f"{command} {redirected}"
    )
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=root,
        env=os.environ | environment,
        capture_output=True,
        timeout=300,
        check=False,
    )
    return (
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sources):
    """A folder in other letters, with labels in others again."""
    place = tmp_path_factory.mktemp("streams") / "日本 données"
    place.mkdir()
    for name in ("clicks.csv", "kg.ttl", "links.csv"):
        (place / name).write_text(
            (sources / name).read_text().replace('"Alien"', '"Чужой"'), encoding="utf-8"
        )
    return place


def built(folder):
    return [
        "--interactions",
        folder / "clicks.csv",
        "--kg",
        folder / "kg.ttl",
        "--links",
        folder / "links.csv",
        "--split",
        "leave-one-out",
    ]


def several(root, commands, codes, redirected="", **environment):
    """Return exit codes, standard output and standard error of commands that one process runs: as
    the interpreter started it, and libraries are imported once.
    """
    words = json.dumps([[*map(str, command)] for command in commands], ensure_ascii=False)
    program = ("-c", SEVERAL)
    code, told, err = shell(root, [words, codes], redirected, program, **environment)
    assert (code, "Traceback" in told + err) == (0, False), err
    return json.loads(codes.read_text()), told, err


@pytest.mark.parametrize("closed", CLOSED.values(), ids=CLOSED)
def test_closed_streams(closed, folder, root, capsys):
    """With standard output closed, the first file that is opened must not become it."""
    out = folder / f"d{len(closed)}"
    commands = [["build", *built(folder), "--out", out], ["info", folder / "missing"]]
    codes, _, err = several(root, commands, folder / f"codes{len(closed)}.json", closed)
    assert codes == [0, 2]
    assert sum(line.startswith("kgrec: ") for line in err.splitlines()) == (closed == ">&-")
    assert (out / "manifest.json").is_file()
    assert in_this_process(["info", str(out), "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_a_reader_that_leaves(dataset, root):
    for arguments in (["data", "list"], ["info", dataset, "--json"]):
        code, told, err = shell(root, arguments, "| true")
        assert (code, err) == (0, "")
        assert told.split() == ["0"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device_is_one_line(root):
    code, _, err = shell(root, ["data", "list"], "> /dev/full")
    assert code == 2
    assert err.startswith("kgrec: No space left on device.")
    assert err.count("\n") == 1


def test_an_ascii_locale(folder, root):
    code, told, err = shell(root, ["build", *built(folder), "--out", folder / "ascii"], **ASCII)
    assert (code, "Traceback" in err) == (0, False)
    assert told.isascii()
    assert "\\u65e5\\u672c" in told  # the folder, in escapes
    assert (folder / "ascii" / "manifest.json").is_file()
    code, told, err = shell(root, ["info", folder / "ascii", "--json"], **ASCII)
    assert (code, err, told.isascii()) == (0, "", True)
    code, _, err = shell(root, ["info", folder / "fehlt-ä"], **ASCII)
    assert code == 2
    assert err.startswith("kgrec: ")
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode",
    [
        "all",
        "ascii",
        *(pytest.param(mode, marks=pytest.mark.long) for mode in ("out", "err", "both")),
    ],
)
def test_training_and_what_follows(mode, folder, root):
    data, run = folder / "data", folder / f"run-{mode}"
    if not data.exists():
        assert in_this_process(["-q", "build", *map(str, built(folder)), "--out", str(data)]) == 0
    small = ["--set", "epochs=1", "--set", "dim=4"]
    commands = [
        ["train", data, "--model", "lightgcn-kg", *small, "--out", run],
        ["recommend", run, "--user", "u1"],
        ["explain", run, "--user", "u1", "--top", "1"],
        ["evaluate", run, "--json"],
        ["export", run, "--embeddings", folder / f"vectors-{mode}"],
    ]
    environment = ASCII if mode == "ascii" else {}

    place = folder / f"codes-{mode}.json"
    codes, told, _ = several(root, commands, place, CLOSED.get(mode, ""), **environment)
    assert codes == [0] * len(commands)
    # Labels in other letters, on a terminal that knows none of them.
    assert mode != "ascii" or (told.isascii() and "\\u0427" in told)
