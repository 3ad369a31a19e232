"""Do the links of public graphs name the right entities? Items that are used together should share more
of the graph than items at random: docs/results/links.md.

    python benchmarks/agreement.py
"""

import csv
import gzip
import os
import re
from pathlib import Path

import polars as pl

import kgrec
from kgrec.data.linking.agreement import agreement

SHARED = Path(os.environ.get("KGREC_SHARED_DATA") or "../shared/data").resolve()


def words(title: str) -> str:
    """Return a title's letters and digits, without an article behind the comma."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r", (The|A|An)\b", "", title).lower())


def relinked() -> pl.DataFrame:
    """Return the links of ml-100k with their item ids read as those of MovieLens 1M, and turned
    into those of ml-100k by title and year.
    """
    with gzip.open(SHARED / "ml1m-kg/items.tsv.gz", "rt", encoding="utf-8") as file:
        titles = {row[0]: row[1] for row in csv.reader(file, delimiter="\t")}

    by_title = {}
    for item, title in titles.items():
        if found := re.fullmatch(r"(.*) \((\d{4})\)", title):
            by_title[words(found[1]), found[2]] = item

    folder = SHARED / "ml-100k"
    with (folder / "ml-100k.link").open(encoding="utf-8") as file:
        entity = dict(csv.reader(file, delimiter="\t"))

    pairs = []
    with (folder / "ml-100k.item").open(encoding="utf-8") as file:
        for item, title, year, *_ in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            other = by_title.get((words(title), year))
            if other in entity:
                pairs.append((item, entity[other]))

    return pl.DataFrame(pairs, schema=["item", "entity"], orient="row")


def main() -> None:
    """Print the table."""
    ml, ml1m = SHARED / "ml-100k", SHARED / "ml1m-kg"
    parts = {part: str(ml / "split" / f"{part}.tsv") for part in ("train", "valid", "test")}
    facts = pl.read_csv(ml / "ml-100k.kg", separator="\t", new_columns=["head", "relation", "tail"])
    links = pl.read_csv(
        ml / "ml-100k.link",
        separator="\t",
        new_columns=["item", "entity"],
        schema_overrides=[pl.String, pl.String],
    )
    rows = {
        "ml-100k, Freebase, as distributed": parts | {"kg": facts, "links": links},
        "the same, item ids read as those of MovieLens 1M": parts
        | {"kg": facts, "links": relinked()},
        "ml-100k, DBpedia": parts
        | {"kg": str(ml / "dbpedia-films.nt"), "links": str(ml / "dbpedia-films.link.tsv")},
        "ml1m-kg, Wikipedia": {
            part: str(ml1m / f"split-{part}.tsv.gz") for part in ("train", "valid", "test")
        }
        | {"kg": str(ml1m / "wikipedia-films.nt.gz"), "links": str(ml1m / "links.tsv.gz")},
    }
    built = {name: kgrec.Dataset.build(**sources) for name, sources in rows.items()}
    built["lastfm-dbpedia"] = kgrec.load(SHARED / "lastfm-dbpedia")
    built["films (bundled)"] = kgrec.load("films")

    print("| data and graph | items looked at | facts shared, times chance | deviations |")
    print("|---|---|---|---|")
    for name, data in built.items():
        found = agreement(data.train, data.triples, data.num_items)
        if found is None:
            print(f"| {name} | too few | | |")
        else:
            print(f"| {name} | {found.items:,} | {found.ratio:.2f} | {found.deviations:+.1f} |")


if __name__ == "__main__":
    main()
