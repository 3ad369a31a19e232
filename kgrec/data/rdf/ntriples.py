"""N-Triples and N-Quads, read in blocks of lines.

Compiled code reads the lines that are plain beyond doubt, pyoxigraph the others.
"""

from collections.abc import Iterator

import pyoxigraph as ox

from kgrec.data.graphs.assemble import RawTriples
from kgrec.data.io.compression import ByteStream, Pieces
from kgrec.data.io.prefetch import overlapped
from kgrec.data.rdf.collect import (
    CompiledCollector,
    PythonCollector,
    RdfOptions,
    collector,
    too_large,
)
from kgrec.data.records.report import Skipped
from kgrec.errors import FormatError

FORMATS = (ox.RdfFormat.N_TRIPLES, ox.RdfFormat.N_QUADS)

_BLOCK = 1 << 20
_LONGEST = 1 << 24
_NOTHING = memoryview(b"")


def read_lines(
    stream: ByteStream, name: str, format: ox.RdfFormat, options: RdfOptions
) -> RawTriples:
    """Return the facts of a stream of N-Triples or N-Quads; the locator is the line.

    Args:
        stream: Bytes without a byte-order mark.
        name: Of the source.
        format: Which of the two it is.
        options: How to read; ``on_error="skip"`` leaves out lines that cannot be read.

    Raises:
        FormatError: At the first line that is no statement, or is longer than 16 MiB; the message
            names it.
    """
    reader = _LineReader(name, format, options)
    overlapped(_blocks(stream), reader.take)
    return reader.gathered.facts(name, format.name, reader.skipped)


def _blocks(stream: ByteStream) -> Iterator[tuple[bytes, memoryview, bool]]:
    """Yield a line that is in two pieces, the whole lines of the second piece, which need no copy,
    and whether what is left of a line was cut since it is too long.
    """
    if isinstance(stream, Pieces):
        pieces = stream.pieces()
    else:
        pieces = iter(lambda: stream.read(_BLOCK), b"")

    rest = b""
    for data in pieces:
        end = data.rfind(b"\n") + 1
        if end:
            begin = data.find(b"\n") + 1 if rest else 0
            yield rest + data[:begin], memoryview(data)[begin:end], False
            rest = data[end:]
        elif len(rest) + len(data) <= _LONGEST:
            rest += data
        else:
            yield b"", _NOTHING, True
            rest = next((piece.partition(b"\n")[2] for piece in pieces if b"\n" in piece), b"")

    if rest:
        yield rest, _NOTHING, False


class _LineReader:
    def __init__(self, name: str, format: ox.RdfFormat, options: RdfOptions) -> None:
        self.gathered = collector(options, format == ox.RdfFormat.N_QUADS)
        self.skipped = Skipped(name)
        self._name = name
        self._format = format
        self._lenient = options.on_error == "skip"
        self._line = 1

    def take(self, piece: tuple[bytes, memoryview, bool]) -> None:
        cut_line, lines, too_long = piece
        if too_long:
            self._refuse(self._line, f"the line is longer than {_LONGEST:,} bytes")
            self._line += 1

        for block in (cut_line, lines):
            if not len(block):
                continue

            if isinstance(self.gathered, CompiledCollector):
                try:
                    self._line = self.gathered.reader.feed(block, self._line, odd=self._take_line)
                except MemoryError:
                    raise too_large(self._name) from None
            else:
                self._line = self._take_block(self.gathered, bytes(block))

    def _take_block(self, gathered: PythonCollector, block: bytes) -> int:
        """Take a block as a whole where each of its lines holds one statement, else line by line;
        return the next line.
        """
        lines = block.removesuffix(b"\n").split(b"\n")
        stated = [
            number
            for number, line in enumerate(lines, start=self._line)
            if line.strip(b" \t\r")[:1] not in (b"", b"#")
        ]

        if b"\r" not in block.replace(b"\r\n", b"\n"):
            try:
                statements = list(ox.parse(block, format=self._format))
            except (SyntaxError, ValueError):
                statements = []
            if len(statements) == len(stated):
                gathered.take_each(statements, stated)
                return self._line + len(lines)

        for number, line in enumerate(lines, start=self._line):
            self._take_line(line, number)

        return self._line + len(lines)

    def _take_line(self, text: bytes, line: int) -> None:
        try:
            statements = list(ox.parse(text.rstrip(b"\r\n"), format=self._format))
        except SyntaxError as error:
            if b"\r" in text.rstrip(b"\r\n"):
                within = (error.lineno or 1) - 1
            else:
                within = 0
            self._refuse(line + within, reason(error))
        except ValueError as error:  # bytes that are not UTF-8 among them
            self._refuse(line, reason(error))
        else:
            self.gathered.take(statements, line)

    def _refuse(self, line: int, why: str) -> None:
        if not self._lenient:
            raise FormatError(
                f"{self._name}:{line}: not valid {self._format.name}: {why}. Correct the line, "
                "or leave such lines out with on_error skip."
            )
        self.skipped.add(line)


def reason(error: SyntaxError | ValueError) -> str:
    """Return what pyoxigraph found, in one short line without the place."""
    text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    _, found, said = text.partition(": ")
    return (said if found and text.startswith("Parser error ") else text)[:300].rstrip(".")
