from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mocap.body.landmarks import LANDMARK
from mocap.body.skeleton import JOINT
from mocap.body.torch_figure import Figure
from training.capture.truth import SWAP_JOINTS, SWAP_LANDMARKS, Seen, Truth, turned

from .small_shards import people, seen_of, truth_of

COUNT = 20
SOME = people(COUNT)
TRUTH = truth_of(SOME)
EVERY = torch.ones(COUNT, dtype=torch.bool)
HALF = torch.arange(COUNT) % 2 == 0


def close(found: Truth | Seen, expected: Truth | Seen, atol: float = 1e-5) -> None:
    assert type(found) is type(expected)
    for name, part in vars(expected).items():
        torch.testing.assert_close(getattr(found, name), part, rtol=1e-5, atol=atol, msg=lambda text, n=name: n + text)


def along_the_arm(points: Tensor) -> Tensor:
    return points[:, JOINT["left_wrist"]] - points[:, JOINT["left_elbow"]]


def test_joints_are_where_the_camera_sees_the_world() -> None:
    expected = SOME.views.to_camera(SOME.p_world_joint)
    torch.testing.assert_close(TRUTH.p_camera_joint, expected, rtol=0, atol=1e-5)
    seen = SOME.views.project(expected)
    ahead = expected[..., 2] > 0.1
    torch.testing.assert_close(TRUTH.project(TRUTH.p_camera_joint)[ahead], seen[ahead], rtol=1e-4, atol=0.05)


def test_left_and_right_are_exchanged_by_name() -> None:
    for name, index in JOINT.items():
        other = name.replace("left", "right") if "left" in name else name.replace("right", "left")
        assert int(SWAP_JOINTS[index]) == JOINT[other]
    assert int(SWAP_LANDMARKS[LANDMARK["mouth_left"]]) == LANDMARK["mouth_right"]
    assert torch.equal(SWAP_LANDMARKS[SWAP_LANDMARKS], torch.arange(33))
    assert (torch.arange(33) == SWAP_LANDMARKS).nonzero().flatten().tolist() == [LANDMARK["nose"]]


def test_mirrored_twice_is_the_identity() -> None:
    once = TRUTH.mirrored(HALF)
    close(once[~HALF], TRUTH[~HALF], atol=0)
    assert (once.p_camera_joint[HALF] - TRUTH.p_camera_joint[HALF]).abs().amax((1, 2)).min() > 0.01
    close(once.mirrored(HALF), TRUTH)
    seen, width = seen_of(TRUTH, 0.02), TRUTH.size_px[:, 0]
    without_picture = replace(seen, features=seen.features * ~HALF[:, None, None])  # nobody took one of the mirror
    close(seen.mirrored(HALF, width).mirrored(HALF, width), without_picture, atol=1e-3)
    close(seen.mirrored(HALF, width)[~HALF], seen[~HALF], atol=0)


def test_a_mirrored_pose_makes_the_mirrored_body() -> None:
    mirrored = TRUTH.mirrored(EVERY)
    again = Truth.of(
        Figure(), mirrored.R, mirrored.betas, mirrored.p_camera_joint[:, 0], TRUTH.focal_px, TRUTH.size_px, TRUTH.pitch
    )
    close(again, mirrored)
    assert torch.linalg.det(mirrored.R).min() > 0.99
    one, other = along_the_arm(TRUTH.p_camera_joint), mirrored.p_camera_joint
    right = other[:, JOINT["right_wrist"]] - other[:, JOINT["right_elbow"]]
    torch.testing.assert_close(right, one * torch.tensor([-1.0, 1, 1]), rtol=0, atol=1e-5)


def test_what_is_seen_is_mirrored_as_the_truth_is() -> None:
    expected = seen_of(TRUTH.mirrored(EVERY))
    found = seen_of(TRUTH).mirrored(EVERY, TRUTH.size_px[:, 0])
    ahead = (TRUTH.p_camera_landmark[..., 2] > 0.1).all(1)
    assert ahead.sum() > 10
    torch.testing.assert_close(found.landmarks_px[ahead], expected.landmarks_px[ahead], rtol=1e-4, atol=0.05)
    torch.testing.assert_close(found.landmarks_world, expected.landmarks_world, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.roi, expected.roi, rtol=1e-4, atol=0.05)
    assert torch.equal(found.visibility[:, LANDMARK["left_knee"]], seen_of(TRUTH).visibility[:, LANDMARK["right_knee"]])


def test_the_square_holds_the_body_and_stands_on_its_head_with_it() -> None:
    square = TRUTH.square()
    joints = TRUTH.project(TRUTH.p_camera_joint)
    within = turned(joints - square[:, None, :2], -square[:, 3]) / square[:, None, 2:3]
    assert (within.norm(dim=-1) <= 0.5).all()
    up = (within[:, [JOINT["left_shoulder"], JOINT["right_shoulder"]]]).mean(1)
    assert (up[:, 1] < 0).all()
    assert up[:, 0].abs().max() < 1e-3
    half_turn = torch.tensor([-1.0, -1, 1])
    upside_down = replace(TRUTH, p_camera_joint=TRUTH.p_camera_joint * half_turn).square()
    apart = torch.remainder(upside_down[:, 3] - square[:, 3], 2 * math.pi)
    torch.testing.assert_close(apart, torch.full((COUNT,), math.pi), rtol=0, atol=1e-3)
    torch.testing.assert_close(upside_down[:, 2], square[:, 2])
    torch.testing.assert_close(upside_down[:, :2], TRUTH.size_px - square[:, :2], rtol=0, atol=0.1)


def test_turning_is_clockwise_in_the_picture() -> None:
    right = torch.tensor([[[1.0, 0, 5]]])
    down = turned(right, torch.tensor([math.pi / 2]))
    torch.testing.assert_close(down, torch.tensor([[[0.0, 1, 5]]]))
    points, angle = torch.randn(3, 4, 2), torch.randn(3)
    torch.testing.assert_close(turned(turned(points, angle), -angle), points)


def test_parts_join_to_the_whole() -> None:
    close(Truth.join([TRUTH[:7], TRUTH[7:]]), TRUTH, atol=0)
    seen = seen_of(TRUTH)
    close(Seen.join([seen[:7], seen[torch.arange(7, COUNT)]]), seen, atol=0)
    assert len(TRUTH[HALF]) == len(seen[HALF]) == int(HALF.sum())


def test_nothing_is_left_of_frames_in_which_nobody_is_seen() -> None:
    seen = seen_of(TRUTH)
    empty = seen.without(HALF)
    assert torch.equal(empty.there, ~HALF)
    close(empty[~HALF], seen[~HALF], atol=0)
    other = seen_of(truth_of(people(COUNT, seed=1))).without(HALF)
    close(empty[HALF], other[HALF], atol=0)
    close(empty.mirrored(EVERY, TRUTH.size_px[:, 0])[HALF], empty[HALF], atol=0)
    for part in vars(empty).values():
        assert torch.isfinite(part).all()
    assert (empty.roi[:, 2] > 0).all()


def test_a_landmark_alone_makes_somebody_there() -> None:
    seen = seen_of(TRUTH)
    seen.visibility[:, 1:] = -1
    assert seen.there.all()
    seen.visibility[3, 0] = -1
    assert seen.there.sum() == pytest.approx(COUNT - 1)
