"""Public data sets, against a server on loopback that breaks off, has no ranges, sends other bytes
and runs in circles.
"""

import contextlib
import csv
import hashlib
import io
import re
import threading
import time
import zipfile
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import polars as pl
import pytest
from loopback import Loopback, Reply

import kgrec
from kgrec.data.io.archives import unzip
from kgrec.data.io.compression import Limits
from kgrec.data.io.downloads import Pinned, blob_sha1, fetch
from kgrec.data.io.web import Manners, address
from kgrec.data.io.writing import locked
from kgrec.data.public import catalog as public
from kgrec.data.public.catalog import (
    PublicFile,
    PublicSet,
    download,
    public_set,
    public_sets,
    recorded,
    verify,
)
from kgrec.data.records.wording import Wording
from kgrec.errors import CheckpointError, ConfigError, DataError, FetchError, FormatError
from kgrec.languages import LANGUAGES, language

QUICK = Manners(timeout=20, pause=0.01, longest_pause=0.3, attempts=4)
BODY = bytes(range(256)) * 400
LISTS = (
    "\n".join(f"{user} " + " ".join(str((user + n) % 30) for n in range(12)) for user in range(20))
    + "\n"
)
FACTS = "".join(f"{item} {item % 3} {30 + item % 5}\n" for item in range(30))


def blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def pinned(data, size=True):
    return Pinned(blob(data), len(data) if size else None)


def zipped(members, **further):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def ranged(files, **further):
    """Serve files, and pieces of them from a byte on."""

    def route(request):
        data = files.get(urlsplit(request.path).path)
        if data is None:
            return Reply(b"no such file", status=404)
        asked = request.headers.get("Range")
        if asked is None:
            return Reply(data, **further)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        if start >= len(data):
            return Reply(status=416)
        return Reply(
            data[start:],
            status=206,
            headers={"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"},
            **further,
        )

    return route


@pytest.fixture
def server():
    with Loopback(ranged({"/f": BODY})) as running:
        yield running


def fetched(server, folder, data=BODY, size=True, manners=QUICK):
    goal = folder / "f"
    fetch([address(server.url + "/f")], goal, pinned(data, size), manners)
    assert not (folder / "f.part").exists()
    return goal.read_bytes()


def ranges(server):
    return [request.headers.get("Range") for request in server.seen]


def test_git_names_blobs_so(tmp_path):
    (tmp_path / "f").write_bytes(b"hello\n")
    assert (
        blob_sha1(tmp_path / "f") == "ce013625030ba8dba906f756967f9e9ca394464a"
    )  # git hash-object
    (tmp_path / "f").write_bytes(b"")
    assert blob_sha1(tmp_path / "f") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


@pytest.mark.parametrize("size", [True, False])
def test_a_file_comes_once(server, tmp_path, size):
    assert fetched(server, tmp_path, size=size) == BODY
    assert fetched(server, tmp_path, size=size) == BODY
    assert len(server.seen) == 1


@pytest.mark.parametrize("size", [True, False])
@pytest.mark.parametrize("chunked", [False, True])
def test_what_breaks_off_goes_on_from_there(server, tmp_path, size, chunked):
    server.faults = [Reply(BODY, cut=5000, chunked=chunked)]
    assert fetched(server, tmp_path, size=size) == BODY
    assert ranges(server)[0] is None
    assert re.fullmatch(r"bytes=\d+-", ranges(server)[1])
    if not chunked:
        assert ranges(server)[1] == "bytes=5000-"


@pytest.mark.parametrize("size", [True, False])
def test_a_part_of_an_earlier_run_goes_on(server, tmp_path, size):
    (tmp_path / "f.part").write_bytes(BODY[:70_000])
    assert fetched(server, tmp_path, size=size) == BODY
    assert ranges(server) == ["bytes=70000-"]


def test_a_server_without_ranges_begins_anew(tmp_path):
    with Loopback(lambda request: Reply(BODY)) as plain:
        (tmp_path / "f.part").write_bytes(b"x" * 100)
        assert fetched(plain, tmp_path) == BODY
        assert ranges(plain) == ["bytes=100-"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Range": "bytes 0-5/10"},
        {"Content-Range": "rubbish"},
        {"Content-Range": "bytes 50-99/102400"},
    ],
)
def test_another_piece_than_asked_for_is_not_used(server, tmp_path, headers):
    (tmp_path / "f.part").write_bytes(BODY[:100])
    server.faults = [Reply(BODY[50:], status=206, headers=headers)]
    assert fetched(server, tmp_path) == BODY
    assert ranges(server) == ["bytes=100-", None]


