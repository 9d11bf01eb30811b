"""The shipped skeleton and landmark anchors: SMPL's conventions, symmetry, and sane sizes."""

from __future__ import annotations

import numpy as np
import pytest

from mocap.body.landmarks import (
    LANDMARK,
    LANDMARK_NAMES,
    LANDMARK_PAIRS,
    landmarks_from_pose,
    load_landmark_anchors,
)
from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import (
    JOINT,
    JOINT_NAMES,
    PARENTS,
    Skeleton,
    global_rotations,
    load_skeleton,
    local_rotations,
)
from mocap.types import Array

MIRROR = np.array([1, -1, -1])  # of an axis-angle vector through the plane X = 0


@pytest.fixture(scope="module")
def skeleton() -> Skeleton:
    return load_skeleton()


def swapped(names: tuple[str, ...]) -> list[int]:
    other = {"left": "right", "right": "left"}
    flip = [next((n.replace(a, b) for a, b in other.items() if a in n), n) for n in names]
    return [names.index(n) for n in flip]


def random_pose(seed: int, scale: float = 0.5) -> Array:
    return np.random.default_rng(seed).normal(0, scale, (24, 3))


def test_rest_pose_is_smpls_tpose(skeleton: Skeleton) -> None:
    rest = skeleton.mean
    np.testing.assert_allclose(rest[0], [0, -0.23, 0], atol=1e-5)
    assert rest[JOINT["left_shoulder"], 0] > 0.12
    assert rest[JOINT["left_foot"], 2] - rest[JOINT["left_ankle"], 2] > 0.1  # toes ahead, at +Z
    assert np.all(np.diff(rest[[7, 4, 1, 0, 3, 6, 9, 12, 15], 1]) > -0.02)  # from the ankle up to the head
    for joint, direction in (("elbow", (1, 0, 0)), ("wrist", (1, 0, 0)), ("knee", (0, -1, 0)), ("ankle", (0, -1, 0))):
        index = JOINT[f"left_{joint}"]
        bone = rest[index] - rest[PARENTS[index]]
        assert bone @ direction / np.linalg.norm(bone) > np.cos(np.radians(9)), joint


def test_mean_is_an_adult(skeleton: Skeleton) -> None:
    rest = skeleton.mean
    assert 0.7 < rest[0, 1] - rest[JOINT["left_ankle"], 1] < 0.95
    assert 1.3 < rest[JOINT["head"], 1] - rest[JOINT["left_ankle"], 1] < 1.6


def test_left_and_right_are_mirror_images(skeleton: Skeleton) -> None:
    order = swapped(JOINT_NAMES)
    np.testing.assert_allclose(skeleton.mean[order] * [-1, 1, 1], skeleton.mean, atol=1e-6)
    mirrored = skeleton.directions[order] * np.array([-1, 1, 1])[:, None]
    np.testing.assert_allclose(mirrored, skeleton.directions, atol=1e-6)


def test_first_beta_makes_everything_bigger(skeleton: Skeleton) -> None:
    def bones(beta: float) -> Array:
        offsets = skeleton.offsets(np.eye(10)[0] * beta)
        return np.linalg.norm(offsets[1:], axis=-1)

    assert np.all(bones(1.0) > bones(0.0))
    assert np.all(bones(-2.0) > 0)


def test_forward_turns_the_left_arm_as_smpl_does(skeleton: Skeleton) -> None:
    pose = np.zeros((24, 3))
    pose[JOINT["left_elbow"], 1] = -np.pi / 2  # flexes the left elbow: the forearm points ahead
    joints = skeleton.forward(axis_angle_to_matrix(pose), np.zeros(3), np.zeros(10))
    forearm = joints[JOINT["left_wrist"]] - joints[JOINT["left_elbow"]]
    assert forearm[2] > 0.2
    assert abs(forearm[0]) < 0.05


