from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from mocap.assets import asset_path
from mocap.body.model import OPEN_BODY, load_body
from mocap.body.skeleton import JOINT
from mocap.body.torch_figure import Figure
from mocap.body.torch_rotations import axis_angle_to_matrix, random_rotations
from mocap.errors import MocapError
from training.datasets.images.joint_sets import JOINT_SETS
from training.published.points import OpenPoints, SmplPoints, load_points, read_regressor

REST = torch.eye(3).expand(1, 24, 3, 3)


def people(count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    turn = axis_angle_to_matrix(0.5 * torch.randn(count, 24, 3, generator=generator))
    return turn, torch.randn(count, 10, generator=generator)


def at(joint_set: str, points: torch.Tensor, name: str) -> torch.Tensor:
    return points[..., JOINT_SETS[joint_set].index(name), :]


@pytest.mark.parametrize("joint_set", ["44", "spin49", "smpl24"])
def test_joints_of_the_open_body_are_its_joints(joint_set: str) -> None:
    points = OpenPoints(joint_set)
    R, betas = people()
    found, joints = points(R, betas), Figure()(R, betas)[0]
    torch.testing.assert_close(points.joints(R, betas), joints)
    for name, point, known in zip(JOINT_SETS[joint_set], found.unbind(1), points.known, strict=True):
        plain = name.rpartition(" ")[2]
        if plain in JOINT and not name.startswith("human36m"):
            assert known
            torch.testing.assert_close(point, joints[:, JOINT[plain]])
        if not known:
            torch.testing.assert_close(point, joints[:, 0])
    assert bool(points.known.all()) == (joint_set == "smpl24")


def test_points_on_the_surface_are_where_they_belong() -> None:
    """At rest: x to the left, y up, z to the front."""
    points = OpenPoints("44")(REST, torch.zeros(1, 10))[0]
    place = dict(zip(JOINT_SETS["44"], points.tolist(), strict=True))
    nose, neck, heel = (place[f"openpose {name}"] for name in ("nose", "neck", "left_heel"))
    assert nose[1] > neck[1] + 0.05
    assert nose[2] > neck[2] + 0.05
    assert abs(nose[0]) < 0.01
    assert place["openpose left_ear"][0] > 0.05 > -0.05 > place["openpose right_ear"][0]
    assert place["openpose left_big_toe"][2] > heel[2] + 0.1
    assert heel[1] < place["openpose left_ankle"][1]
    assert place["openpose middle_hip"] == [0, 0, 0]


def test_points_turn_with_the_pelvis() -> None:
    R, betas = people()
    turn = random_rotations((3,), torch.Generator().manual_seed(1))
    turned = torch.cat([(turn @ R[:, 0])[:, None], R[:, 1:]], 1)
    points = OpenPoints("44")
    torch.testing.assert_close(points(turned, betas), points(R, betas) @ turn.mT, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def regressor() -> torch.Tensor:
    """(19, V): each point is a vertex."""
    vertices = load_body().num_vertices
    return torch.zeros(19, vertices).scatter(1, torch.arange(0, 1900, 100)[:, None], 1.0)


def test_smpls_points_are_on_its_mesh(regressor: torch.Tensor) -> None:
    """The open body stands for SMPL."""
    body = load_body()
    points, (R, betas) = SmplPoints("44", body, regressor), people(2)
    found = points(R, betas)
    vertices = body.vertices(R, body.rest_joints(betas)[:, 0], betas)
    torch.testing.assert_close(found[:, 25:], vertices[:, torch.arange(19) * 100])
    joints = body.joints(R, body.rest_joints(betas)[:, 0], betas)
    for name in ("left_knee", "right_wrist", "neck", "left_shoulder"):
        torch.testing.assert_close(at("44", found, f"openpose {name}"), joints[:, JOINT[name]])
    own = points.joints(R, betas)
    torch.testing.assert_close(own, joints - joints[:, :1], atol=1e-6, rtol=0)
    assert points.known.all()


def test_a_regressor_of_another_size(regressor: torch.Tensor) -> None:
    for wrong in (regressor[:9], regressor[:, :50]):
        with pytest.raises(MocapError, match=r"expected a regressor \(19, 13524\) of the points 44, found"):
            SmplPoints("44", load_body(), wrong)


def test_regressors_are_read(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).random((19, 30))
    np.save(tmp_path / "a.npy", matrix)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(matrix))
    for name in ("a.npy", "a.pkl"):
        np.testing.assert_allclose(read_regressor("44", tmp_path / name), matrix, rtol=1e-6)


def test_regressors_that_are_none(tmp_path: Path) -> None:
    np.save(tmp_path / "nine.npy", np.zeros((9, 30)))
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    for joint_set, file, message in (
        ("44", "none.pkl", r"none\.pkl: expected SMPL_to_J19\.pkl.*found no file"),
        ("44", "nine.npy", r"an array \(19, V\); found \(9, 30\)"),
        ("44", "list.pkl", "found list"),
        ("coco17", "nine.npy", "expected a joint set of 44, .* on SMPL, found coco17"),
    ):
        with pytest.raises(MocapError, match=message):
            read_regressor(joint_set, tmp_path / file)


def test_which_body_is_asked_for(tmp_path: Path, regressor: torch.Tensor) -> None:
    assert isinstance(load_points("44"), OpenPoints)
    np.save(tmp_path / "j.npy", regressor.numpy())
    points = load_points("44", str(asset_path(OPEN_BODY)), str(tmp_path / "j.npy"))
    assert isinstance(points, SmplPoints)
    with pytest.raises(MocapError, match=r"nothing\.pkl: expected SMPL's file"):
        load_points("44", "nothing.pkl", str(tmp_path / "j.npy"))
