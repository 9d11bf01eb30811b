"""Constant offsets of a source: what its solver or skeleton adds to every frame, found and taken out.

A joint's rest frame can be turned by a constant C without moving what hangs on it: ``R_joint C`` and ``C^T R_child``.
The bones between a turned joint and its children move (that is the correction); all further bones stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mocap.body.skeleton import JOINT
from training.datasets.motion import BODY_JOINT_NAMES, BODY_PARENTS, NUM_BODY_JOINTS, Motion, mirror_rotations

Float = NDArray[np.floating]

TORSO_DEG = 15.0  # a mean further from rest than this is the source's habit: marker-fitted motion stays below 9 degrees
_TORSO = ("spine3", "collar", "neck", "head", "wrist")


def constant_offsets(motions: Sequence[Motion]) -> NDArray[np.float32]:
    """Turns (22, 3, 3) of the joints' rest frames that take a source's constant offsets out; identity where none is.

    Symmetric: found on the motions and their mirror images together. What is corrected:

    * toes: their mean bend is given to the ankles (a source's foot bone that slopes otherwise than SMPL's);
    * ankles: the mean turn in and out, not the bend;
    * elbows: the twist of the upper arm that makes the elbow a hinge about y;
    * upper spine, collars, neck, head, wrists: their mean, where it is beyond ``TORSO_DEG``.
    """
    R = np.concatenate([m.R_parent_joint for m in motions]).astype(np.float64)
    R = np.concatenate([R, mirror_rotations(R.astype(np.float32)).astype(np.float64)])
    total = np.tile(np.eye(3), (NUM_BODY_JOINTS, 1, 1))

    def turn(name: str, C: Float) -> None:
        one = np.tile(np.eye(3), (NUM_BODY_JOINTS, 1, 1))
        one[JOINT[name]] = C
        R[:] = turned(R, one)
        total[JOINT[name]] = total[JOINT[name]] @ C

    for side in ("left", "right"):
        bend = matrix_to_axis_angle(mean_rotation(R[:, JOINT[f"{side}_foot"]]))
        turn(f"{side}_ankle", axis_angle_to_matrix(bend * np.array([1.0, 0, 0])))
        turn(f"{side}_ankle", _without_bend(mean_rotation(R[:, JOINT[f"{side}_ankle"]])))
        turn(f"{side}_foot", mean_rotation(R[:, JOINT[f"{side}_foot"]]).T)
        turn(f"{side}_shoulder", _hinge_twist(R[:, JOINT[f"{side}_elbow"]], side))
    for name in sorted((n for n in BODY_JOINT_NAMES if n.split("_")[-1] in _TORSO), key=BODY_JOINT_NAMES.index):
        mean = mean_rotation(R[:, JOINT[name]])
        if np.degrees(np.linalg.norm(matrix_to_axis_angle(mean))) > TORSO_DEG:
            turn(name, mean.T)
    return total.astype(np.float32)


def remove_offsets(motion: Motion, offsets: Float) -> Motion:
    """The motion with the rest frames of its joints turned by offsets (22, 3, 3)."""
    return replace(motion, R_parent_joint=turned(motion.R_parent_joint, offsets))


def turned(R_parent_joint: Float, offsets: Float) -> Float:
    """Rotations (T, 22, 3, 3) whose joints' rest frames are turned by offsets (22, 3, 3)."""
    out = R_parent_joint @ offsets
    out[:, 1:] = np.swapaxes(offsets[list(BODY_PARENTS[1:])], -1, -2) @ out[:, 1:]
    return out.astype(R_parent_joint.dtype)


def mean_rotation(R: Float) -> Float:
    """The rotation (3, 3) nearest to the mean of rotations (T, 3, 3)."""
    U, _, V = np.linalg.svd(R.mean(0))
    U[:, 2] *= np.sign(np.linalg.det(U @ V))
    return U @ V


def degrees(offsets: Float) -> dict[str, float]:
    """How far each joint is turned, of those that are turned by a degree or more."""
    angles = np.degrees(np.linalg.norm(matrix_to_axis_angle(offsets.astype(np.float64)), axis=-1))
    return {name: round(float(a), 1) for name, a in zip(BODY_JOINT_NAMES, angles, strict=True) if a >= 1}


def _without_bend(mean: Float) -> Float:
    """C with ``mean C`` a rotation about x only, by the angle that the mean has about x."""
    bend = matrix_to_axis_angle(mean) * np.array([1.0, 0.0, 0.0])
    return mean.T @ axis_angle_to_matrix(bend)


def _hinge_twist(R_elbow: Float, side: str) -> Float:
    """Twist C about the upper arm (x) after which the forearm bends in the plane y = 0 on average."""
    sign = 1.0 if side == "left" else -1.0
    forearm = sign * R_elbow[:, :, 0].mean(0)
    return axis_angle_to_matrix(np.array([-np.arctan2(forearm[1], forearm[2]), 0.0, 0.0]))
