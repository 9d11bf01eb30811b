from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mocap.body.torch_rotations import axis_angle_to_matrix, random_rotations
from training.capture import tals
from training.published.tokenhmr import (
    KEYPOINT_THRESHOLDS,
    KEYPOINTS,
    PAPER,
    POSE_THRESHOLDS,
    RELEASED,
    Known,
    LossConfig,
    People,
    is_true_3d,
    keypoints_of,
    rotations_of,
    token_hmr_losses,
)

PLAIN = replace(RELEASED, tals=False)


def people(count: int = 4, seed: int = 0) -> People:
    generator = torch.Generator().manual_seed(seed)
    R = random_rotations((count, 24), generator)
    in_picture, in_space, betas = (
        0.1 * torch.randn(count, *shape, generator=generator) for shape in ((KEYPOINTS, 2), (KEYPOINTS, 3), (10,))
    )
    return People(in_picture, in_space, R, betas)


def labelled(found: People, confidence: float = 1.0) -> People:
    """Labels that agree with what was found."""
    certain = torch.full((*found.keypoints_2d.shape[:2], 1), confidence)
    in_picture, in_space = torch.cat([found.keypoints_2d, certain], -1), torch.cat([found.keypoints_3d, certain], -1)
    return People(in_picture, in_space, found.R.clone(), found.betas.clone())


def known(true_3d: list[float], there: float = 1.0) -> Known:
    all_ = torch.full((len(true_3d),), there)
    return Known(all_, all_, all_, torch.tensor(true_3d))


ALL_TRUE, ALL_PSEUDO = known([1.0] * 4), known([0.0] * 4)


@pytest.mark.parametrize("config", [RELEASED, PAPER, PLAIN])
def test_no_error_is_no_loss(config: LossConfig) -> None:
    found = people()
    assert all(
        float(term) == 0 for term in token_hmr_losses(found, labelled(found), known([1, 0, 1, 0]), config).values()
    )


@pytest.mark.parametrize("config", [RELEASED, PAPER, PLAIN])
def test_terms_are_sums_over_the_batch(config: LossConfig) -> None:
    found, label, which = people(), labelled(people(seed=1)), known([1, 0, 1, 0])
    together = token_hmr_losses(found, label, which, config)
    apart = [
        token_hmr_losses(
            *(type(part)(*(x[i : i + 1] for x in part)) for part in (found, label, which)),  # type: ignore[arg-type]
            config=config,
        )
        for i in range(4)
    ]
    for name, term in together.items():
        torch.testing.assert_close(term, torch.stack([one[name] for one in apart]).sum(), msg=name)


def test_total_is_weighted() -> None:
    found, label = people(), labelled(people(seed=1))
    terms = token_hmr_losses(found, label, ALL_TRUE)
    for name in ("keypoints_3d", "keypoints_2d", "orientation", "pose", "betas"):
        more = token_hmr_losses(found, label, ALL_TRUE, replace(RELEASED, **{name: 1.0}))
        torch.testing.assert_close(more["total"] - terms["total"], (1 - getattr(RELEASED, name)) * terms[name])


def test_papers_loss_of_true_sets_is_hmr2s() -> None:
    found, label = people(), labelled(people(seed=1))
    plain = token_hmr_losses(found, label, ALL_TRUE, PLAIN)
    for name, term in token_hmr_losses(found, label, ALL_TRUE, PAPER).items():
        torch.testing.assert_close(term, plain[name])


def test_thresholds_are_the_papers_table() -> None:
    assert [round(value, 5) for value in KEYPOINT_THRESHOLDS] == list(tals.PICTURE_THRESHOLDS.values())
    assert [round(value, 2) for value in POSE_THRESHOLDS] == pytest.approx(tals.pose_thresholds().tolist())


@pytest.mark.parametrize("side", [0.99, 1.01])
@pytest.mark.parametrize("config", [RELEASED, PAPER])
def test_keypoints_count_in_full_beyond_their_thresholds(config: LossConfig, side: float) -> None:
    found = people(1)
    label = labelled(found)
    threshold = torch.tensor(KEYPOINT_THRESHOLDS)
    distance = side * (threshold.sqrt() if config.squared_distance else threshold)
    label.keypoints_2d[0, :, 0] += distance
    loss = token_hmr_losses(found, label, known([0.0]), config)["keypoints_2d"]
    expected = distance.sum() * (1 if side > 1 else config.scale)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("side", [0.99, 1.01])
