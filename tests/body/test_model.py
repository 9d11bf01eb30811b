"""The body agrees with smplx, mesh and joints, for SMPL's format in general and for the open body."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mocap.assets import asset_path
from mocap.body import skeleton, torch_kinematics
from mocap.body.model import Body, load_body
from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT, load_skeleton
from mocap.body.smpl_file import SmplArrays, read_smpl
from mocap.errors import MocapError
from tests.body.small_body import random_body

smplx = pytest.importorskip("smplx")


def small_body(**options: int) -> Body:
    fields = random_body(**options)
    floats = {
        k: fields[k].astype(np.float32) for k in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights")
    }
    return Body(SmplArrays(**floats, faces=fields["f"].astype(np.int64)))


@pytest.fixture(scope="module", params=["SMPL's format", "open body"])
def body(request: pytest.FixtureRequest) -> Body:
    return load_body() if request.param == "open body" else small_body()


@pytest.fixture(scope="module")
def open_body() -> Body:
    return load_body()


def random_pose(count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations (N, 24, 3, 3), pelvis (N, 3), betas (N, 10)."""
    rng = np.random.default_rng(seed)
    R = axis_angle_to_matrix(rng.normal(0, 0.6, (count, 24, 3)))
    rest = (torch.from_numpy(a).float() for a in (R, rng.normal(size=(count, 3)), rng.normal(size=(count, 10))))
    return tuple(rest)  # type: ignore[return-value]


def rotated(joint: str, degrees: tuple[float, float, float]) -> Tensor:
    pose = np.zeros((24, 3))
    pose[JOINT[joint]] = np.radians(degrees)
    return torch.from_numpy(axis_angle_to_matrix(pose)).float()


def volume(vertices: Tensor, faces: Tensor) -> float:
    """Signed volume of a closed mesh, m³."""
    a, b, c = vertices.double()[faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def test_mesh_and_joints_agree_with_smplx(body: Body) -> None:
    R, p_root, betas = random_pose(5)
    transl = p_root - body.rest_joints(betas)[:, 0]
    ours = body.vertices(R, p_root, betas), body.joints(R, p_root, betas)
    joints_only = smplx.lbs.lbs(
        betas, R, body.smpl.v_template, body.smpl.shapedirs, body.smpl.posedirs, body.smpl.J_regressor,
        body.smpl.parents, body.smpl.lbs_weights, pose2rot=False,
    )  # fmt: skip
    for mine, theirs in zip(ours, joints_only, strict=True):
        np.testing.assert_allclose(mine, theirs + transl[:, None], atol=1e-5)


def test_smpls_file_agrees_with_smplx_that_reads_it_itself(tmp_path: Path) -> None:
    """A file that smplx can open (no chumpy, SMPL's 6890 vertices): mesh, torch and NumPy joints."""
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(random_body(vertices=6890), 4))
    theirs, ours = smplx.SMPL(str(path), batch_size=3), load_body(path)
    rng = np.random.default_rng(1)
    pose, transl, betas = rng.normal(0, 0.6, (3, 24, 3)), rng.normal(size=(3, 3)), rng.normal(size=(3, 10))
    given = {"global_orient": pose[:, 0], "body_pose": pose[:, 1:].reshape(3, -1), "transl": transl, "betas": betas}
    with torch.no_grad():
        wanted = theirs(**{key: torch.from_numpy(value).float() for key, value in given.items()})
    R, t, b = (torch.from_numpy(x).float() for x in (axis_angle_to_matrix(pose), transl, betas))
    p_root = t + ours.rest_joints(b)[:, 0]
    np.testing.assert_allclose(ours.vertices(R, p_root, b), wanted.vertices, atol=1e-5)
    np.testing.assert_allclose(ours.joints(R, p_root, b), wanted.joints[:, :24], atol=1e-5)
    in_numpy = ours.skeleton().forward(R.numpy(), p_root.numpy(), b.numpy())
    np.testing.assert_allclose(in_numpy, wanted.joints[:, :24], atol=1e-5)


