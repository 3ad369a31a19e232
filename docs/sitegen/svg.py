"""Boxes, arrows and words as SVG, in the colors of the page that they stand in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

STYLE = """
 .picture text { font: 13px system-ui, sans-serif; fill: var(--color-foreground-primary, #222); }
 .picture .title { font-weight: 600; }
 .picture .small { font-size: 12px; fill: var(--color-foreground-secondary, #555); }
 .picture .code { font-family: ui-monospace, monospace; font-size: 12px; }
 .picture .box { fill: var(--color-background-secondary, #f5f5f5); stroke: var(--color-foreground-border, #888); }
 .picture .strong { fill: var(--color-background-secondary, #f5f5f5); stroke: var(--color-brand-primary, #2757dd); stroke-width: 2; }
 .picture .dashed { fill: none; stroke: var(--color-foreground-border, #888); stroke-dasharray: 4 3; }
 .picture .arrow { fill: none; stroke: var(--color-foreground-muted, #666); stroke-width: 1.4; }
 .picture .head { fill: var(--color-foreground-muted, #666); }
"""


@dataclass
class Picture:
    """A picture that is being drawn. Lengths are in pixels at full width; y grows downward.

    Attributes:
        title: What it shows, for those who cannot see it.
        width: Its width.
        height: Its height.
    """

    title: str
    width: int
    height: int
    _parts: list[str] = field(default_factory=list)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        lines: Sequence[str],
        kind: str = "box",
    ) -> None:
        """Draw a box whose first line is its title; a line in backticks is code."""
        self._parts.append(
            f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
        )
        top = y + height / 2 - (len(lines) - 1) * 9 + 4
        for at, line in enumerate(lines):
            self.text(x + width / 2, top + 18 * at, line, "title" if at == 0 else "small")

    def text(self, x: float, y: float, line: str, kind: str = "", anchor: str = "middle") -> None:
        """Write a line."""
        if line.startswith("`"):
            kind = f"{kind} code"
        self._parts.append(
            f'<text class="{kind.strip()}" x="{x}" y="{y}" text-anchor="{anchor}">'
            f"{escape(line.strip('`'))}</text>"
        )

    def arrow(self, *points: tuple[float, float], label: str = "", both: bool = False) -> None:
        """Draw a line through points with a head at its end, and a label over its middle."""
        (x, y), (end_x, end_y) = points[-2:]
        length = max(((end_x - x) ** 2 + (end_y - y) ** 2) ** 0.5, 1)
        to_x = (end_x - x) / length
        to_y = (end_y - y) / length
        path = " ".join(f"{a:g},{b:g}" for a, b in points)
        self._parts.append(f'<polyline class="arrow" points="{path}"/>')
        self._head(end_x, end_y, to_x, to_y)
        if both:
            self._head(*points[0], -to_x, -to_y)
        if label:
            first = points[0]
            self.text((first[0] + end_x) / 2, (first[1] + end_y) / 2 - 6, label, "small")

    def _head(self, x: float, y: float, to_x: float, to_y: float) -> None:
        left = (x - 8 * to_x + 4 * to_y, y - 8 * to_y - 4 * to_x)
        right = (x - 8 * to_x - 4 * to_y, y - 8 * to_y + 4 * to_x)
        corners = " ".join(f"{a:.1f},{b:.1f}" for a, b in ((x, y), left, right))
        self._parts.append(f'<polygon class="head" points="{corners}"/>')

    def svg(self) -> str:
        """Return the picture; on a narrow screen it is scrolled, not shrunk until unreadable."""
        return (
            f'<div class="picture" tabindex="0" role="group" aria-label="{escape(self.title)}">'
            f'<svg viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            f'height="{self.height}" role="img" aria-label="{escape(self.title)}" '
            f'xmlns="http://www.w3.org/2000/svg">\n<style>{STYLE}</style>\n'
            + "\n".join(self._parts)
            + "\n</svg></div>\n"
        )
