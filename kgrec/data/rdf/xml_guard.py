"""RDF/XML made plain and safe before it is parsed.

A document type declaration may define entities that refer to each other and grow without end, or
name other files; such ones are refused here, before any parser sees them. What is left is handed on
as the plainest RDF/XML that says the same. Nothing is ever fetched.
"""

import codecs
import itertools
import re
from collections.abc import Iterator, Mapping

from kgrec.data.io.compression import ByteStream, Pieces
from kgrec.data.rdf.xml_normalize import Plain
from kgrec.errors import FormatError

MOST_EXPANDED = 1 << 20

_STEP = 1 << 17
_LONGEST_PROLOG = 1 << 20
_LONGEST_NAME = 256

_NAME = r"[^\s<>&;%'\"\[\]()=/,|#!?]+"
_OPENING = re.compile(rf"<!DOCTYPE\s+{_NAME}\s*(?P<outside>(?:SYSTEM|PUBLIC)\b)?(?P<inside>\[)?")
_ENTITY = re.compile(
    rf"<!ENTITY\s+(?P<name>{_NAME})\s+(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)')\s*>"
)
_OUTSIDE = re.compile(r"<!ENTITY\s+(?:%|" + _NAME + r"\s+(?:SYSTEM|PUBLIC)\b)")
_WHOLE = re.compile(r"(?:[^'\">]++|\"[^\"]*+\"|'[^']*+')*+>")
_NUMBERED = re.compile(r"&#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}));")
_REFERENCE = re.compile(rf"&([^;<&\s]{{1,{_LONGEST_NAME}}});")
_PREDEFINED = {"lt": "<", "gt": ">", "amp": "&", "apos": "'", "quot": '"'}
_ENCODING = re.compile(rb"<\?xml\s[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_TEXT_ENCODING = re.compile(
    r"(utf|utf-16|us-ascii|ascii|iso-8859|latin|windows|cp|koi8|big5|gb|euc|shift)[-\d]*(le|be|_[a-z]+|-?jis|[ru]|k|-?(jp|kr|cn|tw))?"
)


def guarded(stream: ByteStream, name: str, base: str | None = None) -> tuple[Pieces, Plain]:
    """Return an RDF/XML document in plain form: UTF-8, no declarations, entities, CDATA, comments
    or markup as text; and what makes it so.

    Args:
        stream: The document.
        name: Of the document, for messages.
        base: IRI that a relative ``xml:base`` is resolved against.

    Raises:
        FormatError: From wherever it is read: if the encoding is unknown or the bytes are not valid
            in it; if the document is not well-formed or has attributes where RDF/XML allows none;
            or if a declaration names anything outside the file, holds entities that refer to
            entities or hold markup, or expands to more than 1 MiB in all.
    """
    plain = Plain(name, base)
    return Pieces(_safe(stream, name, plain)), plain


def _safe(stream: ByteStream, name: str, plain: Plain) -> Iterator[bytes]:
    text = _decoded(stream, name)
    start, entities = _prolog(text, name)
    references = _References(entities, name)

    for piece in itertools.chain([start], text):
        references.check(piece)
        yield from plain.feed(piece)

    yield from plain.close()


def _decoded(stream: ByteStream, name: str) -> Iterator[str]:
    start = stream.read(_STEP)
    decoder = codecs.getincrementaldecoder(_encoding(start, name))()
    line = 1
    data = start
    while data:
        try:
            piece = decoder.decode(data)
        except UnicodeDecodeError as error:
            line += bytes(error.object).count(b"\n", 0, error.start)
            raise FormatError(
                f"{name}:{line}: the bytes are not {error.encoding}. Correct the encoding that "
                "the file declares."
            ) from None

        line += piece.count("\n")
        yield piece
        data = stream.read(_STEP)


