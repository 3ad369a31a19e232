"""A small trained world, hostile labels for all that has one, a server in a thread, and a real
browser where there is one.
"""

import shutil
import threading
from contextlib import contextmanager

import pytest


@pytest.fixture(scope="session")
def payloads():
    """Forty labels of somebody who wants the reader's browser or terminal."""
    out = "http://192.0.2.1/kgrec"
    return [
        "<img src=x onerror=alert(1)>",
        f'<img src="{out}/a.png">',
        "<script>alert(2)</script>",
        "</script><script>alert(3)</script>",
        "</title><script>alert(4)</script>",
        "</textarea><script>alert(5)</script>",
        "</style><script>alert(6)</script>",
        "--><script>alert(7)</script><!--",
        "]]><script>alert(8)</script>",
        '"><script>alert(9)</script>',
        "'><script>alert(10)</script>",
        '" onmouseover=alert(11) autofocus onfocus=alert(11) x="',
        "' onclick=alert(12) '",
        "` onload=alert(13) `",
        "javascript:alert(14)",
        "JaVaScRiPt:alert(15)//http://example.org/",
        "data:text/html,<script>alert(16)</script>",
        "vbscript:msgbox(17)",
        "<svg onload=alert(18)>",
        "<svg><script>alert(19)</script></svg>",
        "<svg><animate onbegin=alert(20) attributeName=x dur=1s>",
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(21)>",
        "<details open ontoggle=alert(22)>",
        f"<iframe src={out}/frame></iframe>",
        f'<link rel=stylesheet href="{out}/a.css">',
        f"<style>@import '{out}/b.css'; body {{ display: none }}</style>",
        f"<base href={out}/>",
        f'<meta http-equiv=refresh content="0;url={out}/go">',
        f"<form action={out}/form><input autofocus onfocus=alert(29)>",
        f"<object data={out}/o></object><embed src={out}/e>",
        "{{constructor.constructor('alert(31)')()}}",
        "${alert(32)} <%= alert(32) %> #{alert(32)}",
        "line one\u2028alert(33)\u2029line two",
        "\u202eevil gnp.exe\u202c \u2066turned\u2069",
        "zero\u200bwidth\ufeff\u00adhyphen",
        "\x1b[31mred\x1b]0;title\x07\x1b[2J\r\nnext",
        "\x00null\x01\x7f",
        "=cmd|' /C calc'!A0",
        "Z" + "\u0301" * 500 + "algo",
        "<b>" + "long " * 200_000 + "</b>",
    ]


@pytest.fixture(scope="session")
def hostile_run(payloads):
    """A trained model whose users, items, entities, relations, file and name all have such
    labels.
    """
    import numpy as np
    import polars as pl

    import kgrec
    from kgrec.data.records.dataset import Dataset
    from kgrec.data.records.interactions import Interactions
    from kgrec.data.records.triples import Triples
    from kgrec.data.records.vocabulary import Vocabulary

    size = len(payloads)
    rng = np.random.default_rng(0)
    # Item i has relation i to entity i, and relation i - 1 to entity i - 1: neighbors in number
    # share an entity.
    facts = [(i, r % size, size + r % size) for i in range(size) for r in (i, i - 1)]
    head, relation, tail = (np.array(column, dtype=np.int32) for column in zip(*facts, strict=True))
    keys = [f"http://example.org/{n}" for n in range(size)] + [
        f"{text[:60]} {n}" for n, text in enumerate(payloads)
    ]
    triples = Triples(
        entities=Vocabulary(keys),
        relations=Vocabulary(
            [f"{text[:60]} r{n}" for n, text in enumerate(payloads)], kind="relation"
        ),
        head=head,
        relation=relation,
        tail=tail,
        source=np.arange(len(facts), dtype=np.uint16) % size,
        locator=np.arange(1, len(facts) + 1),
        sources=tuple(text.replace("/", "|")[:300] + f"{n}.nt" for n, text in enumerate(payloads)),
        labels=pl.Series("label", [*payloads, *payloads], dtype=pl.String),
        relation_labels=pl.Series("label", payloads, dtype=pl.String),
    )
    likes = sorted(
        {
            (user, int(item) % size)
            for user in range(size)
            for item in [user, user + 1, user + 3, rng.integers(size)]
        }
    )
    users, items = (np.array(column, dtype=np.int32) for column in zip(*likes, strict=True))
    data = Dataset(
        name=payloads[0],
        users=Vocabulary([f"u{n}" for n in range(size)], kind="user"),
        items=Vocabulary([f"{text[:60]} i{n}" for n, text in enumerate(payloads)], kind="item"),
        triples=triples,
        train=Interactions(users, items),
        valid=Interactions(),
        test=Interactions(),
        user_labels=pl.Series("label", payloads, dtype=pl.String),
    )
    return kgrec.fit("lightgcn-kg", data, dim=8, epochs=2)


@pytest.fixture(scope="session")
def films_run():
    """The bundled films, trained for a moment."""
    import kgrec

    return kgrec.fit("lightgcn-kg", kgrec.load("films"), dim=16, epochs=3)


@contextmanager
def _serving(inspector):
    from kgrec.serving.server import Service, open_socket

    service = Service(inspector, open_socket(0))
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield service.address
    finally:
        service.stop()
        thread.join(20)
        assert not thread.is_alive(), "the server did not stop"


@pytest.fixture(scope="session")
def serving():
    """Return a context that serves an inspector in a thread and gives the address, token
    included.
    """
    return _serving


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium under Playwright, or a skip that says what is missing."""
    path = next(
        (
            found
            for name in ("chromium", "chromium-browser", "google-chrome")
            if (found := shutil.which(name))
        ),
        None,
    )
    if path is None:
        pytest.skip("needs Chromium on the PATH (Debian: apt-get install chromium)")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright, of the dev extra"
    )
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


class Watch:
    """A page, and all that must not happen on it."""

    def __init__(self, browser, origin, **settings):
        self.origin = origin
        self.context = browser.new_context(**settings)
        self.page = self.context.new_page()
        self.dialogs, self.elsewhere, self.errors = [], [], []
        note = "(e) => window.__reports.push(`${e.violatedDirective} ${e.blockedURI}`)"
        self.page.add_init_script(
            f"window.__reports = []; document.addEventListener('securitypolicyviolation', {note});"
        )
        self.page.on("dialog", self._dialog)
        self.page.on("request", lambda request: self._requested(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type == "error" else None,
        )
        self.page.set_default_timeout(30_000)

    def _dialog(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _requested(self, url):
        if not url.startswith((self.origin, "data:", "blob:")):
            self.elsewhere.append(url)

    def reports(self):
        return self.page.evaluate("window.__reports")

    def told(self):
        """Everything that must not have happened and did."""
        return {
            "dialogs": self.dialogs,
            "requests": self.elsewhere,
            "policy": self.reports(),
            "errors": self.errors,
        }

    def text(self):
        return self.page.evaluate("document.body.textContent")


@pytest.fixture
def watch(chromium):
    """Return a function that opens a watched page; ``origin`` is all it may ask."""
    opened = []

    def make(origin, **settings):
        opened.append(Watch(chromium, origin, **settings))
        return opened[-1]

    yield make
    for one in opened:
        one.context.close()
