from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mocap.body.landmarks import LANDMARK, LANDMARK_NAMES
from mocap.body.skeleton import JOINT, JOINT_NAMES
from mocap.body.torch_rotations import axis_angle_to_matrix, random_rotations
from training.capture.tals import (
    JOINT_IN_PICTURE,
    LANDMARK_IN_PICTURE,
    PICTURE_THRESHOLDS,
    POSE_THRESHOLDS,
    joint_thresholds,
    landmark_thresholds,
    picture_loss,
    pose_loss,
    pose_thresholds,
)


def turns(*angles: float) -> Tensor:
    """Rotations about x by so many rad."""
    return axis_angle_to_matrix(torch.tensor(angles)[:, None] * torch.tensor([1.0, 0, 0]))


def test_poses_count_in_full_above_the_angle_and_a_hundredth_below() -> None:
    R, still, threshold = turns(0.3, 0.3, math.pi, 0.0), turns(0, 0, 0, 0), torch.tensor([0.25, 0.35, 0.25, 0.25])
    # Squared norm of R(a) - I about an axis: 4 (1 - cos a).
    small = 4 * (1 - math.cos(0.3))
    expected = torch.tensor([small, 0.01 * small, 8.0, 0.0])
    torch.testing.assert_close(pose_loss(R, still, threshold), expected)
    torch.testing.assert_close(pose_loss(still, R, threshold), expected)
    torch.testing.assert_close(pose_loss(R, still, threshold, scale=0.05)[1], torch.tensor(0.05 * small))


def test_it_is_the_angle_that_is_compared_not_the_loss() -> None:
    # At 0.3 rad the loss is 0.179, below a threshold of 0.25 rad that the angle exceeds.
    assert pose_loss(turns(0.3), turns(0.0), torch.tensor([0.25])).item() == pytest.approx(0.1786, abs=1e-4)
    base = random_rotations((1,), torch.Generator().manual_seed(0))
    for angle, scale in ((0.2499, 0.01), (0.2501, 1.0)):
        found = pose_loss(base @ turns(angle), base, torch.tensor([0.25])).item()
        assert found == pytest.approx(scale * 4 * (1 - math.cos(angle)), rel=1e-3)


def test_points_count_in_full_above_the_l1_norm_and_a_hundredth_below() -> None:
    points = torch.tensor([[[0.1, 0.2], [0.1, 0.2], [0.006, -0.006], [-0.0085, 0.0]]])
    label = torch.tensor([[[0.1, 0.25], [0.1, 0.2], [0.0, 0.0], [0.0, 0.0]]])
    threshold = torch.tensor([0.0085, 0.0085, 0.0085, 0.0085])
    # 0.05 is above; 0; |0.006| + |0.006| = 0.012 is above, though each coordinate is below; the threshold is not above.
    expected = torch.tensor([[0.05, 0.0, 0.012, 0.000085]])
    torch.testing.assert_close(picture_loss(points, label, threshold), expected)


def test_thresholds_that_are_infinite_never_count_in_full() -> None:
    assert picture_loss(torch.ones(1, 2), torch.zeros(1, 2), torch.tensor([torch.inf])).item() == pytest.approx(0.02)


def test_the_gradient_is_scaled_and_knows_nothing_of_the_threshold() -> None:
    points = torch.tensor([[0.03, 0.0], [0.003, 0.0]], requires_grad=True)
    picture_loss(points, torch.zeros(2, 2), torch.tensor([0.01, 0.01])).sum().backward()
    torch.testing.assert_close(points.grad, torch.tensor([[1.0, 0], [0.01, 0]]))
    label = turns(0.0, 0.0, 0.0)
    R = turns(0.3, 0.2, 0.0).requires_grad_()
    pose_loss(R, label, torch.full((3,), 0.25)).sum().backward()
    scale = torch.tensor([1.0, 0.01, 1.0])[:, None, None]
    torch.testing.assert_close(R.grad, 2 * scale * (R.detach() - label))


def test_any_leading_dimensions() -> None:
    generator = torch.Generator().manual_seed(0)
    R, label = (random_rotations((2, 3, 24), generator) for _ in range(2))
    whole = pose_loss(R, label, pose_thresholds())
    assert whole.shape == (2, 3, 24)
    torch.testing.assert_close(whole[1, 2], pose_loss(R[1, 2], label[1, 2], pose_thresholds()))
    points = 0.01 * torch.randn(2, 3, 33, 2, generator=generator)
    assert picture_loss(points, 0 * points, landmark_thresholds()).shape == (2, 3, 33)


def test_the_tables_are_those_of_the_supplement() -> None:
    assert tuple(POSE_THRESHOLDS) == JOINT_NAMES
    assert len(PICTURE_THRESHOLDS) == 44
    names = list(PICTURE_THRESHOLDS)
    assert [sum(name.startswith(set_) for name in names) for set_ in ("openpose", "lsp", "mpii", "human36m")] == [
        25, 14, 2, 3,
    ]  # fmt: skip
    # By place in the table, counted from its first line.
    assert [PICTURE_THRESHOLDS[names[row]] for row in (0, 7, 24, 25, 38, 43)] == [
        0.00850, 0.01414, 0.00573, 0.00554, 0.00766, 0.00752,
    ]  # fmt: skip
    assert [pose_thresholds()[row].item() for row in (0, 9, 15, 20, 23)] == pytest.approx([0.46, 0.12, 0.28, 0.62, 0.2])
    assert sum(POSE_THRESHOLDS.values()) == pytest.approx(6.96)
    assert sum(PICTURE_THRESHOLDS.values()) == pytest.approx(0.39599)


def test_points_correspond_by_name() -> None:
    joints, landmarks = joint_thresholds(), landmark_thresholds()
    assert joints.shape == (24,)
    assert landmarks.shape == (33,)
    assert joints[JOINT["left_wrist"]] == landmarks[LANDMARK["left_wrist"]] == pytest.approx(0.01414)
    assert joints[JOINT["pelvis"]] == pytest.approx(0.00974)
    assert landmarks[LANDMARK["right_foot_index"]] == pytest.approx(0.00565)
    assert landmarks[LANDMARK["left_heel"]] == pytest.approx(0.00536)
    assert torch.isfinite(joints).sum() == len(JOINT_IN_PICTURE) == 14
    assert torch.isfinite(landmarks).sum() == len(LANDMARK_IN_PICTURE) == 21
    assert {LANDMARK_NAMES[row] for row in landmarks.isinf().nonzero()} == {
        *(f"{side}_eye_{end}" for side in ("left", "right") for end in ("inner", "outer")),
        *(f"{side}_{finger}" for side in ("left", "right") for finger in ("pinky", "index", "thumb")),
        "mouth_left", "mouth_right",
    }  # fmt: skip
    for table in (JOINT_IN_PICTURE, LANDMARK_IN_PICTURE):
        for name, point in table.items():
            assert ("left" in name, "right" in name) == ("left" in point, "right" in point)


def test_the_released_code_has_the_same_thresholds(shared: Path) -> None:
    with np.load(shared / "parity" / "tokenhmr" / "losses_tals" / "outputs.npz") as released:
        np.testing.assert_allclose(list(PICTURE_THRESHOLDS.values()), released["thresh_kp2d"], atol=5.1e-6)
        pose = np.concatenate([released["thresh_global_orient"], released["thresh_body_pose"]])
        np.testing.assert_allclose(list(POSE_THRESHOLDS.values()), pose, atol=5.1e-3)
