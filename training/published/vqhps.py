"""Losses and errors of VQ-HPS and Mesh-VQ-VAE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mocap.config import option
from mocap.models.mesh_vqvae import MeshReconstruction
from mocap.models.vqhps import Prediction
from training.metrics import Array, mpjpe, pa_mpjpe, procrustes
from training.projection import orthographic

# Human3.6M's 17 joints in the order in which the system compares them.
H36M_ORDER = (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10, 0, 7, 9)


@dataclass(frozen=True)
class VQHPSLossWeights:
    """``L_mesh + L_rot + L_2D`` (section 4.3); all weigh alike in the released code too."""

    mesh: float = option(1.0, "cross-entropy of the tokens (Eq. 1)", "WEIGHT", low=0)
    rotation: float = option(1.0, "squared error of the rotation's entries (Eq. 2)", "WEIGHT", low=0)
    reprojection: float = option(1.0, "L1 of the joints in the picture (Eq. 3)", "WEIGHT", low=0)
    shift_scaled: bool = option(True, "camera s (X + t), the released code's; else the paper's s X + t")


@dataclass(frozen=True)
class MeshVQVAELossWeights:
    """Weights of Mesh-VQ-VAE; the defaults are the released ones."""

    vertices: float = option(1.0, "mean distance of the vertices, m", "WEIGHT", low=0)
    commitment: float = option(0.25, "squared distance of the latents to the codes", "WEIGHT", low=0)


def token_loss(logits: Tensor, indices: Tensor, known: Tensor | None = None) -> Tensor:
    """Eq. 1: cross-entropy of logits (B, N, S) and the true mesh's tokens (B, N), a mean over both.

    Args:
        known: (B,), by which a sample's loss is multiplied: 0 where there is no true mesh.
    """
    error = F.cross_entropy(logits.transpose(1, 2), indices, reduction="none").mean(-1)
    return (error if known is None else error * known).mean()


def rotation_loss(R: Tensor, true: Tensor, known: Tensor | None = None) -> Tensor:
    """Eq. 2: squared error of the entries of rotations (B, 3, 3), a mean over all; ``known`` (B,) as above."""
    error = (R - true).square().mean((-2, -1))
    return (error if known is None else error * known).mean()


def reprojection_loss(points: Tensor, true: Tensor, confidence: Tensor | None = None) -> Tensor:
    """Eq. 3: L1 of points (B, n, 2) in the crop, -1 to 1, a mean over all entries.

    Args:
        confidence: (B, n), by which a point's error is multiplied.
    """
    error = (points - true).abs().mean(-1)
    return (error if confidence is None else error * confidence).mean()


class KnownLabels(NamedTuple):
    """Each (B,), 1 for samples that have it and else 0; None: all have it."""

    mesh: Tensor | None = None
    rotation: Tensor | None = None


ALL_KNOWN = KnownLabels()


def vqhps_losses(
    weights: VQHPSLossWeights,
    predicted: Prediction,
    indices: Tensor,
    R: Tensor,
    joint_regressor: Tensor,
    picture: Tensor,
    confidence: Tensor | None = None,
    known: KnownLabels = ALL_KNOWN,
) -> dict[str, Tensor]:
    """The terms, unweighted, and ``total``, weighted. With VQ-HPS-rot both rotations are held to the truth.

    Args:
        indices: (B, N) tokens of the true mesh.
        R: (B, 3, 3), true rotation.
        joint_regressor: (n, V), from vertices to the joints that ``picture`` has.
        picture: (B, n, 2) true joints in the crop, -1 to 1.
        confidence: (B, n) of them; not given: all count alike, as with SMPL's joints on 3DPW.
        known: Which samples have a true mesh and a true rotation.
    """
    points = orthographic(joint_regressor @ predicted.vertices, predicted.camera, weights.shift_scaled)
    rotation = rotation_loss(predicted.R, R, known.rotation)
    if predicted.first_R is not None:
        rotation = rotation + rotation_loss(predicted.first_R, R, known.rotation)
    terms = {
        "mesh": token_loss(predicted.logits, indices, known.mesh),
        "rotation": rotation,
        "reprojection": reprojection_loss(points, picture, confidence),
    }
    return {**terms, "total": torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()}


def mesh_vqvae_losses(weights: MeshVQVAELossWeights, found: MeshReconstruction, vertices: Tensor) -> dict[str, Tensor]:
    """The terms, unweighted, and ``total``, weighted; true vertices (B, V, 3) m."""
    distance = (found.vertices - vertices).norm(dim=-1).mean()
    total = weights.vertices * distance + weights.commitment * found.commitment
    return {"vertices": distance, "commitment": found.commitment, "total": total}


def mesh_errors(
    predicted: Array, true: Array, joint_regressor: Array, released_alignment: bool = False
) -> dict[str, NDArray[np.floating]]:
    """Errors of meshes (B, V, 3) m, each (B,) m: of vertices (v2v) and of joints (mpjpe), and the same
    after the best similarity transform (pa_).

    The published evaluation puts a mesh's mean vertex at the origin, not its pelvis. It does so with the true meshes
    when it reads them; here they are expected so.

    Args:
        joint_regressor: (n, V), Human3.6M's 17 joints in the paper.
        released_alignment: As the released code aligns, which takes a batch of two or three meshes for points along the
            last axis: it fits three points with V coordinates, and finds a smaller error. Other batches are the same.
    """
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    centred = predicted - predicted.mean(-2, keepdims=True)
    regressor = np.asarray(joint_regressor, np.float64)
    true_joints = regressor @ true
    aligned = _exchanged_pa_mpjpe if released_alignment and len(predicted) in (2, 3) else pa_mpjpe
    return {
        "v2v": mpjpe(centred, true),
        "pa_v2v": aligned(predicted, true),
        "mpjpe": mpjpe(regressor @ centred, true_joints),
        "pa_mpjpe": aligned(regressor @ predicted, true_joints),
    }


def _exchanged_pa_mpjpe(predicted: Array, true: Array) -> Array:
    """Of points (B, n, 3), after the fit of three points with n coordinates."""
    middle = true.mean(-1, keepdims=True)
    moved, fixed = predicted - predicted.mean(-1, keepdims=True), true - middle
    plane = np.linalg.qr(np.concatenate([moved, fixed], -1))[0]  # (B, n, 6): all six points lie in it
    source, target = (np.swapaxes(points, -1, -2) @ plane for points in (moved, fixed))
    return mpjpe(plane @ np.swapaxes(procrustes(source, target), -1, -2) + middle, true)
