"""Run: a fitted model with its ids, graph and facts. ``kgrec.runs.fit.fit`` makes one, ``load_run``
opens one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool
from torch import Tensor

from kgrec.batches import Query
from kgrec.data.io.writing import beside, discard, write_whole
from kgrec.data.readers.new_items import read_new_items
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.ids import Id, Ids, id_list, known_rows, one_id, some_of
from kgrec.data.storage import open_dataset
from kgrec.errors import (
    CapabilityError,
    CheckpointError,
    ConfigError,
    DataError,
    KgrecError,
    UnknownIdError,
    nearest,
)
from kgrec.evaluation.ctr import evaluate_ctr
from kgrec.evaluation.impressions import evaluate_impressions
from kgrec.evaluation.next_items import evaluate_next_items
from kgrec.evaluation.prices import Price, prices
from kgrec.evaluation.ranking import Lists
from kgrec.evaluation.rating import evaluate_ratings
from kgrec.evaluation.report import Report, evaluate, known_part, relevant_pairs
from kgrec.evaluation.sampled import evaluate_sampled
from kgrec.evaluation.triples import HITS, evaluate_triples
from kgrec.explanation.core.placebos import Placebos
from kgrec.explanation.core.records import Explanation
from kgrec.explanation.core.training_effects import TrainingEffects
from kgrec.explanation.explainer import Explainer
from kgrec.explanation.placebo import estimate_placebos
from kgrec.explanation.training.effects import Refits, Retrained, effects_through_training
from kgrec.explanation.training.worth import worth_of
from kgrec.log import logger
from kgrec.models.base import (
    SCORE_FUNCTIONS,
    DotProduct,
    ItemToItem,
    Recommender,
    Scorer,
    VectorScorer,
    reads_history,
)
from kgrec.models.blend import Blend, BlendConfig
from kgrec.models.capabilities import Refittable
from kgrec.models.catalog import import_class
from kgrec.models.factorization.placed import Placed, PlacedConfig
from kgrec.models.fallback import FallbackChoice, Served, served
from kgrec.models.folding import folding
from kgrec.notebook import html_table
from kgrec.ops.ranking import topk_scores
from kgrec.ops.reranking import Wishes
from kgrec.ops.rows import unit_rows
from kgrec.ops.strangers import KINDS
from kgrec.process import refuse_after_fork
from kgrec.random import derive
from kgrec.runs.card import CARD, model_card
from kgrec.runs.folder import (
    CHECKPOINT,
    CONFIG,
    DATA,
    DONE,
    RECEIPTS,
    REFIT_DATA,
    STATE,
    WEIGHTS,
    find_dataset,
    identity,
    read_config,
    read_placebos,
    record_of,
    refuse_foreign,
    seen_from,
    write_config,
    write_data,
    write_placebos,
)
from kgrec.runs.newcomers import Joined, Trained, join, log_of
from kgrec.runs.ranker import Ranked, Ranker
from kgrec.runs.reranker import Reranker
from kgrec.runs.retraining import EPOCHS, Retraining
from kgrec.runs.settings import Chosen, blended, choose, pinned, placed_in, restore
from kgrec.training.checkpoint import read_state, read_tensors, write_state, write_tensors
from kgrec.training.config import TEST_SELECTED, TrainConfig
from kgrec.training.loop import TrainState, snapshot
from kgrec.training.streams import global_stream

SCOPES = ("inference", "training")
PROTOCOLS = ("ranking", "ctr", "rating", "impressions", "sampled", "next-item", "triples")


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of a run, and which function of them is its score.

    Attributes:
        frames: Tables with the columns ``id`` and ``vector`` by name, of users and items also
            ``known``, which is false where training has taught the model nothing, so that nothing is
            to be ranked by the vector: those of ``Run.embeddings``, and where the model has them
            ``relations_inverse`` (by the relation that they are the inverse of), ``interacts`` (the
            relation of users to items, one row), and ``score_users`` and ``score_items`` where the
            score is no function of ``users`` and ``items`` as they are.
        function: Name in ``kgrec.models.base.SCORE_FUNCTIONS``; it takes a row of the table
            ``users`` and one of ``items``.
        users: Name of the table of users that the score is made of.
        items: Name of the table of items.
    """

    frames: dict[str, pl.DataFrame]
    function: str
    users: str
    items: str

    def to_dict(self) -> dict[str, Any]:
        """Return what is said of the score, JSON-ready."""
        if self.items in self.frames:
            items = self.frames[self.items]["vector"].to_numpy()
        else:
            items = np.empty((0, 1))

        unit = bool(np.allclose(np.linalg.norm(items, axis=1), 1.0, atol=1e-4)) and len(items) > 0
        ranks_as = self.function
        if unit and self.function == "inner_product":
            ranks_as = "cosine"

        return {
            "function": self.function,
            "formula": SCORE_FUNCTIONS[self.function],
            "users": self.users,
            "items": self.items,
            "ranks_as": ranks_as,
            "left_out": "what the user has in the training and validation parts, and items whose "
            "column known is false",
        }


