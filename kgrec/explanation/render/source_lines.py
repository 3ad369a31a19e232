"""The lines of facts that are counted as triples, found by reading their file again."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path as FilePath

from kgrec.data.rdf.reader import line_of
from kgrec.data.records.triples import Triples
from kgrec.errors import DataError
from kgrec.explanation.core.records import Explanation, FactRef, short_names


def with_lines(explanations: Sequence[Explanation], triples: Triples) -> list[Explanation]:
    """Return explanations for people to read, whose places name lines instead of ordinals where the
    file is still there.

    The line is that of the file as it is now. A place stays as it is where the file is gone, cannot
    be read any more, or has no lines of its own (JSON-LD).
    """
    files = dict(zip(short_names(triples.sources), triples.sources, strict=True))
    known: dict[FactRef, FactRef] = {}

    def lined(place: FactRef) -> FactRef:
        if place not in known:
            known[place] = _lined(place, files.get(place.source, ""))
        return known[place]

    def told(one: Explanation) -> Explanation:
        paths = []
        for path in one.paths:
            hops = [
                replace(
                    hop,
                    relations=tuple(
                        replace(relation, facts=tuple(map(lined, relation.facts)))
                        for relation in hop.relations
                    ),
                )
                for hop in path.hops
            ]
            paths.append(replace(path, hops=tuple(hops)))
        return replace(one, paths=tuple(paths))

    return list(map(told, explanations))


def _lined(place: FactRef, file: str) -> FactRef:
    if not place.ordinal or not place.locator or not FilePath(file).is_file():
        return place
    try:
        line = line_of(file, place.locator)
    except (DataError, OSError):
        return place
    if line is None:
        return place
    return replace(place, locator=line if place.locator > 0 else -line, ordinal=False)
