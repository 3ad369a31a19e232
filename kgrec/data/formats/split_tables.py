"""Tables of a split, ``train.tsv``, ``val.tsv``, ``test.tsv``, with or without RDF beside them."""

from pathlib import Path
from typing import Any

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats.base import Format
from kgrec.data.formats.folder_files import PART_STEMS, graph_files, known_part, part_file
from kgrec.data.formats.original_ids import under_keys
from kgrec.data.formats.statement import was_written

_SUFFIXES = ("tsv", "csv")


def recognize(folder: Path) -> bool:
    """Return whether a folder holds tables of a training and a test part."""
    return all(part_file(folder, part, _SUFFIXES) is not None for part in ("train", "test"))


def read(folder: Path) -> DatasetSources:
    """Return the sources in a folder of tables; its RDF files together are the graph."""
    split: dict[str, Any] = {}
    for part in PART_STEMS:
        path = part_file(folder, part, _SUFFIXES)
        if path is not None and part == "valid":
            split[part] = known_part(path)
        elif path is not None:
            split[part] = str(path)

    links = folder / "links.tsv"
    sources = DatasetSources(
        **split,
        kg=graph_files(folder) or None,
        links=str(links) if links.is_file() else None,
        name=folder.resolve().name,
    )
    if was_written(folder, "ntriples", "nquads"):
        return under_keys(folder, sources)

    return sources


SPLIT = Format("split", "train.tsv and test.tsv, or val.tsv too, beside RDF files", recognize, read)
