"""The steps that make the open body from anny. Needs the ``train`` extra; the first use builds anny's cache."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mocap.assets import asset_path
from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT, load_skeleton
from mocap.body.smpl_file import SmplArrays, read_smpl

pytest.importorskip("anny")

from training.anny_body import AnnyBody, load_anny, tpose_bone_heads, tpose_rotations
from training.make_open_body import (
    Topology,
    joint_regressor,
    joint_transforms,
    regress,
    template_weights,
    topology,
    tpose_vertices,
)
from training.make_skeleton import ADULTS, sample_phenotypes
from training.open_body_weights import free_neck, smoothed, spread_wrist, strongest, twist_posedirs


@pytest.fixture(scope="module")
def mesh() -> Topology:
    return topology(load_anny())


@pytest.fixture(scope="module")
def asset() -> SmplArrays:
    return read_smpl(asset_path("open_body.npz"))


def test_topology_is_one_symmetric_skin(mesh: Topology) -> None:
    assert (np.unique(mesh.faces) == np.arange(len(mesh.vertices))).all()
    edges = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), 1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] <= 2).all()
    np.testing.assert_array_equal(mesh.mirror[mesh.mirror], np.arange(len(mesh.vertices)))


def test_asset_has_the_weights_and_faces_that_the_code_makes(mesh: Topology, asset: SmplArrays) -> None:
    weights = template_weights(load_anny(), mesh)
    np.testing.assert_allclose(weights, asset.weights, atol=1e-5)
    np.testing.assert_array_equal(mesh.faces, asset.faces)
    posedirs = twist_posedirs(weights, asset.v_template.astype(np.float64), load_skeleton().mean.astype(np.float64))
    assert asset.posedirs is not None
    np.testing.assert_allclose(posedirs, asset.posedirs, atol=1e-4)


def test_tpose_vertices_undo_what_they_do() -> None:
    """Skin that one joint carries moves rigidly; blended skin lies between both ways of posing it."""
    rng = np.random.default_rng(0)
    R, t = axis_angle_to_matrix(rng.normal(0, 0.4, (2, 24, 3))), rng.normal(0, 0.1, (2, 24, 3))
    rest, weights = rng.normal(0, 0.3, (2, 24, 3)), np.eye(24)
    rigid = np.einsum("njab,njb->nja", R, rest) + t
    np.testing.assert_allclose(tpose_vertices(rest, R, t, weights), rigid, atol=1e-9)
    identity = np.broadcast_to(np.eye(3), R.shape)
    blended = np.full((24, 24), 1 / 24)
    np.testing.assert_allclose(tpose_vertices(rest, identity, 0 * t, blended), rest, atol=1e-9)


def test_joint_transforms_carry_bone_heads_to_the_tpose() -> None:
    model = load_anny()
    heads = model.bone_heads(model.coefficients({"age": 0.4}))
    posed = tpose_bone_heads(model, heads, tpose_rotations(model, heads))
    R, t = joint_transforms(model, heads)
    for joint, bone in (("left_elbow", "wrist.L"), ("right_knee", "foot.R"), ("head", "jaw")):
        moved = R[0, JOINT[joint]] @ heads[0, model.bone(bone)] + t[0, JOINT[joint]]
        np.testing.assert_allclose(moved, posed[0, model.bone(bone)], atol=1e-9)


def test_regression_finds_a_linear_shape_space() -> None:
    rng = np.random.default_rng(0)
    template, directions = rng.normal(size=(7, 3)), rng.normal(size=(7, 3, 10))
    betas = rng.normal(size=(ADULTS + 50, 10))
    betas[:ADULTS] -= betas[:ADULTS].mean(0)
    shape = regress(betas, (template + np.einsum("vck,nk->nvc", directions, betas)).astype(np.float32))
    np.testing.assert_allclose(shape["v_template"], template, atol=1e-5)
    np.testing.assert_allclose(shape["shapedirs"], directions, atol=1e-4)
    assert shape["rms"].max() < 1e-4


def test_regressor_is_exact_local_and_sums_to_one(asset: SmplArrays) -> None:
    rng, skeleton = np.random.default_rng(0), load_skeleton()
    v = skeleton.mean.repeat(100, 0) + rng.normal(0, 0.05, (2400, 3))
    regressor = joint_regressor(v, rng.normal(0, 0.02, (2400, 3, 10)), skeleton)
    np.testing.assert_allclose(regressor.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(regressor @ v, skeleton.mean, atol=1e-6)
    assert np.abs(asset.J_regressor).max() < 2  # no place won by large weights that cancel


def test_smoothing_keeps_sums_and_softens_an_edge(mesh: Topology, asset: SmplArrays) -> None:
    hard = np.eye(24)[asset.weights.argmax(1)]
    soft = smoothed(hard, mesh.faces, 4)
    np.testing.assert_allclose(soft.sum(1), 1, atol=1e-9)
    ends = mesh.faces[:, :2].T
    assert np.abs(soft[ends[0]] - soft[ends[1]]).max() < 0.7 * np.abs(hard[ends[0]] - hard[ends[1]]).max()
    np.testing.assert_allclose(smoothed(np.ones_like(hard), mesh.faces, 2), 1, atol=1e-9)


def test_the_wrists_share_grows_along_the_forearm() -> None:
    joints = load_skeleton().mean.astype(np.float64)
    elbow, wrist = joints[JOINT["left_elbow"]], joints[JOINT["left_wrist"]]
    along = np.linspace(-0.5, 1.5, 41)
    weights = np.zeros((41, 24))
    weights[:, JOINT["left_elbow"]] = 0.8
    weights[:, JOINT["head"]] = 0.2
    spread_wrist(weights, elbow + along[:, None] * (wrist - elbow), joints, "left")
    share = weights[:, JOINT["left_wrist"]]
    assert (np.diff(share) >= 0).all()
    assert (share[along < 0.45] == 0).all()
    assert share[-1] == pytest.approx(0.8)
    np.testing.assert_allclose(weights.sum(1), 1)


def test_the_neck_loses_the_shoulders_weight_to_the_collar() -> None:
    joints = load_skeleton().mean.astype(np.float64)
    shoulder, collar = JOINT["right_shoulder"], JOINT["right_collar"]
    along = np.array([-1.0, 0.0, 0.35, 0.55, 0.75, 2.0])
    weights = np.zeros((6, 24))
    weights[:, shoulder], weights[:, collar] = 0.7, 0.3
    free_neck(weights, along[:, None] * joints[shoulder], joints, "right")
    np.testing.assert_allclose(weights[:, shoulder], [0, 0, 0, 0.35, 0.7, 0.7], atol=1e-9)
    np.testing.assert_allclose(weights.sum(1), 1)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_twist_shapes_move_outwards_in_a_twist_and_not_in_a_bend(share: float) -> None:
    """A ring around the left wrist that takes a share of its turn."""
    joints = load_skeleton().mean.astype(np.float64)
    wrist = joints[JOINT["left_wrist"]]
    axis = wrist - joints[JOINT["left_elbow"]]
    axis /= np.linalg.norm(axis)
    spokes = np.linalg.svd(axis[None])[2][1:]  # (2, 3) across the axis
    ring = wrist + 0.03 * np.concatenate([spokes, -spokes])
    weights = np.zeros((4, 24))
    weights[:, JOINT["left_elbow"]], weights[:, JOINT["left_wrist"]] = 1 - share, share
    posedirs = twist_posedirs(weights, ring, joints)

    def posed_ring(R: np.ndarray) -> np.ndarray:
        feature = np.zeros((23, 9))
        feature[JOINT["left_wrist"] - 1] = (R - np.eye(3)).ravel()
        shaped = ring + posedirs @ feature.ravel() - wrist
        return (1 - share) * shaped + share * shaped @ R.T

    twisted = posed_ring(axis_angle_to_matrix(axis * np.pi / 2))
    np.testing.assert_allclose(np.linalg.norm(twisted, axis=1), 0.03, atol=1e-9)
    R = axis_angle_to_matrix(spokes[0] * 1.2)
    np.testing.assert_allclose(posed_ring(R), (ring - wrist) @ ((1 - share) * np.eye(3) + share * R).T, atol=1e-9)


def test_strongest_weights() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(24), 50)
    kept = strongest(weights, 4)
    np.testing.assert_allclose(kept.sum(1), 1)
    assert ((kept > 0).sum(1) == 4).all()
    assert (kept.argmax(1) == weights.argmax(1)).all()


def test_bodies_of_the_population_are_near_the_open_body(mesh: Topology, asset: SmplArrays) -> None:
    """anny's own skinning of a sampled adult in the T-pose, against the shape whose joints fit best."""
    model, skeleton = load_anny(), load_skeleton()
    for phenotype in sample_phenotypes(model, 3, (20.0, 60.0), seed=5):
        body = AnnyBody(**dict(zip(model.network.phenotype_labels, map(float, phenotype), strict=True)))
        offset = (body.rest_joints - skeleton.mean).ravel()
        betas = np.linalg.lstsq(skeleton.directions.reshape(-1, 10), offset, rcond=None)[0]
        identity = np.broadcast_to(np.eye(3), (24, 3, 3))
        vertices = body.vertices(identity, body.rest_joints[0])[mesh.vertices]
        error = np.linalg.norm(asset.v_template + asset.shapedirs @ betas - vertices, axis=-1)
        assert error.mean() < 0.012
        assert torch.quantile(torch.from_numpy(error), 0.99) < 0.04
