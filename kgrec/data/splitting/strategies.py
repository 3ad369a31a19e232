"""Splitting strategies: random, temporal, leave-one-out, by users and by sessions."""

from collections.abc import Callable, Sized
from typing import Any

import numpy as np

from kgrec.data.records.parts import TEST, TRAIN, VALID
from kgrec.data.tables.ordering import row_order
from kgrec.errors import ConfigError, DataError, nearest

RATIOS = (0.8, 0.1, 0.1)
FOLD_IN = 0.8
"""Share of a held-out user's interactions that is known when the others are ranked."""


def check_ratios(ratios: tuple[float, ...], name: str = "ratios") -> tuple[float, float, float]:
    """Return (train, valid, test) shares in [0, 1] that sum to one.

    Raises:
        ConfigError: If they are not three, not a sum of one, or leave training nothing.
    """
    shown = ",".join(f"{r:g}" for r in ratios)
    if len(ratios) != 3:
        raise ConfigError(
            f"{name}: {shown} are {len(ratios)} numbers. Give three: train, valid, test, such as "
            "0.8,0.1,0.1."
        )
    if not (all(0 <= r <= 1 for r in ratios) and abs(sum(ratios) - 1) < 1e-6 and ratios[0] > 0):
        raise ConfigError(
            f"{name}: {shown} must be positive for training, not negative, and sum to 1. Such as "
            "0.8,0.1,0.1."
        )

    return ratios[0], ratios[1], ratios[2]


