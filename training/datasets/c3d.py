"""Optical markers from C3D recordings: metres, +Y up, clean labels, NaN where a marker was not seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ezc3d
import numpy as np
from numpy.typing import NDArray

from mocap.errors import MocapError

Float = NDArray[np.float64]

_METRES = {"mm": 1e-3, "millimeters": 1e-3, "cm": 1e-2, "centimeters": 1e-2, "m": 1.0, "meters": 1.0}
_UNNAMED = re.compile(r"^(\*\d*|U_?\d+|C_\d+|)$")  # what Vicon calls trajectories that nobody labelled
_FRAGMENT = re.compile(r"[-_]\d+$")  # LFRM-1: a second piece of LFRM's trajectory
_HEAD, _FEET = re.compile(r"[LR][FB]HD|ARIEL|HEAD"), re.compile(r"[LR](HEE|HEEL|ANK|TOE)")
_STANDING = 0.95  # least cosine between the way from the feet to the head and an axis, for the axis to be up
_FLOOR = 0.15  # m, how far the lowest marker of all may be from the floor, which is at 0


@dataclass(frozen=True)
class Markers:
    """One recording. World: metres, +Y up, +Z and +X along the room's axes."""

    name: str  # the file's stem
    actor: str  # the labels' prefix in lower case ("male1" of "Male1:LFHD"), "" without one
    fps: float
    labels: tuple[str, ...]  # without prefix, each once
    points: Float  # (T, M, 3) m, NaN where not seen

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(T, M)."""
        return np.isfinite(self.points).all(-1)

    def select(self, labels: Sequence[str]) -> Markers:
        """The same recording with exactly these markers; those it lacks are NaN throughout."""
        points = np.full((len(self.points), len(labels), 3), np.nan)
        for column, label in enumerate(labels):
            if label in self.labels:
                points[:, column] = self.points[:, self.labels.index(label)]
        return replace(self, labels=tuple(labels), points=points)

    def exchange(self, one: str, other: str) -> Markers:
        """The same recording with two labels exchanged."""
        order = np.arange(len(self.labels))
        pair = [self.labels.index(one), self.labels.index(other)]
        order[pair] = pair[::-1]
        return replace(self, points=self.points[:, order])

    def cut(self, first: int, stop: int) -> Markers:
        """The frames from ``first`` to before ``stop``."""
        return replace(self, points=self.points[first:stop])

    def resample(self, fps: float) -> Markers:
        """Another frame rate: linear between neighbouring frames that both see the marker, else NaN."""
        if not fps > 0:
            raise MocapError(f"cannot resample {self.name} to {fps} fps: expected a frame rate above 0")
        last = (len(self.points) - 1) / self.fps
        at = np.arange(int(np.floor(last * fps + 1e-6)) + 1) * self.fps / fps  # in frames of the recording
        before = np.minimum(np.round(at, 6).astype(int), len(self.points) - 1)
        after = np.minimum(before + 1, len(self.points) - 1)
        t = np.round(at - before, 6)[:, None, None]
        # A frame that is hit exactly does not need its neighbour, which may be NaN.
        mixed = np.where(t > 0, (1 - t) * self.points[before] + t * self.points[after], self.points[before])
        return replace(self, fps=float(fps), points=mixed)


def read_c3d(path: Path) -> Markers:
    """Read a recording.

    Raises:
        MocapError: unreadable, no marker trajectories, unknown units or rate, or no way to tell which axis is up.
    """
    raw = _open(path)
    point = raw["parameters"]["POINT"]
    names = [str(label).strip() for label in _value(point, "LABELS") + _value(point, "LABELS2")]
    points = np.moveaxis(raw["data"]["points"][:3], 0, -1).swapaxes(0, 1).astype(np.float64)  # (T, M, 3)
    if not names or points.size == 0:
        raise MocapError(f"{path}: expected marker trajectories, found {len(names)} labels and {len(points)} frames"
                         " (an analog-only recording?); leave this file out")  # fmt: skip
    residual = raw["data"]["meta_points"]["residuals"][0].T  # (T, M), below 0 where the marker was not seen
    points = points[:, : len(names)] * _metres_per_unit(path, point)
    points[(residual[:, : len(names)] < 0) | ~np.isfinite(points).all(-1) | (points == 0).all(-1)] = np.nan
    labels, points, actor = _clean(names, points)
    seen = np.flatnonzero(np.isfinite(points).all(-1).any(-1))
    if not len(labels) or len(seen) == 0:
        raise MocapError(f"{path}: expected labelled markers that are seen, found {len(names)} labels and none seen")
    points = points[seen[0] : seen[-1] + 1]
    up = up_axis(labels, points, _first(point, "Y_SCREEN"), str(path))
    return Markers(path.stem, actor, _rate(path, point), tuple(labels), to_y_up(points, up))


def _open(path: Path) -> ezc3d.c3d:
    if not path.is_file():
        raise MocapError(f"expected a C3D recording, found no file {path}")
    if path.read_bytes()[1:2] != b"\x50":  # ezc3d prints and may abort on other files
        raise MocapError(f"{path}: expected a C3D recording (second byte 0x50), found another kind of file")
    try:
        return ezc3d.c3d(str(path))
    except Exception as error:  # ezc3d raises whatever its C++ side throws
        raise MocapError(f"{path}: expected a readable C3D recording, found: {error}") from error


def _value(group: dict, name: str) -> list[str]:
    return list(group[name]["value"]) if name in group else []


def _first(group: dict, name: str) -> str:
    return str(next(iter(_value(group, name)), ""))


def _metres_per_unit(path: Path, point: dict) -> float:
    unit = _first(point, "UNITS").strip().lower()
    if unit not in _METRES:
        raise MocapError(f"{path}: expected POINT:UNITS to be one of {', '.join(_METRES)}, found {unit!r}")
    return _METRES[unit]


def _rate(path: Path, point: dict) -> float:
    rate = float(np.ravel(point["RATE"]["value"])[0]) if len(np.ravel(point["RATE"]["value"])) else 0.0
    if not 0 < rate < np.inf:
        raise MocapError(f"{path}: expected POINT:RATE above 0, found {rate}")
    return rate


def _clean(names: Sequence[str], points: Float) -> tuple[list[str], Float, str]:
    """Labels without prefix and without the unnamed, pieces of one marker joined; and the prefix that is seen most."""
    pieces: dict[str, list[int]] = {}
    votes: dict[str, int] = {}
    for column, name in enumerate(names):
        actor, _, label = name.rpartition(":")
        label = _FRAGMENT.sub("", label.strip()) if not _UNNAMED.match(label.strip()) else ""
        if label:
            pieces.setdefault(label, []).append(column)
            votes[actor.lower()] = votes.get(actor.lower(), 0) + int(np.isfinite(points[:, column, 0]).sum())
    joined = np.full((len(points), len(pieces), 3), np.nan)
    for index, columns in enumerate(pieces.values()):
        for column in sorted(columns, key=lambda c: -np.isfinite(points[:, c, 0]).sum()):
            joined[:, index] = np.where(np.isnan(joined[:, index]), points[:, column], joined[:, index])
    actor = max(votes, key=lambda prefix: votes[prefix], default="")
    return list(pieces), joined, re.sub(r"\W+", "_", actor)  # it names a folder


def up_axis(labels: Sequence[str], points: Float, header: str, name: str) -> str:
    """Which axis of the recording is up, as "+Z".

    The data decide where they can: the axis along which the head is above the feet, with the floor near 0 and nothing
    below it. Someone who never stands up leaves it to the header's POINT:Y_SCREEN.
    """
    head = [i for i, label in enumerate(labels) if _HEAD.fullmatch(label.upper())]
    feet = [i for i, label in enumerate(labels) if _FEET.fullmatch(label.upper())]
    rise = _mean(points[:, head]) - _mean(points[:, feet])  # (T, 3)
    length = np.linalg.norm(rise, axis=-1)
    tall = length > 0.95 * np.nanmax(length, initial=0.0)
    for axis, letter in enumerate("XYZ"):
        for sign, mark in ((1, "+"), (-1, "-")):
            lowest = np.nanpercentile(sign * points[..., axis], 0.5)
            if np.any(sign * rise[tall, axis] > _STANDING * length[tall]) and abs(lowest) < _FLOOR:
                return mark + letter
    found = header.strip().upper()
    if re.fullmatch(r"[+-][XYZ]", found):
        return found
    raise MocapError(f"{name}: cannot tell which axis is up: nobody stands in it, and its header's POINT:Y_SCREEN is "
                     f"{header!r} (expected one of +X, -X, +Y, -Y, +Z, -Z)")  # fmt: skip


def _mean(points: Float) -> Float:
    """Mean over the seen markers (T, n, 3) -> (T, 3), NaN where none is seen."""
    seen = np.isfinite(points).all(-1, keepdims=True)
    count = seen.sum(1)
    return np.where(count > 0, np.where(seen, points, 0).sum(1) / np.maximum(count, 1), np.nan)


def to_y_up(points: Float, up: str) -> Float:
    """Points (..., 3) with the axis ``up`` ("+Z") turned to +Y, by cyclic exchange of axes and, if it points down, a
    half turn."""
    axis = "XYZ".index(up[1])
    turned = np.roll(points, 1 - axis, axis=-1)
    return turned * np.array([1.0, -1.0, -1.0]) if up[0] == "-" else turned
