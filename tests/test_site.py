"""The site of the documentation: what can be checked without building it."""

import ast
import importlib
import re
import tomllib
from types import ModuleType

import pytest
import torch
from sitegen import api, build, drawing, models
from sitegen.check import check_site
from sitegen.docstrings import inline, markdown, restructured
from sitegen.stage import links, relinked, stage

import kgrec
from kgrec.errors import DataError
from kgrec.models.catalog import MODELS, entry_of


@pytest.fixture(scope="session")
def staged(root, tmp_path_factory):
    """The source of the site, made once."""
    folder = tmp_path_factory.mktemp("site")
    stage(root, folder)
    return folder


def exported(root):
    """Addresses in every ``__all__`` of a package's ``__init__``, read from the files."""
    for path in sorted((root / "kgrec").rglob("__init__.py")):
        for node in ast.parse(path.read_text()).body:
            names = [getattr(target, "id", "") for target in getattr(node, "targets", ())]
            if isinstance(node, ast.Assign) and "__all__" in names:
                module = ".".join(path.parent.relative_to(root).parts)
                yield from ((module, name) for name in ast.literal_eval(node.value))


def test_every_public_name_is_documented_once(root, staged):
    directives = re.compile(r"^\.\. (?:auto(?:class|function)|py:data):: (\S+)$", re.M)
    text = "\n".join(path.read_text() for path in (staged / "reference/api").glob("*.rst"))
    addresses = directives.findall(text)
    assert len(addresses) == len(set(addresses))

    def value(address):
        module, _, name = address.rpartition(".")
        return getattr(importlib.import_module(module), name)

    documented = [value(address) for address in addresses]
    lost = []
    for module, name in exported(root):
        wanted = value(f"{module}.{name}")
        if callable(wanted) and sum(found is wanted for found in documented) != 1:
            lost.append(f"{module}.{name}")
    assert not lost, lost
    assert {f"kgrec.{name}" for name in kgrec.__all__} <= set(addresses)
    assert "kgrec.study.compare.Comparison" in addresses  # what kgrec.compare returns


def test_a_public_name_without_a_docstring_has_no_page():
    module = ModuleType("kgrec_mine", "Mine.")
    module.bare = lambda: None
    module.__all__ = ["bare"]
    with pytest.raises(DataError, match=r"kgrec_mine\.bare"):
        api.pages([module])


