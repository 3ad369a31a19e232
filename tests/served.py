"""``kgrec serve`` in a process of its own, for tests."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager


@contextmanager
def process(*arguments, program=(sys.executable, "-m", "kgrec"), env=None):
    """Run ``kgrec serve`` and give the process and its address."""
    started = subprocess.Popen(
        [*program, "serve", *map(str, arguments), "--port", "0"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = started.stdout.readline().strip()
        assert address, started.stderr.read()
        for _ in range(200):
            if status(address + "v1/ready") == 200:
                break
            time.sleep(0.1)
        yield started, address
    finally:
        if started.poll() is None:
            started.terminate()
        try:
            started.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            started.kill()
            started.communicate()
            raise


def status(address):
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def read(address):
    with urllib.request.urlopen(address, timeout=20) as answer:
        return json.load(answer)
