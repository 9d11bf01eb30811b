"""One recorded motion as SMPL rotations, and what every source needs done to it: resample, mirror, join, drop NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import matrix_to_quat_xyzw, quat_xyzw_to_matrix
from mocap.body.skeleton import JOINT_NAMES, PARENTS
from mocap.errors import MocapError

NUM_BODY_JOINTS = 22  # SMPL's 24 without the hands
BODY_JOINT_NAMES = JOINT_NAMES[:NUM_BODY_JOINTS]
BODY_PARENTS = PARENTS[:NUM_BODY_JOINTS]
_SWAPPED_NAMES = [n.replace("left", "L").replace("right", "left").replace("L", "right") for n in BODY_JOINT_NAMES]
SWAP_SIDES = np.array([BODY_JOINT_NAMES.index(name) for name in _SWAPPED_NAMES])  # (22,) left joint <-> right joint


@dataclass(frozen=True)
class Motion:
    """A clip of one person. Body and world axes are SMPL's: +Y up, the body at identity faces +Z, its left is +X."""

    name: str  # unique inside its source
    source: str  # e.g. "accad"
    subject: str  # unique over all sources, e.g. "cmu/05": what the splits go by
    fps: float
    R_parent_joint: NDArray[np.float32]  # (T, 22, 3, 3) SMPL order without hands; entry 0 world from pelvis
    p_world_root: NDArray[np.float32]  # (T, 3) m, the pelvis joint
    dropped_frames: int = 0  # frames of the recording that held NaN and are not in this motion

    @property
    def num_frames(self) -> int:
        return len(self.R_parent_joint)

    @property
    def seconds(self) -> float:
        return self.num_frames / self.fps


def slerp(quat_a: NDArray[np.float64], quat_b: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spherical interpolation along the shorter arc: unit quaternions (..., 4) and t (..., 1) in [0, 1] -> (..., 4)."""
    dot = np.sum(quat_a * quat_b, -1, keepdims=True)
    quat_b = np.where(dot < 0, -quat_b, quat_b)
    angle = np.arccos(np.clip(np.abs(dot), 0, 1))
    near = angle < 1e-4  # the sine of so small an angle is the angle: the weights are linear
    sine = np.where(near, 1, np.sin(angle))
    weight_a = np.where(near, 1 - t, np.sin((1 - t) * angle) / sine)
    weight_b = np.where(near, t, np.sin(t * angle) / sine)
    quat = weight_a * quat_a + weight_b * quat_b
    return quat / np.linalg.norm(quat, axis=-1, keepdims=True)


def resample(motion: Motion, fps: float) -> Motion:
    """The same motion at another frame rate, by time: rotations by slerp, the root linearly.

    The first frame stays at time 0; the last is the last one not after the original's end.
    """
    if not fps > 0:
        raise MocapError(f"cannot resample {motion.name} to {fps} fps: expected a frame rate above 0")
    if np.isclose(fps, motion.fps, rtol=1e-6) or motion.num_frames < 2:
        return replace(motion, fps=float(fps))
    last = (motion.num_frames - 1) / motion.fps
    at = np.arange(int(np.floor(last * fps + 1e-6)) + 1) * motion.fps / fps  # in frames of the original
    before = np.minimum(at.astype(int), motion.num_frames - 2)
    t = np.clip(at - before, 0, 1)
    quat = matrix_to_quat_xyzw(motion.R_parent_joint.astype(np.float64))
    quat = slerp(quat[before], quat[before + 1], t[:, None, None])
    root = motion.p_world_root.astype(np.float64)
    root = root[before] + t[:, None] * (root[before + 1] - root[before])
    R = quat_xyzw_to_matrix(quat).astype(np.float32)
    return replace(motion, fps=float(fps), R_parent_joint=R, p_world_root=root.astype(np.float32))


def mirror_rotations(R_parent_joint: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rotations (..., 22, 3, 3) seen in the plane x = 0: left and right joints change places."""
    sign = np.array([-1, 1, 1], np.float32)
    return R_parent_joint[..., SWAP_SIDES, :, :] * (sign[:, None] * sign)


def mirror(motion: Motion) -> Motion:
    """The motion seen in a mirror (the plane x = 0). Mirroring twice gives the original, bit for bit."""
    root = motion.p_world_root * np.array([-1, 1, 1], np.float32)
    return replace(motion, R_parent_joint=mirror_rotations(motion.R_parent_joint), p_world_root=root)


def concatenate(motions: Sequence[Motion]) -> Motion:
    """Motions of one subject at one frame rate, one after the other, under the first one's name."""
    if not motions:
        raise MocapError("nothing to concatenate: expected at least one motion")
    first = motions[0]
    for other in motions[1:]:
        if (other.subject, other.fps) != (first.subject, first.fps):
            found = " and ".join(f"{m.name} ({m.subject}, {m.fps:g} fps)" for m in (first, other))
            raise MocapError(f"concatenate expects one subject and one frame rate, found {found}; resample first")
    return replace(
        first,
        R_parent_joint=np.concatenate([m.R_parent_joint for m in motions]),
        p_world_root=np.concatenate([m.p_world_root for m in motions]),
        dropped_frames=sum(m.dropped_frames for m in motions),
    )


def drop_nan_frames(motion: Motion) -> list[Motion]:
    """The runs of frames without NaN or infinity, each a motion of its own so that no run jumps over a gap.

    The first run carries the count in ``dropped_frames``. A motion without a single finite frame is an error.
    """
    finite = np.isfinite(motion.R_parent_joint).all((1, 2, 3)) & np.isfinite(motion.p_world_root).all(1)
    if finite.all():
        return [motion]
    if not finite.any():
        raise MocapError(f"{motion.name}: all {motion.num_frames} frames hold NaN, expected at least one finite frame")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], finite.astype(int), [0]])))
    runs = [slice(start, stop) for start, stop in edges.reshape(-1, 2)]
    dropped = int(np.sum(~finite))
    return [
        replace(
            motion,
            name=motion.name if len(runs) == 1 else f"{motion.name}#{index}",
            R_parent_joint=motion.R_parent_joint[run],
            p_world_root=motion.p_world_root[run],
            dropped_frames=motion.dropped_frames + dropped if index == 0 else 0,
        )
        for index, run in enumerate(runs)
    ]