@dataclass(slots=True, repr=False)
class Run:
    """A fitted model and what it was fitted on. Ids in and out are the caller's own.

    Attributes:
        name: Model name.
        model: The model, with its best parameters.
        data: The dataset; of a loaded run, what the run keeps of it: training and validation, no
            test part.
        chosen: Every setting.
        seed: Seed of every draw.
        history: One record per epoch.
        summary: The form of ``kgrec train --json``.
        dataset: Name, path and checksum of the dataset it was trained on.
        refit: Whether it was trained once more on all interactions, so that nothing is held out.
        path: Folder it is stored in, or None.
        fallback: How users without usable history are answered.
    """

    name: str
    model: Recommender
    data: Dataset
    chosen: Chosen
    seed: int
    history: list[dict[str, Any]]
    summary: dict[str, Any]
    dataset: dict[str, Any]
    refit: bool = False
    path: Path | None = None
    fallback: FallbackChoice = field(default_factory=FallbackChoice)
    _scorer: Scorer | None = None
    _ranker: Ranker | None = None
    _reranker: Reranker | None = None
    _texts: tuple[np.ndarray, np.ndarray] | None = None
    _explainers: dict[str, Explainer] = field(default_factory=dict)
    _placebos: Placebos | None = None
    _given: "Dataset | str | PathLike[str] | None" = None
    _retraining: tuple[int, Retrained] | None = None
    _receipts: bytes | None = None

    def __repr__(self) -> str:
        """Return a short description."""
        return f"Run({self.name} on {self.data.name}, {len(self.history)} epochs)"

    def _repr_html_(self) -> str:
        rows: dict[str, Any] = {
            "dataset": self.data.name,
            "epochs": len(self.history),
            "best epoch": self.summary.get("best_epoch"),
            "seed": self.seed,
            "folder": self.path,
        }
        metric = self.train_config.metric
        validated = self.summary.get("valid") or {}  # None where no one is held out
        if metric in validated:
            rows[f"{metric}, validation"] = validated[metric]
        settings = {f.name: str(getattr(self.config, f.name)) for f in fields(self.config)}
        return html_table(self.name, ("", ""), (rows | settings).items())

    @property
    def config(self) -> Any:
        """The model's configuration."""
        return self.chosen.config

    @property
    def train_config(self) -> TrainConfig:
        """The training settings."""
        return self.chosen.train

    def scorer(self) -> Scorer:
        """Return the snapshot that ranks; computed once."""
        if self._scorer is None:
            found = snapshot_scorer(self.model)
            with torch.inference_mode():
                self._scorer = folding(self.model, found, self.data, self.config)
        return self._scorer

    def evaluate(
        self,
        on: Literal["test", "valid"] = "test",
        k: Sequence[int] | None = None,
        *,
        protocol: str = "ranking",
        metrics: Sequence[str] | None = None,
        beyond: bool = False,
        negatives: int = 100,
        seed: int = 0,
        legacy_batch: int | None = None,
        fallback: bool = True,
        dataset: "Dataset | str | PathLike[str] | None" = None,
        **wishes: Any,
    ) -> Report:
        """Return the metrics on a held-out part.

        Users whom the model does not know are ranked for by the run's fallback, as in
        ``recommend``; the report says how many they are and gives the figures without them. In
        "ctr" and "impressions", pairs that the model does not know have the score 0.

        Args:
            on: "test" or "valid".
            k: Cutoffs of ranking metrics; None takes 10 and 20, of "impressions" 5 and 10.
            protocol: "ranking" (every item for every user), "ctr" (is a pair an interaction?),
                "rating" (how far are predicted ratings off?),
                "impressions" (lists that were shown), "sampled" (each held-out item among a few
                sampled ones), "next-item" (each after those before it), or "triples" (the missing end of held-out triples).
            metrics: Of "ranking": names without the cutoff; None takes recall, ndcg, precision,
                hit, mrr, map and coverage. Another is "ndcg-retrieved", the NDCG of KGAT's and
                NGCF's own code.
            beyond: Of "ranking": also say what the lists are worth beyond their hits.
            negatives: Of "sampled": items drawn per held-out item.
            seed: Seed of sampled negatives.
            legacy_batch: Of "ctr": average over mini-batches of so many rows, as some published
                code does.
            fallback: Of "ranking", "sampled" and "next-item": False leaves the fallback out; items then tie for
                users whom the model does not know.
            dataset: The dataset that a loaded run was trained on, or its folder, where it is no
                longer where it was; checked by its sum.
            wishes: Of "ranking": settings of lists, as of ``recommend``: ``diversity``, ``most``, ...
                ``prices`` of the report has what each costs in hits beside the plain lists, with
                intervals, and what it buys.

        Raises:
            ConfigError: If the protocol is unknown, or a setting out of range.
            DataError: If the run was refit on everything, so that nothing is held out; or if
                nothing is there to evaluate by.
            CheckpointError: If the dataset has moved or changed since (loaded runs).
        """
        if self.refit:
            raise DataError(
                f"{self._where()} was refit on all interactions: nothing is held out. Its "
                "summary has the figures before."
            )

        wanted = Wishes.of(wishes)
        if dataset is not None:
            self._given = dataset

        _check_protocol(protocol, metrics, wanted, fallback)
        if protocol == "triples" or (protocol == "ranking" and not len(self.data.train)):
            return self._evaluate_triples(on, tuple(k or ()))

        data = self._evaluated_on(on, protocol)
        ks = tuple(k or ((5, 10) if protocol == "impressions" else (10, 20)))

        if protocol in ("ctr", "impressions", "rating"):
            scorer = served(self.model, self.scorer(), self.data, cold=0.0)
            report = self._evaluate_pairs(protocol, scorer, data, on, ks, seed, legacy_batch)
        else:
            scorer = served(
                self.model, self.scorer(), self.data, self.fallback if fallback else None
            )
            if protocol == "sampled":
                report = evaluate_sampled(
                    scorer, data, on, ks, negatives=negatives, seed=seed, model=self.name
                )
            elif protocol == "next-item":
                report = evaluate_next_items(scorer, data, on, ks, model=self.name)
            else:
                report = evaluate(
                    scorer, data, on=on, ks=ks, metrics=metrics, model=self.name, beyond=beyond
                )
                if wanted:
                    report = replace(report, prices=self._prices(data, on, ks, wanted))

        return replace(report, **self._about(report, scorer, data, on))

    def _prices(
        self, data: Dataset, on: str, ks: tuple[int, ...], wishes: Wishes
    ) -> tuple[Price, ...]:
        """Return what each wish costs and buys."""
        known = known_part(data, on)
        relevant, _ = relevant_pairs(data, on, known)
        rows = np.unique(relevant // data.num_items)
        own = Lists.of(known, rows)
        length = min(max(ks), data.num_items)

        def rank(part: slice, length: int, allowed: Tensor | None) -> Ranked:
            return self.ranker().rank(rows[part], own.cut(part), length, allowed=allowed)

        lists = {"plain": rank(slice(None), length, None).items}
        for name, one in wishes.each().items():
            lists[name] = self.reranker().rerank(rank, own, length, one).items

        return prices(lists, relevant, data, ks)

    def _evaluate_pairs(
        self,
        protocol: str,
        scorer: Scorer,
        data: Dataset,
        on: Literal["test", "valid"],
        ks: tuple[int, ...],
        seed: int,
        legacy_batch: int | None,
    ) -> Report:
        if protocol == "ctr":
            return evaluate_ctr(
                scorer, data, on, seed=seed, legacy_batch=legacy_batch, model=self.name
            )
        if protocol == "impressions":
            return evaluate_impressions(scorer, data, on, ks, model=self.name)

        # What the model does not know gets the mean rating, or the model's own answer to it.
        predicts = self.model.predicts_ratings
        known = None
        if not predicts:
            known = self.model.can_rank(self.data)

        return evaluate_ratings(
            self.scorer(), data, on, predicts=predicts, known=known, model=self.name
        )

    def _about(self, report: Report, scorer: Scorer, data: Dataset, on: str) -> dict[str, Any]:
        """Return notes and details on what the figures rest on: a choice by the test part, answers
        for strangers, facts without dates.
        """
        notes = list(report.notes)
        details = dict(report.details)

        if self.train_config.test_selected:
            reason = (
                f"the epoch was chosen by {self.train_config.metric} on the test part. "
                "Compare with published figures alone."
            )
            notes.insert(0, f"Test-selected: {reason}")
            details["selection"] = TEST_SELECTED

        if report.cold_users and isinstance(scorer, Served):
            rows = data.users.rows(report.per_user["user"].to_list())[
                report.per_user["cold"].to_numpy()
            ]
            own = Lists.of(known_part(data, on), rows)
            counts = torch.bincount(
                scorer.kinds(Query(torch.from_numpy(rows), *own.padded(0, len(rows)))),
                minlength=len(KINDS),
            )
            details["cold_users_by_kind"] = {
                kind: int(count) for kind, count in zip(KINDS, counts, strict=True) if count
            }

            if scorer.fallback is None:
                notes.append(
                    "The fallback is off: where the model knows nothing of a user, all items tie."
                )
            else:
                counts_text = ", ".join(
                    f"{kind} {count:,}" for kind, count in details["cold_users_by_kind"].items()
                )
                notes.append(f"What users without training interactions get: {counts_text}.")

        if data.settings.get("split") == "temporal" and len(data.triples):
            notes.append(
                "The facts and links carry no dates: some may be newer than the moment at which "
                "training ends."
            )

        return {"notes": tuple(notes), "details": details}

    def _evaluate_triples(self, on: str, ks: tuple[int, ...]) -> Report:
        scorer = self.model.triple_scorer()
        if scorer is None:
            raise CapabilityError(
                f"{self.name} does not score triples. Train transe, distmult, complex or rotate."
            )

        return evaluate_triples(
            scorer, self._evaluated_on(on, "triples"), on, (*HITS, *ks), model=self.name
        )

    def ranker(self) -> Ranker:
        """Return what makes the lists; made once."""
        if self._ranker is None:
            self._ranker = Ranker(self.model, self.scorer(), self.data, self.fallback)
        return self._ranker

    def reranker(self) -> Reranker:
        """Return what orders lists by more than scores; made once."""
        if self._reranker is None:
            self._reranker = Reranker(self.data, self.scorer())
        return self._reranker

    def recommend(
        self,
        users: Ids | None = None,
        k: int = 10,
        *,
        history: Ids | None = None,
        items: Ids | None = None,
        exclude: Ids = (),
        allow_seen: bool = False,
        on_unknown: str = "error",
        diversity: float = 0.0,
        diversity_by: str = "auto",
        popularity: float = 0.0,
        calibrate: bool = False,
        new_items: float = 0.0,
        most: Mapping[str, int] | None = None,
    ) -> pl.DataFrame:
        """Return the best items: columns ``user``, ``rank`` (from 1), ``item``, ``label``,
        ``score``, ``kind``.

        ``kind`` says where a place comes from: "personal" (the model, trained on the user),
        "history" (the model, by a history), "content" (attributes that are shared) or "popular".
        Users without usable history get the run's fallback, and so do places at a list's end for
        which the model knows no further candidate.

        Items a user has (training and validation) are left out unless ``allow_seen``. Of equal
        scores the more popular item is first, then the lower id. A user with fewer candidates than
        ``k`` gets fewer rows.

        Ids are text or whole numbers, one or many: a list, an array, a column of a frame.

        Args:
            users: User ids, one id, or "all".
            k: Items per user, at least 1.
            history: Item ids of someone unseen, instead of ``users``; needs a model that reads
                histories. With one user, the new interactions of that user.
            items: Only these items are candidates.
            exclude: These items are not.
            allow_seen: Whether items that the user has are candidates.
            on_unknown: What to do about ids that are not in the data: "error", or "ignore" them and
                say so in the log.
            diversity: 0 to 1: how much an item that is like those above it loses. This and what
                follows is explained at ``kgrec.ops.reranking.Wishes``; ``evaluate`` says what it
                costs.
            diversity_by: "vectors", "facts", or "auto": vectors where the model has them.
            popularity: -1 to 1: above 0 popular items lose, below 0 they gain.
            calibrate: Draw lists to the mixture of popular and rare items that the person has, by
                the weight ``popularity``.
            new_items: 0 to 1: least share of places for items without a training interaction.
            most: Most items per value of a facet, for instance ``{"brand": 2}``.

        Raises:
            UnknownIdError: If a user or item is not known, or nothing is left of a list without
                those that are not.
            CapabilityError: If the model cannot rank for someone unseen, or nothing is there to
                compare items by.
        """
        if k < 1:
            raise ConfigError(f"k={k}: ask for at least 1 item.")
        wishes = Wishes(diversity, diversity_by, popularity, calibrate, new_items, most or {})
        if users is None and history is None:
            raise ConfigError("give users or a history.")
        if on_unknown not in ("error", "ignore"):
            raise ConfigError(f'on_unknown={on_unknown!r}: take "error" or "ignore".')

        ranker = self.ranker()
        allowed = self.candidates(items, exclude, on_unknown)
        rows, own = self._people(users, history, on_unknown)
        update = users is not None and history is not None
        names = [""]
        if users is not None:
            names = self.data.users.keys(rows)

        def rank(part: slice, length: int, allowed: Tensor | None) -> Ranked:
            shown: dict[str, Any] = {"allowed": allowed, "allow_seen": allow_seen}
            if update:
                return ranker.rank_updated(int(rows[0]), own, length, **shown)
            return ranker.rank(rows[part], own.cut(part), length, **shown)

        length = min(k, self.data.num_items)
        if wishes:
            ranked = self.reranker().rerank(rank, own, length, wishes, allowed)
        else:
            ranked = rank(slice(None), length, allowed)

        if self.fallback.way == "off":
            self._tell_strangers(names, ranked)

        return self._frame(names, ranked)

    def candidates(
        self, items: Ids | None, exclude: Ids, on_unknown: str
    ) -> Bool[Tensor, " items"] | None:
        """Return which items may be shown, as ``recommend`` is told; None where all may.

        Raises:
            UnknownIdError: If an id is not known, or nothing is left of ``items`` without those.
        """
        if items is None and isinstance(exclude, tuple) and not exclude:
            return None

        allowed = torch.full((self.data.num_items,), items is None)
        if items is not None:
            allowed[known_rows(self.data.items, items, on_unknown)] = True

        allowed[known_rows(self.data.items, exclude, on_unknown, empty=True)] = False
        return allowed

    def _people(
        self, users: Ids | None, history: Ids | None, on_unknown: str
    ) -> tuple[np.ndarray, Lists]:
        """Return the rows of whom lists are for, -1 for someone unseen, and what each has."""
        if users is None:
            return np.array([-1]), self._own_list(() if history is None else history, on_unknown)

        rows = self._user_rows(users, on_unknown)
        own = self.ranker().own_lists(rows)
        if history is None:
            return rows, own
        if len(rows) != 1:
            raise ConfigError(
                f"a history belongs to one user, not {len(rows):,}. Pass one at a time."
            )

        return rows, self._with_new(own, history, on_unknown)

    def _with_new(self, had: Lists, history: Ids, on_unknown: str) -> Lists:
        """Return what one user has with new items behind it, in their order."""
        new = known_rows(self.data.items, history, on_unknown, empty=True)
        old = had.items.numpy()
        fresh = dict.fromkeys(new[~np.isin(new, old)].tolist())
        own = torch.from_numpy(np.concatenate([old, np.array(list(fresh), dtype=old.dtype)]))
        return Lists(torch.tensor([0, len(own)]), own)

    def _tell_strangers(self, names: list[str], ranked: Ranked) -> None:
        empty = np.flatnonzero((ranked.kinds.numpy() < 0).all(1)).tolist()
        if empty:
            logger.warning(
                "%s",
                f"no list for {some_of([names[row] for row in empty])}: no usable history, and the "
                "fallback is off.",
            )

    def similar_items(self, item: Id, k: int = 10) -> pl.DataFrame:
        """Return the items nearest to an item: columns ``rank``, ``item``, ``label``, ``score``.

        Near is the cosine between item vectors; of models from item to item, the score for someone
        who used this item alone. Items that training has not touched are neither asked about nor
        shown.

        Raises:
            UnknownIdError: If the item is not known.
            CapabilityError: If the model has neither, or has learned nothing about the item.
        """
        row = self.data.items.row(one_id(item))
        scorer = self.scorer()
        known = self.ranker().known

        if isinstance(scorer, ItemToItem):
            scores = scorer.similar(row)
        elif isinstance(scorer, DotProduct) and scorer.items.shape[1] >= 2:
            vectors = unit_rows(scorer.items)
            scores = vectors @ vectors[row]
        else:
            raise CapabilityError(
                f"{self.name} has no item vectors to compare. Train bprmf, lightgcn, lightgcn-kg "
                "or kgat."
            )

        if not bool(known[row]):
            raise CapabilityError(
                f"{self.name} has learned nothing about item {one_id(item)!r}: no training "
                "interaction, and nothing else that it reads. "
                "Ask for another item, or train a model that uses the graph."
            )

        scores = scores.masked_fill(~known, -torch.inf)
        scores[row] = -torch.inf
        order = self.ranker().order
        best, at = topk_scores(scores[order].unsqueeze(0), min(k, self.data.num_items))
        found = torch.where(at < 0, -1, order[at.clamp(min=0)])
        frame = self._frame([""], Ranked(found.cpu(), best.cpu(), torch.zeros_like(found)))
        return pl.DataFrame(
            [frame[name] for name in ("rank", "item", "label", "score")]
        )  # drop would hang after a fork

    def explain(
        self,
        user: Id | None = None,
        item: Id | None = None,
        k: int = 10,
        *,
        history: Ids | None = None,
        on_unknown: str = "error",
        scope: str = "inference",
        **settings: Any,
    ) -> Explanation:
        """Return why an item is ranked where it is for a user; settings are those of ``Explainer``,
        which is kept for the next call.

        Args:
            user: User id; None with a ``history`` is someone the model never saw.
            item: Item id; None is the first of the list.
            k: Most paths.
            history: Item ids that the user has besides (``Explainer.with_history``).
            on_unknown: What to do about ids in ``history`` that are not in the data: "error", or
                "ignore" them and say so in the log.
            scope: "inference", or "training": also what the score would be had each path's like or
                facts never been in the data (``Explanation.training``).
            settings: Of ``Explainer``.

        Raises:
            ConfigError: If a setting is out of range.
            CapabilityError: If the model has no effects through training.
        """
        if scope not in SCOPES:
            raise ConfigError(
                f"scope={scope!r} is not known. Choose from {', '.join(SCOPES)}."
                f"{nearest(scope, SCOPES)}"
            )

        key = ""  # a matrix has no telling name
        if "seen" not in settings:
            key = repr(sorted(settings.items()))
        if key not in self._explainers or not key:
            self._explainers[key] = self.explainer(**settings)

        explainer = self._explainers[key]
        explanation = explainer.explain(user, item, k, history=history, on_unknown=on_unknown)
        if scope == "training":
            return self.effects_through_training(explanation)

        return explanation

    def effects_through_training(
        self, explanation: Explanation, *, epochs: int | None = None
    ) -> Explanation:
        """Return an explanation of this run with the effects of its paths through training.

        What the score would be had a path's like, its facts, or both never been in the data: of a
        model that is ``Refittable``, and of others in closed form, exactly; of networks an
        estimate, by training on from where they are with and without, and what it is worth.

        Args:
            explanation: An explanation of this run.
            epochs: How long a network is trained on; None takes ``retraining.EPOCHS``, by which the
                worth was measured.

        Raises:
            CapabilityError: If the model has no effects through training.
        """
        return replace(explanation, training=self._through_training(explanation, epochs))

    def _through_training(self, explanation: Explanation, epochs: int | None) -> TrainingEffects:
        epochs = epochs or EPOCHS
        worth = worth_of(self.name, self.data.name)
        return effects_through_training(
            explanation, self.data, self._retrained(epochs), worth, epochs
        )

    def _retrained(self, epochs: int) -> Retrained:
        """Return what scores without parts of the data; the last one is kept."""
        if self._retraining is None or self._retraining[0] != epochs:
            effects = self.model.explanation_effects()
            found: Retrained

            if isinstance(effects, Refittable):
                found = Refits(effects)
            else:
                chosen = pinned(self.chosen, self.model.settled())
                found = Retraining(
                    lambda data, seed: build_model(chosen, data, seed),
                    self.data,
                    self.train_config,
                    self.seed,
                    start=dict(self.model.state_dict()),
                    epochs=epochs,
                    title=self.name,
                )

            self._retraining = epochs, found

        return self._retraining[1]

    def explainer(self, **settings: Any) -> Explainer:
        """Return a new explainer over this run; keep it for many explanations."""
        explainer = self._plain_explainer(**settings)
        explainer.search.placebos = self._placebos_for(explainer)
        return explainer

    def _plain_explainer(self, **settings: Any) -> Explainer:
        found = Explainer(self.model, self.data, self.scorer(), model_name=self.name, **settings)
        found.training_effects = self._through_training
        found.remarks = self._newcomer_remarks
        return found

    def _newcomer_remarks(self, explanation: Explanation) -> tuple[str, ...]:
        """Return what is to be said of a user or an item that was placed after the training."""
        newcomers = self.model.newcomers()
        if newcomers is None:
            return ()

        found = []
        row = self.data.items.row(explanation.item)
        if newcomers.items[row]:
            near = [self.data.item_label(one) for one in newcomers.near[row] if one >= 0]
            by = "those who used it first"
            if near:
                by = f"its facts, near {', '.join(near)}"

            found.append(
                f"{explanation.item_label} was placed by {by}; no training has seen it. Paths "
                "connect, and say nothing of causes."
            )
        user = self.data.users.get(explanation.user)
        if user is not None and newcomers.users[user]:
            found.append("The user was folded in after the training, by the items alone.")
        return tuple(found)

    def placebos(self) -> Placebos | None:
        """Return what unrelated facts do to the scores, as ``estimate_placebos`` found it; None
        where it has not, or did for other parameters or another graph.
        """
        return self._placebos_for(self._plain_explainer())

    def _placebos_for(self, explainer: Explainer) -> Placebos | None:
        if self._placebos is None and self.path is not None:
            self._placebos = read_placebos(self.path)

        if self._placebos is None:
            return None

        manifest = explainer.manifest()
        if any(manifest.get(name) != value for name, value in self._placebos.sums.items()):
            logger.warning(
                "the placebos were estimated for other parameters or another graph, and are left "
                "out. Estimate them again: kgrec placebo RUN."
            )
            return None

        return self._placebos

    def estimate_placebos(self, users: int = 200, seed: int = 0) -> Placebos:
        """Estimate what unrelated facts of the same relations and degrees do to scores, and keep it
        with the run: explanations call facts a cause where they do more.

        Args:
            users: How many users are sampled, each with the first item of the list.
            seed: Draws users and placebos.
        """
        found = estimate_placebos(self._plain_explainer().search, users, seed)
        if self.path is not None:
            write_placebos(self.path, found)

        self._placebos = found
        self._explainers.clear()
        return found

    def embeddings(self) -> dict[str, pl.DataFrame]:
        """Return the vectors of users, items and (where the model has them) all entities and
        relations: columns ``id`` and ``vector``.

        ``vectors`` gives the same with the function of them that is the score. It is the inner
        product of a user's and an item's vector where the model does not say otherwise; entity
        vectors live in the space of the users'. Models of triples (transe and its kin) and cfkg
        give the vectors they were trained with, from which their own score functions make the
        scores.

        Raises:
            CapabilityError: If the model has no embeddings.
        """
        found = self._exported()
        return {
            name: found[name]
            for name in ("users", "items", "entities", "relations")
            if name in found
        }

    def vectors(self) -> Vectors:
        """Return the tables of ``embeddings`` with all that is needed to rank as the run does, and
        the function that does so.

        Raises:
            CapabilityError: If the model has no vectors.
        """
        frames = self._exported()
        scorer = self.scorer()
        if not isinstance(scorer, VectorScorer):
            raise CapabilityError(f"{self.name} has no fixed embeddings.")

        names = []
        for kind, keys, rows in (
            ("users", self.data.users, scorer.users),
            ("items", self.data.items, scorer.items),
        ):
            made = _vectors(keys.series, rows)
            name = kind
            if kind not in frames or not frames[kind].equals(made):
                name = f"score_{kind}"

            names.append(name)
            if len(rows):
                frames[name] = made

        known = self.model.can_rank(self.data)
        for table, known_of in (("users", known.users), ("items", known.items)):
            for name in {table, f"score_{table}"} & set(frames):
                frames[name] = pl.DataFrame(
                    [*frames[name].get_columns(), pl.Series("known", known_of)]
                )

        return Vectors(frames, scorer.function, *names)

    def _exported(self) -> dict[str, pl.DataFrame]:
        """Return all vectors of the model by the caller's ids; those of its scorer where it has no
        others.
        """
        ids = {
            "users": self.data.users.series,
            "items": self.data.items.series,
            "entities": self.data.triples.entities.series,
        }
        ids["relations"] = ids["relations_inverse"] = self.data.triples.relations.series
        ids["interacts"] = pl.Series(["interacts"])
        with torch.inference_mode():
            vectors = self.model.eval().export_vectors()

        if vectors is not None:
            # a model of interactions alone has a graph whose only entities are the items
            skipped = set()
            if len(vectors.get("entities", ())) != len(ids["entities"]):
                skipped.add("entities")

            return {
                name: _vectors(ids[name], rows)
                for name, rows in vectors.items()
                if len(rows) and name not in skipped
            }

        scorer = self.scorer()
        if not isinstance(scorer, DotProduct):
            raise CapabilityError(f"{self.name} has no fixed embeddings.")

        return {
            "users": _vectors(ids["users"], scorer.users),
            "items": _vectors(ids["items"], scorer.items),
        }

    def fold_in(self, users: object) -> "Run":
        """Return a run that has new users among its own: their vectors are folded in, everything
        else stays as it is.

        Their lists are of the kind "history"; nothing was trained on them. The run can be saved,
        served and explained (its paths connect, without a claim), and takes more newcomers.

        Args:
            users: Items by user id, ``{"u1": ["i1", "i2"]}``; or any table that
                ``read_interactions`` reads.

        Raises:
            CapabilityError: If the model's users are not vectors that can be folded in.
            ConfigError: If a user is known already.
            UnknownIdError: If an item is not known.
            DataError: If none of a user's items is known to the model.
        """
        log = log_of(users)
        self.data.items.rows(log["item"].unique(maintain_order=True).to_list())
        twice = [key for key in log["user"].unique(maintain_order=True) if key in self.data.users]
        if twice:
            raise ConfigError(
                f"{some_of(twice)}: known already. Ask for recommend(user, history=...), or update "
                "the run."
            )

        return self._with_newcomers(join(self.placed_among(), self.data, log))

    def add_items(
        self,
        items: object,
        *,
        item: str | None = None,
        ids: Ids | None = None,
        interactions: object | None = None,
        texts: Mapping[str, str] | None = None,
        quota: float | int | None = None,
    ) -> "Run":
        """Return a run that has new items among its own: placed by facts and texts as the known
        items lie by theirs, and drawn to those who used them first; everything else stays as it is.

        Their places in lists are of the kind "content".

        Args:
            items: A table of items, as ``triples_from_table`` reads it, whose columns are those of
                the dataset's own; or triples.
            item: Column of the ids of a table.
            ids: Which heads of triples are new items; None takes all that the data does not know.
            interactions: Who used them first: items by user id, or a table. Users that are not
                known are folded in.
            texts: Text by item id, where the dataset has texts.
            quota: Most places of lists that they may take, a share; None takes what as many items
                with 20 interactions or more have on average.

        Raises:
            CapabilityError: If the model's items are not vectors that can be placed.
            DataError: If none is new, or one has nothing to be placed by.
            ConfigError: If the quota is no share.
        """
        trained = self.placed_among()
        wanted = None
        if ids is not None:
            wanted = id_list(ids)

        new, facts = read_new_items(items, self.data, item=item, ids=wanted)
        log = None
        if interactions is not None:
            log = log_of(interactions)
            known = {*new}
            others = [key for key in log["item"].unique(maintain_order=True) if key not in known]
            self.data.items.rows(others)

        said = pl.Series("text", [(texts or {}).get(key) for key in new], dtype=pl.String)
        if quota is not None:
            quota = float(quota)
        return self._with_newcomers(join(trained, self.data, log, new, facts, said, quota))

    def in_place_of(self, other: "Run", *, receipts: bytes | None = None, **changes: Any) -> "Run":
        """Return this run as the next state of another one, whose receipts of people who were
        forgotten it takes along.

        Args:
            other: The run that it replaces.
            receipts: Those to hold instead.
            changes: Fields with other values.
        """
        if receipts is None:
            receipts = other._receipts

        made = replace(self, **changes)
        made._scorer = made._ranker = made._reranker = made._texts = None
        made._placebos = made._retraining = made._given = None
        made._explainers = {}
        made._receipts = receipts
        return made

    @property
    def receipts(self) -> bytes | None:
        """Receipts of people who were forgotten, as they are stored; None without."""
        return self._receipts

    def placed_among(self) -> Trained:
        """Return the vectors among which newcomers are placed.

        Raises:
            CapabilityError: If the model has no such vectors.
        """
        return Trained.of(self.model, self.scorer(), self.data, self.config, self.name)

    def _with_newcomers(self, joined: Joined) -> "Run":
        base, seed = self.chosen, self.seed
        if isinstance(self.model, Placed):
            base, seed = self.chosen.members[0]

        before = self.summary.get("placed") or {"users": 0, "items": 0}
        counts = {
            "users": before["users"] + joined.users,
            "items": before["items"] + joined.items,
            "share": round(joined.share, 4),
        }
        return self.in_place_of(
            self,
            model=joined.model,
            data=joined.data,
            chosen=placed_in(base, seed, joined.config),
            summary={**self.summary, "placed": counts},
            dataset=identity(joined.data),
            path=None,
        )

    def save(self, path: str | PathLike[str], *, overwrite: bool = True) -> Path:
        """Write the run as a folder, whole or not at all, and return its path.

        Raises:
            CheckpointError: If the folder exists and is not a run, or ``overwrite`` is False.
        """
        refuse_after_fork(f"{path}: writing a run")
        folder = Path(path)
        refuse_foreign(folder, overwrite)
        self.dataset = seen_from(folder, self.dataset)

        with beside(folder) as scratch:
            write_data(self.data, scratch / DATA)
            self.write(scratch)
            if self._placebos is not None:
                write_placebos(scratch, self._placebos)
            if self._receipts is not None:
                (scratch / RECEIPTS).write_bytes(self._receipts)

        self.path = folder
        return folder

    save_pretrained = save

    @classmethod
    def from_pretrained(cls, path: str | PathLike[str]) -> "Run":
        """Return a stored run: ``load_run`` under the name that Hugging Face users know."""
        return load_run(path)

    def push(self, to: str | PathLike[str], *, with_data: bool = False) -> str:
        """Publish the run, with its card, in the layout of model hubs; return where it is.

        Without ``with_data`` no interaction and no user leaves: what is published serves lists for
        anyone's history. With it, it is the whole run, which ``from_pretrained`` opens.

        Args:
            to: A folder, or ``hf://OWNER/NAME``.
            with_data: Whether training interactions and user ids go along.

        Raises:
            CapabilityError: If the model cannot be served without its interactions.
            CheckpointError: If something else is at the folder.
            ConfigError: If ``huggingface_hub`` is needed and not installed.
        """
        from kgrec.serving.publishing.publish import publish

        refuse_after_fork(f"{to}: publishing a run")
        return publish(self, to, with_data=with_data)

    def write(self, folder: Path, state: TrainState | None = None) -> None:
        """Write weights, then the configuration that makes them count; a checkpoint goes last.

        In this order the folder is that of an unfinished training or of a finished one at every
        moment, and opens.

        Args:
            folder: Where; the data lies there already, of a refit under ``REFIT_DATA`` or ``DATA``.
            state: The last state of a training that can take more epochs; the weights and the
                configuration have the rest of it.
        """
        write_tensors(folder / WEIGHTS, snapshot(self.model), {"model": self.name})
        further: dict[str, Any] = {"state": None}
        if state is not None:
            write_state(folder / STATE, replace(state, best={}, history=[]), {"phase": "fit"})
            further["state"] = STATE
        if self.refit and (folder / REFIT_DATA).is_dir():
            further["data"] = REFIT_DATA

        card = model_card(
            self.chosen, self.data, self.summary, seed=self.seed, refit=self.refit, use=_USE
        )
        write_whole(folder / CARD, lambda file: file.write_text(card, encoding="utf-8"))
        fields = self.dataset, self.refit, self.summary, self.history, DONE, self.fallback
        record = record_of(self.chosen, self.seed, *fields, **further)
        write_config(folder, record)
        clear(folder, record)

    def _where(self) -> str:
        if self.path:
            return str(self.path)
        return f"this {self.name} run"

    def _evaluated_on(self, on: str, protocol: str) -> Dataset:
        """Return the dataset with what a protocol needs; a loaded run keeps only a part of its
        dataset.
        """
        data = self.data
        whole = len(data.test) or any(
            on in parts for parts in (data.negatives, data.impressions, data.held_triples)
        )
        enough = on == "valid" and (
            protocol in ("ranking", "sampled", "next-item")
            or not self.path
            or not self.dataset.get("path")
        )
        if self._given is None and (whole or enough):
            return data

        return self._whole_dataset()

    def with_test(self, dataset: "Dataset | str | PathLike[str] | None" = None) -> Dataset:
        """Return what the run was trained on, with the test part of its dataset.

        Args:
            dataset: The dataset, where it is no longer where it was.

        Raises:
            DataError: If the run was refit, or has no test part.
            CheckpointError: If the dataset is gone, or has changed.
        """
        if self.refit:
            raise DataError(f"{self._where()} was refit on all interactions: nothing is held out.")
        if dataset is not None:
            self._given = dataset

        data = self._evaluated_on("test", "ranking")
        if not len(data.test):
            raise DataError(f"{data.name} has no test part to evaluate by.")
        return data

    def _whole_dataset(self) -> Dataset:
        """Return the dataset the run was trained on, found and checked by its sum, parted as the
        run was trained.
        """
        if self.path is None and self._given is None:
            raise DataError(
                f"{self._where()} holds no test part, and its dataset was never saved. Save the "
                "dataset and train again."
            )

        data = find_dataset(self.path or Path(self._where()), self.dataset, self._given)
        return replace(data, train=self.data.train, valid=self.data.valid)

    def _own_list(self, history: Ids, on_unknown: str) -> Lists:
        """Return the history of someone unseen as the one list of one user."""
        if not reads_history(self.scorer()):
            raise CapabilityError(
                f"{self.name} cannot rank for someone it never saw. Use lightgcn, lightgcn-kg, "
                "kgat or popularity."
            )

        keys = id_list(history)
        if not keys:
            raise UnknownIdError("the history is empty. Name at least one item.")

        rows = torch.from_numpy(
            np.array(list(dict.fromkeys(known_rows(self.data.items, keys, on_unknown).tolist())))
        )
        return Lists(torch.tensor([0, len(rows)]), rows)

    def _user_rows(self, users: Ids | None, on_unknown: str) -> np.ndarray:
        if isinstance(users, str) and users == "all" and "all" not in self.data.users:
            return np.arange(self.data.num_users)
        return known_rows(self.data.users, () if users is None else users, on_unknown)

    def _frame(self, users: list[str], ranked: Ranked) -> pl.DataFrame:
        """Return ranked rows as a frame; empty places are left out."""
        if self._texts is None:
            items = self.data.items.series.to_list()
            shown = [
                label or key
                for label, key in zip(self.data.triples.labels.to_list(), items, strict=False)
            ]
            self._texts = np.array(items, dtype=object), np.array(shown, dtype=object)

        keys, labels = self._texts
        owner, column = (ranked.items >= 0).numpy().nonzero()
        rows = ranked.items.numpy()[owner, column]
        values = {
            "user": [users[row] for row in owner.tolist()],
            "rank": (column + 1).tolist(),
            "item": keys[rows].tolist(),
            "label": labels[rows].tolist(),
            "score": ranked.scores.numpy()[owner, column].tolist(),
            "kind": [KINDS[kind] for kind in ranked.kinds.numpy()[owner, column].tolist()],
        }

        # a frame built from columns is made in less than half the time of one
        # that is given a schema: a fifth of what one list costs
        return pl.DataFrame(
            [pl.Series(name, values[name], dtype=dtype) for name, dtype in _FRAME.items()]
        )


_USE = """```python
import kgrec

run = kgrec.load_run(".")  # this folder
run.recommend(run.data.users.series[:1].to_list(), k=10)
```"""

_FRAME: dict[str, type[pl.DataType]] = {
    "user": pl.String,
    "rank": pl.Int64,
    "item": pl.String,
    "label": pl.String,
    "score": pl.Float64,
    "kind": pl.String,
}


def load_run(
    path: str | PathLike[str],
    model: type[Recommender] | None = None,
    *,
    allow: Collection[str] = (),
    dataset: "Dataset | str | PathLike[str] | None" = None,
    unfinished: Literal["open", "refuse"] = "open",
) -> Run:
    """Return a stored run; one that was killed while training opens with its best parameters so
    far, and a line of the log says so.

    Args:
        path: The run's folder.
        model: The class, for a model that is not in the catalog.
        allow: Classes (``pkg.module:Class``) that may be imported, which runs their module's code.
            A run of a class outside the catalog names it, and is refused where it is not among
            these.
        dataset: The dataset it was trained on, or its folder, where it is no longer where it was;
            evaluation reads it.
        unfinished: "open" or "refuse" a run whose training has not come to its end.

    Raises:
        CheckpointError: If the folder is missing, not a run, of another version, or damaged; if the
            run is unfinished and that is refused.
    """
    if isinstance(allow, str):
        allow = (allow,)

    folder = Path(path)
    while True:
        stamp = _stamp(folder)
        try:
            run = _opened(folder, model, unfinished, allow)
        except (KgrecError, OSError):
            if _stamp(folder) == stamp:
                raise
            continue  # it was finished or replaced meanwhile

        run._given = dataset
        return run


def _stamp(folder: Path) -> tuple[int, ...] | None:
    """Return what changes whenever a run is finished or replaced."""
    try:
        found = [part.stat() for part in (folder, folder / CONFIG)]
    except OSError:
        return None
    return (*(one.st_ino for one in found), found[1].st_mtime_ns)


def _opened(
    folder: Path, model: type[Recommender] | None, unfinished: str, allow: Collection[str]
) -> Run:
    record = read_config(folder)
    if record["status"] != DONE and unfinished == "refuse":
        raise CheckpointError(
            f"{folder}: its training is unfinished. Finish it (train --resume), or open it as it "
            "is."
        )

    chosen = stored_settings(record, model, folder, allow)
    tensors, history, data_folder = _parameters(folder, record)
    data = open_dataset(folder / data_folder)
    data = replace(
        data, path=record["dataset"].get("path"), checksum=record["dataset"].get("checksum") or ""
    )
    built = _with_weights(chosen, data, record["seed"], tensors, folder)
    fields = (
        record["summary"],
        record["dataset"],
        record["refit"],
        folder,
        fallback_of(record, folder),
    )

    run = Run(chosen.name, built, data, chosen, record["seed"], history, *fields)
    if (folder / RECEIPTS).is_file():
        run._receipts = (folder / RECEIPTS).read_bytes()
    if record["summary"].get("forgotten", {}).get("retrain"):
        logger.warning(
            "%s: a person was forgotten from its data, and its other vectors were trained with "
            "that person. Train again.",
            folder,
        )

    return run


def _parameters(
    folder: Path, record: dict[str, Any]
) -> tuple[dict[str, Tensor], list[dict[str, Any]], str]:
    """Return the parameters of a run, its history, and the name of the folder with its data.

    Which of its files count is decided by the configuration alone, so that those of a training killed
    while it finished do not.
    """
    if record["status"] == DONE:
        return read_tensors(folder / WEIGHTS)[0], record["history"], record.get("data", DATA)

    if not (folder / CHECKPOINT).exists() and (folder / WEIGHTS).exists():
        logger.warning(
            "%s: version 0.1 was killed while it finished this run. It opens; train it again for "
            "its figures.",
            folder,
        )
        return read_tensors(folder / WEIGHTS)[0], [], DATA

    state, owner = read_state(folder / CHECKPOINT)
    if not state.epoch:
        epochs = "the initial ones"
    else:
        epochs = f"the best of {state.epoch} epochs"

    logger.warning(
        "%s: its training is unfinished; the parameters are %s. kgrec train --resume goes on "
        "with it.",
        folder,
        epochs,
    )
    if owner.get("phase") == "refit" and (folder / REFIT_DATA).exists():
        return state.best, state.history, REFIT_DATA
    return state.best, state.history, DATA


def _with_weights(
    chosen: Chosen, data: Dataset, seed: int, tensors: dict[str, Tensor], folder: Path
) -> Recommender:
    for one in (chosen, *(member for member, _ in chosen.members)):
        _check_sizes(one, folder)

    try:
        model = build_model(chosen, data, seed)
        model.load_state_dict(tensors)
    except KgrecError:
        raise
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError):
        raise CheckpointError(
            f"{folder}: the weights do not fit the model or its data. The folder was put "
            "together wrongly, or the model's class has changed since its training."
        ) from None

    return model.eval()


