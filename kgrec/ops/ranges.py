"""Positions of ranges, one behind the other. numpy only: what serves lists imports nothing else."""

import numpy as np


def ranges(starts: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for ranges start .. start + size, range number and position of every element."""
    row = np.repeat(np.arange(len(sizes)), sizes)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(
        starts, sizes
    )
