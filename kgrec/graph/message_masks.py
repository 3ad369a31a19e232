"""Numbers that multiply the messages of a PyG network, edge by edge."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kgrec.errors import CapabilityError

EdgeType = tuple[str, str, str]


@contextmanager
def masked_messages(
    network: nn.Module, edges: Mapping[EdgeType, Tensor], masks: Mapping[EdgeType, Tensor]
) -> Iterator[set[EdgeType]]:
    """Multiply every message of a network by the number of its edge, while the context lasts.

    What a layer adds itself, such as loops, is left as it is. Yields the edge types whose messages
    have been met so far.

    Args:
        network: Any module; its layers are ``torch_geometric.nn.MessagePassing``.
        edges: The edges that it is run on, by type; these very tensors.
        masks: A number per edge, by type.

    Raises:
        CapabilityError: In the run, if a layer's messages cannot be told apart by edge.
    """
    from torch_geometric.nn import MessagePassing

    met: set[EdgeType] = set()
    current: dict[nn.Module, Tensor] = {}
    own = _types_of_layers(network, edges)

    def before(layer: Any, inputs: Any) -> None:
        types = _matched(inputs[0], edges, own.get(layer))
        if types is None:
            raise CapabilityError(
                f"{type(layer).__name__}: its messages cannot be told apart by edge."
            )

        met.update(types)
        mask = torch.cat([masks[edge_type] for edge_type in types])
        added = inputs[0].shape[1] - len(mask)  # loops
        current[layer] = torch.cat([mask, mask.new_ones(added)])

    def after(layer: Any, inputs: Any, messages: Tensor) -> Tensor:
        mask = current[layer]
        shape = [1] * messages.dim()
        axis = layer.node_dim if messages.dim() > 1 else 0
        shape[axis] = len(mask)
        return messages * mask.view(shape)

    handles = []
    try:
        for layer in network.modules():
            if isinstance(layer, MessagePassing):
                handles.append(layer.register_propagate_forward_pre_hook(before))
                handles.append(layer.register_message_forward_hook(after))
        yield met
    finally:
        for handle in handles:
            handle.remove()


def _types_of_layers(
    network: nn.Module, edges: Mapping[EdgeType, Tensor]
) -> dict[nn.Module, EdgeType]:
    """Return the edge type of each layer that is listed under one, as ``HeteroConv`` and
    ``to_hetero`` do.
    """
    names: dict[Any, EdgeType] = {edge_type: edge_type for edge_type in edges}
    names |= {"__".join(edge_type): edge_type for edge_type in edges}

    return {
        layer: names[key]
        for listed in network.modules()
        if isinstance(listed, nn.ModuleDict)
        for key, child in listed.items()
        if key in names
        for layer in child.modules()
    }


def _matched(
    edge_index: Any, edges: Mapping[EdgeType, Tensor], own: EdgeType | None
) -> tuple[EdgeType, ...] | None:
    """Return the edge types whose edges a layer is run on, in their order; None where that is not
    known.
    """
    for edge_type, known in edges.items():
        if edge_index is known:
            return (edge_type,)

    if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
        return None

    if own is not None:
        known = edges[own]
        if torch.equal(edge_index[:, : known.shape[1]], known):
            return (own,)

        return None

    # all of them after each other, nodes counted from another start (HGTConv)
    sizes = [known.shape[1] for known in edges.values()]
    if sum(sizes) != edge_index.shape[1]:
        return None

    for block, known in zip(torch.split(edge_index, sizes, 1), edges.values(), strict=True):
        shift = block - known
        if not bool((shift == shift[:, :1]).all()):
            return None

    return tuple(edges)
