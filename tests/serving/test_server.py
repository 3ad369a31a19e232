"""Who may ask the inspector's server what, and what it answers."""

import hashlib
import json
import re
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs starlette, of the inspect extra")
TOKEN = "secret-of-the-test"
HOST = "127.0.0.1:8008"


@pytest.fixture(scope="module")
def inspector(hostile_run):
    from kgrec.serving.inspector import Inspector

    return Inspector(hostile_run)


@pytest.fixture(scope="module")
def app(inspector):
    from kgrec.serving.app import make_app

    return make_app(inspector, TOKEN, [HOST])


@pytest.fixture
def client(app):
    from starlette.testclient import TestClient

    return TestClient(
        app, base_url=f"http://{HOST}", headers={"x-kgrec-token": TOKEN}, follow_redirects=False
    )


@pytest.fixture
def first(client):
    """A user and the first item of the list."""
    return "u5", client.get("/api/recommend", params={"user": "u5", "k": 3}).json()["rows"][0][
        "item"
    ]


def error(response):
    told = response.json()["error"]
    assert "\n" not in told
    return response.status_code, told


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1]])
@pytest.mark.parametrize(
    "address", ["/api/run", "/api/users", "/api/export?user=u5", "/api/nothing"]
)
def test_data_needs_the_token(app, token, address):
    from starlette.testclient import TestClient

    stranger = TestClient(
        app, base_url=f"http://{HOST}", headers={} if token is None else {"x-kgrec-token": token}
    )
    status, told = error(stranger.get(address))
    assert status == 401
    assert "token" in told


def test_the_token_in_the_address_or_a_cookie_opens_nothing(app):
    from starlette.testclient import TestClient

    stranger = TestClient(
        app, base_url=f"http://{HOST}", cookies={"x-kgrec-token": TOKEN, "token": TOKEN}
    )
    assert (
        stranger.get("/api/run", params={"token": TOKEN, "x-kgrec-token": TOKEN}).status_code == 401
    )


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:8009",
        "localhost.evil.example:8008",
        "127.0.0.1:8008.evil.example",
        "",
    ],
)
def test_another_name_for_this_machine_is_refused(client, host):
    for address in ("/", "/inspector.js", "/api/run"):
        status, told = error(client.get(address, headers={"host": host}))
        assert status == 421
        assert "kgrec inspect printed" in told


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_are_refused(client, headers):
    assert client.get("/api/run", headers=headers).status_code == 403
    assert client.post("/api/what-if", json={"user": "u5"}, headers=headers).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_everything_but_what_if_is_read_only(client, method):
    assert client.request(method, "/api/run").status_code == 405
    if method != "POST":
        assert client.request(method, "/api/what-if").status_code == 405


def test_what_if_needs_the_token_and_a_small_json_body(app, client):
    from starlette.testclient import TestClient

    stranger = TestClient(app, base_url=f"http://{HOST}")
    assert stranger.post("/api/what-if", json={"user": "u5"}).status_code == 401
    assert (
        error(client.post("/api/what-if", content="{}", headers={"content-type": "text/plain"}))[0]
        == 415
    )
    assert (
        error(
            client.post("/api/what-if", content="{", headers={"content-type": "application/json"})
        )[0]
        == 400
    )
    assert (
        error(
            client.post(
                "/api/what-if", content="[" * 60_000, headers={"content-type": "application/json"}
            )
        )[0]
        == 400
    )
    assert (
        error(
            client.post(
                "/api/what-if", content=b"x" * 100_000, headers={"content-type": "application/json"}
            )
        )[0]
        == 413
    )
    chunks = (b"x" * 10_000 for _ in range(100))  # no length is told beforehand
    assert (
        error(
            client.post(
                "/api/what-if", content=chunks, headers={"content-type": "application/json"}
            )
        )[0]
        == 413
    )


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"user": 5},
        {"user": "u5", "remove": "i1"},
        {"user": "u5", "remove": [1]},
        {"user": "u5", "path": "/etc/passwd"},
        {"user": "u5", "remove_facts": [["a", "b"]]},
        {"user": "u5", "add_facts": [["a", "b", 3]]},
        {"user": "u5", "add": ["x" * 3_000]},
    ],
)
def test_a_what_if_of_something_else_is_refused(client, body):
    assert error(client.post("/api/what-if", json=body))[0] == 400


