"""From a checkout to a site, whole or not at all."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from kgrec.errors import ConfigError, KgrecError

ROOT = Path(__file__).resolve().parent.parent.parent
NEEDED = {
    "sphinx": "sphinx",
    "furo": "furo",
    "myst_nb": "myst-nb",
    "ipykernel": "ipykernel",
}
UNEXECUTED = "--unexecuted"
CACHED = "--cached"
OPTIONS = {
    UNEXECUTED: "show the programs of tutorials without running them",
    CACHED: "run those tutorials alone whose text has changed, whatever has changed in kgrec",
}


def main(arguments: Sequence[str]) -> int:
    """Build the site; return an exit code: 0, 1 for a warning or an example that fails, 2 for what
    the builder must mend first.
    """
    try:
        unknown = [word for word in arguments if word not in OPTIONS]
        if unknown:
            known = "; ".join(f"{name}: {what}" for name, what in OPTIONS.items())
            raise ConfigError(f"unknown argument {unknown[0]!r}. There is {known}.")
        return build(ROOT, execute=UNEXECUTED not in arguments, cached=CACHED in arguments)
    except KgrecError as error:
        print(f"docs: {error}", file=sys.stderr)
        return 2


def check_installed() -> None:
    """Check that what builds the site is installed.

    Raises:
        ConfigError: If something is missing.
    """
    missing = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"the site needs {', '.join(missing)}, which this environment lacks. "
            "Install the extra: pip install -c constraints.txt -e '.[docs]', or run `make docs`."
        )


def build(root: Path, execute: bool = True, cached: bool = False) -> int:
    """Build ``root/build/docs`` and return Sphinx's exit code; a site that was there stays until
    the new one is whole.

    Raises:
        ConfigError: If a package is missing.
        DataError: If a page lacks what it must say, or a link leads nowhere.
    """
    check_installed()
    from sphinx.cmd.build import main as sphinx

    from sitegen.check import check_site
    from sitegen.stage import stage

    source = root / "build" / "docs-source"
    fresh = root / "build" / "docs-new"
    cache = root / "build" / "docs-cache"
    for folder in (source, fresh, *(() if cached else (cache,))):
        shutil.rmtree(folder, ignore_errors=True)

    stage(root, source)
    # Tutorials run in processes of their own, which find kgrec and what is beside it like this one.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ["TERM"] = "dumb"  # their tables without codes for a terminal
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    options = ["-D", f"nb_execution_cache_path={cache}"]
    if not execute:
        options += ["-D", "nb_execution_mode=off"]
    code: int = sphinx(
        [
            *("-W", "--keep-going", "-E", "-b", "html", "-c", str(root / "docs"), *options),
            *("-d", str(root / "build" / "docs-trees"), str(source), str(fresh)),
        ]
    )
    if code:
        return code

    pages = check_site(fresh)
    target = root / "build" / "docs"
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    print(f"{pages} pages: {target / 'index.html'}")
    return 0
