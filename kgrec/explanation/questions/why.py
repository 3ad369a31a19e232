"""Why is this item recommended to this user? The paths that join them, measured and ranked."""

from collections.abc import Iterable, Mapping, Sequence

from kgrec.data.records.ids import Id, one_id
from kgrec.errors import ConfigError, nearest
from kgrec.explanation.core.records import Budget, Explanation, Path, Term
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.explanation.search.filters import Filters
from kgrec.explanation.search.ranked import RANKINGS, FoundPaths, MeasuredPath, PathSearch
from kgrec.languages import DEFAULT, language
from kgrec.models.capabilities import HistoryEditable, Parted

_MOST_AGAINST = 5


def explain(
    search: PathSearch,
    user: Id,
    item: Id,
    k: int = 10,
    *,
    rank_by: str = "like",
    ranks: bool = False,
    relations: Mapping[str, Iterable[str]] | None = None,
    types: Iterable[str] | None = None,
    max_length: int | None = None,
    max_degree: int | None = None,
    users: str | None = None,
    min_drop: float | int | None = None,
) -> Explanation:
    """Return the best ``k`` paths between a user and an item, and what the score is made of.

    An item that the user already has is explained by the other paths, without a rank. No path at
    all is an explanation too: its ``paths`` are empty and its ``notes`` say so.

    Args:
        search: The search for paths.
        user: User id.
        item: Item id.
        k: Most paths; more than 1000 are never measured.
        rank_by: "like" (the drop without the like, then, of paths with one like, without the
            facts), "facts", "drop" (without both), "drop_mask" (with the other weights kept),
            "attribution" (first order), "joint" (what the path's own walks carry), "weight"
            (product of its weights), "plausibility" (of its facts), or "length".
        ranks: Whether the item's rank without each path is found as well; the whole ranking is
            computed again for each.
        relations: {"allow": [...], "deny": [...]}, by key or label. Allowed ones are all that a
            path may follow after the user's own likes; a denied one is never followed.
        types: Kinds of stops that a path may have after its first: "item", "entity", "users".
        max_length: Longest path; None takes the search's own.
        max_degree: Most edges of a stop between the ends.
        users: "count", "hide" or "show"; None takes the search's own.
        min_drop: Least drop of a path.

    Raises:
        UnknownIdError: If the user or the item is not in the data.
        ConfigError: If a setting is out of range, or an id is not text (a row number would be taken
            for an id).
        ExplanationError: If the model has learned nothing about the user or the item, its score is
            not a finite number, or ``max_length`` cannot be searched.
    """
    explanation, _ = explain_measured(
        search,
        user,
        item,
        k,
        rank_by=rank_by,
        ranks=ranks,
        relations=relations,
        types=types,
        max_length=max_length,
        max_degree=max_degree,
        users=users,
        min_drop=min_drop,
    )
    return explanation


