"""How far the joints that a published system finds are off, on rendered people; the same for all systems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from mocap.errors import MocapError
from training.datasets.images.rendered import Rendered
from training.datasets.images.sample import Sample
from training.metrics import acceleration_error, mpjpe, pa_mpjpe
from training.published.examples import Examples, stacked

_BATCH = 64


class Validation:
    """Rendered people, cropped as in evaluation: single pictures, or clips as INT's evaluation takes them apart, each
    into several of every k-th frame.

    Args:
        people: Of a split that training does not see.
        examples: How to crop them; not augmented here.
        threads: That crop them.
        frame: A sample with the box that its crop is cut around.
        clip_frames: Of the clips that a network sees; 0: single pictures.

    Raises:
        MocapError: there are no clips, or not of a multiple of so many frames.
    """

    def __init__(
        self,
        people: Rendered,
        examples: Examples,
        threads: int = 4,
        frame: Callable[[Sample], Sample] = lambda sample: sample,
        clip_frames: int = 0,
    ) -> None:
        self.people, self._examples, self._pool = people, examples, ThreadPoolExecutor(threads)
        self._frame, self._clip_frames = frame, clip_frames
        everybody, length = np.arange(len(people)), people.clips.shape[1]
        self._rows = list(people.clips) if clip_frames else np.split(everybody, range(_BATCH, len(people), _BATCH))
        if clip_frames and (length % clip_frames or not len(people.clips)):
            found = f"{len(people.clips)} clips of {length}"
            raise MocapError(f"expected clips of a multiple of {clip_frames} frames to validate on, found {found}")

    @property
    def joints(self) -> Tensor:
        """True joints (N, 24, 3) m from the pelvis, in the axes of the samples."""
        people, rows = self.people, np.concatenate(self._rows)
        return (people.p_camera_joint[rows] - people.p_camera_joint[rows, :1]) @ people.R_camera_view[rows]

    def found(self, find: Callable[[Tensor], Tensor], device: torch.device | None = None) -> Tensor:
        """What ``find`` makes of everybody's pictures: (B, 3, S, S) -> (B, ...); of clips (B, T, 3, S, S) ->
        (B, T, ...), put into the frames' order (N, ...)."""
        parts = []
        for batch in self.batches(device):
            image = batch["image"]
            if self._clip_frames:
                clips = find(image.unflatten(0, (self._clip_frames, -1)).transpose(0, 1))
                parts.append(clips.transpose(0, 1).flatten(0, 1).float().cpu())
            else:
                parts.append(find(image).float().cpu())
        return torch.cat(parts)

    def batches(self, device: torch.device | None = None) -> Iterator[dict[str, Tensor]]:
        """Everybody's examples, in their order; of clips a whole one in each batch."""
        for rows in self._rows:
            crops = self._pool.map(lambda row: self._examples.plain(self._frame(self.people[int(row)])), rows)
            yield stacked(list(crops), device)

    def errors_mm(self, find: Callable[[Tensor], Tensor], device: torch.device | None = None) -> dict[str, float]:
        """MPJPE from the pelvis and PA-MPJPE of 24 joints: ``find`` gives them (B, 24, 3) m, in the pictures' axes. Of
        clips (B, T, 24, 3), and the error of their accelerations, mm per frame squared."""
        found, true = self.found(find, device), self.joints
        errors = joint_errors_mm(found, true)
        if not self._clip_frames:
            return errors
        a, b = ((p - p[:, :1]).double().numpy().reshape(len(self._rows), -1, *p.shape[1:]) for p in (found, true))
        accelerations = [acceleration_error(*pair, 1.0) for pair in zip(a, b, strict=True)]
        return {**errors, "acceleration_mm": 1e3 * float(np.mean(accelerations))}


def joint_errors_mm(found: Tensor, true: Tensor) -> dict[str, float]:
    """Means over people of joints (N, 24, 3) m: MPJPE, the pelvis at 0, and PA-MPJPE; in mm."""
    a, b = ((p - p[:, :1]).double().cpu().numpy() for p in (found, true))
    return {"mpjpe_mm": 1e3 * float(mpjpe(a, b).mean()), "pa_mpjpe_mm": 1e3 * float(pa_mpjpe(a, b).mean())}
