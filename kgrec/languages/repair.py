r"""Labels that a program before us spoiled: UTF-8 that was read as another encoding ("AmÃ©lie"), and
references of HTML ("Tom &amp; Jerry").

A label is repaired only where all of it reads as UTF-8 once its characters are bytes again, and what
comes out is letters of one script: text that was right from the start is not, but for words in
capitals before closing quotes ("IRMÃ”"), which are left alone and called doubtful.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_LONGEST = 10_000
_PASSES = 3  # text may be spoiled more than once: "&amp;amp;", "ÃƒÂ©"
_REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ENCODINGS = ("cp1252", "cp1250", "cp1251", "mac_roman")
_FALSE_START = "\ufeff"
_LATIN = range(0x00C0, 0x0180)
_TYPOGRAPHY = frozenset(
    chr(code)
    for code in (*range(0xA0, 0xC0), *range(0x2010, 0x203B), 0x20AC, 0x2116, 0x2122, 0x2212)
)
_MIXED = frozenset(("CJK", "HIRAGANA", "KATAKANA"))
# What may follow a capital in a label that is right: closing quotes, dots, dashes.
_CLOSING = frozenset("\u201c\u201d\u2018\u2019\u00bb\u203a\u2026\u2013\u2014\u00ae\u2122")


def _characters(encoding: str) -> dict[str, int]:
    """Return the bytes that characters stand for where an encoding was taken for UTF-8's; a byte
    that it does not have became the character of its number.
    """
    found = {}
    for byte in range(256):
        try:
            found[bytes([byte]).decode(encoding)] = byte
        except UnicodeDecodeError:
            found[chr(byte)] = byte

    if encoding == "cp1252":
        # Latin-1 differs in these alone.
        found |= {chr(byte): byte for byte in range(0x80, 0xA0)}

    return found


_BYTES = {encoding: _characters(encoding) for encoding in _ENCODINGS}
_TABLES = {
    encoding: dict.fromkeys(range(0x80, 0x100), 0xFFFF)
    | {ord(character): byte for character, byte in table.items()}
    for encoding, table in _BYTES.items()
}


def _pairs() -> str:
    """Return a pattern of the first two bytes of a character of UTF-8, as the encodings show them."""
    leads: set[str] = set()
    further: set[str] = set()
    for table in _BYTES.values():
        leads |= {character for character, byte in table.items() if 0xC2 <= byte <= 0xF4}
        further |= {character for character, byte in table.items() if 0x80 <= byte <= 0xBF}

    return f"[{''.join(map(re.escape, sorted(leads)))}][{''.join(map(re.escape, sorted(further)))}]"


SPOILED = f"{_pairs()}|{_REFERENCE.pattern}"
"""What occurs in every label that can be repaired, and in few others."""

_SPOILED = re.compile(SPOILED)
_PAIR = re.compile(_pairs())
_WORD = re.compile(r"\S*[ÂÃÄÅĂĹâ][^\x00-\x7f]\S*")
_CONTROLS = ("Cc", "Cf", "Cn", "Co", "Cs")


def repaired(label: str) -> str:
    """Return a label as it was meant, itself where nothing shows that it was spoiled.

    >>> repaired("AmÃ©lie"), repaired("Tom &amp;amp; Jerry"), repaired("AT&T; RÃ")
    ('Amélie', 'Tom & Jerry', 'AT&T; RÃ')
    """
    if not _SPOILED.search(label[:_LONGEST]):
        return label

    for _ in range(_PASSES):
        before = label
        label = _without_references(_decoded(label))
        if label == before:
            break

    return label


def is_doubtful(label: str) -> bool:
    """Return whether a label may be spoiled and may be right, and is therefore left as it is.

    >>> is_doubtful("IRMÃ”"), is_doubtful("Amélie")
    (True, False)
    """
    if not _SPOILED.search(label[:_LONGEST]) or repaired(label) != label:
        return False
    return any(_read(label, encoding) is not None for encoding in _ENCODINGS[:2])


def _without_references(label: str) -> str:
    if not _REFERENCE.search(label):
        return label

    import html  # its table of names is large, and few labels need it

    def meant(found: re.Match[str]) -> str:
        character = html.unescape(found[0])
        return found[0] if character in ("", "\ufffd") else character

    return _REFERENCE.sub(meant, label)


def _decoded(label: str) -> str:
    """Return a label read as UTF-8; words of it where other words were right."""
    if label.isascii():
        return label

    whole = _reading(label)
    if whole is not None:
        return whole

    return _WORD.sub(lambda found: _reading(found[0], part=True) or found[0], label)


def _reading(label: str, part: bool = False) -> str | None:
    """Return what a label surely was, None if nothing is sure."""
    for encoding in _ENCODINGS[:2] if part else _ENCODINGS:
        text = _read(label, encoding)
        if text is not None and _is_sure(label, text, encoding, part):
            return text

    return None


def _read(label: str, encoding: str) -> str | None:
    """Return the label with its characters as bytes, read as UTF-8; None where it cannot be."""
    try:
        text = label.translate(_TABLES[encoding]).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None

    return None if text == label else text.removeprefix(_FALSE_START)


def _is_sure(label: str, text: str, encoding: str, part: bool) -> bool:
    """Return whether a reading is what was meant, and no accident of a right label."""
    special = [character for character in text if ord(character) > 0x7F]
    if any(unicodedata.category(character) in _CONTROLS for character in special):
        return not part and _reading(text) is not None  # it was spoiled twice

    others = [one for one in special if ord(one) not in _LATIN and one not in _TYPOGRAPHY]
    if not others:
        table = _BYTES[encoding]
        return not any(_can_be_right(found, table, part) for found in _PAIR.finditer(label))
    if part or encoding == "mac_roman":
        return False

    # One letter of a far script can be an accident ("Spaß“" ends like NKo), a word is none.
    if all(unicodedata.category(one)[0] in "SM" for one in others):
        return True

    scripts = {unicodedata.name(one, "").split(" ")[0] for one in others if one.isalpha()}
    return len(others) > 1 and (len(scripts) == 1 or scripts <= _MIXED)


def _can_be_right(found: re.Match[str], table: dict[str, int], part: bool) -> bool:
    """Return whether two characters that read as one of UTF-8 can be a capital and what closes: no
    small letter is beside them.
    """
    lead = found[0][0]
    closing = found[0][1]
    if closing not in _CLOSING or lead == "Â" or table.get(lead, 0) > 0xDF:
        return part and closing in _CLOSING

    before = found.string[: found.start()][-1:]
    after = found.string[found.end() :][:1]
    return part or not (_is_small(before) or _is_small(after))


def _is_small(character: str) -> bool:
    return character.isascii() and character.islower()


@dataclass(frozen=True, slots=True)
class Repairs:
    """What is spoiled among labels.

    Attributes:
        encoded: Labels shown otherwise, of which UTF-8 was taken for another encoding.
        references: Labels shown otherwise for their references of HTML alone.
        doubtful: Labels that may be spoiled, shown as they are.
        lost: Labels with characters that an earlier program could not read (U+FFFD).
        encoded_as: One of the first as it is stored, and as it is shown.
        references_as: One of the second likewise.
        left: One of the doubtful ones.
        lost_in: One of the last.
    """

    encoded: int = 0
    references: int = 0
    doubtful: int = 0
    lost: int = 0
    encoded_as: tuple[str, str] = ("", "")
    references_as: tuple[str, str] = ("", "")
    left: str = ""
    lost_in: str = ""


def count_repairs(labels: Iterable[str]) -> Repairs:
    """Return what is spoiled among labels; those without ``SPOILED`` and U+FFFD need not be there.

    >>> count_repairs(["AmÃ©lie", "Tom &amp; Jerry", "Heat"]).references_as
    ('Tom &amp; Jerry', 'Tom & Jerry')
    """
    encoded: list[tuple[str, str]] = []
    references: list[tuple[str, str]] = []
    doubtful: list[str] = []
    lost: list[str] = []
    for label in labels:
        lost += [label] * ("\ufffd" in label)
        shown = repaired(label)
        if shown == label:
            doubtful += [label] * is_doubtful(label)
        elif _without_references(label) == shown:
            references.append((label, shown))
        else:
            encoded.append((label, shown))

    return Repairs(
        len(encoded),
        len(references),
        len(doubtful),
        len(lost),
        (encoded or [("", "")])[0],
        (references or [("", "")])[0],
        (doubtful or [""])[0],
        (lost or [""])[0],
    )
