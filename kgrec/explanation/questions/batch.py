"""Explain the best items of many users, in order, into a file that can be continued."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from kgrec.data.io.writing import locked
from kgrec.errors import ConfigError, ExplanationError
from kgrec.explanation.core.records import Explanation
from kgrec.explanation.questions.why import explain
from kgrec.explanation.search.ranked import PathSearch
from kgrec.log import logger, progress

_START = b'{"schema":'


def explanations(
    search: PathSearch,
    users: Sequence[str],
    k: int = 10,
    *,
    top: int = 1,
    skip: Mapping[str, int] | None = None,
    **settings: Any,
) -> Iterator[Explanation]:
    """Yield the explanations of each user's ``top`` best items, users in order, items best first.

    Args:
        search: The search for paths.
        users: User ids; one that comes twice is explained once.
        k: Paths per item.
        top: Items per user; a user with fewer candidates gets fewer.
        skip: How many of a user's items to omit at the start.
        settings: Further arguments of ``Explainer.explain``.

    Raises:
        UnknownIdError: If a user is not known; before anything is explained.
        ConfigError: If ``top`` is below 1, or a setting is out of range.
    """
    if top < 1:
        raise ConfigError(f"top is {top}. Ask for at least one item per user.")

    names = list(dict.fromkeys(users))
    rows = search.explained.data.users.rows(names).tolist()
    strangers = [
        name for name, row in zip(names, rows, strict=True) if not search.explained.explains(row)
    ]
    if strangers:
        logger.warning(
            "no explanations for %d users without training interactions, the first %r.",
            len(strangers),
            strangers[0],
        )

    for name, row in zip(names, rows, strict=True):
        if not search.explained.explains(row):
            continue

        first = (skip or {}).get(name, 0)
        for item in search.explained.standing(row).order()[first:top].tolist():
            yield explain(search, name, search.explained.data.items.key(item), k, **settings)


def write_batch(
    search: PathSearch,
    users: Sequence[str],
    out: str | PathLike[str],
    k: int = 10,
    *,
    top: int = 1,
    **settings: Any,
) -> tuple[int, int]:
    """Write explanations as JSON Lines; return how many were there and how many were added.

    A file that holds the beginning already is continued: whole lines stay, half a line at its end
    goes. Every line is written whole; interrupted, the file ends with the last whole one.

    Args:
        search: The search for paths.
        users: User ids, in the order of the lines.
        out: The file.
        k: Paths per item.
        top: Items per user.
        settings: Further arguments of ``Explainer.explain``.

    Raises:
        ConfigError: If the file holds something else than the beginning of this batch.
        CheckpointError: If another process writes it.
        UnknownIdError: If a user is not known; before anything is written.
    """
    goal = Path(out)
    names = list(dict.fromkeys(users))
    search.explained.data.users.rows(names)
    if goal.exists() and not goal.is_file():
        raise ConfigError(f"{goal}: is a folder, a pipe or a device. Name a plain file.")

    with locked(goal, "kgrec explain-batch"):
        return _written(search, names, goal, k, top, settings)


def _written(
    search: PathSearch,
    names: Sequence[str],
    goal: Path,
    k: int,
    top: int,
    settings: Mapping[str, Any],
) -> tuple[int, int]:
    there, size, last, counts = _beginning(goal, names)
    at = 0

    if last is not None:
        _same_batch(search, last, goal, k, settings)
        _same_top(search, counts, goal, top, last.user)
        at = names.index(last.user)

    added = 0
    with (
        goal.open("r+b" if goal.exists() else "w+b") as file,
        progress("explaining", len(names)) as bar,
    ):
        file.truncate(size)
        file.seek(size)
        bar.update(at)
        user = ""

        for explanation in explanations(search, names[at:], k, top=top, skip=counts, **settings):
            if explanation.user != user:
                user = explanation.user
                at = names.index(explanation.user, at)
                bar.update(at, user[:40])

            _append(file, explanation)
            added += 1

    return there, added


def _append(file: BinaryIO, explanation: Explanation) -> None:
    """Write a line whole or not at all."""
    size = file.tell()
    written = False

    try:
        file.write(explanation.to_json().encode("utf-8", "backslashreplace") + b"\n")
        file.flush()
        written = True
    finally:
        if not written:
            file.truncate(size)


def _beginning(
    goal: Path, users: Sequence[str]
) -> tuple[int, int, Explanation | None, Counter[str]]:
    """Return how many whole lines there are, their bytes, the last one, and lines per user."""
    size = 0
    next_user = 0
    last: bytes | None = None
    user = None
    counts: Counter[str] = Counter()
    if not goal.exists():
        return 0, 0, None, counts

    with goal.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.startswith(_START[: len(line)]):
                raise ConfigError(
                    f"{goal}:{number}: no explanation. Name another file, or remove this one."
                )
            if not line.endswith(b"\n"):
                break

            now = _user_of(line, goal, number)
            if now != user:
                user = now
                next_user = _after(users, now, next_user, goal, number)

            counts[now] += 1
            size = size + len(line)
            last = line

    if last is None:
        return 0, 0, None, counts

    try:
        return counts.total(), size, Explanation.from_json(last.decode()), counts
    except (ExplanationError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{goal}:{counts.total()}: {error} Name another file, or remove this one."
        ) from None


def _user_of(line: bytes, goal: Path, number: int) -> str:
    try:
        return str(json.loads(line)["user"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(
            f"{goal}:{number}: no explanation. Name another file, or remove this one."
        ) from None


def _after(users: Sequence[str], user: str, start: int, goal: Path, number: int) -> int:
    """Return the index after a user, who must not come before ``start``."""
    try:
        return users.index(user, start) + 1
    except ValueError:
        raise ConfigError(
            f"{goal}:{number}: user {user!r} is not the next of the given users. Name another "
            "file, or remove this one."
        ) from None


def _same_batch(
    search: PathSearch, last: Explanation, goal: Path, k: int, settings: Mapping[str, Any]
) -> None:
    """Refuse to continue what another run, or other settings, began."""
    again = json.loads(explain(search, last.user, last.item, k, **settings).to_json())
    before = json.loads(last.to_json())

    for name in ("manifest", "filters", "words"):
        wrong = [
            key
            for key in {**before[name], **again[name]}
            if key != "versions" and before[name].get(key) != again[name].get(key)
        ]
        if wrong:
            raise ConfigError(
                f"{goal}: was begun with another value of {wrong[0]!r}. Name another file, or "
                "remove this one."
            )


def _same_top(search: PathSearch, counts: Counter[str], goal: Path, top: int, last: str) -> None:
    """Refuse to continue where finished users have another number of items than ``top``."""
    explained = search.explained
    for user, count in counts.items():
        short = count < top and user != last
        if short:
            standing = explained.standing(explained.data.users.row(user))
            short = count < len(standing.order())

        if short or count > top:
            raise ConfigError(
                f"{goal}: has {count} items of user {user!r}, not {top}. Name another file, or "
                "remove this one."
            )
