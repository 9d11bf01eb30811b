"""Folders of pictures, and single pictures."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps

from mocap.errors import MocapError
from mocap.sources.base import EndOfStream, Source
from mocap.types import Frame

log = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
# What Pillow raises for damaged pictures, by format; the last one guards against pictures made to fill the memory.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, PillowImage.DecompressionBombError)

# Tags of Exif 2.32 (CIPA DC-008), section 4.6.5
EXIF_IFD = 0x8769
FOCAL_LENGTH_MM = 0x920A
FOCAL_LENGTH_35MM = 0xA405
PIXEL_X_DIMENSION = 0xA002
FOCAL_PLANE_X_RESOLUTION = 0xA20E
FOCAL_PLANE_UNIT = 0xA210
UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
DIAGONAL_35MM = math.hypot(36.0, 24.0)  # mm; "35 mm equivalent" compares diagonals


class ImageFolder(Source):
    """The pictures of a folder in natural order (2 before 10), or one picture; EXIF orientation is applied.

    A picture that cannot be read is skipped with a warning and counted in ``broken``.

    Args:
        path: A folder, or one picture.
        fps: Times are index / fps.
        mirror: Flip left to right.

    Raises:
        MocapError: The path is missing, or holds no pictures; from ``read``: none of them could be read.
    """

    def __init__(self, path: Path, *, fps: float = 30.0, mirror: bool = False) -> None:
        if not fps > 0:
            raise MocapError(f"Expected frames per second above 0, found {fps}.")
        self.name = path.name or str(path)
        self.fps = fps
        self._paths = find_images(path)
        self._mirror = mirror
        self._period_s = 1.0 / fps
        self._index = -1
        self.focal_px = _focal_of_file(self._paths[0])

    def read(self, timeout_s: float = 1.0) -> Frame | None:
        while self._index + 1 < len(self._paths):
            self._index += 1
            path = self._paths[self._index]
            try:
                rgb = read_image(path, self._mirror)
            except UNREADABLE as error:
                self.broken += 1
                log.warning("%s: cannot be read (%s); skipped", path, error)
                continue
            return Frame(self._index, self._index * self._period_s, rgb)
        if self._paths and self.broken == len(self._paths):
            raise MocapError(f"{self.name}: expected pictures, found {self.broken} files of which none can be read.")
        raise EndOfStream

    def close(self) -> None:
        self._paths = []


def find_images(path: Path) -> list[Path]:
    """The picture itself, or the pictures of a folder in natural order."""
    if not path.exists():
        raise MocapError(f"{path}: expected a picture or a folder of pictures, found nothing there. Check the path.")
    if path.is_file():
        return [path]
    found = [entry for entry in path.iterdir() if entry.is_file() and is_image(entry)]
    if not found:
        raise MocapError(f"{path}: expected pictures ({', '.join(SUFFIXES)}) in this folder, found none.")
    return sorted(found, key=natural_key)


def is_image(path: Path) -> bool:
    """By suffix; hidden files (macOS leaves ``._name.jpg`` on other disks) are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sorts numbers in names by value: 2 before 10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name.casefold())
    return [(int(part), "") if part[0] in "0123456789" else (-1, part) for part in parts]


def read_image(path: Path, mirror: bool = False) -> NDArray[np.uint8]:
    """RGB (H, W, 3) uint8, upright by EXIF, then flipped left to right when asked."""
    with PillowImage.open(path) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
        return np.array(ImageOps.mirror(upright) if mirror else upright, np.uint8)


def _focal_of_file(path: Path) -> float | None:
    try:
        with PillowImage.open(path) as picture:
            return focal_px(dict(picture.getexif().get_ifd(EXIF_IFD)), *picture.size)
    except UNREADABLE:
        return None  # read() reports it


def focal_px(exif: dict[int, object], width: int, height: int) -> float | None:
    """Focal length in pixels of a picture with these EXIF tags, or None where they do not tell.

    From the 35 mm equivalent, or from the focal length and the sensor's pixels per unit.
    """
    equivalent_mm = _positive(exif.get(FOCAL_LENGTH_35MM))
    if equivalent_mm:
        return equivalent_mm / DIAGONAL_35MM * math.hypot(width, height)
    focal_mm = _positive(exif.get(FOCAL_LENGTH_MM))
    resolution = _positive(exif.get(FOCAL_PLANE_X_RESOLUTION))
    unit = exif.get(FOCAL_PLANE_UNIT, 2)
    if not focal_mm or not resolution or unit not in UNIT_MM:
        return None
    taken_width = _positive(exif.get(PIXEL_X_DIMENSION)) or width  # the sensor's pixels; the file may be scaled since
    return focal_mm * resolution / UNIT_MM[int(str(unit))] * width / taken_width


def _positive(value: object) -> float | None:
    """EXIF writes 0 (or 0/0) for "unknown"."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if 0 < number < math.inf else None
