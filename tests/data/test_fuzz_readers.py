"""Whatever bytes a table, a folder, a file of vectors or an archive holds, it is read or refused in
one line, soon and in little memory.

40 examples each; ``make fuzz`` raises that to 100,000. RDF has a file of its own.
"""

import bz2
import gzip
import io
import lzma
import re
import resource
import shutil
import time
import zipfile

import numpy as np
import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kgrec.data.formats.convert import convert
from kgrec.data.formats.load import load, read_sources
from kgrec.data.io.archives import unzip
from kgrec.data.linking.links import read_links
from kgrec.data.linking.user_facts import read_user_table
from kgrec.data.readers.features import read_features
from kgrec.data.readers.interactions import read_interactions, read_item_lists
from kgrec.data.readers.items import read_items
from kgrec.data.readers.triples import read_triples
from kgrec.data.readers.vectors import read_vectors
from kgrec.data.records.report import Skipped
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.tables.delimited import read_table
from kgrec.errors import KgrecError

EXAMPLES = settings().max_examples
MOST_SECONDS, MOST_BYTES = 2.0, 512 << 20
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
PACKINGS = (gzip.compress, bz2.compress, lzma.compress, zstandard.compress)
ODD = [
    *(
        b"\0",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\r\n",
        b"\r",
        b"\n\n",
        b"\xff",
        b"\xe9",
        b"\xed\xa0\x80",
        b'"',
        b'""',
        b"\t",
        b",",
        b"::",
        b" ",
    ),
    *(
        "\u2028\u0085\u200b\u202e".encode(),
        "\u0661\u0662".encode(),
        "\uff11".encode(),
        b"9" * 40,
        b"-1",
        b"-0",
        b"1e999",
        b"nan",
        b"0x1",
    ),
    *(
        b"{",
        b"[",
        b"[[[[",
        b'{"a":',
        b"null",
        b"#",
        b";",
        b":",
        b"-0",
        b"-1",
        b"=",
        b"user_id",
        b"item_id",
        b"a:token",
        b"b:float_seq",
    ),
]


@pytest.fixture(autouse=True, scope="module")
def _little_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_BYTES


def pieces(text):
    return sorted(set(re.findall(rb"\w+|\s+|[^\w\s]", text)))


def changes(contents):
    """Return changes of any of some contents: a place, how much goes, and what comes (None: what
    was there, three times).
    """
    known = sorted({piece for content in contents for piece in pieces(content[:4000])})
    return st.lists(
        st.tuples(
            st.integers(0, 4000),
            st.sampled_from([0, 0, 1, 2, 9, 60]),
            st.one_of(
                st.sampled_from(ODD),
                st.sampled_from(known or [b""]),
                st.binary(max_size=4),
                st.none(),
            ),
        ),
        min_size=1,
        max_size=4,
    )


def changed(data, some):
    for place, length, put in some:
        at = place % (len(data) + 1)
        data = (
            data[:at] + (data[at : at + length] * 3 if put is None else put) + data[at + length :]
        )
    return data


PACKED = st.tuples(
    st.one_of(st.none(), st.none(), st.sampled_from(PACKINGS)), st.sampled_from([0, 0, 1, 9])
)


def packed(data, how):
    pack, cut = how
    return data if pack is None else (full := pack(data))[: len(full) - cut]


def said(work, *names):
    """Do it; return what it says where it refuses, after looking at the form of that and the time
    it took.
    """
    began = time.process_time()
    try:
        work()
    except KgrecError as error:
        text = str(error)
        assert "\n" not in text
        assert any(name in text for name in names), text
        return text
    finally:
        assert time.process_time() - began < MOST_SECONDS
    return None


def parquet():
    stream = io.BytesIO()
    pl.DataFrame(
        {"user_id": ["a", "b"], "item_id": ["1", "2"], "rating": [1.0, 2.0]}
    ).write_parquet(stream)
    return stream.getvalue()


CSV = (
    b'user_id,item_id,rating,timestamp\n1,"a, b",3.5,10\n2,b,4,2020-01-02\n3,"c ""d""\n e",1e3,12\n'
)
FILES = {
    "a.csv": (read_interactions, CSV),
    "a.tsv": (read_interactions, b"user_id\titem_id\trating\n1\ta\t3.5\n2\tb\t4\n"),
    "a.dat": (read_interactions, b"1::a::3::10\n2::b::4::11\n"),
    "a.inter": (read_interactions, b"user_id:token\titem_id:token\trating:float\n1\t2\t3\n"),
    "b.jsonl": (
        read_interactions,
        b'{"user_id": "a", "item_id": 1, "tags": ["x"]}\n{"user_id": "b", "item_id": 2}\n',
    ),
    "b.parquet": (read_interactions, parquet()),
    "a.txt": (read_item_lists, b"0 1 2 3\n1\n2 5 6\n"),
    "a.link": (read_links, b"item_id:token\tentity_id:token\n1\tm.1\n2\tm.2\n"),
    "a.item": (read_items, b"item_id:token\tmovie_title:token_seq\n1\tAlien\n2\t\n"),
    "a.user": (read_user_table, b"user_id:token\tage:token\n1\t30\n2\t\n"),
    "a.kg": (read_triples, b"head_id:token\trelation_id:token\ttail_id:token\na\tr\tb\nb\tr\tc\n"),
    "kg_final.txt": (read_triples, b"0 0 1\n1 1 2\n"),
    "table.csv": (read_table, b"a;b;c\n1;2;3\n4;5;6\n"),
}