def test_every_model_has_a_page_that_says_what_it_is(staged):
    names = {path.stem for path in (staged / "models").glob("*.md")} - {"index"}
    assert names == set(MODELS)
    for name in names:
        text = (staged / f"models/{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        for wanted in ("Source:", "Differs from the paper", "## Settings", "## Results"):
            assert wanted in text, (name, wanted)

    kgat = (staged / "models/kgat.md").read_text()
    assert "pi(h, r, t) = softmax" in kgat
    assert "| `aggregator` | `bi-interaction` |" in kgat
    assert "| `official` | `loss=bpr`" in kgat
    assert "| lastfm-dbpedia | 0.312 | 0.294 |" in kgat

    kgfuse = (staged / "models/kgfuse.md").read_text()  # what a hand has written is not lost
    assert kgfuse.index("## Commands") < kgfuse.index("\n## In full\n")
    assert "\n### Figures and controls\n" in kgfuse
    assert "(../results/fuse.md)" in kgfuse


def test_a_model_without_a_page_ends_the_build():
    class Bare(kgrec.Recommender):
        """It says nothing of a paper."""

        @classmethod
        def from_dataset(cls, data, config: kgrec.models.HeteroConfig, generator: torch.Generator):
            raise NotImplementedError

        plan = scorer = lambda self: None

    entry = entry_of(Bare)
    with pytest.raises(DataError, match=r"page of model .* lacks a line `Source:`"):
        models.model_pages({entry.name: entry})


def test_every_command_and_schema_has_a_page(root, staged):
    from kgrec.cli.commands import COMMANDS

    pages = {path.stem for path in (staged / "reference/commands").glob("*.md")}
    assert set(COMMANDS) | {"data-get", "data-list", "data-verify", "index"} <= pages
    assert "--resume" in (staged / "reference/commands/train.md").read_text()
    schemas = {path.stem for path in (root / "docs/schemas").glob("*.json")}
    assert schemas == {p.stem for p in (staged / "reference/schemas").glob("*.md")} - {"index"}


def anchors(text):
    """The names of a page's sections, as Markdown's viewers and MyST make them."""
    found = set()
    for title in re.findall(r"^#{1,4} (.+)$", text, re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 1
        while slug in found:
            slug = f"{slug.removesuffix(f'-{number - 1}')}-{number}"
            number += 1
        found.add(slug)
    return found


def test_every_internal_link_leads_to_a_page_and_a_section(staged):
    lost = []
    for path in sorted(staged.rglob("*.md")):
        if "files" in path.relative_to(staged).parts:
            continue
        for line, link in links(path.read_text()):
            goal, _, section = link.partition("#")
            target = path.parent / goal if goal else path
            if "://" in link:
                continue
            if not target.is_file():
                lost.append(f"{path.relative_to(staged)}:{line}: {link}")
            elif section and section not in anchors(target.read_text()):
                lost.append(f"{path.relative_to(staged)}:{line}: no section {link}")
    assert not lost, "\n".join(lost)


def test_every_page_is_in_a_list(staged):
    listed = {"index"}
    for path in staged.rglob("*"):
        if path.suffix in (".md", ".rst"):
            for block in re.findall(
                r"(?:```\{toctree\}|\.\. toctree::)\n(.*?)(?:```|\Z)", path.read_text(), re.S
            ):
                for name in block.split():
                    inside = path.parent.relative_to(staged)
                    listed.add((inside / name).as_posix())
    pages = {
        path.relative_to(staged).with_suffix("").as_posix()
        for path in staged.rglob("*")
        if path.suffix in (".md", ".rst") and path.relative_to(staged).parts[0] != "files"
    }
    assert not pages - listed


def test_links_are_made_again_for_the_site(tmp_path):
    root = tmp_path / "root"
    (root / "docs/results").mkdir(parents=True)
    (root / "kgrec").mkdir()
    for name in ("CONTRIBUTING.md", "docs/results/README.md", "kgrec/x.py"):
        (root / name).write_text("x")
    pages = {"CONTRIBUTING.md": "contributing.md", "docs/results/README.md": "results/index.md"}
    text = (
        "[a](../CONTRIBUTING.md#add) [b](results/) [c](../kgrec/x.py) [d](https://x.org/)\n"
        "```\n[e](../CONTRIBUTING.md)\n```"
    )
    out = tmp_path / "out"
    assert relinked(text, "docs/p.md", "p.md", pages, root, out) == (
        "[a](contributing.md#add) [b](results/index.md) [c](files/kgrec/x.py) [d](https://x.org/)\n"
        "```\n[e](../CONTRIBUTING.md)\n```"
    )
    assert (out / "files/kgrec/x.py").read_text() == "x"
    with pytest.raises(DataError, match="the folder"):
        relinked("[a](../kgrec/)", "docs/p.md", "p.md", pages, root, out)


def test_a_finished_site_has_no_dead_links_and_loads_nothing(tmp_path):
    (tmp_path / "a.html").write_text('<h1 id="top">A</h1><a href="b.html#there">b</a>')
    (tmp_path / "b.html").write_text('<p id="there"><a href="https://x.org/">x</a>')
    assert check_site(tmp_path) == 2
    (tmp_path / "c.html").write_text(
        "<h2>Once<a>\xb6</a></h2><h2>Twice</h2><h2><code>Twice</code><a>\xb6</a></h2>"
        '<a href="gone.html"></a><a href="a.html#gone"></a><script src="https://x.org/s.js"></script>'
    )
    with pytest.raises(DataError) as found:
        check_site(tmp_path)
    for fault in (
        *("gone.html leads nowhere", "no such section", "loads https://x.org/s.js"),
        *("4 faults", "two headings 'Twice'"),
    ):
        assert fault in str(found.value)


DOCSTRING = """Mix |x| and x_ with ``a|b``.

    y = |x|^2 * z_      (3)

Args:
    dim: Size of x_.
"""


def test_docstrings_are_plain_text():
    assert restructured(DOCSTRING) == [
        *(r"Mix \|x\| and x\_ with ``a|b``.", ""),
        *("::", "", "    y = |x|^2 * z_      (3)", ""),
        *("Args:", r"    dim: Size of x\_.", ""),
    ]
    assert markdown(DOCSTRING) == (
        "Mix |x| and x\\_ with `a|b`.\n\n```text\ny = |x|^2 * z_      (3)\n```"
    )
    assert inline("a <b> & ``c<d>``") == r"a \<b\> & `c<d>`"


def test_no_docstring_has_marks_that_its_page_would_show(root):
    paths = sorted((root / "kgrec").rglob("*.py"))
    marked = [
        (path.name, mark)
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        for mark in re.findall(r"\*\*[a-z ]+\*\*|\]\([a-z./]+\)", ast.get_docstring(node) or "")
    ]
    assert paths
    assert marked == []


def test_the_drawing_shows_every_layer_in_its_order(root):
    svg = drawing.pictures(root)["architecture"]
    heights = {name: float(y) for y, name in re.findall(r' y="([\d.]+)"[^>]*>(\w+)</text>', svg)}
    packages = {path.parent.name for path in (root / "kgrec").glob("*/__init__.py")}
    assert packages <= set(heights)
    order = ["cli", "study", "runs", "training", "models", "nn", "graph", "data", "ops", "errors"]
    assert order == sorted(order, key=heights.get)


def test_pictures_take_the_colors_of_the_page_and_run_nothing(root):
    for name, svg in drawing.pictures(root).items():
        assert "var(--color-foreground-primary" in svg, name
        assert "<script" not in svg
        assert 'aria-label="' in svg


def test_a_build_without_its_extra_says_so_in_a_line(monkeypatch, capsys):
    monkeypatch.setattr(build, "NEEDED", {"sys": "sys", "no_such_module": "myst-nb"})
    assert build.main([]) == 2
    said = capsys.readouterr().err
    assert said.startswith("docs: the site needs myst-nb, which")
    assert said.count("\n") == 1
    assert build.main(["--nonsense"]) == 2


def test_the_license_of_every_requirement_is_stated(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"]]
    for extra, more in project["optional-dependencies"].items():
        needs += more if extra != "dev" else []
    text = (root / "docs/licenses.md").read_text()
    names = {re.split(r"[<>=!~\[ ;]", need)[0] for need in needs}
    assert not {name for name in names if f"\n| {name} | " not in text}


def test_the_citation_is_of_this_version(root):
    text = (root / "CITATION.cff").read_text()
    assert re.search(r"^version: (\S+)$", text, re.M)[1] == kgrec.__version__
