"""BVH skeletons to SMPL's rotations.

Each SMPL joint takes the world rotation of the joint that it is mapped to, times a constant from the rest poses:

    R_world_smpl(t) = W . G(t) . B^T . D

with ``G(t)`` the file's world-from-joint rotation, ``B`` the same in the rest pose (a T- or A-pose) in SMPL's body
axes, ``D`` the turn of SMPL's rest pose that lays its bone along the file's rest bone, and ``W`` SMPL's world from the
file's. So twist is kept. Limb bones then point exactly as the file's bones do. Torso and feet, where skeletons place
their joints differently (an ankle 3 cm higher slopes the foot's bone by 15 degrees), keep SMPL's rest shape and turn as
the file's do: a flat foot stays flat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mocap.body.rotations import matrix_to_axis_angle, matrix_to_quat_xyzw, quat_xyzw_to_matrix
from mocap.body.skeleton import JOINT
from mocap.errors import MocapError
from training.datasets.bvh import Bvh, read_bvh
from training.datasets.kinematics import body_local_rotations, mean_offsets
from training.datasets.motion import BODY_JOINT_NAMES, BODY_PARENTS, NUM_BODY_JOINTS, Motion, drop_nan_frames, slerp
from training.datasets.skeleton_map import SIDES, SkeletonMap, load_maps
from training.datasets.subjects import subject_of

Float = NDArray[np.float64]

# Bones whose direction is reproduced exactly: from this joint to that one.
LIMB_BONES = tuple(
    (JOINT[f"{side}_{a}"], JOINT[f"{side}_{b}"])
    for side in SIDES
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
)
_FEET = tuple((JOINT[f"{side}_ankle"], JOINT[f"{side}_foot"]) for side in SIDES)
_SPINE = [JOINT[name] for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")]
_LYING = 0.5  # mean cosine of the trunk with an axis below which the axis is not taken for up
_BENT = np.radians(20)  # a knee that is bent further than this shows which way it bends


@dataclass(frozen=True)
class Rest:
    """The rest pose of a file under a map: K mapped joints."""

    joints: dict[int, int]  # SMPL joint -> the file's joint
    axes: dict[int, Float]  # SMPL joint -> B (3, 3), body from the file's joint axes
    R_rest: dict[int, Float]  # SMPL joint -> D (3, 3), how SMPL's rest pose is turned to meet the file's
    leg: float  # hip to knee to ankle, in the file's unit


def read_retargeted(path: Path) -> list[Motion]:
    """A BVH file as SMPL motion; frames with NaN are dropped and split it. The source is ``<folder>_bvh``."""
    path = Path(path)
    source = path.resolve().parent.name.lower().removesuffix("_bvh") + "_bvh"  # the packed clips have the bare name
    motion = retarget(read_bvh(path), name=path.stem, source=source, subject=subject_of(source, path.stem))
    return drop_nan_frames(motion)


def retarget(
    bvh: Bvh, skeleton: SkeletonMap | None = None, name: str = "", source: str = "bvh", subject: str = ""
) -> Motion:
    """A BVH motion in SMPL's rotations, on the mean skeleton.

    The root is scaled by the ratio of the leg lengths, which settles the file's unit as well. Frames with NaN stay NaN.

    Args:
        bvh: the file.
        skeleton: its map; found by the joint names if None.
        name: of the motion; the file's stem if empty.
        source: see :class:`Motion`.
        subject: see :class:`Motion`; source and name if empty.
    """
    skeleton = find_map(bvh) if skeleton is None else skeleton
    rest = rest_pose(bvh, skeleton)
    check_rest(bvh, skeleton, rest)
    W = _world(bvh, skeleton, rest)
    R_file, p_file = W @ bvh.global_rotations(), bvh.joint_positions() @ W.T
    R_world = _world_rotations(R_file, p_file, rest, skeleton.align)
    R = body_local_rotations(R_world.astype(np.float32))
    _check_knees(bvh, R)
    hips = [JOINT["left_hip"], JOINT["right_hip"]]
    offsets = mean_offsets().astype(np.float64)
    scale = sum(np.linalg.norm(offsets[JOINT[name]]) for name in ("left_knee", "left_ankle")) / rest.leg
    middle = p_file[:, [rest.joints[hip] for hip in hips]].mean(1)
    root = scale * middle - R_world[:, 0] @ offsets[hips].mean(0)
    name = name or bvh.path.stem
    return Motion(name, source, subject or f"{source}/{name}", bvh.fps, R, root.astype(np.float32))


def find_map(bvh: Bvh) -> SkeletonMap:
    """The map that fits a file's names and rest pose; of several, the one that knows most of its joints."""
    maps = load_maps()
    complete = [m for m in maps if not m.missing(bvh.names)]
    if not complete:
        raise _unknown_skeleton(bvh, maps)
    complete.sort(key=lambda m: (len(m.unknown(bvh.names)), -len(m.match(bvh.names)), bool(m.axes)))
    problem: MocapError | None = None
    for candidate in complete:
        try:
            check_rest(bvh, candidate, rest_pose(bvh, candidate))
        except MocapError as error:
            problem = problem or error
        else:
            return candidate
    assert problem is not None
    raise problem


