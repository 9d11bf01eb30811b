from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mocap.body.torch_rotations import axis_angle_to_matrix
from mocap.models.regressor import view_rotation
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig
from training.capture.losses import _SOME, CaptureLoss, CaptureLossWeights, _aligned
from training.capture.samples import inputs
from training.capture.truth import Truth
from training.capture.validation import PLAIN
from training.metrics import procrustes

from .small_shards import people, seen_of, truth_of

COUNT = 16
TOKENIZER = TokenizerConfig(tokens=42, codes=16, code_dim=2, width=12, per_joint=True)
SQUARE_M = 2.2
# What a wrong part of the output may change.
TERMS = {
    "body": {"rotation", "joints", "aligned", "vertices", "picture"},
    "root": {"root", "joints", "vertices", "picture"},
    "betas": {"betas", "bones", "joints", "aligned", "vertices", "picture"},
    "camera": {"picture"},
    "logits": {"tokens"},
}
Output = dict[str, Tensor]


@pytest.fixture(scope="module")
def losses() -> CaptureLoss:
    torch.manual_seed(0)
    return CaptureLoss(CaptureLossWeights(velocity=1.0, acceleration=0.1), PoseTokenizer(TOKENIZER).eval())


def samples(count: int = COUNT, frames: int = 1) -> tuple[Truth, dict[str, Tensor]]:
    """Truth and the network's input, people well before the camera."""
    truth = truth_of(people(4 * count, frames))
    ahead = (truth.p_camera_joint[..., 2] > 0.4).all(1).unflatten(0, (-1, frames)).all(1)
    truth = truth[ahead.repeat_interleave(frames)][: count * frames]
    assert len(truth) == count * frames
    return truth, inputs(truth, seen_of(truth, 0.01), PLAIN, frames, torch.Generator())


def right(losses: CaptureLoss, truth: Truth, seen: dict[str, Tensor]) -> Output:
    """What a network that knows everything says."""
    scale = seen["camera"][:, :1] / seen["roi"][:, 2:3]
    root = (view_rotation(seen["roi"], seen["camera"]).mT @ truth.p_camera_joint[:, 0, :, None])[..., 0]
    depth = (root[:, 2:] / (SQUARE_M * scale)).log()
    with torch.no_grad():
        latent = losses.tokenizer.latent(truth.R[:, 1:]).transpose(1, 2)
        distance = (latent[:, :, None] - losses.tokenizer.quantizer.codebook).square().sum(-1)
    return {
        "R": truth.R.clone(),
        "betas": truth.betas.clone(),
        "camera": torch.cat([depth, root[:, :2] / root[:, 2:] * scale], 1),
        "logits": -distance / losses.spread,
        "contact": torch.zeros(len(truth), 2),
    }


def wrong(out: Output, part: str) -> Output:
    """The output with one part of it changed."""
    turn = axis_angle_to_matrix(torch.tensor([0.2, 0.1, -0.1]))
    out = {name: value.clone() for name, value in out.items()}
    if part in ("body", "root"):
        joints = slice(1, None) if part == "body" else slice(0, 1)
        out["R"][:, joints] = out["R"][:, joints] @ turn
    else:
        out[part] = out[part] + 0.1 * torch.randn(out[part].shape, generator=torch.Generator().manual_seed(0))
    return out


def terms_of(
    losses: CaptureLoss, out: Output, truth: Truth, seen: dict[str, Tensor], there: Tensor | None = None
) -> dict[str, float]:
    there = torch.ones(len(truth), dtype=torch.bool) if there is None else there
    return {name: float(value) for name, value in losses(out, truth, seen, there, None).items()}


def moving(losses: CaptureLoss, out: Output, truth: Truth, seen: dict[str, Tensor], t: Tensor) -> dict[str, float]:
    there = torch.ones(len(truth), dtype=torch.bool)
    return {name: float(value) for name, value in losses(out, truth, seen, there, t).items()}


def test_the_truth_costs_nothing(losses: CaptureLoss) -> None:
    truth, seen = samples()
    terms = terms_of(losses, right(losses, truth, seen), truth, seen)
    for name in ("rotation", "root", "joints", "aligned", "vertices", "bones", "betas", "picture"):
        assert terms[name] == pytest.approx(0, abs=1e-4), name


def test_the_tokens_cost_least_at_the_labels(losses: CaptureLoss) -> None:
    truth, seen = samples()
    out = right(losses, truth, seen)
    out["logits"].requires_grad_()
    everyone = torch.ones(COUNT, dtype=torch.bool)
    term = losses(out, truth, seen, everyone, None)["tokens"]
    term.backward()
    assert out["logits"].grad is not None
    assert out["logits"].grad.abs().max() < 1e-6
    labels = out["logits"].detach().softmax(-1)[::_SOME]
    assert term.item() == pytest.approx(float(-(labels * labels.log()).sum(-1).mean()), rel=1e-4)
    others = {name: value.detach() for name, value in out.items()}
    assert terms_of(losses, wrong(others, "logits"), truth, seen)["tokens"] > term.item()
    flat = {**others, "logits": torch.zeros_like(others["logits"])}
    assert terms_of(losses, flat, truth, seen)["tokens"] == pytest.approx(torch.tensor(16.0).log().item(), rel=1e-5)


