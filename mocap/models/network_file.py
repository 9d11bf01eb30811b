"""A network with its weights as one file: safetensors, and beside it a JSON sidecar that says what they are.

Files lie in the user's data directory (``MOCAP_CHECKPOINTS`` names another). The body that the network speaks of is in
the file too, so that it is whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from torch import Tensor

from mocap.body.smpl_file import SmplArrays
from mocap.errors import MocapError
from mocap.models.checkpoints import read_file

FOLDER = "MOCAP_CHECKPOINTS"
_SMPL, _BODY = "smpl.", [item.name for item in dataclasses.fields(SmplArrays)]  # the body's tensors


def path_of(system: str) -> Path:
    """Where an imported checkpoint lies when nobody says otherwise."""
    given = os.environ.get(FOLDER)
    folder = Path(given) if given else Path(platformdirs.user_data_dir("mocap", appauthor=False)) / "checkpoints"
    return folder / f"{system}.safetensors"


def write_network(
    path: Path,
    system: str,
    config: Any,
    weights: Mapping[str, Tensor],
    body: SmplArrays | None = None,
    sources: Sequence[Path] = (),
) -> None:
    """Writes weights, a body where there is one, and the sidecar.

    Args:
        config: The network's dataclass.
        sources: What they were made of; their names are kept.

    Raises:
        MocapError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(_contiguous(weights) | _tensors(body), part)
        files = [source.name for source in sources]
        about = {"system": system, "config": dataclasses.asdict(config), "files": files, "sha256": _sha256(part)}
        os.replace(part, path)
        path.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise MocapError(
            f"{path}: expected a file that can be written, found {error}; free space, or set {FOLDER}"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _contiguous(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, none of them sharing memory, as safetensors wants it."""
    made, there = {}, set()
    for name, tensor in weights.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        made[name] = tensor.clone() if storage in there else tensor
        there.add(storage)
    return made


def _tensors(body: SmplArrays | None) -> dict[str, Tensor]:
    arrays = {} if body is None else {name: getattr(body, name) for name in _BODY}
    return {
        _SMPL + name: torch.from_numpy(np.ascontiguousarray(array))
        for name, array in arrays.items()
        if array is not None
    }


def read_about(path: Path, system: str, files: str) -> dict[str, Any]:
    """The sidecar of a file.

    Args:
        files: What a user brings, in words.

    Raises:
        MocapError: there is none, or it is of another system.
    """
    try:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        found = about["system"], about["config"], about["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MocapError(
            f"expected {system}'s imported checkpoint {path}, found none; you bring {files}: "
            f"mocap import-checkpoint FILE... --system {system}"
        ) from error
    if found[0] != system:
        raise MocapError(f"{path}: expected a checkpoint of {system}, found one of {found[0]}")
    return typing.cast("dict[str, Any]", about)


def read_network_weights(path: Path) -> dict[str, Tensor]:
    """All but the body.

    Raises:
        MocapError: there is no such file, or it is another.
    """
    return {name: tensor for name, tensor in read_file(path).items() if not name.startswith(_SMPL)}


def read_body(path: Path) -> SmplArrays | None:
    """The body in a file, where it is there."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        found = {name: file.get_tensor(_SMPL + name) for name in _BODY if _SMPL + name in file.keys()}  # noqa: SIM118
    return SmplArrays(**{"posedirs": None, **found}) if found else None


def from_dict(cls: type, values: Mapping[str, Any]) -> Any:
    """What ``dataclasses.asdict`` made of a configuration, as one again, whatever lies in it.

    Raises:
        TypeError: the fields are others.
    """
    hints, made = typing.get_type_hints(cls), {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            value = from_dict(_kind_of(hints.get(name), value), value)
        made[name] = tuple(value) if isinstance(value, list) else value
    return cls(**made)


def _kind_of(hint: Any, values: Mapping[str, Any]) -> type:
    """The dataclass, of those that a field may hold, that has these fields and as few others as can be."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds = [kind for kind in (typing.get_args(hint) if union else [hint]) if dataclasses.is_dataclass(kind)]
    names = {kind: {item.name for item in dataclasses.fields(kind)} for kind in kinds}
    fitting = [kind for kind in kinds if names[kind] >= set(values)]
    if not fitting:
        raise TypeError(f"unexpected fields {', '.join(map(str, values))}")
    return typing.cast(type, min(fitting, key=lambda kind: len(names[kind])))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**22):
            digest.update(block)
    return digest.hexdigest()
