"""Synthetic people as BlazePose sees them, with the exact truth: shards for the learned regressor.

    python -m training.synthesize --corpus out/corpus --output out/pairs --frames 100000
    python -m training.synthesize --output out/pairs_clips --clip_frames 64       (30 frames/s, the tracker on)
    python -m training.synthesize --sheet out/pairs.jpg                           (a look at some of them)

A shard depends on seed and number alone: whatever the processes, and the same command goes on where it was stopped.
Pictures are not kept, unless ``--picture_px`` says how large. Each shard (.npz) holds, for its N frames:

    row (N,)                    of the corpus          R (N, 24, 3, 3)            entry 0 world from pelvis
    betas (N, 10)               of the open body       p_camera_joint (N, 24, 3)  m, camera axes
    size_px (N, 2), focal_px (N,), R_camera_world (N, 3, 3), p_world_camera (N, 3)     the camera
    landmarks_px (N, 33, 3), landmarks_world (N, 33, 3), visibility (N, 33)       as in mocap.types.Person
    roi (N, 4)                  centre x, y and side in px, rotation in rad
    score (N,)                  presence
    features (N, 16, 288)       of the landmark network, as in mocap.types.Person
    cut (N,)                    only a window of the picture was left
    jpeg (N, longest), square (N, 3)   with --picture_px: a square around the person, see training.synthesis.crops

Single frames in which nobody is found are left out. Clips follow one another, each of ``clip_frames`` frames with one
person, look and camera; where the tracker lost the person the score is 0 and so is what was seen.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image as PilImage
from PIL import ImageDraw
from tqdm import tqdm

from mocap.config import option
from mocap.errors import MocapError
from mocap.models.blazepose import load_landmarker
from training.datasets.corpus import Corpus
from training.datasets.windows import Windows
from training.options import run
from training.synthesis.crops import crop_rows
from training.synthesis.pairs import Pair, PairConfig, PairMaker
from training.synthesis.rows import seen_rows, truth_rows
from training.synthesis.scenery import Scenery


@dataclass(frozen=True)
class SynthesisConfig:
    """What to make."""

    corpus: str = option("out/corpus", "folder that training.make_corpus wrote", "DIR")
    output: str = option("out/pairs", "folder of the shards", "DIR")
    split: str = option("train", "of the corpus: train, val, test or ood")
    frames: int = option(100_000, "frames, including those in which nobody is found", "N", low=1)
    shard: int = option(1000, "frames of a shard", "N", low=1)
    clip_frames: int = option(1, "frames of a clip; 1: unrelated frames", "N", low=1)
    seed: int = option(0, "the same seed, the same shards", "N", low=0)
    processes: int = option(0, "processes; 0: as many as there are cores", "N", low=0)
    picture_px: int = option(0, "side of the picture of the person that is kept with a frame; 0: none", "PX", low=0)
    sheet: str = option("", "picture of the first frames with landmarks, instead of shards", "FILE")
    pair: PairConfig = field(default_factory=PairConfig)


def synthesize(config: SynthesisConfig) -> None:
    """Make the shards that are not there yet, or the contact sheet.

    Raises:
        MocapError: there is no corpus; OpenGL or BlazePose's network cannot be had.
    """
    Corpus.open(Path(config.corpus))
    if config.sheet:
        _sheet(config, Path(config.sheet))
        return
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [n for n in range(-(-config.frames // config.shard)) if not _path(config, n).is_file()]
    processes = min(config.processes or os.cpu_count() or 1, max(1, len(missing)))
    bar = tqdm(total=len(missing) * config.shard, unit="frame", disable=not missing)
    with multiprocessing.get_context("spawn").Pool(processes, _start, (config, True)) as pool:
        for number, shard in pool.imap_unordered(_make, missing):
            _write(_path(config, number), shard)
            bar.update(config.shard)
    bar.close()
    kept = sum(len(np.load(_path(config, n))["row"]) for n in range(-(-config.frames // config.shard)))
    print(f"{folder}: {kept:,} frames, of {config.frames:,}")


_maker: PairMaker | None = None
_config: SynthesisConfig | None = None


def _start(config: SynthesisConfig, alone: bool = False) -> None:
    """Ready a process; one of several keeps to a core of its own, or their libraries' threads cost a third."""
    global _maker, _config
    if alone and sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[multiprocessing.current_process()._identity[0] % len(cores)]})
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    corpus = Corpus.open(Path(config.corpus))
    _maker, _config = PairMaker(corpus, config.split, load_landmarker(features=True), config.pair), config


