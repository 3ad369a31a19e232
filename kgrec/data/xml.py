"""RDF/XML made safe before it is parsed: in UTF-8, and without a document type declaration.

A declaration may define entities that refer to each other and grow without end, or name other files. Plain entities are put in their place
here and the declaration is taken out, so that the parser sees neither. Nothing is ever fetched.
"""

import codecs
import itertools
import re
from collections.abc import Iterator, Mapping

from kgrec.data.compressed import ByteStream, Pieces
from kgrec.errors import FormatError

MOST_EXPANDED = 1 << 20

_STEP = 1 << 17
_LONGEST_PROLOG = 1 << 22
_LONGEST_REFERENCE = 256

_NAME = r"[^\s<>&;%'\"\[\]()=/,|#!?]+"
_DECLARED = re.compile(r"<!\s*doctype", re.IGNORECASE)
_OPENING = re.compile(rf"<!DOCTYPE\s+{_NAME}\s*(?P<outside>(?:SYSTEM|PUBLIC)\b)?(?P<inside>\[)?")
_ENTITY = re.compile(rf"<!ENTITY\s+(?P<name>{_NAME})\s+(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)')\s*>")
_OUTSIDE = re.compile(r"<!ENTITY\s+(?:%|" + _NAME + r"\s+(?:SYSTEM|PUBLIC)\b)")
_NUMBERED = re.compile(r"&#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}));")
_PREDEFINED = {"lt": "<", "gt": ">", "amp": "&", "apos": "'", "quot": '"'}
_ESCAPES = {ord(character): f"&{name};" for name, character in _PREDEFINED.items()} | {10: "&#10;", 13: "&#13;"}
_ENCODING = re.compile(rb"<\?xml\s[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_TEXT_ENCODING = re.compile(
    r"(utf|utf-16|us-ascii|ascii|iso-8859|latin|windows|cp|koi8|big5|gb|euc|shift)[-\d]*(le|be|_[a-z]+|-?jis|[ru]|k|-?(jp|kr|cn|tw))?"
)
_TOKEN = re.compile(rf"<!--|<!\[CDATA\[|<\?|&([^;<&\s]{{1,{_LONGEST_REFERENCE}}});")
_ENDS = {"<!--": "-->", "<![CDATA[": "]]>", "<?": "?>"}


def guarded(stream: ByteStream, name: str) -> Pieces:
    """Return the stream as UTF-8 without its document type declaration, entities in their place; line numbers stay as they are.

    Raises:
        FormatError: From wherever it is read: if the encoding is unknown or the bytes are not valid in it, or if a declaration names
            anything outside the file, holds entities that refer to entities or hold markup, stands where it may not, or expands to more
            than 1 MiB in all.
    """
    return Pieces(_safe(stream, name))


def _safe(stream: ByteStream, name: str) -> Iterator[bytes]:
    text = _decoded(stream, name)
    start, end, entities = _prolog(text, name)
    yield b"\n" * start.count("\n", 0, end)
    checked = _without_declarations(itertools.chain([start[end:]], text), name)
    for piece in _expanded(checked, entities, name) if entities else checked:
        if piece:
            yield piece.encode()


def _decoded(stream: ByteStream, name: str) -> Iterator[str]:
    start = stream.read(_STEP)
    decoder = codecs.getincrementaldecoder(_encoding(start, name))()
    line, data = 1, start
    while data:
        try:
            piece = decoder.decode(data)
        except UnicodeDecodeError as error:
            line += bytes(error.object).count(b"\n", 0, error.start)
            raise FormatError(f"{name}:{line}: the bytes are not {error.encoding}. Correct the encoding that the file declares.") from None
        line += piece.count("\n")
        yield piece
        data = stream.read(_STEP)


def _encoding(start: bytes, name: str) -> str:
    """Return the encoding that the first bytes show or declare."""
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if start.startswith(mark):
            return encoding
    for sign, encoding in ((b"<\0?\0", "utf-16-le"), (b"\0<\0?", "utf-16-be")):
        if start.startswith(sign):
            return encoding
    declared = _ENCODING.match(start.lstrip())
    wanted = declared[1].decode().lower() if declared else "utf-8"
    try:
        known = codecs.lookup(wanted).name if _TEXT_ENCODING.fullmatch(wanted) else ""
    except LookupError:
        known = ""
    if not known or known.startswith(("utf-16", "utf-32", "utf-7")):
        raise FormatError(f"{name}:1: declares the encoding {wanted!r}, which it cannot be read in. Save it as UTF-8.")
    return known


