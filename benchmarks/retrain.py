"""What the drops of explanations are worth beside real retraining.

python benchmarks/retrain.py films --models ease-kg lightgcn-kg    measure, keep the figures
python benchmarks/retrain.py --report                              write the page and worth.json

A case is a user, the user's first recommendation, and one of the paths that explain it. Measured of
each: what the score loses without the path's like and facts, without the like, without the facts,
at inference (the trained model, run again), by the estimate (training continued on the edited
data), and by real retraining on several seeds (a closed form: by a refit). A retraining starts from
its seed's own initial parameters, has no seed in common with the run that is explained, and has the
draws of its control, which trains on everything. It takes the likes and facts of --together cases
at once, of different users each, grouped by chance for every seed; 1 takes them one by one.

Figures are kept in --cache, and --report writes docs/results/retrain.md, the table in
docs/explanations.md, and kgrec/explanation/training/worth.json, from which labels come. ml-100k is looked for in
KGREC_SHARED_DATA, else in ../shared/data.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

import kgrec
from kgrec.data.derive.removal import Removal
from kgrec.data.records.dataset import Dataset
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.explanation.training.effects import Refits
from kgrec.explanation.training.removals import StatedFacts
from kgrec.graph.ckg import USER_FACT
from kgrec.models.capabilities import HistoryEditable, Refittable
from kgrec.runs.retraining import EPOCHS, Retraining
from kgrec.runs.run import Run, build_model

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/results/retrain.md"
WORTH = ROOT / "kgrec/explanation/training/worth.json"
SHARED = Path(os.environ.get("KGREC_SHARED_DATA", "../shared/data"))
DOCS = ROOT / "docs/explanations.md"
BEGIN, END = "<!-- retrain -->", "<!-- end of retrain -->"
HEAD = """# Drops beside real retraining

Written by `benchmarks/retrain.py`, whose docstring says how it is measured. Drops are means over paths, with the standard error;
correlations are Spearman's with the retrained drop, in brackets 95 % intervals over paths. Reliability is the correlation of the
retrained drops of disjoint halves of the seeds: no number can be expected to correlate better than about its square root. Of a
closed form a refit has no seeds, and the effects are those of the refit.
"""
PARTS = ("whole", "like", "facts")
RESAMPLES = 1000


def dataset(name: str) -> Dataset:
    """Return a data set by name."""
    if name != "ml-100k":
        return kgrec.load(name)

    films = SHARED / "ml-100k"
    parts = {part: str(films / "split" / f"{part}.tsv") for part in ("train", "valid", "test")}
    facts = {"kg": str(films / "dbpedia-films.nt"), "links": str(films / "dbpedia-films.link.tsv")}
    return Dataset.build(**parts, **facts, name="ml-100k")


def cases_of(run: Run, wanted: int) -> list[tuple[int, int, dict[str, Removal]]]:
    """Return user, item, and what is removed: one path each of so many users."""
    draws = np.random.default_rng(0)
    data = run.data
    stated = StatedFacts(data)
    explainer = run.explainer(users="hide")
    found = []

    for user in draws.permutation(np.unique(data.train.user)).tolist():
        key = data.users.key(user)
        item = run.recommend([key], k=1)["item"][0]
        paths = [path for path in explainer.explain(key, item, k=10).paths if path.length > 2]
        if not paths:
            continue

        rests_on = stated.of(paths[draws.integers(len(paths))])
        if rests_on is None or not rests_on.like:
            continue

        whole = rests_on.like | rests_on.facts
        removals = {"whole": whole, "like": rests_on.like, "facts": rests_on.facts}
        found.append((user, data.items.row(item), removals))
        if len(found) == wanted:
            break

    return found


def at_inference(
    explained: ExplainedModel, user: int, item: int, removals: Sequence[Removal]
) -> list[float]:
    """Return what the score of the trained model loses without each removal."""
    effects = explained.effects_at(user, item)
    if effects is not None:
        groups = [_edges(explained, removal) for removal in removals]
        first, *rest = effects.without(groups)[0]
        return [float(first - score) for score in rest]

    model = explained.model_effects
    assert isinstance(model, HistoryEditable)
    own = explained.liked(user)
    histories = [np.setdiff1d(own, removal.items_of(user)) for removal in removals]
    scores = model.history_scores(user, [torch.from_numpy(items) for items in (own, *histories)])
    first, *rest = scores[:, item].double().tolist()
    return [first - score for score in rest]


def _edges(explained: ExplainedModel, removal: Removal) -> np.ndarray:
    """Return the edges of the path graph that hold what is removed."""
    graph = explained.graph
    ckg = graph.ckg
    gone = (ckg.fact >= 0) & np.isin(ckg.fact, removal.triples)
    for user, item in removal.interactions:
        gone |= (ckg.head == ckg.user_node(user)) & (ckg.relation == 0) & (ckg.tail == item)

    gone[np.flatnonzero(ckg.fact == USER_FACT)[list(removal.user_facts)]] = True
    return np.unique(graph.edge_of_fact()[gone[graph.edge_facts()]])


def measure(data: Dataset, name: str, options: argparse.Namespace, file: Path) -> None:
    """Measure the drops of all cases of a model, by kind and part, retrained ones by seed; the file
    is written after each.
    """
    began = time.perf_counter()
    run = kgrec.fit(name, data, preset=options.preset, seed=0)
    cases = cases_of(run, options.cases)
    explained = run.explainer().explained
    drops = [at_inference(explained, u, i, list(parts.values())) for u, i, parts in cases]
    print(f"{name}: {len(cases)} cases, {time.perf_counter() - began:.0f} s", flush=True)
    effects = run.model.explanation_effects()
    if isinstance(effects, Refittable):
        estimate = [_drops(Refits(effects), u, i, parts) for u, i, parts in cases]
        retrained = [estimate]  # the refit itself
    else:
        continued = retraining(run, 0, options.epochs, start=True)
        estimate = [_drops(continued, u, i, parts) for u, i, parts in cases]
        print(f"{name}: estimates, {time.perf_counter() - began:.0f} s", flush=True)
        retrained = _kept(file, options)

    record = {
        "preset": options.preset,
        "epochs": run.summary["best_epoch"],
        "estimate_epochs": options.epochs,
        "together": options.together,
        "exact": isinstance(effects, Refittable),
        "inference": drops,
        "estimate": estimate,
        "retrained": retrained,
    }
    if isinstance(effects, Refittable):
        file.write_text(json.dumps(record))
        return

    for seed in range(len(retrained) + 1, options.seeds + 1):
        retrained.append(_grouped(run, cases, seed, options.together))
        file.write_text(json.dumps(record))
        print(f"{name}: seed {seed}, {time.perf_counter() - began:.0f} s", flush=True)


def _kept(file: Path, options: argparse.Namespace) -> list[Any]:
    """Return the retrained drops of the seeds that are in the cache, where they are to be kept."""
    if not (options.keep and file.exists()):
        return []
    found: list[Any] = json.loads(file.read_text())["retrained"]
    return found


def retraining(run: Run, seed: int, epochs: int, *, start: bool) -> Retraining:
    """Return what trains a run's model again, or on."""
    return Retraining(
        lambda data, seed: build_model(run.chosen, data, seed),
        run.data,
        run.train_config,
        seed,
        start=dict(run.model.state_dict()) if start else None,
        epochs=epochs,
        title=run.name,
    )


