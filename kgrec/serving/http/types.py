"""What requests and answers are. The OpenAPI document is made of these types."""

from typing import Annotated, Any, Literal

import msgspec

from kgrec.serving.tables.facets import Range

MOST_BYTES = 1_000_000
MOST_K = 1_000
MOST_USERS = 256
MOST_HISTORY = 1_000
MOST_ITEMS = 10_000
LONGEST_ID = 2_000
_MOST_FIELDS = 16
_MOST_REASON_MS = 10_000

Id = Annotated[str, msgspec.Meta(max_length=LONGEST_ID)]
Count = Annotated[int, msgspec.Meta(ge=1, le=MOST_K)]
History = Annotated[list[Id], msgspec.Meta(max_length=MOST_HISTORY)]
Candidates = Annotated[list[Id], msgspec.Meta(max_length=MOST_ITEMS)]
Where = Annotated[
    dict[Id, Annotated[list[Id], msgspec.Meta(max_length=MOST_HISTORY)] | Range],
    msgspec.Meta(max_length=_MOST_FIELDS),
]


class RecommendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who lists are for, and what may be in them.

    Attributes:
        user: A user id.
        users: Several, instead of one.
        history: Items that the person had: of a known user the newest, oldest first.
        k: Length of a list.
        items: Only these items.
        exclude: Not these.
        where: Only items with these facts: of each field one of the values, or a number in a range.
        allow_seen: Whether items that the person had are shown.
        on_unknown: What to do about item ids that are not known.
        fallback: What someone gets of whom nothing is known: the popular items, or an error.
        diversity: How much an item that is like those above it loses.
        diversity_by: What alike is: vectors, facts, or vectors where the model has them ("auto").
        popularity: Above 0 popular items lose, below 0 they gain.
        calibrate: Draw lists, by the weight ``popularity``, to the mixture of popular and rare items
            that the person has.
        new_items: Least share of places for items without a training interaction.
        most: Most items per value of a field, such as two of a brand.
        reasons: How many items of each list get a reason.
        reason_ms: Milliseconds that reasons may take.
        language: Language of reasons.
    """

    user: Id | None = None
    users: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=MOST_USERS)] | None = None
    history: History = []
    k: Count = 10
    items: Candidates | None = None
    exclude: Candidates = []
    where: Where = {}
    allow_seen: bool = False
    on_unknown: Literal["ignore", "error"] = "ignore"
    fallback: Literal["popular", "none"] = "popular"
    diversity: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    diversity_by: Literal["auto", "vectors", "facts"] = "auto"
    popularity: Annotated[float, msgspec.Meta(ge=-1, le=1)] = 0.0
    calibrate: bool = False
    new_items: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    most: Annotated[
        dict[Id, Annotated[int, msgspec.Meta(ge=1, le=MOST_K)]],
        msgspec.Meta(max_length=_MOST_FIELDS),
    ] = {}
    reasons: Annotated[int, msgspec.Meta(ge=0, le=MOST_K)] = 0
    reason_ms: Annotated[int, msgspec.Meta(ge=0, le=_MOST_REASON_MS)] = 100
    language: Annotated[str, msgspec.Meta(max_length=20)] = ""


class SimilarRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which items are near to one.

    Attributes:
        item: The item.
        k: How many.
        where: Only items with these facts.
    """

    item: Id
    k: Count = 10
    where: Where = {}


class ScoreRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What items are worth to someone.

    Attributes:
        items: The items.
        user: A user id.
        history: Items that the person had besides.
    """

    items: Candidates
    user: Id | None = None
    history: History = []


class ExplainRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why an item is ranked where it is.

    Attributes:
        item: The item.
        user: A user id.
        history: Items that the person had besides.
        k: Most paths.
    """

    item: Id
    user: Id | None = None
    history: History = []
    k: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """An item in a list.

    Attributes:
        rank: From 1.
        item: Its id.
        label: Its label, its id where it has none.
        score: The model's score. Scores of different models, and of different kinds of lists, cannot
            be compared.
        kind: Where this place comes from, where that is elsewhere than the list.
        reasons: Why it is there.
    """

    rank: int
    item: str
    label: str
    score: float
    kind: str | None = None
    reasons: list[msgspec.Raw] = []


