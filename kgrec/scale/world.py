"""The processes of one command, as ``torchrun`` started them: who this one is, and words between
them.

A world of one process has no process group, and imports nothing of ``torch.distributed``.
"""

import atexit
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kgrec.errors import ConfigError, WorldError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TIMEOUT = "KGREC_PEER_TIMEOUT"
"""Environment variable: seconds after which a process that waits for another one gives up."""

_SECONDS = 600.0
_FAREWELL = 10.0  # seconds that the first process waits for the others at its end
_LOOK = 2.0  # seconds between two looks at whether the others are done, where they may take hours


@dataclass(slots=True)
class _Links:
    """What a process holds of the others, opened when it is first needed."""

    store: Any = None
    group: bool = False
    words: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class World:
    """The processes that run one command together.

    Every process calls what ``gather``, ``hear`` and the operations on tensors do in the same
    order.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        local_rank: Number among those of this machine, which chooses the GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    _links: _Links = field(default_factory=_Links, repr=False, compare=False)

    @classmethod
    def here(cls) -> "World":
        """Return the world that the environment names: ``RANK``, ``WORLD_SIZE`` and
        ``LOCAL_RANK``, as ``torchrun`` and Kubernetes set them; alone where they are missing.

        Raises:
            ConfigError: If they are no numbers, or the rank is outside the size.
        """
        size = _number("WORLD_SIZE", 1)
        rank = 0
        if size > 1:
            rank = _number("RANK", 0)

        if size < 1 or not 0 <= rank < size:
            raise ConfigError(
                f"RANK={rank} and WORLD_SIZE={size} name no process. Start with torchrun, or "
                "unset both."
            )

        return cls(rank, size, _number("LOCAL_RANK", rank))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    @property
    def sent(self) -> dict[str, int]:
        """Bytes that this process has sent of tensors, by kind of operation."""
        return self._links.sent

    def device(self, device: "torch.device") -> "torch.device":
        """Return the device of this process: of several GPUs, one each.

        Raises:
            ConfigError: If there are fewer GPUs than processes on this machine.
        """
        if self.size == 1 or device.type != "cuda":
            return device

        import torch

        if self.local_rank >= torch.cuda.device_count():
            raise ConfigError(
                f"rank {self.rank}: this machine has {torch.cuda.device_count()} GPUs, and more "
                "processes than that. Start one process a GPU, or pass --device cpu."
            )

        found = torch.device("cuda", self.local_rank)
        torch.cuda.set_device(found)
        return found

    def place(self, device: str) -> str:
        """Return the name of this process's device: of several GPUs, one each.

        Args:
            device: "auto", "cpu" or "cuda".

        Raises:
            ConfigError: If there are fewer GPUs than processes on this machine.
        """
        if self.size == 1 or device not in ("auto", "cuda"):
            return device

        import torch

        if not torch.cuda.is_available():
            return device
        return str(self.device(torch.device("cuda")))

    def claim(self, what: str) -> int:
        """Return the next number, from 0, of work that any process may take; each number is given
        once.
        """
        if self.size == 1:
            self._links.words[what] = self._links.words.get(what, -1) + 1
            return self._links.words[what]

        with self._in_one_line():
            return int(self._store().add(f"claim/{what}", 1)) - 1

    def gather(self, value: Any, *, patient: bool = False) -> list[Any]:
        """Return what every process gives, by rank, once all have: plain values that JSON takes.

        Args:
            value: What this one gives.
            patient: Whether the others may take as long as they like, since they do other work.

        Raises:
            WorldError: If another process does not answer, or, where they may take long, has ended.
        """
        if self.size == 1:
            return [value]

        key = self._key("gather")
        with self._in_one_line():
            self._store().set(f"{key}/{self.rank}", json.dumps(value))
        return [self._word(f"{key}/{rank}", rank, patient) for rank in range(self.size)]

    def hear(self, value: Any = None, *, patient: bool = False) -> Any:
        """Return what the first process says, to all: a plain value that JSON takes.

        Args:
            value: What is said, where this is the first process.
            patient: Whether it may take as long as it likes.

        Raises:
            WorldError: If it does not answer.
        """
        if self.size == 1:
            return value

        key = self._key("hear")
        if self.first:
            with self._in_one_line():
                self._store().set(key, json.dumps(value))
            return json.loads(json.dumps(value))

        return self._word(key, 0, patient)

    def agree(self, facts: dict[str, Any]) -> None:
        """Check that all processes hold the same facts.

        Args:
            facts: Plain values by what they are, in words of the message.

        Raises:
            WorldError: If one differs; the message names its rank and what.
        """
        plain = json.loads(json.dumps(facts, default=str))
        every = self.gather(plain)
        for rank, found in enumerate(every):
            different = [name for name in every[0] if found.get(name) != every[0][name]]
            if different:
                name = different[0]
                raise WorldError(
                    f"rank {rank} has another {name} ({str(found.get(name))[:40]}) than rank 0 "
                    f"({str(every[0][name])[:40]}). Start all with the same files, settings and "
                    "version."
                )

    # ---- tensors

    def all_gather(self, x: "Tensor") -> "Tensor":
        """Return the tensors of all processes, which have one shape, one behind another."""
        import torch
        from torch import distributed

        x = x.contiguous()
        found = torch.empty((self.size * len(x), *x.shape[1:]), dtype=x.dtype, device=x.device)
        with self._joined():
            distributed.all_gather(list(found.chunk(self.size)), x)

        self._count("all_gather", (self.size - 1) * x.nbytes)
        return found

    def all_reduce(self, x: "Tensor") -> "Tensor":
        """Return the sum of the tensors of all processes, the same bits everywhere."""
        from torch import distributed

        found = x.clone().contiguous()
        with self._joined():
            distributed.all_reduce(found)

        self._count("all_reduce", 2 * (self.size - 1) * x.nbytes // self.size)
        return found

    def all_to_all(
        self, x: "Tensor", given: list[int] | None = None, taken: list[int] | None = None
    ) -> "Tensor":
        """Send a part of the rows to each process, and return what the others sent, by rank.

        Args:
            x: The rows for rank 0, then for rank 1, and so on.
            given: Rows for each; None cuts evenly.
            taken: Rows from each; None takes as many as are given.
        """
        import torch
        from torch import distributed

        x = x.contiguous()
        given = given or [len(x) // self.size] * self.size
        taken = taken or given
        found = torch.empty((sum(taken), *x.shape[1:]), dtype=x.dtype, device=x.device)
        with self._joined():
            distributed.all_to_all_single(found, x, taken, given)

        row = x.nbytes // max(1, len(x))
        self._count("all_to_all", row * (sum(given) - given[self.rank]))
        return found

    def to_first(self, x: "Tensor") -> "Tensor | None":
        """Return the tensors of all processes stacked, to the first one; None to the others."""
        import torch
        from torch import distributed

        x = x.contiguous()
        parts = None
        if self.first:
            parts = [torch.empty_like(x) for _ in range(self.size)]

        with self._joined():
            distributed.gather(x, parts)

        if parts is None:
            self._count("gather", x.nbytes)
            return None

        return torch.stack(parts)

    def from_first(self, x: "Tensor") -> "Tensor":
        """Return the first process's tensor to all; the others give one of its shape."""
        import torch
        from torch import distributed

        found = x.contiguous()
        if x.numel():
            with self._joined():
                distributed.broadcast(found.view(-1).view(torch.uint8), 0)

        self._count("broadcast", found.nbytes if self.first else 0)
        return found

    def leave(self) -> None:
        """End the process group, where there is one."""
        if self._links.group:
            from torch import distributed

            with suppress(RuntimeError):  # the others may have gone first
                distributed.destroy_process_group()
            self._links.group = False

    # ---- links

    def _count(self, kind: str, size: int) -> None:
        self._links.sent[kind] = self._links.sent.get(kind, 0) + size

    def _key(self, kind: str) -> str:
        number = self._links.words[kind] = self._links.words.get(kind, -1) + 1
        return f"{kind}/{number}"

    def _word(self, key: str, rank: int, patient: bool) -> Any:
        """Return what a process said under a key, and wait until it does."""
        store = self._store()
        if not patient:
            with self._in_one_line():
                return json.loads(store.get(key))

        with self._in_one_line():
            while not store.check([key]):
                # what was said last is there before the leave that is taken
                if store.check([f"left/{rank}"]) and not store.check([key]):
                    raise WorldError(
                        f"rank {rank} of {self.size} has ended; it has said why. Start again: what "
                        "is done is kept."
                    )
                time.sleep(_LOOK)
            return json.loads(store.get(key))

    def _store(self) -> Any:
        """Return the words between the processes, opened once."""
        if self._links.store is None:
            missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
            if missing:
                raise ConfigError(
                    f"rank {self.rank} of {self.size}: {' and '.join(missing)} missing in the "
                    "environment, so the others cannot be found. Start with torchrun."
                )

            from torch.distributed.rendezvous import rendezvous

            with self._in_one_line():
                self._links.store, _, _ = next(rendezvous("env://", timeout=_timeout()))
                self._links.store.set_timeout(_timeout())
                atexit.register(self._part)

        return self._links.store

    def _part(self) -> None:
        """Take leave: the first process holds the words, and ends after those who read them."""
        others = [f"left/{rank}" for rank in range(1, self.size)]
        with suppress(RuntimeError, ValueError, OSError):
            self._links.store.set(f"left/{self.rank}", "")
            if self.first:
                self._links.store.wait(others, timedelta(seconds=_FAREWELL))

    @contextmanager
    def _joined(self) -> Iterator[None]:
        """Open the process group where it is not, and say in one line when it breaks."""
        import torch
        from torch import distributed
        from torch.distributed.distributed_c10d import PrefixStore

        store = self._store()
        with self._in_one_line():
            if not self._links.group:
                distributed.init_process_group(
                    "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
                    store=PrefixStore("kgrec", store),
                    rank=self.rank,
                    world_size=self.size,
                    timeout=_timeout(),
                )
                self._links.group = True
            yield

    @contextmanager
    def _in_one_line(self) -> Iterator[None]:
        """Re-raise what torch says of the network in one line."""
        try:
            yield
        except (RuntimeError, ValueError, OSError) as error:
            if isinstance(error, WorldError | ConfigError):
                raise
            why = " ".join(str(error).split())[:160]
            raise WorldError(
                f"rank {self.rank} of {self.size} has lost the others, or did not find them at "
                f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')} ({why}). Check "
                "that all are started and can reach that address, and start again."
            ) from None


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if not text.strip():
        return default

    try:
        return int(text)
    except ValueError:
        raise ConfigError(
            f"{name}={text[:40]!r} in the environment is no whole number. Start with torchrun, or "
            "unset it."
        ) from None


def _timeout() -> timedelta:
    text = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(text) if text.strip() else _SECONDS
    except ValueError:
        seconds = -1.0

    if not 0 < seconds < 1e7:
        raise ConfigError(f"{TIMEOUT}={text[:40]!r} is no number of seconds.")
    return timedelta(seconds=seconds)
