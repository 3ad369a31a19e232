"""``kgrec models``."""

from kgrec.cli.options import JsonOption
from kgrec.cli.output import show_json, show_table


def models(json: JsonOption = False) -> None:
    """List every model, its paper and its needs."""
    from kgrec.models.catalog import MODELS, installed_models

    every = [*MODELS.values(), *installed_models()]

    if json:
        show_json(
            [
                {"name": m.name, "summary": m.summary, "paper": m.paper, "needs": list(m.needs)}
                for m in every
            ]
        )
        return

    show_table(
        ("model", "what it does", "paper", "needs"),
        [(m.name, m.summary, m.paper, ", ".join(m.needs)) for m in every],
    )
