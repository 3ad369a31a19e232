import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy import stats

import kgrec
from kgrec.errors import ConfigError, DataError
from kgrec.evaluation.significance import holm
from kgrec.models.base import DotProduct
from kgrec.study.compare import NO_DIFFERENCE, compare
from kgrec.testing import worlds

USERS, ITEMS = 60, 30


def world(seed=0):
    rng = np.random.default_rng(seed)
    picked = [(user, int(item)) for user in range(USERS) for item in rng.permutation(ITEMS)[:8]]
    parts = [
        [pair for at, pair in enumerate(picked) if at % 8 in places]
        for places in ((0, 1, 2, 3), (4,), (5, 6, 7))
    ]
    return worlds.dataset(*parts, num_users=USERS, num_items=ITEMS)


def table(data, knowledge, seed):
    """Scores that are noise, and with ``knowledge`` higher for what is held out."""
    scores = np.random.default_rng(seed).normal(size=(USERS, ITEMS))
    for part in (data.valid, data.test):
        scores[part.user, part.item] += knowledge
    return scores


def fitted(data, knowledge=0.0, seed=0, **settings):
    """A run whose scorer is a table."""
    run = kgrec.fit("bprmf", data, epochs=1, seed=seed, **{"dim": 2} | settings)
    run._scorer = DotProduct(
        torch.eye(USERS, dtype=torch.float64),
        torch.from_numpy(table(data, knowledge, seed)).T.contiguous(),
    )
    return run


@pytest.fixture(scope="module")
def data():
    return world()


def test_tests_are_paired_by_user_and_corrected(data):
    runs = [fitted(data), fitted(data, 0.5, 1, dim=3), fitted(data, 0.1, 2, dim=4)]
    found = compare(runs, k=(5, 10), metrics=("ndcg@5", "recall@10"))
    assert (found.against, found.users, found.tested) == (
        "bprmf #1",
        USERS,
        ("ndcg@5", "recall@10"),
    )
    reports = [run.evaluate(k=(5, 10)) for run in runs]
    raw = []
    for contrast in found.contrasts:
        at = [entry.name for entry in found.entries].index(contrast.run)
        gap = (
            reports[at].per_user[contrast.metric] - reports[0].per_user[contrast.metric]
        ).to_numpy()
        assert contrast.difference.mean == pytest.approx(gap.mean())
        assert (contrast.p_t is None) == (contrast.metric not in found.tested)
        if contrast.p_t is not None:
            raw.append((stats.ttest_1samp(gap, 0).pvalue, contrast))
    assert len(raw) == 4
    adjusted = holm(np.array([p for p, _ in raw]))
    assert [contrast.p_t for _, contrast in raw] == pytest.approx(adjusted.tolist())
    assert all(contrast.p_t >= contrast.difference.p_t for _, contrast in raw)


def test_verdicts(data):
    found = compare([fitted(data), fitted(data, 3.0, 1, dim=3), fitted(data, 0.0, 2, dim=4)])
    assert found.tested == ("ndcg@10",)
    assert [contrast.verdict for contrast in found.contrasts if contrast.verdict] == [
        "ahead",
        NO_DIFFERENCE,
    ]
    turned = compare([fitted(data, 3.0, 1, dim=3), fitted(data)])
    assert [contrast.verdict for contrast in turned.contrasts if contrast.verdict] == ["behind"]
    best = compare([fitted(data), fitted(data, 3.0, 1, dim=3)], against="best")
    assert best.against == "bprmf #2"
    assert any("best was chosen" in note for note in best.notes)


def test_a_lower_loss_is_ahead(data):
    found = compare(
        [fitted(data), fitted(data, 4.0, 1, dim=3)],
        protocol="ctr",
        metrics=("user_logloss", "user_auc"),
    )
    gaps = {
        contrast.metric: (contrast.difference.mean, contrast.verdict)
        for contrast in found.contrasts
    }
    assert gaps["user_logloss"][0] < 0 < gaps["user_auc"][0]
    assert {verdict for _, verdict in gaps.values() if verdict} == {"ahead"}
    assert any("sampled" in note for note in found.notes)


