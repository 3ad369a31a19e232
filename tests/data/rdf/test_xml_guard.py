"""RDF/XML from hostile hands: refused before it is parsed, in one line, in little time and
memory.
"""

import io
import time
import tracemalloc
from itertools import chain, pairwise, repeat

import pyoxigraph as ox
import pytest

from kgrec.data.io.compression import Pieces
from kgrec.data.rdf.reader import parse_rdf, read_rdf
from kgrec.data.rdf.xml_guard import MOST_EXPANDED
from kgrec.errors import FormatError

START = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:x="x:">'
BODY = START + '<rdf:Description rdf:about="x:a"><x:r>&e;</x:r></rdf:Description></rdf:RDF>'


def said(document, encoding="utf-8"):
    """Return the literals of a document."""
    facts = parse_rdf(
        io.BytesIO(document.encode(encoding)), "f", ox.RdfFormat.RDF_XML, base="file:///b/f"
    )
    return facts.attributes["value"].to_list()


@pytest.mark.parametrize(
    ("subset", "message"),
    [
        ('<!ENTITY a "b"><!ENTITY e "&a;&a;">', "an entity that refers to entities"),
        ('<!ENTITY e "&e;">', "an entity that refers to entities"),
        ('<!ENTITY e "&#38;a;">', "an entity that refers to entities"),
        ('<!ENTITY e "&#x26;#38;a;">', None),
        ('<!ENTITY e "<b/>">', "an entity that holds markup"),
        ('<!ENTITY e "&#60;b/>">', "an entity that holds markup"),
        ('<!ENTITY e "a & b">', "an entity with a lone ampersand"),
        ('<!ENTITY e "&#0;">', "an entity with the character number 0"),
        ('<!ENTITY e "&#xD800;">', "an entity with the character number 55296"),
        ('<!ENTITY e SYSTEM "file:///etc/passwd">', "an external or parameter entity"),
        ("<!ENTITY e SYSTEM 'http://127.0.0.1:9/'>", "an external or parameter entity"),
        ('<!ENTITY e PUBLIC "p" "http://127.0.0.1:9/">', "an external or parameter entity"),
        ('<!ENTITY e SYSTEM "a.gif" NDATA gif>', "an external or parameter entity"),
        ('<!ENTITY % p "b">', "an external or parameter entity"),
        ('<!ENTITY % p SYSTEM "http://127.0.0.1:9/">', "an external or parameter entity"),
        ("%p;", "a document type declaration with parameter entities"),
        ("<!ENTITY e>", "a malformed entity"),
        ("<!ENTITY e b>", "a malformed entity"),
    ],
)
def test_entities_that_lead_elsewhere_are_refused(subset, message):
    document = f'<?xml version="1.0"?>\n<!-- c -->\n<!DOCTYPE rdf:RDF [\n{subset}]>\n{BODY}'
    if message is None:
        assert said(document) == ["&a;"]
        return
    with pytest.raises(FormatError, match=rf"f:4: {message}, which kgrec does not read") as caught:
        said(document)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE rdf:RDF SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE rdf:RDF PUBLIC "p" "http://127.0.0.1:9/">',
        '<!DOCTYPE rdf:RDF SYSTEM "a" []>',
    ],
)
def test_another_file_is_not_read(declaration):
    with pytest.raises(
        FormatError, match="f:1: a document type declaration that names another file"
    ):
        said(declaration + BODY)


@pytest.mark.parametrize(
    "where",
    [
        "{d}{b}{d}",
        "{b}{d}",
        "<!-- c -->{d}{d}{b}",
        "<x>{d}</x>",
        "<!doctype r>{b}",
        "<!DOCTYPE>{b}",
        "<!DOCTYPE r [{b}",
    ],
)
def test_a_declaration_out_of_place_is_refused(where):
    with pytest.raises(FormatError, match=r"^f(:1)?: "):
        said(where.format(d='<!DOCTYPE r [<!ENTITY e "b">]>', b=BODY))


def test_a_bomb_of_nested_entities():
    names = [f"e{n}" for n in range(30)]
    subset = '<!ENTITY e0 "lol">' + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise(names)
    )
    began = time.process_time()
    with pytest.raises(FormatError, match="an entity that refers to entities"):
        said(f"<!DOCTYPE r [{subset}]>" + BODY.replace("&e;", "&e29;"))
    assert time.process_time() - began < 3


def test_flat_entities_expand_up_to_a_mebibyte():
    declared = f'<!DOCTYPE r [<!ENTITY e "{"y" * 1000}">]>'
    most = MOST_EXPANDED // 1000
    assert [len(text) for text in said(declared + BODY.replace("&e;", "&e;" * most))] == [
        most * 1000
    ]
    with pytest.raises(
        FormatError, match=r"f: its entities expand to more than 1,048,576 characters"
    ):
        said(declared + BODY.replace("&e;", "&e;" * (most + 1)))


