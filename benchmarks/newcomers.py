"""What newcomers and updates cost: users and items that are folded in beside a training with them, and
new interactions by a warm start beside a training from the beginning.

python benchmarks/newcomers.py --data films --models lightgcn-kg --seeds 0     a small try, minutes
python benchmarks/newcomers.py                              ml-100k, ml1m-kg, lastfm-dbpedia, 3 seeds

KGREC_SHARED_DATA, else ../shared/data, holds the data sets. Every cell is kept in --keep and is not
measured again: the same command goes on where it was stopped. --write puts the tables of all cells that
are there (of a data set those of the preset `default`, else of `fast`) into the page (--out) and into
kgrec/models/newcomers.toml, which `kgrec models NAME` shows; tables without a cell here stay as they are.

Fold-in: a tenth of the users (at most 100) are left out of the training whole, then folded in from 1, 5,
20 and all of their training items; a tenth of the items likewise, placed by facts and 0, 1, 5, 20 first
clicks. Updates: the first 80 % (by time, else drawn) are trained on, 10 % arrive, 10 % are judged by.
"""

import argparse
import json
import os
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import kgrec
from kgrec.data.derive.extend import extend
from kgrec.data.derive.merge_parts import merge_parts
from kgrec.data.records.interactions import Interactions
from kgrec.evaluation.report import evaluate
from kgrec.lifecycle.newcomers import evaluate_newcomers
from kgrec.lifecycle.update import Earlier
from kgrec.models.fallback import served
from kgrec.random import numpy_generator
from kgrec.runs.fit import fit_chosen, start_of
from kgrec.runs.settings import choose

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("KGREC_SHARED_DATA") or ROOT.parent / "shared" / "data")
MODELS = "bprmf,lightgcn,lightgcn-kg,ngcf,cke,cfkg,kgat,kgin"
UPDATED = "bprmf,lightgcn-kg,kgat"
DATA = "ml-100k,ml1m-kg,lastfm-dbpedia"
SETS = ("ml-100k", "films", "ml1m-kg", "lastfm-dbpedia")
ENDING = (
    "Goals: a gap of users at all events of at most .015 for `lightgcn-kg` and `kgat` (reached on all",
    "four; ml1m-kg's `kgat` with the seeds that the table names); of new items among themselves at least",
    ".25 without clicks (ml-100k: `lightgcn-kg` .251, `kgat` .247, **short**; the others .39 to .52) and",
    ".38 with 5 (.38 to .59; films' `kgat` .348, `lightgcn` .364, `bprmf` .378: **short**), their share",
    "of places at most twice that of full training (reached), and recall over everything at most .02 below",
    "a training without them (reached).",
    "",
    "Users by [decision 0034](../decisions/0034-the-average-user-after-the-steps.md), items by [decision",
    "0035](../decisions/0035-facts-place-new-items-by-regression.md), which were chosen by looking at some",
    "of these figures.",
    "",
    "Updates on ml1m-kg, seed 1, by the code before decision 0034 (known before, Recall@20 / NDCG@20;",
    "arrived): old run .038 / .058; .050 / .103. Warm start, 1 epoch .049 / .067; .057 / .098; 4 epochs",
    ".048 / .070; .062 / .104. From the beginning, 4 epochs .049 / .068; .052 / .100; early stopping",
    ".049 / .069; .046 / .093.",
)
PARTS = ("train", "valid", "test")
GROUPS = ("known", "arrived")


def split_of(name: str) -> kgrec.Dataset:
    """Return a data set with its given split."""
    if name == "films":
        return kgrec.load("films")
    if name == "lastfm-dbpedia":
        return kgrec.load(SHARED / name)

    folder = SHARED / name
    if name == "ml-100k":
        parts = {part: folder / "split" / f"{part}.tsv" for part in PARTS}
        kg, links = folder / "dbpedia-films.nt", folder / "dbpedia-films.link.tsv"
    else:
        parts = {part: folder / f"split-{part}.tsv.gz" for part in PARTS}
        kg, links = folder / "wikipedia-films.nt.gz", folder / "links.tsv.gz"

    return kgrec.Dataset.build(None, [kg], links=links, split="given", **parts)


