"""A frame as networks look at it: squares of it, cut and scaled by OpenCV, or on the GPU that the network runs on."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mocap.types import Array

if TYPE_CHECKING:
    from torch import Tensor


class Picture:
    """A frame.

    Args:
        rgb: (H, W, 3) uint8.
    """

    def __init__(self, rgb: NDArray[np.uint8]) -> None:
        self.rgb = rgb
        self._uploaded: dict[str, Tensor] = {}

    def squares(self, maps: Array, size: int, low: float, repeat: bool, home: str | None = None) -> Any:
        """Squares as a network takes them, (B, size, size, 3) float32 in [low, 1].

        As MediaPipe does, the maps are applied to pixel indices, not to pixel centres. That puts landmarks half a pixel
        of the crop (0.2 % of its side) to the lower right; in return the network sees the very pixels that MediaPipe's
        does.

        Args:
            maps: (B, 2, 3) affine, from pixels of a square to pixels of the frame.
            size: Side, px.
            low: Value of black.
            repeat: Whether the pixels at the frame's border go on beyond it; else it is black there.
            home: The torch device of the network. The frame goes there once, and the squares are a tensor there.
        """
        if home is None:
            return _cut(self.rgb, maps, size, low, repeat)
        if home not in self._uploaded:
            self._uploaded[home] = _upload(self.rgb, home)
        return _sample(self._uploaded[home], maps, size, low, repeat)


def _cut(rgb: NDArray[np.uint8], maps: Array, size: int, low: float, repeat: bool) -> Array:
    """By OpenCV, which knows 32 places between two pixels."""
    pictures = np.empty((len(maps), size, size, 3), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_REPLICATE if repeat else cv2.BORDER_CONSTANT
    for picture, matrix in zip(pictures, maps, strict=True):
        cv2.warpAffine(rgb, matrix.astype(np.float64), (size, size), dst=picture, flags=flags, borderMode=border)
    values = np.multiply(pictures, np.float32((1 - low) / 255), dtype=np.float32)
    return values + np.float32(low) if low else values


def _sample(frame: Tensor, maps: Array, size: int, low: float, repeat: bool) -> Tensor:
    """All squares at once by torch, where the frame (1, 3, H, W) is."""
    import torch
    import torch.nn.functional as F

    height, width = frame.shape[2:]
    place = torch.arange(size, device=frame.device, dtype=torch.float32)
    y, x = torch.meshgrid(place, place, indexing="ij")
    # From pixel indices to grid_sample's coordinates: -1 and 1 are the centres of the outermost pixels.
    scale, shift = 2 / np.maximum(np.array([[width], [height]]) - 1, 1), np.array([0, 0, 1])
    normal = torch.from_numpy((maps * scale - shift).astype(np.float32)).to(frame.device)
    grid = torch.einsum("bij,jyx->byxi", normal, torch.stack([x, y, torch.ones_like(x)]))
    padding = "border" if repeat else "zeros"
    values = F.grid_sample(
        frame.expand(len(maps), -1, -1, -1), grid, mode="bilinear", padding_mode=padding, align_corners=True
    )
    return values.permute(0, 2, 3, 1) * ((1 - low) / 255) + low


def _upload(rgb: NDArray[np.uint8], home: str) -> Tensor:
    """(1, 3, H, W) float32 on a device, through memory that it can read by itself."""
    import torch

    if torch.device(home).type == "cpu":
        pixels = torch.from_numpy(rgb)
    else:
        pixels = _pinned(rgb.shape).copy_(torch.from_numpy(rgb)).to(home, non_blocking=True)
    return pixels.permute(2, 0, 1)[None].float()


@functools.lru_cache(maxsize=1)
def _pinned(shape: tuple[int, ...]) -> Tensor:
    """One for all frames: each frame's results are waited for before the next one comes."""
    import torch

    return torch.empty(shape, dtype=torch.uint8, pin_memory=True)