@pytest.mark.parametrize("left", [BODY, BODY + b"more", b""])
def test_parts_that_are_whole_or_too_long_or_empty(server, tmp_path, left):
    (tmp_path / "f.part").write_bytes(left)
    assert fetched(server, tmp_path) == BODY
    assert len(server.seen) == (0 if left == BODY else 1)


def test_a_whole_part_of_unknown_size(server, tmp_path):
    (tmp_path / "f.part").write_bytes(BODY)
    assert fetched(server, tmp_path, size=False) == BODY
    assert ranges(server) == [f"bytes={len(BODY)}-", None]


def test_a_damaged_part_costs_one_more_fetch(server, tmp_path, caplog):
    (tmp_path / "f.part").write_bytes(b"x" * 1000)
    assert fetched(server, tmp_path) == BODY
    assert ranges(server) == ["bytes=1000-", None]
    assert "fetching it again" in caplog.text


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(b"x" * len(BODY)), "what came is another file .* and was removed"),
        (Reply(b"short"), "5 bytes, the published file has 102,400"),
        (Reply(BODY + b"more"), "102,404 bytes, the published file has"),
        (Reply(BODY + b"more", length="none"), "more than 102,400 bytes"),
        (Reply(BODY + b"more", chunked=True), "more than 102,400 bytes"),
        (Reply(b"<html>login</html>", kind="text/html"), "18 bytes, the published file has"),
        (Reply(status=403), "answered 403"),
        (Reply(status=404), "answered 404"),
    ],
)
def test_another_file(server, tmp_path, reply, message):
    server.faults = [reply]
    with pytest.raises(FetchError, match=message) as caught:
        fetched(server, tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_and_is_another_one_is_left_alone(server, tmp_path):
    (tmp_path / "f").write_bytes(b"mine")
    with pytest.raises(FetchError, match=r"is there and is not the published file. Move it away"):
        fetched(server, tmp_path)
    assert (tmp_path / "f").read_bytes() == b"mine"
    assert not server.seen


@pytest.mark.parametrize(
    "fault",
    [
        Reply(status=503),
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(cut=-1),
        Reply(wait=30),
    ],
)
def test_trouble_that_passes(server, tmp_path, fault):
    server.faults = [fault, fault]
    assert fetched(server, tmp_path, manners=Manners(timeout=1, pause=0.01, attempts=3)) == BODY


def test_trouble_that_stays_leaves_the_part(server, tmp_path):
    server.faults = [Reply(BODY, cut=500), *[Reply(status=503)] * 9]
    with pytest.raises(FetchError, match=r"answered 503 .*, 4 times in a row"):
        fetched(server, tmp_path)
    assert (tmp_path / "f.part").read_bytes() == BODY[:500]


def test_a_long_file_over_a_bad_line(tmp_path):
    """Attempts are counted anew where a megabyte has come in between."""
    long = BODY * 60
    with Loopback(ranged({"/f": long}, cut=2_000_000)) as bad:
        assert fetched(bad, tmp_path, data=long, manners=Manners(pause=0.01, attempts=2)) == long
        assert len(bad.seen) == 4


def test_a_server_that_drips(server, tmp_path):
    server.faults = [Reply(BODY, drip=0.05)] * 3
    began = time.monotonic()
    with pytest.raises(FetchError, match=r"no whole answer within 0.3 s, 2 times"):
        fetched(server, tmp_path, manners=Manners(timeout=1, longest=0.3, pause=0.01, attempts=2))
    assert time.monotonic() - began < 20
    assert 0 < (tmp_path / "f.part").stat().st_size < 100


def test_redirects(server, tmp_path):
    server.faults = [Reply(status=302, headers={"Location": "/f"})]
    assert fetched(server, tmp_path) == BODY
    (tmp_path / "f").unlink()
    server.faults = [Reply(status=302, headers={"Location": "/f"})] * 99
    with pytest.raises(FetchError, match="infinite loop"):
        fetched(server, tmp_path)
    server.faults = [Reply(status=302, headers={"Location": "file:///etc/passwd"})]
    with pytest.raises(FetchError):
        fetched(server, tmp_path)
    assert not (tmp_path / "f").exists()


def test_an_interrupt_keeps_the_part_and_says_so(server, tmp_path, monkeypatch):
    class Bar:
        def update(self, done, note=""):
            raise KeyboardInterrupt

    from contextlib import nullcontext

    with monkeypatch.context() as patch:
        patch.setattr("kgrec.data.io.downloads.progress", lambda title, total: nullcontext(Bar()))
        with pytest.raises(KeyboardInterrupt) as caught:
            fetched(server, tmp_path)
    assert "f.part; the same command continues from there" in caught.value.__notes__[0]
    have = (tmp_path / "f.part").stat().st_size
    assert have > 0
    assert fetched(server, tmp_path) == BODY
    assert ranges(server)[-1] == f"bytes={have}-"


# Data sets


@pytest.fixture
def world(monkeypatch):
    """A server with the files of three made-up data sets, which stand in the place of the public
    ones.
    """
    archive = zipped([("__MACOSX/._kg_final.txt", b"x"), ("kg_final.txt", FACTS.encode())])
    labelled = np.array([(u, i, (u + i) % 2) for u in range(10) for i in range(12)])
    buffer = io.BytesIO()
    np.save(buffer, labelled)
    quoted = '"User-ID";"ISBN";"Book-Rating"\r\n' + "".join(
        f'"{u}";"{u + i}X";"0"\r\n' for u in range(8) for i in range(12)
    )
    links = "".join(f"{item}X\t{item}\n" for item in range(18))
    facts = "".join(f"{item}\tbook.author\t{90 + item % 4}\n" for item in range(18))
    contents = {
        "lists": {
            "train.txt": LISTS.encode(),
            "test.txt": b"0 20\n1 21 22\n",
            "kg_final.txt.zip": archive,
        },
        "ctr": {
            "ratings_final.npy": buffer.getvalue(),
            "kg_final.txt": FACTS.replace(" ", "\t").encode(),
        },
        "books": {
            "BX-Book-Ratings.csv": quoted.encode(),
            "kg_rehashed.txt": facts.encode(),
            "item_index2entity_id_rehashed.txt": links.encode(),
        },
    }
    served = {
        f"/o/{commit}/data/{name}": data
        for commit, files in contents.items()
        for name, data in files.items()
    }
    with Loopback(ranged(served)) as server:
        like = {"lists": "kgat/amazon-book", "ctr": "mcclk/book", "books": "ripplenet/book"}
        sets = {}
        for commit, files in contents.items():
            own = tuple(
                PublicFile(
                    name,
                    f"{server.url}/o/{commit}/data/{name}",
                    pinned(data, size=name != "train.txt"),
                )
                for name, data in files.items()
            )
            model = public_sets()[like[commit]]
            sets[f"made/{commit}"] = PublicSet(
                f"made/{commit}", own, "KGAT", "nowhere", "none", model.prepare, model.build
            )
        monkeypatch.setattr(public, "public_sets", lambda: sets)
        server.contents = contents
        server.served = served
        yield server


def test_a_set_becomes_a_dataset(world, tmp_path):
    made = download("made/lists", tmp_path / "d", manners=QUICK)
    assert sorted(path.name for path in made) == [
        "kg_final.txt",
        "kg_final.txt.zip",
        "test.txt",
        "train.txt",
    ]
    assert recorded(tmp_path / "d") == "made/lists"
    data = kgrec.load(tmp_path / "d")
    assert (data.num_users, data.num_items, len(data.triples)) == (20, 30, 30)
    assert download("made/lists", tmp_path / "d", manners=QUICK) == []
    assert len(world.seen) == 3
    assert not [path for path in (tmp_path / "d").iterdir() if path.name.startswith(".")]


def test_what_a_killed_call_left_is_removed_by_the_next_and_two_calls_do_not_meet(world, tmp_path):
    place = tmp_path / "d"
    (place / ".unpacking-abc").mkdir(parents=True)
    (place / ".unpacking-abc" / "kg_final.txt").write_text("half")
    (place / ".SOURCE.json.tmp").write_text("{")
    with (
        locked(place / "SOURCE.json"),
        pytest.raises(FetchError, match="another kgrec data get is at work"),
    ):
        download("made/lists", place, manners=QUICK)
    download("made/lists", place, manners=QUICK)
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


def test_a_set_that_says_what_users_did_is_said_so(world, tmp_path, monkeypatch):
    download("made/lists", tmp_path / "d", manners=QUICK)
    assert kgrec.load(tmp_path / "d").wording.verb() is None
    sets = public.public_sets()
    heard = {"made/lists": replace(sets["made/lists"], verb="listened to")}
    monkeypatch.setattr(public, "public_sets", lambda: sets | heard)
    assert kgrec.load(tmp_path / "d").wording.verb() == "listened to"
    assert kgrec.load(tmp_path / "d", verb="played").wording.verb() == "played"
    clicks = pl.DataFrame({"user": ["0", "0", "1"], "item": ["0", "1", "0"]})
    own = kgrec.load(tmp_path / "d", interactions=clicks, split="none")
    assert own.wording.verb() is None


def test_verbs_of_the_sets_are_words_in_every_language():
    for one in public_sets().values():
        if one.verb:
            Wording({"": one.verb})
            for code in LANGUAGES:
                said = language(code).interaction(one.verb, "because", item="*X*")
                assert "Verlauf" not in said, (one.name, said)


def test_an_array_becomes_lines(world, tmp_path):
    download("made/ctr", tmp_path / "d", manners=QUICK)
    assert (tmp_path / "d" / "ratings_final.txt").read_text().splitlines()[:2] == [
        "0\t0\t0",
        "0\t1\t1",
    ]
    data = kgrec.load(tmp_path / "d")
    assert (data.num_users, data.num_items) == (10, 12)


def test_quoted_cells_become_a_table(world, tmp_path):
    import shlex

    from kgrec.cli import run

    download("made/books", tmp_path / "a b", manners=QUICK)
    command = public.public_sets()["made/books"].next_command(tmp_path / "a b")
    words = shlex.split(command)
    assert words[0] == "kgrec"
    assert run(["-q", *words[1:-1], str(tmp_path / "out")]) == 0
    data = kgrec.load(tmp_path / "out")
    assert (data.num_users, data.num_items) == (8, 19)
    assert data.report.counts["items in the graph"] == 18


def test_a_mirror_by_name_or_by_path(world, tmp_path):
    files = world.contents["lists"]
    for layout in ("/m/made/lists/{}", "/m/o/lists/data/{}"):
        with Loopback(
            ranged({layout.format(name): data for name, data in files.items()})
        ) as mirror:
            download(
                "made/lists",
                tmp_path / layout[3:6].strip("/"),
                mirror=mirror.url + "/m/",
                manners=QUICK,
            )
    assert not world.seen
    with (
        Loopback(ranged({})) as empty,
        pytest.raises(FetchError, match=r"404 Not Found. Check the address"),
    ):
        download("made/lists", tmp_path / "x", mirror=empty.url, manners=QUICK)
    with pytest.raises(ConfigError, match="not an http or https address"):
        download("made/lists", tmp_path / "x", mirror="folder/of/files", manners=QUICK)


def test_a_mirror_with_other_bytes_is_found_out(world, tmp_path):
    with (
        Loopback(lambda request: Reply(b"x" * 12)) as mirror,
        pytest.raises(FetchError, match="what came is another file"),
    ):
        download("made/lists", tmp_path / "d", mirror=mirror.url, manners=QUICK)
    assert list((tmp_path / "d").iterdir()) == []


def test_one_folder_holds_one_set(world, tmp_path):
    download("made/lists", tmp_path, manners=QUICK)
    with pytest.raises(
        CheckpointError, match=r"holds made/lists. Choose another folder for made/ctr"
    ):
        download("made/ctr", tmp_path, manners=QUICK)


def test_what_was_unpacked_and_changed_is_not_overwritten(world, tmp_path):
    download("made/lists", tmp_path, manners=QUICK)
    (tmp_path / "kg_final.txt").write_text("mine")
    with pytest.raises(
        FetchError, match=r"kg_final.txt: is there and is not what kg_final.txt.zip holds"
    ):
        download("made/lists", tmp_path, manners=QUICK)
    assert (tmp_path / "kg_final.txt").read_text() == "mine"


def test_verify(world, tmp_path):
    download("made/lists", tmp_path, manners=QUICK)
    chosen, found = verify(tmp_path)
    assert (chosen.name, {verdict.state for verdict in found}, len(found)) == (
        "made/lists",
        {"as published"},
        4,
    )
    (tmp_path / "SOURCE.json").unlink()
    assert verify(tmp_path)[0].name == "made/lists"
    (tmp_path / "train.txt").write_text(LISTS.replace("0", "1", 1))
    (tmp_path / "test.txt").rename(tmp_path / "test.txt.part")
    (tmp_path / "kg_final.txt").write_text("x")
    found = {verdict.file: verdict.state for verdict in verify(tmp_path)[1]}
    assert found == {
        "train.txt": "another file",
        "test.txt": "incomplete",
        "kg_final.txt.zip": "as published",
        "kg_final.txt": "another file",
    }
    (tmp_path / "kg_final.txt.zip").unlink()
    with pytest.raises(DataError, match="holds no file of a public data set"):
        verify(tmp_path)


@pytest.mark.parametrize(
    "record", ["", "[]", '{"data set": 3}', '{"data set": "other/set"}', "[" * 100_000, "\0"]
)
def test_records_that_say_nothing(world, tmp_path, record):
    (tmp_path / "SOURCE.json").write_text(record)
    assert recorded(tmp_path) is None


def test_two_at_once_end_well_or_say_so(world, tmp_path):
    def one():
        with contextlib.suppress(FetchError, OSError):
            download("made/lists", tmp_path, manners=QUICK)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Either may take away what the other has begun; what is said to be there afterwards is.
    download("made/lists", tmp_path, manners=QUICK)
    assert all(verdict.holds for verdict in verify(tmp_path)[1])


# Archives


@pytest.mark.parametrize(
    "name",
    [
        "../out.txt",
        "/etc/out.txt",
        "a/../../out.txt",
        "a\\..\\out.txt",
        "C:out.txt",
        "a//b",
        "./a",
        "a\x1bb",
    ],
)
def test_names_that_lead_elsewhere(tmp_path, name):
    (tmp_path / "a.zip").write_bytes(zipped([("good.txt", b"x"), (name, b"x")]))
    (tmp_path / "to").mkdir()
    with pytest.raises(FormatError, match=r"leads elsewhere. Do not trust this archive") as caught:
        unzip(tmp_path / "a.zip", tmp_path / "to")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip", "to"] or {
        path.name for path in tmp_path.rglob("*")
    } == {"a.zip", "to"}


