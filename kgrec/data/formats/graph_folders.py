"""Folders of graphs: OpenKE, PyKEEN, GraphML, node-link JSON, Neo4j's CSV, and RDF that
``kgrec convert`` wrote.
"""

from dataclasses import replace
from pathlib import Path

from kgrec.data.building.sources import Parts
from kgrec.data.formats.convert import statement
from kgrec.data.formats.graphml import read_graphml
from kgrec.data.formats.neo4j import read_neo4j
from kgrec.data.formats.networkx import read_nodelink
from kgrec.data.formats.openke import read_openke
from kgrec.data.formats.original_ids import triples_under_ids, under_keys
from kgrec.data.formats.property_graph import to_parts
from kgrec.data.io.files import reading
from kgrec.data.readers.triples import read_triples
from kgrec.data.records.dataset import PARTS
from kgrec.data.tables.delimited import read_columns

_LONGEST_HEADER = 1 << 12


def openke(folder: Path) -> Parts:
    """Return the parts in OpenKE's files."""
    triples, held = read_openke(folder)
    return triples_under_ids(folder, triples, held)


def pykeen(folder: Path) -> Parts:
    """Return the parts in files of labelled triples."""
    ends = ("head", "relation", "tail")
    tables = {part: folder / f"triples_{part}.tsv" for part in PARTS}
    frames = {
        part: read_columns(path, ends, separator="\t")
        for part, path in tables.items()
        if path.is_file()
    }
    held = {part: table.frame for part, table in frames.items() if part != "train"}
    return triples_under_ids(folder, read_triples(frames["train"]), held)


def graphml(folder: Path) -> Parts:
    """Return the parts in a GraphML file."""
    path = next(folder.glob("*.graphml"))
    return to_parts(read_graphml(path), folder, str(path))


def nodelink(folder: Path) -> Parts:
    """Return the parts in node-link JSON."""
    return to_parts(read_nodelink(folder / "graph.json"), folder, str(folder / "graph.json"))


def neo4j(folder: Path) -> Parts:
    """Return the parts in Neo4j's CSV."""
    return to_parts(read_neo4j(folder), folder, str(folder))


def is_rdf(folder: Path) -> bool:
    """Return whether ``kgrec convert`` wrote the folder as RDF."""
    return was_written(folder, "ntriples", "nquads") and _rdf_file(folder) is not None


def is_openke(folder: Path) -> bool:
    """Return whether a folder holds OpenKE's files."""
    return all(
        (folder / name).is_file() for name in ("entity2id.txt", "relation2id.txt", "train2id.txt")
    )


def is_pykeen(folder: Path) -> bool:
    """Return whether a folder holds labelled triples as ``kgrec convert`` names them."""
    return (folder / "triples_train.tsv").is_file()


def is_graphml(folder: Path) -> bool:
    """Return whether a folder holds one GraphML file."""
    return len(list(folder.glob("*.graphml"))) == 1


def is_nodelink(folder: Path) -> bool:
    """Return whether a folder holds node-link JSON."""
    return (folder / "graph.json").is_file()


def is_neo4j(folder: Path) -> bool:
    """Return whether a folder holds CSV for Neo4j's bulk import."""
    path = folder / "entities.csv"
    if not path.is_file():
        return False
    with reading(path) as stream:
        return stream.readline(_LONGEST_HEADER).lstrip(b'"').startswith(b":ID(Entity)")


def rdf(folder: Path) -> Parts:
    """Return the parts in a graph without interactions that ``kgrec convert`` wrote as RDF."""
    return replace(
        under_keys(folder, Parts(kg=(str(_rdf_file(folder)),), name=folder.resolve().name)), held={}
    )


def was_written(folder: Path, *formats: str) -> bool:
    """Return whether ``kgrec convert`` wrote the folder in one of the formats."""
    told = statement(folder)
    return told is not None and told.get("to") in formats


def _rdf_file(folder: Path) -> Path | None:
    return next(
        (path for path in (folder / "graph.nt", folder / "graph.nq") if path.is_file()), None
    )