def sources_of(name: str) -> tuple[pl.DataFrame, Path, Path | None]:
    """Return all interactions, the graph, and the links."""
    folder = SHARED / name
    if name == "films":
        folder = ROOT / "graphs" / "films"
        log = kgrec.read_interactions(folder / "interactions.tsv.gz")
        return log.frame, folder / "films.ttl", folder / "links.tsv"
    if name == "ml-100k":
        log = kgrec.read_interactions(folder / "ml-100k.inter")
        return log.frame, folder / "dbpedia-films.nt", folder / "dbpedia-films.link.tsv"
    if name == "ml1m-kg":
        log = kgrec.read_interactions(folder / "interactions.tsv.gz")
        return log.frame, folder / "wikipedia-films.nt.gz", folder / "links.tsv.gz"

    parts = [
        kgrec.read_interactions(folder / f"{part}.tsv").frame for part in ("train", "val", "test")
    ]
    return pl.concat(parts), folder / "dbpedia-music.nt.gz", None


def fold_in(data: kgrec.Dataset, model: str, preset: str, seed: int) -> dict[str, Any]:
    """Return what the protocol measures, and how long it took."""
    began = time.process_time()
    run = kgrec.fit(model, data, preset=preset, seed=seed)
    trained = time.process_time() - began
    found = evaluate_newcomers(run, seed=seed).to_dict()
    return found | {"cpu": {"trained": trained, "all": time.process_time() - began}}


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and its seconds of CPU."""
    began = time.process_time()
    return call(), time.process_time() - began


def update(name: str, model: str, preset: str, seed: int) -> dict[str, Any]:
    """Return what each way to take new interactions in gives, for users known before and arrived."""
    log, kg, links = sources_of(name)
    by_time = "time" in log.columns
    log = log.select([c for c in ("user", "item", "time") if c in log.columns])
    log = log.unique(["user", "item"], keep="first", maintain_order=True)
    if by_time:
        log = log.sort("time", maintain_order=True)
    else:
        log = log[numpy_generator(seed, "order").permutation(log.height)]

    first, second = int(0.8 * log.height), int(0.9 * log.height)
    built = kgrec.Dataset.build(
        log[:first], [kg], links=links, split="random", ratios=(0.9, 0.05, 0.05), seed=seed
    )
    base = merge_parts(built, "test")
    chosen = choose(model, preset, {})
    old, cpu = timed(lambda: fit_chosen(chosen, base, seed=seed))
    grown = extend(merge_parts(base, "valid"), log[first:second]).data
    judged = later(grown, log[second:])
    arrived = np.arange(judged.num_users) >= base.num_users
    ways = {}

    def judge(way: str, scorer: Any, seconds: float, epochs: int) -> None:
        report = evaluate(scorer, judged, on="test", ks=(20,))
        rows = judged.users.rows(report.per_user["user"].to_list())
        values = report.per_user.select("recall@20", "ndcg@20").to_numpy()
        ways[way] = {"cpu": seconds, "epochs": epochs}
        for group, mask in zip(GROUPS, (~arrived[rows], arrived[rows]), strict=True):
            means = values[mask].mean(0).tolist() if mask.any() else [None, None]
            ways[way][group] = {
                "users": int(mask.sum()),
                "recall@20": means[0],
                "ndcg@20": means[1],
            }

    before = served(old.model, old.scorer(), old.data)
    width = judged.num_items
    judge(
        "old run, arrived folded in",
        Earlier(before, base.num_users, base.num_items, width),
        0.0,
        0,
    )
    for way, epochs, warm in (
        ("warm start", 1, True),
        ("warm start", 4, True),
        ("from the beginning", 4, False),
    ):
        settings = replace(chosen, train=replace(chosen.train, epochs=epochs, patience=0))
        start = start_of(old, chosen) if warm else None
        run, seconds = timed(
            lambda s=settings, b=start: fit_chosen(s, grown, seed=seed, start=b)  # type: ignore[misc]
        )
        scorer = served(run.model, run.scorer(), run.data)
        judge(f"{way}, {epochs} epochs", scorer, seconds, len(run.history))

    held = numpy_generator(seed, "held").random(len(grown.train)) < 0.05
    parted = replace(grown, train=grown.train.take(~held), valid=grown.train.take(held))
    run, seconds = timed(lambda: fit_chosen(chosen, parted, seed=seed))
    judge(
        "from the beginning, early stopping",
        served(run.model, run.scorer(), run.data),
        seconds,
        len(run.history),
    )
    return {"by_time": by_time, "old_cpu": cpu, "ways": ways}


def later(data: kgrec.Dataset, log: pl.DataFrame) -> kgrec.Dataset:
    """Return a dataset whose test part is what happened later, among what it knows."""
    user = data.users.match(log["user"])
    item = data.items.match(log["item"])
    known = (user >= 0) & (item >= 0)
    order = np.argsort(user[known], kind="stable")
    part = Interactions(user[known][order].astype(np.int32), item[known][order].astype(np.int32))
    return replace(data, test=part, valid=Interactions())


def cell(keep: Path, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a cell that was measured before, else measure it and keep it."""
    place = keep / f"{name}.json"
    if place.exists():
        return json.loads(place.read_text())

    print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
    found = measure()
    keep.mkdir(parents=True, exist_ok=True)
    scratch = place.with_suffix(".tmp")
    scratch.write_text(json.dumps(found, indent=1) + "\n")
    scratch.replace(place)
    return found


