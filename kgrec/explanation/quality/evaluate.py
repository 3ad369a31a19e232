"""The quality of a model's explanations, measured (docs/explanations.md, section 8)."""

from collections.abc import Sequence

import numpy as np

from kgrec.errors import ConfigError, ExplanationError
from kgrec.explanation.beside.names import check_names
from kgrec.explanation.quality import metrics
from kgrec.explanation.quality.apart import apart_figures, claims_gate
from kgrec.explanation.quality.beside import compared
from kgrec.explanation.quality.figures import Sample
from kgrec.explanation.quality.lists import list_figures
from kgrec.explanation.quality.necessity import aopc_curves, group_figures, necessity_figures
from kgrec.explanation.quality.report import Figure, Quality
from kgrec.explanation.quality.sample import explain_item, measure
from kgrec.explanation.quality.soundness import gates, soundness_figures
from kgrec.explanation.quality.stability import stability_figures, support_figures
from kgrec.explanation.quality.style import style_figures
from kgrec.explanation.quality.sufficiency import choice_figures, sufficiency_figures
from kgrec.explanation.quality.training_facts import TrainingFacts
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.explanation.search.ranked import PathSearch
from kgrec.log import logger, progress
from kgrec.random import numpy_generator

_USERS = 50


def evaluate(
    search: PathSearch,
    users: Sequence[str] | str | int | None = None,
    top: int = 5,
    k: int = 5,
    seed: int = 0,
    against: PathSearch | None = None,
    beside: Sequence[str] = (),
) -> Quality:
    """Return how good the explanations of users' first ``top`` recommendations are.

    The answer has figures with intervals, groups and gates.

    Args:
        search: The search for paths.
        users: User ids, "all", a number of users to draw, or None for 50 drawn by ``seed``.
        top: Recommendations of each user.
        k: Paths per explanation.
        seed: Draws users, controls and resamples.
        against: A search over another run, for how far the two agree.
        beside: Other explainers to measure on the same recommendations: of "leave-one-out",
            "lime", "prince" and "gnnexplainer".

    Raises:
        UnknownIdError: If a user is not in the data.
        ConfigError: If a setting is out of range.
    """
    explained = search.explained
    others = check_names(beside)
    if min(top, k) < 1:
        raise ConfigError(f"top is {top} and k is {k}. Ask for at least one item and one path.")

    rows = _drawn(explained, users, seed)
    sample = Sample(search, TrainingFacts(explained.data), top, k, seed, rows)
    _explain(sample)
    if not sample.pairs and not sample.failures:
        raise ConfigError("none of these users has a recommendation. Name others.")

    logger.info(
        "%d explanations measured; now lists, flips and stability of some", len(sample.pairs)
    )
    figures = [
        *soundness_figures(sample),
        *apart_figures(sample),
        *necessity_figures(sample),
        *sufficiency_figures(sample),
        *choice_figures(sample),
        *list_figures(sample),
        *support_figures(sample),
        *stability_figures(sample, against),
        *style_figures(sample),
        *_latency(sample),
    ]

    return Quality(
        model=explained.name,
        dataset=explained.data.name,
        basis=sample.basis,
        users=len(rows),
        pairs=len(sample.pairs),
        paths=sum(len(pair.explanation.paths) for pair in sample.pairs),
        top=top,
        k=k,
        figures=tuple(figures),
        curves=aopc_curves(sample),
        groups=group_figures(sample),
        gates=(*gates(sample), claims_gate(sample)),
        notes=_notes(sample, others),
        manifest=search.manifest(
            k=k,
            top=top,
            drawn=len(rows),
            seed=seed,
            modes=list(search.modes),
            resamples=metrics.RESAMPLES,
        ),
        beside=compared(sample, others),
    )


def _drawn(
    explained: ExplainedModel, users: Sequence[str] | str | int | None, seed: int
) -> np.ndarray:
    """Return the rows of the users to evaluate."""
    active = np.flatnonzero(np.diff(explained.train.indptr))
    known = explained.data.users
    if users is None:
        users = _USERS

    if isinstance(users, int):
        if users < 1:
            raise ConfigError(f"users is {users}. Draw at least one.")

        generator = numpy_generator(seed, "quality")
        return np.sort(generator.choice(active, min(users, len(active)), replace=False))

    if isinstance(users, str):
        if users == "all" and "all" not in known:
            return active
        users = [users]

    return np.unique(known.rows(users))


def _explain(sample: Sample) -> None:
    search = sample.search
    with progress("measuring explanations", len(sample.users)) as bar:
        for done, user in enumerate(sample.users.tolist()):
            bar.update(done, f"{len(sample.pairs)} recommendations")
            for item in search.explained.standing(user).order()[: sample.top].tolist():
                try:
                    pair = explain_item(search, user, item, sample.k)
                except ExplanationError as error:
                    _note_failure(sample, user, item, str(error))
                    continue

                measure(search, pair, sample.k, sample.seed)
                sample.pairs.append(pair)


def _note_failure(sample: Sample, user: int, item: int, message: str) -> None:
    sample.failures.append(message)
    try:
        sample.explained.budget(user, item)
    except ExplanationError as error:
        sample.unsummed.append(str(error))


def _latency(sample: Sample) -> list[Figure]:
    spent = np.array([pair.seconds for pair in sample.pairs]) * 1e3
    names = (
        ("p50", "one explanation, ms: median", 0.5),
        ("p95", "95 of 100", 0.95),
        ("worst", "worst", 1.0),
    )
    figures = []

    for key, label, quantile in names:
        value = None
        if len(spent):
            value = float(np.quantile(spent, quantile))

        figures.append(Figure(f"latency.{key}", label, value, count=len(spent), of="pairs"))

    return figures


def _notes(sample: Sample, others: Sequence[str]) -> tuple[str, ...]:
    explained = sample.explained
    notes = [
        "Intervals: 95 %, percentile bootstrap over users. Embeddings stay as trained; what is "
        "edited is the graph the model reads."
    ]

    if explained.effects is None:
        then = "they do not cause"
        if explained.graph_effect == "not measured":
            then = "whether they cause anything is not known"

        notes.append(
            f"{explained.name}: {sample.no_effect} at inference; the facts of its paths connect, {then}. "
            "What rests on drops has no value."
        )
    else:
        notes.append(
            "Random paths join the same user and item, have the same length, and stand for "
            "counted users where the path shown does. "
            "Degree-matched ones have, besides, stops with half to twice its stops' edges, and "
            "are not the path itself."
        )
        notes.append(
            "Lists, flips, oracle and stability: the first recommendation of "
            f"{len(sample.some())} of the users."
        )

    if others:
        notes += [
            "Beside others: the first recommendations of the same users. Each chooses of the edges on "
            "all paths and names as many as the paths have, or fewer; prince a set of interactions, uncut.",
            "Drops beside others: of the model built again without these edges; a path's worth is as "
            "many as the best path has. Overtaken: another item then passes the item.",
            "Hold a path: edges named join user and item. Alone: sufficiency, weights kept where the "
            "model can. Runs: to find the edges; of gnnexplainer, steps of the mask.",
        ]

    if explained.effects is not None and not explained.data.test.user.size:
        notes.append(
            "The test part was not at hand: leaks were looked for against the validation part "
            "and the training data."
        )

    return tuple(notes)
