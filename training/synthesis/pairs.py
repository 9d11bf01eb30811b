"""What BlazePose sees of synthetic people, with the exact truth: single frames, and clips with the tracker on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

import engines
from mocap.body.model import load_body
from mocap.body.skeleton import JOINT
from mocap.body.torch_kinematics import with_hands
from mocap.config import option
from mocap.people.landmarks import Observation, observe
from mocap.people.picture import Picture
from mocap.people.roi import AxisFilter, is_usable, roi_from_points
from mocap.types import Roi
from training.datasets.corpus import Corpus
from training.datasets.mixture import Poses
from training.synthesis.looks import Look, random_look
from training.synthesis.people import People, Wardrobe, turned_to
from training.synthesis.renderer import Image, Lighting, Mesh, Renderer
from training.synthesis.scenery import Occluder, Scenery
from training.synthesis.views import ViewConfig, Views, random_headings, random_views
from training.synthesis.webcam import Webcam, random_webcam

Window = tuple[NDArray[np.floating], NDArray[np.floating]]  # upper left and lower right corner, (2,) px each
_REACH = 1.05  # half the square's side without margin, times the farthest joint from the hips
_JITTER = 0.06  # of the first square, share of its side
_UP_LEG = [JOINT["pelvis"], JOINT["left_hip"], JOINT["left_knee"], JOINT["left_ankle"]]


@dataclass(frozen=True)
class PairConfig:
    """How frames are made."""

    longest_px: int = option(512, "longer side of the rendered picture", "PX", low=64)
    shape_sd: float = option(1.0, "standard deviation of the betas", "SD", low=0)
    least_score: float = option(0.5, "a person that the network is less sure of is dropped, as the tracker does", low=0)
    company: float = option(0.15, "share of scenes with a second person", "SHARE", low=0, high=1)
    cut: float = option(0.0, "share of scenes of which only a window around the person is left", "SHARE", low=0, high=1)
    fps: float = option(30.0, "frames per second of clips", "HZ", low=1)


@dataclass(frozen=True)
class Pair:
    """One frame."""

    picture: Image
    scale: float  # pixels of the camera for one of the picture
    seen: Observation  # in pixels of the picture
    cut: bool  # only a window of the picture was left


@dataclass(frozen=True)
class Scene:
    """What stays the same over the frames of a clip."""

    width: int  # px, of the picture
    height: int
    scale: float  # pixels of the camera for one of the picture
    look: Look
    room: Image
    lighting: Lighting
    webcam: Webcam
    occluders: list[Occluder]
    company: list[Mesh]  # a second person, standing still
    window: Window | None  # all that is left of the picture


class PairMaker:
    """Frames of one split of the corpus. One in each process, one thread."""

    def __init__(self, corpus: Corpus, split: str, landmarker: engines.Engine, config: PairConfig) -> None:
        self.corpus, self.config, self._poses = corpus, config, Poses(corpus, split)
        self.landmarker, self.views = landmarker, ViewConfig()
        self.body = load_body()
        self.wardrobe = Wardrobe(self.body)
        self._renderers: dict[tuple[int, int], Renderer] = {}

    def people(self, count: int, seed: int) -> tuple[People, NDArray[np.int64]]:
        """Bodies of random poses, shapes and headings before random cameras, and their rows in the corpus."""
        generator = torch.Generator().manual_seed(seed)
        rows = self._poses(count, generator).numpy()
        R = with_hands(self.corpus.rotations(rows))
        R[:, 0] = turned_to(R[:, 0], random_headings(count, self.views, generator))
        betas = self.config.shape_sd * torch.randn(count, 10, generator=generator)
        joints = self.body.joints(R, torch.zeros(count, 3), betas)
        return People(R, betas, joints, random_views(joints, self.views, generator)), rows

    def actor(self, rows: NDArray[np.int64], seed: int) -> People:
        """One person in consecutive frames (``rows`` of the corpus) before one camera, framed as in the middle one."""
        generator = torch.Generator().manual_seed(seed)
        count, middle = len(rows), len(rows) // 2
        R = with_hands(self.corpus.rotations(rows))
        root = torch.from_numpy(np.array(self.corpus.roots[rows], np.float32))
        betas = (self.config.shape_sd * torch.randn(1, 10, generator=generator)).expand(count, -1)
        turned = turned_to(R[middle : middle + 1, 0], random_headings(1, self.views, generator))
        turn = turned @ R[middle : middle + 1, 0].mT
        R[:, 0] = turn @ R[:, 0]
        root = (turn @ root[..., None])[..., 0] * self._leg(betas) / self._leg(torch.zeros_like(betas))
        joints = self.body.joints(R, root, betas)
        one = random_views(joints[middle : middle + 1], self.views, generator)
        views = Views(*(part.expand(count, *part.shape[1:]) for part in (
            one.size_px, one.focal_px, one.R_camera_world, one.p_world_camera
        )))  # fmt: skip
        return People(R, betas, joints, views)

    def frame(self, people: People, index: int, scenery: Scenery, rng: np.random.Generator) -> Pair | None:
        """Render one of them and look at it; None where the network finds nobody."""
        scene = self._scene(people, index, scenery, rng)
        picture = self._picture(people, index, scene, rng)
        seen = self._look(picture, first_square(self._joints_px(people, index, scene), rng))
        if seen is None:
            return None
        seen = self._look(picture, roi_from_points(*seen.axis_px))  # as the tracker, from what it saw before
        if seen is None or seen.score < self.config.least_score:
            return None
        return Pair(picture, scene.scale, seen, scene.window is not None)

    def clip(self, people: People, scenery: Scenery, rng: np.random.Generator) -> list[Pair | None]:
        """All of them as the frames of one clip, each seen in the square that the frame before gave, filtered as the
        tracker does; who is lost is found again a frame later.
        """
        scene = self._scene(people, 0, scenery, rng)
        axis: AxisFilter | None = None
        pairs: list[Pair | None] = []
        for index in range(len(people.betas)):
            picture, t = self._picture(people, index, scene, rng), index / self.config.fps
            square = first_square(self._joints_px(people, index, scene), rng)
            if axis is not None:
                square = roi_from_points(*axis.smooth)
            seen = self._look(picture, square)
            if seen is None or seen.score < self.config.least_score:
                axis = None
                pairs.append(None)
                continue
            if axis is None:
                axis = AxisFilter.start(t, seen.axis_px)
            else:
                axis.update(t, seen.axis_px)
            pairs.append(Pair(picture, scene.scale, seen, scene.window is not None))
        return pairs

    def _leg(self, betas: torch.Tensor) -> torch.Tensor:
        """(B, 1) m, pelvis to ankle at rest."""
        joints = self.body.rest_joints(betas)[:, _UP_LEG]
        return joints.diff(dim=1).norm(dim=-1).sum(1, keepdim=True)

    def _look(self, picture: Image, square: Roi) -> Observation | None:
        if not is_usable(square, picture.shape[1], picture.shape[0]):
            return None
        seen = observe(self.landmarker, Picture(picture), [square])[0]
        return seen if seen.is_finite else None

    def _joints_px(self, people: People, index: int, scene: Scene) -> NDArray[np.floating]:
        one = people.views.at(slice(index, index + 1))
        joints = one.project(one.to_camera(people.p_world_joint[index : index + 1]))
        return np.asarray(joints[0].numpy() / scene.scale)

    def _scene(self, people: People, index: int, scenery: Scenery, rng: np.random.Generator) -> Scene:
        size = people.views.size_px[index].numpy()
        scale = size.max() / self.config.longest_px
        width, height = (round(float(side / scale)) for side in size)
        scene = Scene(
            width, height, float(scale), random_look(self.wardrobe.parts, rng), scenery.room(width, height, rng),
            random_lighting(rng), random_webcam(rng), [], [], None,
        )  # fmt: skip
        joints = self._joints_px(people, index, scene)
        occluders = scenery.occluders(joints, width, height, rng)
        company = [self._other(people, index, rng)] if rng.random() < self.config.company else []
        cut = self.config.cut > 0 and rng.random() < self.config.cut
        window = random_window(joints, width, height, rng) if cut else None
        return replace(scene, occluders=occluders, company=company, window=window)

    def _other(self, people: People, index: int, rng: np.random.Generator) -> Mesh:
        """Somebody of another pose beside, mostly behind, one of the people."""
        R = with_hands(self.corpus.rotations(self._poses.rows[rng.integers(len(self._poses.rows), size=1)].numpy()))
        betas = torch.from_numpy(rng.standard_normal((1, 10)).astype(np.float32))
        views = people.views.at(slice(index, index + 1))
        aside = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.3)
        there = views.R_camera_world[0].T.numpy() @ np.array([aside, 0.0, rng.uniform(-0.4, 1.5)], np.float32)
        level = np.array([1, 0, 1], np.float32)
        root = people.p_world_joint[index, :1] + torch.from_numpy(there.astype(np.float32) * level)
        one = People(R, betas, self.body.joints(R, root, betas), views)
        return self.wardrobe.mesh(one, 0, random_look(self.wardrobe.parts, rng))

    def _picture(self, people: People, index: int, scene: Scene, rng: np.random.Generator) -> Image:
        size = scene.width, scene.height
        renderer = self._renderers.get(size)
        if renderer is None:
            renderer = self._renderers[size] = Renderer(*size)
        meshes = [self.wardrobe.mesh(people, index, scene.look), *scene.company]
        focal = float(people.views.focal_px[index]) / scene.scale
        picture = renderer(scene.room, meshes, focal, scene.lighting)
        for occluder in scene.occluders:
            occluder(picture)
        if scene.window is not None:
            picture = only(picture, *scene.window)
        return scene.webcam(picture, rng)


def first_square(joints_px: NDArray[np.floating], rng: np.random.Generator) -> Roi:
    """Roughly the square that the landmark network was trained with, from joints (24, 2) px."""
    hips = joints_px[[JOINT["left_hip"], JOINT["right_hip"]]].mean(0)
    shoulders = joints_px[[JOINT["left_shoulder"], JOINT["right_shoulder"]]].mean(0)
    up = shoulders - hips
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    reach = _REACH * float(np.linalg.norm(joints_px - hips, axis=1).max())
    center = hips + _JITTER * reach * rng.standard_normal(2)
    return roi_from_points(center, center + up * reach * float(np.exp(_JITTER * rng.standard_normal())))


def random_window(joints_px: NDArray[np.floating], width: int, height: int, rng: np.random.Generator) -> Window:
    """A part of the box around joints (N, 2) px: from 0.4 to all of each side, anywhere."""
    joints = np.clip(joints_px, 0, [width, height])
    low, high = joints.min(0), joints.max(0)
    margin = 0.15 * float((high - low).max())
    low, high = low - margin, high + margin
    size = (high - low) * rng.uniform(0.4, 1.0, 2)
    start = low + rng.random(2) * (high - low - size)
    return start, start + size


def only(picture: Image, low: NDArray[np.floating], high: NDArray[np.floating]) -> Image:
    """The picture with the window from ``low`` to ``high`` (2,) px, all else its border's pixels."""
    height, width = picture.shape[:2]
    left, top = np.clip(np.floor(low), 0, [width - 8, height - 8]).astype(int)
    right, bottom = np.clip(np.ceil(high), [left + 8, top + 8], [width, height]).astype(int)
    window = np.ascontiguousarray(picture[top:bottom, left:right])
    return np.asarray(
        cv2.copyMakeBorder(window, top, height - bottom, left, width - right, cv2.BORDER_REPLICATE), np.uint8
    )


def random_lighting(rng: np.random.Generator) -> Lighting:
    """Three lamps, mostly from above and from the camera's side."""
    towards = rng.normal((0, -0.6, -0.6), (0.8, 0.5, 0.6), (3, 3))
    strength = rng.uniform(0.1, 0.6, (3, 1)) * (1 + 0.12 * rng.standard_normal((3, 3)))
    ambient = rng.uniform(0.2, 0.6) * (1 + 0.05 * rng.standard_normal(3))
    directions = towards / np.linalg.norm(towards, axis=1, keepdims=True)
    return Lighting(directions, np.clip(strength, 0, 1), ambient, gloss=rng.uniform(0, 0.08))
