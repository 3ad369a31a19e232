"""Loading at scale, beside peers in the same run. Each work is its own process; printed are
seconds, peak memory, and ratios.

python benchmarks/loading.py                   10 million triples, 10 million interactions: minutes,
6 GB of disk python benchmarks/loading.py --scale 0.1       a tenth of it
python benchmarks/loading.py --only triples    one group: triples, turtle, interactions, opening,
folders

Triples: 10 million, 2 million distinct terms of 60 bytes on average, drawn Zipf-like after each was
named once, a tenth of them labels. Interactions: 10 million rows of a CSV file with whole-number
ids, ratings and times. rdflib parses a tenth, and its time is scaled. pandas and pyarrow are peers
where they are installed. Figures are worth something on an idle machine only; the ratios less so
elsewhere.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("KGREC_SHARED_DATA", "../shared/data"))
TRIPLES, TERMS, INTERACTIONS, RELATIONS, ITEMS = 10_000_000, 2_000_000, 10_000_000, 200, 1_000
NAMESPACE = "http://example.org/resource/"
ONTOLOGY = "http://example.org/ontology/"
LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
PART = 500_000
RDFLIB_SHARE = 10


def main() -> None:
    """Make the files, run each work in its own process, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the 10 million")
    parser.add_argument(
        "--only", choices=tuple(GROUPS), action="append", help="one group of works; may be repeated"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where the files are made and kept; a temporary folder where left away",
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--work", choices=tuple(WORKS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(json.dumps(WORKS[options.work](options.folder)))
        return

    groups = options.only or list(GROUPS)
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)

    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        folder = options.folder or Path(scratch)
        make_files(folder, options.scale, groups)
        figures = {work: measured(work, folder) for group in groups for work in GROUPS[group]}

    show(figures, options.scale)
    if options.json:
        options.json.write_text(
            json.dumps({"scale": options.scale, "works": figures}, indent=1) + "\n"
        )


def measured(work: str, folder: Path) -> dict[str, Any]:
    """Run a work in a process of its own; return its seconds, imports included, its own time, and
    its peak memory in bytes.
    """
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--work", work, "--folder", str(folder)],
        stdout=subprocess.PIPE,
        check=False,
        text=True,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        return {"failed": done.returncode}

    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["seconds"] = seconds
    print(f"{work}: {seconds:.1f} s", file=sys.stderr)
    return found


