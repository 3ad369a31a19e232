"""Typed edges with mean weights; they move between devices with the model that holds them."""

import torch
from torch import Tensor, nn

from kgrec.ops.typed import Segments, TypedEdges

_PARTS = ("ptr", "first", "start", "relation", "idx")


class TypedMean(nn.Module):
    """The structure behind a mean over neighbors of several relations.

    Args:
        edges: The structure.

    Attributes:
        weight: 1 / edges of the edge's row, in the order of the structure, in the default dtype.
    """

    weight: Tensor
    _turned: Tensor

    def __init__(self, edges: TypedEdges) -> None:
        super().__init__()
        count = edges.forward.ptr.diff()
        each = count.to(torch.get_default_dtype()).reciprocal()
        parts = {
            "weight": torch.repeat_interleave(each, count, output_size=len(edges.turned)),
            "_turned": edges.turned,
        }
        for side, segments in (("forward", edges.forward), ("backward", edges.backward)):
            parts |= {f"_{side}_{part}": getattr(segments, part) for part in _PARTS}
        for name, value in parts.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def edges(self) -> TypedEdges:
        """The structure, on the device where the module is."""
        forward, backward = (
            Segments(*(self.get_buffer(f"_{side}_{part}") for part in _PARTS))
            for side in ("forward", "backward")
        )
        return TypedEdges(forward, backward, self._turned)
