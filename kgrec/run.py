"""Run: a fitted model with its ids, graph and facts. ``kgrec.fitting.fit`` makes one, ``load_run`` opens one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from kgrec.data.dataset import Dataset
from kgrec.data.folders import beside
from kgrec.data.interactions import concatenate
from kgrec.data.storage import open_dataset
from kgrec.errors import CapabilityError, CheckpointError, ConfigError, DataError, UnknownIdError, nearest
from kgrec.evaluation.ctr import evaluate_ctr
from kgrec.evaluation.impressions import evaluate_impressions
from kgrec.evaluation.ranking import Lists, rank_users
from kgrec.evaluation.report import Report, evaluate
from kgrec.evaluation.sampled import evaluate_sampled
from kgrec.evaluation.triples import HITS, evaluate_triples
from kgrec.explanation.explainer import Explainer
from kgrec.explanation.schema import Explanation
from kgrec.folder import CHECKPOINT, DATA, WEIGHTS, read_config, record_of, refuse_foreign, write_config, write_data
from kgrec.models.base import SCORE_FUNCTIONS, DotProduct, Embedded, ItemToItem, Recommender, Scorer, TripleScorer, VectorScorer
from kgrec.models.explainable import Rerunnable
from kgrec.ops.ranking import topk_scores
from kgrec.ops.rows import unit_rows
from kgrec.process import refuse_after_fork
from kgrec.random import derive
from kgrec.settings import Chosen, choose, restore
from kgrec.training.checkpoint import read_state, read_tensors, write_tensors
from kgrec.training.config import TrainConfig
from kgrec.training.loop import snapshot

PROTOCOLS = ("ranking", "ctr", "impressions", "sampled", "triples")


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of a run, and which function of them is its score.

    Attributes:
        frames: Tables with the columns ``id`` and ``vector`` by name: those of ``Run.embeddings``, and where the model has them
            ``relations_inverse`` (by the relation that they are the inverse of), ``interacts`` (the relation of users to items, one row),
            and ``score_users`` and ``score_items`` where the score is no function of ``users`` and ``items`` as they are.
        function: Name in ``kgrec.models.base.SCORE_FUNCTIONS``; it takes a row of the table ``users`` and one of ``items``.
        users: Name of the table of users that the score is made of.
        items: Name of the table of items.
    """

    frames: dict[str, pl.DataFrame]
    function: str
    users: str
    items: str

    def to_dict(self) -> dict[str, Any]:
        """Return what is said of the score, JSON-ready."""
        items = self.frames[self.items]["vector"].to_numpy() if self.items in self.frames else np.empty((0, 1))
        unit = bool(np.allclose(np.linalg.norm(items, axis=1), 1.0, atol=1e-4)) and len(items) > 0
        return {
            "function": self.function,
            "formula": SCORE_FUNCTIONS[self.function],
            "users": self.users,
            "items": self.items,
            "ranks_as": "cosine" if unit and self.function == "inner_product" else self.function,
            "left_out": "what the user has in the training and validation parts",
        }


