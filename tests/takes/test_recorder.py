from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from mocap.config import CameraConfig
from mocap.errors import MocapError
from mocap.takes import recorder as recorder_module
from mocap.takes.reader import Take
from mocap.takes.recorder import TakeRecorder, default_take_path
from tests.takes.synthetic import META, make_frame, record

ROOT = Path(__file__).resolve().parents[2]


def assert_same(a: object, b: object) -> None:
    """Equal to the last bit, down through dataclasses, tuples and arrays."""
    if dataclasses.is_dataclass(a):
        assert type(a) is type(b)
        for field in dataclasses.fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, tuple):
        assert isinstance(b, tuple)
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(a, b)


def test_frames_come_back_bit_for_bit(tmp_path: Path) -> None:
    frames = [make_frame(i, people) for i, people in enumerate([(), (0,), (0, 3), (3,), ()])]
    frames.append(dataclasses.replace(make_frame(9, (0, 3)), poses=()))  # seen, not posed
    frames.append(dataclasses.replace(make_frame(10, (3,)), persons=()))  # posed, not seen
    frames.append(dataclasses.replace(make_frame(2, (4,)), age_ms=float("nan")))  # a camera that counts anew
    with Take(record(tmp_path / "a.take", frames)) as take:
        assert take.num_frames == len(frames)
        for stored, written in zip(take.frames(), frames, strict=True):
            assert_same(stored, written)


def test_one_file_remains_and_needs_no_log(tmp_path: Path) -> None:
    path = record(tmp_path / "a.take", [make_frame(i, (0,)) for i in range(10)])
    assert [file.name for file in tmp_path.iterdir()] == ["a.take"]
    assert sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_metadata(tmp_path: Path) -> None:
    meta = {
        **META,
        "config": {"camera": CameraConfig()},
        "camera": {"path": Path("x"), "size": np.int64(3)},
        "versions": {"mocap": "9"},
    }
    with Take(record(tmp_path / "a.take", [], meta)) as take:
        assert take.metadata["config"]["camera"]["width"] == 1280
        assert take.metadata["camera"] == {"path": "x", "size": 3}
        assert take.metadata["versions"] == {"mocap": "9"}
        assert (take.name, take.fps, take.num_frames, take.people()) == ("test", 30.0, 0, [])
        created = datetime.fromisoformat(take.metadata["created"])
        assert abs(created.timestamp() - time.time()) < 60
        assert created.tzinfo is not None


def test_arrays_may_be_reused_after_write(tmp_path: Path) -> None:
    frame = make_frame(0, (0,))
    expected = frame.poses[0].p_world_joint.copy()
    with TakeRecorder(tmp_path / "a.take", META) as recorder:
        recorder.write(frame)
        frame.poses[0].p_world_joint[:] = 0
    with Take(recorder.path) as take:
        np.testing.assert_array_equal(next(take.frames()).poses[0].p_world_joint, expected)


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.take").write_text("precious")
    (tmp_path / "a-2.take-wal").write_text("a log without its take")
    assert record(tmp_path / "a.take", [make_frame(0)]).name == "a-3.take"
    assert record(tmp_path / "a.take", [make_frame(0)]).name == "a-4.take"
    assert (tmp_path / "a.take").read_text() == "precious"
    assert (tmp_path / "a-2.take-wal").exists()


def test_folder_is_made_and_a_place_that_cannot_be_is_refused(tmp_path: Path) -> None:
    assert record(tmp_path / "new" / "deep" / "a.take", [make_frame(0)]).is_file()
    (tmp_path / "file").touch()
    with pytest.raises(MocapError, match=r"cannot write a take to .*choose another folder"):
        TakeRecorder(tmp_path / "file" / "a.take", META)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(MocapError, match="Permission denied"):
        TakeRecorder(tmp_path / "a.take", META)
    tmp_path.chmod(0o700)


