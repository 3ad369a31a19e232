import pytest

from kgrec.data.readers.triples import read_triples
from kgrec.data.records.triples import empty_triples, readable
from kgrec.data.records.vocabulary import Vocabulary


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("https://schema.org/countryOfOrigin", "country of origin"),
        ("http://www.w3.org/2004/02/skos/core#broader", "broader"),
        ("film.film.actor", "actor"),
        ("release_year", "release year"),
        ("ex:bornIn", "born in"),
        ("7", "7"),
        ("http://e/", "e"),
    ],
)
def test_relation_names_people_can_read(key, words):
    assert readable(key) == words


def test_labels_fall_back_to_keys(tmp_path):
    path = tmp_path / "a.ttl"
    path.write_text('@prefix e: <http://e/> . e:a e:madeBy e:b ; <https://schema.org/name> "A" .')
    graph = read_triples(str(path))
    assert (graph.label(0), graph.label(1), graph.relation_label(0)) == (
        "A",
        "http://e/b",
        "made by",
    )


def test_empty():
    graph = empty_triples(Vocabulary(["a"]))
    assert (len(graph), graph.label(0), len(graph.relations)) == (0, "a", 0)
