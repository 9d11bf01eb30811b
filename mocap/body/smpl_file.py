"""Reads bodies in SMPL's file format, licensed or open, without trusting the file.

SMPL's own files are Python 2 pickles that name chumpy's and scipy's classes. A pickle can call anything that it can
name, so here it can name almost nothing: numpy's array constructors, and stand-ins that only keep what they are given
in place of ``scipy.sparse`` and ``chumpy``. Neither package's code runs while the file is read.
"""

from __future__ import annotations

import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS, PARENTS
from mocap.errors import MocapError
from mocap.pickles import read_npy
from mocap.sparse_pickles import Standin, StandinUnpickler, sparse_matrix

Float32 = NDArray[np.float32]

POSE_FEATURES = 9 * (NUM_JOINTS - 1)  # entries of the 23 rotation matrices that pose blend shapes depend on
KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
_FLOATS = KEYS[:5]
NAMES = re.compile(r"(smpl_(neutral|male|female)|basicmodel_(neutral|m|f)_lbs_10_207_0_v[\d.]+)\.(npz|pkl)", re.I)
WANTED = "SMPL_NEUTRAL.pkl, SMPL_NEUTRAL.npz or basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"
FOLDERS = ("", "smpl", "models", "smpl/models")  # where a folder that people name keeps the files: smplx's, SMPL's zip
GENDERS = ("neutral", "male", "female")
_ADVICE = "Do not open this file; get SMPL again from https://smpl.is.tue.mpg.de."
_MOST_VERTICES = 999_999
NEXT = "Get SMPL from https://smpl.is.tue.mpg.de, or leave the path out for the open body."


@dataclass(frozen=True)
class SmplArrays:
    """A body in SMPL's format; metres, T-pose, SMPL's axes."""

    v_template: Float32  # (V, 3)
    shapedirs: Float32  # (V, 3, 10) m per unit of beta
    posedirs: Float32 | None  # (V, 3, 207) m per entry of R - I of joints 1 to 23; None: no pose blend shapes
    J_regressor: Float32  # (24, V)
    weights: Float32  # (V, 24)
    faces: NDArray[np.int64]  # (F, 3)


def read_smpl(path: Path, gender: str = "neutral") -> SmplArrays:
    """Reads a ``.pkl`` or ``.npz`` file, or the one for ``gender`` in a folder under any of its usual names.

    Raises:
        MocapError: no such file, a pickle that names anything but arrays, or arrays that are not SMPL's.
    """
    path = find_smpl(path, gender)
    try:
        with path.open("rb") as file:
            fields = _read_npz(file, path) if zipfile.is_zipfile(path) else _unpickle(file, path)
        if not isinstance(fields, dict):
            raise MocapError(f"{path}: expected a dictionary of SMPL's arrays, found {type(fields).__name__}. {NEXT}")
        return _checked({key: _array(fields[key]) for key in KEYS if key in fields}, path)
    except MocapError:
        raise
    except Exception as error:  # a broken file fails inside numpy or pickle in ways without number
        raise MocapError(f"{path}: expected SMPL's .pkl or .npz, could not read it ({error}). {NEXT}") from error


def write_smpl(path: Path, body: SmplArrays) -> None:
    """Writes a body as SMPL's ``.npz``, which :func:`read_smpl` reads; all of it or nothing."""
    fields = {"f" if name == "faces" else name: array for name, array in vars(body).items() if array is not None}
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez(file, kintree_table=np.array([PARENTS, range(NUM_JOINTS)]), **fields)
    os.replace(unfinished, path)


def find_smpl(path: Path, gender: str = "neutral") -> Path:
    """The file itself, or in a folder (one of FOLDERS below it) the file for ``gender``, one of GENDERS.

    Raises:
        MocapError: no such gender, or no such file.
    """
    if gender not in GENDERS:
        raise MocapError(f"expected a gender of {', '.join(GENDERS)}; found {gender!r}")
    if path.is_file():
        return path
    if not path.is_dir():
        raise MocapError(f"{path}: expected SMPL's file or the folder that holds it, found nothing. {NEXT}")
    found = [p for name in FOLDERS if (path / name).is_dir() for p in sorted((path / name).iterdir())]
    for candidate in found:
        if (match := NAMES.fullmatch(candidate.name)) and (match[2] or match[3])[0].lower() == gender[0]:
            return candidate
    listed = ", ".join(p.name for p in found[:6]) or "nothing"
    raise MocapError(f"{path}: expected {WANTED} (gender {gender}), found {listed}. {NEXT}")


