"""Stretches of consecutive frames of the corpus' clips."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mocap.errors import MocapError
from training.datasets.corpus import Corpus
from training.datasets.mixture import Mixture, sort_of
from training.datasets.splits import SPLITS


class Windows:
    """Stretches of so many frames, drawn from all clips of a split that are long enough, in the shares of ``mixture``.

    Raises:
        MocapError: no clip is long enough.
    """

    def __init__(self, corpus: Corpus, split: str, frames: int) -> None:
        clips = corpus.clips
        long = (clips["split"] == SPLITS.index(split)) & (clips["length"] >= frames) & (clips["fps"] > 0)
        self._clips = np.flatnonzero(long)
        if not len(self._clips):
            raise MocapError(f"{corpus.folder}: expected clips of {frames} frames or more in {split}, found none")
        self._mixture = Mixture(sort_of(corpus, self._clips))
        self._start, self._length, self._frames = clips["start"], clips["length"], frames

    def __call__(self, count: int, generator: torch.Generator) -> NDArray[np.int64]:
        """Rows (count, frames) of the corpus."""
        clips = self._clips[self._mixture(count, generator).numpy()]
        spare = self._length[clips] - self._frames + 1
        first = self._start[clips] + (torch.rand(count, generator=generator).numpy() * spare).astype(np.int64)
        return np.asarray(first[:, None] + np.arange(self._frames), np.int64)