def test_every_answer_is_hardened(client):
    for response in (
        client.get("/"),
        client.get("/inspector.js"),
        client.get("/api/run"),
        client.get("/nothing"),
        client.get("/", headers={"host": "x"}),
    ):
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert "no-store" in response.headers["cache-control"]
        assert not [name for name in response.headers if name.startswith("access-control")]
        assert "set-cookie" not in response.headers


def test_the_page_holds_nothing_of_the_run(client, payloads):
    text = client.get("/").text
    assert "u5" not in text
    assert payloads[0] not in text
    assert re.findall(r'(?:src|href)="(?!#|data:)([^"]+)"', text) == [
        "/inspector.css",
        "/inspector.js",
    ]


@pytest.mark.parametrize(
    "address",
    [
        "/static/index.html",
        "/../pyproject.toml",
        "/..%2f..%2fetc/passwd",
        "/page.html",
        "/screens/",
        "/screens/../../pages.py",
    ],
)
def test_only_known_addresses_are_answered(client, address):
    assert error(client.get(address))[0] == 404


@pytest.mark.parametrize("user", ["u55", "", "../../etc/passwd", "\x00", "u5 "])
def test_an_unknown_user_is_named_with_the_nearest(client, user):
    for name in ("recommend", "flip"):
        status, told = error(client.get(f"/api/{name}", params={"user": user}))
        assert status == 404
        assert "unknown user id" in told
    assert "u5" in error(client.get("/api/recommend", params={"user": "u55"}))[1]


def test_an_unknown_item_is_told(client):
    status, told = error(client.get("/api/explain", params={"user": "u5", "item": "no such item"}))
    assert status == 404
    assert "unknown item id" in told


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"user": "u5"},
        {"user": "u5", "item": "x" * 2_001},
        {"user": "u5", "item": "a", "k": "-1"},
        {"user": "u5", "item": "a", "k": "1e9"},
        {"user": "u5", "item": "a", "k": "9" * 5_000},
        {"user": "u5", "item": "a", "k": "\u0663"},
        {"user": "u5", "item": "a", "min_drop": "nan"},
        {"user": "u5", "item": "a", "users": "all"},
        {"user": "u5", "item": "a", "deny": ["x"] * 500},
    ],
)
def test_a_question_out_of_range_is_refused(client, query):
    assert error(client.get("/api/explain", params=query))[0] == 400


@pytest.mark.parametrize(
    "query",
    [
        {"max_length": "0"},
        {"max_length": "50"},
        {"k": "0"},
        {"rank_by": "magic"},
        {"deny": "no such relation"},
        {"type": "planet"},
    ],
)
def test_settings_that_make_no_sense_are_told(client, first, query):
    user, item = first
    assert error(client.get("/api/explain", params={"user": user, "item": item} | query))[0] == 400


def test_a_million_paths_are_bounded_and_said(client, first):
    from kgrec.serving.inspector import MOST_ITEMS, MOST_PATHS

    user, item = first
    found = client.get("/api/explain", params={"user": user, "item": item, "k": 1_000_000}).json()
    assert found["bounded"] == {"asked": 1_000_000, "given": MOST_PATHS}
    assert len(found["explanation"]["paths"]) <= MOST_PATHS
    listed = client.get("/api/recommend", params={"user": user, "k": 1_000_000}).json()
    assert listed["bounded"] == {"asked": 1_000_000, "given": MOST_ITEMS}


