"""COCO and MPII as people have them: JSON with 2D points drawn by hand. They have no 3D; pseudo-labels come as npz."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mocap.errors import MocapError
from training.datasets.images.fields import Fields
from training.datasets.images.find import missing
from training.datasets.images.sample import Table, box_around


def read_coco(path: Path, pictures: Path) -> Table:
    """The people of ``person_keypoints_*.json`` with at least one drawn point; crowds are left out.

    Points that are drawn count as known, seen or hidden. The box is the data set's own, made square, without a margin.

    Args:
        pictures: The folder of the pictures, ``train2014``.

    Raises:
        MocapError: no such file, no JSON, or a field that is missing or of another shape.
    """
    content = _read(path, "coco")
    if not isinstance(content, dict):
        raise MocapError(f"{path}: expected a dict with images and annotations, found a {type(content).__name__}")
    fields = Fields(path, content)
    images = {image.raw("id"): str(image.raw("file_name")) for image in _entries(fields, "images")}
    people = [p for p in _entries(fields, "annotations") if not p.raw("iscrowd") and p.raw("num_keypoints")]
    if not people:
        raise MocapError(f"{path}: expected people with keypoints in annotations, found none")
    points = np.stack([person.numbers("keypoints", 51).reshape(17, 3) for person in people])
    points[..., 2] = points[..., 2] > 0
    box = np.stack([person.numbers("bbox", 4) for person in people])
    names = [_name(images, person) for person in people]
    return Table(
        "coco", [Path(pictures) / name for name in names], box[:, :2] + box[:, 2:] / 2, box[:, 2:].max(1), False,
        ["neutral"] * len(people), joints_2d="coco17", keypoints_2d=points,
    )  # fmt: skip


def _name(images: dict[Any, str], person: Fields) -> str:
    number = person.raw("image_id")
    if number not in images:
        raise MocapError(f"{person.path}: expected an image_id of images, found {number}")
    return images[number]


def read_mpii(path: Path, pictures: Path) -> Table:
    """The people of ``annot/train.json``: the list that SimpleBaselines and HRNet made of MPII's MATLAB file.

    The box is tight around the known points: MPII's own ``center`` and ``scale`` cut limbs off. Pixels count from 1 in
    the file, and from 0 here.

    Raises:
        MocapError: no such file, no JSON, or a field that is missing or of another shape.
    """
    content = _read(path, "mpii")
    if not isinstance(content, list):
        raise MocapError(
            f"{path}: expected a list with image, joints and joints_vis (HRNet's annot/train.json), found a "
            f"{type(content).__name__}"
        )
    people = _entries(Fields(path, {"people": content}), "people")
    if not people:
        raise MocapError(f"{path}: expected at least one person, found none")
    places = np.stack([person.numbers("joints", 16, 2) for person in people]) - 1
    known = np.stack([person.numbers("joints_vis", 16) for person in people]) > 0
    points = np.concatenate([places, known[..., None]], 2).astype(np.float32)
    center, side = box_around(points)
    images = [Path(pictures) / str(person.raw("image")) for person in people]
    return Table(
        "mpii", images, center, side, False, ["neutral"] * len(people), joints_2d="mpii16", keypoints_2d=points,
        valid=side > 0,
    )  # fmt: skip


def _read(path: Path, dataset: str) -> Any:
    if not path.is_file():
        missing(dataset, path.parent)
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:  # JSON's and Unicode's errors are ValueErrors
        raise MocapError(f"{path}: expected JSON, could not read it ({error})") from error


def _entries(fields: Fields, name: str) -> list[Fields]:
    """A field that is a list of dicts."""
    entries = fields.raw(name)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise MocapError(f"{fields.path}: expected a list of dicts in {name}")
    return [Fields(f"{fields.path}, {name} {number}", entry) for number, entry in enumerate(entries)]
