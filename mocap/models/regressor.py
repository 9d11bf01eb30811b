"""The learned regressor: landmarks (and image features) of one frame -> tokens of joints -> an SMPL pose.

Four ideas meet: tokens of the landmarks, one for each part of the body (PostoMETRO's pose tokens), tokens of the image,
and learned tokens for 24 joints, shape and camera (INT's independent tokens) in one transformer; the body pose as
logits over the pose tokenizer's codes, mixed and decoded (TokenHMR, Eq. 7). Between tokens and heads a temporal
transformer may stand.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mocap.body.landmarks import LANDMARK, NUM_LANDMARKS
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS
from mocap.body.torch_figure import Figure
from mocap.body.torch_rotations import columns6d_to_matrix
from mocap.config import option
from mocap.models.layers import TransformerBlock
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig

SHAPE, CAMERA = NUM_JOINTS, NUM_JOINTS + 1  # places of these two after the joints' tokens
NUM_QUERIES = NUM_JOINTS + 2
_LANDMARK_ENTRIES, _VIEW_ENTRIES, _DIFFERENCES = 9, 5, 9
_SQUARE_M = 2.2
_HIPS = (LANDMARK["left_hip"], LANDMARK["right_hip"])
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
    feedback: int = option(512, "hidden width of the look at a first pose; 0: none", "N", low=0)
    image_channels: int = option(0, "of the image features, 0: the network sees none", "N", low=0)
    image_places: int = option(64, "of the image features", "N", low=1)
    slot_width: int = option(64, "entries from which a pose token's logits come", "N", low=1)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)


class TokenRegressor(nn.Module):
    """One frame of a person -> tokens (B, 26, D) of 24 joints, shape and camera."""

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
        self.image = nn.Linear(config.image_channels, width) if config.image_channels else None
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
            camera: (B, 4) focal length, centre x, y in px, pitch in rad (0 where nobody knows it).
            shape: (B, 11) what is known of the betas, and how sure that is in [0, 1].
            image: (B, places, channels) features, zeros where there are none.
        """
        focal, center = camera[:, None, :1], camera[:, None, 1:3]
        middle, side = roi[:, None, :2], roi[:, None, 2:3].clamp_min(1)
        seen = visibility[..., None]
        entries = torch.cat(
            [
                (landmarks_px[..., :2] - middle) / side,
                landmarks_px[..., 2:] / side,
                (landmarks_px[..., :2] - center) / focal,
                landmarks_world,
                seen,
            ],
            -1,
        ).clamp(-_FARTHEST, _FARTHEST)
        there = (seen >= 0).to(entries.dtype)
        each = (entries.transpose(0, 1) @ self.landmark).transpose(0, 1) * there + self.missing * (1 - there)
        landmarks = self.part @ each + self.place
        ray = ((middle - center) / focal)[:, 0].clamp(-_FARTHEST, _FARTHEST)
        view = torch.cat([ray, torch.log(side / focal)[:, 0].clamp(-6, 3), roi[:, 3:], camera[:, 3:]], -1)
        extra = torch.stack([self.shape(shape), self.view(view)], 1)
        queries = torch.cat([self.query[:NUM_JOINTS].expand(len(extra), -1, -1), self.query[SHAPE:] + extra], 1)
        if self.stem is not None:
            everything = torch.cat([(entries * there).flatten(1), view, shape], 1)
            queries = queries + self.stem(everything).unflatten(1, (NUM_QUERIES, -1))
        parts = [queries, landmarks]
        if self.image is not None and image is not None:
            parts.append(self.image(image) + self.image_place)
        tokens: Tensor = self.norm(self.blocks(torch.cat(parts, 1))[:, :NUM_QUERIES])
        return tokens


def _perceptron(entries: int, hidden: int, out: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(entries, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden),
        nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, out),
    )  # fmt: skip