class Basis(msgspec.Struct, frozen=True):
    """What a list rests on.

    Attributes:
        known: Whether the user is one that the model was trained with.
        clicks: Items that the user had in the data.
        new_clicks: Known items of the history beside these.
    """

    known: bool
    clicks: int
    new_clicks: int


class RecommendedList(msgspec.Struct, frozen=True):
    """A list.

    Attributes:
        user: Who it is for; null for a history alone.
        kind: "personal" (the user's own), "history" (someone unseen, by a history), "content" (by
            attributes), "popular" (nothing is known of the person), or "none": there is no list.
        basis: What it rests on.
        items: Its items, best first.
        why: Why it is not personal; null where it is.
        fewer: Why it is shorter than requested; null where it is not.
    """

    user: str | None
    kind: str
    basis: Basis
    items: list[Place]
    why: str | None = None
    fewer: str | None = None


class RecommendAnswer(msgspec.Struct, frozen=True):
    """Lists, in the order of the users.

    Attributes:
        run: Which run they are of.
        model: Name of its model.
        lists: The lists.
        ignored: Ids that are not known and were ignored, by field.
        reasons_missing: Items that should have had a reason and have none.
        ms: Milliseconds that the lists took.
    """

    run: str
    model: str
    lists: list[RecommendedList]
    ignored: dict[str, list[str]]
    reasons_missing: int
    ms: float


class SimilarAnswer(msgspec.Struct, frozen=True):
    """Items near to one.

    Attributes:
        run: Which run says so.
        item: The item.
        items: The nearest first.
    """

    run: str
    item: str
    items: list[Place]


class ScoreAnswer(msgspec.Struct, frozen=True):
    """What items are worth to someone.

    Attributes:
        run: Which run says so.
        scores: In the order of the items; null for items that are not known.
    """

    run: str
    scores: list[float | None]


class FacetAnswer(msgspec.Struct, frozen=True):
    """A field that lists can be filtered by.

    Attributes:
        name: What ``where`` calls it.
        key: Relation or column in the data; it may be used as well.
        numbers: Whether it is filtered by a range.
        values: Some of its values.
    """

    name: str
    key: str
    numbers: bool
    values: list[dict[str, Any]]


class ItemsAnswer(msgspec.Struct, frozen=True):
    """Items by their ids or facts, and what they can be filtered by.

    Attributes:
        run: Which run they are of.
        count: How many items there are that fit.
        items: Some of them.
        facets: What ``where`` may say.
    """

    run: str
    count: int
    items: list[dict[str, str]]
    facets: list[FacetAnswer]


class RunAnswer(msgspec.Struct, frozen=True):
    """What is served.

    Attributes:
        run: First 12 digits of a SHA-256 over weights, data and configuration.
        model: Name of the model.
        form: "vectors", "histories", "sum" or "model".
        dataset: Name of the dataset.
        checksum: Its SHA-256.
        metrics: Figures of the run by part.
        users: Number of users with rows of their own.
        items: Number of items.
        capabilities: What it can: "history", "similar", "reasons", "explain".
        kgrec: Version that serves.
    """

    run: str
    model: str
    form: str
    dataset: str
    checksum: str
    metrics: dict[str, dict[str, float]]
    users: int
    items: int
    capabilities: list[str]
    kgrec: str


class Health(msgspec.Struct, frozen=True):
    """Whether the service lives, or answers.

    Attributes:
        status: "live", "ready" or why not.
    """

    status: str


class Version(msgspec.Struct, frozen=True):
    """Versions.

    Attributes:
        kgrec: Of kgrec.
        api: Of the paths and types.
        run: Which run is served.
    """

    kgrec: str
    api: str
    run: str


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error, as RFC 9457 has it.

    Attributes:
        type: What it is, as a relative address.
        title: The same in words.
        status: HTTP status.
        detail: What was found, where, and what to do.
        request_id: Which line of the log it is.
        field: Where in the request.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    field: str = ""
