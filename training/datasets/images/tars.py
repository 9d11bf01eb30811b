"""4D-Humans' and TokenHMR's training data: tar shards in webdataset's layout, without unpacking.

A shard holds for each picture ``<key>.jpg``, ``<key>.data.pyd`` (a pickled list with a dict for each person) and
sometimes ``<key>.detection.npz`` (``masks`` (n, H, W)), one after the other.

    for sample in read_tar(path, "coco"): ...     # from the front
    samples = TarSamples(path, "coco")            # any of them: len(samples), samples[i]
    samples = open_tars(paths, "coco")            # of thousands of shards
"""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mocap.errors import MocapError
from mocap.pickles import read_pickle
from training.datasets.images.fields import Fields, unboxed
from training.datasets.images.find import data_set
from training.datasets.images.npz import projected_joints, turns
from training.datasets.images.sample import Float32, Sample, to_matrices
from training.datasets.images.tar_index import MASKS, PEOPLE, PICTURES, index_all, index_of, split_name


def read_tar(path: Path, dataset: str) -> Iterator[Sample]:
    """The people of a shard, in order.

    Args:
        dataset: A name of find.DATASETS.

    Raises:
        MocapError: no such file or no tar, a record that lacks a part or has arrays of another shape, or a pickle that
            names anything but arrays.
    """
    true_3d = data_set(dataset).true_3d  # of the shards, as in TokenHMR, those of Human3.6M and BEDLAM
    for key, parts in _records(path):
        picture = next((parts[suffix] for suffix in PICTURES if suffix in parts), None)
        if picture is None or PEOPLE not in parts:
            found = ", ".join(parts)
            raise MocapError(f"{path}: expected {key}.jpg and {key}.{PEOPLE}, found {key} with {found} only")
        masks = _masks(path, key, parts.get(MASKS))
        for fields in _people(path, key, parts[PEOPLE]):
            yield _sample(fields, dataset, true_3d, key, picture, masks)


class TarSamples:
    """The people of a shard in :func:`read_tar`'s order, each read when it is asked for, by any number of threads.

    Args:
        path: A tar that is not compressed. It is looked through once, see ``tar_index``, when anything is asked for.
        dataset: A name of find.DATASETS.
        masks: People's pixels are read, too.

    Raises:
        MocapError: as :func:`read_tar`.
    """

    def __init__(self, path: Path, dataset: str, masks: bool = False) -> None:
        self.path, self.dataset, self.masks = path, dataset, masks
        self.true_3d = data_set(dataset).true_3d

    @functools.cached_property
    def index(self) -> NDArray[np.void]:
        """Where what lies."""
        return index_of(self.path, _count)

    def __len__(self) -> int:
        return int(self.index["before"][-1] + self.index["count"][-1]) if len(self.index) else 0

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        row = self.index[int(np.searchsorted(self.index["before"], index, "right")) - 1]
        key = row["key"].decode()
        with self.path.open("rb") as file:
            picture, people = (_part(file, row, name) for name in ("picture", "people"))
            masks = _part(file, row, "masks") if self.masks and row["masks_size"] else None
        fields = _people(self.path, key, people)[index - int(row["before"])]
        return _sample(fields, self.dataset, self.true_3d, key, picture, _masks(self.path, key, masks))


def open_tars(paths: Sequence[Path], dataset: str) -> list[TarSamples]:
    """Many shards; a progress bar shows how those are looked through that were not yet."""
    index_all(paths, _count, dataset)
    return [TarSamples(path, dataset) for path in paths]


def _count(path: Path, key: str, content: bytes) -> int:
    return len(_people(path, key, content))


def _part(file: IO[bytes], row: NDArray[np.void] | np.void, name: str) -> bytes:
    file.seek(int(row[f"{name}_at"]))
    return file.read(int(row[f"{name}_size"]))


def _people(path: Path, key: str, content: bytes) -> list[Fields]:
    """The records of a picture's people."""
    people = read_pickle(io.BytesIO(content), path / f"{key}.{PEOPLE}")
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise MocapError(f"{path}: expected a list of dicts in {key}.{PEOPLE}, found {type(people).__name__}")
    return [Fields(f"{path}: {key}.{PEOPLE}, person {index}", person) for index, person in enumerate(people)]


