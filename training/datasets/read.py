"""Any motion file or folder: packed clips, AMASS's layout, BVH."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from mocap.errors import MocapError
from training.datasets.amass import read_amass
from training.datasets.motion import Motion
from training.datasets.packed import read_packed
from training.datasets.retarget import read_retargeted

_KINDS = "BVH (.bvh), AMASS or MOYO (.npz), packed clips (*_smpl22*.npz)"


def motion_files(folder: Path) -> list[Path]:
    """The motion files in a folder and below it. AMASS's shape files, which hold no motion, are left out."""
    files = [path for path in sorted(Path(folder).rglob("*")) if path.suffix.lower() in (".bvh", ".npz")]
    return [path for path in files if path.stem != "shape" and not path.stem.endswith("_stagei")]


def read_motion(path: Path) -> list[Motion]:
    """All motion in a file, or in all files of a folder; a progress bar for many.

    Raises MocapError for a path that is not there, a folder without motion, a file of another kind or one that
    cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise MocapError(f"{path}: no such file or folder; expected {_KINDS}")
    if path.is_file():
        return _read_file(path)
    files = motion_files(path)
    if not files:
        raise MocapError(f"{path}: expected motion files, found none; readable are {_KINDS}")
    return [motion for file in tqdm(files, desc="reading", disable=len(files) < 20) for motion in _read_file(file)]


def _read_file(path: Path) -> list[Motion]:
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        return read_retargeted(path)
    if suffix == ".npz":
        return read_packed(path) if "_smpl22" in path.stem else read_amass(path)
    if suffix == ".c3d":
        raise MocapError(
            f"{path}: markers have to be fitted first: python -m training.fit_markers FOLDER --source NAME --out OUT"
        )
    raise MocapError(f"{path}: expected {_KINDS}, found a {path.suffix or 'file without an ending'}")
