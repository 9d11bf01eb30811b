"""The open body with fewer vertices, for meshes that small networks can learn: the same shapes and skin."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray

from mocap.assets import asset_path
from mocap.body.model import OPEN_BODY, Body
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS
from mocap.body.smpl_file import SmplArrays, read_smpl
from mocap.body.torch_rotations import axis_angle_to_matrix
from mocap.errors import MocapError
from mocap.models.mesh_graph import spread

_FEWEST = 400  # vertices, with which every joint still has enough around it
_NEAREST = 100  # vertices that a joint is regressed from
_POSES, _TURN_RAD = 200, 0.3  # that the regressor is fitted to, and the deviation of their axis-angles' entries
_AT_REST, _SHAPES = 10.0, 3.0  # what the mean body at rest and the shapes' directions weigh, poses together being 1
_RIDGE = 0.01  # m of error that weights of length 1 are worth


@functools.lru_cache(maxsize=4)
def coarse_body(count: int = 0) -> SmplArrays:
    """The open body with ``count`` of its vertices, spread evenly over it; 0: all of them.

    Its ``J_regressor`` is another one, fitted to posed meshes, too: joints of the rest pose are the whole body's by
    about a millimetre, and what it reads off a posed mesh is nearer to the joints than with the whole body's own.

    Raises:
        MocapError: the body does not have so many vertices, or they are too few for its joints.
    """
    body = read_smpl(asset_path(OPEN_BODY))
    if count == 0:
        return body
    if not _FEWEST <= count <= len(body.v_template):
        raise MocapError(f"expected {_FEWEST} to {len(body.v_template)} vertices of the open body, found {count}")
    owner, kept = spread(body.faces, body.v_template, count)
    return SmplArrays(
        v_template=body.v_template[kept],
        shapedirs=body.shapedirs[kept],
        posedirs=None if body.posedirs is None else body.posedirs[kept],
        J_regressor=_regressor(body, kept),
        weights=body.weights[kept],
        faces=_collapsed(body.faces, owner),
    )


def _collapsed(faces: NDArray[np.int64], owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Triangles between what owns the corners of triangles (F, 3); their sides stay outside."""
    corners = owner[faces]
    first, second, third = corners.T
    corners = corners[(first != second) & (second != third) & (third != first)]
    start = corners.argmin(1)[:, None]
    return np.unique(np.take_along_axis(corners, (start + np.arange(3)) % 3, 1), axis=0)


def _regressor(arrays: SmplArrays, kept: NDArray[np.int64]) -> NDArray[np.float32]:
    """(24, len(kept)): joints from the kept vertices near each of them, by least squares over shapes
    at rest and random poses."""
    body, generator = Body(arrays), torch.Generator().manual_seed(0)
    R = axis_angle_to_matrix(_TURN_RAD * torch.randn(_POSES, NUM_JOINTS, 3, generator=generator))
    betas, zero = torch.randn(_POSES, NUM_BETAS, generator=generator), torch.zeros(_POSES, 3)
    vertices = body.vertices(R, zero, betas, at=torch.from_numpy(kept)).double().numpy()
    joints = body.joints(R, zero, betas).double().numpy()
    template, shapes = arrays.v_template[kept], arrays.shapedirs[kept]
    rest, aims = body.J_template.double().numpy(), body.J_directions.double().numpy()
    rows = np.zeros((NUM_JOINTS, len(template)))
    for joint, row in enumerate(rows):
        near = np.linalg.norm(template - rest[joint], axis=1).argsort()[:_NEAREST]
        parts = (  # each is (n, 3, near) and has to come out as 0 with weights whose sum is 1
            (vertices[:, near] - joints[:, None, joint]).swapaxes(1, 2) / np.sqrt(_POSES),
            _AT_REST * (template[near] - rest[joint]).T[None],
            _SHAPES * (shapes[near] - aims[joint]).transpose(2, 1, 0),
            _RIDGE * np.eye(len(near))[None],
        )
        zero_rows = np.concatenate([part.reshape(-1, len(near)) for part in parts])
        weights = np.linalg.solve(zero_rows.T @ zero_rows, np.ones(len(near)))
        row[near] = weights / weights.sum()
    return rows.astype(np.float32)
