"""Typed edges with mean weights; they move between devices with the model that holds them."""

import torch
from torch import Tensor, nn

from kgrec.ops.typed import RelationMatrices, TypedEdges


class TypedMean(nn.Module):
    """The structure behind a mean over neighbors of several relations.

    Args:
        edges: The structure.

    Attributes:
        weight: 1 / edges of the edge's row, in the order of the structure, in the default dtype.
    """

    weight: Tensor
    _rows: Tensor
    _ptr: Tensor
    _idx: Tensor
    _back_rows: Tensor
    _back_ptr: Tensor
    _back_idx: Tensor
    _turned: Tensor

    def __init__(self, edges: TypedEdges) -> None:
        super().__init__()
        there, back = edges.forward, edges.backward
        self._sizes = (there.sizes, back.sizes, edges.num_rows, edges.num_columns)
        parts = {"_rows": there.rows, "_ptr": there.ptr, "_idx": there.idx}
        parts |= {"_back_rows": back.rows, "_back_ptr": back.ptr, "_back_idx": back.idx, "_turned": edges.turned}
        row = edges.row_of_edge()
        count = torch.bincount(row, minlength=edges.num_rows)
        parts["weight"] = count[row].to(torch.get_default_dtype()).reciprocal()
        for name, value in parts.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def edges(self) -> TypedEdges:
        """The structure, on the device where the module is."""
        there, back, num_rows, num_columns = self._sizes
        return TypedEdges(
            RelationMatrices(self._rows, self._ptr, self._idx, there),
            RelationMatrices(self._back_rows, self._back_ptr, self._back_idx, back),
            self._turned,
            num_rows,
            num_columns,
        )
