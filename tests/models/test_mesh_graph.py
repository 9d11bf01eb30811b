from __future__ import annotations

import functools
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from mocap.assets import asset_path
from mocap.errors import MocapError
from mocap.models.mesh_graph import SMPL_COUNTS, Connections, connections, from_rows, read_connections


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Faces and vertices of a square of side² vertices, and a triangle beside it that touches nothing."""
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    faces = np.concatenate(
        [np.stack([corner, corner + 1, corner + side], 1), np.stack([corner + 1, corner + side + 1, corner + side], 1)]
    )
    vertices = np.stack([*np.divmod(np.arange(side**2), side), np.zeros(side**2)], 1)
    apart = np.array([[side, 3.0, 0], [side + 1, 3, 0], [side, 4, 0]])
    return np.concatenate([faces, [[side**2, side**2 + 1, side**2 + 2]]]), np.concatenate([vertices, apart])


@functools.cache
def of_grid() -> list[Connections]:
    return connections(*grid(12), counts=(40, 9))


@functools.cache
def of_open_body() -> list[Connections]:
    with np.load(asset_path("open_body.npz")) as body:
        return connections(body["f"], body["v_template"])


def relation(found: Connections) -> csr_matrix:
    """(P, N), steps + 1 where a vertex reads another."""
    reader, place = np.nonzero(found.neighbours < found.inputs)
    steps = found.rows[:, 2::2][reader, place]
    return csr_matrix((steps + 1, (reader, found.neighbours[reader, place])), shape=(found.outputs, found.inputs))


@pytest.mark.parametrize("layers", [of_grid, of_open_body])
def test_every_level_is_symmetric_and_connected(layers: functools._lru_cache_wrapper[list[Connections]]) -> None:
    for found in layers():
        if found.inputs == found.outputs:
            matrix = relation(found)
            assert (matrix != matrix.T).nnz == 0
            assert connected_components(matrix, directed=False)[0] == 1
            assert (matrix.diagonal() == 1).all()  # a vertex reads itself, after no step


@pytest.mark.parametrize("layers", [of_grid, of_open_body])
def test_what_is_pooled_is_unpooled(layers: functools._lru_cache_wrapper[list[Connections]]) -> None:
    """The way back reads along the same edges, every vertex is read, and every level is reached."""
    found = layers()
    for down, up in zip(found, found[::-1], strict=True):
        assert (relation(down) != relation(up).T).nnz == 0
        assert relation(down).sum(0).min() > 0
    for before, after in pairwise(found):
        assert before.outputs == after.inputs


def test_the_open_body_reaches_54_vertices() -> None:
    found = of_open_body()
    sizes = [layer.outputs for layer in found]
    full = found[0].inputs
    assert sizes == [full, 1925, 1925, 400, 400, 54, 54, 54, 400, 400, 1925, 1925, full, full]
    assert SMPL_COUNTS == (1925, 400, 54)
    coarsest = relation(found[5])
    assert coarsest.getnnz(0).max() <= 12  # tokens are places: a vertex belongs to few of them
    assert max(layer.neighbours.shape[1] for layer in found) < 66  # the most that the released levels have


def test_distances_are_steps_along_edges() -> None:
    rows = of_grid()[0].rows
    middle = rows[5 * 12 + 5]
    assert list(middle[:3]) == [7, 5 * 12 + 5, 0]  # six neighbours in this triangulation
    assert set(middle[4:15:2]) == {1}
    corner = rows[0]
    assert corner[0] == 3
    assert set(corner[7::2]) == {147}
    assert set(corner[8::2]) == {-1}


def test_released_files_are_read(tmp_path: Path) -> None:
    names = ["pool0", "pool1", "pool2"]
    for name, found in zip(names, of_grid(), strict=False):
        np.save(tmp_path / f"_{name}.npy", found.rows.astype(np.int32))
    for read, found in zip(read_connections(tmp_path, names), of_grid(), strict=False):
        np.testing.assert_array_equal(read.neighbours, found.neighbours)
        assert (read.inputs, read.outputs) == (found.inputs, found.outputs)
    with pytest.raises(MocapError, match=r"_pool7\.npy: expected connections of a mesh"):
        read_connections(tmp_path, ["pool7"])


@pytest.mark.parametrize("rows", [np.zeros((4, 4), int), np.zeros((4, 5)), np.full((4, 5), 2), np.full((4, 5), 9)])
def test_other_rows_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(MocapError, match=r"pool0: expected rows \[count, \(vertex, distance\) \.\.\.\]"):
        from_rows(rows, 2, "pool0")


@pytest.mark.parametrize("counts", [(147, 9), (40, 40), (40, 0)])
def test_levels_that_do_not_fall_are_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(MocapError, match=r"expected falling numbers of vertices, found \[147"):
        connections(*grid(12), counts=counts)
