"""The two readers of N-Triples and N-Quads, compiled and in Python, say the same of any text, and
what pyoxigraph says of the whole.
"""

import io
import os
import re

import numpy as np
import pyoxigraph as ox
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shares import share

from kgrec.data import native
from kgrec.data.rdf import ntriples
from kgrec.data.rdf.collect import RdfOptions
from kgrec.data.rdf.ntriples import read_lines
from kgrec.errors import FormatError

TRIPLES, QUADS = ntriples.FORMATS
COMPILED = native.library()
LABEL, TYPE = (
    "http://www.w3.org/2000/01/rdf-schema#label",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#type",
)

needs_compiled = pytest.mark.skipif(COMPILED is None, reason="the compiled reader was not built")


def told(data, format, options, compiled):
    """Return all that a reader says of some bytes, or its error."""
    before = native.library
    native.library = lambda: COMPILED if compiled else None
    try:
        facts = read_lines(io.BytesIO(data), "f", format, options)
    except FormatError as error:
        return str(error)
    finally:
        native.library = before
    columns = {
        name: getattr(facts, name).tolist() for name in ("head", "relation", "tail", "locator")
    }
    graph = None if facts.graph is None else facts.graph.tolist()
    frames = [
        facts.labels.rows(),
        facts.types.rows(),
        facts.attributes.select(sorted(facts.attributes.columns)).rows(),
    ]
    return (
        list(facts.terms),
        columns,
        graph,
        facts.graphs.to_list(),
        frames,
        facts.dropped,
        dict(facts.counts),
    )


IRIS = st.one_of(
    st.sampled_from(
        [
            "x:a",
            "x:b",
            "x:r",
            LABEL,
            TYPE,
            "http://e/a",
            "http://é/ü?q=ä#f",
            "http://e/%41",
            "http://e:80/",
            "urn:isbn:1",
            "x://",
        ]
    ),
    st.sampled_from(
        [
            "x:a",
            "x:b",
            "x:r",
            "http://e/a",
            "http://e/b",
            "a+b-c.d:e",
            "http://e/'(*)!$&;=,@",
            "http://e/\xa0",
            "http://u@e/",
        ]
    ),
    st.sampled_from(
        [
            "http://e/%zz",
            "http://e/a b",
            "a",
            "",
            "http://e:80x/",
            "http://[::1]/",
            "http://e/[",
            "http://e/#a#b",
            "1a:b",
            "en",
        ]
    ),
    st.sampled_from(
        [
            "http://e/\\u00e9",
            "http://e/\\u0020",
            "http://e/|",
            "http://e/\ue000",
            "http://e/?\ue000",
            "http://e/\U0001f600",
        ]
    ),
    st.sampled_from(
        [
            "_:b0",
            "http://e/<",
            'http://e/"',
            "//e/",
            "http://e/\x7f",
            "http://e/\x80",
            "http://e:12345/",
            "http://e/\ufdd0",
        ]
    ),
)
LABELS = st.sampled_from(
    ["a", "b", "b0", "_", "a.b", "a.", "-a", "1", "é", "a-b", "a:b", "", "a..b", "\xb7a"]
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            "x",
            "a\\tb",
            "\\u0041",
            "\\U0001F600",
            "\\uD800",
            "\\x",
            "é",
            "\t",
            "\0",
            "\r",
            "a\\\\",
            '\\"q\\"',
            "\\",
            "\x7f",
        ]
    ),
    st.sampled_from(
        ["\uffff", "a\\u00e9\\n\\r\\b\\f\\'", "\\u12", "\\U00110000", "\\u0000", "\\ud83d\\ude00"]
    ),
    st.text(max_size=6),
)
TAGS = st.sampled_from(
    [
        "@en",
        "@EN",
        "@en-US",
        "@e",
        "@english",
        "@en-419",
        "@en-a",
        "@en-",
        "@1",
        "@en--ltr",
        "@zh-Hant-TW",
        "@x-private",
        "@i-klingon",
        "@",
    ]
    + [
        f"^^<{ox.NamedNode(LABEL).value}>",
        "^^<x:t>",
        "^^<t>",
        "^^x:t",
        "^<x:t>",
        " @en",
        " ^^<x:t>",
        "^^ <x:t>",
        "@en_US",
        "@abcdefghi",
    ]
    + [f"^^<{TYPE.replace('type', name)}>" for name in ("langString", "dirLangString")]
    + [
        "^^<http://www.w3.org/2001/XMLSchema#string>",
        "^^<http://www.w3.org/2001/XMLSchema#int>",
        "",
    ]
)
NODES = st.one_of(IRIS.map("<{}>".format), IRIS.map("<{}>".format), LABELS.map("_:{}".format))
LITERALS = st.builds('"{}"{}'.format, TEXTS, TAGS)
OBJECTS = st.one_of(NODES, LITERALS, st.builds("<<( {} <x:p> {} )>>".format, NODES, NODES))
SPACE = st.sampled_from([" ", " ", " ", "", "\t", "  ", "\x0b", "\xa0"])
STATEMENTS = st.builds(
    "".join,
    st.tuples(
        *(
            NODES,
            SPACE,
            IRIS.map("<{}>".format),
            SPACE,
            OBJECTS,
            SPACE,
            st.one_of(st.just(""), NODES.map("{} ".format)),
        ),
        st.sampled_from([".", ".", ".", ".", "", ". .", ";", ".#", ". # c", ".x", ". # é", ".\t"]),
    ),
)
LINES = st.one_of(
    STATEMENTS,
    STATEMENTS,
    st.sampled_from(["", "# c", "#é", " ", "#\0", "@prefix x: <x:> ."]),
    st.text(max_size=8),
)
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\n\n"])
DOCUMENTS = st.builds(
    lambda lines, cut: "".join(line + end for line, end in lines).encode("utf-8", "surrogatepass")[
        : None if cut else -1
    ],
    st.lists(st.tuples(LINES, ENDS), max_size=6),
    st.booleans(),
)
OPTIONS = st.fixed_dictionaries(
    dict(
        language=st.sampled_from(["en", "de", "EN"]),
        labels=st.sampled_from([(LABEL,), ("x:r", LABEL), ()]),
        predicates=st.sampled_from([(), ("x:",), ("http://e/", "x:r")]),
        without_predicates=st.sampled_from([(), ("x:r",), ("http://www.w3.org/",)]),
        namespaces=st.sampled_from([(), ("http://",), ("x:",)]),
        without_namespaces=st.sampled_from([(), ("x:a", "urn:")]),
        blank=st.sampled_from(["keep", "drop"]),
        keep_lines=st.booleans(),
        on_error=st.sampled_from(["stop", "skip"]),
    )
)


