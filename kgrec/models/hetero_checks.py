"""What a network over a typed graph must be and return; each error is one line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kgrec.errors import KgrecError, ModelError
from kgrec.graph.typed_graph import EdgeType

_BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a network that does not fit its graph raises."""


@contextmanager
def one_line_errors(where: str) -> Iterator[None]:
    """Give what a network raises in one line.

    Raises:
        ModelError: Names the network and the error, which it comes from.
    """
    try:
        yield
    except _BROKEN as error:
        if isinstance(error, KgrecError):
            raise

        line = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")[:200]
        raise ModelError(f"{where} cannot be run on its graph: {line}.") from error


def check_network(net: Any, edges: Mapping[EdgeType, Tensor], where: str) -> None:
    """Refuse what is not a module, and layers of edge types that the graph lacks: PyG leaves such
    layers out in silence.

    Raises:
        ModelError: Names the edge types that there are.
    """
    if not isinstance(net, nn.Module):
        raise ModelError(f"{where} is not a torch.nn.Module but {type(net).__name__}.")

    for listed in net.modules():
        if not isinstance(listed, nn.ModuleDict):
            continue

        keys: list[Any] = list(listed.keys())
        for key in keys:
            if isinstance(key, tuple) and key not in edges:
                known = "; ".join(", ".join(edge_type) for edge_type in sorted(edges))
                raise ModelError(
                    f"{where} has a layer for edges of type {', '.join(key)}, and the graph has "
                    f"none. Take the types of data.edge_types: {known[:300]}."
                )


def check_vectors(found: Any, counts: Mapping[str, int], where: str) -> dict[str, Tensor]:
    """Return what a network returned, if it is a vector of one width per node of some types.

    Args:
        found: What it returned.
        counts: Number of nodes of the types that must be there.
        where: Names the network.

    Raises:
        ModelError: If it is anything else.
    """
    if not isinstance(found, Mapping):
        raise ModelError(
            f"{where} returns {type(found).__name__}, not vectors by node type. Return a dict with "
            "'user' and 'item'."
        )

    for name, count in counts.items():
        vectors = found.get(name)
        if not isinstance(vectors, Tensor):
            has = ", ".join(sorted(str(k) for k, value in found.items() if value is not None))
            raise ModelError(f"{where} returns no {name!r} vectors, only {has or 'none'}.")

        if vectors.dim() != 2 or len(vectors) != count:
            raise ModelError(
                f"{where} returns {name!r} vectors of shape {tuple(vectors.shape)}. Return "
                f"({count}, width)."
            )

    widths = {name: found[name].shape[1] for name in counts}
    if len(set(widths.values())) > 1:
        sizes = " and ".join(f"{name!r} vectors of width {width}" for name, width in widths.items())
        raise ModelError(f"{where} returns {sizes}. Make them equal: a score is their product.")

    return dict(found)


def check_finite(found: Mapping[str, Tensor], where: str) -> None:
    """Refuse vectors of users and items that are not finite.

    Raises:
        ModelError: Names the node type.
    """
    for name in ("user", "item"):
        if not bool(torch.isfinite(found[name]).all()):
            raise ModelError(f"{where} returns {name!r} vectors that are not finite numbers.")
