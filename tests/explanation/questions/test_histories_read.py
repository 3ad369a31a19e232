"""What a like's removal does is of the score that ranks: of the history that the scorer reads."""

import numpy as np
import polars as pl
import pytest

import kgrec

TRAIN_ALONE = ["ease", "itemknn", "userknn", "gfcf", "ease-kg"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("read")
    rows = [(f"u{u}", f"i{i}") for u in range(9) for i in range(10) if (3 * u + 7 * i) % 10 < 6]
    facts = [f"<x:i{i}> <http://x.org/maker> <x:m{i % 3}> ." for i in range(10)]
    (folder / "kg.nt").write_text("\n".join(facts) + "\n", encoding="utf-8")
    links = pl.DataFrame({"item": [f"i{i}" for i in range(10)]})
    links = links.with_columns(entity="x:" + pl.col("item"))
    log = pl.DataFrame(rows, schema=["user", "item"], orient="row")
    return kgrec.Dataset.build(log, str(folder / "kg.nt"), links)


@pytest.mark.parametrize("name", TRAIN_ALONE)
def test_an_unchanged_world_has_the_scores_of_the_ranking(data, name):
    """Without an item, scores are those of the rest of training, though there is a validation part."""
    run = kgrec.fit(name, data)
    explainer = run.explainer()
    user = data.users.key(0)
    assert (data.valid.user == 0).any()
    own = data.train.item[data.train.user == 0]
    keys = [data.items.key(int(row)) for row in own]
    ranked = dict(run.recommend(user, k=10).select("item", "score").iter_rows())
    for gone in keys[:2]:
        told = explainer.what_if(user, remove=[gone])
        left = [key for key in keys if key != gone]
        alone = run.recommend(history=left, k=10, allow_seen=True)
        wanted = dict(alone.select("item", "score").iter_rows())
        assert len(told.after) > 2
        for before, after in zip(told.before, told.after, strict=True):
            assert before.score == pytest.approx(ranked[before.item.key], abs=1e-6)
            assert after.score == pytest.approx(wanted[after.item.key], abs=1e-6)


def test_like_drops_are_of_the_score_that_ranks(data):
    run = kgrec.fit("userknn", data)
    explainer = run.explainer()
    user = data.users.key(0)
    item, score = run.recommend(user, k=1).select("item", "score").row(0)
    drops = explainer.explained.like_drops(0, data.items.row(item))
    own = data.train.item[data.train.user == 0]
    for gone, drop in drops.items():
        left = [data.items.key(int(row)) for row in own if row != gone]
        again = run.recommend(history=left, k=10, allow_seen=True).filter(pl.col("item") == item)
        assert drop == pytest.approx(score - again["score"][0], abs=1e-6)

    assert set(drops) == set(np.asarray(own).tolist())
