"""What strangers decide: a temporal split of MovieLens 1M with its graph, with all users, the known
ones, and the strangers.

python benchmarks/strangers.py                         seven models, seed 0; KGREC_SHARED_DATA, else
../shared/data, holds ml1m-kg python benchmarks/strangers.py --models ease,ials --out FILE.md --runs
DIR

Every model with its preset "fast", early stopping on the validation users who have training
interactions. The fallback is what training chose ("auto"); off, all items tie for a stranger.
Verdicts are paired t-tests against popularity by ndcg@10, corrected as ``kgrec compare`` does, once
over all users and once over the known ones.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

import kgrec
from kgrec.evaluation.report import Report
from kgrec.evaluation.significance import holm, paired
from kgrec.random import numpy_generator
from kgrec.study.compare import compare

SHARED = Path(os.environ.get("KGREC_SHARED_DATA") or "../shared/data") / "ml1m-kg"
MODELS = "popularity,ease,ials,lightgcn,lightgcn-kg,cfkg,kgat"
METRICS = ("recall@20", "ndcg@20")


def row(name: str, report: Report) -> str:
    """Return a line of the table: all, warm, strangers."""
    parts = (report.metrics, report.warm_user_part.metrics, report.cold_user_part.metrics)
    return (
        f"| {name} | "
        + " | ".join(" / ".join(f"{part[m]:.4f}" for m in METRICS) for part in parts)
        + " |"
    )


def verdicts(reports: dict[str, Report], metric: str, known_only: bool) -> dict[str, str]:
    """Return what a paired test over users says of each model against the first."""
    first, *others = reports
    frames = {
        name: report.per_user.filter(~report.per_user["cold"]) if known_only else report.per_user
        for name, report in reports.items()
    }
    gaps = {
        name: (frames[name][metric] - frames[first][metric]).to_numpy()[:, None] for name in others
    }
    found = {
        name: paired(gap, generator=numpy_generator(0, "bootstrap"))[0]
        for name, gap in gaps.items()
    }
    p = holm(np.array([one.p_t for one in found.values()]))
    words = {True: "ahead", False: "behind"}

    return {
        name: f"{words[one.mean > 0]} ({one.mean:+.4f})"
        if value < 0.05
        else f"no difference ({one.mean:+.4f})"
        for (name, one), value in zip(found.items(), p, strict=True)
    }


def main() -> None:
    """Train, judge, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--runs",
        type=Path,
        default=None,
        help="keep the runs there, and go on with those that are there",
    )
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    if not SHARED.is_dir():
        sys.exit(f"{SHARED} is not there: set KGREC_SHARED_DATA.")

    data = kgrec.Dataset.build(
        kgrec.read_interactions(SHARED / "interactions.tsv.gz"),
        kgrec.read_triples(SHARED / "wikipedia-films.nt.gz"),
        links=SHARED / "links.tsv.gz",
        split="temporal",
    )
    lines = [f"{data!r}", ""]
    tables: dict[str, list[str]] = {"on": [], "off": []}
    reports: dict[str, Report] = {}
    runs = []

    for name in asked.models.split(","):
        preset = (
            asked.preset if asked.preset in kgrec.models.catalog.find(name).load()[2] else "default"
        )
        place = None if asked.runs is None else asked.runs / name
        run = kgrec.fit(name, data, preset=preset, seed=asked.seed, out=place, resume=True)
        runs.append(run)
        seconds = run.summary["seconds"]
        print(
            f"{name}: {preset}, {run.summary['epochs']} epochs, {seconds:.0f} s; {run.fallback}",
            file=sys.stderr,
            flush=True,
        )

        for state in tables:
            report = run.evaluate(fallback=state == "on")
            tables[state].append(row(name, report))
            if state == "off":
                reports[name] = report

    report = reports[next(iter(reports))]
    head = (
        f"({report.users:,} users) | warm ({report.warm_user_part.users:,}) | strangers "
        f"({report.cold_users:,})"
    )

    for state, table in tables.items():
        lines += [
            f"Fallback {state}, recall@20 / ndcg@20:",
            "",
            f"| model | all {head} |",
            "|---|---|---|---|",
            *table,
            "",
        ]

    before, after = (verdicts(reports, "ndcg@10", known_only) for known_only in (False, True))
    lines += [
        "Against popularity by ndcg@10, fallback off:",
        "",
        "| model | over all users | over known users | changes |",
        "|---|---|---|---|",
    ]

    lines += [
        f"| {name} | {before[name]} | {after[name]} | "
        f"{'yes' if before[name].split(' (')[0] != after[name].split(' (')[0] else ''} |"
        for name in before
    ]
    lines += ["", *(f"{c.run}: {c.verdict}" for c in compare(runs).contrasts if c.verdict)]
    text = "\n".join(lines) + "\n"
    print(text)
    if asked.out is not None:
        asked.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