def explain_measured(
    search: PathSearch,
    user: Id,
    item: Id,
    k: int = 10,
    *,
    rank_by: str = "like",
    ranks: bool = False,
    relations: Mapping[str, Iterable[str]] | None = None,
    types: Iterable[str] | None = None,
    max_length: int | None = None,
    max_degree: int | None = None,
    users: str | None = None,
    min_drop: float | int | None = None,
) -> tuple[Explanation, list[MeasuredPath]]:
    """Return an explanation as ``explain`` does, and the edges of its paths."""
    if k < 1:
        raise ConfigError(f"k is {k}. Ask for at least one path.")
    if rank_by not in RANKINGS:
        raise ConfigError(
            f"rank_by={rank_by!r} is not known. Choose from "
            f"{', '.join(RANKINGS)}.{nearest(rank_by, RANKINGS)}"
        )

    explained = search.explained
    u, i = explained.rows(user, item)
    if max_length is None:
        max_length = search.filters.max_length

    filters = Filters.of(
        relations,
        types,
        max_length=max_length,
        users=users or search.filters.users,
        max_degree=max_degree,
        min_drop=min_drop,
    )
    standing = explained.standing(u)
    score = explained.score(standing, u, i)
    effects = explained.effects_at(u, i)
    found = search.find(u, i, effects, filters)
    measured = search.measure(found, effects, rank_by, k, every=min_drop is not None)
    enough = [path for path in measured if _drops_enough(found, path, min_drop)]
    search.complete(found, enough[:k])
    rank_without = {}

    if ranks and effects is not None:
        for path in enough[:k]:
            edited = explained.without(search.facts(found, path))
            rank_without[path.where] = explained.standing(u, edited).rank(i)

    paths = tuple(
        search.path(found, path, effects, rank_without.get(path.where)) for path in enough[:k]
    )

    hidden = {}
    if filters.active():
        counts = search.hidden(u, i, filters, effects, found)
        too_low = len(measured) - len(enough)
        hidden = {"paths": counts["paths"], "below_min_drop": too_low, "share": counts["share"]}

    limits = filters.to_dict()
    if rank_by != "like":
        limits["rank_by"] = rank_by

    following = standing.next_item(i)
    margin = None
    next_item = None

    if following is not None:
        margin = score - float(standing.scores[following])
        next_item = explained.naming.item(following)

    rank = standing.rank(i)
    budget = explained.budget(u, i, score, effects)

    answer = Explanation(
        user=one_id(user),
        item=one_id(item),
        user_label=explained.data.user_label(u),
        item_label=explained.data.item_label(i),
        score=score,
        rank=rank,
        paths=paths,
        counts={str(n): len(nodes) for n, nodes in enumerate(found.listed.nodes, 1)},
        truncated=found.listed.truncated,
        filters=limits,
        notes=tuple(_notes(search, rank, found, filters, paths)),
        manifest=search.manifest(k=k),
        budget=budget,
        margin=margin,
        next_item=next_item,
        against=_against(budget),
        hidden=hidden,
    )
    return explained.naming.speech.explanation(answer), enough[:k]


def _drops_enough(found: FoundPaths, path: MeasuredPath, least: float | int | None) -> bool:
    if least is None:
        return True
    drop = 0.0 if found.drops is None else found.drops.drop(path.whole)
    return drop is not None and drop >= least


def _against(budget: Budget | None) -> tuple[Term, ...]:
    """Return the liked items that pull a score down, the strongest first."""
    if budget is None:
        return ()
    return tuple(term for term in reversed(budget.by_liked) if term.value < 0)[:_MOST_AGAINST]


def _notes(
    search: PathSearch,
    rank: int | None,
    found: FoundPaths,
    filters: Filters,
    paths: Sequence[Path],
) -> list[str]:
    """Return what a reader must know beside the numbers."""
    explained = search.explained
    notes = []

    if rank is None:
        notes.append(_note("has"))

    if explained.graph_effect != "measured":
        notes.append(_no_effect(explained))

    if any(found.listed.cut[:2]):
        notes.append(_note("budget", budget=search.settings["budget"]))

    if explained.about:
        notes.append(explained.about)

    notes += found.notes
    if explained.blind_to_users and filters.users != "hide":
        notes.append(_note("blind", model=explained.name))

    if not paths:
        notes.append(_no_path(filters))

    if any(path.users for path in paths):
        notes.append(_note("counted"))

    return notes


def _note(key: str, **values: object) -> str:
    """Return a note in English; ``Speech`` says it in other languages."""
    return language(DEFAULT).say(f"notes.{key}", **values)


def _no_effect(explained: ExplainedModel) -> str:
    likes = ""
    if isinstance(explained.model_effects, HistoryEditable):
        likes = _note("likes_parted" if isinstance(explained.model_effects, Parted) else "likes")

    key = "not_measured" if explained.graph_effect == "not measured" else "no_effect"
    return _note(key, model=explained.name, likes=likes)


def _no_path(filters: Filters) -> str:
    reach = _note("one_hop")
    if filters.max_length > 1:
        reach = _note("hops", count=filters.max_length)

    hidden = ""
    if filters.users == "hide":
        hidden = _note("without_users")

    without_users = Filters(max_length=filters.max_length, users="hide")
    if filters.active() and filters != without_users:
        hidden = _note("within_filters")

    return _note("no_path", reach=reach, hidden=hidden)