def test_default_take_path() -> None:
    path = default_take_path("takes", "héllo: my/take?")
    assert path.parent == Path("takes")
    date, clock, name = path.stem.split("_", 2)
    datetime.strptime(f"{date} {clock}", "%Y-%m-%d %H-%M-%S")
    assert name == "héllo-my-take"
    assert default_take_path("takes", "..").name.endswith("_take.take")


def test_wrong_shape_and_closed_recorder_are_refused(tmp_path: Path) -> None:
    frame = make_frame(0, (0,))
    broken = dataclasses.replace(frame, poses=(dataclasses.replace(frame.poses[0], betas=np.zeros(3, np.float32)),))
    recorder = TakeRecorder(tmp_path / "a.take", META)
    with pytest.raises(ValueError, match=r"shape \(10,\), got \(3,\)"):
        recorder.write(broken)
    recorder.write(frame)
    recorder.close()
    recorder.close()
    with pytest.raises(ValueError, match="closed"):
        recorder.write(frame)
    with Take(recorder.path) as take:
        assert take.num_frames == 1


def test_a_slow_disk_is_reported_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = threading.Event()
    commit = TakeRecorder._commit

    def wait_for_disk(self: TakeRecorder, last: bool) -> None:
        disk.wait()
        commit(self, last)

    monkeypatch.setattr(TakeRecorder, "_commit", wait_for_disk)
    monkeypatch.setattr(recorder_module, "BACKLOG_FRAMES", 50)
    monkeypatch.setattr(recorder_module, "COMMIT_S", 0.01)
    recorder = TakeRecorder(tmp_path / "a.take", META)
    recorder.write(make_frame(0))
    time.sleep(0.1)  # the writer is waiting for the disk now
    with caplog.at_level(logging.WARNING):
        for index in range(1, 200):
            recorder.write(make_frame(index))
    assert [record.message for record in caplog.records if "cannot keep up" in record.message]
    assert len(caplog.records) == 1
    disk.set()
    recorder.close()
    with Take(recorder.path) as take:
        assert [frame.frame_index for frame in take.frames()] == list(range(200))


def test_a_program_that_locks_the_file_delays_but_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorder_module, "BUSY_S", 0.05)
    with TakeRecorder(tmp_path / "a.take", META) as recorder:
        intruder = sqlite3.connect(recorder.path)
        intruder.execute("BEGIN IMMEDIATE")
        for index in range(5):
            recorder.write(make_frame(index))
        deadline = time.monotonic() + 5
        while "another program holds" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "another program holds" in caplog.text
        intruder.rollback()
        intruder.close()
    with Take(recorder.path) as take:
        assert take.num_frames == 5


def fill_disk(recorder: TakeRecorder, first: int = 0) -> int:
    """Write until the recorder complains; the number of frames that were written."""
    for index in range(first, 5000):
        recorder.write(make_frame(index, (0,)))
        time.sleep(0.001)
    raise AssertionError("the disk never filled")


