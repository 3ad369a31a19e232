"""``kgrec serve``: answers equal to ``Run.recommend``, problems for everything else, reloads, and
processes that come and go.
"""

import asyncio
import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import process, read, status
from starlette.testclient import TestClient

import kgrec
from kgrec.cli import run as command
from kgrec.data.io.folders import MANIFEST
from kgrec.errors import CheckpointError
from kgrec.serving.http.app import Access, make_app
from kgrec.serving.http.live import Live
from kgrec.serving.http.metrics import Metrics, make_file
from kgrec.serving.http.openapi import ENDPOINTS, document
from kgrec.serving.http.problems import ProblemError
from kgrec.serving.http.types import LONGEST_ID, MOST_BYTES
from kgrec.serving.http.worker import Settings, open_live
from kgrec.serving.run_source import LazyRun, RunReasons
from kgrec.serving.tables.folder import open_tables
from kgrec.serving.write_tables import Choice, write_tables
from kgrec.testing import worlds

USERS, ITEMS = 30, 24
KEY = "a-key-that-is-long-enough"
ODD = ["a/b", "50 %", 'quo"te', "ü", "x" * LONGEST_ID]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    train = {(user, int(i)) for user in range(USERS) for i in rng.choice(20, 5, replace=False)}
    facts = [(item, item % 2, ITEMS + item % 4) for item in range(ITEMS - 1)]
    return worlds.dataset(sorted(train), triples=facts, num_items=ITEMS)


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Two runs, and the tables of each."""
    root = tmp_path_factory.mktemp("runs")
    made = []
    for seed in (0, 1):
        run = kgrec.fit("lightgcn-kg", data, dim=8, epochs=1, seed=seed)
        run.save(root / f"run-{seed}")
        write_tables(run, root / f"tables-{seed}")
        made.append((run, root / f"tables-{seed}"))
    return made


@pytest.fixture(scope="module")
def run(runs):
    return runs[0][0]


def client_of(path, access=None, **settings):
    metrics = Metrics()
    app = make_app(Live(path, metrics), metrics, access, **settings)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(runs):
    return client_of(runs[0][1])


SCHEMAS = document()


def check(answer, method, path):
    """An answer is what the document says."""
    operation = SCHEMAS["paths"][path][method]
    status = str(answer.status_code)
    media = answer.headers["content-type"].partition(";")[0]
    if answer.status_code >= 400:
        assert media == "application/problem+json"
        status = "default"
    content = operation["responses"][status].get("content", {})
    if media in content:
        schema = {**content[media]["schema"], "components": SCHEMAS["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())
    return answer


def post(client, path, **body):
    return check(client.post(path, json=body), "post", path)


def equal(answer, frame):
    places = answer["items"]
    assert [place["item"] for place in places] == frame["item"].to_list()
    assert [place["label"] for place in places] == frame["label"].to_list()
    assert [place["rank"] for place in places] == frame["rank"].to_list()
    np.testing.assert_allclose(
        [place["score"] for place in places], frame["score"].to_list(), atol=2e-6
    )
    kinds = [place.get("kind") or answer["kind"] for place in places]
    assert kinds == frame["kind"].to_list()


def test_lists_are_those_of_the_run(client, run):
    for user in ("u0", "u7"):
        answer = check(
            client.get("/v1/recommend", params={"user": user, "k": 7}), "get", "/v1/recommend"
        )
        (found,) = answer.json()["lists"]
        equal(found, run.recommend(user, k=7))
        assert found["kind"] == "personal"
        assert found["basis"] == {"known": True, "clicks": 5, "new_clicks": 0}
        assert found["why"] is None
        assert found["fewer"] is None

    batch = post(client, "/v1/recommend", users=[f"u{n}" for n in range(20)], k=3).json()
    frame = run.recommend([f"u{n}" for n in range(20)], k=3)
    for number, found in enumerate(batch["lists"]):
        equal(found, frame.filter(frame["user"] == f"u{number}"))

    answer = post(client, "/v1/recommend", history=["i3", "i5"], k=4).json()
    equal(answer["lists"][0], run.recommend(history=["i3", "i5"], k=4))
    assert answer["lists"][0]["kind"] == "history"
    new = next(f"i{n}" for n in range(20) if n not in run.data.train.item[run.data.train.user == 2])
    answer = post(client, "/v1/recommend", user="u2", history=[new], k=4).json()
    equal(answer["lists"][0], run.recommend("u2", history=[new], k=4))
    assert answer["lists"][0]["basis"]["new_clicks"] == 1
    assert new not in [place["item"] for place in answer["lists"][0]["items"]]


def test_filters_candidates_and_exclusions(client, run):
    triples = run.data.triples
    relation, entity = triples.relations.key(0), triples.entities.key(ITEMS)
    fits = [
        f"i{h}"
        for h, r, t in zip(triples.head, triples.relation, triples.tail, strict=True)
        if r == 0 and t == ITEMS
    ]
    answer = post(client, "/v1/recommend", user="u1", k=9, where={relation: [entity]}).json()
    equal(answer["lists"][0], run.recommend("u1", k=9, items=fits))
    assert answer["lists"][0]["fewer"] == "there are no more candidates"
    answer = post(
        client,
        "/v1/recommend",
        user="u1",
        k=9,
        items=["i1", "i2", "i3"],
        exclude=["i2"],
        allow_seen=True,
    ).json()
    frame = run.recommend("u1", k=9, items=["i1", "i2", "i3"], exclude=["i2"], allow_seen=True)
    equal(answer["lists"][0], frame)
    both = post(client, "/v1/recommend", user="u1", where={relation: [entity]}, items=["i1"]).json()
    assert both["lists"][0]["items"] == []
    assert both["lists"][0]["fewer"] == "no candidate is known"
    problem = post(client, "/v1/recommend", user="u1", where={relation[:-1] + "x": ["a"]})
    assert problem.status_code == 422
    assert re.search(rf"Nearest: .*{relation}", problem.json()["detail"])
    assert problem.json()["field"] == "where"


def test_unknown_ids_are_ignored_and_reported(client, run):
    answer = post(client, "/v1/recommend", user="u1", exclude=["no", "i1"], history=["none"]).json()
    assert answer["ignored"] == {"history": ["none"], "exclude": ["no"]}
    answer = post(client, "/v1/recommend", user="stranger", k=3).json()["lists"][0]
    counts = np.bincount(run.data.train.item, minlength=ITEMS)
    popular = sorted(range(ITEMS), key=lambda row: (-counts[row], f"i{row}"))[:3]
    assert [place["item"] for place in answer["items"]] == [f"i{row}" for row in popular]
    assert answer["kind"] == "popular"
    assert answer["why"] == "the user is not known, and there is no history."
    assert post(client, "/v1/recommend", user="x", fallback="none").status_code == 404
    problem = post(client, "/v1/recommend", user="u1", history=["i99"], on_unknown="error")
    assert problem.json()["type"] == "/problems/unknown-item"
    assert problem.json()["field"] == "history"


def test_lists_are_as_wanted(client, run):
    relation = run.data.triples.relations.key(0)
    wishes = {"diversity": 0.7, "popularity": 0.4, "most": {relation: 2}}
    answer = post(client, "/v1/recommend", user="u3", k=6, **wishes).json()
    equal(answer["lists"][0], run.recommend("u3", k=6, **wishes))
    query = {"user": "u3", "k": 6, "diversity": "0.7", "popularity": "-0.5"}
    answer = check(client.get("/v1/recommend", params=query), "get", "/v1/recommend").json()
    equal(answer["lists"][0], run.recommend("u3", k=6, diversity=0.7, popularity=-0.5))
    for body, field, words in (
        ({"most": {relation + "x": 2}}, "most", "Nearest"),
        ({"most": {relation: 0}}, "most[...]", ">= 1"),
        ({"diversity": 2}, "diversity", "<= 1"),
        ({"calibrate": True}, "calibrate", "weight"),
        ({"new_items": 0.01}, "new_items", "less than one of 10"),
    ):
        problem = post(client, "/v1/recommend", user="u3", **body)
        assert problem.status_code == 422, body
        assert (problem.json()["field"], words in problem.json()["detail"]) == (field, True), body
    for bad in ("nan", "1e3", "x", "9" * 50):
        assert client.get(f"/v1/recommend?user=u3&diversity={bad}").status_code == 422


def test_similar_scores_items_and_the_run(client, run):
    found = check(
        client.get("/v1/similar", params={"item": "i3", "k": 4}), "get", "/v1/similar"
    ).json()
    assert [p["item"] for p in found["items"]] == run.similar_items("i3", k=4)["item"].to_list()
    assert post(client, "/v1/similar", item="i99").status_code == 422
    frame = run.recommend("u4", k=ITEMS, allow_seen=True)
    wanted = [*frame["item"].to_list()[:6], "no such item"]
    scores = post(client, "/v1/score", user="u4", items=wanted).json()["scores"]
    np.testing.assert_allclose(scores[:-1], frame["score"].to_list()[:6], atol=2e-6)
    assert scores[-1] is None
    assert post(client, "/v1/score", user="stranger", items=["i1"]).status_code == 409
    items = check(client.get("/v1/items", params={"id": ["i1", "i2"]}), "get", "/v1/items").json()
    assert [item["item"] for item in items["items"]] == ["i1", "i2"]
    assert {facet["name"] for facet in items["facets"]} >= {run.data.triples.relations.key(0)}
    about = check(client.get("/v1/run"), "get", "/v1/run").json()
    assert (about["items"], about["users"]) == (ITEMS, USERS)
    assert about["capabilities"] == ["history", "similar"]
    for path in ("/v1/live", "/v1/ready", "/v1/version"):
        assert check(client.get(path), "get", path).headers["x-kgrec-run"] == about["run"]


def test_what_an_address_cannot_hold_is_told(client):
    body = client.get("/v1/recommend?user=u1&where=price").json()
    assert (body["field"], body["detail"]) == ("where", "where goes in the JSON body of a POST.")
    body = client.get("/v1/recommend?user=u1&reason=1").json()
    assert body["detail"].startswith("unknown parameter 'reason'. Nearest: reasons")


def test_answers_are_cached_by_their_run_and_request(client):
    first = client.get("/v1/recommend?user=u1&k=3")
    tag = first.headers["etag"]
    again = client.get("/v1/recommend?user=u1&k=3", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/v1/recommend?user=u2&k=3").headers["etag"] != tag


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "user"),
        ({"user": "u1", "users": ["u2"]}, 422, "users"),
        ({"users": ["u1", "u2"], "history": ["i1"]}, 422, "history"),
        ({"user": 7}, 422, "user"),
        ({"user": "u1", "k": 0}, 422, "k"),
        ({"user": "u1", "k": -3}, 422, "k"),
        ({"user": "u1", "k": 10**30}, 422, "k"),
        ({"user": "u1", "k": 1.5}, 422, "k"),
        ({"user": "u1", "topk": 3}, 422, ""),
        ({"user": "u" * 3000}, 422, "user"),
        ({"users": ["u"] * 257}, 422, "users"),
        ({"user": "u1", "history": ["i"] * 1001}, 422, "history"),
        ({"user": "u1", "items": ["i"] * 10_001}, 422, "items"),
        ({"user": "u1", "where": {"a": {"b": {"c": {}}}}}, 422, "where[...]"),
        ({"user": "u1", "where": {str(n): ["x"] for n in range(40)}}, 422, "where"),
        ([1], 422, ""),
    ],
)
def test_bodies_that_do_not_fit_say_where(client, body, status, field):
    answer = check(client.post("/v1/recommend", json=body), "post", "/v1/recommend")
    assert answer.status_code == status
    assert answer.json().get("field", "") == field, answer.json()


def test_bombs_are_refused(client):
    kind = {"content-type": "application/json"}
    deep = b'{"user":"u1","where":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}"
    for body, code in (
        (deep, 422),
        (b"[" * 200_000, 422),
        (b'{"user":"' + b"x" * 10_000_000 + b'"}', 413),
        (json.dumps({"user": "u", "items": ["i"] * 1_000_000}).encode(), 413),
        (b'{"user":"\xff"}', 400),
        (b"", 400),
        (b'{"user":"u1","k":1' + b"0" * 400_000 + b"}", 422),
        (b'{"user":"u1"}' + b" " * (MOST_BYTES - 13), 200),
    ):
        answer = client.post("/v1/recommend", content=body, headers=kind)
        assert answer.status_code == code, (code, body[:40], answer.text[:200])
    assert client.post("/v1/recommend", content=b"user=u1").status_code == 415


def test_an_address_asks_as_a_body_does(client, run):
    answer = client.get("/v1/recommend?history=i3&history=i5&k=4").json()
    equal(answer["lists"][0], run.recommend(history=["i3", "i5"], k=4))

    answer = client.get("/v1/recommend?user=u2&history=i5&k=4").json()
    equal(answer["lists"][0], run.recommend("u2", history=["i5"], k=4))

    problem = client.get("/v1/recommend?k=4")
    assert problem.json()["detail"] == client.post("/v1/recommend", json={"k": 4}).json()["detail"]


def test_addresses_that_do_not_fit(client):
    for query, code in (
        ("", 422),
        ("?user=u1&user=u2", 422),
        ("?user=u1&k=x", 422),
        ("?user=u1&k=" + "9" * 400, 422),
        ("?user=u1&where=a", 422),
        ("?user=u1&allow_seen=maybe", 422),
        ("?user=u1&" + "exclude=i1&" * 1_001, 422),
        ("?user=" + "x" * 2_001, 422),
    ):
        answer = client.get(f"/v1/recommend{query}")
        assert answer.status_code == code, query[:60]
        assert answer.headers["content-type"] == "application/problem+json"

    for k, said in (("-3", ">= 1"), ("0", ">= 1"), ("1001", "<= 1000")):
        asked = client.get(f"/v1/recommend?user=u1&k={k}").json()
        posted = client.post("/v1/recommend", json={"user": "u1", "k": int(k)}).json()
        assert said in asked["detail"]
        assert asked | {"request_id": ""} == posted | {"request_id": ""}

    for path in ("/v2/recommend", "/../etc/passwd", "/v1/recommend/u1", "/static/x", "/%2e%2e/x"):
        assert client.get(path).status_code == 404
    assert client.delete("/v1/recommend").status_code == 405
    assert client.get("/v1/score").status_code == 405
    assert client.get("/v1/recommend/", follow_redirects=False).status_code == 404
    assert client.head("/v1/recommend?user=u1").status_code == 200
    assert client.head("/v1/score").status_code == 405


SMALL = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = ["user", "users", "history", "k", "items", "exclude", "where", "reasons", "language"]


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), SMALL, max_size=4) | SMALL)
def test_no_body_makes_a_bug(client, body):
    text = json.dumps(body, ensure_ascii=True)
    kind = {"content-type": "application/json"}
    for path in ("/v1/recommend", "/v1/similar", "/v1/score", "/v1/explain"):
        answer = client.post(path, content=text, headers=kind)
        assert answer.status_code < 500, (path, text, answer.text)


def test_odd_ids_come_back_as_they_are(tmp_path):
    from dataclasses import replace

    from kgrec.data.records.vocabulary import Vocabulary

    world = worlds.dataset([(u, i) for u in range(5) for i in range(5) if u != i])
    ids = Vocabulary(ODD, kind="item")
    world = replace(world, items=ids, users=Vocabulary(ODD, kind="user"))
    write_tables(kgrec.fit("itemknn", world), tmp_path / "t")
    odd = client_of(tmp_path / "t")
    for number, key in enumerate(ODD):
        answer = odd.get("/v1/recommend", params={"user": key, "k": 9}).json()["lists"][0]
        assert answer["user"] == key
        assert [place["item"] for place in answer["items"]] == [ODD[number]]


def test_keys_hosts_and_sites(runs):
    import hashlib

    path = runs[0][1]
    keys = (hashlib.sha256(KEY.encode()).digest(),)
    admin = (hashlib.sha256(b"the admin's own key").digest(),)
    locked = client_of(path, Access(keys, admin, origins=("https://shop.example",)))
    assert locked.get("/v1/recommend?user=u1").status_code == 401
    assert locked.get("/v1/recommend?user=u1", headers={"x-api-key": KEY + "x"}).status_code == 401
    assert locked.get(f"/v1/recommend?user=u1&api_key={KEY}").status_code == 401
    for headers in ({"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}):
        assert locked.get("/v1/recommend?user=u1", headers=headers).status_code == 200
    assert locked.get("/v1/ready").status_code == 200
    assert locked.get("/metrics").status_code == 401
    assert locked.post("/v1/reload", headers={"x-api-key": KEY}).status_code == 401
    assert (
        locked.post("/v1/reload", headers={"x-api-key": "the admin's own key"}).status_code == 202
    )
    site = {"x-api-key": KEY, "origin": "https://shop.example"}
    answer = locked.get("/v1/recommend?user=u1", headers=site)
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    other = locked.get("/v1/recommend?user=u1", headers=site | {"origin": "https://else.example"})
    assert "access-control-allow-origin" not in other.headers

    local = client_of(path, Access(hosts=("127.0.0.1:8000",)))
    assert local.get("/v1/recommend?user=u1").status_code == 421
    host = {"host": "127.0.0.1:8000"}
    assert local.get("/v1/recommend?user=u1", headers=host).status_code == 200
    evil = host | {"origin": "http://evil.example"}
    assert local.get("/v1/recommend?user=u1", headers=evil).status_code == 403
    answer = local.get("/", headers=host)
    assert "script" not in answer.text
    assert not re.search(r"https?://", answer.text)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_of_an_allowed_site_may_send_keys_and_bodies(runs):
    site = "https://shop.example"
    shop = client_of(runs[0][1], Access(origins=(site,)))
    leave = {"origin": site, "access-control-request-method": "POST"}
    asked = shop.options("/v1/recommend", headers=leave)
    assert asked.status_code == 204
    assert "POST" in asked.headers["access-control-allow-methods"]
    allowed = asked.headers["access-control-allow-headers"]
    assert {"authorization", "content-type"} <= set(allowed.split(", "))
    assert asked.headers["access-control-allow-origin"] == site
    other = shop.options("/v1/recommend", headers=leave | {"origin": "https://other.example"})
    assert "access-control-allow-methods" not in other.headers


def test_the_document_has_every_endpoint_and_no_more(client):
    assert SCHEMAS["openapi"] == "3.1.0"
    assert client.get("/openapi.json").json() == json.loads(json.dumps(SCHEMAS))
    for endpoint in ENDPOINTS:
        sent = client.request(endpoint.method, endpoint.path)
        assert sent.status_code not in (404, 405), endpoint.path


def test_counters_of_workers_add_up(tmp_path):
    make_file(tmp_path / "metrics", 3)
    workers = [Metrics(tmp_path / "metrics", slot) for slot in range(3)]
    for number, worker in enumerate(workers):
        for _ in range(number + 1):
            worker.request("/v1/recommend", 200, 0.0007)
            worker.listed("history")
    text = workers[1].text("abc", 'a "model"')
    assert 'kgrec_requests_total{path="/v1/recommend",status="200"} 6' in text
    assert 'kgrec_lists_total{kind="history"} 6' in text
    assert 'kgrec_request_seconds_bucket{le="0.0005"} 0' in text
    assert 'kgrec_request_seconds_bucket{le="0.001"} 6' in text
    assert "kgrec_request_seconds_count 6" in text
    assert 'kgrec_run_info{run="abc",model="a \\"model\\""} 1' in text


def test_logs_name_no_user_unless_wanted(runs, capfd):
    quiet = client_of(runs[0][1], log=True)
    quiet.get("/v1/recommend?user=u7&k=2")
    quiet.post("/v1/recommend", json={"user": "u7", "history": ["i1"]})
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["path"] for line in lines] == ["/v1/recommend"] * 2
    assert lines[0]["kind"] == "personal"
    assert "u7" not in json.dumps(lines)
    client_of(runs[0][1], log=True, log_users=True).get("/v1/recommend?user=u7")
    assert json.loads(capfd.readouterr().err)["user"] == "u7"


def test_a_bug_is_a_problem_and_its_trace_is_in_the_log(runs, monkeypatch, caplog):
    from kgrec.serving.tables.ranking import Ranking

    broken = client_of(runs[0][1])
    monkeypatch.setattr(Ranking, "begin", lambda *args, **more: 1 / 0)
    answer = broken.get("/v1/recommend?user=u1")
    assert answer.status_code == 500
    assert answer.json()["type"] == "/problems/internal"
    assert "division" not in answer.text
    assert "ZeroDivisionError" in caplog.text
    assert answer.json()["request_id"] in caplog.text
    assert 'path="/v1/recommend",status="500"} 1' in broken.get("/metrics").text


def test_too_many_at_once_are_told_to_come_again(runs):
    busy = client_of(runs[0][1], most_open=0)
    answer = busy.get("/v1/recommend?user=u1")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["type"] == "/problems/busy"
    assert busy.get("/v1/live").status_code == 200


def test_reasons_that_were_computed_are_given(runs, run, tmp_path):
    run.explainer().batch(["u1", "u2"], 3, out=tmp_path / "reasons.jsonl", top=2)
    write_tables(run, tmp_path / "t", Choice(reasons=tmp_path / "reasons.jsonl"))
    served = client_of(tmp_path / "t")
    answer = check(
        served.get("/v1/recommend", params={"user": "u1", "k": 5, "reasons": 3}),
        "get",
        "/v1/recommend",
    ).json()
    places = answer["lists"][0]["items"]
    said = [place.get("reasons") for place in places]
    why = run.explain("u1", places[0]["item"], 3)
    assert [bool(one) for one in said] == [True, True, False, False, False]
    assert answer["reasons_missing"] == 1
    from kgrec.explanation.render.sentences import reason

    assert said[0][0]["text"] == reason(why)
    assert said[0][0]["because"] == ("because" in said[0][0]["text"])
    other = runs[1][0]
    with pytest.raises(kgrec.KgrecError, match="explains another run"):
        write_tables(other, tmp_path / "o", Choice(reasons=tmp_path / "reasons.jsonl"))


def test_a_run_at_hand_gives_live_reasons_and_explanations(runs, run, caplog, monkeypatch):
    metrics = Metrics()
    live = open_live(Settings(runs[0][1], run.path), metrics)
    served = TestClient(make_app(live, metrics))
    with served:  # one loop for all requests: the thread answers into it
        body = {"user": "u1", "k": 3, "reasons": 2, "reason_ms": 9000}
        answer = post(served, "/v1/recommend", **body).json()
        assert answer["reasons_missing"] == 0
        assert all(place["reasons"] for place in answer["lists"][0]["items"][:2])
        body |= {"reason_ms": 0}
        answer = post(served, "/v1/recommend", **body).json()
        assert answer["reasons_missing"] == 2
        monkeypatch.setattr(RunReasons, "_reason", lambda *_: time.sleep(0.3))
        for _ in range(2):
            post(served, "/v1/recommend", **body | {"reason_ms": 20, "reasons": 1})
        assert caplog.text.count("a list went out without a reason") == 1  # said once
        time.sleep(0.4)  # until the thread is free
        monkeypatch.undo()
        item = answer["lists"][0]["items"][0]["item"]
        found = post(served, "/v1/explain", user="u1", item=item, k=3).json()
        assert kgrec.Explanation.from_json(json.dumps(found)).verify(run.explainer()) == []
        assert post(served, "/v1/explain", user="u1", item="no").status_code == 422
        assert post(served, "/v1/explain", user="no", item="i1").status_code == 404
    # tables of another run: nothing is said of them
    live = open_live(Settings(runs[1][1], run.path), metrics)
    with TestClient(make_app(live, metrics)) as served:
        assert post(served, "/v1/explain", user="u1", item="i1").status_code == 409


def waited(coroutine):
    """Return what a coroutine gives, in a thread: this one may have a loop of a browser's tests."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def test_reasons_of_a_run_that_was_replaced_are_none_of_the_tables(runs, tmp_path):
    place = shutil.copytree(runs[0][0].path, tmp_path / "run")
    lazy = LazyRun(place)
    reasons = RunReasons(lazy, open_tables(runs[0][1]))
    item = runs[0][0].recommend("u1", k=1)["item"][0]
    found = waited(reasons.explain("u1", [], item, 3)).decode()
    assert kgrec.Explanation.from_json(found).item == item
    shutil.rmtree(place)
    shutil.copytree(runs[1][0].path, place)
    with pytest.raises(ProblemError, match="not the one that is served"):
        waited(reasons.explain("u1", [], item, 3))
    assert waited(reasons.reason("u1", [], item, "", 20.0)) is None