def mean(values: list[float | None], form: str = ".3f") -> str:
    """Return a mean with its range over seeds."""
    there = [value for value in values if value is not None]
    if not there:
        return "none"
    middle = format(float(np.mean(there)), form)
    if len(there) == 1:
        return middle
    return f"{middle} ({format(min(there), form)} to {format(max(there), form)})"


def named(model: str, found: list[dict[str, Any]]) -> str:
    """Return a model's name, with its seeds."""
    seeds = [one["seed"] for one in found]
    return f"{model}, seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}"


def users_table(cells: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the lines of the table of users."""
    lines = [
        "| model | trained with them | all | 20 | 5 | 1 | gap at all, 95 % interval of each seed |",
        "|---|---|---|---|---|---|---|",
    ]
    for model, found in cells.items():
        users = [one["users"] for one in found]
        columns = [mean([one["trained"]["recall@20"] for one in users])]
        columns += [
            mean([one["folded"][n]["recall@20"]["value"] for one in users])
            for n in ("all", "20", "5", "1")
        ]
        gaps = [one["folded"]["all"]["recall@20"] for one in users]
        intervals = "; ".join(f"{gap['low']:+.3f} to {gap['high']:+.3f}" for gap in gaps)
        columns.append(f"{np.mean([gap['gap'] for gap in gaps]):+.3f}: {intervals}")
        lines.append(f"| {named(model, found)} | {' | '.join(columns)} |")

    return lines


def items_table(cells: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the lines of the table of items."""
    lines = ["| model | clicks | among | share | all |", "|---|---|---|---|---|"]
    for model, found in cells.items():
        those = [one for one in found if one["items"]["left_out"]]
        if not those:
            continue
        items = [one["items"] for one in those]
        names = ("among", "share", "all")
        whole = [mean([one["trained"][name] for one in items]) for name in names]
        lines.append(f"| {named(model, those)} | trained with them | {' | '.join(whole)} |")
        lines.append(f"| | left out | | | {mean([one['without']['all'] for one in items])} |")
        for clicks in ("0", "1", "5", "20"):
            row = [mean([one["placed"][clicks][name]["value"] for one in items]) for name in names]
            lines.append(f"| | {clicks} | {' | '.join(row)} |")

    return lines


def updates_table(cells: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the lines of the table of updates."""
    lines = [
        "| model | way | known before: recall@20 / ndcg@20 | arrived: recall@20 / ndcg@20 | CPU, s |",
        "|---|---|---|---|---|",
    ]
    for model, found in cells.items():
        for way in found[0]["ways"]:
            rows = [one["ways"][way] for one in found]
            figures = [
                " / ".join(mean([row[g][m] for row in rows]) for m in ("recall@20", "ndcg@20"))
                for g in GROUPS
            ]
            seconds = mean([row["cpu"] for row in rows], ".0f")
            lines.append(f"| {named(model, found)} | {way} | {' | '.join(figures)} | {seconds} |")

    return lines


def shown(cells: dict[str, dict[str, list[dict[str, Any]]]], before: dict[str, Any]) -> str:
    """Return what `kgrec models NAME` shows, as TOML: what was shown before, and these cells."""
    found: dict[str, dict[str, dict[str, float]]] = before
    for data, models in cells.items():
        for model, rows in models.items():
            of_model = found.setdefault(model, {})
            of_model[data] = of_model.get(data, {}) | figures(rows)

    lines = [
        "# What folding in costs, means over seeds: written by benchmarks/newcomers.py --write.",
        "# gap: recall@20 of users trained with, minus folded in, by how many events are known.",
        "# among, share: of new items with 5 first clicks, beside a training with them.",
    ]
    for model, of_model in found.items():
        lines += ["", f"[{model}]"]
        for data in sorted(of_model, key=SETS.index):
            told = ", ".join(f"{name} = {value:.3f}" for name, value in of_model[data].items())
            lines.append(f"{data} = {{ {told} }}")

    return "\n".join(lines) + "\n"


def figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return means over seeds of one model on one data set."""
    users = [one["users"]["folded"] for one in rows]
    values = {
        f"gap_{n}": float(np.mean([one[n]["recall@20"]["gap"] for one in users]))
        for n in ("all", "20", "5", "1")
    }
    items = [one["items"] for one in rows if one["items"]["left_out"]]
    for name in ("among", "share") if items else ():
        placed = [one["placed"]["5"][name]["value"] for one in items]
        values[name] = float(np.mean(placed))
        values[f"{name}_trained"] = float(np.mean([one["trained"][name] for one in items]))

    return values


def kept(keep: Path, kind: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the cells that are there, by data set and model: of one preset each."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for data in SETS:
        for preset in ("default", "fast"):
            cells: dict[str, list[dict[str, Any]]] = {}
            for model in MODELS.split(","):
                paths = sorted(keep.glob(f"{kind}-{data}-{model}-{preset}-[0-9].json"))
                made = [{"preset": preset, "seed": path.stem[-1]} for path in paths]
                rows = [json.loads(path.read_text()) for path in paths]
                if rows:
                    cells[model] = [row | one for row, one in zip(rows, made, strict=True)]
            if cells:
                found[data] = cells
                break

    return found


def sections(
    folded: dict[str, dict[str, list[dict[str, Any]]]],
    updated: dict[str, dict[str, list[dict[str, Any]]]],
) -> dict[str, list[str]]:
    """Return the parts of the page whose cells are there, by heading."""
    found = {}
    for data, cells in folded.items():
        some = next(iter(cells.values()))[0]
        found[f"{data}: users folded in"] = [
            f"Preset `{some['preset']}`. {some['users']['left_out']} users left out of the training whole; recall@20 on their "
            "test part, by how many of their training items are known.",
            "",
            *users_table(cells),
        ]
        if some["items"]["left_out"]:
            found[f"{data}: items placed"] = [
                f"{some['items']['left_out']} items left out. among: recall@10 among these; share: of the "
                "places of all lists of 20; all: recall@20 over everything.",
                "",
                *items_table(cells),
            ]

    for data, cells in updated.items():
        one = next(iter(cells.values()))[0]
        users = next(iter(one["ways"].values()))
        how = "by time" if one["by_time"] else "drawn, since there are no times"
        found[f"{data}: updates"] = [
            f"Preset `{one['preset']}`. 80 % trained on, 10 % arrive, 10 % judged ({how}); {users['known']['users']} users known "
            f"before, {users['arrived']['users']} arrived.",
            "",
            *updates_table(cells),
        ]

    return found


def page(found: dict[str, list[str]], before: str) -> str:
    """Return the page of results: these parts, and those that the page had before."""
    parts = [part.split("\n", 1) for part in before.split("\n## ")[1:]]
    shown = {title: text.split("\nGoals: ")[0].strip().split("\n") for title, text in parts} | found
    lines = [
        "# Newcomers and updates",
        "",
        "Written by `benchmarks/newcomers.py --write`: means, and the range over seeds.",
        "",
    ]
    kinds = ("users folded in", "items placed"), ("updates",)
    headings = [f"{data}: {kind}" for some in kinds for data in SETS for kind in some]
    for title in headings:
        if title in shown:
            lines += [f"## {title}", "", *shown[title], ""]

    return "\n".join([*lines, *ENDING]).rstrip() + "\n"


def main() -> None:
    """Measure what is missing, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=DATA)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--updated", default=UPDATED, help="models of the table of updates")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--keep", type=Path, default=Path("newcomers-cells"))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "newcomers.md")
    parser.add_argument("--write", action="store_true", help="write --out and newcomers.toml")
    asked = parser.parse_args()
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    for name in filter(None, asked.data.split(",")):
        data = split_of(name)
        for model in filter(None, asked.models.split(",")):
            for seed in seeds:
                cell(
                    asked.keep,
                    f"fold-{name}-{model}-{asked.preset}-{seed}",
                    lambda d=data, m=model, s=seed: fold_in(d, m, asked.preset, s),  # type: ignore[misc]
                )
        for model in filter(None, asked.updated.split(",")):
            for seed in seeds:
                cell(
                    asked.keep,
                    f"update-{name}-{model}-{asked.preset}-{seed}",
                    lambda n=name, m=model, s=seed: update(n, m, asked.preset, s),  # type: ignore[misc]
                )

    folded, updated = kept(asked.keep, "fold"), kept(asked.keep, "update")
    before = asked.out.read_text() if asked.out.exists() else ""
    text = page(sections(folded, updated), before)
    print(text)
    if asked.write:
        asked.out.write_text(text)
        table = ROOT / "kgrec" / "models" / "newcomers.toml"
        table.write_text(shown(folded, tomllib.loads(table.read_text())))


if __name__ == "__main__":
    main()
