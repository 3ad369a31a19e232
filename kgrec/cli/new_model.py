"""``kgrec new-model``."""

import re
from functools import partial
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from kgrec.cli.output import whole
from kgrec.errors import ConfigError
from kgrec.escaping import clean

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_STUBS = {"model.py": "{name}.py", "test.py": "test_{name}.py", "page.md": "{name}.md"}


def new_model(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of the module: lower case letters, digits and _.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write into.")] = Path(),
) -> None:
    """Write a model to start from: NAME.py, test_NAME.py and NAME.md.

    It trains, is tested and is explained as it stands; put your paper's equations in the place of
    its own.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r}: not the name of a module. Take lower case letters, digits and _."
        )
    if not out.is_dir():
        raise ConfigError(f"{out}: not a folder. Make it first.")

    paths = {stub: out / path.format(name=name) for stub, path in _STUBS.items()}
    taken = [path for path in paths.values() if path.exists()]
    if taken:
        raise ConfigError(f"{taken[0]}: exists. Choose another name or folder.")

    words = {"module": name, "model": "".join(part.capitalize() for part in name.split("_"))}
    stubs = Path(__file__).parent / "stubs"

    for stub, path in paths.items():
        text = Template((stubs / f"{stub}.txt").read_text(encoding="utf-8")).substitute(words)
        whole(path, partial(Path.write_text, data=text, encoding="utf-8"))
        print(clean(str(path)))

    print(f"Train it: kgrec train films --model {name}:{words['model']} --out runs/{name}")
