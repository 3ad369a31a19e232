"""The image's environment, made for real: what it installs, and nothing else, serves the lists."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from served import process, read

import kgrec
from kgrec.serving.write_tables import Choice, write_tables


@pytest.mark.long
def test_the_environment_of_the_image_serves(root, tmp_path):
    run = kgrec.fit("lightgcn-kg", kgrec.load("films"), dim=16, epochs=1)
    write_tables(run, tmp_path / "tables", Choice(lists=10))
    place, source = tmp_path / "venv", tmp_path / "source"
    for name in ("kgrec", "graphs"):
        shutil.copytree(
            root / name, source / name, ignore=shutil.ignore_patterns("*.so", "__pycache__")
        )
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(root / name, source)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install = [str(place / "bin/python"), "-m", "pip", "install", "-q"]
    for command in (
        [sys.executable, "-m", "venv", str(place)],
        [*install, "-r", str(root / "docs/serving/requirements-serve.txt")],
        [*install, "--no-deps", str(source)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, env=clean)
        assert done.returncode == 0, done.stderr[-2_000:]

    listed = [str(place / "bin/python"), "-m", "pip", "list", "--format", "json"]
    held = subprocess.run(listed, capture_output=True, text=True, check=True, env=clean).stdout
    names = {one["name"].lower() for one in json.loads(held)}
    assert not names & {"torch", "polars", "scipy", "pandas", "torch-geometric", "matplotlib"}
    program = str(place / "bin/kgrec")
    arguments = [str(tmp_path / "tables"), "--log", "none"]
    with process(*arguments, program=[program], env=clean) as (_, address):
        users = run.data.users.keys(range(3))
        for user in users:
            found = read(address + f"v1/recommend?user={user}&k=10")["lists"][0]["items"]
            wanted = run.recommend(user, k=10)["item"].to_list()
            assert [one["item"] for one in found] == wanted
        wishes = "diversity=0.5&popularity=0.3&k=10"
        found = read(address + f"v1/recommend?user={users[0]}&{wishes}")["lists"][0]["items"]
        wanted = run.recommend(users[0], k=10, diversity=0.5, popularity=0.3)["item"].to_list()
        assert [one["item"] for one in found] == wanted
