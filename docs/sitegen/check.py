"""What must hold of the finished site: links lead somewhere, nothing is loaded from the web, no
page has a section twice.
"""

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kgrec.errors import DataError

_LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
_HEADINGS = ("h1", "h2")


class _Page(HTMLParser):
    """The links, the ids, and what is loaded, of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.headings: list[str] = []
        self._heading: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names."""
        found = dict(attrs)
        self.ids |= {value for name in ("id", "name") if (value := found.get(name))}
        address = found.get(_LOADED.get(tag, ""))
        if address and not (tag == "link" and found.get("rel") in ("canonical", "next", "prev")):
            self.loaded.append(address)
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")
        if tag in _HEADINGS:
            self._heading = ""

    def handle_data(self, data: str) -> None:
        """Gather the words of a heading."""
        if self._heading is not None:
            self._heading += data

    def handle_endtag(self, tag: str) -> None:
        """Note the heading that ends."""
        if tag in _HEADINGS and self._heading is not None:
            self.headings.append(self._heading.strip().rstrip("\xb6#"))
            self._heading = None


def check_site(folder: Path) -> int:
    """Return how many pages a site has.

    Raises:
        DataError: If an internal link leads nowhere, a page loads something from the web, or two
            of its headings are the same.
    """
    pages = {path: _read(path) for path in sorted(folder.rglob("*.html"))}
    faults = [
        f"{path.relative_to(folder)}: {fault}"
        for path, page in pages.items()
        for fault in _faults(path, page, pages)
    ]
    if faults:
        shown = "; ".join(faults[:20])
        raise DataError(f"{len(faults)} faults of the site: {shown}. Mend the pages.")

    return len(pages)


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _repeated(names: list[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _faults(path: Path, page: _Page, pages: dict[Path, _Page]) -> list[str]:
    faults = [f"loads {address}" for address in page.loaded if urlsplit(address).netloc]
    faults += [f"two headings {twice!r}" for twice in _repeated(page.headings)]
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue

        goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if goal.is_dir():
            goal /= "index.html"
        fragment = unquote(parts.fragment)
        if not goal.is_file():
            faults.append(f"{link} leads nowhere")
        elif fragment and goal in pages and fragment not in pages[goal].ids:
            faults.append(f"{link}: no such section")

    return faults
