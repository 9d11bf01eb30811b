"""A corpus of a few random poses, in the layout of ``training.make_corpus``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

SPLITS = {"train": 200, "val": 40, "test": 40, "ood": 40}


def write_small_corpus(folder: Path) -> None:
    """One clip for each split, of poses that turn each joint by some 20°."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    count = sum(SPLITS.values())
    turns = Rotation.from_rotvec(random.normal(0, 0.35, (count * 22, 3)))
    wxyz = np.roll(turns.as_quat(), 1, -1).reshape(count, 22, 4)
    np.save(folder / "quats.npy", wxyz.astype(np.float16))
    np.save(folder / "roots.npy", np.zeros((count, 3), np.float32))
    lengths = np.array(list(SPLITS.values()))
    np.savez(
        folder / "clips.npz",
        start=np.cumsum(lengths) - lengths,
        length=lengths,
        fps=np.full(4, 30.0),
        split=np.arange(4, dtype=np.int8),
        source=np.zeros(4, np.int16),
        kind=np.zeros(4, np.int16),
        name=np.array(list(SPLITS)),
        source_names=np.array(["random"]),
        kind_names=np.array(["recorded"]),
        train_rows=np.arange(SPLITS["train"]),
    )
    (folder / "corpus.json").write_text(json.dumps({"seed": 0, "counts": SPLITS}))
