"""A dataset of three films whose graph can be written down by hand."""

import pytest

FILMS = ["http://x.org/Alien", "Blade Runner <1982>", 'a "quoted" \\ film']
PEOPLE = [
    "http://x.org/Ridley_Scott",
    "Søren & Łukasz 🎬",
    "http://x.org/bad iri",
    "100% sure",
    "urn:kgrec:entity:trap",
    "Sci-Fi",
]


@pytest.fixture
def films():
    """Two users, three items, six further entities with hostile keys, three relations (two with one
    label), one user fact.
    """
    import numpy as np
    import polars as pl

    from kgrec.data.records.dataset import Dataset
    from kgrec.data.records.interactions import Interactions
    from kgrec.data.records.triples import Triples
    from kgrec.data.records.vocabulary import Vocabulary

    def ids(*values):
        return np.array(values, dtype=np.int32)

    triples = Triples(
        entities=Vocabulary([*FILMS, *PEOPLE]),
        relations=Vocabulary(
            ["http://x.org/director", "directed by", "http://y.org/director"], kind="relation"
        ),
        head=ids(0, 1, 0, 2, 2, 3, 0),
        relation=ids(0, 0, 2, 1, 1, 2, 1),
        tail=ids(3, 3, 8, 8, 4, 7, 1),
        source=np.array([0, 0, 0, 1, 1, 1, 1], dtype=np.uint16),
        locator=np.arange(1, 8, dtype=np.int64),
        sources=("a.nt", "b.nt"),
        labels=pl.Series(
            "label",
            ["Alien", None, "Quote", "Ridley Scott", None, None, None, None, "Science fiction"],
            dtype=pl.String,
        ),
        relation_labels=pl.Series("label", [None, None, None], dtype=pl.String),
        types=pl.DataFrame(
            {
                "entity": [0, 3, 3, 4, 5, 8],
                "type": [
                    "http://x/Film",
                    "http://x/Thing",
                    "http://x/Person",
                    "http://x/Person",
                    "http://x/Thing",
                    "http://x/Thing",
                ],
            },
            schema={"entity": pl.Int32, "type": pl.String},
        ),
        attributes=pl.DataFrame(
            {
                "entity": [0, 0, 1],
                "name": ["http://x/year", "http://x/tagline", "spaced name"],
                "value": ["01979", 'In space\nno one "can" \\ hear', "x"],
                "datatype": ["http://www.w3.org/2001/XMLSchema#integer", None, None],
                "language": [None, "en", None],
            },
            schema={
                "entity": pl.Int32,
                "name": pl.String,
                "value": pl.String,
                "datatype": pl.String,
                "language": pl.String,
            },
        ),
    )
    return Dataset(
        name="films",
        users=Vocabulary(["http://x.org/Alien", "u 2"], kind="user"),
        items=Vocabulary(["10", "u 2", "12"], kind="item"),
        triples=triples,
        train=Interactions(ids(0, 0, 1), ids(0, 1, 1)),
        valid=Interactions(ids(1), ids(0)),
        test=Interactions(ids(1), ids(2)),
        user_facts=np.array([[1, 1, 8]], dtype=np.int32),
        user_labels=pl.Series("label", [None, "Bo"], dtype=pl.String),
    )
