"""What is true of the frames that systems are evaluated on, and which of them count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from mocap.body.landmarks import LANDMARK, LANDMARK_PAIRS, NUM_LANDMARKS, landmarks_from_pose
from mocap.body.skeleton import JOINT, JOINT_NAMES
from mocap.errors import MocapError
from training.evaluation.track import LEVEL, Array, Mask, Points, Track

# Nose, shoulders, elbows, wrists, hips, knees, ankles: where BlazePose and the body's surface mean the same point. Its
# hands, feet and eyes lie centimetres off (see mocap.models.kinematic) and are not compared.
BODY_POINTS = (0, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
HIPS = (LANDMARK["left_hip"], LANDMARK["right_hip"])
SHOULDERS = (LANDMARK["left_shoulder"], LANDMARK["right_shoulder"])
LIMBS = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
LIMB_JOINTS = [j for j, name in enumerate(JOINT_NAMES) if name.split("_")[-1] in LIMBS]  # 12
EXCHANGED = np.arange(NUM_LANDMARKS)  # the index of each landmark's twin on the other side
for _left, _right in LANDMARK_PAIRS:
    EXCHANGED[_left], EXCHANGED[_right] = _right, _left

STRANGER = 0.3  # landmarks that lie farther from the true ones than this, in squares, at the median are someone else's
_VISIBLE = 0.5  # a landmark of less visibility is hidden
_FEET = (JOINT["left_foot"], JOINT["right_foot"])
_NEAR_FLOOR_M = 0.07  # a planted foot's toe joint is no higher (it lies 3 cm over the sole),
_STILL_SPEED = 0.15  # m/s, and no faster


@dataclass(frozen=True)
class TrueBody:
    """The pose itself, where it is known."""

    R_parent_joint: Array  # (T, 24, 3, 3) entry 0: level-camera world from pelvis, as in Answer
    betas: Array  # (T, 10)
    p_camera_joint: Array  # (T, 24, 3) m, camera axes
    R_world_camera: Array  # (T, 3, 3)
    planted: Mask  # (T, 2) left and right foot stand on the floor

    @classmethod
    def of(cls, R_world: Array, betas: Array, p_camera_joint: Array, R_world_camera: Array, planted: Mask) -> TrueBody:
        """As the fields, but entry 0 of ``R_world`` (T, 24, 3, 3) is world from pelvis."""
        R = np.array(R_world, np.float64)
        R[:, 0] = (LEVEL[:, None] * np.swapaxes(R_world_camera, -1, -2)) @ R[:, 0]
        return cls(R, np.asarray(betas, np.float64), np.asarray(p_camera_joint, np.float64), R_world_camera, planted)

    def in_world(self, R: Array) -> Array:
        """Rotations (T, 24, 3, 3) as in Answer -> the same with entry 0 world from pelvis."""
        turned = np.array(R, np.float64)
        turned[:, 0] = (self.R_world_camera * LEVEL) @ turned[:, 0]
        return turned


@dataclass(frozen=True)
class Truth:
    """Of T frames: consecutive ones of one camera, or unrelated ones.

    Attributes:
        points: (T, 33, 3) m, BlazePose's points in camera axes; NaN where not known.
        compared: the indices of the points on which systems are compared.
        root: two of them; the middle between them is the origin of root-aligned errors.
        scored: (T,) frames that count.
        hidden: (T,) share of the compared points that are outside the picture, or that the landmark network calls
            hidden.
        observed: (T, 33, 3) m, the world landmarks that networks were given; NaN where nobody was seen.
        dt: s between frames; None: they are unrelated.
        body: None where only points are known.
    """

    points: Array
    compared: tuple[int, ...]
    root: tuple[int, int]
    scored: Mask
    hidden: Array
    observed: Array
    dt: float | None
    body: TrueBody | None = None

    def __len__(self) -> int:
        return len(self.points)

    @classmethod
    def of(
        cls,
        track: Track,
        points: Array,
        compared: Sequence[int] = BODY_POINTS,
        root: tuple[int, int] = HIPS,
        body: TrueBody | None = None,
        is_exact: bool = True,
    ) -> Truth:
        """Of a track. Where the truth is exact, frames in which the network looks at somebody else do not count."""
        dt = float(np.median(np.diff(track.t))) if len(track) > 1 else None
        at = list(compared)
        px = project(points, track)
        with np.errstate(invalid="ignore"):
            outside = ((px < 0) | (px >= np.array(track.size))).any(-1)
        hidden = (outside | (track.visibility < _VISIBLE))[:, at].mean(1)
        observed = np.where(track.seen[:, None, None], track.landmarks_world, np.nan)
        scored = track.seen & ~(looks_at_somebody_else(track, px) & is_exact)
        return cls(points, tuple(at), root, scored, hidden, observed, dt, body)

    @classmethod
    def join(cls, parts: Sequence[Truth]) -> Truth:
        """One after the other, as unrelated frames. All are compared alike."""
        first = parts[0]
        names = ("points", "scored", "hidden", "observed")
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        bodies = [part.body for part in parts if part.body is not None]
        body = None
        if len(bodies) == len(parts):
            body = TrueBody(*(np.concatenate([getattr(b, f.name) for b in bodies]) for f in fields(TrueBody)))
        return replace(first, **arrays, dt=None, body=body)


@dataclass(frozen=True)
class Clip:
    """What is evaluated: a person in consecutive frames, or in one frame."""

    track: Track
    truth: Truth
    given: dict[str, Points]  # answers that come with the clip: MediaPipe's own

    @property
    def name(self) -> str:
        return self.track.name


def project(p_camera: Array, track: Track) -> Array:
    """Camera points (..., 3) m -> (..., 2) px of the track's picture; depth is clamped to 5 cm before the camera."""
    depth = np.maximum(p_camera[..., 2:], 0.05)
    return np.asarray(p_camera[..., :2] / depth * track.focal_px + 0.5 * np.array(track.size))


