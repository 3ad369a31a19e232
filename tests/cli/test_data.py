"""``kgrec data`` as a program: what it prints, and how it ends."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from loopback import Loopback, Reply

from kgrec.cli import run
from kgrec.data.io.downloads import Pinned
from kgrec.data.public import catalog as public
from kgrec.data.public.catalog import PublicFile, PublicSet

FILES = {
    "train.txt": b"".join(b"%d 1 2 3 4 5\n" % user for user in range(9)),
    "test.txt": b"0 6\n1 7\n",
}


@pytest.fixture
def server(monkeypatch):
    served = {f"/{name}": data for name, data in FILES.items()}
    with Loopback(
        lambda request: Reply(served[request.path]) if request.path in served else Reply(status=404)
    ) as running:
        pins = {
            name: Pinned(hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(), len(data))
            for name, data in FILES.items()
        }
        files = tuple(PublicFile(name, f"{running.url}/{name}", pins[name]) for name in FILES)
        sets = {
            "made/lists": PublicSet(
                "made/lists", files, "KGAT", "nowhere", "free", needs="patience"
            )
        }
        monkeypatch.setattr(public, "public_sets", lambda: sets)
        monkeypatch.delenv("KGREC_MIRROR", raising=False)
        running.served = served
        yield running


def test_list_get_list_verify_build(server, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["data", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told[0]["name"] == "made/lists"
    assert (told[0]["files"], told[0]["bytes"], told[0]["here"]) == (
        2,
        sum(map(len, FILES.values())),
        None,
    )
    assert not server.seen, "list fetches nothing"
    assert run(["-q", "data", "get", "made/lists", "--to", "there is/d"]) == 0
    said = capsys.readouterr().out
    assert "2 files in there is/d, 2 of them new" in said
    assert "Terms: free." in said
    assert "You also need patience." in said
    assert "next: kgrec build 'there is/d' --out DATASET" in said
    assert run(["data", "list"]) == 0
    assert "there is/d" in capsys.readouterr().out
    assert run(["data", "verify", "there is/d", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["holds"] is True
    assert run(["-q", "build", "there is/d", "--out", "D", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["users"] == 9
    (tmp_path / "there is" / "d" / "test.txt").unlink()
    assert run(["data", "list"]) == 0
    assert "there is/d: 1 of 2 files" in capsys.readouterr().out
    assert run(["data", "verify", "there is/d"]) == 1
    said = capsys.readouterr()
    assert "missing" in said.out
    assert not said.err


def test_wrong_bytes_are_one_line_and_exit_code_2(server, tmp_path, capsys):
    server.served["/train.txt"] = b"x" * len(FILES["train.txt"])
    assert run(["-q", "data", "get", "made/lists", "--to", str(tmp_path / "d")]) == 2
    said = capsys.readouterr()
    assert "what came is another file (Git blob SHA-1 " in said.err
    assert said.err.count("\n") == 1
    assert not said.out
    assert list((tmp_path / "d").iterdir()) == []


def test_a_mirror_by_option_and_by_environment(server, tmp_path, capsys, monkeypatch):
    with Loopback(
        lambda request: Reply(FILES[request.path.removeprefix("/made/lists/")])
    ) as mirror:
        assert (
            run(
                [
                    "-q",
                    "data",
                    "get",
                    "made/lists",
                    "--to",
                    str(tmp_path / "a"),
                    "--mirror",
                    mirror.url,
                ]
            )
            == 0
        )
        monkeypatch.setenv("KGREC_MIRROR", mirror.url)
        assert run(["-q", "data", "get", "made/lists", "--to", str(tmp_path / "b")]) == 0
        assert len(mirror.seen) == 4
    assert not server.seen


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["get", "made/list", "--to", "x"], "no public data set 'made/list'. Nearest: made/lists"),
        (["get", "made/lists"], "Missing option '--to'. See `kgrec data --help`."),
        (
            ["get", "made/lists", "--to", "x", "--mirror", "ftp://x.org"],
            "not an http or https address",
        ),
        (["verify", "nowhere"], "no such folder"),
        (["verify", "."], "holds no file of a public data set"),
        (["frobnicate"], "No such command"),
        ([], "Missing command"),
    ],
)
def test_bad_usage(server, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert run(["-q", "data", *words]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_written(server, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert run(["-q", "data", "get", "made/lists", "--to", str(tmp_path / "file" / "d")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_interrupt_ends_with_130_and_keeps_the_part(tmp_path, root):
    """The real program, the real list, a mirror that is slow."""
    with Loopback(lambda request: Reply(b"x" * 5000, length=1810815, drip=0.002)) as slow:
        words = [
            "data",
            "get",
            "kgat/amazon-book",
            "--to",
            str(tmp_path / "d"),
            "--mirror",
            slow.url,
        ]
        program = subprocess.Popen(
            [sys.executable, "-m", "kgrec", *words],
            stderr=subprocess.PIPE,
            text=True,
            cwd=root,
            env=dict(os.environ),
        )
        part = tmp_path / "d" / "entity_list.txt.part"
        until = time.monotonic() + 30
        while not (slow.seen and part.exists()) and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.3)
        program.send_signal(signal.SIGINT)
        said = program.communicate(timeout=30)[1]
    assert program.returncode == 130
    assert "entity_list.txt.part; the same command continues from there" in said
    assert "Traceback" not in said
    assert part.exists()