def test_open_body_agrees_with_the_smplx_layer(open_body: Body) -> None:
    """smplx's own call, extra joints and translation included."""
    R, p_root, betas = random_pose(2)
    transl = p_root - open_body.rest_joints(betas)[:, 0]
    theirs = open_body.smpl(betas=betas, global_orient=R[:, :1], body_pose=R[:, 1:], transl=transl, pose2rot=False)
    np.testing.assert_allclose(open_body.vertices(R, p_root, betas), theirs.vertices, atol=1e-5)
    np.testing.assert_allclose(open_body.joints(R, p_root, betas), theirs.joints[:, :24], atol=1e-5)


def test_numpy_kinematics_agree_with_smplx(body: Body) -> None:
    R, p_root, betas = random_pose(5)
    joints = body.skeleton().forward(R.numpy(), p_root.numpy(), betas.numpy())
    rest = body.smpl.J_regressor @ (body.smpl.v_template + (body.smpl.shapedirs @ betas[:, None, :, None])[..., 0])
    theirs, _ = smplx.lbs.batch_rigid_transform(R, rest, body.smpl.parents)
    np.testing.assert_allclose(joints, theirs + (p_root - rest[:, 0])[:, None], atol=1e-5)


def test_torch_kinematics_agree_with_numpy() -> None:
    R, _, _ = random_pose(6)
    R = R.reshape(2, 3, 24, 3, 3)
    R_global = torch_kinematics.global_rotations(R)
    np.testing.assert_allclose(R_global, skeleton.global_rotations(R.numpy()), atol=1e-6)
    np.testing.assert_allclose(torch_kinematics.local_rotations(R_global), R, atol=1e-6)
    padded = torch_kinematics.with_hands(R[..., :22, :, :])
    np.testing.assert_array_equal(padded[..., :22, :, :], R[..., :22, :, :])
    np.testing.assert_array_equal(padded[..., 22:, :, :], np.broadcast_to(np.eye(3), (2, 3, 2, 3, 3)))


def test_some_vertices_are_the_same_as_all_of_them(body: Body) -> None:
    R, p_root, betas = random_pose(3)
    at = torch.tensor([5, 0, 41])
    np.testing.assert_allclose(
        body.vertices(R, p_root, betas, at=at), body.vertices(R, p_root, betas)[:, at], atol=1e-6
    )


def test_batches_broadcast(body: Body) -> None:
    R, p_root, betas = random_pose(3)
    at = torch.arange(8)
    grid = body.vertices(R[:, None], p_root[0], betas, at=at)  # 3 poses x 3 shapes
    assert grid.shape == (3, 3, 8, 3)
    np.testing.assert_allclose(grid[2, 1], body.vertices(R[2], p_root[0], betas[1], at=at), atol=1e-5)
    np.testing.assert_allclose(
        body.joints(R[:, None], p_root[0], betas)[2, 1], body.joints(R[2], p_root[0], betas[1]), atol=1e-5
    )
    np.testing.assert_allclose(
        body.joints(R[0], p_root, betas[0])[1], body.joints(R[0], p_root[1], betas[0]), atol=1e-5
    )


def test_gradients_are_right() -> None:
    body, at = small_body(vertices=30).double(), torch.tensor([3, 8])
    R, p_root, betas = (x[:1].double().requires_grad_() for x in random_pose(1))
    assert torch.autograd.gradcheck(lambda *x: body.vertices(*x, at=at), (R, p_root, betas), fast_mode=True)
    assert torch.autograd.gradcheck(body.joints, (R, p_root, betas), fast_mode=True)


def test_without_smplx_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smplx", None)
    with pytest.raises(MocapError, match=r'pip install "mocap\[smpl\]"'):
        load_body()


def test_smplx_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    load_body()
    assert capsys.readouterr().out == ""


