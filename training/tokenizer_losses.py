"""Losses of the pose tokenizer (TokenHMR, Eq. 5 and 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mocap.body.torch_rotations import geodesic_angle
from mocap.config import option
from mocap.errors import MocapError

Distance = Literal["l1", "l2", "geodesic"]


@dataclass(frozen=True)
class TokenizerLossWeights:
    """``rotation (L_theta) + joints (L_J) + vertices + embedding ||sg[z] - e||^2 + commitment ||z - sg[e]||^2``.

    The defaults are the paper's: lambda_RE = 50 on rotations and joints, L1 both, lambda_E = lambda_C = 1. The released
    configuration is ``rotation=20, joints=100, vertices=100, embedding=0`` with ``l2`` for all distances.
    """

    rotation: float = option(50.0, "weight of the rotations' distance", "WEIGHT", low=0)
    joints: float = option(50.0, "weight of the joints' distance, m", "WEIGHT", low=0)
    vertices: float = option(0.0, "weight of the mesh's distance, m; the paper has none", "WEIGHT", low=0)
    # No gradient: the codebook follows the latents by its moving averages.
    embedding: float = option(1.0, "weight of the codes' distance to the latents", "WEIGHT", low=0)
    commitment: float = option(1.0, "weight of the latents' distance to the codes", "WEIGHT", low=0)
    rotation_distance: Distance = option("l1", "of rotations: of their matrices' entries, or the angle")
    point_distance: Literal["l1", "l2"] = option("l1", "of joints and vertices")


def rotation_loss(R: Tensor, R_true: Tensor, distance: Distance = "l1") -> Tensor:
    """Mean distance of rotations (..., 3, 3): of their entries (l1, l2), or the angle between them in rad."""
    if distance == "geodesic":
        return geodesic_angle(R, R_true).mean()
    return _entries(distance)(R, R_true)


def point_loss(p: Tensor, p_true: Tensor, distance: Distance = "l1", weights: Tensor | None = None) -> Tensor:
    """Mean distance of the coordinates of points (..., n, 3), m.

    Args:
        weights: (n,) per point, as from :func:`vertex_areas`; mean 1.
    """
    if weights is None:
        return _entries(distance)(p, p_true)
    return _entries(distance)(p, p_true, reduction="none").mul(weights[:, None]).mean()


def vertex_areas(vertices: Tensor, faces: Tensor) -> Tensor:
    """A third of the area of each vertex' triangles, divided by the mean: (V, 3) m, (F, 3) -> (V,).

    With these weights a vertex stands for its share of the surface, and dense hands and face do not outvote the limbs.
    """
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    double_area = torch.linalg.cross(b - a, c - a).norm(dim=-1)
    areas = torch.zeros_like(vertices[:, 0]).index_add_(0, faces.flatten(), double_area.repeat_interleave(3))
    return areas / areas.mean()


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """How far two samples are from one distribution: (..., n, d), (..., m, d) -> (...), 0 on average if they have one.

    ``2 E|x - y| - E|x - x'| - E|y - y'|`` over pairs of different members (Székely and Rizzo, 2013).
    """
    between = torch.cdist(x, y).mean((-2, -1))
    within = (torch.cdist(part, part).sum((-2, -1)) / (part.shape[-2] * (part.shape[-2] - 1)) for part in (x, y))
    return 2 * between - sum(within)


def tokenizer_losses(
    weights: TokenizerLossWeights,
    R: tuple[Tensor, Tensor],
    commitment: Tensor,
    joints: tuple[Tensor, Tensor] | None = None,
    vertices: tuple[Tensor, Tensor] | None = None,
    vertex_weights: Tensor | None = None,
) -> dict[str, Tensor]:
    """The terms, unweighted, and ``total``, weighted.

    Args:
        R: Reconstruction and truth (B, 21, 3, 3); the truth without noise.
        commitment: From the quantiser, a mean over entries; the embedding term has the same value.
        joints: Reconstruction and truth (B, n, 3) m.
        vertices: Reconstruction and truth (B, V, 3) m.

    Raises:
        MocapError: a term has a weight, and its points are not given.
    """
    points = {"joints": joints, "vertices": vertices}
    for name, pair in points.items():
        if getattr(weights, name) and pair is None:
            raise MocapError(f"Tokenizer losses: expected {name}, since their weight is {getattr(weights, name)}")
    terms = {"rotation": rotation_loss(*R, weights.rotation_distance)}
    for name, pair in points.items():
        if pair is not None:
            terms[name] = point_loss(*pair, weights.point_distance, vertex_weights if name == "vertices" else None)
    terms |= {"embedding": commitment.detach(), "commitment": commitment}
    total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
    return {**terms, "total": total}


def _entries(distance: str) -> Callable[..., Tensor]:
    functions: dict[str, Callable[..., Tensor]] = {"l1": F.l1_loss, "l2": F.mse_loss}
    if distance not in functions:
        raise MocapError(f"Tokenizer losses: expected distance l1 or l2, found '{distance}'")
    return functions[distance]
