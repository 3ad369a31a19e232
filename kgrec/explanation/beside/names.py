"""The explainers that can be compared, by name."""

from collections.abc import Iterable

from kgrec.errors import ConfigError, nearest
from kgrec.explanation.beside.ranked_edges import EdgeExplainer
from kgrec.explanation.search.ranked import PathSearch

BESIDE = ("leave-one-out", "lime", "prince", "gnnexplainer")


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of explainers, each once.

    Raises:
        ConfigError: If one is not known.
    """
    chosen = tuple(dict.fromkeys(names))
    for name in chosen:
        if name not in BESIDE:
            raise ConfigError(
                f"no explainer {name!r} to compare with.{nearest(name, BESIDE)} "
                f"There are {', '.join(BESIDE)}."
            )

    return chosen


def explainer_named(name: str, search: PathSearch, seed: int = 0) -> EdgeExplainer:
    """Return an explainer of a model's scores.

    Args:
        name: One of ``BESIDE``.
        search: The search for paths, whose edges are the candidates.
        seed: Draws masks.

    Raises:
        ConfigError: If the name is not known.
    """
    check_names([name])
    if name == "leave-one-out":
        from kgrec.explanation.beside.leave_one_out import LeaveOneOut

        return LeaveOneOut(search)

    if name == "lime":
        from kgrec.explanation.beside.lime import Lime

        return Lime(search, seed)

    if name == "prince":
        from kgrec.explanation.beside.prince import Prince

        return Prince(search.explained)

    from kgrec.explanation.beside.gnn_explainer import GNNExplainerEdges

    return GNNExplainerEdges(search, seed)
