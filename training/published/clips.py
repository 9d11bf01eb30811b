"""Clips of people for INT (Yang et al. 2023, appendix A): read, sampled, and augmented as MAED's (Wan et al. 2021).

clips = open_clips("rendered=out/pictures_clips", points, ClipsConfig(every=4))
clips[0]  # 16 samples of a person, 4 frames apart
batches = Batches(ClipExamples(Mixed([clips]), Examples(people, "spin49", 224, MARGIN), ClipAugmentation()), 4)
batches(share)["image"]  # (4, 16, 3, 224, 224)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mocap.config import option
from mocap.errors import MocapError
from training.datasets.images.find import find
from training.datasets.images.rendered import Points, Rendered
from training.datasets.images.sample import Sample, Table
from training.published.clip_looks import erased, jittered
from training.published.crops import Augmentation
from training.published.examples import Example, Examples
from training.published.independent_tokens import clips_of
from training.published.sets import Joined, Mixed, Samples, read_file

MARGIN = 1.3  # of the crop around the sample's box in training; 1.1 in evaluation


@dataclass(frozen=True)
class ClipsConfig:
    """Clips to learn from, and how they are taken out of videos."""

    sets_3d: list[str] = option([], "data sets of clips with labels in space", "NAME=FOLDER")
    sets_2d: list[str] = option([], "data sets of clips of which only points in the picture count", "NAME=FOLDER")
    frames: int = option(16, "frames of a clip", "T", low=2)
    every: int = option(8, "of which a clip takes one; of rendered clips, of 64 frames, at most 4 for 16", "N", low=1)
    chunk: int = option(128, "frames that published videos are cut into, each a clip from a random start", "N", low=2)
    stride: int = option(64, "frames from the start of one chunk to the next", "N", low=1)
    stride_3dpw: int = option(8, "the same of 3DPW", "N", low=1)
    validation: str = option("out/pictures_val_clips", "rendered clips of the validation split", "DIR")


@dataclass(frozen=True)
class ClipAugmentation:
    """What may be done to a clip; the defaults are those of the second and third phase. Crops, mirroring and colours
    are one for all frames, and so is the side that is erased from; whether and how much is each frame's own."""

    crop_rate: float = option(0.2, "share that is cut closer", low=0, high=1)
    crop: float = option(0.6, "most that is cut off, in sides of the sample's box", low=0, high=1)
    flip_rate: float = option(0.5, "share that is mirrored", low=0, high=1)
    color: float = option(
        0.3, "largest change of brightness, contrast, saturation and hue, of clips with labels in space", low=0, high=1
    )
    erase_rate: float = option(0.3, "share of the frames of which a strip at one side is black", low=0, high=1)
    erase: float = option(0.7, "its largest width, of the crop's", low=0, high=1)

    def draw(self, rng: np.random.Generator) -> Augmentation:
        """A random crop of what :data:`MARGIN` lets see, perhaps mirrored."""
        smaller = rng.uniform(0, self.crop) if rng.random() < self.crop_rate else 0.0
        shift = rng.uniform(-smaller / 2, smaller / 2, 2) / MARGIN
        flip = rng.random() < self.flip_rate
        return Augmentation(scale=1 - smaller / MARGIN, shift=(float(shift[0]), float(shift[1])), flip=bool(flip))


@dataclass(frozen=True)
class Clips:
    """Clips of a data set, each from every start that leaves room: ``len(clips)``, ``clips[i]``.

    Args:
        rows: (C, L) samples of chunks of videos.
        frames: Of a clip.
        every: The clip takes every so many of a chunk's.

    Raises:
        MocapError: chunks are too short.
    """

    samples: Samples
    rows: NDArray[np.int64]
    frames: int
    every: int

    def __post_init__(self) -> None:
        if self._starts < 1:
            most = max(1, (self.rows.shape[1] - 1) // max(1, self.frames - 1))
            raise MocapError(
                f"expected {(self.frames - 1) * self.every + 1} frames or more, for {self.frames} of every "
                f"{self.every}; found clips of {self.rows.shape[1]}: --clips.every {most} takes more of them"
            )

    @property
    def _starts(self) -> int:
        return self.rows.shape[1] - (self.frames - 1) * self.every

    def __len__(self) -> int:
        return len(self.rows) * self._starts

    def __getitem__(self, index: int) -> Sequence[Sample]:
        chunk, start = divmod(index, self._starts)
        return [self.samples[int(row)] for row in self.rows[chunk, start :: self.every][: self.frames]]


@dataclass(frozen=True)
class Singles:
    """Single pictures as clips of one frame."""

    samples: Samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sequence[Sample]:
        return [self.samples[index]]


def open_clips(spec: str, points: Points, config: ClipsConfig, maps: bool = False) -> Clips:
    """The clips of a data set, ``NAME=FOLDER``.

    Raises:
        MocapError: files are missing, or hold unrelated pictures.
    """
    name, _, folder = spec.partition("=")
    if not folder:
        raise MocapError(f"expected a data set as NAME=FOLDER, e.g. rendered=out/pictures_clips; found '{spec}'")
    if name == "rendered":
        people = Rendered(Path(folder), points, maps)
        if people.clips.shape[1] == 1:
            raise MocapError(f"{folder}: expected clips (training.synthesize --clip_frames 64), found single pictures")
        return Clips(people, people.clips, config.frames, config.every)
    videos = [part for file in find(name, Path(folder)) for part in read_file(name, file, Path(folder))]
    for video in videos:
        if not isinstance(video, Table) or video.videos is None:
            raise MocapError(f"{folder}: expected clips, whose frames name their video; found pictures of {name}")
    of = np.repeat(np.arange(len(videos)), [len(video) for video in videos])
    stride = config.stride_3dpw if name == "3dpw" else config.stride
    return Clips(Joined(videos), clips_of(of, config.chunk, stride), config.frames, config.every)


@dataclass(frozen=True)
class ClipExamples:
    """Clips as the network sees them: ``examples(n)`` is draw n of the training, arrays of T frames.

    Args:
        examples: How a sample is cropped.
    """

    clips: Mixed[Sequence[Sample]]
    examples: Examples
    augmentation: ClipAugmentation
    seed: int = 0

    def __call__(self, n: int) -> Example:
        rng, how = np.random.default_rng([self.seed, n]), self.augmentation
        clip = self.clips.pick(rng)
        augmentation = how.draw(rng)
        frames = [self.examples.cropped(sample, augmentation) for sample in clip]
        example = {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
        if how.color:
            example["image"] = jittered(example["image"], how.color, rng)
        if how.erase_rate:
            example["image"] = erased(example["image"], how.erase_rate, how.erase, rng)
        return example
