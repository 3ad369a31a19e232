"""Write the JSON Schemas (draft 2020-12) of what kgrec stores and prints: ``make schemas``.

Records that are dataclasses in kgrec are read from there; the others are stated here. Objects may
hold further fields, which belong to one model or protocol.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from kgrec.data.records.report import BuildReport, Dropped
from kgrec.data.records.wording import Phrase
from kgrec.evaluation.prices import Price
from kgrec.explanation.core.records import FactRef, Node
from kgrec.models.fallback import FallbackChoice
from kgrec.training.config import TrainConfig

DRAFT = "https://json-schema.org/draft/2020-12/schema"

Count = Annotated[int, Meta(ge=0)]
Sum = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Metrics = dict[str, float | None]


class RunDataset(Struct):
    """What a run remembers of its dataset."""

    name: str | None
    path: str | None
    checksum: str | None
    relative: str | UnsetType = UNSET


class RunConfig(Struct):
    """The file config.json of a run's folder."""

    format: Literal["kgrec-run"]
    version: Literal[1]
    status: Literal["training", "done"]
    model: str
    preset: str
    config: dict[str, Any]
    train: TrainConfig
    seed: Count
    refit: bool
    dataset: RunDataset
    summary: dict[str, Any]
    history: list[dict[str, Any]]
    versions: dict[str, str]
    sha256: Sum
    fallback: FallbackChoice | UnsetType = UNSET
    class_: str | UnsetType = field(default=UNSET, name="class")
    data: Literal["data", "data-refit"] | UnsetType = UNSET
    state: Literal["state.safetensors"] | UnsetType | None = UNSET


class StoredFile(Struct):
    """Size and sum of a file."""

    bytes: Count
    sha256: Sum


class DatasetManifest(Struct):
    """The file manifest.json of a dataset's folder."""

    format: Literal["kgrec-dataset"]
    version: Literal[1]
    files: dict[str, StoredFile]


class WordingRecord(Struct):
    """Verbs by type of event, and how relations read."""

    verbs: dict[str, str]
    phrases: list[Phrase]
    labels: dict[str, dict[str, str]] | UnsetType = UNSET


class DatasetAbout(Struct):
    """The file dataset.json of a dataset's folder."""

    name: str
    settings: dict[str, Any]
    report: BuildReport
    sources: list[str]
    dropped: list[Dropped]
    formats: list[str] | UnsetType = UNSET
    read: dict[str, int] | UnsetType = UNSET
    wording: WordingRecord | UnsetType = UNSET


class PartMeans(Struct):
    """Means over a part of what was evaluated."""

    users: Count
    metrics: Metrics


class ColdParts(Struct):
    """Means where training holds nothing."""

    items: PartMeans
    users: PartMeans


class Evaluation(Struct):
    """What kgrec evaluate --json prints; fields after notes are of full ranking."""

    model: str | None
    split: Literal["test", "valid"]
    protocol: str
    users: Count
    metrics: Metrics
    notes: list[str]
    warm: PartMeans | UnsetType = UNSET
    warm_users: PartMeans | UnsetType = UNSET
    cold: ColdParts | UnsetType = UNSET
    cold_users: Count | UnsetType = UNSET
    cold_items: Count | UnsetType = UNSET
    masked: Count | UnsetType = UNSET
    beyond: Metrics | UnsetType = UNSET
    prices: list[Price] | UnsetType = UNSET


class Recommendation(Struct):
    """A line of what kgrec recommend --format json prints."""

    user: str
    rank: Annotated[int, Meta(ge=1)]
    item: str
    label: str | None
    score: float | None
    kind: Literal["personal", "history", "content", "popular"]


class TermRecord(Struct):
    """A part of a score, with the node that it belongs to."""

    kind: str
    key: str
    label: str
    value: float
    supported: float | None


class BudgetRecord(Struct):
    """Parts of a score that add up to it."""

    score: float
    own: float
    bias: float
    by_liked: list[TermRecord]
    other: dict[str, float]
    residual: float
    basis: str
    by_property: list[TermRecord]
    by_users: float | None
    item_own: float | None
    supported: float | None
    unsupported: float | None
    on_graph: float | None


class RelationRecord(Struct):
    """A relation of a hop, and where it is stated."""

    relation: str
    relation_label: str
    forward: bool
    facts: list[FactRef]