def test_explanations_need_the_run(client):
    assert post(client, "/v1/explain", user="u1", item="i1").status_code == 409


def test_models_that_score_themselves_are_served_with_their_run(data, tmp_path):
    run = kgrec.fit("userknn", data)
    run.save(tmp_path / "run")
    write_tables(run, tmp_path / "t", model_serves=True)
    metrics = Metrics()
    served = TestClient(make_app(open_live(Settings(tmp_path / "t", run.path), metrics), metrics))
    for body in ({"user": "u3"}, {"history": ["i1", "i2"]}, {"user": "u3", "items": ["i1", "i9"]}):
        answer = post(served, "/v1/recommend", k=6, **body).json()["lists"][0]
        rest = {name: value for name, value in body.items() if name != "user"}
        equal(answer, run.recommend(body.get("user"), k=6, **rest))
    with pytest.raises(kgrec.KgrecError, match="Serve the run"):
        open_live(Settings(tmp_path / "t"), metrics)

    # replaced since its tables were made: its scores are not those of their items
    kgrec.fit("itemknn", data).save(tmp_path / "run")
    with pytest.raises(CheckpointError, match="another run than that of"):
        open_live(Settings(tmp_path / "t", run.path), metrics)


def test_newer_tables_are_taken_over_and_damaged_ones_are_not(runs, tmp_path):
    place = shutil.copytree(runs[0][1], tmp_path / "t")
    metrics = Metrics()
    live = Live(place, metrics)
    served = TestClient(make_app(live, metrics))
    first = served.get("/v1/run").json()["run"]
    assert not live.look()

    def replaced(source, damage=False):
        fresh = shutil.copytree(source, tmp_path / "fresh")
        if damage:
            (fresh / "users.vectors.npy").write_bytes(b"no table")
        place.rename(tmp_path / "gone")
        fresh.rename(place)
        shutil.rmtree(tmp_path / "gone")

    replaced(runs[1][1], damage=True)
    assert not live.look()
    assert served.get("/v1/ready").status_code == 200
    assert served.get("/v1/recommend?user=u1").json()["run"] == first
    replaced(runs[1][1])
    assert live.look()
    answer = served.get("/v1/recommend?user=u1&k=4")
    equal(answer.json()["lists"][0], runs[1][0].recommend("u1", k=4))
    assert answer.headers["x-kgrec-run"] != first
    text = served.get("/metrics").text
    assert 'kgrec_reloads_total{result="done"} 1' in text
    assert 'kgrec_reloads_total{result="refused"} 1' in text


