"""The loop: source → people → regressor → motion → outputs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from threadpoolctl import threadpool_limits

from mocap.config import DEFAULT_FOV, CaptureConfig
from mocap.models.blazepose import load_detector, load_landmarker
from mocap.models.kinematic import KinematicRegressor
from mocap.motion import Motion
from mocap.people import Tracker
from mocap.sources import EndOfStream, Source
from mocap.types import Camera, Frame, MocapFrame

Output = Callable[[Frame, MocapFrame], None]


class Pipeline:
    """One frame in, everything known about it out. Keeps the state of every person between calls."""

    def __init__(self, config: CaptureConfig, focal_px: float | None = None) -> None:
        # BLAS threads only spin on matrices as small as a skeleton's: on 2 cores they cost 7 ms of system time a frame.
        threadpool_limits(limits=1, user_api="blas")
        self.config = config
        self.tracker = Tracker(
            config,
            load_detector(engine=config.engine),
            load_landmarker(engine=config.engine, max_batch=config.max_people),
        )
        self.regressor = KinematicRegressor()
        self.motion = Motion(config)
        self._source_focal_px = focal_px
        self._camera: Camera | None = None

    def __call__(self, frame: Frame, t_arrival: float) -> MocapFrame:
        """Args: a frame, and the ``time.monotonic()`` that its age counts from."""
        laps = [time.perf_counter()]
        persons = self.tracker.update(frame)
        laps.append(time.perf_counter())
        camera = self._camera_for(frame)
        estimates = self.regressor(frame, persons, camera)
        laps.append(time.perf_counter())
        poses, self._camera = self.motion.update(frame.t_capture, estimates, persons, camera)
        laps.append(time.perf_counter())
        names = ("people", "regressor", "motion")
        stage_ms = {name: (end - start) * 1e3 for name, start, end in zip(names, laps, laps[1:], strict=False)}
        age_ms = (time.monotonic() - t_arrival) * 1e3
        return MocapFrame(frame.index, frame.t_capture, self._camera, persons, poses, stage_ms, age_ms)

    def _camera_for(self, frame: Frame) -> Camera:
        width, height = frame.size
        if self._camera is None:
            return Camera(width, height, focal_length_px(width, height, self.config.fov, self._source_focal_px))
        if (self._camera.width, self._camera.height) != (width, height):
            focal_px = focal_length_px(width, height, self.config.fov, self._source_focal_px)
            return replace(self._camera, width=width, height=height, focal_px=focal_px)
        return self._camera


def focal_length_px(width: int, height: int, fov: float | None, source_focal_px: float | None = None) -> float:
    """Focal length in pixels: from the horizontal field of view in degrees, else the source's EXIF, else the default
    of 65 degrees across the longer side (a phone held upright keeps its lens)."""
    if fov is not None:
        return width / 2 / math.tan(math.radians(fov) / 2)
    if source_focal_px is not None:
        return source_focal_px
    return max(width, height) / 2 / math.tan(math.radians(DEFAULT_FOV) / 2)


def frames(source: Source, stop: Callable[[], bool]) -> Iterator[Frame]:
    """Every frame of the source until it ends or ``stop()`` is true, which is asked at least each half second."""
    while not stop():
        try:
            frame = source.read(timeout_s=0.5)
        except EndOfStream:
            return
        if frame is not None:
            yield frame


def run(source: Source, pipeline: Pipeline, outputs: Iterable[Output], stop: Callable[[], bool]) -> None:
    """Capture until the source ends or ``stop()`` is true. The age of a live frame counts from its capture, of a
    file's from the moment it was read."""
    outputs = tuple(outputs)
    for frame in frames(source, stop):
        result = pipeline(frame, frame.t_capture if source.live else time.monotonic())
        for output in outputs:
            output(frame, result)
