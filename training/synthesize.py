"""Synthetic people as BlazePose sees them, with the exact truth: shards of single frames for the learned regressor.

    python -m training.synthesize --corpus out/corpus --output out/pairs --frames 100000
    python -m training.synthesize --output out/pairs --sheet out/pairs.jpg        (a look at some of them)

A shard depends on seed and number alone: whatever the processes, and the same command goes on where it was stopped.
Pictures are not kept. Each shard (.npz) holds, for its N frames:

    row (N,)                    of the corpus          R (N, 24, 3, 3)            entry 0 world from pelvis
    betas (N, 10)               of the open body       p_camera_joint (N, 24, 3)  m, camera axes
    size_px (N, 2), focal_px (N,), R_camera_world (N, 3, 3)                       the camera
    landmarks_px (N, 33, 3), landmarks_world (N, 33, 3), visibility (N, 33)       as in mocap.types.Person
    roi (N, 4)                  centre x, y and side in px, rotation in rad
    score (N,)                  presence
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PilImage
from PIL import ImageDraw
from tqdm import tqdm

from mocap.config import option
from mocap.errors import MocapError
from mocap.models.blazepose import load_landmarker
from training.datasets.corpus import Corpus
from training.options import run
from training.synthesis.pairs import Pair, PairConfig, PairMaker
from training.synthesis.people import People


@dataclass(frozen=True)
class SynthesisConfig:
    """What to make."""

    corpus: str = option("out/corpus", "folder that training.make_corpus wrote", "DIR")
    output: str = option("out/pairs", "folder of the shards", "DIR")
    split: str = option("train", "of the corpus: train, val, test or ood")
    frames: int = option(100_000, "frames, including those in which nobody is found", "N", low=1)
    shard: int = option(1000, "frames of a shard", "N", low=1)
    seed: int = option(0, "the same seed, the same shards", "N", low=0)
    processes: int = option(0, "processes; 0: as many as there are cores", "N", low=0)
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
    with multiprocessing.get_context("spawn").Pool(processes, _start, (config,)) as pool:
        for number, shard in pool.imap_unordered(_make, missing):
            _write(_path(config, number), shard)
            bar.update(config.shard)
    bar.close()
    kept = sum(len(np.load(_path(config, n))["row"]) for n in range(-(-config.frames // config.shard)))
    print(f"{folder}: {kept:,} frames with a person, of {config.frames:,}")


_maker: PairMaker | None = None
_config: SynthesisConfig | None = None


def _start(config: SynthesisConfig) -> None:
    """Ready a process."""
    global _maker, _config
    torch.set_num_threads(1)
    corpus = Corpus.open(Path(config.corpus))
    _maker, _config = PairMaker(corpus, config.split, load_landmarker(), config.pair), config


def _make(number: int) -> tuple[int, dict[str, np.ndarray]]:
    assert _maker is not None
    assert _config is not None
    return number, make_shard(_maker, _config.shard, _config.seed, number)


def make_shard(maker: PairMaker, frames: int, seed: int, number: int) -> dict[str, np.ndarray]:
    """One shard's arrays, see the module's text."""
    people, rows = maker.people(frames, int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
    found: dict[int, Pair] = {}
    for index in range(frames):
        pair = maker.frame(people, index, np.random.default_rng([seed, number, index]))
        if pair is not None:
            found[index] = pair
    return {"row": rows[list(found)], **_truth(people, list(found)), **_seen(list(found.values()))}


def _truth(people: People, at: list[int]) -> dict[str, np.ndarray]:
    views = people.views
    return {
        "R": people.R_parent_joint[at].numpy(),
        "betas": people.betas[at].numpy(),
        "p_camera_joint": views.to_camera(people.p_world_joint)[at].numpy(),
        "size_px": views.size_px[at].numpy(),
        "focal_px": views.focal_px[at].numpy(),
        "R_camera_world": views.R_camera_world[at].numpy(),
    }


def _seen(pairs: list[Pair]) -> dict[str, np.ndarray]:
    """In pixels of the rendered pictures scaled to the camera's size."""
    rows: dict[str, list[Any]] = {
        name: [] for name in ("landmarks_px", "landmarks_world", "visibility", "roi", "score")
    }
    for pair in pairs:
        seen, roi = pair.seen, pair.seen.roi
        rows["landmarks_px"].append(seen.landmarks_px * pair.scale)
        rows["landmarks_world"].append(seen.landmarks_world)
        rows["visibility"].append(seen.visibility)
        rows["roi"].append([*(pair.scale * np.array([*roi.center_px, roi.size_px])), roi.rotation])
        rows["score"].append(seen.score)
    shapes = {"landmarks_px": (33, 3), "landmarks_world": (33, 3), "visibility": (33,), "roi": (4,), "score": ()}
    return {name: np.array(rows[name], np.float32).reshape(len(pairs), *shape) for name, shape in shapes.items()}


def _path(config: SynthesisConfig, number: int) -> Path:
    return Path(config.output) / f"{config.split}_{config.seed}_{config.shard}_{number:05d}.npz"


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
    sheet = PilImage.new("RGB", (columns * cell, rows * cell), "white")
    for index in tqdm(range(count), unit="frame"):
        pair = _maker.frame(people, index, np.random.default_rng([config.seed, index]))
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
