"""Tables of vectors larger than memory: mapped from files, of which a step touches some rows."""

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.errors import CheckpointError, ConfigError
from kgrec.random import numpy_generator

_BETAS = 0.9, 0.999
_EPSILON = 1e-8
_BLOCK = 1 << 16  # rows that are drawn at a time


class MappedTable:
    """Vectors and their Adam moments, float32, mapped from the files of a folder.

    Memory holds what the system keeps of the files, and gives it up where others need it. Rows that
    a step does not touch stay as they are, moments too, as with torch's ``SparseAdam``.

    Args:
        folder: What ``MappedTable.create`` made.

    Raises:
        CheckpointError: If the folder holds no table, or a part of one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._steps = int(json.loads((folder / "table.json").read_text())["steps"])
            self._values, self._mean, self._square = (
                np.load(folder / f"{name}.npy", mmap_mode="r+")
                for name in ("values", "mean", "square")
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = " ".join(str(error).split())[:100]
            raise CheckpointError(
                f"{folder}: no table, or a part of one ({why}). Create it again."
            ) from None

        if not self._values.shape == self._mean.shape == self._square.shape:
            raise CheckpointError(f"{folder}: values and moments differ in size. Create it again.")

    @classmethod
    def create(
        cls, folder: Path, rows: int, dim: int, *, scale: float = 0.1, seed: int = 0
    ) -> "MappedTable":
        """Write a table of normal draws into an empty folder, and open it.

        Args:
            folder: Where.
            rows: Its rows.
            dim: Its columns.
            scale: Standard deviation of the values.
            seed: Seed of the draws, which depend on it and the sizes alone.

        Raises:
            ConfigError: If the folder is not empty, or a size is less than 1.
        """
        if rows < 1 or dim < 1:
            raise ConfigError(f"a table of {rows} rows and {dim} columns: both are 1 or more.")
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder}: not empty. Name a new folder.")

        for name in ("mean", "square", "values"):
            shape = rows, dim
            part = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape)
            for start in range(0, rows if name == "values" else 0, _BLOCK):
                draw = numpy_generator(seed, "table", start)
                size = min(_BLOCK, rows - start), dim
                part[start : start + _BLOCK] = scale * draw.standard_normal(size, np.float32)
            part.flush()

        (folder / "table.json").write_text(json.dumps({"steps": 0}))
        return cls(folder)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._values)

    def take(self, rows: Int[Tensor, " batch"]) -> Float[Tensor, "batch dim"]:
        """Return a copy of some rows; ascending ones are read fastest."""
        return torch.from_numpy(self._values[rows.numpy()])

    def step(
        self,
        rows: Int[Tensor, " batch"],
        gradient: Float[Tensor, "batch dim"],
        learning_rate: float,
    ) -> None:
        """Make a step of Adam with the gradient of distinct rows.

        Source: Kingma and Ba, Adam, ICLR 2015, Algorithm 1, for the rows of the batch.
        """
        self._steps += 1
        at, slope = rows.numpy(), gradient.numpy()
        first, second = _BETAS
        mean = first * self._mean[at] + (1 - first) * slope
        square = second * self._square[at] + (1 - second) * np.square(slope)
        self._mean[at], self._square[at] = mean, square
        rate = learning_rate / (1 - first**self._steps)
        divisor = np.sqrt(square / (1 - second**self._steps)) + _EPSILON
        self._values[at] -= (rate * mean / divisor).astype(np.float32)

    def flush(self) -> None:
        """Write what the files have not yet. A process that is killed between two calls leaves rows
        of different steps: copy the folder after a call to have something to return to.
        """
        for part in (self._values, self._mean, self._square):
            part.flush()
        (self._folder / "table.json").write_text(json.dumps({"steps": self._steps}))
