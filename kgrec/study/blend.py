"""One run of several: a weighted sum of their scores, the weights chosen on validation data."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from os import PathLike
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.batches import Query
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import CheckpointError, ConfigError, DataError
from kgrec.evaluation.report import Report, cold_and_warm, evaluate
from kgrec.log import logger
from kgrec.models.base import Recommender
from kgrec.models.blend import Blend, BlendConfig
from kgrec.nn.mixing import choose_weights, deviation, standardized
from kgrec.process import refuse_after_fork
from kgrec.queries import queries
from kgrec.random import numpy_generator
from kgrec.runs.folder import find_dataset
from kgrec.runs.run import Run
from kgrec.runs.settings import blended
from kgrec.study.compare import check_same_data

_MOST_SCORES = 1 << 27  # half a GiB of float32
_GROUPS = 3


@dataclass(frozen=True)
class _Stored:
    """Scores of some users by every member, computed once.

    Attributes:
        scores: A table per member, (users, items); standardized by user, or over one constant.
        row: The row of each user of the data, -1 for the others.
        weights: Weights of the members.
    """

    scores: tuple[Float[Tensor, "users items"], ...]
    row: Int[Tensor, " _"]
    weights: tuple[float, ...]

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the weighted sums."""
        rows = self.row[query.user]
        parts = zip(self.weights, self.scores, strict=True)
        total = torch.stack([weight * table[rows] for weight, table in parts if weight]).sum(0)
        return total if items is None else total.gather(1, items)


def blend(
    runs: Sequence[Run],
    *,
    out: str | PathLike[str] | None = None,
    metric: str = "ndcg@10",
    scale: Literal["member", "user"] = "member",
    by: Literal["all", "history"] = "all",
    weights: Sequence[float] = (),
    dataset: "Dataset | str | PathLike[str] | None" = None,
) -> Run:
    """Return one run whose scores are a weighted sum of those of several.

    Each member's scores are divided by one constant, their standard deviation within a user over
    the users of validation. Weights are not negative and chosen on validation data: the best
    member has 1, each other one the best of a grid that holds 0. The blend ranks the users and
    items that all its members know.

    Args:
        runs: At least two, of one dataset, not refit.
        out: Folder to write; None writes none.
        metric: What the weights are chosen by: a ranking metric of validation, ``name@k``.
        scale: "member", or "user": each user's scores are standardized, and a score is no sum of
            members' parts that stays one under deletion.
        by: "all", or "history": users with short, middle and long histories have weights of their
            own. Those overfitted where it was measured (decision 0022).
        weights: Weights in the order of the runs instead of chosen ones.
        dataset: The dataset that loaded runs were trained on, or its folder, where it is no longer
            where it was; the test part is evaluated on it.

    Raises:
        ConfigError: If there are fewer than two runs, one stands twice or is a blend, or a setting
            is out of range.
        DataError: If the runs are of different datasets, refit on everything, or know no
            validation user in common; if the scores of one are all equal.
    """
    refuse_after_fork("Blending runs")
    began = time.perf_counter()
    _check_runs(runs, weights)
    name, _, cut = metric.partition("@")
    if not (cut.isascii() and cut.isdigit() and int(cut)):
        raise ConfigError(f"metric {metric!r} is not of the form name@k, for instance ndcg@10.")

    data = runs[0].data
    known = _known_to_all(runs, data)
    users = _users(data, known)
    names = _names(runs)
    scales = []
    tables = []
    ranked = torch.from_numpy(known.items)
    for run, run_name in zip(runs, names, strict=True):
        table = _scores(run, data, users)
        spread = deviation(table[:, ranked])
        if not spread:
            raise DataError(f"{run_name}: all its scores are equal. Leave it out of the blend.")

        scales.append(1.0 if scale == "user" else spread)
        table = standardized(table) if scale == "user" else table / spread
        table[:, ~ranked] = -torch.inf
        tables.append(table)

    row = torch.full((data.num_users,), -1)
    row[torch.from_numpy(users)] = torch.arange(len(users))

    def measure(one: tuple[float, ...], some: np.ndarray) -> float:
        scorer = _Stored(tuple(tables), row, one)
        found = evaluate(scorer, data, "valid", (int(cut),), (name,), users=some)
        return found.metrics[metric]

    lengths = _lengths(data, users) if by == "history" else ()
    group = np.searchsorted(lengths, np.bincount(data.train.user, minlength=data.num_users)[users])
    rows: list[float] = []
    for number in range(len(lengths) + 1):
        some = users[group == number]
        rows += weights or choose_weights(len(runs), partial(measure, some=some))[0]

    config = BlendConfig(
        tuple(names), tuple(map(float, rows)), tuple(scales), scale, tuple(map(int, lengths))
    )
    alone = [
        measure(tuple(float(m == one) for m in range(len(runs))), users) for one in range(len(runs))
    ]
    made = _made(runs, data, config, dict(zip(names, alone, strict=True)), metric, dataset)
    made.summary["seconds"] = round(time.perf_counter() - began, 3)
    if out is not None:
        made.save(out)
    return made


