"""Logs on disk: the same dataset as in memory, in as much memory as said, nothing left behind."""

import errno
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kgrec.data.building import build
from kgrec.data.building import rows as building
from kgrec.data.building.sources import sources_and_options
from kgrec.data.logs import pieces
from kgrec.data.logs.numbers import TextIds
from kgrec.data.logs.scratch import ColumnFile, Room, memory_size, scratch_folder
from kgrec.errors import ConfigError, DataError, FormatError

ROOMS = [(10**6, 10**6), (400, 700), (60, 90)]  # 1, 3 and more than 8 parts of each


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A log of some files: text users, IRIs or numbers as items, repeated pairs, equal times."""
    folder = tmp_path_factory.mktemp("lake")
    random = np.random.default_rng(3)
    for number in range(3):
        size = 700
        users = pl.Series(random.integers(0, 300, size)).cast(pl.String)
        pl.DataFrame(
            {
                "price": random.random(size),
                "item_id": random.integers(0, 120, size) * 7,
                "user_id": "u" + users,
                "ts": 1_700_000_000 + random.integers(0, 900, size),
                "rating": random.integers(1, 6, size).astype(float),
            }
        ).write_parquet(folder / f"part-{number}.parquet")
    return folder


def built(source, folder, room=None, **settings):
    """The checksum of the dataset that is stored."""
    sources, options = sources_and_options({"interactions": str(source), **settings})
    if room is None:
        data = build._built(sources, options, None)
    else:
        place = folder / f"room-{room[0]}-{len(os.listdir(folder))}"
        place.mkdir()
        data = build._built(sources, options, Room(place, *room))
        assert (
            not isinstance(data.train.user, np.memmap) or data.train.user.flags.writeable is False
        )
    return data.save(folder / "dataset").checksum


@pytest.mark.parametrize(
    "settings",
    [
        {"split": "temporal"},
        {"split": "random", "seed": 4},
        {"split": "leave-one-out", "k_core": 4},
        {"split": "users", "cap": 5},
        {"split": "sessions", "min_rating": 2},
        {"split": "temporal", "time": "row"},
    ],
    ids=lambda settings: settings["split"],
)
def test_any_number_of_parts_gives_one_dataset(lake, tmp_path, settings):
    found = {built(lake, tmp_path, room, **settings) for room in (None, *ROOMS)}
    assert len(found) == 1


def test_files_in_another_order_are_one_dataset_but_for_times_by_row(lake, tmp_path):
    turned = tmp_path / "turned"
    turned.mkdir()
    for path in lake.iterdir():
        (turned / f"z-{9 - int(path.stem[-1])}.parquet").write_bytes(path.read_bytes())

    one, other = (pl.read_parquet(sorted(folder.glob("*.parquet"))[0]) for folder in (lake, turned))
    assert not one.equals(other)

    def arrays(source, **settings):
        sources, options = sources_and_options({"interactions": str(source), **settings})
        place = tmp_path / f"room-{len(os.listdir(tmp_path))}"
        place.mkdir()
        data = build._built(sources, options, Room(place, 60, 90))
        return data.users.series.to_list(), data.train.item.tolist(), data.test.user.tolist()

    by_time = [arrays(folder, split="temporal") for folder in (lake, turned)]
    by_row = [arrays(folder, split="temporal", time="row") for folder in (lake, turned)]
    assert by_time[0] == by_time[1]
    assert by_row[0] != by_row[1]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_text_files_are_put_on_disk_alike(lake, tmp_path, separator):
    frame = pl.concat([pl.read_parquet(path) for path in sorted(lake.glob("*.parquet"))])
    path = tmp_path / ("log.csv" if separator == "," else "log.tsv")
    frame.select("user_id", "item_id", "ts").write_csv(path, separator=separator)
    found = {built(path, tmp_path, room, split="temporal") for room in (None, *ROOMS)}
    assert len(found) == 1


def test_items_of_a_table_alone_are_the_catalog(lake, tmp_path):
    items = pl.DataFrame({"item_id": [str(7 * n) for n in range(50)], "title": ["a"] * 50})
    settings = {"split": "random", "catalog": "items", "items": items}
    found = {built(lake, tmp_path, room, **settings) for room in (None, *ROOMS)}
    assert len(found) == 1


@pytest.mark.parametrize("few", [1, 10_000])
def test_the_time_of_a_rank_is_that_of_a_sort(tmp_path, monkeypatch, few):
    monkeypatch.setattr(pieces, "_FEW", few)
    monkeypatch.setattr(pieces, "_CUTS", 5)
    random = np.random.default_rng(0)
    times = np.concatenate(
        [random.normal(0, 1e9, 50), np.full(30, 7.0), 7 + np.arange(20) * 1e-15, [0.0, -1e300]]
    )
    file = ColumnFile(tmp_path / "time", np.dtype(float))
    file.append(times)
    right = np.sort(times)
    assert [pieces._ranked(file, rank) for rank in range(len(times))] == right.tolist()
    assert pieces._ranked(file, len(times)) == np.inf


def test_a_user_with_more_rows_than_fit_is_a_piece_alone():
    piece_of, ends = pieces._ranges(np.array([3, 9, 0, 2, 2, 1]), 4)
    assert piece_of.tolist() == [0, 1, 2, 2, 2, 3]
    assert ends.tolist() == [3, 12, 16, 17]


def test_columns_on_disk_are_read_as_they_were_written(tmp_path):
    file = ColumnFile(tmp_path / "column", np.dtype(np.int32))
    file.append(np.arange(10))
    file.write(3, np.array([-1, -2]))
    assert file.read(2, 6).tolist() == [2, -1, -2, 5]
    assert [(start, len(block)) for start, block in file.blocks(4)] == [(0, 4), (4, 4), (8, 2)]
    mapped = file.mapped()
    file.remove()
    assert mapped.tolist() == [0, 1, 2, -1, -2, 5, 6, 7, 8, 9]

    cut = ColumnFile(tmp_path / "cut", np.dtype(np.int32))
    cut.append(np.arange(10))
    os.truncate(tmp_path / "cut", 20)
    with pytest.raises(DataError, match="cut short"):
        cut.read(0, 10)


@pytest.mark.parametrize(
    ("given", "bytes_"), [("1.5G", 3 << 29), ("512M", 1 << 29), (1 << 30, 1 << 30)]
)
def test_sizes_of_memory(given, bytes_):
    assert memory_size(given) == bytes_


@pytest.mark.parametrize("given", ["", "-1G", "lots", "1.5", "10M", "1,5G", "nan", "inf", "1e9"])
def test_sizes_that_are_none_are_refused(given):
    with pytest.raises(ConfigError, match="memory: "):
        memory_size(given)


@pytest.mark.parametrize(
    "settings",
    [
        {"weights": {"view": 1}},
        {"event": "kind"},
        {"session_gap": 30},
        {"half_life": 7},
        {"negatives": 1},
        {"min_events": 2},
    ],
)
def test_what_needs_the_whole_log_says_so(lake, settings):
    sources, options = sources_and_options({"interactions": str(lake), "memory": "1G", **settings})
    with pytest.raises(ConfigError, match=r"memory: .* need the whole log in memory"):
        building.memory_for(sources, options)


def test_a_log_that_takes_more_than_half_of_what_is_free_goes_to_disk(lake, monkeypatch):
    sources, options = sources_and_options({"interactions": str(lake)})
    assert building.memory_for(sources, options) is None
    monkeypatch.setattr(building, "available_memory", lambda: 2 * 2100 * 59)
    assert building.memory_for(sources, options) == 2100 * 59
    monkeypatch.setattr(building, "available_memory", lambda: 2 * 2100 * 61)
    assert building.memory_for(sources, options) is None


def test_what_is_not_regular_is_read_in_memory_and_told(tmp_path, caplog):
    path = tmp_path / "log.csv"
    path.write_text('user_id,item_id\n"a, b",1\n' + "".join(f"u{n % 4},{n}\n" for n in range(40)))
    built(path, tmp_path, (100, 100), split="random")
    assert "no regular table, and is read in memory" in caplog.text


@pytest.mark.parametrize("cut", [0.3, 0.9, 0.999])
def test_a_part_that_was_cut_short_stops_with_its_name(lake, tmp_path, cut):
    folder = tmp_path / "cut"
    folder.mkdir()
    for path in lake.iterdir():
        data = path.read_bytes()
        if path.stem.endswith("1"):
            data = data[: int(len(data) * cut)]
        (folder / path.name).write_bytes(data)

    with pytest.raises(FormatError, match=r"part-1\.parquet|cut"):
        built(folder, tmp_path, (100, 100), split="random")
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize("place", [True, False])
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, OSError(errno.ENOSPC, "full")])
def test_nothing_is_left_of_the_rows(lake, tmp_path, monkeypatch, place, error):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    scratch = tmp_path / "out.rows" if place else None
    settings = {"interactions": str(lake), "split": "random", "memory": "300M", "scratch": scratch}
    sources, options = sources_and_options(settings)
    if error is None:
        data = build.build_dataset(sources, options)
        assert len(data.train) > 0
        assert int(data.train.user[-1]) >= 0
    else:
        write, calls = ColumnFile.write, []

        def fail(self, start, values):
            calls.append(start)
            if len(calls) == 12:
                raise error
            write(self, start, values)

        monkeypatch.setattr(ColumnFile, "write", fail)
        with pytest.raises(type(error) if isinstance(error, OSError) else error):
            build.build_dataset(sources, options)

    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_goes_with_the_next(tmp_path):
    left = tmp_path / ".out.rows.new-1a2b3c4d"
    left.mkdir()
    (left / "user.number").write_bytes(b"1234")
    with scratch_folder(tmp_path / "out.rows") as folder:
        assert not left.exists()
        assert Path(folder).is_dir()
    assert os.listdir(tmp_path) == []


def test_a_time_that_most_rows_share_is_not_held_for_each(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "_FEW", 4)
    given = np.array([5.0] * 40 + [3.0] * 20 + [9.0, 1.0, 7.0])
    times = ColumnFile(tmp_path / "time", np.dtype(np.float64))
    times.append(given)
    held = []
    between = pieces._between

    def watched(*arguments):
        found = between(*arguments)
        held.append(0 if found[0] is None else len(found[0]))
        return found

    monkeypatch.setattr(pieces, "_between", watched)
    assert [pieces._ranked(times, rank) for rank in range(len(given))] == np.sort(given).tolist()
    assert pieces._ranked(times, len(given)) == np.inf
    assert max(held) <= 4


@pytest.mark.parametrize("most", [400, 10_000])
def test_ids_that_leave_no_memory_are_told_with_how_much_is_needed(tmp_path, most):
    """Where a pass holds a part of them, from the share of the cells that it numbered."""
    items = [f"i{n // 2000}" for n in range(20_000)]
    log = pl.DataFrame({"user_id": [f"u{n}" for n in range(2000)] * 10, "item_id": items})
    (tmp_path / "log").mkdir()
    log.sample(fraction=1, shuffle=True, seed=0).write_parquet(tmp_path / "log/a.parquet")
    place = tmp_path / "rows"
    place.mkdir()
    sources, options = sources_and_options({"interactions": str(tmp_path / "log")})
    room = Room(place, most, 90, most_id_bytes=20_000)
    with pytest.raises(ConfigError, match=r"different ids .* Give --memory \d") as found:
        build._built(sources, options, room)
    told = int(re.search("about ([0-9,]+)", str(found.value))[1].replace(",", ""))
    assert told == pytest.approx(2010, rel=0.3)
    build._built(sources, options, replace(room, most_id_bytes=40_000))


def test_dictionaries_share_the_memory_for_keys_and_long_keys_count_for_more(tmp_path):
    short, long = TextIds(Room(tmp_path, 100, 1), "a"), TextIds(Room(tmp_path, 100, 1), "b")
    short.take(pl.Series([f"u{n}" for n in range(90)]))
    assert short.weight == 90
    long.take(pl.Series([f"http://example.org/resource/number/{n:06}" for n in range(90)]))
    assert long.weight <= 100
    assert long.end_pass()


BUILDS = """
import re, sys
from kgrec.cli import run
code = run(["-q", "build", sys.argv[1], "--split", "temporal", "--memory", "1G", "--out", sys.argv[2]])
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10)
sys.exit(code)
"""


@pytest.mark.slow
def test_two_million_rows_take_less_than_600_mib(tmp_path):
    """In one file and in ten, in a process of its own: one dataset."""
    random = np.random.default_rng(8)
    size = 2_000_000
    table = pl.DataFrame(
        {
            "user": "u" + pl.Series(random.integers(0, 200_000, size)).cast(pl.String),
            "item": "http://x.org/i" + pl.Series(random.integers(0, 40_000, size)).cast(pl.String),
            "time": 1_700_000_000 + random.integers(0, 10**7, size),
        }
    )
    sums = []
    for files in (1, 10):
        folder = tmp_path / f"{files}/lake/interactions"
        folder.mkdir(parents=True)
        for number, part in enumerate(table.iter_slices(size // files)):
            part.write_parquet(folder / f"{number}.parquet")
        out = tmp_path / f"data-{files}"
        words = [sys.executable, "-c", BUILDS, str(folder.parent), str(out)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.split()[-1]) < 600
        sums.append(json.loads((out / "manifest.json").read_text())["files"])
        del sums[-1]["dataset.json"]  # which names the folder
    assert len(sums[0]) > 20
    assert sums[0] == sums[1]
