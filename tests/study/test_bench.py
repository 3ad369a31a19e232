"""Experiments: what a file states, the figures they come to, tables, and resuming."""

import json
import signal
import socket
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import scipy.stats

from kgrec.cli import run as command
from kgrec.data.records.interactions import Interactions
from kgrec.errors import CheckpointError, ConfigError, DataError
from kgrec.evaluation.report import evaluate
from kgrec.reports.bench_plots import draw_bench
from kgrec.runs.run import load_run
from kgrec.study.ablate import paired_interval
from kgrec.study.bench import run_experiment
from kgrec.study.experiment import folder_name, read_experiment
from kgrec.study.figures import _Table, critical_difference
from kgrec.study.tables import latex, results_latex
from kgrec.testing import worlds

ROWS = [
    {"model": "popularity", "name": "Most & popular_100%"},
    {"model": "bprmf", "settings": {"dim": 4, "batch_size": 64}},
]
STATED = {"seeds": [0, 1, 2], "budget": {"epochs": 3}, "metrics": ["ndcg@5", "recall@10"]}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    world = worlds.cold_items(users=20)
    turn, train = np.arange(len(world.train)) % 8, world.train
    parts = {"train": turn < 6, "valid": turn == 6, "test": turn == 7}
    world = replace(world, **{name: train.take(rows) for name, rows in parts.items()})
    place = tmp_path_factory.mktemp("data") / "toy"
    world.save(place)
    return place


def stated(stored, **more):
    return {"name": "toy", "data": str(stored), "models": ROWS, **STATED, **more}


