from dataclasses import replace

import pytest
import torch

from kgrec.errors import ConfigError
from kgrec.evaluation.ctr import evaluate_ctr
from kgrec.evaluation.impressions import evaluate_impressions
from kgrec.evaluation.report import evaluate
from kgrec.evaluation.validation import validator
from kgrec.models.base import DotProduct
from kgrec.testing import worlds


@pytest.fixture(scope="module")
def board():
    return worlds.news_board()


def scorer(data):
    generator = torch.Generator().manual_seed(0)
    return DotProduct(
        torch.randn(data.num_users, 4, generator=generator),
        torch.randn(data.num_items, 4, generator=generator),
    )


@pytest.mark.parametrize("metric", ["auc", "ndcg@10", "ndcg@3"])
def test_lists_that_were_shown_come_first(board, metric):
    expected = evaluate_impressions(scorer(board), board, on="valid", ks=(3, 10)).metrics[metric]
    assert validator(metric, board)(scorer(board)) == expected


def test_other_metrics_rank_the_catalog(board):
    plain = replace(board, impressions={})
    for metric, data in (("recall@10", board), ("ndcg@10", plain), ("ndcg-retrieved@10", board)):
        judged = evaluate(
            scorer(data), data, on="valid", ks=(10,), metrics=(metric.partition("@")[0],)
        )
        assert validator(metric, data)(scorer(data)) == judged.metrics[metric]


def test_auc_without_lists_is_of_pairs(board):
    plain = replace(board, impressions={})
    assert (
        validator("auc", plain)(scorer(plain))
        == evaluate_ctr(scorer(plain), plain, on="valid").metrics["auc"]
    )


@pytest.mark.parametrize("metric", ["ndcg", "ndcg@0", "ndcg@ten", "nothing@10", "auc@5", "mrr"])
def test_what_cannot_be_measured_is_refused(board, metric):
    with pytest.raises(ConfigError):
        validator(metric, board)