@pytest.mark.parametrize("size", [1, 3, 10])
def test_references_are_counted_across_pieces(size, monkeypatch):
    monkeypatch.setattr("kgrec.data.rdf.xml_guard._STEP", size)
    monkeypatch.setattr("kgrec.data.rdf.xml_guard.MOST_EXPANDED", 20)
    declared = '<!DOCTYPE r [<!ENTITY entity "0123456789">]>'
    assert said(declared + BODY.replace("&e;", "&entity;&amp;&entity;")) == [
        "0123456789&0123456789"
    ]
    with pytest.raises(FormatError, match="expand to more than"):
        said(declared + BODY.replace("&e;", "&entity; &entity; &entity;"))


def test_defaults_of_attributes_are_left_out():
    """They would let a few bytes stand for many."""
    declared = f'<!DOCTYPE r [<!ATTLIST rdf:Description x:s CDATA "{"y" * 1000}">]>'
    assert said(declared + BODY.replace("&e;", "b")) == ["b"]


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "UTF-16"),
        ("iso-8859-1", "ISO-8859-1"),
        ("cp1252", "windows-1252"),
        ("koi8-r", "KOI8-R"),
    ],
)
def test_encodings(encoding, declared):
    text = "Ж" if encoding == "koi8-r" else "é"
    document = f'<?xml version="1.0" encoding="{declared}"?>' + BODY.replace("&e;", text)
    assert said(document, encoding) == [text]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_sixteen_bits_without_a_mark(encoding):
    assert said('<?xml version="1.0"?>' + BODY.replace("&e;", "é"), encoding) == ["é"]


@pytest.mark.parametrize(
    "declared", ["utf-7", "punycode", "unicode_escape", "hex", "UTF-16", "no-such", "idna"]
)
def test_encodings_that_are_none(declared):
    with pytest.raises(FormatError, match=r"f:1: declares the encoding '[\w-]+'"):
        said(f'<?xml version="1.0" encoding="{declared}"?>' + BODY)


def test_bytes_that_are_not_in_the_encoding_are_named(tmp_path):
    (tmp_path / "a.rdf").write_bytes(BODY.replace("&e;", "\n\n").encode() + b"\n<!-- \xff -->")
    with pytest.raises(FormatError, match=r"a\.rdf:4: the bytes are not utf-8"):
        read_rdf(tmp_path / "a.rdf")


HEAD = START.encode()


@pytest.mark.parametrize(
    ("before", "again", "message"),
    [
        (b'<x:T x:p="', b"y", "a tag or comment of more than 16,777,216 bytes"),
        (b"<!--", b"y", "a tag or comment of more than 16,777,216 bytes"),
        (b"<x:T><x:p>", b"y", "a literal of more than 16,777,216 characters"),
        (
            b'<x:T><x:p rdf:parseType="Literal">',
            b"<y>" + b"z" * 9993 + b"</y>",
            "a literal of more than 16,777,216 characters",
        ),
        (b"", b"<x:T>", "more than 10,000 elements within one another"),
        (
            b'<x:T><x:p rdf:parseType="Literal">',
            b"<y>",
            "more than 10,000 elements within one another",
        ),
    ],
)
def test_what_never_ends_is_refused_in_little_time_and_memory(before, again, message):
    endless = chain([HEAD, before], repeat(again * max(1, (1 << 16) // len(again)), 1600))
    began = time.process_time()
    tracemalloc.start()
    with pytest.raises(FormatError, match=f"f:1: {message}"):
        parse_rdf(Pieces(endless), "f", ox.RdfFormat.RDF_XML, base="file:///b/f")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 << 20
    assert time.process_time() - began < 20


def test_a_prolog_that_never_ends():
    with pytest.raises(FormatError, match="f: no element within the first 1,048,576 characters"):
        parse_rdf(
            Pieces(chain([b"<!DOCTYPE r ["], repeat(b'<!ENTITY a "%s">' % (b"b" * 9999), 999))),
            "f",
            ox.RdfFormat.RDF_XML,
            base="file:///b/f",
        )


def test_a_truncated_document_is_refused(tmp_path):
    """What pyoxigraph alone takes for whole."""
    whole = START + "\n<x:T/>\n</rdf:RDF>"
    for end in (len(whole) - 1, whole.index("</"), whole.index("<x:T")):
        (tmp_path / "a.rdf").write_text(whole[:end])
        with pytest.raises(FormatError, match=r"a\.rdf:[123]: not well-formed XML"):
            read_rdf(tmp_path / "a.rdf")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<x:r>a<!-- b -->c<?d e?>f<![CDATA[<g>]]>&#104;</x:r>", "acf<g>h"),
        ('<x:r rdf:parseType="Literal"/>', ""),
        ('<x:r rdf:parseType="other"><b/></x:r>', "<b></b>"),
        (
            '<x:r rdf:parseType="Literal">a<!--b--><x:c d="&quot;&#10;"><x:e/></x:c><?f g?>&lt;</x:r>',
            'a<!--b--><x:c xmlns:x="x:" d="&quot;&#xA;"><x:e></x:e></x:c><?f g?>&lt;',
        ),
        (
            '<x:r rdf:parseType="Literal"><b xmlns="y:"><c xmlns=""/></b></x:r>',
            '<b xmlns="y:"><c xmlns=""></c></b>',
        ),
        (
            '<x:r rdf:parseType="Literal"><x:b/><x:b/></x:r>',
            '<x:b xmlns:x="x:"></x:b><x:b xmlns:x="x:"></x:b>',
        ),
    ],
)
def test_literals_are_what_xml_says_they_are(body, expected):
    assert said(START + f'<rdf:Description rdf:about="x:a">{body}</rdf:Description></rdf:RDF>') == [
        expected
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<x:r rdf:type="x:T"/>', {("x:a", "x:r", "_:b0")}),
        ('<x:r resource="x:b"/>', {("x:a", "x:r", "x:b")}),
        ('<x:r xml:base="d/" rdf:resource="e"/>', {("x:a", "x:r", "file:///b/d/e")}),
        (
            '<x:r xml:base="http://e/d/f"><rdf:Description xml:base="../" rdf:about="g"/></x:r>',
            {("x:a", "x:r", "http://e/g")},
        ),
        ('<x:r xmlfoo="a" xml:bar="b" rdf:resource="x:b"/>', {("x:a", "x:r", "x:b")}),
    ],
)
def test_what_pyoxigraph_alone_reads_otherwise(body, expected):
    document = START + f'<rdf:Description rdf:about="x:a">{body}</rdf:Description></rdf:RDF>'
    facts = parse_rdf(io.BytesIO(document.encode()), "f", ox.RdfFormat.RDF_XML, base="file:///b/f")
    terms = list(facts.terms)
    assert {
        (terms[h], terms[r], terms[t])
        for h, r, t in zip(facts.head, facts.relation, facts.tail, strict=True)
    } == expected


