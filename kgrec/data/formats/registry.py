"""The formats of the field, by name; the only registry."""

from kgrec.data.formats.base import Format
from kgrec.data.formats.bundled import BUNDLED
from kgrec.data.formats.ctr import CTR
from kgrec.data.formats.dkn import DKN
from kgrec.data.formats.graphml import GRAPHML
from kgrec.data.formats.lake import LAKE
from kgrec.data.formats.lightgcn import KGAT, LIGHTGCN
from kgrec.data.formats.mind import MIND
from kgrec.data.formats.neo4j import NEO4J
from kgrec.data.formats.networkx import NETWORKX
from kgrec.data.formats.openke import OPENKE
from kgrec.data.formats.parquet import PARQUET
from kgrec.data.formats.pykeen import PYKEEN
from kgrec.data.formats.rdf import NQUADS, NTRIPLES, RDF
from kgrec.data.formats.recbole import RECBOLE
from kgrec.data.formats.split_tables import SPLIT

# In the order of recognition: a folder is the first format that recognizes it.
_ORDERED = (
    BUNDLED,
    LAKE,
    PARQUET,
    NEO4J,
    GRAPHML,
    NETWORKX,
    OPENKE,
    PYKEEN,
    RECBOLE,
    MIND,
    CTR,
    DKN,
    LIGHTGCN,
    KGAT,
    SPLIT,
    RDF,
    NTRIPLES,
    NQUADS,
)
FORMATS: dict[str, Format] = {form.name: form for form in _ORDERED}


def readable() -> dict[str, Format]:
    """Return the formats that a folder is recognized as, in order."""
    return {name: form for name, form in FORMATS.items() if form.read is not None}


def writable() -> dict[str, Format]:
    """Return the formats that a dataset can be written in."""
    return {name: form for name, form in FORMATS.items() if form.write is not None}
