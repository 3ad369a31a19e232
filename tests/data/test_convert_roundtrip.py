"""A dataset, converted and built again, says what its format's own statement says it carries."""

import json
import math
from functools import cache

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from roundtrip import datasets, told
from shares import share

from kgrec.data.formats import base
from kgrec.data.formats.convert import STATEMENT
from kgrec.data.formats.load import load
from kgrec.data.formats.registry import writable
from kgrec.data.records.dataset import Dataset
from kgrec.errors import DataError

ALONE = ("openke", "pykeen")
FORMATS = writable()
BUILT = [name for name in FORMATS if name not in ("mind", "dkn")]
SHARES = (0.4, 0.3, 0.3)


def again(data, form, folder, said=None, **build):
    """Return what a dataset says, and what it says after a conversion to a format and back."""
    data.convert(form, folder / form, force=True)
    build |= {} if form in ALONE else {"catalog": "all"}
    return said or told(data), told(load(folder / form, **build))


@cache
def real(folder, **options):
    """Return a dataset and what it says: each is loaded once for all formats."""
    data = load(folder, **options)
    return data, told(data)


def check(form, before, after, skip=()):
    for aspect in FORMATS[form].carries - set(skip):
        if aspect in before:
            assert after[aspect] == before[aspect], aspect


def as_blanks(before):
    """Between tabs, white space in texts becomes blanks; what is nothing but blanks is no title."""
    blanks = str.maketrans("\t\n\r\0", "    ")
    labels = {item: label.translate(blanks) for item, label in before.items()}
    return {item: label for item, label in labels.items() if label.strip()}


@pytest.mark.parametrize("form", BUILT)
@settings(
    max_examples=share(15), suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)  # to shrink a dataset takes minutes
@given(build=datasets())
def test_what_a_format_carries_comes_back(form, build, tmp_path):
    data = build()
    assume(not FORMATS[form].needs or base.ASPECTS[FORMATS[form].needs](data))
    try:
        before, after = again(data, form, tmp_path, **({"ratios": SHARES} if form == "ctr" else {}))
    except DataError:
        assume(form != "ctr")  # parts drawn anew of five rows: one may be empty
        raise
    statement = json.loads((tmp_path / form / STATEMENT).read_text())
    if form == "recbole":
        given_labels, before[base.ITEM_LABELS] = (
            before[base.ITEM_LABELS],
            as_blanks(before[base.ITEM_LABELS]),
        )
        touched = sum(any(c in "\t\n\r\0" for c in label) for label in given_labels.values())
        assert (
            statement["lost"].get("tabs and line ends in titles and texts, now blanks", 0)
            == touched
        )
    check(form, before, after, skip=(base.TEXTS,))  # a title is a text too
    for aspect, count in base.ASPECTS.items():
        there = count(data)
        assert aspect in FORMATS[form].carries or statement["lost"].get(aspect, 0) == there
        assert (
            not there
            or aspect in statement["carried"]
            or aspect in statement["lost"]
            or sum(statement["lost"].values())
        )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("ml-100k", marks=pytest.mark.long),
        pytest.param("lastfm-dbpedia", marks=pytest.mark.long),
        "dkn-news",
    ],
)
@pytest.mark.parametrize("form", BUILT)
def test_real_files_come_back(form, name, shared_data, tmp_path):
    facts = name == "ml-100k"
    data, said = real(shared_data(name), **({"user_attributes": True} if facts else {}))
    if FORMATS[form].needs and not base.ASPECTS[FORMATS[form].needs](data):
        pytest.skip(f"{name} has no {FORMATS[form].needs}")
    before, after = again(
        data,
        form,
        tmp_path,
        said,
        **({"user_attributes": True} if facts and base.USER_FACTS in FORMATS[form].carries else {}),
    )
    skip = ()
    if (
        form == "ctr" and name == "dkn-news"
    ):  # parts are gone: a negative that is an interaction of another part cannot stay one
        own, back = ({pair[1:] for pair in one[base.NEGATIVES]} for one in (before, after))
        assert back == own - before[base.INTERACTIONS]
        skip = (base.NEGATIVES,)
    if base.TEXTS in FORMATS[form].carries and not before[base.TEXTS]:
        skip = (*skip, base.TEXTS)
    check(form, before, after, skip)


@pytest.mark.long
@pytest.mark.parametrize(
    "form",
    ["recbole", "kgat", "lightgcn", "ctr", "ntriples", "parquet", "networkx", "graphml", "neo4j"],
)
def test_gowalla_comes_back(form, shared_data, tmp_path):
    data = load(shared_data("gowalla"))
    data.convert(form, tmp_path / form)
    after = load(tmp_path / form)
    sizes = [[len(part) for part in base.parts_of(one).values()] for one in (data, after)]
    assert sizes[0] == sizes[1] if form != "ctr" else sum(sizes[0]) == sum(sizes[1])


@pytest.mark.parametrize("name", ["films", pytest.param("lastfm-dbpedia", marks=pytest.mark.long)])
def test_a_second_conversion_writes_the_same_bytes(name, tmp_path, shared_data):
    data = load(name if name == "films" else shared_data(name))
    for form in FORMATS:
        if FORMATS[form].needs and not base.ASPECTS[FORMATS[form].needs](data):
            continue
        for place in ("one", "two"):
            data.convert(form, tmp_path / place / form)
        files = [
            {p.name: p.read_bytes() for p in (tmp_path / place / form).rglob("*") if p.is_file()}
            for place in ("one", "two")
        ]
        assert files[0] == files[1], form


def test_times_are_exact(tmp_path):
    times = [881250949.123456, 1e9 + 1 / 3, 1.5e9 + 1e-6, 1e9 * math.pi]
    log = pl.DataFrame(
        {
            "user_id": ["u"] * 4,
            "item_id": list("abcd"),
            "timestamp": times,
            "rating": [1.0, 2.5, 3.0, 1 / 3],
        }
    )
    data = Dataset.build(log, split="leave-one-out")
    for form in ("recbole", "ntriples", "parquet", "networkx", "graphml", "neo4j"):
        before, after = again(data, form, tmp_path)
        assert (
            after[base.TIMES]
            == before[base.TIMES]
            == dict(zip([("u", c) for c in "abcd"], times, strict=True))
        )
        assert after[base.RATINGS] == before[base.RATINGS]
