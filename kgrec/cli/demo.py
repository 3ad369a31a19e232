"""``kgrec demo``: the whole way on the bundled films, from Turtle to a ranked list and its
reason.
"""

import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgrec.cli.info import show_dataset
from kgrec.cli.options import SeedOption
from kgrec.cli.output import show_frame, show_table, whole
from kgrec.errors import CheckpointError
from kgrec.escaping import clean

if TYPE_CHECKING:
    import polars as pl

    from kgrec.data.records.dataset import Dataset
    from kgrec.evaluation.report import Report
    from kgrec.runs.run import Run

# Settings for this data, each model's chosen on the validation part; KGAT and its control share
# theirs.
_PLAIN: dict[str, Any] = {
    "dim": 128,
    "temperature": 0.3,
    "l2_weight": 0.1,
    "init_scale": 0.01,
    "epochs": 40,
    "patience": 5,
}
_GRAPH: dict[str, Any] = {**_PLAIN, "temperature": 0.2, "l2_weight": 10.0}
_KGAT: dict[str, Any] = {"temperature": 0.25, "kg_steps": 1, "epochs": 40, "patience": 5}

# What the table shows: label, model, kind of bar, settings. The last one is the control.
_MODELS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("Popularity", "popularity", "interactions", {}),
    (
        "BPR-MF",
        "bprmf",
        "interactions",
        {"learning_rate": 0.005, "l2_weight": 0.05, "epochs": 60, "patience": 5},
    ),
    ("LightGCN", "lightgcn", "interactions", _PLAIN),
    ("LightGCN + KG", "lightgcn-kg", "knowledge", _GRAPH),
    ("KGAT", "kgat", "knowledge", _KGAT),
    ("KGAT, shuffled KG", "kgat", "shuffled", _KGAT),
)
_COLUMNS = ("recall@20", "ndcg@20", "mrr@10", "coverage@20")
_EXPLAINED = 3
_INTRO = (
    "The facts about films are true; the users and what they watched are simulated. Each path "
    "was removed from the graph and the "
    "model run again: its number is how far the score fell."
)
_PAGES = ("metrics.png", "paths.html")
_RUN = "run"


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for metrics.png, paths.html and the run.")
    ] = Path("kgrec-demo"),
    seed: SeedOption = 0,
) -> None:
    """Go the whole way on the bundled films.

    Reads the graph, trains six models, evaluates, recommends and explains, in under two minutes on
    two cores.
    """
    _check_place(out)
    from kgrec.data.formats.load import load

    began = perf_counter()
    data = load("films")
    _heading("1. The graph", f"read from Turtle in {perf_counter() - began:.1f} s")
    show_dataset(data)
    _heading(
        "2. Models",
        "trained with early stopping on validation data, evaluated once on test data over the "
        "whole "
        "catalog",
    )
    runs = _train(data, seed)
    for label, control in (("KGAT", "KGAT, shuffled KG"), ("LightGCN + KG", "LightGCN")):
        print(_difference(label, runs[label][2], control, runs[control][2]))

    best = max(
        (run for run in runs.values() if run[1] == "knowledge"),
        key=lambda run: run[2].metrics["ndcg@20"],
    )[0]
    user = data.users.key(0)
    _heading("3. Ten recommendations", f"for user {clean(user)}, by {best.name}")
    films = best.recommend([user], k=10)
    show_frame(films.select("rank", "label", "score"), "table", None)
    _explain(best, user, films, out)
    whole(out / _PAGES[0], lambda path: _draw(runs, data, path))
    best.save(out / _RUN)
    print(
        f"\nWritten: {', '.join(clean(str(out / page)) for page in (*_PAGES, _RUN))}. The whole "
        f"demonstration took {perf_counter() - began:.0f} s.\n\nLook at the paths in the browser:"
        f"\n\n    {_command()} inspect {clean(str(out / _RUN))}"
    )