def _check_sizes(chosen: Chosen, folder: Path) -> None:
    """Refuse sizes that no model has, before memory is asked for them."""
    for part in fields(chosen.config):
        value = getattr(chosen.config, part.name)
        most = _LARGEST.get(part.name, _LARGEST["dim"] if "dim" in part.name else _LARGEST["other"])

        for number in value if isinstance(value, tuple) else (value,):
            if (isinstance(number, int) and number > most) or (
                isinstance(value, tuple) and len(value) > _LARGEST["num_layers"]
            ):
                raise CheckpointError(
                    f"{folder / CONFIG}: {part.name} of {str(value)[:40]} is larger than any "
                    "model has. Train again."
                )


_LARGEST = {"num_layers": 256, "dim": 1 << 16, "other": 1 << 31}


def clear(folder: Path, record: dict[str, Any]) -> None:
    """Remove what a finished run no longer needs; its configuration says what it does."""
    (folder / CHECKPOINT).unlink(missing_ok=True)
    if record.get("data", DATA) != DATA and (folder / DATA).exists():
        discard(folder / DATA)


def build_model(chosen: Chosen, data: Dataset, seed: int) -> Recommender:
    """Return the untrained model; its initial parameters depend on the seed alone. Of a blend, the
    members have seeds of their own.
    """
    if chosen.members and chosen.model is not Placed:
        members = [
            (build_model(member, data, own), member.config) for member, own in chosen.members
        ]
        return Blend(members, data, chosen.config)

    generator = torch.Generator().manual_seed(derive(seed, "init"))
    with global_stream(seed, "torch init"):  # torch's own modules draw their parameters from it
        return chosen.model.from_dataset(data, chosen.config, generator)


