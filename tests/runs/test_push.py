"""The card of a run, and what is published of it."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

import kgrec
from kgrec.cli import run as command
from kgrec.errors import CapabilityError, CheckpointError, ConfigError
from kgrec.lifecycle.forget import forget
from kgrec.serving.tables.folder import open_tables
from kgrec.serving.tables.ranking import Person, Ranking
from kgrec.testing import worlds


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("push")
    data = replace(worlds.cold_items(users=20), name="secret | <b>world</b>")
    data.save(place / "data")
    return kgrec.fit("lightgcn", place / "data", out=place / "run", dim=4, epochs=2)


def texts(folder):
    """Every file that is text, and every value of the tables."""
    found = []
    for path in folder.rglob("*"):
        if path.suffix in (".json", ".md"):
            found.append(path.read_text())
        elif path.suffix == ".parquet":
            found.append(str(pl.read_parquet(path).to_dict(as_series=False)))
        elif path.is_file():
            found.append(path.read_bytes().decode("latin-1"))
    return "\n".join(found)


def test_a_run_has_a_card_with_its_figures_and_settings(run):
    card = (run.path / "README.md").read_text()
    assert f"| ndcg@10 |  | {run.summary['test']['ndcg@10']:.4f} |" in card
    assert "dim = 4" in card
    assert "He et al., SIGIR 2020" in card
    assert f"{len(run.data.train):,} training interactions" in card
    assert "# lightgcn on secret \\| \\<b\\>world\\</b\\>" in card
    header = card.split("---\n")[1]
    index = json.loads(header.split("model-index: ")[1])
    values = {one["name"]: one["value"] for one in index[0]["results"][0]["metrics"]}
    assert values["recall@20 (test)"] == run.summary["test"]["recall@20"]
    assert not [user for user in run.data.users.series if f" {user}" in card]


def test_equal_trainings_have_equal_cards(run, tmp_path):
    again = kgrec.fit("lightgcn", run.path.parent / "data", out=tmp_path / "r", dim=4, epochs=2)
    assert (again.path / "README.md").read_bytes() == (run.path / "README.md").read_bytes()


def test_without_data_no_user_leaves(run, tmp_path):
    assert command(["-q", "push", str(run.path), "--to", str(tmp_path / "p")]) == 0
    names = {path.name for path in (tmp_path / "p").iterdir()}
    assert names == {"README.md", "config.json", "serving"}
    held = texts(tmp_path / "p")
    users = run.data.users.series.to_list()
    assert all(len(user) > 1 for user in users)
    assert not [user for user in users if f'"{user}"' in held or f"'{user}'" in held]
    assert str(run.path.parent) not in held
    with pytest.raises(CheckpointError, match=r"published without its interactions.*kgrec serve"):
        kgrec.load_run(tmp_path / "p")


def test_what_is_published_serves_histories(run, tmp_path):
    run.push(tmp_path / "p")
    run.push(tmp_path / "p")  # again, in its place
    ranking = Ranking(open_tables(tmp_path / "p" / "serving"))
    history = run.data.items.series[:2].to_list()
    columns, _ = ranking.columns(history)
    found = ranking.recommend(Person(None, columns), 5)
    expected = run.recommend(history=history, k=5)["score"].to_numpy()
    np.testing.assert_allclose(found.scores, expected, rtol=2e-5, atol=1e-6)


def test_with_data_it_is_the_run(run, tmp_path):
    place = run.push(tmp_path / "p", with_data=True)
    opened = kgrec.Run.from_pretrained(place)
    user = run.data.users.series[0]
    assert opened.recommend([user], k=5).equals(run.recommend([user], k=5))
    assert str(run.path.parent) not in (tmp_path / "p" / "config.json").read_text()


def test_neither_what_it_started_from_nor_where_its_dataset_was_is_published(run, tmp_path):
    started = kgrec.fit("lightgcn", run.path.parent / "data", start=run.path, dim=4, epochs=1)
    noted = {"notes": [f"{run.path}: is gone."], "how": "warm start"}
    started.summary = started.summary | {"update": noted}
    started.push(tmp_path / "p", with_data=True)
    assert str(run.path.parent) not in texts(tmp_path / "p")
    summary = kgrec.load_run(tmp_path / "p").summary
    assert summary["start"]["run"] == started.summary["start"]["run"]
    assert summary["update"] == {"how": "warm start"}
    assert started.summary["update"] == noted


def test_a_folder_of_something_else_stays(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    with pytest.raises(CheckpointError, match="was not published"):
        run.push(tmp_path / "mine")
    with pytest.raises(CheckpointError, match="was not published"):
        run.push(run.path)
    assert (tmp_path / "mine/notes.txt").read_text() == "keep"


def test_the_hub_gets_the_same_folder(run, monkeypatch):
    calls = []

    class Hub:
        def create_repo(self, name, **more):
            calls.append(name)

        def upload_folder(self, repo_id, repo_type, folder_path):
            from pathlib import Path

            calls.append((repo_id, sorted(path.name for path in Path(folder_path).iterdir())))

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=Hub))
    assert run.push("hf://me/films") == "hf://me/films"
    assert calls == ["me/films", ("me/films", ["README.md", "config.json", "serving"])]
    with pytest.raises(ConfigError, match="OWNER/NAME"):
        run.push("hf://films")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"kgrec\[hub\]"):
        run.push("hf://me/films")


def test_a_model_that_needs_its_interactions_says_so(tmp_path):
    run = kgrec.fit("neumf", worlds.toy(), epochs=1)
    with pytest.raises(CapabilityError, match="neither vectors nor"):
        run.push(tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_receipts_of_those_who_were_forgotten_stay_at_home(run, tmp_path):
    """They hold the places of the run and its dataset, and a hash that a list of ids can be tried
    against.
    """
    gone = run.data.users.key(3)
    there = replace(worlds.cold_items(users=20), name="small").save(tmp_path / "data")
    kgrec.fit("popularity", there).save(tmp_path / "run")
    forget(tmp_path / "run", gone)
    assert (tmp_path / "run" / "forgotten.json").is_file()
    kgrec.load_run(tmp_path / "run").push(tmp_path / "p", with_data=True)
    assert not (tmp_path / "p" / "forgotten.json").exists()
    assert str(tmp_path) not in texts(tmp_path / "p")
