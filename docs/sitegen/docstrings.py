"""Docstrings as pages show them, and other Markdown. In the code they are plain text for an editor:
formulas are indented, and ``|x|``, ``x_`` or ``*`` mean themselves.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields", "Example", "Examples")

_CODE = re.compile(r"(``.+?``)", re.S)
_ADDRESS = re.compile(r"(https?://[^\s<>()]+[^\s<>().,;:])")
_ROLE = re.compile(r":(?:class|func|meth|mod):`~?([^`]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of a docstring that belong together.

    Attributes:
        kind: "text", "literal" (indented: a formula or a program), or "section" (Args, Raises).
        lines: The lines; of a literal without their indentation, of a section with its title.
    """

    kind: str
    lines: tuple[str, ...]


def blocks(docstring: str) -> Iterator[Block]:
    """Yield the blocks of a docstring in order."""
    lines = inspect.cleandoc(_ROLE.sub(r"``\1``", docstring)).splitlines()
    start = 0
    while start < len(lines):
        end = start + 1
        if not lines[start].strip():
            start = end
            continue

        kind = _kind(lines[start])
        while end < len(lines) and _continues(kind, lines, end):
            end += 1

        found = lines[start:end]
        while not found[-1].strip():
            found.pop()
        if kind == "literal":
            found = inspect.cleandoc("\n".join(["", *found])).splitlines()
        yield Block(kind, tuple(found))
        start = end


def _kind(line: str) -> str:
    if line.startswith("    "):
        return "literal"
    if line.rstrip().endswith(":") and line.strip()[:-1] in SECTIONS:
        return "section"
    return "text"


def _continues(kind: str, lines: list[str], at: int) -> bool:
    line = lines[at]
    if kind == "text":
        return bool(line.strip()) and not _opens_literal(lines, at)
    return not line.strip() or line.startswith("    ")


def _opens_literal(lines: list[str], at: int) -> bool:
    """Whether an indented line within a paragraph begins a formula: text goes on flush left."""
    return lines[at].startswith("    ")


def restructured(docstring: str) -> list[str]:
    """Return a docstring as lines that Sphinx reads: formulas are literal, signs mean themselves."""
    found: list[str] = []
    for block in blocks(docstring):
        if block.kind == "literal":
            found += ["::", "", *(f"    {line}".rstrip() for line in block.lines), ""]
        elif block.kind == "section" and not block.lines[0].startswith("Example"):
            found += [block.lines[0], *escaped("\n".join(block.lines[1:])).split("\n"), ""]
        elif block.kind == "section":
            found += [*block.lines, ""]
        else:
            found += [*escaped("\n".join(block.lines)).split("\n"), ""]

    return found


def escaped(text: str) -> str:
    """Return text for reStructuredText, in which only double backticks are marks."""
    parts = _CODE.split(text)
    return "".join(part if at % 2 else _plain_rst(part) for at, part in enumerate(parts))


def _plain_rst(text: str) -> str:
    parts = _ADDRESS.split(text)
    return "".join(
        part if at % 2 else re.sub(r"([\\*|`]|_(?=\W|$))", r"\\\1", part)
        for at, part in enumerate(parts)
    )


def markdown(docstring: str) -> str:
    """Return a docstring as Markdown; formulas are fenced, sections left out."""
    found: list[str] = []
    for block in blocks(docstring):
        if block.kind == "literal":
            found.append("\n".join(["```text", *block.lines, "```"]))
        elif block.kind == "text":
            found.append(inline("\n".join(block.lines)))

    return "\n\n".join(found)


def inline(text: str) -> str:
    """Return a line of a docstring as Markdown in which nothing but code is a mark."""
    parts = _CODE.split(text)
    return "".join(
        f"`{part[2:-2]}`" if at % 2 else _plain_markdown(part) for at, part in enumerate(parts)
    )


def cell(value: object) -> str:
    """Return any value as the text of a cell of a Markdown table."""
    return inline(" ".join(str(value).split())).replace("|", "\\|")


def hidden_list(pages: Iterable[str]) -> list[str]:
    """Return the lines of a list of pages that the side bar alone shows."""
    return ["```{toctree}", ":hidden:", "", *pages, "```"]


def _plain_markdown(text: str) -> str:
    parts = _ADDRESS.split(text)
    return "".join(
        f"<{part}>" if at % 2 else re.sub(r"([\\*_`<>\[\]{}$#~])", r"\\\1", part)
        for at, part in enumerate(parts)
    )
