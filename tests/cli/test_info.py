"""``kgrec info``: text, JSON, and a page that shows hostile names as what they are."""

import json
import re
from html.parser import HTMLParser

import pytest

from kgrec.cli import run
from kgrec.data.profile import profile
from kgrec.data.records.dataset import Dataset
from kgrec.reports.dataset_html import page

VOID = {"meta", "br", "line", "rect", "polyline"}
HOSTILE = "<script>alert(1)</script>\"'&amp;<img src=x onerror=y>"
ALLOWED = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h1",
        "h2",
        "h3",
        "p",
        "dl",
        "dt",
        "dd",
        "div",
        "ul",
        "li",
        "strong",
    ),
    *(
        "figure",
        "figcaption",
        "svg",
        "text",
        "line",
        "rect",
        "polyline",
        "details",
        "summary",
        "table",
        "caption",
        "thead",
        "tbody",
    ),
    *("tr", "th", "td", "span", "bdi", "small", "br", "i", "b"),
}


class Strict(HTMLParser):
    """Elements must be known, closed in order, and load nothing."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        assert tag in ALLOWED, tag
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID, tag
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)


def read(text):
    parser = Strict()
    parser.feed(text)
    parser.close()
    assert not parser.open
    for _, name, value in parser.attributes:
        assert not name.startswith("on")
        assert name not in {"src", "href", "srcset", "action"}
        assert "url(" not in (value or "")
    return parser


def told(data):
    return data.summary() | {"profile": profile(data)}


def hostile(tmp_path):
    clicks = ["user,item,time,rating"]
    clicks += [
        f"u{u},i{i},{10**9 + 86400 * (u + i)},{1 + (u + i) % 5}" for u in range(6) for i in range(6)
    ]
    (tmp_path / "clicks.csv").write_text("\n".join(clicks) + "\n")
    rows = [f"i{i}\tr{HOSTILE}{i % 2}\t\u202e{HOSTILE}{n}" for i in range(6) for n in range(4)]
    (tmp_path / "kg.tsv").write_text(
        "head\trelation\ttail\n" + "\n".join(rows) + "\nx\ty\n", encoding="utf-8"
    )
    return Dataset.build(
        tmp_path / "clicks.csv",
        tmp_path / "kg.tsv",
        on_error="skip",
        name=f"a {HOSTILE}\x1b[31m",
        notes=(f"Note {HOSTILE}",),
    )


def test_a_page_shows_hostile_names_as_text(tmp_path):
    text = page(told(hostile(tmp_path)))
    shown = read(text)
    assert "<script" not in text
    assert "\x1b" not in text
    assert any(HOSTILE in part for part in shown.texts)
    assert sum(tag == "bdi" for tag in re.findall(r"<(\w+)", text)) > 10
    policy = [
        value
        for tag, name, value in shown.attributes
        if tag == "meta" and name == "content" and "default-src" in value
    ]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_every_picture_has_a_name_and_a_table(tmp_path):
    text = page(told(hostile(tmp_path)))
    drawings = re.findall(r"<svg [^>]*>", text)
    assert len(drawings) == 7
    assert all('role="img"' in one and 'aria-label="' in one for one in drawings)
    assert text.count("<details><summary>as a table</summary><table>") == len(drawings)
    assert '<html lang="en">' in text
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text


def test_a_page_of_nothing_but_triples(tmp_path):
    (tmp_path / "kg.tsv").write_text(
        "".join(f"e{a}\tr\te{b}\n" for a in range(6) for b in range(6) if a != b)
    )
    data = Dataset.build(None, tmp_path / "kg.tsv", triple_ratios=(0.8, 0.1, 0.1))
    read(page(told(data)))


def test_info_writes_a_page_and_json(dataset, tmp_path, capsys):
    file = tmp_path / "page.html"
    assert run(["info", str(dataset), "--html", str(file)]) == 0
    said = capsys.readouterr().out
    assert f"page written to {file}" in said
    assert "interactions per user" in said
    read(file.read_text(encoding="utf-8"))
    assert run(["info", str(dataset), "--html", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["profile"]["graph"]["components"]["count"] == 2
    assert run(["info", str(dataset), "--html", str(tmp_path)]) == 2


def test_text_fits_a_narrow_terminal(dataset, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["info", str(dataset)]) == 0
    said = capsys.readouterr().out
    assert "coverage: 6 items with triples have 100.0 % of the interactions" in said
    assert max(map(len, re.sub(r"\x1b\[\d+m", "", said).splitlines())) <= 80


@pytest.mark.parametrize("name", ["films"])
def test_a_bundled_graph_has_a_page(name, tmp_path):
    assert run(["-q", "info", name, "--html", str(tmp_path / "p.html")]) == 0
    read((tmp_path / "p.html").read_text(encoding="utf-8"))


def test_build_leaves_out_what_it_is_told_to(sources, tmp_path, capsys):
    (tmp_path / "kg.nt").write_text(
        "".join(f"<http://x/f{n}> <http://x/by> <http://x/s> .\n" for n in range(1, 7))
    )
    given = [
        "--interactions",
        str(sources / "clicks.csv"),
        "--kg",
        str(tmp_path / "kg.nt"),
        "--out",
        str(tmp_path / "d"),
        "--json",
    ]
    options = [
        "--k-core",
        "2,3",
        "--min-entity",
        "2",
        "--min-relation",
        "2",
        "--leaks",
        "drop",
        "--split",
        "leave-one-out",
    ]
    assert run(["-q", "build", *given, *options]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert (
        settings["k_core"],
        settings["min_entity"],
        settings["min_relation"],
        settings["leaks"],
    ) == ([2, 3], 2, 2, "drop")
    for wrong in ("x", "1,2,3", "-1", ""):
        assert run(["-q", "build", *given, "--k-core", wrong]) == 2
        said = capsys.readouterr().err
        assert "--k-core" in said
        assert said.count("\n") == 1
    assert (
        run(["-q", "build", *given, "--split", "leave-one-out", "--without-relation", "nope"]) == 2
    )
    assert "nope" in capsys.readouterr().err
