"""The inspector in a real browser: hostile labels stay text, and the journey from a user to a saved
page works.
"""

import http.server
import json
import re
import threading
import time
from urllib.parse import urlencode

import pytest

pytest.importorskip("starlette", reason="needs starlette, of the inspect extra")
pytestmark = pytest.mark.slow

MINUS = "\N{MINUS SIGN}"
NOTHING = {"dialogs": [], "requests": [], "policy": [], "errors": []}


@pytest.fixture(scope="module")
def hostile(hostile_run, serving):
    from kgrec.serving.inspector import Inspector

    with serving(Inspector(hostile_run)) as address:
        yield address


@pytest.fixture(scope="module")
def films(films_run, serving):
    from kgrec.serving.inspector import Inspector

    with serving(Inspector(films_run)) as address:
        yield address


def go(page, screen, **params):
    """Open a screen and wait until it is whole."""
    page.evaluate("delete document.body.dataset.ready")
    page.evaluate(
        "(hash) => { location.hash = hash; }", f"#/{screen}?{urlencode(params, doseq=True)}"
    )
    ready(page, {"recommendations": "reasons", "why": "paths"}.get(screen, screen))


def ready(page, name):
    page.wait_for_selector(f"body[data-ready={name}]")


def until(page, truth, seconds=20):
    """Wait for a truth; Playwright's own way to do so is forbidden by the page's policy."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(truth):
        assert time.monotonic() < deadline, truth
        page.wait_for_timeout(20)


def start(seen, address):
    seen.page.goto(address)
    ready(seen.page, "users")
    return seen.page


def api(page, question, body=None, **params):
    """Ask the server as the page does."""
    return page.evaluate(
        """async ([question, body]) => {
            const headers = { "X-Kgrec-Token": localStorage.getItem("kgrec-token"), "Content-Type": "application/json" };
            const answer = await fetch(`/api/${question}`, { headers, method: body ? "POST" : "GET", body: body && JSON.stringify(body) });
            return answer.json();
        }""",
        [f"{question}?{urlencode(params, doseq=True)}", body],
    )


def as_number(shown):
    return float(
        shown.replace(MINUS, "-")
        .replace("+", "")
        .replace(",", "")
        .removesuffix("%")
        .removesuffix("times")
        .strip()
    )


def check_numbers(page):
    """Every number of the page is the one of the JSON, to the digits that are shown."""
    pairs = page.evaluate(
        "[...document.querySelectorAll('[data-value]')].map((e) => [e.textContent, "
        "Number(e.dataset.value)])"
    )
    assert pairs
    for shown, value in pairs:
        if "under" in shown or not re.search(r"\d", shown):
            continue
        mantissa = re.match(r"[+-]?([\d.]+)(?:e([-+]\d+))?", shown.replace(MINUS, "-"))
        assert mantissa, shown
        digits = len(mantissa[1].partition(".")[2])
        power = int(mantissa[2] or "0")
        scale = 100 if "%" in shown else 1
        assert abs(as_number(shown) - scale * value) <= 0.500001 * 10.0 ** (power - digits), (
            shown,
            value,
        )


def tab_to(page, selector):
    """Press Tab until the focus is on an element; nothing else is used."""
    for _ in range(200):
        if page.evaluate("(s) => document.activeElement.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {selector}")


# ---- hostile labels


def shown_literally(text, payloads):
    """Return the payloads that are not on a page as the text they are."""
    from kgrec.escaping import terminal

    return [payload[:60] for payload in payloads if terminal(payload) not in text]


def tour(seen, users, items):
    """Open every screen with hostile labels on it, press what there is to press, and return all
    text.
    """
    page, text, opened = seen.page, [seen.text()], 0
    while page.get_by_role("button", name="Show more").count():
        page.get_by_role("button", name="Show more").click()
        page.wait_for_timeout(150)
    text.append(seen.text())
    for view in ("cards", "numbers"):
        go(page, "recommendations", user=users[0], k=40, view=view)
        text.append(seen.text())
    for user, item in zip(users, items, strict=False):
        go(page, "why", user=user, item=item, users="show", k=25)
        text.append(seen.text())
        if page.locator("button.hop").count():
            opened += 1
            page.locator("button.hop").nth(1).click()
            text.append(seen.text())
            page.keyboard.press("Escape")
            page.hover(".lane")
    assert opened >= 3
    return "\n".join(text)


def test_hostile_labels_are_text_on_the_served_pages(watch, hostile, hostile_run, payloads):
    seen = watch(hostile.partition("#")[0])
    page = start(seen, hostile)
    data = hostile_run.data
    text = tour(
        seen, ["u0", "u9", "u18", "u27", "u36"], [data.items.key(n) for n in (2, 11, 20, 29, 38)]
    )
    go(page, "compare", user="u5", first=data.items.key(20), second=data.items.key(21))
    go(page, "what-if", user="u5", item=data.items.key(20), remove=data.items.key(5))
    text += seen.text()
    page.get_by_role("button", name="What would change the top item?").click()
    page.wait_for_selector(".flip")
    go(page, "overall")
    go(page, "about")
    assert shown_literally(text, payloads) == []
    strange = (
        "main img, main script, main iframe, main style, main base, main form, main "
        "object, svg[onload]"
    )
    assert page.locator(strange).count() == 0
    for kind, key in (("item", data.items.key(20)), ("entity", data.triples.entities.key(60))):
        go(page, kind, **{kind: key})
        page.get_by_role("button", name="Look through the lists").click()
        page.wait_for_selector(".answer .state, .answer .recs")
    links = page.evaluate(
        "[...document.querySelectorAll('a')].map((a) => [a.getAttribute('href'), a.rel])"
    )
    assert all(
        address.startswith("#") or (address.startswith("http") and rel == "noopener noreferrer")
        for address, rel in links
    )
    assert seen.told() == NOTHING


def test_hostile_labels_are_text_in_the_offline_page(watch, hostile_run, payloads, tmp_path):
    from kgrec.serving.export import export_page
    from kgrec.serving.inspector import Inspector

    users = [f"u{n}" for n in range(40)]
    file = tmp_path / "saved.html"
    file.write_text(export_page(Inspector(hostile_run), users, 2), encoding="utf-8")
    seen = watch(file.as_uri())
    seen.context.set_offline(True)
    start(seen, file.as_uri())
    listed = hostile_run.recommend(users, k=1)
    text = tour(seen, listed["user"].to_list()[:8], listed["item"].to_list()[:8])
    assert shown_literally(text, payloads) == []
    assert seen.told() == NOTHING


def test_hostile_labels_are_text_in_a_notebook(watch, hostile_run, payloads, tmp_path):
    file = tmp_path / "notebook.html"
    explainer, data = hostile_run.explainer(), hostile_run.data
    told = [explainer.explain(f"u{n}", data.items.key((n + 2) % 40), k=5) for n in range(40)]
    file.write_text(
        f"<!doctype html><meta charset=utf-8><body>{''.join(one._repr_html_() for one in told)}",
        encoding="utf-8",
    )
    seen = watch(file.as_uri())
    seen.page.goto(file.as_uri())
    seen.page.wait_for_timeout(500)
    assert shown_literally(seen.text(), payloads) == []
    assert seen.told() == NOTHING


SAFE = 'const label = (text, attributes) => el("bdi", attributes || null, plain(text));'
UNSAFE = 'const label = (text, attributes) => { const made = el("bdi", attributes || null); made["inner" + "HTML"] = text; return made; };'


@pytest.mark.parametrize("policy", [True, False])
def test_an_unescaped_build_is_noticed(watch, hostile_run, tmp_path, monkeypatch, policy):
    from kgrec.serving import pages
    from kgrec.serving.export import export_page
    from kgrec.serving.inspector import Inspector

    whole = pages.asset
    assert SAFE in whole("dom.js")
    monkeypatch.setattr(pages, "asset", lambda name: whole(name).replace(SAFE, UNSAFE))
    text = export_page(Inspector(hostile_run), ["u0", "u18"], 5)
    if not policy:
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    file = tmp_path / "broken.html"
    file.write_text(text, encoding="utf-8")
    seen = watch(file.as_uri())
    seen.page.goto(file.as_uri())
    seen.page.wait_for_timeout(1_000)
    told = seen.told()
    assert told["policy"] or told["errors"] if policy else told["dialogs"] or told["requests"]


# ---- the journey


DROPS = "(all) => all.map((e) => [e.dataset.kind, Number(e.dataset.value)])"


def test_the_journey_with_the_mouse(watch, films, tmp_path):
    seen = watch(
        films.partition("#")[0], viewport={"width": 1280, "height": 900}, accept_downloads=True
    )
    page = start(seen, films)
    assert "token" not in page.url
    page.get_by_role("searchbox").fill("u0003")
    until(page, "document.querySelectorAll('tbody tr').length === 1")
    page.get_by_role("link", name="u0003").click()
    ready(page, "reasons")
    reasons = page.locator(".cards .reason").all_text_contents()
    assert len(reasons) == 10
    assert all(re.match("Because you liked|Is connected through: you", one) for one in reasons)
    page.get_by_role("link", name="Numbers").click()
    page.wait_for_selector(".recs")
    ready(page, "reasons")
    assert page.locator(".recs .reason").all_text_contents() == reasons
    check_numbers(page)

    page.locator(".recs a.title").first.click()
    ready(page, "paths")
    item = re.search(r"item=([^&]+)", page.url)[1]
    view = api(page, "explain", user="u0003", item=item)
    told = view["explanation"]
    said = told["paths"][view["headline"]]["text"].replace("*", "")
    shown = page.locator(".first .reason").text_content().replace(" \N{EN DASH} ", " - ")
    assert shown == said[0].upper() + said[1:]
    drops = page.locator(".effect .drop").evaluate_all(DROPS)
    likes = [drop for kind, drop in drops if kind == "like"]
    facts = [drop for kind, drop in drops if kind == "facts"]
    assert sorted(likes) == sorted(path["like_drop"] for path in told["paths"])
    assert sorted(facts) == sorted(path["facts_drop"] for path in told["paths"])
    check_numbers(page)
    before = sum(told["counts"].values())
    assert page.locator("#count-before").text_content() == f"{before:,}"

    relation = told["paths"][0]["hops"][1]["relation"]
    page.locator(f'.filters input[value="{relation}"]').uncheck()
    page.wait_for_selector("#count-after")
    asked = api(page, "explain", user="u0003", item=item, deny=relation)["explanation"]
    after = sum(asked["counts"].values())
    assert 0 < after < before
    assert page.locator("#count-after").text_content() == f"{after:,}"
    assert (
        float(page.locator("#hidden [data-value]").get_attribute("data-value"))
        == asked["hidden"]["share"]
    )
    check_numbers(page)

    page.reload()
    page.wait_for_selector("#count-after")
    assert page.locator("#count-after").text_content() == f"{after:,}"
    assert not page.locator(f'.filters input[value="{relation}"]').is_checked()
    page.go_back()
    until(
        page, "!document.querySelector('#count-after') && document.querySelector('#count-before')"
    )
    assert page.locator("#count-before").text_content() == f"{before:,}"

    page.get_by_role("link", name="Compare", exact=True).last.click()
    ready(page, "compare")
    second = re.search(r"second=([^&]+)", page.url)[1]
    contrast = api(page, "compare", user="u0003", first=item, second=second)["contrast"]
    assert (
        float(page.locator("#difference [data-value]").get_attribute("data-value"))
        == contrast["difference"]
    )
    check_numbers(page)

    page.get_by_role("link", name="What if").click()
    ready(page, "what-if")
    removed = told["paths"][0]["hops"][0]["target"]["key"]
    page.locator(f'.ticks input[value="{removed}"]').uncheck()
    page.wait_for_selector("#new-rank")
    changed = api(
        page,
        "what-if",
        {"user": "u0003", "remove": [removed], "add": [], "items": [item], "remove_facts": []},
    )["what_if"]
    mine = next(row for row in changed["after"] if row["item"]["key"] == item)
    assert page.locator("#new-rank").text_content() == f"{mine['rank']:,}"
    assert (
        float(page.locator("#new-score [data-value]").get_attribute("data-value")) == mine["score"]
    )
    check_numbers(page)

    with page.expect_download(timeout=90_000) as saved:
        page.get_by_role("button", name="Export").click()
    file = tmp_path / "kgrec.html"
    saved.value.save_as(file)
    assert seen.told() == NOTHING

    offline = watch(file.as_uri(), viewport={"width": 1280, "height": 900})
    offline.context.set_offline(True)
    other = start(offline, file.as_uri())
    other.get_by_role("link", name="u0003").click()
    ready(other, "reasons")
    assert other.locator(".reason").all_text_contents() == reasons
    other.locator("a.title").first.click()
    ready(other, "paths")
    assert other.locator(".effect .drop").evaluate_all(DROPS) == drops
    other.locator(f'.filters input[value="{relation}"]').uncheck()
    other.wait_for_selector("#count-after")
    assert "Hidden by the filters" in other.locator("#hidden").text_content()
    go(other, "compare", user="u0003", first=item, second=second)
    assert (
        float(other.locator("#difference [data-value]").get_attribute("data-value"))
        == contrast["difference"]
    )
    go(other, "compare", user="u0003", first=second, second=item)
    assert (
        float(other.locator("#difference [data-value]").get_attribute("data-value"))
        == -contrast["difference"]
    )
    assert offline.told() == NOTHING


def test_the_journey_with_the_keyboard(watch, films):
    seen = watch(films.partition("#")[0], viewport={"width": 1280, "height": 900})
    page = start(seen, films)
    tab_to(page, "input[type=search]")
    page.keyboard.type("u0007")
    until(page, "document.querySelectorAll('tbody tr').length === 1")
    tab_to(page, "tbody a")
    page.keyboard.press("Enter")
    ready(page, "reasons")
    assert (
        page.evaluate("document.activeElement.tagName") == "H1"
    )  # the next thing a screen reader reads
    tab_to(page, ".cards a.title")
    page.keyboard.press("Enter")
    ready(page, "paths")
    tab_to(page, ".filters input[name=type][value=users]")
    before = int(page.locator("#count-before").text_content().replace(",", ""))
    page.keyboard.press("Space")
    page.wait_for_selector("#count-after")
    assert int(page.locator("#count-after").text_content().replace(",", "")) < before
    assert page.evaluate("document.activeElement.value") == "users"  # the filter keeps the focus
    page.keyboard.press("Space")
    until(page, "!document.querySelector('#count-after')")
    tab_to(page, "button.hop")
    page.keyboard.press("Enter")
    assert page.locator("dialog[open] .places code").count() > 0
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("document.activeElement.matches('button.hop')")  # back where it was
    page.keyboard.press("Home")
    page.evaluate("document.activeElement.blur()")
    tab_to(page, '#crumbs a[href^="#/what-if"]')
    page.keyboard.press("Enter")
    ready(page, "what-if")
    tab_to(page, ".ticks input")
    page.keyboard.press("Space")
    page.wait_for_selector("#new-rank")
    tab_to(page, "button.main")
    page.keyboard.press("Enter")
    page.wait_for_selector(".flip")
    assert seen.told() == NOTHING


SCREENS = ["users", "recommendations", "why", "compare", "models", "what-if", "item", "overall"]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_no_serious_fault_for_a_screen_reader(watch, films, films_run, tmp_path, scheme, width):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="needs axe-playwright-python, of the dev extra",
    )
    items = films_run.recommend(["u0003"], k=2)["item"].to_list()
    seen = watch(
        films.partition("#")[0],
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        bypass_csp=True,
    )  # axe is a script
    page = start(seen, films)
    for screen in SCREENS:
        go(page, screen, user="u0003", item=items[0], first=items[0], second=items[1])
        page.screenshot(path=tmp_path / f"{screen}-{scheme}-{width}.png", full_page=True)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        found = axe.Axe().run(page).response["violations"]
        serious = [
            (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], screen
        assert page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        ), f"{screen} is wider than the window"


OPENED = """async (hash) => {
    const begin = performance.now(), pause = () => new Promise((done) => setTimeout(done, 5));
    delete document.body.dataset.ready;
    location.hash = hash;
    while (document.body.dataset.ready !== "paths") await pause();
    document.querySelector(".filters select").focus();
    const interactive = performance.now() - begin;
    while (document.querySelectorAll(".path").length < 500) await pause();
    return [interactive, performance.now() - begin];
}"""


def test_five_hundred_paths_are_there_within_a_second(watch, films_run, serving):
    from dataclasses import replace

    from kgrec.serving.inspector import Inspector

    own = films_run.explainer()

    class Many:
        def explain(self, user, item, k=10, **settings):
            told = own.explain(user, item, k=10)
            return replace(told, paths=tuple(told.paths[n % len(told.paths)] for n in range(k)))

        def flip(self, user, item=None, mode="delete", max_size=50):
            return own.flip(user, item, mode)

        compare = why_not = what_if = summary = lambda self: None

    item = films_run.recommend(["u0003"], k=1)["item"][0]
    with serving(Inspector(films_run, Many())) as address:
        seen = watch(address.partition("#")[0], viewport={"width": 1280, "height": 900})
        page = start(seen, address)
        api(page, "explain", user="u0003", item=item, k=500)  # the server's part is kept
        took = []
        for _ in range(3):
            page.goto("about:blank")
            page.goto(address.partition("#")[0])
            ready(page, "users")
            took.append(
                page.evaluate(
                    OPENED, f"#/why?{urlencode({'user': 'u0003', 'item': item, 'k': 500})}"
                )
            )
        interactive, whole = min(one[0] for one in took), min(one[1] for one in took)
        assert interactive < 1_000, took
        assert whole < 10_000, took
        go(page, "why", user="u0003", item=item, k=1_000_000)
        assert "1,000,000 paths were requested" in seen.text()
        assert seen.told() == NOTHING


def test_every_state_has_words(watch, films, films_run):
    seen = watch(films.partition("#")[0])
    page = start(seen, films)
    page.get_by_role("searchbox").fill("nobody at all")
    page.get_by_text("No such user").wait_for()
    for screen, params, words in [
        ("why", {}, "Choose a user"),
        ("why", {"user": "u0003"}, "Which item?"),
        ("recommendations", {"user": "nobody"}, "unknown user id"),
        ("why", {"user": "u0003", "item": "nothing"}, "unknown item id"),
        ("compare", {"user": "u0003", "first": "x", "second": "x"}, "The same item twice"),
    ]:
        page.evaluate("(hash) => { location.hash = hash; }", f"#/{screen}?{urlencode(params)}")
        page.get_by_text(words).first.wait_for()
    item = films_run.recommend(["u0003"], k=1)["item"][0]
    go(page, "why", user="u0003", item=item, max_length=1)
    page.get_by_text("Every path is hidden").wait_for()
    page.evaluate("localStorage.setItem('kgrec-token', 'old')")
    page.reload()
    page.get_by_text("This page needs its token").wait_for()
    assert seen.dialogs == seen.elsewhere == seen.reports() == []


def test_two_browsers_at_once(watch, films, films_run):
    items = films_run.recommend(["u0003", "u0004"], k=1)["item"].to_list()
    pages = [start(watch(films.partition("#")[0]), films) for _ in items]
    for page, user, item in zip(pages, ("u0003", "u0004"), items, strict=True):
        page.evaluate(
            "(hash) => { location.hash = hash; }",
            f"#/why?{urlencode({'user': user, 'item': item})}",
        )
    for page, user in zip(pages, ("u0003", "u0004"), strict=True):
        ready(page, "paths")
        assert f"for user {user}" in page.text_content("main")


def test_the_offline_page_is_as_the_command_writes_it(films_run, tmp_path, capsys):
    from kgrec.cli import run

    films_run.save(tmp_path / "run")
    assert (
        run(
            [
                "inspect",
                str(tmp_path / "run"),
                "--export",
                str(tmp_path / "out.html"),
                "--user",
                "u0003",
                "--top",
                "2",
            ]
        )
        == 0
    )
    assert "1 user" in capsys.readouterr().out
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    assert [row["item"] for row in data["recommend"]["u0003"]["rows"]] == films_run.recommend(
        ["u0003"], k=2
    )["item"].to_list()


# ---- for customers: cards, pictures, the flip sentence, languages


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


@pytest.fixture
def picture_host():
    """Serve a picture from another origin and note who was requested, with which referrer."""
    requests = []

    class Pictures(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append((self.path, self.headers.get("referer")))
            self.send_response(200)
            self.send_header("content-type", "image/png")
            self.end_headers()
            self.wfile.write(PIXEL)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", requests
        server.shutdown()
        thread.join(10)


def test_pictures_load_from_the_hosts_that_were_named_and_no_other(
    watch, films_run, serving, picture_host
):
    from kgrec.serving.images import Images
    from kgrec.serving.inspector import Inspector

    host, requests = picture_host
    items = films_run.recommend(["u0003"], k=3)["item"].to_list()
    images = Images(
        {
            items[0]: f"{host}/a.png",
            items[1]: host.replace("127.0.0.1", "localhost") + "/elsewhere.png",
        },
        (host,),
    )
    with serving(Inspector(films_run, images=images)) as address:
        seen = watch(address.partition("#")[0])
        page = start(seen, address)
        go(page, "recommendations", user="u0003", k=3)
        until(page, "document.querySelectorAll('img.picture').length === 1")
        assert page.locator("img.picture").evaluate("(one) => one.naturalWidth") == 1
        assert page.locator("span.picture").count() == 2  # refused by the policy, and none given
        assert requests == [("/a.png", None)]
        assert {one.split()[0] for one in seen.reports()} == {"img-src"}


def test_the_flip_sentence_stands_where_people_look_and_can_be_tried(watch, films, films_run):
    seen = watch(films.partition("#")[0])
    page = start(seen, films)
    go(page, "recommendations", user="u0003")
    page.wait_for_selector(".flip-line")
    told = api(page, "flip", user="u0003")["flip"]
    names = [term["label"] for term in told["removed"]]
    said = page.locator(".flip-line").text_content()
    assert said.startswith(f"Without {names[0]}")
    assert f"you would see {told['rival']['label']} first." in said
    page.locator(".flip-line a").click()
    ready(page, "what-if")
    first = page.locator("table tbody tr").first.locator("th").text_content()
    assert first == told["rival"]["label"]  # the promise holds when it is tried
    assert seen.told() == NOTHING


def test_the_page_speaks_german_when_it_is_chosen(watch, films):
    seen = watch(films.partition("#")[0])
    page = start(seen, films)
    go(page, "about")
    english = page.locator("h2").all_text_contents()
    page.evaluate("delete document.body.dataset.ready")
    page.select_option("#language", "de")
    ready(page, "about")
    assert page.locator("h1").text_content() == "Über diesen Lauf"
    assert page.evaluate("document.documentElement.lang") == "de"
    assert not set(english) & set(page.locator("h2").all_text_contents())
    page.reload()
    ready(page, "about")
    assert page.locator("h1").text_content() == "Über diesen Lauf"
    assert seen.told() == NOTHING


# ---- for analysts: the drawing, undo, scenarios, an item's page


def test_every_column_of_numbers_has_a_name(watch, films, films_run):
    seen = watch(films.partition("#")[0])
    page = start(seen, films)
    items = films_run.recommend(["u0003"], k=2)["item"].to_list()
    for screen in ("users", "why", "compare", "overall", "about", "what-if"):
        go(page, screen, user="u0003", item=items[0], first=items[0], second=items[1])
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("table")].filter((one) => one.querySelector("td.num")
                && [...one.tBodies[0].rows[0].cells].some((cell, at) => cell.matches("td.num")
                    && !(one.tHead.rows[0]?.cells[at]?.textContent))).map((one) => one.textContent)"""
        )
        assert unnamed == [], screen