def test_seeds_of_one_model_are_one_entry(data):
    runs = [
        fitted(data, seed=0, dim=3),
        fitted(data, 1.0, 1),
        fitted(data, 1.0, 2),
        fitted(data, 1.0, 5),
    ]
    found = compare(runs, k=(10,))
    assert [entry.seeds for entry in found.entries] == [(0,), (1, 2, 5)]
    values = [run.evaluate(k=(10,)) for run in runs[1:]]
    ndcg = [report.metrics["ndcg@10"] for report in values]
    entry = found.entries[1]
    assert entry.metrics["ndcg@10"] == pytest.approx(np.mean(ndcg))
    assert entry.spread["ndcg@10"] == pytest.approx(np.std(ndcg, ddof=1))
    assert entry.per_user["ndcg@10"].to_numpy() == pytest.approx(
        np.mean([report.per_user["ndcg@10"] for report in values], axis=0)
    )
    assert found.entries[0].spread == {}
    assert any("seeds" in note for note in found.notes)


def test_the_same_run_twice_is_no_second_seed(data):
    found = compare([fitted(data), fitted(data)])
    assert [entry.seeds for entry in found.entries] == [(0,), (0,)]
    (contrast,) = (contrast for contrast in found.contrasts if contrast.verdict)
    assert (contrast.difference.mean, contrast.p_t, contrast.verdict) == (0, 1, NO_DIFFERENCE)


def test_seeds_of_one_model_alone_have_nothing_to_be_tested_against(data):
    found = compare([fitted(data, seed=0), fitted(data, seed=1)])
    assert len(found.entries) == 1
    assert found.contrasts == ()


def test_a_metric_brings_its_cutoff(data):
    found = compare([fitted(data), fitted(data, 1.0, 1, dim=3)], k=(10,), metrics=("recall@3",))
    assert found.tested == ("recall@3",)
    assert {"recall@3", "recall@10", "popularity@3"} <= set(found.entries[0].metrics)


def test_a_metric_that_is_off_by_default_can_be_tested(data):
    found = compare(
        [fitted(data), fitted(data, 1.0, 1, dim=3)], k=(10,), metrics=("ndcg-retrieved@5",)
    )
    assert found.tested == ("ndcg-retrieved@5",)
    assert found.entries[0].metrics["ndcg-retrieved@5"] >= found.entries[0].metrics["ndcg@5"]
    assert "not comparable" in found.notes[0]


def test_the_document_is_json(data):
    document = json.loads(
        json.dumps(compare([fitted(data), fitted(data, 1.0, 1, dim=3)]).to_dict(), allow_nan=False)
    )
    assert {"dataset", "split", "users", "against", "tested", "runs", "differences"} <= set(
        document
    )
    assert [run["model"] for run in document["runs"]] == ["bprmf", "bprmf"]
    assert {"run", "metric", "mean", "low", "high", "p_t", "p_t_corrected", "verdict"} <= set(
        document["differences"][0]
    )


def test_what_cannot_be_compared(data, tmp_path):
    with pytest.raises(ConfigError, match="two runs"):
        compare([fitted(data)])
    with pytest.raises(DataError, match="different datasets or splits"):
        compare([fitted(data), fitted(world(1))])
    with pytest.raises(DataError, match="checksum"):
        compare([fitted(dataclasses.replace(data, checksum=text)) for text in ("aa", "bb")])
    with pytest.raises(ConfigError, match="Nearest: recall"):
        compare([fitted(data), fitted(data, dim=3)], metrics=("recal@10",))
    with pytest.raises(ConfigError, match="ndcg@10"):
        compare([fitted(data), fitted(data, dim=3)], metrics=("coverage@10",))
    with pytest.raises(ConfigError, match="no value per user"):
        compare([fitted(data), fitted(data, dim=3)], protocol="ctr", metrics=("auc",))