@dataclass(slots=True, repr=False)
class Run:
    """A fitted model and what it was fitted on. Ids in and out are the caller's own.

    Attributes:
        name: Model name.
        model: The model, with its best parameters.
        data: The dataset; of a loaded run, what the run keeps of it: training and validation, no test part.
        chosen: Every setting.
        seed: Seed of every draw.
        history: One record per epoch.
        summary: The form of ``kgrec train --json``.
        dataset: Name, path and checksum of the dataset it was trained on.
        refit: Whether it was trained once more on all interactions, so that nothing is held out.
        path: Folder it is stored in, or None.
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
    _scorer: Scorer | None = None

    def __repr__(self) -> str:
        """Return a short description."""
        return f"Run({self.name} on {self.data.name}, {len(self.history)} epochs)"

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
            self._scorer = snapshot_scorer(self.model)
        return self._scorer

    def evaluate(
        self,
        on: Literal["test", "valid"] = "test",
        k: Sequence[int] | None = None,
        *,
        protocol: str = "ranking",
        beyond: bool = False,
        negatives: int = 100,
        seed: int = 0,
        legacy_batch: int | None = None,
    ) -> Report:
        """Return the metrics on a held-out part.

        Args:
            on: "test" or "valid".
            k: Cutoffs of ranking metrics; None takes 10 and 20, of "impressions" 5 and 10.
            protocol: "ranking" (every item for every user), "ctr" (is a pair an interaction?), "impressions" (lists that were shown),
                "sampled" (each held-out item among a few sampled ones), or "triples" (the missing end of held-out triples).
            beyond: Of "ranking": also say what the lists are worth beyond their hits.
            negatives: Of "sampled": items drawn per held-out item.
            seed: Seed of sampled negatives.
            legacy_batch: Of "ctr": average over mini-batches of so many rows, as some published code does.

        Raises:
            ConfigError: If the protocol is unknown, or a setting out of range.
            DataError: If the run was refit on everything, so that nothing is held out; or if nothing is there to judge by.
            CheckpointError: If the dataset has moved or changed since (loaded runs).
        """
        if self.refit:
            raise DataError(f"{self._where()} was refit on all interactions: nothing is held out. Its summary has the figures before.")
        if protocol not in PROTOCOLS:
            raise ConfigError(f"unknown protocol {protocol!r}. Choose from {', '.join(PROTOCOLS)}.{nearest(protocol, PROTOCOLS)}")
        if protocol == "triples" or (protocol == "ranking" and not len(self.data.train)):
            return self._evaluate_triples(on, tuple(k or ()))
        data, ks = self._judged_on(on, protocol), tuple(k or ((5, 10) if protocol == "impressions" else (10, 20)))
        if protocol == "ctr":
            return evaluate_ctr(self.scorer(), data, on, seed=seed, legacy_batch=legacy_batch, model=self.name)
        if protocol == "impressions":
            return evaluate_impressions(self.scorer(), data, on, ks, model=self.name)
        if protocol == "sampled":
            return evaluate_sampled(self.scorer(), data, on, ks, negatives=negatives, seed=seed, model=self.name)
        return evaluate(self.scorer(), data, on=on, ks=ks, model=self.name, beyond=beyond)

    def _evaluate_triples(self, on: str, ks: tuple[int, ...]) -> Report:
        if not isinstance(self.model, TripleScorer):
            raise CapabilityError(f"{self.name} does not score triples. Train transe, distmult, complex or rotate.")
        return evaluate_triples(self.model, self._judged_on(on, "triples"), on, (*HITS, *ks), model=self.name)

    def recommend(
        self,
        users: "str | Sequence[str] | None" = None,
        k: int = 10,
        *,
        history: Sequence[str] | None = None,
        items: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        allow_seen: bool = False,
    ) -> pl.DataFrame:
        """Return the best items: columns ``user``, ``rank`` (from 1), ``item``, ``label``, ``score``.

        Items a user has (training and validation) are left out unless ``allow_seen``. Ties go to the item that comes first in the
        catalog. A user with fewer candidates than ``k`` gets fewer rows.

        Args:
            users: User ids, one id, or "all".
            k: Items per user, at least 1.
            history: Item ids of someone unseen, instead of ``users``; needs a model that can fold in.
            items: Only these items are candidates.
            exclude: These items are not.
            allow_seen: Whether items that the user has are candidates.

        Raises:
            UnknownIdError: If a user or item is not known.
            CapabilityError: If the model cannot rank for someone unseen.
        """
        if k < 1:
            raise ConfigError(f"k={k}: ask for at least 1 item.")
        if (users is None) == (history is None):
            raise ConfigError("give either users or a history.")
        allowed = None if items is None and not exclude else self._allowed(items, exclude)
        if history is None:
            rows = self._user_rows(users)
            names, lists = self.data.users.keys(rows), Lists.of(concatenate([self.data.train, self.data.valid]), rows)
        else:
            rows, names, lists = np.array([-1]), [""], self._own_list(history)
        best, at = rank_users(
            self.scorer(),
            rows,
            min(k, self.data.num_items),
            num_items=self.data.num_items,
            seen=None if allow_seen else lists,
            history=lists,
            allowed=allowed,
        )
        return self._frame(names, best, at)

    def similar_items(self, item: str, k: int = 10) -> pl.DataFrame:
        """Return the items nearest to an item: columns ``rank``, ``item``, ``label``, ``score``.

        Near is the cosine between item vectors; of models from item to item, the score for someone who used this item alone.

        Raises:
            UnknownIdError: If the item is not known.
            CapabilityError: If the model has neither.
        """
        row = self.data.items.row(item)
        scorer = self.scorer()
        if isinstance(scorer, ItemToItem):
            scores = scorer.similar(row)
        elif isinstance(scorer, DotProduct) and scorer.items.shape[1] >= 2:
            vectors = unit_rows(scorer.items)
            scores = vectors @ vectors[row]
        else:
            raise CapabilityError(f"{self.name} has no item vectors to compare. Train bprmf, lightgcn, lightgcn-kg or kgat.")
        scores[row] = float("-inf")
        best, at = topk_scores(scores.unsqueeze(0), min(k, self.data.num_items))
        found = self._frame([""], best.cpu(), at.cpu())
        return pl.DataFrame([column for column in found if column.name != "user"])

    def explain(self, user: str, item: str, k: int = 10, **settings: Any) -> Explanation:
        """Return why an item is ranked where it is for a user; settings are those of ``Explainer``."""
        return self.explainer(**settings).explain(user, item, k=k)

    def explainer(self, **settings: Any) -> Explainer:
        """Return an explainer over this run; keep it for many explanations."""
        return Explainer(self.model, self.data, self.scorer(), model_name=self.name, **settings)

    def embeddings(self) -> dict[str, pl.DataFrame]:
        """Return the vectors of users, items and (where the model has them) all entities and relations: columns ``id`` and ``vector``.

        ``vectors`` gives the same with the function of them that is the score. It is the inner product of a user's and an item's vector
        where the model does not say otherwise; entity vectors live in the space of the users'. Models of triples (transe and its kin) and
        cfkg give the vectors they were trained with, from which their own score functions make the scores.

        Raises:
            CapabilityError: If the model has no embeddings.
        """
        if isinstance(self.model, Embedded):
            found = self._trained(self.model)
            return {name: found[name] for name in ("users", "items", "entities", "relations") if name in found}
        scorer = self.scorer()
        if not isinstance(scorer, DotProduct):
            raise CapabilityError(f"{self.name} has no fixed embeddings.")
        frames = {"users": _vectors(self.data.users.series, scorer.users), "items": _vectors(self.data.items.series, scorer.items)}
        if isinstance(self.model, Rerunnable) and self.model.ckg.num_entities == self.data.num_entities:
            with torch.inference_mode():
                nodes = self.model.eval()()
            frames["entities"] = _vectors(self.data.triples.entities.series, nodes[: self.data.num_entities])
        return frames

    def vectors(self) -> Vectors:
        """Return the tables of ``embeddings`` with all that is needed to rank as the run does, and the function that does so.

        Raises:
            CapabilityError: If the model has no vectors.
        """
        frames = self._trained(self.model) if isinstance(self.model, Embedded) else self.embeddings()
        scorer = self.scorer()
        if not isinstance(scorer, VectorScorer):
            raise CapabilityError(f"{self.name} has no fixed embeddings.")
        names = []
        for kind, keys, rows in (("users", self.data.users, scorer.users), ("items", self.data.items, scorer.items)):
            made = _vectors(keys.series, rows)
            names.append(kind if kind in frames and frames[kind].equals(made) else f"score_{kind}")
            if len(rows):
                frames[names[-1]] = made
        return Vectors(frames, scorer.function, *names)

    def _trained(self, model: Embedded) -> dict[str, pl.DataFrame]:
        """Return all vectors of a model by the caller's ids."""
        ids = {"users": self.data.users.series, "items": self.data.items.series, "entities": self.data.triples.entities.series}
        ids["relations"] = ids["relations_inverse"] = self.data.triples.relations.series
        ids["interacts"] = pl.Series(["interacts"])
        return {name: _vectors(ids[name], rows) for name, rows in model.embeddings().items() if len(rows)}

    def save(self, path: str | PathLike[str], *, overwrite: bool = True) -> Path:
        """Write the run as a folder, whole or not at all, and return its path.

        Raises:
            CheckpointError: If the folder exists and is not a run, or ``overwrite`` is False.
        """
        refuse_after_fork(f"{path}: writing a run")
        place = Path(path)
        refuse_foreign(place, overwrite)
        with beside(place) as scratch:
            write_data(self.data, scratch / DATA)
            self.write(scratch)
        self.path = place
        return place

    save_pretrained = save

    @classmethod
    def from_pretrained(cls, path: str | PathLike[str]) -> "Run":
        """Return a stored run: ``load_run`` under the name that Hugging Face users know."""
        return load_run(path)

    def write(self, folder: Path) -> None:
        """Write weights, then the configuration that makes them count."""
        write_tensors(folder / WEIGHTS, snapshot(self.model), {"model": self.name})
        (folder / CHECKPOINT).unlink(missing_ok=True)
        write_config(folder, record_of(self.chosen, self.seed, self.dataset, self.refit, self.summary, self.history, "done"))

    def _where(self) -> str:
        return str(self.path) if self.path else f"this {self.name} run"

    def _judged_on(self, on: str, protocol: str) -> Dataset:
        """Return the dataset with what a protocol needs; a loaded run keeps only a part of its dataset."""
        data = self.data
        whole = len(data.test) or any(on in parts for parts in (data.negatives, data.impressions, data.held_triples))
        enough = on == "valid" and (protocol in ("ranking", "sampled") or not self.path or not self.dataset.get("path"))
        return data if whole or enough else self._whole_dataset()

    def _whole_dataset(self) -> Dataset:
        """Return the dataset the run was trained on, found by its path and checked by its sum, parted as the run was trained."""
        path, expected = self.dataset.get("path"), self.dataset.get("checksum")
        if not self.path or not path:
            raise DataError(f"{self._where()} holds no test part, and its dataset was never saved. Save the dataset and train again.")
        if not Path(path).is_dir():
            raise CheckpointError(f"{self.path}: its dataset is no longer at {path}. Put it back there, or train again.")
        data = open_dataset(path)
        if data.checksum != expected:
            raise CheckpointError(f"{self.path}: the dataset at {path} has changed since training. Train again on it.")
        return replace(data, train=self.data.train, valid=self.data.valid)

    def _allowed(self, items: Iterable[str] | None, exclude: Iterable[str]) -> Tensor:
        allowed = torch.full((self.data.num_items,), items is None)
        if items is not None:
            allowed[self.data.items.rows(items)] = True
        allowed[self.data.items.rows(exclude)] = False
        return allowed

    def _own_list(self, history: Sequence[str]) -> Lists:
        """Return the history of someone unseen as the one list of one user."""
        scorer = self.scorer()
        if isinstance(scorer, DotProduct) and scorer.fold is None:
            raise CapabilityError(f"{self.name} cannot rank for someone it never saw. Use lightgcn, lightgcn-kg, kgat or popularity.")
        if not history:
            raise UnknownIdError("the history is empty. Name at least one item.")
        rows = torch.from_numpy(np.array(list(dict.fromkeys(self.data.items.rows(history).tolist()))))
        return Lists(torch.tensor([0, len(rows)]), rows)

    def _user_rows(self, users: "str | Sequence[str] | None") -> np.ndarray:
        if isinstance(users, str) and users == "all" and "all" not in self.data.users:
            return np.arange(self.data.num_users)
        return self.data.users.rows([users] if isinstance(users, str) else users or ())

    def _frame(self, users: list[str], scores: Tensor, items: Tensor) -> pl.DataFrame:
        """Return ranked rows as a frame; places without a candidate (score -inf) are left out."""
        rank = torch.arange(1, items.shape[1] + 1).expand_as(items)
        real = (items >= 0) & (scores > float("-inf"))
        rows = items[real].numpy()
        owner = torch.arange(len(users)).unsqueeze(1).expand_as(items)[real].numpy()
        labels = self.data.triples.labels.gather(pl.Series(rows.astype(np.int64))).to_list()
        keys = self.data.items.keys(rows)
        return pl.DataFrame(
            {
                "user": pl.Series(users, dtype=pl.String).gather(pl.Series(owner.astype(np.int64))),
                "rank": pl.Series(rank[real].numpy(), dtype=pl.Int64),
                "item": pl.Series(keys, dtype=pl.String),
                "label": pl.Series([label or key for label, key in zip(labels, keys, strict=True)], dtype=pl.String),
                "score": pl.Series(scores[real].double().numpy(), dtype=pl.Float64),
            }
        )


