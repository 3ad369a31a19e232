"""``kgrec inspect`` as it is called."""

import re
import signal
import subprocess
import sys
import urllib.request
from importlib.util import find_spec

import pytest


@pytest.fixture(scope="module")
def stored(hostile_run, tmp_path_factory):
    return str(hostile_run.save(tmp_path_factory.mktemp("inspect") / "run"))


def called(capsys, *arguments):
    from kgrec.cli import run

    code = run(["inspect", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_port_in_use_is_one_line_and_exit_code_2(capsys, stored):
    pytest.importorskip("starlette", reason="needs starlette, of the inspect extra")
    from kgrec.serving.server import open_socket

    taken = open_socket(0)
    try:
        code, out, err = called(capsys, stored, "--port", str(taken.getsockname()[1]))
    finally:
        taken.close()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "Address already in use" in err
    assert "--port" in err


def test_a_missing_extra_is_one_line(capsys, stored, monkeypatch):
    from kgrec.cli import inspect

    monkeypatch.setattr(
        inspect, "find_spec", lambda name: None if name == "uvicorn" else find_spec(name)
    )
    code, _, err = called(capsys, stored)
    assert code == 2
    assert err == (
        "kgrec: the inspector needs uvicorn. Install kgrec[inspect], or write a page with "
        "--export FILE.html.\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--user", "u5"],
        ["--export", "x.html", "--port", "0"],
        ["--export", "x.html", "--browser"],
        ["--port", "70000"],
        ["--export", "x.html", "--against", "other"],
        ["--export", "x.html", "--images", "image"],
        ["--port", "0", "--images", "no such relation"],
        ["--port", "0", "--images", "none.csv"],
        ["--port", "0", "--against", "none"],
    ],
)
def test_options_that_do_not_go_together_are_told(capsys, stored, arguments):
    code, out, err = called(capsys, stored, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


def test_a_folder_that_is_no_run_is_told(capsys, tmp_path):
    code, _, err = called(capsys, str(tmp_path), "--export", str(tmp_path / "x.html"))
    assert code == 2
    assert "not a kgrec run" in err


def test_an_unknown_user_writes_nothing(capsys, stored, tmp_path):
    code, _, err = called(capsys, stored, "--export", str(tmp_path / "x.html"), "--user", "u55")
    assert code == 2
    assert "unknown user id 'u55'" in err
    assert list(tmp_path.iterdir()) == []


def test_help_loads_neither_torch_nor_the_server(root):
    code = "import sys\nfrom kgrec.cli import run\nassert run(['inspect', '--help']) == 0\n"
    code += (
        "sys.exit(', '.join({'torch', 'starlette', 'uvicorn', 'polars'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=root
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_it_serves_until_it_is_interrupted_and_ends_cleanly(root, stored):
    command = [sys.executable, "-m", "kgrec", "inspect", stored, "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
    ) as process:
        address = process.stdout.readline().strip()
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)#token=([\w-]{32})", address)
        assert found, address
        question = urllib.request.Request(
            f"{found[1]}api/users?limit=1", headers={"x-kgrec-token": found[2]}
        )
        with urllib.request.urlopen(question, timeout=60) as answer:
            assert b'"total":40' in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr.read() == "stopped.\n"