def special(name, mode):
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    return member


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o020644])
def test_links_and_devices(tmp_path, mode):
    (tmp_path / "a.zip").write_bytes(zipped([(special("link", mode), b"/etc/passwd")]))
    with pytest.raises(FormatError, match="no plain file but a link or a device"):
        unzip(tmp_path / "a.zip", tmp_path)
    assert not (tmp_path / "link").exists()


def test_bombs(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped([("zeros", b"\0" * 40_000_000)]))
    with pytest.raises(FormatError, match="as a bomb would"):
        unzip(tmp_path / "a.zip", tmp_path)
    assert (tmp_path / "zeros").stat().st_size <= 17_000_000
    (tmp_path / "b.zip").write_bytes(zipped([(f"f{n}", b"\0" * 3_000_000) for n in range(8)]))
    with pytest.raises(FormatError, match="as a bomb would"):
        unzip(tmp_path / "b.zip", tmp_path)
    (tmp_path / "c.zip").write_bytes(zipped([("fine", b"ab" * 5000)]))
    with pytest.raises(FormatError, match="as a bomb would"):
        unzip(tmp_path / "c.zip", tmp_path, Limits(max_bytes=9_999))
    (tmp_path / "d.zip").write_bytes(zipped([(f"g{n}", b"") for n in range(1001)]))
    with pytest.raises(FormatError, match="1,001 files in one archive"):
        unzip(tmp_path / "d.zip", tmp_path)


