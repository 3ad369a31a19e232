import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shares import share

from kgrec.data.graphs.holdout import _move_unknown
from kgrec.data.readers.triples import read_triples
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.parts import TEST, TRAIN, VALID
from kgrec.errors import ConfigError, DataError

TRIPLES = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 2), st.integers(0, 8)).filter(
        lambda t: t[0] != t[2]
    ),
    min_size=1,
    max_size=60,
)


def frame(rows):
    return pl.DataFrame(
        [(f"e{h}", f"r{r}", f"e{t}") for h, r, t in rows],
        schema=["head", "relation", "tail"],
        orient="row",
    )


def keys(data, rows):
    own = data.triples
    return [(own.entities.key(h), own.relations.key(r), own.entities.key(t)) for h, r, t in rows]


def training(data):
    return np.stack([data.triples.head, data.triples.relation, data.triples.tail], axis=1)


@settings(max_examples=share(60), deadline=None)
@given(TRIPLES, st.integers(0, 5))
def test_what_is_held_out_is_known_from_training(rows, seed):
    try:
        data = Dataset.build(None, frame(rows), triple_ratios=(0.5, 0.25, 0.25), seed=seed)
    except DataError as error:
        assert "can be held out" in str(error)  # noqa: PT017
        return
    assert (data.num_users, data.num_items, len(data.train)) == (0, 0, 0)
    everything = [
        *keys(data, training(data)),
        *keys(data, data.held_triples["valid"]),
        *keys(data, data.held_triples["test"]),
    ]
    assert sorted(everything) == sorted({(f"e{h}", f"r{r}", f"e{t}") for h, r, t in rows})
    known = training(data)
    for part in data.held_triples.values():
        assert part.dtype == np.int32
        assert np.isin(part[:, [0, 2]], known[:, [0, 2]]).all()
        assert np.isin(part[:, 1], known[:, 1]).all()


def test_no_more_is_moved_than_must_be():
    """Two held-out triples share an end that training lacks: the first makes it known, the second
    stays.
    """
    triples = read_triples(frame([(0, 0, 1), (0, 0, 2), (1, 0, 2), (1, 0, 0)]))
    part = np.array([TRAIN, TEST, VALID, TEST], dtype=np.int8)
    assert _move_unknown(triples, part, np.array([3, 1, 0, 2])) == 1
    assert part.tolist() == [TRAIN, TRAIN, VALID, TEST]
    rows = [(a, r, b) for r in range(3) for a in range(30) for b in range(a)]
    data = Dataset.build(None, frame(rows), triple_ratios=(0.8, 0.1, 0.1))
    assert (len(data.triples), len(data.held_triples["valid"]), len(data.held_triples["test"])) == (
        1044,
        130,
        131,
    )


def test_beside_interactions():
    log = pl.DataFrame(
        {"user": [f"u{n % 5}" for n in range(50)], "item": [f"e{n % 11}" for n in range(50)]}
    )
    rows = [(a, 0, b) for a in range(9) for b in range(a)]
    data = Dataset.build(log, frame(rows), triple_ratios=(0.8, 0.1, 0.1))
    assert len(data.triples) + sum(map(len, data.held_triples.values())) == len(rows)
    assert data.settings["triple_ratios"] == [0.8, 0.1, 0.1]
    assert data.num_items == 11


def test_what_is_wrong():
    with pytest.raises(DataError, match="no triple of 1 can be held out"):
        Dataset.build(None, frame([(0, 0, 1)]), triple_ratios=(0.8, 0.1, 0.1))
    with pytest.raises(ConfigError, match=r"triple_ratios: 0\.8,0\.3,0\.1 must"):
        Dataset.build(None, frame([(0, 0, 1)]), triple_ratios=(0.8, 0.3, 0.1))
    with pytest.raises(ConfigError, match="no interactions"):
        Dataset.build(None, frame([(0, 0, 1)]))
