"""``kgrec doctor``."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from kgrec.cli.options import JsonOption, OptionalModelOption
from kgrec.cli.output import show_json
from kgrec.errors import ConfigError
from kgrec.escaping import clean


def doctor(
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATASET]",
            help="Also predict what training on it would cost.",
            show_default=False,
        ),
    ] = None,
    model: OptionalModelOption = None,
    json: JsonOption = False,
) -> None:
    """Show the environment; predict a training.

    With a dataset and a model: an estimate of memory and time from a few timed steps.
    """
    if (dataset is None) != (model is None):
        raise ConfigError("a prediction needs both: kgrec doctor DATASET --model NAME.")

    from kgrec.runs.doctor import environment, predict

    found = environment()
    document: dict[str, Any] = {"environment": found, "prediction": None}

    if dataset is not None and model is not None:
        from kgrec.data.formats.load import load

        document["prediction"] = asdict(predict(load(dataset), model, device=found["device"]))

    if json:
        show_json(document)
        return

    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    print(f"kgrec {found['kgrec']}, Python {found['python']}, {found['platform']}\n{packages}")

    if found["memory_bytes"] is None:
        memory = ""
    else:
        memory = f", {found['memory_bytes'] / 2**30:.1f} GiB memory"

    gpus = ", ".join(found["gpus"]) or "none"
    print(
        f"{found['cpus']} CPU cores, {found['threads']} threads{memory}; GPUs: {gpus}; kernels: "
        f"{found['backend']}"
    )
    predicted = document["prediction"]
    if predicted:
        steps = (
            ", ".join(f"{count:,} of {name}" for name, count in predicted["steps"].items())
            or "a closed form"
        )
        print(
            f"{clean(predicted['model'])}: {predicted['parameters']:,} parameters; an epoch has {steps} "
            "steps and takes about "
            f"{predicted['seconds_per_epoch']:.2f} s (validation comes on top), at most "
            f"{predicted['most_epochs']:,} epochs; "
            f"about {predicted['peak_memory_bytes'] / 2**20:,.0f} MiB{_served(predicted)}"
        )


def _served(predicted: dict[str, Any]) -> str:
    """Return the size of tables for serving, as the end of a sentence."""
    size = predicted["serving_bytes"]
    if size is None:
        return "; served with torch alone"
    return f"; tables for serving: {size / 2**20:,.0f} MiB"
