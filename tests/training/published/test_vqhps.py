from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mocap.body.torch_rotations import random_rotations
from mocap.models.mesh_vqvae import MeshReconstruction
from mocap.models.vqhps import Prediction, turned
from training.projection import orthographic
from training.published.vqhps import (
    H36M_ORDER,
    MeshVQVAELossWeights,
    VQHPSLossWeights,
    mesh_errors,
    mesh_vqvae_losses,
    reprojection_loss,
    token_loss,
    vqhps_losses,
)

B, N, S, V = 4, 9, 12, 30


def prediction(R: torch.Tensor, logits: torch.Tensor, first: torch.Tensor | None = None) -> Prediction:
    canonical = torch.randn(B, V, 3)
    return Prediction(logits, R, torch.rand(B, 3) + 0.5, canonical, turned(canonical, R), first)


def test_the_truth_has_no_loss() -> None:
    R, joints, indices = random_rotations([B]), torch.rand(6, V), torch.randint(S, (B, N))
    found = prediction(R, 100.0 * torch.nn.functional.one_hot(indices, S), first=R.clone())
    picture = orthographic(joints @ found.vertices, found.camera)
    losses = vqhps_losses(VQHPSLossWeights(), found, indices, R, joints, picture, torch.rand(B, 6))
    assert losses["total"].item() == pytest.approx(0, abs=1e-6)
    paper = vqhps_losses(VQHPSLossWeights(shift_scaled=False), found, indices, R, joints, picture)
    assert paper["reprojection"] > 0.01


def test_terms_weigh_alike_and_each_has_its_weight() -> None:
    logits, indices, picture = torch.randn(B, N, S), torch.randint(S, (B, N)), torch.randn(B, 6, 2)
    found, joints, R = prediction(random_rotations([B]), logits), torch.rand(6, V), random_rotations([B])
    rest = found, indices, R, joints, picture
    losses = vqhps_losses(VQHPSLossWeights(), *rest)
    torch.testing.assert_close(losses["total"], losses["mesh"] + losses["rotation"] + losses["reprojection"])
    doubled = vqhps_losses(VQHPSLossWeights(mesh=2, rotation=0), *rest)
    torch.testing.assert_close(doubled["total"], 2 * losses["mesh"] + losses["reprojection"])
    both = vqhps_losses(VQHPSLossWeights(), found._replace(first_R=found.R), *rest[1:])
    torch.testing.assert_close(both["rotation"], 2 * losses["rotation"])  # VQ-HPS-rot: both are held to the truth


def test_tokens_at_random_cost_the_log_of_their_number() -> None:
    assert token_loss(torch.zeros(B, N, S), torch.randint(S, (B, N))).item() == pytest.approx(math.log(S))


def test_joints_without_confidence_do_not_count() -> None:
    points, true = torch.randn(B, 5, 2), torch.randn(B, 5, 2)
    confidence = torch.ones(B, 5)
    torch.testing.assert_close(reprojection_loss(points, true, confidence), reprojection_loss(points, true))
    confidence[:, 2] = 0
    moved = points.clone()
    moved[:, 2] += 5
    torch.testing.assert_close(reprojection_loss(points, true, confidence), reprojection_loss(moved, true, confidence))


def test_mesh_vqvae_measures_distances() -> None:
    true = torch.randn(B, V, 3)
    found = MeshReconstruction(true + torch.tensor([3.0, 4.0, 0]), *torch.zeros(2), torch.tensor(2.0), torch.zeros(()))
    losses = mesh_vqvae_losses(MeshVQVAELossWeights(), found, true)
    assert losses["vertices"].item() == pytest.approx(5)
    assert losses["total"].item() == pytest.approx(5 + 0.25 * 2)


def meshes(batch: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    true = generator.standard_normal((batch, V, 3))
    true -= true.mean(1, keepdims=True)
    return true + 0.1 * generator.standard_normal(true.shape), true, generator.dirichlet(np.ones(V), 17)


def test_errors_do_not_see_where_a_mesh_stands_and_aligned_ones_not_how() -> None:
    predicted, true, regressor = meshes(B)
    errors = mesh_errors(predicted, true, regressor)
    moved = mesh_errors(predicted + np.array([1.0, 2, 3]), true, regressor)
    for name, error in errors.items():
        np.testing.assert_allclose(moved[name], error, rtol=1e-9)
    R = random_rotations([B]).double().numpy()
    turned_about = mesh_errors(1.5 * predicted @ R, true, regressor)
    for name in ("pa_v2v", "pa_mpjpe"):
        np.testing.assert_allclose(turned_about[name], errors[name], rtol=1e-4)
        assert (errors[name] <= errors[name.removeprefix("pa_")] * 1.05).all()
    assert (turned_about["v2v"] > 2 * errors["v2v"]).all()
    assert all(error == pytest.approx(0) for error in np.concatenate(list(mesh_errors(true, true, regressor).values())))


def test_joints_have_human36ms_names_once() -> None:
    assert sorted(H36M_ORDER) == list(range(17))


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_released_alignment_is_another_for_two_or_three_meshes(batch: int) -> None:
    predicted, true, regressor = meshes(batch)
    ours, released = (mesh_errors(predicted, true, regressor, switch) for switch in (False, True))
    for name, error in ours.items():
        if batch in (2, 3) and name.startswith("pa_"):
            assert (released[name] < error).all()  # V coordinates fit more than three
        else:
            np.testing.assert_allclose(released[name], error)