@needs_compiled
@settings(max_examples=share(400))
@given(data=DOCUMENTS, format=st.sampled_from(ntriples.FORMATS), options=OPTIONS)
def test_both_readers_say_the_same(data, format, options):
    assert told(data, format, RdfOptions(**options), compiled=True) == told(
        data, format, RdfOptions(**options), compiled=False
    )


@needs_compiled
@settings(max_examples=200)
@given(data=st.binary(max_size=60), format=st.sampled_from(ntriples.FORMATS), options=OPTIONS)
def test_both_readers_say_the_same_of_any_bytes(data, format, options):
    good = b"<x:a> <x:r> <x:b> .\n"
    whole = good + data + b"\n" + good
    assert told(whole, format, RdfOptions(**options), compiled=True) == told(
        whole, format, RdfOptions(**options), compiled=False
    )


@settings(max_examples=200)
@given(data=DOCUMENTS, format=st.sampled_from(ntriples.FORMATS), compiled=st.booleans())
def test_what_pyoxigraph_takes_is_taken_and_nothing_else(data, format, compiled):
    options = RdfOptions(keep_lines=True)  # every literal, those stated again too
    found = told(data, format, options, compiled and COMPILED is not None)
    try:
        statements = list(ox.parse(data, format=format))
    except (SyntaxError, ValueError):
        assert isinstance(found, str)
        return
    terms, columns, _, _, (labels, types, attributes), dropped, _ = found
    triples = [
        s
        for s in statements
        if isinstance(s.object, ox.NamedNode | ox.BlankNode) and s.predicate.value != TYPE
    ]
    assert columns["locator"] == sorted(columns["locator"])
    assert [terms[row] for row in columns["relation"]] == [s.predicate.value for s in triples]
    for end, column in (("subject", "head"), ("object", "tail")):
        named = [
            (terms[row], getattr(s, end)) for row, s in zip(columns[column], triples, strict=True)
        ]
        assert all(
            key == node.value or (isinstance(node, ox.BlankNode) and key.startswith("_:b"))
            for key, node in named
        )
        assert len({key for key, _ in named}) == len({node for _, node in named})
    literals = [s.object.value for s in statements if isinstance(s.object, ox.Literal)]
    assert sorted([text for _, text, _ in labels] + [row[-1] for row in attributes]) == sorted(
        literals
    )
    assert len(statements) == len(triples) + len(literals) + len(types) + sum(
        d.count for d in dropped
    )


