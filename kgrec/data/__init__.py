"""Datasets: read, build, split, convert and store them; tables in, arrays under one numbering out.

Imports no torch. What is not listed here is internal and may move.
"""

from typing import TYPE_CHECKING

from kgrec.lazy import lazy_names

if TYPE_CHECKING:
    from kgrec.data.building.options import BuildOptions as BuildOptions
    from kgrec.data.building.sources import DatasetSources as DatasetSources
    from kgrec.data.derive.merge_parts import merge_parts as merge_parts
    from kgrec.data.derive.shuffle_triples import shuffle_triples as shuffle_triples
    from kgrec.data.formats.base import Format as Format
    from kgrec.data.formats.convert import Conversion as Conversion
    from kgrec.data.formats.convert import convert as convert
    from kgrec.data.formats.load import load as load
    from kgrec.data.formats.load import read_sources as read_sources
    from kgrec.data.formats.registry import FORMATS as FORMATS
    from kgrec.data.graphs.assemble import merge as merge
    from kgrec.data.io.databases import DatabaseQuery as DatabaseQuery
    from kgrec.data.linking.mentions import MENTIONS as MENTIONS
    from kgrec.data.public.catalog import download as download
    from kgrec.data.rdf.reader import line_of as line_of
    from kgrec.data.rdf.sparql import SparqlQuery as SparqlQuery
    from kgrec.data.rdf.sparql_files import FileQuery as FileQuery
    from kgrec.data.readers.attributes import triples_from_table as triples_from_table
    from kgrec.data.readers.features import read_features as read_features
    from kgrec.data.readers.interactions import read_interactions as read_interactions
    from kgrec.data.readers.triples import read_triples as read_triples
    from kgrec.data.readers.vectors import read_vectors as read_vectors
    from kgrec.data.records.content import Content as Content
    from kgrec.data.records.content import Impressions as Impressions
    from kgrec.data.records.content import Vectors as Vectors
    from kgrec.data.records.dataset import Dataset as Dataset
    from kgrec.data.records.interactions import InteractionLog as InteractionLog
    from kgrec.data.records.interactions import Interactions as Interactions
    from kgrec.data.records.report import BuildReport as BuildReport
    from kgrec.data.records.report import Caution as Caution
    from kgrec.data.records.report import ColumnRole as ColumnRole
    from kgrec.data.records.report import Dropped as Dropped
    from kgrec.data.records.report import TableColumn as TableColumn
    from kgrec.data.records.triples import Triples as Triples
    from kgrec.data.records.vocabulary import Vocabulary as Vocabulary
    from kgrec.data.records.wording import Phrase as Phrase
    from kgrec.data.records.wording import Wording as Wording
    from kgrec.data.splitting.impressions import ImpressionLog as ImpressionLog
    from kgrec.data.splitting.labeled import LabeledLog as LabeledLog
    from kgrec.data.storage import open_dataset as open_dataset
    from kgrec.data.storage import save_dataset as save_dataset

_HOMES = {
    "BuildOptions": "kgrec.data.building.options",
    "BuildReport": "kgrec.data.records.report",
    "Caution": "kgrec.data.records.report",
    "ColumnRole": "kgrec.data.records.report",
    "Content": "kgrec.data.records.content",
    "Conversion": "kgrec.data.formats.convert",
    "DatabaseQuery": "kgrec.data.io.databases",
    "Dataset": "kgrec.data.records.dataset",
    "DatasetSources": "kgrec.data.building.sources",
    "Dropped": "kgrec.data.records.report",
    "FORMATS": "kgrec.data.formats.registry",
    "FileQuery": "kgrec.data.rdf.sparql_files",
    "Format": "kgrec.data.formats.base",
    "ImpressionLog": "kgrec.data.splitting.impressions",
    "Impressions": "kgrec.data.records.content",
    "InteractionLog": "kgrec.data.records.interactions",
    "Interactions": "kgrec.data.records.interactions",
    "LabeledLog": "kgrec.data.splitting.labeled",
    "MENTIONS": "kgrec.data.linking.mentions",
    "SparqlQuery": "kgrec.data.rdf.sparql",
    "TableColumn": "kgrec.data.records.report",
    "Triples": "kgrec.data.records.triples",
    "Vectors": "kgrec.data.records.content",
    "Vocabulary": "kgrec.data.records.vocabulary",
    "Phrase": "kgrec.data.records.wording",
    "Wording": "kgrec.data.records.wording",
    "convert": "kgrec.data.formats.convert",
    "download": "kgrec.data.public.catalog",
    "line_of": "kgrec.data.rdf.reader",
    "load": "kgrec.data.formats.load",
    "merge": "kgrec.data.graphs.assemble",
    "merge_parts": "kgrec.data.derive.merge_parts",
    "open_dataset": "kgrec.data.storage",
    "read_features": "kgrec.data.readers.features",
    "read_interactions": "kgrec.data.readers.interactions",
    "read_sources": "kgrec.data.formats.load",
    "read_triples": "kgrec.data.readers.triples",
    "read_vectors": "kgrec.data.readers.vectors",
    "save_dataset": "kgrec.data.storage",
    "shuffle_triples": "kgrec.data.derive.shuffle_triples",
    "triples_from_table": "kgrec.data.readers.attributes",
}

__all__ = [
    "FORMATS",
    "MENTIONS",
    "BuildOptions",
    "BuildReport",
    "Caution",
    "ColumnRole",
    "Content",
    "Conversion",
    "DatabaseQuery",
    "Dataset",
    "DatasetSources",
    "Dropped",
    "Format",
    "ImpressionLog",
    "Impressions",
    "InteractionLog",
    "Interactions",
    "LabeledLog",
    "Phrase",
    "SparqlQuery",
    "TableColumn",
    "Triples",
    "Vectors",
    "Vocabulary",
    "Wording",
    "convert",
    "download",
    "line_of",
    "load",
    "merge",
    "merge_parts",
    "open_dataset",
    "read_features",
    "read_interactions",
    "read_sources",
    "read_triples",
    "read_vectors",
    "save_dataset",
    "shuffle_triples",
    "triples_from_table",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