def _make(number: int) -> tuple[int, dict[str, np.ndarray]]:
    assert _maker is not None
    assert _config is not None
    make = make_shard if _config.clip_frames == 1 else make_clips
    return number, make(_maker, _config, number)


def make_shard(maker: PairMaker, config: SynthesisConfig, number: int) -> dict[str, np.ndarray]:
    """One shard's arrays of single frames, see the module's text."""
    seed = [config.seed, number]
    people, rows = maker.people(config.shard, _torch_seed(seed))
    scenery = Scenery(seed)
    found: dict[int, Pair] = {}
    for index in range(config.shard):
        pair = maker.frame(people, index, scenery, np.random.default_rng([*seed, index]))
        if pair is not None:
            found[index] = pair
    seen = seen_rows([(pair.seen, pair.scale) for pair in found.values()])
    cut = np.array([pair.cut for pair in found.values()])
    shard = {"row": rows[list(found)], **truth_rows(people, list(found)), **seen, "cut": cut}
    if config.picture_px:
        pictures = [(index, pair.picture, pair.scale) for index, pair in found.items()]
        shard |= crop_rows(people, pictures, config.picture_px)
    return shard


def make_clips(maker: PairMaker, config: SynthesisConfig, number: int) -> dict[str, np.ndarray]:
    """One shard's arrays of clips."""
    windows = Windows(maker.corpus, config.split, config.clip_frames)
    seed = [config.seed, number]
    scenery, parts = Scenery(seed), []
    for index in range(max(1, config.shard // config.clip_frames)):
        rng = np.random.default_rng([*seed, index])
        drawn = _torch_seed([*seed, index])
        rows = windows(1, torch.Generator().manual_seed(drawn))[0]
        people = maker.actor(rows, drawn)
        pairs = maker.clip(people, scenery, rng)
        seen = seen_rows([None if pair is None else (pair.seen, pair.scale) for pair in pairs])
        cut = np.full(len(rows), all(pair.cut for pair in pairs if pair is not None))  # or nobody was ever found
        part = {"row": rows, **truth_rows(people, list(range(len(rows)))), **seen, "cut": cut}
        if config.picture_px:
            pictures = [None if pair is None else (at, pair.picture, pair.scale) for at, pair in enumerate(pairs)]
            part |= crop_rows(people, pictures, config.picture_px)
        parts.append(part)
    longest = max((part["jpeg"].shape[1] for part in parts if "jpeg" in part), default=0)
    for part in parts:
        if "jpeg" in part:
            part["jpeg"] = np.pad(part["jpeg"], ((0, 0), (0, longest - part["jpeg"].shape[1])))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _torch_seed(seed: list[int]) -> int:
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


def _path(config: SynthesisConfig, number: int) -> Path:
    name = f"{config.split}_{config.seed}_{config.shard}_{config.clip_frames}_{number:05d}.npz"
    return Path(config.output) / name


def _write(path: Path, shard: dict[str, np.ndarray]) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **shard)
    part.replace(path)


def _sheet(config: SynthesisConfig, path: Path, columns: int = 8, rows: int = 6, cell: int = 220) -> None:
    """Frames with the landmarks: green where the network thinks them visible, else red; true joints blue."""
    _start(config)
    assert _maker is not None
    count = columns * rows
    people, _ = _maker.people(count, config.seed)
    scenery = Scenery([config.seed])
    sheet = PilImage.new("RGB", (columns * cell, rows * cell), "white")
    for index in tqdm(range(count), unit="frame"):
        pair = _maker.frame(people, index, scenery, np.random.default_rng([config.seed, index]))
        if pair is None:
            continue
        picture = PilImage.fromarray(pair.picture)
        draw = ImageDraw.Draw(picture)
        one = people.views.at(slice(index, index + 1))
        joints = one.project(one.to_camera(people.p_world_joint[index : index + 1]))[0].numpy() / pair.scale
        dots = [(x, y, "blue", 2) for x, y in joints]
        dots += [
            (x, y, "lime" if visible > 0.5 else "red", 3)
            for (x, y, _), visible in zip(pair.seen.landmarks_px, pair.seen.visibility, strict=True)
        ]
        for x, y, color, size in dots:
            draw.ellipse([x - size, y - size, x + size, y + size], fill=color)
        picture.thumbnail((cell, cell))
        sheet.paste(picture, (index % columns * cell, index // columns * cell))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        sheet.save(path)
    except ValueError as error:
        raise MocapError(f"{path}: expected a picture's name, e.g. sheet.jpg ({error})") from error


def main() -> int:
    """Command line."""
    return run(SynthesisConfig, __doc__ or "", synthesize)


if __name__ == "__main__":
    sys.exit(main())
