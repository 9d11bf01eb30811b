"""A dressed, coloured person in a scene."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from training.anny_body import AnnyBody, Float, Phenotype
from training.looks import Color, components, load_garment
from training.render import Scene

BODY_VERTICES = 13380  # of the base mesh; helpers for clothes, eyes and hair come after them
EYES = (14598, 14742)  # vertices of both eyeballs
LIP_BONES = ("oris01", "oris05", "oris03.L", "oris03.R", "oris07.L", "oris07.R")


@dataclass(frozen=True)
class Outfit:
    """What a person looks like.

    Attributes:
        phenotype: for AnnyBody.
        suit: folder under clothes/, with the colour of each of its parts from top to bottom.
        shoes: folder under clothes/, and its colour.
        hair: folder under hair/, and its colour.
        skin: colour.
    """

    phenotype: Phenotype
    suit: str
    suit_colors: tuple[Color, ...]
    shoes: str
    shoes_color: Color
    hair: str
    hair_color: Color
    skin: Color
    eyebrows: str = field(default="eyebrow001")


class Person:
    """A body with its clothes in a scene.

    Args:
        outfit: what it wears.
        looks: folder that holds clothes/, hair/ and eyebrows/.
        scene: where it appears.
    """

    def __init__(self, outfit: Outfit, looks: Path, scene: Scene) -> None:
        self.body = AnnyBody(**outfit.phenotype)
        hidden = np.zeros(len(self.body.rest_vertices), bool)
        self._parts = []
        for folder, name, colors in (
            ("clothes", outfit.suit, outfit.suit_colors),
            ("clothes", outfit.shoes, (outfit.shoes_color,)),
            ("hair", outfit.hair, (outfit.hair_color,)),
            ("eyebrows", outfit.eyebrows, (outfit.hair_color,)),
        ):
            garment = load_garment(looks / folder / name / f"{name}.mhclo", self.body)
            hidden[garment.hides] = True
            surface = scene.add_mesh(
                garment.faces, garment.rest, _part_colors(garment.rest, components(garment), colors)
            )
            self._parts.append((surface, garment.rest, garment.weights))
        faces = self.body.model.faces
        visible = faces[~hidden[faces].all(1)]
        skin = scene.add_mesh(visible, self.body.rest_vertices, self._skin_colors(outfit), specular=0.12)
        self._parts.append((skin, self.body.rest_vertices, self.body.model.weights))
        self.sole_height = self._sole_height()

    def _sole_height(self) -> float:
        """Lowest point of the shoes in the T-pose with the pelvis at its rest place: m."""
        identity = np.broadcast_to(np.eye(3), (24, 3, 3))
        _, rest, weights = self._parts[1]
        return float(self.body.skin(rest, weights, identity, self.body.rest_joints[0])[:, 1].min())

    def _skin_colors(self, outfit: Outfit) -> Float:
        """Skin with a little mottling, red lips, white eyes with dark irises: (V, 3)."""
        body, model = self.body, self.body.model
        mottle = gaussian_filter1d(np.random.default_rng(0).normal(size=len(body.rest_vertices)), 3)
        colors = np.array(outfit.skin) * (1 + 0.06 * mottle[:, None])
        lips = model.weights[:, [model.bone(b) for b in LIP_BONES]].sum(1)
        lips[BODY_VERTICES:] = 0
        colors *= 1 - np.clip(lips[:, None] * 1.2, 0, 1) * np.array([0.12, 0.38, 0.35])
        eyes = np.arange(*EYES)
        ball = body.rest_vertices[eyes]
        for side in (1, -1):
            one = eyes[np.sign(ball[:, 0]) == side]
            points = body.rest_vertices[one]
            center = points.mean(0)
            off_axis = np.linalg.norm(points[:, :2] - center[:2], axis=1)
            front = points[:, 2] > center[2]
            colors[one] = (0.93, 0.92, 0.9)
            colors[one[front & (off_axis < 0.0065)]] = (0.12, 0.09, 0.07)
        return colors

    def pose(self, R_parent_joint: Float, p_root: Float) -> Float:
        """Moves all meshes; gives the points (N, 3) m that cast the shadow."""
        points = []
        for surface, rest, weights in self._parts:
            moved = self.body.skin(rest, weights, R_parent_joint, p_root)
            surface.move(moved)
            points.append(moved[:BODY_VERTICES])
        return np.concatenate(points)


def _part_colors(rest: Float, labels: NDArray[np.int64], colors: tuple[Color, ...]) -> Float:
    """A colour for each vertex (N, 3): a suit's parts take the colours in order of height, from the top."""
    parts = sorted(np.unique(labels), key=lambda part: -float(rest[labels == part, 1].mean()))
    painted = np.zeros((len(rest), 3))
    for rank, part in enumerate(parts):
        painted[labels == part] = colors[min(rank, len(colors) - 1)]
    return painted
