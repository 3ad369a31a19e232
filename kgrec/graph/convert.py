"""To networkx, SciPy and rdflib, and back.

Graphs go out under the caller's own keys and hold the training interactions only. What comes back
is a ``Triples`` record: interactions are for ``Dataset.build`` to add.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import networkx as nx
import numpy as np
import polars as pl
import rdflib
import scipy.sparse as sp
from rdflib.graph import DATASET_DEFAULT_GRAPH_ID

from kgrec.data.graphs.kept_labels import with_stated_labels, without_plain_labels
from kgrec.data.rdf.iris import NAMESPACE, key_of, minted
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import ConfigError, GraphError
from kgrec.graph.ckg import CollaborativeKG

INTERACTS = rdflib.URIRef(NAMESPACE + "interacts")


def to_networkx(graph: Dataset | CollaborativeKG) -> "nx.MultiDiGraph[Any]":
    """Return the collaborative knowledge graph as a networkx graph.

    From a dataset, nodes are the pairs ("user", user id), ("item", item id) and ("entity", entity
    key), so that equal ids of different kinds stay apart; attributes ``kind``, ``label``, ``row``
    and, on items and entities, ``entity`` (the entity key). Edges are keyed by relation key, with
    attributes ``relation``, ``label``, ``fact`` ("interaction", "triple" or "user fact"), and on
    triples ``source`` and ``locator``. Interactions are keyed "interacts" (with "_" appended while
    a relation has that key). Repeated triples become one edge.

    From a ``CollaborativeKG`` alone, nodes and relations are numbers, and edges are keyed by
    relation.
    """
    if isinstance(graph, CollaborativeKG):
        bare: nx.MultiDiGraph[Any] = nx.MultiDiGraph()
        for node in range(graph.num_nodes):
            if graph.is_user(node):
                kind = "user"
            elif node < graph.num_items:
                kind = "item"
            else:
                kind = "entity"
            bare.add_node(node, kind=kind)

        for head, relation, tail, fact in _rows(graph.head, graph.relation, graph.tail, graph.fact):
            bare.add_edge(head, tail, key=relation, relation=relation, fact=fact)

        return bare

    return _named_networkx(graph)


def _named_networkx(data: Dataset) -> "nx.MultiDiGraph[Any]":
    ckg = CollaborativeKG.from_dataset(data)
    triples = data.triples
    out: nx.MultiDiGraph[Any] = nx.MultiDiGraph(name=data.name)
    nodes: list[tuple[str, str]] = []
    items = data.items.series.to_list()
    entities = triples.entities.series.to_list()
    for row, entity in enumerate(entities):
        nodes.append(("item", items[row]) if row < len(items) else ("entity", entity))
        out.add_node(
            nodes[-1],
            kind=nodes[-1][0],
            label=data.item_label(row) if row < len(items) else triples.label(row),
            row=row,
            entity=entity,
        )

    for row, user in enumerate(data.users):
        nodes.append(("user", user))
        out.add_node(nodes[-1], kind="user", label=data.user_label(row), row=row)

    interacts = "interacts"
    while interacts in triples.relations:
        interacts += "_"

    relations = [interacts, *triples.relations]
    labels = ["interacts", *(triples.relation_label(row) for row in range(len(triples.relations)))]

    for head, relation, tail, fact in _rows(ckg.head, ckg.relation, ckg.tail, ckg.fact):
        what = {-1: "interaction", -2: "user fact"}.get(fact, "triple")
        attributes: dict[str, Any] = {
            "relation": relations[relation],
            "label": labels[relation],
            "fact": what,
        }

        if fact >= 0:
            attributes |= {
                "source": triples.sources[int(triples.source[fact])],
                "locator": int(triples.locator[fact]),
            }

        out.add_edge(nodes[head], nodes[tail], key=relations[relation], **attributes)

    return out


def _rows(*columns: np.ndarray) -> Iterable[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)


def from_networkx(graph: "nx.Graph[Any]") -> Triples:
    """Return the triples of a networkx graph: ``to_networkx``'s or any other.

    An entity's key is the node's attribute ``entity``, else the node as text; its label the
    attribute ``label``. A relation's key is the edge's attribute ``relation``, else the edge's key
    where that is text, else "related". Edges whose attribute ``fact`` says "interaction" or "user
    fact" and nodes of kind "user" are left out. An undirected edge counts once, in the order
    networkx gives it.

    Raises:
        GraphError: If two nodes have the same key as text.
    """
    keys: dict[Any, str] = {}
    labels: dict[str, str | None] = {}

    for node, attributes in graph.nodes(data=True):
        if attributes.get("kind") == "user":
            continue

        key = str(attributes.get("entity", node))
        if key in labels:
            raise GraphError(
                f"two nodes are written {key!r}. Give nodes distinct names, or an attribute "
                "'entity' that is distinct."
            )

        label = attributes.get("label")
        unnamed = (
            key,
            str(node[-1]) if isinstance(node, tuple) and node else key,
        )  # items without a label carry their id
        keys[node], labels[key] = (
            key,
            None if label is None or str(label) in unnamed else str(label),
        )

    if graph.is_multigraph():
        edges = graph.edges(keys=True, data=True)
    else:
        edges = ((a, b, None, d) for a, b, d in graph.edges(data=True))

    found: list[tuple[str, str, str]] = []
    relation_labels: dict[str, str] = {}
    places: list[tuple[str, int]] = []

    for head, tail, edge_key, attributes in edges:
        if (
            attributes.get("fact") in ("interaction", "user fact")
            or head not in keys
            or tail not in keys
        ):
            continue

        relation = str(
            attributes.get("relation", edge_key if isinstance(edge_key, str) else "related")
        )
        relation_labels.setdefault(relation, str(attributes.get("label", "")))
        found.append((keys[head], relation, keys[tail]))
        places.append(
            (str(attributes.get("source", "networkx")), int(attributes.get("locator", 0)))
        )

    return _triples(found, labels, relation_labels, places)


def _triples(
    found: list[tuple[str, str, str]],
    labels: Mapping[str, str | None],
    relation_labels: Mapping[str, str],
    places: list[tuple[str, int]],
) -> Triples:
    """Return a record of the (head, relation, tail) keys; ``labels`` names every entity in row
    order.
    """
    entities = Vocabulary(labels, kind="entity")
    relations = Vocabulary(relation_labels, kind="relation")
    sources = list(dict.fromkeys(source for source, _ in places))
    position = {source: number for number, source in enumerate(sources)}

    return Triples(
        entities,
        relations,
        entities.rows(head for head, _, _ in found).astype(np.int32),
        relations.rows(relation for _, relation, _ in found).astype(np.int32),
        entities.rows(tail for _, _, tail in found).astype(np.int32),
        np.array([position[source] for source, _ in places], dtype=np.uint16),
        np.array([locator for _, locator in places], dtype=np.int64),
        tuple(sources),
        pl.Series("label", list(labels.values()), dtype=pl.String),
        pl.Series("label", [label or None for label in relation_labels.values()], dtype=pl.String),
    )


def to_scipy(triples: Triples) -> dict[str, sp.csr_array]:
    """Return one sparse (entities x entities) matrix per relation key: entry (head, tail) is how
    often the triple occurs, float32.
    """
    shape = (len(triples.entities), len(triples.entities))
    out = {}

    for row, key in enumerate(triples.relations):
        chosen = triples.relation == row
        ones = np.ones(int(chosen.sum()), dtype=np.float32)
        out[key] = sp.csr_array(
            sp.coo_array((ones, (triples.head[chosen], triples.tail[chosen])), shape=shape)
        )

    return out


def from_scipy(matrices: Mapping[str, sp.sparray], entities: Iterable[str]) -> Triples:
    """Return one triple per non-zero entry of each relation's (entities x entities) matrix,
    relation by relation, then row-major.

    Raises:
        GraphError: If a matrix is not square of the number of entities.
    """
    keys = list(entities)
    found: list[tuple[str, str, str]] = []

    for relation, matrix in matrices.items():
        if matrix.shape != (len(keys), len(keys)):
            raise GraphError(
                f"matrix of relation {relation!r} has shape {matrix.shape}; {len(keys)} entities "
                f"need ({len(keys)}, {len(keys)})."
            )

        csr = sp.csr_array(matrix)
        csr.eliminate_zeros()
        csr.sort_indices()
        coo = csr.tocoo()
        found += [(keys[head], str(relation), keys[tail]) for head, tail in _rows(coo.row, coo.col)]

    return _triples(
        found,
        dict.fromkeys(keys),
        dict.fromkeys(map(str, matrices), ""),
        [("scipy", 0)] * len(found),
    )


def to_pykeen(graph: Dataset | Triples) -> dict[str, Any]:
    """Return a ``pykeen.triples.TriplesFactory`` per part ("train", and "valid" and "test" where
    triples are held out).

    They share one numbering, that of ``triples.entities`` and ``triples.relations``.

    Raises:
        ConfigError: If PyKEEN is not installed.
    """
    try:
        from pykeen.triples import TriplesFactory
    except ImportError:
        raise ConfigError("PyKEEN is not installed. Install it: pip install pykeen.") from None

    import torch

    if isinstance(graph, Dataset):
        triples = graph.triples
        held = graph.held_triples
    else:
        triples = graph
        held = {}

    parts = {"train": np.stack([triples.head, triples.relation, triples.tail], axis=1), **held}
    names = {
        kind: {key: row for row, key in enumerate(keys)}
        for kind, keys in (
            ("entity_to_id", triples.entities),
            ("relation_to_id", triples.relations),
        )
    }

    return {
        part: TriplesFactory(torch.from_numpy(rows.astype(np.int64)), **names)
        for part, rows in parts.items()
    }


def adjacency(ckg: CollaborativeKG) -> sp.csr_array:
    """Return the symmetric (nodes x nodes) adjacency: the number of facts between two nodes, either
    direction, float32.
    """
    ones = np.ones(2 * len(ckg.head), dtype=np.float32)
    head, _, tail = ckg.both_ways()
    return sp.csr_array(sp.coo_array((ones, (head, tail)), shape=(ckg.num_nodes, ckg.num_nodes)))


def to_rdflib(graph: Dataset | Triples) -> rdflib.Graph:
    """Return an RDF graph of the triples, labels, classes and literals; from a dataset also its
    users and training interactions.

    Keys that are IRIs stay as they are; others become ``urn:kgrec:entity:``, ``:relation:``,
    ``:class:`` or ``:attribute:`` and the key percent-encoded. Users are ``urn:kgrec:user:`` and
    their encoded id, interactions the predicate ``urn:kgrec:interacts``. Items stand under their
    entity's key. RDF knows no repeated triples and no provenance of one, and a graph no named
    graphs: for these see ``to_rdflib_dataset``.
    """
    out = rdflib.Graph()
    for triple in _described(out, graph):
        out.add(triple)

    return out


def to_rdflib_dataset(graph: Dataset | Triples) -> rdflib.Dataset:
    """Return what ``to_rdflib`` gives as an RDF dataset: each triple in its named graph, all else
    in the default graph.
    """
    if isinstance(graph, Dataset):
        triples = graph.triples
    else:
        triples = graph

    out = rdflib.Dataset()
    named = [out.graph(_iri(name, "graph")) for name in triples.graphs]

    for row, triple in enumerate(_described(out.default_graph, graph)):
        if len(triples.graph):
            number = int(triples.graph[row])
        else:
            number = -1
        (out.default_graph if number < 0 else named[number]).add(triple)

    return out


def _described(
    out: rdflib.Graph, graph: Dataset | Triples
) -> Iterator[tuple[rdflib.URIRef, rdflib.URIRef, rdflib.URIRef]]:
    """Yield the triples, and add what else is known to ``out``."""
    if isinstance(graph, Dataset):
        triples = graph.triples
    else:
        triples = graph

    entities = [_iri(key, "entity") for key in triples.entities]
    relations = [_iri(key, "relation") for key in triples.relations]
    for head, relation, tail in _rows(triples.head, triples.relation, triples.tail):
        yield entities[head], relations[relation], entities[tail]

    # Labels that are among the literals have their predicates and languages there.
    once = pl.Series(~with_stated_labels(triples))
    untagged = triples.labels.zip_with(once, triples.labels.clear(len(once)))
    for names, labels in ((entities, untagged), (relations, triples.relation_labels)):
        for name, label in zip(names, labels, strict=True):
            if label is not None:
                out.add((name, rdflib.RDFS.label, rdflib.Literal(label)))

    for row, key in triples.types.select("entity", "type").iter_rows():
        out.add((entities[row], rdflib.RDF.type, _iri(key, "class")))

    for row, name, value, datatype, language in triples.attributes.iter_rows():
        if datatype and not language:
            typed = rdflib.URIRef(datatype)
        else:
            typed = None
        out.add(
            (
                entities[row],
                _iri(name, "attribute"),
                rdflib.Literal(value, lang=language or None, datatype=typed, normalize=False),
            )
        )

    if isinstance(graph, Dataset):
        _add_users(out, graph, entities, relations)


def _add_users(
    out: rdflib.Graph, data: Dataset, entities: list[rdflib.URIRef], relations: list[rdflib.URIRef]
) -> None:
    users = [rdflib.URIRef(f"{NAMESPACE}user:{quote(key, safe='')}") for key in data.users]
    for user, item in _rows(data.train.user, data.train.item):
        out.add((users[user], INTERACTS, entities[item]))

    for user, relation, entity in data.user_facts.tolist():
        out.add((users[user], relations[relation], entities[entity]))

    if data.user_labels is not None:
        for user, label in zip(users, data.user_labels, strict=True):
            if label is not None:
                out.add((user, rdflib.RDFS.label, rdflib.Literal(label)))


def _iri(key: str, kind: str) -> rdflib.URIRef:
    return rdflib.URIRef(minted(key, kind))


def _key(term: Any) -> str:
    if isinstance(term, rdflib.BNode):
        return f"_:{term}"
    return key_of(str(term))


def from_rdflib(graph: rdflib.Graph) -> Triples:
    """Return the triples of an RDF graph or dataset, in the order of their terms; of one that
    is in several graphs the first.

    ``rdf:type`` becomes ``types``, ``rdfs:label`` becomes labels (no language first, then English,
    then the first by text; all of them with their languages are attributes too), other literals
    become ``attributes``. Users and interactions written by ``to_rdflib`` are left out.
    """
    found: dict[tuple[str, str, str], str | None] = {}
    labels: dict[str, tuple[str, str]] = {}
    entities: dict[str, None] = {}
    types: list[tuple[str, str]] = []
    attributes: list[tuple[str, str, str, str | None, str | None]] = []
    stated: list[tuple[str, str, str, str | None, str | None]] = []
    keys: dict[str, str] = {}

    for head, relation, tail, name in _quads(graph):
        keys |= {str(term): _key(term) for term in (head, relation, tail)}
        if str(head).startswith(NAMESPACE + "user:"):
            continue

        if isinstance(tail, rdflib.Literal) and relation == rdflib.RDFS.label:
            offer = ({None: "0", "en": "1"}.get(tail.language, f"2{tail.language}"), str(tail))
            labels[str(head)] = min(offer, labels.get(str(head), offer))
            stated.append((str(head), str(relation), str(tail), None, tail.language))
        elif isinstance(tail, rdflib.Literal):
            entities[str(head)] = None
            attributes.append(
                (
                    str(head),
                    _key(relation),
                    str(tail),
                    str(tail.datatype) if tail.datatype else None,
                    tail.language,
                )
            )
        elif relation == rdflib.RDF.type:
            entities[str(head)] = None
            types.append((str(head), _key(tail)))
        else:
            entities |= {str(head): None, str(tail): None}
            found.setdefault((str(head), str(relation), str(tail)), name)

    relations = dict.fromkeys(relation for _, relation, _ in found)
    entities |= dict.fromkeys(term for term in labels if term not in relations)
    plain = _triples(
        [(keys[head], keys[relation], keys[tail]) for head, relation, tail in found],
        {keys[term]: labels[term][1] if term in labels else None for term in entities},
        {keys[term]: labels[term][1] if term in labels else "" for term in relations},
        [("rdflib", 0)] * len(found),
    )
    row = {term: number for number, term in enumerate(entities)}
    attributes += [one for one in stated if one[0] in row]
    graphs = {
        name: number
        for number, name in enumerate(
            dict.fromkeys(name for name in found.values() if name is not None)
        )
    }

    literals = pl.DataFrame(
        [(row[term], *rest) for term, *rest in attributes],
        schema={
            "entity": pl.Int32,
            "name": pl.String,
            "value": pl.String,
            "datatype": pl.String,
            "language": pl.String,
        },
        orient="row",
    )
    return replace(
        plain,
        types=pl.DataFrame(
            {"entity": [row[term] for term, _ in types], "type": [kind for _, kind in types]},
            schema={"entity": pl.Int32, "type": pl.String},
        ),
        attributes=without_plain_labels(literals, plain.labels),
        graph=np.array(
            [-1 if name is None else graphs[name] for name in found.values() if graphs],
            dtype=np.int32,
        ),
        graphs=pl.Series("graph", list(graphs), dtype=pl.String),
    )


def _quads(graph: rdflib.Graph) -> list[tuple[Any, Any, Any, str | None]]:
    """Return the statements with the key of the graph each is in, in the order of their
    terms.
    """
    if not isinstance(graph, rdflib.ConjunctiveGraph):
        return [(*row, None) for row in sorted(graph, key=lambda terms: tuple(map(_order, terms)))]

    named = [(*row[:3], _graph_key(row[3])) for row in graph.quads((None, None, None, None))]
    return sorted(named, key=lambda row: (tuple(map(_order, row[:3])), row[3] or ""))


def _graph_key(name: Any) -> str | None:
    if isinstance(name, rdflib.Graph):
        term = name.identifier
    else:
        term = name

    if term is None or term == DATASET_DEFAULT_GRAPH_ID:
        return None

    return _key(term)


def _order(term: Any) -> tuple[str, ...]:
    return (
        type(term).__name__,
        str(term),
        str(getattr(term, "language", None)),
        str(getattr(term, "datatype", None)),
    )
