"""The page: safe, self-contained, complete."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import polars as pl
import pytest
from explained import BUDGET, WHY, hostile

from kgrec.escaping import csv_safe, html_text, terminal
from kgrec.explanation.core.records import Explanation, FactRef, Hop, Node, Path, Relation
from kgrec.explanation.render.html import notebook, page

PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</style><script>alert(1)</script>",
    "</title><base href=//evil>",
    "javascript:alert(1)",
    "&lt;b&gt;&#60;",
    "<!--",
    "]]>",
    "{{7*7}} ${7*7}",
    "\u2028\u2029\u202e\x1b[31m\x00",
]


def explanation(label: str, drop: float = 0.25, basis: str = "measured") -> Explanation:
    user, liked, item = (
        Node("user", label, label),
        Node("item", "f0", label),
        Node("item", f"i{label}", label),
    )
    middle = Node("entity", "e", label)
    facts = (FactRef(label, 12),)
    hops = (
        Hop(user, liked, (Relation("interacts", label, True, facts),)),
        Hop(
            liked,
            middle,
            (Relation(label, label, True, facts), Relation("r2", label, False, facts)),
        ),
        Hop(middle, item, (Relation(label, label, False, facts),)),
    )
    return Explanation(
        user.key,
        item.key,
        label,
        label,
        1.5,
        2,
        (Path(hops, basis, drop, removed=3),),
        {"3": 1},
        notes=(label,),
    )


class Tags(HTMLParser):
    """Collect tags, attributes and text, and check that tags close in order."""

    VOID = frozenset({"meta", "br", "rect", "img", "base"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_labels_are_text_and_nothing_else(payload):
    rows = [{"rank": 1, "item": payload, "label": payload, "score": 0.5}]
    hostile = Tags(page([explanation(payload)], payload, payload, rows))
    tame = Tags(
        page([explanation("x")], "x", "x", [{"rank": 1, "item": "q", "label": "x", "score": 0.5}])
    )
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in tame.tags]
    assert [sorted(attributes) for _, attributes in hostile.tags] == [
        sorted(attributes) for _, attributes in tame.tags
    ]
    assert terminal(payload) in hostile.text
    assert not {"script", "img", "base", "iframe", "link"} & {tag for tag, _ in hostile.tags}
    assert not any(
        name.startswith("on") or name == "style"
        for _, attributes in hostile.tags
        for name in attributes
    )
    Tags(notebook(explanation(payload)))


def test_the_page_asks_for_nothing_and_its_style_matches_the_policy():
    html = page([explanation("x")], "Title")
    style = re.search("<style>(.*?)</style>", html, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = re.search('Content-Security-Policy" content="([^"]*)"', html)[1]
    assert policy.startswith("default-src 'none'; ")
    assert f"'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:|url\(|@import|src=", html)
    links = [attributes["href"] for _, attributes in Tags(html).tags if "href" in attributes]
    assert all(link.startswith("#") for link in links)


def test_recommendations_link_to_their_explanation():
    why = explanation("x")
    html = page(
        [why],
        "T",
        recommendations=[
            {"rank": 1, "item": why.item, "label": "A", "score": 2.0},
            {"rank": 2, "item": "z", "label": "B", "score": -1.0},
        ],
    )
    assert '<a href="#why-1">A</a>' in html
    assert 'id="why-1"' in html
    assert "<span>B</span>" in html
    assert 'width="0.0%"' in html


def test_numbers_and_words_follow_the_basis():
    up, down, none = (
        page([explanation("x", *how)], "T") for how in [(0.25,), (-0.25,), (0.0, "post-hoc")]
    )
    assert "Because" in up
    assert "drop 0.2500" in up
    assert "17 % of the score" in up
    assert '<span class="badge">measured</span>' in up
    assert "Because" not in down
    assert 'class="fill down"' in down
    assert "Because" not in none
    assert "score is known" in none
    assert "run again" not in none
    assert "Connected through" in none
    assert "drop" not in Tags(none).text.split("}")[-1]


def test_arrows_point_as_the_facts_do_and_provenance_reads_head_first():
    html = page([explanation("lab")], "T")
    assert re.findall(r'class="hop (\w+)"', html) == ["forward", "forward", "backward"]
    assert '<td>You <b>lab</b> lab</td><td><code title="lab:12">lab:12</code></td>' in html


def test_an_explanation_without_paths_is_shown_as_one():
    why = replace(
        explanation("x"), paths=(), counts={"1": 0}, rank=None, notes=("No path.",), truncated=True
    )
    shown = Tags(page([why], "T")).text
    assert "0 paths found" in shown
    assert "Already in the user's history" in shown
    assert "No path." in shown
    assert "some are missing" in shown


def test_the_budget_is_a_bar_with_a_legend_in_sentences_where_its_parts_are_shares():
    html = WHY.to_html()
    shown = Tags(html).text
    assert (
        'aria-label="own taste 47 %, liked items, supported 6 %, liked items, unsupported 47 %"'
        in html
    )
    widths = [
        float(width)
        for width in re.findall(
            r'<rect class="(?:own|supported|liked)" x="[\d.]+%" width="([\d.]+)%"', html
        )
    ]
    assert sum(widths) == pytest.approx(100, abs=0.02)
    for words in (
        "which no like and no fact carries",
        "The parts add up to the score exactly",
        "carry 0.67 % of the score",
    ):
        assert words in shown
    assert "Next is Thief, 0.25 behind." in shown
    assert "drop 0.4000 with the other weights kept" in shown
    assert "rank 1 \u2192 4 without it" in shown
    assert (
        "Hidden by the filters: 2,458 paths, 98 % of all first-order effects; 3 of those "
        "measured, with a smaller drop" in shown
    )
    assert "What speaks against it" in shown


def test_a_budget_with_signs_shows_numbers_and_no_shares():
    html = page([replace(WHY, budget=replace(BUDGET, own=-0.2, score=0.6), score=0.6)], "T")
    assert 'class="parts"' not in html
    assert "own taste</span>" in html
    assert "-0.2" in Tags(html).text
    assert "0.67 % of the score" not in html
    none = replace(
        BUDGET,
        own=0.0,
        by_liked=(),
        score=0.0,
        supported=None,
        unsupported=None,
        on_graph=None,
        basis="measured",
    )
    assert "measured by running the model again" in page(
        [replace(WHY, budget=none, score=0.0)], "T"
    )


def test_what_walks_along_a_path_carry_stands_beside_what_all_walks_do():
    for why in (WHY, replace(WHY, filters={"rank_by": "joint"})):
        shown = Tags(page([why], "T")).text
        assert ("along this path" in shown) == ("rank_by" in why.filters)
        assert shown.count("along this path") == len(
            re.findall(r"along this path carry \S+ of the \S+ that all walks", shown)
        )
        assert "carry 0.67 % of the score" in shown


@pytest.mark.parametrize("payload", PAYLOADS)
def test_every_text_of_a_full_explanation_is_inert(payload):
    bad, tame = Tags(hostile(payload).to_html()), Tags(hostile("x").to_html())
    assert [tag for tag, _ in bad.tags] == [tag for tag, _ in tame.tags]
    assert [sorted(attributes) for _, attributes in bad.tags] == [
        sorted(attributes) for _, attributes in tame.tags
    ]


def test_a_page_is_written_and_a_notebook_gets_html_without_scripts_and_text(tmp_path):
    assert (tmp_path / "why.html").exists() is False
    html = WHY.to_html(tmp_path / "why.html")
    assert (tmp_path / "why.html").read_text(encoding="utf-8") == html
    bundle = WHY._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert "<script" not in bundle["text/html"]
    assert bundle["text/plain"] == WHY.to_text()


def test_long_and_flooded_labels_are_cut():
    assert len(html_text("a" * 1_000_000)) == 200
    assert terminal("e" + "\u0301" * 1000) == "e" + "\u0301" * 4


def test_spreadsheets_see_no_formula():
    frame = pl.DataFrame(
        {"a": ["=1+1", "+1", "-x", "@y", "\tz", "ok", None], "n": [-1, 2, 3, 4, 5, 6, 7]}
    )
    assert csv_safe(frame)["a"].to_list() == ["'=1+1", "'+1", "'-x", "'@y", "'\tz", "ok", None]
    assert csv_safe(frame)["n"].to_list() == [-1, 2, 3, 4, 5, 6, 7]
