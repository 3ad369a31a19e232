"""Datasets compared by what they say, whatever their numbering; and datasets of hostile ids and
texts to compare.
"""

import numpy as np
import polars as pl
from hypothesis import assume
from hypothesis import strategies as st

from kgrec.data.formats import base
from kgrec.data.graphs.assemble import (
    RawTriples,
    assemble,
    attribute_frame,
    label_frame,
    type_frame,
)
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import InteractionLog


def told(data: Dataset) -> dict[str, object]:
    """Return what a dataset says, by aspect, under its own ids."""
    t, parts = data.triples, base.parts_of(data)
    keys, relations = t.entities.series.to_list(), t.relations.series.to_list()
    users, items = data.users.series.to_list(), data.items.series.to_list()
    stated = base.in_triples(data)
    pairs = {
        part: list(zip(map(users.__getitem__, p.user), map(items.__getitem__, p.item), strict=True))
        for part, p in parts.items()
    }
    named = [
        (keys[h], relations[r], keys[tail])
        for h, r, tail in zip(t.head, t.relation, t.tail, strict=True)
    ]
    labels = t.labels.to_list()

    def numbers(column):
        found = {}
        for part, rows in parts.items():
            values = getattr(rows, column)
            if values is not None:
                found |= {
                    pair: float(v)
                    for pair, v in zip(pairs[part], values, strict=True)
                    if np.isfinite(v)
                }
        return found

    relation_used = set(t.relation.tolist())
    described = stated.copy()
    described[: data.num_items] |= t.labels[: data.num_items].is_not_null().to_numpy()
    texts = [] if data.content.texts is None else data.content.texts
    return {
        base.INTERACTIONS: set().union(*map(set, pairs.values())),
        base.SPLIT: {part: set(own) for part, own in pairs.items()},
        base.TIMES: numbers("time"),
        base.RATINGS: numbers("rating"),
        base.NEGATIVES: {
            (part, users[u], items[i])
            for part, p in data.negatives.items()
            for u, i in zip(p.user, p.item, strict=True)
        },
        base.IDLE_ITEMS: set(items),
        base.ITEM_LABELS: {
            items[row]: label for row, label in enumerate(labels[: len(items)]) if label is not None
        },
        base.TEXTS: {items[row]: text for row, text in enumerate(texts) if text is not None},
        base.MENTIONS: {(items[i], a, b, keys[e]) for i, a, b, e in data.content.mentions.tolist()},
        base.FEATURES: {}
        if data.content.features is None
        else dict(zip(items, data.content.features.tolist(), strict=True)),
        base.TRIPLES: set(named),
        base.HELD: {
            (part, keys[h], relations[r], keys[o])
            for part, rows in data.held_triples.items()
            for h, r, o in rows.tolist()
        },
        base.LINKS: {items[row]: keys[row] for row in range(len(items)) if stated[row]},
        base.USER_FACTS: {
            (users[u], relations[r], labels[e] or keys[e]) for u, r, e in data.user_facts.tolist()
        },
        base.ENTITY_LABELS: {
            keys[row]: labels[row]
            for row in range(len(items), len(keys))
            if labels[row] is not None and stated[row]
        },
        base.RELATION_LABELS: {
            relations[r]: t.relation_labels[r]
            for r in relation_used
            if t.relation_labels[r] is not None
        },
        base.TYPES: {
            (keys[e], kind) for e, kind in t.types.select("entity", "type").iter_rows() if stated[e]
        },
        base.LITERALS: {
            (keys[e], name, value, "" if datatype in PLAIN else datatype, language or "")
            for e, name, value, datatype, language in t.attributes.iter_rows()
            if stated[e]
        },
        base.GRAPHS: {
            named[row]: t.graph_name(row) for row in range(len(t)) if t.graph_name(row) is not None
        },
        base.PLACES: {
            named[row]: (t.sources[t.source[row]], int(t.locator[row])) for row in range(len(t))
        },
    }


# Datatypes that RDF gives every text: none is meant.
PLAIN = (
    None,
    "",
    "http://www.w3.org/2001/XMLSchema#string",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString",
)
HOSTILE = "ab12 \t\n\r\0\x01\x1f\x7f\x85\xa0\u2028\ufeff\uffff\"'\\,;:|<>&#%=@[]{}é東\U0001f600"
IRIS = st.sampled_from(
    [
        "http://x.org/a",
        "http://x.org/b#c",
        "http://x.org/東",
        "urn:kgrec:entity:a",
        "urn:x:y",
        "_:b0",
        "_:.",
        "item:a",
        "http://x.org/two words",
        "http://x.org/<>",
        "org_id",
        "head",
        "user_id",
        "0",
        "1",
        "2",
        "-1",
        "1e5",
        "nan",
        "N1-1",
        "=cmd()",
    ]
)
KEYS = IRIS | st.text(HOSTILE, min_size=1, max_size=5)
TEXTS = st.text(HOSTILE, min_size=1, max_size=8).filter(str.strip)


