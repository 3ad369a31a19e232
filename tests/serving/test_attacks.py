"""What somebody hostile sends over a socket, and what befalls a service: one answer per request or
none, never a wrong list, and afterwards it answers as before.
"""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from http.client import HTTPException

import numpy as np
import pytest
from served import process, read, status

import kgrec
from kgrec.cli import run as command
from kgrec.data.io.folders import MANIFEST
from kgrec.errors import CheckpointError
from kgrec.serving.tables import folder
from kgrec.serving.write_tables import write_tables
from kgrec.testing import worlds

USERS, ITEMS = 20, 24


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of one dataset, and the tables of each."""
    rng = np.random.default_rng(1)
    train = {(user, int(i)) for user in range(USERS) for i in rng.choice(20, 5, replace=False)}
    facts = [(item, item % 2, ITEMS + item % 4) for item in range(ITEMS)]
    data = worlds.dataset(sorted(train), triples=facts, num_items=ITEMS)
    root = tmp_path_factory.mktemp("runs")
    made = []
    for seed in (0, 1):
        run = kgrec.fit("lightgcn-kg", data, dim=8, epochs=1, seed=seed)
        run.save(root / f"run-{seed}")
        write_tables(run, root / f"tables-{seed}")
        made.append((run, root / f"tables-{seed}"))
    return made


@pytest.fixture(scope="module")
def address(runs):
    with process(runs[0][1], "--log", "none") as (_, found):
        yield found


def port_of(address):
    return int(address.rstrip("/").rpartition(":")[2])


def exchanged(address, sent, seconds=3.0):
    """All that comes back for some bytes, until the other side ends or is silent."""
    found = b""
    with socket.create_connection(("127.0.0.1", port_of(address)), timeout=seconds) as client:
        with suppress(OSError):
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            while part := client.recv(1 << 16):
                found += part
    return found


def whole(address, run):
    """The service answers as at first."""
    places = read(address + "v1/recommend?user=u1&k=5")["lists"][0]["items"]
    assert [place["item"] for place in places] == run.recommend("u1", k=5)["item"].to_list()


INNER = "GET /v1/live HTTP/1.1\r\nHost: {host}\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"
SMUGGLED = {
    "length and chunks": f"Content-Length: 4\r\n{CHUNKED}\r\n\r\n0\r\n\r\n" + INNER,
    "two lengths": "Content-Length: 2\r\nContent-Length: 40\r\n\r\n{{}}" + INNER,
    "length of words": "Content-Length: 2x\r\n\r\n{{}}" + INNER,
    "length below nothing": "Content-Length: -1\r\n\r\n" + INNER,
    "length with a sign": "Content-Length: +2\r\n\r\n{{}}" + INNER,
    "odd coding": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
    "coding with a blank": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunks of words": f"{CHUNKED}\r\n\r\nzz\r\nab\r\n0\r\n\r\n" + INNER,
    "a chunk too large": f"{CHUNKED}\r\n\r\nfffffffffffffffff\r\nab\r\n0\r\n\r\n" + INNER,
    "a folded header": "X-A: b\r\n c: d\r\nContent-Length: 2\r\n\r\n{{}}",
    "a header without a colon": "X-A b\r\nContent-Length: 2\r\n\r\n{{}}",
    "nothing as a name": ": b\r\nContent-Length: 2\r\n\r\n{{}}",
    "a NUL": "X-A: b\0c\r\nContent-Length: 2\r\n\r\n{{}}",
}


@pytest.mark.parametrize("kind", SMUGGLED)
def test_no_request_hides_in_another(address, runs, kind):
    host = f"127.0.0.1:{port_of(address)}"
    head = f"POST /v1/score HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    answer = exchanged(address, (head + SMUGGLED[kind].format(host=host)).encode())
    answers = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
    # at most the refusal of the first; what comes behind it is no request of its own
    assert b'"live"' not in answer, answer
    assert all(code[:1] == b"4" for code in answers), answer
    whole(address, runs[0][0])


RAW = {
    "another host": ("GET /v1/run HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"421"),
    "two hosts": ("GET /v1/run HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n", b"4"),
    "no host": ("GET /v1/run HTTP/1.1\r\n\r\n", b"4"),
    "an address of elsewhere": (
        "GET http://evil.example/v1/run HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"4",
    ),
    "up and up": ("GET /../../../../etc/passwd HTTP/1.1\r\nHost: {host}\r\n\r\n", b"404"),
    "up in code": ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: {host}\r\n\r\n", b"404"),
    "up in a static file": ("GET /style.css/../../app.py HTTP/1.1\r\nHost: {host}\r\n\r\n", b"404"),
    "a NUL in the path": ("GET /v1/run%00 HTTP/1.1\r\nHost: {host}\r\n\r\n", b"404"),
    "a line in the path": ("GET /v1/run%0d%0aX-A:b HTTP/1.1\r\nHost: {host}\r\n\r\n", b"404"),
    "a method of its own": ("BREW /v1/run HTTP/1.1\r\nHost: {host}\r\n\r\n", b"4"),
    "no protocol": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b""),
    "an upgrade": (
        "GET /v1/run HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"",
    ),
}


@pytest.mark.parametrize("kind", RAW)
def test_odd_requests_are_refused_and_change_nothing(address, runs, kind):
    host = f"127.0.0.1:{port_of(address)}"
    sent, wanted = RAW[kind]
    answer = exchanged(address, sent.format(host=host).encode("latin-1"))
    code = answer.removeprefix(b"HTTP/1.1 ")[:3]
    assert code.startswith(wanted), answer
    assert b"root:" not in answer
    assert b"\r\nX-A" not in answer
    whole(address, runs[0][0])


def test_an_id_of_ten_megabytes_and_a_million_ids(address, runs):
    host = f"127.0.0.1:{port_of(address)}"
    query = b"GET /v1/recommend?user=" + b"x" * 10_000_000 + b" HTTP/1.1\r\n"
    assert not exchanged(address, query + f"Host: {host}\r\n\r\n".encode()).startswith(
        b"HTTP/1.1 200"
    )
    for body in (
        json.dumps({"user": "x" * 10_000_000}),
        json.dumps({"history": [str(n) for n in range(1_000_000)]}),
        json.dumps({"user": "u1", "where": {"r0": [str(n) for n in range(1_000_000)]}}),
        json.dumps({"user": "u1", "most": {str(n): 1 for n in range(100_000)}}),
    ):
        head = f"POST /v1/recommend HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        for length in (f"Content-Length: {len(body)}\r\n\r\n{body}", None):
            chunk = length or f"{CHUNKED}\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n\r\n"
            code = exchanged(address, (head + chunk).encode()).removeprefix(b"HTTP/1.1 ")[:3]
            assert code in (b"413", b"")  # or the end of the connection, while it was still sent
    whole(address, runs[0][0])


def test_bodies_that_parsers_choke_on(address, runs):
    host = f"127.0.0.1:{port_of(address)}"
    for body, wanted in (
        ('{"user":"u1","user":"u2","k":2}', b"200"),  # the last one counts, as everywhere
        ('{"user":"\\ud800"}', b"4"),
        ('{"user":"u1","k":NaN}', b"400"),
        ('{"user":"u1","diversity":1e999}', b"4"),
        ('{"user":"u1","k":1e2}', b"4"),
        ('{"user":"u1","k":' + "9" * 5_000 + "}", b"4"),
        ('{"user":"u1","where":' + '{"r0":' * 5_000 + "1" + "}" * 5_000 + "}", b"4"),
        ("[" * 400_000 + "]" * 400_000, b"4"),
        ('{"__proto__":{"k":1},"user":"u1"}', b"422"),
        ("\ufeff" + '{"user":"u1"}', b"400"),
    ):
        text = body.encode("utf-8", "surrogatepass")
        head = f"POST /v1/recommend HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        answer = exchanged(address, f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text)
        assert answer.removeprefix(b"HTTP/1.1 ").startswith(wanted), (body[:60], answer[:300])
    whole(address, runs[0][0])


def test_a_thousand_at_once_are_answered_or_told_to_come_again(address, runs):
    host = f"127.0.0.1:{port_of(address)}"
    request = f"GET /v1/recommend?user=u1&k=5 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    clients = []
    try:
        goal = "127.0.0.1", port_of(address)
        clients += [socket.create_connection(goal, timeout=20) for _ in range(1_000)]
        for client in clients:
            client.sendall(request)
        codes = {}
        for client in clients:
            code = client.recv(1 << 16)[9:12]
            codes[code] = codes.get(code, 0) + 1
    finally:
        for client in clients:
            client.close()
    assert set(codes) <= {b"200", b"503"}, codes
    assert codes[b"200"] > 0
    whole(address, runs[0][0])


def test_a_full_disk_leaves_the_tables_before(runs, tmp_path, capsys):
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "kgrec-test", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    run, tables = runs[0]
    try:
        goal = place / "tables"
        shutil.copytree(tables, goal)
        before = (goal / MANIFEST).read_text()
        left = os.statvfs(place)
        with (place / "filler").open("wb") as stream:
            stream.write(bytes(max(0, left.f_bavail * left.f_frsize - 16_384)))
        assert command(["export", str(run.path), "--serving", str(goal)]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1
        assert os.strerror(errno.ENOSPC) in said[0]
        assert (goal / MANIFEST).read_text() == before
        kept = {path.name for path in place.iterdir() if not path.name.endswith(".lock")}
        assert kept == {"filler", "tables"}
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_tables_replaced_while_they_are_opened_are_opened_again(runs, tmp_path, monkeypatch):
    place = shutil.copytree(runs[0][1], tmp_path / "t")
    shutil.copytree(runs[1][1], tmp_path / "fresh")
    (damaged := tmp_path / "fresh" / "items.labels.bytes.npy").write_bytes(b"not what was checked")
    plain, turns = folder.read_about, []

    def swapped(path):
        if not turns:
            place.rename(tmp_path / "gone")
            (tmp_path / "fresh").rename(place)
        turns.append(path)
        return plain(path)

    monkeypatch.setattr(folder, "read_about", swapped)
    with pytest.raises(CheckpointError, match=damaged.name):
        folder.open_tables(place)  # the sums of the first folder say nothing of the second
    shutil.copytree(runs[1][1], tmp_path / "fresh")
    turns.clear()
    shutil.rmtree(tmp_path / "gone")
    shutil.rmtree(place)
    shutil.copytree(runs[0][1], place)
    found = folder.open_tables(place)
    assert found.about.run == json.loads((runs[1][1] / "serving.json").read_text())["run"]
    np.testing.assert_array_equal(
        found.arrays["items.vectors"], np.load(runs[1][1] / "items.vectors.npy")
    )


@pytest.mark.long
def test_killed_workers_and_damaged_exports_serve_no_wrong_list(runs, tmp_path):
    """Sixty seconds of kill -9, of exports that are whole, cut short, or changed by a byte, and of
    clients who compare every list with that of the run which it names.
    """
    place = shutil.copytree(runs[0][1], tmp_path / "t")
    right = {}
    for run, tables in runs:
        name = json.loads((tables / "serving.json").read_text())["run"]
        right[name] = [run.recommend(f"u{n}", k=5)["item"].to_list() for n in range(USERS)]

    rng = np.random.default_rng(0)
    wrong, answered = [], [0]
    stop = threading.Event()

    def ask(number):
        while not stop.is_set():
            number = (number + 1) % USERS
            with suppress(
                OSError, ValueError, HTTPException
            ):  # a worker that died with the connection
                found = read(address + f"v1/recommend?user=u{number}&k=5")
                answered[0] += 1
                items = [one["item"] for one in found["lists"][0]["items"]]
                if items != right[found["run"]][number]:
                    wrong.append((number, found))

    with process(place, "--workers", "2", "--log", "none") as (started, address):
        clients = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
        for one in clients:
            one.start()
        ends = time.monotonic() + 60
        turn = 0
        while time.monotonic() < ends:
            turn += 1
            fresh = shutil.copytree(runs[turn % 2][1], tmp_path / f"fresh{turn}")
            if turn % 3 == 1:
                damage(fresh, rng, cut=bool(turn % 2))
            place.rename(tmp_path / f"gone{turn}")
            fresh.rename(place)
            if turn % 2:
                kill_one(started.pid, rng)
            time.sleep(1.5)
        stop.set()
        for one in clients:
            one.join()
        assert not wrong, wrong[:3]
        assert answered[0] > 100
        # whole tables at last: it comes to itself
        fresh = shutil.copytree(runs[0][1], tmp_path / "last")
        place.rename(tmp_path / "gone")
        fresh.rename(place)
        until_ready(address)


def until_ready(address):
    deadline = time.monotonic() + 60
    while status(address + "v1/ready") != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def damage(tables, rng, cut):
    """Change a byte of a table, or cut it short."""
    names = sorted(path.name for path in tables.glob("*.npy"))
    file = tables / names[int(rng.integers(len(names)))]
    found = bytearray(file.read_bytes())
    found[-1] ^= 1
    file.write_bytes(found[: len(found) // 2] if cut else found)


def kill_one(parent, rng):
    """Kill a worker as the kernel would."""
    with open(f"/proc/{parent}/task/{parent}/children") as stream:
        children = map(int, stream.read().split())
    workers = [pid for pid in children if b"spawn_main" in cmdline(pid)]
    if workers:
        with suppress(ProcessLookupError):
            os.kill(workers[int(rng.integers(len(workers)))], signal.SIGKILL)


def cmdline(pid):
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as stream:
        return stream.read()
    return b""
