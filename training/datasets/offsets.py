"""Constant offsets of a source: what its solver or skeleton adds to every frame, found and taken out.

A joint's rest frame can be turned by a constant C without moving what hangs on it: ``R_joint C`` and ``C^T R_child``.
The bones between a turned joint and its children move (that is the correction); all further bones stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mocap.body.skeleton import JOINT
from training.datasets.kinematics import body_global_rotations, joint_positions, remove_heading
from training.datasets.motion import BODY_JOINT_NAMES, BODY_PARENTS, NUM_BODY_JOINTS, Motion, mirror

Float = NDArray[Any]  # of floats

# What people do, measured on ACCAD's recordings fitted to the body: a resting foot is level and points a little out;
# an upright person looks a little down.
TOE_OUT_DEG, LOOK_DOWN_DEG = 6.0, 5.0
HABIT_DEG = 15.0  # a head, collar or wrist further off on average is a habit of the source, not of its people
_STILL = 0.15  # m/s, of the ankle of a foot that rests
_UPRIGHT = 0.45  # m, of the head above the pelvis
_ENOUGH = 30  # frames to take a mean of


def constant_offsets(motions: Sequence[Motion]) -> NDArray[np.float32]:
    """Turns (22, 3, 3) of the joints' rest frames that take a source's constant offsets out; identity where none is.

    Symmetric: found on the motions and their mirror images together. What is corrected:

    * elbows: the twist of the upper arm that makes the elbow a hinge about y;
    * feet and toes: level and TOE_OUT_DEG outwards, on average over the frames in which a foot rests;
    * head: looks ahead, on average over upright frames, where it is off by more than HABIT_DEG;
    * collars and wrists: at rest on average, where they are off by more than HABIT_DEG.
    """
    images = [image for m in motions for image in (m, mirror(m))]
    R = np.concatenate([m.R_parent_joint for m in images]).astype(np.float64)
    joints = [joint_positions(m.R_parent_joint, m.p_world_root) for m in images]
    upright = np.concatenate([p[:, JOINT["head"], 1] - p[:, 0, 1] > _UPRIGHT for p in joints])
    total = np.tile(np.eye(3), (NUM_BODY_JOINTS, 1, 1))

    def turn(name: str, C: Float) -> None:
        one = np.tile(np.eye(3), (NUM_BODY_JOINTS, 1, 1))
        one[JOINT[name]] = C
        R[:] = turned(R, one)
        total[JOINT[name]] = total[JOINT[name]] @ C

    for side, sign in (("left", 1.0), ("right", -1.0)):
        turn(f"{side}_shoulder", _hinge_twist(R[:, JOINT[f"{side}_elbow"]], sign))
        rests = upright & np.concatenate([_rests(p[:, JOINT[f"{side}_ankle"]], m.fps)
                                          for p, m in zip(joints, images, strict=True)])  # fmt: skip
        for name in (f"{side}_ankle", f"{side}_foot"):
            turn(name, _aligned(R[rests], name, _turn("y", sign * TOE_OUT_DEG)))
        for name in (f"{side}_collar", f"{side}_wrist"):
            turn(name, _habit(mean_rotation(R[:, JOINT[name]]).T))
    turn("head", _habit(_aligned(R[upright], "head", _turn("x", LOOK_DOWN_DEG))))
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
    angles = _angle_deg(offsets.astype(np.float64))
    return {name: round(float(a), 1) for name, a in zip(BODY_JOINT_NAMES, angles, strict=True) if a >= 1}


def _angle_deg(R: Float) -> Float:
    return np.degrees(np.linalg.norm(matrix_to_axis_angle(R), axis=-1))


def _turn(axis: str, degrees_: float) -> Float:
    return axis_angle_to_matrix(np.radians(degrees_) * np.eye(3)["xyz".index(axis)])


def _habit(C: Float) -> Float:
    return C if _angle_deg(C) > HABIT_DEG else np.eye(3)


def _rests(p_ankle: Float, fps: float) -> NDArray[np.bool_]:
    """Frames (T,) in which an ankle (T, 3) m stands still near its lowest."""
    if len(p_ankle) < 2:
        return np.zeros(len(p_ankle), bool)
    speed = np.linalg.norm(np.gradient(p_ankle, axis=0), axis=-1) * fps
    return (speed < _STILL) & (p_ankle[:, 1] < np.percentile(p_ankle[:, 1], 30) + 0.02)


def _aligned(R_parent_joint: Float, name: str, target: Float) -> Float:
    """C that turns the mean of a joint's world rotation, heading removed, to the target (3, 3)."""
    if len(R_parent_joint) < _ENOUGH:
        return np.eye(3)
    R_global = body_global_rotations(remove_heading(R_parent_joint))
    return mean_rotation(R_global[:, JOINT[name]]).T @ target


def _hinge_twist(R_elbow: Float, sign: float) -> Float:
    """Twist C about the upper arm (x) after which the forearm bends in the plane y = 0 on average."""
    forearm = sign * R_elbow[:, :, 0].mean(0)
    return _turn("x", -np.degrees(np.arctan2(forearm[1], forearm[2])))
