from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mocap.models.pct import MixerSizes, PctConfig, PctHead, Reconstruction
from mocap.models.postometro import BodyMesh
from training.projection import orthographic
from training.published.postometro import (
    FastMetroLossWeights,
    MeshLabels,
    edge_length,
    edge_loss,
    face_edges,
    fastmetro_losses,
    joint_loss,
    noisy_tokens,
    normal_loss,
    pct_classifier_losses,
    pct_tokenizer_losses,
    picture_loss,
    place_loss,
    smpl_loss,
    true_tokens,
    unique_edges,
    vertex_loss,
)

HAS = torch.tensor([True, False, True])
FACES = torch.tensor([[0, 1, 2], [1, 3, 2]])
EDGES = unique_edges(FACES)
PCT = PctConfig(
    joints=5, tokens=6, codes=11, code_dim=8, encoder=MixerSizes(1, 12, 10, 7), decoder=MixerSizes(1, 6, 9, 7),
    guide_ratio=0.0, image_channels=4, cells=9, channels=3, classifier=MixerSizes(1, 5, 13, 7),
)  # fmt: skip


def counted(p: Tensor) -> Tensor:
    """All of them count."""
    return torch.cat([p, torch.ones_like(p[..., :1])], -1)


@pytest.fixture
def truth() -> tuple[BodyMesh, MeshLabels]:
    """A prediction that is right in everything."""
    torch.manual_seed(0)
    joints, vertices, camera = torch.rand(3, 14, 3), torch.rand(3, 4, 3), torch.rand(3, 3)
    picture = counted(orthographic(joints, camera))
    labels = MeshLabels(counted(joints), HAS, picture, vertices, vertices, vertices, HAS)
    return BodyMesh(camera, joints, vertices, vertices, vertices), labels


def test_the_truth_costs_its_edges_alone(truth: tuple[BodyMesh, MeshLabels]) -> None:
    found, labels = truth
    terms = fastmetro_losses(FastMetroLossWeights(), found, found.joints, labels, FACES, EDGES)
    side = edge_length(found.middle, HAS, EDGES)
    cosines = normal_loss(found.middle, labels.middle, HAS, FACES)
    assert float(terms["joints"]) == float(terms["picture"]) == float(terms["vertices"]) == 0
    assert float(cosines) == pytest.approx(0, abs=1e-6)
    assert float(terms["total"]) == pytest.approx(100 * 1e-4 * float(side), rel=1e-3)


def test_terms_are_weighted_as_released(truth: tuple[BodyMesh, MeshLabels]) -> None:
    found, labels = truth
    other = replace(labels, joints=labels.joints + 0, vertices=labels.vertices + 0.1, coarse=labels.coarse - 0.3)
    terms = fastmetro_losses(FastMetroLossWeights(surface=0), found, found.joints, other, FACES, EDGES)
    assert float(terms["total"]) == pytest.approx(100 * (0.25 * 0.3 + 0.25 * 0.1), rel=1e-4)
    moved = found.joints.clone()
    moved[:, 0, 0] += 0.42  # no hip; one of 42 coordinates
    terms = fastmetro_losses(FastMetroLossWeights(surface=0, picture=0), found, moved, labels, FACES, EDGES)
    assert float(terms["total"]) == pytest.approx(1000 * 0.01, rel=1e-4)


def test_samples_without_labels_do_not_count() -> None:
    points, labels = torch.rand(3, 14, 3, requires_grad=True), torch.rand(3, 14, 3)
    garbage = labels.clone()
    garbage[1] = 99
    for loss in (
        lambda p, q: vertex_loss(p, q, HAS),
        lambda p, q: joint_loss(p, counted(q), HAS),
        lambda p, q: edge_loss(p, q, HAS, EDGES),
        lambda p, q: normal_loss(p, q, HAS, FACES),
        lambda p, q: smpl_loss(p, q, p, q, HAS),
    ):
        assert torch.equal(loss(points, labels), loss(points, garbage))
        (gradient,) = torch.autograd.grad(loss(points, labels), points)
        assert not gradient[1].any()
        assert gradient[0].any()
        assert torch.isfinite(gradient).all()
    assert not vertex_loss(points, labels, torch.zeros(3)).any()  # nobody has a label


