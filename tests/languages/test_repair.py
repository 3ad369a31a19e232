"""Labels that an earlier program spoiled: repaired for people, counted, and right ones left alone."""

# ruff: noqa: RUF001

import polars as pl
import pytest

import kgrec
from kgrec.data.texts.spoiled import repaired_all
from kgrec.languages import repaired, spoken
from kgrec.languages.repair import is_doubtful

RIGHT = [
    *("Amélie", "Łódź", "Иванъ Грозный", "Ирония судьбы, или С лёгким паром", "日本語の題名"),
    *("It’s", "Élève", "– “quoted” –", "Straße", "Ελλάδα", "שלום", "São Paulo", "Žižek", "€ 5"),
    *("Æon Flux", "Pokémon™", "Emoji 😀", "À bout de souffle", "Ödön von Horváth"),
]
# Right as they are, though parts of them read as UTF-8.
ACCIDENTS = [
    *("„Großer Spaß“", "Spaß“", "IRMÃ”", "«Le passé…»", "passé»…", "CAFÉ®", "RENÉ…", "voilà »"),
    *("L’île de l’âme", "CAFÉ—BAR", "HÄ…", "Smør©", "AVÔ…", "Слово»", "Україна»", "Ђорђе", "РІ"),
    *("AT&T", "R&B;", "&nosuch;", "Q&A", "&#0;", "&#1114112;"),
]


def spoiled(label: str, encoding: str) -> str:
    """Return UTF-8 that was taken for another encoding, bytes that it lacks by their numbers."""
    characters = []
    for byte in label.encode():
        try:
            characters.append(bytes([byte]).decode(encoding))
        except UnicodeDecodeError:
            characters.append(chr(byte))
    return "".join(characters)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1250", "cp1251"])
def test_what_was_read_as_another_encoding_is_as_it_was_meant(encoding):
    assert [repaired(spoiled(label, encoding)) for label in RIGHT] == RIGHT
    assert repaired(spoiled(spoiled("été à Łódź", encoding), encoding)) == "été à Łódź"


def test_right_labels_stay_as_they_are():
    assert [repaired(label) for label in (*RIGHT, *ACCIDENTS)] == [*RIGHT, *ACCIDENTS]
    assert not any(map(is_doubtful, RIGHT))
    assert is_doubtful("IRMÃ”")


@pytest.mark.parametrize(
    ("label", "meant"),
    [
        ("Tom &amp;amp; Jerry", "Tom & Jerry"),
        ("Caf&eacute; &#39;68 &#x2014; &lt;b&gt;", "Café '68 — <b>"),
        ("Beyonc&Atilde;&copy;", "Beyoncé"),
        ("AmÃ©lie – ein Film", "Amélie – ein Film"),
        ("\u00ef\u00bb\u00bfHeat", "Heat"),
    ],
)
def test_references_and_mixtures(label, meant):
    assert repaired(label) == meant


def test_repaired_labels_cannot_steer_a_terminal_or_a_page():
    assert "\x1b" not in spoken("&#27;[31m &#x1b;x")
    assert spoken("a&#x202e;b") == "a\\u202eb"
    assert spoken("Lambs&#44; The (1991)") == "The Lambs"


def test_columns_of_labels():
    labels = pl.Series("label", ["AmÃ©lie", None, "Heat", "Tom &amp; Jerry", "IRMÃ”"])
    assert repaired_all(labels).to_list() == ["Amélie", None, "Heat", "Tom & Jerry", "IRMÃ”"]


def test_a_build_counts_them_and_keeps_what_is_stored(tmp_path):
    titles = [
        "AmÃ©lie",
        "DÃ©jÃ\u00a0 Vu",
        "Tom &amp; Jerry",
        "IRMÃ”",
        "Caf\ufffd",
        "Heat",
        "Amélie",
    ]
    items = pl.DataFrame({"item_id": list("abcdefg"), "title": titles, "kind": list("xxyyxyx")})
    log = pl.DataFrame({"user": list("uuuvvvwww"), "item": list("abcdefgab")})
    data = kgrec.Dataset.build(log, items=items, ratios=(0.4, 0.3, 0.3))
    found = {one.what.partition(":")[0]: one.what for one in data.report.warnings}
    encoded = found["Labels of UTF-8 that was read as another encoding"]
    assert ": 2," in encoded
    assert "'AmÃ©lie', shown as 'Amélie'" in encoded
    assert ": 1," in found["Labels with references of HTML"]
    assert ": 1," in found["Labels that may be UTF-8 read as another encoding, or right"]
    assert ": 1," in found["Labels with characters that an earlier program could not read"]
    assert [data.item_label(row) for row in range(7)] == titles


def test_linking_by_label_compares_repaired_labels(tmp_path):
    (tmp_path / "g.nt").write_text(
        '<x:1> <http://www.w3.org/2000/01/rdf-schema#label> "Am\u00e9lie" .\n<x:1> <x:p> <x:2> .\n',
        encoding="utf-8",
    )
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["AmÃ©lie", "Heat"]})
    log = pl.DataFrame({"user": list("uuvvww"), "item": list("ababab")})
    data = kgrec.Dataset.build(
        log,
        str(tmp_path / "g.nt"),
        items=items,
        link_by="label",
        review=str(tmp_path / "review.tsv"),
        ratios=(0.4, 0.3, 0.3),
    )
    assert data.triples.entities.key(data.items.row("a")) == "x:1"
