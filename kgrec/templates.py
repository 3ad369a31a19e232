"""Jinja templates of the pages that kgrec writes: what a page shows is text, never markup."""

from collections.abc import Callable
from typing import Any

import jinja2
from markupsafe import Markup


def environment(
    package: str, text: Callable[[str], str], folder: str = "templates"
) -> jinja2.Environment:
    """Return the templates of a package, with autoescape and without undefined names.

    Args:
        package: Name of the package.
        text: Makes a text fit to be shown, before it is escaped: every text that a template prints
            goes through it.
        folder: Where the package keeps its templates.
    """

    def shown(value: Any) -> Any:
        if isinstance(value, str) and not isinstance(value, Markup):
            return text(value)
        return value

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader(package, folder),
        autoescape=True,
        finalize=shown,
        keep_trailing_newline=True,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters["count"] = "{:,}".format
    return templates


def source(templates: jinja2.Environment, name: str) -> Markup:
    """Return a file of the templates as it is, such as a style sheet."""
    assert templates.loader is not None
    return Markup(templates.loader.get_source(templates, name)[0])