@pytest.mark.parametrize("name", FILES)
@FUZZ
@given(data=st.data(), lenient=st.booleans())
def test_any_file_is_read_or_refused(tmp_path, name, data, lenient):
    reader, content = FILES[name]
    path = tmp_path / name
    path.write_bytes(packed(changed(content, data.draw(changes([content]))), data.draw(PACKED)))
    said(lambda: reader(str(path), on_error="skip" if lenient else "stop"), name)


def array(values):
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


NUMBERS = {
    "glove.txt": (
        b"the 1 2\nRome 3 4e-3\n. . 5 6\n",
        lambda path, skipped: read_vectors(path, lambda key: True, skipped),
    ),
    "w2v.txt": (
        b"2 2\nthe 1 2\nRome 3 4\n",
        lambda path, skipped: read_vectors(path, lambda key: True, skipped),
    ),
    "word2vec.bin": (
        b"2 2\ngolf "
        + np.array([1, 2], "<f4").tobytes()
        + b"\nrome "
        + np.array([3, 4], "<f4").tobytes()
        + b"\n",
        lambda path, skipped: read_vectors(path, lambda key: True, skipped),
    ),
    "f.csv": (
        b"item_id,x,y\na,1,2\nb,3,4\n",
        lambda path, _: read_features(path, Vocabulary(["a", "b"]), None),
    ),
    "f.npy": (
        array(np.array([[1.0, 2.0], [3.0, 4.0]])),
        lambda path, _: read_features(
            path,
            Vocabulary(["1"]),
            read_items(pl.DataFrame({"item_id": ["1", "2"], "title": ["", ""]})),
        ),
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
@FUZZ
@given(data=st.data(), lenient=st.booleans())
def test_any_vectors_are_read_or_refused(tmp_path, name, data, lenient):
    content, reader = NUMBERS[name]
    path = tmp_path / name
    path.write_bytes(packed(changed(content, data.draw(changes([content]))), data.draw(PACKED)))
    said(lambda: reader(str(path), Skipped(str(path)) if lenient else None), name)


def archive():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.csv", CSV)
        made.writestr("deep/b.txt", b"0 1 2\n" * 50)
    return stream.getvalue()


@FUZZ
@given(some=changes([archive()]))
def test_any_archive_is_unpacked_or_refused(tmp_path, some):
    path, goal = tmp_path / "a.zip", tmp_path / "out"
    path.write_bytes(changed(archive(), some))
    shutil.rmtree(goal, ignore_errors=True)
    goal.mkdir()
    said(lambda: unzip(path, goal), "a.zip")
    assert {found.name for found in tmp_path.iterdir()} == {"a.zip", "out"}


NEWS = (
    b'N1\tnews\tworld\tParis beats Rome\tRome was slow\thttps://x\t[{"Label": "Paris", "WikidataId": "Q90", "OccurrenceOffsets": [0], '
    b'"SurfaceForms": ["Paris"]}]\t[]\nN2\tsport\tgolf\tGolf\t\thttps://y\t\t[]\n'
)
BEHAVIORS = (
    b"1\tU1\t11/9/2019 9:05:00 AM\tN2\tN1-1 N2-0\n2\tU2\t11/10/2019 9:05:00 PM\t\tN1-0 "
    b"N2-1\n3\tU2\t11/11/2019 9:05:00 PM\tN2\tN1-0 N2-1\n"
)
RAW = b"1\tParis beats Rome\t1\t5:Paris;6:Rome\n1\tGolf\t0\t\n2\tGolf\t1\t7:Golf\n"
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


def refused_or_read(tmp_path, own, data, lenient):
    victim = data.draw(st.sampled_from(sorted(own)))
    damaged = changed(own[victim], data.draw(changes([own[victim]])))
    shutil.rmtree(tmp_path / "d", ignore_errors=True)
    for file, content in own.items():
        (tmp_path / "d" / file).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "d" / file).write_bytes(damaged if file == victim else content)
    said(
        lambda: read_sources(tmp_path / "d", on_error="skip" if lenient else "stop"), str(tmp_path)
    )


@pytest.mark.parametrize("form", FOLDERS)
@FUZZ
@given(data=st.data(), lenient=st.booleans())
def test_any_folder_is_read_or_refused(tmp_path, form, data, lenient):
    refused_or_read(tmp_path, FOLDERS[form], data, lenient)


WRITTEN = (
    "recbole",
    "kgat",
    "lightgcn",
    "openke",
    "pykeen",
    "ntriples",
    "networkx",
    "graphml",
    "neo4j",
    "parquet",
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Give the files of a small dataset in each of our own formats."""
    place = tmp_path_factory.mktemp("written")
    own = {
        "ratings_final.txt": FOLDERS["ctr"]["ratings_final.txt"],
        "kg_final.txt": FOLDERS["ctr"]["kg_final.txt"],
    }
    (place / "ctr").mkdir()
    for name, content in own.items():
        (place / "ctr" / name).write_bytes(content)
    data = load(place / "ctr")
    files = {}
    for form in WRITTEN:
        convert(data, form, place / form)
        files[form] = {
            str(file.relative_to(place / form)): file.read_bytes()
            for file in (place / form).rglob("*")
            if file.is_file()
        }
    return files


@pytest.mark.parametrize("form", WRITTEN)
@FUZZ
@given(data=st.data(), lenient=st.booleans())
def test_any_folder_that_we_write_is_read_or_refused(tmp_path, written, form, data, lenient):
    refused_or_read(tmp_path, written[form], data, lenient)
