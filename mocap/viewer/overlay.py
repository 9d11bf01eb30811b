"""Bodies or skeletons, boxes and ids drawn over a frame, and the video writer for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mocap.body.mesh import load_coarse_body
from mocap.body.skeleton import PARENTS
from mocap.config import DrawStyle
from mocap.errors import MocapError
from mocap.types import BodyPose, Camera, Frame, MocapFrame, Person
from mocap.viewer.mesh import color_of, draw_meshes

LEFT, RIGHT, MIDDLE = (64, 160, 255), (255, 140, 60), (250, 250, 250)  # RGB: blue left, orange right
_SIDES = "MLRMLRMLRMLRMLRMLRLRLRLR"  # of each joint, in SMPL's order


def draw(rgb: NDArray[np.uint8], result: MocapFrame, style: DrawStyle = "mesh") -> NDArray[np.uint8]:
    """A copy of the picture (H, W, 3) with every person's ROI, landmarks and body: its mesh or its skeleton."""
    canvas = np.ascontiguousarray(rgb).copy()
    thickness = max(1, round(min(canvas.shape[:2]) / 240))
    if style == "mesh":
        draw_meshes(canvas, result.poses, result.camera)
    for person in result.persons:
        _draw_person(canvas, person, thickness, max(1, thickness - (style == "mesh")))
    if style == "skeleton":
        for pose in result.poses:
            _draw_pose(canvas, pose, result.camera, thickness)
    return canvas


def prepare(style: DrawStyle) -> None:
    """Load what the first picture would wait for."""
    if style == "mesh":
        load_coarse_body()


def _draw_person(canvas: NDArray[np.uint8], person: Person, thickness: int, dot: int) -> None:
    roi, color = person.roi, color_of(person.track_id)
    box = _drawable(cv2.boxPoints((roi.center_px, (roi.size_px, roi.size_px), float(np.degrees(roi.rotation)))))
    cv2.polylines(canvas, [np.array(box)], True, color, thickness)
    x, y = min(box, key=sum)
    corner = (max(x, 4), max(y, 12 * thickness))  # in the picture, also where the square is not
    text = f"person {person.track_id}"
    cv2.putText(canvas, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.25 * thickness, color, thickness)
    for point, seen in zip(_drawable(person.landmarks_px[:, :2]), person.visibility, strict=True):
        if seen > 0.5:
            cv2.circle(canvas, point, dot, (255, 255, 0), -1)


def _draw_pose(canvas: NDArray[np.uint8], pose: BodyPose, camera: Camera, thickness: int) -> None:
    joints = camera.to_camera(np.nan_to_num(pose.p_world_joint))
    points = _drawable(camera.project(joints))
    for joint, parent in enumerate(PARENTS):
        if parent < 0 or joints[joint, 2] < 0.05 or joints[parent, 2] < 0.05:
            continue
        color = {"L": LEFT, "R": RIGHT, "M": MIDDLE}[_SIDES[joint]]
        width = thickness + 1 if pose.confidence[joint] > 0.5 else 1
        cv2.line(canvas, points[parent], points[joint], color, width, cv2.LINE_AA)


def _drawable(points_px: ArrayLike) -> list[list[int]]:
    """Any numbers (n, 2) as whole pixels that OpenCV takes."""
    return np.clip(np.nan_to_num(np.asarray(points_px, np.float64)), -1e4, 1e4).astype(int).tolist()


class OverlayWriter:
    """H.264 video of drawn frames with the source's own timestamps; a context manager.

    It is written beside its name and moved there at the end, so that a failed run leaves what was there before.

    Raises:
        MocapError: The file cannot be written.
    """

    def __init__(self, path: Path, style: DrawStyle = "mesh") -> None:
        self.path, self.style = path, style
        prepare(style)
        self._part = path.with_name(f"{path.stem}.part{path.suffix}")
        with self._guard():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(self._part), "w")
        self._stream: av.VideoStream | None = None

    def __enter__(self) -> OverlayWriter:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.close()
            return
        with contextlib.suppress(OSError, av.error.FFmpegError):  # the error in flight is the one to tell
            self._container.close()
        self._part.unlink(missing_ok=True)

    def __call__(self, frame: Frame, result: MocapFrame) -> None:
        picture = draw(frame.rgb, result, self.style)
        if self._stream is None:
            self._stream = self._open_stream(*frame.size)
        height, width = self._stream.height, self._stream.width
        if picture.shape[:2] != (height, width):
            picture = cv2.resize(picture, (width, height)).astype(np.uint8)  # even sizes, and pictures of a folder
        video_frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        video_frame.pts = round(frame.t_capture * 90_000)
        video_frame.time_base = Fraction(1, 90_000)
        self._mux(video_frame)

    def _open_stream(self, width: int, height: int) -> av.VideoStream:
        stream = self._container.add_stream("libx264", rate=30, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height = max(2, width // 2 * 2), max(2, height // 2 * 2)
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, 90_000)
        stream.codec_context.time_base = Fraction(1, 90_000)
        return stream

    def _mux(self, video_frame: av.VideoFrame | None) -> None:
        assert self._stream is not None
        with self._guard():
            for packet in self._stream.encode(video_frame):
                self._container.mux(packet)

    def close(self) -> None:
        """Finish the file and put it in its place."""
        try:
            if self._stream is not None:
                self._mux(None)
        finally:
            with self._guard():
                self._container.close()
        with self._guard():
            self._part.replace(self.path)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, av.error.FFmpegError) as error:
            advice = "name a .mp4 in a writable folder with room on its disk"
            raise MocapError(f"cannot write the overlay {self.path}: {error}; {advice}") from error
