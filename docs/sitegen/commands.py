"""Pages of the commands, as they describe themselves, and of the schemas of what they print."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

from kgrec.cli import run
from kgrec.cli.commands import COMMANDS, GROUPS, load_command
from sitegen.docstrings import cell, hidden_list, inline

COLUMNS = "96"


def command_pages() -> dict[str, str]:
    """Return the text of each command's page by its file's name, and the list as "index.md"."""
    names = list(_names())
    pages = {f"{'-'.join(name)}.md": _page(name) for name, _ in names}
    return {"index.md": _index(names), **pages}


def _names() -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the words of every command with its summary, groups' commands after the others."""
    for name, (_, summary) in COMMANDS.items():
        yield (name,), summary
    for name in GROUPS:
        for inner, command in load_command(name).commands.items():
            yield (name, inner), _first(command.help)


def _first(text: str | None) -> str:
    return " ".join((text or "").partition("\n\n")[0].split())


def _index(names: list[tuple[tuple[str, ...], str]]) -> str:
    return "\n".join(
        [
            "# Commands",
            "",
            "Exit codes: 0 done; 1 a check that ran and did not hold, or a bug; 2 bad input or the "
            "machine in the way, in one line; 3 nothing to show; 130 interrupted.",
            "",
            *hidden_list("-".join(name) for name, _ in names),
            "",
            "| command | |",
            "|---|---|",
            *(
                f"| [`kgrec {' '.join(name)}`]({'-'.join(name)}.md) | {cell(summary)} |"
                for name, summary in names
            ),
            "",
        ]
    )


def _page(name: tuple[str, ...]) -> str:
    shown = " ".join(name)
    return "\n".join([f"# kgrec {shown}", "", "```text", help_of(name), "```", ""])


def help_of(name: tuple[str, ...]) -> str:
    """Return what ``kgrec NAME --help`` prints, in lines of one width wherever it is made."""
    text = io.StringIO()
    with mock.patch.dict(os.environ, COLUMNS=COLUMNS), redirect_stdout(text):
        run([*name, "--help"])
    return text.getvalue().strip("\n")


def schema_pages(folder: Path) -> dict[str, str]:
    """Return a page for every JSON Schema of a folder by its file's name, and the list."""
    files = sorted(folder.glob("*.json"))
    schemas = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}
    pages = {f"{name}.md": _schema(name, schema) for name, schema in schemas.items()}
    index = [
        "# JSON Schemas",
        "",
        "Of what is printed under `--json` and stored in folders (draft 2020-12). Objects may hold "
        "further fields, which belong to one model or protocol.",
        "",
        *hidden_list(schemas),
        "",
        "| schema | what |",
        "|---|---|",
        *(f"| [{name}]({name}.md) | {cell(_about(schema))} |" for name, schema in schemas.items()),
        "",
    ]
    return {"index.md": "\n".join(index), **pages}


def _about(schema: dict[str, Any]) -> str:
    inner = schema
    if "items" in inner:
        inner = inner["items"]
    if "$ref" in inner:
        inner = schema["$defs"][inner["$ref"].rpartition("/")[2]]
    return str(inner.get("description", ""))


def _schema(name: str, schema: dict[str, Any]) -> str:
    return "\n".join(
        [
            f"# {name}",
            "",
            inline(_about(schema)),
            "",
            f"[{name}.json]({name}.json)",
            "",
            "```json",
            json.dumps(schema, indent=1),
            "```",
            "",
        ]
    )
