"""Build the motion corpus: recorded, recombined and scripted motion, for training the pose prior.

    python -m training.fit_markers ../shared/mocap/c3d --source accad_c3d --out out/markers     (once)
    python -m training.make_corpus --seed 0 --output out/corpus

The same seed and data give the same corpus. Test, validation and out-of-distribution sets hold recorded motion only.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mocap.config import option
from training.corpus.distribution import describe, heading_free_joints
from training.corpus.jobs import POSES_PER_JOB, SEQUENCES_PER_JOB, Job, Maker, Piece, Result, held_out, recorded
from training.corpus.legs import stretched
from training.corpus.recombine import FPS, RECOMBINED, make_bank, with_mirror_images
from training.corpus.scripted import KINDS, scripted
from training.corpus.sources import read_recorded
from training.corpus.store import write_corpus
from training.datasets.distinct import distinct
from training.datasets.motion import Motion
from training.datasets.splits import SPLITS, split_of
from training.options import run

FINE_M = 0.02  # m: how far poses differ that are trained on though they count as one: whole people in real situations
LOOK_EVERY = 6  # frames of sequences among which distinct poses are looked for
_MATERIAL = 100_000  # index of the scripted clips that only serve as material, beyond any job's


@dataclass(frozen=True)
class CorpusConfig:
    """How much of what goes into the corpus."""

    seed: int = option(0, "the same seed and data give the same corpus", "N", low=0)
    shared: str = option("../shared", "folder with mocap/*_smpl22*.npz", "DIR")
    markers: str = option("out/markers", "folder that training.fit_markers wrote", "DIR")
    output: str = option("out/corpus", "folder to write", "DIR")
    scripted: int = option(60, "clips of each kind of scripted motion; 0: none, not as parts either", "N", low=0)
    sequences: int = option(7_500, "recombined sequences", "N", low=0)
    poses: int = option(750_000, "recombined single poses, before impossible ones are dropped", "N", low=0)
    processes: int = option(0, "processes; 0: as many as there are cores", "N", low=0)


def make_corpus(config: CorpusConfig) -> None:
    """Build and write the corpus."""
    data = read_recorded(Path(config.shared), Path(config.markers))
    split = {name: [m for m in data.motions if split_of(m) == name] for name in SPLITS}
    train = with_mirror_images([stretched(m) for m in split["train"]])
    results = [recorded(m) for m in train]
    results += _synthesize(config, train)
    results += [held_out(m, SPLITS.index(name)) for name in SPLITS[1:] for m in split[name]]
    pieces = [piece for result in results for piece in result.pieces if piece.num_frames]
    rows = training_rows(pieces)
    description = describe(asdict(config), pieces, rows, results, data)
    write_corpus(Path(config.output), pieces, rows, description)
    print(summary(description))


def _synthesize(config: CorpusConfig, motions: list[Motion]) -> list[Result]:
    """Scripted and recombined motion, by as many processes as there are cores."""
    jobs = [Job(kind, n) for kind in KINDS for n in range(config.scripted)]
    jobs += [Job("sequence", n) for n in range(-(-config.sequences // SEQUENCES_PER_JOB))]
    jobs += [Job("poses", n) for n in range(-(-config.poses // POSES_PER_JOB))]
    maker = Maker(make_bank(motions, _material(config.seed) if config.scripted else []), config.seed)
    processes = config.processes or os.cpu_count() or 1
    if processes == 1:
        return [maker(job) for job in tqdm(jobs, desc="synthesizing", unit="job")]
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # of the processes: they share the cores already
    with multiprocessing.get_context("spawn").Pool(processes, _become, (maker,)) as pool:
        return list(tqdm(pool.imap(_work, jobs, chunksize=8), "synthesizing", len(jobs), unit="job"))


_maker: Maker | None = None  # of this process


def _become(maker: Maker) -> None:
    global _maker
    _maker = maker


def _work(job: Job) -> Result:
    assert _maker is not None
    return _maker(job)


def _material(seed: int) -> list[Motion]:
    """Scripted clips whose parts are recombined with recorded ones."""
    return [scripted(kind, (seed, _MATERIAL + n), FPS) for kind in KINDS for n in range(4)]


def training_rows(pieces: list[Piece]) -> dict[str, NDArray[np.int64]]:
    """Which training frames to learn from: ``distinct`` poses among all (sequences looked at five times a second;
    recorded and scripted ones go before recombined ones), and ``train_rows``: those, and all recorded and scripted
    poses that differ by FINE_M.
    """
    start = np.cumsum([p.num_frames for p in pieces]) - [p.num_frames for p in pieces]
    looked_at: dict[bool, list[NDArray[np.int64]]] = {True: [], False: []}
    for piece, first in zip(pieces, start, strict=True):
        if piece.split == 0:
            step = LOOK_EVERY if piece.fps else 1
            looked_at[piece.source != RECOMBINED].append(np.arange(first, first + piece.num_frames, step))
    own, others = (np.concatenate(parts or [np.zeros(0, np.int64)]) for parts in looked_at.values())
    rows = np.concatenate([own, others])
    joints = heading_free_joints(np.concatenate([p.quat_wxyz for p in pieces])[rows])
    coarse = rows[distinct(joints, progress=True)]
    return {"distinct": coarse, "train_rows": np.union1d(coarse, own[distinct(joints[: len(own)], FINE_M)])}


def summary(description: dict[str, object]) -> str:
    """A line for the terminal."""
    return f"{description['distinct']} distinct poses, {description['hours']} hours of sequences in training"


def main() -> int:
    """Command line."""
    return run(CorpusConfig, __doc__ or "", make_corpus)


if __name__ == "__main__":
    sys.exit(main())
