"""Training samples of the learned capture: rendered ones, and ones that never were a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocap.body.landmarks import LANDMARK
from mocap.body.skeleton import JOINT
from mocap.body.torch_figure import Figure
from mocap.body.torch_rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mocap.config import option
from mocap.models.token_capture import UNKNOWN_PITCH
from training.capture.landmark_noise import LandmarkNoise
from training.capture.truth import FLIP_YZ, SWAP_LANDMARKS, Seen, Truth
from training.datasets.corpus import Corpus
from training.datasets.mixture import Poses
from training.datasets.windows import Windows
from training.synthesis.people import turned_to
from training.synthesis.views import ViewConfig, Views, random_headings, random_views

_HIPS = [LANDMARK["left_hip"], LANDMARK["right_hip"]]
_LIMBS = torch.zeros(3, 33, dtype=torch.bool)  # all landmarks, those of the arms, of the legs
_LIMBS[0], _LIMBS[1, 11:23], _LIMBS[2, 23:] = True, True, True
_LEGS = [JOINT[f"{side}_{name}"] for side in ("left", "right") for name in ("hip", "knee", "ankle")]
_STRAIGHT = 0.25  # share of people whose legs are stretched
_DRAWN = 4  # stretches of motion of which the liveliest is taken
_LEG = [JOINT["pelvis"], JOINT["left_hip"], JOINT["left_knee"], JOINT["left_ankle"]]


@dataclass(frozen=True)
class Knowledge:
    """What is left out of the input, or known beside the landmarks, at random."""

    without_world: float = option(0.15, "share of frames without world landmarks", "SHARE", low=0, high=1)
    without_depth: float = option(0.15, "share without the landmarks' depth in the picture", "SHARE", low=0, high=1)
    without_some: float = option(0.15, "share that lack a random part of the landmarks", "SHARE", low=0, high=1)
    with_shape: float = option(0.5, "share with a notion of the person's shape", "SHARE", low=0, high=1)
    with_pitch: float = option(0.5, "share with the camera's pitch known", "SHARE", low=0, high=1)
    without_image: float = option(0.25, "share of pictures that it does not see", "SHARE", low=0, high=1)
    focal: float = option(0.1, "standard deviation of the log of the error of the focal length", "SD", low=0)
    exchanged: float = option(
        0.1, "share of clips with left and right exchanged for a while (all, arms or legs)", "SHARE", low=0, high=1
    )
    clearer: float = option(0.4, "share of clips with a part of BlazePose's errors taken away", "SHARE", low=0, high=1)
    mirror: float = option(0.3, "share seen in a mirror", "SHARE", low=0, high=1)


def inputs(
    truth: Truth, seen: Seen, knowledge: Knowledge, frames: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """The network's inputs (N, …) of N frames, clips of so many; what a clip knows it knows in all of its frames."""
    count = len(truth) // frames

    def some(share: float) -> Tensor:
        return (torch.rand(count, generator=generator) < share).repeat_interleave(frames)

    px, world, visibility = seen.landmarks_px.clone(), seen.landmarks_world, seen.visibility
    if frames > 1:
        px, world, visibility = _exchanged(px, world, visibility, some(knowledge.exchanged), frames, generator)
    px[..., 2].masked_fill_(some(knowledge.without_depth)[:, None], 0)
    world = world.masked_fill(some(knowledge.without_world)[:, None, None], 0)
    lost = torch.rand(len(truth), 33, generator=generator) < torch.rand(len(truth), 1, generator=generator)
    visibility = torch.where(lost & some(knowledge.without_some)[:, None], -torch.ones(()), visibility)
    sure = torch.rand(count, 1, generator=generator) * (
        torch.rand(count, 1, generator=generator) < knowledge.with_shape
    )
    sure = sure.repeat_interleave(frames, 0)
    off = torch.randn(count, 10, generator=generator).repeat_interleave(frames, 0)
    betas = sure.sqrt() * (sure.sqrt() * truth.betas + (1 - sure).sqrt() * off)
    focal = truth.focal_px * (knowledge.focal * torch.randn(count, generator=generator).repeat_interleave(frames)).exp()
    pitch = torch.where(some(knowledge.with_pitch), truth.pitch, torch.tensor(UNKNOWN_PITCH))
    return {
        "landmarks_px": px,
        "landmarks_world": world,
        "visibility": visibility,
        "roi": seen.roi,
        "camera": torch.stack([focal, *(0.5 * truth.size_px.T), pitch], 1),
        "shape": torch.cat([betas, sure], 1),
        "image": seen.features.masked_fill(some(knowledge.without_image)[:, None, None], 0).float(),
    }


def clearer(truth: Truth, seen: Seen, knowledge: Knowledge, frames: int, generator: torch.Generator) -> Seen:
    """Takes a random part of BlazePose's errors away, in some of the clips: it sees real people, on whom it was
    trained, better than rendered ones.
    """
    count = len(truth) // frames
    error = torch.rand(count, 1, 1, generator=generator)
    error = torch.where(torch.rand(count, 1, 1, generator=generator) < knowledge.clearer, error, torch.ones(()))
    error = torch.where(seen.there[:, None, None], error.repeat_interleave(frames, 0), torch.ones(()))
    points = truth.p_camera_landmark
    px = torch.lerp(truth.project(points), seen.landmarks_px[..., :2], error)
    world = torch.lerp(points - points[:, _HIPS].mean(1, keepdim=True), seen.landmarks_world, error)
    return replace(seen, landmarks_px=torch.cat([px, seen.landmarks_px[..., 2:]], -1), landmarks_world=world)


