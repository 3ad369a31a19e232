"""The formats that a dataset can be written in, by name; the only registry."""

from kgrec.data.writers.base import Format
from kgrec.data.writers.ctr import CTR
from kgrec.data.writers.dkn import DKN
from kgrec.data.writers.graphml import GRAPHML
from kgrec.data.writers.lists import KGAT, LIGHTGCN
from kgrec.data.writers.mind import MIND
from kgrec.data.writers.neo4j import NEO4J
from kgrec.data.writers.networkx import NETWORKX
from kgrec.data.writers.openke import OPENKE
from kgrec.data.writers.parquet import PARQUET
from kgrec.data.writers.pykeen import PYKEEN
from kgrec.data.writers.rdf import NQUADS, NTRIPLES
from kgrec.data.writers.recbole import RECBOLE

FORMATS: dict[str, Format] = {
    "recbole": RECBOLE,
    "kgat": KGAT,
    "lightgcn": LIGHTGCN,
    "ctr": CTR,
    "mind": MIND,
    "dkn": DKN,
    "openke": OPENKE,
    "pykeen": PYKEEN,
    "ntriples": NTRIPLES,
    "nquads": NQUADS,
    "parquet": PARQUET,
    "networkx": NETWORKX,
    "graphml": GRAPHML,
    "neo4j": NEO4J,
}
