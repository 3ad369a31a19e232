"""Bad input: one line that says what and where, exit code 2, no traceback, nothing half-written."""

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from kgrec.cli import run

GOOD = b"user_id,item_id,stars\na,x,5\na,y,4\na,z,3\nb,x,2\nb,y,1\nb,z,5\n"


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """Run a command in a folder with the given files; return its one line after checking that
    nothing was left.
    """
    monkeypatch.chdir(tmp_path)

    def check(arguments, code=2, **files):
        for name, content in files.items():
            (tmp_path / name.replace("__", ".")).write_bytes(content)
        before = sorted(os.listdir(tmp_path))
        capsys.readouterr()
        assert run(["-q", *arguments]) == code
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith("kgrec: ")
        assert told.err.count("\n") == 1, told.err
        assert "Traceback" not in told.err
        assert sorted(os.listdir(tmp_path)) == before, "something was left behind"
        return told.err

    return check


def build(*more):
    return [
        "build",
        "--interactions",
        "log.csv",
        "--split",
        "random",
        "--ratios",
        "0.4,0.3,0.3",
        *more,
        "--out",
        "d",
    ]


@pytest.mark.parametrize(
    ("content", "more", "words"),
    [
        (None, (), ["log.csv"]),
        (b"", (), ["log.csv", "empty"]),
        (b"user_id,item_id\n", (), ["log.csv"]),
        (GOOD, ("--user", "user_idd"), ["user_idd", "user_id"]),
        (GOOD, ("--rating", "star"), ["star", "stars"]),
        (GOOD + b"c,x\n", (), ["log.csv:8"]),
        (GOOD + b"c,x,many\n", ("--rating", "stars"), ["log.csv:8", "many"]),
        (GOOD + b"c,\xff,3\n", (), ["log.csv:8", "UTF-8"]),
        (GOOD + b"c,\0,3\n", (), ["log.csv:8"]),
        (b"user_id,item_id\na,x\n", (), ["evaluate"]),
        (GOOD, ("--k-core", "50"), ["core"]),
        (GOOD, ("--ratios", "0.5,0.5"), ["0.5"]),
        (GOOD, ("--ratios", "0,0.5,0.5"), ["0"]),
        (GOOD, ("--split", "temporal"), ["time"]),
        (GOOD, ("--split", "given"), ["train"]),
    ],
)
def test_interactions(content, more, words, refused):
    told = refused(build(*more), **({} if content is None else {"log__csv": content}))
    for word in words:
        assert word in told, told


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("kg.nt", None, ["kg.nt"]),
        ("kg.nt", b"<http://x/a> <http://x/r> .\n", ["kg.nt:1"]),
        (
            "kg.nt",
            b"<http://x/a> <http://x/r> <http://x/b> .\n<http://x/a> <http://x/r>\n",
            ["kg.nt:"],
        ),
        ("kg.ttl", b"@prefix : <http://x/> .\n:a :r\n", ["kg.ttl"]),
        ("kg.tsv", b"a\tr\tb\na\tr\n", ["kg.tsv:2"]),
        ("kg.nt", b"<http://x/\xff> <http://x/r> <http://x/b> .\n", ["kg.nt"]),
        (
            "kg.nt.gz",
            gzip.compress(b"<http://x/a> <http://x/r> <http://x/b> .\n" * 1000, mtime=0)[:60],
            ["kg.nt.gz"],
        ),
    ],
)
def test_graphs(name, content, words, refused):
    files = {"log__csv": GOOD} | ({} if content is None else {name.replace(".", "__"): content})
    told = refused(build("--kg", name), **files)
    for word in words:
        assert word in told, told


def test_an_unrecognized_folder(refused, tmp_path):
    (tmp_path / "stuff").mkdir()
    (tmp_path / "stuff" / "notes.txt").write_text("hello")
    assert "notes.txt" in refused(["build", "stuff", "--out", "d"])


