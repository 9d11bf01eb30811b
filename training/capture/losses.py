"""Losses of the learned capture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mocap.body.model import load_body
from mocap.body.skeleton import JOINT, PARENTS
from mocap.body.torch_figure import Figure
from mocap.body.torch_kinematics import with_hands
from mocap.config import option
from mocap.models.regressor import root_in_camera
from mocap.models.tokenizer import PoseTokenizer
from training.capture.truth import FLIP_YZ, Truth

_FEET = [JOINT["left_foot"], JOINT["right_foot"]]
_STILL_M_S = 0.2  # a foot slower than this stands
_SOME = 7  # the tokens' cross-entropy, half of a step's time, is taken of every seventh frame


@dataclass(frozen=True)
class CaptureLossWeights:
    """Weights. Distances are L1, in matrix entries, metres and squares."""

    tokens: float = option(0.3, "cross-entropy of the tokens, soft labels (VQ-HPS, Eq. 6)", low=0)
    rotation: float = option(10.0, "local rotations", low=0)
    root: float = option(10.0, "the pelvis' rotation", low=0)
    joints: float = option(60.0, "joints and landmarks from the rotations and the shape, pelvis at 0", low=0)
    aligned: float = option(60.0, "joints after the similarity transform that fits them best, as PA-MPJPE", low=0)
    vertices: float = option(30.0, "mesh, pelvis at 0", low=0)
    bones: float = option(20.0, "bone lengths at rest", low=0)
    picture: float = option(60.0, "joints and landmarks in the picture", low=0)
    betas: float = option(0.2, "squared error of the shape", low=0)
    contact: float = option(0.2, "cross-entropy of the feet that stand; clips alone", low=0)
    velocity: float = option(0.0, "velocity of joints and landmarks, m/s; clips alone", low=0)
    acceleration: float = option(0.0, "their acceleration, m/s²; clips alone", low=0)
    lag: float = option(0.0, "how long they trail the truth, s; clips alone", low=0)


class CaptureLoss(nn.Module):
    """Compares the heads' outputs with the truth; has to be on their device."""

    level: Tensor

    def __init__(self, weights: CaptureLossWeights, tokenizer: PoseTokenizer, vertices: int = 96) -> None:
        super().__init__()
        self.weights, self.figure, self.body = weights, Figure(), load_body()
        self.register_buffer("level", FLIP_YZ, persistent=False)
        generator = torch.Generator().manual_seed(0)
        self.at = torch.randperm(self.body.num_vertices, generator=generator)[:vertices]
        self.tokenizer = tokenizer
        codes = tokenizer.quantizer.codebook
        nearest = torch.cdist(codes, codes).fill_diagonal_(torch.inf).amin(1)
        self.spread = 2 * float(nearest.square().median())

    def forward(
        self, out: dict[str, Tensor], truth: Truth, seen: dict[str, Tensor], there: Tensor, t: Tensor | None
    ) -> dict[str, Tensor]:
        """Terms, means over the frames (N,) bool that are ``there``; ``loss`` is their weighted sum.

        Args:
            out: The heads' outputs of N frames.
            truth: N frames.
            seen: The network's inputs.
            there: (N,) bool.
            t: (clips, frames) s; None: unrelated frames.
        """
        weights, share = self.weights, there.float() / there.float().mean().clamp_min(1e-3)

        def mean(error: Tensor) -> Tensor:
            return (error.flatten(1).mean(1) * share).mean()

        looked = (seen["visibility"] >= 0).any(1).float()
        R, betas = out["R"].float(), out["betas"].float()
        joints, landmarks = self.figure(R, betas)
        true = torch.cat([truth.p_camera_joint, truth.p_camera_landmark], 1)
        true = (true - truth.p_camera_joint[:, :1]) @ self.level
        true_joints = true[:, : joints.shape[1]]
        points = torch.cat([joints, landmarks], 1)
        root = root_in_camera(out["camera"].float(), seen["roi"], seen["camera"])
        picture, true_picture = _in_square(points @ self.level + root[:, None], truth, seen)
        some = slice(None, None, _SOME)
        terms = {
            "rotation": mean((R[:, 1:] - truth.R[:, 1:]).abs()),
            "root": mean((R[:, 0] - truth.R[:, 0]).abs()),
            "joints": mean((points - true).abs()),
            "aligned": mean((_aligned(joints, true_joints) - true_joints).abs()),
            "vertices": mean((self._vertices(R, betas) - self._vertices(truth.R, truth.betas)).abs()),
            "bones": mean((self._bones(betas) - self._bones(truth.betas)).abs()),
            # Where nobody is seen there is no square either.
            "picture": mean((picture - true_picture).abs().clamp_max(2) * looked[:, None, None]),
            "betas": mean((betas - truth.betas).square()),
        }
        if "logits" in out:
            terms["tokens"] = self._tokens(out["logits"][some], truth.R[some, 1:], share[some])
        if t is not None:
            terms |= self._moving(points, true, out["contact"].float(), truth, there, t)
        loss = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
        return {"loss": loss, **terms}

    def _tokens(self, logits: Tensor, R: Tensor, share: Tensor) -> Tensor:
        """Cross-entropy; labels spread over the codes near the encoder's latent, since codes lie close."""
        with torch.no_grad():
            latent = self.tokenizer.latent(R).float().transpose(1, 2)
            codes = self.tokenizer.quantizer.codebook
            distance = codes.square().sum(1) - 2 * latent @ codes.T
            labels = (-distance / self.spread).softmax(-1)
        crossed = -(labels * logits.float().log_softmax(-1)).sum(-1)
        return (crossed.mean(1) * share).sum() / share.sum().clamp_min(1e-3)

    def _vertices(self, R: Tensor, betas: Tensor) -> Tensor:
        return self.body.vertices(with_hands(R), torch.zeros_like(betas[:, :3]), betas, self.at)

    def _bones(self, betas: Tensor) -> Tensor:
        rest = self.figure.joints + (self.figure.joint_directions @ betas[:, None, :, None])[..., 0]
        return _lengths(rest)

    def _moving(
        self, points: Tensor, true: Tensor, contact: Tensor, truth: Truth, there: Tensor, t: Tensor
    ) -> dict[str, Tensor]:
        shape = t.shape
        dt = t.diff(dim=1)[..., None, None]
        error = (points - true).unflatten(0, shape)
        both = there.unflatten(0, shape)
        pair = (both[:, 1:] & both[:, :-1]).float()[..., None, None]
        velocity = error.diff(dim=1) / dt
        three = pair[:, 1:] * pair[:, :-1]
        acceleration = velocity.diff(dim=1) / dt[:, 1:]
        feet = truth.p_camera_joint.unflatten(0, shape)[:, :, _FEET]
        still = ((feet.diff(dim=1) / dt).norm(dim=-1) < _STILL_M_S).float()
        contact = contact.unflatten(0, shape)[:, 1:]
        crossed = F.binary_cross_entropy_with_logits(contact, still, reduction="none")[..., None]
        return {
            "velocity": (velocity.abs() * pair).mean(),
            "acceleration": (acceleration.abs() * three).mean(),
            "contact": (crossed * pair).mean(),
            "lag": _lag(error, true.unflatten(0, shape).diff(dim=1) / dt, pair),
        }


