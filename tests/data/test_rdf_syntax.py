"""What the grammars of RDF 1.1 allow is read, what they forbid is refused with its place;
production by production.
"""

import gzip

import pytest

from kgrec.data import native
from kgrec.data.rdf.collect import RdfOptions
from kgrec.data.rdf.reader import read_rdf
from kgrec.data.readers.triples import read_triples
from kgrec.errors import FormatError

XSD = "http://www.w3.org/2001/XMLSchema#"
PLAIN = RdfOptions(labels=())


@pytest.fixture(params=["compiled", "python"])
def either(request, monkeypatch):
    """Read once with the compiled reader and once without."""
    if request.param == "python":
        monkeypatch.setattr(native, "library", lambda: None)
    elif native.library() is None:
        pytest.skip("the compiled reader was not built")


def said(path, options=PLAIN):
    """Return what a file says, a line a statement: `head relation tail [graph]`, `head "value"`
    with its type or language.
    """
    facts = read_rdf(path, options=options)
    terms, base = list(facts.terms), path.absolute().as_uri()
    graphs = (
        [""] * len(facts.head)
        if facts.graph is None
        else [("" if g < 0 else f" {facts.graphs[int(g)]}") for g in facts.graph]
    )
    rows = [
        f"{terms[h]} {terms[r]} {terms[t]}{g}"
        for h, r, t, g in zip(facts.head, facts.relation, facts.tail, graphs, strict=True)
    ]
    rows += [f"{terms[term]} a {kind}" for term, kind in facts.types.iter_rows()]
    for term, name, value, datatype, language in facts.attributes.select(
        "term", "name", "value", "datatype", "language"
    ).iter_rows():
        rows.append(
            f'{terms[term]} {name} "{value}"'
            + (
                f"@{language}"
                if language
                else ""
                if datatype == XSD + "string"
                else f"^^{datatype}"
            )
        )
    return sorted(row.replace(base, "FILE").replace(XSD, "xsd:") for row in rows)


