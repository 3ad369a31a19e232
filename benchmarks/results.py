"""The tables of docs/results: every model tuned on validation with the same budget, several seeds,
and a test of the difference.

python benchmarks/results.py ml-100k --models lightgcn kgat
    tune these, then train them with their best settings on every seed
python benchmarks/results.py ml-100k --models sgl mkr --peers PEERS/bin/python
    RecBole's models of these names, by the same budget (its scripts: --peer-scripts)
python benchmarks/results.py ml1m-kg --models sgl --near 2
    the settings found on ml-100k and two neighbors of them, the best on validation on every seed
python benchmarks/results.py ml-100k --report --page families
    write docs/results/families-ml-100k.md from what is there
python benchmarks/results.py ml-100k --models sgl --processor
    minutes and seconds of the budget are processor time, ours and RecBole's: with one thread
    (OMP_NUM_THREADS=1) they are those of an idle core, whatever other work there is
python benchmarks/results.py ml-100k --presets
    ship the settings that were found as presets tuned:ml-100k (kgrec/models/tuned.toml)

Everything is kept under --out (default: bench/DATA) and resumable: what is there is not computed
again. --report adds the figures to docs/results/records/DATA.json, so that a table grows over
several machines. Trials see the validation part alone. The test part is ranked once per seed, with the
settings that were best on validation. The data are looked for in KGREC_SHARED_DATA, else in
../shared/data.
"""

import argparse
import json
import os
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import polars as pl
from peers import GRAPH_ALONE, SPACES, Budget, Peer, rows

import kgrec
from kgrec.evaluation.significance import paired
from kgrec.models.base import Span
from kgrec.models.catalog import MODELS, find
from kgrec.study.tune import to_toml, tune
from kgrec.training.config import TEST_SELECTED
from kgrec.training.loop import TrainState

SHARED = Path(os.environ.get("KGREC_SHARED_DATA", "../shared/data"))
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20", "mrr@10", "mrr@20")
RANKERS = tuple(name for name, entry in MODELS.items() if "texts" not in entry.needs)
PEER_NAMES = {
    "ease": "EASE",
    "lightgcn": "LightGCN",
    "bprmf": "BPR-MF",
    "popularity": "Popularity",
    "cke": "CKE",
    "kgat": "KGAT",
    "kgin": "KGIN",
    "cfkg": "CFKG",
}


@dataclass(frozen=True)
class Table:
    """A data set of the tables: how its dataset is made, and what a peer reaches on it."""

    parts: dict[str, Any]
    peers: str | None = None
    tuned_on: str | None = None


def tables() -> dict[str, Table]:
    """Return the data sets by name; one with ``tuned_on`` takes the settings found on another."""
    films = SHARED / "ml-100k"

    def ml_100k(split: str) -> dict[str, Any]:
        given = {name: str(films / split / f"{name}.tsv") for name in ("train", "valid", "test")}
        return {"kg": (str(films / "ml-100k.kg"),), "links": str(films / "ml-100k.link"), **given}

    return {
        "ml-100k": Table(ml_100k("split"), "split"),
        "ml-100k-linked": Table(ml_100k("split-linked"), "split-linked", tuned_on="ml-100k"),
        # RecBole's links name the facts of other films (docs/results/links.md): what a graph gives
        # to ml-100k is seen with DBpedia's.
        "ml-100k-dbpedia": Table(
            ml_100k("split")
            | {
                "kg": (str(films / "dbpedia-films.nt"),),
                "links": str(films / "dbpedia-films.link.tsv"),
            }
        ),
        "lastfm-dbpedia": Table({}),
        "ml1m-kg": Table(
            {
                "kg": (str(SHARED / "ml1m-kg" / "wikipedia-films.nt.gz"),),
                "links": str(SHARED / "ml1m-kg" / "links.tsv.gz"),
                **{
                    part: str(SHARED / "ml1m-kg" / f"split-{part}.tsv.gz")
                    for part in ("train", "valid", "test")
                },
            }
        ),
    }