def test_a_run_that_is_replaced_gets_new_tables(runs, tmp_path, monkeypatch):
    from kgrec.serving.http import worker

    place = shutil.copytree(runs[0][0].path, tmp_path / "run")
    goal = tmp_path / "run.serving"
    shutil.copytree(runs[0][1], goal)
    metrics = Metrics()
    live = Live(goal, metrics)
    first = worker.Worker(Settings(goal, place), live, metrics)
    other = worker.Worker(Settings(goal, place, workers=2), live, metrics, slot=1)
    made = []

    def export(run, allow):
        made.append(allow)
        write_tables(kgrec.load_run(run), goal)

    monkeypatch.setattr(worker, "tables_of", export)
    first._follow_run()
    assert not made
    place.rename(tmp_path / "gone")
    shutil.copytree(runs[1][0].path, place)
    other._follow_run()
    assert not made  # the first worker does it for all
    first._follow_run()
    first._follow_run()
    assert made == [()]
    late = worker.Worker(Settings(goal, place), live, metrics)  # after it was replaced
    late._follow_run()
    late._follow_run()
    assert made == [(), ()]
    assert live.look()
    assert live.service.run == read_run(runs[1][1])


def test_tables_are_made_once_for_a_state_of_a_run(runs, tmp_path, monkeypatch):
    from kgrec.serving.http import worker

    place = shutil.copytree(runs[0][0].path, tmp_path / "run")
    write_tables(kgrec.load_run(place), tmp_path / "run.serving")
    called = []

    def export(command, **more):
        called.append(command)
        return subprocess.CompletedProcess(command, 2, "", "kgrec: the disk is full.\n")

    monkeypatch.setattr(worker.subprocess, "run", export)
    assert worker.tables_of(place) == tmp_path / "run.serving"
    assert not called
    config = place / "config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(kgrec.KgrecError, match=r"^the disk is full"):
        worker.tables_of(place)
    assert called[0][2:6] == ["kgrec", "-q", "export", str(place)]