def test_the_explanation_is_the_stable_json_and_reads_back(client, first, hostile_run):
    from kgrec.explanation.core.records import Explanation
    from kgrec.explanation.render.sentences import reason

    user, item = first
    found = client.get("/api/explain", params={"user": user, "item": item, "k": 7}).json()
    told = Explanation.from_dict(found["explanation"])
    assert (told.user, told.item) == (user, item)
    assert told.score == pytest.approx(
        float(hostile_run.recommend([user], k=1)["score"][0]), rel=1e-6
    )
    assert len(found["paths"]) == len(told.paths) > 0
    assert found["explanation"]["paths"][found["headline"]]["text"] in reason(told)
    assert [shown["causal"] for shown in found["paths"]] == [path.causal for path in told.paths]
    assert [len(shown["hops"]) for shown in found["paths"]] == [path.length for path in told.paths]


def test_a_label_of_a_megabyte_is_cut_on_its_way(client):
    about = client.get("/api/run")
    assert len(about.content) < 100_000
    assert max(len(relation["label"]) for relation in about.json()["relations"]) <= 1_000
    assert (
        max(
            len(row["label"])
            for row in client.get("/api/users", params={"limit": 200}).json()["rows"]
        )
        <= 1_000
    )
    assert len(client.get("/api/recommend", params={"user": "u3", "k": 40}).content) < 100_000


def test_answers_are_json_that_no_browser_takes_for_a_page(client, payloads):
    response = client.get("/api/users", params={"q": "<script>alert(2)"})
    assert response.headers["content-type"] == "application/json"
    assert [row["label"] for row in response.json()["rows"]] == [payloads[2]]


def test_search_finds_ids_and_labels_the_equal_one_first(client):
    assert [row["user"] for row in client.get("/api/users", params={"q": "U1"}).json()["rows"]][
        :2
    ] == ["u1", "u10"]
    assert client.get("/api/users", params={"q": "onerror"}).json()["total"] == 2
    assert client.get("/api/users", params={"q": "(.*)"}).json()["total"] == 0  # no pattern
    page = client.get("/api/users", params={"offset": 38, "limit": 50}).json()
    assert (page["total"], len(page["rows"])) == (40, 2)


def test_the_history_is_the_training_likes_latest_first(client, hostile_run):
    data = hostile_run.data
    row = data.users.row("u5")
    expected = [data.items.key(int(item)) for item in data.train.item[data.train.user == row]][::-1]
    history = client.get("/api/recommend", params={"user": "u5"}).json()["history"]
    assert [one["item"] for one in history["rows"]] == expected
    assert history["total"] == len(expected)


def test_facts_of_an_item_carry_their_keys_and_places(client, hostile_run):
    data = hostile_run.data
    item = data.items.key(5)
    found = client.get("/api/facts", params={"item": item}).json()
    assert found["total"] == len(found["rows"]) == 2
    assert {tuple(row["key"]) for row in found["rows"]} == {
        (
            data.triples.entities.key(5),
            data.triples.relations.key(r),
            data.triples.entities.key(40 + r),
        )
        for r in (4, 5)
    }
    assert all(re.search(r":\d+$", row["place"]) for row in found["rows"])


def test_filters_reach_the_explainer(inspector, client, first):
    class Recording:
        asked: dict

        def explain(self, user, item, k=10, **settings):
            self.asked = settings
            return inspector.run.explainer().explain(user, item, k=k)

        compare = flip = why_not = what_if = summary = lambda self: None

    from starlette.testclient import TestClient

    from kgrec.serving.app import make_app
    from kgrec.serving.inspector import Inspector

    recording = Recording()
    other = TestClient(
        make_app(Inspector(inspector.run, recording), TOKEN, [HOST]),
        base_url=f"http://{HOST}",
        headers={"x-kgrec-token": TOKEN},
    )
    user, item = first
    query = {
        "deny": ["a", "b"],
        "type": ["item"],
        "max_length": 2,
        "max_degree": 9,
        "users": "hide",
        "min_drop": "-0.5",
        "rank_by": "length",
    }
    assert other.get("/api/explain", params={"user": user, "item": item} | query).status_code == 200
    expected = {
        "relations": {"deny": ["a", "b"]},
        "types": ("item",),
        "max_length": 2,
        "max_degree": 9,
        "users": "hide",
    }
    assert recording.asked == expected | {"min_drop": -0.5, "rank_by": "length"}
    other.get("/api/explain", params={"user": user, "item": item, "type": "none"})
    assert recording.asked == {"types": ()}
    other.get("/api/explain", params={"user": user, "item": item})
    assert recording.asked == {}


