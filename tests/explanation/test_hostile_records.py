"""Records that somebody changed by hand are refused in one line, or are shown; they never break
what shows them.
"""

import copy
import json

import pytest
from explained import WHY
from hypothesis import given, settings
from hypothesis import strategies as st
from shares import share

from kgrec.errors import ExplanationError
from kgrec.explanation.core.records import Explanation
from kgrec.explanation.render.tree import tree
from kgrec.explanation.verify import arguments_of, settings_of

RECORD = WHY.to_dict()
STRANGE = [
    None,
    True,
    -1,
    0,
    10**400,
    1e308,
    -1e308,
    5e-324,
    "",
    "x",
    [],
    [1],
    {},
    {"a": []},
    [[]],
    "\ud800",
    "9" * 50,
    -0.0,
]


def places(value, where=()):
    """Return the paths to every value in a record."""
    yield where
    if isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*where, name))
    if isinstance(value, list):
        for number in range(len(value)):
            yield from places(value[number], (*where, number))


PLACES = [where for where in places(RECORD) if where]


def show(why):
    """Put an explanation through every form."""
    for one in (why.to_text(), tree(why), why.to_html(), why.to_json(), why._repr_html_()):
        assert isinstance(one, str)
    why.to_frame()
    why.to_networkx()
    settings_of(why)
    try:
        arguments_of(why)
        assert Explanation.from_rdf(why.to_rdf()).to_dict() == why.to_dict()
    except ExplanationError as error:
        assert "\n" not in str(error)  # noqa: PT017


@settings(max_examples=share(150), deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(STRANGE), st.booleans())
def test_any_value_anywhere(where, strange, gone):
    record = copy.deepcopy(RECORD)
    inner = record
    for step in where[:-1]:
        inner = inner[step]
    if gone:
        del inner[where[-1]]
    else:
        inner[where[-1]] = strange
    try:
        why = Explanation.from_json(json.dumps(record))
    except ExplanationError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    show(why)


INFINITE = WHY.to_json().replace("0.35", "Infinity")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"schema": 1}',
        '{"schema": true}',
        "[" * 100_000,
        "9" * 10_000,
        '{"schema": NaN}',
        INFINITE,
    ],
    ids=range(10),
)
def test_what_is_no_explanation_is_one_line(text):
    with pytest.raises(ExplanationError) as caught:
        Explanation.from_json(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
