"""Walking a plan: samplers, the loop, early stopping, checkpoints."""

from typing import TYPE_CHECKING

from kgrec.lazy import lazy_names

if TYPE_CHECKING:
    from kgrec.training.config import TrainConfig as TrainConfig
    from kgrec.training.loop import TrainState as TrainState
    from kgrec.training.loop import snapshot as snapshot
    from kgrec.training.loop import train as train
    from kgrec.training.samplers import make_sampler as make_sampler
    from kgrec.training.stopping import Stopping as Stopping

_HOMES = {
    "Stopping": "kgrec.training.stopping",
    "TrainConfig": "kgrec.training.config",
    "TrainState": "kgrec.training.loop",
    "make_sampler": "kgrec.training.samplers",
    "snapshot": "kgrec.training.loop",
    "train": "kgrec.training.loop",
}

__all__ = [
    "Stopping",
    "TrainConfig",
    "TrainState",
    "make_sampler",
    "snapshot",
    "train",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
