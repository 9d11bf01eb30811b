"""Losses of PostoMETRO and of what it stands on: FastMETRO, whose losses it takes over (its own training code is not
public), and PCT; and the two experiments of PostoMETRO's supplement that change the pose tokens.

Which samples have a label is said by ``has`` (B,) bool; the others do not count. Where none has one, a loss is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mocap.config import option
from mocap.models.pct import PctHead, PctTokenizer, PoseTokens, Reconstruction
from mocap.models.postometro import BodyMesh
from training.projection import orthographic

_HIPS = [2, 3]  # of the 14 joints; the pelvis is their middle
TRUE_SCORE = 10.0  # of tokens that come from the true 2D pose (supplement, appendix E)


@dataclass(frozen=True)
class FastMetroLossWeights:
    """Weights of FastMETRO's released code. All distances are L1."""

    joints: float = option(1000.0, "joints from their tokens, and from the mesh, m", low=0)
    picture: float = option(100.0, "both in the picture, whose half is 1", low=0)
    vertices: float = option(100.0, "of the three meshes, m", low=0)
    coarse: float = option(0.25, "share of the coarse mesh in the vertices", low=0)
    middle: float = option(0.5, "share of the middle mesh", low=0)
    fine: float = option(0.25, "share of the whole mesh", low=0)
    surface: float = option(100.0, "of the middle mesh's edges and normals", low=0)
    edges: float = option(5.0, "share of the edges' lengths in the surface, m", low=0)
    short_edges: float = option(1e-4, "share of the edges' lengths themselves, m", low=0)
    normals: float = option(0.1, "share of the normals, cosines", low=0)


@dataclass(frozen=True)
class MeshLabels:
    """Truth of B pictures. What a sample does not have may hold any finite numbers."""

    joints: Tensor  # (B, 14, 4) m, and whether to count it
    has_joints: Tensor  # (B,) bool
    picture: Tensor  # (B, 14, 3) in [-1, 1], and whether to count it
    coarse: Tensor  # (B, 431, 3) m
    middle: Tensor  # (B, 1723, 3) m
    vertices: Tensor  # (B, 6890, 3) m
    has_mesh: Tensor  # (B,) bool


def fastmetro_losses(
    weights: FastMetroLossWeights,
    found: BodyMesh,
    mesh_joints: Tensor,
    labels: MeshLabels,
    faces: Tensor,
    edges: Tensor,
) -> dict[str, Tensor]:
    """The terms, with their shares but without their weights, and ``total``.

    Args:
        mesh_joints: (B, 14, 3) m, regressed from the vertices that were found.
        faces, edges: (F, 3) of the middle mesh, and its :func:`unique_edges`.
    """
    has = labels.has_mesh
    pictures = (orthographic(joints, found.camera) for joints in (found.joints, mesh_joints))
    joints = (joint_loss(joints, labels.joints, labels.has_joints) for joints in (found.joints, mesh_joints))
    vertices = (
        weights.coarse * vertex_loss(found.coarse, labels.coarse, has)
        + weights.middle * vertex_loss(found.middle, labels.middle, has)
        + weights.fine * vertex_loss(found.vertices, labels.vertices, has)
    )
    surface = (
        weights.edges * edge_loss(found.middle, labels.middle, has, edges)
        + weights.short_edges * edge_length(found.middle, has, edges)
        + weights.normals * normal_loss(found.middle, labels.middle, has, faces)
    )
    terms = {
        "joints": torch.stack(list(joints)).sum(),
        "picture": torch.stack([picture_loss(points, labels.picture) for points in pictures]).sum(),
        "vertices": vertices,
        "surface": surface,
    }
    total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
    return {**terms, "total": total}


def picture_loss(points: Tensor, labels: Tensor) -> Tensor:
    """Of points (B, n, 2); labels (B, n, 3) say in their last entry whether to count one. The mean is over all."""
    return (labels[..., 2:] * (points - labels[..., :2]).abs()).mean()


def joint_loss(points: Tensor, labels: Tensor, has: Tensor) -> Tensor:
    """Of joints (B, 14, 3) m, pelvis at 0; labels (B, 14, 4) say in their last entry whether to count one."""

    def centred(p: Tensor) -> Tensor:
        return p - p[:, _HIPS].mean(1, keepdim=True)

    return _mean(labels[..., 3:] * (centred(points) - centred(labels[..., :3])).abs(), has)


def vertex_loss(vertices: Tensor, labels: Tensor, has: Tensor) -> Tensor:
    """Of vertices (B, V, 3) m."""
    return _mean((vertices - labels).abs(), has)


def edge_loss(vertices: Tensor, labels: Tensor, has: Tensor, edges: Tensor) -> Tensor:
    """How far the lengths of edges (E, 2) are from those of the labels, m."""
    return _mean((_lengths(vertices, edges) - _lengths(labels, edges)).abs(), has)


def edge_length(vertices: Tensor, has: Tensor, edges: Tensor) -> Tensor:
    """Mean length of edges (E, 2), m, which keeps single vertices from straying."""
    return _mean(_lengths(vertices, edges), has)


