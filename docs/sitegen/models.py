"""A page for every model, from the catalog; what docs/models says of one follows it."""

import inspect
from collections.abc import Mapping
from typing import Any

from kgrec.errors import DataError
from kgrec.models.base import Span
from kgrec.models.cards import FAMILIES, ModelCard, card
from kgrec.models.catalog import MODELS, ModelEntry
from sitegen.docstrings import cell, hidden_list, inline, markdown

FAMILY_TITLES = {
    "baselines": "Baselines",
    "factorization": "Factorization",
    "features": "Fields",
    "multitask": "Several tasks",
    "adversarial": "Adversarial",
    "linear": "Linear item-to-item",
    "autoencoders": "Autoencoders",
    "sequential": "Histories in order",
    "graph": "Graphs of users and items",
    "knowledge": "Knowledge graphs",
    "paths": "Walks",
    "news": "News",
    "triples": "Triples alone",
}

_EXPLAINS = {
    "exact": "Effects of facts and likes on a score are **exact**: closed forms, no second run.",
    "measured": "Effects of facts and likes on a score are **measured**: the model is run again "
    "without them.",
    "post-hoc": "Paths **connect, without a claim**: what they do to a score is not known.",
}


def model_pages(models: Mapping[str, ModelEntry] = MODELS) -> dict[str, str]:
    """Return the text of each model's page by its file's name, and the list of all as "index.md".

    Raises:
        DataError: If a page would lack what a page of a model must say.
    """
    cards = [card(entry) for entry in models.values()]
    pages = {f"{one.name}.md": _page(one, models[one.name]) for one in cards}
    return {"index.md": _index(cards), **pages}


def _index(cards: list[ModelCard]) -> str:
    lines = [
        "# Models",
        "",
        f"{len(cards)} models, one paper each. *Folds in*: ranks for someone unseen by a history. "
        "*Explains*: what is known of the effect of a fact on a score. The figures are "
        "Recall@20 / NDCG@20 where all were tuned with one budget "
        "([how](../choosing-a-model.md#what-it-rests-on)).",
        "",
        *hidden_list(one.name for one in cards),
    ]
    for family in sorted({one.family for one in cards}, key=_order):
        lines += ["", f"## {FAMILY_TITLES.get(family, family.capitalize())}", ""]
        lines += ["| model | what it does | needs | folds in | explains | ml-100k |"]
        lines += ["|---|---|---|---|---|---|"]
        for one in cards:
            if one.family == family:
                lines.append(_row(one))

    return "\n".join([*lines, ""])


def _order(family: str) -> int:
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def _row(one: ModelCard) -> str:
    recall_and_ndcg = one.results.get("ml-100k")
    figures = "{:.3f}\u00a0/\u00a0{:.3f}".format(*recall_and_ndcg) if recall_and_ndcg else ""
    folds = "yes" if one.folds_in else "no"
    cells = (one.summary, ", ".join(one.needs), folds, one.explains, figures)
    return f"| [`{one.name}`]({one.name}.md) | " + " | ".join(map(cell, cells)) + " |"


def _page(one: ModelCard, entry: ModelEntry) -> str:
    model, config, _ = entry.load()
    docstring = inspect.getdoc(model) or ""
    lacking = [
        what
        for what, there in {
            "a docstring": docstring,
            "a line `Source:`": "Source:" in docstring,
            "a line `Differs from the paper`": "Differs from the paper" in docstring,
            "settings": one.settings or not config.__dataclass_fields__,
        }.items()
        if not there
    ]
    if lacking:
        raise DataError(f"the page of model {one.name} lacks {', '.join(lacking)}. Write it.")

    page = "\n".join(
        [
            f"# {one.name}",
            "",
            f"*{inline(one.summary[0].upper() + one.summary[1:])}.* {inline(one.paper)}.",
            "",
            *_abilities(one, model),
            "",
            "## The model",
            "",
            markdown(docstring),
            "",
            f"In the code: `{model.__module__}.{model.__name__}`.",
            "",
            *_settings(one, config),
            *_presets(one),
            *_space(entry),
            *_results(one),
            *_commands(one),
        ]
    )
    return page.replace(f"docs/models/{one.name}.md", "[what follows in full](#in-full)")