def _made(
    runs: Sequence[Run],
    data: Dataset,
    config: BlendConfig,
    alone: dict[str, float],
    metric: str,
    dataset: "Dataset | str | PathLike[str] | None",
) -> Run:
    chosen = blended(tuple((run.chosen, run.seed) for run in runs), config)
    model = Blend([(run.model, run.config) for run in runs], data, config).eval()
    first = runs[0]
    run = Run(
        "blend", model, data, chosen, first.seed, [], {}, first.dataset, fallback=first.fallback
    )
    reports = _reports(run, first, dataset)
    run.summary = {
        "model": "blend",
        "preset": "default",
        "selection": "valid",
        "seed": first.seed,
        "device": "cpu",
        "epochs": 0,
        "best_epoch": 0,
        "seconds": 0.0,
        "seconds_per_epoch": 0.0,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "peak_memory_bytes": 0,
        "fallback": asdict(first.fallback),
        **cold_and_warm(reports),
        "blend": {
            "metric": metric,
            "scale": config.scale,
            "lengths": list(config.lengths),
            "members": [
                {
                    "name": name,
                    "folder": None if member.path is None else str(member.path),
                    "weights": [row[number] for row in config.rows()],
                    "scale": config.scales[number],
                    "valid": alone[name],
                }
                for number, (name, member) in enumerate(zip(config.members, runs, strict=True))
            ],
        },
        **{part: None if r is None else dict(r.metrics) for part, r in reports.items()},
    }
    return run


def _reports(
    run: Run, first: Run, dataset: "Dataset | str | PathLike[str] | None"
) -> dict[str, Report | None]:
    """Return the figures of both held-out parts; None where the first run's dataset is not at
    hand.
    """
    found: dict[str, Report | None] = {"valid": run.evaluate("valid"), "test": None}
    try:
        if first.path is not None:
            dataset = find_dataset(first.path, first.dataset, dataset)
        found["test"] = run.evaluate("test", dataset=dataset)
    except (CheckpointError, DataError) as error:
        logger.warning("the test part is not evaluated: %s", error)

    return found


def _check_runs(runs: Sequence[Run], weights: Sequence[float]) -> None:
    if len(runs) < 2:
        raise ConfigError("a blend needs at least two runs. Name another one.")

    paths = [run.path.resolve() for run in runs if run.path is not None]
    twice = next((path for n, path in enumerate(paths) if path in paths[:n]), None)
    if twice is not None:
        raise ConfigError(f"{twice}: is named twice. Name each run once.")
    if weights and len(weights) != len(runs):
        raise ConfigError(f"{len(weights)} weights for {len(runs)} runs. Give one for each.")
    if weights and (min(weights) < 0 or not 0 < sum(weights) < float("inf")):
        raise ConfigError("weights must be at least 0, and one of them above.")

    for run in runs:
        _check_run(run)

    for one, other in pairwise(runs):
        check_same_data(one, other)


def _check_run(run: Run) -> None:
    where = run.path or run.name
    if run.chosen.members:
        raise ConfigError(f"{where}: is a blend. Blend its members instead.")
    if run.refit:
        raise DataError(
            f"{where}: was refit on all interactions, so nothing is held out to choose "
            "weights by. Train it without --refit."
        )
    if run.train_config.test_selected:
        raise ConfigError(
            f"{where}: its epoch was chosen by the test part, and so would the blend be. Train "
            "it with --selection valid."
        )
    if run.model.predicts_ratings:
        raise ConfigError(f"{where}: predicts ratings and does not rank. Leave it out.")


def _names(runs: Sequence[Run]) -> list[str]:
    """Return the models' names, distinct."""
    names: list[str] = []
    for run in runs:
        same = sum(name.partition(" ")[0] == run.name for name in names)
        names.append(run.name if not same else f"{run.name} {same + 1}")

    return names


def _known_to_all(runs: Sequence[Run], data: Dataset) -> Known:
    """Return whom and what all runs know; a line of the log says who does not know some."""
    known = [run.model.can_rank(data) for run in runs]
    both = Known(
        np.logical_and.reduce([one.users for one in known]),
        np.logical_and.reduce([one.items for one in known]),
    )
    for kind, what, of in (
        ("users", [one.users for one in known], both.users),
        ("items", [one.items for one in known], both.items),
    ):
        lost = int(np.logical_or.reduce(what).sum()) - int(of.sum())
        if lost:
            least = min(zip(what, _names(runs), strict=True), key=lambda one: one[0].sum())[1]
            logger.warning(
                "%d %s are known to some of the runs and not to %s: the blend does not rank them.",
                lost,
                kind,
                least,
            )

    return both


def _users(data: Dataset, known: Known) -> np.ndarray:
    """Return the validation users to choose by, rows ascending; a sample where their scores would
    not fit into memory.
    """
    users = np.unique(data.valid.user)
    users = users[known.users[users]]
    if not len(users):
        raise DataError(
            "no validation user is known to all runs, so there is nothing to choose weights by. "
            "Split the data again."
        )

    most = max(1, _MOST_SCORES // max(data.num_items, 1))
    if len(users) > most:
        logger.info("weights are chosen by %d of %d validation users.", most, len(users))
        users = np.sort(numpy_generator(0, "blend").choice(users, most, replace=False))

    return users


def _scores(run: Run, data: Dataset, users: np.ndarray) -> Float[Tensor, "users items"]:
    """Return a run's scores of all items for users."""
    scorer = run.scorer()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(users), 256):
            query = queries(data.train, users[start : start + 256])
            parts.append(scorer(query.to(_device(run.model))).float().cpu())

    return torch.cat(parts)


def _device(model: Recommender) -> torch.device:
    tensors = (*model.parameters(), *model.buffers())
    return tensors[0].device if tensors else torch.device("cpu")


def _lengths(data: Dataset, users: np.ndarray) -> tuple[int, ...]:
    """Return the lengths of histories that cut users into equal groups."""
    used = np.bincount(data.train.user, minlength=data.num_users)[users]
    cuts = np.quantile(used, np.arange(1, _GROUPS) / _GROUPS, method="lower")
    return tuple(dict.fromkeys(int(cut) for cut in cuts if cut < used.max()))
