"""A training state in one safetensors file: written whole or not at all, checked when read."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from kgrec.errors import CheckpointError
from kgrec.training.loop import TrainState
from kgrec.training.stopping import Stopping


def write_tensors(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write tensors and a JSON record as one file, beside its place and then renamed; a SHA-256 over both goes along."""
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(record, sort_keys=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(stored, scratch, metadata={"record": text, "sha256": _digest(stored, text)})
        with scratch.open("rb") as handle:
            os.fsync(handle.fileno())
        scratch.replace(path)
    except safetensors.SafetensorError as error:
        raise OSError(f"{path}: cannot be written ({error}). Is the disk full?") from None
    finally:
        scratch.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the record of a file.

    Raises:
        CheckpointError: If the file is missing, cut short, or its sum does not hold.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: not there. The run folder is incomplete: train again, or copy it anew.")
    try:
        with safetensors.safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - not a mapping
        text = metadata["record"]
        record = json.loads(text)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable weights file ({type(error).__name__}). Train again, or copy it anew.") from None
    if metadata.get("sha256") != _digest(tensors, text):
        raise CheckpointError(f"{path}: its SHA-256 does not hold, the file was changed or damaged. Train again, or copy it anew.")
    return tensors, record


def write_state(path: Path, state: TrainState, identity: dict[str, Any]) -> None:
    """Write a training state; ``identity`` says what it belongs to and is compared when it is read."""
    tensors = {f"model/{name}": value for name, value in state.model.items()}
    tensors |= {f"best/{name}": value for name, value in state.best.items()}
    groups = []
    for number, optimizer in enumerate(state.optimizers):
        groups.append(optimizer["param_groups"])
        for parameter, slots in optimizer["state"].items():
            tensors |= {f"optimizer/{number}/{parameter}/{slot}": value for slot, value in slots.items()}
    stopping = asdict(state.stopping) | {"best": state.stopping.best if state.stopping.best_epoch else None}
    record = {"epoch": state.epoch, "history": state.history, "stopping": stopping, "groups": groups, "identity": identity}
    write_tensors(path, tensors, record)


def read_state(path: Path) -> tuple[TrainState, dict[str, Any]]:
    """Return a training state and its identity.

    Raises:
        CheckpointError: If the file is missing, damaged, or not a training state.
    """
    tensors, record = read_tensors(path)
    try:
        stopping = record["stopping"]
        if stopping["best"] is None:
            stopping["best"] = float("-inf")
        optimizers: list[dict[str, Any]] = [{"state": {}, "param_groups": group} for group in record["groups"]]
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                _, number, parameter, slot = name.split("/", 3)
                optimizers[int(number)]["state"].setdefault(int(parameter), {})[slot] = value
        state = TrainState(
            record["epoch"], _under("model/", tensors), optimizers, _under("best/", tensors), Stopping(**stopping), record["history"]
        )
        return state, record["identity"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(f"{path}: not a training state ({type(error).__name__}: {error}). Train again.") from None


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}:".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
