"""Settings of Sphinx; ``docs/build.py`` runs it on the pages that it has put together."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from sitegen.docstrings import restructured

import kgrec

project = "kgrec"
author = "kgrec contributors"
project_copyright = author
version = release = kgrec.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "myst-nb", ".rst": "restructuredtext"}
exclude_patterns = ["files/**"]

html_theme = "furo"
html_title = f"kgrec {version}"
html_static_path = ["_static"]  # beside this file
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
templates_path: list[str] = []
highlight_language = "text"  # of what names no language: output, formulas
pygments_style = "default"  # tango has a contrast of 2.4 where this has 4.5
pygments_dark_style = "github-dark"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
# Sections of metrics begin at the third level; what does not lex is shown plain.
suppress_warnings = ["myst.header", "misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False

nb_execution_mode = "cache"
nb_execution_timeout = 600  # seconds a cell
nb_execution_show_tb = True  # of a cell that fails, which is a warning with its page's name
nb_execution_in_temp = True
nb_merge_streams = True
nb_ipywidgets_js: dict[str, Any] = {}  # nothing is loaded from the web


def setup(app: Any) -> None:
    """Read docstrings as the plain text that they are, before napoleon looks for sections."""

    def process(
        _app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]
    ) -> None:
        lines[:] = restructured("\n".join(lines))

    app.connect("autodoc-process-docstring", process, priority=100)
