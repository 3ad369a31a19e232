from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kgrec.errors import ConfigError
from kgrec.evaluation.significance import (
    bonferroni,
    bootstrap_mean,
    bootstrap_pooled,
    holm,
    paired,
    pooled_auc,
    pooled_f1,
)


def generator(seed=0):
    return np.random.default_rng(seed)


def one(values, **settings):
    (found,) = paired(np.asarray(values, dtype=float)[:, None], generator=generator(), **settings)
    return found


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_intervals_are_those_of_scipy(method):
    values = generator(3).exponential(size=80)
    expected = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=20_000,
        method=method.replace("bca", "BCa"),
        rng=generator(1),
    )
    low, high = bootstrap_mean(values[:, None], generator=generator(2), draws=20_000, method=method)
    error = 0.02 * values.std()  # of a quantile among 20,000 resamples
    assert low[0] == pytest.approx(expected.confidence_interval.low, abs=error)
    assert high[0] == pytest.approx(expected.confidence_interval.high, abs=error)


def test_the_two_methods_differ_where_values_are_skewed():
    values = generator(3).exponential(size=40)[:, None] ** 2
    bca, percentile = (
        bootstrap_mean(values, generator=generator(), method=method)
        for method in ("bca", "percentile")
    )
    assert bca[1] > percentile[1] + 0.02


def test_tests_and_effect_are_those_of_scipy():
    first, second = generator(0).normal(0.3, 1, 60), generator(1).normal(0, 1, 60)
    found = one(first - second)
    assert found.p_t == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert found.p_wilcoxon == pytest.approx(
        stats.wilcoxon(first, second, method="asymptotic").pvalue
    )
    assert found.effect == pytest.approx((first - second).mean() / (first - second).std(ddof=1))
    assert (found.users, found.above + found.below) == (60, 60)
    assert found.low < found.mean < found.high


def test_ties_do_not_speak_in_the_signed_rank_test():
    moved = [0.5, 0.25, -0.125, 0.5, 0.75, 1.0]
    assert one([*moved, *[0.0] * 30]).p_wilcoxon == pytest.approx(stats.wilcoxon(moved).pvalue)


def test_columns_are_judged_alike_alone_and_together():
    values = generator(5).normal(size=(50, 3))
    values[::7, 1] = np.nan
    together = paired(values, generator=generator(9))
    for column, found in enumerate(together):
        kept = values[~np.isnan(values[:, column]), column]
        assert found.users == len(kept)
        assert found.mean == pytest.approx(kept.mean())
        alone = paired(values[:, [column]], generator=generator(9))[0]
        assert astuple(found) == pytest.approx(astuple(alone))


def test_systems_that_never_differ():
    found = one(np.zeros(20))
    assert (found.mean, found.low, found.high, found.effect, found.p_t, found.p_wilcoxon) == (
        0,
        0,
        0,
        0,
        1,
        1,
    )


def test_systems_that_always_differ_by_the_same():
    found = one(np.full(20, -0.1))
    assert (found.low, found.high) == pytest.approx((-0.1, -0.1))
    assert (found.effect, found.p_t) == (-np.inf, 0)


def test_one_user_shows_nothing():
    found = one([0.3])
    assert np.isnan(found.p_t)
    assert found.p_wilcoxon == 1


def test_bad_settings():
    with pytest.raises(ConfigError, match="no users"):
        paired(np.full((3, 1), np.nan), generator=generator())
    with pytest.raises(ConfigError, match="100 draws"):
        one([1, 2], draws=10)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        one([1, 2], confidence=95.0)


def test_corrections_by_hand():
    p = np.array([0.01, 0.04, 0.03, np.nan, 0.005])
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, np.nan, 0.02])
    np.testing.assert_allclose(bonferroni(p), [0.04, 0.16, 0.12, np.nan, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]
    assert holm(np.array([])).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_raw_values_and_bonferroni(values):
    p = np.array(values)
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= bonferroni(p) + 1e-15).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()


def brute_auc(scores, labels):
    gaps = scores[labels][:, None] - scores[~labels][None, :]
    return ((gaps > 0) + 0.5 * (gaps == 0)).mean()


def test_weights_are_repeated_rows():
    scores, labels = generator(0).integers(5, size=30), generator(1).random(30) < 0.4
    weights = generator(2).integers(4, size=(6, 30))
    predicted = scores >= 3
    auc, f1 = (
        pooled_auc(scores, labels)(weights.astype(float)),
        pooled_f1(predicted, labels)(weights.astype(float)),
    )
    for row, counts in enumerate(weights):
        s, y, p = (np.repeat(values, counts) for values in (scores, labels, predicted))
        assert auc[row] == pytest.approx(brute_auc(s, y))
        assert f1[row] == pytest.approx(2 * (p & y).sum() / (p.sum() + y.sum()))


def test_pooled_intervals_draw_whole_groups():
    """Rows that only repeat each other widen nothing when they are one group, and would narrow the
    interval if they were not.
    """
    scores, labels = generator(0).normal(size=60), np.arange(60) % 2 == 0
    scores = scores + 0.5 * labels
    groups = np.arange(60)
    alone = bootstrap_pooled(pooled_auc(scores, labels), groups, generator=generator(7))
    s, y, g = (np.repeat(values, 5) for values in (scores, labels, groups))
    repeated = bootstrap_pooled(pooled_auc(s, y), g, generator=generator(7))
    assert repeated == pytest.approx(alone)
    assert alone[0] == pytest.approx(brute_auc(scores, labels))
    assert alone[1] < alone[0] < alone[2]
    loose = bootstrap_pooled(pooled_auc(s, y), np.arange(300), generator=generator(7))
    assert loose[2] - loose[1] < 0.6 * (alone[2] - alone[1])


def test_a_pooled_statistic_that_is_never_defined():
    whole, low, high = bootstrap_pooled(
        pooled_auc(np.arange(4), np.ones(4, bool)), np.arange(4), generator=generator(), draws=100
    )
    assert np.isnan([whole, low, high]).all()


@pytest.mark.slow
def test_nothing_is_found_five_times_in_a_hundred_where_there_is_nothing():
    """On null data each test errs in about 5 % of 2,000 trials, and each interval misses 0 in about
    as many (skewed: somewhat more).
    """
    rng = generator(11)
    values = rng.normal(size=(2_000, 100)).T
    ours = paired(values, generator=rng, draws=1_000)
    percentile = paired(values, generator=rng, draws=1_000, method="percentile")
    shares = {
        "t": np.mean([found.p_t < 0.05 for found in ours]),
        "wilcoxon": np.mean([found.p_wilcoxon < 0.05 for found in ours]),
        "bca": np.mean([not found.low <= 0 <= found.high for found in ours]),
        "percentile": np.mean([not found.low <= 0 <= found.high for found in percentile]),
    }
    assert all(0.035 <= share <= 0.07 for share in shares.values()), shares
    families = np.array([found.p_t for found in ours]).reshape(400, 5)
    assert np.mean([(family < 0.05).any() for family in families]) > 0.15
    assert 0.025 <= np.mean([(holm(family) < 0.05).any() for family in families]) <= 0.08
