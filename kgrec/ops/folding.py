"""Vectors of people by their histories, from the vectors of items alone. numpy only: what serves
lists imports nothing else.

Every function of one person: ``vector`` for someone whom training has not seen, ``moved`` for a
known user with new interactions.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from kgrec.compiled import load_library
from kgrec.errors import ConfigError

SLOPES = 8
_FEW, _FEW_PAIRS = 9, 20  # items of a history that only its mean is taken of
_MANY = 20  # items up to which half of the slopes, and a sample of the catalog, are enough
_FIRST, _LONGEST = 0.3, 0.5  # lengths of steps, where vectors of one person have a length near 1
_SAMPLED = 1024  # items of the catalog that a shorter history, and pairs, are contrasted with


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled mean; None without it."""
    found = load_library(Path(__file__).with_name("_folding.so"), "kgrec_folding_version", 1)
    if found is None:
        return None

    pointer, long = ctypes.c_void_p, ctypes.c_int64
    found.kgrec_folding_mean.argtypes = [pointer, long, long, pointer, pointer, long, pointer]
    found.kgrec_folding_mean.restype = ctypes.c_int32
    return found


@runtime_checkable
class Fold(Protocol):
    """Makes the vector of a person from item rows."""

    kind: ClassVar[str]

    def vector(self, history: np.ndarray) -> np.ndarray:
        """Return the vector of someone unseen with these items, distinct rows."""

    def moved(self, vector: np.ndarray, history: np.ndarray) -> np.ndarray:
        """Return the vector of a known user whose items, old and new, are these."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what it holds beside the item vectors, by name."""

    def numbers(self) -> dict[str, Any]:
        """Return its numbers, JSON-ready."""


def unit(vector: np.ndarray) -> np.ndarray:
    """Return a vector, or rows, of length 1; zeros stay.

    >>> unit(np.array([3.0, 4.0])).tolist()
    [0.6, 0.8]
    """
    length = np.sqrt(np.sum(vector * vector, axis=-1, keepdims=True))
    return np.asarray(vector / np.where(length > 0, length, 1))


def average_user(users: np.ndarray) -> np.ndarray:
    """Return the unit mean of unit vectors, float64; zeros where there is no user."""
    if not len(users):
        return np.zeros(users.shape[1])
    return unit(unit(users.astype(np.float64)).mean(0))


