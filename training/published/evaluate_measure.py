"""One data set through a protocol: means over its people."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from mocap.errors import MocapError
from training.metrics import accelerations, mean_of
from training.published.evaluate_data import People, load_units
from training.published.evaluate_figures import ACCELERATION, METRICS
from training.published.evaluate_protocol import Compared, Protocol

log = logging.getLogger(__name__)
_MM = 1000.0


@dataclass
class Measured:
    """Of one data set."""

    people: int = 0  # counted, those with a failed network among them
    failed: int = 0  # of whom the network gave numbers that are not finite: they are not in the means
    compared: list[Compared] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)  # of each person who was compared

    def means(self, across_videos: bool = False) -> dict[str, float]:
        """By a name of METRICS, mm, and mm per frame²; NaN: no truth of this, or nobody whom the network saw.

        Args:
            across_videos: Accelerations go on from a video's last frame to the next one's first.
        """
        found = {
            name: _MM * mean_of(np.concatenate([np.zeros(0), *(part.errors[name] for part in self.compared)]))
            for name in METRICS
            if name != ACCELERATION
        }
        if any(part.found is not None for part in self.compared):
            found[ACCELERATION] = _MM * self._acceleration(across_videos)
        return found

    def _acceleration(self, across_videos: bool) -> float:
        """Mean size of the difference of accelerations, m per frame²."""
        parts = [part.found - part.true for part in self.compared if part.found is not None and part.true is not None]
        videos = np.array([""] * len(self.videos) if across_videos else self.videos)
        borders = np.flatnonzero(videos[1:] != videos[:-1]) + 1
        sizes = [accelerations(video, 1.0).ravel() for video in np.split(np.concatenate(parts), borders)]
        return mean_of(np.concatenate(sizes))


@torch.inference_mode()
def measure(protocol: Protocol, people: People, device: torch.device, limit: int = 0, workers: int = 4) -> Measured:
    """Everybody who counts, once; with a progress bar.

    Args:
        limit: Only the first so many; 0: all.
        workers: Threads that read pictures.

    Raises:
        MocapError: there is nobody to count, a picture is missing, or labels lack what the protocol needs.
    """
    units = protocol.units(people, limit)
    if not units:
        raise MocapError(f"--data {protocol.data}: expected people to count, found none that the data set calls valid")
    result, first = Measured(), first_seen(units)
    with tqdm(total=sum(int(new.sum()) for new in first), desc=protocol.data, unit="person", disable=None) as bar:
        for new, (samples, pictures) in zip(first, load_units(people, units, protocol.crop, workers), strict=True):
            found = protocol.predict(pictures.to(device))
            finite = found.vertices.isfinite().flatten(1).all(1).cpu().numpy()
            counted = new & np.array([protocol.counts(sample) for sample in samples])
            result.people += int(counted.sum())
            result.failed += int((counted & ~finite).sum())
            rows = np.flatnonzero(counted & finite)
            if len(rows):
                result.compared.append(protocol.compare(found.of(rows), [samples[row] for row in rows]))
                result.videos += [samples[row].video for row in rows]
            bar.update(int(new.sum()))
    if result.failed:
        log.error("%s: output is not finite for %d of %d people", protocol.data, result.failed, result.people)
    return result


def first_seen(units: Sequence[NDArray[np.int64]]) -> list[NDArray[np.bool_]]:
    """Where a row comes for the first time in units of rows: clips repeat frames to fill up."""
    rows = np.concatenate(units)
    new = np.zeros(len(rows), bool)
    new[np.unique(rows, return_index=True)[1]] = True
    return np.split(new, np.cumsum([len(unit) for unit in units])[:-1])
