"""Trackers: small callbacks that report a training to JSON lines, TensorBoard, MLflow or Weights &
Biases. Nothing is sent anywhere unless an address is named.
"""

import importlib
import importlib.util
import json
import math
import socket
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from kgrec.data.io.writing import write_whole
from kgrec.errors import ConfigError, nearest
from kgrec.training.loop import TrainState

_SECONDS_TO_REACH = 3.0
_PACKAGES = {"jsonl": "json", "tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}


@runtime_checkable
class Tracker(Protocol):
    """What a training is reported to."""

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Take the losses, the seconds and the validation value of an epoch; a resumed training
        reports some again.
        """

    def finish(self, values: Mapping[str, float]) -> None:
        """Take the metrics of the best parameters."""

    def close(self) -> None:
        """Write what is left."""


class JsonLines:
    """``epochs.jsonl``: an object a line, ``{"epoch": 1, ...}``, and ``{"final": {...}}``.

    The file is whole at every moment; epochs that are trained again replace those of before.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "epochs.jsonl"
        self._lines: list[dict[str, Any]] | None = None

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Append a line."""
        if self._lines is None:
            self._lines = [one for one in self._stored() if one.get("epoch", number) < number]

        self._lines.append({"epoch": number, **values})
        self._write()

    def finish(self, values: Mapping[str, float]) -> None:
        """Append the last line."""
        lines = self._stored() if self._lines is None else self._lines
        self._lines = [one for one in lines if "final" not in one] + [{"final": dict(values)}]
        self._write()

    def close(self) -> None:
        """Do nothing: every line is on the disk."""

    def _stored(self) -> list[dict[str, Any]]:
        if not self._path.is_file():
            return []

        try:
            found = [json.loads(line) for line in self._path.read_text("utf-8").splitlines()]
        except ValueError:
            found = [None]
        if not all(isinstance(one, dict) for one in found):
            raise ConfigError(f"{self._path}: not JSON lines of epochs. Remove it.")

        return [one for one in found if "epoch" in one]

    def _write(self) -> None:
        text = "".join(json.dumps(_finite(line)) + "\n" for line in self._lines or [])
        write_whole(self._path, lambda file: file.write_text(text, encoding="utf-8"))


class TensorBoard:
    """Event files for TensorBoard: a curve for each loss and metric, by epoch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        writer = self._opened(number)
        for name, value in values.items():
            writer.add_scalar(name, value, number)

    def finish(self, values: Mapping[str, float]) -> None:
        """Add the final metrics."""
        writer = self._opened(0)
        for name, value in values.items():
            writer.add_scalar(f"final/{name}", value, 0)

    def close(self) -> None:
        """Write the files."""
        if self._writer is not None:
            self._writer.close()

    def _opened(self, number: int) -> Any:
        if self._writer is None:
            module = importlib.import_module("torch.utils.tensorboard")
            # a viewer leaves out what an earlier file has from this epoch on
            self._writer = module.SummaryWriter(str(self._folder), purge_step=number or None)
        return self._writer


class MLflow:
    """A run of an MLflow experiment: a SQLite file in the folder, or the server at an address."""

    def __init__(self, folder: Path, title: str, address: str) -> None:
        client = importlib.import_module("mlflow.tracking").MlflowClient
        self._client = client(tracking_uri=address or f"sqlite:///{folder.resolve()}/mlflow.db")
        self._note = folder / "mlflow-run.txt"
        if self._note.is_file():  # a resumed training
            self._run = self._note.read_text(encoding="utf-8").strip()
            return

        found = self._client.get_experiment_by_name("kgrec")
        experiment = found.experiment_id if found else self._client.create_experiment("kgrec")
        self._run = self._client.create_run(experiment, run_name=title).info.run_id
        write_whole(self._note, lambda file: file.write_text(self._run, encoding="utf-8"))

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Log the values at this step."""
        for name, value in values.items():
            self._client.log_metric(self._run, name.replace("@", "_at_"), value, step=number)

    def finish(self, values: Mapping[str, float]) -> None:
        """Log the final metrics, and end the run."""
        self.epoch(0, {f"final/{name}": value for name, value in values.items()})
        self._client.set_terminated(self._run)

    def close(self) -> None:
        """Do nothing: values are stored as they come."""


class WandB:
    """An offline run of Weights & Biases, for ``wandb sync``; nothing is sent."""

    def __init__(self, folder: Path, title: str) -> None:
        wandb = importlib.import_module("wandb")
        self._run = wandb.init(project="kgrec", name=title, dir=str(folder), mode="offline")

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Log the values at this step."""
        self._run.log(dict(values), step=number)

    def finish(self, values: Mapping[str, float]) -> None:
        """Put the final metrics into the summary."""
        self._run.summary.update({f"final/{name}": value for name, value in values.items()})

    def close(self) -> None:
        """Write the files."""
        self._run.finish(quiet=True)


class Tracking:
    """The trackers of one training; called after each epoch, as ``on_epoch`` of ``fit``."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = trackers

    def __call__(self, state: TrainState) -> None:
        """Report the epoch that ended."""
        record = _numbers(state.history[-1])
        record.pop("epoch", None)
        for tracker in self._trackers:
            tracker.epoch(state.epoch, record)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Report the metrics of ``Run.summary``."""
        found = {
            f"{part}/{name}": value
            for part in ("valid", "test")
            for name, value in _numbers(summary.get(part) or {}).items()
        }
        for tracker in self._trackers:
            tracker.finish(found)


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that are unknown, not installed, or at an address that nothing answers.

    Args:
        names: Of "jsonl", "tensorboard", "mlflow" and "wandb"; "mlflow:http://HOST:PORT" reports
            to a server.

    Raises:
        ConfigError: With which, and what to do.
    """
    for name in names:
        kind, _, address = name.partition(":")
        if kind not in _PACKAGES:
            hint = nearest(kind, _PACKAGES) or f" Known: {', '.join(_PACKAGES)}."
            raise ConfigError(f"unknown tracker {kind!r}.{hint}")
        if importlib.util.find_spec(_PACKAGES[kind]) is None:
            raise ConfigError(
                f"tracker {kind} needs {_PACKAGES[kind]}, which is not installed. Install it: pip "
                f"install 'kgrec[{kind}]'."
            )
        if address and kind != "mlflow":
            raise ConfigError(f"tracker {name!r}: {kind} takes no address. Leave it out.")
        if address:
            _reach(name, address)


@contextmanager
def tracking(names: Sequence[str], folder: Path, title: str) -> Iterator[Tracking]:
    """Give the trackers of one training; they write below ``folder``, which is made if needed.

    Args:
        names: See ``check_trackers``.
        folder: Where they keep their files, a folder each.
        title: Name of the training.

    Raises:
        ConfigError: If one of them is unknown, not installed, or cannot be reached.
    """
    check_trackers(names)
    with ExitStack() as stack:
        opened: list[Tracker] = []
        for name in names:
            kind, _, address = name.partition(":")
            place = folder / kind
            place.mkdir(parents=True, exist_ok=True)
            tracker: Tracker
            if kind == "jsonl":
                tracker = JsonLines(place)
            elif kind == "tensorboard":
                tracker = TensorBoard(place)
            elif kind == "mlflow":
                tracker = MLflow(place, title, address)
            else:
                tracker = WandB(place, title)

            stack.callback(tracker.close)
            opened.append(tracker)

        yield Tracking(opened)


def _reach(name: str, address: str) -> None:
    """Refuse an address that nothing answers: its library would try for minutes."""
    parts = urllib.parse.urlsplit(address)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not http://HOST:PORT")
        with socket.create_connection((parts.hostname, port), timeout=_SECONDS_TO_REACH):
            pass
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"tracker {name}: cannot be reached ({why}). Start the server, or leave the address "
            "out to write a file."
        ) from None


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
