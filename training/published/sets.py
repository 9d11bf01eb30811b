"""The data sets that a published system learns from: by name and folder, ``rendered=out/pictures 3dpw=data/3DPW``."""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from mocap.config import option
from mocap.errors import MocapError
from training.datasets.images.annotations import read_coco, read_mpii
from training.datasets.images.clips import read_clips
from training.datasets.images.find import DATASETS, find
from training.datasets.images.mpi_inf import read_mpi_inf_test, read_mpi_inf_train
from training.datasets.images.npz import read_labels
from training.datasets.images.raw import read_3dpw, read_emdb
from training.datasets.images.rendered import Points, Rendered
from training.datasets.images.sample import Sample
from training.datasets.images.tars import open_tars
from training.datasets.images.tsv import TsvSamples

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Items(Protocol[T_co]):
    """People, or clips of people, of a data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> T_co: ...


class Samples(Items[Sample], Protocol):
    """People of a data set."""


@dataclass(frozen=True)
class SetsConfig:
    """What to learn from, and what to validate on."""

    sets: list[str] = option(["rendered=out/pictures"], f"data sets: rendered, {', '.join(DATASETS)}", "NAME=FOLDER")
    weights: list[float] = option([], "how often a sample is of each of them; empty: by their sizes", "WEIGHT")
    validation: str = option("out/pictures_val", "rendered people of the validation split", "DIR")
    maps: bool = option(False, "rendered people by the maps of training.make_maps, for BlazePose's backbone")
    threads: int = option(4, "that read and crop pictures", "N", low=1)


@dataclass(frozen=True)
class Mixed(Generic[T]):
    """Data sets, and how often an item is of each.

    Raises:
        MocapError: there are no items, or not a weight for each set.
    """

    sets: Sequence[Items[T]]
    weights: Sequence[float] = field(default=())  # none: by their sizes

    def __post_init__(self) -> None:
        if not len(self):
            raise MocapError("expected people to learn from, found data sets with none")
        if self.weights and (len(self.weights) != len(self.sets) or min(self.weights) < 0 or not sum(self.weights)):
            raise MocapError(f"expected {len(self.sets)} weights of data sets, found {list(self.weights)}")

    def __len__(self) -> int:
        return sum(map(len, self.sets))

    def pick(self, rng: np.random.Generator) -> T:
        """A random one."""
        weights = np.array(self.weights or [len(these) for these in self.sets], np.float64)
        these = self.sets[rng.choice(len(self.sets), p=weights / weights.sum())]
        return these[int(rng.integers(len(these)))]


class Mixture(Mixed[Sample]):
    """Data sets of people."""


@dataclass(frozen=True)
class Joined:
    """The samples of several files as one data set's."""

    parts: Sequence[Samples]

    @functools.cached_property
    def ends(self) -> list[int]:
        """How many samples there are up to the end of each part."""
        return list(itertools.accumulate(map(len, self.parts)))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        part = bisect.bisect_right(self.ends, index)
        return self.parts[part][index - (self.ends[part - 1] if part else 0)]


def open_sets(config: SetsConfig, points: Points) -> Mixture:
    """The data sets of a configuration.

    Args:
        points: Of which rendered people have theirs, see ``training.published.points``.

    Raises:
        MocapError: a name is unknown, or files are missing; says what to get and where it goes.
    """
    return Mixture([open_set(spec, points, config.maps) for spec in config.sets], config.weights)


def open_set(spec: str, points: Points, maps: bool = False) -> Samples:
    """One data set, ``NAME=FOLDER``."""
    name, _, folder = spec.partition("=")
    if not folder:
        raise MocapError(f"expected a data set as NAME=FOLDER, e.g. rendered=out/pictures; found '{spec}'")
    if name == "rendered":
        return Rendered(Path(folder), points, maps)
    files = find(name, Path(folder))
    shards = [file for file in files if file.suffix == ".tar"]
    others = [part for file in files if file not in shards for part in read_file(name, file, Path(folder))]
    return Joined([*others, *open_tars(shards, name)])


def read_file(name: str, file: Path, folder: Path) -> Sequence[Samples]:
    """What a file of a data set holds, by how it is called."""
    readers: dict[str, Callable[[], Sequence[Samples]]] = {
        ".npz": lambda: [read_labels(file, name, folder)],
        ".yaml": lambda: [TsvSamples(file, name)],
        ".pt": lambda: read_clips(file, name, folder),
        ".pkl": lambda: read_3dpw(file) if name == "3dpw" else [read_emdb(file)],
        ".mat": lambda: read_mpi_inf_train(file) if file.name == "annot.mat" else [read_mpi_inf_test(file)],
        ".json": lambda: [
            read_mpii(file, folder / "images")
            if name == "mpii"
            else read_coco(file, folder / file.stem.rpartition("_")[2])
        ],
    }
    if file.suffix not in readers:
        raise MocapError(f"{file}: expected a file of {', '.join(readers)}, .tar; found {file.suffix or 'no suffix'}")
    return readers[file.suffix]()
