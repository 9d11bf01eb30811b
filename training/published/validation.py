"""How far the joints that a published system finds are off, on rendered people; the same for all systems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from training.datasets.images.rendered import Rendered
from training.datasets.images.sample import Sample
from training.metrics import mpjpe, pa_mpjpe
from training.published.examples import Examples, stacked

_BATCH = 64


class Validation:
    """Rendered people, cropped as in evaluation.

    Args:
        people: Of a split that training does not see.
        examples: How to crop them; not augmented here.
        threads: That crop them.
        frame: A sample with the box that its crop is cut around.
    """

    def __init__(
        self,
        people: Rendered,
        examples: Examples,
        threads: int = 4,
        frame: Callable[[Sample], Sample] = lambda sample: sample,
    ) -> None:
        self.people, self._examples, self._pool = people, examples, ThreadPoolExecutor(threads)
        self._frame = frame

    @property
    def joints(self) -> Tensor:
        """True joints (N, 24, 3) m from the pelvis, in the axes of the samples."""
        people = self.people
        return (people.p_camera_joint - people.p_camera_joint[:, :1]) @ people.R_camera_view

    def found(self, find: Callable[[Tensor], Tensor], device: torch.device | None = None) -> Tensor:
        """What ``find`` makes of everybody's pictures: (B, 3, S, S) -> (B, ...)."""
        return torch.cat([find(batch["image"]).float().cpu() for batch in self.batches(device)])

    def batches(self, device: torch.device | None = None) -> Iterator[dict[str, Tensor]]:
        """Everybody's examples, in their order."""
        for first in range(0, len(self.people), _BATCH):
            rows = range(first, min(first + _BATCH, len(self.people)))
            crops = self._pool.map(lambda row: self._examples.plain(self._frame(self.people[row])), rows)
            yield stacked(list(crops), device)

    def errors_mm(self, find: Callable[[Tensor], Tensor], device: torch.device | None = None) -> dict[str, float]:
        """MPJPE from the pelvis and PA-MPJPE of 24 joints: ``find`` gives them (B, 24, 3) m, in the pictures' axes."""
        return joint_errors_mm(self.found(find, device), self.joints)


def joint_errors_mm(found: Tensor, true: Tensor) -> dict[str, float]:
    """Means over people of joints (N, 24, 3) m: MPJPE, the pelvis at 0, and PA-MPJPE; in mm."""
    a, b = ((p - p[:, :1]).double().cpu().numpy() for p in (found, true))
    return {"mpjpe_mm": 1e3 * float(mpjpe(a, b).mean()), "pa_mpjpe_mm": 1e3 * float(pa_mpjpe(a, b).mean())}