def _unknown_skeleton(bvh: Bvh, maps: Sequence[SkeletonMap]) -> MocapError:
    nearest = min(maps, key=lambda m: (len(m.missing(bvh.names)), -len(m.match(bvh.names))))
    missing = [f"{joint} ({' or '.join(nearest.joints.get(joint, ('none',)))})" for joint in nearest.missing(bvh.names)]
    unknown = nearest.unknown(bvh.names)
    return MocapError(
        f"{bvh.path}: no skeleton map fits. The nearest, {nearest.name}, expects {', '.join(missing)}; found, unmapped:"
        f" {', '.join(unknown[:30])}{' ...' if len(unknown) > 30 else ''}. Add a map as docs/motion_data.md says."
    )


def rest_pose(bvh: Bvh, skeleton: SkeletonMap) -> Rest:
    """The rest pose of a file: where its joints' axes point in a T- or A-pose, and how far SMPL's T-pose is from it."""
    joints = skeleton.match(bvh.names)
    if skeleton.axes:
        axes = {joint: skeleton.axes[BODY_JOINT_NAMES[joint]] for joint in joints}
    else:
        body = _body_axes(bvh, joints)
        axes = dict.fromkeys(joints, body)
    leg = np.mean([_length(bvh, joints[JOINT[f"{s}_{a}"]], joints[JOINT[f"{s}_{b}"]]) for s in SIDES
                   for a, b in (("hip", "knee"), ("knee", "ankle"))])  # fmt: skip
    rest = Rest(joints, axes, {joint: np.eye(3) for joint in joints}, 2 * float(leg))
    if not leg > 0:
        raise MocapError(f"{bvh.path}: expected legs with a length, found offsets of 0 from hip to ankle")
    if skeleton.align:
        _turn_rest(bvh, rest)
    return rest


def _body_axes(bvh: Bvh, joints: dict[int, int]) -> Float:
    """Body from file axes (3, 3) by the pose of all-zero rotations: rows are the body's left, up and front."""
    across = (_rest_vector(bvh, joints[JOINT[f"right_{n}"]], joints[JOINT[f"left_{n}"]]) for n in ("hip", "shoulder"))
    left = sum(across, np.zeros(3))
    feet = (_rest_vector(bvh, joints[JOINT[f"{side}_ankle"]], joints[0]) for side in SIDES)
    up = sum(feet, np.zeros(3))
    if not np.linalg.norm(np.cross(left, up)):
        return np.eye(3)  # no pose at all: check_rest says so
    left = left / np.linalg.norm(left)
    up = up - left * (left @ up)
    up /= np.linalg.norm(up)
    frame = np.stack([left, up, np.cross(left, up)])
    squared = np.round(frame)  # a body that leans a little stands along the file's axes nevertheless
    return squared if np.allclose(squared @ squared.T, np.eye(3)) else frame


