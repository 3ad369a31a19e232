"""A process that is forked after its parent has worked with kgrec goes on working, or says at once
what to do.
"""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

_SECONDS = 60  # of one child; each takes a second
_SCRIPT = """
import json, os, signal, sys, time
import kgrec, torch
from kgrec.study.tune import tune

torch.set_num_threads(2)
data = kgrec.load("films").save("dataset")
run = kgrec.fit("lightgcn-kg", data, epochs=1, dim=64, out="run")
kgat = kgrec.fit("kgat", data, epochs=1, dim=16)
users = data.users.keys([0, 1])
item = run.recommend(users[0], k=1)["item"][0]
run.explain(users[0], item), kgat.explain(users[0], item), run.evaluate("valid")  # the pools are at work
(torch.rand(600, 600) @ torch.rand(600, 600)).sum()

everybody = run.recommend("all", k=3)
scores = run.evaluate("valid").metrics
explained = run.explain(users[0], item).to_dict()
epochs = [record["softmax"] for record in run.history]

works = {
    "recommend": lambda: run.recommend("all", k=3).equals(everybody),
    "recommend to a stranger": lambda: run.recommend(history=[item], exclude=[item], items=list(data.items)).height == 10,
    "explain": lambda: run.explain(users[0], item).to_dict() == explained,
    "explain by measuring": lambda: bool(kgat.explain(users[0], item).to_text()),
    "evaluate": lambda: run.evaluate("valid").metrics == scores,
    "similar items": lambda: run.similar_items(item).columns == ["rank", "item", "label", "score"],
    "embeddings": lambda: run.vectors().to_dict()["function"] == "inner_product",
    "fit": lambda: [record["softmax"] for record in kgrec.fit("lightgcn-kg", data, epochs=1, dim=64).history] == epochs,
    "fit kgat": lambda: kgrec.fit("kgat", data, epochs=1, dim=16).summary["epochs"] == 1,
    "a product": lambda: (torch.rand(600, 600) @ torch.rand(600, 600)).sum() > 0,
}
refused = {
    "load": lambda: kgrec.load("films"),
    "load a dataset": lambda: kgrec.load("dataset"),
    "load_run": lambda: kgrec.load_run("run"),
    "read interactions": lambda: kgrec.read_interactions("missing.csv"),
    "read triples": lambda: kgrec.read_triples("missing.ttl"),
    "a table": lambda: kgrec.triples_from_table("missing.csv"),
    "build": lambda: kgrec.Dataset.build(None, None),
    "save": lambda: run.save("again"),
    "fit into a folder": lambda: kgrec.fit("lightgcn", data, epochs=1, out="other"),
    "tune": lambda: tune(data, "lightgcn", out="study"),
    "click-through": lambda: run.evaluate("valid", protocol="ctr"),
    "sampled": lambda: run.evaluate("valid", protocol="sampled"),
    "typed graph": lambda: kgrec.build_hetero_data(data, types="class"),
}


def child(work):
    reader, writer = os.pipe()
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        signal.alarm(SECONDS)
        try:
            told = repr(bool(work()))
        except kgrec.KgrecError as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writer, told.encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as told:
        text = told.read()
    os.waitpid(pid, 0)
    return text, time.monotonic() - began


print(json.dumps({"works": {name: child(work) for name, work in works.items()}, "refused": {n: child(w) for n, w in refused.items()},
                  "left": sorted(os.listdir("."))}))
""".replace("SECONDS", str(_SECONDS))
_EARLY = """
import os, kgrec
import kgrec.runs.run, kgrec.runs.fit  # loads polars and torch, uses neither

if not os.fork():
    kgrec.load_run("run").recommend("all", k=1)
    os._exit(0)
assert os.wait()[1] == 0
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fork")
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1]), folder


def test_what_works_gives_the_same_as_the_parent(told):
    assert {name: text for name, (text, _) in told[0]["works"].items() if text != "True"} == {}


def test_what_would_hang_is_refused_at_once(told):
    for name, (text, seconds) in told[0]["refused"].items():
        assert text.startswith("ForkError: "), (name, text)
        assert "\n" not in text
        assert "spawn" in text
        assert seconds < 20, name
    assert told[0]["left"] == ["dataset", "run"]


def test_a_fork_before_the_first_use_is_free_to_read(told):
    done = subprocess.run(
        [sys.executable, "-c", _EARLY],
        cwd=told[1],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
