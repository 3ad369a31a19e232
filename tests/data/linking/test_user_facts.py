import polars as pl
import pytest

from kgrec.data.linking.user_facts import add_user_facts, read_user_table
from kgrec.data.records.triples import empty_triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import FormatError


def test_the_id_column():
    assert read_user_table(pl.DataFrame({"job": ["cook"], "user_id": ["u"]}))[1] == "user_id"
    assert read_user_table(pl.DataFrame({"who": ["u"], "job": ["cook"]}))[1] == "who"
    assert read_user_table(pl.DataFrame({"job": ["cook"], "who": ["u"]}), user="who")[1] == "who"
    with pytest.raises(FormatError, match="one column"):
        read_user_table(pl.DataFrame({"user_id": ["u"]}))


def test_facts():
    users = Vocabulary(["a", "b"], kind="user")
    table, column = read_user_table(
        pl.DataFrame({"user_id": ["b", "a", "b", "x"], "town": ["Oslo", "", "Oslo", "Rome"]})
    )
    graph, facts, dropped = add_user_facts(
        users, empty_triples(Vocabulary(["item"])), table, column
    )
    assert facts.tolist() == [[1, 0, 1]]
    assert list(graph.entities) == ["item", "town=Oslo"]
    assert graph.labels.to_list() == [None, "Oslo"]
    assert [d.count for d in dropped] == [1]
