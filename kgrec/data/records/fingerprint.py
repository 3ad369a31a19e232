"""What tells one dataset from another."""

import hashlib

import numpy as np

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.parts import PARTS


def fingerprint(data: Dataset) -> str:
    """Return what tells one dataset from another: its checksum, or a sum over ids, interactions and
    triples where it was never saved.

    A study goes on, and processes train together, only on the same split: validation and test parts
    count, and where triples were read from does not: ``kgrec.explanation.fingerprint.graph_sum``
    is the other way round.
    """
    if data.checksum:
        return data.checksum

    digest = hashlib.sha256()
    for keys in (data.users, data.items, data.triples.entities, data.triples.relations):
        digest.update("\n".join(keys.series.to_list()).encode())

    parts = {"train": data.train, "valid": data.valid, "test": data.test}
    columns = [column for part in PARTS for column in (parts[part].user, parts[part].item)]
    for array in (
        *columns,
        data.triples.head,
        data.triples.relation,
        data.triples.tail,
        data.user_facts,
    ):
        digest.update(f"{array.shape}".encode() + np.ascontiguousarray(array).tobytes())

    return digest.hexdigest()