def _turn_rest(bvh: Bvh, rest: Rest) -> None:
    """Fill in D: along the limbs, each bone takes its parent's turn and then the least further one (no new twist).

    Feet are only turned out as the file's are at rest.
    """
    offsets = mean_offsets().astype(np.float64)
    for joint, child in LIMB_BONES:
        bone = _rest_bone(bvh, rest, joint, child)
        start = np.eye(3)
        if BODY_JOINT_NAMES[joint].endswith(("knee", "elbow")):
            start = rest.R_rest[BODY_PARENTS[joint]]
        rest.R_rest[joint] = _least_turn(start @ offsets[child], bone) @ start
        if BODY_JOINT_NAMES[child].endswith("wrist"):
            rest.R_rest[child] = rest.R_rest[joint]  # a hand lies along its forearm
    for joint, child in _FEET:
        bone = _rest_bone(bvh, rest, joint, child) if child in rest.joints else np.zeros(3)
        if np.hypot(bone[0], bone[2]) > 0.3 * np.linalg.norm(bone):
            turn = np.arctan2(bone[0], bone[2]) - np.arctan2(offsets[child, 0], offsets[child, 2])
            rest.R_rest[joint] = rest.R_rest[child] = Rotation.from_euler("y", turn).as_matrix()


def _rest_bone(bvh: Bvh, rest: Rest, joint: int, child: int) -> Float:
    """From a joint to its child in the rest pose, (3,) in body axes and the file's unit."""
    return rest.axes[joint] @ _rest_vector(bvh, rest.joints[joint], rest.joints[child])


def _rest_vector(bvh: Bvh, start: int, end: int) -> Float:
    """From one joint to another (3,) with all rotations zero."""
    return _zero_position(bvh, end) - _zero_position(bvh, start)


def _zero_position(bvh: Bvh, joint: int) -> Float:
    position = np.zeros(3)
    while bvh.parents[joint] >= 0:  # without the root's own offset
        position = position + bvh.offsets[joint]
        joint = bvh.parents[joint]
    return position


def _length(bvh: Bvh, start: int, end: int) -> float:
    """Distance of two joints along the chain between them."""
    length = 0.0
    while end not in (start, -1):
        length += float(np.linalg.norm(bvh.offsets[end]))
        end = bvh.parents[end]
    return length


def check_rest(bvh: Bvh, skeleton: SkeletonMap, rest: Rest) -> None:
    """A rest pose that is no T- or A-pose, or whose left and right are swapped, is an error."""
    spine = [joint for joint in _SPINE if joint in rest.joints]
    trunk = sum((_rest_bone(bvh, rest, a, b) for a, b in pairwise(spine)), np.zeros(3))
    if trunk[1] < 0.7 * np.linalg.norm(trunk):
        raise _no_pose(bvh, skeleton, "the spine", "up", trunk)
    for joint, child in LIMB_BONES:
        bone = _rest_bone(bvh, rest, joint, child)
        out, up, _ = bone / max(float(np.linalg.norm(bone)), 1e-9)
        out = out if BODY_JOINT_NAMES[joint].startswith("left") else -out
        arm = BODY_JOINT_NAMES[joint].endswith(("shoulder", "elbow"))
        if (arm and not (out > -0.2 and up < 0.6)) or (not arm and not up < -0.7):
            raise _no_pose(bvh, skeleton, _label(bvh, rest, joint, child), "sideways or down" if arm else "down", bone)
    for joint, child in _FEET:
        if child in rest.joints and _rest_bone(bvh, rest, joint, child)[2] < 0:
            raise MocapError(
                f"{bvh.path}: expected {_label(bvh, rest, joint, child)} to point to the front of the body, it points"
                f" back: the names of left and right look swapped (skeleton map {skeleton.name})"
            )


def _label(bvh: Bvh, rest: Rest, joint: int, child: int) -> str:
    return f"{bvh.names[rest.joints[joint]]} to {bvh.names[rest.joints[child]]}"


def _no_pose(bvh: Bvh, skeleton: SkeletonMap, bone: str, expected: str, found: Float) -> MocapError:
    left, up, front = found / max(float(np.linalg.norm(found)), 1e-9)
    return MocapError(
        f"{bvh.path}: expected a T- or A-pose where all rotations are zero, with {bone} pointing {expected}; found"
        f" {left:.2f} left, {up:.2f} up, {front:.2f} front. Give the joints' axes in the skeleton map {skeleton.name},"
        f" as docs/motion_data.md says."
    )