def snapshot_scorer(model: Recommender) -> Scorer:
    """Return what ranks, of a model in evaluation mode."""
    model.eval()
    with torch.inference_mode():
        return model.scorer()


def stored_settings(
    record: dict[str, Any],
    model: type[Recommender] | None,
    folder: Path,
    allow: Collection[str] = (),
) -> Chosen:
    """Return the settings of a stored run. A folder names classes to import only, and those that
    are not in ``allow`` are not imported.

    Raises:
        CheckpointError: If the run is of a class that may not be imported, or its settings are
            broken.
    """
    if record.get("placed"):
        return _placed_settings(record, model, folder, allow)
    if record.get("members"):
        return _blend_settings(record, folder, allow)

    template = choose(model or _model_of(record, folder, allow), "default", {})
    try:
        config = restore(type(template.config), record["config"])
        settings = restore(TrainConfig, record["train"])
    except ConfigError as error:
        raise CheckpointError(f"{folder / CONFIG}: {error} Update kgrec, or train again.") from None

    return replace(template, config=config, train=settings, preset=record["preset"])


def _placed_settings(
    record: dict[str, Any],
    model: type[Recommender] | None,
    folder: Path,
    allow: Collection[str],
) -> Chosen:
    """Return the settings of a run with newcomers: of its vectors, and of the model behind them."""
    members: list[dict[str, Any]] = record.get("members", [])
    if len(members) != 1:
        raise CheckpointError(f"{folder / CONFIG}: newcomers are placed in one model. Train again.")

    base = stored_settings(members[0], model, folder, allow)
    try:
        config = restore(PlacedConfig, record["config"])
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{folder / CONFIG}: {error} Train again.") from None

    return placed_in(base, members[0]["seed"], config)


