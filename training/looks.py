"""Clothes and hair for anny bodies: MakeHuman's .mhclo meshes, fitted to a body's shape and coloured by us.

A .mhclo file hangs each vertex on three vertices of the base mesh (weights, plus an offset that scales with the
body), so clothes take the body's shape, and its skinning weights too. Our meshes carry no textures: colours are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from training.anny_body import AnnyBody, Float

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Garment:
    """A mesh that moves with a body.

    Attributes:
        rest: (N, 3) m in anny's A-pose.
        weights: (N, B) skinning weights on anny's bones.
        faces: (F, 3 or 4) vertex indices.
        hides: base mesh vertices that it covers: body faces under it are left out.
    """

    rest: Float
    weights: NDArray[np.float32]
    faces: NDArray[np.int64]
    hides: NDArray[np.int64]


def load_garment(path: Path, body: AnnyBody) -> Garment:
    """Fits a .mhclo file, with the .obj beside it, to a body.

    Raises:
        FileNotFoundError: the .mhclo or its .obj is not there.
    """
    scale, rows, hides, obj = _read_mhclo(path)
    anchors, weights, offsets = _fit_rows(rows)
    axes = np.array([abs(body.rest_vertices[a, i] - body.rest_vertices[b, i]) / d for i, (a, b, d) in enumerate(scale)])
    rest = np.einsum("nk,nkc->nc", weights, body.rest_vertices[anchors]) + offsets * axes
    skin = np.einsum("nk,nkb->nb", weights, body.model.weights[anchors]).astype(np.float32)
    skin = np.maximum(skin, 0)
    return Garment(rest, skin / skin.sum(1, keepdims=True), _read_faces(path.parent / obj), hides)


def _read_mhclo(path: Path) -> tuple[list[tuple[int, int, float]], list[list[float]], NDArray[np.int64], str]:
    """Reference lengths per axis, vertex rows, hidden base vertices, and the name of the .obj."""
    scale: dict[str, tuple[int, int, float]] = {}
    rows: list[list[float]] = []
    hidden: list[int] = []
    section, obj = "", path.with_suffix(".obj").name
    for line in path.read_text().splitlines():
        words = line.split()
        if not words or words[0] == "#":
            continue
        if words[0] in ("verts", "delete_verts", "weights"):
            section = words[0]
        elif section == "delete_verts" and words[0][0].isdigit():
            hidden += _ranges(words)
        elif section == "verts" and words[0][0].isdigit():
            rows.append([float(word) for word in words])
        elif words[0] in ("x_scale", "y_scale", "z_scale"):
            scale[words[0]] = (int(words[1]), int(words[2]), float(words[3]))
        elif words[0] == "obj_file":
            obj = words[1]
    return [scale[f"{axis}_scale"] for axis in "xyz"], rows, np.array(hidden, np.int64), obj


def _ranges(words: list[str]) -> list[int]:
    """``3 5 - 8`` -> 3, 5, 6, 7, 8."""
    values: list[int] = []
    for position, word in enumerate(words):
        if word == "-":
            values += range(values[-1] + 1, int(words[position + 1]) + 1)
        elif position == 0 or words[position - 1] != "-":
            values.append(int(word))
    return values


def _fit_rows(rows: list[list[float]]) -> tuple[NDArray[np.int64], Float, Float]:
    """Base vertices (N, 3), their weights (N, 3) and offsets (N, 3) in the file's units."""
    anchors, weights, offsets = np.zeros((len(rows), 3), np.int64), np.zeros((len(rows), 3)), np.zeros((len(rows), 3))
    for n, row in enumerate(rows):
        if len(row) == 1:  # rides exactly on one vertex
            anchors[n], weights[n] = int(row[0]), (1, 0, 0)
        else:
            anchors[n], weights[n], offsets[n] = [int(v) for v in row[:3]], row[3:6], row[6:9]
    return anchors, weights, offsets


def _read_faces(path: Path) -> NDArray[np.int64]:
    """Faces of an .obj as quads (a triangle repeats its last vertex)."""
    faces = []
    for line in path.read_text().splitlines():
        if line.startswith("f "):
            corners = [int(word.split("/")[0]) - 1 for word in line.split()[1:]]
            faces.append((corners + corners[-1:])[:4])
    return np.array(faces, np.int64)


def components(garment: Garment) -> NDArray[np.int64]:
    """Number of the connected part that each vertex (N,) belongs to: a suit's shirt, trousers, shoes."""
    a = garment.faces
    edges = np.concatenate([a[:, [0, 1]], a[:, [1, 2]], a[:, [2, 3]]])
    graph = csr_array((np.ones(len(edges)), edges.T), shape=(len(garment.rest),) * 2)
    labels: NDArray[np.int64] = connected_components(graph, directed=False)[1]
    return labels