@pytest.mark.parametrize(
    "command", [["build", "films"], ["train", "films", "--model", "popularity"]]
)
def test_a_place_that_is_not_ours(command, refused, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    assert "mine" in refused([*command, "--out", "mine"])
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    assert "file" in refused([*command, "--out", "file"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--model", "kgatt"], ["kgatt", "kgat"]),
        (["--model", "kgat", "--set", "dimm=3"], ["dimm", "dim"]),
        (["--model", "kgat", "--set", "dim=three"], ["dim", "three"]),
        (["--model", "kgat", "--set", "learning_rate=-1"], ["learning_rate"]),
        (["--model", "kgat", "--set", "seed=1"], ["kgat", "seed"]),
        (["--model", "kgat", "--preset", "slow"], ["slow", "default"]),
        (["--model", "bprmf", "--device", "tpu"], ["tpu"]),
        (["--model", "bprmf", "--set", "metric=ndcg"], ["ndcg@10"]),
    ],
)
def test_training_settings(more, words, refused, dataset):
    told = refused(["train", str(dataset), "--out", "r", *more])
    for word in words:
        assert word in told, told


def test_a_model_that_needs_triples(refused, sources):
    files = {"log__csv": (sources / "clicks.csv").read_bytes()}
    for name, content in files.items():
        with open(name.replace("__", "."), "wb") as stream:
            stream.write(content)
    assert (
        run(
            [
                "-q",
                "build",
                "--interactions",
                "log.csv",
                "--split",
                "leave-one-out",
                "--out",
                "plain",
            ]
        )
        == 0
    )
    assert "triples" in refused(["train", "plain", "--model", "kgat", "--out", "r"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recommend", "RUN", "--user", "u111"], ["u111", "u1"]),
        (["recommend", "RUN", "--history", "f9"], ["f9", "Nearest: f"]),
        (["recommend", "RUN", "--user", "u1", "--exclude", "ids.txt"], ["f77"]),
        (["similar", "RUN", "--item", "g1"], ["g1", "f1"]),
        (["explain", "RUN", "--user", "nobody", "--item", "f1"], ["nobody"]),
        (["explain", "RUN", "--user", "u1", "--item", "f0"], ["f0", "Nearest: f"]),
        (["recommend", "nowhere", "--user", "u1"], ["nowhere"]),
        (["evaluate", "ids.txt"], ["ids.txt"]),
    ],
)
def test_unknown_ids_and_runs(arguments, words, refused, trained):
    told = refused(
        [str(trained) if word == "RUN" else word for word in arguments], ids__txt=b"f77\n"
    )
    for word in words:
        assert word in told, told


def damaged(folder, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    victim = max(
        (path for path in copy.rglob("*") if path.is_file() and name in path.name),
        key=lambda path: path.stat().st_size,
    )
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0xFF
    victim.write_bytes(content)
    return victim


@pytest.mark.parametrize("name", ["users.parquet", "triple_head", "manifest.json"])
def test_a_dataset_with_a_flipped_bit(name, refused, dataset, tmp_path):
    victim = damaged(dataset, tmp_path, name)
    assert victim.name in refused(["info", "copy"])


@pytest.mark.parametrize("name", ["model.safetensors", "users.parquet"])
def test_a_run_with_a_flipped_bit(name, refused, trained, tmp_path):
    victim = damaged(trained, tmp_path, name)
    assert victim.name in refused(["recommend", "copy", "--user", "u1"])


def test_an_unknown_format_version(refused, dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "copy")
    manifest = json.loads((tmp_path / "copy" / "manifest.json").read_text())
    (tmp_path / "copy" / "manifest.json").write_text(json.dumps(manifest | {"version": 99}))
    told = refused(["info", "copy"])
    assert "format version 99, this kgrec reads 1. Update kgrec, or make the dataset" in told


def test_a_run_of_a_newer_version_or_with_unknown_fields(refused, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "copy")
    file = tmp_path / "copy" / "config.json"
    record = json.loads(file.read_text())

    def told(change):
        file.write_text(signed(change))
        return refused(["recommend", "copy", "--user", "u1"])

    newer = told(record | {"version": 2})
    assert "format version 2, this kgrec reads 1. Update kgrec, or train again." in newer
    assert "unknown field 'presets'. Nearest: preset" in told(record | {"presets": 1})
    setting = told(record | {"train": record["train"] | {"epoch": 3}})
    assert "no setting 'epoch'. Nearest: epochs" in setting


def signed(record):
    plain = {key: value for key, value in record.items() if key != "sha256"}
    total = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
    return json.dumps(plain | {"sha256": total})


@pytest.mark.parametrize("command", ["train", "tune", "ablate"])
def test_unknown_settings_name_the_nearest(command, refused, dataset):
    arguments = [command, str(dataset), "--model", "kgat", "--out", "r"]
    assert "no setting 'dimm'. Nearest: dim" in refused([*arguments, "--set", "dimm=3"])
    if command != "tune":
        told = refused([*arguments, "--config", "s.toml"], s__toml=b"learning_rates = 0.1\n")
        assert "no setting 'learning_rates'. Nearest: learning_rate" in told


def test_a_study_of_a_newer_version_or_with_unknown_fields(refused, dataset, tmp_path):
    (tmp_path / "t").mkdir()
    study = {"format": "kgrec-tune", "version": 2}
    arguments = ["tune", str(dataset), "--model", "bprmf", "--out", "t"]
    (tmp_path / "t" / "study.json").write_text(json.dumps(study))
    assert "study.json: format version 2, this kgrec reads 1. Update" in refused(arguments)
    (tmp_path / "t" / "study.json").write_text(json.dumps(study | {"version": 1, "seeds": 3}))
    assert "unknown field 'seeds'. Nearest: seed" in refused(arguments)


def test_a_run_whose_dataset_is_gone(refused, dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "moved")
    assert run(["-q", "train", "moved", "--model", "popularity", "--out", "r"]) == 0
    shutil.rmtree(tmp_path / "moved")
    assert "moved" in refused(["evaluate", "r"])
    assert run(["-q", "recommend", "r", "--user", "u1"]) == 0


LIMITED = """
import resource, signal

from kgrec.cli import main

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "films", "--out", "d"],
        ["train", "films", "--model", "bprmf", "--set", "epochs=1", "--out", "r"],
    ],
)
def test_a_disk_that_takes_no_more(arguments, tmp_path, forks):
    done = forks.run(["-c", LIMITED, "-q", *arguments], tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_resumes(tmp_path, capsys):
    command = [
        "-q",
        "train",
        "films",
        "--model",
        "bprmf",
        "--set",
        "epochs=100000",
        "--set",
        "patience=0",
        "--out",
        "r",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "kgrec", *command],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "r" / "config.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert err.count("\n") == 1, err
    assert "--resume" in err
    assert os.listdir(tmp_path) == ["r"]
    assert run(["-q", "recommend", str(tmp_path / "r"), "--user", "u0001", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 10


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--verb", ""], "verb: is empty"),
        (["--verb", "purchase="], "verb of 'purchase': is empty"),
        (["--verb", "a\x1b[2Jb"], "a character that is not printed"),
        (["--verb", "a\u202eb"], "a character that is not printed"),
        (["--verb", "bought", "--verb", "sold"], "is given already"),
        (["--phrases", "words.csv"], "words.csv:2: relation 'nope' is not in the graph"),
    ],
)
def test_words_that_no_sentence_can_hold(refused, more, says):
    table = b"relation,phrase\nnope,shot in\n"
    assert says in refused(build(*more), log__csv=GOOD, words__csv=table)
