"""Whatever bytes an RDF file holds, it is read or refused in one line that names it, soon and in
little memory.

40 examples each; ``make fuzz`` raises that to 100,000.
"""

import bz2
import gzip
import importlib.util
import lzma
import re
import time
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kgrec.data import native
from kgrec.data.rdf.collect import RdfOptions
from kgrec.data.rdf.reader import line_of, read_rdf
from kgrec.data.readers.triples import read_triples
from kgrec.errors import KgrecError

EXAMPLES = settings().max_examples
MOST_SECONDS, MOST_BYTES = 2.0, 512 << 20
COMPILED = native.library()

_spec = importlib.util.spec_from_file_location(
    "syntax", Path(__file__).with_name("test_rdf_syntax.py")
)
syntax = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(syntax)

SAMPLES = {
    suffix: [text for text, _ in texts.values()] for suffix, texts in syntax.POSITIVE.items()
}
for suffix in ("nt", "nq"):
    SAMPLES[suffix] += syntax.BAD_LINES.values()
SAMPLES["ttl"] += [text for text, _ in syntax.BAD_TURTLE.values()]
SAMPLES["trig"] += [text for text, _ in (syntax.BAD_TURTLE | syntax.BAD_TRIG).values()]
SAMPLES["rdf"] += [
    *syntax.BAD_XML.values(),
    '<!DOCTYPE r [<!ENTITY a "b"><!ENTITY c "&a;&a;">]>' + syntax.document("&a;&c;"),
]
SAMPLES["jsonld"] += [text for text, _ in syntax.BAD_JSONLD.values()]
PACKINGS = (gzip.compress, bz2.compress, lzma.compress, zstandard.compress)


def pieces(texts):
    """Return the words, spaces and signs of some texts."""
    return sorted({piece for text in texts for piece in re.findall(r"\w+|\s+|[^\w\s]", text)})


def documents(suffix):
    """Return texts of a syntax, with pieces of it put in, taken out and repeated, as bytes."""
    known = SAMPLES[suffix]
    change = st.tuples(
        st.integers(0, 2000),
        st.integers(0, 30),
        st.one_of(
            st.sampled_from(pieces(known)).map(str.encode),
            st.sampled_from(known).map(str.encode),
            st.binary(max_size=4),
            st.none(),
        ),
    )

    def changed(text, changes, packed, cut):
        data = text.encode()
        for place, length, put in changes:
            at = place % (len(data) + 1)
            own = data[at : at + length] * 3 if put is None else put
            data = data[:at] + own + data[at + length :]
        if packed is not None:
            data = packed(data)
            data = data[: len(data) - cut]
        return data

    packings = st.one_of(st.none(), st.none(), st.none(), st.sampled_from(PACKINGS))
    return st.builds(
        changed,
        st.sampled_from(known),
        st.lists(change, max_size=4),
        packings,
        st.sampled_from([0, 0, 1, 9]),
    )


def read(path, options, compiled):
    """Return all that a file says but the names of its blank nodes, or why it cannot be read."""
    before = native.library
    native.library = lambda: COMPILED if compiled else None
    began = time.process_time()
    try:
        facts = read_rdf(path, options=options)
    except KgrecError as error:
        return str(error)
    finally:
        native.library = before
        assert time.process_time() - began < MOST_SECONDS
    named = [re.sub(r"^_:.*", "_:", key) for key in facts.terms]
    literals = facts.attributes.select("name", "value", "datatype", "language").rows()
    return (
        named.count("_:"),
        sorted(named),
        facts.locator.tolist(),
        facts.graphs.len(),
        sorted(literals),
        facts.dropped,
        dict(facts.counts),
    )


@pytest.mark.parametrize("suffix", SAMPLES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), lenient=st.booleans(), places=st.booleans(), drop=st.booleans())
def test_any_file_is_read_or_refused(tmp_path, suffix, data, lenient, places, drop):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data.draw(documents(suffix)))
    options = RdfOptions(
        on_error="skip" if lenient else "stop", keep_lines=places, blank="drop" if drop else "keep"
    )
    said = read(path, options, compiled=False)
    if isinstance(said, str):
        assert "\n" not in said
        assert str(path) in said
    if COMPILED is not None:
        assert read(path, options, compiled=True) == said


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.data(),
    suffix=st.sampled_from(sorted(SAMPLES)),
    name=st.sampled_from(["a", "a.txt", "a.ttl", "a.rdf", "a.jsonld", "a.nt", "a.xyz"]),
)
def test_any_file_of_any_name_becomes_a_graph_or_is_refused(tmp_path, data, suffix, name):
    path = tmp_path / name
    path.write_bytes(data.draw(st.one_of(documents(suffix), st.binary(max_size=200))))
    said = str(path)
    began = time.process_time()
    try:
        graph = read_triples(str(path), literals="entities", same_as="merge", on_error="skip")
        assert len(graph.head) == len(graph.tail) == len(graph.locator)
        assert len(graph.graph) in (0, len(graph))
        line_of(path, 1)
    except KgrecError as error:
        said = str(error)
    assert time.process_time() - began < 2 * MOST_SECONDS
    assert "\n" not in said
    assert str(path) in said


@pytest.mark.parametrize("suffix", SAMPLES)
@pytest.mark.parametrize(
    "piece",
    [
        "(",
        "[",
        "{",
        "<",
        '"',
        "_:a ",
        "<x:a> ",
        "\\",
        "é",
        "\0",
        "[]",
        '{"@id":',
        "<a>",
        "<!--",
        "a:",
        "@prefix a: <x:> .",
        "# c\n",
        "\r",
    ],
)
def test_a_piece_again_and_again(tmp_path, suffix, piece):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes((piece * 300_000).encode()[:1_000_000])
    tracemalloc.start()
    said = read(path, RdfOptions(), COMPILED is not None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_BYTES
    assert not isinstance(said, str) or ("\n" not in said and str(path) in said)
