"""Bodies and joint regressors that evaluations need, out of files which the user names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mocap.body.model import Body
from mocap.body.skeleton import NUM_BETAS
from mocap.body.smpl_file import GENDERS, NAMES, POSE_FEATURES, SmplArrays, read_smpl
from mocap.errors import MocapError
from mocap.pickles import NpzArrays
from training.datasets.images.sample import Sample
from training.published import points

_BODY_JOINTS = 22  # SMPL-H's and SMPL's without hands
_HAND = 15  # joints of each hand of SMPL-H, the left one's first
_GET_SMPL = "Get SMPL's male, female and neutral files from https://smpl.is.tue.mpg.de"

# Options that name a regressor, and which.
REGRESSORS = {"h36m_regressor": "h36m", "extra_regressor": "44", "spin_regressor": "spin49"}


def read_regressor(option: str, path: str, vertices: int) -> Tensor:
    """(n, V) of the file that an option of REGRESSORS names.

    Raises:
        MocapError: it is not named, there is none, or it is one of another body.
    """
    name, what = f"--{option.replace('_', '-')}", points.REGRESSORS[REGRESSORS[option]][1]
    if not path:
        raise MocapError(f"{name}: expected {what}, found none")
    found = points.read_regressor(REGRESSORS[option], Path(path))
    if found.shape[1] != vertices or not found.isfinite().all():
        raise MocapError(f"{path}: expected {what}, finite and of {vertices} vertices, found {tuple(found.shape)}")
    return found


class Bodies:
    """SMPL by gender, read when it is first asked for.

    Args:
        smpl: SMPL's folder, or one file, which then is the only gender that there is; None: ``imported`` alone.
        imported: The neutral body that an imported checkpoint came with.
        smplh: Folder of SMPL-H; its bodies take the place of SMPL's.
    """

    def __init__(
        self, smpl: Path | None, imported: SmplArrays | None, device: torch.device, smplh: Path | None = None
    ) -> None:
        self._smpl, self._imported, self._smplh, self._device = smpl, imported, smplh, device
        self._bodies: dict[str, Body] = {}

    def __call__(self, gender: str) -> Body:
        """Raises MocapError: there is no file for this gender, or it is not SMPL's."""
        if gender not in self._bodies:
            self._bodies[gender] = Body(self._read(gender)).to(self._device)
        return self._bodies[gender]

    def _read(self, gender: str) -> SmplArrays:
        if self._smplh is not None:
            return read_smplh(self._smplh, gender)
        if self._smpl is None:
            if gender == "neutral" and self._imported is not None:
                return self._imported
            raise MocapError(f"--smpl: expected the folder with SMPL's {gender} file, found none. {_GET_SMPL}")
        if self._smpl.is_file() and gender != _gender_of(self._smpl):
            raise MocapError(f"--smpl: expected a folder with SMPL's {gender} file, found {self._smpl}. {_GET_SMPL}")
        return read_smpl(self._smpl, gender)

    def vertices(self, samples: Sequence[Sample], gendered: bool) -> Tensor:
        """True meshes (B, V, 3) m, camera axes, of samples that all have SMPL; the pelvis at rest is where it is.

        Raises:
            MocapError: a sample has no pose or betas, or those of another body.
        """
        for sample in samples:
            if sample.R_parent_joint is None or sample.betas is None or sample.body != "smpl":
                found = "none" if sample.body == "smpl" else sample.body
                raise MocapError(f"{sample.name}: expected SMPL's pose and betas, which are the truth, found {found}")
        R, betas = (
            torch.from_numpy(np.stack([getattr(sample, name) for sample in samples])).to(self._device)
            for name in ("R_parent_joint", "betas")
        )
        genders = np.array([sample.gender if gendered else "neutral" for sample in samples])
        names = list(dict.fromkeys(genders.tolist()))
        rows = [torch.from_numpy(np.flatnonzero(genders == name)).to(self._device) for name in names]
        parts = [posed(self(name), R[at], betas[at]) for name, at in zip(names, rows, strict=True)]
        return torch.cat(parts)[torch.argsort(torch.cat(rows))]


def posed(body: Body, R: Tensor, betas: Tensor) -> Tensor:
    """Vertices (B, V, 3) m where smplx puts them without a translation: the pelvis at its place in the rest pose."""
    vertices: Tensor = body.vertices(R, body.rest_joints(betas)[..., 0, :], betas)
    return vertices


def _gender_of(path: Path) -> str:
    """By the file's name; a file of another name is taken for the neutral one."""
    match = NAMES.fullmatch(path.name)
    letter = (match[2] or match[3])[0].lower() if match else "n"
    return next(gender for gender in GENDERS if gender[0] == letter)


def read_smplh(folder: Path, gender: str) -> SmplArrays:
    """SMPL-H (``<folder>/male/model.npz``) with hands at rest, as SMPL's 24 joints: the same vertices.

    Fingers that do not turn move with the wrist, so their weights are those of SMPL's hand joint, which does not turn
    either; the pose blend shapes of the fingers are nought.

    Raises:
        MocapError: no such file, or one that is not SMPL-H's.
    """
    places = [folder / name / "model.npz" for name in (gender, gender[0])]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise MocapError(
            f"--smplh: expected {places[0]}, found none; get the Extended SMPL+H model (used in AMASS) from "
            "https://mano.is.tue.mpg.de"
        )
    fields = NpzArrays(path)
    try:
        v_template, shapedirs, posedirs, regressor, weights, faces = (
            np.asarray(fields[key]) for key in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f")
        )
        shape, joints = (len(v_template), 3), _BODY_JOINTS + 2 * _HAND
        expected = {"posedirs": (*shape, 9 * (joints - 1)), "J_regressor": (joints, shape[0])}
        expected |= {"weights": (shape[0], joints), "shapedirs": (*shape, shapedirs.shape[-1])}
        found = {"posedirs": posedirs, "J_regressor": regressor, "weights": weights, "shapedirs": shapedirs}
        if wrong := [key for key, size in expected.items() if found[key].shape != size]:
            raise ValueError(f"{wrong[0]} is {found[wrong[0]].shape}, not {expected[wrong[0]]}")
        if shapedirs.shape[-1] < NUM_BETAS:
            raise ValueError(f"{shapedirs.shape[-1]} betas")
    except (KeyError, ValueError, IndexError) as error:
        raise MocapError(f"{path}: expected SMPL-H's arrays, found others ({error})") from error
    moving = 9 * (_BODY_JOINTS - 1)
    kept = np.zeros((*shape, POSE_FEATURES), np.float32)
    kept[..., :moving] = posedirs[..., :moving]
    hands = weights[:, _BODY_JOINTS:].reshape(-1, 2, _HAND).sum(-1)
    first = [*range(_BODY_JOINTS), _BODY_JOINTS, _BODY_JOINTS + _HAND]
    return SmplArrays(
        v_template=v_template.astype(np.float32),
        shapedirs=shapedirs[..., :NUM_BETAS].astype(np.float32),
        posedirs=kept,
        J_regressor=regressor[first].astype(np.float32),
        weights=np.concatenate([weights[:, :_BODY_JOINTS], hands], 1).astype(np.float32),
        faces=faces.astype(np.int64),
    )
