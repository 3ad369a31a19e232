"""The pictures of the site: the architecture from the contract that import-linter holds, and those
of the concepts.
"""

import ast
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

from kgrec.errors import DataError
from sitegen.svg import Picture

WIDTH = 760


def pictures(root: Path) -> dict[str, str]:
    """Return every picture's SVG by its name."""
    drawn = {"architecture": architecture(root)}
    return {name: one.svg() for name, one in (drawn | {n: d() for n, d in _CONCEPTS}).items()}


def layers(root: Path) -> list[list[str]]:
    """Return the packages of each layer, the highest first, as pyproject.toml has them.

    Raises:
        DataError: If there is no such contract.
    """
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    for contract in tomllib.loads(text)["tool"]["importlinter"]["contracts"]:
        if contract["name"] == "layers":
            return [re.findall(r"\w+", layer) for layer in contract["layers"]]

    raise DataError('pyproject.toml: no import contract is called "layers".')


def about(root: Path, package: str) -> str:
    """Return what a package says of itself, in a few words."""
    for path in (root / "kgrec" / package / "__init__.py", root / "kgrec" / f"{package}.py"):
        if path.is_file():
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            return re.split(r"[.;](?:\s|$)", " ".join(docstring.split()))[0]
    raise DataError(f"pyproject.toml names the layer {package!r}, which is no module of kgrec.")


def architecture(root: Path) -> Picture:
    """Return the layers, a row each: imports point downward only."""
    found = [[name for name in names if not name.startswith("_")] for names in layers(root)]
    rows = [names for names in found if names]
    height = 54
    picture = Picture(
        "Layers of kgrec; each may import those below it", WIDTH, len(rows) * (height + 14) + 40
    )
    for at, names in enumerate(rows):
        y = 10 + at * (height + 14)
        width = (WIDTH - 40 - 10 * (len(names) - 1)) / len(names)
        for column, name in enumerate(names):
            words = about(root, name)
            room = int((width - 16) / 6.1)
            lines = [name, *([_cut(words, room)] if len(names) < 5 and words else [])]
            picture.box(10 + column * (width + 10), y, width, height, lines)

    bottom = len(rows) * (height + 14)
    picture.arrow((WIDTH - 12, 20), (WIDTH - 12, bottom - 8))
    picture.text(WIDTH / 2, bottom + 24, "imports point downward; import-linter holds it", "small")
    return picture


def _cut(words: str, room: int) -> str:
    if len(words) <= room:
        return words
    short = words.partition(":")[0]
    return short if len(short) <= room else words[: room - 1].rsplit(" ", 1)[0] + " …"


def _data_model() -> Picture:
    picture = Picture("What a dataset holds", WIDTH, 330)
    picture.box(20, 20, 150, 60, ["users", "rows 0 .. U-1"])
    picture.box(305, 20, 150, 60, ["items", "rows 0 .. I-1"], "strong")
    picture.box(590, 20, 150, 60, ["other entities", "rows I .. E-1"])
    picture.arrow((170, 50), (305, 50), label="interactions")
    picture.arrow((455, 50), (590, 50), label="triples", both=True)
    picture.box(
        20,
        130,
        210,
        76,
        ["train, valid, test", "pairs with time, rating, event;", "models see train alone"],
    )
    picture.box(
        275,
        130,
        210,
        76,
        [
            "an item is an entity",
            "the first I entities are the items;",
            "those without a triple stay",
        ],
    )
    picture.box(530, 130, 210, 76, ["triples", "head, relation, tail;", "file and line of each"])
    picture.box(20, 246, 350, 60, ["vocabularies", "your ids and labels, in and out"], "dashed")
    picture.box(390, 246, 350, 60, ["report", "what was read, kept, dropped, and why"], "dashed")
    for x, goal in ((125, 205), (380, 330), (635, 560)):
        picture.arrow((x, 206), (goal, 246))
    return picture


def _graph_forms() -> Picture:
    picture = Picture("One dataset, the graphs that models take", WIDTH, 380)
    picture.box(290, 16, 180, 50, ["Dataset"], "strong")
    forms = (
        (
            20,
            "CollaborativeKG",
            "users, items, entities in one",
            "id space; columns of numbers",
            "KGAT, KGIN, CFKG",
        ),
        (
            270,
            "PairGraph",
            "users and items (or all nodes);",
            "relations merged to one weight",
            "LightGCN and its kin",
        ),
        (
            520,
            "HeteroData",
            "PyTorch Geometric's: node and",
            "edge types with names",
            "R-GCN, HGT, your module",
        ),
    )
    for x, name, first, second, who in forms:
        picture.box(x, 120, 220, 84, [name, first, second])
        picture.arrow((380, 66), (x + 110, 120))
        picture.text(x + 110, 226, who, "small")
    picture.box(20, 262, 220, 50, ["RelationalGraph", "edges sorted by relation"])
    picture.box(270, 262, 220, 50, ["views", "subgraph, sample_neighbors, …"])
    picture.box(520, 262, 220, 50, ["out again", "networkx, rdflib, SciPy, PyKEEN"], "dashed")
    picture.arrow((110, 234), (110, 262))
    picture.text(
        380,
        350,
        "Of interactions only the training part; a triple has its inverse where a model asks for it",
        "small",
    )
    return picture


