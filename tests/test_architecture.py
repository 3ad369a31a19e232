"""What import-linter, ruff and mypy cannot say about the house."""

import ast
import dataclasses
import functools
import importlib
import re
import subprocess
import sys
import tomllib
from time import perf_counter

import pytest

AXES = {"batch", "users", "items", "entities", "relations", "nodes", "edges", "cand", "hist"}
AXES |= {"words", "news", "dim", "din", "dout", "layers", "heads"}


@pytest.fixture(scope="module")
def nodes():
    """Every node of a source, the module first, walked once for all tests here."""
    return functools.cache(lambda path: list(ast.walk(ast.parse(path.read_text()))))


def in_order(names):
    """Constants, classes, the rest: the order that ruff keeps in ``__all__``."""
    return sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def sources(root, *folders):
    return [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]


def python(code, root):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=root
    )


def settings(root):
    return tomllib.loads((root / "pyproject.toml").read_text())


def test_layers_hold(root, tmp_path):
    script = (
        "from importlinter.cli import lint_imports; import sys; "
        "sys.exit(lint_imports(cache_dir=None))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=root
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_family_of_models_stands_in_the_contracts(root):
    families = {
        f"kgrec.models.{path.name}.*"
        for path in (root / "kgrec/models").iterdir()
        if (path / "__init__.py").is_file()
    }
    contracts = {c["name"]: c for c in settings(root)["tool"]["importlinter"]["contracts"]}
    assert set(contracts["papers are independent"]["modules"]) == families


def test_every_model_is_tested_sourced_and_frozen(root):
    from kgrec.models.catalog import MODELS

    tests = "\n".join(path.read_text() for path in sources(root, "tests/models"))
    contracts = re.findall(
        r"class \w+\((?:\w+\.)?RecommenderContract\):(.*?)(?=\nclass |\ndef |\Z)", tests, re.S
    )
    assert MODELS
    for name, entry in MODELS.items():
        model, config, _ = entry.load()
        assert re.search(r"^\s*Source: .+", model.__doc__ or "", re.M), (
            f"{name}: {model.__name__} has no Source line"
        )
        assert "Differs from the paper" in (model.__doc__ or ""), (
            f"{name}: {model.__name__} does not say how it differs from the paper"
        )
        assert dataclasses.is_dataclass(config), name
        assert config.__dataclass_params__.frozen, f"{name}: {config.__name__} is not frozen"
        assert any(f'    name = "{name}"\n' in body for body in contracts), (
            f"{name}: no contract test names it"
        )


def test_public_names_are_sorted_and_documented():
    import kgrec

    assert kgrec.__all__ == in_order(kgrec.__all__)
    for name in kgrec.__all__:
        value = getattr(kgrec, name)
        assert name in dir(kgrec)
        if name not in {"__version__", "MODELS"}:
            assert value.__doc__, f"kgrec.{name} is not documented"


def test_an_unknown_public_name_is_an_attribute_error():
    import kgrec

    with pytest.raises(AttributeError, match="no_such_name"):
        kgrec.no_such_name  # noqa: B018 - the access is the test


def test_every_name_in_all_exists(root, nodes):
    for path in sources(root, "kgrec"):
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        lists = [
            n.value
            for n in nodes(path)[0].body
            if isinstance(n, ast.Assign)
            and any(getattr(t, "id", "") == "__all__" for t in n.targets)
        ]
        if not lists:
            continue
        names = ast.literal_eval(lists[0])
        assert names == in_order(names), f"{path}: __all__ is not sorted"
        found = importlib.import_module(module)
        missing = [name for name in names if not hasattr(found, name)]
        assert not missing, f"{path}: __all__ names {missing}"


CONTENTS = [
    f"kgrec.{name}"
    for name in ("data", "evaluation", "explanation", "graph", "models", "nn", "training")
]


@pytest.mark.parametrize("package", CONTENTS)
def test_tables_of_contents_are_documented(package):
    contents = importlib.import_module(package)
    assert contents.__all__
    for name in contents.__all__:
        value = getattr(contents, name)
        assert name in dir(contents)
        if not name.isupper():
            assert value.__doc__, f"{package}.{name} is not documented"


def test_documents_and_examples_import_from_the_tables_of_contents(root):
    found = []
    pages = [*(root / "docs").glob("*.md"), *(root / "docs/tutorials").glob("*.md")]
    paths = [root / "README.md", *pages, *(root / "examples").glob("*.py")]
    for path in paths:
        for line in path.read_text().splitlines():
            module = re.match(r"\s*(?:from|import) (kgrec[\w.]*)", line)
            if module is None or module[1] in ("kgrec", "kgrec.batches", *CONTENTS):
                continue
            if not re.fullmatch(r"kgrec\.ops\.\w+", module[1]):  # a kernel is a module
                found.append(f"{path.relative_to(root)}: {line.strip()}")
    assert not found, found


def test_axis_names_come_from_the_list(root):
    shape = re.compile(
        r"\b(?:Float|Int|Bool|UInt8|Int32|Int64|Float32|Float64|Shaped|Num|Real)\[\s*[\w.]+\s*,\s*\"([^\"]*)\"\s*\]"
    )
    strange = []
    for path in sources(root, "kgrec"):
        for axes in shape.findall(path.read_text()):
            for axis in axes.split():
                plain = axis.lstrip("*#_?")
                if plain and plain != "..." and not plain.isdigit() and plain not in AXES:
                    strange.append(f"{path.relative_to(root)}: {axis!r} in {axes!r}")
    assert not strange, strange


def test_no_postponed_annotations_and_no_swallowed_errors(root, nodes):
    found = []
    for path in sources(root, "kgrec", "tests", "examples", "benchmarks"):
        for node in nodes(path):
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                found.append(
                    f"{path}:{node.lineno}: __future__ import hides annotations from the shape "
                    "checks"
                )
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None or getattr(node.type, "id", "") in {"Exception", "BaseException"}
            ):
                found.append(f"{path}:{node.lineno}: catches everything")
    assert not found, found