def _drops(
    retrained: Refits | Retraining, user: int, item: int, parts: dict[str, Removal]
) -> list[float]:
    first, *rest = retrained.scores(user, item, [Removal(), *parts.values()])
    return [first - score for score in rest]


def _grouped(
    run: Run, cases: list[tuple[int, int, dict[str, Removal]]], seed: int, together: int
) -> list[list[float]]:
    """Return the drops of all cases by retraining with one seed."""
    again = retraining(run, seed, run.summary["best_epoch"], start=False)
    order = np.random.default_rng(seed).permutation(len(cases))
    found = [[0.0] * len(PARTS) for _ in cases]

    for start in range(0, len(order), together):
        group = order[start : start + together].tolist()
        for column, part in enumerate(PARTS):
            removal = Removal()
            for number in group:
                removal |= cases[number][2][part]

            for number in group:
                user, item, _ = cases[number]
                before = again.score(user, item, Removal())
                found[number][column] = before - again.score(user, item, removal)

    return found


def correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Spearman's rank correlation; None where either is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)


def interval(first: np.ndarray, second: np.ndarray) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval over cases of a rank correlation."""
    draws = np.random.default_rng(0)
    found = []

    for _ in range(RESAMPLES):
        some = draws.integers(len(first), size=len(first))
        value = correlation(first[some], second[some])
        if value is None:
            return None

        found.append(value)

    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def reliability(seeds: np.ndarray) -> float | None:
    """Return the mean rank correlation of the means of disjoint halves of seeds (seeds, cases)."""
    count = len(seeds)
    if count < 2:
        return None

    found = []
    for half in combinations(range(count), count // 2):
        rest = [seed for seed in range(count) if seed not in half]
        found.append(correlation(seeds[list(half)].mean(0), seeds[rest].mean(0)))

    values = [value for value in found if value is not None]
    return float(np.mean(values)) if values else None


def figures(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the figures of one model and data set, by part."""
    retrained = np.array(record["retrained"])  # (seeds, cases, parts)
    out = []

    for column, part in enumerate(PARTS):
        target = retrained[:, :, column].mean(0)
        row: dict[str, Any] = {"part": part, "paths": len(target), "seeds": len(retrained)}
        row["drop"] = float(target.mean())
        row["error"] = float(target.std(ddof=1) / len(target) ** 0.5)
        row["reliability"] = reliability(retrained[:, :, column])

        for kind in ("inference", "estimate"):
            drops = np.array(record[kind])[:, column]
            row[kind] = correlation(drops, target)
            row[f"{kind}_interval"] = interval(drops, target)

        out.append(row)

    return out