def test_an_archive_that_lies_about_sizes(tmp_path):
    """The directory says 1 byte; what comes is counted."""
    data = bytearray(zipped([("f", b"\0" * 50_000_000)]))
    place = data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = (1).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(FormatError):
        unzip(tmp_path / "a.zip", tmp_path)


@pytest.mark.parametrize("cut", [0, 10, 60, 120])
def test_damaged_archives(tmp_path, cut):
    (tmp_path / "a.zip").write_bytes(zipped([("f", bytes(range(256)) * 10)])[:cut])
    with pytest.raises(FormatError, match="damaged archive"):
        unzip(tmp_path / "a.zip", tmp_path)
    whole = bytearray(zipped([("f", bytes(range(256)) * 10)]))
    whole[45] ^= 255
    (tmp_path / "b.zip").write_bytes(whole)
    with pytest.raises(FormatError, match="damaged archive"):
        unzip(tmp_path / "b.zip", tmp_path)


def test_names_that_come_twice(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped([("a/f", b"1"), ("b/f", b"2")]))
    with pytest.raises(FormatError, match="holds f twice"):
        unzip(tmp_path / "a.zip", tmp_path)


def test_folders_in_an_archive_are_left_away(tmp_path):
    (tmp_path / "a.zip").write_bytes(
        zipped([("data/", b""), ("data/f.txt", b"1"), ("__MACOSX/data/._f.txt", b"2")])
    )
    assert unzip(tmp_path / "a.zip", tmp_path) == [tmp_path / "f.txt"]
    assert (tmp_path / "f.txt").read_bytes() == b"1"


