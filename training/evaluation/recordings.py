"""Real recordings by several calibrated cameras, with triangulated points as reference (../shared/media/README.md).

A folder holds ``cam_<n>.mp4``, ``camera_array.toml`` (a section ``[cameras.<n>]`` each) and ``reference.npz``:
``joints`` (T, n, 3) m in the rig's frame, row by row the videos' frames, NaN where not seen, and their ``names``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mocap.errors import MocapError
from training.evaluation.track import Array, Points, Track
from training.evaluation.truth import BODY_POINTS, HIPS, SHOULDERS, Clip, Truth, named_points
from training.evaluation.watching import View, watch_blazepose, watch_mediapipe

LEAST_POINTS = 5  # of a frame's reference, or it does not count
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")


@dataclass(frozen=True)
class CalibratedView:
    """A clip of one camera of a rig, and where the camera stands.

    Attributes:
        R_camera_rig: (3, 3) axes of the upright picture's camera from the rig's.
        p_camera_rig: (3,) m, the rig's origin there.
    """

    view: View
    R_camera_rig: Array
    p_camera_rig: Array

    def to_camera(self, p_rig: Array) -> Array:
        """Points (..., 3) m of the rig's frame in the upright camera's axes."""
        return np.asarray(p_rig @ self.R_camera_rig.T + self.p_camera_rig)


def find_recordings(shared: Path) -> list[Path]:
    """Folders with a reference and calibrated cameras, anywhere in ``shared``.

    Raises:
        MocapError: there is none.
    """
    found = sorted(
        file.parent for file in shared.rglob("reference.npz") if (file.parent / "camera_array.toml").is_file()
    )
    if not found:
        raise MocapError(
            f"{shared}: expected recordings (folders with reference.npz and camera_array.toml), found none; "
            'name the folder that holds media/, or leave them out: --shared ""'
        )
    return found


def recorded_clips(shared: Path, cache: Path | None, with_mediapipe: bool = True) -> Iterator[Clip]:
    """Every view of every recording."""
    for folder in find_recordings(shared):
        for calibrated in calibrated_views(folder):
            track = watch_blazepose(calibrated.view, cache)
            given = watch_mediapipe(calibrated.view, cache) if with_mediapipe else {}
            yield clip_of(folder, calibrated, track, given)


def clip_of(folder: Path, calibrated: CalibratedView, track: Track, given: dict[str, Points]) -> Clip:
    """What was seen in a view beside the reference in that camera's axes."""
    points = read_reference(folder)
    track, given = _shortened(track, given, len(points))
    points = calibrated.to_camera(points[: len(track)])
    known = np.isfinite(points).all(-1)
    compared = [index for index in BODY_POINTS if known[:, index].any()]
    truth = Truth.of(track, points, compared, _root(known), is_exact=False)
    scored = truth.scored & (known[:, compared].sum(1) >= LEAST_POINTS)
    return Clip(track, Truth(**{**vars(truth), "scored": scored}), given)


def read_reference(folder: Path) -> Array:
    """BlazePose's points (T, 33, 3) m in the rig's frame; NaN where there is no reference.

    Raises:
        MocapError: the file holds something else.
    """
    path = folder / "reference.npz"
    with np.load(path) as file:
        missing = {"joints", "names"} - set(file.files)
        if missing:
            raise MocapError(f"{path}: expected joints and names, found no {' and no '.join(sorted(missing))}")
        joints, names = np.asarray(file["joints"], np.float64), [str(name) for name in file["names"]]
    if joints.ndim != 3 or joints.shape[1:] != (len(names), 3):
        raise MocapError(f"{path}: expected joints (T, {len(names)}, 3) as its names say, found {joints.shape}")
    points = np.full((len(joints), 33, 3), np.nan)
    for column, index in enumerate(named_points(names)):
        if index is not None:
            points[:, index] = joints[:, column]
    return points


def calibrated_views(folder: Path) -> list[CalibratedView]:
    """The calibrated cameras of a recording that left a video.

    Raises:
        MocapError: there is none.
    """
    text = (folder / "camera_array.toml").read_text(encoding="utf-8")
    views = []
    for name, section in re.findall(r"(?ms)^\[cameras\.\"?(\w+)\"?\]\s*$(.*?)(?=^\[|\Z)", text):
        video = next((path for end in VIDEOS if (path := folder / f"cam_{name}{end}").is_file()), None)
        values = {key: _value(section, key) for key in ("matrix", "rotation", "translation")}
        if video is None or None in values.values():
            continue
        turns = int(_value(section, "rotation_count") or 0)
        R = _rotation(np.array(values["rotation"], np.float64))
        upright = _turned_upright(turns)
        label = f"{folder.name}/cam_{name}" + (" (turned upright)" if turns % 4 else "")
        view = View(label, video, float(values["matrix"][0][0]), turns)
        p = np.array(values["translation"], np.float64).reshape(3)
        views.append(CalibratedView(view, upright @ R, upright @ p))
    if not views:
        raise MocapError(
            f"{folder}: expected sections [cameras.<n>] with matrix, rotation and translation and videos cam_<n>.mp4 "
            "beside them, found no such pair"
        )
    return views


def _turned_upright(quarter_turns: int) -> Array:
    """Camera axes of the picture turned clockwise by so many quarters, from those of the picture as it was (3, 3)."""
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # what was to the right is below
    return np.linalg.matrix_power(quarter, quarter_turns % 4)


def _rotation(value: Array) -> Array:
    """Camera from rig (3, 3), of a matrix or of a Rodrigues vector."""
    if value.size == 3:
        return np.asarray(cv2.Rodrigues(value.reshape(3))[0], np.float64)
    return value.reshape(3, 3)


def _value(section: str, key: str):  # type: ignore[no-untyped-def]
    """A number or nested list of a TOML section; None where it is not there. (Python 3.10 reads no TOML.)"""
    found = re.search(rf"(?m)^{key}\s*=\s*(.*)", section)
    if not found:
        return None
    text = section[found.start(1) :]
    depth = 0
    for end, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if depth == 0 and letter in "]\n":
            text = text[: end + 1]
            break
    try:
        return json.loads(text.split("#")[0].strip() or "null")
    except json.JSONDecodeError:
        return None


def _root(known: np.ndarray) -> tuple[int, int]:
    """The hips, or the shoulders where the hips are known in fewer than half of the frames (T, 33) that count."""
    counted = known[known[:, list(BODY_POINTS)].sum(1) >= LEAST_POINTS]
    share = counted[:, list(HIPS)].all(1).mean() if len(counted) else 0.0
    return HIPS if share >= 0.5 else SHOULDERS


def _shortened(track: Track, given: dict[str, Points], count: int) -> tuple[Track, dict[str, Points]]:
    """The first frames: videos may be longer than their reference."""
    names = ("t", "landmarks_px", "landmarks_world", "visibility", "roi", "score")
    arrays = {name: getattr(track, name)[:count] for name in names}
    return Track(**{**vars(track), **arrays}), {name: Points(one.world[:count]) for name, one in given.items()}