def _blend_settings(record: dict[str, Any], folder: Path, allow: Collection[str]) -> Chosen:
    """Return the settings of a blend."""
    members = tuple(
        (stored_settings(member, None, folder, allow), member["seed"])
        for member in record["members"]
    )
    try:
        return blended(members, restore(BlendConfig, record["config"]))
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{folder / CONFIG}: {error} Blend again.") from None


def _model_of(
    record: dict[str, Any], folder: Path, allow: Collection[str]
) -> str | type[Recommender]:
    """Return the model that a record names: one of the catalog, or a class that is allowed."""
    path = record.get("class")
    if path is None:
        if ":" in record["model"]:
            raise CheckpointError(f"{folder / CONFIG}: model {record['model']!r} is not a name.")
        return str(record["model"])

    if path in allow:
        return import_class(path)
    if path.startswith("__main__:") or "<locals>" in path:
        raise CheckpointError(
            f"{folder}: its model is {path}, a class of a script, which cannot be imported. Pass "
            "it in Python: load_run(..., model=Class)."
        )

    raise CheckpointError(
        f"{folder}: its model is the class {path}, and opening the run would run the code of that "
        f"module. If you trust it, allow it: --allow-class {path} (in Python allow={path!r})."
    )


def fallback_of(record: dict[str, Any], folder: Path) -> FallbackChoice:
    """Return the fallback of a stored run; those of version 0.1 have none written down.

    Raises:
        CheckpointError: If it is broken.
    """
    stored = record.get("fallback", {})
    known = {"way": str, "half_life": float | int, "reason": str}
    sound = isinstance(stored, dict) and all(
        isinstance(value, known.get(key, ())) for key, value in stored.items()
    )

    try:
        if not sound:
            raise ConfigError("fields of the wrong kind")
        return FallbackChoice(**{**stored, "half_life": float(stored.get("half_life", 0.0))})
    except (ConfigError, OverflowError) as error:
        raise CheckpointError(
            f"{folder}: its fallback is broken ({error}). Train again, or copy it again."
        ) from None


