"""The content model by loops over what items have."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.errors import ConfigError
from kgrec.models.baselines.content import Content, ContentConfig
from kgrec.queries import queries
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

# r0 leads items 0, 1, 2 to 5, items 0, 3 to 6; r1 leads item 0 to item 3; item 4 has no fact
FACTS = ((0, 0, 5), (1, 0, 5), (2, 0, 5), (0, 0, 6), (3, 0, 6), (0, 1, 3), (2, 1, 3))
LIKES = ((0, 0), (0, 1), (1, 3), (2, 2), (2, 4))


def world(features=None, texts=None):
    data = worlds.dataset(LIKES, triples=FACTS, num_items=5, num_entities=7)
    if texts is not None:
        texts = pl.Series("text", texts, dtype=pl.String)
    return replace(data, content=replace(data.content, features=features, texts=texts))


def attributes():
    """Rows of items: r0 of 5, r0 of 6, r1 of 3 (of items 0 and 2); others have one item each."""
    rarity = np.log(6 / (1 + np.array([3, 2, 2]))) + 1
    return np.array([[1, 1, 1], [1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 0, 0]]) * rarity


def unit(rows):
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def scores(data, **config):
    model = Content.from_dataset(data, ContentConfig(**config), torch.Generator())
    model.plan().fit()
    with torch.inference_mode():
        return model, model.scorer()(queries(data.train, np.arange(3))).numpy()


def used():
    table = np.zeros((3, 5))
    table[tuple(np.array(LIKES).T)] = 1
    return table


def test_scores_are_sums_of_cosines():
    rows = unit(attributes())
    _, found = scores(world())
    np.testing.assert_allclose(found, used() @ rows @ rows.T, atol=1e-6)


def test_words_and_features_stand_beside_attributes():
    features = np.arange(10, dtype=np.float32).reshape(5, 2) ** 2
    texts = ["red car", "red bus", None, "blue bus", "red"]
    data = world(features, texts)
    spread = {"red": 3, "bus": 2}
    words = np.zeros((5, 2))
    for row, text in enumerate(texts):
        for column, word in enumerate(spread):
            if text and word in text:
                words[row, column] = np.log(6 / (1 + spread[word])) + 1
    numbers = features - features.mean(0)
    rows = unit(np.hstack([unit(attributes()), 2 * unit(words), 0.5 * unit(numbers)]))
    _, found = scores(data, text_weight=2.0, feature_weight=0.5)
    np.testing.assert_allclose(found, used() @ rows @ rows.T, atol=1e-6)
    _, alone = scores(data, attributes=False, feature_weight=0.0)
    np.testing.assert_allclose(alone, used() @ unit(words) @ unit(words).T, atol=1e-6)


def test_items_and_people_of_whom_nothing_is_known_are_not_ranked():
    model, _ = scores(world())
    known = model.can_rank(world())
    assert known.items.tolist() == [True, True, True, True, False]
    assert known.users.tolist() == [True, True, True]


def test_a_score_without_a_fact_is_that_of_data_without_it():
    data = world()
    effects = scores(data)[0].explanation_effects()
    (fact,) = np.flatnonzero((effects.ckg.head == 3) & (effects.ckg.tail == 6))
    kept = np.arange(len(effects.ckg.head)) != fact
    fewer = worlds.dataset(
        LIKES, triples=[f for f in FACTS if f != (3, 0, 6)], num_items=5, num_entities=7
    )
    with torch.inference_mode():
        got = effects.on_graph(effects.ckg.take(kept)).scorer()(queries(data.train, np.arange(3)))
    np.testing.assert_allclose(got.numpy(), scores(fewer)[1])
    parts = effects.score_parts(0, 2)
    rows = unit(attributes())
    np.testing.assert_allclose(parts.liked, rows[[0, 1]] @ rows[2], atol=1e-6)


def test_texts_rank_items_that_no_one_used():
    """Words tell the kind; items 40 and on have no interaction."""
    data = worlds.cold_items(users=20)
    texts = [f"{'red car' if item % 2 else 'blue bus'} today" for item in range(60)]
    content = replace(data.content, texts=pl.Series("text", texts, dtype=pl.String))
    run = kgrec.fit("content-text", replace(data, content=content))
    frame = run.recommend("all", k=10, items=[f"i{row}" for row in range(40, 60)])
    assert all(int(i[1:]) % 2 == int(u[1:]) % 2 for u, i in frame.select("user", "item").rows())


@pytest.mark.parametrize("config", [{"text_words": 0}, {"text_weight": -1.0}])
def test_refuses_values_out_of_range(config):
    with pytest.raises(ConfigError, match=next(iter(config))):
        ContentConfig(**config)


class TestContent(RecommenderContract):
    name = "content"
    seeded = False
    uses_knowledge = True


class TestContentText(RecommenderContract):
    name = "content-text"
    seeded = False

    def prepared(self, data):
        titles = [f"{'red car' if row % 2 else 'blue bus'} {row}" for row in range(data.num_items)]
        if len(titles) == 60:  # of the world with cold items: nothing about them
            titles[40:] = [None] * 20
        content = replace(data.content, texts=pl.Series("text", titles, dtype=pl.String))
        return replace(data, content=content)