class HopRecord(RelationRecord):
    """An edge of a path: its first relation, and further parallel ones in also."""

    source: Node
    target: Node
    also: list[RelationRecord]


class PathRecord1(Struct):
    """A path and its effect on the score, of version 0.1."""

    length: Annotated[int, Meta(ge=1)]
    drop_mask: float | None
    drop_delete: float
    basis: str
    attribution: float | None
    users: Count | None
    removed: Count
    joint: float | None
    weight: float | None
    plausibility: float | None
    rank_after: Count | None
    hops: list[HopRecord]


class Claims(Struct):
    """What may be said of the like and of the facts."""

    like: Literal["cause", "depends", "no cause", "disliked", "not measured"]
    facts: Literal["cause", "small", "depends", "no cause", "not measured"]


class PathRecord(PathRecord1):
    """A path and its effect on the score, like and facts apart."""

    drop_delete: float | None
    like_drop: float | None
    like_drop_mask: float | None
    facts_drop: float | None
    facts_drop_mask: float | None
    hop_drops: list[float]
    placebo: float | None
    claims: Claims
    text: str


class ExplanationRecord1(Struct):
    """An explanation, schema 1, of version 0.1."""

    schema: Literal[1]
    user: str
    item: str
    user_label: str
    item_label: str
    score: float
    rank: Annotated[int, Meta(ge=1)] | None
    margin: float | None
    next_item: Node | None
    budget: BudgetRecord | None
    against: list[TermRecord]
    paths: list[PathRecord1]
    counts: dict[str, int]
    truncated: bool
    filters: dict[str, Any]
    hidden: dict[str, float | None]
    manifest: dict[str, Any]
    notes: list[str]


class WordsRecord(Struct):
    """In which words an explanation is said."""

    language: str
    phrases: dict[str, tuple[str, str]]
    verbs: dict[str, str]
    whole: list[str]
    labels: dict[str, str] | UnsetType = UNSET
    verb: str | UnsetType = UNSET


class PathTrainingRecord(Struct):
    """What a path did to the score through training."""

    like: float | None
    facts: float | None
    whole: float | None


class TrainingRecord(Struct):
    """Effects through training, and what they are worth."""

    score: float
    exact: bool
    label: str
    worth: float | None
    facts_label: str
    facts_worth: float | None
    measured_on: str
    paths: list[PathTrainingRecord]
    epochs: Count | UnsetType | None = UNSET


class FlipRecord(Struct):
    """The likes that hold an item's rank, in short."""

    without: list[Node]
    first: Node | None
    rank: Annotated[int, Meta(ge=1)]
    likes: Count
    verified: bool
    text: str


class ExplanationRecord(ExplanationRecord1):
    """An explanation, schema 2."""

    schema: Literal[2]
    paths: list[PathRecord]
    text: str
    words: WordsRecord | UnsetType = UNSET
    training: TrainingRecord | UnsetType = UNSET
    history: list[str] | UnsetType = UNSET
    flip: FlipRecord | UnsetType = UNSET


class RankedRecord(Struct):
    """An item with its rank in a list."""

    item: Node
    rank: Annotated[int, Meta(ge=1)] | None
    score: float


class ApartRecord(Struct):
    """What a number loses without likes, without facts, without both."""

    like: float | None
    facts: float | None
    whole: float | None
    together: float | None


class AnswerRecord(Struct):
    """What all answers share."""

    schema: Literal[2]
    user: Node
    words: WordsRecord


class ContrastFields(Struct):
    """The difference of two scores as a sum."""

    user: Node
    first: RankedRecord
    second: RankedRecord
    difference: float
    own: float
    bias: float
    by_liked: list[TermRecord]
    other: dict[str, float]
    residual: float
    basis: str
    only_first: list[Node]
    shared: list[Node]
    only_second: list[Node]
    explanations: list[ExplanationRecord]
    effects: list[list[ApartRecord]]
    words: WordsRecord


class ContrastRecord(ContrastFields):
    """Why one item and not another."""

    schema: Literal[2]
    kind: Literal["contrast"]


class WithoutFactsRecord(Struct):
    """Where an item is without what the graph says of it."""

    facts: Count
    rank: Annotated[int, Meta(ge=1)] | None
    score: float
    first: Node


