"""The source of the site: pages of docs/ and of the root, and the pages that are made, in one
folder, with links between them that hold there.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from kgrec.errors import DataError
from kgrec.models.cards import Setting, settings_of
from kgrec.training.config import TrainConfig
from sitegen import api, commands, drawing, models
from sitegen.docstrings import cell, hidden_list

ROOT_PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "graphs/README.md": "bundled-films.md",
}
"""Pages outside docs/, by their path from the root, and where they are in the site."""

FRONT = "README.md"
"""What the site says in words of its own, on its first page."""

NO_PAGES = ("sitegen", "serving", "schemas", "_static")
"""Folders of docs/ that hold no pages."""

_LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^()\s]+)\)")
_TOCTREE = re.compile(r"```{toctree}\n(.*?)```", re.S)


def stage(root: Path, target: Path) -> None:
    """Write the source of the site into an empty folder.

    Args:
        root: The checkout.
        target: The folder.

    Raises:
        DataError: If a link leads nowhere, a public name or a model lacks what a page needs.
    """
    pages = site_pages(root)
    made = made_pages(root)
    for source, page in pages.items():
        text = (root / source).read_text(encoding="utf-8")
        if page.endswith("/index.md"):
            text += _others_of((root / source).parent, text)
        text = relinked(text, source, page, pages, root, target)
        if page in made:  # what a hand has written of a model follows what is made of it
            made[page] += _as_section(text)
        else:
            _write(target / page, text)

    for path in (root / "docs").rglob("*.webp"):
        _copy(path, target / path.relative_to(root / "docs"))
    for page, text in made.items():
        _write(target / page, text)
    for path in (root / "docs" / "schemas").glob("*.json"):
        _copy(path, target / "reference" / "schemas" / path.name)


def _others_of(folder: Path, text: str) -> str:
    """Return a list of a folder's pages that its first page does not list: the side bar has them."""
    listed = {line for block in _TOCTREE.findall(text) for line in block.splitlines()}
    others = sorted(path.stem for path in folder.glob("*.md"))
    others = [stem for stem in others if stem not in {"README", "index", *listed}]
    if not others:
        return ""
    return "\n".join(["", *hidden_list(others), ""])


def _as_section(text: str) -> str:
    """Return a page as the last section of another one, its own sections a level lower."""
    body = text.partition("\n")[2]
    return "\n## In full\n" + _in_prose(body, lambda line: re.sub(r"^(#+ )", r"#\1", line))


def site_pages(root: Path) -> dict[str, str]:
    """Return where each page that is written by hand is in the site, by its path from the root."""
    found = {}
    for path in sorted((root / "docs").rglob("*.md")):
        inside = path.relative_to(root / "docs")
        if inside.parts[0] not in NO_PAGES:
            source = f"docs/{inside.as_posix()}"
            found[source] = inside.as_posix().replace("README.md", "index.md")

    return found | ROOT_PAGES


def made_pages(root: Path) -> dict[str, str]:
    """Return the text of every page that is made, by its path in the site."""
    found = {f"models/{name}": text for name, text in models.model_pages().items()}
    found |= {f"reference/commands/{name}": t for name, t in commands.command_pages().items()}
    schemas = commands.schema_pages(root / "docs" / "schemas")
    found |= {f"reference/schemas/{name}": text for name, text in schemas.items()}

    reference = api.pages()
    found |= {f"reference/api/{page.file}.rst": api.rst(page) for page in reference}
    found["reference/api/index.rst"] = api.index(reference)
    found["reference/training.md"] = _training()
    found["howto.md"] = how_tos(root)
    found |= {f"pictures/{name}.svg": svg for name, svg in drawing.pictures(root).items()}
    return found


def how_tos(root: Path) -> str:
    """Return the list of pages directly under docs/ that no other list has: a new page is there by
    itself.
    """
    folder = root / "docs"
    listed = set()
    for page in folder.rglob("*.md"):
        for block in _TOCTREE.findall(page.read_text(encoding="utf-8")):
            listed |= {(page.parent / line).resolve() for line in block.splitlines() if line}

    titles = {}
    for page in sorted(folder.glob("*.md")):
        if page.with_suffix("").resolve() not in listed and page.stem != "index":
            titles[page.stem] = page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
    if not titles:
        return "# How-tos\n"

    order = {stem: number for number, stem in enumerate(_FIRST)}
    stems = sorted(titles, key=lambda stem: (order.get(stem, len(order)), stem))
    return "\n".join(
        [
            "# How-tos",
            "",
            *(f"- [{titles[stem]}]({stem}.md)" for stem in stems),
            "",
            *hidden_list(stems),
            "",
        ]
    )


_FIRST = (
    *("tables", "from-a-table", "graphs", "sparql", "datasets", "formats", "sequences"),
    *("strangers", "vectors", "inspector", "serving", "folders", "processes"),
)
"""How-tos in the order in which they are needed; others follow."""


def _training() -> str:
    return "\n".join(
        [
            "# Training settings",
            "",
            "How long, how fast, when to stop: the same for every model, by `--set NAME=VALUE`, a "
            "keyword of `kgrec.fit`, or a line of a TOML file. A model's presets set some of them.",
            "",
            "| setting | default | meaning |",
            "|---|---|---|",
            *map(_row, settings_of(TrainConfig, {})),
            "",
        ]
    )


def _row(setting: Setting) -> str:
    return f"| `{setting.name}` | `{setting.default}` | {cell(setting.meaning)} |"


def links(text: str) -> Iterator[tuple[int, str]]:
    """Yield the targets of a page's links with their lines, those of examples left out."""
    for number, line in _prose(text):
        for match in _LINK.finditer(line):
            yield number, match[2]


def _prose(text: str) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced:
            yield number, line


def relinked(
    text: str, source: str, page: str, pages: dict[str, str], root: Path, target: Path
) -> str:
    """Return a page with links for the site; files that are no pages are copied into it."""

    def change(match: re.Match[str]) -> str:
        goal, hash_sign, fragment = match[2].partition("#")
        if "://" in match[2] or match[2].startswith("mailto:") or not goal:
            return match[0]

        found = _site_target(goal, source, page, pages, root, target)
        return f"{match[1]}({found}{hash_sign}{fragment})"

    return _in_prose(text, lambda line: _LINK.sub(change, line))


def _in_prose(text: str, change: Callable[[str], str]) -> str:
    """Return a page whose lines are changed, those of examples apart."""
    prose = {number for number, _ in _prose(text)}
    return "\n".join(
        change(line) if number in prose else line
        for number, line in enumerate(text.split("\n"), start=1)
    )


def _site_target(
    goal: str, source: str, page: str, pages: dict[str, str], root: Path, target: Path
) -> str:
    up = "../" * page.count("/")
    path = (root / source).parent / goal
    inside = _inside(path, root)
    if inside is None:
        return goal  # a page that is made; the finished site is checked
    if inside == FRONT:
        return f"{up}index.md"
    if path.is_dir():
        inside = f"{inside}/README.md"
    if inside in pages:
        return up + pages[inside]
    if path.is_dir():
        raise DataError(f"{source}: links to the folder {goal}, which is no page. Name a file.")
    if inside.startswith("docs/") and path.suffix in (".webp", ".svg"):
        return goal

    _copy(path, target / "files" / inside)
    return f"{up}files/{inside}"


def _inside(path: Path, root: Path) -> str | None:
    """Return a path from the root where the checkout has such a file, else None."""
    there = path.resolve()
    if there.exists() and there.is_relative_to(root.resolve()):
        return there.relative_to(root.resolve()).as_posix()
    return None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
