"""Explain the best items of many people, in order, into a file that can be continued."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kgrec.data.io.writing import locked
from kgrec.data.readers.histories import History
from kgrec.data.records.ids import some_of
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import ConfigError, ExplanationError, UnknownIdError
from kgrec.explanation.core.records import Explanation
from kgrec.explanation.questions.why import explain
from kgrec.explanation.search.ranked import PathSearch
from kgrec.log import logger, progress

_START = b'{"schema":'


@dataclass(frozen=True, slots=True)
class Person:
    """Someone to explain to.

    Attributes:
        user: Id of a known user; what someone unseen is called, "" for no name.
        history: Items (ids) of someone unseen, or that a known user has besides; () for none.
    """

    user: str
    history: tuple[str, ...] = ()


Fold = Callable[[Person], tuple[PathSearch, str]]
"""Returns what explains to someone by a history, and the id under which it does."""


def explanations(
    search: PathSearch,
    users: Sequence[str | Person],
    k: int = 10,
    *,
    top: int = 1,
    skip: Mapping[Person, int] | None = None,
    fold: Fold | None = None,
    **settings: Any,
) -> Iterator[Explanation]:
    """Yield the explanations of each user's ``top`` best items, users in order, items best first.

    Args:
        search: The search for paths.
        users: User ids, or people; one that comes twice is explained once.
        k: Paths per item.
        top: Items per user; a user with fewer candidates gets fewer.
        skip: How many of a user's items to omit at the start.
        fold: What explains to people by a history (``Explainer.of_person``).
        settings: Further arguments of ``Explainer.explain``.

    Raises:
        UnknownIdError: If a user is not known; before anything is explained.
        ConfigError: If ``top`` is below 1, or a setting is out of range.
    """
    if top < 1:
        raise ConfigError(f"top is {top}. Ask for at least one item per user.")

    people = _people(search, users)
    strangers = dict.fromkeys(one for one in people if not _is_explained(search, one))
    if strangers:
        first = next(iter(strangers))
        logger.warning(
            "no explanations for %d users without training interactions, the first %s.",
            len(strangers),
            repr(first.user) if first.user else f"with the history {', '.join(first.history)[:80]}",
        )

    for person in people:
        if person in strangers:
            continue

        over, user = _found(search, person, fold)
        done = (skip or {}).get(person, 0)
        for item in _order(over, user)[done:top].tolist():
            key = over.explained.data.items.key(item)
            yield _of(person, explain(over, user, key, k, **settings))


def people_of(
    histories: Iterable[History], items: Vocabulary, on_unknown: str = "error"
) -> list[Person]:
    """Return people by the histories of a file.

    Args:
        histories: What they had.
        items: The known items.
        on_unknown: "error", or "ignore" items that are not known, and people who have no other;
            what is ignored is logged.

    Raises:
        UnknownIdError: If an item is not known and none may be ignored, or no one is left.
    """
    people = []
    unknown: list[str] = []
    for one in histories:
        known = tuple(item for item in one.items if item in items)
        if len(known) < len(one.items):
            if on_unknown == "error":
                _check_known(one, items)

            unknown += [item for item in one.items if item not in items]

        if known:
            people.append(Person(one.user, known))

    if not people:
        raise UnknownIdError("no history names a known item. Nothing is left to do.")
    if unknown:
        logger.warning("ignored %d unknown item ids: %s.", len(unknown), some_of(unknown))

    return people


def _check_known(history: History, items: Vocabulary) -> None:
    try:
        items.rows(history.items)
    except UnknownIdError as error:
        raise UnknownIdError(f"{history.where}: {error}") from None


def _people(search: PathSearch, users: Sequence[str | Person]) -> list[Person]:
    """Return people, each once; ids and items are known."""
    found = [Person(one) if isinstance(one, str) else one for one in users]
    people = list(dict.fromkeys(found))
    data = search.explained.data
    data.users.rows([person.user for person in people if not person.history])
    for person in people:
        data.items.rows(list(person.history))

    return people


def _is_explained(search: PathSearch, person: Person) -> bool:
    """Return whether the model has learned something about a person, or about an item of the
    history.
    """
    explained = search.explained
    row = explained.data.users.get(person.user)
    if row is not None and explained.explains(row):
        return True

    items = explained.data.items.rows(list(person.history))
    return bool(explained.known.items[items].any())


def _found(search: PathSearch, person: Person, fold: Fold | None) -> tuple[PathSearch, str]:
    """Return what explains to a person, and the id under which it does."""
    if not person.history:
        return search, person.user
    if fold is None:
        raise ConfigError("people by a history need fold (Explainer.of_person).")

    return fold(person)


def _order(search: PathSearch, user: str) -> np.ndarray:
    """Return the candidates of a user, the best first."""
    explained = search.explained
    return explained.standing(explained.data.users.row(user)).order()


def _of(person: Person, found: Explanation) -> Explanation:
    """Return an explanation with the history that it was given."""
    return replace(found, history=person.history) if person.history else found


def write_batch(
    search: PathSearch,
    users: Sequence[str | Person],
    out: str | PathLike[str],
    k: int = 10,
    *,
    top: int = 1,
    fold: Fold | None = None,
    **settings: Any,
) -> tuple[int, int]:
    """Write explanations as JSON Lines; return how many were there and how many were added.

    A file that holds the beginning already is continued: whole lines stay, half a line at its end
    goes. Every line is written whole; interrupted, the file ends with the last whole one.

    Args:
        search: The search for paths.
        users: User ids, or people, in the order of the lines.
        out: The file.
        k: Paths per item.
        top: Items per user.
        fold: What explains to people by a history (``Explainer.of_person``).
        settings: Further arguments of ``Explainer.explain``.

    Raises:
        ConfigError: If the file holds something else than the beginning of this batch.
        CheckpointError: If another process writes it.
        UnknownIdError: If a user is not known; before anything is written.
    """
    goal = Path(out)
    people = _people(search, users)
    by_history = next((one for one in people if one.history and _is_explained(search, one)), None)
    if by_history is not None:
        _found(search, by_history, fold)

    if goal.exists() and not goal.is_file():
        raise ConfigError(f"{goal}: is a folder, a pipe or a device. Name a plain file.")

    with locked(goal, "kgrec explain-batch"):
        return _written(search, people, goal, k, top, fold, settings)


def _written(
    search: PathSearch,
    people: Sequence[Person],
    goal: Path,
    k: int,
    top: int,
    fold: Fold | None,
    settings: Mapping[str, Any],
) -> tuple[int, int]:
    there, size, last, counts = _beginning(goal, people)
    at = 0

    if last is not None:
        now = _person(last)
        over, user = _found(search, now, fold)
        _same_batch(last, _of(now, explain(over, user, last.item, k, **settings)), goal)
        _same_top(search, counts, goal, top, now, fold)
        at = people.index(now)

    added = 0
    with (
        goal.open("r+b" if goal.exists() else "w+b") as file,
        progress("explaining", len(people)) as bar,
    ):
        file.truncate(size)
        file.seek(size)
        bar.update(at)
        before: Person | None = None
        more = explanations(search, people[at:], k, top=top, skip=counts, fold=fold, **settings)

        for explanation in more:
            now = _person(explanation)
            if now != before:
                before = now
                at = people.index(now, at)
                bar.update(at, now.user[:40])

            _append(file, explanation)
            added += 1

    return there, added


def _person(explanation: Explanation) -> Person:
    """Return to whom an explanation is given."""
    return Person(explanation.user, explanation.history)


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
    goal: Path, people: Sequence[Person]
) -> tuple[int, int, Explanation | None, Counter[Person]]:
    """Return how many whole lines there are, their bytes, the last one, and lines per person."""
    size = 0
    following = 0
    last: bytes | None = None
    person = None
    counts: Counter[Person] = Counter()
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

            now = _person_of(line, goal, number)
            if now != person:
                person = now
                following = _after(people, now, following, goal, number)

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


def _person_of(line: bytes, goal: Path, number: int) -> Person:
    try:
        record = json.loads(line)
        return Person(str(record["user"]), tuple(map(str, record.get("history", ()))))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(
            f"{goal}:{number}: no explanation. Name another file, or remove this one."
        ) from None


def _after(people: Sequence[Person], person: Person, start: int, goal: Path, number: int) -> int:
    """Return the index after a person, who must not come before ``start``."""
    try:
        return people.index(person, start) + 1
    except ValueError:
        raise ConfigError(
            f"{goal}:{number}: user {person.user!r} is not the next of the given users. Name another "
            "file, or remove this one."
        ) from None


def _same_batch(last: Explanation, computed: Explanation, goal: Path) -> None:
    """Refuse to continue what another run, or other settings, began."""
    again = json.loads(computed.to_json())
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


def _same_top(
    search: PathSearch,
    counts: Counter[Person],
    goal: Path,
    top: int,
    last: Person,
    fold: Fold | None,
) -> None:
    """Refuse to continue where finished users have another number of items than ``top``."""
    for person, count in counts.items():
        short = count < top and person != last
        if short:
            short = count < len(_order(*_found(search, person, fold)))

        if short or count > top:
            raise ConfigError(
                f"{goal}: has {count} items of user {person.user!r}, not {top}. Name another file, "
                "or remove this one."
            )
