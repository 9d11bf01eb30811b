"""How often each sort of motion is drawn from the corpus for the learned capture."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from training.datasets.corpus import Corpus

# Three quarters of the distinct poses are limbs of one put to the trunk of another: they keep a network from learning
# whole bodies by heart, but too many of them make it bad at bodies as they are.
_SHARES = {"recorded": 0.55, "scripted": 0.25, "recombined": 0.1, "recombined_pose": 0.1}
_BRISK_M_S = 2.0  # moments in which somebody moves on as fast come twice as often as those in which he stands


def sort_of(corpus: Corpus, clips: NDArray[np.int64]) -> NDArray[np.str_]:
    """For each clip one of recorded, recombined (clips), recombined_pose (single poses) and scripted (all others)."""
    names = corpus.clips["kind_names"]
    known = np.array([name if name in _SHARES else "scripted" for name in names])
    return np.asarray(known[corpus.clips["kind"][clips]])


class Mixture:
    """Draws from items of several sorts, each sort with its share; what a sort lacks the others get.

    Args:
        sorts: (N,) names of the items' sorts, see :func:`sort_of`.
        weights: (N,) how often an item comes among those of its sort; without them all as often.
    """

    def __init__(self, sorts: NDArray[np.str_], weights: NDArray[np.float64] | None = None) -> None:
        groups = [(share, np.flatnonzero(sorts == name)) for name, share in _SHARES.items()]
        groups = [(share, group) for share, group in groups if len(group)]
        self._groups = [torch.from_numpy(group) for _, group in groups]
        self._shares = torch.tensor([share for share, _ in groups])
        self._ends = [None if weights is None else _ends(weights[group]) for _, group in groups]

    def __call__(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Items (count,) int64."""
        which = torch.multinomial(self._shares, count, replacement=True, generator=generator)
        draw = torch.rand(count, generator=generator)
        chosen = torch.empty(count, dtype=torch.int64)
        for number, (group, ends) in enumerate(zip(self._groups, self._ends, strict=True)):
            here = which == number
            place = (draw[here] * len(group)).long() if ends is None else torch.searchsorted(ends, draw[here].double())
            chosen[here] = group[place]
        return chosen


def _ends(weights: NDArray[np.float64]) -> torch.Tensor:
    """Where in [0, 1] each item's part ends."""
    ends = np.cumsum(weights)
    return torch.from_numpy(ends / ends[-1])


class Poses:
    """Rows of a split of the corpus: the training set in these shares, recordings as often as one another and moments
    in which somebody runs more often than those in which he stands; the held-out sets evenly.
    """

    def __init__(self, corpus: Corpus, split: str) -> None:
        rows = np.asarray(corpus.rows(split), np.int64)
        self.rows = torch.from_numpy(rows)
        clips = np.searchsorted(corpus.clips["start"], rows, side="right") - 1
        sorts = sort_of(corpus, clips)
        self._mixture = Mixture(sorts, _weights(corpus, rows, clips, sorts) if split == "train" else None)

    def __call__(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Rows (count,) int64."""
        return self.rows[self._mixture(count, generator)]


def _weights(
    corpus: Corpus, rows: NDArray[np.int64], clips: NDArray[np.int64], sorts: NDArray[np.str_]
) -> NDArray[np.float64]:
    """Of recorded rows, (N,): recordings of fast motion are short, and have few of the rows."""
    recorded = sorts == "recorded"
    first = corpus.clips["start"][clips[recorded]]
    last = first + corpus.clips["length"][clips[recorded]] - 1
    around = np.stack([np.maximum(rows[recorded] - 1, first), np.minimum(rows[recorded] + 1, last)])
    way = np.linalg.norm(np.diff(corpus.roots[around], axis=0)[0], axis=1)
    speed = way * corpus.clips["fps"][clips[recorded]] / np.maximum(np.diff(around, axis=0)[0], 1)
    weights = np.ones(len(rows))
    weights[recorded] = (1 + speed / _BRISK_M_S) / np.bincount(clips)[clips[recorded]]
    return weights
