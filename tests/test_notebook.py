"""What records show of themselves in notebooks."""

from html.parser import HTMLParser

import pytest

import kgrec
from kgrec.evaluation import Report
from kgrec.notebook import html_table
from kgrec.testing import worlds

HOSTILE = '<script>alert(1)</script> "onerror="x &amp; \u202egnp.exe'

TABLE = ("div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p")


class Tags(HTMLParser):
    """The tags of a fragment, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_a_table_is_tags_of_tables_and_text():
    shown = Tags(html_table(HOSTILE, [HOSTILE], [(HOSTILE, 1.5, None, True, 1234)], [HOSTILE] * 9))
    assert {tag for tag, _ in shown.tags} == set(TABLE)
    assert {name for _, found in shown.tags for name in found} == {"scope", "style"}
    assert "<script>alert(1)</script>" in shown.text
    assert "\\u202egnp.exe" in shown.text
    for cell in ("1.5000", "True", "1,234", "and 1 more notes"):
        assert cell in shown.text


def test_a_long_note_is_whole():
    note = " ".join(["word"] * 200)
    assert note in html_table("t", ["a"], [], [note])


@pytest.fixture(scope="module")
def runs():
    data = worlds.checkerboard()
    return [kgrec.fit(name, data) for name in ("itemknn", "popularity")]


def test_a_dataset_shows_its_counts(runs):
    data = runs[0].data
    text = Tags(data._repr_html_()).text
    assert f"users{data.num_users}items{data.num_items}" in text
    assert f"training interactions{len(data.train)}" in text


def test_a_run_shows_its_settings(runs):
    text = Tags(runs[0]._repr_html_()).text
    assert text.startswith("itemknn")
    assert f"shrink{runs[0].config.shrink}" in text


def test_a_report_shows_its_figures_and_notes():
    report = Report("m", "test", 2, {"ndcg@10": 0.25}, None, notes=("Mind this.",))
    text = Tags(report._repr_html_()).text
    assert text == "m on test, 2 users, rankingmetricvaluendcg@100.2500Mind this."


def test_a_comparison_shows_means_and_what_was_tested(runs):
    found = kgrec.compare(runs, k=(2,), metrics=["ndcg@2"])
    text = Tags(found._repr_html_()).text
    for entry in found.entries:
        assert f"{entry.metrics['ndcg@2']:.4f}" in text
    (tested,) = (one for one in found.contrasts if one.verdict is not None)
    assert f"{tested.difference.mean:.4f}" in text
    assert tested.verdict in text
