"""Drops of one score: each set of edges is taken away once, however often it is asked about."""

from collections.abc import Iterable, Sequence

import numpy as np

from kgrec.explanation.effects.closed_form import Mode
from kgrec.explanation.effects.measured import Effects


class Deletions:
    """What the score of one user and item loses without sets of edges.

    Args:
        effects: Effects on the score.
        modes: "delete", and "mask" where it is wanted and the model can.

    Attributes:
        modes: What is measured.
        score: The score with all edges; 0 before anything is measured.
    """

    def __init__(self, effects: Effects, modes: Sequence[Mode]) -> None:
        self.modes = tuple(modes)
        self.score = 0.0
        self._effects = effects
        self._drops: dict[tuple[Mode, bytes], float] = {}

    @property
    def exact(self) -> bool:
        """Whether drops come in closed form, so that many cost little more than one."""
        return self._effects.basis == "exact"

    @property
    def runs(self) -> int:
        """How many scores were computed, each set of edges in each mode."""
        return len(self._drops)

    def measure(self, groups: Iterable[np.ndarray], modes: Sequence[Mode] | None = None) -> None:
        """Measure the drops of groups of distinct edges, all that are not known together."""
        modes = self.modes if modes is None else tuple(modes)
        missing: dict[tuple[Mode, ...], dict[bytes, np.ndarray]] = {}
        for group in groups:
            key = _key(group)
            lacking = tuple(mode for mode in modes if (mode, key) not in self._drops)
            if len(group) and lacking:
                missing.setdefault(lacking, {})[key] = group

        for lacking, new in missing.items():
            scores = self._effects.without(list(new.values()), lacking)
            self.score = float(scores[0, 0])
            drops = scores[:, :1] - scores[:, 1:]
            for mode, row in zip(lacking, drops.tolist(), strict=True):
                self._drops |= {(mode, key): drop for key, drop in zip(new, row, strict=True)}

    def drop(self, edges: np.ndarray, mode: Mode = "delete") -> float | None:
        """Return the drop without some edges: 0 without any, None where it was not measured."""
        if not len(edges):
            return 0.0
        return self._drops.get((mode, _key(edges)))


def _key(edges: np.ndarray) -> bytes:
    return np.sort(edges).astype(np.int64).tobytes()
