"""The tables of docs/results/fuse.md: kgfuse against every single model, its controls, cold items and
short histories, exactness, and seconds.

python benchmarks/fuse.py --data films
python benchmarks/fuse.py --data ml-100k ml1m-kg lastfm-dbpedia
    three seeds of each; the larger sets take hours on one core
python benchmarks/fuse.py --data ml-100k --seeds 0 --rows kgfuse "no triples"
python benchmarks/fuse.py --report
    the page again, from what is there

Everything is kept under --out (default: bench/fuse), a folder per data set, and resumable: what is
there is not computed again, and a training that was cut off goes on from its last epoch. The test
part is ranked once per training; all choices are made on validation, inside `fit`. Parts of the page
are written anew for the data sets that are named (with --report, if none is: whose results are there);
the others stay. Data are looked for in KGREC_SHARED_DATA, else in ../shared/data.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from results import dataset as built

import kgrec
from kgrec.data.derive.removal import Removal, without
from kgrec.data.derive.shuffle_triples import shuffle_triples
from kgrec.data.derive.variants import user_groups, without_graph
from kgrec.data.records.dataset import Dataset
from kgrec.evaluation.report import Report, evaluate
from kgrec.evaluation.significance import paired
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.models.catalog import MODELS
from kgrec.models.fallback import served
from kgrec.models.linear.base import AttributeRidge
from kgrec.runs.fit import fit_chosen, measured_by
from kgrec.runs.run import Run
from kgrec.runs.settings import choose
from kgrec.training.config import TrainConfig
from kgrec.training.loop import rounds_of

PAGE = Path(__file__).resolve().parent.parent / "docs/results/fuse.md"
SETS = ("films", "ml-100k", "ml1m-kg", "lastfm-dbpedia")
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
SHOWN = ("recall@20", "ndcg@20")
OURS = "kgfuse"
SINGLES = (
    *("popularity", "itemknn", "ease", "ease-kg", "ials", "gfcf", "bprmf", "lightgcn"),
    *("lightgcn-kg", "cfkg", "kgat", "kgin", "cke"),
)
CONTROLS = ("no triples", "shuffled triples")
PARTS = {"A alone": "item weights", "B alone (g = 0)": "vectors"}
GOALS = {
    "films": (0.311, 0.233),
    "ml-100k": (None, 0.356),
    "ml1m-kg": (0.315, 0.222),
    "lastfm-dbpedia": (0.334, 0.324),
}
ABOUT = {
    "ml-100k": (
        "The graph is RecBole's, whose links name the facts of other films ([links](links.md)): what "
        "facts are worth to these items is not seen here."
    )
}
NOTES = """Written by `benchmarks/fuse.py`: test parts of the given splits, the whole catalog ranked, training and validation
items left out. Every choice is made on validation, inside `fit` ([the model's page](../models/kgfuse.md)). kgfuse and the
single models are at their preset `default`; figures are means over the seeds, with the standard deviation where there are
several. A difference is kgfuse minus the row, user by user, means over seeds first, with a 95 % bootstrap interval over
users. Seconds are those of the machine it ran on, with whatever else ran there.
"""


def data_of(name: str, out: Path) -> Dataset:
    """Return a data set by name."""
    if name == "films":
        return kgrec.load("films")
    out.mkdir(parents=True, exist_ok=True)
    return kgrec.load(built(name, out))


def variant(data: Dataset, row: str, seed: int) -> Dataset:
    """Return the data that a row is trained on."""
    if row == "no triples":
        return without_graph(data)
    if row == "shuffled triples":
        return shuffle_triples(data, generator=np.random.default_rng(seed))
    return data


def trained(data: Dataset, row: str, seed: int, place: Path, preset: str) -> Run:
    """Train a row, or go on with it."""
    model = row if row in MODELS else OURS
    if row in MODELS:
        return kgrec.fit(
            model, data, seed=seed, preset=preset, out=place, resume=True, fallback="off"
        )

    # a model that needs triples is trained without any
    chosen = choose(model, preset, {})
    edited = variant(data, row, seed)
    return fit_chosen(measured_by(chosen, edited), edited, seed=seed)


def values(report: Report) -> dict[str, Any]:
    """Return what is kept of a report: means, and the values of users."""
    return {
        "test": {name: report.metrics[name] for name in METRICS},
        "cold items": report.cold_item_part.to_dict()["metrics"],
        "users": [str(key) for key in report.per_user.to_series(0)],
        "per_user": {name: report.per_user[name].to_list() for name in SHOWN},
    }


def write(path: Path, found: Any) -> None:
    """Write a result, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(found) + "\n")
    fresh.replace(path)


def once(path: Path, make: Callable[[], Any]) -> Any:
    """Return a result that is there, else make and keep it."""
    if not path.is_file():
        write(path, make())
    return json.loads(path.read_text())


def one(data: Dataset, row: str, seed: int, out: Path, preset: str) -> None:
    """Train and measure one row with one seed; of kgfuse also each member, and what is exact."""
    goal = out / "rows" / f"{row}-{seed}.json"
    if goal.is_file():
        return

    began = time.process_time()
    place = out / "runs" / f"{row}-{seed}"
    place.parent.mkdir(parents=True, exist_ok=True)
    run = trained(data, row, seed, place, preset)
    summary = run.summary
    found = values(run.evaluate("test", k=(10, 20))) | {
        "cpu": time.process_time() - began,
        "epochs": summary["epochs"],
        "best_epoch": summary["best_epoch"],
        "seconds": summary["seconds"],
        "settled": summary.get("settled", {}),
        "valid": summary["valid"],
    }
    if row == OURS:
        members = run.model.trained()
        for name, member in zip(PARTS, members, strict=True):
            with torch.inference_mode():
                scorer = served(member, member.scorer(), data)
                part = values(evaluate(scorer, data, "test", (10, 20)))
            write(out / "rows" / f"{name}-{seed}.json", part)
    elif row in MODELS:
        shutil.rmtree(place, ignore_errors=True)

    write(goal, found)
    test = found["test"]
    print(
        f"{data.name:15} {row:17} seed {seed}  "
        f"R@20 {test['recall@20']:.4f}  N@20 {test['ndcg@20']:.4f}  {found['cpu']:.0f} CPU s",
        flush=True,
    )


def budgets(run: Run, lists: int = 200, length: int = 5) -> dict[str, Any]:
    """Return by how much parts miss their scores, over the first items of some lists."""
    data = run.data
    explained = ExplainedModel(run)
    users = np.unique(data.train.user)
    some = np.random.default_rng(0).permutation(users)[:lists].tolist()
    missed = []
    for user in some:
        frame = run.recommend([data.users.key(user)], k=length)
        for item in frame["item"].to_list():
            budget = explained.budget(user, data.items.row(item))
            assert budget is not None
            parts = [budget.own, budget.bias, *budget.other.values()]
            total = sum(parts) + sum(term.value for term in budget.by_liked)
            missed.append(abs(total - budget.score) / abs(budget.score))

    return {"lists": len(some), "scores": len(missed), "most": max(missed)}


def refits(run: Run, count: int) -> dict[str, Any]:
    """Return by how much the effects of facts on A's scores miss those of refits in float64."""
    data = run.data
    ridge = run.model.item_weights
    config = replace(run.config, precision="float64")
    effects = ridge.explanation_effects()
    draws = np.random.default_rng(0)
    heads = data.triples.head.astype(np.int64)
    weighs = ridge.relation_weights.numpy()[data.triples.relation] > 0
    facts = draws.permutation(np.flatnonzero((heads < data.num_items) & weighs))[:count]
    if not len(facts):
        return {"facts": 0, "most": None}

    def refit(edited: Dataset) -> np.ndarray:
        made = AttributeRidge.from_dataset(edited, config, torch.Generator())
        torch.set_default_dtype(torch.float64)
        try:
            made.fit(*ridge.relation_weights.tolist())
        finally:
            torch.set_default_dtype(torch.float32)
        return np.asarray(made.weights.numpy())

    whole = refit(data)
    missed = []
    for fact in facts.tolist():
        item = int(heads[fact])
        user = int(draws.choice(data.train.user))
        own = data.train.item[data.train.user == user]
        removal = Removal(triples=(fact,))
        before, after = (
            float(effects.refitted_scores(user, [item], one)[0]) for one in (Removal(), removal)
        )
        true = whole[own, item].sum() - refit(without(data, removal))[own, item].sum()
        missed.append(abs((before - after) - true) / max(abs(whole[own, item].sum()), 1e-3))

    return {"facts": len(missed), "most": float(max(missed))}


def epoch_seconds(data: Dataset) -> dict[str, float]:
    """Return CPU seconds of an epoch of B without triples, by rows of users and of interactions."""
    found = {}
    for rows in ("user", "interaction"):
        chosen = choose(
            OURS,
            "default",
            {"rows": rows, "triple_weights": "0", "temperatures": "0.2", "epochs": 2},
        )
        model = chosen.model.from_dataset(data, chosen.config, torch.Generator().manual_seed(0))
        (each,) = rounds_of(model, data, TrainConfig(), seed=0, device=torch.device("cpu"))
        taken = []
        for epoch in (1, 2):
            began = time.process_time()
            for batches in each.batches(epoch):
                each.step(batches)
            taken.append(time.process_time() - began)
        found[rows] = min(taken)

    return found


def work(name: str, out: Path, chosen: argparse.Namespace) -> None:
    """Do what is not there yet of one data set."""
    data = data_of(name, out)
    for row in chosen.rows:
        fixed = row in MODELS and MODELS[row].load()[0].__name__ in _SEEDLESS
        for seed in chosen.seeds[:1] if fixed else chosen.seeds:
            one(
                data, row, seed, out, chosen.preset if row == OURS or row in CONTROLS else "default"
            )

    first = out / "runs" / f"{OURS}-{chosen.seeds[0]}"
    if first.is_dir():
        run = kgrec.load_run(first)
        once(out / "budgets.json", lambda: budgets(run))
        count = chosen.refits if data.num_items < 5000 else min(chosen.refits, 5)
        once(out / "refits.json", lambda: refits(run, count))
        once(out / "epochs.json", lambda: epoch_seconds(data))
        once(out / "groups.json", lambda: groups(data))


_SEEDLESS = ("Popularity", "ItemKNN", "EASE", "EASEKG", "GFCF")


def groups(data: Dataset) -> dict[str, list[str]]:
    """Return the users of the test part by quarter of training interactions."""
    users = np.unique(data.test.user)
    found = user_groups(data, users)
    return {name: [data.users.key(u) for u in users[own]] for name, own in found.items()}


def rows_of(out: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """Return the results that are there, by row and seed."""
    order = [OURS, *PARTS, *CONTROLS, *SINGLES]
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for path in sorted((out / "rows").glob("*.json")):
        row, _, seed = path.stem.rpartition("-")
        found.setdefault(row, {})[int(seed)] = json.loads(path.read_text())

    return {row: found[row] for row in order if row in found}


def by_user(seeds: Iterable[dict[str, Any]], metric: str) -> dict[str, float]:
    """Return each user's mean over seeds."""
    tables = [dict(zip(one["users"], one["per_user"][metric], strict=True)) for one in seeds]
    common = set.intersection(*map(set, tables))
    return {user: mean(table[user] for table in tables) for user in sorted(common)}


def spread(numbers: Sequence[float]) -> str:
    """Return a mean, with the deviation of several."""
    text = f"{mean(numbers):.4f}".removeprefix("0")
    if len(numbers) > 1:
        text += f" ± {stdev(numbers):.4f}".replace("± 0", "± ")
    return text


def gap(ours: dict[str, float], other: dict[str, float], users: Sequence[str] = ()) -> str:
    """Return a mean difference and its interval."""
    wanted = set(users or ours)
    both = [user for user in ours if user in other and user in wanted]
    if not both:
        return ""
    apart = np.array([[ours[u] - other[u]] for u in both])
    (one,) = paired(apart, generator=np.random.default_rng(0))
    return f"{one.mean:+.4f} [{one.low:+.4f}, {one.high:+.4f}]"


def page(out: Path, names: Sequence[str], before: str) -> str:
    """Return the page: parts of some data sets, the others as they were before."""
    lines = ["# KGFuse: figures and controls", "", NOTES]
    kept = {part.split("\n", 1)[0]: f"## {part.rstrip()}" for part in before.split("\n## ")[1:]}
    fresh = {name: section(name, out / name) for name in names}
    parts = {name: fresh.get(name) or [*kept.get(name, "").split("\n"), ""] for name in SETS}
    if missing := [name for name in SETS if not fresh.get(name) and name not in kept]:
        lines += [f"Not run: {', '.join(missing)}.", ""]

    lines += [line for part in parts.values() for line in part]
    return "\n".join(lines).rstrip() + "\n"


def section(name: str, out: Path) -> list[str]:
    """Return the part of one data set."""
    rows = rows_of(out)
    ours = rows.get(OURS)
    if ours is None:
        return []

    order = list(rows)
    recall, ndcg = GOALS[name]
    goal = (f" R@20 ≥ {recall}," if recall else "") + f" N@20 ≥ {ndcg}"
    lines = [f"## {name}", "", f"Goal:{goal}. {ABOUT.get(name, '')}".rstrip(), ""]
    lines += [
        "| row | R@20 | N@20 | kgfuse minus it, R@20 | N@20 | cold items R@20 | CPU s | seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    own = {metric: by_user(ours.values(), metric) for metric in SHOWN}
    for row in order:
        seeds = rows[row]
        cells = [f"**{row}**" if row == OURS else row]
        cells += [spread([one["test"][metric] for one in seeds.values()]) for metric in SHOWN]
        for metric in SHOWN:
            other = by_user(seeds.values(), metric)
            cells.append("" if row == OURS else gap(own[metric], other))

        cold = [one["cold items"].get("recall@20") for one in seeds.values()]
        cells.append(
            spread([c for c in cold if c is not None]) if any(c is not None for c in cold) else ""
        )
        cpu = [one["cpu"] for one in seeds.values() if "cpu" in one]
        cells += [f"{mean(cpu):.0f}" if cpu else "", str(len(seeds))]
        lines.append(f"| {' | '.join(cells)} |")

    missing = [row for row in (*CONTROLS, *SINGLES) if row not in rows]
    if missing:
        lines += ["", f"Not run: {', '.join(missing)}."]

    lines += ["", *histories(rows, out), *facts(ours, out)]
    return lines


def histories(rows: dict[str, dict[int, dict[str, Any]]], out: Path) -> list[str]:
    """Return the table of users by the length of their history, of members and controls."""
    path = out / "groups.json"
    if not path.is_file():
        return []

    found: dict[str, list[str]] = json.loads(path.read_text())
    own = by_user(rows[OURS].values(), "ndcg@20")
    head = ["kgfuse minus, N@20", *found]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in (row for row in (*PARTS, *CONTROLS) if row in rows):
        other = by_user(rows[row].values(), "ndcg@20")
        cells = [row, *(gap(own, other, users) for users in found.values())]
        lines.append(f"| {' | '.join(cells)} |")

    return [*lines, ""]


def facts(ours: dict[int, dict[str, Any]], out: Path) -> list[str]:
    """Return what was chosen, and the lines on exactness and time."""
    lines = []
    for seed, one in sorted(ours.items()):
        settled = one["settled"]
        weights = sorted(set(settled["relation_weights"]))
        shown = ", ".join(f"{weight:g}" for weight in weights)
        lines.append(
            f"- Seed {seed}: g {settled['item_weights'][0]:g}, v {settled['triple_weights'][0]:g}, "
            f"tau {settled['temperatures'][0]:g}, "
            f"w {shown}; {one['epochs']} epochs, the best {one['best_epoch']}."
        )

    def told(name: str, words: Callable[[dict[str, Any]], str]) -> None:
        if (path := out / f"{name}.json").is_file():
            lines.append("- " + words(json.loads(path.read_text())))

    told(
        "budgets",
        lambda b: (
            f"Parts of {b['scores']} scores of {b['lists']} lists add up to {b['most']:.1e} "
            "of the score, at most."
        ),
    )
    told(
        "refits",
        lambda r: (
            f"Effects of {r['facts']} facts through the training of A differ from refits by "
            f"{r['most']:.1e} of the score, at most."
            if r["facts"]
            else "The chosen attribute weights are 0: no fact has an effect through the training of A."
        ),
    )
    told(
        "epochs",
        lambda e: (
            f"An epoch of B without triples: {e['user']:.2f} CPU s with a row of cosines per "
            f"user, {e['interaction']:.2f} with one per interaction."
        ),
    )
    return [*lines, ""]


def main() -> None:
    """Train, measure, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=SETS, default=[])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--rows",
        nargs="+",
        default=[OURS, *CONTROLS, *SINGLES],
        choices=[OURS, *CONTROLS, *SINGLES],
        metavar="ROW",
    )
    parser.add_argument("--preset", default="default", help="of kgfuse")
    parser.add_argument("--refits", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("bench/fuse"))
    parser.add_argument("--report", action="store_true", help="train nothing")
    chosen = parser.parse_args()
    if not chosen.report:
        for name in chosen.data:
            work(name, chosen.out / name, chosen)

    PAGE.write_text(page(chosen.out, chosen.data or SETS, PAGE.read_text()))


if __name__ == "__main__":
    main()