@pytest.mark.parametrize("part", TERMS)
def test_each_term_reacts_to_its_own_error_alone(losses: CaptureLoss, part: str) -> None:
    truth, seen = samples()
    out = right(losses, truth, seen)
    before, after = (terms_of(losses, o, truth, seen) for o in (out, wrong(out, part)))
    changed = {name for name in before if name != "loss" and abs(after[name] - before[name]) > 1e-4}
    assert changed == TERMS[part]
    assert all(after[name] > before[name] for name in changed)


def test_the_loss_is_the_weighted_sum(losses: CaptureLoss) -> None:
    truth, seen = samples(2, 4)
    out = wrong(wrong(right(losses, truth, seen), "betas"), "body")
    t = torch.arange(4).expand(2, -1) / 30
    terms = moving(losses, out, truth, seen, t)
    weights = asdict(losses.weights)
    assert set(terms) == {"loss", *weights}
    total = sum(weights[name] * value for name, value in terms.items() if name != "loss")
    assert terms["loss"] == pytest.approx(total, rel=1e-4)
    assert set(terms_of(losses, out, truth, seen)) == {"loss", *weights} - {
        "velocity",
        "acceleration",
        "contact",
        "lag",
    }


def test_errors_have_the_size_that_they_are_said_to_have(losses: CaptureLoss) -> None:
    truth, seen = samples()
    out = right(losses, truth, seen)
    moved = {**out, "camera": out["camera"] + torch.tensor([0.0, 0.1, 0.0])}
    # A tenth of the square aside at the pelvis' depth; the others are about as far away, and y does not change.
    assert terms_of(losses, moved, truth, seen)["picture"] == pytest.approx(0.05, rel=0.2)
    off = {**out, "betas": out["betas"] + 0.3}
    assert terms_of(losses, off, truth, seen)["betas"] == pytest.approx(0.09, rel=1e-4)
    far = {**out, "camera": out["camera"] + torch.tensor([0.0, 1e3, 1e3])}
    assert 1.9 < terms_of(losses, far, truth, seen)["picture"] <= 2  # no more, whatever the error


def test_aligned_joints_are_those_of_pa_mpjpe() -> None:
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(8, 24, 3, generator=generator)
    points = true + 0.2 * torch.randn(8, 24, 3, generator=generator)
    points[:4, :, 0] *= -1  # a mirrored one may not be turned into its image
    np.testing.assert_allclose(_aligned(points, true).numpy(), procrustes(points.numpy(), true.numpy()), atol=1e-5)
    turn = axis_angle_to_matrix(torch.tensor([0.5, -1.0, 2.0]))
    assert (_aligned(1.7 * true @ turn.mT + 3, true) - true).abs().max() < 1e-5
    assert torch.isfinite(_aligned(torch.zeros(2, 24, 3), true[:2])).all()