class FlipSetRecord(AnswerRecord):
    """Which liked items hold an item's rank."""

    kind: Literal["flip"]
    item: Node
    removed: list[TermRecord]
    rival: Node | None
    before: list[float]
    after: list[float] | None
    mode: Literal["delete", "mask"]
    verified: bool
    likes: Count
    runs: Count
    note: str
    rank: Annotated[int, Meta(ge=1)]
    without_facts: WithoutFactsRecord | None
    text: str


class WhyNotRecord(Struct):
    """Why an item is not in the list."""

    schema: Literal[2]
    kind: Literal["why-not"]
    contrast: ContrastFields
    k: Count
    additions: list[TermRecord]
    enters: Count | None
    note: str
    facts: list[TermRecord]
    words: WordsRecord


class ChangeRecord(Struct):
    """A like or a fact that was taken away or added."""

    what: Literal["like", "fact"]
    added: bool
    head: Node
    relation: str
    tail: Node


class WhatIfRecord(AnswerRecord):
    """The ranking under other likes and facts."""

    kind: Literal["what-if"]
    changes: list[ChangeRecord]
    before: list[RankedRecord]
    after: list[RankedRecord]
    top: list[RankedRecord]
    mode: str
    note: str
    likes_alone: list[RankedRecord]
    facts_alone: list[RankedRecord]


class HoldingRecord(Struct):
    """A like, or facts, and what a list loses without it."""

    node: Node | None
    relations: list[str]
    facts: Count
    joined: list[Node]
    leave: list[Node]
    drop: float


class ListRecord(AnswerRecord):
    """Which likes and which facts hold a list up."""

    kind: Literal["list"]
    items: list[RankedRecord]
    likes: list[HoldingRecord]
    facts: list[HoldingRecord]
    all_likes: HoldingRecord
    all_facts: HoldingRecord | None
    left_out: list[Count]
    manifest: dict[str, Any]
    note: str


class TuneStudy(Struct, forbid_unknown_fields=True):
    """The file study.json of kgrec tune."""

    format: Literal["kgrec-tune"]
    version: Literal[1]
    model: str
    seed: Count
    dataset: str
    space: dict[str, Any]
    fixed: dict[str, Any]
    seeds: list[Count] | UnsetType = UNSET
    start: list[dict[str, Any]] | UnsetType = UNSET


class ExperimentStudy(Struct, forbid_unknown_fields=True):
    """The file study.json of kgrec run: sums of the data sets by name, and what is measured."""

    format: Literal["kgrec-experiment"]
    version: Literal[1]
    name: str
    data: dict[str, str]
    metrics: list[str]
    on: Literal["test", "valid"]
    protocol: str


class AblateStudy(Struct, forbid_unknown_fields=True):
    """The file study.json of kgrec ablate."""

    format: Literal["kgrec-ablate"]
    version: Literal[1]
    model: str
    dataset: str
    metric: str
    on: Literal["test", "valid"]
    settings: dict[str, Any]
    without_settings: dict[str, Any]


RECORDS: dict[str, Any] = {
    "run-config": RunConfig,
    "dataset-manifest": DatasetManifest,
    "dataset-about": DatasetAbout,
    "evaluate": Evaluation,
    "recommend": list[Recommendation],
    "explanation-1": ExplanationRecord1,
    "explanation-2": ExplanationRecord,
    "contrast": ContrastRecord,
    "flip": FlipSetRecord,
    "why-not": WhyNotRecord,
    "what-if": WhatIfRecord,
    "list": ListRecord,
    "tune-study": TuneStudy,
    "ablate-study": AblateStudy,
    "experiment-study": ExperimentStudy,
}


def schemas() -> dict[str, str]:
    """Return the text of every schema by its file's name."""
    return {
        f"{name}.json": json.dumps(
            {"$schema": DRAFT, **_summaries(msgspec.json.schema(kind))}, indent=1
        )
        + "\n"
        for name, kind in RECORDS.items()
    }


def _summaries(value: Any) -> Any:
    """Keep the first paragraph of each description: attributes are described by the code."""
    if isinstance(value, list):
        return [_summaries(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _summaries(inner) for key, inner in value.items()}
    if isinstance(kept.get("description"), str):
        kept["description"] = " ".join(kept["description"].partition("\n\n")[0].split())
    return kept


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for file, text in schemas().items():
        (folder / file).write_text(text, encoding="utf-8")
