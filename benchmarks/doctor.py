"""What `kgrec doctor DATASET --model M` foretells, against the training that follows; each in a
process of its own.

python benchmarks/doctor.py                             LightGCN, KGAT, CKE on ml-100k and
lastfm-dbpedia, LightGCN on Gowalla python benchmarks/doctor.py films:kgat ml-100k:cke      pairs of
your own

Seconds are those of the second epoch, validation apart; memory is the most that the process held.
Data lie in KGREC_SHARED_DATA, else ../shared/data.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("KGREC_SHARED_DATA") or "../shared/data").resolve()
PAIRS = [
    f"{data}:{model}"
    for data in ("ml-100k", "lastfm-dbpedia")
    for model in ("lightgcn", "kgat", "cke")
] + ["gowalla:lightgcn"]
EPOCHS = 2
TRAIN = """
import json, sys, kgrec
run = kgrec.fit(sys.argv[2], sys.argv[1], epochs=int(sys.argv[3]), patience=0, validate_every=int(sys.argv[3]), refit=False)
print(json.dumps({"seconds": run.history[-1]["seconds"], "bytes": run.summary["peak_memory_bytes"]}))
"""


def dataset(name: str, work: Path) -> Path:
    """Return the folder of a dataset, built where it is not there yet."""
    import kgrec

    place = work / name
    if name == "films" or place.is_dir():
        return Path(name) if name == "films" else place

    folder = SHARED / name
    if name == "ml-100k":
        parts = {
            part: folder / "split-linked" / f"{part}.tsv" for part in ("train", "valid", "test")
        }
        kgrec.Dataset.build(
            None, [folder / "ml-100k.kg"], links=folder / "ml-100k.link", split="given", **parts
        ).save(place)
    else:
        kgrec.load(folder).save(place)

    return place


def output(words: list[str]) -> dict[str, Any]:
    """Run a command and read its JSON."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print a table of predictions and what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", nargs="*", default=PAIRS)
    parser.add_argument("--work", type=Path)
    chosen = parser.parse_args()
    print(
        "| data | model | seconds foretold | measured | off | MiB foretold | measured | off "
        "|\n|---|---|---|---|---|---|---|---|"
    )

    with tempfile.TemporaryDirectory() as scratch:
        for pair in chosen.pairs:
            name, _, model = pair.partition(":")
            place = str(dataset(name, chosen.work or Path(scratch)))
            told = output(["-m", "kgrec", "doctor", place, "--model", model, "--json"])[
                "prediction"
            ]
            seen = output(["-c", TRAIN, place, model, str(EPOCHS)])
            parts = []

            for foretold, measured, unit in (
                (told["seconds_per_epoch"], seen["seconds"], 1.0),
                (told["peak_memory_bytes"], seen["bytes"], 2.0**20),
            ):
                parts += [
                    f"{foretold / unit:,.2f}",
                    f"{measured / unit:,.2f}",
                    f"{foretold / measured - 1:+.0%}",
                ]

            print(f"| {name} | {model} | {' | '.join(parts)} |", flush=True)


if __name__ == "__main__":
    main()
