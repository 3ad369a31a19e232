"""Start a training from the parameters of another run: rows go by ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import with_interactions
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.log import logger
from kgrec.ops.placing import place_items
from kgrec.runs.newcomers import first_users, of_content


@dataclass(frozen=True, slots=True)
class Start:
    """What a training starts from.

    Attributes:
        data: What the other run was trained on.
        parameters: Its parameters by name.
        about: What the record says of it: ``run``, ``path``, ``forgotten`` where a person was
            forgotten from it, and after ``take_over`` the rows kept.
    """

    data: Dataset
    parameters: Mapping[str, Tensor]
    about: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Axis:
    """Rows that a parameter may have.

    Attributes:
        kind: What a row is of.
        old: How many the other run has.
        source: For each new row the other run's, -1 for none.
    """

    kind: str
    old: int
    source: np.ndarray


def take_over(model: nn.Module, data: Dataset, start: Start) -> dict[str, Any]:
    """Load the parameters of another run into a model; return how many rows of each kind are kept
    (``kept``), and the names of parameters that start again (``fresh``).

    A new user starts at the mean of the known ones. A new item starts where it would be placed
    (``kgrec.ops.placing``): where its facts say, drawn to its first users where a table of users is as
    wide. What has no other mark, and what belongs to the edges of a graph,
    starts as the model itself makes it.

    Args:
        model: The untrained model of ``data``.
        data: What it will be trained on.
        start: What it starts from.
    """
    axes = _axes(start.data, data)
    own = dict(model.named_parameters())
    kept: dict[str, int] = {}
    fresh: list[str] = []
    taken: dict[str, tuple[str, Tensor, np.ndarray]] = {}
    with torch.no_grad():
        for name, parameter in own.items():
            given = start.parameters.get(name)
            axis = None if given is None else _axis_of(name, given, parameter, axes)
            if given is None or (axis is None and given.shape != parameter.shape):
                fresh.append(name)
            elif axis is None:
                parameter.copy_(given)
            else:
                there = np.flatnonzero(axis.source >= 0)
                parameter[torch.from_numpy(there)] = given[axis.source[there]].to(parameter)
                taken[name] = axis.kind, parameter, axis.source
                for kind, count in _counts(axis, data).items():
                    kept[kind] = max(kept.get(kind, 0), count)

        _newcomers(taken, data)

    if fresh:
        logger.info("starting again, since no row is known by an id: %s.", ", ".join(fresh))
    return {"kept": kept, "fresh": fresh}


def _axes(old: Dataset, new: Dataset) -> list[_Axis]:
    users = _source(old.users, new.users)
    items = _source(old.items, new.items)
    entities = _source(old.triples.entities, new.triples.entities)
    entities[: new.num_items] = items  # an item keeps its vector, whatever its entity is called
    relations = _source(old.triples.relations, new.triples.relations)
    nodes = np.concatenate([entities, np.where(users < 0, -1, users + old.num_entities)])
    pairs = np.concatenate([items, np.where(users < 0, -1, users + old.num_items)])
    found = [
        _Axis("users", old.num_users, users),
        _Axis("items", old.num_items, items),
        _Axis("entities", old.num_entities, entities),
        _Axis("nodes", old.num_entities + old.num_users, nodes),
        _Axis("nodes", old.num_items + old.num_users, pairs),
    ]
    count = old.num_relations
    once = np.concatenate([[0], np.where(relations < 0, -1, relations + 1)])
    twice = np.concatenate([once, np.where(once < 0, -1, once + count + 1)])
    for source, size in ((relations, count), (once, count + 1), (twice, 2 * count + 2)):
        if size:
            found.append(_Axis("relations", size, source))

    return found


def _source(old: Vocabulary, new: Vocabulary) -> np.ndarray:
    return old.match(new.series).astype(np.int64)


def _axis_of(name: str, given: Tensor, own: Tensor, axes: list[_Axis]) -> _Axis | None:
    """Return what the rows of a parameter are of; None where that its sizes do not say."""
    if not own.ndim or not given.ndim or given.shape[1:] != own.shape[1:]:
        return None

    fits = [one for one in axes if one.old == len(given) and len(one.source) == len(own)]
    if len(fits) > 1:  # as many users as items: the name says which
        named = [one for one in fits if one.kind.rstrip("s")[:5] in name]
        same = all(np.array_equal(one.source, fits[0].source) for one in fits)
        fits = fits[:1] if same else named
    return fits[0] if len(fits) == 1 else None


def _counts(axis: _Axis, data: Dataset) -> dict[str, int]:
    source = axis.source >= 0
    if axis.kind == "nodes":
        first = len(source) - data.num_users
        return {
            "users": int(source[first:].sum()),
            "items": int(source[: data.num_items].sum()),
            "entities": int(source[:first].sum()),
        }
    if axis.kind == "entities":
        return {"items": int(source[: data.num_items].sum()), "entities": int(source.sum())}
    most = data.num_relations if axis.kind == "relations" else len(source)
    return {axis.kind: min(most, int(source.sum()))}


def _newcomers(taken: dict[str, tuple[str, Tensor, np.ndarray]], data: Dataset) -> None:
    """Give rows of new users and new items their starts, in every table that has such rows."""
    users: list[tuple[Tensor, np.ndarray]] = []
    items: list[tuple[Tensor, np.ndarray]] = []
    for kind, table, source in taken.values():
        if kind in ("users", "nodes"):
            users.append((table[len(source) - data.num_users :], source[-data.num_users :] >= 0))
        if kind in ("items", "entities", "nodes"):
            items.append((table[: data.num_items], source[: data.num_items] >= 0))

    for table, known in users:
        if known.any() and not known.all():
            table[torch.from_numpy(~known)] = table[torch.from_numpy(known)].mean(0)

    for table, known in items:
        if known.all() or not known.any() or table.ndim != 2:
            continue
        rows = np.flatnonzero(~known)
        warm = np.flatnonzero(known & with_interactions(data).items)
        own = table.detach().cpu().numpy()
        content, near = of_content(data, rows, warm, own)
        beside = next(((t, k) for t, k in users if t.shape[1:] == table.shape[1:]), None)
        people, there = beside or (table[:0], np.zeros(data.num_users, bool))
        clicked = first_users(data, rows, there)
        vectors = people.detach().cpu().numpy()
        placed = place_items(own, vectors, content, near, clicked)
        some = [n for n, row in enumerate(placed) if row.any()]
        table[torch.from_numpy(rows[some])] = torch.from_numpy(placed[some]).to(table)
