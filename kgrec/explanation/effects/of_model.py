"""The strongest effects that a model's capabilities give."""

from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.effects.measured import (
    EffectsOf,
    LinearModel,
    LinearModelOfFacts,
    MeasuredModel,
)
from kgrec.explanation.effects.rebuilt import Rebuilt
from kgrec.explanation.effects.summed import Histories, Member, SummedModel
from kgrec.models.base import ModelEffects, Recommender
from kgrec.models.capabilities import (
    GraphEditable,
    LinearlyPropagated,
    LinearOverFacts,
    Rerunnable,
    Summed,
)


def effects_of(
    model: ModelEffects | None, graph: PathGraph, brought: Histories | None = None
) -> EffectsOf | None:
    """Return what the strongest capability of a model's effects gives, None where the graph has no
    effect on its scores.

    Args:
        model: What the model says of its scores.
        graph: The graph of its paths.
        brought: Items (rows) that a query of a user brings; None: those of the graph.
    """
    if isinstance(model, Summed):
        return _summed(model, graph, brought)
    if isinstance(model, LinearlyPropagated):
        return LinearModel(model, graph)
    if isinstance(model, LinearOverFacts):
        return LinearModelOfFacts(model, graph)
    if isinstance(model, Rerunnable):
        return MeasuredModel(model, graph)
    if isinstance(model, GraphEditable):
        return MeasuredModel(Rebuilt(model), graph)

    return None


def _summed(model: Summed, graph: PathGraph, brought: Histories | None) -> SummedModel | None:
    """Return the sum of the members' effects; None where none of them has any."""
    members = [_member(*one, graph) for one in model.members]
    if any(one.effects is not None or one.history is not None for one in members):
        return SummedModel(model, graph, members, brought)
    return None


def _member(model: Recommender, stated: ModelEffects | None, graph: PathGraph) -> Member:
    own = None
    effects = None
    if isinstance(stated, Rerunnable | GraphEditable):
        own = PathGraph(stated.ckg, merged=getattr(stated, "merges_relations", False))
        effects = effects_of(stated, own)

    return Member(model, stated, effects, own, graph)
