"""How often each sort of motion is drawn from the corpus for the learned capture."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from training.datasets.corpus import Corpus

# Three quarters of the distinct poses are limbs of one put to the trunk of another: they keep a network from learning
# whole bodies by heart, but too many of them make it bad at bodies as they are.
_SHARES = {"recorded": 0.55, "scripted": 0.25, "recombined": 0.1, "recombined_pose": 0.1}


def sort_of(corpus: Corpus, clips: NDArray[np.int64]) -> NDArray[np.str_]:
    """For each clip one of recorded, recombined (clips), recombined_pose (single poses) and scripted (all others)."""
    names = corpus.clips["kind_names"]
    known = np.array([name if name in _SHARES else "scripted" for name in names])
    return np.asarray(known[corpus.clips["kind"][clips]])


class Mixture:
    """Draws from items of several sorts, each sort with its share; what a sort lacks the others get.

    Args:
        sorts: (N,) names of the items' sorts, see :func:`sort_of`.
    """

    def __init__(self, sorts: NDArray[np.str_]) -> None:
        groups = [(share, np.flatnonzero(sorts == name)) for name, share in _SHARES.items()]
        groups = [(share, group) for share, group in groups if len(group)]
        self._groups = [torch.from_numpy(group) for _, group in groups]
        self._shares = torch.tensor([share for share, _ in groups])

    def __call__(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Items (count,) int64."""
        which = torch.multinomial(self._shares, count, replacement=True, generator=generator)
        draw = torch.rand(count, generator=generator)
        chosen = torch.empty(count, dtype=torch.int64)
        for number, group in enumerate(self._groups):
            here = which == number
            chosen[here] = group[(draw[here] * len(group)).long()]
        return chosen


class Poses:
    """Rows of a split of the corpus: the training set in these shares, the held-out sets evenly."""

    def __init__(self, corpus: Corpus, split: str) -> None:
        self.rows = torch.from_numpy(np.asarray(corpus.rows(split), np.int64))
        clips = np.searchsorted(corpus.clips["start"], self.rows.numpy(), side="right") - 1
        self._mixture = Mixture(sort_of(corpus, clips))

    def __call__(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Rows (count,) int64."""
        return self.rows[self._mixture(count, generator)]