def test_joints_count_in_full_beyond_their_thresholds(side: float) -> None:
    found = people(1)
    turns = torch.zeros(1, 24, 3)
    turns[..., 1] = side * torch.tensor(POSE_THRESHOLDS)
    label = labelled(found)._replace(R=found.R @ axis_angle_to_matrix(turns))
    squares = (found.R - label.R).square().sum((-2, -1))
    loss = token_hmr_losses(found, label, known([0.0]))
    scale = 1 if side > 1 else RELEASED.scale
    torch.testing.assert_close(loss["orientation"], scale * squares[:, 0].sum(), rtol=1e-3, atol=0)
    torch.testing.assert_close(loss["pose"], scale * squares[:, 1:].sum(), rtol=1e-3, atol=0)


def test_only_the_release_scales_pictures_of_true_sets() -> None:
    found = people(1)
    label = labelled(found)
    label.keypoints_2d[..., 0] += 1e-3
    full = token_hmr_losses(found, label, known([1.0]), PLAIN)["keypoints_2d"]
    assert token_hmr_losses(found, label, known([1.0]), PAPER)["keypoints_2d"] == full
    torch.testing.assert_close(token_hmr_losses(found, label, known([1.0]))["keypoints_2d"], 0.05 * full)


def test_pseudo_labels_have_no_shape_and_space_only_where_the_picture_is_far_off() -> None:
    found, label = people(), labelled(people(seed=1))
    label.keypoints_2d[..., :2] = found.keypoints_2d
    label.keypoints_2d[:, 7, 0] += 0.5
    terms = token_hmr_losses(found, label, ALL_PSEUDO)
    assert terms["betas"] == 0
    only = label._replace(keypoints_3d=label.keypoints_3d.clone())
    only.keypoints_3d[..., 3] = 0
    only.keypoints_3d[:, 7, 3] = 1
    torch.testing.assert_close(terms["keypoints_3d"], token_hmr_losses(found, only, ALL_PSEUDO, PLAIN)["keypoints_3d"])
    assert terms["keypoints_3d"] > 0
    assert token_hmr_losses(found, label, ALL_PSEUDO, PAPER)["keypoints_3d"] == 0


def test_only_the_release_counts_true_sets_without_labels() -> None:
    found, label = people(), labelled(people(seed=1))
    missing = known([1.0] * 4, there=0.0)
    assert token_hmr_losses(found, label, missing)["pose"] > 0
    assert token_hmr_losses(found, label, missing, PAPER)["pose"] == 0
    assert token_hmr_losses(found, label, missing, PLAIN)["pose"] == 0
    assert token_hmr_losses(found, label, missing)["betas"] == 0


def test_points_are_compared_from_the_pelvis_and_by_confidence() -> None:
    found, label = people(), labelled(people(seed=1))
    moved = found._replace(keypoints_3d=found.keypoints_3d + 3)
    before, after = (token_hmr_losses(x, label, ALL_TRUE)["keypoints_3d"] for x in (found, moved))
    torch.testing.assert_close(before, after)
    unknown = labelled(people(seed=1), confidence=0.0)
    assert token_hmr_losses(found, unknown, ALL_TRUE)["keypoints_3d"] == 0
    assert token_hmr_losses(found, unknown, ALL_TRUE)["keypoints_2d"] == 0


def test_gradients_are_finite_where_nothing_is_wrong() -> None:
    found = People(*(x.clone().requires_grad_() for x in people()))
    token_hmr_losses(found, labelled(People(*(x.detach() for x in found))), known([1, 0, 1, 0]))["total"].backward()
    for tensor in found:
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


def test_sets_are_true_by_their_exact_names() -> None:
    names = ["H36M-TRAIN-WMASK", "BEDLAM", "BEDLAM2", "MPI-INF-TRAIN-PRUNED", "h36m-train-wmask"]
    assert is_true_3d(names).tolist() == [1, 1, 0, 0, 0]


def test_rotations_keep_their_joints() -> None:
    turns = torch.randn(2, 24, 3)
    R = rotations_of(turns[:, 0], turns[:, 1:].flatten(1))
    torch.testing.assert_close(R, axis_angle_to_matrix(turns))


def test_hips_move_outwards_and_halfway_to_the_middle() -> None:
    joints = torch.randn(2, 45, 3)
    regressor = torch.rand(19, 6)
    vertices = torch.randn(2, 6, 3)
    kept = keypoints_of(joints, vertices, regressor, range(25))
    moved = keypoints_of(joints, vertices, regressor, range(25), move_hips=True)
    assert kept.shape == (2, KEYPOINTS, 3)
    torch.testing.assert_close(kept[:, :25], joints[:, :25])

    def across(points: Tensor) -> Tensor:
        return points[:, 9] - points[:, 12]

    def between(points: Tensor) -> Tensor:
        return 0.5 * (points[:, 9] + points[:, 12])

    torch.testing.assert_close(across(moved), 1.5 * across(kept))
    torch.testing.assert_close(between(moved), 0.5 * (between(kept) + kept[:, 8]))
    others = [i for i in range(KEYPOINTS) if i not in (9, 12)]
    torch.testing.assert_close(moved[:, others], kept[:, others])
