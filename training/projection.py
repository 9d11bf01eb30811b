"""Perspective projection in torch, for losses in the picture."""

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
