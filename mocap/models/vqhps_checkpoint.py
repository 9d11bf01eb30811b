"""VQ-HPS's released files -> a network for captures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mocap.body.smpl_file import SmplArrays
from mocap.errors import MocapError
from mocap.models import mesh_vqvae, vqhps
from mocap.models.checkpoints import read_file, renamed
from mocap.models.mesh_graph import read_connections
from mocap.models.vqhps_network import VQHPSNetwork, VQHPSNetworkConfig
from mocap.models.weights import load_weights

WANTED = (
    "the regressor's checkpoint, Mesh-VQ-VAE's checkpoint, the folder of its connection matrices (_pool0.npy ...), "
    "J_regressor_h36m.npy, and SMPL's file (--smpl)"
)


def read(
    files: Sequence[Path], config: VQHPSNetworkConfig | None = None, body: SmplArrays | None = None
) -> VQHPSNetwork:
    """The network of released files, in any order, in evaluation mode.

    Raises:
        MocapError: a file is missing, or is not that (says what and which sizes).
    """
    config = config or VQHPSNetworkConfig()
    folders = [path for path in files if path.is_dir()]
    arrays = [path for path in files if path.suffix == ".npy"]
    checkpoints = {path: _weights(path) for path in files if path not in (*folders, *arrays)}
    meshes = [path for path, weights in checkpoints.items() if any(key.startswith("encoder.model.") for key in weights)]
    others = [path for path in checkpoints if path not in meshes]
    if body is None or not all(len(kind) == 1 for kind in (folders, arrays, meshes, others)):
        found = ", ".join(path.name for path in files) + ("" if body is None else " and SMPL's file")
        raise MocapError(f"expected {WANTED}; found {found}")
    rows = [torch.from_numpy(one.rows) for one in read_connections(folders[0], config.connections)]
    joint_regressor = _regressor(arrays[0], (config.regressor.joints, len(body.v_template)))
    network = VQHPSNetwork(config, rows, joint_regressor, torch.from_numpy(body.v_template))
    vqhps.load_released(network.network.regressor, checkpoints[others[0]], str(others[0]))
    load_weights(network.network.mesh, renamed(checkpoints[meshes[0]], mesh_vqvae.RULES), str(meshes[0]))
    return network.eval()


def _weights(path: Path) -> Mapping[str, Any]:
    found = read_file(path)
    model = found.get("model", found)
    if not isinstance(model, Mapping):
        raise MocapError(f"{path}: expected a checkpoint with 'model', found {', '.join(sorted(map(str, found)))}")
    return model


def _regressor(path: Path, shape: tuple[int, int]) -> Tensor:
    try:
        regressor = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise MocapError(f"{path}: expected J_regressor_h36m.npy, found another file: {error}") from error
    found = getattr(regressor, "shape", type(regressor).__name__)
    if found != shape:
        raise MocapError(f"{path}: expected J_regressor_h36m.npy of {shape}, found {found}")
    return torch.from_numpy(regressor.astype(np.float32))
