"""The landmark network with what MediaPipe does to its outputs, as one network: refined landmarks and pooled features.

So it runs wherever the network runs, and the heatmaps never leave a GPU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocap.models.tflite_module import TfliteModule

_KERNEL = 3  # cells to each side of a landmark's own
_MIN_CONFIDENCE = 0.5
_BODY, _POINTS = 33, 35  # landmarks; with the two auxiliary points that give the next square


class Landmarks(nn.Module):
    """The landmark network's input ``image`` (B, S, S, 3) -> see :func:`mocap.models.blazepose.load_landmarker`.

    Args:
        network: Gives ``landmarks``, ``presence``, ``world``, ``heatmaps`` and, where features are wanted,
            ``features_8``.
    """

    def __init__(self, network: TfliteModule, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        raw = {name: value.float() for name, value in self.network(image).items()}
        points = raw["landmarks"][:, :_POINTS]
        refined = refine(points[..., :2], raw["heatmaps"][..., :_POINTS], self.size)
        out = {
            "landmarks": torch.cat([refined, points[..., 2:3]], -1),
            "visibility": torch.sigmoid(points[:, :_BODY, 3]),
            "presence": raw["presence"],
            "world": raw["world"][:, :_BODY],
        }
        if "features_8" in raw:
            pooled = F.avg_pool2d(raw["features_8"].permute(0, 3, 1, 2), 2)
            out["features"] = pooled.flatten(2).transpose(1, 2)
        return out


def refine(points: Tensor, heatmaps: Tensor, size: int) -> Tensor:
    """Move each landmark to the weighted mean of its heatmap nearby, where the heatmap is confident.

    MediaPipe's ``RefineLandmarksFromHeatmapCalculator`` with a kernel of 7 cells and a confidence of 0.5. Instead of
    looking up a window, all cells are taken and those outside weigh nothing: static shapes, nothing is indexed.

    Args:
        points: (B, K, 2) pixels of the crop.
        heatmaps: (B, H, W, K) logits.
        size: Side of the crop, px.

    Returns:
        (B, K, 2) pixels of the crop. NaN where the heatmap around a point is.
    """
    cell_px = size / heatmaps.shape[1]
    cells = torch.arange(heatmaps.shape[1], device=points.device, dtype=points.dtype)
    places = points / cell_px
    inside = ((places > -1) & (places < len(cells))).all(-1)  # MediaPipe cuts decimals off: -0.9 is in cell 0
    near = (places.clamp(min=0).floor()[..., None] - cells).abs() <= _KERNEL  # (B, K, 2, cells); false for NaN
    window = near[:, :, 1, :, None] & near[:, :, 0, None, :]
    weight = torch.where(window, torch.sigmoid(heatmaps.permute(0, 3, 1, 2)), 0.0)  # (B, K, H, W)
    columns, rows = weight.sum(2), weight.sum(3)
    total = columns.sum(-1)
    mean = torch.stack([(columns * cells).sum(-1), (rows * cells).sum(-1)], -1) / total.clamp(min=1e-12)[..., None]
    confident = inside & (weight.amax((2, 3)) >= _MIN_CONFIDENCE)
    refined = torch.where(confident[..., None], mean * cell_px, points)
    return torch.where(torch.isnan(total)[..., None], total[..., None], refined)
