"""Where frames come from: cameras, video files, network streams, folders of pictures."""

from __future__ import annotations

import re
from pathlib import Path

from mocap.config import CameraConfig
from mocap.errors import MocapError
from mocap.sources.base import EndOfStream, Source
from mocap.sources.camera import CameraSource
from mocap.sources.cameras import CameraInfo, list_cameras
from mocap.sources.images import ImageFolder, is_image
from mocap.sources.live import LiveSource
from mocap.sources.paced import PacedSource
from mocap.sources.stream import StreamSource
from mocap.sources.video import VideoFile

__all__ = [
    "CameraInfo",
    "CameraSource",
    "EndOfStream",
    "ImageFolder",
    "LiveSource",
    "PacedSource",
    "Source",
    "StreamSource",
    "VideoFile",
    "list_cameras",
    "open_file",
    "open_live",
]

VIDEO_SUFFIXES = (
    ".mp4",
    ".mov",
    ".m4v",
    ".avi",
    ".mkv",
    ".webm",
    ".mpg",
    ".mpeg",
    ".ts",
    ".mts",
    ".wmv",
    ".3gp",
    ".mjpeg",
)


def open_file(path: str | Path, *, mirror: bool = False, fps: float = 30.0) -> Source:
    """A lossless source: every frame in order.

    Args:
        path: A video file, a folder of pictures, one picture, or the http(s) address of a recording.
        mirror: Flip left to right.
        fps: Frames per second of a folder of pictures; videos bring their own times.

    Raises:
        MocapError: It is missing, empty or nothing that can be read.
    """
    if is_url(str(path)):
        return VideoFile(str(path), mirror=mirror)
    path = Path(path)
    if path.is_dir() or is_image(path):
        return ImageFolder(path, fps=fps, mirror=mirror)
    return VideoFile(path, mirror=mirror)


def open_live(source: str | None, config: CameraConfig, *, loop: bool = False) -> Source:
    """A live source: the newest frame wins.

    Args:
        source: A camera's index, name, part of its name, or device path; an address (rtsp://, http://, https://); a
            video file or a folder of pictures, played in real time. None is the first camera.
        config: What to ask a camera for; ``mirror`` holds for every source.
        loop: A video or folder starts again at its end.

    Raises:
        MocapError: There is no such camera, address or file, or it does not open.
    """
    if source is not None and is_url(source):
        return StreamSource(source, mirror=config.mirror)
    if source is not None and _is_file(source):
        path = source
        return PacedSource(lambda: open_file(path, mirror=config.mirror, fps=config.fps), loop=loop)
    return CameraSource(source, config)


def is_url(source: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source) is not None


def _is_file(source: str) -> bool:
    """Whether a file or folder is meant rather than a camera; a missing one is told by its suffix."""
    path = Path(source)
    if path.is_file() or path.is_dir():
        return not source.isdecimal()
    if path.suffix.lower() in VIDEO_SUFFIXES or is_image(path):
        raise MocapError(f"{source}: expected a video or a folder of pictures, found no such file. Check the path.")
    return False