def timed(work: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    """Return what a work tells, its seconds without the imports made before, those of its threads,
    and the process's peak memory.
    """
    began, spent = time.perf_counter(), time.process_time()
    told = work() or {}

    return told | {
        "own": time.perf_counter() - began,
        "cpu": time.process_time() - spent,
        "peak": peak_memory(),
    }


def peak_memory() -> int:
    """Return the peak memory of this process in bytes; what getrusage says counts the process that
    forked it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(
            int(line.split()[1]) * 1024
            for line in status.read_text().splitlines()
            if line.startswith("VmHWM")
        )

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def make_files(folder: Path, scale: float, groups: list[str]) -> None:
    """Write what the groups need, unless it is there already."""
    size, terms = max(1000, int(TRIPLES * scale)), max(200, int(TERMS * scale))
    if {"triples", "turtle", "opening"} & set(groups) and not (folder / "kg.nt").exists():
        make_graph(folder, size, terms)
    if "interactions" in groups and not (folder / "clicks.csv").exists():
        make_log(folder / "clicks.csv", max(1000, int(INTERACTIONS * scale)))


def make_graph(folder: Path, size: int, terms: int) -> None:
    """Write the same graph as N-Triples and as Turtle, a tenth of each for rdflib, and a log of
    clicks on 1,000 of its entities.
    """
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    length = rng.integers(12, 53, terms)
    names = pl.select(
        (
            pl.Series(np.arange(terms)).cast(pl.String)
            + "-"
            + pl.Series(rng.integers(1 << 40, 1 << 60, (terms,))).cast(pl.String)
        ).alias("n")
    ).to_series()

    names = (
        (names + "_" + names.reverse() + "_abcdefghijkl")
        .str.slice(0, pl.Series(length))
        .rename("name")
    )
    names = pl.Series([f"{number:x}_{name}" for number, name in enumerate(names)])
    heads, tails = (
        np.floor(np.exp(rng.random(size) * np.log(terms))).astype(np.int64) - 1 for _ in range(2)
    )
    heads[: terms // 2], tails[: terms // 2] = (
        np.arange(terms // 2),
        np.arange(terms // 2, terms // 2 * 2),
    )
    relations = np.floor(np.exp(rng.random(size) * np.log(RELATIONS))).astype(np.int64) - 1
    labelled = rng.random(size) < 0.1
    labelled[: terms // 2] = False
    order = rng.permutation(size)

    with open(folder / "kg.nt", "wb") as lines, open(folder / "kg.ttl", "wb") as turtle:
        turtle.write(
            (
                f"@prefix e: <{NAMESPACE}> .\n@prefix o: <{ONTOLOGY}> .\n@prefix rdfs: "
                f"<{LABEL.removesuffix('label')}> .\n"
            ).encode()
        )
        for start in range(0, size, PART):
            rows = order[start : start + PART]
            part = pl.DataFrame(
                {
                    "head": names.gather(heads[rows]),
                    "tail": names.gather(tails[rows]),
                    "relation": relations[rows],
                    "is label": labelled[rows],
                }
            )
            text = pl.format('"the entity of number {}"@en', "head")
            full = (
                pl.format(f"<{NAMESPACE}{{}}>", "tail"),
                pl.format(f"<{ONTOLOGY}relation{{}}>", "relation"),
                pl.lit(f"<{LABEL}>"),
            )

            short = (
                pl.format("e:{}", "tail"),
                pl.format("o:relation{}", "relation"),
                pl.lit("rdfs:label"),
            )
            for file, head, (tail, relation, label) in (
                (lines, pl.format(f"<{NAMESPACE}{{}}>", "head"), full),
                (turtle, pl.format("e:{}", "head"), short),
            ):
                object = pl.when("is label").then(text).otherwise(tail)
                row = pl.format(
                    "{} {} {} .\n",
                    head,
                    pl.when("is label").then(label).otherwise(relation),
                    object,
                )
                file.write("".join(part.select(row.alias("row"))["row"].to_list()).encode())

    with open(folder / "kg.nt", "rb") as whole, open(folder / "tenth.nt", "wb") as tenth:
        tenth.writelines(line for number, line in enumerate(whole) if number % RDFLIB_SHARE == 0)

    with open(folder / "kg.ttl", "rb") as whole, open(folder / "tenth.ttl", "wb") as tenth:
        tenth.writelines(
            line for number, line in enumerate(whole) if number % RDFLIB_SHARE == 0 or number < 3
        )

    items = [NAMESPACE + name for name in names[:ITEMS]]
    clicks = [
        f"u{(number * 31 + number // ITEMS * 7) % 50},{item},{number}\n"
        for number, item in enumerate(items * 5)
    ]
    (folder / "few.csv").write_text("user_id,item_id,timestamp\n" + "".join(clicks))


def make_log(path: Path, size: int) -> None:
    """Write interactions with whole-number ids."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(1)
    users, items = max(10, size // 100), max(10, size // 200)
    frame = pl.DataFrame(
        {
            "user_id": rng.integers(0, users, size) * 7919 % 1_000_003,
            "item_id": np.floor(np.exp(rng.random(size) * np.log(items))).astype(np.int64)
            * 104_729
            % 10_000_019,
            "rating": rng.integers(1, 11, size) / 2,
            "timestamp": rng.integers(1_000_000_000, 1_700_000_000, size),
        }
    )
    frame.write_csv(path)


def build(folder: Path, kg: str) -> dict[str, Any]:
    """Read a graph and few clicks, build, and store the dataset."""
    from kgrec.data.records.dataset import Dataset

    data = Dataset.build(str(folder / "few.csv"), str(folder / kg))
    stored = data.save(folder / f"dataset-{kg}")
    return {"triples": len(stored.triples), "entities": stored.num_entities}


def parse_only(folder: Path, kg: str) -> dict[str, Any]:
    """Read a graph and stop there."""
    from kgrec.data.readers.triples import read_triples

    triples = read_triples(str(folder / kg))
    return {"triples": len(triples), "entities": len(triples.entities)}


def loop(folder: Path, kg: str, format: str) -> dict[str, Any]:
    """Number the terms of a graph in a loop over ``pyoxigraph.parse``, with a dictionary of ids."""
    from array import array

    import pyoxigraph as ox

    ids: dict[str, int] = {}
    rows = array("i")

    with open(folder / kg, "rb") as stream:
        for subject, predicate, value, _ in ox.parse(stream, format=getattr(ox.RdfFormat, format)):
            rows.append(ids.setdefault(subject.value, len(ids)))
            rows.append(ids.setdefault(predicate.value, len(ids)))
            rows.append(ids.setdefault(value.value, len(ids)))

    return {"triples": len(rows) // 3, "entities": len(ids)}


def rdflib_tenth(folder: Path, kg: str, format: str) -> dict[str, Any]:
    """Parse a tenth with rdflib; its time counts ten times."""
    import rdflib

    return {
        "triples": len(rdflib.Graph().parse(str(folder / kg), format=format)),
        "share": RDFLIB_SHARE,
    }


def own_log(folder: Path) -> dict[str, Any]:
    """Read interactions and number their ids."""
    from kgrec.data.readers.interactions import read_log

    log = read_log(str(folder / "clicks.csv"))
    assert log.ids is not None
    return {"rows": log.frame.height, "users": len(log.ids["user"])}


def built_log(folder: Path) -> dict[str, Any]:
    """Build a dataset of the interactions, divided by time."""
    from kgrec.data.records.dataset import Dataset

    data = Dataset.build(str(folder / "clicks.csv"), split="temporal")
    return {"rows": len(data.train) + len(data.valid) + len(data.test), "users": data.num_users}


def polars_log(folder: Path) -> dict[str, Any]:
    """The same in polars: ids as text, numbered in the order of first appearance."""
    import polars as pl

    frame = pl.read_csv(
        folder / "clicks.csv", schema_overrides={"user_id": pl.String, "item_id": pl.String}
    )
    for column in ("user_id", "item_id"):
        distinct = frame[column].unique(maintain_order=True)
        numbers = pl.DataFrame({column: distinct}).with_row_index("row")
        frame.select(column).join(numbers, on=column, how="left", maintain_order="left")

    return {"rows": frame.height}


def pandas_log(folder: Path) -> dict[str, Any]:
    """The same in pandas."""
    import pandas as pd

    frame = pd.read_csv(folder / "clicks.csv", dtype={"user_id": str, "item_id": str})
    for column in ("user_id", "item_id"):
        pd.factorize(frame[column])

    return {"rows": len(frame)}


def pyarrow_log(folder: Path) -> dict[str, Any]:
    """The same in pyarrow."""
    import pyarrow as pa
    import pyarrow.csv

    options = pyarrow.csv.ConvertOptions(
        column_types={"user_id": pa.string(), "item_id": pa.string()}
    )
    table = pyarrow.csv.read_csv(folder / "clicks.csv", convert_options=options)
    for column in ("user_id", "item_id"):
        table[column].dictionary_encode()

    return {"rows": table.num_rows}


def opened(folder: Path) -> dict[str, Any]:
    """Open the dataset that was built before."""
    from kgrec.data.storage import open_dataset

    return {"triples": len(open_dataset(folder / "dataset-kg.nt").triples)}


def recognized(name: str) -> dict[str, Any]:
    """Build the dataset of a folder of ../shared/data."""
    import kgrec

    return {"triples": len(kgrec.load(str(SHARED / name)).triples)}


def imported(*modules: str) -> None:
    """Import first, so that a work's own time is that of the work."""
    for module in modules:
        __import__(module)


def work(
    function: Callable[..., dict[str, Any]], *arguments: str, after: tuple[str, ...] = ()
) -> Callable[[Path], dict[str, Any]]:
    """Return a work: the modules it needs imported, then the function timed."""

    def run(folder: Path) -> dict[str, Any]:
        try:
            imported(*after)
        except ImportError as error:
            return {"missing": str(error)}
        return timed(lambda: function(folder, *arguments))

    return run


KGREC = (
    "kgrec.data.building.build",
    "kgrec.data.storage",
    "kgrec.data.readers.triples",
    "kgrec.data.readers.interactions",
)
WORKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "N-Triples to dataset": work(build, "kg.nt", after=KGREC),
    "N-Triples read": work(parse_only, "kg.nt", after=KGREC),
    "N-Triples pyoxigraph loop": work(loop, "kg.nt", "N_TRIPLES", after=("pyoxigraph",)),
    "N-Triples rdflib": work(rdflib_tenth, "tenth.nt", "nt", after=("rdflib",)),
    "Turtle to dataset": work(build, "kg.ttl", after=KGREC),
    "Turtle read": work(parse_only, "kg.ttl", after=KGREC),
    "Turtle pyoxigraph loop": work(loop, "kg.ttl", "TURTLE", after=("pyoxigraph",)),
    "Turtle rdflib": work(rdflib_tenth, "tenth.ttl", "turtle", after=("rdflib",)),
    "interactions kgrec": work(own_log, after=KGREC),
    "interactions kgrec to dataset": work(built_log, after=KGREC),
    "interactions polars": work(polars_log, after=("polars",)),
    "interactions pandas": work(pandas_log, after=("pandas",)),
    "interactions pyarrow": work(pyarrow_log, after=("pyarrow.csv",)),
    "dataset opened": work(opened, after=KGREC),
    "ml-100k folder": lambda folder: timed(lambda: recognized("ml-100k")),
    "lastfm-dbpedia folder": lambda folder: timed(lambda: recognized("lastfm-dbpedia")),
}
GROUPS = {
    "triples": [name for name in WORKS if name.startswith("N-Triples")],
    "turtle": [name for name in WORKS if name.startswith("Turtle")],
    "interactions": [name for name in WORKS if name.startswith("interactions")],
    "opening": ["N-Triples to dataset", "dataset opened"],
    "folders": ["ml-100k folder", "lastfm-dbpedia folder"],
}


def show(figures: dict[str, dict[str, Any]], scale: float) -> None:
    """Print a line per work, then the ratios that the goals are about."""
    print(f"\nscale {scale:g}")
    print(f"{'work':28} {'seconds':>9} {'own':>9} {'cpu':>9} {'peak MiB':>9}  found")

    for name, found in figures.items():
        if "own" not in found:
            print(f"{name:28} {found.get('missing', 'failed')}")
            continue

        share = found.get("share", 1)
        told = ", ".join(
            f"{key} {value:,}"
            for key, value in found.items()
            if key in ("triples", "entities", "rows")
        )
        times = f" (a tenth, times {share})" if share > 1 else ""
        seconds = f"{found['seconds']:9.2f} {found['own'] * share:9.2f} {found['cpu'] * share:9.2f}"
        print(f"{name:28} {seconds} {found['peak'] / 2**20:9.0f}  {told}{times}")

    print()
    for work_name, peer, goal in GOALS:
        pair = [figures[name] for name in (work_name, peer) if "own" in figures.get(name, {})]
        if len(pair) == 2:
            wall, spent = (
                pair[1][key] * pair[1].get("share", 1) / pair[0][key] for key in ("own", "cpu")
            )
            print(
                f"{work_name}: {wall:.1f} times as fast as {peer}, {spent:.1f} by processor time "
                f"(goal {goal})"
            )

    best = [
        found["own"]
        for name, found in figures.items()
        if name.startswith("interactions ") and "kgrec" not in name and "own" in found
    ]
    if best and "own" in figures.get("interactions kgrec", {}):
        print(
            f"interactions: {min(best) / figures['interactions kgrec']['own']:.2f} times the "
            "best peer's speed (goal 1)"
        )


GOALS = (
    ("N-Triples to dataset", "N-Triples pyoxigraph loop", "3"),
    ("N-Triples to dataset", "N-Triples rdflib", "30"),
    ("Turtle to dataset", "N-Triples pyoxigraph loop", "1"),
    ("Turtle to dataset", "Turtle pyoxigraph loop", "1"),
    ("Turtle to dataset", "Turtle rdflib", "10"),
)

if __name__ == "__main__":
    main()
