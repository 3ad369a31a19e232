"""Independent random streams from one seed.

Every stream is keyed by (seed, purpose, counters): drawing from one never shifts another, and the
stream of epoch 17 can be opened without having lived through epochs 1 to 16. That is what makes a
resumed run equal to an uninterrupted one.
"""

import hashlib

import numpy as np


def derive(seed: int, purpose: str, *counters: int) -> int:
    """Return a 63-bit seed for one purpose, for instance ``derive(0, "negatives", epoch)``."""
    text = ":".join([str(seed), purpose, *map(str, counters)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def numpy_generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """Return a NumPy generator for one purpose."""
    return np.random.Generator(np.random.PCG64(derive(seed, purpose, *counters)))
