"""Opening video containers through PyAV, and turning decoded pictures into upright RGB."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import av.container
import av.error
import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from mocap.errors import MocapError
from mocap.latest import Latest

Image = NDArray[np.uint8]  # (H, W, 3) RGB


def open_video(
    location: str | Path, options: dict[str, str] | None = None, timeout_s: tuple[float, float] | None = None
) -> tuple[av.container.InputContainer, av.VideoStream]:
    """Opens a file (Path) or an address (str) and finds its picture stream.

    Args:
        location: A path, or an address such as rtsp://… or http://….
        options: FFmpeg's options for the protocol and format.
        timeout_s: How long opening and each read may take; None is for ever.

    Raises:
        MocapError: It is missing, empty, not a video, or cannot be reached.
    """
    if isinstance(location, Path):
        _check_file(location)
    # The prefix keeps FFmpeg from reading a colon in a file's name as the end of a protocol's name.
    url = f"file:{location}" if isinstance(location, Path) else location
    try:
        container = av.open(url, "r", options=options or {}, timeout=timeout_s)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _cannot_open(location, error, timeout_s) from error
    return container, _picture_stream(container, location)


def open_address(url: str, timeout_s: tuple[float, float]) -> tuple[av.container.InputContainer, av.VideoStream]:
    """``open_video`` of an address, for the main thread: Ctrl-C gets through at once, not when FFmpeg is done."""
    opened: Latest[tuple[av.container.InputContainer, av.VideoStream]] = Latest()

    def open_it() -> None:
        try:
            opened.put(open_video(url, timeout_s=timeout_s))  # when nobody waits any more, its last reference closes it
        except Exception as error:  # the caller gets it, from get()
            opened.close(error)

    threading.Thread(target=open_it, name=f"open {url}", daemon=True).start()
    try:
        while (result := opened.get(0.2)) is None:
            pass
        return result
    finally:
        opened.close()


def _check_file(path: Path) -> None:
    if not path.exists():
        raise MocapError(f"{path}: expected a video, found no such file. Check the path.")
    if not path.is_file():
        raise MocapError(f"{path}: expected a video file, found a folder or device. Give a file or a folder of images.")
    if path.stat().st_size == 0:
        raise MocapError(f"{path}: expected a video, found an empty file (0 bytes). Copy or record it again.")


def reason(error: Exception, timeout_s: float | None = None) -> str:
    """What FFmpeg failed with; a timeout, which it calls "Immediate exit requested", by its length in s."""
    if isinstance(error, av.error.ExitError) and timeout_s is not None:
        return f"no answer within {timeout_s:g} s"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _cannot_open(location: str | Path, error: Exception, timeout_s: tuple[float, float] | None) -> MocapError:
    why = reason(error, timeout_s and timeout_s[0])
    if isinstance(location, Path):
        return MocapError(
            f"{location}: expected a video, found {location.stat().st_size} bytes that FFmpeg cannot read ({why}). "
            "It is not a video, or it is cut off or damaged; copy, record or convert it again."
        )
    return MocapError(
        f"{location}: cannot be opened ({why}). Check the address, and that the camera or server is running and in "
        "the same network."
    )


def _picture_stream(container: av.container.InputContainer, location: str | Path) -> av.VideoStream:
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        kinds = ", ".join(sorted({str(stream.type) for stream in container.streams})) or "nothing"
        container.close()
        raise MocapError(f"{location}: expected a video, found no pictures in it, only {kinds}.")
    return streams[0]


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)  # the cover of a song


def nominal_fps(stream: av.VideoStream) -> float | None:
    """Frames per second by the container, None where it gives nothing that a camera could do."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= 1000:
            return float(rate)
    return None


@dataclass(frozen=True)
class Orientation:
    """A turn by quarters and flips: first transpose, then flip."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def __call__(self, rgb: Image) -> Image:
        """(H, W, 3) → (H, W, 3), or (W, H, 3) when transposed; the picture itself when there is nothing to do."""
        if self.transpose:
            rgb = np.asarray(cv2.transpose(rgb), np.uint8)
        if self.flip_x or self.flip_y:
            rgb = np.asarray(cv2.flip(rgb, -1 if self.flip_x and self.flip_y else int(self.flip_x)), np.uint8)
        return rgb

    def mirrored(self) -> Orientation:
        return Orientation(self.transpose, not self.flip_x, self.flip_y)


def orientation(picture: av.VideoFrame) -> Orientation:
    """How to turn a decoded picture upright, from its display matrix (phones write one).

    The matrix maps the pixel (x, y) to (a·x + c·y, b·x + d·y); turns that are not by quarters are rounded to them. One
    that only flips top to bottom, which no camera writes, is not seen: its rotation is 0.
    """
    if not picture.rotation:  # looking at side_data makes a reference cycle that keeps the picture until a collection
        return Orientation()
    side_data = cast(SideDataContainer, picture.side_data)  # PyAV's stub calls it a TypedDict
    if SideDataType.DISPLAYMATRIX not in side_data:
        return Orientation()
    matrix = bytes(side_data[SideDataType.DISPLAYMATRIX])  # nine int32, row by row
    a, b, _, c, d = np.frombuffer(matrix[:20], np.int32).astype(np.int64)
    if abs(b) > abs(a):
        return Orientation(True, bool(c < 0), bool(b < 0))
    return Orientation(False, bool(a < 0), bool(d < 0))


class Converter:
    """Decoded pictures → upright RGB with square pixels, mirrored when asked."""

    def __init__(self, mirror: bool) -> None:
        self._mirror = mirror
        self._orient: Orientation | None = None
        # One for the whole stream: a picture's own reformat() builds a new scaler each time (0.8 → 0.56 ms at 720p).
        self._reformatter = VideoReformatter()

    def __call__(self, picture: av.VideoFrame, stream: av.VideoStream) -> Image:
        """RGB (H, W, 3) uint8 of a decoded picture."""
        if self._orient is None:
            self._orient = orientation(picture)
            if self._mirror:
                self._orient = self._orient.mirrored()
        width = _square_pixel_width(picture.width, stream.sample_aspect_ratio)
        rgb = self._reformatter.reformat(picture, width=width, format="rgb24").to_ndarray()
        return self._orient(np.ascontiguousarray(rgb, np.uint8))  # copies where FFmpeg pads the rows


def _square_pixel_width(width: int, aspect: object) -> int:
    """Width at which pixels are as wide as high; anamorphic video (HDV, DV, DVD) would show people too thin."""
    ratio = float(aspect) if aspect else 1.0  # type: ignore[arg-type]
    return max(1, round(width * ratio)) if 0.25 <= ratio <= 4 else width