@pytest.mark.shared
def test_published_vectors(shared: Path) -> None:
    folder = shared / "parity" / "smpl" / "lbs"
    given, wanted = np.load(folder / "inputs.npz"), np.load(folder / "outputs.npz")
    count = len(given["v_template"])
    posedirs = given["posedirs"].T.reshape(count, 3, 207)
    floats = {k: given[k] for k in ("v_template", "shapedirs", "J_regressor", "weights")}
    body = Body(SmplArrays(**floats, posedirs=posedirs, faces=np.zeros((1, 3), np.int64)))
    R, betas = torch.from_numpy(given["rotmats"]), torch.from_numpy(given["betas"])
    p_root = body.rest_joints(betas)[:, 0]
    np.testing.assert_allclose(body.vertices(R, p_root, betas), wanted["vertices_rotmat"], atol=1e-4)
    np.testing.assert_allclose(body.joints(R, p_root, betas), wanted["joints_rotmat"], atol=1e-4)


def test_open_body_has_the_skeletons_joints_for_every_shape(open_body: Body) -> None:
    betas = np.random.default_rng(0).uniform(-3, 3, (200, 10)).astype(np.float32)
    vertices = open_body.rest_vertices(torch.from_numpy(betas))
    joints = open_body.smpl.J_regressor @ vertices
    np.testing.assert_allclose(joints, load_skeleton().rest_joints(betas), atol=1e-4)
    np.testing.assert_allclose(open_body.rest_joints(torch.from_numpy(betas)), joints, atol=1e-5)


def test_open_body_regressor_is_local(open_body: Body) -> None:
    used = (open_body.smpl.J_regressor.numpy() != 0).nonzero()
    reach = open_body.smpl.v_template.numpy()[used[1]] - open_body.J_template.numpy()[used[0]]
    assert np.linalg.norm(reach, axis=1).max() < 0.35
    assert len(used[0]) <= 24 * 600


def test_open_body_is_a_person_in_smpls_rest_pose(open_body: Body) -> None:
    v = open_body.smpl.v_template
    height, span = np.ptp(v[:, 1].numpy()), np.ptp(v[:, 0].numpy())
    assert 1.55 < height < 1.8
    assert 0.9 < span / height < 1.1
    assert 0.05 < volume(v, open_body.faces) < 0.09  # positive: faces look outwards
    soles = v[v[:, 1] < v[:, 1].min() + 0.01]
    assert np.ptp(soles[:, 2].numpy()) > 0.15
    assert (v[:, 2] - v[:, 2].mean())[v[:, 1] > v[:, 1].max() - 0.2].max() > 0.05  # a face ahead
    assert len(torch.unique(open_body.faces)) == open_body.num_vertices


def test_open_body_is_symmetric(open_body: Body) -> None:
    v, w = open_body.smpl.v_template.numpy(), open_body.smpl.lbs_weights.numpy()
    distance = np.linalg.norm(v[::40, None] * (-1, 1, 1) - v[None], axis=-1)
    assert distance.min(1).max() < 1e-4
    left, right = (w[:, [JOINT[f"{s}_{j}"] for j in ("shoulder", "knee", "wrist", "foot")]] for s in ("left", "right"))
    np.testing.assert_allclose(left[::40], right[distance.argmin(1)], atol=0.02)


def test_open_body_weights(open_body: Body) -> None:
    weights = open_body.smpl.lbs_weights.numpy()
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert (weights > 0).sum(1).max() == 4
    assert (weights.max(0) > 0.4).all()  # every joint carries some skin