def _unpickle(file: IO[bytes], path: Path) -> Any:
    return StandinUnpickler(file, path, _ADVICE).load()


def _read_npz(file: IO[bytes], path: Path) -> dict[str, Any]:
    """SMPL's arrays in an ``.npz``; an entry that is itself a pickle (a sparse matrix) is read like one."""
    fields: dict[str, Any] = {}
    with zipfile.ZipFile(file) as archive:
        for key in KEYS:
            if f"{key}.npy" in archive.namelist():
                with archive.open(f"{key}.npy") as entry:
                    fields[key] = read_npy(entry, lambda file: _unpickle(file, path))
    return fields


def _array(value: Any) -> NDArray[Any]:
    """The array that a field holds, be it dense, sparse or chumpy's."""
    while isinstance(value, np.ndarray) and value.dtype.hasobject and value.size == 1:
        value = value.item()
    if not isinstance(value, Standin):
        return np.asarray(value)
    matrix, state = sparse_matrix(value, 3 * NUM_JOINTS, _MOST_VERTICES), value.state
    if matrix is not None:
        return np.asarray(matrix.toarray())
    if "x" in state:  # chumpy.Ch: a constant
        return _array(state["x"])
    if "a" in state and "idxs" in state:  # chumpy's Select: entries of another array
        return _array(state["a"]).ravel()[_array(state["idxs"])].reshape(state["preferred_shape"])
    raise TypeError(f"expected an array, found a {type(value).__name__} with {sorted(state)}")


def _checked(fields: dict[str, NDArray[Any]], path: Path) -> SmplArrays:
    """Arrays of SMPL's shapes and tree, or an error that says which is not."""
    if missing := [key for key in KEYS if key not in fields and key != "posedirs"]:
        raise MocapError(f"{path}: expected SMPL's arrays, found no {', '.join(missing)}. {NEXT}")
    joints = fields["J_regressor"].shape[0]
    if joints != NUM_JOINTS:
        raise MocapError(f"{path}: expected SMPL's 24 joints, found {joints} (SMPL-H has 52, SMPL-X 55). {NEXT}")
    count = len(fields["v_template"])
    shapes = {
        "v_template": (count, 3),
        "shapedirs": (count, 3, max(NUM_BETAS, fields["shapedirs"].shape[-1])),
        "posedirs": (count, 3, POSE_FEATURES),
        "J_regressor": (NUM_JOINTS, count),
        "weights": (count, NUM_JOINTS),
        "kintree_table": (2, NUM_JOINTS),
        "f": (len(fields["f"]), 3),
    }
    for key, array in fields.items():
        if array.shape != shapes[key] or not np.isfinite(array).all():
            finite = "" if array.shape != shapes[key] else ", not all of it finite"
            raise MocapError(f"{path}: expected {key} of shape {shapes[key]}, found {array.shape}{finite}. {NEXT}")
    if fields["kintree_table"][0, 1:].astype(np.int64).tolist() != list(PARENTS[1:]):
        raise MocapError(f"{path}: expected SMPL's tree {PARENTS}, found {fields['kintree_table'][0].tolist()}. {NEXT}")
    faces = fields["f"].astype(np.int64)
    if faces.min() < 0 or faces.max() >= count:
        raise MocapError(f"{path}: expected faces of {count} vertices, found vertex {faces.max()}. {NEXT}")
    kept = {key: np.ascontiguousarray(array, np.float32) for key, array in fields.items() if key in _FLOATS}
    kept["shapedirs"] = np.ascontiguousarray(kept["shapedirs"][..., :NUM_BETAS])
    return SmplArrays(**{"posedirs": None, **kept}, faces=faces)  # type: ignore[arg-type]
