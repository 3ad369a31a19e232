"""``conversion.json``: the statement that ``kgrec convert`` writes beside its files."""

from pathlib import Path
from typing import Any

from kgrec.data.io.files import check_version, read_record
from kgrec.errors import CheckpointError

STATEMENT = "conversion.json"
KIND, VERSION = "kgrec-conversion", 1


def read_statement(folder: Path) -> dict[str, Any] | None:
    """Return the statement of a converted folder, None if there is none of ours.

    Raises:
        CheckpointError: If it is of another format version.
    """
    try:
        found = read_record(folder / STATEMENT)
    except (OSError, CheckpointError):
        return None

    if found.get("format") != KIND:
        return None

    check_version(folder / STATEMENT, found.get("version"), VERSION, "convert the dataset again")
    return found


def was_written(folder: Path, *formats: str) -> bool:
    """Return whether ``kgrec convert`` wrote a folder in one of the formats."""
    statement = read_statement(folder)
    return statement is not None and statement.get("to") in formats
