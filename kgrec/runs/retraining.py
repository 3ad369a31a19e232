"""Scores of a model trained on edited data: again from the start, or on from where it was."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from kgrec.data.derive.removal import Removal, without
from kgrec.data.records.dataset import Dataset
from kgrec.errors import CapabilityError
from kgrec.log import logger
from kgrec.models.base import Plan, Recommender, Scorer
from kgrec.queries import queries
from kgrec.random import derive
from kgrec.runs.withdrawn import can_withdraw, plan_without
from kgrec.training.config import TrainConfig
from kgrec.training.loop import train

EPOCHS = 1
_KEPT = 64


class Retraining:
    """Trains a model on its data without some interactions and facts, and scores by what comes out.

    The training with nothing taken out is the control: both have the same draws, so that scores are
    compared with those of ``score(..., Removal())``, never with the run's own.

    Args:
        build: Makes the untrained model of a dataset and a seed.
        data: What the model was trained on.
        config: How it was trained.
        seed: Seed of every draw.
        start: Parameters to start from: training goes on for ``epochs``. None trains from the
            start.
        epochs: How long; a closed form is computed once.
        title: Name of the model, for errors and the progress bar.

    Attributes:
        exact: Whether the model is computed again from the data alone (a closed form), so that
            scores are those of a refit.

    Raises:
        CapabilityError: If the model's training cannot leave single interactions out.
    """

    partly = False

    def __init__(
        self,
        build: Callable[[Dataset, int], Recommender],
        data: Dataset,
        config: TrainConfig,
        seed: int,
        *,
        start: Mapping[str, Tensor] | None = None,
        epochs: int = EPOCHS,
        title: str = "the model",
    ) -> None:
        self._build = build
        self._data = data
        self._seed = seed
        self._start = start
        self._title = title
        self._config = replace(
            config,
            epochs=epochs,
            patience=0,
            schedule="constant",
            schedule_epochs=0,
            warmup_epochs=0.0,
        )
        self._whole = build(data, seed)
        plan = self._whole.plan()
        self.exact = plan.fit is not None
        if not self.exact and not can_withdraw(plan):
            raise CapabilityError(
                f"{title} has no effects through training: its batches are not made of single "
                'interactions and facts. It offers scope "inference".'
            )

        self._scorers: dict[Removal, Scorer] = {}

    def scorer(self, removal: Removal) -> Scorer:
        """Return what ranks after training without what is taken out; the last ones are kept."""
        if removal not in self._scorers:
            if len(self._scorers) >= _KEPT:
                del self._scorers[next(iter(self._scorers))]
            self._scorers[removal] = self._trained(removal)
        return self._scorers[removal]

    def scores(self, user: int, item: int, removals: Sequence[Removal]) -> list[float]:
        """Return the score of a user and an item (rows) without each of ``removals``."""
        return [self.score(user, item, removal) for removal in removals]

    def score(self, user: int, item: int, removal: Removal) -> float:
        """Return the score of a user and an item (rows) after training without ``removal``."""
        scorer = self.scorer(removal)
        train = without(self._data, removal).train
        with torch.inference_mode():
            return float(scorer(queries(train, np.array([user])))[0, item])

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _trained(self, removal: Removal) -> Scorer:
        edited = without(self._data, removal)
        model = self._build(edited, self._seed)
        plan = None
        seed = self._seed
        if not self.exact:
            plan = plan_without(model, self._whole, removal, self._data.num_items)

        if self._start is not None and plan is not None:
            _take_over(model, self._start, plan)
            plan = replace(plan, warm_up=None)
            seed = derive(self._seed, "continued training")

        logger.debug("%s: training without %s.", self._title, removal)
        cpu = torch.device("cpu")
        train(model, self._data, self._config, seed=seed, device=cpu, plan=plan, title=self._title)
        model.eval()
        with torch.inference_mode():
            return model.scorer()


def _take_over(model: Recommender, start: Mapping[str, Tensor], plan: Plan) -> None:
    """Load parameters into a model on an edited graph; what has a value per edge (attention) is
    computed again, as after an epoch.
    """
    own = model.state_dict()
    fitting = {
        name: value
        for name, value in start.items()
        if name in own and value.shape == own[name].shape
    }
    model.load_state_dict(own | fitting)
    if len(fitting) < len(start) and plan.after_epoch is not None:
        plan.after_epoch()
