"""The programs that write the tables of ratings and of click-through, on small worlds."""

import gzip
import importlib.util
import json
import sys

import numpy as np
import pytest

SURPRISE = """
__version__ = "0"
class Reader:
    def __init__(self, rating_scale): pass
class Dataset:
    def __init__(self, reader): pass
    def construct_trainset(self, rows): return len(rows)
class Guess:
    est = 3.0
class SVD:
    def __init__(self, random_state): self.rows = {0: 350, 7: 400}[random_state]
    def fit(self, rows): assert rows == self.rows
    def predict(self, user, item): return Guess
"""


@pytest.fixture
def program(root, monkeypatch):
    """Return what reads a program, which is no module of the package, and calls it."""
    monkeypatch.syspath_prepend(root / "benchmarks")

    def load(name):
        spec = importlib.util.spec_from_file_location(name, root / "benchmarks" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)

        def call(*words):
            monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
            module.main()

        module.call = call
        return module

    return load


@pytest.mark.parametrize("name", ["ratings", "click_through"])
def test_help_says_what_they_are_for(program, capsys, name):
    with pytest.raises(SystemExit) as end:
        program(name).call("--help")
    assert end.value.code == 0
    assert "docs/results/" in capsys.readouterr().out


@pytest.fixture
def ratings(program, tmp_path, monkeypatch):
    """The program, with 500 ratings, and where its files go."""
    generator = np.random.default_rng(3)
    pairs = np.stack(np.divmod(generator.permutation(1000)[:500], 40), 1)
    lines = [f"{u}\ti{i}\t{generator.integers(1, 6)}\t0\n" for u, i in pairs]
    (tmp_path / "ml-100k").mkdir()
    (tmp_path / "ml-100k" / "ml-100k.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + "".join(lines)
    )
    module = program("ratings")
    monkeypatch.setattr(module, "SHARED", tmp_path)
    return module, ["--out", tmp_path / "out", "--doc", tmp_path / "docs" / "ratings.md"]


def test_ratings_of_ours_and_of_a_peer_stand_in_one_table(ratings, tmp_path, monkeypatch):
    """The peer predicts 3 for everything, so its errors are known."""
    module, places = ratings
    (tmp_path / "docs").mkdir()
    (tmp_path / "peer").mkdir()
    (tmp_path / "peer" / "surprise.py").write_text(SURPRISE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "peer"))
    monkeypatch.setattr(module, "OURS", {"biasedmf": [{"epochs": 2}], "svdpp": [{}]})
    monkeypatch.setattr(module, "PEERS", {"SVD": [{}], "SVDpp": [{}]})
    module.call("--models", "biasedmf", "--seeds", 0, *places)
    with pytest.raises(SystemExit, match="add --peers PYTHON"):
        module.call("--models", "SVD", *places)

    module.call("--models", "SVD", "--peers", sys.executable, "--seeds", 7, *places)
    module.call("--report", *places)

    lines = {
        name: (tmp_path / "out" / f"{name}.tsv").read_text().splitlines()[1:]
        for name in ("train", "valid", "test")
    }
    assert [len(own) for own in lines.values()] == [350, 50, 100]
    assert len({line for own in lines.values() for line in own}) == 500
    error = np.array([float(line.split("\t")[2]) - 3 for line in lines["test"]])
    kept = json.loads((tmp_path / "out" / "SVD" / "seed-7.json").read_text())
    assert kept["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert kept["mae"] == pytest.approx(np.abs(error).mean())
    assert kept["interval"][0] < kept["rmse"] < kept["interval"][1]
    page = (tmp_path / "docs" / "ratings.md").read_text()
    assert "**biasedmf**" in page
    assert f"| Surprise SVD | {kept['rmse']:.4f} |" in page
    assert "Not run: svdpp, SVDpp." in page


def test_click_through_with_and_without_triples(program, tmp_path, monkeypatch):
    """Of 12 users 8 are taken; three genres are the triples."""
    generator = np.random.default_rng(3)
    folder = tmp_path / "ml1m-kg"
    folder.mkdir()
    pairs = np.stack(np.divmod(generator.permutation(360)[:160], 30), 1)
    films = [f"http://example.org/film{n}" for n in range(30)]
    tables = {
        "interactions.tsv": ["user_id\titem_id\ttimestamp", *(f"{u}\t{i}\t0" for u, i in pairs)],
        "links.tsv": ["item_id\tentity_id", *(f"{n}\t{film}" for n, film in enumerate(films))],
        "wikipedia-films.nt": [
            f"<{film}> <http://example.org/genre> <http://example.org/genre{n % 3}> ."
            for n, film in enumerate(films)
        ],
    }
    for name, lines in tables.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress("\n".join([*lines, ""]).encode()))

    module = program("click_through")
    monkeypatch.setattr(module, "SHARED", tmp_path)
    (tmp_path / "docs").mkdir()
    places = ["--out", tmp_path / "out", "--doc", tmp_path / "docs" / "ctr.md", "--users", 8]
    module.call("--models", "fm", "fm-kg", "--preset", "fast", *places)
    module.call("--report", *places)
    page = (tmp_path / "docs" / "ctr.md").read_text()
    assert "## ml1m-kg-8" in page
    for model in ("fm", "fm-kg"):
        kept = json.loads((tmp_path / "out" / f"ml1m-kg-8-{model}.json").read_text())
        assert f"| **{model}** | {module.short(kept['metrics']['auc'])} (" in page
        low, high = kept["intervals"]["auc"]
        assert low <= kept["metrics"]["auc"] <= high
    assert page.count("Not run: ") == 2
    with pytest.raises(SystemExit, match="12 users"):
        module.call("--models", "fm", *places[:-1], 13)


def test_auc_by_counting_pairs(program):
    module = program("click_through")
    generator = np.random.default_rng(0)
    score, label = generator.integers(0, 5, 30) / 4, generator.random(30) < 0.4
    gaps = score[label][:, None] - score[~label][None]
    assert module.auc_of(score, label) == pytest.approx(((gaps > 0) + (gaps == 0) / 2).mean())
    assert np.isnan(module.auc_of(score[label], label[label]))