def limit_size(monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    """SQLite then answers as it does on a full disk: "database or disk is full"."""
    create = recorder_module._create

    def create_small(path: Path, meta: dict[str, object]) -> sqlite3.Connection:
        db = create(path, meta)
        db.execute(f"PRAGMA max_page_count={pages}")
        return db

    monkeypatch.setattr(recorder_module, "_create", create_small)


def test_full_disk_is_told_and_what_was_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_size(monkeypatch, 60)
    monkeypatch.setattr(recorder_module, "COMMIT_S", 0.02)
    recorder = TakeRecorder(tmp_path / "a.take", META)
    with pytest.raises(MocapError, match=r"disk is full.*frames .* are kept in .*a.take.*mocap export"):
        fill_disk(recorder)
    with pytest.raises(MocapError, match=f"{recorder.num_committed} frames"):
        recorder.close()
    with Take(recorder.path) as take:
        stored = [frame.frame_index for frame in take.frames()]
    assert stored == list(range(recorder.num_committed))
    assert len(stored) > 50


def test_space_freed_before_close_keeps_every_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_size(monkeypatch, 60)
    recorder = TakeRecorder(tmp_path / "a.take", META)
    with pytest.raises(MocapError, match="disk is full"):
        fill_disk(recorder)
    recorder._thread.join()
    recorder._db.execute("PRAGMA max_page_count=100000")
    recorder.close()
    with Take(recorder.path) as take:
        stored = [frame.frame_index for frame in take.frames()]
    assert stored == list(range(len(stored)))
    assert len(stored) == recorder.num_committed == recorder._next_id - 1


REALLY_FULL = """
import sys
from pathlib import Path
from mocap.errors import MocapError
from mocap.takes.reader import Take
from mocap.takes.recorder import TakeRecorder
from tests.takes.test_recorder import META, fill_disk
recorder = TakeRecorder(Path(sys.argv[1]) / "a.take", META)
try:
    fill_disk(recorder)
except MocapError as error:
    print(error)
try:
    recorder.close()
except MocapError as error:
    print(error)
take = Take(recorder.path)
stored = [frame.frame_index for frame in take.frames()]
assert stored == list(range(len(stored))), stored
print(len(stored), recorder.num_committed)
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs Linux's unshare to mount a small disk")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """On a 1 MB file system of our own."""
    mount = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m small "$0" && exec "$@"']
    if subprocess.run([*mount, tmp_path, "true"], capture_output=True).returncode:
        pytest.skip("may not mount a small disk here")
    child = subprocess.run(
        [*mount, tmp_path, sys.executable, "-c", REALLY_FULL, tmp_path], cwd=ROOT, capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr
    *messages, numbers = child.stdout.splitlines()
    stored, committed = map(int, numbers.split())
    assert stored == committed > 50
    assert messages[-1].startswith("recording stopped: database or disk is full")
    assert f"{stored} frames" in messages[-1]


KILLED = """
import sys, time
from tests.takes.synthetic import META, make_frame
from mocap.takes.recorder import TakeRecorder
recorder = TakeRecorder(sys.argv[1], META)
frames = [make_frame(0, (0,), time.monotonic())]
for index in range(10000):
    t = time.monotonic()
    recorder.write(make_frame(index, (0, 1), t))
    print(index, repr(t), flush=True)
    time.sleep(max(0, 1 / 60 - (time.monotonic() - t)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
@pytest.mark.parametrize("seconds", [0.9, 1.05, 1.2])
def test_kill_costs_at_most_half_a_second(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "a.take"
    child = subprocess.Popen([sys.executable, "-c", KILLED, path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    first = child.stdout.readline()  # it is running
    time.sleep(seconds)
    os.kill(child.pid, signal.SIGKILL)
    t_kill = time.monotonic()
    lines = [first, *child.stdout.read().splitlines()]
    child.wait()
    written = {int(index): float(t) for index, t in (line.split() for line in lines if line.count(".") == 1)}
    assert Path(f"{path}-wal").exists()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if not file.name.endswith("-shm")}
    with Take(path) as take:
        stored = {frame.frame_index: frame.t_capture for frame in take.frames()}
        assert take.people() == [0, 1]
        assert len(take.person(1)) == len(stored)
    assert list(stored) == list(range(len(stored)))
    assert all(stored[index] == written[index] for index in stored if index in written)
    print(f"lost {max(written.values()) - max(stored.values()):.3f} s; last kept {t_kill - max(stored.values()):.3f} s")
    due = [index for index, t in written.items() if t < t_kill - 0.5 - 0.1]  # 0.1 s: this machine's scheduling
    assert len(due) > 5
    assert set(due) <= set(stored)
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir() if not file.name.endswith("-shm")}


def test_metadata_is_json_for_any_program(tmp_path: Path) -> None:
    path = record(tmp_path / "a.take", [])
    rows = dict(sqlite3.connect(path).execute("SELECT key, value FROM metadata"))
    assert json.loads(rows["fps"]) == 30.0
    assert json.loads(rows["schema_version"]) == 1