def _plan() -> Picture:
    picture = Picture(
        "How a model is trained: a plan as a value, and one loop that walks it", WIDTH, 330
    )
    picture.box(
        20,
        24,
        170,
        84,
        ["model.plan()", "objectives, and what", "follows a step, an epoch"],
        "strong",
    )
    picture.box(300, 24, 160, 84, ["objective", "a loss, the batches", "it eats, their source"])
    picture.box(
        570, 24, 170, 84, ["source", "pairs, triples, histories,", "fields; by (seed, epoch)"]
    )
    picture.arrow((190, 66), (300, 66), label="holds")
    picture.arrow((570, 66), (460, 66), label="batches")
    picture.box(
        20,
        170,
        720,
        60,
        [
            "the loop",
            "for each epoch: for each batch: loss, backward, step; then validation, best epoch kept, checkpoint",
        ],
    )
    picture.arrow((105, 108), (105, 170))
    picture.arrow((380, 108), (380, 170))
    picture.box(20, 264, 220, 50, ["model.scorer()", "a snapshot that ranks"], "strong")
    picture.box(280, 264, 220, 50, ["checkpoint", "goes on bit for bit"], "dashed")
    picture.box(540, 264, 200, 50, ["history", "losses and validation"], "dashed")
    for x in (130, 390, 640):
        picture.arrow((x, 230), (x, 264))
    return picture


def _effects() -> Picture:
    picture = Picture("The four numbers of a path", WIDTH, 330)
    nodes = ((20, "user"), (220, "liked item"), (420, "entity"), (620, "item"))
    for x, name in nodes:
        picture.box(x, 30, 120, 44, [name], "strong" if name == "item" else "box")
    picture.arrow((140, 52), (220, 52), label="like")
    picture.arrow((340, 52), (420, 52), label="fact")
    picture.arrow((540, 52), (620, 52), label="fact")
    rows = (
        ("drop", "score minus score without all three edges, run again"),
        ("like", "… without the like alone: paths are ranked by it"),
        ("facts", "… without the facts alone, the like kept"),
        ("together", "drop - like - facts: what only both make with each other"),
    )
    for at, (name, words) in enumerate(rows):
        picture.box(20, 104 + at * 40, 120, 32, [name])
        picture.text(158, 124 + at * 40, words, "", "start")
    picture.text(
        20,
        284,
        "exact: a closed form, equal to running again   ·   measured: the model was run again",
        "small",
        "start",
    )
    picture.text(
        20,
        306,
        "post-hoc: the scores read no graph; facts have drop 0   ·   not measured: nothing is claimed",
        "small",
        "start",
    )
    return picture


def _reasons() -> Picture:
    picture = Picture("What may be said of a path, by what was measured", WIDTH, 360)
    also = ("“because you liked X”, and of the facts", "that the two “are also connected”")
    questions = (
        (("Does the score fall", "without the like?"), ("“is connected through …”",)),
        (("Does it fall", "in both ways of counting?"), ("“depends on how you count”",)),
        (("Does it fall without the facts,", "the like kept?"), also),
        (("… by more than unrelated facts", "(placebos) do?"), also),
    )
    for at, (question, said) in enumerate(questions):
        y = 16 + at * 72
        picture.box(20, y, 340, 46, question)
        picture.arrow((360, y + 23), (420, y + 23), label="no")
        picture.box(420, y, 320, 46, said, "dashed")
        picture.arrow((190, y + 46), (190, y + 72))
        picture.text(204, y + 64, "yes", "small", "start")
    picture.box(
        20, 304, 720, 44, ["“because you liked X, and because of what joins the two”"], "strong"
    )
    return picture


_CONCEPTS: tuple[tuple[str, Callable[[], Picture]], ...] = (
    ("data-model", _data_model),
    ("graph-forms", _graph_forms),
    ("plan", _plan),
    ("effects", _effects),
    ("reasons", _reasons),
)