def _vectors(ids: pl.Series, rows: Tensor) -> pl.DataFrame:
    values = rows.detach().float().cpu().numpy()
    return pl.DataFrame(
        {"id": ids, "vector": pl.Series(values, dtype=pl.Array(pl.Float32, values.shape[1]))}
    )


def _check_protocol(
    protocol: str, metrics: Sequence[str] | None, wishes: Wishes, fallback: bool
) -> None:
    """Refuse what is no protocol, and settings of another.

    Raises:
        ConfigError: If it is.
    """
    if protocol == "fold-in":
        raise ConfigError(
            "protocol fold-in trains again: kgrec evaluate RUN --protocol fold-in, in Python "
            "kgrec.lifecycle.newcomers.evaluate_newcomers(run)."
        )
    if protocol not in PROTOCOLS:
        raise ConfigError(
            f"unknown protocol {protocol!r}. Choose from "
            f"{', '.join(PROTOCOLS)}.{nearest(protocol, PROTOCOLS)}"
        )
    if metrics is not None and protocol != "ranking":
        raise ConfigError(
            f"metrics belong to protocol ranking: {protocol} always reports all of its own. "
            "Omit them."
        )
    if wishes and (protocol != "ranking" or not fallback):
        raise ConfigError(
            f"{', '.join(wishes.to_dict())}: settings of lists belong to protocol ranking, with its "
            "fallback. Omit them."
        )