def test_who_gets_an_item_is_told_a_few_at_a_time_each_with_the_reason(watch, films, films_run):
    seen = watch(films.partition("#")[0])
    page = start(seen, films)
    go(page, "item", item=films_run.recommend(["u0003"], k=1)["item"][0])
    page.get_by_role("button", name="Look through the lists").click()
    page.wait_for_selector(".answer .recs")
    more = page.get_by_role("button", name="Show more")
    assert more.count() == 1
    for shown in (8, 16):
        assert page.locator(".answer .recs > li").count() == shown
        until(page, f"document.querySelectorAll('.answer .reason').length === {shown}")
        if shown == 8:
            more.click()
    assert seen.told() == NOTHING


LONG = [
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "W" * 90,
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Items: some titles without a place to break, one in Persian, one with an emoji."""
    import kgrec

    folder = tmp_path_factory.mktemp("shelf")
    titles = [*LONG, "می\u200cروم", "👩\u200d👧 home", *[f"title {n}" for n in range(20)]]
    rows = [f"i{n},{title},maker {n % 3}" for n, title in enumerate(titles)]
    (folder / "items.csv").write_text("\n".join(["item_id,title,maker", *rows]), encoding="utf-8")
    clicks = [f"u{n},i{(n + 2 * k) % 24}" for n in range(60) for k in range(10)]
    (folder / "clicks.csv").write_text("\n".join(["user_id,item_id", *clicks]), encoding="utf-8")
    return kgrec.Dataset.build(
        folder / "clicks.csv", items=folder / "items.csv", item_attributes=True
    )


CUT = """() => [...document.querySelectorAll(".card button")].filter((button) =>
    button.getBoundingClientRect().right > button.closest(".card").getBoundingClientRect().right
).map((button) => button.textContent)"""


@pytest.mark.parametrize("model", ["bprmf", "ease-kg", "lightgcn-kg"])
def test_long_titles_fit_a_phone_and_no_page_offers_what_the_model_cannot_do(
    watch, shelf, serving, model
):
    import kgrec
    from kgrec.serving.inspector import Inspector

    settings = {} if model == "ease-kg" else {"epochs": 1, "dim": 4}
    run = kgrec.fit(model, shelf, **settings)
    items = run.recommend(["u5"], k=2)["item"].to_list()
    with serving(Inspector(run)) as address:
        phone = {"viewport": {"width": 390, "height": 900}, "locale": "de-DE"}  # the longer words
        seen = watch(address.partition("#")[0], **phone)
        page = start(seen, address)
        for screen in ("recommendations", "why", "compare", "overall", "what-if"):
            go(page, screen, user="u5", item=items[0], first=items[0], second=items[1], k=9)
            width = "document.documentElement.scrollWidth"
            assert page.evaluate(width) <= 390, screen
            assert page.evaluate(CUT) == [], screen
        likes, facts = page.locator(".ticks").count() > 0, page.locator(".ticks").count() > 1
        expected = {"bprmf": (False, False), "ease-kg": (True, False), "lightgcn-kg": (True, True)}
        assert (likes, facts) == expected[model]
        if likes:
            page.evaluate("delete document.body.dataset.ready")
            page.locator(".ticks input").first.click()
            ready(page, "what-if")
            assert page.evaluate(width) <= 390
        go(page, "why", user="u5", item="i2")
        assert "می\u200cروم" in page.text_content("h1")
        go(page, "why", user="u5", item="i3")
        assert "👩\u200d👧" in page.text_content("h1")


def boxes(page, selector):
    return page.locator(selector).evaluate_all(
        "(all) => all.map((e) => { const b = e.getBBox(); return [b.x, b.y, b.width, b.height]; })"
    )


def overlap(a, b):
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return across > 0.5 and down > 0.5


def test_the_drawing_has_its_drops_and_no_label_covers_another(watch, films, films_run, tmp_path):
    seen = watch(films.partition("#")[0], viewport={"width": 1280, "height": 900})
    page = start(seen, films)
    item = films_run.recommend(["u0003"], k=1)["item"][0]
    go(page, "why", user="u0003", item=item, k=25)
    plates, nodes = boxes(page, ".drawing .plate"), boxes(page, ".drawing .node rect")
    assert len(plates) > 5
    found = [*plates, *nodes]
    assert not [(a, b) for at, a in enumerate(found) for b in found[at + 1 :] if overlap(a, b)]
    told = api(page, "explain", user="u0003", item=item, k=25)["explanation"]
    shown = page.locator(".drawing .drop").all_text_contents()
    first = f"{told['paths'][0]['hop_drops'][0]:.4f}"
    assert first.replace("-", MINUS) in shown

    for kind, begin in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as saved:
            page.get_by_role("button", name=kind, exact=True).click()
        file = tmp_path / saved.value.suggested_filename
        saved.value.save_as(file)
        assert file.read_bytes().startswith(begin)
        assert len(file.read_bytes()) > 5_000

    chooser = page.get_by_label("Expand a node")
    chooser.select_option(index=1)
    page.wait_for_selector(".neighbor")
    assert seen.told() == NOTHING


def test_changes_are_logged_undone_and_saved(watch, films):
    seen = watch(films.partition("#")[0])
    page = start(seen, films)
    go(page, "what-if", user="u0003")

    def press(what):
        page.evaluate("delete document.body.dataset.ready")
        what()
        ready(page, "what-if")

    press(page.locator(".ticks input").nth(0).click)
    press(page.locator(".ticks input").nth(2).click)
    log = page.locator(".log li").all_text_contents()
    assert len(log) == 2
    assert all(one.startswith("Took away ") for one in log)
    page.get_by_placeholder("Name of the scenario").fill("<b>two less</b>")
    press(page.get_by_role("button", name="Save").click)
    both = page.evaluate("location.hash")
    press(page.get_by_role("button", name="Undo").click)
    assert page.locator(".log li").all_text_contents() == log[:1]
    assert page.locator(".ticks .gone").count() == 1
    press(page.get_by_role("link", name="<b>two less</b>").click)
    assert page.locator(".ticks .gone").count() == 2
    removed = "[...new URLSearchParams(location.hash.split('?')[1]).getAll('remove')].sort().join()"
    assert page.evaluate(removed) == page.evaluate(removed.replace("location.hash", repr(both)))
    assert seen.told() == NOTHING


def test_a_saved_page_promises_no_change(watch, films_run, tmp_path):
    from kgrec.serving.export import export_page
    from kgrec.serving.inspector import Inspector

    file = tmp_path / "saved.html"
    file.write_text(export_page(Inspector(films_run), ["u0003"], 2), encoding="utf-8")
    seen = watch(file.as_uri())
    page = start(seen, file.as_uri())
    go(page, "what-if", user="u0003")
    assert page.locator("main input, main button").count() == 0
    assert "kgrec inspect RUN" in page.text_content("main")
    assert seen.told() == NOTHING


@pytest.mark.parametrize("width", [390, 1280])
def test_bars_and_words_keep_their_place_with_forced_colors(watch, films, films_run, width):
    seen = watch(
        films.partition("#")[0], viewport={"width": width, "height": 900}, forced_colors="active"
    )
    page = start(seen, films)
    go(page, "recommendations", user="u0003", view="numbers")
    backgrounds = page.evaluate(
        """() => ["own", "liked", "loose"].map((kind) => {
            const look = getComputedStyle(document.querySelector(`.bar-key .${kind}`));
            return look.backgroundColor + look.backgroundImage;
        })"""
    )
    assert len(set(backgrounds)) == 3
    go(page, "overall")
    narrow = (
        "[...document.querySelectorAll('tbody th')].map((e) => e.getBoundingClientRect().width)"
    )
    assert min(page.evaluate(narrow)) >= 90


def test_a_slow_question_says_how_long_it_has_run(watch, films_run, serving):
    from kgrec.serving.inspector import Inspector

    own = films_run.explainer()
    go_on = threading.Event()

    class Slow:
        def explain(self, user, item, k=10, **settings):
            go_on.wait(60)
            return own.explain(user, item, k=k)

        def flip(self, user, item=None, mode="delete", max_size=50):
            return own.flip(user, item, mode)

        compare = why_not = what_if = summary = lambda self: None

    item = films_run.recommend(["u0003"], k=1)["item"][0]
    with serving(Inspector(films_run, Slow())) as address:
        seen = watch(address.partition("#")[0])
        page = start(seen, address)
        page.evaluate(
            "(hash) => { location.hash = hash; }",
            f"#/why?{urlencode({'user': 'u0003', 'item': item})}",
        )
        page.get_by_text(re.compile(r"Searching the paths.* \d+ s so far")).wait_for()
        go_on.set()
        ready(page, "paths")
        assert page.locator(".progress").count() == 0
        assert seen.told() == NOTHING
