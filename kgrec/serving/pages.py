"""The inspector's page: its files, and the policies that bind a browser to them."""

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from kgrec.escaping import terminal
from kgrec.templates import environment

# Cytoscape adds this element to a page that lacks it; it is there from the start, under a policy
# that names its hash.
_CYTOSCAPE_STYLE = ".__________cytoscape_container { position: relative; }"
_TRUST = "require-trusted-types-for 'script'"
ASSETS = {
    "inspector.css": "text/css; charset=utf-8",
    "inspector.js": "text/javascript; charset=utf-8",
    "cytoscape.min.js": "text/javascript; charset=utf-8",
}


@cache
def asset(name: str) -> str:
    """Return one of the package's own files; ``name`` never comes from a request."""
    return (files("kgrec.serving") / "static" / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """Return the hash of an inline script or style as a policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def safe_json(document: Any) -> str:
    r"""Return JSON that may stand inside a ``script`` element.

    >>> safe_json({"label": "</script>&\u2028"})
    '{"label":"\\u003c/script\\u003e\\u0026\\u2028"}'
    """
    text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def server_policy() -> str:
    """Return the policy of the served page: its own files and nothing else."""
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' {digest(_CYTOSCAPE_STYLE)}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            _TRUST,
        ]
    )


@cache
def served_page() -> str:
    """Return the page of the server; it holds nothing of the run."""
    return _page(policy="")


def offline_page(data: Any) -> str:
    """Return one file that holds the page, its library and its data, and may ask for nothing."""
    style = asset("inspector.css")
    scripts = [asset("cytoscape.min.js"), asset("inspector.js")]
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(digest, scripts))}",
            f"style-src {digest(style)} {digest(_CYTOSCAPE_STYLE)}",
            "img-src data:",
            "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            _TRUST,
        ]
    )

    return _page(
        policy=Markup(policy),
        style=Markup(style),
        data=Markup(safe_json(data)),
        scripts=[Markup(script) for script in scripts],
    )


def _page(**shown: Any) -> str:
    """Return the page, with its files in it where it has a policy of its own."""
    templates = environment("kgrec.serving", terminal, folder="static")
    template = templates.get_template("index.html")
    return template.render(cytoscape_style=Markup(_CYTOSCAPE_STYLE), **shown)