def test_tables_changed_under_the_server_are_not_served(runs, tmp_path):
    place = shutil.copytree(runs[0][1], tmp_path / "t")
    metrics = Metrics()
    live = Live(place, metrics)
    served = TestClient(make_app(live, metrics))
    file = place / "items.vectors.npy"
    with file.open("r+b") as stream:
        stream.seek(-4, 2)
        stream.write(b"\0\0\0\0")
    live.look()
    answer = served.get("/v1/recommend?user=u1")
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/not-ready"
    assert served.get("/v1/ready").status_code == 503
    # an export makes it whole again
    fresh = shutil.copytree(runs[1][1], tmp_path / "fresh")
    place.rename(tmp_path / "gone")
    fresh.rename(place)
    assert live.look()
    assert served.get("/v1/ready").status_code == 200


def test_a_process_needs_neither_torch_nor_polars_and_drains(runs, run):
    with process(runs[0][1], "--drain", "1", "--log", "none") as (started, address):
        found = read(address + "v1/recommend?user=u1&k=3")
        equal(found["lists"][0], run.recommend("u1", k=3))
        with open(f"/proc/{started.pid}/maps") as maps:
            mapped = maps.read()
        assert "items.vectors.npy" in mapped
        for heavy in ("torch", "polars", "scipy"):
            assert f"/{heavy}/" not in mapped, heavy
        with open(f"/proc/{started.pid}/status") as lines:
            (resident,) = [line for line in lines if line.startswith("VmRSS")]
        assert int(resident.split()[1]) < 90 * 1024

        started.send_signal(signal.SIGTERM)
        time.sleep(0.4)
        assert status(address + "v1/ready") == 503
        assert status(address + "v1/recommend?user=u1") == 200  # still answering
        assert started.wait(20) == 0
        assert started.stderr.read() == ""