@pytest.mark.parametrize(
    ("joint", "degrees"),
    [
        ("left_wrist", (90, 0, 0)), ("left_elbow", (0, -130, 0)), ("left_shoulder", (0, 0, 80)),
        ("left_shoulder", (0, 0, -75)), ("left_hip", (-110, 0, 0)), ("left_knee", (130, 0, 0)),
        ("left_foot", (-50, 0, 0)), ("neck", (0, 60, 0)),
    ],
)  # fmt: skip
def test_open_body_keeps_its_volume_and_edges(open_body: Body, joint: str, degrees: tuple[float, float, float]) -> None:
    """No collapsed joint: the whole keeps its volume, and no part of the skin is stretched or folded beyond reason."""
    poses = torch.stack([rotated(joint, (0, 0, 0)), rotated(joint, degrees)])
    rest, posed = open_body.vertices(poses, torch.zeros(3), torch.zeros(10))
    assert volume(posed, open_body.faces) > 0.96 * volume(rest, open_body.faces)
    edges = open_body.faces[:, :2].T
    lengths = [torch.linalg.norm(v[edges[0]] - v[edges[1]], dim=-1) for v in (rest, posed)]
    ratio = lengths[1] / lengths[0]
    assert torch.quantile(ratio, 0.001) > 0.3
    assert torch.quantile(ratio, 0.999) < 2.5


@pytest.mark.parametrize(
    ("joint", "parent", "reach"),
    [("left_wrist", "left_elbow", (-0.15, 0.02)), ("right_elbow", "right_shoulder", (-0.1, 0.1))],
)
@pytest.mark.parametrize("degrees", [-90, 45, 90])
def test_a_limb_that_twists_keeps_its_girth(
    open_body: Body, joint: str, parent: str, reach: tuple[float, float], degrees: float
) -> None:
    """Linear blending alone leaves cos 45° of it half way of a twist by 90°; the pose blend shapes bring it back."""
    J, rest = open_body.J_template, open_body.smpl.v_template
    axis = torch.nn.functional.normalize(J[JOINT[joint]] - J[JOINT[parent]], dim=0)
    posed = open_body.vertices(rotated(joint, tuple(degrees * axis.double().numpy())), J[0], torch.zeros(10))
    along = (rest - J[JOINT[joint]]) @ axis
    radius = [torch.linalg.cross(v - J[JOINT[joint]], axis.expand_as(v)).norm(dim=1) for v in (rest, posed)]
    for low in np.arange(*reach, 0.02):
        ring = (along > low) & (along < low + 0.02) & (radius[0] < 0.08)
        assert float(radius[1][ring].mean()) == pytest.approx(float(radius[0][ring].mean()), rel=0.05)


def test_the_wrists_twist_takes_8_cm_and_not_2(open_body: Body) -> None:
    """6 cm before the wrist the skin has turned already, 14 cm before it has not."""
    J, rest = open_body.J_template, open_body.smpl.v_template
    axis = torch.nn.functional.normalize(J[JOINT["left_wrist"]] - J[JOINT["left_elbow"]], dim=0)
    along = (rest - J[JOINT["left_wrist"]]) @ axis
    limb = torch.linalg.cross(rest - J[JOINT["left_wrist"]], axis.expand_as(rest)).norm(dim=1) < 0.08
    weights = open_body.smpl.lbs_weights[:, JOINT["left_wrist"]]
    assert weights[limb & ((along + 0.06).abs() < 0.01)].mean() > 0.1
    assert weights[limb & (along < -0.14)].max() < 0.05


@pytest.mark.parametrize("degrees", [(70, 0, 0), (0, 0, 60), (0, -80, 0)])
def test_a_turned_arm_leaves_the_neck_alone(open_body: Body, degrees: tuple[float, float, float]) -> None:
    J, rest = open_body.J_template, open_body.smpl.v_template
    posed = open_body.vertices(rotated("left_shoulder", degrees), J[0], torch.zeros(10))
    neck = (rest[:, 1] > J[JOINT["neck"], 1]) & (rest[:, 0].abs() < 0.08)
    assert (posed - rest)[neck].norm(dim=1).max() < 0.007


def test_asset_is_small_and_has_its_sidecar() -> None:
    path = asset_path("open_body.npz")
    assert path.stat().st_size < 4_000_000
    note = json.loads(path.with_suffix(".json").read_text())
    assert note["vertices"] == len(read_smpl(path).v_template)
    assert note["joint_error_mm"] < 0.1
