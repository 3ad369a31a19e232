"""What must hold of the finished site: links lead somewhere, nothing comes from the web."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kgrec.errors import DataError

_LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


class _Page(HTMLParser):
    """The links, the ids, and what is loaded, of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names."""
        found = dict(attrs)
        self.ids |= {value for name in ("id", "name") if (value := found.get(name))}
        address = found.get(_LOADED.get(tag, ""))
        if address and not (tag == "link" and found.get("rel") in ("canonical", "next", "prev")):
            self.loaded.append(address)
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")


def check_site(folder: Path) -> int:
    """Return how many pages a site has.

    Raises:
        DataError: If an internal link leads nowhere, or a page loads something from the web.
    """
    pages = {path: _read(path) for path in sorted(folder.rglob("*.html"))}
    faults = [
        f"{path.relative_to(folder)}: {fault}"
        for path, page in pages.items()
        for fault in _faults(path, page, pages)
    ]
    if faults:
        shown = "; ".join(faults[:20])
        raise DataError(f"{len(faults)} faults in links of the site: {shown}. Mend the pages.")

    return len(pages)


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _faults(path: Path, page: _Page, pages: dict[Path, _Page]) -> list[str]:
    faults = [f"loads {address}" for address in page.loaded if urlsplit(address).netloc]
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
