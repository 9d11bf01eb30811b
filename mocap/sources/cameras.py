"""Which cameras there are, finding one by index or name, and saying why one does not open."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from mocap.errors import MocapError


@dataclass(frozen=True)
class CameraInfo:
    """A camera that the system lists."""

    index: int  # what OpenCV opens it by, with this backend
    name: str
    backend: int  # cv2.CAP_V4L2, CAP_DSHOW or CAP_AVFOUNDATION
    path: str | None = None  # device node on Linux, device path on Windows, unique id on macOS

    @property
    def backend_name(self) -> str:
        return str(cv2.videoio_registry.getBackendName(self.backend))

    def __str__(self) -> str:
        return f"{self.index} '{self.name}'"


def camera_backend() -> int:
    """The OpenCV backend for webcams on this system.

    DirectShow on Windows: it opens a camera at once (Media Foundation takes seconds) and sees virtual cameras.
    """
    if sys.platform == "win32":
        return cv2.CAP_DSHOW
    return cv2.CAP_AVFOUNDATION if sys.platform == "darwin" else cv2.CAP_V4L2


def list_cameras() -> list[CameraInfo]:
    """Every camera that can capture, sorted by index."""
    from cv2_enumerate_cameras import enumerate_cameras  # here: on macOS it loads the Objective-C bridge

    backend = camera_backend()
    listed = [CameraInfo(c.index, c.name or f"camera {c.index}", backend, c.path) for c in enumerate_cameras(backend)]
    if sys.platform.startswith("linux"):
        listed = [camera for camera in listed if not is_second_node(camera.path)]
    return sorted(listed, key=lambda camera: camera.index)


def is_second_node(path: str | None, sysfs: Path = Path("/sys/class/video4linux")) -> bool:
    """Whether a Linux device node is one that its camera has beside the one that captures (for metadata).

    The enumeration asks each node what it can do, but lists the nodes that it may not open, all of them.
    """
    if path is None or os.access(path, os.R_OK):
        return False
    number = sysfs / os.path.basename(path) / "index"  # counts the nodes of one device; the first one captures
    try:
        return number.read_text().strip() != "0"
    except OSError:  # there is no such file, or the camera is being unplugged
        return False


def find_camera(wanted: int | str | None, cameras: Sequence[CameraInfo]) -> CameraInfo:
    """The camera with this index, device path or name; None is the first one.

    A name is matched exactly, then as a part that only one camera's name has, upper and lower case alike.

    Raises:
        MocapError: There is none, or several; the message lists what there is.
    """
    if not cameras:
        raise no_camera(wanted)
    if wanted is None:
        return cameras[0]
    if _is_index(wanted):
        found = [camera for camera in cameras if camera.index == int(wanted)]
    else:
        found = _by_name(str(wanted), cameras)
    if len(found) == 1:
        return found[0]
    what = _what(wanted)
    problem = f"No camera has the {what}" if not found else f"{len(found)} cameras have the {what}: give the index"
    raise MocapError(f"{problem}. There is: {', '.join(map(str, cameras))}. `mocap cameras` lists them.")


def _is_index(wanted: int | str) -> bool:
    return isinstance(wanted, int) or wanted.isdecimal()


def _what(wanted: int | str) -> str:
    return f"index {wanted}" if _is_index(wanted) else f"name '{wanted}'"


def _by_name(wanted: str, cameras: Sequence[CameraInfo]) -> list[CameraInfo]:
    if os.path.exists(wanted):  # /dev/video2, or a link to it that stays, like /dev/v4l/by-id/...
        node = os.path.realpath(wanted)
        return [camera for camera in cameras if camera.path and os.path.realpath(camera.path) == node]
    part = wanted.casefold()
    exact = [camera for camera in cameras if camera.name == wanted]
    return exact or [camera for camera in cameras if part in camera.name.casefold()]


def find_again(lost: CameraInfo, cameras: Sequence[CameraInfo]) -> CameraInfo:
    """The lost camera as it is listed now: plugged in again, it may have another index."""
    same_name = [camera for camera in cameras if camera.name == lost.name]
    if len(same_name) == 1:
        return same_name[0]
    return next((camera for camera in same_name if camera.path == lost.path), lost)


def no_camera(wanted: int | str | None) -> MocapError:
    asked = f", neither with the {_what(wanted)} nor any other" if wanted is not None else ""
    return MocapError(
        f"No camera found{asked}. Plug one in and check with `mocap cameras`, or use a recording: `mocap file VIDEO`."
    )


def cannot_open(camera: CameraInfo, cameras: Sequence[CameraInfo]) -> MocapError:
    """Why a listed camera did not open, as far as the system tells, and what to do."""
    listed = f"Cameras here: {', '.join(map(str, cameras)) or 'none'}."
    return MocapError(f"Camera {camera} does not open: {_reason(camera)} {listed}")


def _reason(camera: CameraInfo) -> str:
    in_use = "another program may be using it; close that program and try again."
    if sys.platform == "darwin":
        return (
            "allow the terminal to use it in System Settings → Privacy & Security → Camera, then start the terminal "
            f"again; or {in_use}"
        )
    if sys.platform == "win32":
        return f"allow desktop apps to use it in Settings → Privacy & security → Camera; or {in_use}"
    if camera.path and os.path.exists(camera.path) and not os.access(camera.path, os.R_OK | os.W_OK):
        return (
            f"permission denied for {camera.path}. Run `sudo usermod -aG video $USER`, log out and in again, "
            "then try again."
        )
    return in_use
