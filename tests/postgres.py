"""A PostgreSQL server for tests, from Debian's packages; ``initdb`` refuses root."""

import os
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PASSWORD = "not-a-secret-of-anyone"
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)


def _as_other(command):
    """The command as somebody who is not root."""
    if os.getuid():
        return command
    name = "postgres" if shutil.which("runuser") and _exists("postgres") else "nobody"
    return ["runuser", "-u", name, "--", *command]


def _exists(user):
    return subprocess.run(["id", user], capture_output=True).returncode == 0


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def server(folder):
    """Start a server below ``folder`` and give its address, with a password in PGPASSWORD."""
    if not BINARIES:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")

    pytest.importorskip("adbc_driver_postgresql", reason="needs pip install 'kgrec[sql]'")
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    for path in (folder, secret):
        path.chmod(0o777)
    for parent in folder.parents:
        if parent.stat().st_mode & 0o005 == 0o005:
            continue
        parent.chmod(parent.stat().st_mode | 0o055)

    binaries = BINARIES[0].parent
    data = folder / "data"
    port = _free_port()
    subprocess.run(
        _as_other(
            [
                *(str(binaries / "initdb"), "-D", str(data), "-U", "shop", "-A", "scram-sha-256"),
                *("--pwfile", str(secret), "--no-sync", "-E", "UTF8", "--locale=C"),
            ]
        ),
        check=True,
        capture_output=True,
        cwd=folder,
    )
    options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off -c shared_buffers=16MB"
    control = [str(binaries / "pg_ctl"), "-D", str(data), "-w"]
    subprocess.run(
        _as_other([*control, "-l", str(folder / "log"), "-o", options, "start"]),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        yield f"postgresql://shop@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run(
            _as_other([*control, "-m", "immediate", "stop"]),
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
        )


class Between:
    """Listens on a port: answers ``first``, then hands on what the port ``goal`` says.

    After ``most`` bytes of that the connection is cut, or stays open and silent.
    """

    def __init__(self, goal=None, *, first=b"", most=None, stays=False):
        self.goal, self.first, self.most, self.stays = goal, first, most, stays
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.held = []

    def __enter__(self):
        self._start(self._accept)
        return self.port

    def __exit__(self, *_):
        self.listening.close()
        for connection in self.held:
            connection.close()

    def _start(self, work, *given):
        def quietly():
            with suppress(OSError):
                work(*given)

        threading.Thread(target=quietly, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self.listening.accept()
            self.held.append(client)
            self._start(self._serve, client)

    def _serve(self, client):
        if self.first:
            client.recv(1 << 16)
            client.sendall(self.first)
        if self.goal is not None:
            server = socket.create_connection(("127.0.0.1", self.goal))
            self.held.append(server)
            self._start(self._hand_on, client, server, None)
            self._hand_on(server, client, self.most)
        elif not self.stays:
            client.close()

    def _hand_on(self, source, sink, left):
        while data := source.recv(1 << 16):
            sink.sendall(data[:left])
            if left is None:
                continue

            left = max(left - len(data), 0)
            if not left and not self.stays:
                sink.shutdown(socket.SHUT_RDWR)
            if not left:
                return
