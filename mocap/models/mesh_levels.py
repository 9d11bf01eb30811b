"""A body's mesh at the three resolutions of METRO, FastMETRO and PostoMETRO: all vertices, 1723 and 431 of SMPL's.

METRO's file has the matrices between them for SMPL's mesh; :func:`mesh_levels` makes such matrices for any body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity

from mocap.errors import MocapError
from mocap.models.mesh_graph import Ints, coarsened
from mocap.pickles import ADVICE, NpzArrays
from mocap.sparse_pickles import Standin, StandinUnpickler, sparse_matrix

COUNTS = (1723, 431)  # vertices of the coarser levels of SMPL's 6890
FILE = "mesh_downsampling.npz"
_MOST = 1_000_000  # vertices


@dataclass(frozen=True)
class MeshLevels:
    """Of a body with V vertices, which becomes M, and these become N."""

    down: tuple[csr_matrix, csr_matrix]  # (M, V), (N, M): what a coarser vertex is a mean of
    sampler: csr_matrix  # (V, M), what a vertex is a mean of
    neighbours: NDArray[np.bool_]  # (N, N), which vertices share an edge; each is its own neighbour
    faces: Ints  # (F, 3) triangles among the M


def mesh_levels(
    faces: NDArray[np.integer], vertices: NDArray[np.floating], counts: Sequence[int] = COUNTS
) -> MeshLevels:
    """Levels of any body. Coarser vertices are some of the finer ones, spread evenly along edges; a vertex lies in the
    triangle of middle vertices near it that is closest in the T-pose.

    Args:
        faces: (F, 3).
        vertices: (V, 3) m, the T-pose.
        counts: M and N.

    Raises:
        MocapError: the counts do not fall from V to 1 or more.
    """
    (middle, coarse) = coarsened(faces, vertices, counts)
    sampler = _sampler(np.asarray(vertices, np.float64), middle.centres, middle.owner, middle.faces)
    neighbours = np.eye(counts[1], dtype=bool)
    neighbours[tuple(coarse.edges.T)] = True
    down = tuple(_selection(level.centres, size) for level, size in ((middle, len(vertices)), (coarse, counts[0])))
    return MeshLevels((down[0], down[1]), sampler, neighbours, middle.faces)


def _selection(chosen: Ints, size: int) -> csr_matrix:
    """(n, size) that picks n of so many vertices."""
    return csr_matrix(identity(size, np.float32, format="csr")[chosen])


def _sampler(vertices: NDArray[np.float64], centres: Ints, owner: Ints, faces: Ints) -> csr_matrix:
    """(V, M): each vertex as a mean of the corners of a triangle of its own middle vertex; of that one alone where it
    has no triangle."""
    corner = np.concatenate([faces[:, place] for place in range(3)])  # which triangles a middle vertex has
    order, counts = np.argsort(corner, kind="stable"), np.bincount(corner, minlength=len(centres))
    starts = np.cumsum(counts) - counts
    many = counts[owner]
    vertex = np.repeat(np.arange(len(vertices)), many)
    place = np.arange(len(vertex)) - np.repeat(np.cumsum(many) - many, many)
    triangle = faces[(order % len(faces))[starts[owner[vertex]] + place]] if len(vertex) else np.zeros((0, 3), np.int64)
    share = barycentric(vertices[vertex], vertices[centres[triangle]])
    off = np.linalg.norm((share[..., None] * vertices[centres[triangle]]).sum(1) - vertices[vertex], axis=1)
    best = np.lexsort((off, vertex))
    best = best[np.unique(vertex[best], return_index=True)[1]]
    alone = np.flatnonzero(many == 0)
    rows = np.concatenate([np.repeat(vertex[best], 3), alone])
    columns = np.concatenate([triangle[best].ravel(), owner[alone]])
    values = np.concatenate([share[best].ravel(), np.ones(len(alone))]).astype(np.float32)
    sampler = csr_matrix((values, (rows, columns)), (len(vertices), len(centres)))
    sampler.eliminate_zeros()
    return sampler


def barycentric(points: NDArray[np.float64], triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coordinates (n, 3) of the places in triangles (n, 3, 3) that are closest to points (n, 3): none is negative, and
    their sum is 1. Where the foot of the perpendicular is outside, the closest place is on an edge."""
    found = _foot(points, triangles)
    outside = np.flatnonzero((found < 0).any(1))
    nearest = np.full(len(outside), np.inf)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        start, along = triangles[outside, a], triangles[outside, b] - triangles[outside, a]
        length = np.maximum((along**2).sum(1), 1e-18)
        t = np.clip(((points[outside] - start) * along).sum(1) / length, 0, 1)
        off = np.linalg.norm(start + t[:, None] * along - points[outside], axis=1)
        better = off < nearest
        nearest = np.where(better, off, nearest)
        row = outside[better]
        found[row] = 0
        found[row, a], found[row, b] = 1 - t[better], t[better]
    return found