def _abilities(one: ModelCard, model: type[Any]) -> list[str]:
    reads = ", ".join(one.reads) or "interactions alone"
    folds = "it ranks for someone unseen by a history" if one.folds_in else "known users alone"
    lines = [
        f"- A dataset must have: {', '.join(one.needs)}. It reads: {reads}.",
        f"- New people: {folds}.",
        f"- {_EXPLAINS[one.explains]}",
    ]
    if getattr(model, "scores_triples", False):
        lines.append("- It scores triples: `kgrec evaluate RUN --protocol triples`.")
    if getattr(model, "predicts_ratings", False):
        lines.append("- It predicts ratings: `kgrec evaluate RUN --protocol rating`.")
    if not model.scores_read_graph:
        lines.append("- No fact enters its scores when it ranks; explanations say so.")

    return lines


def _settings(one: ModelCard, config: type[Any]) -> list[str]:
    if not one.settings:
        return ["## Settings", "", "None: there is nothing to choose.", ""]

    return [
        "## Settings",
        "",
        "By `--set NAME=VALUE`, a keyword of `kgrec.fit`, or a line of a TOML file. How long and "
        "how fast to train is set likewise ([training](../reference/training.md)).",
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
        *(
            f"| `{s.name}` | {_value(s.default)}{' (fixed by the name)' if s.fixed else ''} | "
            f"{cell(s.meaning)} |"
            for s in one.settings
        ),
        "",
    ]


def _value(value: object) -> str:
    return f"`{value}`" if value not in ("", None) else "-"


def _presets(one: ModelCard) -> list[str]:
    if not one.presets:
        return []

    lines = ["## Presets", "", "| preset | settings of the model | of training |", "|---|---|---|"]
    for name, preset in one.presets.items():
        lines.append(f"| `{name}` | {_pairs(preset.config)} | {_pairs(preset.train)} |")

    return [*lines, ""]


def _pairs(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}={value}`" for key, value in settings.items()) or "as above"


def _space(entry: ModelEntry) -> list[str]:
    space = entry.search_space()
    if not space:
        return []

    lines = ["## What `kgrec tune` searches", "", "| setting | values |", "|---|---|"]
    lines += [f"| `{name}` | {cell(_searched(values))} |" for name, values in space.items()]
    return [*lines, ""]


def _searched(values: Span | tuple[Any, ...]) -> str:
    if isinstance(values, Span):
        return f"{values.low} to {values.high}" + ", evenly by the logarithm" * values.log
    return ", ".join(map(str, values))


def _results(one: ModelCard) -> list[str]:
    lines = ["## Results", ""]
    if not one.results:
        return [
            *lines,
            "None at an equal budget yet. [Choosing a model](../choosing-a-model.md) and "
            "[the reproductions](../reproductions.md) say what was measured otherwise.",
            "",
        ]

    lines += ["| data | Recall@20 | NDCG@20 |", "|---|---|---|"]
    for data, (recall, ndcg) in one.results.items():
        lines.append(f"| {data} | {recall:.3f} | {ndcg:.3f} |")

    return [
        *lines,
        "",
        "Means of three seeds on the test part, tuned with one budget "
        "([how](../choosing-a-model.md#what-it-rests-on)).",
        "",
    ]


def _commands(one: ModelCard) -> list[str]:
    if "interactions" not in one.needs:
        return [
            "## Commands",
            "",
            "```sh",
            "kgrec build --kg graph.ttl --out KG --triple-ratios 0.8,0.1,0.1",
            f"kgrec train KG --model {one.name} --out runs/{one.name}",
            f"kgrec evaluate runs/{one.name} --protocol triples",
            "```",
            "",
        ]

    return [
        "## Commands",
        "",
        "```sh",
        f"kgrec train DATASET --model {one.name} --out runs/{one.name}",
        f"kgrec evaluate runs/{one.name}",
        f"kgrec explain runs/{one.name} --user USER --top 1",
        "```",
        "",
    ]
