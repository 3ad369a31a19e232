"""The graphs that come with kgrec, checked against their manifests.

They are looked up in the installed package, then beside it in a checkout.
"""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats.base import Format
from kgrec.data.io.files import sha256
from kgrec.errors import CheckpointError, GraphNotFoundError, nearest

MANIFEST = "manifest.toml"


def folders_searched() -> tuple[Path, Path]:
    """Return the two folders that may hold bundled graphs: inside the wheel, and beside the package
    in a checkout.
    """
    package = Path(str(files("kgrec")))
    return package / "_graphs", package.parent / "graphs"


def names() -> list[str]:
    """Return the names of the bundled graphs, sorted."""
    return sorted(
        {
            p.parent.name
            for parent in folders_searched()
            if parent.is_dir()
            for p in parent.glob(f"*/{MANIFEST}")
        }
    )


def folder(name: str) -> Path:
    """Return the folder of a bundled graph.

    Raises:
        GraphNotFoundError: If there is none of that name; the message gives the nearest name and
            the folders searched.
    """
    if name in names():
        return next(
            parent / name for parent in folders_searched() if (parent / name / MANIFEST).is_file()
        )

    where = " or ".join(str(parent) for parent in folders_searched())
    raise GraphNotFoundError(
        f"no bundled graph {name!r} in {where}.{nearest(name, names())} Bundled: "
        f"{', '.join(names()) or 'none'}."
    )


def recognize(path: Path) -> bool:
    """Return whether a folder has a manifest."""
    return (path / MANIFEST).is_file()


def read(path: Path) -> DatasetSources:
    """Return the sources named by a folder's ``manifest.toml``, each file checked against its size
    and SHA-256.

    Raises:
        CheckpointError: If the manifest cannot be read, or a file is missing or another one.
    """
    manifest = _manifest(path / MANIFEST)
    roles: dict[str, str] = {}
    for entry in manifest["files"]:
        roles[str(entry.get("role"))] = str(_checked(path, entry))

    return DatasetSources(
        interactions=roles.get("interactions"),
        kg=(roles["graph"],) if "graph" in roles else None,
        links=roles.get("links"),
        name=str(manifest.get("name", path.name)),
        verb=str(manifest["verb"]) if "verb" in manifest else None,
        notes=(str(manifest["simulated_note"]),) if "simulated_note" in manifest else (),
    )


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not readable as TOML ({error}). Install kgrec again, or check out the file "
            "again."
        ) from None

    entries = manifest.get("files")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise CheckpointError(
            f"{path}: names no [[files]]. Install kgrec again, or check out the file again."
        )

    return manifest


def _checked(path: Path, entry: dict[str, Any]) -> Path:
    name = str(entry.get("name"))
    file = path / name
    if Path(name).name != name or not file.is_file():
        raise CheckpointError(
            f"{file}: named in {MANIFEST} and not there. Install kgrec again, or check out the "
            "file again."
        )
    if file.stat().st_size != entry.get("bytes") or sha256(file) != entry.get("sha256"):
        raise CheckpointError(
            f"{file}: its size or SHA-256 is not that of {MANIFEST}. Install kgrec again, or "
            "check out the file again."
        )

    return file


BUNDLED = Format("bundled", "manifest.toml with [[files]]", recognize, read)
