"""How the C library hands memory back, and how much is left."""

import ctypes
import sys
from functools import cache
from pathlib import Path

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of mallopt, from malloc.h
_LARGEST = 32 << 20  # more than this glibc refuses


@cache
def keep_freed_memory() -> bool:
    """Let freed blocks of up to 32 MB stay with the process, so that the next step's tables need no
    new pages; return whether they do.

    glibc takes large blocks from the kernel and gives them back at once; at each step of a training
    the kernel would then clear the same pages again. On Gowalla's graph that was 12 ms of a
    LightGCN step of about 60. Does nothing without glibc.
    """
    if sys.platform != "linux":
        return False

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False

    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, 1 << 30))


def available_memory(device: torch.device) -> int:
    """Return the bytes that a device has left, as far as can be known; of the CPU what Linux calls
    available, elsewhere 2^63 - 1.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])

    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return sys.maxsize

    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(found[0]) if found else sys.maxsize
