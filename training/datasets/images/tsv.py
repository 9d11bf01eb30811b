"""METRO's and FastMETRO's data: tables of lines with tabs, named by a small YAML file.

``img`` has a key and a picture in base64 on each line, ``label`` the same key and JSON: a list with a dict. Beside each
``.tsv`` lies a ``.lineidx`` with the byte at which each line begins. ``linelist`` says which lines count. A composite
YAML lists several files of each kind, and its linelist has pairs of file and line.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mocap.errors import MocapError
from training.datasets.images.fields import Fields
from training.datasets.images.find import data_set
from training.datasets.images.sample import Float32, Sample, to_matrices


class TsvFile:
    """Lines of a TSV by their number; nothing is kept open, so that worker processes can share it."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise MocapError(f"{path}: expected a TSV file, found none; docs/published_data.md says what to get")
        self.path = path
        index = path.with_suffix(".lineidx")
        self.offsets = _integers(index)[:, 0].tolist() if index.is_file() else _offsets(path)

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, line: int) -> list[str]:
        """The columns of a line."""
        if not 0 <= line < len(self):
            raise MocapError(f"{self.path}: expected a line below {len(self)}, found {line}")
        with self.path.open("rb") as file:
            file.seek(self.offsets[line])
            content = file.readline()
        columns = [column.strip() for column in content.decode("utf-8", "replace").split("\t")]
        if len(columns) < 2:
            raise MocapError(f"{self.path}, line {line}: expected a key, a tab and a value, found {content[:40]!r}")
        return columns


def _offsets(path: Path) -> list[int]:
    """Where lines begin, for a file that came without a ``.lineidx``."""
    with path.open("rb") as file:
        starts = [0]
        starts += [file.tell() for _ in iter(file.readline, b"")]
    return starts[:-1]


def _integers(path: Path) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Whole numbers (N, C) of a text file, a row a line."""
    try:
        rows = [[int(number) for number in line.split()] for line in path.read_text().splitlines() if line.strip()]
        return np.array(rows, np.int64).reshape(len(rows), -1)
    except (OSError, ValueError) as error:
        raise MocapError(f"{path}: expected lines of whole numbers, could not read them ({error})") from error


class TsvSamples:
    """All samples that a YAML file names: ``len(samples)``, ``samples[i]``, ``for sample in samples``.

    Args:
        path: ``train.yaml`` or the like, beside its files.
        dataset: A name of find.DATASETS.

    Raises:
        MocapError: no such file, or one that names no ``img`` and ``label``; from a sample: a line that is broken.
    """

    def __init__(self, path: Path, dataset: str) -> None:
        data_set(dataset)
        self.dataset = dataset
        config = _config(path)
        self._images = [TsvFile(file) for file in _files(path, config, "img")]
        self._labels = [TsvFile(file) for file in _files(path, config, "label")]
        if len(self._images) != len(self._labels):
            raise MocapError(f"{path}: expected as many img as label files, found {config['img']}, {config['label']}")
        self._lines = self._read_lines(path, config)

    def _read_lines(self, path: Path, config: dict[str, Any]) -> list[tuple[int, int]]:
        """(file, line) of each sample."""
        if not config.get("linelist"):
            return [(source, line) for source, file in enumerate(self._labels) for line in range(len(file))]
        rows = _integers(path.parent / str(config["linelist"]))
        columns = 2 if config.get("composite") else 1
        if rows.shape[1:] != (columns,):
            raise MocapError(
                f"{path}: expected {columns} numbers a line in {config['linelist']}, found {rows.shape[1:]}"
            )
        return [(int(row[0]) if columns == 2 else 0, int(row[-1])) for row in rows]

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        source, line = self._lines[index]
        if not 0 <= source < len(self._labels):
            raise MocapError(f"expected a file below {len(self._labels)} in the linelist, found {source}")
        image, label = self._images[source][line], self._labels[source][line]
        where = f"{self._labels[source].path}, line {line}"
        if image[0] != label[0]:
            raise MocapError(f"{where}: expected the picture's key {image[0]!r}, found {label[0]!r}")
        return _sample(Fields(where, _annotation(where, label[1])), self.dataset, image[0], _bytes(where, image[-1]))


def _config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MocapError(
            f"{path}: expected a YAML file that names img and label, could not read it ({error})"
        ) from error
    if not isinstance(config, dict) or not config.get("img") or not config.get("label"):
        raise MocapError(f"{path}: expected a YAML file that names img and label, found {str(config)[:200]}")
    return config


def _files(path: Path, config: dict[str, Any], kind: str) -> list[Path]:
    """One file, or for a composite a list of files or the name of a text file with one a line."""
    names = config[kind]
    if config.get("composite") and isinstance(names, str):
        listed = path.parent / names
        if not listed.is_file():
            raise MocapError(f"{path}: expected a list of files in {listed}, found no such file")
        names = listed.read_text().split("\n")
    return [path.parent / str(name).strip() for name in (names if isinstance(names, list) else [names]) if str(name)]


def _annotation(where: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise MocapError(f"{where}: expected a label in JSON, could not read it ({error})") from error
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        raise MocapError(f"{where}: expected a list with a dict, found {text[:60]!r}")
    return dict(found[0])


def _bytes(where: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MocapError(f"{where}: expected a picture in base64, could not read it ({error})") from error


def _sample(fields: Fields, dataset: str, key: str, picture: bytes) -> Sample:
    """``scale`` is the side in 200 px; points are SPIN's 24, some files wrap them in a list of one."""
    center, scale = fields.numbers("center", 2), float(fields.any_numbers("scale").max())
    if not scale > 0:
        raise MocapError(f"{fields.path}: expected a scale above 0, found {scale:g}")
    has_smpl = _has(fields, "has_smpl")
    pose = to_matrices(fields.numbers("pose", 72).reshape(24, 3)) if has_smpl else None
    points_2d = _points(fields, "2d_joints", 3) if _has(fields, "has_2d_joints") else None
    points_3d = _points(fields, "3d_joints", 4) if _has(fields, "has_3d_joints") else None
    return Sample(
        dataset, key, picture, center, scale * 200, data_set(dataset).true_3d,
        fields.gender_of(fields.raw("gender")) if "gender" in fields else "neutral",
        joints_2d=None if points_2d is None else "spin24", keypoints_2d=points_2d,
        joints_3d=None if points_3d is None else "spin24", keypoints_3d=points_3d,
        R_parent_joint=pose, betas=fields.numbers("betas", 10) if has_smpl else None,
    )  # fmt: skip


def _has(fields: Fields, name: str) -> bool:
    return bool(fields.any_numbers(name).max() > 0)


def _points(fields: Fields, name: str, width: int) -> Float32:
    points = fields.any_numbers(name, finite=False)
    if points.shape[0] == 1:
        fields = Fields(fields.path, {name: points[0]})
    return fields.points(name, 24, width)