@pytest.fixture(scope="module")
def found(stored, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "out"
    return run_experiment(stated(stored, trackers=["jsonl"]), out=folder)


def test_figures_are_those_of_the_runs_by_themselves(found, stored):
    """Means, spread and interval against the runs in the folder, evaluated one by one."""
    runs = [load_run(found.out / f"runs/toy/bprmf-{seed}") for seed in (0, 1, 2)]
    reports = [run.evaluate("test", (5, 10), dataset=stored).per_user.sort("user") for run in runs]
    known = np.unique(runs[0].data.train.user)
    inside = np.isin(runs[0].data.users.rows(reports[0]["user"].to_list()), known)
    for metric in STATED["metrics"]:
        values = np.stack([report[metric].to_numpy()[inside] for report in reports], axis=1)
        figure = found.figure("toy", "bprmf", metric)
        assert figure.mean == pytest.approx(values.mean(), abs=1e-12)
        assert figure.spread == pytest.approx(values.mean(axis=0).std(ddof=1), abs=1e-12)
        assert (figure.low, figure.high) == pytest.approx(paired_interval(values)[1:3])
        assert (figure.users, figure.seeds) == (len(values), 3)


def test_differences_are_corrected_over_rows_and_metrics(found):
    """Holm by hand: sorted p, times how many are left, never falling."""
    ps = sorted(gap.p for gap in found.gaps)
    wanted = np.maximum.accumulate([p * (len(ps) - at) for at, p in enumerate(ps)]).clip(max=1)
    assert sorted(gap.p_adjusted for gap in found.gaps) == pytest.approx(wanted.tolist())
    for gap in found.gaps:
        base = found.figure("toy", gap.against, gap.metric).mean
        assert gap.mean == pytest.approx(found.figure("toy", gap.model, gap.metric).mean - base)


def test_ranks_are_friedmans(found, stored, tmp_path):
    rows = [*ROWS, {"model": "ease"}]
    more = run_experiment(stated(stored, models=rows, seeds=[0]), out=tmp_path / "o")
    (ranks,) = more.ranks
    kept = [
        pl.read_parquet(more.out / f"values/toy/{name}-0.parquet")
        .filter(pl.col("items") == "all users and items")
        .sort("user")
        for name in ("Most-popular_100", "bprmf", "ease")
    ]
    data = load_run(more.out / "runs/toy/ease-0").data
    warm = np.isin(data.users.rows(kept[0]["user"].to_list()), data.train.user)
    values = [frame["ndcg@5"].to_numpy()[warm] for frame in kept]
    assert ranks.p == pytest.approx(scipy.stats.friedmanchisquare(*values).pvalue)
    by_hand = scipy.stats.rankdata([-each for each in values], axis=0).mean(axis=1)
    assert list(ranks.mean.values()) == pytest.approx(by_hand.tolist())


def test_the_critical_difference_is_that_of_the_published_table():
    """Demsar 2006, Section 3.2.2: four classifiers on 14 data sets, q = 2.569, CD = 1.25."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)


def test_models_that_draw_nothing_are_trained_twice_at_most(found):
    runs = {path.name for path in (found.out / "runs/toy").iterdir()}
    assert {"bprmf-2", "Most-popular_100-1"} <= runs
    assert "Most-popular_100-2" not in runs
    assert found.figure("toy", ROWS[0]["name"], "ndcg@5").seeds == 3


def test_every_epoch_is_tracked(found):
    lines = (found.out / "tracks/toy/bprmf-0/jsonl/epochs.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert [line.get("epoch") for line in told] == [1, 2, 3, None]
    history = load_run(found.out / "runs/toy/bprmf-0").history
    assert [line["ndcg@10"] for line in told[:3]] == [one["ndcg@10"] for one in history]
    assert "test/ndcg@20" in told[3]["final"]


def test_tables_and_pictures_hold_every_row(found):
    for path in draw_bench(found):
        assert path.read_bytes().startswith(b"\x89PNG")
    results = pl.read_csv(found.out / "tables/results.csv")
    assert results["mean"].to_list() == pytest.approx([one.mean for one in found.figures])
    text = (found.out / "tables/results.tex").read_text()
    assert r"Most \& popular\_100\%" in text
    assert "Most & popular_100%" not in text
    assert r"Most & popular\_100%" in (found.out / "tables/results.md").read_text()
    assert text == results_latex(found)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("a_b^2~c", r"a\_b\textasciicircum{}2\textasciitilde{}c"),
        ("50% of #1 & $2\n%", r"50\% of \#1 \& \$2 \%"),
    ],
)
def test_latex_takes_no_label_for_a_command(text, escaped):
    assert latex(text) == escaped


def test_constant_scores_tie_everywhere(stored, tmp_path):
    """Two rows that are one: no difference, mean ranks alike, nothing divided by zero."""
    twins = [{"model": "popularity", "name": name} for name in ("a", "b")]
    found = run_experiment(stated(stored, models=twins, seeds=[0, 1]), out=tmp_path / "o")
    assert all(gap.mean == 0 and gap.p_adjusted == 1 for gap in found.gaps)
    assert {gap.verdict for gap in found.gaps} == {"no difference shown"}
    assert found.ranks[0].mean == {"a": 1.5, "b": 1.5}
    assert found.ranks[0].p == 1
    draw_bench(found)


def test_a_test_part_that_is_compared_with_does_not_choose(found):
    """The row to compare with is the best on validation."""
    best = max(
        (np.mean([c["valid"]["ndcg@10"] for c in _summaries(found, name)]), name)
        for name in ("Most-popular_100", "bprmf")
    )[1]
    assert {folder_name(gap.against) for gap in found.gaps} == {best}


def test_rows_are_not_chosen_by_metrics_of_their_own():
    def cell(metric, **valid):
        return SimpleNamespace(record={"metric": metric, "summary": {"valid": valid}})

    experiment = SimpleNamespace(against=None, metrics=("ndcg@20",))
    cells = {
        "high": [cell("recall@10", **{"recall@10": 0.9, "ndcg@20": 0.1})],
        "best": [cell("ndcg@10", **{"ndcg@10": 0.3, "ndcg@20": 0.2})],
    }
    assert _Table._against(SimpleNamespace(experiment=experiment, cells=cells)) == "best"


def _summaries(found, name):
    paths = sorted((found.out / "values/toy").glob(f"{name}-*.json"))
    return [json.loads(path.read_text())["summary"] for path in paths]


KILLED = """
import os, signal, sys
import kgrec.study.trackers as trackers
from kgrec.cli import run
left = int(sys.argv[1])
def count(self, state, report=trackers.Tracking.__call__):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    report(self, state)
trackers.Tracking.__call__ = count
sys.exit(run(["-q", "run", "e.toml", "--out", "o", *sys.argv[2:]]))
"""


@pytest.mark.slow
def test_killed_twice_the_figures_are_the_same(found, stored, tmp_path, forks):
    """kill -9 in the middle of two trainings; the third call ends it."""
    lines = ['name = "toy"', f'data = "{stored}"', "seeds = [0, 1, 2]"]
    lines += ['metrics = ["ndcg@5", "recall@10"]', 'trackers = ["jsonl"]']
    lines += ["[[models]]", 'model = "popularity"', 'name = "Most & popular_100%"']
    lines += ["[[models]]", 'model = "bprmf"', "settings = { dim = 4, batch_size = 64 }"]
    (tmp_path / "e.toml").write_text("\n".join([*lines, "[budget]", "epochs = 3"]) + "\n")
    for epochs, resume in ((2, []), (5, ["--resume"])):
        done = forks.run(["-c", KILLED, epochs, *resume], tmp_path)
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "o/tables").exists()
    done = forks.run(["-m", "kgrec", "-q", "run", "e.toml", "--out", "o", "--resume"], tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("results.csv", "differences.csv", "groups.csv", "results.tex"):
        again, whole = (folder / "tables" / name for folder in (tmp_path / "o", found.out))
        assert again.read_bytes() == whole.read_bytes(), name
    tracked = "tracks/toy/bprmf-0/jsonl/epochs.jsonl"
    assert len((tmp_path / "o" / tracked).read_text().splitlines()) == 4
    assert not list((tmp_path / "o").rglob(".*"))


def test_a_finished_folder_is_not_run_again_by_accident(found, stored):
    with pytest.raises(CheckpointError, match="--resume"):
        run_experiment(stated(stored), out=found.out)


def test_rows_and_seeds_can_be_added(stored, tmp_path):
    first = run_experiment(stated(stored, seeds=[0]), out=tmp_path / "o")
    kept = (tmp_path / "o/values/toy/bprmf-0.parquet").stat().st_mtime_ns
    rows = [*ROWS, {"model": "ease"}]
    more = run_experiment(stated(stored, seeds=[0, 4], models=rows), out=first.out, resume=True)
    assert (tmp_path / "o/values/toy/bprmf-0.parquet").stat().st_mtime_ns == kept
    assert more.figure("toy", "ease", "ndcg@5").seeds == 2


def test_other_settings_of_a_row_are_refused(stored, tmp_path):
    run_experiment(stated(stored, seeds=[0]), out=tmp_path / "o")
    rows = [ROWS[0], {"model": "bprmf", "settings": {"dim": 8, "batch_size": 64}}]
    with pytest.raises(CheckpointError, match="bprmf was trained with given"):
        run_experiment(stated(stored, seeds=[0], models=rows), out=tmp_path / "o", resume=True)


def test_seconds_cut_a_training_and_the_table_says_so(stored, tmp_path):
    rows = [{"model": "bprmf", "settings": {"dim": 4, "patience": 0}}]
    budget = {"seconds": 1e-6, "epochs": 50}
    found = run_experiment(
        stated(stored, models=rows, budget=budget, seeds=[0]), out=tmp_path / "o"
    )
    assert found.figures[0].note == "cut"
    assert found.costs["epochs"][0] == 1
    assert "(cut)" in (tmp_path / "o/tables/results.md").read_text()


def test_settings_are_searched_by_the_budget(stored, tmp_path):
    fixed = {"batch_size": 64, "init_scale": 0.1, "item_bias": False, "l2_weight": 0.0}
    fixed["learning_rate"] = 0.01  # all that could be searched
    rows = [
        {"model": "bprmf", "settings": {"batch_size": 64}},
        {"model": "bprmf", "name": "fixed", "preset": "fast", "settings": fixed},
        {"model": "popularity"},
    ]
    budget = {"trials": 2, "minutes": 5, "epochs": 2}
    found = run_experiment(
        stated(stored, models=rows, budget=budget, seeds=[0]), out=tmp_path / "o"
    )
    trials = pl.read_csv(tmp_path / "o/tune/toy/bprmf/trials.csv")
    assert trials.height == 2
    record = json.loads((tmp_path / "o/values/toy/bprmf-0.json").read_text())
    best = trials.sort("ndcg@10", descending=True).row(0, named=True)
    searched = set(best) & set(record["settings"])
    assert searched
    assert all(record["settings"][name] == best[name] for name in searched)
    assert record["settings"]["epochs"] == 2
    assert "trials 2" in (tmp_path / "o/tables/results.md").read_text()
    kept = json.loads((tmp_path / "o/values/toy/fixed-0.json").read_text())
    assert kept["preset"] == "fast", "where nothing is left to search, the row's preset holds"
    assert not (tmp_path / "o/tune/toy/fixed").exists()
    assert found.figures


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": [{"model": "lightgnc"}]}, r"models\[1\].*unknown model 'lightgnc'.*lightgcn"),
        ({"models": [{"model": "bprmf", "settings": {"dims": 3}}]}, r"models\[1\].*'dims'.*dim"),
        ({"models": [{"model": "bprmf", "preset": "nope"}]}, "no preset 'nope'"),
        ({"models": [{"model": "ease"}, {"model": "ease"}]}, "ease is there twice"),
        ({"models": [{"model": "ease", "presets": "x"}]}, "unknown key 'presets'.*preset"),
        ({"models": []}, "models is empty"),
        ({"models": [{"name": "x"}]}, "names no model"),
        ({"data": []}, "data is empty"),
        ({"data": [{"name": "x"}]}, "neither a source nor parts"),
        ({"seeds": [0, 1, 0]}, "seeds: 0 is there twice"),
        ({"seeds": [-1]}, "whole numbers of 0 or more"),
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": [True]}, "whole numbers"),
        ({"budget": {"epochs": 0}}, "epochs = 0 is not a whole number of at least 1"),
        ({"budget": {"trials": 0}}, "trials = 0"),
        ({"budget": {"seconds": 0}}, "seconds = 0 is not a number above 0"),
        ({"budget": {"seconds": float("nan")}}, "seconds = nan"),
        ({"budget": {"minutes": 3}}, "they need trials"),
        ({"budget": {"trial": 3}}, "unknown key 'trial'.*trials"),
        ({"metrics": ["ndgc@20"]}, "unknown metric 'ndgc'.*ndcg"),
        ({"metrics": ["ndcg"]}, "needs a cutoff"),
        ({"metrics": ["ndcg@10", "ndcg@10"]}, "ndcg@10 is there twice"),
        ({"metrics": "ndcg@10"}, "not a list of texts"),
        ({"against": "bprfm"}, "none of the models.*bprmf"),
        ({"on": "train"}, "neither"),
        ({"protocol": "rankings"}, "unknown protocol.*ranking"),
        ({"trackers": ["tensorbord"]}, "unknown tracker 'tensorbord'.*tensorboard"),
        ({"trackers": ["jsonl:x"]}, "takes no address"),
        ({"seed": 3}, "unknown key 'seed'.*seeds"),
        ({"name": 3}, "name = 3 is not text"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_line(change, message, stored, tmp_path):
    with pytest.raises(ConfigError, match=message) as caught:
        run_experiment(stated(stored, **change), out=tmp_path / "o")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "o").exists()


def test_a_tracker_that_is_missing_or_unreachable_is_said(stored, tmp_path, monkeypatch):
    from kgrec.study import trackers

    find_spec = trackers.importlib.util.find_spec
    monkeypatch.setattr(
        trackers.importlib.util,
        "find_spec",
        lambda name: None if name in ("wandb", "mlflow") else find_spec(name),
    )
    with pytest.raises(ConfigError, match=r"wandb, which is not installed.*kgrec\[wandb\]"):
        run_experiment(stated(stored, trackers=["wandb"]), out=tmp_path / "o")

    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: object())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refuses at once
        address = f"mlflow:http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=r"cannot be reached.*Start the server"):
            run_experiment(stated(stored, trackers=[address]), out=tmp_path / "o")
    with pytest.raises(ConfigError, match="cannot be reached"):
        run_experiment(stated(stored, trackers=["mlflow:nowhere"]), out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_split_that_a_model_cannot_use_is_said_before_anything_is_trained(stored, tmp_path):
    rows = [{"model": "bprmf"}, {"model": "sasrec"}]
    with pytest.raises(DataError, match="sasrec needs sequences"):
        run_experiment(stated(stored, models=rows), out=tmp_path / "o")
    bare = tmp_path / "bare"
    replace(worlds.toy(), test=Interactions()).save(bare)
    with pytest.raises(DataError, match="no interactions in its test part"):
        run_experiment(stated(bare, models=ROWS), out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_the_command_line_says_where_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.toml").write_text('models = ["bprmf"]\ndata = "films"\nseeds = [1, 1]\n')
    assert command(["-q", "run", "e.toml"]) == 2
    error = capsys.readouterr().err
    assert error == "kgrec: e.toml: seeds: 1 is there twice. Leave one out, or rename it.\n"
    (tmp_path / "e.toml").write_text("models = [\n")
    assert command(["-q", "run", "e.toml"]) == 2
    assert "not TOML" in capsys.readouterr().err
    assert command(["-q", "run", "nothing.toml"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["e.toml"]


def test_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/clicks.csv").write_text("user,item\na,b\n")
    (tmp_path / "in/e.toml").write_text(
        'models = ["ease"]\n[[data]]\nname = "c"\ninteractions = "clicks.csv"\nk_core = 2\n'
    )
    (choice,) = read_experiment(tmp_path / "in/e.toml").data
    wanted = str(tmp_path / "in/clicks.csv")
    assert (choice.source, choice.options) == ("", {"interactions": wanted, "k_core": 2})


def test_another_protocol_has_its_own_values(stored, tmp_path):
    found = run_experiment(
        stated(stored, protocol="ctr", metrics=["user_auc"], seeds=[0]), out=tmp_path / "o"
    )
    run = load_run(tmp_path / "o/runs/toy/bprmf-0")
    values = run.evaluate("test", protocol="ctr", dataset=stored).per_user
    warm = np.isin(run.data.users.rows(values["user"].to_list()), run.data.train.user)
    expected = values.filter(pl.Series(warm))["user_auc"].drop_nulls().mean()
    assert found.figure("toy", "bprmf", "user_auc").mean == pytest.approx(expected)
    with pytest.raises(ConfigError, match=r"no value per user under protocol ctr.*user_auc"):
        run_experiment(
            stated(stored, protocol="ctr", metrics=["ndcg@5"], seeds=[0]), out=tmp_path / "p"
        )


def test_values_are_over_the_groups_that_evaluate_gives(found, stored):
    """The group of everything is plain evaluation."""
    run = load_run(found.out / "runs/toy/bprmf-1")
    from kgrec.data.storage import open_dataset
    from kgrec.models.fallback import served

    report = evaluate(
        served(run.model, run.scorer(), run.data, run.fallback), open_dataset(stored), ks=(5, 10)
    )
    kept = pl.read_parquet(found.out / "values/toy/bprmf-1.parquet")
    whole = kept.filter(pl.col("items") == "all users and items").sort("user")
    assert whole["ndcg@5"].to_list() == report.per_user.sort("user")["ndcg@5"].to_list()