# The manifest itself


def test_the_manifest_is_the_shared_one(shared_data):
    rows = list(
        csv.DictReader(shared_data("public-sources.tsv").read_text().splitlines(), delimiter="\t")
    )
    own = {
        (one.name, file.name, file.url, file.pinned.sha1, file.pinned.size)
        for one in public_sets().values()
        for file in one.files
    }
    assert own == {
        (
            r["dataset"],
            r["file"],
            r["url"],
            r["git_blob_sha1"],
            int(r["bytes"]) if r["bytes"] else None,
        )
        for r in rows
    }
    assert len(rows) == 74


def test_the_manifest_is_sound():
    for one in public_sets().values():
        assert one.files, one.name
        names = [file.name for file in one.files]
        assert len(set(names)) == len(names)
        for file in one.files:
            assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", file.name)
            assert re.fullmatch(r"[0-9a-f]{40}", file.pinned.sha1)
            assert re.search(r"/[0-9a-f]{40}/", file.url), "pinned to a commit"
            assert address(file.url).url == file.url
        assert all(name in names for _, name in one.prepare)
        assert all(what in public._STEPS for what, _ in one.prepare)
        assert public_set(one.name.upper()) is one
        for word in re.findall(r"\{dir\}/(\S+)", one.build):
            assert word in names or word == "BX-Book-Ratings.tsv", word