def test_languages_end_where_they_are_taken_back():
    body = '<x:r>a</x:r><x:r xml:lang="">b</x:r><x:s rdf:parseType="Resource" xml:lang=""><x:r>c</x:r><x:r xml:lang="de">d</x:r></x:s>'
    document = (
        START + f'<rdf:Description rdf:about="x:a" xml:lang="en">{body}</rdf:Description></rdf:RDF>'
    )
    facts = parse_rdf(io.BytesIO(document.encode()), "f", ox.RdfFormat.RDF_XML, base="file:///b/f")
    told = facts.attributes.select("value", "language", "datatype").rows()
    string = "http://www.w3.org/2001/XMLSchema#string"
    assert {row[:2] for row in told} == {("a", "en"), ("b", ""), ("c", ""), ("d", "de")}
    assert {row[2] for row in told if not row[1]} == {string}


@pytest.mark.parametrize(
    "body",
    [
        '<rdf:Description rdf:about="x:a" rdf:bagID="b"/>',
        '<rdf:Description rdf:about="x:a" rdf:parseType="Literal"/>',
        '<rdf:Description rdf:about="x:a" rdf:resource="x:b"/>',
        '<rdf:Description rdf:about="x:a" rdf:datatype="x:b"/>',
        '<rdf:Description rdf:about="x:a" rdf:Description="b"/>',
        '<rdf:Description rdf:about="x:a"><x:r rdf:about="x:b"/></rdf:Description>',
        '<rdf:Description rdf:about="x:a"><x:r rdf:bagID="b">c</x:r></rdf:Description>',
        '<rdf:Description rdf:about="x:a"><x:r rdf:resource="x:b" rdf:datatype="x:c"/></rdf:Description>',
        '<rdf:Description rdf:about="x:a"><x:r rdf:parseType="Resource" x:s="b"/></rdf:Description>',
        '<rdf:Description rdf:about="x:a"><x:r rdf:parseType="Literal" rdf:resource="b">c</x:r></rdf:Description>',
        '<rdf:Description rdf:about="x:a"><x:r rdf:parseType="Literal" rdf:datatype="x:b">c</x:r></rdf:Description>',
    ],
)
def test_attributes_where_rdf_xml_allows_none(body):
    with pytest.raises(FormatError, match=r"f:2: .*, which RDF/XML does not allow"):
        said(START + "\n" + body + "</rdf:RDF>")
    with pytest.raises(FormatError, match="an attribute on rdf:RDF"):
        said(START[:-1] + ' x:r="b"></rdf:RDF>')