def test_forward_is_rigid_and_batches(skeleton: Skeleton) -> None:
    poses = axis_angle_to_matrix(np.stack([random_pose(n) for n in range(3)]))
    roots, betas = np.arange(9.0).reshape(3, 3), np.random.default_rng(0).normal(size=(3, 10))
    joints = skeleton.forward(poses, roots, betas)
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, list(PARENTS[1:])], axis=-1)
    np.testing.assert_allclose(lengths, np.linalg.norm(skeleton.offsets(betas)[:, 1:], axis=-1), atol=1e-9)
    single = skeleton.forward(poses[1], roots[1], betas[1])
    np.testing.assert_allclose(joints[1], single, atol=1e-12)


def test_local_and_global_rotations_are_inverse() -> None:
    R = axis_angle_to_matrix(random_pose(5))
    np.testing.assert_allclose(local_rotations(global_rotations(R)), R, atol=1e-12)


def test_mirrored_pose_gives_mirrored_joints_and_landmarks(skeleton: Skeleton) -> None:
    pose = random_pose(1)
    mirrored = pose[swapped(JOINT_NAMES)] * MIRROR
    root = np.array([0.3, 0.9, -0.2])
    a = skeleton.forward(axis_angle_to_matrix(pose), root, np.zeros(10))
    b = skeleton.forward(axis_angle_to_matrix(mirrored), root * np.array([-1.0, 1, 1]), np.zeros(10))
    np.testing.assert_allclose(b[swapped(JOINT_NAMES)] * [-1, 1, 1], a, atol=1e-6)
    a = landmarks_from_pose(axis_angle_to_matrix(pose), root)
    b = landmarks_from_pose(axis_angle_to_matrix(mirrored), root * np.array([-1.0, 1, 1]))
    np.testing.assert_allclose(b[swapped(LANDMARK_NAMES)] * [-1, 1, 1], a, atol=1e-6)


def test_landmarks_sit_where_their_names_say() -> None:
    identity = np.broadcast_to(np.eye(3), (24, 3, 3))
    points = landmarks_from_pose(identity, np.zeros(3))
    at = {name: points[LANDMARK[name]] for name in LANDMARK_NAMES}
    assert len(LANDMARK_PAIRS) == 16
    assert all(points[left, 0] > 0.01 for left, _ in LANDMARK_PAIRS)  # left is +X
    assert at["nose"][2] == max(point[2] for name, point in at.items() if "foot" not in name)
    assert at["left_eye_inner"][0] < at["left_eye"][0] < at["left_eye_outer"][0] < at["left_ear"][0]
    assert at["mouth_left"][1] < at["nose"][1] < at["left_eye"][1]
    assert at["left_pinky"][2] < at["left_index"][2] < at["left_thumb"][2]  # palms down, thumbs ahead
    assert at["left_heel"][2] < at["left_ankle"][2] < at["left_foot_index"][2]


def test_landmarks_turn_with_their_joint() -> None:
    anchors = load_landmark_anchors()
    pose = np.zeros((24, 3))
    pose[JOINT["neck"]] = (0, 0.7, 0)
    rest = landmarks_from_pose(axis_angle_to_matrix(np.zeros((24, 3))), np.zeros(3))
    turned = landmarks_from_pose(axis_angle_to_matrix(pose), np.zeros(3))
    moved = np.linalg.norm(turned - rest, axis=-1) > 1e-6
    np.testing.assert_array_equal(moved, np.isin(anchors.joint, [JOINT["neck"], JOINT["head"]]))


def test_landmarks_grow_with_the_body() -> None:
    identity = np.broadcast_to(np.eye(3), (2, 24, 3, 3))
    betas = np.zeros((2, 10))
    betas[1, 0] = -1.5  # a child
    adult, child = landmarks_from_pose(identity, np.zeros((2, 3)), betas)
    assert child[LANDMARK["left_index"], 0] < 0.9 * adult[LANDMARK["left_index"], 0]
    assert child[LANDMARK["left_heel"], 1] > adult[LANDMARK["left_heel"], 1] + 0.1
