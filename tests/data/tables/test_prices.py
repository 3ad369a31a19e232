"""Prices, paths and cases of item tables."""

import polars as pl
import pytest

import kgrec
from kgrec.data.tables.column_kinds import as_number, currencies, find_hierarchy


def read(column, cells, **settings):
    frame = pl.DataFrame({"item_id": [str(n) for n in range(len(cells))], column: cells})
    return kgrec.triples_from_table(frame, **settings)


def column_of(triples, name):
    return next(column for column in triples.columns if column.column == name)


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["12,50 €", "1.234,00 €", "7 €"], [12.5, 1234.0, 7.0]),
        (["EUR 12.50", "EUR 1,234.00", "USD 3"], [12.5, 1234.0, 3.0]),
        (["12.50 EUR", "9,99 EUR"], [12.5, 9.99]),
        (["CHF 1'250.50", "CHF 20"], [1250.5, 20.0]),
        (["1 234,50 €", "2 €"], [1234.5, 2.0]),
        (["£1,234.56", "£1"], [1234.56, 1.0]),
        (["5,5 %", "10 %"], [5.5, 10.0]),
        (["1,234", "2,345,678"], [1234.0, 2345678.0]),
        (["1.234.567,8", "2,5"], [1234567.8, 2.5]),
        (["1,2", "2,3"], [None, None]),
        (["12,50", "9,99", "0,05"], [12.5, 9.99, 0.05]),
        (["1,12", "3,4,5"], [None, None]),
        (["1,12", "3"], [None, 3.0]),
        (["12 people", "EURO"], [None, None]),
    ],
)
def test_prices_are_numbers(cells, numbers):
    assert as_number(pl.Series(cells)).to_list() == numbers


def test_currencies_are_told():
    assert currencies(pl.Series(["12 €", "$5", "€ 3", "eur 4"])) == ["€", "$", "EUR"]
    triples = read("price", [f"{n},50 €" for n in range(12)] + [f"${n}.25" for n in range(12)])
    assert "prices in $, € are compared as they are" in column_of(triples, "price").note


@pytest.mark.parametrize("odd", ["—", "-", "?", "unknown", "n.a.", "not available"])
@pytest.mark.parametrize("rows", [8, 40])
def test_a_mark_that_says_nothing_leaves_a_column_of_numbers(odd, rows):
    triples = read("pages", [str(100 + 7 * n) for n in range(rows - 1)] + [odd])
    assert column_of(triples, "pages").kind == "number"
    assert [(d.what, d.why, d.count, d.where) for d in triples.dropped] == [
        ("cells", "no number, in column pages of the frame", 1, (f"the frame:{rows}",))
    ]


def test_words_stay_categories():
    triples = read("size", ["S", "M", "L", "unknown", "38"] * 5)
    assert column_of(triples, "size").kind == "category"


def test_paths_are_hierarchies():
    cells = ["Shoes > Running > Trail", "Shoes > Running", "Shoes>City", "Bags"] * 2
    triples = read("category", cells)
    assert column_of(triples, "category").kind == "path"
    key, name = triples.entities.key, triples.relations.key
    edges = {
        (key(h), key(t))
        for h, r, t in zip(triples.head, triples.relation, triples.tail, strict=True)
        if name(r) == "broader"
    }
    assert edges == {
        ("category=Shoes > Running > Trail", "category=Shoes > Running"),
        ("category=Shoes > Running", "category=Shoes"),
        ("category=Shoes > City", "category=Shoes"),
    }
    own = {
        (key(h), key(t))
        for h, r, t in zip(triples.head, triples.relation, triples.tail, strict=True)
        if name(r) == "category"
    }
    assert ("0", "category=Shoes > Running > Trail") in own
    assert ("2", "category=Shoes > City") in own
    assert len(own) == len(cells)


def test_paths_can_be_said_and_several_are_in_a_cell():
    cells = ["A/B|C", "A/B", "A/D"] * 2
    triples = read("kind", cells, kinds={"kind": "path"}, separators={"kind": "/"})
    keys = set(triples.entities)
    assert {"kind=A / B", "kind=A / D", "kind=A", "kind=C"} <= keys
    assert find_hierarchy(pl.Series(["a", "b > c", "d"])) is None


def test_hierarchies_reach_a_dataset():
    items = pl.DataFrame({"item_id": ["a", "b", "c"], "path": ["X > Y", "X > Z", "X > Y"]})
    log = pl.DataFrame({"user_id": ["u"] * 3 + ["v"] * 3, "item_id": ["a", "b", "c"] * 2})
    data = kgrec.Dataset.build(log, items=items, item_attributes=True, ratios=(0.4, 0.3, 0.3))
    assert "broader" in set(data.triples.relations)
    assert len(data.triples) == 5


def test_cases_are_told_and_folded_where_wanted():
    cells = ["red", "Red", "RED", "red", "blue"]
    told = column_of(read("color", cells), "color")
    assert told.distinct == 4
    assert told.note == ("3 values differ by case or white space alone (red, RED, Red): fold=color")
    folded = read("color", cells, fold=["color"])
    assert column_of(folded, "color").distinct == 2
    assert {"color=red", "color=blue"} <= set(folded.entities)
    assert column_of(read("color", cells, fold="all"), "color").distinct == 2
