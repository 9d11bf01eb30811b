"""The recorded motion that the corpus is made of: offsets removed, one frame rate, by split."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mocap.errors import MocapError
from training.corpus.recombine import FPS
from training.datasets.fitted import read_fitted
from training.datasets.motion import Motion, resample
from training.datasets.offsets import constant_offsets, degrees, remove_offsets
from training.datasets.packed import read_packed
from training.datasets.splits import OOD_SOURCES, split_of

FITTED = "accad_c3d"
# The packed file holds a retarget of the recordings whose markers were fitted: the fit replaces it.
REPLACED_BY_FIT = "accad"


@dataclass(frozen=True)
class Recorded:
    motions: list[Motion]  # at FPS, offsets removed
    raw: list[Motion]  # the same before offsets were removed
    offsets_deg: dict[str, dict[str, float]] = field(default_factory=dict)  # source -> joint -> degrees taken out


def read_recorded(shared: Path, markers: Path) -> Recorded:
    """All packed motion under ``shared/mocap`` and all fitted marker motion.

    Raises:
        MocapError: one of the two is not there.
    """
    files = sorted((shared / "mocap").glob("*_smpl22*.npz"))
    if not files:
        raise MocapError(f"expected packed motion *_smpl22*.npz in {shared / 'mocap'}, found none; give --shared DIR")
    motions = read_fitted(markers)
    motions += [m for file in files for m in read_packed(file) if m.source != REPLACED_BY_FIT]
    return without_offsets([resample(m, FPS) for m in motions if m.num_frames > 1])


def without_offsets(motions: list[Motion]) -> Recorded:
    """Offsets are found on a source's training subjects; on all of a source that is held out whole."""
    by_source: dict[str, list[Motion]] = defaultdict(list)
    for motion in motions:
        by_source[motion.source].append(motion)
    offsets = {}
    for source, own in by_source.items():
        known = [m for m in own if source in OOD_SOURCES or split_of(m) == "train"]
        if known and source != FITTED:  # markers were fitted to this very body: nothing to take out
            offsets[source] = constant_offsets(known)
    cleaned = [remove_offsets(m, offsets[m.source]) if m.source in offsets else m for m in motions]
    report = {source: degrees(found) for source, found in sorted(offsets.items())}
    return Recorded(cleaned, motions, report)


def total_hours(motions: list[Motion]) -> float:
    return float(np.sum([m.seconds for m in motions])) / 3600