def test_print_stays_in_the_command_line_and_the_examples(root, nodes):
    found = []
    for path in sources(root, "kgrec"):
        if "cli" in path.relative_to(root).parts:
            continue
        for node in nodes(path):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id == "print":
                found += [f"{path}:{node.lineno}"]
    assert not found, found


def test_the_changelog_opens_with_this_version(root):
    top = re.search(r"^## \[(\d+\.\d+\.\d+)\]", (root / "CHANGELOG.md").read_text(), re.M)
    import kgrec

    assert top is not None
    assert top[1] == kgrec.__version__
    assert (root / settings(root)["tool"]["hatch"]["version"]["path"]).samefile(
        kgrec._version.__file__
    )


def test_graphs_hold_data_and_stay_small(root):
    files = [path for path in (root / "graphs").rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix == ".py"]
    assert all(path.stat().st_size <= 1_000_000 for path in files)
    assert sum(path.stat().st_size for path in files) <= 5_000_000


@pytest.mark.parametrize(
    "package",
    [
        "kgrec",
        "kgrec.cli",
        "kgrec.data",
        "kgrec.data.building.build",
        "kgrec.explanation.core.records",
    ],
)
def test_light_modules_leave_torch_alone(root, package):
    done = python(
        f"import {package}, sys; sys.exit(any(m in sys.modules for m in ('torch', "
        "'torch_geometric')))",
        root,
    )
    assert done.returncode == 0, f"import {package} loads torch\n{done.stderr}"


def test_help_is_quick_and_loads_no_torch(root):
    seconds = []
    for _ in range(3):
        start = perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "kgrec", "--help"],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=root,
        )
        seconds.append(perf_counter() - start)
        assert done.returncode == 0, done.stderr
    assert min(seconds) < 1.0, seconds
    loaded = python(
        "import sys\nfrom kgrec.cli import run\nassert run(['--help']) == 0\n"
        "heavy = {'torch', 'torch_geometric', 'polars', 'scipy', 'matplotlib'} & "
        "set(sys.modules)\nsys.exit(', '.join(heavy) or 0)",
        root,
    )
    assert loaded.returncode == 0, loaded.stderr


def test_dev_tools_and_torch_are_pinned(root):
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (root / "constraints.txt").read_text(), re.M))
    project = settings(root)["project"]
    wanted = [
        re.split(r"[<>=!~\[ ]", need)[0]
        for need in project["dependencies"] + project["optional-dependencies"]["dev"]
    ]
    assert pins["torch"] == "2.13.0"
    assert set(wanted) <= set(pins)


