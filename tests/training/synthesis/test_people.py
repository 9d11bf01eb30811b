from __future__ import annotations

import numpy as np
import torch

from mocap.body.model import load_body
from mocap.body.torch_rotations import axis_angle_to_matrix, random_rotations
from training.synthesis.looks import Look
from training.synthesis.people import People, Wardrobe, turned_to, vertex_normals
from training.synthesis.views import ViewConfig, random_headings, random_views


def test_a_mesh_is_where_the_body_is() -> None:
    body, generator = load_body(), torch.Generator().manual_seed(0)
    R = torch.eye(3).repeat(3, 24, 1, 1)
    R[:, [0, 16, 18, 4]] = random_rotations((3, 4), generator)
    betas, p_root = torch.randn(3, 10, generator=generator), torch.randn(3, 3, generator=generator)
    joints = body.joints(R, p_root, betas)
    people = People(R, betas, joints, random_views(joints, ViewConfig(), generator))
    wardrobe = Wardrobe(body)
    naked = Look(np.full((body.num_vertices, 3), 0.5), np.zeros(body.num_vertices))
    expected = people.views.to_camera(body.vertices(R, p_root, betas))
    for index in range(3):
        mesh = wardrobe.mesh(people, index, naked)
        blend = (mesh.weights[:, :, None, None] * mesh.motion[mesh.bones.astype(int)]).sum(1)
        posed = (blend[:, :3, :3] @ mesh.rest[..., None])[..., 0] + blend[:, :3, 3]
        # Four bones of each vertex instead of all, and no pose blend shapes.
        assert np.linalg.norm(posed - expected[index].numpy(), axis=1).mean() < 2e-3


def test_headings_are_replaced() -> None:
    generator = torch.Generator().manual_seed(0)
    headings = random_headings(50, ViewConfig(), generator)
    lean = axis_angle_to_matrix(torch.tensor([[0.3, 0.0, 0.1]])).expand(50, 3, 3)
    facing = turned_to(random_headings(50, ViewConfig(), generator) @ lean, torch.eye(3).expand(50, 3, 3))
    torch.testing.assert_close(facing, facing[:1].expand(50, 3, 3), rtol=0, atol=1e-5)
    assert (facing[:, 0, 2].abs() < 1e-5).all()
    torch.testing.assert_close(turned_to(facing, headings), headings @ facing, rtol=0, atol=1e-5)


def test_normals_of_a_tetrahedron_point_outwards() -> None:
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
    faces = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]], np.int32)
    np.testing.assert_allclose(vertex_normals(corners, faces), corners / np.sqrt(3), atol=1e-12)
