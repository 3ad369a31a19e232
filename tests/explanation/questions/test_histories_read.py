"""What a like's removal does is of the score that ranks: of the history that the scorer reads."""

import dataclasses

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.models.blend import Blend, BlendConfig
from kgrec.queries import histories

TRAIN_ALONE = ["ease", "itemknn", "userknn", "gfcf", "ease-kg"]
READ_BOTH = ("sasrec", "gru4rec", "youtubednn")
SMALL = {name: {"dim": 8, "epochs": 2, "patience": 0} for name in ("multvae-kg", "acf", *READ_BOTH)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("read")
    rows = [(f"u{u}", f"i{i}") for u in range(9) for i in range(10) if (3 * u + 7 * i) % 10 < 6]
    facts = [f"<x:i{i}> <http://x.org/maker> <x:m{i % 3}> ." for i in range(10)]
    (folder / "kg.nt").write_text("\n".join(facts) + "\n", encoding="utf-8")
    links = pl.DataFrame({"item": [f"i{i}" for i in range(10)]})
    links = links.with_columns(entity="x:" + pl.col("item"))
    log = pl.DataFrame(rows, schema=["user", "item"], orient="row")
    log = log.with_columns(time=pl.Series(np.random.default_rng(0).permutation(len(rows))))
    return kgrec.Dataset.build(log, str(folder / "kg.nt"), links)


@pytest.mark.parametrize("name", [*TRAIN_ALONE, *SMALL])
def test_the_history_as_it_is_gives_the_scores_of_the_ranking(data, name):
    """Items of validation lie between those of training, and some models read both."""
    explained = kgrec.fit(name, data, **SMALL.get(name, {})).explainer().explained
    mixed = 0
    for user in range(data.num_users):
        history = explained.history(user)
        scores = explained.model_effects.history_scores(user, [torch.from_numpy(history)])[0]
        assert scores.numpy() == pytest.approx(explained.standing(user).scores, abs=1e-5)
        mixed += not np.array_equal(explained.brought(user)[: len(history)], history)

    reads_both = name in READ_BOTH
    assert explained.model_effects.reads_validation == reads_both
    assert (mixed > 0) != reads_both


@pytest.mark.parametrize("scale", ["member", "user"])
def test_likes_of_a_blend_are_taken_from_what_each_member_reads(data, scale):
    """A member that reads histories in their order is blended with one that reads a graph."""
    names = ("lightgcn-kg", "sasrec")
    runs = [kgrec.fit(name, data, dim=8, epochs=2, patience=0) for name in names]
    mixed = blended(runs, data, scale)
    explained = ExplainedModel(mixed, data)
    sequence = runs[1].explainer().explained
    for user in range(3):
        standing = explained.standing(user)
        same = explained.standing(user, explained.without(np.empty(0, np.int64)))
        assert same.scores == pytest.approx(standing.scores, abs=1e-6)
        item = int(standing.order()[0])
        effects = explained.effects_at(user, item)
        assert effects.without([])[0, 0] == pytest.approx(standing.scores[item], abs=1e-6)
        part = effects.addends[1]
        assert part.score == pytest.approx(sequence.standing(user).scores[item], abs=1e-6)
        for gone in explained.liked(user):
            kept = [int(one) for one in sequence.brought(user) if one != gone]
            query = dataclasses.replace(histories([kept]), user=torch.tensor([user]))
            with torch.inference_mode():
                left = float(sequence.scorer(query)[0, item])

            edge = np.flatnonzero(
                (explained.graph.low == gone)
                & (explained.graph.high == explained.graph.ckg.user_node(user))
            )
            lost = effects._like_drops(part, [edge])[0]
            assert lost == pytest.approx(part.score - left, abs=1e-5)


def blended(runs, data, scale):
    config = BlendConfig(("one", "other"), (1.0, 1.0), (1.0, 1.0), scale)
    return Blend([(run.model, run.config) for run in runs], data, config)


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
