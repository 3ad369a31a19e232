"""Normalize RDF/XML for pyoxigraph.

What pyoxigraph is loose about is refused, what it lacks is put otherwise.
"""

import re
from collections.abc import Iterator
from urllib.parse import urljoin
from xml.parsers import expat

from kgrec.errors import FormatError

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
NO_LANGUAGE = "x-kgrec-none"

_XML = "http://www.w3.org/XML/1998/namespace"
_PREFIX = "kgrec_rdf"
_LONGEST = 1 << 24
_DEEPEST = 10_000
_MOST_REMEMBERED = 10_000
_MOST_ATTRIBUTES = (
    1_000  # of one element, and prefixes in scope: parsers compare each with all others
)
_LONGEST_BASE = 2_048
_UNQUALIFIED = ("ID", "about", "resource", "parseType", "type")
_NEVER = ("RDF", "Description", "li", "bagID", "aboutEach", "aboutEachPrefix")
_NOT_ON_NODES = (*_NEVER, "parseType", "resource", "datatype")
_NOT_ON_PROPERTIES = (*_NEVER, "about")
_VALUES = ("resource", "nodeID", "datatype")
_WITHIN = {"Resource": "node", "Collection": "property"}
_SPECIAL = re.compile(r"[&<>\"\t\n\r]")
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"})
_QUOTED = str.maketrans(
    {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"}
)


def _text(value: str) -> str:
    if _SPECIAL.search(value):
        return value.translate(_TEXT)
    return value


def _quoted(value: str) -> str:
    if _SPECIAL.search(value):
        return value.translate(_QUOTED)
    return value


class Name:
    """A name of an element or attribute.

    Attributes:
        space: Its namespace, "" for none.
        local: Its local part.
        written: As it is in the document.
        prefix: The prefix that it is written with, "" for none.
    """

    __slots__ = ("local", "prefix", "space", "written")

    def __init__(self, text: str) -> None:
        parts = text.split(" ")
        if len(parts) == 1:
            self.space = ""
            self.local = parts[0]
        else:
            self.space = parts[0]
            self.local = parts[1]

        if len(parts) > 2:
            self.prefix = parts[2]
        else:
            self.prefix = ""

        if self.prefix:
            self.written = f"{self.prefix}:{self.local}"
        else:
            self.written = self.local


class Plain:
    """Takes a document apart and writes it again, element by element.

    Elements alternate between nodes and properties. Each open element has a state that says what
    may stand in it: "document" and "node" hold properties or nodes as their names say, "literal"
    holds markup that is text.

    Args:
        name: Of the document, for messages.
        base: IRI that a relative ``xml:base`` is resolved against.

    Attributes:
        marked: Whether text was marked as being in no language.
    """

    def __init__(self, name: str, base: str | None) -> None:
        self._name = name
        self._out: list[str] = []
        self._states = ["document"]
        self._bases = [base or ""]
        self._declared: list[tuple[str, str]] = []
        self._prefixes = 0
        self._names: dict[str, Name] = {}
        self._shapes: dict[tuple[str, str, tuple[str, ...]], tuple[str, list[str]]] = {}
        self.marked = False
        self._literal: _Markup | None = None
        self._fed = 0
        self._run = 0
        self._typed = 0
        parser = expat.ParserCreate("utf-8", " ")
        parser.namespace_prefixes = True
        parser.ordered_attributes = True
        parser.specified_attributes = True
        parser.buffer_text = True
        parser.StartNamespaceDeclHandler = self._declare
        parser.EndNamespaceDeclHandler = self._undeclare
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.CommentHandler = self._comment
        parser.ProcessingInstructionHandler = self._instruction
        self._parser = parser

    def feed(self, piece: str) -> Iterator[bytes]:
        """Yield what a piece of the document becomes.

        Raises:
            FormatError: If the document is not well-formed, or has attributes where there may be
                none; the message names the line.
        """
        data = piece.encode()
        self._fed += len(data)
        yield from self._parsed(data, final=False)

        if self._fed - self._parser.CurrentByteIndex > _LONGEST:
            raise FormatError(
                f"{self._where()}: a tag or comment of more than {_LONGEST:,} bytes. Leave it out."
            )

    def close(self) -> Iterator[bytes]:
        """Yield what is left at the end of the document.

        Raises:
            FormatError: If the document is not whole.
        """
        yield from self._parsed(b"", final=True)

    def _parsed(self, data: bytes, *, final: bool) -> Iterator[bytes]:
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise FormatError(
                f"{self._name}:{error.lineno}: not well-formed XML: {reason}. Correct it, or "
                "name the format."
            ) from None
        if self._out:
            text = "".join(self._out)
            self._out.clear()
            yield text.encode()

    def _refuse(self, what: str) -> FormatError:
        return FormatError(f"{self._where()}: {what}, which RDF/XML does not allow. Correct it.")

    def _declare(self, prefix: str | None, space: str | None) -> None:
        self._prefixes += 1
        if self._prefixes > _MOST_ATTRIBUTES:
            raise FormatError(
                f"{self._where()}: more than {_MOST_ATTRIBUTES:,} prefixes declared at once. "
                "Write full names, or fewer."
            )

        self._declared.append((prefix or "", space or ""))

    def _undeclare(self, prefix: str | None) -> None:
        self._prefixes -= 1

    def _start(self, text: str, attributes: list[str]) -> None:
        if len(attributes) > 2 * _MOST_ATTRIBUTES:
            raise FormatError(
                f"{self._where()}: {len(attributes) // 2:,} attributes on one element, at most "
                f"{_MOST_ATTRIBUTES:,} are read. "
                "Write them as elements."
            )

        if self._declared or self._literal:
            shape = None
        else:
            shape = self._shapes.get((self._states[-1], text, tuple(attributes[::2])))

        if shape is None or len(self._states) > _DEEPEST or "" in attributes:
            self._start_new(text, attributes)
            return

        self._run = 0
        within, parts = shape
        self._states.append(within)
        self._bases.append(self._bases[-1])
        self._out.append(parts[0])
        for number, part in enumerate(parts[1:]):
            self._out.append(f'{part}"{_quoted(attributes[2 * number + 1])}"')

        self._out.append(">")

    def _start_new(self, text: str, attributes: list[str]) -> None:
        name = self._named(text)
        pairs = [
            (self._named(key), value)
            for key, value in zip(attributes[::2], attributes[1::2], strict=True)
        ]
        declared = self._declared
        self._declared = []
        if len(self._states) + (self._literal.depth if self._literal else 0) > _DEEPEST:
            raise FormatError(
                f"{self._where()}: more than {_DEEPEST:,} elements within one another. Make it "
                "flatter."
            )

        self._run = 0
        if self._literal is not None:
            self._literal.start(name, pairs)
            self._check_size(self._literal.size)
            return

        self._bases.append(self._base(pairs))
        state = self._states[-1]
        known = {key.local: value for key, value in _rdf(pairs)}

        if state in ("document", "rdf", "property"):
            if state == "document" and (name.space, name.local) == (RDF, "RDF"):
                within = "rdf"
            else:
                within = "node"
            self._check_node(known, pairs, within)
        else:
            within = self._check_property(known, pairs)

        self._states.append(within)
        self._write(name, pairs, declared, known)

        if (
            not declared
            and not known.keys() & {"parseType", "type"}
            and all(
                key.space and (key.space, key.local) != (_XML, "base") and not _ignored(key)
                for key, _ in pairs
            )
        ):
            if len(self._shapes) > _MOST_REMEMBERED:
                self._shapes.clear()

            parts = [f"<{name.written}", *(f" {key.written}=" for key, _ in pairs)]
            self._shapes[state, text, tuple(attributes[::2])] = within, parts

        if within == "literal":
            self._literal = _Markup()

    def _named(self, text: str) -> Name:
        found = self._names.get(text)
        if found is None:
            if len(self._names) > _MOST_REMEMBERED:
                self._names.clear()
            found = self._names[text] = Name(text)
        return found

    def _base(self, pairs: list[tuple[Name, str]]) -> str:
        given = next(
            (value for key, value in pairs if (key.space, key.local) == (_XML, "base")), None
        )
        if given is None:
            return self._bases[-1]

        try:
            found = urljoin(self._bases[-1], given)
        except ValueError:
            found = given

        if len(found) > _LONGEST_BASE:
            raise FormatError(
                f"{self._where()}: an xml:base of more than {_LONGEST_BASE:,} characters. "
                "Shorten it."
            )

        return found

    def _check_node(
        self, known: dict[str, str], pairs: list[tuple[Name, str]], within: str
    ) -> None:
        wrong = next((name for name in known if name in _NOT_ON_NODES), None)
        if wrong is not None:
            raise self._refuse(f"rdf:{wrong} on a node")
        if within == "rdf" and any(key.space != _XML and not _ignored(key) for key, _ in pairs):
            raise self._refuse("an attribute on rdf:RDF")

    def _check_property(self, known: dict[str, str], pairs: list[tuple[Name, str]]) -> str:
        """Return the state within a property."""
        wrong = next((name for name in known if name in _NOT_ON_PROPERTIES), None)
        if wrong is not None:
            raise self._refuse(f"rdf:{wrong} on a property")
        if sum(name in known for name in _VALUES) > 1:
            raise self._refuse(
                "more than one of rdf:resource, rdf:nodeID and rdf:datatype on a property"
            )
        if "parseType" not in known:
            return "property"
        if any(
            key.space != _XML and not _ignored(key) and _of_rdf(key) not in ("parseType", "ID")
            for key, _ in pairs
        ):
            raise self._refuse("rdf:parseType beside other attributes")

        return _WITHIN.get(known["parseType"], "literal")

    def _write(
        self,
        name: Name,
        pairs: list[tuple[Name, str]],
        declared: list[tuple[str, str]],
        known: dict[str, str],
    ) -> None:
        literal = self._states[-1] == "literal"
        if literal or _bare(pairs):
            out = [f"<{name.written}", f' xmlns:{_PREFIX}="{RDF}"']
        else:
            out = [f"<{name.written}"]

        out += [_declaration(prefix, space) for prefix, space in declared]
        if (
            self._states[-1] == "property"
            and "type" in known
            and not known.keys() & {"resource", "nodeID"}
        ):
            self._typed += (
                1  # a property with a class and nothing else: pyoxigraph takes it for empty text
            )
            out += [f' xmlns:{_PREFIX}="{RDF}"'] * (not _bare(pairs)) + [
                f' {_PREFIX}:nodeID="kgrec-{self._typed}"'
            ]

        for key, value in pairs:
            local = _of_rdf(key)
            if _ignored(key) or (literal and local == "parseType"):
                continue

            if local is not None and not key.space:
                written = f"{_PREFIX}:{local}"
            else:
                written = key.written

            if key.space == _XML:
                self.marked = self.marked or (key.local == "lang" and not value)
                value = {"lang": value or NO_LANGUAGE, "base": self._bases[-1]}.get(
                    key.local, value
                )

            out.append(f' {written}="{_quoted(value)}"')

        if literal:
            out.append(f' {_PREFIX}:datatype="{RDF}XMLLiteral"')

        self._out.append("".join(out) + ">")

    def _end(self, text: str) -> None:
        if self._literal is not None and self._literal.depth:
            self._literal.end(self._named(text))
            return

        if self._literal is not None:
            self._out.append(_text(self._literal.text()))
            self._literal = None

        self._run = 0
        self._states.pop()
        self._bases.pop()
        self._out.append(f"</{self._named(text).written}>")

    def _text(self, text: str) -> None:
        self._run += len(text)
        if self._literal is None:
            self._out.append(_text(text))
        else:
            self._literal.add(_text(text))
        self._check_size(self._run if self._literal is None else self._literal.size)

    def _comment(self, text: str) -> None:
        if self._literal is not None:
            self._literal.add(f"<!--{text}-->")

    def _instruction(self, target: str, data: str) -> None:
        if self._literal is not None:
            self._literal.add(f"<?{target} {data}?>" if data else f"<?{target}?>")

    def _check_size(self, size: int) -> None:
        if size > _LONGEST:
            raise FormatError(
                f"{self._where()}: a literal of more than {_LONGEST:,} characters. Leave it out."
            )

    def _where(self) -> str:
        return f"{self._name}:{self._parser.CurrentLineNumber}"


class _Markup:
    """Markup that is text, in the form of exclusive XML canonicalization: each namespace is
    declared where it is first used.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.size = 0
        self._parts: list[str] = []
        self._shown = {"": ""}
        self._before: list[dict[str, str | None]] = []  # per open element, what it has changed

    def add(self, text: str) -> None:
        self._parts.append(text)
        self.size += len(text)

    def start(self, name: Name, pairs: list[tuple[Name, str]]) -> None:
        shown = self._shown
        used = {name.prefix: name.space} | {
            key.prefix: key.space for key, _ in pairs if key.prefix and key.space != _XML
        }
        fresh = {prefix: space for prefix, space in used.items() if shown.get(prefix) != space}
        ordered = sorted(pairs, key=lambda pair: (pair[0].space, pair[0].local))
        text = "".join(_declaration(prefix, space) for prefix, space in sorted(fresh.items()))
        self.add(
            f"<{name.written}{text}"
            + "".join(f' {key.written}="{_quoted(value)}"' for key, value in ordered)
            + ">"
        )
        self._before.append({prefix: shown.get(prefix) for prefix in fresh})
        shown.update(fresh)
        self.depth += 1

    def end(self, name: Name) -> None:
        self.add(f"</{name.written}>")
        for prefix, space in self._before.pop().items():
            if space is None:
                del self._shown[prefix]
            else:
                self._shown[prefix] = space

        self.depth -= 1

    def text(self) -> str:
        return "".join(self._parts)


def _declaration(prefix: str, space: str) -> str:
    return f' xmlns{":" if prefix else ""}{prefix}="{_quoted(space)}"'


def _ignored(name: Name) -> bool:
    """Return whether an attribute says nothing: its name is reserved for XML and not one that is
    known here.
    """
    return (not name.space and name.local.lower().startswith("xml")) or (
        name.space == _XML and name.local not in ("lang", "base")
    )


def _of_rdf(name: Name) -> str | None:
    """Return the local part of an attribute of RDF's own, some of which may stand without a
    prefix.
    """
    if name.space == RDF or (not name.space and name.local in _UNQUALIFIED):
        return name.local
    return None


def _rdf(pairs: list[tuple[Name, str]]) -> list[tuple[Name, str]]:
    return [(key, value) for key, value in pairs if _of_rdf(key) is not None]


def _bare(pairs: list[tuple[Name, str]]) -> bool:
    """Return whether an attribute of RDF's own stands without a prefix."""
    return any(not key.space and _of_rdf(key) is not None for key, _ in pairs)
