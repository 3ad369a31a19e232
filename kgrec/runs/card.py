"""The model card in a run's folder: what the model is, what it was trained on, what it reached."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kgrec.data.records.dataset import Dataset
from kgrec.escaping import markdown
from kgrec.models.catalog import MODELS
from kgrec.runs.settings import Chosen
from kgrec.training.config import TEST_SELECTED

CARD = "README.md"
_PARTS = ("valid", "test")


def model_card(
    chosen: Chosen, data: Dataset, summary: Mapping[str, Any], *, seed: int, refit: bool, use: str
) -> str:
    """Return the card as Markdown, with the header that model hubs read. No id of a user or item is
    in it, and nothing that differs between equal trainings.

    Args:
        chosen: Every setting.
        data: What the model was trained on.
        summary: Its figures, ``Run.summary``.
        seed: Seed of every draw.
        refit: Whether it was trained once more on everything.
        use: How the folder is used, Markdown.
    """
    sections = [
        _header(chosen, data, summary),
        f"# {markdown(chosen.name)} on {markdown(data.name)}",
        _about(chosen),
        "## Use",
        use,
        "## Training data",
        _trained_on(data, refit),
        "## Figures",
        _figures(chosen, summary),
        "## Settings",
        f"Preset {markdown(chosen.preset)}, seed {seed}.",
        _settings(chosen),
        "## Limits",
        _limits(data),
    ]
    return "\n\n".join(sections) + "\n"


def _header(chosen: Chosen, data: Dataset, summary: Mapping[str, Any]) -> str:
    """Return the YAML header; JSON is YAML, and escapes what a name may hold."""
    metrics = [
        {"type": name, "value": value, "name": f"{name} ({part})"}
        for part in _PARTS
        for name, value in sorted((summary.get(part) or {}).items())
        if isinstance(value, float)
    ]
    result = {
        "task": {"type": "recommendation", "name": "Recommendation"},
        "dataset": {"type": data.name, "name": data.name},
        "metrics": metrics,
    }
    tags = ["recommendation", "kgrec", chosen.name]
    if len(data.triples):
        tags.insert(1, "knowledge-graph")

    lines = ["library_name: kgrec", f"tags: {json.dumps(tags)}"]
    if metrics:
        index = [{"name": chosen.name, "results": [result]}]
        lines.append(f"model-index: {json.dumps(index)}")
    return "\n".join(["---", *lines, "---"])


def _about(chosen: Chosen) -> str:
    entry = MODELS.get(chosen.name)
    if entry is not None:
        return f"{markdown(entry.summary)} ({markdown(entry.paper)})."
    if chosen.members:
        return f"A blend of {', '.join(markdown(member.name) for member, _ in chosen.members)}."
    return "A model of its own, not of kgrec's catalog."


def _trained_on(data: Dataset, refit: bool) -> str:
    counts = [
        f"{len(data.users):,} users",
        f"{len(data.items):,} items",
        f"{len(data.train):,} training interactions",
        f"{len(data.triples):,} triples over {data.num_entities:,} entities",
    ]
    split = data.settings.get("split")
    words = f"Split: {markdown(str(split))}." if split else ""
    if refit:
        words += " Trained once more on everything that was held out; the figures are from before."
    return f"{', '.join(counts)}. {words}".strip()


def _figures(chosen: Chosen, summary: Mapping[str, Any]) -> str:
    parts = {part: summary.get(part) or {} for part in _PARTS}
    names = sorted(
        {
            name
            for values in parts.values()
            for name, value in values.items()
            if isinstance(value, float)
        }
    )
    if not names:
        return "None were measured: nothing was held out."

    lines = ["| metric | valid | test |", "|---|---|---|"]
    for name in names:
        cells = [f"{values[name]:.4f}" if name in values else "" for values in parts.values()]
        lines.append(f"| {markdown(name)} | {' | '.join(cells)} |")

    selection = summary.get("selection")
    if selection == TEST_SELECTED:
        words = (
            "The epoch was chosen by the **test** part (test-selected): compare with published "
            "figures alone."
        )
    elif selection == "valid":
        words = f"The epoch was chosen by {markdown(chosen.train.metric)} on the validation part."
    else:
        words = "The last epoch stands; nothing was measured while training."

    return "\n".join([*lines, "", words])


def _settings(chosen: Chosen) -> str:
    values = {**asdict(chosen.config), **asdict(chosen.train)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(["```", *(line.replace("`", "'") for line in lines), "```"])


def _limits(data: Dataset) -> str:
    lines = [
        "- Figures compare with others on the same split alone (docs/metrics.md of kgrec).",
        "- A list repeats what the log holds: popular items, and the tastes of those who are in "
        "it. It says nothing of who is not.",
        "- Users and items without training interactions get a fallback, not the model's own "
        "answer, unless the model reads the graph.",
    ]
    if len(data.triples):
        lines.append("- Facts carry no dates, and are as right as their sources.")
    return "\n".join(lines)