class Slow:
    """An explainer that waits, and notices company."""

    def __init__(self, run):
        self.own, self.inside, self.together, self.go = run.explainer(), 0, 0, threading.Event()

    def explain(self, user, item, k=10, **settings):
        self.inside += 1
        self.together = max(self.together, self.inside)
        self.go.wait(10)
        time.sleep(0.01)
        self.inside -= 1
        return self.own.explain(user, item, k=k)

    compare = flip = why_not = what_if = summary = lambda self: None


def test_two_browsers_at_once_are_answered_one_after_the_other(hostile_run):
    from starlette.testclient import TestClient

    from kgrec.serving.app import make_app
    from kgrec.serving.inspector import Inspector

    slow = Slow(hostile_run)
    app = make_app(Inspector(hostile_run, slow), TOKEN, [HOST])
    item = hostile_run.data.items.key(20)
    found = []

    with TestClient(app, base_url=f"http://{HOST}", headers={"x-kgrec-token": TOKEN}) as client:
        ask = [
            threading.Thread(
                target=lambda u=u: found.append(
                    client.get("/api/explain", params={"user": u, "item": item}).status_code
                )
            )
            for u in ("u1", "u2", "u3")
        ]
        for one in ask:
            one.start()
        assert client.get("/api/users").status_code == 200  # a search does not wait for its turn
        slow.go.set()
        for one in ask:
            one.join(20)
    assert found == [200, 200, 200]
    assert slow.together == 1


def test_a_question_that_takes_too_long_is_told_and_its_answer_kept(hostile_run):
    from starlette.testclient import TestClient

    from kgrec.serving.app import make_app
    from kgrec.serving.inspector import Inspector
    from kgrec.serving.work import Worker

    slow = Slow(hostile_run)
    app = make_app(Inspector(hostile_run, slow), TOKEN, [HOST], Worker(seconds=0.1))
    query = {"user": "u1", "item": hostile_run.data.items.key(20)}
    with TestClient(app, base_url=f"http://{HOST}", headers={"x-kgrec-token": TOKEN}) as client:
        status, told = error(client.get("/api/explain", params=query))
        assert status == 503
        assert "0.1 s" in told
        slow.go.set()
        deadline = time.monotonic() + 10
        while client.get("/api/explain", params=query).status_code != 200:
            assert time.monotonic() < deadline
        assert slow.together == 1


def test_a_port_in_use_is_one_line():
    from kgrec.errors import ConfigError
    from kgrec.serving.server import open_socket

    taken = open_socket(0)
    try:
        port = taken.getsockname()[1]
        assert taken.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ConfigError, match=f"port {port}: Address already in use") as told:
            open_socket(port)
        assert "--port" in str(told.value)
    finally:
        taken.close()


def scripts(root):
    folder = root / "kgrec/serving/static"
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*.js")
    }


def test_the_scripts_write_text_alone(root):
    found = scripts(root)
    for sink in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "createContextualFragment",
        "DOMParser",
        "srcdoc",
        'setTimeout("',
    ):
        assert not [name for name, text in found.items() if sink in text], sink

    pages = [root / "kgrec/serving/templates/page.html"]
    pages += [root / "kgrec/serving/static/inspector.css"]
    for page in pages:
        text = page.read_text().replace("http-equiv", "")
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
        assert " style=" not in text


