from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mocap.config import CameraConfig
from mocap.errors import MocapError
from mocap.sources import EndOfStream, ImageFolder, PacedSource, Source, VideoFile, open_file, open_live
from mocap.types import Frame
from tests.sources.helpers import FrameList, capture_threads, number_of, numbered, wait_for, write_video


def clip(count: int, fps: float = 100.0, start_s: float = 7.0) -> list[Frame]:
    return [Frame(i, start_s + i / fps, numbered(i)) for i in range(count)]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    wait_for(lambda: not capture_threads(), "a player thread is left")


def test_every_frame_comes_when_it_is_due_or_counts_as_dropped() -> None:
    t_before = time.perf_counter()
    with PacedSource(lambda: FrameList(clip(30), fps=100)) as source:
        assert source.live
        assert source.fps == 100
        frames = list(source)
        with pytest.raises(EndOfStream):
            source.read()
    assert frames[-1].index == 29
    assert len(frames) + source.dropped == 30
    for frame in frames:
        assert number_of(frame.rgb) == frame.index % 15
        assert frame.t_capture >= t_before + frame.index / 100  # never early
        assert frame.t_capture <= time.perf_counter()


def test_times_are_of_the_fine_clock(coarse_monotonic: None) -> None:
    t_before = time.perf_counter()
    with PacedSource(lambda: FrameList(clip(5), fps=100)) as source:
        assert all(t_before <= frame.t_capture <= time.perf_counter() for frame in source)


def test_a_late_reader_gets_the_newest_frame() -> None:
    with PacedSource(lambda: FrameList(clip(20))) as source:
        wait_for(lambda: source.dropped == 19, "nobody reads")
        frame = source.read()
        assert frame is not None
        assert frame.index == 19


def test_loop_counts_on_and_duration_ends_it() -> None:
    opened: list[Source] = []

    def open_source() -> Source:
        opened.append(FrameList(clip(5), fps=100))
        return opened[-1]

    with PacedSource(open_source, loop=True, duration_s=0.235) as source:
        frames = list(source)
    assert len(opened) == 5
    assert frames[-1].index == 23  # four rounds of 0.05 s and a part of the fifth
    assert len(frames) + source.dropped == 24
    assert all(number_of(frame.rgb) == frame.index % 5 for frame in frames)
    times = [frame.t_capture for frame in frames]
    assert all(a < b for a, b in itertools.pairwise(times))


def test_an_error_of_the_source_is_raised_by_read(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with PacedSource(lambda: ImageFolder(tmp_path)) as source, pytest.raises(MocapError, match="none can be read"):
        list(source)


def test_looping_over_nothing_is_an_error() -> None:
    with PacedSource(lambda: FrameList([]), loop=True) as source, pytest.raises(MocapError, match="found none"):
        list(source)


def test_close_in_the_middle_frees_the_file() -> None:
    closed: list[bool] = []

    class Watched(FrameList):
        def close(self) -> None:
            closed.append(True)
            super().close()

    source = PacedSource(lambda: Watched(clip(5, fps=0.01)))
    assert source.read() is not None
    source.close()
    source.close()
    assert closed
    assert not capture_threads()


def test_open_live_plays_files_like_a_camera(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [numbered(i) for i in range(10)])
    with open_live(str(path), CameraConfig(mirror=True)) as source:
        assert isinstance(source, PacedSource)
        frames = list(source)
    assert source.name == "clip.mp4"
    assert source.fps == 30
    assert len(frames) + source.dropped == 10
    assert (frames[0].rgb[5, -5] > 120).tolist() == [True, False, False]  # the red quarter is on the right


@pytest.mark.parametrize("name", ["nowhere.mp4", "nowhere/clip.MOV", "nowhere.jpg"])
def test_a_missing_file_is_not_taken_for_a_camera(name: str) -> None:
    with pytest.raises(MocapError, match="found no such file"):
        open_live(name, CameraConfig())


def test_open_file_tells_videos_from_pictures(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mkv", [numbered(1)])
    with open_file(str(video)) as source:
        assert isinstance(source, VideoFile)
    with pytest.raises(MocapError, match="expected pictures"):
        open_file(tmp_path)
    with pytest.raises(MocapError, match="no such file"):
        open_file(tmp_path / "nowhere.mp4")
