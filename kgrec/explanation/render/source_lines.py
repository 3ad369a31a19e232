"""The lines of facts that are counted as triples, found by reading their file again."""

import os.path
from collections.abc import Sequence
from dataclasses import replace

from kgrec.data.rdf.reader import line_of
from kgrec.data.records.triples import Triples
from kgrec.errors import DataError
from kgrec.explanation.core.records import Explanation, FactRef, Hop, Path, Relation, short_names


def with_lines(explanations: Sequence[Explanation], triples: Triples) -> list[Explanation]:
    """Return explanations whose facts name lines instead of ordinals where the file is still there.

    The line is that of the file as it is now. A reference stays as it is where the file is gone,
    cannot be read any more, or has no lines (JSON-LD).
    """
    files = dict(zip(short_names(triples.sources), triples.sources, strict=True))
    known: dict[FactRef, FactRef] = {}

    def lined(ref: FactRef) -> FactRef:
        if ref not in known:
            known[ref] = _lined(ref, files.get(ref.source, ""))
        return known[ref]

    def relations(hop: Hop) -> tuple[Relation, ...]:
        return tuple(
            replace(relation, facts=tuple(map(lined, relation.facts))) for relation in hop.relations
        )

    def paths(explanation: Explanation) -> tuple[Path, ...]:
        return tuple(
            replace(path, hops=tuple(replace(hop, relations=relations(hop)) for hop in path.hops))
            for path in explanation.paths
        )

    return [replace(explanation, paths=paths(explanation)) for explanation in explanations]


def _lined(ref: FactRef, file: str) -> FactRef:
    if not ref.ordinal or not ref.locator or not os.path.isfile(file):
        return ref

    try:
        line = line_of(file, ref.locator)
    except (DataError, OSError):
        return ref

    if line is None:
        return ref

    if ref.locator < 0:
        line = -line

    return replace(ref, locator=line, ordinal=False)
