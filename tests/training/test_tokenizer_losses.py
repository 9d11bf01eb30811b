from __future__ import annotations

import itertools
import math

import pytest
import torch

from mocap.body.torch_rotations import axis_angle_to_matrix, geodesic_angle, random_rotations
from mocap.errors import MocapError
from training.noise import ProgressiveNoise
from training.projection import perspective
from training.tokenizer_losses import (
    TokenizerLossWeights,
    energy_distance,
    point_loss,
    rotation_loss,
    tokenizer_losses,
    vertex_areas,
)

R_TRUE = random_rotations((4, 21), torch.Generator().manual_seed(0))
QUARTER = axis_angle_to_matrix(torch.tensor([0.0, math.pi / 2, 0.0]))


def test_distances_of_a_quarter_turn() -> None:
    eye = torch.eye(3).expand(5, 3, 3)
    assert rotation_loss(QUARTER.expand(5, 3, 3), eye, "geodesic").item() == pytest.approx(math.pi / 2, rel=1e-6)
    assert rotation_loss(QUARTER.expand(5, 3, 3), eye, "l1").item() == pytest.approx(4 / 9, rel=1e-5)  # four ones
    assert rotation_loss(QUARTER.expand(5, 3, 3), eye, "l2").item() == pytest.approx(4 / 9, rel=1e-5)


def test_distances_of_points() -> None:
    p = torch.zeros(2, 4, 3)
    assert point_loss(p + 0.1, p, "l1").item() == pytest.approx(0.1)
    assert point_loss(p + 0.1, p, "l2").item() == pytest.approx(0.01)
    moved = p.clone()
    moved[:, 1] = 0.1
    weights = torch.tensor([0.0, 4.0, 0.0, 0.0])
    assert point_loss(moved, p, "l1", weights).item() == pytest.approx(0.1)
    assert point_loss(moved, p, "l1", weights.flip(0)).item() == 0


def test_areas_of_vertices() -> None:
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    areas = vertex_areas(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    torch.testing.assert_close(areas, torch.tensor([4.0, 2, 4, 2]) / 3)  # 0 and 2 lie in both triangles; mean 1


def test_energy_distance_by_its_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(2, count, 3, generator=generator) for count in (5, 4))
    for one, x_one, y_one in zip(energy_distance(x, y), x, y, strict=True):
        between = torch.stack([(a - b).norm() for a in x_one for b in y_one]).mean()
        within = [
            torch.stack([(a - b).norm() for a, b in itertools.permutations(part, 2)]).mean() for part in (x_one, y_one)
        ]
        torch.testing.assert_close(one, 2 * between - within[0] - within[1])


def test_energy_distance_is_of_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(200, 64, 2, generator=generator) for _ in range(2))
    assert energy_distance(x, y).mean().abs() < 0.01  # not of members: none has a twin
    assert energy_distance(x, y + 1).mean() > 0.5
    assert energy_distance(torch.zeros_like(x), y).mean() > 0.5  # all alike is another distribution
    still = torch.zeros(8, 2, requires_grad=True)
    energy_distance(still, y[0]).backward()
    assert still.grad is not None
    assert torch.isfinite(still.grad).all()


def test_the_papers_sum() -> None:
    joints = torch.zeros(4, 24, 3)
    R, commitment = R_TRUE @ QUARTER, torch.tensor(0.3, requires_grad=True)
    losses = tokenizer_losses(TokenizerLossWeights(), (R, R_TRUE), commitment, joints=(joints + 0.02, joints))
    expected = 50 * ((R - R_TRUE).abs().mean() + 0.02) + 0.3 + 0.3
    torch.testing.assert_close(losses["total"].detach(), expected)
    losses["total"].backward()
    assert commitment.grad is not None
    assert commitment.grad.item() == 1.0  # the embedding term is followed by the moving averages, not by a gradient


def test_no_error_costs_nothing_and_has_a_finite_gradient() -> None:
    R = R_TRUE.clone().requires_grad_()
    weights = TokenizerLossWeights(joints=0.0, rotation_distance="geodesic")
    total = tokenizer_losses(weights, (R, R_TRUE), torch.tensor(0.0))["total"]
    total.backward()
    assert total.item() < 1e-3
    assert R.grad is not None
    assert torch.isfinite(R.grad).all()


def test_what_the_weights_ask_for_must_be_there() -> None:
    with pytest.raises(MocapError, match=r"expected joints, since their weight is 50\.0"):
        tokenizer_losses(TokenizerLossWeights(), (R_TRUE, R_TRUE), torch.tensor(0.0))
    with pytest.raises(MocapError, match="expected distance l1 or l2, found 'l3'"):
        point_loss(R_TRUE, R_TRUE, "l3")  # type: ignore[arg-type]