def test_real_files_are_as_published(shared_data):
    chosen, found = verify(shared_data("ml-100k"))
    assert (chosen.name, {verdict.state for verdict in found}) == (
        "recbole/ml-100k",
        {"as published"},
    )
    chosen, found = verify(shared_data("gowalla"))
    states = {verdict.file: verdict.state for verdict in found}
    assert chosen.name == "lightgcn/gowalla"
    assert (states["test.txt"], states["user_list.txt"]) == ("as published", "missing")


def test_the_real_files_through_a_server(shared_data, tmp_path):
    """A mirror of real files, one broken off in the middle: fetched, checked, and a dataset."""
    folder = shared_data("ml-100k")
    served = {
        f"/recbole/ml-100k/{path.name}": path.read_bytes() for path in folder.glob("ml-100k.*")
    }
    with Loopback(ranged(served)) as mirror:
        mirror.faults = [Reply(served["/recbole/ml-100k/ml-100k.inter"], cut=1_000_000)]
        download("recbole/ml-100k", tmp_path / "d", mirror=mirror.url, manners=QUICK)
        assert ranges(mirror)[1] == "bytes=1000000-"
    assert kgrec.load(tmp_path / "d").num_users == 943


def test_unknown_names():
    with pytest.raises(
        ConfigError, match=r"no public data set 'kgat/lastfm'. Nearest: kgat/last-fm"
    ):
        public_set("kgat/lastfm")


@pytest.mark.parametrize("rows", [b"", b"\x93NUMPY junk", b"PK\x03\x04"])
def test_arrays_that_are_none(tmp_path, rows):
    (tmp_path / "r.npy").write_bytes(rows)
    with pytest.raises(FormatError, match="Get the file again"):
        public._lines_of_array(tmp_path / "r.npy", tmp_path)
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match="Get the file again"):
        public._lines_of_array(tmp_path / "o.npy", tmp_path)
