"""Compiled libraries: found beside the module that uses them, and loaded where they fit.

``hatch_build.py`` compiles them when the project is installed and a C++ compiler is there; without,
code in Python or torch does the same. The environment variable ``KGREC_BACKEND=torch`` disables all
of them.
"""

import ctypes
import os
from pathlib import Path


def load_library(path: Path, symbol: str, version: int) -> ctypes.CDLL | None:
    """Return a compiled library, or None if there is none, it is of another version, or
    ``KGREC_BACKEND`` says torch.

    Args:
        path: The shared library.
        symbol: Its function that returns the version.
        version: The version that the caller understands.
    """
    if os.environ.get("KGREC_BACKEND") == "torch" or not path.is_file():
        return None

    try:
        library = ctypes.CDLL(str(path))
        version_of = getattr(library, symbol)
        version_of.restype = ctypes.c_int32
        if version_of() != version:
            return None
    except (OSError, AttributeError):
        return None

    return library
