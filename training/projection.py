"""Projections in torch, for losses in the picture."""

from __future__ import annotations

from torch import Tensor


def perspective(p: Tensor, translation: Tensor, focal: Tensor) -> Tensor:
    """Points (..., n, 3) m, moved by the camera's translation (..., 3) m -> (..., n, 2) in the unit of ``focal``.

    Args:
        focal: (..., 2) for x and y. In pixels it gives pixels from the principal point; divided by the crop's side, as
            TokenHMR does, it gives crop coordinates in [-0.5, 0.5].
    """
    p_camera = p + translation[..., None, :]
    return focal[..., None, :] * p_camera[..., :2] / p_camera[..., 2:]


def orthographic(points: Tensor, camera: Tensor, shift_scaled: bool = True) -> Tensor:
    """Points (B, n, 3) m -> (B, n, 2) in the picture, -1 to 1, through cameras (B, 3) of scale s and shift t.

    Args:
        shift_scaled: ``s (X + t)``, as all released code has it; otherwise ``s X + t``, as VQ-HPS's paper has (Eq. 3).
    """
    scale, shift = camera[:, None, :1], camera[:, None, 1:]
    return scale * (points[..., :2] + shift) if shift_scaled else scale * points[..., :2] + shift