@pytest.mark.slow
def test_workers_that_are_killed_come_back_and_reloads_fail_no_request(runs, tmp_path):
    place = shutil.copytree(runs[0][1], tmp_path / "t")
    ids = [read_run(path) for _, path in runs]
    with process(place, "--workers", "2", "--log", "none") as (started, address):
        failed, seen, stop = [], set(), threading.Event()

        def ask():
            while not stop.is_set():
                try:
                    seen.add(read(address + "v1/recommend?user=u1&k=2")["run"])
                except (OSError, ValueError) as error:
                    failed.append(error)

        clients = [threading.Thread(target=ask) for _ in range(3)]
        for one in clients:
            one.start()
        for turn in (1, 0, 1):
            fresh = shutil.copytree(runs[turn][1], tmp_path / "fresh")
            place.rename(tmp_path / "gone")
            fresh.rename(place)
            shutil.rmtree(tmp_path / "gone")
            time.sleep(0.9)
        stop.set()
        for one in clients:
            one.join()
        assert not failed
        assert seen == set(ids)

        children = _children(started.pid)
        assert len(children) == 2
        import os

        os.kill(children[0], signal.SIGKILL)
        for _ in range(150):
            time.sleep(0.1)
            if len(_children(started.pid)) == 2 and children[0] not in _children(started.pid):
                break
        assert status(address + "v1/recommend?user=u1") == 200
        started.send_signal(signal.SIGTERM)
        assert started.wait(30) == 0


