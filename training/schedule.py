"""What a training step sees and how far it goes, as functions of the step alone: samples, learning rate, averaging."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mocap.errors import MocapError


class Sampler:
    """Rows of the training set for every step: a new permutation each epoch; epochs follow without a gap."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        if count < batch_size:
            raise MocapError(f"the training set has {count} samples, fewer than a batch of {batch_size}")
        self._count, self._batch_size, self._seed = count, batch_size, seed
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    def __call__(self, step: int) -> NDArray[np.int64]:
        """Rows (batch_size,) of a step."""
        first = step * self._batch_size
        places = np.arange(first, first + self._batch_size)
        rows = np.empty(self._batch_size, np.int64)
        for epoch in range(first // self._count, places[-1] // self._count + 1):
            inside = places // self._count == epoch
            rows[inside] = self._permutation(epoch)[places[inside] % self._count]
        return rows

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng([self._seed, epoch]).permutation(self._count)
        return self._order


def learning_rate_at(step: int, top: float, warmup_steps: int, steps: int) -> float:
    """Warm-up to ``top``, then a cosine to a hundredth of it."""
    if step < warmup_steps:
        return top * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return top * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def stepped_learning_rate(step: int, top: float, warmup_steps: int, milestones: Sequence[int]) -> float:
    """Warm-up to ``top``, then a tenth of it from each milestone on."""
    if step < warmup_steps:
        return top * (step + 1) / warmup_steps
    return top * 0.1 ** sum(step >= milestone for milestone in milestones)


Tensors = tuple[Tensor, ...] | list[Tensor]


def moving_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """EMA whose decay rises to ``decay``, (1 + n) / (10 + n) after n updates, so that it soon forgets the start."""

    @torch.no_grad()
    def update(average: Tensors, weights: Tensors, count: Tensor | int) -> None:
        torch._foreach_lerp_(average, weights, 1 - min(decay, (1 + int(count)) / (10 + int(count))))

    return update


class WeightAverage(AveragedModel):
    """The moving average of a network's weights. BatchNorm's running statistics are averaged with them, since those of
    the network are not those of the average; other buffers (codebooks) are the network's.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._update = moving_average(decay)
        super().__init__(network, multi_avg_fn=self._update)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """After a step of the network."""
        count, kept = int(self.n_averaged), [statistic.clone() for statistic in _running_statistics(self.module)]
        super().update_parameters(model)
        if count and kept:
            self._update(kept, _running_statistics(model), count)
            torch._foreach_copy_(_running_statistics(self.module), kept)


def _running_statistics(network: nn.Module) -> list[Tensor]:
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._NormBase)]
    return [statistic for norm in norms for statistic in (norm.running_mean, norm.running_var) if statistic is not None]
