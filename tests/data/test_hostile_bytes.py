"""Whatever bytes a file holds, a reader reads it or says in one line why not."""

import gzip
import io

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shares import share

from kgrec.data.formats.load import load
from kgrec.data.linking.links import read_links
from kgrec.data.linking.user_facts import read_user_table
from kgrec.data.readers.features import read_features
from kgrec.data.readers.interactions import read_interactions, read_item_lists
from kgrec.data.readers.items import read_items
from kgrec.data.readers.triples import read_triples
from kgrec.data.readers.vectors import read_vectors
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import KgrecError

XML = b"""<?xml version="1.0"?><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:e="http://e/">
<r:Description r:about="http://e/a"><e:r r:resource="http://e/b"/><e:s>text</e:s></r:Description></r:RDF>"""
TURTLE = (
    b'@prefix e: <http://e/> . e:a a e:T ; e:r e:b , [ e:s "x"@en , 1.5 ] . e:b e:r ( e:a e:c ) .'
)
TABLE = b'user_id,item_id,rating,timestamp\n1,"a, b",3.5,10\n2,b,4,11\n3,c,1e3,12\n'

READERS = {
    "a.csv": (read_interactions, TABLE),
    "a.tsv": (read_interactions, b"user_id\titem_id\trating\n1\ta\t3.5\n2\tb\t4\n"),
    "a.inter": (read_interactions, b"user_id:token\titem_id:token\trating:float\n1\t2\t3\n"),
    "a.txt": (read_item_lists, b"0 1 2 3\n1\n2 5 6\n"),
    "a.link": (read_links, b"item_id:token\tentity_id:token\n1\tm.1\n2\tm.2\n"),
    "a.item": (read_items, b"item_id:token\tmovie_title:token_seq\n1\tAlien\n2\t\n"),
    "a.user": (read_user_table, b"user_id:token\tage:token\n1\t30\n2\t\n"),
    "a.kg": (read_triples, b"head_id:token\trelation_id:token\ttail_id:token\na\tr\tb\nb\tr\tc\n"),
    "kg_final.txt": (read_triples, b"0 0 1\n1 1 2\n"),
    "a.nt": (
        read_triples,
        b'<http://e/a> <http://e/r> <http://e/b> .\n_:x <http://e/r> "t"@en .\n',
    ),
    "a.nq": (read_triples, b"<http://e/a> <http://e/r> <http://e/b> <http://e/g> .\n"),
    "a.ttl": (read_triples, TURTLE),
    "a.trig": (read_triples, b"@prefix e: <http://e/> . e:g { e:a e:r e:b }"),
    "a.rdf": (read_triples, XML),
    "a.jsonld": (
        read_triples,
        b'{"@id": "http://e/a", "http://e/r": [{"@id": "http://e/b"}, {"@value": "t", "@language": "en"}]}',
    ),
}

DAMAGE = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.sampled_from(["put", "cut", "add", "twice"]),
        st.binary(min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=5,
)


def damaged(content, damage):
    for place, how, extra in damage:
        at = place % (len(content) + 1)
        content = {
            "put": content[:at] + extra + content[at + len(extra) :],
            "cut": content[:at],
            "add": content[:at] + extra + content[at:],
            "twice": content[:at] + content[at:] + content[at:],
        }[how]
    return content


