"""Early stopping on whatever number validation returns."""

from dataclasses import dataclass


@dataclass(slots=True)
class Stopping:
    """Remember the best validation and count those since.

    Attributes:
        patience: Validations without improvement before it is time to stop; 0 never stops.
        best: Highest value so far.
        best_epoch: The epoch of it, from 1; 0 before the first validation.
        since: Validations since then.
    """

    patience: int
    best: float = float("-inf")
    best_epoch: int = 0
    since: int = 0

    @property
    def stop(self) -> bool:
        """Whether it is time to stop."""
        return 0 < self.patience <= self.since

    def update(self, value: float, epoch: int) -> bool:
        """Take a validation into account; return whether it is the best so far. A tie is no
        improvement.
        """
        if value > self.best:
            self.best = value
            self.best_epoch = epoch
            self.since = 0
            return True

        self.since += 1
        return False