def _encoding(start: bytes, name: str) -> str:
    """Return the encoding that the first bytes show or declare."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if start.startswith(mark):
            return encoding

    for sign, encoding in ((b"<\0?\0", "utf-16-le"), (b"\0<\0?", "utf-16-be")):
        if start.startswith(sign):
            return encoding

    declared = _ENCODING.match(start.lstrip())
    if declared:
        wanted = declared[1].decode().lower()
    else:
        wanted = "utf-8"

    try:
        if _TEXT_ENCODING.fullmatch(wanted):
            known = codecs.lookup(wanted).name
        else:
            known = ""
    except LookupError:
        known = ""

    if not known or known.startswith(("utf-16", "utf-32", "utf-7")):
        raise FormatError(
            f"{name}:1: declares the encoding {wanted!r}, which it cannot be read in. Save it as "
            "UTF-8."
        )

    return known


def _prolog(text: Iterator[str], name: str) -> tuple[str, dict[str, str]]:
    """Return the text up to the root element or beyond, and the entities declared before that."""
    start = ""
    final = False

    while True:
        prolog = _Prolog(start, name)
        try:
            prolog.read()
            return start, prolog.entities
        except _MoreError:
            if final:
                return start, {}

        if len(start) > _LONGEST_PROLOG:
            raise FormatError(
                f"{name}: no element within the first {_LONGEST_PROLOG:,} characters. Give an "
                "RDF/XML document."
            )

        wanted = 2 * len(start) + 1
        while len(start) < wanted and not final:
            piece = next(text, None)
            final = piece is None
            start += piece or ""


class _MoreError(Exception):
    """The text ends within what is being read."""


class _Prolog:
    """What comes before the root element."""

    def __init__(self, text: str, name: str) -> None:
        self.entities: dict[str, str] = {}
        self._text = text
        self._name = name
        self._at = 0

    def read(self) -> None:
        """Go up to the root element and note the entities."""
        self._aside()
        if self._next("<!DOCTYPE"):
            self._declaration()
            self._aside()
            self._next("<")

    def _next(self, token: str) -> bool:
        """Return whether the token comes next."""
        there = self._text[self._at : self._at + len(token)]
        if there != token and token.startswith(there):
            raise _MoreError
        return there == token

    def _aside(self) -> None:
        """Go past white space, comments and processing instructions."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1

            ending = next(
                (
                    ending
                    for opening, ending in (("<!--", "-->"), ("<?", "?>"))
                    if self._next(opening)
                ),
                None,
            )
            if ending is None:
                return

            self._past(ending, self._at + 2)

    def _past(self, ending: str, start: int) -> None:
        end = self._text.find(ending, start)
        if end < 0:
            raise _MoreError
        self._at = end + len(ending)

    def _refuse(self, what: str) -> FormatError:
        line = self._text.count("\n", 0, self._at) + 1
        return FormatError(
            f"{self._name}:{line}: {what}, which kgrec does not read. Take the declaration out, "
            "or convert the file to Turtle."
        )

    def _declaration(self) -> None:
        if ">" not in self._text[self._at :]:
            raise _MoreError

        opening = _OPENING.match(self._text, self._at)
        if opening is None:
            raise self._refuse("a malformed document type declaration")
        if opening["outside"]:
            raise self._refuse("a document type declaration that names another file")

        self._at = opening.end()
        if opening["inside"]:
            self._subset()
            self._aside()

        if not self._next(">"):
            raise self._refuse("a malformed document type declaration")

        self._at += 1

    def _subset(self) -> None:
        """Read the declarations between brackets."""
        while True:
            self._aside()
            if self._next("]"):
                self._at += 1
                return

            if not self._next("<!"):
                raise self._refuse("a document type declaration with parameter entities")

            end = self._declaration_end()
            if self._text.startswith("<!ENTITY", self._at):
                self._entity(self._text[self._at : end])

            self._at = end

    def _declaration_end(self) -> int:
        """Return where the declaration ends that begins here; ">" within quotes does not end it."""
        found = _WHOLE.match(self._text, self._at)
        if found is None:
            raise _MoreError
        return found.end()

    def _entity(self, declaration: str) -> None:
        if _OUTSIDE.match(declaration):
            raise self._refuse("an external or parameter entity")

        found = _ENTITY.fullmatch(declaration)
        if found is None:
            raise self._refuse("a malformed entity")

        value = self._plain(found["double"] if found["double"] is not None else found["single"])
        self.entities.setdefault(found["name"], value)

    def _plain(self, value: str) -> str:
        """Return the text that an entity stands for."""
        literal = self._numbered(value)
        if "<" in literal:
            raise self._refuse("an entity that holds markup")

        parts = re.split(r"&(?!#)([^;&]*);", literal)
        if any(name not in _PREDEFINED for name in parts[1::2]):
            raise self._refuse("an entity that refers to entities")

        text = "".join(
            self._numbered(part) if number % 2 == 0 else _PREDEFINED[part]
            for number, part in enumerate(parts)
        )
        if any("&" in re.sub(_NUMBERED, "", part) for part in parts[::2]):
            raise self._refuse("an entity with a lone ampersand")

        return text

    def _numbered(self, text: str) -> str:
        """Return text with its numbered characters in place."""
        return _NUMBERED.sub(
            lambda found: self._character(int(found[1], 16) if found[1] else int(found[2])), text
        )

    def _character(self, point: int) -> str:
        if (
            point in (9, 10, 13)
            or 0x20 <= point < 0xD800
            or 0xE000 <= point < 0xFFFE
            or 0x10000 <= point < 0x110000
        ):
            return chr(point)
        raise self._refuse(f"an entity with the character number {point}")


class _References:
    """Counts what the entities of a document expand to, before they do."""

    def __init__(self, entities: Mapping[str, str], name: str) -> None:
        self._sizes = {entity: len(value) for entity, value in entities.items()}
        self._name = name
        self._before = ""
        self._grown = 0

    def check(self, piece: str) -> None:
        """Refuse a piece of the document with which the entities expand too far."""
        if not self._sizes:
            return

        text = self._before + piece
        self._grown += sum(self._sizes.get(found, 0) for found in _REFERENCE.findall(text))
        if self._grown > MOST_EXPANDED:
            raise FormatError(
                f"{self._name}: its entities expand to more than {MOST_EXPANDED:,} characters. "
                "Convert the file to Turtle."
            )

        start = max(0, len(text) - _LONGEST_NAME - 2)
        open_at = text.rfind("&", start)
        if open_at >= 0 and ";" not in text[open_at:]:
            self._before = text[open_at:]
        else:
            self._before = ""
