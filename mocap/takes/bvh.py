"""One person of a take as BVH: the SMPL skeleton with a constant frame rate.

Rotation channels are ``Zrotation Xrotation Yrotation``, so that ``R = Rz @ Rx @ Ry``, degrees, as Blender, Maya and
MotionBuilder read them. +Y is up, the body faces +Z. The root's OFFSET is zero and its position channels are the pelvis
in the world, so that readers which add the two agree with readers which do not.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from mocap.body.skeleton import JOINT, JOINT_NAMES, NUM_JOINTS, PARENTS

Unit = Literal["m", "cm"]
UNITS_PER_METRE: dict[Unit, float] = {"m": 1.0, "cm": 100.0}
CHILDREN = tuple(tuple(c for c in range(NUM_JOINTS) if PARENTS[c] == joint) for joint in range(NUM_JOINTS))
ROTATION_CHANNELS = "Zrotation Xrotation Yrotation"

Float = NDArray[np.float64]


def write_bvh(
    path: Path,
    poses: NDArray[np.floating],
    p_world_root: NDArray[np.floating],
    t: NDArray[np.float64],
    rest_joints: NDArray[np.floating],
    fps: float,
    unit: Unit = "m",
) -> None:
    """Write a motion as BVH.

    Frame ``n`` shows time ``t[0] + n / fps``, from the person's first frame to the last: gaps are filled and an uneven
    rate is evened out, rotations by slerp, the root by straight lines.

    So each person's file starts when that person came. To bring several people of one take, or the video, into step,
    move a file's frames on by the first entry of ``frame`` (frames) or ``t`` (s) in the same person's ``.npz``.

    Args:
        path: The file; overwritten.
        poses: (T, 24, 3) axis-angle rad, parent from joint; entry 0: world from pelvis.
        p_world_root: (T, 3) m, the pelvis.
        t: (T,) s; rows whose time does not grow are left out.
        rest_joints: (24, 3) m, SMPL's T-pose.
        fps: Frame rate of the file.
        unit: Length unit of the file.
    """
    grows = t > np.concatenate([[-np.inf], np.maximum.accumulate(t)[:-1]])
    poses, p, t = poses[grows], p_world_root[grows], t[grows]
    times = np.minimum(t[0] + np.arange(round((t[-1] - t[0]) * fps) + 1) / fps, t[-1])
    positions = np.stack([np.interp(times, t, axis) for axis in p.T], -1) * UNITS_PER_METRE[unit]
    angles = _without_jumps(np.stack([_euler_zxy(poses[:, joint], t, times) for joint in range(NUM_JOINTS)], 1))
    depth_first = list(_depth_first())
    values = np.concatenate([positions, np.degrees(angles[:, depth_first]).reshape(len(times), -1)], 1)
    row = " ".join(["%.6f"] * values.shape[1]) + "\n"
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write("HIERARCHY\n")
        file.writelines(_joint_lines(rest_joints * UNITS_PER_METRE[unit], 0, ""))
        file.write(f"MOTION\nFrames: {len(times)}\nFrame Time: {1 / fps:.9f}\n")
        file.writelines(row % tuple(frame) for frame in values)


def _depth_first(joint: int = 0) -> Iterator[int]:
    """Joints in the order in which a BVH file lists them."""
    yield joint
    for child in CHILDREN[joint]:
        yield from _depth_first(child)


def _joint_lines(rest: NDArray[np.floating], joint: int, indent: str) -> Iterator[str]:
    """The hierarchy from this joint down; ``rest`` (24, 3) in the file's unit."""
    root = joint == 0
    offset = np.zeros(3) if root else rest[joint] - rest[PARENTS[joint]]
    yield f"{indent}{'ROOT' if root else 'JOINT'} {JOINT_NAMES[joint]}\n{indent}{{\n"
    yield f"{indent}  OFFSET {_numbers(offset)}\n"
    channels = f"6 Xposition Yposition Zposition {ROTATION_CHANNELS}" if root else f"3 {ROTATION_CHANNELS}"
    yield f"{indent}  CHANNELS {channels}\n"
    for child in CHILDREN[joint]:
        yield from _joint_lines(rest, child, indent + "  ")
    if not CHILDREN[joint]:
        end = _numbers(_end_offset(rest, joint))
        yield f"{indent}  End Site\n{indent}  {{\n{indent}    OFFSET {end}\n{indent}  }}\n"
    yield f"{indent}}}\n"


def _numbers(values: NDArray[np.floating]) -> str:
    return " ".join(f"{value:.6f}" for value in values)


def _end_offset(rest: NDArray[np.floating], joint: int) -> NDArray[np.floating]:
    """Where a leaf's bone ends, seen from the leaf: the crown, the toes, the fingertips. Only for the eye."""
    offset = rest[joint] - rest[PARENTS[joint]]
    length = float(np.linalg.norm(offset))
    if joint == JOINT["head"]:
        return np.array([0.0, 2 * length, 0.0])
    if joint in (JOINT["left_foot"], JOINT["right_foot"]):
        return np.array([0.0, 0.0, 0.5 * length])
    return offset


def _euler_zxy(axis_angle: NDArray[np.floating], t: Float, times: Float) -> Float:
    """Axis-angle (T, 3) at t (T,), sampled at times (N,) by slerp -> angles (N, 3) rad: z, x, y of Rz @ Rx @ Ry."""
    known = Rotation.from_rotvec(axis_angle)
    sampled = Slerp(t, known)(times) if len(t) > 1 else known[np.zeros(len(times), int)]
    with warnings.catch_warnings():  # at x = ±90° the angles are not unique; the rotation that they give is still right
        warnings.filterwarnings("ignore", message="Gimbal lock")
        return np.asarray(sampled.as_euler("ZXY"))


def _without_jumps(angles: Float) -> Float:
    """The same rotations (N, J, 3) with angles that change little from frame to frame, so that curves can be edited.

    Each rotation has two triples, (z, x, y) and (z + 180°, 180° - x, y + 180°), each plus whole turns: the nearest to
    the frame before is taken.
    """
    out = angles.copy()
    twins = np.stack([angles[..., 0] + np.pi, np.pi - angles[..., 1], angles[..., 2] + np.pi], -1)
    for n in range(1, len(out)):
        steps = np.stack([angles[n], twins[n]]) - out[n - 1]
        steps -= 2 * np.pi * np.round(steps / (2 * np.pi))
        first_is_nearer = np.abs(steps[0]).sum(-1) <= np.abs(steps[1]).sum(-1)
        out[n] = out[n - 1] + np.where(first_is_nearer[:, None], steps[0], steps[1])
    return out