def test_noise_changes_the_input_and_not_the_target() -> None:
    noise = ProgressiveNoise(joints=0.5, start=0.1, growth=1.0)
    target = R_TRUE.clone()
    disturbed = noise(target, 0, torch.Generator().manual_seed(1))
    torch.testing.assert_close(target, R_TRUE, atol=0, rtol=0)  # what the loss compares with
    assert disturbed.data_ptr() != target.data_ptr()
    changed = (disturbed != target).flatten(-2).any(-1)
    assert 0.3 < changed.float().mean() < 0.7
    assert len(torch.unique(changed, dim=0)) > 1  # other joints in other poses
    assert rotation_loss(disturbed, target, "geodesic") > 0.03
    torch.testing.assert_close(disturbed @ disturbed.mT, torch.eye(3).expand_as(disturbed), atol=1e-5, rtol=0)


def test_noise_has_the_strength_of_its_level() -> None:
    R = torch.eye(3).expand(500, 21, 3, 3)
    noise = ProgressiveNoise(joints=1.0, start=0.02, growth=1.0)
    angle = rotation_loss(noise(R, 0, torch.Generator().manual_seed(2)), R, "geodesic").item()
    assert angle == pytest.approx(0.02 * math.sqrt(8 / math.pi), rel=0.03)  # mean length of a 3D normal


def test_noise_rises_step_by_step_and_stops() -> None:
    noise = ProgressiveNoise(start=1e-3, growth=1.5, every=5000, most=0.1)
    assert noise.level(0) == noise.level(4999) == 1e-3
    assert noise.level(5000) == pytest.approx(1.5e-3)
    assert noise.level(15_000) == pytest.approx(1.5**3 * 1e-3)
    assert noise.level(10**9) == 0.1


def test_a_share_of_joints_is_replaced() -> None:
    R = torch.eye(3).expand(500, 21, 3, 3)
    noise = ProgressiveNoise(joints=0.0, start=0.1, growth=1.0, most=0.2, replaced=0.2)
    found = noise(R, 0, torch.Generator().manual_seed(3))
    replaced = (found != R).flatten(-2).any(-1)
    assert replaced.float().mean().item() == pytest.approx(0.1, abs=0.01)  # half of the share at half of the noise
    angle = rotation_loss(found[replaced], torch.eye(3).expand_as(found[replaced]), "geodesic").item()
    assert angle == pytest.approx(math.pi / 2 + 2 / math.pi, abs=0.06)  # of uniformly random rotations


def test_more_joints_are_far_off_as_training_goes_on() -> None:
    R = torch.eye(3).expand(500, 21, 3, 3)
    noise = ProgressiveNoise(joints=0.3, start=1e-3, growth=3.0, every=1000, most=0.1, replaced=0.2)

    def share(iteration: int) -> tuple[float, float]:
        """Joints that are turned at all, and joints turned by more than half a radian."""
        found = noise(R, iteration, torch.Generator().manual_seed(iteration))
        angle = geodesic_angle(found, R)
        return float((angle > 0).float().mean()), float((angle > 0.5).float().mean())

    turned, far = zip(*(share(iteration) for iteration in (0, 2000, 3000, 4000, 10_000)), strict=True)
    assert list(far) == sorted(far)
    assert far[0] < 0.01
    assert far[-1] == pytest.approx(0.2, abs=0.02)
    assert turned[0] == pytest.approx(0.3, abs=0.02)
    assert turned[-1] == pytest.approx(0.3 + 0.7 * 0.2, abs=0.02)
    assert far[-1] == pytest.approx(share(10**7)[1], abs=0.02)  # and no more than that


def test_the_loss_is_against_the_clean_pose() -> None:
    """A network that only copies its input pays for the noise: the target has none of it."""
    noise, target = ProgressiveNoise(joints=1.0, start=0.2), R_TRUE.clone()
    weights = TokenizerLossWeights(joints=0.0)
    copied = noise(target, 0, torch.Generator().manual_seed(5))
    paid = tokenizer_losses(weights, (copied, target), torch.tensor(0.0))["total"].item()
    assert paid > 1.0
    assert tokenizer_losses(weights, (R_TRUE, target), torch.tensor(0.0))["total"].item() == 0.0


def test_the_same_generator_gives_the_same_noise() -> None:
    noise = ProgressiveNoise(start=0.1, replaced=0.1)
    first, again = (noise(R_TRUE, 0, torch.Generator().manual_seed(4)) for _ in range(2))
    torch.testing.assert_close(first, again, atol=0, rtol=0)


def test_perspective_projection() -> None:
    p = torch.tensor([[[0.0, 0, 0], [0.5, -0.25, 0], [0.5, 0.5, 2.0]]])
    found = perspective(p, torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([[100.0, 200.0]]))
    torch.testing.assert_close(found, torch.tensor([[[0.0, 0], [25, -25], [12.5, 25]]]))