def test_modules_import_what_is_exported_before_them(root):
    """One script holds them all in the order of ``MODULES``: an import finds its exports there."""
    from kgrec.serving.pages import MODULES

    found = scripts(root)
    assert set(found) == set(MODULES)
    exports = {}
    for name in MODULES:
        text = found[name]
        assert "import(" not in text
        imports = re.findall(r'^import \{([^}]*)\} from "([^"]+)";$', text, re.M)
        assert len(imports) == len(re.findall(r"^import\b", text, re.M)), name
        for names, source in imports:
            wanted = {one.strip() for one in names.split(",")} - {""}
            module = source.rpartition("/")[2]
            assert wanted <= exports[module], (name, source, wanted - exports[module])

        line = r"^export (?:async )?(?:function|const|class) (\w+)"
        exports[name.rpartition("/")[2]] = set(re.findall(line, text, re.M))
        assert len(re.findall(r"^export\b", text, re.M)) == len(re.findall(line, text, re.M)), name


def test_every_text_is_there_in_both_languages_with_the_same_gaps(root):
    found = scripts(root)
    rows = re.findall(
        r'^  "?([\w.-]+(?: \w+)*)"?: \[\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)",?\s*\],$',
        found["strings.js"],
        re.M,
    )
    assert len(rows) == len(re.findall(r"^  [^ ].*: \[", found["strings.js"], re.M)) > 200
    keys = {key for key, _, _ in rows}
    assert len(keys) == len(rows)
    for key, english, german in rows:
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", german)), key
        assert english.count("|") == german.count("|") == key.startswith("n."), key

    for name, text in found.items():
        used = set(re.findall(r'\b(?:t|rich)\("([^"]+)"', text))
        used |= set(re.findall(r'"(n\.[a-z-]+)"', text))
        assert used <= keys, (name, used - keys)


def test_the_offline_page_holds_its_hashes_and_no_way_out_of_its_data(inspector, payloads):
    import base64

    from kgrec.serving.export import export_page

    page = export_page(inspector, ["u5"], 4)
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">', page)
    assert "connect-src 'none'" in policy
    texts = re.findall(r"<script>(.*?)</script>", page, re.S)
    texts += re.findall(r"<style[^>]*>(.*?)</style>", page, re.S)
    assert len(texts) == 2
    for text in texts:
        assert (
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            in policy
        )
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert not re.search(r"[<>&\u2028\u2029]", block)
    data = json.loads(block)
    assert list(data["explain"]) == ["u5"]
    assert len(data["recommend"]["u5"]["rows"]) == 4
    assert payloads[5] in {row["label"] for row in data["recommend"]["u5"]["history"]["rows"]}
    assert len(page) - len(block) < 210_000
    assert not re.search(r'(?:src|href)="(?!#|data:)', page.replace(block, "").split("<script>")[0])


def test_the_export_of_the_page_is_a_download(client):
    response = client.get("/api/export", params={"user": "u5", "k": 2})
    assert response.status_code == 200
    assert response.headers["content-disposition"].startswith("attachment")


# ---- items, entities, and who gets them


def test_a_node_tells_its_facts_from_its_own_side(client, hostile_run):
    data = hostile_run.data
    found = client.get("/api/node", params={"kind": "item", "key": data.items.key(5)}).json()
    assert (found["kind"], found["total"]) == ("item", 2)
    assert {row["key"] for row in found["rows"]} == {
        data.triples.entities.key(40 + n) for n in (4, 5)
    }
    assert all(row["forward"] and row["kind"] == "entity" for row in found["rows"])
    there = client.get("/api/node", params={"kind": "entity", "key": found["rows"][0]["key"]})
    back = there.json()
    assert not any(row["forward"] for row in back["rows"])
    assert data.items.key(5) in {row["key"] for row in back["rows"]}
    assert error(client.get("/api/node", params={"kind": "entity", "key": "none"}))[0] == 404
    assert error(client.get("/api/node", params={"kind": "user", "key": "u5"}))[0] == 400


