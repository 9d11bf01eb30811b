"""Which files an evaluation is on, and the people in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocap.errors import MocapError
from mocap.pickles import NpzArrays, read_pickle
from training.datasets.images.clips import read_clips
from training.datasets.images.find import data_set, find, missing
from training.datasets.images.npz import read_labels
from training.datasets.images.raw import read_3dpw, read_emdb
from training.datasets.images.sample import Sample, Table, read_picture
from training.datasets.images.tsv import TsvSamples
from training.published.crops import expand_to_aspect
from training.published.sets import Joined

# Formats that hold what a system's protocol needs, its own first; and what they are called.
FORMATS: dict[str, dict[str, tuple[str, ...]]] = {
    "tokenhmr": {"3dpw": (".npz",), "emdb": (".npz", ".pkl")},
    "hmr2": {"3dpw": (".npz",), "emdb": (".npz", ".pkl")},
    "int": {"3dpw": (".pt",), "h36m": (".pt",), "mpi_inf_3dhp": (".pt",)},
    "vqhps": {"3dpw": (".npz", ".pkl"), "emdb": (".npz", ".pkl")},
    "postometro": {
        "3dpw": (".yaml", ".npz", ".pkl"),
        "h36m": (".yaml",),
        "3doh": (".npz",),
        "3dpw_occ": (".npz",),
    },
}
_CALLED = {
    ".npz": "an .npz of labels",
    ".pkl": "the authors' pickles",
    ".pt": "INT's and MAED's joblib file (*_test_db.pt)",
    ".yaml": "METRO's TSV (its .yaml)",
}
_SPLITS = ("train", "val", "test")  # val: also valid and validation
_ASPECT = (3, 4)  # width and height of what TokenHMR's and HMR2.0's networks see


@dataclass(frozen=True)
class People(Joined):
    """The people of several files, one after the other."""

    own_boxes: bool = False  # tight boxes of the authors' own files, made larger here: not those of the paper

    def valid(self) -> NDArray[np.bool_]:
        """(N,) whether the data set says to count it."""
        known = [part.valid if isinstance(part, Table) else None for part in self.parts]
        pairs = zip(known, self.parts, strict=True)
        return np.concatenate([np.ones(len(part), bool) if valid is None else valid for valid, part in pairs])

    def videos(self) -> list[str]:
        """Of each person; all the same where the format has no videos."""
        known = [part.videos if isinstance(part, Table) else None for part in self.parts]
        pairs = zip(known, self.parts, strict=True)
        return [name for names, part in pairs for name in names or [""] * len(part)]


def load_people(system: str, name: str, path: Path, split: str, pictures: str, margin: float) -> People:
    """The people that a system is evaluated on.

    Args:
        name: Of the data set, one of find.DATASETS.
        path: Its folder, or a file of it.
        split: Word in the name of the file, or its folder's name; of no account where a file is named.
        pictures: Folder that picture names of npz and joblib files are relative to; the file's own if empty.
        margin: By which tight boxes of the authors' own files are enlarged.

    Raises:
        MocapError: the protocol is not for this data set, files are missing, or lack what it needs.
    """
    formats = FORMATS[system]
    if name not in formats:
        raise MocapError(f"--data {name}: expected a data set of {system}'s protocol, {', '.join(formats)}")
    files = find_files(system, name, path, split)
    own = files[0].suffix == ".pkl"
    parts: list[Table | TsvSamples] = []
    for file in files:
        folder = Path(pictures) if pictures else file.parent
        if file.suffix == ".npz":
            table = read_labels(file, name, folder)
            parts.append(_as_tokenhmr_crops(file, table) if system in ("tokenhmr", "hmr2") else table)
        elif file.suffix == ".pt":
            parts += read_clips(file, name, folder)
        elif file.suffix == ".yaml":
            parts.append(TsvSamples(file, name))
        else:
            tables = read_3dpw(file) if name.startswith("3dpw") else [read_emdb(file)]
            parts += [replace(table, side_px=table.side_px * margin) for table in tables]
    return People(parts, own)


def find_files(system: str, name: str, path: Path, split: str) -> list[Path]:
    """One file of labels, or all pickles of the split: of 3DPW those in its folder, of EMDB those of EMDB1.

    Raises:
        MocapError: there is none, or several of which none says that it is the split's.
    """
    wanted = FORMATS[system][name]
    known = " or ".join(_CALLED[suffix] for suffix in wanted)
    if path.is_file():
        if path.suffix not in wanted:
            raise MocapError(f"{path}: expected {known} for {system}'s protocol, found a {path.suffix} file")
        return [path]
    there = find(name, path)
    suffix = next((suffix for suffix in wanted if any(file.suffix == suffix for file in there)), None)
    if suffix is None:
        found = ", ".join(file.name for file in there[:6])
        raise MocapError(
            f"{path}: expected {known} for {system}'s protocol, found {found}. Get {data_set(name).get}. "
            f"Its licence: {data_set(name).page}"
        )
    files = [file for file in there if file.suffix == suffix]
    if suffix == ".pkl" and name == "emdb":
        return [file for file in files if _is_emdb1(file)] or missing(name, path)
    of_split = [file for file in files if _says(split, file)]
    files = of_split or [file for file in files if not any(_says(other, file) for other in _SPLITS)]
    if not files or (len(files) > 1 and suffix != ".pkl"):
        found = ", ".join(file.name for file in files or there)
        raise MocapError(
            f"{path}: expected one file of the split {split} ({known}), found {found[:300]}; name it: "
            f"--data {name}=FILE"
        )
    return files


def _says(split: str, file: Path) -> bool:
    """Whether a word of the file's name, or for pickles its folder, begins with the split's name."""
    text = file.parent.name if file.suffix == ".pkl" else file.stem
    return re.search(rf"(?<![a-z]){re.escape(split.lower())}", text.lower()) is not None


def _is_emdb1(file: Path) -> bool:
    """EMDB1 is the part that papers evaluate a pose in the camera on."""
    with file.open("rb") as stream:
        values: Any = read_pickle(stream, file)
    return isinstance(values, dict) and bool(np.asarray(values.get("emdb1", False)).any())


def _as_tokenhmr_crops(file: Path, table: Table) -> Table:
    """Boxes that are expanded to 3 : 4, from their width and height where the file has both."""
    scale = np.asarray(NpzArrays(file)["scale"], np.float64).reshape(len(table), -1)
    sizes = np.broadcast_to(scale / scale.max(1, keepdims=True), (len(table), 2)) * table.side_px[:, None]
    sides = [expand_to_aspect(size, _ASPECT).max() for size in sizes]
    return replace(table, side_px=np.array(sides, np.float32))


Crop = Callable[[Sample, NDArray[np.uint8]], NDArray[np.float32]]


def load_units(
    people: People, units: Iterable[NDArray[np.int64]], crop: Crop, workers: int
) -> Iterator[tuple[list[Sample], Tensor]]:
    """Samples and crops (B, 3, S, S) of each unit of rows, read by so many threads while the one before is used."""

    def load(row: int) -> tuple[Sample, NDArray[np.float32]]:
        sample = people[row]
        return replace(sample, image=b""), crop(sample, read_picture(sample))

    def gathered(futures: list[Future[tuple[Sample, NDArray[np.float32]]]]) -> tuple[list[Sample], Tensor]:
        found = [future.result() for future in futures]
        return [sample for sample, _ in found], torch.from_numpy(np.stack([picture for _, picture in found]))

    pool = ThreadPoolExecutor(max(workers, 1))
    try:
        before = None
        for unit in units:
            ahead = [pool.submit(load, int(row)) for row in unit]
            if before is not None:
                yield gathered(before)
            before = ahead
        if before is not None:
            yield gathered(before)
    finally:
        pool.shutdown(cancel_futures=True)
