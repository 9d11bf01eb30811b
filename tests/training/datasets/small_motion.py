"""Small motions and files for the tests: random ones, and BVH of a body in any tool's joint names and axes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mocap.body.skeleton import JOINT
from training.datasets.kinematics import body_global_rotations, mean_offsets
from training.datasets.motion import BODY_JOINT_NAMES, BODY_PARENTS, NUM_BODY_JOINTS, Motion
from training.datasets.skeleton_map import SkeletonMap

Float = NDArray[np.float64]

ROOT = np.array([0.3, 1.0, -0.2])  # m, where the figures' pelvis is


def random_rotations(frames: int, seed: int = 0, degrees: float = 40.0) -> NDArray[np.float32]:
    """Local rotations (T, 22, 3, 3), each joint by up to so many degrees."""
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=(frames * NUM_BODY_JOINTS, 3))
    vectors = axis / np.linalg.norm(axis, axis=-1, keepdims=True) * np.radians(rng.uniform(0, degrees, (len(axis), 1)))
    R = Rotation.from_rotvec(vectors).as_matrix().reshape(frames, NUM_BODY_JOINTS, 3, 3)
    return R.astype(np.float32)


def random_motion(frames: int = 20, fps: float = 30.0, seed: int = 0, subject: str = "test/a") -> Motion:
    root = np.random.default_rng(seed).normal(size=(frames, 3)).astype(np.float32)
    return Motion(f"clip{seed}", subject.split("/")[0], subject, fps, random_rotations(frames, seed), root)


def rest_joints(arms_down: float = 0.0) -> Float:
    """Joints (22, 3) m of a stick figure with straight limbs, its arms so many degrees below the T-pose."""
    offsets = mean_offsets().astype(np.float64)
    for name, joint in JOINT.items():
        if joint >= NUM_BODY_JOINTS:
            break
        side = 1 if name.startswith("left") else -1
        length = np.linalg.norm(offsets[joint])
        if name.endswith(("knee", "ankle")):
            offsets[joint] = [0, -length, 0]
        if name.endswith(("elbow", "wrist")):
            down = np.radians(arms_down)
            offsets[joint] = [side * length * np.cos(down), -length * np.sin(down), 0]
    joints = np.zeros((NUM_BODY_JOINTS, 3))
    for joint in range(1, NUM_BODY_JOINTS):
        joints[joint] = joints[BODY_PARENTS[joint]] + offsets[joint]
    return joints


def write_figure(
    path: Path, skeleton: SkeletonMap, R: NDArray, rest: Float, scale: float = 100.0, without: tuple[str, ...] = (),
    R_file_world: Float | None = None, rename: dict[str, str] | None = None,
) -> None:  # fmt: skip
    """A figure with rest joints (22, 3) m as BVH, in a map's names and axes, posed by local rotations (T, 22, 3, 3).

    ``without`` leaves SMPL joints out; ``R_file_world`` are the file's world axes; ``rename`` changes joint names.
    """
    W = np.eye(3) if R_file_world is None else R_file_world
    mapped = [j for j in range(NUM_BODY_JOINTS) if BODY_JOINT_NAMES[j] in skeleton.joints]
    mapped = [j for j in mapped if BODY_JOINT_NAMES[j] not in without]
    axes = {j: skeleton.axes.get(BODY_JOINT_NAMES[j], W.T) for j in mapped}  # body from the joint's axes
    R_world = body_global_rotations(R).astype(np.float64)
    G = {j: W @ R_world[:, j] @ axes[j] for j in mapped}
    names = {j: skeleton.joints[BODY_JOINT_NAMES[j]][0] for j in mapped}
    names = {j: (rename or {}).get(name, name) for j, name in names.items()}
    parent = {j: _mapped_parent(j, mapped) for j in mapped}
    lines, columns = ["HIERARCHY"], [np.tile(W @ (rest[0] + ROOT) * scale, (len(R), 1))]

    def write(joint: int, indent: str) -> None:
        root = parent[joint] < 0
        offset = np.zeros(3) if root else axes[parent[joint]].T @ (rest[joint] - rest[parent[joint]]) * scale
        local = G[joint] if root else np.swapaxes(G[parent[joint]], -1, -2) @ G[joint]
        with warnings.catch_warnings():  # at x = ±90° the angles are not unique; the rotation that they give is right
            warnings.filterwarnings("ignore", message="Gimbal lock")
            columns.append(Rotation.from_matrix(local).as_euler("ZXY", degrees=True))
        positions = "6 Xposition Yposition Zposition" if root else "3"
        lines.extend([f"{indent}{'ROOT' if root else 'JOINT'} {names[joint]}", indent + "{"])
        lines.append(f"{indent}  OFFSET {' '.join(f'{x:.6f}' for x in offset)}")
        lines.append(f"{indent}  CHANNELS {positions} Zrotation Xrotation Yrotation")
        children = [child for child in mapped if parent[child] == joint]
        for child in children:
            write(child, indent + "  ")
        if not children:
            lines.extend([f"{indent}  End Site", indent + "  {", f"{indent}    OFFSET 0 0 1", indent + "  }"])
        lines.append(indent + "}")

    write(0, "")
    lines += ["MOTION", f"Frames: {len(R)}", "Frame Time: 0.033333"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(columns, 1)]
    path.write_text("\n".join(lines) + "\n")


def _mapped_parent(joint: int, mapped: list[int]) -> int:
    joint = BODY_PARENTS[joint]
    while joint >= 0 and joint not in mapped:
        joint = BODY_PARENTS[joint]
    return joint
