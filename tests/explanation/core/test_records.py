"""Records that refuse nonsense, and their JSON."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrec.errors import ExplanationError
from kgrec.explanation.core.records import (
    Explanation,
    FactRef,
    Hop,
    Node,
    Path,
    Relation,
    short_names,
)

ANA, ALIEN = Node("user", "ana", "Ana"), Node("item", "f0", "Alien")
SCOTT, RUNNER = Node("entity", "x:Scott", "Ridley Scott"), Node("item", "f2", "Blade Runner")
LIKED = Relation("interacts", "liked", True, (FactRef("training interactions"),))
DIRECTOR = Relation("x:director", "director", True, (FactRef("films.ttl", 11),))
PATH = Path(
    (
        Hop(ANA, ALIEN, (LIKED,)),
        Hop(
            ALIEN,
            SCOTT,
            (DIRECTOR, Relation("x:producer", "producer", True, (FactRef("films.ttl", -12),))),
        ),
        Hop(SCOTT, RUNNER, (replace(DIRECTOR, forward=False),)),
    ),
    "measured",
    0.25,
    attribution=0.3,
    removed=4,
    like_drop=0.2,
    facts_drop=0.04,
    hop_drops=(0.2, 0.0, 0.04),
)
WHY = Explanation(
    "ana",
    "f2",
    "Ana",
    "Blade Runner",
    1.5,
    1,
    (PATH,),
    {"3": 7},
    False,
    {"users": "count"},
    ("a note",),
    {"model": "toy"},
)


def test_json_has_the_contract_s_fields_and_returns_equal():
    record = json.loads(WHY.to_json())
    assert {"schema", "user", "item", "score", "rank", "budget", "paths"} <= set(record)
    assert (record["schema"], record["user"], record["item"], record["budget"]) == (
        2,
        "ana",
        "f2",
        None,
    )
    (path,) = record["paths"]
    assert (path["length"], path["drop_mask"], path["drop_delete"], path["basis"]) == (
        3,
        None,
        0.25,
        "measured",
    )
    assert (path["like_drop"], path["facts_drop"], path["hop_drops"]) == (0.2, 0.04, [0.2, 0, 0.04])
    assert path["claims"] == {"like": "cause", "facts": "no cause"}  # its first fact does nothing
    assert record["text"].startswith("*Blade Runner*: because you liked *Alien*. The two are also")
    hop = path["hops"][1]
    assert hop["source"] == {"kind": "item", "key": "f0", "label": "Alien"}
    assert (hop["relation"], hop["relation_label"], hop["forward"]) == (
        "x:director",
        "director",
        True,
    )
    assert hop["facts"] == [{"source": "films.ttl", "locator": 11, "ordinal": False}]
    assert hop["also"][0]["relation"] == "x:producer"
    assert Explanation.from_json(WHY.to_json()) == WHY
    assert Explanation.from_json(WHY.to_json(indent=2)).to_json() == WHY.to_json()


@settings(max_examples=50, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_label_and_number_survive_json(label, number):
    hops = (
        replace(PATH.hops[0], target=replace(ALIEN, label=label)),
        replace(PATH.hops[1], source=replace(ALIEN, label=label)),
        PATH.hops[2],
    )
    why = replace(
        WHY, item_label=label, score=number, paths=(replace(PATH, hops=hops, drop_delete=number),)
    )
    assert Explanation.from_json(why.to_json()) == why


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(PATH, hops=()),
        lambda: replace(PATH, hops=(PATH.hops[0], PATH.hops[2])),
        lambda: replace(PATH, drop_delete=math.nan),
        lambda: replace(PATH, attribution=math.inf),
        lambda: replace(PATH, basis="guessed"),
        lambda: replace(PATH, basis="post-hoc"),
        lambda: replace(PATH, basis="not measured"),
        lambda: replace(PATH, drop_delete=None),
        lambda: replace(PATH, hop_drops=(0.1,)),
        lambda: replace(PATH, like_drop=math.nan),
        lambda: Path((Hop(ANA, ALIEN, (LIKED,)), Hop(ALIEN, ANA, (LIKED,))), "measured", 0.1),
        lambda: Hop(ANA, ALIEN, ()),
        lambda: Node("film", "f0", "Alien"),
        lambda: replace(WHY, user="bo"),
        lambda: replace(WHY, item="f3"),
        lambda: replace(WHY, score=math.inf),
        lambda: replace(WHY, rank=0),
    ],
)
def test_impossible_records_are_refused(make):
    with pytest.raises(ExplanationError):
        make()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"schema": 2}',
        '{"schema": 1}',
        WHY.to_json().replace('"length": 3', '"length": 2'),
        WHY.to_json().replace('"hops"', '"steps"'),
        WHY.to_json().replace('"score": 1.5', '"score": NaN'),
        WHY.to_json().replace('"score": 1.5', '"score": "high"'),
        WHY.to_json().replace('"facts": [{', '"facts": [{"more": 1, '),
        WHY.to_json().replace('"paths": [', '"paths": [3, '),
    ],
)
def test_broken_json_is_refused_in_one_line(text):
    with pytest.raises(ExplanationError) as caught:
        Explanation.from_json(text)
    assert "\n" not in str(caught.value)


def test_facts_say_file_and_line():
    assert [str(fact) for fact in PATH.hops[1].facts] == [
        "films.ttl:11",
        "films.ttl:12 (through the item's link)",
    ]
    assert str(FactRef("training interactions")) == "training interactions"


def test_frame_has_a_row_per_hop_and_relation():
    frame = WHY.to_frame()
    assert frame.height == 4
    assert frame["relation"].to_list() == ["interacts", "x:director", "x:producer", "x:director"]
    assert frame["hop"].to_list() == [1, 2, 2, 3]
    assert frame["forward"].to_list() == [True, True, True, False]
    assert frame["facts"][1] == "films.ttl:11"
    assert replace(WHY, paths=()).to_frame().schema == frame.schema
    assert pl.concat([frame, replace(WHY, paths=()).to_frame()]).height == 4


def test_networkx_edges_point_as_their_facts_do():
    graph = WHY.to_networkx()
    assert set(graph.edges(keys=True)) == {
        (("user", "ana"), ("item", "f0"), "interacts"),
        (("item", "f0"), ("entity", "x:Scott"), "x:director"),
        (("item", "f0"), ("entity", "x:Scott"), "x:producer"),
        (("item", "f2"), ("entity", "x:Scott"), "x:director"),
    }
    twice = replace(WHY, paths=(PATH, replace(PATH, drop_delete=-1.0))).to_networkx()
    edge = twice.edges[("user", "ana"), ("item", "f0"), "interacts"]
    assert (edge["drop"], edge["paths"]) == (0.25, [1, 2])


def test_the_schema_and_its_outputs_need_no_torch():
    code = (
        "import sys, kgrec.explanation.core.records, kgrec.explanation.render.html, "
        "kgrec.explanation.render.sentences; print('torch' in sys.modules)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )


def test_files_are_named_without_the_folders_they_share():
    assert short_names(("/data/films.ttl", "the frame")) == ("films.ttl", "the frame")
    assert short_names(("/x/a/kg.nt", "/x/b/kg.nt")) == ("a/kg.nt", "b/kg.nt")
    assert short_names(("C:\\data\\kg.nt", "kg.nt", "kg.nt")) == ("data/kg.nt", "kg.nt", "kg.nt")
    assert short_names(()) == ()


def test_a_fact_of_a_table_names_its_column():
    fact = FactRef("items.csv", 12, column="genre")
    assert str(fact) == "items.csv:12 column genre"
    assert (
        str(FactRef("items.csv", -12, column="genre"))
        == "items.csv:12 column genre (through the item's link)"
    )
