from kgrec.data.formats.base import ASPECTS
from kgrec.data.formats.registry import FORMATS, readable, writable


def test_every_format_is_read_or_written_by_its_name():
    assert [form.name for form in FORMATS.values()] == list(FORMATS)
    assert {*readable(), *writable()} == set(FORMATS)
    for form in FORMATS.values():
        assert (form.recognize is None) == (form.read is None), form.name
        assert form.carries <= set(ASPECTS), form.name
        assert bool(form.carries) == (form.write is not None), form.name


def test_the_order_of_recognition():
    assert list(readable()) == [
        "bundled",
        "lake",
        "parquet",
        "neo4j",
        "graphml",
        "networkx",
        "openke",
        "pykeen",
        "recbole",
        "mind",
        "ctr",
        "dkn",
        "lightgcn",
        "split",
        "rdf",
    ]