@pytest.fixture(params=["compiled", "python"])
def compiled(request):
    if request.param == "compiled" and COMPILED is None:
        pytest.skip("the compiled reader was not built")
    return request.param == "compiled"


def test_blocks_end_anywhere(monkeypatch, compiled):
    """However the bytes come, lines and their numbers are the same."""
    lines = [b'<x:%d> <x:r> "%s"@en .' % (number, b"y" * (number % 70)) for number in range(300)]
    lines[100], lines[200] = b"broken", b"# comment"
    data = b"\r\n".join(lines)
    options = RdfOptions(on_error="skip", keep_lines=True)
    whole = told(data, TRIPLES, options, compiled)
    assert whole[5][0].where == ("f:101",)
    for size in (1, 7, 64, 1000):
        monkeypatch.setattr(ntriples, "_BLOCK", size)
        assert told(data, TRIPLES, options, compiled) == whole


def test_skipped_lines_are_counted_and_the_first_are_listed(compiled):
    data = b"".join(b"<x:a> <x:r> <x:%d> .\n" % n if n % 3 else b"no\n" for n in range(99))
    facts = told(data, TRIPLES, RdfOptions(on_error="skip"), compiled)
    skipped = facts[5][0]
    assert (skipped.what, skipped.why, skipped.count, len(facts[1]["head"])) == (
        "lines",
        "malformed in f",
        33,
        66,
    )
    assert skipped.where == tuple(f"f:{line}" for line in range(1, 60, 3))


def test_a_line_without_end_is_refused_or_skipped_in_little_memory(monkeypatch, compiled):
    monkeypatch.setattr(ntriples, "_LONGEST", 1000)
    monkeypatch.setattr(ntriples, "_BLOCK", 64)
    good = b"<x:a> <x:r> <x:b> .\n"
    data = good + b'<x:a> <x:r> "' + b"y" * 5000 + b'" .\n' + good + b"<x:c> <x:r> <x:d> .\n"
    assert told(data, TRIPLES, RdfOptions(), compiled) == (
        "f:2: not valid N-Triples: the line is longer than 1,000 bytes. Correct the line, or "
        "leave such lines out with on_error skip."
    )
    kept = told(data, TRIPLES, RdfOptions(on_error="skip"), compiled)
    assert (kept[1]["locator"], kept[5][0].where) == ([1, 3, 4], ("f:2",))
    assert "longer than" in told(b"y" * 5000, TRIPLES, RdfOptions(), compiled)


class _Endless:
    """A hundred megabytes without a line end."""

    def __init__(self):
        self.left = 100 << 20

    def read(self, size=-1, /):
        size = min(size if size > 0 else self.left, self.left)
        self.left -= size
        return b"y" * size


def test_a_hundred_megabytes_without_a_line_end():
    with pytest.raises(FormatError, match=r"f:1: .*longer than 16,777,216 bytes"):
        read_lines(_Endless(), "f", TRIPLES, RdfOptions())


def test_terms_are_numbered_in_the_order_of_their_first_appearance(compiled):
    data = b"<x:c> <x:s> <x:a> .\n<x:a> <x:r> _:z .\n_:y <x:r> <x:c> .\n_:z <x:r> _:y .\n"
    terms, columns, *_ = told(data, TRIPLES, RdfOptions(), compiled)
    assert terms == ["x:c", "x:s", "x:a", "x:r", "_:b0", "_:b1"]
    assert (columns["head"], columns["tail"], columns["locator"]) == (
        [0, 2, 5, 4],
        [2, 4, 0, 5],
        [1, 2, 3, 4],
    )


