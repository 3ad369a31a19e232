"""What folding in costs, by figures that are worked out again."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import kgrec
from kgrec.cli import run as command
from kgrec.data.records.tie_order import tie_order
from kgrec.errors import CapabilityError, ConfigError, DataError
from kgrec.lifecycle.newcomers import _Evaluator, _without_items, evaluate_newcomers
from kgrec.testing import worlds


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(6)
    train = {(u, int(i)) for u in range(30) for i in 2 * rng.choice(12, 8, replace=False) + u % 2}
    test = [(u, next(i for i in range(u % 2, 24, 2) if (u, i) not in train)) for u in range(30)]
    facts = [(item, 0, 24 + item % 2) for item in range(24)]
    return worlds.dataset(sorted(train), test=test, triples=facts, num_items=24)


@pytest.fixture(scope="module")
def run(world):
    return kgrec.fit("lightgcn", world, dim=8, epochs=30, patience=0, learning_rate=0.05)


def test_recall_and_ndcg_are_those_of_evaluate(world, run):
    """Over everyone, by the run's own scores."""
    rows = np.unique(world.test.user)
    evaluator = _Evaluator(world, rows, tie_order(world))
    scorer = run.scorer()
    values = evaluator.metrics(scorer.users[torch.from_numpy(rows)] @ scorer.items.T, 10)
    report = run.evaluate(k=(10,))
    found = report.metrics["recall@10"], report.metrics["ndcg@10"]
    np.testing.assert_allclose(values.mean(0), found, rtol=1e-6)


def test_what_is_left_out_is_left_out_whole(world):
    left = _without_items(world, np.array([2, 5]))
    for part in (left.train, left.valid):
        assert not {2, 5} & set(part.item.tolist())
    assert not {2, 5} & {*left.triples.head.tolist(), *left.triples.tail.tolist()}
    assert len(left.test) == len(world.test)


def test_the_report_says_what_folding_in_costs(world, run, tmp_path, capsys):
    report = evaluate_newcomers(run, sample=4)
    assert (report.users, report.items) == (3, 2)
    assert list(report.folded) == ["1", "5", "20", "all"]
    assert list(report.placed) == ["0", "1", "5", "20"]
    for figure in report.folded["all"].values():
        assert figure.low <= figure.gap <= figure.high
    figure = report.folded["all"]["recall@20"]
    assert figure.value + figure.gap == pytest.approx(report.trained["recall@20"])
    # two tastes that never mix: eight events say which one
    assert report.folded["all"]["recall@20"].value == 1.0
    assert report.placed["5"]["share"].value <= 2 * 2 / 24 + 0.05

    path = tmp_path / "data"
    world.save(path)
    kgrec.fit("lightgcn-kg", path, dim=2, epochs=1, patience=0, out=tmp_path / "run")
    arguments = ["-q", "evaluate", str(tmp_path / "run"), "--protocol", "fold-in"]
    assert command([*arguments, "--sample", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["users"]["left_out"] == 2
    assert set(told["items"]["placed"]) == {"0", "1", "5", "20"}
    assert command([*arguments, "--sample", "2"]) == 0
    assert "folded in" in capsys.readouterr().out
    for ignored in (("--k", "5"), ("--diversity", "0.5"), ("--most", "a=1"), ("--fallback", "off")):
        assert command([*arguments, *ignored]) == 2
        assert "Leave" in capsys.readouterr().err


def test_what_cannot_be_measured_is_refused(world):
    itemknn = kgrec.fit("itemknn", world)
    assert evaluate_newcomers(itemknn, sample=2).placed is None
    with pytest.raises(CapabilityError, match="folds no one in"):
        evaluate_newcomers(kgrec.fit("popularity", world))
    with pytest.raises(ConfigError, match="sample=0"):
        evaluate_newcomers(itemknn, sample=0)
    with pytest.raises(ConfigError, match="trains again"):
        itemknn.evaluate(protocol="fold-in")
    bare = replace(world, test=world.test.take(np.zeros(30, bool)))
    with pytest.raises(DataError, match="test part"):
        evaluate_newcomers(kgrec.fit("itemknn", bare))
