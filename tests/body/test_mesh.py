"""The thinned-out surface is closed, and moves as the full body's does."""

from __future__ import annotations

import numpy as np
import pytest

from mocap.body.mesh import load_coarse_body, thin_out, vertex_normals
from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS


def directed_edges(faces: np.ndarray) -> list[tuple[int, int]]:
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return sorted(map(tuple, ends.tolist()))


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def sphere() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and outward faces of a unit sphere of 40 by 80 quads, halved."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, 41), np.arange(80) / 80 * 2 * np.pi, indexing="ij")
    points = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1)
    at = np.arange(41 * 80).reshape(41, 80)
    a, b, c, d = (x.ravel() for x in (at[:-1], np.roll(at, -1, 1)[:-1], np.roll(at, -1, 1)[1:], at[1:]))
    faces = np.concatenate([np.stack([a, d, c], -1), np.stack([a, c, b], -1)])
    vertices, index = np.unique(points.reshape(-1, 3).round(9), axis=0, return_inverse=True)
    faces = index.reshape(-1)[faces]
    return vertices, faces[(faces != np.roll(faces, 1, 1)).all(1)].astype(np.int32)


def test_a_thinned_out_sphere_is_closed_and_nearly_as_large() -> None:
    vertices, faces = sphere()
    kept, thin = thin_out(vertices, vertices, faces, np.full(len(vertices), 0.2))
    assert len(thin) < len(faces) / 4
    assert directed_edges(thin) == directed_edges(thin[:, ::-1])
    assert volume(vertices[kept], thin) == pytest.approx(4 / 3 * np.pi, rel=0.05)


def test_normals_of_a_sphere_point_away_from_its_centre() -> None:
    vertices, faces = sphere()
    np.testing.assert_allclose(vertex_normals(vertices, faces), vertices, atol=0.05)


def test_the_body_is_closed_and_keeps_its_volume() -> None:
    body = load_coarse_body()
    assert len(body.faces) < 27_036 / 4
    assert directed_edges(body.faces) == directed_edges(body.faces[:, ::-1])
    assert volume(body.template, body.faces) == pytest.approx(0.0669, rel=0.05)  # m³, of the full mesh


@pytest.mark.parametrize("seed", range(3))
def test_vertices_are_those_of_the_full_body(seed: int) -> None:
    pytest.importorskip("smplx")
    import torch

    from mocap.body.model import load_body

    rng = np.random.default_rng(seed)
    R = axis_angle_to_matrix(rng.normal(0, 0.6, (NUM_JOINTS, 3))).astype(np.float32)
    root, betas = rng.normal(size=3).astype(np.float32), rng.normal(size=NUM_BETAS).astype(np.float32)
    coarse = load_coarse_body()
    points, normals = coarse.surface(R, root, betas)
    full = load_body().vertices(*(torch.from_numpy(x) for x in (R, root, betas))).numpy()
    np.testing.assert_allclose(points, full[coarse.index], atol=1e-5)
    posed = vertex_normals(full, load_body().faces.numpy())[coarse.index]
    assert np.median((normals * posed).sum(1)) > 0.97


def test_faces_look_outwards() -> None:
    body = load_coarse_body()
    points, normals = body.surface(
        np.tile(np.eye(3, dtype=np.float32), (NUM_JOINTS, 1, 1)),
        np.zeros(3, np.float32),
        np.zeros(NUM_BETAS, np.float32),
    )
    assert np.median((normals * vertex_normals(points, body.faces)).sum(1)) > 0.95
