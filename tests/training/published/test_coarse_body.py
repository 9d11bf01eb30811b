from __future__ import annotations

import numpy as np
import pytest
import torch

from mocap.assets import asset_path
from mocap.body.model import OPEN_BODY, Body, load_body
from mocap.body.smpl_file import SmplArrays, read_smpl
from mocap.body.torch_rotations import axis_angle_to_matrix
from mocap.errors import MocapError
from training.published.coarse_body import coarse_body

COUNT = 1000


@pytest.fixture(scope="module")
def coarse() -> SmplArrays:
    return coarse_body(COUNT)


def volume(arrays: SmplArrays) -> float:
    """m³, above 0 where the sides of the triangles that are counterclockwise lie outside."""
    corners = arrays.v_template[arrays.faces].astype(np.float64)
    return float(np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


def test_it_is_a_body_of_so_many_vertices(coarse: SmplArrays) -> None:
    whole = read_smpl(asset_path(OPEN_BODY))
    assert coarse.v_template.shape == (COUNT, 3)
    assert set(np.unique(coarse.faces)) <= set(range(COUNT))
    assert len(np.unique(coarse.faces)) > 0.98 * COUNT
    np.testing.assert_allclose(coarse.weights.sum(1), 1, atol=1e-5)
    places = {tuple(vertex) for vertex in whole.v_template}
    assert all(tuple(vertex) in places for vertex in coarse.v_template)
    assert coarse_body(0).v_template.shape == whole.v_template.shape


def test_its_outside_is_outside(coarse: SmplArrays) -> None:
    whole = volume(read_smpl(asset_path(OPEN_BODY)))
    assert 0.03 < whole < 0.15
    assert 0.8 * whole < volume(coarse) < 1.05 * whole


def test_rest_joints_are_the_whole_body_s(coarse: SmplArrays) -> None:
    betas = torch.randn(20, 10, generator=torch.Generator().manual_seed(3))
    betas[0] = 0
    error = (Body(coarse).rest_joints(betas) - load_body().rest_joints(betas)).norm(dim=-1)
    assert float(error[0].max()) < 0.002
    assert float(error.mean()) < 0.002


def test_joints_are_read_off_posed_meshes(coarse: SmplArrays) -> None:
    generator = torch.Generator().manual_seed(5)
    R = axis_angle_to_matrix(0.3 * torch.randn(40, 24, 3, generator=generator))
    betas = torch.randn(40, 10, generator=generator)
    body, zero = Body(coarse), torch.zeros(40, 3)
    read = torch.from_numpy(coarse.J_regressor) @ body.vertices(R, zero, betas)
    error = (read - body.joints(R, zero, betas)).norm(dim=-1)
    assert float(error.mean()) < 0.01
    whole = load_body()
    own = torch.from_numpy(coarse_body(0).J_regressor)
    before = (own @ whole.vertices(R, zero, betas) - whole.joints(R, zero, betas)).norm(dim=-1)
    assert float(error.mean()) < float(before.mean())


@pytest.mark.parametrize("count", [-1, 1, 399, 13_525])
def test_counts_that_make_no_body(count: int) -> None:
    with pytest.raises(MocapError, match=f"expected 400 to 13524 vertices of the open body, found {count}"):
        coarse_body(count)
