"""Pages of the reference: every public name of kgrec once, at the shortest address it has."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import kgrec
from kgrec.errors import DataError
from sitegen.docstrings import escaped

# Modules without a table of contents whose names are all meant to be used.
WHOLE = ("kgrec.batches", "kgrec.errors", "kgrec.testing.contract", "kgrec.testing.worlds")
PAGED = ("kgrec.ops",)  # packages whose modules are such


@dataclass(frozen=True, slots=True)
class Name:
    """A public name.

    Attributes:
        address: Where it is imported from, "kgrec.graph.adjacency".
        value: What it is.
        home: The address under which it is documented: the same, or a shorter one.
    """

    address: str
    value: Any
    home: str

    @property
    def short(self) -> str:
        """The last part of its address."""
        return self.address.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the reference.

    Attributes:
        module: Its module.
        names: The public names of it, those documented elsewhere among them.
    """

    module: str
    names: tuple[Name, ...]

    @property
    def file(self) -> str:
        """The page's file without its ending."""
        return self.module.replace(".", "-")


def pages(found: Iterable[ModuleType] | None = None) -> list[Page]:
    """Return the pages of the reference, of kgrec's modules or of others.

    Raises:
        DataError: If a public name is not documented.
    """
    homes: dict[int, str] = {}
    listed = []
    for module in modules() if found is None else found:
        names = []
        for short, value in public(module):
            address = f"{module.__name__}.{short}"
            home = homes.setdefault(id(value), address) if _has_home(value) else address
            names.append(Name(address, value, home))
        if any(name.home == name.address for name in names):
            listed.append(Page(module.__name__, tuple(names)))

    missing = [
        name.address for page in listed for name in page.names if not _documented(name.value, name)
    ]
    if missing:
        raise DataError(f"public names without a docstring: {', '.join(missing)}. Write them.")

    return listed


def modules() -> Iterator[ModuleType]:
    """Yield the modules that hold public names: kgrec first, so that its addresses are the homes."""
    yield kgrec
    for found in pkgutil.iter_modules(kgrec.__path__, "kgrec."):
        if found.name.rpartition(".")[2].startswith("_") or found.name == "kgrec.cli":
            continue

        module = importlib.import_module(found.name)
        if found.name in PAGED:
            yield from _inside(module)
        elif hasattr(module, "__all__") or found.name in WHOLE:
            yield module
        elif found.ispkg:
            yield from (
                inner
                for inner in _inside(module)
                if inner.__name__ in WHOLE or hasattr(inner, "__all__") or _results_of(inner)
            )


def _inside(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if not found.ispkg and not found.name.rpartition(".")[2].startswith("_"):
            yield importlib.import_module(found.name)


def _results_of(module: ModuleType) -> list[str]:
    """Names of the classes that kgrec's own functions return and this module defines."""
    returned = set()
    for name in kgrec.__all__:
        value = getattr(kgrec, name)
        if inspect.isfunction(value):
            kind = inspect.get_annotations(value).get("return")
            if inspect.isclass(kind) and kind.__module__ == module.__name__:
                returned.add(kind.__name__)

    return sorted(returned)


def public(module: ModuleType) -> list[tuple[str, Any]]:
    """Return the public names of a module with their values."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = _results_of(module) or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        ]

    return [(name, getattr(module, name)) for name in names]


def _has_home(value: Any) -> bool:
    """Whether a value is one thing wherever it is imported from: not so a number or a text."""
    return inspect.isclass(value) or inspect.isfunction(value) or isinstance(value, dict)


def _documented(value: Any, name: Name) -> str:
    """Return what documents a name; a constant shows itself."""
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return name.short

    text = value.__doc__ or ""
    return "" if text.startswith(f"{value.__name__}(") else text  # what a dataclass makes itself


def rst(page: Page) -> str:
    """Return a page of the reference."""
    module = importlib.import_module(page.module)
    about = inspect.cleandoc(module.__doc__ or "").partition("\n\n")[0]
    lines = [page.module, "=" * len(page.module), "", escaped(about), ""]
    lines += [f".. py:module:: {page.module}", ""]

    elsewhere = [name for name in page.names if name.home != name.address]
    if elsewhere:
        roles = ", ".join(f":py:obj:`{name.short} <{name.home}>`" for name in elsewhere)
        lines += [f"Also importable from here: {roles}.", ""]

    for title, kind in (
        ("Functions", inspect.isroutine),
        ("Classes", inspect.isclass),
        ("Constants", lambda v: not (inspect.isclass(v) or inspect.isroutine(v))),
    ):
        own = [name for name in page.names if name.home == name.address and kind(name.value)]
        if own:
            lines += [title, "-" * len(title), ""]
        for name in own:
            lines += [*_directive(name), ""]

    return "\n".join(lines)


def _directive(name: Name) -> list[str]:
    if inspect.isclass(name.value):
        return [f".. autoclass:: {name.address}", "   :members:", "   :member-order: bysource"]
    if inspect.isroutine(name.value):
        return [f".. autofunction:: {name.address}"]
    return [f".. py:data:: {name.address}", "", f"   {_constant(name.value)}"]


def _constant(value: Any) -> str:
    if isinstance(value, dict | tuple | list | set | frozenset):
        keys = ", ".join(f"``{key}``" for key in value if isinstance(key, str))
        return f"A {type(value).__name__} of {len(value)}" + (f": {keys}." if keys else ".")
    return f"``{value!r}``"


def index(found: list[Page]) -> str:
    """Return the reference's first page."""
    lines = ["API reference", "=============", ""]
    lines += ["Every public name once. What is not listed is internal and may move.", ""]
    lines += [".. toctree::", "   :maxdepth: 1", "", *(f"   {page.file}" for page in found), ""]
    return "\n".join(lines)