def load_run(path: str | PathLike[str], model: type[Recommender] | None = None) -> Run:
    """Return a stored run; one that was killed while training opens with its best parameters so far.

    Args:
        path: The run's folder.
        model: The class, for a model that is not in the catalog.

    Raises:
        CheckpointError: If the folder is missing, not a run, of another version, or damaged.
    """
    folder = Path(path)
    record = read_config(folder)
    chosen = _chosen_of(record, model, folder)
    data = open_dataset(folder / DATA)
    data = replace(data, path=record["dataset"].get("path"), checksum=record["dataset"].get("checksum") or "")
    if record["status"] == "done":
        tensors, _ = read_tensors(folder / WEIGHTS)
        history = record["history"]
    else:
        state, _ = read_state(folder / CHECKPOINT)
        tensors, history = state.best, state.history
    try:
        built = build_model(chosen, data, record["seed"])
        built.load_state_dict(tensors)
    except (RuntimeError, MemoryError):
        raise CheckpointError(f"{folder}: the weights do not fit the model or its data. The folder was put together wrongly.") from None
    built.eval()
    return Run(chosen.name, built, data, chosen, record["seed"], history, record["summary"], record["dataset"], record["refit"], folder)


def build_model(chosen: Chosen, data: Dataset, seed: int) -> Recommender:
    """Return the untrained model; its initial parameters depend on the seed alone."""
    generator = torch.Generator().manual_seed(derive(seed, "init"))
    return chosen.model.from_dataset(data, chosen.config, generator)


def snapshot_scorer(model: Recommender) -> Scorer:
    """Return what ranks, of a model in evaluation mode."""
    model.eval()
    with torch.inference_mode():
        return model.scorer()


def _chosen_of(record: dict[str, Any], model: type[Recommender] | None, folder: Path) -> Chosen:
    """Return the settings of a stored run; its folder names models of the catalog only, never code to import."""
    template = choose(model if model is not None else record["model"], "default", {})
    try:
        config, settings = restore(type(template.config), record["config"]), restore(TrainConfig, record["train"])
    except ConfigError as error:
        raise CheckpointError(f"{folder}: {error} Update kgrec, or train again.") from None
    return Chosen(template.name, template.model, config, settings, record["preset"])


def _vectors(ids: pl.Series, rows: Tensor) -> pl.DataFrame:
    values = rows.detach().float().cpu().numpy()
    return pl.DataFrame({"id": ids, "vector": pl.Series(values, dtype=pl.Array(pl.Float32, values.shape[1]))})