def _command() -> str:
    """Return how kgrec was started, so that the same environment is found again."""
    started = Path(sys.argv[0])
    if started.stem == "kgrec":
        return clean(str(started))
    return f"{clean(sys.executable)} -m kgrec"


def _check_place(out: Path) -> None:
    """Refuse a place that is not a folder, before minutes are spent."""
    if out.exists() and not out.is_dir():
        raise CheckpointError(
            f"{out}: exists and is not a folder. Choose another place with --out."
        )

    out.mkdir(parents=True, exist_ok=True)
    from kgrec.runs.folder import refuse_foreign

    refuse_foreign(out / _RUN, overwrite=True)


def _heading(title: str, note: str) -> None:
    print(f"\n{title}: {note}\n", flush=True)


def _train(data: "Dataset", seed: int) -> "dict[str, tuple[Run, str, Report]]":
    from kgrec.data.derive.shuffle_triples import shuffle_triples
    from kgrec.log import logger
    from kgrec.random import numpy_generator
    from kgrec.runs.fit import fit

    control = shuffle_triples(data, generator=numpy_generator(seed, "shuffled triples"))
    done: dict[str, tuple[Run, str, Report]] = {}
    rows = []

    for label, model, kind, settings in _MODELS:
        began = perf_counter()
        run = fit(model, control if kind == "shuffled" else data, seed=seed, **settings)
        report = run.evaluate(k=(10, 20))
        seconds = perf_counter() - began
        logger.info("%s trained in %.0f s", label, seconds)
        done[label] = (run, kind, report)
        rows.append(
            (
                label,
                *(f"{report.metrics[name]:.4f}" for name in _COLUMNS),
                run.summary["best_epoch"],
                f"{seconds:.1f}",
            )
        )

    show_table(
        ("model", *_COLUMNS, "epochs", "seconds"), rows, right=(*_COLUMNS, "epochs", "seconds")
    )
    return done


def _difference(label: str, report: "Report", control: str, other: "Report") -> str:
    """Return in words by how much a model is ahead of its control, paired by user."""
    gap = report.per_user["ndcg@20"] - other.per_user["ndcg@20"]
    mean = float(gap.sum()) / report.users
    half = 1.96 * _spread(gap) / report.users**0.5
    if mean > half:
        verdict = "ahead"
    elif mean < -half:
        verdict = "behind"
    else:
        verdict = "no difference that these users can show"

    return (
        f"{label} against {control}: NDCG@20 {mean:+.4f} ± {half:.4f} (95 % interval over "
        f"users): {verdict}"
    )


def _spread(values: "pl.Series") -> float:
    return float(values.to_numpy().std(ddof=1))


def _explain(run: "Run", user: str, films: "pl.DataFrame", out: Path) -> None:
    from kgrec.explanation.render.html import page

    explainer = run.explainer()
    explained = [explainer.explain(user, item, k=5) for item in films["item"][:_EXPLAINED]]
    _heading(
        "4. Why the first one",
        "each number is the drop of its score, measured by removing the path and running the "
        "model again",
    )
    print(explained[0].to_text())
    text = page(explained, f"Why these films for {user}?", _INTRO, films.to_dicts())
    whole(out / _PAGES[1], lambda path: path.write_text(text, encoding="utf-8"))


def _draw(runs: "dict[str, tuple[Run, str, Report]]", data: "Dataset", path: Path) -> None:
    from kgrec.reports.plots import Bar, plot_metrics

    shown = ("ndcg@20", "recall@20")
    bars = []

    for label, (_, kind, report) in runs.items():
        errors = {name: 1.96 * _spread(report.per_user[name]) / report.users**0.5 for name in shown}
        bars.append(Bar(label, kind, {name: report.metrics[name] for name in shown}, errors))

    size = (
        f"{data.num_items} films, {len(data.triples):,} triples, {data.num_users:,} simulated users"
    )
    note = f"Bundled films: {size}. Whiskers: 95 % interval over users."
    plot_metrics(bars, shown, "Does the knowledge graph earn its keep?", note, path)
