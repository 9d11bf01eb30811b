"""Published networks in the live loop: an upright crop of each person -> SMPL rotations and a shape."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

import engines
from mocap.body.mesh_fit import MeshFit
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS
from mocap.clock import Clock
from mocap.models.kinematic_observe import Sight
from mocap.people.picture import Picture
from mocap.types import Array, Camera, Frame, Person, PoseEstimate

_SEEN = 0.3  # visibility from which a landmark counts for the box
_LEVEL = np.diag([1.0, -1.0, -1.0]).astype(np.float32)  # level-camera world from camera
_EVERY_S = 8 / 30  # s between the frames that a clip is made of, as INT was trained
_FORGET_S = 1.0  # after a longer silence the past says nothing


class ImageRegressor:
    """Poses from pictures.

    Args:
        engine: Takes ``image`` (B, S, S, 3) in [0, 1], an upright square around each person. Gives either ``R`` (B, 24,
            3, 3), entry 0 camera from pelvis, and ``betas`` (B, 10), or ``vertices`` (B, V, 3) m in camera axes. Where
            it also takes ``past`` (B, T - 1, 24, D) and ``known`` (B, T - 1), it gives ``tokens`` (B, 24, D), which are
            kept for the frames to come.
        margin: Side of the square over the longer side of the box around a person's landmarks.
        mesh_fit: Of the vertices' topology, for networks that give vertices.
        shape: From the network's betas (B, 10) to the open body's.
        aspect: Width over height of what the network sees of its square, in the middle.
    """

    def __init__(
        self,
        engine: engines.Engine,
        margin: float = 1.2,
        mesh_fit: MeshFit | None = None,
        shape: Callable[[Array], Array] = np.asarray,
        aspect: float = 1.0,
    ) -> None:
        self._engine, self._margin, self._aspect = engine, margin, aspect
        self._mesh_fit, self._shape = mesh_fit, shape
        self._size = engine.spec.inputs["image"].shape[0]
        self._window = engine.spec.inputs["known"].shape[0] if "known" in engine.spec.inputs else 0
        self._pasts: dict[int, deque[tuple[float, Array]]] = {}  # s and tokens (24, D) of each frame, the newest last
        self._clock = Clock()

    def __call__(self, frame: Frame, persons: Sequence[Person], camera: Camera) -> list[PoseEstimate]:
        """One estimate per person, in their order; NaN where the network fails, which ``Motion`` holds."""
        t = self._clock(float(frame.t_capture))
        self._pasts = {i: past for i, past in self._pasts.items() if t - past[-1][0] <= _FORGET_S}
        if not persons:
            return []
        boxes = [square_around(person, self._margin, self._aspect) for person in persons]
        maps = np.array([frame_from_square(box, self._size) for box in boxes])
        image = Picture(frame.rgb).squares(maps, self._size, low=0.0, repeat=False, home=self._engine.home)
        out = self._engine({"image": image, **self._known(t, persons)})
        self._keep(t, persons, out)
        R, betas = self._pose(out)
        R = R.copy()
        R[:, 0] = _LEVEL @ np.stack([ray_rotation(box[:2], camera) for box in boxes]) @ R[:, 0]
        betas, confidence = self._shape(betas), Sight(persons, camera).joints_seen().astype(np.float32)
        return [PoseEstimate(p.track_id, R[i], betas[i], confidence[i]) for i, p in enumerate(persons)]

    def _known(self, t: float, persons: Sequence[Person]) -> dict[str, Array]:
        """Tokens that were kept at about every :data:`_EVERY_S` before time t, oldest first."""
        if not self._window:
            return {}
        past = np.zeros((len(persons), *self._engine.spec.inputs["past"].shape), np.float32)
        known = np.zeros(past.shape[:2], np.float32)
        wanted = t - _EVERY_S * np.arange(self._window, 0, -1)
        for row, person in enumerate(persons):
            kept = self._pasts.get(person.track_id)
            if kept:
                times = np.array([time for time, _ in kept])
                nearest = np.abs(times[:, None] - wanted).argmin(0)
                known[row] = np.abs(times[nearest] - wanted) <= _EVERY_S / 2
                for place in np.flatnonzero(known[row]):
                    past[row, place] = kept[nearest[place]][1]
        return {"past": past, "known": known}

    def _keep(self, t: float, persons: Sequence[Person], out: dict[str, Array]) -> None:
        for person, tokens in zip(persons, out.get("tokens", ()), strict=False):
            if np.isfinite(tokens).all():
                kept = self._pasts.setdefault(person.track_id, deque())
                kept.append((t, tokens.copy()))
                while t - kept[0][0] > (self._window + 0.5) * _EVERY_S:
                    kept.popleft()
            else:
                self._pasts.pop(person.track_id, None)

    def _pose(self, out: dict[str, Array]) -> tuple[Array, Array]:
        if self._mesh_fit is None:
            return out["R"], out["betas"]
        R = np.full((len(out["vertices"]), NUM_JOINTS, 3, 3), np.nan, np.float32)
        betas = np.full((len(R), NUM_BETAS), np.nan, np.float32)
        for row, vertices in enumerate(out["vertices"]):
            if np.isfinite(vertices).all():
                with contextlib.suppress(np.linalg.LinAlgError):  # a mesh that is no body: NaN, as of a broken network
                    R[row], _, betas[row] = self._mesh_fit(vertices)
        return R, betas


def square_around(person: Person, margin: float, aspect: float = 1.0) -> tuple[float, float, float]:
    """Centre x, y and side in px of the upright square around the landmarks that are seen, or around the person's
    rotated square where too few are; they lie within the middle columns, ``aspect`` of its width."""
    px = person.landmarks_px[:, :2]
    seen = px[(person.visibility >= _SEEN) & np.isfinite(px).all(1)]
    if len(seen) < 4:
        return (*person.roi.center_px, person.roi.size_px)
    low, high = seen.min(0), seen.max(0)
    x, y = ((low + high) / 2).tolist()
    width, height = (high - low).tolist()
    return x, y, max(width / aspect, height, 1.0) * margin


def frame_from_square(square: tuple[float, float, float], size: int) -> Array:
    """Affine map (2, 3) from pixels of a crop of ``size`` to pixels of the frame."""
    x, y, side = square
    scale = side / size
    return np.array([[scale, 0, x - side / 2], [0, scale, y - side / 2]])


def ray_rotation(center_px: Sequence[float], camera: Camera) -> Array:
    """(3, 3): from axes that look at a crop's centre to the camera's.

    The networks believe that each crop was taken by a camera that looked straight at it.
    """
    x, y = ((place - middle) / camera.focal_px for place, middle in zip(center_px, camera.center_px, strict=True))
    length = math.sqrt(x * x + y * y + 1)
    direction = np.array([x, y, 1]) / length
    axis = np.cross([0.0, 0.0, 1.0], direction)
    K = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return (np.eye(3) + K + K @ K / (1 + direction[2])).astype(np.float32)
