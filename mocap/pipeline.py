"""The loop: source → people → regressor → motion → outputs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
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

    def __init__(self, config: CaptureConfig) -> None:
        # BLAS threads only spin on matrices as small as a skeleton's: on 2 cores they cost 7 ms of system time a frame.
        threadpool_limits(limits=1, user_api="blas")
        self.config = config
        self.tracker = Tracker(
            config,
            load_detector(engine=config.engine),
            load_landmarker(engine=config.engine, max_batch=config.max_people),
        )
        self.regressor = KinematicRegressor(forget_s=config.lost_after_s + 0.5)
        self.motion = Motion(config, forget_s=config.lost_after_s + 0.5)
        self._camera: Camera | None = None

    def __call__(self, frame: Frame, t_arrival: float, focal_px: float | None = None) -> MocapFrame:
        """Run all stages on a frame.

        Args:
            frame: The picture.
            t_arrival: ``time.perf_counter()`` that its age counts from, s.
            focal_px: Focal length that the source knows of this picture (EXIF), px.
        """
        laps = [time.perf_counter()]
        persons = self.tracker.update(frame)
        laps.append(time.perf_counter())
        camera = self._camera_for(frame, focal_px)
        estimates = self.regressor(frame, persons, camera)
        laps.append(time.perf_counter())
        poses, self._camera = self.motion.update(frame.t_capture, estimates, persons, camera)
        laps.append(time.perf_counter())
        names = ("people", "regressor", "motion")
        stage_ms = {name: (end - start) * 1e3 for name, start, end in zip(names, laps, laps[1:], strict=False)}
        age_ms = (time.perf_counter() - t_arrival) * 1e3
        return MocapFrame(frame.index, frame.t_capture, self._camera, persons, poses, stage_ms, age_ms)

    def _camera_for(self, frame: Frame, source_focal_px: float | None) -> Camera:
        """This picture's size and focal length, where the camera was last found to stand."""
        width, height = frame.size
        focal_px = focal_length_px(width, height, self.config.fov, source_focal_px)
        if self._camera is None:
            return Camera(width, height, focal_px)
        return replace(self._camera, width=width, height=height, focal_px=focal_px)


def focal_length_px(width: int, height: int, fov: float | None, source_focal_px: float | None = None) -> float:
    """Focal length in pixels: from the horizontal field of view in degrees, else the source's EXIF, else the default
    of 65 degrees across the longer side (a phone held upright keeps its lens)."""
    if fov is not None:
        return width / 2 / math.tan(math.radians(fov) / 2)
    if source_focal_px is not None:
        return source_focal_px
    return max(width, height) / 2 / math.tan(math.radians(DEFAULT_FOV) / 2)


def run(
    source: Source,
    pipeline: Pipeline,
    outputs: Iterable[Output],
    stop: Callable[[], bool],
    while_waiting: Callable[[], None] = lambda: None,
) -> None:
    """Capture until the source ends or ``stop()`` is true.

    The age of a live frame counts from its capture, of a file's from the moment it was read. While no frame comes,
    ``while_waiting`` is called twice a second: a camera may come back.
    """
    outputs = tuple(outputs)
    while not stop():
        try:
            frame = source.read(timeout_s=0.5)
        except EndOfStream:
            return
        if frame is None:
            while_waiting()
            continue
        result = pipeline(frame, frame.t_capture if source.live else time.perf_counter(), source.focal_px)
        for output in outputs:
            output(frame, result)
