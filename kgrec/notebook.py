"""What records show of themselves in a notebook: tables and sentences, no script and no style sheet.
Every text is someone else's until it is escaped.
"""

from collections.abc import Iterable, Sequence

from kgrec.escaping import html_text

_NOTES = 8


def html_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], notes: Sequence[str] = ()
) -> str:
    """Return an HTML fragment: a table under its title, and sentences below it.

    Args:
        title: What it is a table of.
        columns: Names of the columns.
        rows: Cells; the first one names the row, numbers stand to the right, a float has four
            digits behind the point, None is empty.
        notes: What a reader must know; of many, the first, with the number of the others.
    """
    head = "".join(f'<th scope="col">{html_text(name)}</th>' for name in columns)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    return (
        f"<div><table><caption>{_paragraph(title)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>{_noted(notes)}</div>"
    )


def _cells(row: Sequence[object]) -> str:
    first, *others = row
    return f'<th scope="row" style="text-align: left">{_shown(first)}</th>' + "".join(
        map(_cell, others)
    )


def _cell(value: object) -> str:
    right = isinstance(value, int | float)
    style = ' style="text-align: right"' if right else ""
    return f"<td{style}>{_shown(value)}</td>"


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return _paragraph(str(value))


def _noted(notes: Sequence[str]) -> str:
    shown = [*notes[:_NOTES]]
    if len(notes) > _NOTES:
        shown.append(f"and {len(notes) - _NOTES} more notes")
    return "".join(f"<p>{_paragraph(note)}</p>" for note in shown)


def _paragraph(text: str) -> str:
    """Escape a text word by word: a label's cap is not a sentence's."""
    return " ".join(html_text(word) for word in text.split())