def _records(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Neighbouring members with the same key."""
    key, parts = "", dict[str, bytes]()
    for name, content in _members(path):
        this, suffix = split_name(name)
        if this != key and parts:
            yield key, parts
            parts = {}
        key = this
        parts[suffix] = content
    if parts:
        yield key, parts


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    if not path.is_file():
        raise MocapError(f"{path}: expected a tar shard, found no file; docs/published_data.md says what to get")
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None:
                    yield member.name, file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise MocapError(f"{path}: expected a whole tar shard, could not read it ({error}). Get it again.") from error


def _masks(path: Path, key: str, content: bytes | None) -> NDArray[np.bool_] | None:
    if content is None:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            masks = np.asarray(file["masks"])
    except Exception as error:  # zipfile, NumPy and zlib each have errors of their own
        raise MocapError(f"{path}: expected masks in {key}.detection.npz, could not read them ({error})") from error
    if masks.ndim != 3:
        raise MocapError(f"{path}: expected masks (n, H, W) in {key}.detection.npz, found {masks.shape}")
    return masks.astype(bool)


def _sample(
    fields: Fields, dataset: str, true_3d: bool, key: str, picture: bytes, masks: NDArray[np.bool_] | None
) -> Sample:
    center, scale = fields.numbers("center", 2), fields.any_numbers("scale").ravel()
    if scale.size not in (1, 2) or not (scale > 0).all():
        raise MocapError(f"{fields.path}: expected one or two numbers above 0 in scale, found {scale.tolist()[:4]}")
    shared: dict[str, Any] = {
        "dataset": dataset,
        "name": key,
        "image": picture,
        "center_px": center,
        "side_px": float(scale.max()) * 200,
        "true_3d": true_3d,
        "gender": fields.gender_of(fields.raw("gender")) if "gender" in fields else "neutral",
    }
    labels = _bedlam(fields) if "gtkps" in fields else _labels(fields)
    return Sample(**shared, **labels, mask=_mask(fields, masks))


def _labels(fields: Fields) -> dict[str, Any]:
    """What 4D-Humans' records hold; pose and betas count where ``has_body_pose`` and ``has_betas`` are above 0."""
    pose, betas = None, None
    if _has(fields, "has_body_pose"):
        pose = to_matrices(fields.numbers("body_pose", 72).reshape(24, 3))
    if _has(fields, "has_betas"):
        betas = fields.numbers("betas", 10)
    return {
        "joints_2d": "44",
        "keypoints_2d": fields.points("keypoints_2d", 44, 3),
        "joints_3d": "44",
        "keypoints_3d": fields.points("keypoints_3d", 44, 4),
        "R_parent_joint": pose,
        "betas": betas,
        "reprojection_error": _reprojection_error(fields),
    }


def _has(fields: Fields, name: str) -> bool:
    return bool(fields.any_numbers(name).max() > 0)


def _bedlam(fields: Fields) -> dict[str, Any]:
    """What TokenHMR's BEDLAM records hold: no 3D points, they come from the body."""
    record = Fields(fields.path, {"pose_cam": fields.any_numbers("pose_cam")[None]})
    pose, body = record.poses("pose_cam", count=1)
    joints, points = projected_joints(fields.numbers("gtkps", None, None, finite=False)[None], body, fields)
    K = fields.numbers("cam_int", 3, 3) if "cam_int" in fields else None
    return {
        "body": body,
        "joints_2d": joints,
        "keypoints_2d": points[0],
        "R_parent_joint": to_matrices(pose[0]),
        "betas": _first_ten(fields),
        "K_camera": K,
        "t_camera": fields.numbers("trans_cam", 3) + fields.numbers("cam_ext", 4, 4)[:3, 3],
        "quarter_turns": 0 if K is None else int(turns(K[None])[0]),
    }


def _first_ten(fields: Fields) -> Float32:
    record = Fields(fields.path, {"shape": fields.any_numbers("shape")[None]})
    return record.shapes("shape", 1)[0]


def _reprojection_error(fields: Fields) -> float | None:
    """Of the fit that made the labels: ``extra_info["fitting_loss"]["reprojection_loss"]``, where there is one."""
    info = unboxed(fields.values.get("extra_info"))
    losses = unboxed(info.get("fitting_loss")) if isinstance(info, dict) else None
    if not isinstance(losses, dict) or losses.get("reprojection_loss") is None:
        return None
    return float(Fields(f"{fields.path} extra_info", losses).any_numbers("reprojection_loss").sum())


def _mask(fields: Fields, masks: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    if masks is None:
        return None
    number = int(fields.group("extra_info").any_numbers("detection_npz_idx").max())
    if not 0 <= number < len(masks):
        raise MocapError(f"{fields.path}: expected detection_npz_idx below {len(masks)}, found {number}")
    return masks[number]
