"""Evaluate a model of triples on held-out ones: where the true tail and the true head rank among all
entities.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import DataError, DivergedError
from kgrec.evaluation.metrics import check_cutoffs
from kgrec.evaluation.report import Report, check_part
from kgrec.models.base import TripleScorer
from kgrec.ops.ranking import chunk_rows, mask_seen_

HITS = (1, 3, 10)


def triple_metric(name: str) -> int | None:
    """Return the cutoff of a metric of triples by which training may be stopped: ``hits@k`` has k,
    ``mrr`` 0; None for other names.
    """
    plain, _, cut = name.partition("@")
    if name == "mrr":
        return 0
    if plain == "hits" and cut.isdigit() and int(cut) > 0:
        return int(cut)

    return None


@torch.inference_mode()
def evaluate_triples(
    scorer: TripleScorer,
    dataset: Dataset,
    on: str = "test",
    ks: Iterable[int] = HITS,
    *,
    model: str | None = None,
    device: torch.device | str = "cpu",
) -> Report:
    """Rank every entity as the tail and as the head of each held-out triple, and report the means.

    Filtered: other entities that make a triple of the training, validation or test part are no
    candidates. Of equal scores a triple gets the average rank, so that a model that says nothing
    ranks in the middle. Questions go in chunks: memory does not grow with their number.

    Metrics are ``mrr``, ``mean_rank`` (1 is best) and ``hits@k``, over both questions. ``details``
    has their number, the metrics of each question, and of each relation, most triples first;
    ``per_user`` has one row per triple.

    Args:
        scorer: What scores triples, on ``device``.
        dataset: Where the triples are.
        on: "test" or "valid".
        ks: Cutoffs of ``hits@k``, each at least 1.
        model: Name for the report.
        device: Where it computes.

    Raises:
        ConfigError: If ``on`` or a cutoff is unknown.
        DataError: If the dataset holds out no triples.
        DivergedError: If a score is not a number.

    Source: Bordes et al., TransE, NIPS 2013, Section 4.2 ("filtered"); average ranks of ties,
    docs/metrics.md, section 7.
    """
    check_part(on)
    cutoffs = check_cutoffs(ks)
    held = dataset.held_triples.get(on)
    if held is None or not len(held):
        raise DataError(
            f"{dataset.name} holds out no {on} triples. Build it with --triple-ratios, for "
            "instance 0.8,0.1,0.1."
        )

    head, relation, tail = torch.from_numpy(held.astype(np.int64)).to(device).unbind(1)
    known = torch.from_numpy(_known(dataset)).to(device)
    answers = _Answers(known, dataset.num_entities), _Answers(known.flip(1), dataset.num_entities)
    tails = _ranks(
        lambda rows: scorer.score_tails(head[rows], relation[rows]),
        answers[0],
        head,
        relation,
        tail,
    )

    heads = _ranks(
        lambda rows: scorer.score_heads(relation[rows], tail[rows]),
        answers[1],
        tail,
        relation,
        head,
    )
    ranks = torch.stack([tails, heads]).cpu().numpy()
    values = _values(ranks, cutoffs)
    per_triple = {name: value.mean(0) for name, value in values.items()}

    return Report(
        model=model,
        split=on,
        users=0,
        metrics=_means(per_triple),
        per_user=pl.DataFrame(
            {
                "triple": _keys(held, dataset),
                "tail_rank": ranks[0],
                "head_rank": ranks[1],
                **per_triple,
            }
        ),
        protocol="triples",
        details={
            "triples": len(held),
            "entities": dataset.num_entities,
            "tails": _means({name: value[0] for name, value in values.items()}),
            "heads": _means({name: value[1] for name, value in values.items()}),
            "relations": _by_relation(held[:, 1], per_triple, dataset),
        },
    )


def _known(dataset: Dataset) -> np.ndarray:
    own = np.stack([dataset.triples.head, dataset.triples.relation, dataset.triples.tail], 1)
    return np.concatenate([own, *dataset.held_triples.values()]).astype(np.int64)


class _Answers:
    """The known third members of every (first, relation), sorted once.

    Args:
        triples: First, relation and third members; repeats count once.
        num_entities: Number of entities.
    """

    def __init__(self, triples: Int[Tensor, "edges 3"], num_entities: int) -> None:
        self._width = num_entities
        self._num_relations = 1 + int(triples[:, 1].max())
        keys = torch.unique(
            (triples[:, 0] * self._num_relations + triples[:, 1]) * num_entities + triples[:, 2]
        )
        self._pairs = keys // num_entities
        self._third = keys % num_entities

    def of(
        self, first: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> tuple[Int[Tensor, " _"], Int[Tensor, " _"]]:
        """Return the answers of each pair as one list, and where each pair's begin and the last
        ends.
        """
        pair = first * self._num_relations + relation
        start = torch.searchsorted(self._pairs, pair)
        sizes = torch.searchsorted(self._pairs, pair, right=True) - start
        ptr = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
        offset = torch.arange(int(ptr[-1]), device=ptr.device) - torch.repeat_interleave(
            ptr[:-1], sizes
        )
        return self._third[torch.repeat_interleave(start, sizes) + offset], ptr


def _ranks(
    score: Callable[[Tensor], Tensor],
    answers: _Answers,
    first: Int[Tensor, " batch"],
    relation: Int[Tensor, " batch"],
    target: Int[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """Return the filtered rank of each target, from 1; equal scores share their average rank."""
    ranks = []
    for rows in torch.split(
        torch.arange(len(first), device=first.device), chunk_rows(answers._width, first.device)
    ):
        scores = score(rows).clone()
        at = target[rows].unsqueeze(1)
        own = scores.gather(1, at)

        if bool(scores.isnan().any()):
            raise DivergedError(
                "the score of a triple is not a number. The model has diverged; lower its "
                "learning rate."
            )

        third, ptr = answers.of(first[rows], relation[rows])
        mask_seen_(scores, ptr, third)
        ranks.append(
            1 + _count(scores > own) + 0.5 * _count((scores == own) & (scores > -torch.inf))
        )

    return torch.cat(ranks)


def _count(cells: Bool[Tensor, "batch entities"]) -> Float[Tensor, " batch"]:
    return cells.sum(1).double()


def _values(ranks: np.ndarray, cutoffs: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {"mrr": 1 / ranks, "mean_rank": ranks} | {
        f"hits@{k}": (ranks <= k).astype(np.float64) for k in cutoffs
    }


def _means(values: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(value.mean()) for name, value in values.items()}


def _keys(held: np.ndarray, dataset: Dataset) -> list[str]:
    entities = dataset.triples.entities
    relations = dataset.triples.relations
    columns = entities.keys(held[:, 0]), relations.keys(held[:, 1]), entities.keys(held[:, 2])
    return ["\t".join(triple) for triple in zip(*columns, strict=True)]


def _by_relation(
    relation: np.ndarray, per_triple: dict[str, np.ndarray], dataset: Dataset
) -> list[dict[str, Any]]:
    rows, counts = np.unique(relation, return_counts=True)
    return [
        {"relation": dataset.triples.relations.key(rows[at]), "triples": int(counts[at])}
        | _means({name: value[relation == rows[at]] for name, value in per_triple.items()})
        for at in np.lexsort((rows, -counts))
    ]
