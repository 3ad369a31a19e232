"""The global random stream of torch, lent for a while: keyed as every other stream, and the caller's
state comes back.

Models of kgrec draw from generators of their own. This is for what draws from the global stream
whatever one does: ``torch.nn.Dropout``, the initial parameters of ``torch.nn.Linear``.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from kgrec.random import derive


@contextmanager
def global_stream(
    seed: int, purpose: str, *counters: int, device: torch.device | None = None
) -> Iterator[None]:
    """Seed torch's global stream by (seed, purpose, counters) inside the block, on the CPU and on
    ``device``.
    """
    on_cuda = device is not None and device.type == "cuda"
    devices = [device] if on_cuda else []
    with torch.random.fork_rng(devices):
        key = derive(seed, purpose, *counters)
        torch.default_generator.manual_seed(key)

        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(key)

        yield