def put_between_marks(page: Path, text: str) -> None:
    """Put a text between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition("<!-- table -->")
    _, _, after = rest.partition("<!-- end of table -->")
    whole = f"{before}<!-- table -->\n{text}\n<!-- end of table -->{after}"
    page.write_text(whole, encoding="utf-8")


def built(name: str) -> kgrec.Dataset:
    """Return a data set of the tables, built from its files."""
    parts = dict(tables()[name].parts)
    if not parts:
        return kgrec.load(SHARED / name)
    return kgrec.Dataset.build(None, list(parts.pop("kg")), split="given", name=name, **parts)


def dataset(name: str, out: Path) -> str:
    """Return the folder of the built dataset."""
    place = out / "dataset"
    if not place.is_dir():
        built(name).save(place)

    return str(place)


def settings_of(name: str, model: str, out: Path, budget: Budget) -> dict[str, Any]:
    """Return the settings that were best on validation, found now or before."""
    table = tables()[name]
    if table.tuned_on:
        name, out = table.tuned_on, out.parent / table.tuned_on

    kept = out / model / "best.json"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        if find(model).search_space():
            found = tune(
                dataset(name, out),
                model,
                trials=budget.trials,
                minutes=budget.minutes,
                seed=0,
                out=out / model / "tune",
                final=False,
            )
            record = {
                "settings": found.best,
                "valid": found.value,
                "trials": found.trials,
                "pruned": found.pruned,
                "seconds": found.seconds,
            }
        else:
            record = {"settings": {}, "valid": None, "trials": 0, "pruned": 0, "seconds": 0.0}

        kept.write_text(json.dumps(record, indent=1) + "\n")

    return dict(json.loads(kept.read_text())["settings"])


def near(name: str, model: str, out: Path, found: Path, count: int, cap: float) -> dict[str, Any]:
    """Return the best on validation of settings found on other data and ``count`` neighbors of
    them: its first setting with a range, half and double of it.
    """
    kept = out / model / "best.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text())["settings"])

    source = found / model / "best.json"
    if not source.is_file():
        sys.exit(f"{source}: not there. Tune {model} on {found.name} first.")

    settings = dict(json.loads(source.read_text())["settings"])
    space = find(model).search_space()
    ranges = {key: span for key, span in space.items() if isinstance(span, Span)}
    # What a larger data set wants otherwise is first of all the learning rate.
    key = "learning_rate" if "learning_rate" in ranges else next(iter(ranges), None)
    tried = [settings]
    if key is not None and key in settings:
        span = ranges[key]
        tried += [
            settings | {key: type(settings[key])(min(max(settings[key] * by, span.low), span.high))}
            for by in (0.5, 2, 0.25, 4)[:count]
        ]

    began = time.monotonic()
    values = [
        capped(model, dataset(name, out), 0, one, cap)[0].summary["valid"]["ndcg@10"]
        for one in tried
    ]
    best = int(np.argmax(values))
    record = {
        "settings": tried[best],
        "valid": values[best],
        "trials": len(tried),
        "pruned": 0,
        "seconds": time.monotonic() - began,
    }
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(record, indent=1) + "\n")
    return tried[best]


def capped(
    model: str,
    data: str,
    seed: int,
    settings: dict[str, Any],
    cap: float,
    clock: Callable[[], float] | None = None,
) -> tuple[kgrec.Run, bool]:
    """Train once; after ``cap`` seconds of the clock no further epoch begins, and the best one so
    far stands. Return the run, and whether it was cut.
    """
    clock = clock or time.monotonic
    end = clock() + cap
    cut = []

    def watch(state: TrainState) -> None:
        if clock() >= end and state.stopping.best_epoch and not state.stopping.stop:
            cut.append(state.epoch)
            state.stopping.patience = 1
            state.stopping.since = max(1, state.stopping.since)

    run = kgrec.fit(model, data, seed=seed, on_epoch=watch, **settings)
    return run, bool(cut) and cut[-1] < run.train_config.epochs


def measure(
    name: str, model: str, seed: int, out: Path, settings: dict[str, Any], cap: float
) -> None:
    """Train once with the best settings and rank the test part."""
    kept = out / model / f"seed-{seed}"
    if kept.with_suffix(".json").is_file():
        return

    run, cut = capped(model, dataset(name, out), seed, settings, cap)
    report = run.evaluate(k=(10, 20))
    kept.parent.mkdir(parents=True, exist_ok=True)
    report.per_user.write_parquet(kept.with_suffix(".parquet"))
    record = {"summary": run.summary, "report": report.to_dict(), "capped": cut}
    kept.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print(
        f"{name} {model} seed {seed}: " + " ".join(f"{m} {report.metrics[m]:.4f}" for m in METRICS),
        flush=True,
    )


def peers(split: str) -> dict[str, list[str]]:
    """Return a peer's figures from the file beside the data: Recall@10, Recall@20, NDCG@10,
    NDCG@20, Hit@10, MRR@10 by model.
    """
    found = {}
    for line in (SHARED / "ml-100k" / "peers.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) > 7 and cells[1] == split:
            found[cells[0].split(" (")[0]] = cells[2:8]

    return found


def spread(values: list[float]) -> str:
    """Return mean and standard deviation, without the leading zero."""
    text = f"{mean(values):.4f}"
    return (
        f"{text} ± {stdev(values):.4f}" if len(values) > 1 and stdev(values) > 0 else text
    ).replace("0.", ".")


def selected(seeds: list[dict[str, Any]]) -> str:
    """Return what stands behind a model's name in a table whose rows are to be chosen by the
    validation part.
    """
    found = {seed["selection"] for seed in seeds} & {TEST_SELECTED}
    return f" ({TEST_SELECTED})" if found else ""


def presets(name: str, out: Path, models: list[str], place: Path) -> None:
    """Write what was found for the searched settings as presets ``tuned:NAME``; those of other data
    sets and models stay.
    """
    known = tomllib.loads(place.read_text())
    for model in models:
        kept = out / model / "best.json"
        if not kept.is_file():
            continue
        settings = json.loads(kept.read_text())["settings"]
        searched = {key: settings[key] for key in find(model).search_space() if key in settings}
        if searched:
            known.setdefault(find(model).name, {})[name] = searched

    head = "".join(line for line in place.read_text().splitlines(True) if line.startswith("#"))
    lines = [head]
    for model, tables_of in sorted(known.items()):
        for data, settings in sorted(tables_of.items()):
            lines.append(f"\n[{json.dumps(model)}.{json.dumps(data)}]\n")
            lines += [f"{key} = {to_toml(value)}\n" for key, value in settings.items()]

    place.write_text("".join(lines))
    print(f"{place}: {sum(name in each for each in known.values())} presets tuned:{name}")


def report(
    name: str, out: Path, place: Path, models: list[str], budget: Budget, seeds: list[int]
) -> None:
    """Write the table of a data set: of what lies in ``out``, and of the records beside the page,
    which what lies there is added to.
    """
    table = tables()[name]
    kept = place.parent / "records" / f"{name}.json"
    records: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    tuned = out.parent / table.tuned_on if table.tuned_on else out
    for model in RANKERS:
        records[model] = records.get(model, {}) | _record(model, out, tuned)

    records = {model: record for model, record in records.items() if record}
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(records, indent=1) + "\n")

    found = {m: records[m]["seeds"] for m in models if "seeds" in records.get(m, {})}
    beside = peers(table.peers) if table.peers else {}
    lines = [
        f"Budget of each row, RecBole's too: at most {budget.trials} trials and "
        f"{budget.minutes:g} minutes of them, {budget.cap:g} s a training; seeds "
        f"{', '.join(map(str, seeds))} (one for closed forms). What was used is in the table.",
        "",
        f"| model | triples | {' | '.join(METRICS)} | trials | s of trials | s to train |",
        "|---|---|" + "---|" * (len(METRICS) + 3),
    ]

    for model in models:
        knows = "yes" if "triples" in MODELS[model].needs else ""
        if measured := found.get(model):
            values = {
                metric: spread([seed["test"][metric] for seed in measured]) for metric in METRICS
            }
            label = f"**{model}**{selected(measured)}"
            lines.append(_row(label, knows, values, measured, records[model]["searched"]))

        theirs = beside.get(PEER_NAMES.get(model, ""))
        if theirs and "peer" not in records.get(model, {}):
            cells = [theirs[0], theirs[1], theirs[2], theirs[3], theirs[5], "", "", "", ""]
            lines.append(f"| RecBole {PEER_NAMES[model]} | {knows} | {' | '.join(cells)} |")

        if "peer" in records.get(model, {}):
            lines.append(_peer_row(model, knows, records[model]["peer"]))

    missing = [model for model in models if model not in found]
    if missing:
        lines += ["", f"Not run: {', '.join(missing)}."]

    valid = {model: mean(seed["valid"] for seed in seeds) for model, seeds in found.items()}
    lines += ["", *_duel(found, valid, out)]
    lines += [
        "",
        "What was searched, and the best on validation:",
        "",
        "| model | settings |",
        "|---|---|",
    ]

    for model in found:
        settings = records[model]["settings"]
        told = ", ".join(
            f"{name} {_short(settings[name])}"
            for name in find(model).search_space()
            if name in settings
        )
        lines.append(f"| {model} | {told or '-'} |")

    start, end = "<!-- table -->\n", "<!-- end of table -->\n"
    before, _, rest = (
        place.read_text() if place.is_file() else f"# {name}\n\n{start}{end}"
    ).partition(start)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(before + start + "\n".join(lines) + "\n" + end + rest.partition(end)[2])
    print("\n".join(lines))


def _record(model: str, out: Path, tuned: Path) -> dict[str, Any]:
    """Return what the table needs of a model's files: settings, trials, and per seed the figures."""
    found: dict[str, Any] = {}
    if seeds := _measured(out / model):
        best = json.loads((tuned / model / "best.json").read_text())
        found |= {"settings": best["settings"], "searched": [best["trials"], best["seconds"]]}
        found["seeds"] = [
            {
                "valid": seed["summary"]["valid"]["ndcg@10"],
                "test": {metric: seed["report"]["metrics"][metric] for metric in METRICS},
                "seconds": seed["summary"]["seconds"],
                "selection": seed["summary"].get("selection"),
                "capped": bool(seed.get("capped")),
            }
            for seed in seeds
        ]

    if theirs := _measured(out / "peers" / model):
        done = [seed for seed in theirs if "test" in seed]
        trials = json.loads((out / "peers" / model / "trials.json").read_text())
        searched = [len(trials), sum(trial["seconds"] for trial in trials)]
        seeds = [
            {"test": {metric: seed["test"][metric] for metric in METRICS}}
            | {"seconds": seed["t_fit"], "capped": bool(seed["capped"])}
            for seed in done
        ]
        failed = None if done else theirs[0]["failed"]
        found["peer"] = {"searched": searched, "seeds": seeds, "failed": failed}

    return found