def read_run(path):
    return json.loads((path / "serving.json").read_text())["run"]


def _children(pid):
    """The workers: spawned processes, without Python's tracker of resources."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        found = [int(one) for one in file.read().split()]
    return [one for one in found if b"spawn_main" in _command(one)]


def _command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


@pytest.mark.parametrize("protocol", ["h11", "httptools"])
def test_clients_that_stop_or_never_end_are_left(runs, monkeypatch, protocol):
    import socket

    from kgrec.serving import protocols
    from kgrec.serving.http import worker

    if protocol == "h11":
        monkeypatch.setattr(protocols, "find_spec", lambda name: None)
    else:
        pytest.importorskip("httptools")
    monkeypatch.setattr(protocols, "_PATIENCE", 1.0)
    metrics = Metrics()
    listening = worker.open_socket("127.0.0.1", 0)
    port = listening.getsockname()[1]
    settings = Settings(runs[0][1])
    server = worker.Worker(settings, Live(runs[0][1], metrics), metrics)
    assert (server.config.http is protocols.in_python()) == (protocol == "h11")
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        half = [
            b"",
            b"GET / HT",
            b"GET / HTTP/1.1\r\nHost: x\r\n",
            b"POST /v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 600\r\n\r\n{",
        ]
        clients = []
        for part in half:
            clients.append(socket.create_connection(("127.0.0.1", port), timeout=15))
            clients[-1].sendall(part)
        long = socket.create_connection(("127.0.0.1", port), timeout=15)
        with contextlib.suppress(OSError):
            for _ in range(40):
                long.sendall(b"GET /" + b"a" * 10_000)
        clients.append(long)
        clients += [socket.create_connection(("127.0.0.1", port), timeout=15) for _ in range(400)]
        address = f"http://127.0.0.1:{port}/"
        assert status(address + "v1/recommend?user=u1") == 200
        for client in clients:  # closed by the server, with or without an answer
            with client, contextlib.suppress(ConnectionError):
                while client.recv(65_536):
                    pass
        with socket.create_connection(("127.0.0.1", port), timeout=15) as two:
            ask = b"GET /v1/live HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
            two.sendall(
                ask + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n"
            )
            assert b"kgrec_requests_total" not in two.recv(65_536)
        assert status(address + "v1/ready") == 200
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
    assert not thread.is_alive()


def test_bad_ways_to_start(runs, tmp_path, capsys):
    import socket

    path = str(runs[0][1])
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    short = tmp_path / "short"
    short.write_text("abc\n")
    other = shutil.copytree(path, tmp_path / "other")
    record = json.loads((other / MANIFEST).read_text())
    (other / MANIFEST).write_text(json.dumps(record | {"version": 9}))
    for arguments, said in (
        ([path, "--port", str(taken.getsockname()[1])], "Address already in use"),
        ([path, "--host", "0.0.0.0"], "--api-key-file"),
        ([path, "--api-key-file", str(short)], "fewer than 16"),
        ([path, "--cors", "*"], "name the sites"),
        ([path, "--log", "loud"], "json or none"),
        ([str(tmp_path / "none")], "no such folder"),
        ([str(tmp_path)], "not a kgrec serving folder"),
    ):
        assert command(["serve", *arguments]) == 2
        assert said in capsys.readouterr().err
    taken.close()
    done = subprocess.run(
        [sys.executable, "-m", "kgrec", "serve", str(other), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "format version 9" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_run_is_served_from_tables_beside_it(run, tmp_path):
    place = shutil.copytree(run.path, tmp_path / "run")
    with process(place, "--no-torch", "--log", "none") as (_, address):
        equal(read(address + "v1/recommend?user=u5&k=3")["lists"][0], run.recommend("u5", k=3))
    first = (tmp_path / "run.serving" / MANIFEST).stat().st_mtime_ns
    with process(place, "--no-torch", "--log", "none") as (_, address):
        assert read(address + "v1/run")["users"] == USERS
    assert (tmp_path / "run.serving" / MANIFEST).stat().st_mtime_ns == first


BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError("not in requirements-serve.txt: " + name, name=name)
sys.meta_path.insert(0, Blocked())
"""


