"""What a corpus holds, beside the raw data it was made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import quat_xyzw_to_matrix
from training.corpus.jobs import Piece, Result
from training.corpus.kinematics import Float
from training.corpus.limits import limits
from training.corpus.sources import Recorded, total_hours
from training.datasets.distinct import DISTINCT_M, distinct, pose_positions
from training.datasets.motion import BODY_JOINT_NAMES, Motion
from training.datasets.splits import SPLITS, split_of

_BLOCK = 50_000  # frames whose joints are computed at once


def describe(
    config: dict[str, Any], pieces: Sequence[Piece], rows: dict[str, NDArray], results: Sequence[Result], data: Recorded
) -> dict[str, Any]:
    """Contents of ``corpus.json``."""
    train = [p for p in pieces if p.split == 0]
    start = np.cumsum([p.num_frames for p in pieces]) - [p.num_frames for p in pieces]
    quats = np.concatenate([p.quat_wxyz for p in pieces])
    return {
        "config": config,
        "distinct_m": DISTINCT_M,
        "distinct": len(rows["distinct"]),
        "train_rows": len(rows["train_rows"]),
        "frames": len(quats),
        "hours": round(sum(p.num_frames / p.fps for p in train if p.fps) / 3600, 2),
        "kept_share": {k: round(v, 3) for k, v in _kept(results).items()},
        "kinds": _by_kind(pieces, start, rows),
        "splits": {name: _split(pieces, n) for n, name in enumerate(SPLITS)},
        "offsets_removed_deg": data.offsets_deg,
        "joint_range_deg": _ranges(_matrices(quats[rows["train_rows"]][::3])),
        "raw": _raw(data.raw),
    }


def heading_free_joints(quat_wxyz: NDArray[np.float16]) -> Float:
    """Stored poses (N, 22, 4) -> joints (N, 22, 3) m about the pelvis without heading."""
    parts = [pose_positions(_matrices(quat_wxyz[n : n + _BLOCK])) for n in range(0, len(quat_wxyz), _BLOCK)]
    return np.concatenate(parts) if parts else np.zeros((0, len(BODY_JOINT_NAMES), 3), np.float32)


def _matrices(quat_wxyz: NDArray[np.float16]) -> NDArray[np.float32]:
    quat = quat_wxyz.astype(np.float32)[..., [1, 2, 3, 0]]
    return quat_xyzw_to_matrix(quat / np.linalg.norm(quat, axis=-1, keepdims=True))


def _kept(results: Sequence[Result]) -> dict[str, float]:
    """Share of the frames of each kind that were possible."""
    made: dict[str, int] = defaultdict(int)
    kept: dict[str, int] = defaultdict(int)
    for result in results:
        made[result.kind] += result.made
        kept[result.kind] += result.kept
    return {kind: kept[kind] / made[kind] for kind in sorted(made) if made[kind]}


def _by_kind(pieces: Sequence[Piece], start: NDArray, rows: dict[str, NDArray]) -> dict[str, dict[str, float]]:
    """Clips, hours, frames, distinct poses and rows to train on of each kind of the training set."""
    counts = {
        name: np.bincount(np.searchsorted(start, found, side="right") - 1, minlength=len(pieces))
        for name, found in rows.items()
    }
    table: dict[str, dict[str, float]] = {}
    for n, piece in enumerate(pieces):
        if piece.split == 0:
            row = table.setdefault(piece.kind, {"clips": 0, "frames": 0, "hours": 0.0, **dict.fromkeys(rows, 0)})
            row["clips"] += 1
            row["frames"] += piece.num_frames
            row["hours"] += piece.num_frames / piece.fps / 3600 if piece.fps else 0.0
            for name in rows:
                row[name] += int(counts[name][n])
    return {kind: {**row, "hours": round(row["hours"], 3)} for kind, row in sorted(table.items())}


def _split(pieces: Sequence[Piece], split: int) -> dict[str, Any]:
    own = [p for p in pieces if p.split == split]
    sources = sorted({p.source for p in own})
    return {"clips": len(own), "frames": sum(p.num_frames for p in own), "sources": sources}


def _ranges(R: NDArray[np.float32]) -> dict[str, list[list[int]]]:
    """5th, 50th and 95th percentile of each joint's three angles in the limits' chart, degrees."""
    rows = limits().joints
    hands = np.broadcast_to(np.eye(3, dtype=np.float32), (len(R), 2, 3, 3))
    angles = np.degrees(limits().chart(np.concatenate([R, hands], 1)[:, rows].astype(np.float64)))
    if not len(R):
        return {}
    spread = np.percentile(angles, [5, 50, 95], axis=0).round().astype(int)
    return {BODY_JOINT_NAMES[j]: spread[:, n].T.tolist() for n, j in enumerate(rows)}


def _raw(motions: Sequence[Motion]) -> dict[str, Any]:
    """The same figures of the recorded data before anything was done to it."""
    table = {}
    for source in sorted({m.source for m in motions}):
        own = [m for m in motions if m.source == source]
        joints = np.concatenate([pose_positions(m.R_parent_joint) for m in own])
        table[source] = {
            "clips": len(own), "hours": round(total_hours(own), 3), "frames": len(joints),
            "distinct": len(distinct(joints)),
        }  # fmt: skip
    train = [m for m in motions if split_of(m) == "train"]
    R = np.concatenate([m.R_parent_joint for m in train]) if train else np.zeros((0, 22, 3, 3), np.float32)
    return {"sources": table, "joint_range_deg": _ranges(R)}