def code_lines(path, name=None):
    """Lines that hold code, of a file or of a class in it."""
    source = path.read_text()
    tree = ast.parse(source)
    numbers = lines_of_code(source, ast.walk(tree))
    if name is not None:
        (own,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
        numbers &= set(range(own.lineno, own.end_lineno + 1))
    return len(numbers)


def lines_of_code(source, nodes):
    """Numbers of the lines that hold code: no blank ones, no comments, no docstrings."""
    inside = {
        line
        for node in nodes
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, str)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    lines = enumerate(source.splitlines(), start=1)
    return {
        number
        for number, line in lines
        if line.strip() and not line.lstrip().startswith("#") and number not in inside
    }


def test_a_paper_fits_its_file(root):
    """What explains it stands beside it; shared blocks are in kgrec/nn."""
    from kgrec.models.catalog import MODELS

    for name, entry in MODELS.items():
        path = root / (entry.module.replace(".", "/") + ".py")
        assert code_lines(path) <= 260, name
        assert code_lines(path, entry.model) <= 120, name
        assert "receptive_field" not in path.read_text(), f"{name}: explanation in {path}"


def test_lines_are_written_for_the_eye(root, nodes):
    """At most .2 % of the lines over 100 columns; nothing is packed or nested."""
    paths = sources(root, "kgrec")
    lines = [line for path in paths for line in path.read_text().splitlines()]
    assert sum(len(line) > 100 for line in lines) <= 0.002 * len(lines)

    found = []
    conditional = code = 0
    for path in paths:
        source = path.read_text()
        code += len(lines_of_code(source, nodes(path)))
        for node in nodes(path):
            if not isinstance(node, ast.Assign | ast.IfExp):
                continue
            where = f"{path.relative_to(root)}:{node.lineno}"
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
                packed = node.value.elts if isinstance(node.value, ast.Tuple) else ()
                if len(packed) > 2:
                    found.append(f"{where}: packs {len(packed)} assignments into one")
            if isinstance(node, ast.IfExp):
                conditional += 1
                if sum(isinstance(part, ast.IfExp) for part in ast.walk(node)) > 1:
                    found.append(f"{where}: a conditional expression within another")
    assert not found, found
    assert conditional <= 0.012 * code, conditional


FOREIGN = {  # private names that other packages mean to be used
    "_exit": "os",
    "_replace": "named tuples",
    "_model_args": "PyG's explanations",
}


def private(name):
    return name.startswith("_") and not name.startswith("__")


def defined_names(nodes):
    """Names that a module binds: functions, classes, variables, and attributes of self and cls."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if stored and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            yield node.attr


def test_no_module_reads_what_is_private_to_another(root, nodes):
    found = []
    for path in sources(root, "kgrec"):
        mine = set(defined_names(nodes(path)))
        for node in nodes(path):
            if not isinstance(node, ast.Attribute) or not private(node.attr):
                continue
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                continue
            if node.attr not in mine and node.attr not in FOREIGN:
                found.append(f"{path.relative_to(root)}:{node.lineno}: {ast.unparse(node)}")
    assert not found, found


ROOMY = re.compile(
    r"kgrec/(cli|ops|nn|data/formats|models/\w+)$"
)  # one file a command, kernel, block, format, paper


def test_no_room_is_crowded(root):
    folders = {path.parent for path in sources(root, "kgrec")}
    crowded = {
        str(folder.relative_to(root)): count
        for folder in folders
        if (count := len([p for p in folder.glob("*.py") if not p.stem.startswith("__")])) > 14
        and not ROOMY.match(str(folder.relative_to(root)))
    }
    assert not crowded, crowded


def test_every_citation_resolves(root):
    """A page that code names exists, and so does the section."""
    named = re.compile(r"(?<![\w/{])((?:docs/)?[a-z/-]+\.md)(?:, sections? (\d+))?")
    lost = []
    for path in sources(root, "kgrec", "examples"):
        text = re.sub(r"\s+", " ", path.read_text())
        for page, section in named.findall(text):
            there = (root / page).is_file() or page == "page.md"
            if not there or (section and f"### {section}. " not in (root / page).read_text()):
                lost.append(f"{path.relative_to(root)}: {page} {section}".strip())
    assert not lost, lost