def _world(bvh: Bvh, skeleton: SkeletonMap, rest: Rest) -> Float:
    """SMPL's world from the file's (3, 3): Y up. A body that faces as in the rest pose faces +Z, where both agree."""
    y_up, z_up = np.eye(3), np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    if skeleton.up:
        return z_up if skeleton.up == "z" else y_up
    body = y_up if skeleton.axes else rest.axes[0]
    if np.allclose(body[1], [0, 1, 0]):
        return body
    trunk = bvh.joint_positions()[:, [rest.joints[JOINT[f"{s}_shoulder"]] for s in SIDES]].mean(1)
    trunk = trunk - bvh.joint_positions()[:, rest.joints[0]]
    mean = np.nanmean(trunk / np.linalg.norm(trunk, axis=-1, keepdims=True), 0)
    # A root that turns an odd rest pose upright: the motion's world is Y up though the rest pose is not.
    return y_up if mean[1] > max(_LYING, mean @ body[1]) else body


def _world_rotations(R_file: Float, p_file: Float, rest: Rest, align: bool) -> Float:
    """World from joint (T, 22, 3, 3) of SMPL's joints, from the file's rotations and positions in SMPL's world."""
    R = np.zeros((len(R_file), NUM_BODY_JOINTS, 3, 3))
    for joint, source in rest.joints.items():
        R[:, joint] = R_file[:, source] @ rest.axes[joint].T @ rest.R_rest[joint]
    offsets = mean_offsets().astype(np.float64)
    for joint, child in LIMB_BONES if align else ():
        # Joints between the two may turn as well: what counts is where the bone ends.
        bone = p_file[:, rest.joints[child]] - p_file[:, rest.joints[joint]]
        R[:, joint] = _least_turn(R[:, joint] @ offsets[child], bone) @ R[:, joint]
    _fill_spine(R, rest.joints)
    for joint in range(NUM_BODY_JOINTS):
        if joint not in rest.joints and joint not in _SPINE[:-1]:
            R[:, joint] = R[:, BODY_PARENTS[joint]]
    return R


def _fill_spine(R: Float, joints: dict[int, int]) -> None:
    """Spine joints that the file lacks share the turn between those that it has, evenly; past the last they follow."""
    known = [index for index, joint in enumerate(_SPINE) if joint in joints]
    for index, joint in enumerate(_SPINE[:-1]):
        if joint in joints:
            continue
        before = max(k for k in known if k < index)
        after = min((k for k in known if k > index), default=before)
        if after == before:
            R[:, joint] = R[:, _SPINE[before]]
            continue
        ends = [matrix_to_quat_xyzw(R[:, _SPINE[k]]) for k in (before, after)]
        share = np.full((len(R), 1), (index - before) / (after - before))
        R[:, joint] = quat_xyzw_to_matrix(slerp(ends[0], ends[1], share))


def _check_knees(bvh: Bvh, R: NDArray[np.float32]) -> None:
    """Knees bend backwards. Where they bend to the front all the time, left and right or front and back are swapped."""
    bend = matrix_to_axis_angle(R[:, [JOINT["left_knee"], JOINT["right_knee"]]])
    bent = np.linalg.norm(bend, axis=-1) > _BENT
    if bent.sum() >= 10 and np.mean(bend[bent][:, 0] < 0) > 0.9:
        raise MocapError(f"{bvh.path}: the knees bend to the front: the names of left and right look swapped")


def _least_turn(a: Float, b: Float) -> Float:
    """The smallest rotation (..., 3, 3) that takes the direction of a (..., 3) to that of b; identity where b is 0."""
    a, b = np.broadcast_arrays(a, b)
    lengths = np.linalg.norm(a, axis=-1, keepdims=True) * np.linalg.norm(b, axis=-1, keepdims=True)
    axis, cosine = np.cross(a, b), (a * b).sum(-1, keepdims=True)
    quat = np.concatenate([axis, lengths + cosine], -1)  # of half the angle, for vectors of any length
    size = np.linalg.norm(quat, axis=-1, keepdims=True)
    identity = np.array([0.0, 0, 0, 1])
    return quat_xyzw_to_matrix(np.where(size > 1e-12, quat / np.where(size > 0, size, 1), identity))
