from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from mocap.errors import MocapError
from mocap.takes.reader import Take
from mocap.takes.recorder import TakeRecorder
from tests.takes.synthetic import META, make_frame, make_person, make_pose, record


def test_person_arrays_are_the_frames_stacked(tmp_path: Path) -> None:
    present = [(), (5,), (2, 5), (2,), (), (5,)]
    path = record(tmp_path / "a # b?.take", [make_frame(10 + i, people) for i, people in enumerate(present)])
    with Take(path) as take:
        assert take.people() == [2, 5]
        motion = take.person(5)
    assert motion.frame.tolist() == [11, 12, 15]
    times = [make_frame(index, ()).t_capture for index in (10, 11, 12, 15)]
    np.testing.assert_allclose(motion.t, np.array(times[1:]) - times[0], atol=1e-9)
    for row, t in enumerate(times[1:]):
        pose, person = make_pose(5, t), make_person(5, t)
        np.testing.assert_array_equal(motion.R_parent_joint[row], pose.R_parent_joint)
        np.testing.assert_array_equal(motion.p_world_root[row], pose.p_world_root)
        np.testing.assert_array_equal(motion.betas[row], pose.betas)
        np.testing.assert_array_equal(motion.p_world_joint[row], pose.p_world_joint)
        np.testing.assert_array_equal(motion.confidence[row], pose.confidence)
        np.testing.assert_array_equal(motion.contact[row], pose.contact)
        np.testing.assert_array_equal(motion.landmarks_px[row], person.landmarks_px)
        np.testing.assert_array_equal(motion.visibility[row], person.visibility)


def test_a_take_can_be_read_while_it_is_recorded(tmp_path: Path) -> None:
    with TakeRecorder(tmp_path / "a.take", META) as recorder:
        for index in range(5):
            recorder.write(make_frame(index, (0,)))
        deadline = time.monotonic() + 10
        while recorder.num_committed < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        with Take(recorder.path) as take:
            assert take.num_frames == 5
            assert len(take.person(0)) == 5
            recorder.write(make_frame(5, (0,)))
    with Take(recorder.path) as take:
        assert take.num_frames == 6


def test_a_reader_that_stays_open_does_not_break_close(tmp_path: Path) -> None:
    recorder = TakeRecorder(tmp_path / "a.take", META)
    with Take(recorder.path) as take:
        rows = take.frames()
        recorder.write(make_frame(0, (0,)))
        assert list(rows) == []
        recorder.close()
        assert take.num_frames == 1
    with Take(recorder.path) as take:
        assert take.num_frames == 1


def test_fps_is_measured_where_the_source_had_none(tmp_path: Path) -> None:
    frames = [make_frame(i, t=i / 12.5) for i in range(20)]
    with Take(record(tmp_path / "a.take", frames, {"fps": None})) as take:
        assert take.fps == pytest.approx(12.5)
        assert take.name == "a"
    with Take(record(tmp_path / "b.take", [], {})) as take:
        assert take.fps == 30.0


def test_what_is_not_a_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match="there is no take at"):
        Take(tmp_path / "missing.take")
    with pytest.raises(MocapError, match="there is no take at"):
        Take(tmp_path)
    assert list(tmp_path.iterdir()) == []
    for name, content in {"empty": b"", "text": b"hello, this is no database\n" * 99}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MocapError, match="is not a take"):
            Take(tmp_path / name)
    sqlite3.connect(tmp_path / "other").execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(MocapError, match="is not a take"):
        Take(tmp_path / "other")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = record(tmp_path / "a.take", [])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE metadata SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(MocapError, match=r"has take format 99; this mocap reads 1.*checkout.*pip install -e \."):
        Take(path)


def test_a_damaged_take_is_told(tmp_path: Path) -> None:
    path = record(tmp_path / "a.take", [make_frame(i, (0,)) for i in range(60)])
    content = bytearray(path.read_bytes())
    content[len(content) // 3 :] = b"\xff" * (len(content) - len(content) // 3)
    path.write_bytes(content)
    with Take(path) as take, pytest.raises(MocapError, match="is damaged"):
        list(take.frames())


def test_a_person_who_is_not_there_is_refused(tmp_path: Path) -> None:
    with (
        Take(record(tmp_path / "a.take", [make_frame(0, (1,))])) as take,
        pytest.raises(MocapError, match=r"has \[1\]"),
    ):
        take.person(2)
