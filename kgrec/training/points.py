"""Batches of pairs with a label: plain, and as integer fields."""

from collections.abc import Iterator

import numpy as np
import torch

from kgrec.batches import FieldBatch, PointwiseBatch
from kgrec.data.records.interactions import Interactions
from kgrec.errors import DataError
from kgrec.models.sources import Fields, Points, SamplerContext
from kgrec.training.lists import Shuffled
from kgrec.training.negatives import Negatives


class PointSampler:
    """Pairs of user and item, shuffled, each once an epoch, with a label.

    Clicks are labeled 1. With them go the labeled negatives of the training part, or, where it has
    none, sampled ones: those of a batch stand behind its clicks, drawn again every epoch.
    """

    def __init__(self, source: Points, context: SamplerContext) -> None:
        data = context.data
        passed = Interactions()
        label = np.ones(len(data.train))
        self._negatives = None

        if source.label == "rating":
            assert data.train.rating is not None
            label = data.train.rating
        else:
            passed = data.negatives.get("train", passed)
            if not len(passed):
                if any(map(len, data.negatives.values())):
                    raise DataError(
                        "every labeled row of the training part has label 1: there is nothing to "
                        "tell apart. Split the data again, or give rows with label 0."
                    )

                self._negatives = Negatives(data, source.negatives, context.device)

        columns = (
            np.concatenate([data.train.user, passed.user]).astype(np.int64),
            np.concatenate([data.train.item, passed.item]).astype(np.int64),
            np.concatenate([label, np.zeros(len(passed))]),
        )
        self._user, self._item, label_of = (
            torch.from_numpy(column).to(context.device) for column in columns
        )
        self._label = label_of.to(torch.get_default_dtype())
        self._order = Shuffled(len(self._user), context, "points")

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return self._order.steps()

    def epoch(self, epoch: int) -> Iterator[PointwiseBatch]:
        """Yield the batches of an epoch."""
        for rows, generator in self._order.epoch(epoch):
            user, item = self._user[rows], self._item[rows]
            label = self._label[rows]

            if self._negatives is not None:
                drawn = self._negatives.draw(user, item, generator)
                item = torch.cat([item, drawn.flatten()])
                label = torch.cat([label, label.new_zeros(drawn.numel())])
                user = torch.cat([user, user.repeat_interleave(drawn.shape[1])])

            yield PointwiseBatch(user, item, label)


class FieldSampler:
    """Pairs as ``PointSampler`` draws them, in the columns of a table."""

    def __init__(self, source: Fields, context: SamplerContext) -> None:
        self._points = PointSampler(source.points, context)
        self._table = source.table.to(context.device)

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return self._points.steps()

    def epoch(self, epoch: int) -> Iterator[FieldBatch]:
        """Yield the batches of an epoch."""
        for batch in self._points.epoch(epoch):
            yield FieldBatch(self._table.rows(batch.user, batch.item), batch.label)


def point_needs(source: Points) -> tuple[str, ...]:
    """Return what a dataset must have for a source."""
    if source.label == "rating":
        return ("ratings",)
    return ("interactions",)
