"""Training, validation and test sets: by subject, never by frame, so that no held-out pose has a twin in training."""

from __future__ import annotations

import zlib
from typing import Literal

from training.datasets.motion import Motion

Split = Literal["train", "val", "test", "ood"]
SPLITS: tuple[Split, ...] = ("train", "val", "test", "ood")

OOD_SOURCES = frozenset({"deepmimic"})  # held out whole: out of distribution
# Chosen so that the test set has floor work, crouching and lifting (ACCAD's second actor) beside walking.
_TEST = frozenset({"accad/male1", "cmu/03", "cmu/07"})
_VAL = frozenset({"cmu/02", "cmu/06"})
_KNOWN = ("accad/", "cmu/", "cmu_eval/")  # every other subject of these is for training


def split_of(motion: Motion) -> Split:
    """The set a motion belongs to. Subjects of sources not listed here go 80 : 10 : 10 by a hash of their name."""
    if motion.source in OOD_SOURCES:
        return "ood"
    if motion.subject in _TEST:
        return "test"
    if motion.subject in _VAL:
        return "val"
    if motion.subject.startswith(_KNOWN):
        return "train"
    bucket = zlib.crc32(motion.subject.encode()) % 10
    return "val" if bucket == 8 else "test" if bucket == 9 else "train"
