"""Syntaxes that kgrec does not read, recognized, so that the tool that converts them is named."""

import re

from kgrec.errors import FormatError

_ROBOT = "robot convert --input {path} --output graph.ttl (ROBOT, robot.obolibrary.org)"
_RIOT = "riot --output=nquads {path} > graph.nq (Apache Jena)"
_NETWORKX = 'networkx: write_graphml({read}("{path}"), "graph.graphml")'
_SPACE = rb"\A(?:\xef\xbb\xbf)?\s*+"
_PROLOG = (
    _SPACE + rb"(?:<\?xml[^>]*+>\s*+|<!--.*?-->\s*+|<!DOCTYPE[^>\[]*+(?:\[[^\]]*+\])?\s*+>\s*+)*+"
)

# A pattern of the first bytes, what it shows, and the command that converts it.
_SYNTAXES = tuple(
    (re.compile(pattern, re.DOTALL | flags), name, tool)
    for pattern, flags, name, tool in (
        (_PROLOG + rb"<(?:[\w-]+:)?TriX[\s>]", 0, "TriX", _RIOT),
        (
            # As RDF/XML, the same element would have neither an IRI so called nor such children.
            _PROLOG + rb"<(?:[\w-]+:)?Ontology\b(?=[^>]*www\.w3\.org/2002/07/owl#)"
            rb"(?:[^>]*\bontologyIRI=|[^>]*>\s*<(?:[\w-]+:)?(?:Prefix|Declaration|Import)\b)",
            0,
            "OWL/XML",
            _ROBOT,
        ),
        (
            _PROLOG + rb"<(?:[\w-]+:)?sparql[\s>]",
            0,
            "results of a SPARQL query as XML",
            "a CONSTRUCT query instead of SELECT, whose answer is triples",
        ),
        (
            _SPACE
            + rb"(?:<!--.*?-->\s*+|<\?xml[^>]*+>\s*+)*+<(?:!DOCTYPE\s+html|html|head|body)\b",
            re.IGNORECASE,
            "HTML{inside}",
            "extruct {path} (pip install extruct) takes the data out as JSON",
        ),
        (
            _SPACE + rb"(?:![^\n]*\n|\s)*+(?:format-version|ontology|data-version):",
            0,
            "OBO",
            _ROBOT,
        ),
        (_SPACE + rb"\[(?:Term|Typedef|Instance)\]", 0, "OBO", _ROBOT),
        (
            _SPACE + rb"(?:#[^\n]*\n|\s)*+(?:Prefix|Ontology)\s*\(",
            0,
            "OWL functional syntax",
            _ROBOT,
        ),
        (
            _SPACE
            + rb"(?:#[^\n]*\n|\s)*+(?:Prefix:\s+[\w.-]*:\s*<|Ontology:\s|Namespace:\s"
            + rb"|(?:Class|ObjectProperty|Individual):\s+\S)",
            0,
            "OWL in Manchester syntax",
            _ROBOT,
        ),
        (
            _SPACE + rb"\{\s*+\"(?:[^\"\\]|\\.)*+\"\s*+:\s*+\{\s*+\"[^\"]*+\"\s*+:\s*+\[\s*+\{"
            rb"[^{}]*?\"type\"\s*+:\s*+\"(?:uri|literal|bnode)\"",
            0,
            "RDF/JSON",
            "riot --syntax=rdf/json --output=nquads {path} > graph.nq (Apache Jena)",
        ),
        (
            _SPACE + rb"\{\s*+\"head\"\s*+:\s*+\{[^{}]*\"vars\"",
            0,
            "results of a SPARQL query as JSON",
            "a CONSTRUCT query instead of SELECT, whose answer is triples",
        ),
        (
            _SPACE + rb"\[\s*+\"(?:[^\"\\]|\\.)*+\"(?:\s*+,\s*+\"(?:[^\"\\]|\\.)*+\"){5}\s*+\]",
            0,
            "HexTuples",
            "rdfpipe -i hext -o nquads {path} > graph.nq (rdflib)",
        ),
        (
            _SPACE + rb"(?:(?://|\#)[^\n]*\n|\s)*+(?:strict\s+)?(?:di)?graph\b[^\n\[\]{]*\{",
            re.IGNORECASE,
            "a graph in GraphViz's DOT",
            _NETWORKX.replace("{read}", "nx_pydot.read_dot"),
        ),
        (
            _SPACE + rb"(?:#[^\n]*\n|(?:Creator|Version|comment)\s[^\n]*\n|\s)*+graph\s*\[\s",
            re.IGNORECASE,
            "GML",
            _NETWORKX.replace("{read}", "read_gml"),
        ),
        (
            _SPACE + rb"\*(?:Vertices|Network)\b",
            re.IGNORECASE,
            "Pajek",
            _NETWORKX.replace("{read}", "read_pajek"),
        ),
        (
            rb"\A(?:[^\s#,;|]++(?:[ ][^\n]*+)?\n)++#[ ]*\r?\n",
            0,
            "a graph in TGF",
            'awk \'e {{print $1"\\t"$3"\\t"$2}} /^#/ {{e=1}}\' {path} > graph.tsv, after the names of edges '
            "are one word",
        ),
        (
            _SPACE + rb"(?://[^\n]*\n|\s)*+(?::begin\b|UNWIND\s*[\[$]|(?:CREATE|MERGE|MATCH)\s*"
            rb"(?:\(|\w+\s*=\s*\(|(?:CONSTRAINT|INDEX|UNIQUE)\b))",
            re.IGNORECASE,
            "statements of Cypher",
            "run them, then CALL apoc.export.graphml.all('graph.graphml', {{}})",
        ),
        (
            rb"\A\([^;()\n]++;[^;()\n]++;[^;()\n]++\)\r?(?:\n|\Z)",
            0,
            "triples in parentheses",
            "sed -E 's/^\\(|\\)$//g; s/ *; */\\t/g' {path} > graph.tsv",
        ),
        (
            _SPACE + rb"(?:;[^\n]*\n|\s)*+\([\w:?=<>.+-]++ +[\w:?\"(.+-][^\n]*\)\s*?(?:\n|\Z)",
            0,
            "logic in parentheses (KIF, Lisp)",
            "sigmakee, or write head, relation and tail between tabs",
        ),
        (
            _SPACE + rb"\{[^\n]{0,4000}?\"(?:outE|inE|@type\"\s*+:\s*+\"(?:g:|tinker:))",
            0,
            "GraphSON",
            "g.io('graph.graphml').write() in Gremlin",
        ),
        (
            _SPACE + rb"\{\s*+\"graphs?\"\s*+:\s*+\[?\s*+\{",
            0,
            "JSON Graph Format",
            "jq -r '.graph.edges[] | [.source, .relation, .target] | @tsv' {path} > graph.tsv",
        ),
        (
            _SPACE + rb"\[?\s*+\{\s*+\"(?:type\"\s*+:\s*+\"(?:item|property)\"|pageid\"|id\"\s*+:"
            rb"\s*+\"[QPL]\d+\"|labels\"\s*+:\s*+\{)[^\n]{0,4000}?\"claims\"",
            0,
            "a dump of Wikidata's entities as JSON",
            "take the dump of truthy statements as N-Triples (dumps.wikimedia.org), or "
            "kgrec pull wikidata",
        ),
        (rb"\A\$HDT", 0, "HDT", "hdt2rdf {path} graph.nt (hdt-cpp)"),
        (rb"\ATRDF", 0, "binary RDF", _RIOT),
        (
            _SPACE + rb"(?:#[^\n]*\n|@prefix[^\n]*\n|\s)*+(?:(?:@prefix[^\n.]*>\s*\.\s*)*+)"
            rb"(?:@forAll|@forSome|\{[^{}]*\}\s*=>)",
            0,
            "Notation3 with rules",
            "EYE or cwm writes what the rules conclude as Turtle",
        ),
    )
)
_LD_SCRIPT = re.compile(rb"application/ld\+json", re.IGNORECASE)


def refuse_foreign(path: object, start: bytes) -> None:
    """Refuse a file in a known syntax that kgrec does not read.

    Args:
        path: Of the file, for the message.
        start: Its first bytes.

    Raises:
        FormatError: If it is one; the message names the tool that converts it.
    """
    for pattern, name, tool in _SYNTAXES:
        if not pattern.match(start):
            continue

        inside = " with JSON-LD in it" if _LD_SCRIPT.search(start) else ""
        raise FormatError(
            f"{path}: {name.format(inside=inside)}, which kgrec does not read. Convert it: "
            f"{tool.format(path=path)}."
        )
