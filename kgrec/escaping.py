"""One escaping function per place a label can end up in. Labels come from other people's graphs and
are hostile until escaped.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

LONGEST = 200
_READ = 10_000
# Joiners are spelling between letters of Arabic and Indic scripts, and between the parts of an emoji.
_JOINED = "[\u0600-\u06ff\u0750-\u077f\u0900-\u0dff\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]"
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
    f"|(?<!{_JOINED})[\u200c\u200d]|[\u200c\u200d](?!{_JOINED})"
)
_MARKS = re.compile(
    "([\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff]{4})[\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff]+"
)


def terminal(text: str) -> str:
    r"""Return text with control characters, invisible ones and bidirectional overrides written out,
    capped at 200 characters.

    >>> terminal("a\x1b[31mb"), terminal("a\u200db"), len(terminal("می\u200cروم"))
    ('a\\x1b[31mb', 'a\\u200db', 6)
    """
    shown = _MARKS.sub(r"\1", text[:_READ])
    if len(shown) <= LONGEST:
        shown = shown
    else:
        shown = shown[: LONGEST - 1] + "…"

    return _UNSAFE.sub(
        lambda found: (
            f"\\x{ord(found[0]):02x}" if ord(found[0]) < 256 else f"\\u{ord(found[0]):04x}"
        ),
        shown,
    )


def clean(text: str) -> str:
    r"""Return text as one line that cannot drive a terminal: white space becomes blanks, control
    characters are written out.

    >>> clean("two\nlines"), clean("\x1b[31mred")
    ('two lines', '\\x1b[31mred')
    """
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def html_text(text: str) -> str:
    """Return text for an HTML or SVG text node, or a quoted attribute."""
    import html  # its table of entities is large, and most commands write no page

    return html.escape(terminal(text), quote=True)


def markdown(text: str) -> str:
    r"""Return text on one line that Markdown takes for no markup.

    >>> markdown("a_b | <i> #1")
    'a\\_b \\| \\<i\\> \\#1'
    """
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", " ".join(clean(text).split()))


def csv_safe(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Return a frame whose text cells no spreadsheet takes for a formula: before ``= + - @`` (in
    full width, too) goes a quote.
    """
    import polars as pl

    text = pl.selectors.string()
    formula = text.str.contains(r"^[=+\-@\t\r\n\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]")
    return frame.with_columns(pl.when(formula).then(pl.lit("'") + text).otherwise(text).name.keep())
