"""A score as a sum, nothing left out (docs/explanations.md, sections 2 and 3)."""

from collections.abc import Sequence

import numpy as np
import torch

from kgrec.explanation.core.naming import Naming
from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.core.records import Budget, Node, Term
from kgrec.explanation.effects.closed_form import Pair
from kgrec.explanation.effects.measured import Effects, LinearEffects, LinearEffectsOfFacts
from kgrec.explanation.effects.summed import SummedEffects
from kgrec.models.base import ModelEffects
from kgrec.models.capabilities import Parted

_MOST_MEASURED = 200
_BASES = ("exact", "linearized", "measured")


def budget_of(
    model: ModelEffects | None,
    effects: Effects | None,
    graph: PathGraph,
    naming: Naming,
    user: int,
    item: int,
    score: float,
    liked: np.ndarray,
) -> Budget | None:
    """Return what a score is made of, by the strongest means that the model has; None where it has
    none.

    Args:
        model: What the model says of its scores; None where nothing.
        effects: Effects on this score.
        graph: The path graph.
        naming: Names nodes.
        user: User row.
        item: Item row.
        score: The scorer's score.
        liked: Item rows that the user has, for the parts of models that are run again.
    """
    if isinstance(effects, SummedEffects):
        return _summed(effects, naming, user, item, score, liked)
    if isinstance(effects, LinearEffects | LinearEffectsOfFacts):
        return _linear(effects.pair, graph, naming, score)
    if isinstance(model, Parted):
        return _parted(model, naming, user, item, score)
    if effects is not None and 0 < len(liked) <= _MOST_MEASURED:
        return _measured(effects, graph, naming, user, score, liked)

    return None


def _terms(
    naming: Naming, nodes: Sequence[int], values: np.ndarray, supported: np.ndarray | None = None
) -> tuple[Term, ...]:
    order = np.lexsort([np.asarray(nodes), -values])
    if supported is None:
        pieces = [None] * len(values)
    else:
        pieces = supported.tolist()

    return tuple(
        Term(naming.node(int(nodes[n])), float(values[n]), pieces[n]) for n in order.tolist()
    )


def _linear(pair: Pair, graph: PathGraph, naming: Naming, score: float) -> Budget:
    """Return Eq. (4) from both sides, the supported piece of Eq. (5), and what walks carry."""
    ckg = graph.ckg
    own = pair.own()
    neighbors, values = pair.by_neighbor()
    items = neighbors < ckg.num_items
    supported = pair.supported(neighbors, _joined(graph, neighbors, pair.user, pair.item))[items]
    liked = float(values[items].sum())

    if (~items).any():
        other = {"facts about the user": float(values[~items].sum())}
    else:
        other = {}

    item_own, around, parts = pair.from_item_side()
    users = around >= ckg.num_entities

    return Budget(
        score=score,
        own=own,
        bias=0.0,
        by_liked=_terms(naming, neighbors[items].tolist(), values[items], supported),
        other=other,
        residual=score - own - float(values.sum()),
        basis="exact",
        by_property=_terms(naming, around[~users].tolist(), parts[~users]),
        by_users=float(parts[users].sum()),
        item_own=item_own,
        supported=float(supported.sum()),
        unsupported=liked - float(supported.sum()),
        on_graph=pair.on_graph(),
    )


def _joined(
    graph: PathGraph, neighbors: np.ndarray, user: int, item: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (position in ``neighbors``, neighbor of the item) where the two are one node or joined
    by an edge; the user apart.
    """
    near = np.zeros(graph.ckg.num_nodes, dtype=bool)
    near[graph.neighbor[graph.ptr[item] : graph.ptr[item + 1]]] = True
    near[user] = False
    size = graph.degree(neighbors)
    place = np.repeat(np.arange(len(neighbors)), size)
    entry = (
        np.arange(len(place))
        - np.repeat(np.cumsum(size) - size, size)
        + np.repeat(graph.ptr[neighbors], size)
    )
    reached = graph.neighbor[entry]
    joined = near[reached]
    joined[1:] &= (place[1:] != place[:-1]) | (
        reached[1:] != reached[:-1]
    )  # parallel edges are one
    same = np.flatnonzero(near[neighbors])
    return np.concatenate([place[joined], same]), np.concatenate([reached[joined], neighbors[same]])


def _parted(model: Parted, naming: Naming, user: int, item: int, score: float) -> Budget:
    with torch.no_grad():
        parts = model.score_parts(user, item)

    liked = np.asarray(parts.liked, dtype=np.float64)
    total = parts.own + parts.bias + float(liked.sum()) + sum(parts.other.values())

    return Budget(
        score=score,
        own=parts.own,
        bias=parts.bias,
        by_liked=_terms(naming, parts.items.tolist(), liked),
        other=dict(parts.other),
        residual=score - total,
        basis=parts.basis,
    )


def _measured(
    effects: Effects, graph: PathGraph, naming: Naming, user: int, score: float, liked: np.ndarray
) -> Budget:
    """Return the drop without each like by itself, and what is left."""
    start = graph.ckg.user_node(user)
    entries = np.arange(graph.ptr[start], graph.ptr[start + 1])
    groups = [graph.edge[entries[graph.neighbor[entries] == item]] for item in liked.tolist()]
    (scores,) = effects.without(groups)
    drops = scores[0] - scores[1:]

    return Budget(
        score=score,
        own=0.0,
        bias=0.0,
        by_liked=_terms(naming, liked.tolist(), drops),
        other={"the rest: what no single like takes away": score - float(drops.sum())},
        residual=0.0,
        basis="measured",
    )


def _summed(
    effects: SummedEffects, naming: Naming, user: int, item: int, score: float, liked: np.ndarray
) -> Budget:
    """Return the weighted sum of the members' budgets; a member without one is one part."""
    own, bias = 0.0, effects.constant
    likes: dict[Node, list[float]] = {}
    other: dict[str, float] = {}
    basis = effects.basis

    for number, addend in enumerate(effects.addends, 1):
        stated, graph = addend.member.stated, addend.member.graph
        words = Naming(naming.data, graph, naming.speech)
        at = (user, item, addend.score, liked)
        part = budget_of(stated, addend.effects, graph, words, *at)
        if part is None:
            text = f"member {number}, which says nothing of its parts"
            other[text] = addend.factor * addend.score
            continue

        basis = max(basis, part.basis, key=_BASES.index)
        own += addend.factor * part.own
        bias += addend.factor * part.bias
        for text, value in part.other.items():
            other[text] = other.get(text, 0.0) + addend.factor * value
        for term in part.by_liked:
            likes.setdefault(term.node, []).append(addend.factor * term.value)

    terms = [Term(node, float(sum(values))) for node, values in likes.items()]
    terms.sort(key=lambda term: -term.value)
    total = own + bias + sum(term.value for term in terms) + sum(other.values())
    return Budget(
        score=score,
        own=own,
        bias=bias,
        by_liked=tuple(terms),
        other=other,
        residual=score - total,
        basis=basis,
    )
