"""Checksums of the model and the graph that an explanation was made of."""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from kgrec.data.records.dataset import Dataset

_LENGTH = 32  # hexadecimal digits: 128 bits


def parameters_sum(tensors: Mapping[str, Tensor]) -> str:
    """Return a checksum of names, types, shapes and bits of a model's tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        if values.numel():
            digest.update(values.reshape(-1).view(torch.uint8).numpy().data)

    return digest.hexdigest()[:_LENGTH]


def graph_sum(data: Dataset) -> str:
    """Return a sum over the ids, the training interactions and the triples of a dataset, with the
    lines they were read from.

    An explanation is checked against what it was made of: the graph and the lines that it cites.
    ``Dataset.checksum`` is of files, which a dataset in memory has not, and held-out interactions
    change no explanation.
    """
    digest = hashlib.sha256()
    triples = data.triples
    for ids in (
        data.users.series,
        data.items.series,
        triples.entities.series,
        triples.relations.series,
    ):
        digest.update(ids.str.len_bytes().to_numpy().astype(np.int64).data)
        digest.update((ids.str.join("").item() or "").encode())

    columns = (
        data.train.user,
        data.train.item,
        triples.head,
        triples.relation,
        triples.tail,
        triples.source,
        triples.locator,
    )
    for column in columns:
        digest.update(np.ascontiguousarray(column, dtype=np.int64).data)

    digest.update("\n".join(triples.sources).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:_LENGTH]
