"""Reads what ``training.synthesize`` wrote."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mocap.body.torch_figure import Figure
from mocap.errors import MocapError
from training.capture.truth import FLIP_YZ, Seen, Truth
from training.evaluation.truth import STRANGER

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shards:
    """N frames. Where nobody, or somebody else, was seen, visibility is -1."""

    truth: Truth
    seen: Seen
    clip_frames: int  # frames of each clip, which follow one another; 1: unrelated frames

    def __len__(self) -> int:
        return len(self.truth)


def load_shards(folder: Path, figure: Figure, most: int = 0, cut: bool = True) -> Shards:
    """All shards of a folder, or the first ``most`` frames' worth of them. Single frames without a person are left out,
    and where ``cut`` is off, pictures of which a window was left.

    Raises:
        MocapError: there are none.
    """
    files = sorted(Path(folder).glob("*.npz"))
    if not files:
        raise MocapError(f"expected shards in {folder}, found none. Make them: python -m training.synthesize")
    truths, seens, count = [], [], 0
    lengths = {int(file.stem.split("_")[-2]) for file in files}
    if len(lengths) > 1:
        raise MocapError(f"{folder}: expected shards of one length of clips, found {sorted(lengths)} frames")
    clip_frames = lengths.pop()
    for file in tqdm(files, desc=str(folder), unit="shard", leave=False):
        with np.load(file) as shard:
            arrays = {name: torch.from_numpy(shard[name]) for name in shard.files}
        if not cut:
            arrays = {name: array[~arrays["cut"]] for name, array in arrays.items()}
        truth = _truth(arrays, figure)
        seen = _seen(arrays, truth)
        if clip_frames == 1:
            truth, seen = truth[seen.there], seen[seen.there]
        truths.append(truth)
        seens.append(seen)
        count += len(truth)
        if most and count >= most:
            break
    found = Shards(Truth.join(truths), Seen.join(seens), clip_frames)
    share = float(found.seen.there.float().mean())
    log.info("%s: %s frames, a person seen in %.1f %%", folder, f"{len(found):,}", 100 * share)
    return found


def _truth(arrays: dict[str, Tensor], figure: Figure) -> Truth:
    R_camera_world = arrays["R_camera_world"]
    R = arrays["R"][:, :22].clone()
    R[:, 0] = FLIP_YZ @ R_camera_world @ R[:, 0]
    pitch = torch.asin(-R_camera_world[:, 2, 1].clamp(-1, 1))
    root = arrays["p_camera_joint"][:, 0]
    return Truth.of(figure, R, arrays["betas"], root, arrays["focal_px"], arrays["size_px"], pitch)


def _seen(arrays: dict[str, Tensor], truth: Truth) -> Seen:
    true = truth.project(truth.p_camera_landmark)
    px, roi = arrays["landmarks_px"], arrays["roi"]
    off = (px[..., :2] - true).norm(dim=-1).median(1).values / roi[:, 2].clamp_min(1)
    gone = (arrays["score"] <= 0) | (off > STRANGER)
    return Seen(px, arrays["landmarks_world"], arrays["visibility"], roi, arrays["features"]).without(gone)
