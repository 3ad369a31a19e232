"""``kgrec models``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgrec.cli.options import JsonOption
from kgrec.cli.output import show_json, show_table

if TYPE_CHECKING:
    from kgrec.models.cards import ModelCard


def models(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A model: its equations, settings and presets."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List every model by family, or say what one is.

    Of each: what a dataset must have, what it reads beyond interactions, whether it folds in (ranks
    for someone unseen by a history), and whether effects on its scores are exact, measured by
    running it again, or not known (post-hoc).
    """
    from kgrec.models.cards import FAMILIES, card
    from kgrec.models.catalog import MODELS, find, installed_models

    if name is not None:
        _show(card(find(name)), json)
        return

    families = [*FAMILIES, "outside"]
    every = [card(entry) for entry in (*MODELS.values(), *installed_models())]
    every.sort(key=lambda one: families.index(one.family))

    if json:
        show_json([_listed(one) for one in every])
        return

    show_table(
        ("family", "model", "what it does", "paper", "needs", "reads", "folds in", "explains"),
        [
            (
                one.family,
                one.name,
                one.summary,
                one.paper,
                ", ".join(one.needs),
                ", ".join(one.reads),
                "yes" if one.folds_in else "no",
                one.explains,
            )
            for one in every
        ],
    )


def _listed(one: "ModelCard") -> dict[str, Any]:
    return {
        "name": one.name,
        "summary": one.summary,
        "paper": one.paper,
        "needs": list(one.needs),
        "family": one.family,
        "reads": list(one.reads),
        "folds_in": one.folds_in,
        "explains": one.explains,
    }


def _show(one: "ModelCard", json: bool) -> None:
    if json:
        show_json(_whole(one))
        return

    facts = {
        "paper": one.paper,
        "family": one.family,
        "needs": ", ".join(one.needs),
        "reads": ", ".join(one.reads) or "interactions alone",
        "folds in": "yes" if one.folds_in else "no",
        "explains": one.explains,
        "equations": one.equations,
    }
    show_table(("", ""), [(key, value) for key, value in facts.items() if value], title=_title(one))
    show_table(
        ("setting", "default", "meaning"),
        [
            (s.name, f"{s.default} (fixed)" if s.fixed else s.default, s.meaning)
            for s in one.settings
        ],
    )
    show_table(
        ("preset", "settings of the model and of training"),
        [
            (
                preset,
                ", ".join(f"{k}={v}" for k, v in {**p.config, **p.train}.items()) or "as above",
            )
            for preset, p in one.presets.items()
        ],
    )
    if one.results:
        show_table(
            ("data", "Recall@20", "NDCG@20"),
            [(data, f"{a:.3f}", f"{b:.3f}") for data, (a, b) in one.results.items()],
            right=("Recall@20", "NDCG@20"),
        )
    if one.newcomers:
        names = list(dict.fromkeys(name for found in one.newcomers.values() for name in found))
        show_table(
            ("data", *(name.replace("_", " ") for name in names)),
            [
                (data, *(f"{found[name]:.3f}" if name in found else "" for name in names))
                for data, found in one.newcomers.items()
            ],
            title="Newcomers: what recall@20 of people lacks to a training with them, by events "
            "known; recall@10 among new items with 5 clicks, and their share of lists",
            right=[name.replace("_", " ") for name in names],
        )


def _title(one: "ModelCard") -> str:
    return f"{one.name}: {one.summary}"


def _whole(one: "ModelCard") -> dict[str, Any]:
    return {
        **_listed(one),
        "equations": one.equations,
        "settings": [
            {"name": s.name, "default": s.default, "meaning": s.meaning, "fixed": s.fixed}
            for s in one.settings
        ],
        "presets": {
            name: {"config": dict(p.config), "train": dict(p.train)}
            for name, p in one.presets.items()
        },
        "results": {
            data: {"recall@20": recall, "ndcg@20": ndcg}
            for data, (recall, ndcg) in one.results.items()
        },
        "newcomers": {data: dict(found) for data, found in one.newcomers.items()},
    }