def test_joints_are_compared_around_the_pelvis() -> None:
    points, labels = torch.rand(3, 14, 3), torch.rand(3, 14, 3)
    expected = joint_loss(points, counted(labels), HAS)
    torch.testing.assert_close(joint_loss(points + torch.rand(3, 1, 3), counted(labels - 4), HAS), expected)
    blind = counted(labels)
    blind[..., 3] = 0
    assert float(joint_loss(points, blind, HAS)) == 0


def test_points_that_are_not_seen_do_not_count() -> None:
    points, labels = torch.rand(2, 14, 2), counted(torch.rand(2, 14, 2))
    labels[:, 5, 2] = 0
    unseen, seen = (points + 9 * (torch.arange(14) == joint)[:, None] for joint in (5, 6))
    for loss in (picture_loss, place_loss):
        assert torch.equal(loss(points, labels), loss(unseen, labels))
        assert float(loss(seen, labels)) > float(loss(points, labels))


def test_edges_are_counted_once() -> None:
    assert EDGES.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]
    assert sorted(face_edges(FACES).sort(1).values.tolist()).count([1, 2]) == 2  # of two triangles


def test_edges_see_lengths_and_normals_see_directions() -> None:
    mesh = torch.rand(3, 4, 3)
    flat = mesh * torch.tensor([1.0, 1.0, 0.0])
    torch.testing.assert_close(edge_loss(1.5 * mesh, mesh, HAS, EDGES), 0.5 * edge_length(mesh, HAS, EDGES))
    torch.testing.assert_close(edge_loss(mesh.roll(1, -1) + 3, mesh, HAS, EDGES), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert float(normal_loss(2 * flat + 1, flat, HAS, FACES)) == pytest.approx(0, abs=1e-6)
    upright = flat.roll(1, -1)  # in the plane of y and z, where the labels' normals are z
    assert float(normal_loss(upright, flat, HAS, FACES)) > 0.1


def test_camera_scales_after_it_moves() -> None:
    found = orthographic(torch.tensor([[[1.0, 2.0, 77.0]]]), torch.tensor([[0.5, 3.0, -1.0]]))
    assert found.tolist() == [[[2.0, 0.5]]]


def test_places_cost_squares_near_and_distances_far() -> None:
    label = torch.tensor([[[0.0, 0.0, 1.0]]])
    near, far = (place_loss(torch.full((1, 1, 2), x), label, beta=0.05) for x in (0.01, 2.0))
    assert float(near) == pytest.approx(0.5 * 0.01**2 / 0.05)
    assert float(far) == pytest.approx(2.0 - 0.025)


def test_pct_losses_add_up() -> None:
    joints = counted(torch.rand(2, 5, 2))
    found = Reconstruction(joints[..., :2] + 1, torch.empty(0), torch.empty(0), torch.tensor(0.2))
    terms = pct_tokenizer_losses(found, joints)
    assert float(terms["total"]) == pytest.approx(1 - 0.025 + 15 * 0.2)
    tokens = torch.randint(11, (2, 6))
    even = pct_classifier_losses(torch.zeros(2, 6, 11), joints[..., :2], tokens, joints)
    assert float(even["total"]) == pytest.approx(torch.tensor(11.0).log().item())
    sure = 50 * torch.nn.functional.one_hot(tokens, 11).float()
    assert float(pct_classifier_losses(sure, joints[..., :2], tokens, joints)["total"]) == pytest.approx(0, abs=1e-6)


@torch.no_grad()
def test_noisy_logits() -> None:
    head, logits = PctHead(PCT).eval(), torch.randn(2, 6, 11)
    clean = head.read(logits)
    for still, found in zip(clean, noisy_tokens(head, logits, 0.0), strict=True):
        assert torch.equal(still, found)
    first, second = (noisy_tokens(head, logits, 1.0, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first.embeddings, second.embeddings)
    assert not torch.allclose(first.embeddings, clean.embeddings, atol=1e-3)
    noise = noisy_tokens(head, torch.zeros(400, 6, 11), 2.0).logits
    assert float(noise.std()) == pytest.approx(2.0, rel=0.05)


@torch.no_grad()
def test_true_tokens_are_codes_with_a_high_score() -> None:
    tokenizer, joints = PctHead(PCT).eval().tokenizer, counted(torch.rand(2, 5, 2))
    embeddings, score = true_tokens(tokenizer, joints)
    distances = torch.cdist(embeddings.flatten(0, 1), tokenizer.quantizer.codebook).amin(1)
    assert float(distances.max()) == pytest.approx(0, abs=1e-3)
    assert torch.equal(score, torch.full((2, 6, 1), 10.0))
