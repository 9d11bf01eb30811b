from __future__ import annotations

import functools
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix, identity
from scipy.sparse.csgraph import connected_components

from mocap.assets import asset_path
from mocap.body.smpl_file import SmplArrays, read_smpl
from mocap.errors import MocapError
from mocap.models.mesh_levels import MeshLevels, barycentric, mesh_levels, read_levels, triangles
from tests.hostile_pickles import payloads
from tests.models.test_mesh_graph import grid


@functools.cache
def body() -> SmplArrays:
    return read_smpl(asset_path("open_body.npz"))


@functools.cache
def of_open_body() -> MeshLevels:
    return mesh_levels(body().faces, body().v_template)


def test_coarser_vertices_are_finer_ones_and_the_sampler_brings_them_back() -> None:
    levels, vertices = of_open_body(), body().v_template
    (to_middle, to_coarse), up = levels.down, levels.sampler
    assert (to_middle.shape, to_coarse.shape, up.shape) == ((1723, len(vertices)), (431, 1723), (len(vertices), 1723))
    np.testing.assert_array_equal((up @ to_middle @ to_middle.T).toarray(), up.toarray())  # centres are fixed points
    assert up.data.min() >= 0
    np.testing.assert_allclose(up.sum(1), 1, atol=1e-6)
    off_m = np.linalg.norm(up @ (to_middle @ vertices) - vertices, axis=1)
    assert off_m.mean() < 3e-3
    assert off_m.max() < 0.03


def test_the_levels_are_whole_meshes() -> None:
    levels = of_open_body()
    assert (levels.neighbours == levels.neighbours.T).all()
    assert levels.neighbours.diagonal().all()
    assert connected_components(levels.neighbours, directed=False)[0] == 1
    assert len(np.unique(levels.faces)) > 0.97 * 1723  # parts of a few vertices, such as eyes, have no triangle
    assert len(np.unique(np.sort(levels.faces, 1), axis=0)) == len(levels.faces)
    assert 1.8 * 1723 < len(levels.faces) < 2.2 * 1723  # two for each vertex of a closed mesh


def test_places_in_triangles_are_the_closest() -> None:
    """Against many places tried; a flat triangle too."""
    rng = np.random.default_rng(0)
    points, corners = rng.normal(size=(40, 3)), rng.normal(size=(40, 3, 3))
    corners[0, 2] = corners[0, :2].mean(0)
    share = barycentric(points, corners)
    assert (share >= 0).all()
    np.testing.assert_allclose(share.sum(1), 1)
    off = np.linalg.norm(np.einsum("nk,nkc->nc", share, corners) - points, axis=1)
    tried = rng.dirichlet(np.full(3, 0.5), 4000)
    others = np.linalg.norm(np.einsum("tk,nkc->tnc", tried, corners) - points, axis=2)
    assert (off <= others.min(0) + 1e-9).all()


def written(path: Path, **changed: Any) -> Path:
    """A grid's levels as GraphCMR wrote SMPL's: object arrays of scipy's matrices, one level more than is read."""
    faces, vertices = grid(6)
    levels = mesh_levels(faces, vertices, (20, 8))
    A = [csr_matrix(np.eye(39)), _adjacency(levels.faces, 20), coo_matrix(levels.neighbours.astype(np.int32))]
    arrays = {
        "A": [*A, csr_matrix(np.eye(3))],
        "D": [csc_matrix(levels.down[0]), levels.down[1].astype(np.float64), csr_matrix(np.ones((3, 8)))],
        "U": [coo_matrix(levels.sampler), csr_matrix(np.ones((20, 8))), csr_matrix(np.ones((8, 3)))],
        **changed,
    }
    np.savez(path, **{name: _objects(values) for name, values in arrays.items()})
    return path


def _objects(values: list[Any]) -> np.ndarray:
    made = np.empty(len(values), object)
    made[:] = values
    return made


def _adjacency(faces: np.ndarray, count: int) -> csr_matrix:
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    matrix = csr_matrix((np.ones(len(edges)), edges.T), (count, count))
    return csr_matrix(matrix + matrix.T)


def test_metros_file_gives_its_matrices(tmp_path: Path) -> None:
    expected, found = mesh_levels(*grid(6), counts=(20, 8)), read_levels(written(tmp_path / "mesh_downsampling.npz"))
    for ours, theirs in ((expected.sampler, found.sampler), *zip(expected.down, found.down, strict=True)):
        np.testing.assert_array_equal(theirs.toarray(), ours.toarray())
    np.testing.assert_array_equal(found.neighbours, expected.neighbours)
    there = {tuple(sorted(face)) for face in expected.faces.tolist()}
    assert there <= {tuple(face) for face in found.faces.tolist()}


def test_triangles_of_a_closed_mesh_are_its_faces() -> None:
    octahedron = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 1, 4], [1, 2, 5], [2, 3, 5], [3, 4, 5], [1, 4, 5]])
    np.testing.assert_array_equal(triangles(_adjacency(octahedron, 6)), np.unique(octahedron, axis=0))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"D": [csr_matrix(np.ones((4, 39))), csr_matrix(np.ones((8, 20)))]}, r"D and U of .*found \[\(4, 39\)"),
        ({"A": [identity(39, format="csr"), identity(20, format="csr")]}, "expected METRO's mesh_downsampling.npz"),
        ({"U": [np.ones(3)]}, "expected sparse matrices, found"),
        ({"U": [csr_matrix(np.full((39, 20), np.nan))]}, "finite"),
        ({"U": []}, "D and U of"),
    ],
)
def test_other_files_are_one_clear_error(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(MocapError, match=message):
        read_levels(written(tmp_path / "other.npz", **changed))
    with pytest.raises(MocapError, match="expected an npz file"):
        read_levels(tmp_path / "nowhere.npz")
    np.savez(tmp_path / "empty.npz", A=np.zeros(3))
    with pytest.raises(MocapError, match="expected sparse matrices, found float"):
        read_levels(tmp_path / "empty.npz")


@pytest.mark.parametrize("name", payloads(Path("mark")))
def test_no_file_runs_code(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "mark"
    written(tmp_path / "good.npz")
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as bad, zipfile.ZipFile(tmp_path / "good.npz") as good:
        array = good.read("A.npy")
        bad.writestr("A.npy", array[: array.index(b"\n") + 1] + payloads(mark)[name])
    with pytest.raises(MocapError):
        read_levels(tmp_path / "bad.npz")
    assert not mark.exists()


def test_indices_outside_are_an_error(tmp_path: Path) -> None:
    bad = csr_matrix(np.ones((39, 20)))
    bad.indices[3] = 10_000
    with pytest.raises(MocapError, match="mesh_downsampling"):
        read_levels(written(tmp_path / "mesh_downsampling.npz", U=[bad]))
    assert pickle.loads(pickle.dumps(bad)).indices[3] == 10_000  # scipy itself does not look
