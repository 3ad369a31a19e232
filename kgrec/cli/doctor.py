"""``kgrec doctor``."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from kgrec.cli.options import JsonOption, OptionalModelOption, SetOption, settings, values
from kgrec.cli.output import show_json, show_table
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
    world: Annotated[
        str | None,
        typer.Option(
            metavar="1,2,4",
            help="Numbers of processes to compare: memory and seconds of each, and how many it is "
            "worth. DATASET may then be a description, FILE.toml.",
            show_default=False,
        ),
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|h200x8|FILE.toml",
            help="Of --world: what they would run on; this machine if not given.",
            show_default=False,
        ),
    ] = None,
    set_: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Show the environment; predict a training.

    With a dataset and a model: an estimate of memory and time from a few timed steps. With --world,
    what several processes would cost, by formula, without training anything.
    """
    if world is not None:
        _across(dataset, model, world, hardware, set_ or [], json)
        return

    if hardware is not None or set_:
        raise ConfigError("--hardware and --set are of --world 1,2,4: name the processes.")
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


def _across(
    dataset: str | None,
    model: str | None,
    world: str,
    hardware: str | None,
    set_: list[str],
    json: bool,
) -> None:
    """Show what several processes would cost."""
    described = dataset is not None and dataset.endswith(".toml")
    if dataset is None or (model is None and not described):
        raise ConfigError(
            "--world is about a training: kgrec doctor DATASET --model NAME --world 1,2,4."
        )

    try:
        sizes = [int(one) for one in values(world)]
    except ValueError:
        raise ConfigError(f"--world {world[:40]}: expected numbers of processes, 1,2,4.") from None

    from kgrec.runs.processes.scaling import advice_for, advice_of_description

    if described:
        found = advice_of_description(dataset, sizes, hardware)
    else:
        from kgrec.data.formats.load import load
        from kgrec.runs.doctor import step_seconds

        data, given = load(dataset), settings(set_, None)

        def measure() -> float:
            return step_seconds(data, model or "", given)

        found = advice_for(data, model or "", given, sizes, hardware, measure)

    if json:
        show_json(found.to_dict())
        return

    rows = [
        (
            one.world,
            f"{one.memory_bytes / 2**30:.2f}",
            f"{1e3 * one.step_seconds:.3g}",
            "" if one.epoch_seconds is None else f"{one.epoch_seconds:.3g}",
            f"{one.sent_bytes / 2**20:.3g}",
            one.note or ("" if one.fits else "does not fit"),
        )
        for one in found.rows
    ]
    columns = ("processes", "GiB each", "ms a step", "s an epoch", "MiB sent a step", "note")
    show_table(columns, rows, right=columns[:-1])
    use = f"{found.parallel}, {found.best}" if found.best > 1 else f"use {found.best or 'none'}"
    print(f"On {clean(found.hardware)}: {use}. {clean(found.reason)}.")
    print("Estimates by formula; docs/many-machines.md says what of it was measured.")