def _stretched(R: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Leg rotations (N, joints, 3, 3), in a share of the clips nearly those of somebody who stands straight: people
    before cameras do so more often than motion capture has it.
    """
    bend = 0.3 * torch.rand(count, 1, 1, generator=generator)
    bend = torch.where(torch.rand(count, 1, 1, generator=generator) < _STRAIGHT, bend, torch.ones(()))
    bend = bend.repeat_interleave(len(R) // count, 0)
    return torch.where(bend[..., None] < 1, axis_angle_to_matrix(bend * matrix_to_axis_angle(R)), R)


def _exchanged(
    px: Tensor, world: Tensor, visibility: Tensor, clips: Tensor, frames: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """What BlazePose says of N frames with left and right exchanged, in a stretch of the ``clips`` (N,) bool."""
    count = len(px) // frames
    first, last = (frames * torch.rand(2, count, 1, generator=generator)).sort(0).values
    number = torch.arange(frames)
    during = ((number >= first.floor()) & (number <= last)).flatten() & clips
    limbs = _LIMBS[torch.randint(len(_LIMBS), (count,), generator=generator)].repeat_interleave(frames, 0)
    which = during[:, None] & limbs
    wide = which[..., None]
    return (
        torch.where(wide, px[:, SWAP_LANDMARKS], px),
        torch.where(wide, world[:, SWAP_LANDMARKS], world),
        torch.where(which, visibility[:, SWAP_LANDMARKS], visibility),
    )


def _motion(corpus: Corpus, rows: NDArray[np.int64]) -> NDArray[np.floating]:
    """How much joints turn from one to the next of ``rows`` (N, frames), (N,) rad in the mean."""
    quats = np.asarray(corpus.quats[rows], np.float32)
    here, there = quats[:, :-1], quats[:, 1:]
    chord = np.minimum(np.linalg.norm(there - here, axis=-1), np.linalg.norm(there + here, axis=-1))
    return np.asarray(2 * chord.mean((1, 2)))


class Stream:
    """People of the corpus before random cameras, as BlazePose would see them; no picture is made.

    Args:
        frames: of a clip; 1: unrelated frames.
        lively: share of the clips that are the liveliest of four.
    """

    def __init__(
        self, corpus: Corpus, split: str, figure: Figure, noise: LandmarkNoise, frames: int, lively: float = 0.0
    ) -> None:
        self.corpus, self.split, self.figure, self.noise, self.frames = corpus, split, figure, noise, frames
        self.lively = lively
        self.views, self._poses = ViewConfig(), Poses(corpus, split)
        self._windows: dict[int, Windows] = {}

    def __call__(self, count: int, generator: torch.Generator) -> tuple[Truth, Seen, Tensor]:
        """So many clips (or frames, if clips have one): truth, what is seen, and the time (count, frames) s."""
        if self.frames == 1:
            rows = self._poses(count, generator)
            stride = torch.ones(count, dtype=torch.int64)
        else:
            stride = 2 ** torch.randint(0, 3, (count,), generator=generator)
            rows = torch.stack([self._clip(int(step), generator) for step in stride]).flatten()
        truth = self._people(rows, count, generator)
        if self.frames == 1:
            seen = self.noise.frames(truth, generator)
        else:
            seen = self.noise.sequences(truth, self.frames, stride, generator)
        return truth, seen, stride[:, None] * torch.arange(self.frames) / 30.0

    def _clip(self, stride: int, generator: torch.Generator) -> Tensor:
        length = (self.frames - 1) * stride + 1
        windows = self._windows.setdefault(length, Windows(self.corpus, self.split, length))
        lively = float(torch.rand((), generator=generator)) < self.lively
        rows = windows(_DRAWN if lively else 1, generator)[:, ::stride]
        return torch.from_numpy(rows[int(_motion(self.corpus, rows).argmax()) if lively else 0])

    def _people(self, rows: Tensor, count: int, generator: torch.Generator) -> Truth:
        frames = self.frames
        R = self.corpus.rotations(rows.numpy())
        R[:, _LEGS] = _stretched(R[:, _LEGS], count, generator)
        middle = R.unflatten(0, (count, frames))[:, frames // 2, 0]
        heading = random_headings(count, self.views, generator)
        turn = (turned_to(middle, heading) @ middle.mT).repeat_interleave(frames, 0)
        R[:, 0] = turn @ R[:, 0]
        betas = torch.randn(count, 10, generator=generator).repeat_interleave(frames, 0)
        root = torch.zeros(len(rows), 3)
        if frames > 1:
            root = torch.as_tensor(self.corpus.roots[rows.numpy()], dtype=torch.float32)
            root = (turn @ root[..., None])[..., 0] * self._leg(betas) / self._leg(torch.zeros_like(betas))
        joints, _ = self.figure(R, betas)
        joints = joints + root[:, None]
        views = random_views(joints.unflatten(0, (count, frames))[:, frames // 2], self.views, generator)
        if frames > 1:
            parts = (views.size_px, views.focal_px, views.R_camera_world, views.p_world_camera)
            views = Views(*(part.repeat_interleave(frames, 0) for part in parts))
        R[:, 0] = FLIP_YZ @ views.R_camera_world @ R[:, 0]
        p_camera_root = views.to_camera(root[:, None])[:, 0]
        return Truth.of(self.figure, R, betas, p_camera_root, views.focal_px, views.size_px, views.pitch)

    def _leg(self, betas: Tensor) -> Tensor:
        rest = self.figure.joints[_LEG] + (self.figure.joint_directions[_LEG] @ betas[..., None, :, None])[..., 0]
        return rest.diff(dim=1).norm(dim=-1).sum(1, keepdim=True)
