"""What explains the scores of popularity."""

from torch import Tensor

from kgrec.models.capabilities import Parted, ScoreParts


class PopularityEffects(Parted):
    """The count of an item is all of its score.

    Args:
        counts: Training interactions per item.
    """

    def __init__(self, counts: Tensor) -> None:
        self._counts = counts

    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return the count as a bias."""
        return ScoreParts(0.0, float(self._counts[item]))
