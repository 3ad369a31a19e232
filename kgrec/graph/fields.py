"""Users and items by fields: as integer columns, and as sets of values with numbers (FM, DeepFM)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import DataError
from kgrec.graph.attributes import ItemAttributes
from kgrec.graph.ckg import USER_FACT, CollaborativeKG


@dataclass(frozen=True)
class FieldTable:
    """What is known of users and items, a whole number per column.

    The first two columns are user and item rows. The others are relations: what a fact says of the
    item, of the user, counted from 1; 0 where there is no fact. A relation of which one item has
    several facts may fill several columns, whose values are counted alike.

    Attributes:
        names: What each column is: "user", "item", the relation's key, with "^" before it where the
            item is the fact's tail, with "user " before it of facts about users.
        sizes: How many values each column may have, 0 included.
        items: The columns of items after the first two.
        users: The columns of users, after those.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    items: Int[Tensor, "items _"]
    users: Int[Tensor, "users _"]

    @classmethod
    def from_dataset(cls, data: Dataset, most: int = 1) -> "FieldTable":
        """Return the table of a dataset's facts.

        Args:
            data: The dataset.
            most: Columns of a relation; of more facts about one item those stay that are true of
                most items, among equals in the order of entities.
        """
        found = ItemAttributes.from_dataset(data)
        entries = found.matrix.tocoo()
        kind = found.relation + data.num_relations * found.inverse
        keys = [*data.triples.relations, *(f"^{key}" for key in data.triples.relations)]
        of_items = _columns(entries.row, kind[entries.col], found.entity[entries.col], most)

        user, relation, entity = data.user_facts.astype(np.int64).T
        of_users = _columns(user, relation, entity, most)

        names, sizes = ["user", "item"], [data.num_users, data.num_items]
        tables = []

        for rows, columns, prefix in (
            (data.num_items, of_items, ""),
            (data.num_users, of_users, "user "),
        ):
            table = np.zeros((rows, len(columns)), dtype=np.int64)
            for at, (number, size, owner, value) in enumerate(columns):
                names.append(prefix + keys[number])
                sizes.append(size)
                table[owner, at] = value

            tables.append(torch.from_numpy(table))

        return cls(tuple(names), tuple(sizes), *tables)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where the values of each column begin if all stand in one table; columns of one name
        share theirs.
        """
        begin: dict[str, int] = {}
        total = 0

        for name, size in zip(self.names, self.sizes, strict=True):
            if name not in begin:
                begin[name] = total
                total += size

        return tuple(begin[name] for name in self.names)

    @property
    def num_values(self) -> int:
        """Rows of that table."""
        return sum(dict(zip(self.names, self.sizes, strict=True)).values())

    def rows(
        self, user: Int[Tensor, " batch"], item: Int[Tensor, " batch"]
    ) -> Int[Tensor, "batch _"]:
        """Return the columns of pairs of user and item."""
        pair = torch.stack([user, item], 1)
        return torch.cat([pair, self.items[item], self.users[user]], 1)

    def to(self, device: torch.device | str) -> "FieldTable":
        """Return the table on another device."""
        return replace(self, items=self.items.to(device), users=self.users.to(device))


def _columns(
    owner: np.ndarray, kind: np.ndarray, entity: np.ndarray, most: int
) -> list[tuple[int, int, np.ndarray, np.ndarray]]:
    """Return the columns of facts, by kind: the kind, how many values it has with 0, whom each
    value is of, and the values.
    """
    columns = []
    for each in np.unique(kind):
        of, value = owner[kind == each], entity[kind == each]
        values, number, count = np.unique(value, return_inverse=True, return_counts=True)
        order = np.lexsort((number, -count[number], of))
        of, number = of[order], number[order]
        nth = np.arange(len(of)) - np.searchsorted(of, of)  # of its owner's facts
        for column in range(min(most, int(nth.max()) + 1)):
            kept = nth == column
            columns.append((int(each), len(values) + 1, of[kept], number[kept] + 1))

    return columns


@dataclass(frozen=True, slots=True)
class FieldValues:
    """What is known of users, or of items, beside their ids: values of fields, each with a number.

    A field is a relation, read one way; "features" of items are one more, each column a value.
    Several values of one field have 1 / n each, so that they count as their mean; a feature has
    what it is, less its mean, by its standard deviation.

    Attributes:
        names: The fields, by their relations' labels, with "^" before it where the item is the
            facts' tail.
        field: Field of each value.
        row: User or item of each entry, ascending.
        value: Value of each entry.
        x: Number of each entry.
        stated: Row, value, and position in the graph of each fact that states an entry, int64
            (facts, 3).
        warm: True for rows with training interactions.
    """

    names: tuple[str, ...]
    field: np.ndarray
    row: np.ndarray
    value: np.ndarray
    x: np.ndarray
    stated: np.ndarray
    warm: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """True for rows that training tells something of: with interactions, or with a value that
        one with interactions has.
        """
        shared = np.zeros(len(self.field), dtype=bool)
        shared[self.value[self.warm[self.row]]] = True
        found = self.warm.copy()
        found[self.row[shared[self.value]]] = True
        return found


def field_values(
    ckg: CollaborativeKG,
    side: str,
    labels: Sequence[str],
    *,
    min_count: int = 1,
    most: int = 2**31,
    features: np.ndarray | None = None,
) -> FieldValues:
    """Return the values of users by the facts about them, or of items by the triples of a graph.

    Args:
        ckg: The graph.
        side: Whose values: "users" or "items".
        labels: Label of each relation of the knowledge graph.
        min_count: Values of fewer users, or items, are left out.
        most: Values that a field may have.
        features: Numbers of items, or None.

    Raises:
        DataError: If a field has more values than ``most``.
    """
    if side == "users":
        count, (row, kind, other, fact) = ckg.num_users, _of_users(ckg)
    else:
        count, (row, kind, other, fact) = ckg.num_items, _of_items(ckg)

    keys, value = np.unique(kind * ckg.num_nodes + other, return_inverse=True)
    pairs = np.unique(value * count + row)
    kept = np.bincount(pairs // count, minlength=len(keys)) >= min_count
    stated = np.stack([row, (np.cumsum(kept) - 1)[value], fact], 1)[kept[value]]
    kinds, field = np.unique(keys[kept] // ckg.num_nodes, return_inverse=True)
    own = len(labels)
    names = [("^" if kind >= own else "") + labels[kind % own] for kind in kinds.tolist()]
    _check_sizes(np.bincount(field, minlength=len(names)), names, side, most)

    entries = np.unique(stated[:, 0] * len(field) + stated[:, 1])
    row, value = entries // max(1, len(field)), entries % max(1, len(field))
    of = row * len(names) + field[value]
    x = 1 / np.bincount(of)[of] if len(of) else np.empty(0)
    if features is not None:
        used, column, number = _standardized(features)
        row, value = np.concatenate([row, used]), np.concatenate([value, len(field) + column])
        x = np.concatenate([x, number])
        field = np.concatenate([field, np.full(features.shape[1], len(names))])
        names.append("features")

    order = np.lexsort((value, row))
    users, items = ckg.interactions()
    warm = np.bincount(users if side == "users" else items, minlength=count) > 0
    return FieldValues(tuple(names), field, row[order], value[order], x[order], stated, warm)


def _of_users(ckg: CollaborativeKG) -> tuple[np.ndarray, ...]:
    """Return row, kind, other end and position of the facts about users."""
    facts = np.flatnonzero(ckg.fact == USER_FACT)
    return ckg.head[facts] - ckg.num_entities, ckg.relation[facts] - 1, ckg.tail[facts], facts


def _of_items(ckg: CollaborativeKG) -> tuple[np.ndarray, ...]:
    """Return item, kind, other end and position of the triples of items, both ways."""
    facts = np.flatnonzero(ckg.fact >= 0)
    item = np.concatenate([ckg.head[facts], ckg.tail[facts]])
    other = np.concatenate([ckg.tail[facts], ckg.head[facts]])
    kind = ckg.relation[facts] - 1
    kind = np.concatenate([kind, kind + ckg.num_relations - 1])
    own = item < ckg.num_items
    return item[own], kind[own], other[own], np.concatenate([facts, facts])[own]


def _standardized(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column and number of each feature that is not 0 once columns are standardized."""
    table = features.astype(np.float64)
    spread = table.std(0)
    table = (table - table.mean(0)) / np.where(spread > 0, spread, 1)
    row, column = np.nonzero(table)
    return row, column, table[row, column]


def _check_sizes(sizes: np.ndarray, names: Sequence[str], side: str, most: int) -> None:
    for size, name in zip(sizes.tolist(), names, strict=True):
        if size > most:
            raise DataError(
                f"field {name!r} has {size:,} values among {side}, and max_values is {most:,}. "
                "Raise max_values, or min_count, which leaves rare values out; or build the "
                "dataset without the relation."
            )
