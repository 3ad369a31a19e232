"""Users and items as integer columns, for models that eat fields (FM, DeepFM)."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.graph.attributes import ItemAttributes


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
