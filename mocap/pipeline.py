"""The loop: source → people → regressor → motion → outputs."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from threadpoolctl import threadpool_limits

from mocap.config import DEFAULT_FOV, CaptureConfig
from mocap.models.blazepose import load_detector, load_landmarker
from mocap.models.image_regressor import ImageRegressor
from mocap.models.kinematic import KinematicRegressor
from mocap.models.token_capture import TokenCapture
from mocap.models.token_lookahead import TokenLookahead
from mocap.motion import Motion
from mocap.people import Tracker
from mocap.sources import EndOfStream, Source
from mocap.types import Camera, Frame, MocapFrame, Person, PoseEstimate

Result = tuple[Frame, MocapFrame]
Output = Callable[[Frame, MocapFrame], None]
_TOKENS_SHARE = 0.1  # of the joints' smoothing, which the network's poses hardly need (docs/smoothing.md)


@dataclass(frozen=True)
class _Seen:
    """A frame after the first stage."""

    frame: Frame
    t_arrival: float  # s
    persons: tuple[Person, ...]
    camera: Camera
    stage_ms: dict[str, float]


class Pipeline:
    """Frames in, everything known about them out. Keeps the state of every person between calls.

    Args:
        config: of a command.
        lookahead: frames after each frame that its pose knows of; its result comes so many frames later.
    """

    def __init__(self, config: CaptureConfig, lookahead: int = 0) -> None:
        # BLAS threads only spin on matrices as small as a skeleton's: on 2 cores they cost 7 ms of system time a frame.
        threadpool_limits(limits=1, user_api="blas")
        self.config = config
        self.tracker = Tracker(
            config,
            load_detector(config.engine),
            load_landmarker(config.engine, config.max_people, features=config.regressor == "tokens"),
        )
        forget_s = config.lost_after_s + 0.5
        self.regressor = load_regressor(config, lookahead, forget_s)
        share = _TOKENS_SHARE if config.regressor == "tokens" else 1.0
        self.motion = Motion(config, forget_s=forget_s, joint_share=share)
        self._camera: Camera | None = None
        self._waiting: deque[_Seen] = deque()

    def __call__(self, frame: Frame, t_arrival: float, focal_px: float | None = None) -> list[Result]:
        """Run all stages on a frame.

        Args:
            frame: The picture.
            t_arrival: ``time.perf_counter()`` that its age counts from, s.
            focal_px: Focal length that the source knows of this picture (EXIF), px.

        Returns:
            The frames that are done, with their results: this one, or with a lookahead an earlier one or none.
        """
        start = time.perf_counter()
        persons = self.tracker.update(frame)
        camera = self._camera_for(frame, focal_px)
        found = time.perf_counter()
        self._waiting.append(_Seen(frame, t_arrival, persons, camera, {"people": (found - start) * 1e3}))
        estimates = self.regressor(frame, persons, camera)
        return [] if estimates is None else [self._finish(estimates, found)]

    def flush(self) -> list[Result]:
        """At the end: the frames that still wait."""
        rest = self.regressor.flush() if isinstance(self.regressor, TokenLookahead) else []
        return [self._finish(estimates, time.perf_counter()) for estimates in rest]

    def _finish(self, estimates: list[PoseEstimate], start: float) -> Result:
        """Place and smooth the poses of the frame that waits longest."""
        seen = self._waiting.popleft()
        posed = time.perf_counter()
        poses, self._camera = self.motion.update(seen.frame.t_capture, estimates, seen.persons, seen.camera)
        end = time.perf_counter()
        stage_ms = {**seen.stage_ms, "regressor": (posed - start) * 1e3, "motion": (end - posed) * 1e3}
        age_ms = (end - seen.t_arrival) * 1e3
        frame = seen.frame
        result = MocapFrame(frame.index, frame.t_capture, self._camera, seen.persons, poses, stage_ms, age_ms)
        return frame, result

    def _camera_for(self, frame: Frame, source_focal_px: float | None) -> Camera:
        """This picture's size and focal length, where the camera was last found to stand."""
        width, height = frame.size
        focal_px = focal_length_px(width, height, self.config.fov, source_focal_px)
        if self._camera is None:
            return Camera(width, height, focal_px)
        return replace(self._camera, width=width, height=height, focal_px=focal_px)


def load_regressor(
    config: CaptureConfig, lookahead: int, forget_s: float
) -> TokenCapture | TokenLookahead | KinematicRegressor | ImageRegressor:
    """What the configuration asks for; only ``tokens`` knows of later frames."""
    if config.regressor == "kinematic":
        return KinematicRegressor(forget_s=forget_s)
    if config.regressor != "tokens":
        from mocap.models import published  # and torch with it

        return published.load_regressor(config.regressor, config.engine, config.max_people)
    if lookahead:
        return TokenLookahead(lookahead, config.engine, config.max_people)
    return TokenCapture(config.engine, config.max_people, forget_s)


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

    def send(results: list[Result]) -> None:
        for frame, result in results:
            for output in outputs:
                output(frame, result)

    while not stop():
        try:
            frame = source.read(timeout_s=0.5)
        except EndOfStream:
            break
        if frame is None:
            while_waiting()
            continue
        send(pipeline(frame, frame.t_capture if source.live else time.perf_counter(), source.focal_px))
    send(pipeline.flush())
