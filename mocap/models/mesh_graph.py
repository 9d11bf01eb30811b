"""Which vertices a mesh autoencoder's layers read: levels of a mesh from fine to coarse, and their neighbourhoods.

A level's vertices are some of the finer level's, spread evenly over it by steps along edges. Each finer vertex belongs
to the nearest of them, and two of them are neighbours where an edge of the finer level joins what belongs to them. So
every level of a connected mesh is connected. Only the triangles count, not where the vertices lie.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from mocap.errors import MocapError

SMPL_COUNTS = (1925, 400, 54)  # vertices of the coarser levels of VQ-HPS; SMPL's mesh has 6890
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Connections:
    """For each of P vertices, the vertices among N that it reads.

    The rows are those of the released files: ``[count, (vertex, distance) ...]``, the nearest first, filled up with
    ``(N, -1)``. Distances are steps along edges; the network does not read them.
    """

    rows: Ints  # (P, 1 + 2 M)
    inputs: int  # N

    @property
    def outputs(self) -> int:
        """P."""
        return len(self.rows)

    @cached_property
    def neighbours(self) -> Ints:
        """(P, M), N where a vertex has fewer."""
        return np.ascontiguousarray(self.rows[:, 1::2])

    @property
    def mean_count(self) -> int:
        """Neighbours of a vertex, rounded."""
        return round(float(self.rows[:, 0].mean()))


def connections(
    faces: NDArray[np.integer], vertices: NDArray[np.floating], counts: Sequence[int] = SMPL_COUNTS
) -> list[Connections]:
    """Of the layers of a mesh autoencoder, in their order: convolution, pooling, convolution, ..., convolution on the
    coarsest level, and the same back.

    Args:
        faces: (F, 3).
        vertices: (V, 3), only to join the parts of a mesh that has several (eyes).
        counts: Vertices of the coarser levels.

    Raises:
        MocapError: the counts do not fall from V to 1 or more.
    """
    levels = coarsened(faces, vertices, counts)
    around, down, up = [_neighbourhood(levels[0].fine_edges, len(vertices))], [], []
    for level in levels:
        fine, count = len(level.owner), len(level.centres)
        reads = _pooled(level.fine_edges, level.owner, level.steps)
        down.append(_connections(reads, fine, count))
        up.append(_connections(reads[:, [1, 0, 2]], count, fine))
        around.append(_neighbourhood(level.edges, count))
    inward = [layer for pair in zip(around, down, strict=False) for layer in pair]
    outward = [layer for pair in zip(up[::-1], around[-2::-1], strict=True) for layer in pair]
    return [*inward, around[-1], around[-1], *outward]


def spread(faces: NDArray[np.integer], vertices: NDArray[np.floating], count: int) -> tuple[Ints, Ints]:
    """``count`` of a mesh's vertices, as evenly over it as can be.

    Args:
        faces: (F, 3).
        vertices: (V, 3), only to join the parts of a mesh that has several.

    Returns:
        Which of them each vertex is nearest to (V,), and which vertices they are (count,).
    """
    owner, steps = _spread(_joined(_edges(faces), np.asarray(vertices)), len(vertices), count)
    return owner, _centres(owner, steps)


class Level(NamedTuple):
    """A coarser level of a mesh, C vertices of the finer one's N."""

    centres: Ints  # (C,) which they are
    owner: Ints  # (N,) which of the C each finer vertex belongs to
    steps: Ints  # (N,) along edges to it
    faces: Ints  # (F, 3) of the C
    edges: Ints  # (E, 2) of the C, both directions
    fine_edges: Ints  # (E, 2) of the N, both directions


def coarsened(faces: NDArray[np.integer], vertices: NDArray[np.floating], counts: Sequence[int]) -> list[Level]:
    """Each level from the one before; for the arguments and errors see :func:`connections`."""
    falling = [len(vertices), *counts]
    if any(fine <= coarse for fine, coarse in pairwise(falling)) or falling[-1] < 1:
        raise MocapError(f"Mesh levels: expected falling numbers of vertices, found {falling}")
    faces, levels = np.asarray(faces, np.int64), []
    edges = _joined(_edges(faces), np.asarray(vertices))
    for fine, count in zip(falling, counts, strict=False):
        owner, steps = _spread(edges, fine, count)
        coarse = owner[edges]
        finer, edges = edges, np.unique(coarse[coarse[:, 0] != coarse[:, 1]], axis=0)
        faces = _whole(owner[faces])
        levels.append(Level(_centres(owner, steps), owner, steps, faces, edges, finer))
    return levels


def _centres(owner: Ints, steps: Ints) -> Ints:
    """Which vertices are the coarse ones, of what :func:`_spread` returns."""
    return np.flatnonzero(steps == 0)[np.argsort(owner[steps == 0])]


def _whole(faces: Ints) -> Ints:
    """Triangles (F, 3) with three corners, each once, in the order in which they come."""
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(1)]
    first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)[1]
    return faces[np.sort(first)]


