"""The compiled kernels, where they were built: float32 on the CPU, as many threads as torch uses.

``hatch_build.py`` compiles them when the project is installed and a C++ compiler is there; without, the torch forms serve. The
environment variable ``KGREC_BACKEND=torch`` leaves them out.
"""

import ctypes
import os
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

_VERSION = 1
_FILE = "_native.so"
_POINTER, _LONG, _FLOAT, _INT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int32


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled kernels, or None where there are none, they are of another version, or ``KGREC_BACKEND`` says torch."""
    place = Path(__file__).with_name(_FILE)
    if os.environ.get("KGREC_BACKEND") == "torch" or not place.is_file():
        return None
    try:
        found = ctypes.CDLL(str(place))
        found.kgrec_native_version.restype = _INT
        if found.kgrec_native_version() != _VERSION:
            return None
    except (OSError, AttributeError):
        return None
    found.kgrec_spmm.argtypes = [_POINTER] * 6 + [_LONG, _LONG, _FLOAT, _FLOAT, _INT]
    found.kgrec_spmm.restype = None
    found.kgrec_sddmm.argtypes = [_POINTER] * 5 + [_LONG, _LONG, _INT]
    found.kgrec_sddmm.restype = None
    return found


def name() -> str:
    """Return which kernels serve on the CPU: "native" or "torch"."""
    return "torch" if library() is None else "native"


def takes(*tables: Tensor) -> bool:
    """Return whether the compiled kernels can take these tensors."""
    return library() is not None and all(table.dtype == torch.float32 and table.device.type == "cpu" for table in tables)


def spmm(
    ptr: Int[Tensor, " _"],
    idx: Int[Tensor, " edges"],
    weight: Float[Tensor, " edges"],
    x: Float[Tensor, "nodes dim"],
    out: Float[Tensor, "_ dim"],
    added: Float[Tensor, "_ dim"] | None = None,
    alpha: float | int = 1.0,
    beta: float | int = 1.0,
) -> Float[Tensor, "_ dim"]:
    """Write ``beta A x + alpha added`` into ``out`` and return it; ``out`` must share no memory with the others.

    Args:
        ptr: First edge of each row, and the number of edges last, int64.
        idx: Source row of each edge, int32.
        weight: One weight per edge.
        x: Source rows.
        out: One row per destination.
        added: Added to the product; None adds nothing.
        alpha: Factor of ``added``.
        beta: Factor of the product.
    """
    x, weight = x.contiguous(), weight.contiguous()
    more = None if added is None else added.contiguous()
    _loaded().kgrec_spmm(
        ptr.data_ptr(),
        idx.data_ptr(),
        weight.data_ptr(),
        x.data_ptr(),
        None if more is None else more.data_ptr(),
        out.data_ptr(),
        len(ptr) - 1,
        x.shape[1],
        alpha,
        beta,
        torch.get_num_threads(),
    )
    return out


def sddmm(
    ptr: Int[Tensor, " _"], idx: Int[Tensor, " edges"], a: Float[Tensor, "nodes dim"], b: Float[Tensor, "items dim"]
) -> Float[Tensor, " edges"]:
    """Return the inner product of a row of ``a`` and a row of ``b`` for each place of a CSR pattern; ``ptr`` int64, ``idx`` int32."""
    a, b, out = a.contiguous(), b.contiguous(), a.new_empty(len(idx))
    _loaded().kgrec_sddmm(
        ptr.data_ptr(), idx.data_ptr(), a.data_ptr(), b.data_ptr(), out.data_ptr(), len(ptr) - 1, a.shape[1], torch.get_num_threads()
    )
    return out


def _loaded() -> ctypes.CDLL:
    found = library()
    if found is None:
        raise RuntimeError("the compiled kernels are not there; ask takes() first.")
    return found
