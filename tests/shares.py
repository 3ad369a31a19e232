"""How many examples a property is tried with in each run of the tests, and before a release."""

import pytest
from hypothesis import settings


def share(most: int) -> int:
    """Return the part of some examples that the profile takes: a quarter in each run of the tests,
    every one with ``--hypothesis-profile=all``.
    """
    return max(1, most * settings().max_examples // 100)


def few_or(many: int, few: int) -> pytest.MarkDecorator:
    """Give a test a ``count``: a few in each run of the tests, all of them before a release."""
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=pytest.mark.long)])
