"""What BlazePose sees of synthetic people, with the exact truth: single frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

import engines
from mocap.body.model import load_body
from mocap.body.skeleton import JOINT
from mocap.body.torch_kinematics import with_hands
from mocap.config import option
from mocap.people.landmarks import Observation, observe
from mocap.people.roi import is_usable, roi_from_points
from mocap.types import Roi
from training.datasets.corpus import Corpus
from training.synthesis.backgrounds import random_background
from training.synthesis.looks import random_look
from training.synthesis.people import People, Wardrobe, turned_to
from training.synthesis.renderer import Image, Lighting, Renderer
from training.synthesis.views import ViewConfig, random_headings, random_views

_REACH = 1.05  # half the square's side without margin, times the farthest joint from the hips
_JITTER = 0.06  # of the first square, share of its side


@dataclass(frozen=True)
class PairConfig:
    """How single frames are made."""

    longest_px: int = option(640, "longer side of the rendered picture", "PX", low=64)
    shape_sd: float = option(1.0, "standard deviation of the betas", "SD", low=0)
    least_score: float = option(0.5, "a person that the network is less sure of is dropped, as the tracker does", low=0)


@dataclass(frozen=True)
class Pair:
    """One frame."""

    picture: Image
    scale: float  # pixels of the camera for one of the picture
    seen: Observation  # in pixels of the picture


class PairMaker:
    """Frames of one split of the corpus. One in each process, one thread."""

    def __init__(self, corpus: Corpus, split: str, landmarker: engines.Engine, config: PairConfig) -> None:
        self.corpus, self.rows, self.config = corpus, corpus.rows(split), config
        self.landmarker, self.views = landmarker, ViewConfig()
        self.body = load_body()
        self.wardrobe = Wardrobe(self.body)
        self._renderers: dict[tuple[int, int], Renderer] = {}

    def people(self, count: int, seed: int) -> tuple[People, NDArray[np.int64]]:
        """Bodies of random poses, shapes and headings before random cameras, and their rows in the corpus."""
        generator = torch.Generator().manual_seed(seed)
        rows = self.rows[torch.randint(len(self.rows), (count,), generator=generator).numpy()]
        R = with_hands(self.corpus.rotations(rows))
        R[:, 0] = turned_to(R[:, 0], random_headings(count, self.views, generator))
        betas = self.config.shape_sd * torch.randn(count, 10, generator=generator)
        joints = self.body.joints(R, torch.zeros(count, 3), betas)
        return People(R, betas, joints, random_views(joints, self.views, generator)), rows

    def frame(self, people: People, index: int, rng: np.random.Generator) -> Pair | None:
        """Render one of them and look at it; None where the network finds nobody."""
        picture = self._picture(people, index, rng)
        height, width = picture.shape[:2]
        scale = float(people.views.size_px[index, 0]) / width
        one = people.views.at(slice(index, index + 1))
        joints = one.project(one.to_camera(people.p_world_joint[index : index + 1]))[0].numpy() / scale
        seen = observe(self.landmarker, picture, [first_square(joints, rng)])[0]
        if not seen.is_finite:
            return None
        square = roi_from_points(*seen.axis_px)  # as the tracker, from what it saw before
        if not is_usable(square, width, height):
            return None
        seen = observe(self.landmarker, picture, [square])[0]
        return Pair(picture, scale, seen) if seen.is_finite and seen.score >= self.config.least_score else None

    def _picture(self, people: People, index: int, rng: np.random.Generator) -> Image:
        size = people.views.size_px[index].numpy()
        scale = self.config.longest_px / size.max()
        width, height = (round(float(side * scale)) for side in size)
        renderer = self._renderers.get((width, height))
        if renderer is None:
            renderer = self._renderers[width, height] = Renderer(width, height)
        mesh = self.wardrobe.mesh(people, index, random_look(self.wardrobe.parts, rng))
        background = random_background(width, height, rng)
        return renderer(background, [mesh], float(people.views.focal_px[index]) * scale, random_lighting(rng))


def first_square(joints_px: NDArray[np.floating], rng: np.random.Generator) -> Roi:
    """Roughly the square that the landmark network was trained with, from joints (24, 2) px."""
    hips = joints_px[[JOINT["left_hip"], JOINT["right_hip"]]].mean(0)
    shoulders = joints_px[[JOINT["left_shoulder"], JOINT["right_shoulder"]]].mean(0)
    up = shoulders - hips
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    reach = _REACH * float(np.linalg.norm(joints_px - hips, axis=1).max())
    center = hips + _JITTER * reach * rng.standard_normal(2)
    return roi_from_points(center, center + up * reach * float(np.exp(_JITTER * rng.standard_normal())))


def random_lighting(rng: np.random.Generator) -> Lighting:
    """Three lamps, mostly from above and from the camera's side."""
    towards = rng.normal((0, -0.6, -0.6), (0.8, 0.5, 0.6), (3, 3))
    strength = rng.uniform(0.1, 0.6, (3, 1)) * (1 + 0.12 * rng.standard_normal((3, 3)))
    ambient = rng.uniform(0.2, 0.6) * (1 + 0.05 * rng.standard_normal(3))
    directions = towards / np.linalg.norm(towards, axis=1, keepdims=True)
    return Lighting(directions, np.clip(strength, 0, 1), ambient, gloss=rng.uniform(0, 0.08))
