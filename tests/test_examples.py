"""Examples and documents do what they say."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LONG = ("09_hgt",)  # its network is trained and explained by tests/models/test_hetero.py too
SECONDS = 60


def python_blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)


def test_there_are_examples():
    assert [int(path.name[:2]) for path in EXAMPLES] == list(range(1, 10))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_what_it_is_and_asserts_its_own_point(example):
    source = example.read_text()
    assert source.startswith('"""')
    assert "\nassert " in source


@pytest.mark.slow
@pytest.mark.parametrize(
    "example",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.long] * (path.stem in LONG))
        for path in EXAMPLES
    ],
)
def test_example(example, tmp_path, forks):
    done = forks.run([example], tmp_path, SECONDS)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_quickstart_is_short():
    assert len((ROOT / "examples/01_quickstart.py").read_text().splitlines()) < 40


@pytest.mark.slow
@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/explanations.md"])
def test_python_blocks(document, tmp_path, forks):
    blocks = python_blocks((ROOT / document).read_text())
    assert blocks
    script = tmp_path / "blocks.py"
    script.write_text("\n".join(blocks))
    done = forks.run([script], tmp_path, SECONDS)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", "docs/decisions/README.md", "docs/explanations.md"]
)
def test_links_lead_somewhere(document):
    path = ROOT / document
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())
    assert not [target for target in targets if not (path.parent / target).exists()]


def test_every_make_target_that_a_document_names_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for document in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"`make ([a-z]+)", (ROOT / document).read_text()))
        assert named <= targets, (document, named - targets)