def _prolog(text: Iterator[str], name: str) -> tuple[str, int, dict[str, str]]:
    """Return the first part of the text, where in it the root element begins, and the entities declared before."""
    start, final = "", False
    while True:
        prolog = _Prolog(start, name)
        try:
            return start, prolog.end(), prolog.entities
        except _MoreError:
            if final:
                raise FormatError(f"{name}: the file ends before its first element. Give an RDF/XML document.") from None
        if len(start) > _LONGEST_PROLOG:
            raise FormatError(f"{name}: no element within the first {_LONGEST_PROLOG:,} characters. Give an RDF/XML document.")
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

    def end(self) -> int:
        """Return where the root element begins."""
        declared = False
        while True:
            self._aside()
            if not declared and self._next("<!DOCTYPE"):
                declared = True
                self._declaration()
            else:
                return self._at

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
            ending = next((ending for opening, ending in (("<!--", "-->"), ("<?", "?>")) if self._next(opening)), None)
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
            f"{self._name}:{line}: {what}, which kgrec does not read. Take the declaration out, or convert the file to Turtle."
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
        quote = ""
        for at in range(self._at, len(self._text)):
            character = self._text[at]
            if quote:
                quote = "" if character == quote else quote
            elif character in "\"'":
                quote = character
            elif character == ">":
                return at + 1
        raise _MoreError

    def _entity(self, declaration: str) -> None:
        if _OUTSIDE.match(declaration):
            raise self._refuse("an external or parameter entity")
        found = _ENTITY.fullmatch(declaration)
        if found is None:
            raise self._refuse("a malformed entity")
        value = self._plain(found["double"] if found["double"] is not None else found["single"])
        self.entities.setdefault(found["name"], value.translate(_ESCAPES))

    def _plain(self, value: str) -> str:
        """Return the text that an entity stands for."""
        literal = self._numbered(value)
        if "<" in literal:
            raise self._refuse("an entity that holds markup")
        parts = re.split(r"&(?!#)([^;&]*);", literal)
        if any(name not in _PREDEFINED for name in parts[1::2]):
            raise self._refuse("an entity that refers to entities")
        text = "".join(self._numbered(part) if place % 2 == 0 else _PREDEFINED[part] for place, part in enumerate(parts))
        if any("&" in re.sub(_NUMBERED, "", part) for part in parts[::2]):
            raise self._refuse("an entity with a lone ampersand")
        return text

    def _numbered(self, text: str) -> str:
        """Return text with its numbered characters in place."""
        return _NUMBERED.sub(lambda found: self._character(int(found[1], 16) if found[1] else int(found[2])), text)

    def _character(self, point: int) -> str:
        if point in (9, 10, 13) or 0x20 <= point < 0xD800 or 0xE000 <= point < 0xFFFE or 0x10000 <= point < 0x110000:
            return chr(point)
        raise self._refuse(f"an entity with the character number {point}")


def _without_declarations(pieces: Iterator[str], name: str) -> Iterator[str]:
    """Yield the pieces, none of which may hold another document type declaration."""
    before = ""
    for piece in pieces:
        if _DECLARED.search(before + piece):
            raise FormatError(f"{name}: a document type declaration where none may stand. Take it out, or convert the file to Turtle.")
        before = (before + piece)[-64:]
        yield piece


def _expanded(pieces: Iterator[str], entities: Mapping[str, str], name: str) -> Iterator[str]:
    """Yield the pieces with the entities in their place, except in comments, CDATA and processing instructions."""
    left, ending, grown = "", "", 0
    for piece in itertools.chain(pieces, [None]):
        text, out, at = left + (piece or ""), list[str](), 0
        while True:
            if ending:
                end = text.find(ending, at)
                if end < 0:
                    break
                at, ending = _put(out, text, at, end + len(ending)), ""
            token = _TOKEN.search(text, at)
            if token is None:
                break
            at = _put(out, text, at, token.start())
            value = entities.get(token[1] or "")
            if value is None:
                at, ending = _put(out, text, at, token.end()), _ENDS.get(token[0], "")
                continue
            grown += len(value)
            if grown > MOST_EXPANDED:
                raise FormatError(f"{name}: its entities expand to more than {MOST_EXPANDED:,} characters. Convert the file to Turtle.")
            out.append(value)
            at = token.end()
        safe = len(text) if piece is None else max(at, _open(text, ending))
        yield "".join(out) + text[at:safe]
        left = text[safe:]


def _put(out: list[str], text: str, start: int, end: int) -> int:
    out.append(text[start:end])
    return end


def _open(text: str, ending: str) -> int:
    """Return from where on the text may be the beginning of something that goes on in the next piece."""
    if ending:
        return len(text) - len(ending) + 1
    start = max(0, len(text) - _LONGEST_REFERENCE - 2)
    return min((at for at in (text.find("&", start), text.find("<", start)) if at >= 0), default=len(text))