def _foot(points: NDArray[np.float64], triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Barycentric coordinates (n, 3) of the feet of the perpendiculars; the first is below 0 for no real triangle."""
    u, v, w = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0], points - triangles[:, 0]
    uu, uv, vv, wu, wv = ((a * b).sum(1) for a, b in ((u, u), (u, v), (v, v), (w, u), (w, v)))
    area = uu * vv - uv * uv
    good = area > 1e-18
    area = np.where(good, area, 1)
    second, third = (vv * wu - uv * wv) / area, (uu * wv - uv * wu) / area
    return np.stack([np.where(good, 1 - second - third, -1), second, third], 1)


def read_levels(path: Path) -> MeshLevels:
    """METRO's ``mesh_downsampling.npz`` (GraphCMR's): lists of sparse matrices A (which vertices share an edge, each
    level), D (down) and U (up), pickled, which is read without running anything. More levels than three may follow.

    Raises:
        MocapError: it is not that file, or names anything but arrays and sparse matrices.
    """
    arrays = NpzArrays(path, lambda file, name: StandinUnpickler(file, name, ADVICE).load())
    try:
        A, D, U = (_matrices(arrays[name], path) for name in ("A", "D", "U"))
        fine, middle, coarse = (matrix.shape[0] for matrix in A[:3])
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise MocapError(f"{path}: expected METRO's {FILE} with sparse matrices A, D and U, found {error!r}") from error
    expected = [(middle, fine), (coarse, middle), (fine, middle)]
    if (found := [matrix.shape for matrix in (*D[:2], *U[:1])]) != expected:
        raise MocapError(f"{path}: expected METRO's {FILE} with D and U of {expected}, found {found}")
    neighbours = (A[2] + identity(coarse)).toarray() != 0
    return MeshLevels((D[0], D[1]), U[0], neighbours, triangles(A[1]))


def _matrices(pickled: Any, path: Path) -> list[csr_matrix]:
    values = list(np.asarray(pickled, object).ravel())
    found = [sparse_matrix(value, _MOST, _MOST) if isinstance(value, Standin) else None for value in values]
    if any(matrix is None for matrix in found):
        kinds = ", ".join(sorted({type(value).__name__ for value in values}))
        raise MocapError(f"{path}: expected sparse matrices, found {kinds}")
    made = [csr_matrix(matrix, dtype=np.float32) for matrix in found]
    for matrix in made:
        matrix.sum_duplicates()
        if not np.isfinite(matrix.data).all():
            raise MocapError(f"{path}: expected finite numbers, found others")
    return made


def triangles(adjacency: csr_matrix) -> Ints:
    """(F, 3) of vertices that all share edges: the faces of a mesh of which only the edges are known, and where three
    edges go around a narrow limb, that ring."""
    edges = adjacency.tocoo()
    edges = np.stack([edges.row, edges.col], 1).astype(np.int64)
    beside: dict[int, set[int]] = {}
    for a, b in edges[edges[:, 0] < edges[:, 1]].tolist():
        beside.setdefault(a, set()).add(b)
    none: set[int] = set()
    found = [(a, b, c) for a, high in beside.items() for b in high for c in sorted(high & beside.get(b, none))]
    return np.array(sorted(found), np.int64).reshape(-1, 3)
