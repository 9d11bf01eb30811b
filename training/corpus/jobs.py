"""The pieces that the corpus is built from, each from its own seed: the same whichever process makes them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import matrix_to_quat_xyzw
from training.corpus.kinematics import on_floor
from training.corpus.limits import check
from training.corpus.penetration import TOLERANCE
from training.corpus.recombine import FPS, Bank, poses, sequence
from training.corpus.scripted import scripted
from training.datasets.motion import Motion

SHORTEST = 15  # frames: a shorter stretch of possible poses is not kept as a sequence
DEEP = 0.05  # m, of self-penetration that recorded motion may have: capsules are not the actor
POSES_PER_JOB = 2000
SEQUENCES_PER_JOB = 10


@dataclass(frozen=True)
class Piece:
    """Frames of one clip as they are stored."""

    name: str
    source: str
    kind: str
    split: int
    fps: float  # 0: single poses, unrelated to each other
    quat_wxyz: NDArray[np.float16]  # (T, 22, 4)
    root: NDArray[np.float32]  # (T, 3) m

    @property
    def num_frames(self) -> int:
        return len(self.quat_wxyz)


@dataclass(frozen=True)
class Job:
    kind: str  # "poses", "sequence", or a kind of scripted motion
    index: int


@dataclass(frozen=True)
class Result:
    kind: str
    pieces: list[Piece]
    made: int  # frames before the checks
    kept: int


class Maker:
    """Does jobs. One in each process: the bank is large."""

    def __init__(self, bank: Bank, seed: int) -> None:
        self._bank, self._seed = bank, seed

    def __call__(self, job: Job) -> Result:
        rng = np.random.default_rng([self._seed, zlib.crc32(job.kind.encode()), job.index])
        if job.kind == "poses":
            motion = poses(self._bank, POSES_PER_JOB, rng)
            found = check(motion.R_parent_joint, motion.p_world_root)
            keep, name, kind = found.possible, f"poses/{job.index}", "recombined_pose"
            piece = Piece(name, motion.source, kind, 0, 0.0, to_quats(found.R[keep]), found.root[keep])
            return Result(kind, [piece], len(keep), piece.num_frames)
        if job.kind == "sequence":
            motions = [sequence(self._bank, rng) for _ in range(SEQUENCES_PER_JOB)]
            return checked(motions, [f"sequence/{job.index}.{n}" for n in range(len(motions))], "recombined")
        motion = scripted(job.kind, (self._seed, job.index), FPS)
        return checked([motion], [motion.name], job.kind)


def checked(motions: Sequence[Motion], names: Sequence[str], kind: str, tolerance: float = TOLERANCE) -> Result:
    """The stretches of motions whose poses are possible, as pieces. All motions are looked at in one go."""
    R, root = (np.concatenate([getattr(m, f) for m in motions]) for f in ("R_parent_joint", "p_world_root"))
    found, pieces, start = check(R, root, tolerance), [], 0
    for motion, name in zip(motions, names, strict=True):
        for n, run in enumerate(runs(found.possible[start : start + motion.num_frames])):
            rows = run + start
            part = f"{name}#{n}" if n else name
            pieces.append(Piece(part, motion.source, kind, 0, motion.fps, to_quats(found.R[rows]), found.root[rows]))
        start += motion.num_frames
    return Result(kind, pieces, start, sum(p.num_frames for p in pieces))


def recorded(motion: Motion) -> Result:
    """Recorded motion for training: inside the limits, without what passes deep through itself."""
    return checked([motion], [motion.name], "recorded", DEEP)


def held_out(motion: Motion, split: int) -> Result:
    """Recorded motion of the validation and test sets: every frame as it is, on the floor."""
    quats, root = to_quats(motion.R_parent_joint), on_floor(motion).p_world_root
    piece = Piece(motion.name, motion.source, "recorded", split, motion.fps, quats, root)
    return Result("held out", [piece], motion.num_frames, motion.num_frames)


def runs(keep: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    """Rows of each stretch of at least SHORTEST kept frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], keep.astype(np.int8), [0]])))
    for start, stop in edges.reshape(-1, 2):
        if stop - start >= SHORTEST:
            yield np.arange(start, stop)


def to_quats(R: NDArray[np.float32]) -> NDArray[np.float16]:
    """Rotations (T, 22, 3, 3) as they are stored, (T, 22, 4) wxyz with w >= 0."""
    quat = matrix_to_quat_xyzw(R.astype(np.float64))[..., [3, 0, 1, 2]]
    return (quat * np.where(quat[..., :1] < 0, -1, 1)).astype(np.float16)
