"""The corpus on disk: written once, as a whole. ``training/datasets/corpus.py`` reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.corpus.jobs import Piece


def write_corpus(
    folder: Path, pieces: Sequence[Piece], rows: dict[str, NDArray[np.int64]], description: dict[str, Any]
) -> None:
    """Write the pieces, one after the other, all or nothing: a folder that is there already is replaced at the end.

    ``quats.npy (N, 22, 4) f16`` wxyz, ``roots.npy (N, 3) f32`` m, ``clips.npz`` (per clip: start, length, fps, split,
    source, kind, name; the names that source and kind count in; and the given rows), ``corpus.json``.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    np.save(unfinished / "quats.npy", np.concatenate([p.quat_wxyz for p in pieces]))
    np.save(unfinished / "roots.npy", np.concatenate([p.root for p in pieces]))
    np.savez_compressed(unfinished / "clips.npz", **_index(pieces), **rows)
    (unfinished / "corpus.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.replace(folder)


def _index(pieces: Sequence[Piece]) -> dict[str, NDArray]:
    length = np.array([p.num_frames for p in pieces], np.int64)
    sources, kinds = sorted({p.source for p in pieces}), sorted({p.kind for p in pieces})
    return {
        "start": np.cumsum(length) - length,
        "length": length,
        "fps": np.array([p.fps for p in pieces], np.float32),
        "split": np.array([p.split for p in pieces], np.int8),
        "source": np.array([sources.index(p.source) for p in pieces], np.int16),
        "kind": np.array([kinds.index(p.kind) for p in pieces], np.int16),
        "name": np.array([p.name for p in pieces]),
        "source_names": np.array(sources),
        "kind_names": np.array(kinds),
    }
