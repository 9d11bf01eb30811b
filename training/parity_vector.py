"""Parity vectors: what a published network computes, and how near our outputs are to it."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocap.errors import MocapError
from mocap.models.checkpoints import read_file

TOLERANCE = 1e-4  # absolute, or relative to the output's largest magnitude where that is above 1
MARGIN = "code_margin"  # output: by how much the second nearest code is farther than the nearest


@dataclass(frozen=True)
class Vector:
    """A folder with ``config.json``, ``inputs.npz``, ``outputs.npz`` and perhaps ``state_dict.safetensors``."""

    path: Path
    label: str  # system/vector

    @cached_property
    def config(self) -> dict[str, Any]:
        try:
            config = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
            str(config["module"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MocapError(f"{self.path / 'config.json'}: expected JSON with 'module', found {error!r}") from error
        return config

    @property
    def module(self) -> str:
        return str(self.config["module"])

    @cached_property
    def inputs(self) -> dict[str, Tensor]:
        """Pictures are stored in half precision; what was computed from them was not."""
        tensors = {name: torch.from_numpy(array) for name, array in _read_arrays(self.path / "inputs.npz").items()}
        return {name: tensor.float() if tensor.dtype == torch.half else tensor for name, tensor in tensors.items()}

    @cached_property
    def outputs(self) -> dict[str, NDArray[Any]]:
        return _read_arrays(self.path / "outputs.npz")

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Under the released code's key names."""
        return read_file(self.path / "state_dict.safetensors")

    def ties(self, name: str) -> NDArray[np.bool_]:
        """Where two codes are equally near, so that either index of output ``name`` is right: of its shape.

        ``code_margin`` holds for every output of indices; with a number at its end, for the one with that number.
        """
        expected = self.outputs[name]
        number = re.search(r"\d*$", name)
        margin = self.outputs.get(f"{MARGIN}{number[0] if number else ''}", self.outputs.get(MARGIN))
        if margin is None or margin.size not in (1, expected.size):
            return np.zeros(expected.shape, bool)
        tied = np.abs(margin) <= allowed_error(margin)
        return np.broadcast_to(tied.reshape(expected.shape if margin.size > 1 else ()), expected.shape)

    def settle(self, name: str, indices: Tensor) -> Tensor:
        """Our indices, with the released code's choice where codes tie: what is decoded from them can be compared."""
        if name not in self.outputs or self.outputs[name].size != indices.numel():
            return indices
        expected = torch.from_numpy(self.outputs[name]).reshape(indices.shape)
        return torch.where(torch.from_numpy(self.ties(name).copy()).reshape(indices.shape), expected, indices)


Builder = Callable[[Vector], Mapping[str, Tensor]]  # output name -> what our code computes


@dataclass(frozen=True)
class Row:
    """One line of the report: an output, or a vector that could not be run."""

    label: str
    output: str
    passed: bool
    absolute: float | None = None  # largest error; None: there was nothing to compare
    relative: float | None = None  # to the output's largest magnitude
    note: str = ""


def find_vectors(folder: Path, only: str | None = None) -> list[Vector]:
    """Vectors below ``folder``, or the one that it is.

    Args:
        only: Shell pattern for system/vector, for the vector's own name or for its module.

    Raises:
        MocapError: there is none.
    """
    configs = sorted(folder.rglob("config.json"))
    vectors = [Vector(config.parent, "/".join(config.parent.resolve().parts[-2:])) for config in configs]
    if not vectors:
        raise MocapError(f"Expected folders with config.json under {folder}, found none")
    chosen = [vector for vector in vectors if only is None or _matches(vector, only)]
    if not chosen:
        raise MocapError(f"Expected a vector named '{only}', found {', '.join(vector.label for vector in vectors)}")
    return chosen


def _matches(vector: Vector, pattern: str) -> bool:
    return any(fnmatch(name, pattern) for name in (vector.label, vector.path.resolve().name, vector.module))


def allowed_error(expected: NDArray[Any]) -> float:
    return TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0)))


def compare(vector: Vector, found: Mapping[str, Tensor]) -> Iterator[Row]:
    """One row for each output of the vector but the margins, which say how to read the indices."""
    for name, expected in vector.outputs.items():
        if re.fullmatch(rf"{MARGIN}\d*", name):
            continue
        if name not in found:
            yield Row(vector.label, name, passed=False, note="not computed")
        else:
            yield _compare_one(vector, name, expected, found[name].detach().numpy())


def _compare_one(vector: Vector, name: str, expected: NDArray[Any], found: NDArray[Any]) -> Row:
    if found.shape != expected.shape:
        return Row(vector.label, name, passed=False, note=f"expected shape {expected.shape}, found {found.shape}")
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    absolute = float(difference.max(initial=0))
    relative = absolute / max(float(np.abs(expected).max(initial=0)), 1e-30)
    if expected.dtype.kind == "f":
        return Row(vector.label, name, bool(absolute <= allowed_error(expected)), absolute, relative)
    unequal = difference != 0
    excused = unequal & vector.ties(name) if unequal.any() else unequal
    note = f"{unequal.sum()} of {unequal.size} differ, {excused.sum()} of them ties" if unequal.any() else ""
    return Row(vector.label, name, bool((unequal == excused).all()), absolute, relative, note)


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise MocapError(f"Expected arrays in {path}, found none: {error}") from error


def transformer_sizes(config: Mapping[str, int]) -> dict[str, int]:
    """Of FastMETRO's encoder and decoder, under the released configurations' names."""
    return {
        "width": config["model_dim"],
        "heads": config["nhead"],
        "hidden": config["feedforward_dim"],
        "encoder_layers": config["num_enc_layers"],
        "decoder_layers": config["num_dec_layers"],
    }
