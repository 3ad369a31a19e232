"""Seeds, threads, and the way to data that is not in the repository. Imports nothing from kgrec:
the shape hook comes first.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

os.environ.setdefault(
    "TRITON_INTERPRET", "1"
)  # Triton's kernels run on the CPU; it asks when it is imported
ROOT = Path(__file__).resolve().parent.parent

_CHECKED = {"deadline": None, "print_blob": True}
hypothesis.settings.register_profile("kgrec", derandomize=True, max_examples=25, **_CHECKED)
hypothesis.settings.register_profile("all", derandomize=True, max_examples=100, **_CHECKED)
hypothesis.settings.register_profile("fuzz", max_examples=100_000, **_CHECKED)
hypothesis.settings.load_profile("kgrec")


def pytest_generate_tests(metafunc):
    """Train models for the cold items of the contract once in each run of the tests, where triples
    must decide, and for all seeds before a release.
    """
    if "cold_seeds" in metafunc.fixturenames and metafunc.cls.uses_knowledge:
        seeds = [[0], pytest.param([1, 2], marks=pytest.mark.long)]
        metafunc.parametrize("cold_seeds", seeds, ids=["0", "1, 2"])


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeds():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def forks():
    """Programs that start quickly, see ``forks.py``."""
    from forks import Forks

    with Forks() as forks:
        yield forks


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Give the path of a shared data file or folder, or skip where it is absent."""
    base = Path(os.environ.get("KGREC_SHARED_DATA") or ROOT.parent / "shared" / "data")

    def find(name: str) -> Path:
        path = base / name
        if not path.exists():
            pytest.skip(
                f"needs {name} of the shared data: not in {base}. Set KGREC_SHARED_DATA to its "
                "folder."
            )
        return path

    return find


@pytest.fixture(autouse=True)
def _sentences_hold(monkeypatch):
    """Read what the explanations of each test say, and run the model again for what they claim."""
    from kgrec.explanation.explainer import Explainer
    from tests.sentences import untrue

    explain, made = Explainer.explain, []

    def kept(self, *arguments, **settings):
        found = explain(self, *arguments, **settings)
        # Of a history another explainer explains, which comes by here itself.
        if len(made) < 2 and settings.get("history") is None:
            made.append((self, found))
        return found

    monkeypatch.setattr(Explainer, "explain", kept)
    yield
    wrong = [line for explainer, found in made for line in untrue(explainer, found)]
    assert not wrong, wrong