def random_split(
    user: np.ndarray,
    time: np.ndarray | None,
    ratios: tuple[float, float, float],
    *,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return the part of each interaction, drawn per user.

    Of a user's n interactions, n times the share (rounded half up) go to validation and to test,
    the rest to training, which always keeps at least one.
    """
    count, position = _positions(user, generator.random(len(user)))
    valid, test = (np.floor(count * share + 0.5 + 1e-9).astype(np.int32) for share in ratios[1:])
    over = np.maximum(valid + test - (count - 1), 0)
    less = np.minimum(over, valid)
    valid = valid - less
    test = test - (over - less)
    return np.where(position < test, TEST, np.where(position < test + valid, VALID, TRAIN)).astype(
        np.int8
    )


def temporal_split(
    user: np.ndarray,
    time: np.ndarray | None,
    ratios: tuple[float, float, float],
    *,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return the part of each interaction by two points in time, the same for everyone.

    Interactions at the same moment are never divided, so that nothing in training is as late as
    anything in validation or test.
    """
    moments = _times(time, "temporal")
    ordered = np.sort(moments)
    first, second = (
        ordered[end] if end < len(ordered) else np.inf for end in boundaries(ordered, ratios)
    )
    del ordered
    return by_moments(moments, first, second)


def boundaries(moments: Sized, ratios: tuple[float, float, float]) -> tuple[int, int]:
    """Return the places, in the order of times, where validation and test begin."""
    first, second = (round(len(moments) * share) for share in (ratios[0], ratios[0] + ratios[1]))
    return first, second


def by_moments(moments: np.ndarray, first: Any, second: Any) -> np.ndarray:
    """Return the part of each interaction by the moments at which validation and test begin."""
    part = np.full(len(moments), TEST, dtype=np.int8)
    part[moments < second] = VALID
    part[moments < first] = TRAIN
    return part


def leave_one_out(
    user: np.ndarray,
    time: np.ndarray | None,
    ratios: tuple[float, float, float],
    *,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return the part of each interaction: of each user the last for test, the one before for
    validation, the rest for training.

    Of interactions at one time the later row counts as later; a dataset is built from rows sorted
    by user, time and item.

    Users with two interactions have none in validation, users with one only train.
    """
    count, position = _positions(user, -_times(time, "leave-one-out"))
    return np.where(
        (position == 0) & (count > 1), TEST, np.where((position == 1) & (count > 2), VALID, TRAIN)
    ).astype(np.int8)


def by_user(
    user: np.ndarray,
    time: np.ndarray | None,
    ratios: tuple[float, float, float],
    *,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return the part of each interaction where whole users are held out: strong generalization.

    Of the users with three interactions or more, as many as the test share of all are drawn; of
    each of them ``FOLD_IN`` goes to validation, which is the history that the test part is ranked
    by, the rest to test. Of everyone else the validation share goes to validation, the rest to
    training.

    Source: Liang et al., Mult-VAE, WWW 2018, Section 4.2.
    """
    users, count = np.unique(user, return_counts=True)
    held = held_users(users, count, ratios, generator=generator)
    return folded_parts(user, held, ratios, generator, generator)


def held_users(
    users: np.ndarray,
    count: np.ndarray,
    ratios: tuple[float, float, float],
    *,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return the users that are held out by ``by_user``, given how many interactions each has."""
    drawn: np.ndarray = generator.permutation(users[count >= 3])
    return drawn[: int(len(users) * ratios[2] + 0.5)]


def folded_parts(
    user: np.ndarray,
    held: np.ndarray,
    ratios: tuple[float, float, float],
    others: np.random.Generator,
    fold: np.random.Generator,
) -> np.ndarray:
    """Return the part of each interaction where some users are held out.

    Args:
        user: User of each interaction.
        held: Those held out.
        ratios: Shares of train, valid and test.
        others: Of the draw for everyone.
        fold: Of the draw within those held out.
    """
    part = random_split(user, None, (1 - ratios[1], ratios[1], 0.0), generator=others)
    folded = random_split(user, None, (FOLD_IN, 0.0, 1 - FOLD_IN), generator=fold)
    mine = np.isin(user, held)
    part[mine] = np.where(folded[mine] == TEST, TEST, VALID)
    return part


def session_split(
    user: np.ndarray,
    time: np.ndarray | None,
    ratios: tuple[float, float, float],
    *,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return the part of each interaction, by users as wholes: those who end last are the test
    part, those before them validation.

    For sessions, each of which is a user: a part has sessions that training has never seen
    (``evaluate_next_items`` reads them item by item). Users who end at the same moment are in the
    same part.
    """
    moments = _times(time, "sessions")
    users, position = np.unique(user, return_inverse=True)
    end = np.full(len(users), -np.inf)
    np.maximum.at(end, position, moments)
    one_each = temporal_split(users, end, ratios, generator=generator)
    return np.asarray(one_each[position])


def hold_out(user: np.ndarray, share: float, *, generator: np.random.Generator) -> np.ndarray:
    """Return True for the interactions held out of training: a share per user (rounded half up)
    that leaves at least one.
    """
    held: np.ndarray = (
        random_split(user, None, (1 - share, share, 0.0), generator=generator) == VALID
    )
    return held


SPLITS: dict[str, Callable[..., np.ndarray]] = {
    "random": random_split,
    "temporal": temporal_split,
    "leave-one-out": leave_one_out,
    "users": by_user,
    "sessions": session_split,
}


def find_split(name: str) -> Callable[..., np.ndarray]:
    """Return the split function of a name; underscores and case are ignored.

    Raises:
        ConfigError: If there is no such split.
    """
    known = [*SPLITS, "given"]
    found = SPLITS.get(name.lower().replace("_", "-"))
    if found is None:
        raise ConfigError(
            f"split: {name!r} is unknown.{nearest(name, known)} Known: {', '.join(known)}."
        )

    return found


def _positions(user: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, per interaction, how many its user has and its 0-based rank among them by ascending
    key, the later row first in a tie.
    """
    order = row_order(user[::-1], key[::-1])
    np.subtract(len(user) - 1, order, out=order)
    ordered = user[order]

    if len(user):
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    else:
        starts = np.empty(0, np.int64)

    sizes = np.diff(np.r_[starts, len(user)]).astype(np.int32)
    count = np.empty(len(user), np.int32)
    position = np.empty(len(user), np.int32)
    count[order] = np.repeat(sizes, sizes)
    position[order] = np.arange(len(user), dtype=np.int32) - np.repeat(
        starts.astype(np.int32), sizes
    )
    return count, position


def _times(time: np.ndarray | None, split: str) -> np.ndarray:
    if time is None:
        raise DataError(
            f"split {split!r} needs a time per interaction and there is none. Name the time "
            "column (--time row: rows are in order), or use the random split."
        )

    missing = int(np.isnan(time).sum())
    if missing:
        raise DataError(
            f"split {split!r} needs a time per interaction and {missing} have none. Fill them, "
            "or use the random split."
        )

    return time