def test_what_the_image_installs_is_enough(runs, run, root, tmp_path, monkeypatch):
    """The process sees the packages of requirements-serve.txt, what they need, and nothing else."""
    from importlib import metadata

    lines = (root / "docs/serving/requirements-serve.txt").read_text().splitlines()
    wanted = [re.split(r"[<>=;\[ ]", line)[0] for line in lines if line and line[0] != "#"]
    kept = set()
    while wanted:
        name = wanted.pop().lower().replace("_", "-")
        if name in kept:
            continue
        kept.add(name)
        with contextlib.suppress(metadata.PackageNotFoundError):
            needs = [need for need in metadata.requires(name) or () if "extra ==" not in need]
            wanted += [re.split(r"[<>=!~;\[ (]", need)[0] for need in needs]
    owners = metadata.packages_distributions()
    names = {
        module
        for module, packages in owners.items()
        if module != "kgrec" and not {p.lower().replace("_", "-") for p in packages} & kept
    }
    assert {"torch", "polars", "scipy", "jaxtyping", "jinja2"} <= names
    (tmp_path / "sitecustomize.py").write_text(BLOCK.replace("{names!r}", repr(names)))
    import os

    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with process(runs[0][1], "--log", "none") as (_, address):
        equal(read(address + "v1/recommend?user=u2&k=3")["lists"][0], run.recommend("u2", k=3))


def test_recipes_are_what_they_say(root):
    folder = root / "docs/serving"
    docker = (folder / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)", docker, re.M)
    assert stages == ["python:3.12-slim"] * 2
    last = docker.rpartition("FROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.M)
    assert "torch" not in re.sub(r"#.*", "", docker)
    for line in re.findall(r"^(?:CMD|ENTRYPOINT|HEALTHCHECK .* CMD) (\[.*\])$", docker, re.M):
        assert json.loads(line)
    entry, arguments = re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", last, re.M)
    help_text = subprocess.run(
        [sys.executable, "-m", *json.loads(entry), "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    unit = (folder / "kgrec-serve.service").read_text()
    told = [*json.loads(arguments), *unit.split(), *(folder / "kgrec.cron").read_text().split()]
    known = {"--host", "--port", "--api-key-file", "--drain", "--workers"}
    assert {word for word in told if word.startswith("--")} <= known | {
        "--interactions",
        "--model",
        "--out",
        "--serving",
        "--time",
    }
    assert known <= set(re.findall(r"--[a-z-]+", help_text))
    assert "read_only: true" in (folder / "compose.yaml").read_text()
