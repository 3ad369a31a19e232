"""The inspector's page: its files, and the policies that bind a browser to them."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from kgrec.escaping import terminal
from kgrec.templates import environment

_TRUST = "require-trusted-types-for 'script'"
_ENTRY = "inspector.js"
_CSS = "text/css; charset=utf-8"
_JS = "text/javascript; charset=utf-8"

# A module after those that it imports.
MODULES = (
    *("strings.js", "unliked.js", "address.js", "session.js", "language.js", "dom.js"),
    *("numbers.js", "source.js", "saved.js", "pieces.js", "parts.js", "paths.js", "drawing.js"),
    *("screens/users.js", "screens/recommendations.js", "screens/filters.js", "screens/why.js"),
    *("screens/compare.js", "screens/models.js", "screens/node.js", "screens/what_if.js"),
    *("screens/overall.js", "screens/about.js", _ENTRY),
)
ASSETS = {"inspector.css": _CSS, **dict.fromkeys(MODULES, _JS)}

_IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";$', re.M)
_EXPORT = re.compile(r"^export ((?:async )?function|const|class) (\w+)", re.M)


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


def one_script() -> str:
    """Return all modules as one script, for a page that is opened from the disk.

    Browsers import no modules from files. Each module becomes a function that returns its exports.
    """
    parts = ['"use strict";', "const modules = {};"]
    for name in MODULES:
        text = asset(name)
        exports = ", ".join(found[1] for found in _EXPORT.findall(text))
        body = _IMPORT.sub(_as_lookup, text)
        body = _EXPORT.sub(r"\1 \2", body)
        parts.append(
            f'modules["{_key(name)}"] = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();'
        )

    return "\n".join(parts)


def _as_lookup(found: re.Match[str]) -> str:
    return f'const {{{found[1]}}} = modules["{_key(found[2])}"];'


def _key(name: str) -> str:
    return name.rpartition("/")[2]


def server_policy(images: Sequence[str] = ()) -> str:
    """Return the policy of the served page: its own files and nothing else.

    Args:
        images: Origins whose pictures the user asked to see.
    """
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            " ".join(["img-src data:", *images]),
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
    """Return one file that holds the page, its script and its data, and may ask for nothing."""
    style = asset("inspector.css")
    script = one_script()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {digest(script)}",
            f"style-src {digest(style)}",
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
        script=Markup(script),
    )


def _page(**shown: Any) -> str:
    """Return the page, with its files in it where it has a policy of its own."""
    return environment("kgrec.serving", terminal).get_template("page.html").render(**shown)
