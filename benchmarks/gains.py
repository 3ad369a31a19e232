"""Who gains from the graph? Every model that reads one, with it, without it, and with its triples
shuffled within each relation; one table for all.

python benchmarks/gains.py lastfm-dbpedia --models kgcn mkr [--cap 60]
    ablate these by their preset "fast", one seed; what is there is not trained again
python benchmarks/gains.py --report
    add what is there to docs/results/records/gains.json, and write docs/results/gains.md from it

A training may take --cap seconds of the processor: a pilot of a sixth of that says how many epochs
these are, and all variants of a model take as many at most. So the three are compared by equal
settings; a model that was cut short may gain more, or less, with more epochs. What is trained is kept
under --out. The data are looked for in KGREC_SHARED_DATA, else in ../shared/data.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from results import dataset, put_between_marks

import kgrec
from kgrec.models.catalog import MODELS
from kgrec.runs.settings import choose
from kgrec.study.ablate import SHUFFLED, WITH, WITHOUT, Ablation, ablate
from kgrec.training.loop import TrainState

RECORDS = Path("docs/results/records/gains.json")
PAGE = Path("docs/results/gains.md")
READERS = tuple(
    name
    for name, entry in MODELS.items()
    if {"interactions", "triples"} <= set(entry.needs) and "texts" not in entry.needs
)
PILOT = 6
WORDS = {
    "yes": "yes",
    "not the facts": "not from the facts",
    "no": "none shown",
    "it hurts": "harm",
}


class EnoughError(Exception):
    """The pilot has seen how long an epoch takes."""


def epochs_within(model: str, data: str, cap: float) -> int:
    """Return how many epochs a training by the preset "fast" may take."""
    began = time.process_time()
    done: list[float] = []

    def watch(state: TrainState) -> None:
        done.append(time.process_time() - began)
        if done[-1] >= cap / PILOT:
            raise EnoughError

    try:
        kgrec.fit(model, data, preset="fast", on_epoch=watch)
    except EnoughError:
        pass
    else:
        return len(done)

    if len(done) == 1:
        return max(1, int(cap / done[0]))
    epoch = (done[-1] - done[0]) / (len(done) - 1)
    return max(len(done), 1 + int((cap - done[0]) / epoch))


def gain(model: str, name: str, out: Path, cap: float) -> dict[str, Any]:
    """Ablate a model; return what the table says of it."""
    preset = "fast" if "fast" in MODELS[model].load()[2] else "default"
    wanted = choose(model, preset, {}).train.epochs
    data = dataset(name, out / name)
    limit = out / name / f"{model}.json"
    if not limit.exists():
        closed = model in ("ease-kg", "content")
        within = wanted if closed else epochs_within(model, data, cap)
        limit.write_text(json.dumps({"epochs": min(wanted, within)}) + "\n", encoding="utf-8")

    epochs = json.loads(limit.read_text(encoding="utf-8"))["epochs"]
    found = ablate(
        data,
        model,
        out=out / name / model,
        seeds=1,
        relations=0,
        preset=preset,
        settings={"epochs": epochs} if epochs < wanted else {},
        metric="ndcg@10",
    )
    return {
        "means": {label: found.means[label]["ndcg@10"] for label in (WITH, WITHOUT, SHUFFLED)},
        "over none": difference(found, WITHOUT),
        "over shuffled": difference(found, SHUFFLED),
        "answer": found.answer,
        "preset": preset,
        "epochs": epochs,
        "cut": epochs < wanted,
        "cap": cap,
    }


def difference(found: Ablation, other: str) -> list[float]:
    """Return the mean difference over all users and items, and the ends of its interval."""
    one = next(
        one
        for one in found.contrasts
        if (one.first, one.second) == (WITH, other) and one.group == "all users and items"
    )
    return [one.mean, one.low, one.high]


def table(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of a data set's table, the greatest gain over shuffled triples first."""
    lines = [
        "| model | with the graph | no graph | shuffled | over no graph | over shuffled triples | gain |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in sorted(rows, key=lambda model: -rows[model]["over shuffled"][0]):
        row = rows[model]
        means = " | ".join(f"{row['means'][label]:.4f}"[1:] for label in (WITH, WITHOUT, SHUFFLED))
        differences = " | ".join(
            f"{mean:+.4f} ({low:+.4f} .. {high:+.4f})"
            for mean, low, high in (row["over none"], row["over shuffled"])
        )
        cut = f" ({row['epochs']} epochs, cut)" if row["cut"] else ""
        lines.append(f"| **{model}**{cut} | {means} | {differences} | {WORDS[row['answer']]} |")

    missing = [model for model in READERS if model not in rows]
    return [*lines, "", *([f"Not run: {', '.join(missing)}.", ""] if missing else [])]


def report(out: Path) -> None:
    """Add the rows that are there to the records, and put the tables between the marks of the
    page.
    """
    records = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.exists() else {}
    for place in sorted(out.glob("*/*/row.json")):
        model, name = place.parent.name, place.parent.parent.name
        records.setdefault(name, {})[model] = json.loads(place.read_text(encoding="utf-8"))

    RECORDS.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    parts = [line for name in records for line in (f"## {name}", "", *table(records[name]))]
    put_between_marks(PAGE, "\n".join(parts))


def main() -> None:
    """Run, or write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", default="lastfm-dbpedia")
    parser.add_argument("--models", nargs="+", default=list(READERS), choices=READERS)
    parser.add_argument("--cap", type=float, default=60.0, help="processor seconds of a training")
    parser.add_argument("--out", type=Path, default=Path("bench/gains"))
    parser.add_argument("--report", action="store_true", help="write the page")
    chosen = parser.parse_args()
    if chosen.report:
        report(chosen.out)
        return

    for model in chosen.models:
        place = chosen.out / chosen.data / model / "row.json"
        if not place.exists():
            row = gain(model, chosen.data, chosen.out, chosen.cap)
            place.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