def normal_loss(vertices: Tensor, labels: Tensor, has: Tensor, faces: Tensor) -> Tensor:
    """Mean size of the cosine between the sides of triangles (F, 3) and the labels' normals."""
    first, second, _ = _sides(labels, faces).unbind(1)
    normals = F.normalize(torch.linalg.cross(first, second), dim=-1)
    return _mean((_sides(vertices, faces) * normals[:, None]).sum(-1).abs(), has)


def face_edges(faces: Tensor) -> Tensor:
    """The sides of triangles (F, 3), shared ones twice: (3 F, 2)."""
    return faces[:, [[0, 1], [0, 2], [1, 2]]].flatten(0, 1)


def unique_edges(faces: Tensor) -> Tensor:
    """The edges of triangles (F, 3), each once: (E, 2)."""
    edges: Tensor = face_edges(faces).sort(1).values.unique(dim=0)
    return edges


def smpl_loss(R: Tensor, R_label: Tensor, betas: Tensor, betas_label: Tensor, has: Tensor) -> Tensor:
    """Of the optional SMPL head: squared errors of rotations (B, 24, 3, 3) and, a tenth of them, betas (B, 10)."""
    return _mean((R - R_label).square(), has) + 0.1 * _mean((betas - betas_label).square(), has)


def place_loss(points: Tensor, joints: Tensor, beta: float = 0.05) -> Tensor:
    """PCT's smooth L1 loss of places (B, J, 2) px, quadratic below ``beta``.

    Joints (B, J, 3) that are not seen count as right; the mean is over all.
    """
    return (joints[..., 2:] * F.smooth_l1_loss(points, joints[..., :2], reduction="none", beta=beta)).mean()


def pct_tokenizer_losses(
    found: Reconstruction, joints: Tensor, commitment: float = 15.0, beta: float = 0.05
) -> dict[str, Tensor]:
    """Of PCT's tokenizer: the terms, unweighted, and ``total``; the weights are those of the released code.

    Args:
        joints: (B, J, 3) px, the truth; joints that training dropped count all the same.
        commitment: Weight of the commitment.
    """
    terms = {"joints": place_loss(found.joints, joints, beta), "commitment": found.commitment}
    return {**terms, "total": terms["joints"] + commitment * terms["commitment"]}


def pct_classifier_losses(
    logits: Tensor, points: Tensor, tokens: Tensor, joints: Tensor, beta: float = 0.05
) -> dict[str, Tensor]:
    """Of PCT's classifier: cross-entropy of the tokens, smooth L1 of the joints, and ``total``, their sum.

    Args:
        logits: (B, M, K).
        points: (B, J, 2) px, decoded from the tokens that were found.
        tokens: (B, M) of the true pose, from the tokenizer's encoder.
        joints: (B, J, 3) px, the true pose.
    """
    terms = {
        "tokens": F.cross_entropy(logits.flatten(0, 1), tokens.flatten()),
        "joints": place_loss(points, joints, beta),
    }
    return {**terms, "total": terms["tokens"] + terms["joints"]}


def noisy_tokens(head: PctHead, logits: Tensor, sigma: float, generator: torch.Generator | None = None) -> PoseTokens:
    """Tokens of logits (B, M, K) with normal noise of deviation ``sigma`` (appendix C, which does not say how much)."""
    noise = torch.randn(logits.shape, generator=generator, device=logits.device)
    return head.read(logits + sigma * noise)


def true_tokens(
    tokenizer: PctTokenizer, joints: Tensor, features: Tensor | None = None, score: float = TRUE_SCORE
) -> tuple[Tensor, Tensor]:
    """Upper bound (appendix E): embeddings (B, M, D) of the true 2D pose (B, J, 3), and their score (B, M, 1).

    Args:
        features: (B, J, C), see :meth:`PctTokenizer.latent`.
    """
    embeddings = tokenizer.look_up(tokenizer.encode(joints, features))
    return embeddings, torch.full_like(embeddings[..., :1], score)


def _mean(error: Tensor, has: Tensor) -> Tensor:
    """Over the samples (B, ...) that have a label."""
    has = has.bool()
    return torch.where(has, error.flatten(1).mean(1), 0.0).sum() / has.sum().clamp_min(1)


def _lengths(vertices: Tensor, edges: Tensor) -> Tensor:
    """(B, V, 3), (E, 2) -> (B, E); a little above 0 where both ends meet, for the gradient."""
    return ((vertices[:, edges[:, 0]] - vertices[:, edges[:, 1]]).square().sum(-1) + 1e-8).sqrt()


def _sides(vertices: Tensor, faces: Tensor) -> Tensor:
    """Directions of the sides of triangles: (B, V, 3), (F, 3) -> (B, 3, F, 3)."""
    a, b, c = (vertices[:, faces[:, corner]] for corner in range(3))
    return F.normalize(torch.stack([b - a, c - a, c - b], 1), dim=-1)