def _lag(error: Tensor, velocity: Tensor, pair: Tensor) -> Tensor:
    """Mean time (s) by which points trail: minus the slope of their errors (clips, frames, n, 3) m over their
    velocities (clips, frames - 1, n, 3) m/s, which a delay of a second makes 1 s and noise leaves at 0.
    """
    middle = 0.5 * (error[:, 1:] + error[:, :-1])
    along = -(middle * velocity * pair).sum((0, 1, 3)) / (velocity.square() * pair).sum((0, 1, 3)).clamp_min(1e-3)
    return along.relu().mean()


def _aligned(points: Tensor, true: Tensor) -> Tensor:
    """Points (N, n, 3) m after the similarity transform that fits them best to the true ones in least squares.

    The transform counts as a constant: at the best one the squared error does not change with it.
    """
    moved, middle = points - points.mean(1, keepdim=True), true.mean(1, keepdim=True)
    with torch.no_grad():
        U, S, Vh = torch.linalg.svd((true - middle).mT @ moved)
        sign = torch.ones_like(S)
        sign[:, 2] = torch.linalg.det(U @ Vh).sign()
        scale = (S * sign).sum(1) / moved.square().sum((1, 2)).clamp_min(1e-6)
        turn = scale[:, None, None] * ((U * sign[:, None]) @ Vh)
    return moved @ turn.mT + middle


def _in_square(p_camera: Tensor, truth: Truth, seen: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Joints and landmarks (N, 57, 2) in the square, in sides, through the camera that the network knows of; and the
    true ones."""
    focal, center = seen["camera"][:, None, :1], seen["camera"][:, None, 1:3]
    middle, side = seen["roi"][:, None, :2], seen["roi"][:, None, 2:3]
    px = p_camera[..., :2] / p_camera[..., 2:].clamp_min(0.1) * focal + center
    true = truth.project(torch.cat([truth.p_camera_joint, truth.p_camera_landmark], 1))
    return (px - middle) / side, (true - middle) / side


def _lengths(rest: Tensor) -> Tensor:
    """Bone lengths (..., 23) m of rest joints (..., 24, 3)."""
    return (rest[..., 1:, :] - rest[..., list(PARENTS[1:]), :]).norm(dim=-1)