def looks_at_somebody_else(track: Track, true_px: Array) -> Mask:
    """(T,) frames whose landmarks lie far from the true ones (T, 33, 2) px; false where nobody is seen."""
    distance = np.linalg.norm(track.landmarks_px[..., :2] - true_px, axis=-1)
    known = np.isfinite(distance).any(1) & track.seen
    median = np.nanmedian(np.where(known[:, None], distance, 0.0), axis=1)
    return np.asarray(median > STRANGER * np.maximum(track.roi[:, 2], 1.0)) & known


def planted_feet(p_world_joint: Array, dt: float) -> Mask:
    """(T, 2) whether the left and the right foot of a body (T, 24, 3) m stand on the floor, which is y = 0."""
    toes = p_world_joint[:, _FEET]
    if len(toes) < 2:
        return np.zeros((len(toes), 2), bool)
    speed = np.linalg.norm(np.gradient(toes, dt, axis=0), axis=-1)
    return np.asarray((toes[..., 1] < _NEAR_FLOOR_M) & (speed < _STILL_SPEED))


def surface_points(R: Array, betas: Array, p_camera_root: Array) -> Array:
    """BlazePose's points (T, 33, 3) m in camera axes of bodies as in :class:`Answer`, the pelvis (T, 3) m there too."""
    return np.asarray(landmarks_from_pose(R, np.zeros(3), betas) * LEVEL + p_camera_root[:, None])


def named_points(names: Sequence[str]) -> list[int | None]:
    """BlazePose's indices of points with names like ``nose``, ``l_wrist`` or ``left_wrist``; None: unknown.

    Raises:
        MocapError: fewer than three are points that can be compared.
    """
    found: list[int | None] = []
    for name in names:
        word = str(name).lower().replace("-", "_").replace(" ", "_")
        for short, side in (("l_", "left_"), ("r_", "right_")):
            word = side + word[2:] if word.startswith(short) else word
        found.append(LANDMARK.get(word))
    if sum(index in BODY_POINTS for index in found) < 3:
        raise MocapError(
            f"expected names of points like nose, l_shoulder or right_wrist, found {', '.join(map(str, names))}"
        )
    return found