def test_frames_that_are_not_there_do_not_count(losses: CaptureLoss) -> None:
    truth, seen = samples()
    out = wrong(wrong(right(losses, truth, seen), "betas"), "body")
    there = torch.arange(COUNT) < COUNT // 2
    garbage = {name: torch.where(there.view(-1, *[1] * (v.ndim - 1)), v, 7 * v + 1) for name, v in out.items()}
    kept = terms_of(losses, out, truth, seen, there)
    assert terms_of(losses, garbage, truth, seen, there) == pytest.approx(kept, rel=1e-5)
    first, first_seen = ({name: value[: COUNT // 2] for name, value in part.items()} for part in (out, seen))
    alone = terms_of(losses, first, truth[: COUNT // 2], first_seen)
    assert kept == pytest.approx(alone, rel=1e-4)
    assert kept != pytest.approx(terms_of(losses, out, truth, seen), rel=1e-3)
    nobody = torch.zeros(COUNT, dtype=torch.bool)
    assert terms_of(losses, out, truth, seen, nobody)["loss"] == 0


FRAMES = 6


def still_clip(losses: CaptureLoss) -> tuple[Truth, dict[str, Tensor], Output, Tensor]:
    """Two people who do not move, at 30 and at 15 frames a second."""
    truth, _ = samples(2)
    truth = truth[torch.arange(2).repeat_interleave(FRAMES)]
    seen = inputs(truth, seen_of(truth), PLAIN, FRAMES, torch.Generator())
    t = torch.arange(FRAMES) * torch.tensor([[1.0], [2.0]]) / 30
    return truth, seen, right(losses, truth, seen), t


def test_velocity_and_acceleration_ignore_a_constant_error(losses: CaptureLoss) -> None:
    truth, seen, out, t = still_clip(losses)
    off = {**out, "betas": out["betas"] + 0.5}
    terms = moving(losses, off, truth, seen, t)
    assert terms["joints"] > 1e-3
    assert terms["velocity"] < 1e-4
    assert terms["acceleration"] < 1e-2


def test_a_steady_drift_has_velocity_and_a_growing_one_acceleration(losses: CaptureLoss) -> None:
    """Points are linear in the shape, so the shape's drift is theirs."""
    truth, seen, out, t = still_clip(losses)
    unit = losses.figure(truth.R, truth.betas + 1)
    push = [a - b for a, b in zip(unit, losses.figure(truth.R, truth.betas), strict=True)]
    mean = float(torch.cat(push, 1).abs().mean())
    time = t.flatten()[:, None]
    drift = {**out, "betas": out["betas"] + 2 * time}
    terms = moving(losses, drift, truth, seen, t)
    assert terms["velocity"] == pytest.approx(2 * mean, rel=1e-3)  # m/s, whatever the frame rate
    assert terms["acceleration"] < 0.01
    growing = {**out, "betas": out["betas"] + 0.5 * 3 * time.square()}
    assert moving(losses, growing, truth, seen, t)["acceleration"] == pytest.approx(3 * mean, rel=0.02)


@pytest.mark.parametrize("delay", [-0.1, 0.0, 0.1])
def test_lag_is_how_late_an_answer_is(losses: CaptureLoss, delay: float) -> None:
    truth, seen, out, t = still_clip(losses)
    time = t.flatten()[:, None]
    grown = losses.figure(truth.R, truth.betas + 2 * time)
    points = [p @ losses.level + truth.p_camera_joint[:, :1] for p in grown]
    growing = replace(truth, betas=truth.betas + 2 * time, p_camera_joint=points[0], p_camera_landmark=points[1])
    answer = {**out, "betas": out["betas"] + 2 * (time - delay)}
    points_that_move = 56 / 57  # all but the pelvis
    assert moving(losses, answer, growing, seen, t)["lag"] == pytest.approx(
        points_that_move * max(delay, 0), rel=0.02, abs=1e-4
    )
    generator = torch.Generator().manual_seed(0)
    noisy = {**out, "betas": out["betas"] + 2 * time + 0.05 * torch.randn(len(time), 10, generator=generator)}
    assert moving(losses, noisy, growing, seen, t)["lag"] < 0.03


def test_motion_is_measured_between_frames_that_are_both_there(losses: CaptureLoss) -> None:
    truth, seen, out, t = still_clip(losses)
    jump = {**out, "betas": out["betas"].clone()}
    jump["betas"][2] += 5
    there = torch.ones(2 * FRAMES, dtype=torch.bool)
    assert losses(jump, truth, seen, there, t)["velocity"] > 0.1
    there[2] = False
    terms = losses(jump, truth, seen, there, t)
    assert terms["velocity"] < 1e-4
    assert terms["acceleration"] < 1e-2


def test_contact_is_of_feet_that_stand(losses: CaptureLoss) -> None:
    truth, seen, out, t = still_clip(losses)

    def cost(truth: Truth, logit: Tensor) -> float:
        return moving(losses, {**out, "contact": logit.expand(2 * FRAMES, 2)}, truth, seen, t)["contact"]

    yes, no, left = torch.tensor([20.0, 20.0]), torch.tensor([-20.0, -20.0]), torch.tensor([20.0, -20.0])
    assert cost(truth, yes) < 1e-3
    assert cost(truth, no) == pytest.approx(20, rel=1e-3)
    lifted = truth.p_camera_joint.clone()
    lifted[:, 11, 1] -= 0.5 * t.flatten()  # the right foot rises at half a metre a second
    stepping = replace(truth, p_camera_joint=lifted)
    assert cost(stepping, left) < 1e-3
    assert cost(stepping, yes) == pytest.approx(10, rel=1e-3)
    slow = truth.p_camera_joint.clone()
    slow[:, 10:12, 1] -= 0.1 * t.flatten()[:, None]
    assert cost(replace(truth, p_camera_joint=slow), yes) < 1e-3


def test_everything_that_is_said_gets_a_gradient(losses: CaptureLoss) -> None:
    truth, seen = samples(2, 4)
    out = {name: value.requires_grad_() for name, value in wrong(right(losses, truth, seen), "root").items()}
    t = torch.arange(4).expand(2, -1) / 30
    losses(out, truth, seen, torch.ones(8, dtype=torch.bool), t)["loss"].backward()
    for name, value in out.items():
        assert value.grad is not None, name
        assert torch.isfinite(value.grad).all(), name
        assert value.grad.abs().max() > 0, name
