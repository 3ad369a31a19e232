"""Options that several commands share, and how their text becomes values."""

import csv
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from kgrec.errors import ConfigError

DatasetArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="A built dataset, a recognized folder, or a bundled graph's name.",
        show_default=False,
    ),
]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a trained run.", show_default=False)
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of every random draw.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one setting; may be repeated.",
        show_default=False,
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml", help="Settings, one `key = value` a line.", show_default=False
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="table, json, csv or parquet; the ending of --out if omitted.",
        show_default=False,
    ),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-class",
        metavar="PKG.MODULE:CLASS",
        help="Import this class if RUN is a model of it: the code of its module is run.",
        show_default=False,
        callback=lambda names: classes(names),
    ),
]
DatasetOption = Annotated[
    Path | None,
    typer.Option(
        "--dataset",
        metavar="DIR",
        help="The dataset the run was trained on, where it has moved.",
        show_default=False,
    ),
]
OutFileOption = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="Write there instead of to the terminal.", show_default=False
    ),
]


DiversityOption = Annotated[
    float,
    typer.Option(metavar="0..1", help="How much items that are like those above them lose."),
]
DiversityByOption = Annotated[
    str,
    typer.Option(metavar="auto|vectors|facts", help="What alike is: vectors where there are any."),
]
PopularityOption = Annotated[
    float, typer.Option(metavar="-1..1", help="Above 0 popular items lose, below 0 they gain.")
]
CalibrateOption = Annotated[
    bool,
    typer.Option(
        "--calibrate", help="By --popularity, draw lists to the person's own mixture of popularity."
    ),
]
NewItemsOption = Annotated[
    float,
    typer.Option(metavar="0..1", help="Least share of places for items without interactions."),
]
MostOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FACET=N",
        help="At most N items per value of a facet, as brand=2; may be repeated.",
        show_default=False,
    ),
]


_model = typer.Option(
    "--model",
    metavar="NAME",
    help="A name from `kgrec models`, or a class: pkg.module:Class.",
    show_default=False,
    callback=lambda name: classes(name),
)
ModelOption = Annotated[str, _model]
OptionalModelOption = Annotated[str | None, _model]


def classes(named: Any) -> Any:
    """Return what names classes as it is; where it does, modules of the current folder can be
    imported, after everything that is installed.
    """
    if named and ":" in "".join(named) and "" not in sys.path:
        sys.path.append("")
    return named


def values(text: str) -> list[str]:
    """Return the parts of a comma-separated option; a part with a comma in it goes between double
    quotes.

    >>> values('1,"2,3",4')
    ['1', '2,3', '4']
    """
    return [part for part in next(csv.reader([text], skipinitialspace=True), []) if part]


def most_of(given: list[str] | None) -> dict[str, int]:
    """Return ``--most brand=2 --most author=1`` as numbers by facet.

    Raises:
        ConfigError: If a part is none.

    >>> most_of(["brand=2", "http://x.org/p?a=b=1"])
    {'brand': 2, 'http://x.org/p?a=b': 1}
    """
    found = {}
    for part in given or ():
        name, sign, number = part.rpartition("=")
        if not (sign and name and number.isascii() and number.isdigit() and len(number) < 10):
            raise ConfigError(f"--most {part[:80]}: expected FACET=N, for instance brand=2.")
        if name in found:
            raise ConfigError(f"--most {name[:80]}: is given twice.")
        found[name] = int(number)

    return found


def weight_of(text: str) -> dict[str, float]:
    """Return ``--weights view=1,cart=3`` as numbers by event type.

    >>> weight_of("view=1,cart=2.5")
    {'view': 1.0, 'cart': 2.5}
    """
    found: dict[str, float] = {}
    for part in values(text):
        kind, sign, number = part.rpartition("=")
        try:
            found[kind.strip()] = float(number)
        except ValueError:
            sign = ""
        if not sign:
            raise ConfigError(
                f"--weights {text}: {part!r} is not a type and a number. Write "
                "view=1,cart=3,purchase=5."
            )

    return found


def cutoffs(text: str) -> tuple[int, ...]:
    """Return ``--k 10,20`` as numbers.

    Raises:
        ConfigError: If one is not a positive whole number.
    """
    parts = values(text)
    if not parts or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise ConfigError(
            f"--k {text}: expected positive whole numbers with commas between them, for instance "
            "10,20."
        )

    return tuple(dict.fromkeys(int(part) for part in parts))


def cores(text: str) -> int | tuple[int, ...]:
    """Return ``--k-core N`` as a number, ``--k-core N,M`` as two.

    Raises:
        ConfigError: If one is not a whole number from 0 on, or there are more than two.
    """
    parts = values(text)
    if not 1 <= len(parts) <= 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigError(
            f"--k-core {text}: expected a whole number, or one for users and one for items with "
            "a comma, such as 5,10."
        )
    if len(parts) == 1:
        return int(parts[0])

    return tuple(map(int, parts))


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Return a comma-separated option as numbers.

    Raises:
        ConfigError: If one is not a number.
    """
    try:
        return tuple(float(part) for part in values(text))
    except ValueError:
        raise ConfigError(
            f"{option} {text}: expected numbers with commas between them, for instance 0.8,0.1,0.1."
        ) from None


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """Return a comma-separated option as whole numbers.

    Raises:
        ConfigError: If one is not a whole number from 0 on.
    """
    parts = values(text)
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigError(
            f"{option} {text}: expected whole numbers with commas between them, for instance 2,50."
        )

    return tuple(map(int, parts))


def graph_settings(pairs: list[str] | None, profile: str | None) -> dict[str, Any]:
    """Return the settings of a graph's reader of ``--kg-set`` and ``--profile``."""
    found = settings(pairs or [], None)
    if profile is not None:
        found["profile"] = profile

    return found


def settings(pairs: list[str], file: Path | None) -> dict[str, Any]:
    """Return the settings of ``--config FILE.toml`` overridden by those of ``--set key=value``, as
    text where they were text.

    Raises:
        ConfigError: If a pair has no ``=``, or the file is not flat TOML.
    """
    if file is None:
        found = {}
    else:
        found = _toml(file)

    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"--set {pair}: expected key=value.")

        found[key.strip().replace("-", "_")] = text.strip()

    return found


def _toml(file: Path) -> dict[str, Any]:
    from kgrec.data.io.files import read_text

    try:
        found = tomllib.loads(read_text(file))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {error}. Write one `key = value` a line.") from None

    tables = [key for key, value in found.items() if isinstance(value, dict)]
    if tables:
        raise ConfigError(
            f"{file}: [{tables[0]}] is a table. Write all settings at the top level, one `key = "
            "value` a line."
        )

    return found


def ids_in(file: Path, empty: bool = False) -> list[str]:
    """Return the ids of a file with one on each line; with ``empty`` there may be none.

    Raises:
        DataError: If the file is empty or cannot be read.
    """
    from kgrec.data.io.files import existing, read_text

    if empty and not existing(file).stat().st_size:
        return []

    return [line for line in read_text(file).replace("\r\n", "\n").split("\n") if line.strip()]
