"""What models over fields share: the sums over values of either side, labeled pairs, scorers."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from kgrec.batches import PointwiseBatch, Query
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import USER_FACT, CollaborativeKG
from kgrec.graph.fields import FieldValues, field_values
from kgrec.models.base import DotProduct, Objective, Plan, Recommender, Scorer, Split
from kgrec.models.features.field_effects import FactorizedEffects, FieldEffects
from kgrec.models.sources import NegativeSource, Points
from kgrec.nn.block_scorer import fill_in_blocks
from kgrec.nn.fields import Side, ValueSums
from kgrec.nn.init import normal
from kgrec.nn.lookup import rows_at
from kgrec.ops.rows import take_rows

Name = str
"""A side of a pair: "users" or "items"."""

_VALUES: dict[Name, str] = {"users": "user_values", "items": "item_values"}  # their tables
Model = TypeVar("Model", bound="FieldModel")


@dataclass(frozen=True, slots=True)
class FieldConfig:
    """Hyper-parameters of every model over fields.

    Attributes:
        knowledge: Whether the triples of items are fields, a relation each; the model's name says.
        negatives: Items drawn for each interaction where the data has no labeled negatives, all
            that anyone used alike.
        init_scale: Standard deviation of the vectors at first.
        l2_weight: Weight of half the squares of what the values of a pair have, averaged over the
            batch.
        min_count: Values that fewer users, or items, have are left out.
        max_values: Most values that one field may have; a dataset with more is refused.
    """

    knowledge: bool = False
    negatives: int = 4
    init_scale: float = 0.01
    l2_weight: float = 1e-4
    min_count: int = 2
    max_values: int = 100_000

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if min(self.negatives, self.min_count, self.max_values) < 1:
            raise ConfigError("fields need negatives, min_count and max_values of at least 1.")
        if self.init_scale <= 0 or self.l2_weight < 0:
            raise ConfigError("fields need init_scale > 0 and l2_weight >= 0.")


@dataclass(frozen=True, slots=True)
class KnownFields:
    """What fields hold of users and items.

    Attributes:
        ckg: The graph whose facts are values.
        users: Values of users.
        items: Values of items.
    """

    ckg: CollaborativeKG
    users: FieldValues
    items: FieldValues

    @classmethod
    def from_dataset(cls, data: Dataset, config: FieldConfig) -> "KnownFields":
        """Return the facts about users, and with ``knowledge`` the triples of items; numbers of
        items where the dataset has some.
        """
        ckg = CollaborativeKG.from_dataset(data)
        if not config.knowledge:
            ckg = ckg.take((ckg.fact == -1) | (ckg.fact == USER_FACT))

        labels = [data.triples.relation_label(row) for row in range(data.num_relations)]
        least, most = config.min_count, config.max_values
        return cls(
            ckg,
            field_values(ckg, "users", labels, min_count=least, most=most),
            field_values(
                ckg,
                "items",
                labels,
                min_count=least,
                most=most,
                features=data.content.features,
            ),
        )

    def of(self, name: Name) -> FieldValues:
        """Return the values of a side."""
        return self.users if name == "users" else self.items


class FieldModel(Recommender):
    """A model over fields: implementations say what a pair's two sides make of their values
    (``parts``) and what that scores (``logits``).

    Args:
        known: What fields hold.
        config: Hyper-parameters.
        width: Numbers of each value: of its vector, and its weight last.
        generator: Draws the initial vectors; weights start at 0.
    """

    config: FieldConfig
    by_field: ClassVar[bool] = False
    """Whether the model tells fields apart."""

    def __init__(
        self, known: KnownFields, config: FieldConfig, width: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config = config
        self.known = known
        self.sums, self.square_sums = nn.ModuleDict(), nn.ModuleDict()
        self.bias = nn.Parameter(torch.zeros(()))
        for name in _VALUES:
            values = known.of(name)
            tables: dict[str, int] = {name: len(values.warm)}
            if len(values.field):
                tables[_VALUES[name]] = len(values.field)
                self._index(name, values)

            for table, rows in tables.items():
                start = normal(rows, width, scale=config.init_scale, generator=generator)
                start[:, -1] = 0
                self.register_parameter(table, nn.Parameter(start))

            warm = torch.from_numpy(values.warm).to(torch.get_default_dtype())
            self.register_buffer(f"{name}_warm", warm.unsqueeze(1), persistent=False)

    def _index(self, name: Name, values: FieldValues) -> None:
        """Keep which values each row has."""
        row, value = torch.from_numpy(values.row), torch.from_numpy(values.value)
        field = torch.from_numpy(values.field)
        self.register_buffer(f"{name}_field", field + 1, persistent=False)
        x = torch.from_numpy(values.x).to(torch.get_default_dtype())
        rows, count = len(values.warm), len(values.field)
        fields = 1
        of = row
        if self.by_field:
            fields = len(values.names)
            of = row * fields + field[value]

        self.sums[_VALUES[name]] = ValueSums(of, value, x, rows * fields, count)
        self.square_sums[_VALUES[name]] = ValueSums(row, value, x.square(), rows, count)

    @classmethod
    def built(
        cls: type[Model], data: Dataset, config: FieldConfig, generator: torch.Generator
    ) -> Model:
        """Return the model for a dataset."""
        return cls(KnownFields.from_dataset(data, config), config, generator)  # type: ignore[call-arg]

    def ids(self, name: Name, rows: Int[Tensor, " batch"] | None = None) -> Tensor:
        """Return the vectors of ids, of distinct ones or of all; 0 of those without training
        interactions, as nothing moved them.
        """
        table, warm = self.get_parameter(name), self.get_buffer(f"{name}_warm")
        if rows is None:
            return table * warm
        return rows_at(table, rows, self.shard) * warm[rows]

    def table(self, name: Name) -> Tensor | None:
        """Return the table of values; None if there are none."""
        if _VALUES[name] not in self.sums:
            return None
        return self.get_parameter(_VALUES[name])

    def entries(self, name: Name) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return where each row's values begin and the last ends, the values, and their numbers;
        None if there are none.
        """
        if _VALUES[name] not in self.sums:
            return None

        by_row, numbers = self.square_sums[_VALUES[name]], self.sums[_VALUES[name]]
        return by_row.get_buffer("ptr"), by_row.get_buffer("value").long(), numbers.get_buffer("x")

    def squared(
        self, table: Float[Tensor, "_ dim"], field: Int[Tensor, " _"]
    ) -> Float[Tensor, "_ _"]:
        """Return what is summed with x^2: the squares of each value's numbers.

        Args:
            table: A row per value.
            field: Field of each, 0 for ids.
        """
        return table.square()

    def side(self, name: Name, rows: Int[Tensor, " batch"] | None = None) -> Side:
        """Return what distinct users or items have, or all of them."""
        own = self.ids(name, rows)
        squares = self.squared(own, torch.zeros_like(own[:, 0], dtype=torch.int64))
        total = own.unsqueeze(1)
        table = self.table(name)
        if table is None:
            return Side(total, squares)

        count = len(self.known.of(name).warm)
        found = self.sums[_VALUES[name]](table).view(count, -1)
        squared = self.square_sums[_VALUES[name]](
            self.squared(table, self.get_buffer(f"{name}_field"))
        )
        if rows is not None:
            found, squared = take_rows(found, rows), take_rows(squared, rows)

        found = found.view(len(own), -1, own.shape[1])
        total = torch.cat([total, found], 1) if self.by_field else total + found
        return Side(total, squares + squared)

    @abstractmethod
    def parts(self, side: Side, name: Name) -> tuple[Float[Tensor, "batch _"], ...]:
        """Return what a side gives to scores, once for all pairs that it is in."""

    @abstractmethod
    def logits(
        self, left: Sequence[Float[Tensor, "... _"]], right: Sequence[Float[Tensor, "... _"]]
    ) -> Float[Tensor, "..."]:
        """Return the log-odds of pairs of what sides give, without crosses."""

    def crosses(
        self, user: Int[Tensor, " batch"], item: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch"] | None:
        """Return what pairs of values add to the log-odds of pairs; None if nothing does."""
        return None

    def gated_crosses(
        self,
        pair: tuple[int, int],
        user: Float[Tensor, "batch _"],
        item: Float[Tensor, "batch _"],
    ) -> Float[Tensor, " batch"] | None:
        """Return the crosses of one pair of user and item by the numbers of their values."""
        return None

    def weights_squared(self, side: Side) -> Float[Tensor, " batch"]:
        """Return the squares that the L2 weight is for."""
        return side.squares.sum(1)

    def loss(self, batch: PointwiseBatch) -> Float[Tensor, ""]:
        """Return the cross-entropy of labeled pairs, and L2."""
        ends, squares = [], batch.label.new_zeros(())
        for name, rows in (("users", batch.user), ("items", batch.item)):
            distinct, at = torch.unique(rows, return_inverse=True)
            side = self.side(name, distinct)
            ends.append([take_rows(part, at) for part in self.parts(side, name)])
            share = torch.bincount(at, minlength=len(distinct)) / len(at)
            squares = squares + self.weights_squared(side) @ share.to(squares)

        logits = self.logits(*ends)
        crosses = self.crosses(batch.user, batch.item)
        if crosses is not None:
            logits = logits + crosses

        found = binary_cross_entropy_with_logits(logits, batch.label)
        return found + self.config.l2_weight / 2 * squares

    def plan(self) -> Plan:
        """Return labeled pairs; negatives are drawn among items that someone used."""
        negatives = NegativeSource(self.config.negatives, "popularity", exponent=0)
        points = Points(negatives=negatives)
        objective = Objective(PointwiseBatch, self.loss, name="bce", source=points)
        ids = tuple(self.get_parameter(name) for name in _VALUES)
        return Plan((objective,), parallel="data", split=Split(ids))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items with interactions, or with a value that one of those has."""
        return Known(self.known.users.known, self.known.items.known)

    def scorer(self) -> Scorer:
        """Return what runs the model on pairs of what the sides give."""
        return PairScorer(self)

    def explanation_effects(self) -> FieldEffects:
        """Return the scores without some facts, measured."""
        return FieldEffects(self)


class Factorized(FieldModel):
    """A model over fields whose pairs of one user's and one item's value give a product.

    ``parts`` are a vector, and a number of what the side gives by itself.
    """

    @abstractmethod
    def products(
        self, user: Float[Tensor, "_ dim"], item: Float[Tensor, "_ dim"]
    ) -> Float[Tensor, "_ _"]:
        """Return what each field of a user gives with each of an item, of their totals."""

    def logits(
        self, left: Sequence[Float[Tensor, "... _"]], right: Sequence[Float[Tensor, "... _"]]
    ) -> Float[Tensor, "..."]:
        """Return the inner product, and what the sides give by themselves."""
        product = (left[0] * right[0]).sum(-1)
        return product + left[1].squeeze(-1) + right[1].squeeze(-1) + self.bias

    def scorer(self) -> DotProduct:
        """Return inner products; what sides give by themselves is two dimensions more."""
        users, own = self.parts(self.side("users"), "users")
        items, weight = self.parts(self.side("items"), "items")
        users = torch.cat([users, own + self.bias, torch.ones_like(own)], 1).detach()
        return DotProduct(users, torch.cat([items, torch.ones_like(weight), weight], 1).detach())

    def explanation_effects(self) -> FactorizedEffects:
        """Return a part per field, and the scores without some facts."""
        return FactorizedEffects(self)


class PairScorer:
    """Ranks by a model over fields, a block of pairs at a time.

    Args:
        model: The trained model; what each side gives is computed once.
    """

    def __init__(self, model: FieldModel) -> None:
        self.model = model
        self._users = model.parts(model.side("users"), "users")
        self._items = model.parts(model.side("items"), "items")

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of candidates, or of the catalog."""
        users = query.user.clamp(min=0)
        left = [part[users].unsqueeze(1) for part in self._users]
        if items is not None:
            return self.model.logits(left, [part[items] for part in self._items])

        def block(rows: slice, columns: slice) -> Tensor:
            right = [part[columns].unsqueeze(0) for part in self._items]
            return self.model.logits([part[rows] for part in left], right)

        scores = self._items[0].new_empty(len(users), len(self._items[0]))
        return fill_in_blocks(scores, block, sum(part.shape[1] for part in self._items))