@dataclass(frozen=True)
class MeanFold:
    """The mean of the history, drawn to the average user where little is known.

        v = unit(m) + min(1, 2 / n) a      i in the history, n its size, m the mean of unit(i)

    Longer histories take for m where eight steps of L-BFGS from the mean end on the loss that the
    model was trained by, items fixed: from 10 items on the softmax over a temperature of cosines (up
    to 20 items four steps, with at most 1,024 of the catalog, evenly taken), from 21 on pairs. A
    known user is moved by eight steps from the trained vector.

    Attributes:
        items: One vector per item, as it is scored.
        average: The average user, of length 1.
        contrast: Item rows that the history is compared with.
        temperature: Of the softmax; 0 where pairs were trained.
        columns: The items again, a row per dimension: products with the whole catalog take a third
            of the time. None makes them when they are needed.
    """

    kind: ClassVar[str] = "mean"
    items: np.ndarray
    average: np.ndarray
    contrast: np.ndarray
    temperature: float
    columns: np.ndarray | None = None

    def vector(self, history: np.ndarray) -> np.ndarray:
        """Return the vector of someone unseen."""
        if not len(history):
            return self.average.astype(self.items.dtype)

        own = unit(unit(self.items[history].astype(np.float64)).mean(0))
        if not self.takes_mean(len(history)):
            whole = len(history) > _MANY
            slopes = SLOPES if whole else SLOPES // 2
            own = unit(self._descended(own, self._slope(history, whole=whole), slopes))

        found = own + min(1.0, 2 / len(history)) * self.average
        return found.astype(self.items.dtype)

    def takes_mean(self, size: int) -> bool:
        """Return whether a history of so many items is folded in by its mean alone."""
        return size <= (_FEW if self.temperature else _FEW_PAIRS)

    def moved(self, vector: np.ndarray, history: np.ndarray) -> np.ndarray:
        """Return the vector of a known user after eight steps; it keeps its length."""
        length = float(np.sqrt(np.sum(vector.astype(np.float64) ** 2)))
        if not length or not len(history):
            return self.vector(history)

        found = self._descended(vector.astype(np.float64) / length, self._slope(history))
        if self.temperature:
            found = unit(found)
        return (found * length).astype(self.items.dtype)

    def _descended(
        self,
        vector: np.ndarray,
        slope_at: Callable[[np.ndarray], np.ndarray],
        slopes: int = SLOPES,
    ) -> np.ndarray:
        """Return a vector after so many steps of L-BFGS (Nocedal 1980), their lengths bounded in
        place of a line search: every slope is a product with the catalog.
        """
        slope = slope_at(vector)
        pairs: list[tuple[np.ndarray, np.ndarray]] = []
        for left in reversed(range(slopes)):
            step = -_newton(slope, pairs)
            length = float(np.sqrt(step @ step))
            if not pairs:
                step *= _FIRST / (length or 1.0)
            elif length > _LONGEST:
                step *= _LONGEST / length

            vector = vector + step
            if not left:
                break

            before, slope = slope, slope_at(vector)
            change = slope - before
            if step @ change > 1e-10 * (change @ change):
                pairs.append((step, change))

        return vector

    def slope(self, vector: np.ndarray, history: np.ndarray) -> np.ndarray:
        """Return the gradient of the loss of a history."""
        return self._slope(history)(vector)

    def _slope(
        self, history: np.ndarray, *, whole: bool = True
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Return the gradient as a function; ``whole`` contrasts with the whole catalog."""
        own = self.items[history].astype(np.float64)
        if self.temperature:
            mean = self._weighted_mean if whole else self._sampled_mean
            return partial(self._softmax_slope, own=own, mean=mean)
        return partial(_pairs_slope, own=own, others=self._compared(history))

    @cached_property
    def _columns(self) -> np.ndarray:
        if self.columns is not None:
            return self.columns
        return np.ascontiguousarray(self.items.T)

    @cached_property
    def _left_out(self) -> np.ndarray:
        """Items that the softmax does not contrast with."""
        return np.setdiff1d(np.arange(len(self.items)), self.contrast)

    def _compared(self, history: np.ndarray) -> np.ndarray:
        """Return items, evenly taken from the contrast, that each of the history is paired with."""
        step = -(-len(self.contrast) // _SAMPLED) or 1
        rows = self.contrast[::step]
        return np.asarray(self.items[rows[~np.isin(rows, history)]].astype(np.float64))

    def _softmax_slope(
        self, vector: np.ndarray, own: np.ndarray, mean: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Return the gradient of the mean of -log softmax(cos(v, i) / temperature)."""
        length = np.sqrt(vector @ vector) or 1.0
        direction = vector / length
        outer = (mean(direction) - own.mean(0)) / self.temperature
        return np.asarray((outer - (outer @ direction) * direction) / length)

    def _weighted_mean(self, direction: np.ndarray) -> np.ndarray:
        """Return the mean of the contrast, weighted by softmax(i . direction / temperature)."""
        items, left_out = self.items, self._left_out
        here = library()
        fits = items.dtype == np.float32 and items.flags.c_contiguous and not items.shape[1] % 16
        if here is not None and fits and len(left_out) < len(items):
            scaled = (direction / self.temperature).astype(np.float32)
            mean = np.empty(len(direction))
            arrays = items.ctypes.data, *items.shape, scaled.ctypes.data, left_out.ctypes.data
            if not here.kgrec_folding_mean(*arrays, len(left_out), mean.ctypes.data):
                return mean

        logits = self._logits(direction, self._columns)
        logits[left_out] = -np.inf
        return _mean(self._columns, logits)

    def _sampled_mean(self, direction: np.ndarray) -> np.ndarray:
        """Return the same mean of a sample of the contrast."""
        return _mean(self._sample, self._logits(direction, self._sample))

    @cached_property
    def _sample(self) -> np.ndarray:
        """Items, evenly taken from the contrast, a row per dimension."""
        step = -(-len(self.contrast) // _SAMPLED) or 1
        return np.ascontiguousarray(self.items[self.contrast[::step]].T)

    def _logits(self, direction: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return np.asarray((direction.astype(columns.dtype) @ columns) / self.temperature)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the average user and the rows of the contrast."""
        return {"average": self.average, "contrast": self.contrast}

    def numbers(self) -> dict[str, Any]:
        """Return the temperature."""
        return {"temperature": self.temperature}


def _mean(columns: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the mean of the columns, weighted by softmax."""
    weight = np.exp(logits - logits.max())
    return np.asarray(columns @ (weight / weight.sum()))


def _newton(slope: np.ndarray, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the slope times the inverse Hessian as steps and the changes of slope tell it, by the
    two-loop recursion; without any, the slope.
    """
    found = slope.copy()
    shares = []
    for step, change in reversed(pairs):
        shares.append((step @ found) / (step @ change))
        found -= shares[-1] * change

    if pairs:
        step, change = pairs[-1]
        found *= (step @ change) / (change @ change)

    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        found += step * (share - (change @ found) / (step @ change))

    return found


def _pairs_slope(vector: np.ndarray, own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the gradient of the mean of softplus(-(s_i - s_j))."""
    if not len(others):
        return np.zeros_like(vector)

    margin = (own @ vector)[:, None] - (others @ vector)[None, :]
    weight = 1 / (1 + np.exp(np.clip(margin, -500, 500)))  # sigmoid(s_j - s_i), (own, others)
    return np.asarray((weight.sum(0) @ others - weight.sum(1) @ own) / weight.size)


@dataclass(frozen=True)
class SumFold:
    """A sum over the history: ``constant + n^-power * sum of table[i]``, of length 1 where
    ``directed``. New interactions of a known user do not move the vector.

    Attributes:
        table: What each item adds.
        constant: What everyone has.
        power: 1 makes a mean of the sum.
        directed: Whether the length is 1.
    """

    kind: ClassVar[str] = "sum"
    table: np.ndarray
    constant: np.ndarray
    power: float
    directed: bool = False

    def vector(self, history: np.ndarray) -> np.ndarray:
        """Return the vector of someone unseen."""
        total = self.table[history].sum(0) * max(1, len(history)) ** -self.power
        found = (self.constant + total).astype(self.table.dtype)
        return unit(found).astype(self.table.dtype) if self.directed else found

    def moved(self, vector: np.ndarray, history: np.ndarray) -> np.ndarray:
        """Return the vector as it is."""
        return vector

    def arrays(self) -> dict[str, np.ndarray]:
        """Return both tables."""
        return {"table": self.table, "constant": self.constant}

    def numbers(self) -> dict[str, Any]:
        """Return the power, and whether the length is 1."""
        return {"power": self.power, "directed": self.directed}


@dataclass(frozen=True)
class SquaresFold:
    """The least squares of iALS, items fixed.

        v = (w I^T I + sum of i i^T + s 1)^-1 sum of i,   s = l2 (n + w N)^exponent

    Attributes:
        items: One vector per item.
        gram: w I^T I.
        unobserved: w N, the weight of all items that are not in a history.
        l2: Strength of the regularization.
        exponent: Of its frequency scaling.
    """

    kind: ClassVar[str] = "squares"
    items: np.ndarray
    gram: np.ndarray
    unobserved: float
    l2: float
    exponent: float

    def vector(self, history: np.ndarray) -> np.ndarray:
        """Return the solution."""
        own = self.items[history]
        strength = self.l2 * (len(history) + self.unobserved) ** self.exponent
        system = self.gram + own.T @ own
        system = system + np.eye(len(system), dtype=system.dtype) * system.dtype.type(strength)
        return np.asarray(np.linalg.solve(system, own.sum(0)).astype(self.items.dtype))

    def moved(self, vector: np.ndarray, history: np.ndarray) -> np.ndarray:
        """Return the solution: a known user is one as well."""
        return self.vector(history)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the Gram matrix."""
        return {"gram": self.gram}

    def numbers(self) -> dict[str, Any]:
        """Return the settings."""
        return {"unobserved": self.unobserved, "l2": self.l2, "exponent": self.exponent}


def make_fold(
    kind: str,
    items: np.ndarray,
    arrays: Mapping[str, np.ndarray],
    numbers: Mapping[str, Any],
    columns: np.ndarray | None = None,
) -> Fold:
    """Return a fold from what it said of itself; ``columns`` are the items, a row per dimension.

    Raises:
        ConfigError: If there is no such kind.
    """
    if kind == "mean":
        temperature = float(numbers["temperature"])
        return MeanFold(items, arrays["average"], arrays["contrast"], temperature, columns)
    if kind == "sum":
        return SumFold(
            arrays["table"],
            arrays["constant"],
            float(numbers["power"]),
            bool(numbers["directed"]),
        )
    if kind == "squares":
        return SquaresFold(
            items,
            arrays["gram"],
            *(float(numbers[name]) for name in ("unobserved", "l2", "exponent")),
        )

    raise ConfigError(f"unknown fold {kind[:40]!r}. Known: mean, sum, squares.")
