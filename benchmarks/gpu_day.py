"""The published tables that need a GPU, as experiments: ordered by worth, each restartable.

python benchmarks/gpu_day.py --data DIR [--out bench/gpu-day] [--only NAME...] [--hours H]
    train what is missing; a table that was killed continues from its last checkpoint
python benchmarks/gpu_day.py --list                     the tables, what they need, what was published
python benchmarks/gpu_day.py --report [--out ...]       what is there, beside what was published

The data sets come from `kgrec data get NAME --to DIR/NAME`. Rows are test-selected, as the
published figures are (docs/reproductions.md): they compare with those alone. After --hours no
further table is begun.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kgrec


@dataclass(frozen=True)
class Row:
    """A model of a table, and its published Recall@20 and NDCG@20 (of the kind of the table)."""

    model: str
    preset: str
    published: tuple[float | None, float | None]
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A published table: its data set, its rows, its NDCG, and how many seeds."""

    name: str
    data: str
    rows: tuple[Row, ...]
    ndcg: str = "ndcg"
    seeds: tuple[int, ...] = (0,)


TABLES = (
    Table(
        "lightgcn-gowalla",
        "lightgcn/gowalla",
        (Row("lightgcn", "official", (0.1830, 0.1554)),),
        seeds=(0, 1, 2),
    ),
    Table(
        "kgin-last-fm",
        "kgat/last-fm",
        (Row("kgin", "official", (0.0979, 0.0848)),),
    ),
    Table(
        "kgat-last-fm",
        "kgat/last-fm",
        (Row("kgat", "official", (0.0882, 0.1366)), Row("kgat", "paper", (None, 0.1325))),
        ndcg="ndcg-retrieved",
    ),
    Table(
        "kgin-amazon-book",
        "kgat/amazon-book",
        (Row("kgin", "official", (0.1688, 0.0915)),),
    ),
    Table(
        "kgat-amazon-book",
        "kgat/amazon-book",
        (Row("kgat", "official", (0.1503, 0.1016)), Row("kgat", "paper", (None, 0.1006))),
        ndcg="ndcg-retrieved",
    ),
    Table(
        "kgin-alibaba-ifashion",
        "kgin/alibaba-ifashion",
        (Row("kgin", "official", (0.1147, 0.0716)),),
    ),
)


def experiment(table: Table, folder: Path, device: str) -> dict[str, Any]:
    """Return a table as ``kgrec.run_experiment`` takes it."""
    models = [
        {
            "model": row.model,
            "preset": row.preset,
            "name": f"{row.model}-{row.preset}",
            "settings": {"selection": "paper", **row.settings},
        }
        for row in table.rows
    ]
    # lists of 100, as those that the retrieved kind of NDCG looks at
    wide = ["recall@100"] if table.ndcg == "ndcg-retrieved" else []
    return {
        "name": table.name,
        "data": [{"name": table.data, "source": str(folder / table.data)}],
        "models": models,
        "seeds": list(table.seeds),
        "metrics": ["recall@20", f"{table.ndcg}@20", *wide],
        "device": device,
    }


def report(table: Table, out: Path) -> list[str]:
    """Return what a table came to beside what was published."""
    kept = out / table.name / "bench.json"
    if not kept.is_file():
        return [f"{table.name}: not run"]

    found = json.loads(kept.read_text())
    means = {(one["model"], one["metric"]): one["mean"] for one in found["results"]}
    lines = [f"{table.name} ({table.ndcg}), {len(table.seeds)} seeds, {found['hours']:.1f} h"]
    for row in table.rows:
        name = f"{row.model}-{row.preset}"
        ours = [means[name, metric] for metric in ("recall@20", f"{table.ndcg}@20")]
        theirs = ["-" if value is None else f"{value:.4f}" for value in row.published]
        lines.append(
            f"  {name}: {ours[0]:.4f} / {ours[1]:.4f}, published {theirs[0]} / {theirs[1]}"
        )

    return lines


def main() -> None:
    """Train what is missing, or show what is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("bench/gpu-day"))
    parser.add_argument("--only", nargs="+", choices=[table.name for table in TABLES])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--report", action="store_true")
    chosen = parser.parse_args()
    tables = [table for table in TABLES if not chosen.only or table.name in chosen.only]
    began = time.monotonic()

    for table in tables:
        if chosen.list:
            print(json.dumps(experiment(table, chosen.data, chosen.device)))
            continue
        if chosen.report:
            print("\n".join(report(table, chosen.out)))
            continue
        if not (chosen.data / table.data).is_dir():
            print(
                f"{table.name}: {chosen.data / table.data} is not there: kgrec data get "
                f"{table.data} --to {chosen.data / table.data}",
                file=sys.stderr,
            )
            continue
        if time.monotonic() - began > chosen.hours * 3600:
            print(f"{table.name}: the {chosen.hours:g} hours are over")
            continue

        found = kgrec.run_experiment(
            experiment(table, chosen.data, chosen.device),
            out=chosen.out / table.name,
            resume=True,
        )
        hours = float(found.costs["seconds"].sum()) * len(table.seeds) / 3600
        record = found.to_dict() | {"hours": hours}
        (chosen.out / table.name / "bench.json").write_text(json.dumps(record, indent=1) + "\n")
        print("\n".join(report(table, chosen.out)), flush=True)


if __name__ == "__main__":
    main()
