"""How the code reads, in numbers: lengths of lines, comments, packed statements, sizes of files and
folders.

python benchmarks/readability.py                       this checkout
python benchmarks/readability.py FOLDER FOLDER ...     packages side by side, for instance kgrec and
torch_geometric

Lines of code are those that hold neither only a comment nor a docstring, nor nothing.
"""

import argparse
import ast
import io
import statistics
import tokenize
from collections import Counter
from pathlib import Path


class Measured:
    """What is counted over the Python files of a folder."""

    def __init__(self, root: Path) -> None:
        self.lines: list[str] = []
        self.code: list[str] = []
        self.comments = Counter[str]()
        self.code_by_room = Counter[str]()
        self.packed = self.conditional = self.nested = self.docstring_lines = self.equations = 0
        self.blank_inside = self.inside = 0
        self.files: list[tuple[int, str]] = []
        self.functions: list[tuple[int, int, str]] = []
        self.classes: list[tuple[int, str]] = []
        self.modules = Counter[str]()

        for path in sorted(root.rglob("*.py")):
            self.add(path, path.relative_to(root))

    def add(self, path: Path, name: Path) -> None:
        """Count one file."""
        source = path.read_text(encoding="utf-8", errors="replace")
        lines = source.splitlines()
        tree = ast.parse(source)
        room = name.parts[0]
        docstrings = docstring_lines(tree)
        code = code_numbers(lines, docstrings)

        self.lines += lines
        self.code += [lines[number - 1] for number in sorted(code)]
        self.code_by_room[room] += len(code)
        self.docstring_lines += len(docstrings)
        self.files.append((len(lines), str(name)))
        self.modules[str(name.parent)] += not name.stem.startswith("__")

        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                self.comments[room] += 1
                self.equations += "Eq." in token.string

        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
                self.packed += isinstance(node.value, ast.Tuple)

            if isinstance(node, ast.IfExp):
                self.conditional += 1
                self.nested += any(
                    isinstance(part, ast.IfExp) for part in ast.walk(node) if part is not node
                )

            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                self.functions.append(
                    (len(span), len(node.args.args + node.args.kwonlyargs), f"{name}:{node.name}")
                )
                self.inside += len(span)
                self.blank_inside += sum(
                    not lines[number - 1].strip() for number in span if number not in docstrings
                )

            if isinstance(node, ast.ClassDef):
                span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                self.classes.append((sum(number in code for number in span), f"{name}:{node.name}"))

    def table(self) -> dict[str, str]:
        """Return the figures by what they are."""
        lengths = sorted(len(line) for line in self.code)
        sizes = [size for size, _ in self.files]
        thousand = len(self.code) / 1000
        crowded = [f"{folder} {count}" for folder, count in self.modules.most_common(3)]
        figures = {
            "lines": f"{len(self.lines):,}",
            "lines of code": f"{len(self.code):,}",
            "lines over 100 columns": share(
                sum(len(line) > 100 for line in self.lines), len(self.lines)
            ),
            "lines over 120 columns": share(
                sum(len(line) > 120 for line in self.lines), len(self.lines)
            ),
            "mean / p90 length of a code line": f"{statistics.mean(lengths):.0f} / "
            f"{quantile(lengths, 0.9)}",
            "comments per code line": f"{self.comments.total() / len(self.code):.3f}",
            "packed assignments per 1,000 code lines": f"{self.packed / thousand:.1f}",
            "conditional expressions per 1,000 code lines": f"{self.conditional / thousand:.1f}",
            "nested conditional expressions": str(self.nested),
            "blank lines inside functions": share(self.blank_inside, self.inside),
            "docstring lines per code line": f"{self.docstring_lines / len(self.code):.2f}",
            "comments with an equation number": str(self.equations),
            "median / p90 file": f"{statistics.median(sizes):.0f} / {quantile(sorted(sizes), 0.9)}",
            "longest files": ", ".join(f"{name} {size}" for size, name in sorted(self.files)[-3:]),
            "longest classes, lines of code": ", ".join(
                f"{name} {size}" for size, name in sorted(self.classes)[-3:]
            ),
            "most parameters": ", ".join(
                f"{name} {count}"
                for _, count, name in sorted(self.functions, key=lambda one: one[1])[-2:]
            ),
            "most modules on one level": ", ".join(crowded),
        }

        for room in ("models", "nn", "training"):
            if self.code_by_room[room]:
                figures[f"comments per code line, {room}"] = (
                    f"{self.comments[room] / self.code_by_room[room]:.3f}"
                )

        return figures


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the numbers of the lines of docstrings and other bare strings."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            found |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))

    return found


def code_numbers(lines: list[str], docstrings: set[int]) -> set[int]:
    """Return the numbers of the lines that hold code."""
    return {
        number
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#") and number not in docstrings
    }


def share(part: int, whole: int) -> str:
    """Return a part in per cent."""
    return f"{100 * part / max(whole, 1):.2f} %"


def quantile(values: list[int], at: float) -> int:
    """Return a quantile of sorted numbers."""
    return values[min(len(values) - 1, int(at * len(values)))]


def main() -> None:
    """Print a row for each figure, a column for each folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("kgrec")])
    folders = parser.parse_args().folders
    tables = [Measured(folder).table() for folder in folders]
    print("| | " + " | ".join(map(str, folders)) + " |")
    print("|---" * (len(folders) + 1) + "|")
    for figure in tables[0]:
        print(f"| {figure} | " + " | ".join(table.get(figure, "-") for table in tables) + " |")


if __name__ == "__main__":
    main()
