"""Labels that an earlier program spoiled: columns of them repaired, and counted for the report."""

import polars as pl

from kgrec.data.records.report import Caution
from kgrec.data.records.triples import Triples
from kgrec.languages.repair import SPOILED, count_repairs, repaired

_STORED = "They are stored as they came and shown repaired. To mend them, "


def repaired_all(labels: pl.Series) -> pl.Series:
    """Return labels as they were meant; see ``kgrec.languages.repair``."""
    spoiled = labels.str.contains(SPOILED).fill_null(False)
    if not spoiled.any():
        return labels

    # Each distinct one once: many are right, for instance in Cyrillic letters.
    distinct = labels.filter(spoiled).unique()
    meant = pl.Series([repaired(label) for label in distinct], dtype=pl.String)
    changed = distinct != meant
    return labels.replace(distinct.filter(changed), meant.filter(changed))


def spoiled_labels(triples: Triples) -> list[Caution]:
    """Return what is spoiled among the labels of a graph: how many are shown otherwise than they
    are stored, how many may be right and are left, and how many cannot be repaired.
    """
    labels = pl.concat([triples.labels, triples.relation_labels.rename(triples.labels.name)])
    found = count_repairs(
        labels.filter(labels.str.contains(f"{SPOILED}|\ufffd").fill_null(False)).sort()
    )
    cautions = []
    if found.encoded:
        cautions.append(
            Caution(
                f"Labels of UTF-8 that was read as another encoding: {found.encoded:,}, for "
                f"instance {found.encoded_as[0]!r}, shown as {found.encoded_as[1]!r}",
                _STORED + "have the program before kgrec read and write UTF-8.",
            )
        )
    if found.references:
        cautions.append(
            Caution(
                f"Labels with references of HTML: {found.references:,}, for instance "
                f"{found.references_as[0]!r}, shown as {found.references_as[1]!r}",
                _STORED + "export the texts without HTML.",
            )
        )
    if found.doubtful:
        cautions.append(
            Caution(
                f"Labels that may be UTF-8 read as another encoding, or right: {found.doubtful:,}, "
                f"for instance {found.left!r}",
                "They are shown as they are.",
            )
        )
    if found.lost:
        cautions.append(
            Caution(
                f"Labels with characters that an earlier program could not read: {found.lost:,}, "
                f"for instance {found.lost_in!r}",
                "What they were is lost: export them again as UTF-8.",
            )
        )

    return cautions