def test_many_terms(compiled):
    """Enough to make every table grow several times."""
    rng = np.random.default_rng(0)
    heads, tails = rng.integers(0, 3000, 9000), rng.integers(0, 3000, 9000)
    nodes = [f"_:{n}" if n % 7 == 0 else f"<http://e/{n}>" for n in range(3000)]
    data = "".join(
        f"{nodes[h]} <x:{h % 500}> {nodes[t]} <x:g{t % 400}> .\n"
        for h, t in zip(heads, tails, strict=True)
    ).encode()
    terms, columns, graph, graphs, *_ = told(data, QUADS, RdfOptions(), compiled)
    assert len(set(terms)) == len(terms)
    blank = {}
    for row, place in enumerate(rng.permutation(len(heads))[:2000]):
        del row
        for end, number in (("head", heads[place]), ("tail", tails[place])):
            key = terms[columns[end][place]]
            if number % 7 == 0:
                assert blank.setdefault(int(number), key) == key
            else:
                assert key == f"http://e/{number}"
        assert graphs[graph[place]] == f"x:g{tails[place] % 400}"
    assert len(set(blank.values())) == len(blank)


@pytest.mark.parametrize("lines_kept", [False, True])
def test_a_literal_stated_again_counts_once_unless_its_lines_are_kept(compiled, lines_kept):
    """Equal in subject, predicate, text, datatype and language; enough to make the table grow."""
    kinds = ("", "@en", "@de", "^^<x:kind>")
    rng = np.random.default_rng(0)
    stated = [
        (f"x:s{n % 211}", f"x:p{n % 3}", "y" * (n % 5), kinds[n % 4])
        for n in rng.integers(0, 3000, 6000)
    ]
    data = "".join(f'<{s}> <{p}> "{text}"{kind} .\n' for s, p, text, kind in stated).encode()
    options = RdfOptions(labels=("x:p0",), keep_labels=True, keep_lines=lines_kept)
    *_, frames, _, _ = told(data, TRIPLES, options, compiled)
    wanted = stated if lines_kept else list(dict.fromkeys(stated))
    labels, _, literals = frames

    assert [row[-1] for row in literals] == [text for _, _, text, _ in wanted]
    assert [row[1] for row in labels] == [text for _, p, text, _ in wanted if p == "x:p0"]


@needs_compiled
def test_plain_lines_need_no_help():
    """The compiled reader takes by itself what real files are full of."""
    odd = []
    reader = native.Reader(COMPILED, False, RdfOptions().rules())
    lines = [
        b"<http://dbpedia.org/resource/%C3%89t%C3%A9> <http://dbpedia.org/ontology/director> "
        b"<http://e/\xc3\x89t\xc3\xa9_(film)> .",
        b'<http://www.wikidata.org/entity/Q1> <http://schema.org/name> "\xe6\xbc\xa2 \\"quoted\\" \\u00e9"@zh-TW .',
        b'<x:a> <x:year> "1979"^^<http://www.w3.org/2001/XMLSchema#gYear> .\t# a comment',
        b"_:node1 <x:r> _:node2 .",
        b"# a comment",
        b"",
    ]
    reader.feed(b"\r\n".join(lines), 1, odd=lambda text, line: odd.append((line, text)))
    assert (odd, reader.counts()["statements"]) == ([], 4)


@needs_compiled
@settings(max_examples=100)
@given(rows=st.lists(st.tuples(*(st.integers(0, 5),) * 3), max_size=60))
def test_which_triples_are_stated_first(rows):
    head, relation, tail = np.array(rows, dtype=np.int32).reshape(-1, 3).T
    expected = [row not in rows[:place] and row[0] != row[2] for place, row in enumerate(rows)]
    assert native.first_stated(head, relation, tail).tolist() == expected


def test_a_library_that_cannot_be_used_is_left_alone(monkeypatch, tmp_path):
    (tmp_path / "_ntriples.so").write_bytes(b"not a library")
    monkeypatch.setattr(native, "__file__", str(tmp_path / "__init__.py"))
    native.library.cache_clear()
    assert native.library() is None
    monkeypatch.undo()
    monkeypatch.setenv("KGREC_BACKEND", "torch")
    native.library.cache_clear()
    assert native.library() is None
    monkeypatch.undo()
    native.library.cache_clear()


def test_the_library_is_built_from_the_source_beside_it():
    source = ntriples.__file__.replace("ntriples.py", "native/ntriples.cpp")
    if not os.path.exists(source):
        pytest.skip("the source is not here")
    with open(source, encoding="utf-8") as stream:
        version = re.search(r"kgrec_ntriples_version\(\) \{ return (\d+); \}", stream.read())
    assert int(version[1]) == native._VERSION