@pytest.mark.parametrize("name", READERS)
@settings(
    max_examples=share(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(damage=DAMAGE, packed=st.sampled_from(["no", "yes", "damaged"]))
def test_damaged_files(tmp_path, name, damage, packed):
    reader, content = READERS[name]
    if packed == "damaged":
        content = damaged(gzip.compress(content, mtime=0), damage)
    else:
        content = damaged(content, damage)
        content = gzip.compress(content, mtime=0) if packed == "yes" else content
    path = tmp_path / name
    path.write_bytes(content)
    for options in ({}, {"on_error": "skip"} if reader is not read_item_lists else {}):
        said = name
        try:
            reader(str(path), **options)
        except KgrecError as error:
            said = str(error)
        assert "\n" not in said
        assert name in said


@pytest.mark.parametrize("name", READERS)
def test_undamaged_files_are_read(tmp_path, name):
    reader, content = READERS[name]
    (tmp_path / name).write_bytes(content)
    reader(str(tmp_path / name))


NEWS = (
    b'N1\tnews\tworld\tParis beats Rome\tRome was slow\thttps://x\t[{"Label": "Paris", "WikidataId": "Q90", "OccurrenceOffsets": [0], '
    b'"SurfaceForms": ["Paris"]}]\t[]\nN2\tsport\tgolf\tGolf\t\thttps://y\t\t[]\n'
)
BEHAVIORS = (
    b"1\tU1\t11/9/2019 9:05:00 AM\tN2\tN1-1 N2-0\n2\tU2\t11/10/2019 9:05:00 PM\t\tN1-0 "
    b"N2-1\n3\tU2\t11/11/2019 9:05:00 PM\tN2\tN1-0 N2-1\n"
)
RAW = b"1\tParis beats Rome\t1\t5:Paris;6:Rome\n1\tGolf\t0\t\n2\tGolf\t1\t7:Golf\n"
WORD2VEC = (
    b"2 2\n"
    + b"golf "
    + np.array([1, 2], "<f4").tobytes()
    + b"\nrome "
    + np.array([3, 4], "<f4").tobytes()
    + b"\n"
)
FOLDERS = {
    "mind": {
        "news.tsv": NEWS,
        "behaviors.tsv": BEHAVIORS,
        "entity_embedding.vec": b"Q90\t1\t2\nQ91\t3\t4\n",
    },
    "ctr": {
        "ratings_final.txt": b"1\t1\t1\n1\t2\t0\n2\t1\t1\n2\t2\t1\n2\t3\t1\n",
        "kg_final.txt": b"1 0 7\n2 1 7\n",
    },
    "dkn": {"raw_train.txt": RAW, "raw_test.txt": RAW.replace(b"Golf", b"Ski")},
    "numbered": {
        "train.txt": b"1\t4,5,0\t0,9,0\t1\n1\t5,6,0\t0,0,0\t0\n",
        "test.txt": b"2\t4,6,0\t0,0,0\t1\n",
    },
}
FILES = {
    "f.csv": lambda path: read_features(path, Vocabulary(["a", "b"]), None),
    "f.npy": lambda path: read_features(
        path,
        Vocabulary(["1"]),
        read_items(pl.DataFrame({"item_id": ["1", "2"], "title": ["", ""]})),
    ),
    "glove.txt": lambda path: read_vectors(path, lambda key: True),
    "word2vec.bin": lambda path: read_vectors(path, lambda key: True),
}


def array_bytes(values):
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


CONTENTS = {
    "f.csv": b"item_id,x,y\na,1,2\nb,3,4\n",
    "f.npy": array_bytes(np.array([[1.0, 2.0], [3.0, 4.0]])),
    "glove.txt": b"the 1 2\nRome 3 4e-3\n. . 5 6\n",
    "word2vec.bin": WORD2VEC,
}


@pytest.mark.parametrize("name", FOLDERS)
@settings(
    max_examples=share(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damaged_folders(tmp_path, name, data):
    victim = data.draw(st.sampled_from(sorted(FOLDERS[name])))
    for file, content in FOLDERS[name].items():
        (tmp_path / file).write_bytes(
            damaged(content, data.draw(DAMAGE)) if file == victim else content
        )
    said = ""
    try:
        load(tmp_path)
    except KgrecError as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.parametrize("name", FILES)
@settings(
    max_examples=share(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(damage=DAMAGE, packed=st.booleans())
def test_damaged_numbers(tmp_path, name, damage, packed):
    content = damaged(CONTENTS[name], damage)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    said = name
    try:
        FILES[name](str(path))
    except KgrecError as error:
        said = str(error)
    assert "\n" not in said
    assert name in said


def test_undamaged_folders_and_numbers_are_read(tmp_path):
    for name, files in FOLDERS.items():
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_bytes(content)
        load(tmp_path / name)
    for name, reader in FILES.items():
        (tmp_path / name).write_bytes(CONTENTS[name])
        reader(str(tmp_path / name))