class Feedback(nn.Module):
    """Lays a first pose over the landmarks and tells the tokens by how much it is off; at first it says nothing.

    The first pose comes without a gradient: it learns from its own losses.
    """

    level: Tensor

    def __init__(self, config: RegressorConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.feedback
        self.figure = Figure()
        self.register_buffer("level", torch.tensor([1.0, -1.0, -1.0]), persistent=False)
        self.difference = nn.Sequential(
            nn.Linear(_DIFFERENCES * NUM_LANDMARKS, hidden), nn.GELU(), nn.LayerNorm(hidden),
            nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, NUM_QUERIES * width),
        )  # fmt: skip
        last = self.difference[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.block = TransformerBlock(width, config.heads, config.expansion)

    def forward(
        self,
        tokens: Tensor,
        pose: dict[str, Tensor],
        landmarks_px: Tensor,
        landmarks_world: Tensor,
        visibility: Tensor,
        roi: Tensor,
        camera: Tensor,
    ) -> Tensor:
        """Tokens (B, 26, D) after a look at :class:`PoseHeads`' outputs for them; the rest as :class:`TokenRegressor`
        takes it."""
        R, betas, head = (pose[name].detach().float() for name in ("R", "betas", "camera"))
        points = self.figure(R, betas)[1] * self.level  # camera axes, from the pelvis
        hips = 0.5 * (points[:, _HIPS[0]] + points[:, _HIPS[1]])[:, None]
        root = root_in_camera(head, roi, camera)[:, None]
        there = points + root
        side = roi[:, None, 2:3].clamp_min(1)
        px = there[..., :2] / there[..., 2:].clamp_min(0.1) * camera[:, None, :1] + camera[:, None, 1:3]
        seen = visibility[..., None]
        entries = torch.cat(
            [
                (landmarks_px[..., :2] - px) / side,
                landmarks_world - (points - hips),
                (px - roi[:, None, :2]) / side,
                points[..., 2:],
                seen,
            ],
            -1,
        ).clamp(-_FARTHEST, _FARTHEST)
        entries = entries * (seen >= 0)
        told: Tensor = self.block(tokens + self.difference(entries.flatten(1)).unflatten(1, (NUM_QUERIES, -1)))
        return told


def root_in_camera(camera: Tensor, roi: Tensor, intrinsics: Tensor) -> Tensor:
    """The pelvis in camera axes (N, 3) m, from the camera head (N, 3), the square (N, 4) and focal length, centre x, y
    (N, 3 or more) px. The head says by how much (log) the depth differs from that of a square 2.2 m across, and where
    in the square, in sides, the pelvis is.
    """
    focal, side = intrinsics[:, :1], roi[:, 2:3].clamp_min(1)
    depth = _SQUARE_M * focal / side * camera[:, :1].clamp(-3, 3).exp()
    plane = (roi[:, :2] + side * camera[:, 1:] - intrinsics[:, 1:3]) / focal
    return torch.cat([plane, torch.ones_like(depth)], 1) * depth


class PoseHeads(nn.Module):
    """Tokens (B, 26, D) -> a pose. The tokenizer's decoder and codebook do not learn."""

    def __init__(self, config: RegressorConfig, tokenizer: PoseTokenizer) -> None:
        super().__init__()
        self.joints, self.each = tokenizer.config.joints, tokenizer.config.tokens // tokenizer.config.joints
        self.slots = nn.Linear(config.width, self.each * config.slot_width)
        self.codes = nn.Linear(config.slot_width, tokenizer.config.codes)
        self.root, self.betas = nn.Linear(config.width, 6), nn.Linear(config.width, NUM_BETAS)
        self.camera, self.contact = nn.Linear(config.width, 3), nn.Linear(config.width, 1)
        with torch.no_grad():
            for layer in (self.root, self.betas, self.camera):
                layer.weight.mul_(0.1)
                layer.bias.zero_()
            self.root.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
        self.tokenizer = tokenizer.requires_grad_(False)

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """{"logits": (B, M, K), "R": (B, 22, 3, 3) pelvis (level-camera world) and body, "betas": (B, 10),
        "camera": (B, 3) scale and offset in the ROI, "contact": (B, 2) logits of left and right foot}."""
        body = tokens[:, 1 : 1 + self.joints]
        logits = self.codes(self.slots(body).unflatten(-1, (self.each, -1)).flatten(1, 2))
        root = columns6d_to_matrix(self.root(tokens[:, 0]))[:, None]
        return {
            "logits": logits,
            "R": torch.cat([root, self.tokenizer.decode_logits(logits)], 1),
            "betas": self.betas(tokens[:, SHAPE]),
            "camera": self.camera(tokens[:, CAMERA]),
            "contact": self.contact(tokens[:, 10:12])[..., 0],
        }
