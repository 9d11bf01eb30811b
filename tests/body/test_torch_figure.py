from __future__ import annotations

import numpy as np
import torch

from mocap.body.landmarks import landmarks_from_pose
from mocap.body.model import load_body
from mocap.body.skeleton import PARENTS
from mocap.body.torch_figure import Figure
from mocap.body.torch_kinematics import with_hands
from mocap.body.torch_rotations import random_rotations

COUNT = 6
GENERATOR = torch.Generator().manual_seed(0)
R = random_rotations((COUNT, 22), GENERATOR)
BETAS = torch.randn(COUNT, 10, generator=GENERATOR)


def test_joints_are_the_bodys_and_landmarks_the_products() -> None:
    joints, landmarks = Figure()(R, BETAS)
    expected = load_body().joints(with_hands(R), torch.zeros(COUNT, 3), BETAS)
    torch.testing.assert_close(joints, expected, rtol=0, atol=1e-5)
    of_product = landmarks_from_pose(with_hands(R).numpy(), np.zeros((COUNT, 3), np.float32), BETAS.numpy())
    np.testing.assert_allclose(landmarks.numpy(), of_product, atol=1e-5)


def test_any_leading_dimensions_and_hands_or_none() -> None:
    figure = Figure()
    flat, nested = figure(R, BETAS), figure(R.unflatten(0, (2, 3)), BETAS.unflatten(0, (2, 3)))
    for one, other in zip(flat, nested, strict=True):
        torch.testing.assert_close(one, other.flatten(0, 1))
    for one, other in zip(flat, figure(with_hands(R), BETAS), strict=True):
        assert torch.equal(one, other)


def test_the_root_turns_everything_and_bones_keep_their_length() -> None:
    figure, turn = Figure(), random_rotations((1,), GENERATOR)
    turned = torch.cat([turn @ R[:, :1], R[:, 1:]], 1)
    for still, moved in zip(figure(R, BETAS), figure(turned, BETAS), strict=True):
        torch.testing.assert_close(moved, still @ turn[0].mT, rtol=0, atol=1e-5)
    rest = figure(torch.eye(3).expand(COUNT, 22, 3, 3), BETAS)[0]
    lengths = [(joints[:, 1:] - joints[:, list(PARENTS[1:])]).norm(dim=-1) for joints in (figure(R, BETAS)[0], rest)]
    torch.testing.assert_close(*lengths, rtol=0, atol=1e-5)


def test_gradients_reach_rotations_and_shape() -> None:
    figure, rotations, betas = Figure(), R.clone().requires_grad_(), BETAS.clone().requires_grad_()
    joints, landmarks = figure(rotations, betas)
    (joints.square().sum() + landmarks.square().sum()).backward()
    assert rotations.grad is not None
    assert betas.grad is not None
    assert (betas.grad.abs() > 0).all()
    assert not list(figure.parameters())  # the body itself does not learn
