"""Linking by label and year: the items of ml-100k to DBpedia's films, against the link file that
lies beside them.

python benchmarks/linking.py [--review review.tsv] [--disagreements 100] [--seed 0] [--out
disagreements.tsv]

Reads ml-100k.item, dbpedia-films.nt and dbpedia-films.link.tsv (KGREC_SHARED_DATA, else
../shared/data). A link of the file counts where its entity is in the graph. Disagreements are links
that only one side has, drawn with a seed, to be judged by reading labels and years.
"""

import argparse
import os
from pathlib import Path
from time import perf_counter

import polars as pl

import kgrec
from kgrec.data.linking.links import read_links
from kgrec.data.linking.match import items_to_match, match_items, write_review
from kgrec.data.readers.items import read_items

SHARED = Path(os.environ.get("KGREC_SHARED_DATA", "../shared/data"))


def compare(found: pl.DataFrame, given: pl.DataFrame) -> tuple[int, int, int]:
    """Return how many links both have, how many were found, how many are given."""
    return found.join(given, on=["item", "entity"], how="semi").height, found.height, given.height


def disagreements(review: pl.DataFrame, given: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Return the items for which one side has a link and the other another one or none."""
    sure = review.filter(pl.col("status") == "sure").select("item", found="entity")
    items = review.select("item", "item_label", "item_year").unique(
        "item", keep="first", maintain_order=True
    )
    both = items.join(sure, on="item", how="left").join(
        given.rename({"entity": "given"}), on="item", how="left"
    )
    apart = both.filter(~pl.col("found").eq_missing(pl.col("given"))).sort("item")

    for side in ("found", "given"):
        own = labels.rename({"entity": side, "label": f"{side} label"})
        apart = apart.join(own, on=side, how="left", maintain_order="left")

    return apart.select(
        "item", "item_label", "item_year", "found label", "given label", "found", "given"
    )


def main() -> None:
    """Link, compare, and list what differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--review", type=Path)
    parser.add_argument("--disagreements", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    folder = SHARED / "ml-100k"
    triples = kgrec.read_triples(folder / "dbpedia-films.nt")
    table = read_items(folder / "ml-100k.item")
    start = perf_counter()
    matches = match_items(items_to_match(table, table.ids), triples)
    seconds = perf_counter() - start
    labels = pl.DataFrame({"entity": triples.entities.series, "label": triples.labels})
    given = read_links(folder / "dbpedia-films.link.tsv")[0]
    given = given.join(labels.select("entity"), on="entity", how="semi")
    both, found, wanted = compare(matches.links, given)
    print(
        f"{len(table.ids)} items, {len(triples.entities)} entities, {seconds:.2f} s; "
        f"{matches.counts}"
    )
    print(
        f"precision {both / found:.4f} ({both} of {found} links), recall {both / wanted:.4f} "
        f"({both} of {wanted})"
    )
    by_reason = matches.review.join(given, on=["item", "entity"], how="left", coalesce=False)
    told = by_reason.group_by("status", "reason").agg(
        pl.len().alias("rows"), pl.col("entity_right").is_not_null().sum().alias("as given")
    )
    for row in told.sort("status", "rows", descending=True).iter_rows():
        print("  {:10}{:75}{:6}{:6} as given".format(*row))

    apart = disagreements(matches.review, given, labels)
    drawn = apart.sample(min(chosen.disagreements, apart.height), seed=chosen.seed).sort(
        pl.col("item").cast(pl.Int64)
    )
    print(f"{apart.height} disagreements, {drawn.height} drawn with seed {chosen.seed}")
    if chosen.review is not None:
        write_review(matches, chosen.review)

    if chosen.out is not None:
        drawn.write_csv(chosen.out, separator="\t", quote_style="never")
    else:
        for row in drawn.fill_null("").iter_rows():
            print("{:6}{:45.45}{:6}| {:40.40}| {:40.40}".format(*row))


if __name__ == "__main__":
    main()