CLASSES = ["http://x.org/Class", "a class"]
DATATYPES = [("", ""), ("http://www.w3.org/2001/XMLSchema#gYear", ""), ("", "en"), ("", "pt-br")]
ATTRIBUTES = [
    "http://x.org/year",
    "a name",
    "http://www.w3.org/2000/01/rdf-schema#label",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#type",
]


def _log(pairs, every, timed, rated):
    columns = {"user": [user for user, _ in pairs], "item": [item for _, item in pairs]}
    columns |= {"time": [every.index(pair) + 0.1 for pair in pairs]} if timed else {}
    columns |= {"rating": [float(every.index(pair) % 5) for pair in pairs]} if rated else {}
    kinds = {"user": pl.String, "item": pl.String, "time": pl.Float64, "rating": pl.Float64}
    return InteractionLog(pl.DataFrame(columns, schema={name: kinds[name] for name in columns}))


@st.composite
def datasets(draw):
    """Return what builds a dataset: interactions in three parts, a graph with labels, types,
    literals and named graphs, links.

    Nothing of kgrec runs while it is drawn, since beartype draws too.
    """
    users = draw(st.lists(KEYS, min_size=1, max_size=3, unique=True))
    items = draw(st.lists(KEYS, min_size=2, max_size=5, unique=True))
    entities = draw(st.lists(KEYS, min_size=2, max_size=7, unique=True))
    relations = draw(
        st.lists(KEYS, min_size=1, max_size=2, unique=True).filter(
            lambda names: not set(names) & set(entities)
        )
    )
    pairs = [(user, item) for user in users for item in items]
    part = draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)))
    part[0], part[-1] = 0, 2
    timed, rated = draw(st.booleans()), draw(st.booleans())
    ends = st.tuples(
        st.integers(0, len(entities) - 1),
        st.integers(0, len(relations) - 1),
        st.integers(0, len(entities) - 1),
    )
    facts = np.array(
        draw(st.lists(ends, min_size=1, max_size=8, unique=True)), dtype=np.int64
    ).reshape(-1, 3)
    assume((facts[:, 0] != facts[:, 2]).any())  # a loop is no triple
    some = st.integers(0, len(entities) - 1)
    labels = draw(st.dictionaries(some, TEXTS, max_size=4))
    relation_label = draw(st.none() | TEXTS)
    types = draw(st.lists(st.tuples(some, st.sampled_from(CLASSES)), max_size=2))
    attributes = draw(
        st.lists(
            st.tuples(some, st.sampled_from(ATTRIBUTES), TEXTS, st.sampled_from(DATATYPES)),
            max_size=3,
        )
    )
    graph = np.array(draw(st.lists(st.integers(-1, 1), min_size=len(facts), max_size=len(facts))))
    pair = st.tuples(st.sampled_from(items), st.sampled_from(entities))
    linked = draw(st.none() | st.lists(pair, min_size=1, max_size=4, unique=True))

    def build() -> Dataset:
        own = RawTriples(
            ("a.nt", "b.csv"),
            [*entities, *relations],
            facts[:, 0],
            facts[:, 1] + len(entities),
            facts[:, 2],
            locator=np.arange(1, len(facts) + 1),
            labels=label_frame([(row, text, 0) for row, text in labels.items()]),
            relation_labels=label_frame(
                [] if relation_label is None else [(len(entities), relation_label, 0)]
            ),
            types=type_frame([] if set(CLASSES) & set(entities) else types),
            attributes=attribute_frame(
                [(row, name, value, *kind) for row, name, value, kind in attributes]
            ),
            source=np.arange(len(facts)) % 2,
            graph=graph,
            graphs=pl.Series("graph", ["http://x.org/g", "a graph"], dtype=pl.String),
        )
        logs = (
            _log(
                [p for p, place in zip(pairs, part, strict=True) if place == n], pairs, timed, rated
            )
            for n in range(3)
        )
        train, valid, test = logs
        links = (
            None
            if linked is None
            else pl.DataFrame(linked, schema=["item", "entity"], orient="row")
        )
        return Dataset.build(
            None,
            assemble([own]),
            links,
            train=train,
            valid=valid,
            test=test,
            catalog="all",
            name="hostile",
        )

    return build
