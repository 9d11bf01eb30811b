"""Meshes of the open body, posed at random, and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mocap.assets import asset_path
from mocap.body.mesh_fit import MeshFit
from mocap.body.model import Body, load_body
from mocap.body.rotations import geodesic_angle
from mocap.body.smpl_file import read_smpl
from training.published.coarse_body import coarse_body

pytest.importorskip("smplx")


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


@pytest.fixture(scope="module")
def fit() -> MeshFit:
    return MeshFit(read_smpl(asset_path("open_body.npz")))


def posed(body: Body, R: np.ndarray, p_root: np.ndarray, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and joints, m."""
    given = [torch.from_numpy(np.asarray(x, np.float32)) for x in (R, p_root, betas)]
    return body.vertices(*given).numpy(), body.joints(*given).numpy()


def random_pose(seed: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    R = Rotation.from_rotvec(rng.normal(0, spread, (24, 3))).as_matrix()
    R[0] = Rotation.random(random_state=seed).as_matrix()  # any way round
    return R, rng.normal(0, 2, 3), rng.normal(0, 1, 10)


@pytest.mark.parametrize("spread", [0.0, 0.3, 0.7])
def test_there_and_back(body: Body, fit: MeshFit, spread: float) -> None:
    for seed in range(3):
        R, p_root, betas = random_pose(seed, spread)
        vertices, joints = posed(body, R, p_root, betas)
        found = fit(vertices)
        again, joints_again = posed(body, *found)
        assert np.linalg.norm(again - vertices, axis=1).mean() < 0.5e-3
        assert np.linalg.norm(joints_again - joints, axis=1).mean() < 1e-3
        assert np.degrees(geodesic_angle(R, found[0])).mean() < 1
        assert np.allclose(found[0] @ found[0].swapaxes(1, 2), np.eye(3), atol=1e-5)
        assert np.abs(found[1] - p_root).max() < 2e-3


def test_a_mesh_that_is_not_quite_a_body_is_fitted_all_the_same(body: Body, fit: MeshFit) -> None:
    R, p_root, betas = random_pose(7, 0.4)
    vertices, joints = posed(body, R, p_root, betas)
    noisy = vertices + np.random.default_rng(0).normal(0, 0.01, vertices.shape)
    _, found = posed(body, *fit(noisy))
    assert np.linalg.norm(found - joints, axis=1).mean() < 6e-3


@pytest.mark.parametrize("count", [500, 1723, 6890])
def test_meshes_of_any_size_are_fitted(count: int) -> None:
    """The coarser ones, too, tell all joints but the hands' by what skins them."""
    arrays = coarse_body(count)
    body, fit = Body(arrays), MeshFit(arrays)
    for seed in range(2):
        R, p_root, betas = random_pose(seed, 0.3)
        vertices, joints = posed(body, R, p_root, betas)
        again, joints_again = posed(body, *fit(vertices))
        assert np.linalg.norm(again - vertices, axis=1).mean() < 1e-3
        assert np.linalg.norm(joints_again - joints, axis=1).mean() < 2e-3
