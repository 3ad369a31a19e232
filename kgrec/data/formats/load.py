"""``load``: a dataset of a folder that is recognized, of a bundled graph, or built before."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from kgrec.data.building.build import build_dataset
from kgrec.data.building.sources import DatasetSources, override, prepared, sources_and_options
from kgrec.data.formats import bundled
from kgrec.data.formats.registry import readable
from kgrec.data.formats.statement import STATEMENT
from kgrec.data.io.files import FilePath, existing, listed
from kgrec.data.io.folders import folder_kind
from kgrec.data.io.writing import find_again
from kgrec.data.public.catalog import recorded_verb
from kgrec.data.records.dataset import Dataset
from kgrec.data.storage import KIND, open_dataset
from kgrec.errors import ConfigError, FormatError
from kgrec.process import refuse_after_fork


def load(source: FilePath, **settings: Any) -> Dataset:
    """Return the dataset of a recognized folder, a bundled name, or a dataset folder built before.

    Args:
        source: RecBole folder (``.inter``, ``.kg``, ``.link``, ``.item``, ``.user``); LightGCN or
            KGAT text (``train.txt``, ``test.txt``, ``kg_final.txt``); click-through text
            (``ratings_final.txt``, ``kg_final.txt``); MIND (``news.tsv``, ``behaviors.tsv``, and
            vectors beside them); DKN text (``raw_train.txt``, ``raw_test.txt``, or the numbered
            ``train.txt``, ``test.txt``); parts of a split (``train.tsv``, ``val.tsv``,
            ``test.tsv``) with or without RDF beside them; OpenKE (``train2id.txt``); Parquet
            parts (``interactions/``, ``triples/``); a folder that ``kgrec convert`` wrote; a dataset
            built before; or a name such as "films".
        settings: Fields of ``kgrec.data.DatasetSources`` that replace the folder's own
            (``interactions``, ``train``, ``valid``, ``test``, ``kg``, ``links``, ``items``, ...),
            and of ``kgrec.data.BuildOptions``. ``user_attributes=True`` takes the folder's own.

    Raises:
        FormatError: If the folder is not recognized.
        ConfigError: If a setting is unknown.
    """
    refuse_after_fork(f"{source}: loading a dataset")
    given, options = sources_and_options(settings)
    find_again(Path(source))

    if Path(source).is_dir() and folder_kind(source) == KIND:
        if settings:
            raise ConfigError(
                f"{source}: a dataset built before; {', '.join(settings)} cannot be applied to "
                "it. Build it again from its sources."
            )
        return open_dataset(source)

    sources = read_sources(source, options.on_error)
    if options.link_by is not None:
        sources = replace(sources, links=None)

    return build_dataset(*prepared(override(sources, given), options))


def read_sources(source: FilePath, on_error: str = "stop") -> DatasetSources:
    """Return the sources in a recognized folder, or of a bundled name.

    Raises:
        MissingFileError: If there is no such folder or name.
        FormatError: If the folder is not recognized; the message says what is, and what was found.
    """
    if not Path(source).exists() and str(source) in bundled.names():
        return bundled.read(bundled.folder(str(source)))

    folder = existing(source, folder=True)
    formats = readable()
    for form in formats.values():
        if form.recognize is None or form.read is None or not form.recognize(folder):
            continue
        sources = form.read(folder, on_error) if form.lenient else form.read(folder)
        if sources.verb is None and not (folder / STATEMENT).exists():
            sources = replace(sources, verb=recorded_verb(folder) or form.verb)

        return sources

    found = sorted(p.name for p in folder.iterdir())
    known = "; ".join(f"{form.name} ({form.files})" for form in formats.values())
    raise FormatError(
        f"{source}: not a recognized folder. Found: {listed(found) or 'nothing'}. Recognized: "
        f"{known}. "
        "Or name the parts one by one."
    )