def read_connections(folder: Path, names: Sequence[str]) -> list[Connections]:
    """Of the released files ``_<name>.npy``, one for each layer.

    Raises:
        MocapError: a file is missing or holds other rows.
    """
    found: list[Connections] = []
    for name in names:
        path = folder / f"_{name}.npy"
        try:
            rows = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise MocapError(f"{path}: expected connections of a mesh (.npy), found none: {error}") from error
        found.append(from_rows(rows, found[-1].outputs if found else len(rows), str(path)))
    return found


def from_rows(rows: NDArray[np.integer], inputs: int, source: str) -> Connections:
    """Rows (P, 1 + 2 M) of a released file, to vertices among ``inputs``.

    Raises:
        MocapError: they are not of that kind.
    """
    rows = np.asarray(rows)
    fits = rows.ndim == 2 and rows.shape[1] % 2 == 1 and rows.dtype.kind in "iu"
    if fits:
        place = np.arange(rows.shape[1] // 2)
        vertex, count = rows[:, 1::2], rows[:, :1]
        fits = bool(np.where(place < count, (vertex >= 0) & (vertex < inputs), vertex == inputs).all())
    if not fits:
        raise MocapError(
            f"{source}: expected rows [count, (vertex, distance) ...] with vertices below {inputs}, and {inputs} where "
            f"there are fewer; found {rows.dtype} {rows.shape}"
        )
    return Connections(rows.astype(np.int64), inputs)


def _edges(faces: NDArray[np.integer]) -> Ints:
    """Both directions of each edge (E, 2)."""
    faces = np.asarray(faces, np.int64)
    sides = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.unique(np.concatenate([sides, sides[:, ::-1]]), axis=0)


def _joined(edges: Ints, vertices: NDArray[np.floating]) -> Ints:
    """With one more edge for each part of the mesh, from it to the nearest vertex of the largest part."""
    parts, part = connected_components(_matrix(edges, np.ones(len(edges)), (len(vertices),) * 2), directed=False)
    main = np.flatnonzero(part == np.bincount(part).argmax())
    tree, bridges = cKDTree(vertices[main]), []
    for number in set(range(parts)) - {int(part[main[0]])}:
        members = np.flatnonzero(part == number)
        distance, nearest = tree.query(vertices[members])
        closest = distance.argmin()
        bridges.append([members[closest], main[nearest[closest]]])
    added = np.array(bridges, np.int64).reshape(-1, 2)
    return np.concatenate([edges, added, added[:, ::-1]])


def _spread(edges: Ints, size: int, count: int) -> tuple[Ints, Ints]:
    """``count`` of ``size`` vertices, each as far from those before it as can be, in steps.

    Returns:
        Which of them each vertex is nearest to (size,), and the steps to it (size,).
    """
    graph = _matrix(edges, np.ones(len(edges)), (size, size))
    beside = np.split(graph.indices, graph.indptr[1:-1])
    owner, steps = np.zeros(size, np.int64), np.full(size, size, np.int64)
    for centre in range(count):
        start = int(steps.argmax())
        owner[start], steps[start] = centre, 0
        front = deque([start])
        while front:
            at = front.popleft()
            for other in beside[at]:
                if steps[at] + 1 < steps[other]:
                    owner[other], steps[other] = centre, steps[at] + 1
                    front.append(int(other))
    return owner, steps


def _neighbourhood(edges: Ints, size: int) -> Connections:
    """Each vertex and those beside it."""
    own = np.arange(size)
    itself = np.stack([own, own, np.zeros_like(own)], 1)
    return _connections(np.concatenate([itself, np.insert(edges, 2, 1, axis=1)]), size, size)


def _pooled(edges: Ints, owner: Ints, steps: Ints) -> Ints:
    """What a coarse vertex reads: the vertices that belong to it and those beside them.

    Returns:
        (R, 3): coarse vertex, fine vertex, steps between them; each pair once.
    """
    own = np.stack([owner, np.arange(len(owner)), steps], 1)
    beside = np.stack([owner[edges[:, 0]], edges[:, 1], steps[edges[:, 0]] + 1], 1)
    reads = np.concatenate([own, beside])
    reads = reads[np.lexsort(reads.T[::-1])]
    first = np.ones(len(reads), bool)
    first[1:] = (reads[1:, :2] != reads[:-1, :2]).any(1)
    return reads[first]


def _connections(reads: Ints, inputs: int, outputs: int) -> Connections:
    """Of (R, 3) reader, what it reads, steps: each pair once."""
    reads = reads[np.lexsort((reads[:, 1], reads[:, 2], reads[:, 0]))]
    counts = np.bincount(reads[:, 0], minlength=outputs)
    place = np.arange(len(reads)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = np.tile(np.array([inputs, -1], np.int64), (outputs, int(counts.max()), 1))
    rows[reads[:, 0], place] = reads[:, 1:]
    return Connections(np.concatenate([counts[:, None], rows.reshape(outputs, -1)], 1), inputs)


def _matrix(edges: Ints, values: NDArray[np.floating], shape: tuple[int, int]) -> csr_matrix:
    return coo_matrix((values, (edges[:, 0], edges[:, 1])), shape=shape).tocsr()