# Each: the text, and what it says with "x:" IRIs. Lines count from 1.
LINES = {
    "nothing": ("", []),
    "a comment": ("# only this", []),
    "a comment and empty lines": ("\n# x\n\n \t\n", []),
    "IRIs": ("<x:a> <x:r> <x:b> .\n", ["x:a x:r x:b"]),
    "no white space": ("<x:a><x:r><x:b>.\n", ["x:a x:r x:b"]),
    "tabs and spaces": ("\t <x:a>\t\t<x:r>  <x:b>\t.\t\n", ["x:a x:r x:b"]),
    "a comment behind": (
        "<x:a> <x:r> <x:b> . # x\n<x:a> <x:r> <x:c> .#\n",
        ["x:a x:r x:b", "x:a x:r x:c"],
    ),
    "no line end at the end": ("<x:a> <x:r> <x:b> .", ["x:a x:r x:b"]),
    "CR LF": ("<x:a> <x:r> <x:b> .\r\n<x:a> <x:r> <x:c> .\r\n", ["x:a x:r x:b", "x:a x:r x:c"]),
    "CR": ("<x:a> <x:r> <x:b> .\r<x:a> <x:r> <x:c> .\r", ["x:a x:r x:b", "x:a x:r x:c"]),
    "a byte-order mark": ("\ufeff<x:a> <x:r> <x:b> .\n", ["x:a x:r x:b"]),
    "escapes in an IRI": ("<x:\\u0061\\U00000062> <x:r> <x:b> .\n", ["x:ab x:r x:b"]),
    "an IRI beyond ASCII": (
        "<http://例え/é?ü#ß> <x:r> <x:\U0001f600> .\n",
        ["http://例え/é?ü#ß x:r x:\U0001f600"],
    ),
    "schemes and ports": (
        "<a+b-c.d:e> <x:r> <http://u@e.org:80/a;b,c='(*)!$&?d=%41#f> .\n",
        ["a+b-c.d:e x:r http://u@e.org:80/a;b,c='(*)!$&?d=%41#f"],
    ),
    "an IP address": (
        "<http://[::1]:8080/> <x:r> <file:///a> .\n",
        ["http://[::1]:8080/ x:r file:///a"],
    ),
    "blank nodes": ("_:a <x:r> _:b .\n_:a <x:r> <x:b> .\n", ["_:b0 x:r _:b1", "_:b0 x:r x:b"]),
    "labels of blank nodes": (
        "_:0 <x:r> _:a.b .\n_:a-1 <x:r> _:_ .\n_:é <x:r> _:x .\n",
        ["_:b0 x:r _:b1", "_:b2 x:r _:b3", "_:b4 x:r _:b5"],
    ),
    "a blank node before the point": ("<x:a> <x:r> _:b.\n", ["x:a x:r _:b0"]),
    "text": ('<x:a> <x:r> "b" .\n', ['x:a x:r "b"']),
    "empty text": ('<x:a> <x:r> "" .\n', ['x:a x:r ""']),
    "text beyond ASCII": ('<x:a> <x:r> "é漢\U0001f600" .\n', ['x:a x:r "é漢\U0001f600"']),
    "named escapes": (r'<x:a> <x:r> "\t\b\n\r\f\"\'\\" .' + "\n", ['x:a x:r "\t\b\n\r\f"\'\\"']),
    "numbered escapes": (
        r'<x:a> <x:r> "\u00e9\u20AC\U0001F600\u0000" .' + "\n",
        ['x:a x:r "é€\U0001f600\0"'],
    ),
    "control characters": ('<x:a> <x:r> "\0\t\x0b\x1f\x7f" .\n', ['x:a x:r "\0\t\x0b\x1f\x7f"']),
    "backslashes before the quote": (
        r'<x:a> <x:r> "\\" .' + "\n" + r'<x:a> <x:s> "\\\"" .' + "\n",
        ['x:a x:r "\\"', 'x:a x:s "\\""'],
    ),
    "languages": (
        '<x:a> <x:r> "b"@en .\n<x:a> <x:r> "b"@en-US .\n<x:a> <x:r> "b"@zh-Hant-TW .\n<x:a> <x:r> "b"@es-419 .\n<x:a> <x:r> "b"@DE.\n',
        [
            'x:a x:r "b"@de',
            'x:a x:r "b"@en',
            'x:a x:r "b"@en-us',
            'x:a x:r "b"@es-419',
            'x:a x:r "b"@zh-hant-tw',
        ],
    ),
    "datatypes": (
        f'<x:a> <x:r> "1"^^<{XSD}integer> .\n<x:a> <x:r> "x"^^<{XSD}integer> .\n'
        f'<x:a> <x:r> "b"^^<{XSD}string> .\n<x:a> <x:r> "c"^^<x:t> .\n',
        ['x:a x:r "1"^^xsd:integer', 'x:a x:r "b"', 'x:a x:r "c"^^x:t', 'x:a x:r "x"^^xsd:integer'],
    ),
    "classes": ("<x:a> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <x:T> .\n", ["x:a a x:T"]),
}
GRAPHS = {
    "a graph": (
        "<x:a> <x:r> <x:b> <x:g> .\n<x:a> <x:r> <x:c> .\n",
        ["x:a x:r x:b x:g", "x:a x:r x:c"],
    ),
    "a blank graph": (
        "_:g <x:r> <x:b> _:g .\n<x:a> <x:r> <x:b> _:h .\n",
        ["_:b0 x:r x:b _:b0", "x:a x:r x:b _:b1"],
    ),
    "a literal in a graph": ('<x:a> <x:r> "b"@en <x:g> .\n', ['x:a x:r "b"@en']),
    "a graph without white space": ("<x:a><x:r><x:b><x:g>.#\n", ["x:a x:r x:b x:g"]),
}
PREFIXED = "@prefix : <x:> .\n@prefix x: <x:> .\n"
TURTLE = {
    "nothing": ("", []),
    "a comment": ("# only this", []),
    "directives": (
        "@prefix p: <x:> . @base <http://e/d/> . p:a p:r <b> , <../c> , <#d> , <?e> , </f> .",
        [
            "x:a x:r http://e/c",
            "x:a x:r http://e/d/#d",
            "x:a x:r http://e/d/?e",
            "x:a x:r http://e/d/b",
            "x:a x:r http://e/f",
        ],
    ),
    "SPARQL's directives": (
        "PREFIX p: <x:>\nBASE <http://e/>\np:a p:r <b> . prefix p: <y:> p:a <x:r> p:b .",
        ["x:a x:r http://e/b", "y:a x:r y:b"],
    ),
    "the file's own IRI": ("<> <x:r> <#a> .", ["FILE x:r FILE#a"]),
    "lists of predicates and objects": (
        PREFIXED + ":a :r :b , :c ; :s :d ;; .",
        ["x:a x:r x:b", "x:a x:r x:c", "x:a x:s x:d"],
    ),
    "a": (PREFIXED + ":a a :T .", ["x:a a x:T"]),
    "the empty prefix and local names": (
        PREFIXED + r"x:a.b :r x:1 , x:a\,b , x:%41 , x::c , x:é .",
        ["x:a.b x:r x:%41", "x:a.b x:r x:1", "x:a.b x:r x::c", "x:a.b x:r x:a,b", "x:a.b x:r x:é"],
    ),
    "numbers": (
        PREFIXED + ":a :r 1 , -1 , +1.5 , .5 , 1e3 , 1.E-3 .",
        [
            'x:a x:r "+1.5"^^xsd:decimal',
            'x:a x:r "-1"^^xsd:integer',
            'x:a x:r ".5"^^xsd:decimal',
            'x:a x:r "1"^^xsd:integer',
            'x:a x:r "1.E-3"^^xsd:double',
            'x:a x:r "1e3"^^xsd:double',
        ],
    ),
    "truth values": (
        PREFIXED + ":a :r true , false .",
        ['x:a x:r "false"^^xsd:boolean', 'x:a x:r "true"^^xsd:boolean'],
    ),
    "quotes": (
        PREFIXED + ":a :r \"b\" , 'c' , \"\"\"d\"e\n\"\"\" , '''f'g''' .",
        ['x:a x:r "b"', 'x:a x:r "c"', 'x:a x:r "d"e\n"', 'x:a x:r "f\'g"'],
    ),
    "languages and datatypes": (
        PREFIXED + ':a :r "b"@en-GB , "c"^^:t , """d"""@de , \'e\'^^<x:u> .',
        ['x:a x:r "b"@en-gb', 'x:a x:r "c"^^x:t', 'x:a x:r "d"@de', 'x:a x:r "e"^^x:u'],
    ),
    "anonymous nodes": (
        PREFIXED + "[] :r [ :s :b ; :t [] ] . [ :u :c ] .",
        ["_:b0 x:s x:b", "_:b0 x:t _:b1", "_:b2 x:r _:b0", "_:b3 x:u x:c"],
    ),
    "collections": (
        PREFIXED + ":a :r ( :b ) . () :s :c .",
        [
            "_:b0 http://www.w3.org/1999/02/22-rdf-syntax-ns#first x:b",
            "_:b0 http://www.w3.org/1999/02/22-rdf-syntax-ns#rest "
            "http://www.w3.org/1999/02/22-rdf-syntax-ns#nil",
            "http://www.w3.org/1999/02/22-rdf-syntax-ns#nil x:s x:c",
            "x:a x:r _:b0",
        ],
    ),
    "comments and line ends anywhere": (PREFIXED + ":a # x\r\n:r#y\r :b\n.", ["x:a x:r x:b"]),
    "the underscore prefix": ("@prefix p_1: <x:> . _:p <x:r> p_1:b .", ["_:b0 x:r x:b"]),
}
TRIG = {
    "graphs": (
        PREFIXED
        + ":g { :a :r :b . :a :r :c } GRAPH <x:h> { :a :r :d } [] { :a :r :e } _:k {} :a :r :f .",
        [
            "x:a x:r x:b x:g",
            "x:a x:r x:c x:g",
            "x:a x:r x:d x:h",
            "x:a x:r x:e _:b0",
            "x:a x:r x:f",
        ],
    ),
    "the default graph in brackets": (
        PREFIXED + "{ :a :r :b ; :s [] } {}",
        ["x:a x:r x:b", "x:a x:s _:b0"],
    ),
    "blank nodes span graphs": (
        PREFIXED + ":g { _:a :r :b } :h { _:a :r :c }",
        ["_:b0 x:r x:b x:g", "_:b0 x:r x:c x:h"],
    ),
}
HEAD = '<?xml version="1.0"?>\n<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:x="x:">\n'
TAIL = "</rdf:RDF>\n"


