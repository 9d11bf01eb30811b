"""The named arrays of a file, checked when they are taken: every error names the file, the field and what it held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocap.body.skeleton import NUM_JOINTS
from mocap.errors import MocapError
from training.datasets.images.sample import NUM_BETAS, Float32

Shape = tuple[int | None, ...]  # None: any size

_GENDERS = {"m": "male", "male": "male", "f": "female", "female": "female"}
_NEUTRAL = ("n", "neutral", "none", "", "-1")  # -1 and none: the format's way to say that nobody knows
POSE_WIDTHS = {63 + 3: "smpl", 72: "smpl", 156: "smpl", 165: "smplx"}  # 66: without hands; 156: SMPL-H, SMPL's betas


@dataclass(frozen=True)
class Fields:
    """What a file, or a part of it, holds under names."""

    path: Path | str  # as errors call it
    values: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def raw(self, name: str) -> Any:
        """A field as it is."""
        if name not in self.values:
            found = ", ".join(map(str, self.values)) or "none"
            raise MocapError(f"{self.path}: expected a field {name}, found: {found[:300]}")
        return self.values[name]

    def group(self, name: str) -> Fields:
        """A field that is itself a dict."""
        value = unboxed(self.raw(name))
        if not isinstance(value, Mapping):
            raise MocapError(f"{self.path}: expected {name} to be a dict, found {type(value).__name__}")
        return Fields(f"{self.path} {name}", value)

    def people(self, name: str) -> list[Any]:
        """A field that is a list with one entry a person."""
        value = self.raw(name)
        if not isinstance(value, list | tuple | np.ndarray):
            raise MocapError(f"{self.path}: expected {name} to be a list, found {type(value).__name__}")
        return list(value)

    def any_numbers(self, name: str, finite: bool = True) -> Float32:
        """Numbers of any shape."""
        try:
            array = np.asarray(self.raw(name))
            if array.dtype.hasobject:  # a list of arrays that was saved as objects
                array = np.stack([np.asarray(value, np.float64) for value in array.ravel()])
            if array.dtype.kind not in "fiub":
                raise TypeError(f"{array.dtype}")
            array = array.astype(np.float32)
        except (TypeError, ValueError) as error:
            raise MocapError(f"{self.path}: expected numbers in {name}, found something else ({error})") from error
        if finite and not np.isfinite(array).all():
            count = int(np.sum(~np.isfinite(array)))
            raise MocapError(
                f"{self.path}: expected finite numbers in {name}, found {count} of {array.size} that are not"
            )
        return array

    def numbers(self, name: str, *shape: int | None, finite: bool = True) -> Float32:
        """Numbers of this shape; None stands for any size."""
        array = self.any_numbers(name, finite)
        if not fits(array.shape, shape):
            raise MocapError(f"{self.path}: expected {name} of shape {told(shape)}, found {told(array.shape)}")
        return array

    def flags(self, name: str, count: int) -> NDArray[np.bool_] | None:
        """(count,) whether a row has something; None where the file does not say."""
        if name not in self.values:
            return None
        array = self.any_numbers(name)
        if array.size != count:
            raise MocapError(f"{self.path}: expected {count} values in {name}, found {array.size}")
        return array.ravel() > 0

    def points(self, name: str, *shape: int | None) -> Float32:
        """Points whose last number is a confidence; one that is not finite counts as not seen."""
        array = self.numbers(name, *shape, finite=False)
        array[~np.isfinite(array).all(-1)] = 0
        return array

    def texts(self, name: str, count: int | None = None) -> list[str]:
        """A list of texts, one a row."""
        values = np.asarray(self.raw(name)).ravel().tolist()
        if count is not None and len(values) != count:
            raise MocapError(f"{self.path}: expected {count} texts in {name}, found {len(values)}")
        return [as_text(value) for value in values]

    def genders(self, count: int, name: str = "gender") -> list[str]:
        """One a row; neutral for all where the file has no such field."""
        if name not in self.values:
            return ["neutral"] * count
        return [self.gender_of(text) for text in self.texts(name, count)]

    def gender_of(self, text: Any) -> str:
        short = as_text(text).strip().lower()
        if short in _NEUTRAL:
            return "neutral"
        if short not in _GENDERS:
            raise MocapError(f"{self.path}: expected a gender of male, female or neutral, found {short[:40]!r}")
        return _GENDERS[short]

    def boxes(self, count: int, scale_px: float = 200.0, inverse: bool = False) -> tuple[Float32, Float32]:
        """Centres (N, 2) and sides (N,) px out of ``center`` and ``scale``: a side is scale · scale_px, or
        scale_px / scale where the file has the inverse. Of two scales, for width and height, the larger counts.
        """
        center, scale = self.numbers("center", count, 2), self.any_numbers("scale").reshape(-1)
        if scale.size not in (count, 2 * count) or not count:
            raise MocapError(f"{self.path}: expected {count} scales in scale, found {scale.size}")
        if not (scale > 0).all():
            raise MocapError(f"{self.path}: expected scales above 0 in scale, found {scale.min():g}")
        side = scale_px / scale if inverse else scale * scale_px
        return center, side.reshape(count, -1).max(1)

    def poses(self, *names: str, count: int) -> tuple[Float32, str]:
        """Axis-angle (N, 24, 3), and the body model by the width, out of a field or several side by side.

        Hands that a file leaves out, or that are whole hands and no joints of SMPL, are at rest.
        """
        parts = [self._rows(name, count) for name in names]
        pose = np.concatenate(parts, 1)
        if pose.shape[1] not in POSE_WIDTHS:
            widths = ", ".join(map(str, POSE_WIDTHS))
            raise MocapError(f"{self.path}: expected {' and '.join(names)} of width {widths}, found {pose.shape[1]}")
        full = np.zeros((count, NUM_JOINTS * 3), np.float32)
        kept = 72 if pose.shape[1] == 72 else 66
        full[:, :kept] = pose[:, :kept]
        return full.reshape(count, NUM_JOINTS, 3), POSE_WIDTHS[pose.shape[1]]

    def shapes(self, name: str, count: int) -> Float32:
        """Betas (N, 10) out of a field that has as many or more."""
        betas = self._rows(name, count)
        if betas.shape[1] < NUM_BETAS:
            raise MocapError(f"{self.path}: expected {name} of shape ({count}, 10 or more), found {told(betas.shape)}")
        return betas[:, :NUM_BETAS]

    def _rows(self, name: str, count: int) -> Float32:
        """A field with one row a sample, whatever it has in a row, flat: (count, C)."""
        array = self.any_numbers(name)
        if not count or array.ndim < 2 or len(array) != count:
            raise MocapError(f"{self.path}: expected {name} with {count} rows, found {told(array.shape)}")
        return array.reshape(count, -1)


def fits(found: Sequence[int], expected: Shape) -> bool:
    return len(found) == len(expected) and all(e in (None, f) for f, e in zip(found, expected, strict=True))


def told(shape: Shape) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"


def unboxed(value: Any) -> Any:
    """What an array of one Python object holds: how NumPy saves a dict."""
    return value.item() if isinstance(value, np.ndarray) and value.dtype.hasobject and value.size == 1 else value


def as_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