def _row(
    label: str,
    knows: str,
    values: dict[str, str],
    seeds: list[dict[str, Any]],
    searched: list[float],
) -> str:
    cut = " (cut)" if any(seed["capped"] for seed in seeds) else ""
    seconds = f"{mean(seed['seconds'] for seed in seeds):.1f}"
    cells = " | ".join(values[metric] for metric in METRICS)
    trials = f"{searched[0]} | {searched[1]:.0f}"
    return f"| {label}{cut} | {knows} | {cells} | {trials} | {seconds} |"


def _peer_row(model: str, knows: str, peer: dict[str, Any]) -> str:
    """Return RecBole's row by the same budget."""
    if not peer["seeds"]:
        return f"| RecBole {model}: {peer['failed']} |"

    values = {
        metric: spread([seed["test"][metric] for seed in peer["seeds"]]) for metric in METRICS
    }
    return _row(f"RecBole {SPACES[model][0]}", knows, values, peer["seeds"], peer["searched"])


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _measured(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("seed-*.json"))]


def _duel(found: dict[str, Any], valid: dict[str, float], out: Path) -> list[str]:
    """Return the test of the best model with triples against the best without, each the best on
    validation.
    """
    sides = [
        [m for m in found if ("triples" in MODELS[m].needs) is knows] for knows in (True, False)
    ]
    if not all(sides):
        return []

    ours, theirs = (max(side, key=lambda model: valid[model]) for side in sides)
    first, second = _per_user(out / ours), _per_user(out / theirs)
    if first is None or second is None:
        return [f"Best on validation with triples: **{ours}**; without: **{theirs}**."]

    lines = [
        f"Best on validation with triples: **{ours}**; without: **{theirs}**. Their difference "
        "on the test part, values per user averaged "
        "over seeds, 95 % interval by paired bootstrap over users:",
        "",
        "| metric | difference | interval | p (Wilcoxon) |",
        "|---|---|---|---|",
    ]
    both = first.join(second, on="user", suffix="_other")
    differences = np.column_stack(
        [(both[metric] - both[f"{metric}_other"]).to_numpy() for metric in METRICS]
    )
    for metric, found_here in zip(
        METRICS, paired(differences, generator=np.random.default_rng(0)), strict=True
    ):
        low, high = found_here.low, found_here.high
        lines.append(
            f"| {metric} | {found_here.mean:+.4f} | {low:+.4f} .. {high:+.4f} | "
            f"{found_here.p_wilcoxon:.2g} |"
        )

    return lines