def test_an_audience_is_who_has_it_among_the_first_ten(client, hostile_run):
    data = hostile_run.data
    lists = {
        user: hostile_run.recommend([user], k=10)["item"].to_list()
        for user in data.users.keys(range(40))
    }
    item = data.items.key(5)
    found = client.get("/api/audience", params={"kind": "item", "key": item}).json()
    expected = {(user, listed.index(item) + 1) for user, listed in lists.items() if item in listed}
    assert {(row["user"], row["rank"]) for row in found["rows"]} == expected
    assert (found["users"], found["total"]) == (40, len(expected))
    assert [row["rank"] for row in found["rows"]] == sorted(row["rank"] for row in found["rows"])

    entity = data.triples.entities.key(45)  # joined to items 5 and 6
    found = client.get("/api/audience", params={"kind": "entity", "key": entity}).json()
    pair = {data.items.key(5), data.items.key(6)}
    expected = {(user, one) for user, listed in lists.items() for one in pair & set(listed)}
    assert {(row["user"], row["item"]) for row in found["rows"]} == expected


# ---- two models


def test_the_second_model_answers_for_itself(hostile_run):
    from starlette.testclient import TestClient

    import kgrec
    from kgrec.serving.app import make_app
    from kgrec.serving.inspector import Inspector

    other = kgrec.fit("popularity", hostile_run.data)
    app = make_app(Inspector(hostile_run, other=Inspector(other)), TOKEN, [HOST])
    both = TestClient(app, base_url=f"http://{HOST}", headers={"x-kgrec-token": TOKEN})
    about = both.get("/api/run").json()
    assert about["other"] == {"name": "popularity", "model": "popularity", "same_data": True}
    for model, run in ((1, hostile_run), (2, other)):
        listed = both.get("/api/recommend", params={"user": "u5", "k": 5, "model": model}).json()
        assert [row["item"] for row in listed["rows"]] == run.recommend(["u5"], k=5)[
            "item"
        ].to_list()


def test_without_a_second_model_it_is_told(client):
    status, told = error(client.get("/api/recommend", params={"user": "u5", "model": 2}))
    assert status == 400
    assert "--against" in told
    assert client.get("/api/run").json()["other"] is None


# ---- pictures


@pytest.fixture
def pictures(tmp_path, hostile_run):
    """Write a table of images for the first items and return its name."""

    def write(*addresses):
        import polars as pl

        file = tmp_path / "images.csv"
        items = [hostile_run.data.items.key(n) for n in range(len(addresses))]
        pl.DataFrame({"item": items, "image": addresses}).write_csv(file)
        return str(file)

    return write


BAD = [
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "//example.org/a.png",
    "http://user:word@example.org/a.png",
    "https://example.org; script-src *",
    "https://example.org/a.png' onerror='x",
    "https://[::1]/a.png",
    "https://",
    "https://example.org:x/a.png",
]


def test_pictures_come_from_http_addresses_alone(hostile_run, pictures):
    from kgrec.serving.images import read_images

    good = ["https://img.example.org/a.png?x=1", "http://127.0.0.1:9/b.webp"]
    found = read_images(hostile_run.data, pictures(*good, *BAD))
    items = [hostile_run.data.items.key(n) for n in range(2)]
    assert found.addresses == dict(zip(items, good, strict=True))
    assert found.origins == ("http://127.0.0.1:9", "https://img.example.org")
    assert len(found.refused) == len(BAD)
    assert "is no plain http or https address" in found.refused[0]

    table = pictures(*good)
    renamed = Path(table).with_name("items.csv")
    renamed.write_text(Path(table).read_text().replace("item,image", "id,poster"))
    assert read_images(hostile_run.data, f"{renamed}:poster").addresses == found.addresses


