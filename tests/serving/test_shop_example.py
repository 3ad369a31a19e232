"""The shop of examples/shop, from an empty database to a reason on the page."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import postgres
import pytest
from served import process, status

from kgrec.cli import run as command
from kgrec.runs.run import load_run

pytestmark = pytest.mark.slow
pytest.importorskip("duckdb", reason="needs kgrec[sql]")
SHOTS = os.environ.get("KGREC_SCREENSHOTS")


@contextmanager
def shop_page(folder, address, lists):
    """Run the page's server, and give its address."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [str(folder / "shop.py"), address, "--lists", lists, "--port", str(port)]
    started = subprocess.Popen([sys.executable, *arguments])
    found = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + 60
        while status(found) != 200:
            assert started.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield found
    finally:
        started.terminate()
        started.wait(20)


@pytest.fixture(scope="module")
def shop(root, tmp_path_factory):
    """The commands of the tutorial; the address of the page."""
    folder, place = root / "examples/shop", tmp_path_factory.mktemp("shop")
    address = f"duckdb:///{place / 'shop.duckdb'}"
    seeded = subprocess.run(
        [sys.executable, str(folder / "seed.py"), address], capture_output=True, text=True
    )
    assert seeded.stdout.startswith("400 products"), seeded.stderr
    clicks = "SELECT user_id, item_id, clicked_at FROM clicks"
    built = [*("build", "--database", address, "--interactions", clicks, "--verb", "looked at")]
    built += ["--items", "SELECT * FROM products", "--phrases", str(folder / "phrases.csv")]
    built += ["--out", str(place / "data")]
    assert command(built) == 0
    trained = ["train", str(place / "data"), "--model", "lightgcn-kg", "--out", str(place / "run")]
    assert command([*trained, "--set", "epochs=3"]) == 0
    with (
        process(place / "run", "--log", "none") as (_, lists),
        shop_page(folder, address, lists) as page,
    ):
        for _ in range(60):  # the first reasons import torch
            with urllib.request.urlopen(page + "api/list?user=u0001", timeout=30) as answer:
                if any(item["reason"] for item in json.load(answer)["items"]):
                    break
            time.sleep(1)
        yield page, place


def test_the_store_needs_no_pyarrow_for_postgresql(root, tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    monkeypatch.syspath_prepend(str(root / "examples/shop"))
    from store import Store

    with postgres.server(tmp_path / "server") as address:
        store = Store(address)
        store.create()
        store.add("products", [("a", "Lamp", "Nord", "Lamps", "Oak", 1.5)])
        assert store.click("it's me", "a")
        assert not store.click("it's me", "b' OR 1=1 --")
        assert store.clicked("it's me") == ["a"]
        newest = [sys.executable, str(root / "examples/shop/newest.py"), address]
        told = subprocess.run(newest, capture_output=True, text=True, check=True).stdout
        assert told.splitlines()[1].startswith("it's me,a,")
        assert store.rows("SELECT price FROM products WHERE item_id = ?", ["a"]) == [(1.5,)]


def sent(address, body, kind="application/json"):
    asked = urllib.request.Request(address, body, {"content-type": kind})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_server_takes_clicks_and_nothing_else(shop):
    page, _ = shop
    for body, code in (
        (b'{"user": "x", "item": "SKU-0001"}', 200),
        (b'{"user": "x", "item": "SKU-9999"}', 404),
        (b'{"user": "x", "item": "1\' OR 1=1 --"}', 404),
        (b'{"user": "' + b"x" * 100 + b'", "item": "SKU-0001"}', 422),
        (b'{"user": 7, "item": "SKU-0001"}', 422),
        (b"[" * 5_000, 422),
        (b"x" * 20_000, 413),
    ):
        assert sent(page + "api/click", body) == code, body[:60]
    assert sent(page + "api/click", b"{}", "text/plain") == 415
    for path in ("shop.py", "../shop.py", "%2e%2e/store.py", "page/../store.py"):
        assert status(page + path) == 404
    assert status(page + "api/list?user=") == 422
    other = urllib.request.Request(page, headers={"host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="421"):
        urllib.request.urlopen(other, timeout=10)


def test_the_clicks_of_a_day_go_into_the_run(shop, root, tmp_path):
    page, place = shop
    assert sent(page + "api/click", b'{"user": "y, z", "item": "SKU-0002"}') == 200
    arguments = [str(root / "examples/shop/newest.py"), f"duckdb:///{place / 'shop.duckdb'}"]
    told = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    header, *clicks = told.stdout.splitlines()
    assert header == "user_id,item_id,clicked_at"
    assert any(line.startswith('"y, z",SKU-0002,') for line in clicks)
    assert not any(line.startswith("u0") for line in clicks)  # the seed's are of years ago
    (tmp_path / "new.csv").write_text(told.stdout)
    run = shutil.copytree(place / "run", tmp_path / "run")
    assert command(["-q", "update", str(run), "--interactions", str(tmp_path / "new.csv")]) == 0
    assert "y, z" in load_run(run).data.users


def test_a_visitor_gets_lists_with_reasons_and_clicks_change_them(shop, watch):
    address, _ = shop
    seen = watch(address.rstrip("/"), viewport={"width": 1440, "height": 900})
    page = seen.page
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    assert "What others like most" in page.inner_text("#note")
    assert page.inner_text("#nothing") == "Nothing yet."
    titles = page.eval_on_selector_all(".card h3", "all => all.map(one => one.textContent)")
    assert len(titles) == 8
    shot(page, "new-1440")

    page.click(".card button")
    page.wait_for_selector("#clicked li")
    page.wait_for_selector("body[data-ready]")
    assert page.inner_text("#clicked li") == titles[0]
    after = page.eval_on_selector_all(".card h3", "all => all.map(one => one.textContent)")
    assert titles[0] not in after
    assert "From what you looked at just now" in page.inner_text("#note")

    page.fill("#user", "u0001")
    page.press("#user", "Enter")
    page.wait_for_selector("#note:has-text('Chosen')")
    page.wait_for_selector("body[data-ready]")
    assert "Chosen for you" in page.inner_text("#note")
    reasons = page.eval_on_selector_all(".reason", "all => all.map(one => one.textContent)")
    assert any("looked at" in reason for reason in reasons), reasons
    brands = page.eval_on_selector_all(
        ".facts", "all => all.map(one => one.textContent.split(' · ')[0])"
    )
    assert max(brands.count(brand) for brand in brands) <= 2
    shot(page, "known-1440")
    page.select_option("#category", "Lamps")
    page.wait_for_selector(".card:first-child .facts:has-text('Lamps')")
    page.wait_for_selector("body[data-ready]")
    facts = page.eval_on_selector_all(".facts", "all => all.map(one => one.textContent)")
    assert facts
    assert all("Lamps" in one for one in facts)

    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shot(page, "known-390")
    assert seen.told() == {"dialogs": [], "requests": [], "policy": [], "errors": []}


def shot(page, name):
    """Keep a picture, where somebody wants to look at it."""
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"shop-{name}.png"), full_page=True)