def _per_user(folder: Path) -> pl.DataFrame | None:
    frames = [
        pl.read_parquet(path).select("user", *METRICS)
        for path in sorted(folder.glob("seed-*.parquet"))
    ]
    if not frames:
        return None

    return pl.concat(frames).group_by("user", maintain_order=True).agg(pl.col(METRICS).mean())


def main() -> None:
    """Tune and measure, or write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=list(tables()))
    parser.add_argument("--models", nargs="+", default=list(RANKERS))
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--minutes", type=float, default=15, help="of all trials of a model")
    parser.add_argument("--cap", type=float, default=3600, help="seconds of a training")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--near", type=int, default=None, help="neighbors of settings found before")
    parser.add_argument("--found", type=Path, default=Path("bench/ml-100k"))
    parser.add_argument("--peers", type=Path, default=None, help="RecBole's interpreter")
    parser.add_argument("--peer-scripts", type=Path, default=Path("../shared/peers"))
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--docs", type=Path, default=Path("docs/results"))
    parser.add_argument("--page", default="", help="a page of its own, of --models alone")
    parser.add_argument("--processor", action="store_true", help="budgets in processor time")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--presets", action="store_true", help="ship what was found")
    chosen = parser.parse_args()
    out = chosen.out or Path("bench") / chosen.data

    if chosen.report:
        page = "-".join(filter(None, (chosen.page, chosen.data)))
        budget = Budget(chosen.trials, chosen.minutes, chosen.cap)
        place = chosen.docs / f"{page}.md"
        report(chosen.data, out, place, chosen.models, budget, chosen.seeds)
        return
    if chosen.presets:
        presets(chosen.data, out, chosen.models, Path("kgrec/models/tuned.toml"))
        return

    if not SHARED.is_dir():
        sys.exit(f"{SHARED}: not there. Set KGREC_SHARED_DATA to the folder with the data sets.")

    if chosen.processor:
        # Searches, caps and summaries read these, which then stand still while others work.
        time.monotonic = time.perf_counter = time.process_time  # type: ignore[assignment]

    budget = Budget(chosen.trials, chosen.minutes, chosen.cap)
    for model in chosen.models:
        if chosen.peers is not None:
            if (model in GRAPH_ALONE) is (chosen.data == "ml-100k"):
                peer = Peer(
                    chosen.peers.absolute(),
                    chosen.peer_scripts.resolve(),
                    SHARED.resolve(),
                    chosen.processor,
                )
                rows(peer, model, out, budget, chosen.seeds)
            continue

        if chosen.near is None:
            best = settings_of(chosen.data, model, out, budget)
        else:
            best = near(chosen.data, model, out, chosen.found, chosen.near, chosen.cap)

        closed = MODELS[model].name in ("popularity", "ease", "ease-kg", "itemknn", "gfcf")
        for seed in chosen.seeds[:1] if closed else chosen.seeds:
            measure(chosen.data, model, seed, out, best, chosen.cap)


if __name__ == "__main__":
    main()
