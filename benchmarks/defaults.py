"""What a model does where nobody tunes it: its default settings beside others, on the validation
parts of several data sets, under one cap.

python benchmarks/defaults.py ultragcn directau [--data films ml-100k lastfm-dbpedia ml1m-kg]
    train each model with its default and with the others; goes on where it was interrupted
python benchmarks/defaults.py --report
    write docs/results/defaults.md of all that is there

The others are the settings that results.py found on ml-100k (--found) and draws from the search
space; "all" is every model. Of each, the share of the best NDCG@10 of its model on a data set is
averaged over the data sets: a default is worth changing where another one reaches clearly more of it. The test parts are
not ranked. Seconds of the cap are processor time.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from results import SHARED, capped, dataset

import kgrec
from kgrec.errors import KgrecError
from kgrec.models.base import Span
from kgrec.models.catalog import MODELS, find

DATA = ("films", "ml-100k", "lastfm-dbpedia", "ml1m-kg")
Found = dict[str, list[dict[str, Any]]]


def others(model: str, found: Path, count: int) -> list[dict[str, Any]]:
    """Return the settings that are tried beside the default ones."""
    space = find(model).search_space()
    best = found / model / "best.json"
    tried = []
    if best.is_file():
        settings = json.loads(best.read_text())["settings"]
        tried.append({name: settings[name] for name in space if name in settings})

    generator = np.random.default_rng(0)
    return tried + [
        {name: _drawn(values, generator) for name, values in space.items()} for _ in range(count)
    ]


def _drawn(values: Any, generator: np.random.Generator) -> Any:
    if not isinstance(values, Span):
        return values[generator.integers(len(values))]

    ends = np.array([values.low, values.high], dtype=float)
    drawn = generator.uniform(*(np.log(ends) if values.log else ends))
    value = float(np.exp(drawn) if values.log else drawn)
    return round(value) if isinstance(values.low, int) else float(f"{value:.3g}")


def measure(model: str, name: str, settings: list[dict[str, Any]], out: Path, cap: float) -> None:
    """Train a model with each of the settings; what is there is not trained again."""
    kept = out / model / f"{name}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    done = json.loads(kept.read_text()) if kept.is_file() else []
    for one in settings[len(done) :]:
        began = time.process_time()
        run, cut = capped(model, _data(name, out), 0, one, cap, time.process_time)
        value = run.summary["valid"]["ndcg@10"]
        done.append({"settings": one, "valid": value, "cut": cut, "epochs": run.summary["epochs"]})
        done[-1]["seconds"] = time.process_time() - began
        kept.write_text(json.dumps(done, indent=1) + "\n")
        print(
            f"{model} {name} {one or 'default'}: {value:.4f}{' (cut)' if cut else ''}", flush=True
        )


def _data(name: str, out: Path) -> str | kgrec.Dataset:
    return kgrec.load("films") if name == "films" else dataset(name, out / "data" / name)


def report(out: Path, place: Path, cap: float) -> None:
    """Add what is there to the records beside the page, and write its table."""
    kept = place.parent / "records" / "defaults.json"
    records: dict[str, Found] = json.loads(kept.read_text()) if kept.is_file() else {}
    for path in sorted(out.glob("*/*.json")):
        records.setdefault(path.parent.name, {})[path.stem] = json.loads(path.read_text())

    kept.write_text(json.dumps(records, indent=1) + "\n")
    lines = [
        f"NDCG@10 of the validation parts, seed 0, at most {cap:g} s of processor time a training "
        "(*: cut by it).",
        "",
        f"| model | settings | {' | '.join(DATA)} | share of the best |",
        "|---|---|" + "---|" * (len(DATA) + 1),
    ]
    for model in filter(records.__contains__, MODELS):
        lines += _rows(model, records[model])

    start, end = "<!-- table -->\n", "<!-- end of table -->\n"
    before, _, rest = place.read_text().partition(start)
    place.write_text(before + start + "\n".join(lines) + "\n" + end + rest.partition(end)[2])
    print("\n".join(lines))


def _rows(model: str, found: Found) -> list[str]:
    tried = min(map(len, found.values()))
    best = {name: max(one["valid"] for one in every[:tried]) for name, every in found.items()}
    rows = []
    for number in range(tried):
        cells = []
        for name in DATA:
            one = found[name][number] if name in found else None
            cells.append(f"{one['valid']:.4f}{'*' if one['cut'] else ''}"[1:] if one else "")

        share = mean(found[name][number]["valid"] / best[name] for name in found)
        settings = next(iter(found.values()))[number]["settings"]
        told = ", ".join(f"{name} {value}" for name, value in settings.items()) or "**default**"
        label = model if number == 0 else ""
        rows.append(f"| {label} | {told} | {' | '.join(cells)} | {share:.2f} |")

    return rows


def main() -> None:
    """Measure, or write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=[])
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--draws", type=int, default=4, help="settings drawn from the search space")
    parser.add_argument("--cap", type=float, default=120, help="seconds of a training")
    parser.add_argument("--found", type=Path, default=Path("bench/ml-100k"))
    parser.add_argument("--out", type=Path, default=Path("bench/defaults"))
    parser.add_argument("--docs", type=Path, default=Path("docs/results"))
    parser.add_argument("--report", action="store_true")
    chosen = parser.parse_args()

    if chosen.report:
        report(chosen.out, chosen.docs / "defaults.md", chosen.cap)
        return
    if not SHARED.is_dir() and set(chosen.data) != {"films"}:
        sys.exit(f"{SHARED}: not there. Set KGREC_SHARED_DATA to the folder with the data sets.")

    for model in MODELS if chosen.models == ["all"] else chosen.models:
        settings = [{}, *others(model, chosen.found, chosen.draws)]
        for name in chosen.data:
            try:
                measure(model, name, settings, chosen.out, chosen.cap)
            except KgrecError as error:  # without ratings, times or texts that it needs
                print(f"{model} {name}: {error}", flush=True)


if __name__ == "__main__":
    main()
