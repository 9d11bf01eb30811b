"""The learned regressor: landmarks (and image features) of one frame -> tokens of joints -> an SMPL pose.

Four ideas meet: tokens of the landmarks, one for each part of the body (PostoMETRO's pose tokens), tokens of the image,
and learned tokens for 24 joints, shape and camera (INT's independent tokens) in one transformer; the body pose as
logits over the pose tokenizer's codes, mixed and decoded (TokenHMR, Eq. 7). Between tokens and heads a temporal
transformer may stand.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocap.body.landmarks import NUM_LANDMARKS
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS
from mocap.body.torch_rotations import columns6d_to_matrix
from mocap.config import option
from mocap.models.layers import TransformerBlock
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig

SHAPE, CAMERA = NUM_JOINTS, NUM_JOINTS + 1  # places of these two after the joints' tokens
NUM_QUERIES = NUM_JOINTS + 2
_LANDMARK_ENTRIES, _VIEW_ENTRIES = 10, 7
_SQUARE_M = 2.2
_BORDER = 0.2  # squares from the picture's border, beyond which it does not matter how far a landmark is
_MOST_PITCH = 1.6  # rad; one that is larger is none
_FARTHEST = 4.0  # squares, focal lengths, m: what lies farther is a network's mistake
# Landmarks of a part: face; shoulders, elbows, hands, hips, knees, feet, left and right.
PARTS: tuple[tuple[int, ...], ...] = (
    tuple(range(11)), (11,), (12,), (13,), (14,), (15, 17, 19, 21), (16, 18, 20, 22), (23,), (24,), (25,), (26,),
    (27, 29, 31), (28, 30, 32),
)  # fmt: skip


@dataclass(frozen=True)
class RegressorConfig:
    """Sizes."""

    width: int = option(128, "entries of a token, D", "D", low=1)
    depth: int = option(4, "transformer blocks", "N", low=1)
    heads: int = option(4, "of the attention", "N", low=1)
    expansion: int = option(2, "hidden width of the feed-forward part, times the width", "N", low=1)
    stem: int = option(
        0, "hidden width of a perceptron over all landmarks that the tokens start from; 0: none", "N", low=0
    )
    image_channels: int = option(0, "of the image features, 0: the network sees none", "N", low=0)
    image_places: int = option(16, "of the image features", "N", low=1)
    slot_width: int = option(64, "entries from which a pose token's logits come", "N", low=1)
    tokenized: bool = option(True, "pose tokens come before the rotations; off: they are told at once, to train faster")
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)


class TokenRegressor(nn.Module):
    """One frame of a person -> tokens (B, 26, D) of 24 joints, shape and camera.

    Everything is seen by a camera that is turned towards the middle of the square, as BlazePose sees it: where in the
    picture somebody stands does not matter, and its world landmarks are in these axes already.
    """

    part: Tensor

    def __init__(self, config: RegressorConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.query = nn.Parameter(0.02 * torch.randn(NUM_QUERIES, width))
        self.place = nn.Parameter(0.02 * torch.randn(len(PARTS), width))
        self.missing = nn.Parameter(torch.zeros(NUM_LANDMARKS, width))
        self.landmark = nn.Parameter(_LANDMARK_ENTRIES**-0.5 * torch.randn(NUM_LANDMARKS, _LANDMARK_ENTRIES, width))
        part = torch.zeros(len(PARTS), NUM_LANDMARKS)
        for row, landmarks in enumerate(PARTS):
            part[row, landmarks] = len(landmarks) ** -0.5
        self.register_buffer("part", part, persistent=False)
        entries = _LANDMARK_ENTRIES * NUM_LANDMARKS + _VIEW_ENTRIES + NUM_BETAS + 1
        self.stem = _perceptron(entries, config.stem, NUM_QUERIES * width) if config.stem else None
        self.view = nn.Linear(_VIEW_ENTRIES, width)
        self.shape = nn.Linear(NUM_BETAS + 1, width)
        self.image = _image_embedding(config.image_channels, width) if config.image_channels else None
        self.image_place = nn.Parameter(0.02 * torch.randn(config.image_places, width)) if self.image else None
        blocks = [TransformerBlock(width, config.heads, config.expansion) for _ in range(config.depth)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        landmarks_px: Tensor,
        landmarks_world: Tensor,
        visibility: Tensor,
        roi: Tensor,
        camera: Tensor,
        shape: Tensor,
        image: Tensor | None = None,
    ) -> Tensor:
        """Tokens.

        Args:
            landmarks_px: (B, 33, 3) px as in :class:`mocap.types.Person`, finite.
            landmarks_world: (B, 33, 3) m.
            visibility: (B, 33); below 0 the landmark is taken as not there.
            roi: (B, 4) centre x, y and side in px, rotation in rad.
            camera: (B, 4) focal length, centre x, y in px, pitch in rad (how far it looks down; :data:`mocap.models.
                token_capture.UNKNOWN_PITCH` where nobody knows it).
            shape: (B, 11) what is known of the betas, and how sure that is in [0, 1].
            image: (B, places, channels) features, zeros where there are none; needed if the network sees any.
        """
        R_view = view_rotation(roi, camera)
        focal, side = camera[:, None, :1], roi[:, None, 2:3].clamp_min(1)
        plane = seen_from(landmarks_px, camera, R_view)
        seen = visibility[..., None]
        entries = torch.cat(
            [plane * focal / side, landmarks_px[..., 2:] / side, plane, landmarks_world, seen], -1
        ).clamp(-_FARTHEST, _FARTHEST)
        inside = inside_picture(landmarks_px, camera) / side
        entries = torch.cat([entries, (inside / _BORDER).clamp(-1, 1)], -1)
        there = (seen >= 0).to(entries.dtype)
        each = (entries.transpose(0, 1) @ self.landmark).transpose(0, 1) * there + self.missing * (1 - there)
        landmarks = self.part @ each + self.place
        size = torch.log(side / focal)[:, 0].clamp(-6, 3)
        view = torch.cat([R_view[:, :2, 2], _up(camera, R_view), size, roi[:, 3:]], -1)
        extra = torch.stack([self.shape(shape), self.view(view)], 1)
        queries = torch.cat([self.query[:NUM_JOINTS].expand(len(extra), -1, -1), self.query[SHAPE:] + extra], 1)
        if self.stem is not None:
            everything = torch.cat([(entries * there).flatten(1), view, shape], 1)
            queries = queries + self.stem(everything).unflatten(1, (NUM_QUERIES, -1))
        parts = [queries, landmarks]
        if self.image is not None:
            assert image is not None
            parts.append(self.image(image) + self.image_place)
        tokens: Tensor = self.norm(self.blocks(torch.cat(parts, 1))[:, :NUM_QUERIES])
        return tokens


def _image_embedding(channels: int, width: int) -> nn.Module:
    return nn.Sequential(nn.LayerNorm(channels, elementwise_affine=False), nn.Linear(channels, width))


def _perceptron(entries: int, hidden: int, out: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(entries, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden),
        nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, out),
    )  # fmt: skip


def view_rotation(roi: Tensor, camera: Tensor) -> Tensor:
    """Camera axes from those of a camera that looks at the middle of the square (N, 3, 3), by the shortest turn."""
    ray = ((roi[:, :2] - camera[:, 1:3]) / camera[:, :1]).clamp(-_FARTHEST, _FARTHEST)
    x, y, z = F.normalize(F.pad(ray, (0, 1), value=1.0), dim=-1).unbind(-1)
    k = 1 / (1 + z)
    rows = [1 - k * x * x, -k * x * y, x, -k * x * y, 1 - k * y * y, y, -x, -y, z]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def root_in_camera(head: Tensor, roi: Tensor, camera: Tensor) -> Tensor:
    """The pelvis in camera axes (N, 3) m, from the camera head (N, 3), the square (N, 4) and focal length, centre x, y
    (N, 3 or more) px. For a camera that looks at the middle of the square the head says by how much (log) the depth
    differs from that of a square 2.2 m across, and how far from the middle, in sides, the pelvis is.
    """
    focal, side = camera[:, :1], roi[:, 2:3].clamp_min(1)
    depth = _SQUARE_M * focal / side * head[:, :1].clamp(-3, 3).exp()
    straight = F.pad(head[:, 1:] * side / focal, (0, 1), value=1.0) * depth
    return (view_rotation(roi, camera) @ straight[..., None])[..., 0]


def seen_from(landmarks_px: Tensor, camera: Tensor, R_view: Tensor) -> Tensor:
    """Picture coordinates over the focal length (N, 33, 2) of landmarks in a camera that is turned by ``R_view``."""
    rays = (landmarks_px[..., :2] - camera[:, None, 1:3]) / camera[:, None, :1]
    turned = F.pad(rays.clamp(-_FARTHEST, _FARTHEST), (0, 1), value=1.0) @ R_view
    return turned[..., :2] / turned[..., 2:].clamp_min(0.1)


def inside_picture(landmarks_px: Tensor, camera: Tensor) -> Tensor:
    """How far (N, 33, 1) px landmarks (N, 33, 3) are inside the picture, whose middle is the camera's (N, 4); below 0:
    outside, where a landmark network makes them up, mostly without saying so.
    """
    center = camera[:, None, 1:3]
    return (center - (landmarks_px[..., :2] - center).abs()).amin(-1, keepdim=True)


def _up(camera: Tensor, R_view: Tensor) -> Tensor:
    """The world's up (N, 3) in the axes of that camera; zeros where nobody knows the pitch."""
    pitch = camera[:, 3]
    up = torch.stack([torch.zeros_like(pitch), -pitch.cos(), -pitch.sin()], -1)
    return (up[:, None] @ R_view)[:, 0] * (pitch.abs() < _MOST_PITCH)[:, None]


