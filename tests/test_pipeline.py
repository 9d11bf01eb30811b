"""Focal length, and when the loop stops; the stages have tests of their own."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from mocap.assets import asset_path
from mocap.config import CaptureConfig
from mocap.pipeline import Pipeline, Result, focal_length_px, run
from mocap.sources import EndOfStream, Source
from mocap.sources.video import VideoFile
from mocap.types import Camera, Frame, MocapFrame
from tests.engines.toy import pretend_a_gpu

TAN_HALF_65 = math.tan(math.radians(65) / 2)


def test_a_given_field_of_view_is_horizontal() -> None:
    assert focal_length_px(1280, 720, 90) == pytest.approx(640)
    assert focal_length_px(720, 1280, 90) == pytest.approx(360)


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (1280, 1280)])
def test_the_default_spans_the_longer_side(size: tuple[int, int]) -> None:
    assert focal_length_px(*size, None) == pytest.approx(640 / TAN_HALF_65)


def test_the_fov_beats_exif_which_beats_the_default() -> None:
    assert focal_length_px(1280, 720, None, 1500.0) == 1500.0
    assert focal_length_px(1280, 720, 90, 1500.0) == pytest.approx(640)
    assert focal_length_px(1280, 720, 65) == pytest.approx(focal_length_px(1280, 720, None))


def test_the_field_of_view_is_what_the_camera_sees() -> None:
    """A point at half the angle to the side lands on the picture's edge."""
    camera = Camera(1920, 1080, focal_length_px(1920, 1080, 70))
    edge = camera.project(np.array([math.tan(math.radians(35)) * 3, 0, 3]))
    assert edge == pytest.approx([1920, 540], abs=1e-3)


class Scripted(Source):
    """Gives what it is told to: frames, None where nothing came in time; then it ends, or never does."""

    name = "scripted"

    def __init__(self, script: Sequence[Frame | None], *, live: bool = False, ends: bool = True) -> None:
        self.live, self.reads, self.timeouts = live, 0, set[float]()
        self.focal_px = 777.0
        self._script, self._ends = list(script), ends

    def read(self, timeout_s: float = 1.0) -> Frame | None:
        self.reads += 1
        self.timeouts.add(timeout_s)
        if self._script:
            return self._script.pop(0)
        if self._ends:
            raise EndOfStream
        return None

    def close(self) -> None:
        pass


@dataclass
class FakePipeline:
    calls: list[tuple[int, float, float | None]] = field(default_factory=list)

    delay: int = 0
    waiting: list[Result] = field(default_factory=list)

    def __call__(self, frame: Frame, t_arrival: float, focal_px: float | None = None) -> list[Result]:
        self.calls.append((frame.index, t_arrival, focal_px))
        result = MocapFrame(frame.index, frame.t_capture, Camera(*frame.size, 1.0), (), (), {}, 0.0)
        self.waiting.append((frame, result))
        return [self.waiting.pop(0)] if len(self.waiting) > self.delay else []

    def flush(self) -> list[Result]:
        rest, self.waiting = self.waiting, []
        return rest


def picture(index: int) -> Frame:
    return Frame(index, 100.0 + index, np.zeros((2, 3, 3), np.uint8))


def play(source: Source, pipeline: FakePipeline, stop_after: int | None = None) -> list[tuple[str, int, int]]:
    """What two outputs got: their names, the frame's index and the result's."""
    got: list[tuple[str, int, int]] = []
    asked = count()
    outputs = [lambda f, r, name=name: got.append((name, f.index, r.frame_index)) for name in "ab"]
    fake: Pipeline = pipeline  # type: ignore[assignment]
    run(source, fake, outputs, lambda: stop_after is not None and next(asked) >= stop_after)
    return got


def test_every_frame_goes_to_every_output_until_the_source_ends() -> None:
    pipeline = FakePipeline()
    got = play(Scripted([picture(3), None, picture(5)]), pipeline)
    assert got == [("a", 3, 3), ("b", 3, 3), ("a", 5, 5), ("b", 5, 5)]
    assert [(index, focal_px) for index, _, focal_px in pipeline.calls] == [(3, 777.0), (5, 777.0)]


def test_frames_that_wait_for_later_ones_are_sent_too() -> None:
    script = [picture(i) for i in range(5)]
    got = play(Scripted(script), FakePipeline(delay=3))
    assert got == [(name, i, i) for i in range(5) for name in "ab"]
    stopped = play(Scripted(script), FakePipeline(delay=3), stop_after=2)
    assert stopped == [(name, i, i) for i in range(2) for name in "ab"]


def test_stop_is_asked_before_every_read_and_at_least_each_half_second() -> None:
    source = Scripted([picture(i) for i in range(9)])
    assert len(play(source, FakePipeline(), stop_after=4)) == 2 * 4
    assert source.reads == 4
    silent = Scripted([], ends=False)
    assert play(silent, FakePipeline(), stop_after=7) == []
    assert silent.reads == 7
    assert max(silent.timeouts) <= 0.5
    assert play(untouched := Scripted([picture(0)]), FakePipeline(), stop_after=0) == []
    assert untouched.reads == 0


def test_age_counts_from_the_capture_of_a_live_frame_and_from_the_reading_of_a_files() -> None:
    for live in (True, False):
        pipeline, before = FakePipeline(), time.perf_counter()
        play(Scripted([picture(1)], live=live), pipeline)
        ((_, t_arrival, _),) = pipeline.calls
        if live:
            assert t_arrival == 101.0
        else:
            assert before <= t_arrival <= time.perf_counter()


def test_what_an_output_raises_ends_the_loop() -> None:
    def broken(frame: Frame, result: MocapFrame) -> None:
        raise OSError("disk full")

    source = Scripted([picture(0), picture(1)])
    fake: Pipeline = FakePipeline()  # type: ignore[assignment]
    with pytest.raises(OSError, match="disk full"):
        run(source, fake, [broken], lambda: False)
    assert source.reads == 1


def test_on_a_gpu_the_poses_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people, with squares, landmarks and memories that stay where the networks run: but for the last bit of a
    pixel and OpenCV's rounding of places, what is on the host."""
    pretend_a_gpu(monkeypatch)
    monkeypatch.setenv("MOCAP_ENGINE_CACHE", str(tmp_path))
    found = {}
    for engine in ("openvino", "cuda_graph"):
        pipeline = Pipeline(CaptureConfig(engine=engine, max_people=2))
        with VideoFile(asset_path("demo_two.mp4")) as video:
            frames = [video.read() for _ in range(15)]
        results = [pipeline(frame, 0.0)[0][1] for frame in frames if frame is not None]
        found[engine] = np.array([[pose.p_world_joint for pose in result.poses] for result in results[-10:]])
    assert found["openvino"].shape == (10, 2, 24, 3)
    relative = [joints - joints[:, :, :1] for joints in found.values()]
    off_m = np.linalg.norm(relative[0] - relative[1], axis=-1)
    print(f"off by {1e3 * off_m.mean():.2f} mm, at most {1e3 * off_m.max():.2f} mm")
    assert off_m.mean() < 2e-3
    assert np.abs(np.diff(relative[0], axis=0)).max() > 5e-3  # they move
