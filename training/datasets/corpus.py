"""The motion corpus that ``training.make_corpus`` builds: memory-mapped poses by split."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mocap.body.torch_rotations import quat_xyzw_to_matrix
from mocap.errors import MocapError
from training.datasets.motion import Motion
from training.datasets.splits import SPLITS

FILES = ("quats.npy", "roots.npy", "clips.npz", "corpus.json")


@dataclass(frozen=True)
class Corpus:
    """Frames of all clips one after the other, and where each clip lies."""

    folder: Path
    quats: NDArray[np.float16]  # (N, 22, 4) wxyz, memory-mapped: local rotations in SMPL's order, entry 0 global
    roots: NDArray[np.float32]  # (N, 3) m, the pelvis; the floor is y = 0
    clips: dict[str, NDArray]  # per clip: start, length, fps (0: unrelated poses), split, source, kind, name

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Open a corpus.

        Raises:
            MocapError: the folder holds none.
        """
        folder = Path(folder)
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise MocapError(f"expected a motion corpus in {folder}, found no {', '.join(missing)}. {_again(folder)}")
        try:
            quats = np.load(folder / "quats.npy", mmap_mode="r")
            roots = np.load(folder / "roots.npy", mmap_mode="r")
            with np.load(folder / "clips.npz") as file:
                clips = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError) as error:
            raise MocapError(f"cannot read the motion corpus in {folder}: {error}. {_again(folder)}") from error
        return cls(folder, quats, roots, clips)

    def frames(self, split: str) -> NDArray[np.int64]:
        """Rows of every frame of a split, clip by clip."""
        chosen = np.flatnonzero(self.clips["split"] == _index(split))
        parts = [np.arange(self.clips["length"][c]) + self.clips["start"][c] for c in chosen]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def rows(self, split: str) -> NDArray[np.int64]:
        """Rows to train or to measure on: for training poses that differ from each other (see corpus.json), for the
        held-out sets every recorded frame.
        """
        return self.clips["train_rows"] if split == "train" else self.frames(split)

    def of_kind(self, rows: NDArray[np.int64], kind: str) -> NDArray[np.bool_]:
        """Which rows lie in clips of a kind: ``recorded``, ``recombined``, or the name of a scripted motion."""
        clip = np.searchsorted(self.clips["start"], rows, side="right") - 1
        return np.asarray(self.clips["kind_names"][self.clips["kind"][clip]] == kind)

    def body_poses(self, rows: NDArray[np.int64]) -> Tensor:
        """Local rotations of the 21 body joints, (len(rows), 21, 3, 3) float32."""
        return self.rotations(rows)[:, 1:]

    def rotations(self, rows: NDArray[np.int64]) -> Tensor:
        """Local rotations, entry 0 world from pelvis, (len(rows), 22, 3, 3) float32."""
        quat = torch.from_numpy(np.asarray(self.quats[rows], np.float32))
        return quat_xyzw_to_matrix(F.normalize(quat[..., [1, 2, 3, 0]], dim=-1))

    def motion(self, clip: int) -> Motion:
        """One clip. Unrelated poses come with a frame rate of 0."""
        c = self.clips
        rows = np.arange(c["length"][clip]) + c["start"][clip]
        source = str(c["source_names"][c["source"][clip]])
        R = self.rotations(rows).numpy()
        return Motion(str(c["name"][clip]), source, source, float(c["fps"][clip]), R, np.array(self.roots[rows]))

    def description(self) -> dict[str, Any]:
        """What ``corpus.json`` says: seed, counts, distribution."""
        loaded: dict[str, Any] = json.loads((self.folder / "corpus.json").read_text(encoding="utf-8"))
        return loaded


def _again(folder: Path) -> str:
    return f"Build it: python -m training.make_corpus --output {folder}"


def _index(split: str) -> int:
    if split not in SPLITS:
        raise MocapError(f"expected one of the splits {', '.join(SPLITS)}, found {split!r}")
    return SPLITS.index(split)
