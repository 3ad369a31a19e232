"""The commands: where each one is, and its summary, so that a call imports no other one."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "demo": ("demo.demo", "Go the whole way on the bundled films."),
    "models": ("models.models", "List every model by family, or say what one is."),
    "new-model": (
        "new_model.new_model",
        "Write a model to start from: NAME.py, test_NAME.py and NAME.md.",
    ),
    "build": ("build.build", "Make a dataset from a folder or from parts."),
    "check-folder": (
        "check_folder.check_folder",
        "Check a folder that Spark, Ray, Dask, DuckDB or others wrote for kgrec build.",
    ),
    "info": ("info.info", "Say what a dataset holds, a graph file, or a run."),
    "convert": ("convert.convert", "Write a dataset in a format of the field."),
    "train": ("train.train", "Train a model and store the run."),
    "run": (
        "experiment.run_experiment",
        "Run an experiment: models on data sets with several seeds, in one folder.",
    ),
    "tune": ("tune.tune", "Search a model's settings on validation data."),
    "ablate": ("ablate.ablate", "Ask whether the knowledge graph helps here."),
    "blend": ("blend.blend", "Make one run of several: a weighted sum of their scores."),
    "evaluate": ("evaluate.evaluate", "Measure a run on held-out interactions."),
    "compare": (
        "compare.compare",
        "Put runs of one dataset side by side and test their differences, paired by user.",
    ),
    "recommend": ("recommend.recommend", "List the best items for users or a history."),
    "similar": ("similar.similar", "List the items nearest to an item."),
    "explain": (
        "explain.explain",
        "Say why an item is recommended, what a score is made of, and what would change it.",
    ),
    "explain-batch": (
        "explain_batch.explain_batch",
        "Explain the best items of many users, or of people by their histories, in their order.",
    ),
    "explain-summary": (
        "explain_summary.explain_summary",
        "Show what drives the recommendations of many users: shares of relations, of kinds of "
        "edges, or of path patterns.",
    ),
    "explain-eval": (
        "explain_eval.explain_eval",
        "Measure how good the explanations of a run are, against random and degree-matched paths.",
    ),
    "placebo": (
        "placebo.placebo",
        "Estimate what unrelated facts do to a run's scores, and store it with the run.",
    ),
    "inspect": (
        "inspect.inspect",
        "Look at a run in the browser: users, recommendations, and the paths behind them.",
    ),
    "export": (
        "export.export",
        "Write what a run has learned for other programs: vectors, or tables that are served.",
    ),
    "push": ("push.push", "Publish a run in the layout of model hubs, with its card."),
    "serve": (
        "serve.serve",
        "Serve lists over HTTP: recommend, similar, score, explain; /openapi.json describes it.",
    ),
    "update": ("update.update", "Bring a run up to date with new interactions and items."),
    "forget": (
        "forget.forget",
        "Remove a person from a run, its dataset, and the tables that kgrec serve made beside it.",
    ),
    "doctor": ("doctor.doctor", "Show the environment; predict a training."),
}
GROUPS = {
    "data": ("data.app", "List, fetch and check the field's public data sets."),
    "pull": ("pull.app", "Fetch a graph about your items."),
}


class CommandGroup(TyperGroup):
    """Lists commands by their summaries, and imports the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the name of the command called, itself, and the arguments left for it."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed and load_command(str(name)), rest


def add_commands(app: typer.Typer) -> None:
    """Register every command by its name and summary; ``CommandGroup`` loads what they do."""
    for name, (_, summary) in (COMMANDS | GROUPS).items():
        app.command(name, help=summary)(_not_loaded)


def _not_loaded() -> None:
    raise AssertionError("CommandGroup puts the loaded command in the place of this one")


def load_command(name: str) -> Any:
    """Import a command, or a group of commands, as typer calls it."""
    module, _, attribute = (COMMANDS | GROUPS)[name][0].partition(".")
    found = getattr(import_module(f"kgrec.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group

    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)
