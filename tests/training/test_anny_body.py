"""anny posed with SMPL rotations agrees with the plain skeleton. Needs the ``train`` extra; builds anny's cache."""

from __future__ import annotations

import numpy as np
import pytest

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT, NUM_BETAS, Skeleton
from mocap.types import Array

pytest.importorskip("anny")

from training.anny_body import PELVIS_REST, AnnyBody, rest_joints, twist
from training.make_skeleton import sample_phenotypes

IDENTITY = np.broadcast_to(np.eye(3), (24, 3, 3))


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody(gender=0.2, age=0.6, weight=0.7)


@pytest.mark.parametrize("seed", range(4))
def test_joints_agree_with_the_skeleton(body: AnnyBody, seed: int) -> None:
    rng = np.random.default_rng(seed)
    R, root = axis_angle_to_matrix(rng.normal(0, 0.8, (24, 3))), rng.normal(size=3)
    skeleton = Skeleton(body.rest_joints, np.zeros((24, 3, NUM_BETAS)))
    np.testing.assert_allclose(body.joints(R, root), skeleton.forward(R, root, np.zeros(NUM_BETAS)), atol=1e-4)


def test_tpose(body: AnnyBody) -> None:
    np.testing.assert_allclose(body.rest_joints[0], PELVIS_REST, atol=1e-9)
    np.testing.assert_allclose(body.joints(IDENTITY, body.rest_joints[0]), body.rest_joints, atol=1e-9)
    vertices = body.vertices(IDENTITY, body.rest_joints[0])[:13380]
    assert vertices[:, 0].max() > 0.75  # arms out
    assert np.ptp(vertices[vertices[:, 1] < vertices[:, 1].min() + 0.01, 2]) > 0.15  # soles are flat
    height = np.ptp(vertices[:, 1])
    assert 1.5 < height < 2.0


def test_palms_face_down_and_thumbs_ahead(body: AnnyBody) -> None:
    R, t = body.bone_transforms(IDENTITY, body.rest_joints[0])
    heads = np.einsum("bij,bj->bi", R, body._rest_heads) + t
    for side in "LR":
        index, pinky, wrist = (heads[body.model.bone(f"{b}.{side}")] for b in ("finger2-1", "finger5-1", "wrist"))
        assert index[2] > pinky[2] + 0.03
        assert abs(index[1] - pinky[1]) < 0.02  # the palm is level
        assert abs(index[0]) > abs(wrist[0]) + 0.05
        thumb = heads[body.model.bone(f"finger1-3.{side}")]
        assert thumb[2] > index[2]


def test_skin_follows_a_joint_rigidly(body: AnnyBody) -> None:
    """Vertices that belong to the head alone turn with it exactly."""
    pose = np.zeros((24, 3))
    pose[JOINT["head"]] = (0.2, 0.5, -0.1)
    R = axis_angle_to_matrix(pose)
    bones = body.model.bone_joint == JOINT["head"]
    alone = body.model.weights[:, bones].sum(1) > 0.99999
    rest, turned = (body.vertices(r, body.rest_joints[0])[alone] for r in (IDENTITY, R))
    pivot = body.rest_joints[JOINT["head"]]
    np.testing.assert_allclose(turned - pivot, (rest - pivot) @ R[JOINT["head"]].T, atol=1e-4)
    assert alone.sum() > 1000


def test_wrist_twist_is_shared_with_the_forearm(body: AnnyBody) -> None:
    pose = np.zeros((24, 3))
    pose[JOINT["left_wrist"]] = (1.0, 0, 0)
    R, _ = body.bone_transforms(axis_angle_to_matrix(pose), body.rest_joints[0])
    R0, _ = body.bone_transforms(IDENTITY, body.rest_joints[0])
    bone = body.model.bone("lowerarm02.L")
    angle = np.arccos((np.trace(R[bone] @ R0[bone].T) - 1) / 2)
    assert 0.35 < angle < 0.55


def test_twist_takes_its_share_of_the_angle() -> None:
    axis = np.array([0.0, 0.6, 0.8])
    half = twist(axis_angle_to_matrix(axis * 1.2), axis, 0.5)
    np.testing.assert_allclose(half, axis_angle_to_matrix(axis * 0.6), atol=1e-9)
    across = twist(axis_angle_to_matrix(np.array([0.9, 0, 0])), axis, 0.5)
    np.testing.assert_allclose(across, np.eye(3), atol=1e-9)


def test_population_has_adults_and_children(body: AnnyBody) -> None:
    def leg(years: tuple[float, float]) -> Array:
        joints = rest_joints(sample_phenotypes(body.model, 20, years, seed=0))
        return joints[:, 0, 1] - joints[:, JOINT["left_ankle"], 1]

    assert leg((20, 60)).mean() > 1.3 * leg((4, 9)).mean()