def document(body):
    return HEAD + body + TAIL


XML = {
    "nothing": (document(""), []),
    "nodes and properties": (
        document(
            '<rdf:Description rdf:about="x:a"><x:r rdf:resource="x:b"/><x:s>c</x:s></rdf:Description>'
        ),
        ["x:a x:r x:b", 'x:a x:s "c"'],
    ),
    "one node": (
        '<x:T rdf:about="x:a" xmlns:x="x:" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>',
        ["x:a a x:T"],
    ),
    "attributes": (document('<x:T rdf:about="x:a" x:r="b"/>'), ["x:a a x:T", 'x:a x:r "b"']),
    "nested nodes": (
        document('<x:T rdf:about="x:a"><x:r><x:U rdf:about="x:b"/></x:r></x:T>'),
        ["x:a a x:T", "x:a x:r x:b", "x:b a x:U"],
    ),
    "languages": (
        document(
            '<rdf:Description rdf:about="x:a" xml:lang="en"><x:r>b</x:r><x:r xml:lang="">c</x:r></rdf:Description>'
        ),
        ['x:a x:r "b"@en', 'x:a x:r "c"'],
    ),
    "datatypes": (
        document(
            f'<rdf:Description rdf:about="x:a"><x:r rdf:datatype="{XSD}int">1</x:r></rdf:Description>'
        ),
        ['x:a x:r "1"^^xsd:int'],
    ),
    "the file's own IRI": (
        document('<rdf:Description rdf:ID="i"><x:r rdf:resource=""/></rdf:Description>'),
        ["FILE#i x:r FILE"],
    ),
    "a base": (
        document(
            '<rdf:Description xml:base="http://e/d/" rdf:about="../a"><x:r rdf:resource="b"/></rdf:Description>'
        ),
        ["http://e/a x:r http://e/d/b"],
    ),
    "blank nodes": (
        document(
            '<rdf:Description rdf:nodeID="n"><x:r rdf:parseType="Resource"><x:s>c</x:s></x:r></rdf:Description>'
        ),
        ["_:b0 x:r _:b1", '_:b1 x:s "c"'],
    ),
    "markup as text": (
        document(
            '<rdf:Description rdf:about="x:a"><x:r rdf:parseType="Literal"><b>c</b></x:r></rdf:Description>'
        ),
        ['x:a x:r "<b>c</b>"^^http://www.w3.org/1999/02/22-rdf-syntax-ns#XMLLiteral'],
    ),
    "members": (
        document('<rdf:Seq rdf:about="x:a"><rdf:li rdf:resource="x:b"/></rdf:Seq>'),
        [
            "x:a a http://www.w3.org/1999/02/22-rdf-syntax-ns#Seq",
            "x:a http://www.w3.org/1999/02/22-rdf-syntax-ns#_1 x:b",
        ],
    ),
    "CDATA and numbered characters": (
        document(
            '<rdf:Description rdf:about="x:a"><x:r><![CDATA[<&]]>&#233;&lt;</x:r></rdf:Description>'
        ),
        ['x:a x:r "<&é<"'],
    ),
    "comments and instructions": (
        "<!-- <a> -->\n<?x y?>\n"
        + document("<!-- b --><?z?>").removeprefix('<?xml version="1.0"?>\n'),
        [],
    ),
    "flat entities": (
        '<?xml version="1.0"?>\n<!-- c --><!DOCTYPE rdf:RDF [\n  <!ENTITY e "x:">\n<!ENTITY a \'&#233;&amp;&#38;lt;"\'><!-- d --><?e f?>\n'
        '  <!ELEMENT x (y|z)><!ATTLIST x y CDATA ">">]>\n'
        + document(
            '<rdf:Description rdf:about="&e;a"><x:r rdf:resource="&e;b"/><x:s>&a;<![CDATA[&a;]]><!-- &a; --></x:s></rdf:Description>'
        ).removeprefix('<?xml version="1.0"?>\n'),
        ["x:a x:r x:b", 'x:a x:s "é&<"&a;"'],
    ),
    "a declaration without entities": (
        "<!DOCTYPE rdf:RDF>" + document("").removeprefix('<?xml version="1.0"?>\n'),
        [],
    ),
}
JSONLD = {
    "nothing": ("[]", []),
    "an object": (
        '{"@id": "x:a", "x:r": {"@id": "x:b"}, "x:s": ["c", {"@value": "d", "@language": "en"}]}',
        ["x:a x:r x:b", 'x:a x:s "c"', 'x:a x:s "d"@en'],
    ),
    "a context": (
        '{"@context": {"r": {"@id": "x:r", "@type": "@id"}, "e": "http://e/"}, "@id": "e:a", "r": "e:b"}',
        ["http://e/a x:r http://e/b"],
    ),
    "types": ('{"@id": "x:a", "@type": "x:T"}', ["x:a a x:T"]),
    "graphs": (
        '{"@id": "x:g", "@graph": [{"@id": "x:a", "x:r": {"@id": "x:b"}}]}',
        ["x:a x:r x:b x:g"],
    ),
    "numbers": (
        '{"@id": "x:a", "x:r": [1, 1.5, true]}',
        ['x:a x:r "1"^^xsd:integer', 'x:a x:r "1.5E0"^^xsd:double', 'x:a x:r "true"^^xsd:boolean'],
    ),
    "the file's own IRI": ('{"@id": "", "x:r": {"@id": "#b"}}', ["FILE x:r FILE#b"]),
    "blank nodes": ('{"x:r": {"x:s": "c"}}', ["_:b0 x:r _:b1", '_:b1 x:s "c"']),
    "an array of objects": (
        '[{"@id": "x:a", "x:r": "b"}, {"@id": "x:b", "x:r": "c"}]',
        ['x:a x:r "b"', 'x:b x:r "c"'],
    ),
}
POSITIVE = {
    "nt": LINES,
    "nq": LINES | GRAPHS,
    "ttl": TURTLE,
    "trig": TURTLE | TRIG,
    "rdf": XML,
    "jsonld": JSONLD,
}


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize(
    ("suffix", "name"), [(suffix, name) for suffix, texts in POSITIVE.items() for name in texts]
)
def test_what_the_grammar_allows_is_read(tmp_path, suffix, name):
    text, expected = POSITIVE[suffix][name]
    (tmp_path / f"a.{suffix}").write_bytes(text.encode())
    assert said(tmp_path / f"a.{suffix}") == sorted(expected)
    read_triples(str(tmp_path / f"a.{suffix}"))