class PoseHeads(nn.Module):
    """Tokens (B, 26, D) -> a pose. The tokenizer's decoder and codebook do not learn; what they decode a linear head
    turns further, since people are not always as the codes have them.
    """

    level: Tensor

    def __init__(self, config: RegressorConfig, tokenizer: PoseTokenizer) -> None:
        super().__init__()
        self.joints, self.each = tokenizer.config.joints, tokenizer.config.tokens // tokenizer.config.joints
        self.tokenizer: PoseTokenizer | None = None
        if config.tokenized:
            self.slots = nn.Linear(config.width, self.each * config.slot_width)
            self.codes = nn.Linear(config.slot_width, tokenizer.config.codes)
            self.tokenizer = tokenizer.requires_grad_(False)
        self.root, self.turn, self.betas = (nn.Linear(config.width, entries) for entries in (6, 6, NUM_BETAS))
        self.camera, self.contact = nn.Linear(config.width, 3), nn.Linear(config.width, 1)
        with torch.no_grad():
            for layer in (self.root, self.turn, self.betas, self.camera):
                layer.weight.mul_(0.1)
                layer.bias.zero_()
            for layer in (self.root, self.turn):
                layer.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
        level = torch.tensor([1.0, -1.0, -1.0])
        self.register_buffer("level", torch.outer(level, level), persistent=False)  # camera axes <-> level world

    def forward(
        self, tokens: Tensor, roi: Tensor, camera: Tensor, logits_noise: Tensor | None = None
    ) -> dict[str, Tensor]:
        """A pose.

        Args:
            tokens: (B, 26, D).
            roi, camera: (B, 4) each, as :class:`TokenRegressor` takes them.
            logits_noise: (B, M, K), added to the logits before they are decoded.

        Returns:
            {"logits": (B, M, K), if tokenized, "R": (B, 22, 3, 3) pelvis (level-camera world) and body, "betas":
            (B, 10), "camera": (B, 3) see :func:`root_in_camera`, "contact": (B, 2) logits of left and right foot}.
        """
        root = view_rotation(roi, camera) * self.level @ columns6d_to_matrix(self.root(tokens[:, 0]))
        out = {
            "betas": self.betas(tokens[:, SHAPE]),
            "camera": self.camera(tokens[:, CAMERA]),
            "contact": self.contact(tokens[:, 10:12])[..., 0],
        }
        body = tokens[:, 1 : 1 + self.joints]
        R = columns6d_to_matrix(self.turn(body))
        if self.tokenizer is not None:
            out["logits"] = self.codes(self.slots(body).unflatten(-1, (self.each, -1)).flatten(1, 2))
            noisy = out["logits"] if logits_noise is None else out["logits"] + logits_noise
            R = self.tokenizer.decode_logits(noisy) @ R
        return {"R": torch.cat([root[:, None], R], 1), **out}
