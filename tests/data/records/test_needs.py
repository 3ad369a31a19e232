"""What a model needs of a dataset is said in one line, before anything is trained."""

from dataclasses import replace

import numpy as np
import pytest

import kgrec
from kgrec.cli import run as command
from kgrec.data.records.content import Content
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.needs import NEEDS, check_needs
from kgrec.errors import ConfigError, DataError
from kgrec.models.catalog import MODELS
from kgrec.testing import worlds


def full():
    """A dataset that has everything."""
    data = worlds.news_board(users=8, impressions=2)
    count = len(data.train)
    one = np.ones(count, dtype=np.float32)
    return replace(
        data,
        train=replace(data.train, time=np.arange(count, dtype=float), rating=one),
        user_facts=np.array([(0, 0, 1)], dtype=np.int32),
        content=replace(data.content, features=np.ones((data.num_items, 2), np.float32)),
    )


def bare(data):
    return replace(data, train=replace(data.train, time=None, rating=None))


def with_a_gap(data, column):
    values = getattr(data.train, column).copy()
    values[1] = np.nan
    return replace(data, train=replace(data.train, **{column: values}))


def once_each(data):
    rows = np.unique(data.train.user, return_index=True)[1]
    return replace(data, train=data.train.take(rows))


EMPTY = worlds.dataset([(0, 0), (1, 1)])
LACKS = {
    "interactions": [lambda data: replace(data, train=Interactions())],
    "triples": [lambda data: replace(data, triples=EMPTY.triples)],
    "texts": [lambda data: replace(data, content=Content())],
    "features": [lambda data: replace(data, content=Content())],
    "times": [bare, lambda data: with_a_gap(data, "time")],
    "sequences": [bare, lambda data: with_a_gap(data, "time"), once_each],
    "ratings": [bare, lambda data: with_a_gap(data, "rating")],
    "labels": [lambda data: replace(data, impressions={})],
    "impressions": [lambda data: replace(data, impressions={})],
    "fields": [lambda data: replace(data, user_facts=data.user_facts[:0])],
}


def test_every_need_is_tested_and_a_dataset_may_have_all():
    assert LACKS.keys() == NEEDS.keys()
    check_needs("Mine", NEEDS, full())


@pytest.mark.parametrize(
    ("need", "without"), [(need, without) for need, ways in LACKS.items() for without in ways]
)
def test_what_is_missing_where_and_what_to_do(need, without):
    data = without(full())
    others = [name for name in NEEDS if NEEDS[name].holds(data)]
    assert need not in others
    check_needs("Mine", others, data)
    with pytest.raises(DataError, match=rf"^Mine needs {need} and world has [^\n]+\. [A-Z][^\n]+$"):
        check_needs("Mine", (*others, need), data)


def test_labeled_negatives_are_labels():
    pair = Interactions(np.array([0], np.int32), np.array([1], np.int32))
    check_needs("Mine", ["labels"], replace(EMPTY, negatives={"train": pair}))
    with pytest.raises(DataError, match="labels"):
        check_needs("Mine", ["labels"], replace(EMPTY, negatives={"test": pair}))


def test_facts_about_users_are_fields():
    facts = np.array([(0, 0, 1)], dtype=np.int32)
    check_needs("Mine", ["fields"], replace(EMPTY, user_facts=facts))


def test_an_unknown_need_names_the_nearest():
    with pytest.raises(ConfigError, match=r"^Mine needs 'tripels', which no dataset has.*triples"):
        check_needs("Mine", ["tripels"], EMPTY)
    with pytest.raises(ConfigError, match="Known: interactions, triples"):
        check_needs("Mine", ["xyz"], EMPTY)


def test_the_catalog_names_known_needs():
    for entry in MODELS.values():
        assert set(entry.needs) <= NEEDS.keys()


MODULE = """
from kgrec.models.factorization.bprmf import BPRMF, BPRMFConfig
NEEDS = ("interactions", "{need}")
class Mine(BPRMF):
    '''Reads {need}.'''
    @classmethod
    def from_dataset(cls, data, config: BPRMFConfig, generator):
        raise AssertionError("built before the check")
"""


@pytest.mark.parametrize("need", ["ratings", "labels", "features"])
def test_models_from_outside_are_checked_from_python_and_from_the_shell(
    need, tmp_path, monkeypatch, capsys
):
    (tmp_path / f"needs_{need}.py").write_text(MODULE.format(need=need))
    monkeypatch.syspath_prepend(str(tmp_path))
    said = f"Mine needs {need} and films has"
    with pytest.raises(DataError, match=said):
        kgrec.fit(f"needs_{need}:Mine", "films")
    out = str(tmp_path / "run")
    assert command(["train", "films", "--model", f"needs_{need}:Mine", "--out", out]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()