# Each: the text, and the line at fault; a good statement stands before and behind where the syntax
# allows.
GOOD = "<x:a> <x:r> <x:b> .\n"
BAD_LINES = {
    "a relative IRI": "<a> <x:r> <x:b> .",
    "a relative predicate": "<x:a> <r> <x:b> .",
    "a relative object": "<x:a> <x:r> <b> .",
    "a relative datatype": '<x:a> <x:r> "1"^^<t> .',
    "a space in an IRI": "<x:a b> <x:r> <x:b> .",
    "an escaped space in an IRI": "<x:a\\u0020b> <x:r> <x:b> .",
    "a named escape in an IRI": "<x:a\\n> <x:r> <x:b> .",
    "half an escape in an IRI": "<x:a\\u00> <x:r> <x:b> .",
    "a bracket in an IRI": "<x:a{b}> <x:r> <x:b> .",
    "a bar in an IRI": "<x:a|b> <x:r> <x:b> .",
    "two fragments": "<x:a#b#c> <x:r> <x:b> .",
    "a broken percent sign": "<x:a%4> <x:r> <x:b> .",
    "a broken port": "<http://e:8x/> <x:r> <x:b> .",
    "an empty IRI": "<> <x:r> <x:b> .",
    "an open IRI": "<x:a <x:r> <x:b> .",
    "an IRI that never ends": "<x:a> <x:r> <x:b",
    "a literal as subject": '"a" <x:r> <x:b> .',
    "a literal as predicate": '<x:a> "r" <x:b> .',
    "a blank predicate": "<x:a> _:r <x:b> .",
    "no object": "<x:a> <x:r> .",
    "no predicate": "<x:a> .",
    "no point": "<x:a> <x:r> <x:b>",
    "two points": "<x:a> <x:r> <x:b> . .",
    "a list of objects": "<x:a> <x:r> <x:b> , <x:c> .",
    "a list of predicates": "<x:a> <x:r> <x:b> ; <x:s> <x:c> .",
    "two statements": "<x:a> <x:r> <x:b> . <x:a> <x:r> <x:c> .",
    "a directive": "@prefix x: <x:> .",
    "a base": "@base <x:> .",
    "a prefixed name": "x:a <x:r> <x:b> .",
    "a number": "<x:a> <x:r> 1 .",
    "a truth value": "<x:a> <x:r> true .",
    "the word a": "<x:a> a <x:b> .",
    "single quotes": "<x:a> <x:r> 'b' .",
    "three quotes": '<x:a> <x:r> """b""" .',
    "open text": '<x:a> <x:r> "b .',
    "text that ends in a backslash": '<x:a> <x:r> "b\\" .',
    "an unknown escape": '<x:a> <x:r> "\\a" .',
    "half an escape": '<x:a> <x:r> "\\u12" .',
    "half a long escape": '<x:a> <x:r> "\\U0000004" .',
    "half a pair": '<x:a> <x:r> "\\ud800" .',
    "beyond Unicode": '<x:a> <x:r> "\\U00110000" .',
    "an empty language": '<x:a> <x:r> "b"@ .',
    "a language that is a number": '<x:a> <x:r> "b"@1 .',
    "a language with an underscore": '<x:a> <x:r> "b"@en_US .',
    "a language with a long part": '<x:a> <x:r> "b"@en-abcdefghij .',
    "one caret": '<x:a> <x:r> "b"^<x:t> .',
    "a blank datatype": '<x:a> <x:r> "b"^^_:t .',
    "a language's datatype without a language": '<x:a> <x:r> "b"^^<http://www.w3.org/1999/02/22-rdf-syntax-ns#langString> .',
    "a blank node without a label": "_: <x:r> <x:b> .",
    "a label that begins with a hyphen": "_:-a <x:r> <x:b> .",
    "a label with a colon": "_:a:b <x:r> <x:b> .",
    "a vertical tab between": "<x:a>\x0b<x:r> <x:b> .",
    "a no-break space between": "<x:a>\xa0<x:r> <x:b> .",
    "another kind of line": "hello",
}
ONLY_TRIPLES = {"a graph": "<x:a> <x:r> <x:b> <x:g> ."}
ONLY_QUADS = {
    "a relative graph": "<x:a> <x:r> <x:b> <g> .",
    "a literal as graph": '<x:a> <x:r> <x:b> "g" .',
    "five terms": "<x:a> <x:r> <x:b> <x:g> <x:h> .",
}
BAD_BYTES = {
    "a byte that is not UTF-8": b'<x:a> <x:r> "\xff" .',
    "a character cut short": b'<x:a> <x:r> "\xc3" .',
    "a surrogate": b'<x:a> <x:r> "\xed\xa0\x80" .',
    "a longer form than need be": b'<x:a> <x:r> "\xc0\x80" .',
    "beyond Unicode in bytes": b'<x:a> <x:r> "\xf4\x90\x80\x80" .',
    "not UTF-8 in an IRI": b"<x:\xff> <x:r> <x:b> .",
}


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("suffix", ["nt", "nq"])
@pytest.mark.parametrize("line", list(BAD_LINES.values()) + list(BAD_BYTES.values()))
def test_a_line_that_the_grammar_forbids_is_named(tmp_path, suffix, line):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(
        GOOD.encode() + (line if isinstance(line, bytes) else line.encode()) + b"\n" + GOOD.encode()
    )
    with pytest.raises(FormatError, match=rf"a\.{suffix}:2: ") as caught:
        read_triples(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("suffix", ["nt", "nq"])
@pytest.mark.parametrize(
    "bad",
    [[line.encode() for line in BAD_LINES.values()], list(BAD_BYTES.values())],
    ids=["lines", "bytes"],
)
def test_lines_that_the_grammar_forbids_are_skipped_and_those_between_are_kept(
    tmp_path, suffix, bad
):
    path = tmp_path / f"a.{suffix}"
    good = [f"<x:a> <x:r> <x:b{n}> .".encode() for n in range(len(bad))]
    path.write_bytes(b"".join(b"%b\n%b\n" % both for both in zip(good, bad, strict=True)))
    kept = read_triples(str(path), on_error="skip")
    assert len(kept) == len(good)
    lines = [one for one in kept.dropped if one.what == "lines"]
    assert sum(one.count for one in lines) == len(bad)
    places = [place for one in lines for place in one.where]
    assert places
    assert places == [f"{path}:{2 * at}" for at in range(1, len(places) + 1)]


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize(
    ("suffix", "line"),
    [("nt", line) for line in ONLY_TRIPLES.values()]
    + [("nq", line) for line in ONLY_QUADS.values()],
)
def test_graphs_stand_only_where_they_may(tmp_path, suffix, line):
    path = tmp_path / f"a.{suffix}"
    path.write_text(GOOD + line + "\n" + GOOD)
    with pytest.raises(FormatError, match=rf"a\.{suffix}:2: "):
        read_triples(str(path))


BAD_TURTLE = {
    "an unknown prefix": (":a <x:r> <x:b> .", 1),
    "an unknown prefix below": (PREFIXED + ":a :r y:b .", 3),
    "no point": (PREFIXED + ":a :r :b\n:c :r :d .", 4),
    "no point at the end": (PREFIXED + ":a :r :b", 3),
    "no object": (PREFIXED + ":a :r .", 3),
    "no predicate": (PREFIXED + ":a .", 3),
    "a literal as subject": (PREFIXED + '"a" :r :b .', 3),
    "a literal as predicate": (PREFIXED + ':a "r" :b .', 3),
    "a blank predicate": (PREFIXED + ":a [] :b .", 3),
    "a as subject": (PREFIXED + "a :r :b .", 3),
    "a as object": (PREFIXED + ":a :r a .", 3),
    "a space in an IRI": ("<x:a b> <x:r> <x:b> .", 1),
    "an escaped space in an IRI": ("<x:a\\u0020b> <x:r> <x:b> .", 1),
    "a directive without a point": ("@prefix x: <x:>\nx:a x:r x:b .", 2),
    "SPARQL's directive with a point": ("PREFIX x: <x:> .\nx:a x:r x:b .", 1),
    "a prefix without a colon": ("@prefix x <x:> .", 1),
    "a directive in capitals": ("@PREFIX x: <x:> .", 1),
    "a directive of N3": ("@keywords a .", 1),
    "a formula of N3": (PREFIXED + "{ :a :r :b } :s :c .", 3),
    "an arrow of N3": (PREFIXED + ":a => :b .", 3),
    "a path of N3": (PREFIXED + ":a!:b :r :c .", 3),
    "open text": (PREFIXED + ':a :r "b .', 3),
    "a line end in text": (PREFIXED + ':a :r "b\nc" .', 3),
    "an unknown escape": (PREFIXED + ':a :r "\\z" .', 3),
    "half a pair": (PREFIXED + ':a :r "\\uD800" .', 3),
    "a broken language": (PREFIXED + ':a :r "b"@1 .', 3),
    "a broken number": (PREFIXED + ":a :r 1e .", 3),
    "a sign alone": (PREFIXED + ":a :r + .", 3),
    "an open collection": (PREFIXED + ":a :r ( :b .", 3),
    "an open anonymous node": (PREFIXED + ":a :r [ :s :b .", 3),
    "a closed one too many": (PREFIXED + ":a :r :b ] .", 3),
    "a local name with a bad escape": (PREFIXED + ":a\\b :r :c .", 3),
    "a local name with half a percent sign": (PREFIXED + ":a%4 :r :c .", 3),
    "a local name that begins with a hyphen": (PREFIXED + ":-a :r :b .", 3),
    "a comma without an object": (PREFIXED + ":a :r :b , .", 3),
    "a semicolon first": (PREFIXED + ":a ; :r :b .", 3),
    "a literal with a blank datatype": (PREFIXED + ':a :r "b"^^_:t .', 3),
}
NOT_TURTLE = {
    "a graph": (PREFIXED + ":g { :a :r :b }", 3),
    "the word graph": (PREFIXED + "GRAPH :g { :a :r :b }", 3),
}
BAD_TRIG = {
    "an open graph": (PREFIXED + ":g { :a :r :b .", 3),
    "a graph in a graph": (PREFIXED + ":g { :h { :a :r :b } }", 3),
    "a literal as graph": (PREFIXED + '"g" { :a :r :b }', 3),
    "a collection as graph": (PREFIXED + "( :g ) { :a :r :b }", 3),
    "a point behind a graph": (PREFIXED + ":g { :a :r :b } .", 3),
    "the word graph without a name": (PREFIXED + "GRAPH { :a :r :b }", 3),
    "a directive in a graph": (PREFIXED + ":g { @prefix y: <y:> . :a :r :b }", 3),
}
NEGATIVE = {
    "ttl": BAD_TURTLE | NOT_TURTLE,
    "trig": {k: v for k, v in BAD_TURTLE.items() if "formula" not in k} | BAD_TRIG,
}


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize(
    ("suffix", "name"), [(suffix, name) for suffix, texts in NEGATIVE.items() for name in texts]
)
def test_what_the_grammar_of_turtle_forbids_is_refused(tmp_path, suffix, name):
    text, line = NEGATIVE[suffix][name]
    (tmp_path / f"a.{suffix}").write_bytes(text.encode())
    with pytest.raises(
        FormatError, match=rf"a\.{suffix}:{line}: not valid (Turtle|TriG): ."
    ) as caught:
        read_triples(str(tmp_path / f"a.{suffix}"))
    assert "\n" not in str(caught.value)
    with pytest.raises(FormatError, match="Only N-Triples and N-Quads can go on"):
        read_triples(str(tmp_path / f"a.{suffix}"), on_error="skip")


ABOUT = '<rdf:Description rdf:about="x:a">'
BAD_XML = {
    "an element left open": document(ABOUT),
    "elements that overlap": document(ABOUT + "<x:r></rdf:Description></x:r>"),
    "an unknown prefix": document(ABOUT + "<y:r>b</y:r></rdf:Description>"),
    "no namespace": '<a><b rdf:about="x:a"/></a>',
    "a node called li": document("<rdf:li/>"),
    "a node called RDF": document("<rdf:RDF/>"),
    "a node called resource": document('<rdf:resource rdf:about="x:a"/>'),
    "an ID that is no name": document('<rdf:Description rdf:ID="1a"/>'),
    "an ID twice": document('<rdf:Description rdf:ID="a"/><rdf:Description rdf:ID="a"/>'),
    "a node ID that is no name": document('<rdf:Description rdf:nodeID="a b"/>'),
    "two names": document('<rdf:Description rdf:about="x:a" rdf:ID="b"/>'),
    "a name and a node ID": document('<rdf:Description rdf:about="x:a" rdf:nodeID="b"/>'),
    "a resource and text": document(ABOUT + '<x:r rdf:resource="x:b">c</x:r></rdf:Description>'),
    "a resource and a literal": document(
        ABOUT + '<x:r rdf:resource="x:b" rdf:parseType="Literal"/></rdf:Description>'
    ),
    "aboutEach": document('<rdf:Description rdf:aboutEach="x:a"/>'),
    "bagID": document('<rdf:Description rdf:about="x:a" rdf:bagID="b"/>'),
    "li as an attribute": document('<rdf:Description rdf:about="x:a" rdf:li="b"/>'),
    "two nodes in a property": document(
        ABOUT + "<x:r><rdf:Description/><rdf:Description/></x:r></rdf:Description>"
    ),
    "text between nodes": document("b"),
    "an IRI with a space": document(
        '<rdf:Description rdf:about="x:a b"><x:r>c</x:r></rdf:Description>'
    ),
    "an unknown entity": document(ABOUT + "<x:r>&e;</x:r></rdf:Description>"),
    "an attribute twice": document('<rdf:Description rdf:about="x:a" rdf:about="x:b"/>'),
    "an attribute without quotes": document("<rdf:Description rdf:about=x:a/>"),
    "only a declaration": '<?xml version="1.0"?>',
    "an unknown encoding": '<?xml version="1.0" encoding="klingon"?>'
    + document("").partition("\n")[2],
}


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("name", BAD_XML)
def test_what_the_grammar_of_xml_forbids_is_refused(tmp_path, name):
    (tmp_path / "a.rdf").write_text(BAD_XML[name])
    with pytest.raises(FormatError, match=r"a\.rdf(:\d+)?: .") as caught:
        read_triples(str(tmp_path / "a.rdf"))
    assert "\n" not in str(caught.value)


BAD_JSONLD = {
    "an open object": ('{"@id": "x:a"', 1),
    "an open text": ('{"@id": "x:a', 1),
    "a comma too many": ('{"@id": "x:a",\n}', 2),
    "no JSON": ("{x}", 1),
    "a remote context": ('{"@id": "x:a",\n"@context": "http://e/c.jsonld", "r": "b"}', 2),
    "one of several contexts remote": (
        '{\n"@context": [{"r": "x:r"}, "http://e/c"], "@id": "x:a", "r": "b"}',
        0,
    ),
    "a number as ID": ('{"@id": 5}', 0),
    "a number as language": ('{"@id": "x:a", "x:r": {"@value": "b", "@language": 5}}', 0),
    "a value with a list": ('{"@id": "x:a", "x:r": {"@value": ["b"]}}', 0),
    "a term that is no IRI": ('{"@context": {"r": 5}, "@id": "x:a"}', 0),
    "a keyword as term": ('{"@context": {"@type": "x:t"}, "@id": "x:a"}', 0),
    "an unknown direction of a container": (
        '{"@context": {"r": {"@id": "x:r", "@container": "@bag"}}, "@id": "x:a", "r": "b"}',
        0,
    ),
}


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("name", BAD_JSONLD)
def test_what_json_ld_forbids_is_refused(tmp_path, name):
    text, line = BAD_JSONLD[name]
    (tmp_path / "a.jsonld").write_text(text)
    with pytest.raises(
        FormatError, match=rf"a\.jsonld:{line}: ." if line else r"a\.jsonld(:\d+)?: ."
    ) as caught:
        read_triples(str(tmp_path / "a.jsonld"))
    assert "\n" not in str(caught.value)
    if "remote" in name:
        assert "kgrec fetches nothing" in str(caught.value)


@pytest.mark.parametrize("suffix", POSITIVE)
def test_the_name_of_the_file_is_no_part_of_what_it_says(tmp_path, suffix):
    """A file of another name, or compressed, says the same, but for its own IRI."""
    for name, (text, expected) in POSITIVE[suffix].items():
        if "own IRI" in name or not expected:
            continue
        (tmp_path / "b").write_bytes(gzip.compress(text.encode(), 1))
        if suffix != "jsonld" or "@" in text:
            assert said(tmp_path / "b") == sorted(expected), name