def report(cache: Path) -> None:
    """Write the page and the figures that ship; what stands there and is not in the cache stays."""
    page = PAGE.read_text().splitlines() if PAGE.exists() else []
    table = _standing(page)
    settings = {line[2:].partition(":")[0]: line for line in page if line.startswith("- ")}
    worth: dict[str, dict[str, Any]] = json.loads(WORTH.read_text()) if WORTH.exists() else {}

    for file in sorted(cache.glob("*.json")):
        data, _, model = file.stem.partition("--")
        record = json.loads(file.read_text())
        rows = {row["part"]: row for row in figures(record)}
        title = f"{model}, {data}"
        table[title] = [
            f"| {title} | {name} | {rows[part]['paths']}, "
            f"{'-' if record['exact'] else rows[part]['seeds']} "
            f"| {rows[part]['drop']:.4f} ± {rows[part]['error']:.4f} "
            f"| {_shown(rows[part], 'inference')} "
            f"| {'exact' if record['exact'] else _shown(rows[part], 'estimate')} "
            f"| {_number(rows[part]['reliability'])} |"
            for part, name in zip(PARTS, ("like and facts", "the like", "the facts"), strict=True)
        ]

        if not record["exact"]:
            kept: dict[str, Any] = {
                "paths": rows["whole"]["paths"],
                "seeds": rows["whole"]["seeds"],
            }
            kept |= {part: _rounded(rows[part]["estimate"]) for part in PARTS}
            kept["reliability"] = {part: _rounded(rows[part]["reliability"]) for part in PARTS}
            worth.setdefault(model, {})[data] = kept
            settings[title] = (
                f"- {title}: preset {record['preset']}, {record['epochs']} epochs a "
                f"retraining; estimates of {record['estimate_epochs']} epochs; "
                f"{record['together']} cases together."
            )

    lines = [
        "| model, data | without | paths, seeds | retrained drop | at inference | estimate "
        "| reliability |",
        "|---|---|---|---|---|---|---|",
        *(row for title in sorted(table) for row in table[title]),
    ]
    below = [settings[title] for title in sorted(settings)]
    PAGE.write_text("\n".join([HEAD, *lines, "", *below, ""]))
    before, _, rest = DOCS.read_text().partition(BEGIN)
    DOCS.write_text("\n".join([f"{before}{BEGIN}", *lines, f"{END}{rest.partition(END)[2]}"]))
    WORTH.write_text(json.dumps(worth, indent=2) + "\n")


def _standing(page: list[str]) -> dict[str, list[str]]:
    """Return the rows of a page by "model, data"."""
    found: dict[str, list[str]] = {}
    for line in page:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and ", " in cells[0] and cells[0] != "model, data":
            found.setdefault(cells[0], []).append(line)

    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _shown(row: dict[str, Any], kind: str) -> str:
    if row[kind] is None:
        return "all 0"
    if row[f"{kind}_interval"] is None:
        return _number(row[kind])
    low, high = row[f"{kind}_interval"]
    return f"{_number(row[kind])} ({_number(low)} to {_number(high)})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", help="films, ml-100k, or what kgrec.load takes")
    parser.add_argument("--models", nargs="+", default=["ease-kg", "lightgcn-kg", "kgat"])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of an estimate")
    parser.add_argument("--together", type=int, default=30)
    parser.add_argument(
        "--keep", action="store_true", help="retrained drops of seeds in the cache, same settings"
    )
    parser.add_argument("--cache", type=Path, default=Path("bench/retrain"))
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)

    if options.data:
        data = dataset(options.data)
        for name in options.models:
            file = options.cache / f"{options.data}--{name}.json"
            measure(data, name, options, file)
            print(json.dumps(figures(json.loads(file.read_text())), indent=1), flush=True)

    if options.report or not options.data:
        report(options.cache)


if __name__ == "__main__":
    main()
