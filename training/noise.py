"""Noise on the tokenizer's input: some joints of each pose are turned, more as training goes on.

TokenHMR (section 5.1) disturbs random joints by noise that starts at 1e-3 and is raised every 5,000 iterations. The
released code writes its noise into a copy, so that the network never saw any; here the result is returned, and the
target is another tensor. How fast the noise rises is not published; ``growth`` and ``most`` are this project's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mocap.body.torch_rotations import axis_angle_to_matrix, random_rotations
from mocap.config import option


@dataclass(frozen=True)
class ProgressiveNoise:
    """``noise(R, iteration)`` gives disturbed poses; the argument is left as it is."""

    joints: float = option(0.3, "share of joints that are turned", "0…1", low=0, high=1)
    start: float = option(1e-3, "standard deviation of the rotation vector's entries at first", "RAD", low=0)
    growth: float = option(1.25, "factor on it at each rise", low=1)
    every: int = option(5000, "steps from one rise to the next", "N", low=1)
    most: float = option(0.2, "where it ends", "RAD", low=0)
    replaced: float = option(0.0, "share of joints that become random rotations, in step with it", "0…1", low=0, high=1)

    def level(self, iteration: int) -> float:
        """Standard deviation of the turns, rad."""
        growth = math.exp(min(700.0, iteration // self.every * math.log(self.growth)))  # 700: no overflow
        return min(self.most, self.start * growth)

    def __call__(self, R: Tensor, iteration: int, generator: torch.Generator | None = None) -> Tensor:
        """Poses (B, n, 3, 3) -> poses (B, n, 3, 3) with turned joints, ``R exp(noise)``: still rotations.

        Args:
            generator: On the device of ``R``; not given: torch's own.
        """
        level = self.level(iteration)
        R = torch.where(self._chosen(R, self.joints, generator), R @ self._turns(R, level, generator), R)
        replaced = self.replaced * level / self.most
        if replaced == 0:
            return R
        others = random_rotations(R.shape[:-2], generator, R.device).to(R.dtype)
        return torch.where(self._chosen(R, replaced, generator), others, R)

    @staticmethod
    def _chosen(R: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
        return torch.rand((*R.shape[:-2], 1, 1), generator=generator, device=R.device) < share

    @staticmethod
    def _turns(R: Tensor, level: float, generator: torch.Generator | None) -> Tensor:
        vectors = torch.randn(R.shape[:-1], generator=generator, device=R.device, dtype=torch.float32)
        return axis_angle_to_matrix(level * vectors).to(R.dtype)