def test_no_usable_picture_is_told(hostile_run, pictures, tmp_path):
    from kgrec.errors import KgrecError
    from kgrec.serving.images import read_images

    def written(name, content):
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    (tmp_path / "other.csv").write_text("id,url\n1,https://example.org/a.png\n")
    for source, words in (
        (pictures(BAD[0]), "data:image/png.* is no plain http or https address"),
        (str(tmp_path / "none.csv"), "no such file"),
        (str(tmp_path / "other.csv"), "no column 'image' but id, url"),
        (written("bytes.csv", b"item,image\n\xff\xfe,\xff\n"), "is not UTF-8"),
        (written("ragged.csv", b"item,image\n1,2,3,4\n"), "ragged.csv:2"),
        (written("quotes.csv", b'item,image\n1,"https://x.org/a.png\n'), "Close the quotes"),
        (written("nothing.csv", b""), "empty"),
        (written("alone.csv", b"image\nhttps://x.org/a.png\n"), "no column of items beside"),
        (written("broken.parquet", b"PAR1 and so on"), "broken.parquet"),
        (written("script.csv", b"item,image\n1,javascript:alert(1)\n"), "gives no picture"),
        ("no relation", "is no relation of the graph"),
    ):
        with pytest.raises(KgrecError, match=words) as told:
            read_images(hostile_run.data, source)
        assert "\n" not in str(told.value)


def test_pictures_of_tables_as_people_write_them(hostile_run, tmp_path):
    from kgrec.serving.images import read_images

    first = hostile_run.data.items.key(14)  # without commas and quotes
    address = "https://img.example.org/a.png"
    for number, text in enumerate(
        (
            f"image,id\n{address},{first}\n",  # the address comes first
            f"item,image\n{first}, {address} \n",  # blanks around it
            f"item,image\n{first},{address}\n{first},https://x.org/b.png\n",  # the first row counts
        )
    ):
        table = tmp_path / f"{number}.csv"
        table.write_text(text)
        assert read_images(hostile_run.data, str(table)).addresses == {first: address}


def test_the_policy_allows_pictures_only_where_they_were_requested(client, hostile_run, pictures):
    from starlette.testclient import TestClient

    from kgrec.serving.app import make_app
    from kgrec.serving.images import read_images
    from kgrec.serving.inspector import Inspector

    assert "img-src data:;" in client.get("/").headers["content-security-policy"]
    images = read_images(hostile_run.data, pictures("https://img.example.org/a.png"))
    app = make_app(Inspector(hostile_run, images=images), TOKEN, [HOST])
    with_pictures = TestClient(app, base_url=f"http://{HOST}", headers={"x-kgrec-token": TOKEN})
    policy = with_pictures.get("/").headers["content-security-policy"]
    assert "img-src data: https://img.example.org;" in policy
    assert "script-src 'self';" in policy
    first = hostile_run.data.items.key(0)
    node = with_pictures.get("/api/node", params={"kind": "item", "key": first}).json()
    assert node["image"] == "https://img.example.org/a.png"
    assert "image" not in client.get("/api/node", params={"kind": "item", "key": first}).json()


def test_pictures_of_a_relation_of_the_graph():
    import polars as pl

    from kgrec.data.records.dataset import Dataset
    from kgrec.errors import ConfigError
    from kgrec.serving.images import read_images

    schema = "https://schema.org/"
    facts = [
        ("a", f"{schema}image", "https://img.example.org/a.png"),
        ("b", f"{schema}image", "data:image/png;base64,AAAA"),
        ("a", f"{schema}genre", "drama"),
        ("b", f"{schema}genre", "drama"),
    ]
    likes = pl.DataFrame({"user": list("uuvvww"), "item": list("ababab")})
    graph = pl.DataFrame(facts, schema=["head", "relation", "tail"], orient="row")
    data = Dataset.build(likes, graph, split="none")
    for name in ("image", "schema:image", f"{schema}image"):
        assert dict(read_images(data, name).addresses) == {"a": facts[0][2]}
    with pytest.raises(ConfigError, match="gives no picture"):
        read_images(data, "genre")
