import numpy as np
import pytest
import torch
from torch import Tensor

from kgrec.errors import ConfigError, DataError, DivergedError
from kgrec.evaluation.triples import evaluate_triples, triple_metric
from kgrec.models.base import TripleScorer
from kgrec.testing import worlds


class Table:
    """Scores from an array (relations, entities, entities)."""

    def __init__(self, scores):
        self.scores = torch.as_tensor(np.asarray(scores, dtype=np.float32))

    def score_tails(self, head: Tensor, relation: Tensor) -> Tensor:
        return self.scores[relation, head]

    def score_heads(self, relation: Tensor, tail: Tensor) -> Tensor:
        return self.scores[relation, :, tail]


def world(seed, entities=9, relations=3, facts=60):
    rng = np.random.default_rng(seed)
    drawn = np.unique(
        np.stack([rng.integers(size, size=facts) for size in (entities, relations, entities)], 1),
        axis=0,
    )
    drawn = drawn[rng.permutation(len(drawn))]
    cut = len(drawn) // 4
    parts = {"test": drawn[:cut].astype(np.int32), "valid": drawn[cut : 2 * cut].astype(np.int32)}
    return worlds.knowledge_only(drawn[2 * cut :], entities, relations, parts)


def by_hand(scores, data, on):
    """Every question one by one, on Python sets."""
    facts = {
        (int(h), int(r), int(t))
        for h, r, t in zip(data.triples.head, data.triples.relation, data.triples.tail, strict=True)
    }
    facts |= {tuple(map(int, row)) for part in data.held_triples.values() for row in part}
    ranks = []
    for h, r, t in data.held_triples[on].tolist():
        tails = [scores[r, h, x] for x in range(data.num_entities) if (h, r, x) not in facts]
        heads = [scores[r, x, t] for x in range(data.num_entities) if (x, r, t) not in facts]
        own = scores[r, h, t]
        ranks += [
            1 + sum(o > own for o in others) + 0.5 * sum(o == own for o in others)
            for others in (tails, heads)
        ]
    return np.array(ranks)


@pytest.mark.parametrize("on", ["test", "valid"])
@pytest.mark.parametrize("seed", range(6))
def test_equals_one_question_at_a_time(seed, on):
    """Scores from few values, so that many are equal."""
    data = world(seed)
    scores = np.random.default_rng(seed).integers(4, size=(3, 9, 9))
    report = evaluate_triples(Table(scores), data, on, ks=(1, 3, 10))
    ranks = by_hand(scores, data, on)
    assert report.metrics["mrr"] == pytest.approx((1 / ranks).mean())
    assert report.metrics["mean_rank"] == pytest.approx(ranks.mean())
    for k in (1, 3, 10):
        assert report.metrics[f"hits@{k}"] == pytest.approx((ranks <= k).mean())
    assert report.details["tails"]["mrr"] == pytest.approx((1 / ranks[::2]).mean())
    assert report.details["heads"]["mrr"] == pytest.approx((1 / ranks[1::2]).mean())


def test_a_model_that_says_nothing_gets_the_average_rank():
    """One held triple, seven free tails and eight free heads beside it: ranks 4.5 and 5."""
    data = worlds.knowledge_only([(0, 0, 1), (2, 1, 3)], 9, 2, {"test": [(0, 0, 2)]})
    report = evaluate_triples(Table(np.zeros((2, 9, 9))), data)
    assert report.details["tails"]["mean_rank"] == 4.5
    assert report.details["heads"]["mean_rank"] == 5.0
    assert report.metrics["mrr"] == pytest.approx((1 / 4.5 + 1 / 5) / 2)


def test_other_right_answers_are_no_candidates():
    """The training, validation and test tails of the same question all score higher; filtered, they
    cost nothing.
    """
    data = worlds.knowledge_only(
        [(0, 0, 1)], 6, 1, {"valid": [(0, 0, 2)], "test": [(0, 0, 3), (0, 0, 4)]}
    )
    scores = np.zeros((1, 6, 6))
    scores[0, 0] = [0, 4, 5, 1, 3, 2]
    assert evaluate_triples(Table(scores), data).per_user["tail_rank"].to_list() == [2.0, 1.0]


def test_relations_apart_and_one_row_per_triple():
    data = world(3)
    report = evaluate_triples(Table(np.random.default_rng(0).random((3, 9, 9))), data)
    told = report.details["relations"]
    assert [part["triples"] for part in told] == sorted(
        (part["triples"] for part in told), reverse=True
    )
    assert (
        sum(part["triples"] for part in told)
        == report.details["triples"]
        == report.per_user.height
        == len(data.held_triples["test"])
    )
    mean = sum(part["mrr"] * part["triples"] for part in told) / report.details["triples"]
    assert mean == pytest.approx(report.metrics["mrr"])
    assert report.per_user["mrr"].mean() == pytest.approx(report.metrics["mrr"])
    h, r, t = data.held_triples["test"][0]
    assert report.per_user["triple"][0] == f"e{h}\tr{r}\te{t}"
    assert report.to_dict()["metrics"]["hits@10"] == report.metrics["hits@10"]
    assert report.to_dict()["protocol"] == "triples"


def test_chunks_change_nothing(monkeypatch):
    data = world(1)
    table = Table(np.random.default_rng(1).random((3, 9, 9)))
    whole = evaluate_triples(table, data)
    monkeypatch.setattr("kgrec.evaluation.triples.chunk_rows", lambda columns, device: 2)
    assert evaluate_triples(table, data).per_user.equals(whole.per_user)


def test_nothing_to_judge_and_nothing_to_judge_by():
    data = worlds.knowledge_only([(0, 0, 1)], 3, 1, {"test": [(1, 0, 2)]})
    table = Table(np.zeros((1, 3, 3)))
    assert isinstance(table, TripleScorer)
    with pytest.raises(DataError, match=r"no valid triples\. .*--triple-ratios"):
        evaluate_triples(table, data, "valid")
    with pytest.raises(ConfigError, match="train"):
        evaluate_triples(table, data, "train")
    with pytest.raises(ConfigError, match="cutoffs"):
        evaluate_triples(table, data, ks=(0,))
    with pytest.raises(DivergedError, match="not a number"):
        evaluate_triples(Table(np.full((1, 3, 3), np.nan)), data)


def test_names_by_which_training_may_stop():
    assert [triple_metric(name) for name in ("mrr", "hits@10")] == [0, 10]
    assert [
        triple_metric(name)
        for name in ("mrr@10", "hit@10", "hits@0", "hits", "mean_rank", "ndcg@10")
    ] == [None] * 6
