"""A training state in one safetensors file: written whole or not at all, checked when read."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from kgrec.data.io.writing import write_whole
from kgrec.errors import CheckpointError
from kgrec.training.stopping import Stopping

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(slots=True)
class TrainState:
    """Everything that the next epoch depends on, besides the data and the settings.

    Attributes:
        epoch: Epochs done.
        model: Parameters and buffers after them.
        optimizers: State of each optimizer.
        best: Parameters and buffers at the best validation, or after the last epoch where nothing
            validates.
        stopping: What early stopping has seen.
        history: One record per epoch: its number, losses, seconds, and the validation metric where
            measured.
        join: Of a state whose tables are this process's columns, what puts the whole one together;
            see ``whole``.
    """

    epoch: int
    model: dict[str, Tensor]
    optimizers: list[dict[str, Any]]
    best: dict[str, Tensor]
    stopping: Stopping
    history: list[dict[str, Any]] = field(default_factory=list)
    join: "Callable[[TrainState], TrainState] | None" = None

    def whole(self) -> "TrainState":
        """Return the state with whole tables. Of a training by columns all processes call it at
        once, and only the first one gets tables.
        """
        return self if self.join is None else self.join(self)


def write_tensors(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write tensors and a JSON record as one file, beside its place and then renamed; a SHA-256
    over both goes along.

    Equal tensors and records give equal bytes. The library's own writer gives them not: it keeps
    metadata in a hash map, whose order is another in every process.

    Raises:
        CheckpointError: If a tensor is of a type that the format has not.
        OSError: If the place takes no more.
    """
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(record, sort_keys=True)
    order = sorted(
        stored, key=lambda name: (-stored[name].element_size(), name)
    )  # so that each begins at a multiple of its size
    header: dict[str, Any] = {"__metadata__": {"record": text, "sha256": _digest(stored, text)}}
    end = 0

    for name in order:
        value = stored[name]
        if value.dtype not in _DTYPES:
            raise CheckpointError(
                f"{path}: {name} is of type {value.dtype}, which cannot be stored. Use float32."
            )

        begin = end
        end = end + value.numel() * value.element_size()
        header[name] = {
            "dtype": _DTYPES[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [begin, end],
        }

    head = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    head += b" " * (-len(head) % 8)

    def write(scratch: Path) -> None:
        with open(scratch, "wb") as stream:
            stream.write(len(head).to_bytes(8, "little") + head)
            for name in order:
                stream.write(_bytes_of(stored[name]))

    write_whole(path, write)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the record of a file.

    Raises:
        CheckpointError: If the file is missing, cut short, or its sum does not hold.
    """
    if not path.is_file():
        if path.exists():
            found = "not a plain file"
        else:
            found = "not there"
        raise CheckpointError(
            f"{path}: {found}. The run folder is incomplete: train again, or copy it again."
        )

    try:
        with safetensors.safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - not a mapping

        text = metadata["record"]
        record = json.loads(text)
        if not isinstance(record, dict):
            raise TypeError("its record is no object")
    except (
        safetensors.SafetensorError,
        KeyError,
        ValueError,
        TypeError,
        RuntimeError,
        RecursionError,
    ) as error:
        raise CheckpointError(
            f"{path}: not a readable weights file ({type(error).__name__}). Train again, or copy "
            "it again."
        ) from None

    if metadata.get("sha256") != _digest(tensors, text):
        raise CheckpointError(
            f"{path}: its SHA-256 does not hold, the file was changed or damaged. Train again, "
            "or copy it again."
        )

    return tensors, record


def write_state(path: Path, state: TrainState, identity: dict[str, Any]) -> None:
    """Write a training state; ``identity`` says what it belongs to and is compared when it is
    read.
    """
    tensors = {f"model/{name}": value for name, value in state.model.items()}
    tensors |= {f"best/{name}": value for name, value in state.best.items()}
    groups = []

    for number, optimizer in enumerate(state.optimizers):
        groups.append(optimizer["param_groups"])
        for parameter, slots in optimizer["state"].items():
            for slot, value in slots.items():
                if value is None:  # an empty slot is empty again when it is read
                    continue
                if not isinstance(value, Tensor):
                    raise CheckpointError(
                        f"{path}: the optimizer keeps {slot} as a {type(value).__name__}, which "
                        "cannot be stored. Take one that keeps tensors."
                    )

                tensors[f"optimizer/{number}/{parameter}/{slot}"] = value

    stopping = asdict(state.stopping) | {
        "best": state.stopping.best if state.stopping.best_epoch else None
    }
    record = {
        "epoch": state.epoch,
        "history": state.history,
        "stopping": stopping,
        "groups": groups,
        "identity": identity,
    }
    write_tensors(path, tensors, record)


def read_state(path: Path) -> tuple[TrainState, dict[str, Any]]:
    """Return a training state and its identity.

    Raises:
        CheckpointError: If the file is missing, damaged, or not a training state.
    """
    tensors, record = read_tensors(path)
    try:
        told = dict(record["stopping"])
        identity = record["identity"]

        if told["best"] is None:
            best = float("-inf")
        else:
            best = float(told["best"])

        stopping = Stopping(
            _count(told["patience"]), best, _count(told["best_epoch"]), _count(told["since"])
        )
        optimizers: list[dict[str, Any]] = [
            {"state": {}, "param_groups": group} for group in record["groups"]
        ]

        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                _, number, parameter, slot = name.split("/", 3)
                optimizers[_count(int(number))]["state"].setdefault(_count(int(parameter)), {})[
                    slot
                ] = value

        history = check_history(record["history"])
        if not isinstance(identity, dict):
            raise TypeError("what it belongs to is no object")

        model = _under("model/", tensors)
        kept = _under("best/", tensors)
        return TrainState(
            _count(record["epoch"]), model, optimizers, kept, stopping, history
        ), identity
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        why = " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"{path}: not a training state ({type(error).__name__}: {why}). Train again."
        ) from None


def check_history(told: Any) -> list[dict[str, Any]]:
    """Return the records of epochs that a file holds.

    Raises:
        TypeError: If they are none.
    """
    if not isinstance(told, list) or not all(isinstance(record, dict) for record in told):
        raise TypeError("the history is no list of objects")

    for record in told:
        _count(record.get("epoch"))
        if any(isinstance(value, list | dict) for value in record.values()):
            raise TypeError("the history holds what is no number")

    return told


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise TypeError(f"{str(value)[:40]!r} is no count")
    return value


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}:".encode())
        digest.update(_bytes_of(value))
    return digest.hexdigest()


def _bytes_of(value: Tensor) -> memoryview:
    return value.reshape(-1).view(torch.uint8).numpy().data
