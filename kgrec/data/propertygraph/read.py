"""Recognize a file of nodes and edges, and read it as facts."""

import re
from collections.abc import Callable
from dataclasses import replace

from kgrec.data.graphs.assemble import RawTriples
from kgrec.data.io.compression import Limits
from kgrec.data.io.files import FilePath, bare_suffix
from kgrec.data.propertygraph.csv_files import is_apoc_header, read_apoc_csv
from kgrec.data.propertygraph.json_files import read_json_graph
from kgrec.data.propertygraph.knowledge import joined_ends, knowledge
from kgrec.data.propertygraph.records import INTERACTION, USER_FACT, PropertyGraph
from kgrec.data.propertygraph.understand import understood
from kgrec.data.propertygraph.xml_files import read_xml_graph
from kgrec.data.records.report import Dropped

SUFFIXES = ("graphml", "gexf")

_XML = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*|<!--(?>.*?-->)\s*)*+<(?:\w+:)?(?:graphml|gexf)\b",
    re.DOTALL,
)
_JSON = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*[{\[]")
_NODES = re.compile(rb"\"(?:nodes|elements)\"\s*:\s*[\[{]|\"multigraph\"\s*:\s*(?:true|false)")
_LD = re.compile(rb"\"@(?:context|id|graph)\"\s*:")
_APOC = re.compile(rb"\A\s*+\[?\s*+\{\s*+\"type\"\s*:\s*\"(?:node|relationship)\"")

Reader = Callable[[FilePath], PropertyGraph]


def reader_of(path: FilePath, start: bytes, limits: Limits) -> Reader | None:
    """Return what reads a file of nodes and edges, None where it is none.

    Args:
        path: Of the file.
        start: Its first bytes.
        limits: How far a compressed file may grow.
    """
    if bare_suffix(path) in SUFFIXES or _XML.match(start):
        return lambda file: read_xml_graph(file, limits)
    if (
        _JSON.match(start)
        and not _LD.search(start)
        and (_NODES.search(start) or _APOC.match(start))
    ):
        return read_json_graph
    if is_apoc_header(start.partition(b"\n")[0]):
        return read_apoc_csv

    return None


def read_property_graph(path: FilePath, reader: Reader) -> RawTriples:
    """Return the knowledge graph in a file of nodes and edges.

    Interactions and facts about users in it are not read: a folder's are, see ``kgrec.load``.
    """
    return facts_of(reader(path), str(path))


def facts_of(graph: PropertyGraph, source: str) -> RawTriples:
    """Return the knowledge graph in nodes and edges."""
    graph = understood(graph, source)
    nodes, edges = joined_ends(graph, source)
    raw = knowledge(nodes, edges, source)
    facts = int(edges["fact"].is_in([INTERACTION, USER_FACT]).sum())
    lost = Dropped("edges of users", f"only the knowledge graph of {source} is read", facts)
    return replace(raw, dropped=(*graph.dropped, *((lost,) if facts else ())))
