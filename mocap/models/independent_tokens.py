"""INT: one token for each joint's rotation, one for the shape, one for the camera (Yang et al., 2023), of any size.

The tokens are learned, no picture is in them. A transformer lets them look at a picture's patches; then another follows
each joint's token over time. Linear heads read SMPL's parameters off them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS
from mocap.body.torch_rotations import columns6d_to_matrix
from mocap.errors import MocapError
from mocap.models import resnet_v2
from mocap.models.blazepose_backbone import BlazePoseBackbone, BlazePoseConfig
from mocap.models.checkpoints import VIT_BLOCK, Rules, read_file, renamed
from mocap.models.layers import PreNormBlock
from mocap.models.resnet_v2 import ResNetV2, ResNetV2Config
from mocap.models.spatial_temporal import SpatialTemporalAttention
from mocap.models.weights import load_weights

FOCAL_PX = 5000.0  # of the camera that the heads speak of, in pixels of a square of so many
SQUARE_PX = 224


@dataclass(frozen=True)
class IndependentTokensConfig:
    """Sizes and variants; the defaults are the paper's (appendix A).

    Raises:
        MocapError: tokens cannot be divided among heads or joints.
    """

    picture: int = SQUARE_PX  # side of the square, px
    # None: patches of pixels are embedded, as in ViT.
    backbone: ResNetV2Config | BlazePoseConfig | None = field(default_factory=ResNetV2Config)
    patch: int = 16  # side of a patch without a backbone, px
    width: int = 768  # entries of a token, D
    depth: int = 6  # blocks of the base model
    heads: int = 12  # of their attention
    hidden: int = 3072  # of their feed-forward parts
    bias: bool = True  # of queries, keys and values
    eps: float = 1e-6  # of the norms
    parallel: bool = False  # the base model's blocks attend over time as well (MAED; table 3)
    # What is followed over time: each joint by itself, all joints as one token (table 2), or nothing.
    temporal: Literal["joint", "pose"] | None = "joint"
    temporal_depth: int = 3
    temporal_heads: int = 12
    frames: int | None = 16  # positions in time that are learned, interpolated for other clips; None: there are none

    def __post_init__(self) -> None:
        moving = {"joint": [self.temporal_heads], "pose": [self.temporal_heads, NUM_JOINTS]}
        for parts in [self.heads, *moving.get(self.temporal or "", [])]:
            if self.width % parts:
                raise MocapError(f"Independent tokens: expected a width that {parts} divides, found {self.width}")

    @property
    def patches(self) -> int:
        """Of a picture: 196."""
        if isinstance(self.backbone, BlazePoseConfig):
            return self.backbone.cells**2
        side = self.backbone.stride if self.backbone else self.patch
        return int((-(-self.picture // side)) ** 2)

    @property
    def joint_width(self) -> int:
        """Entries of a joint's token for the rotation head and in time: a share of D where all make one token."""
        return self.width // NUM_JOINTS if self.temporal == "pose" else self.width


class Tokens(NamedTuple):
    """What the base model made of each frame."""

    joints: Tensor  # (B, T, 24, D)
    shape: Tensor  # (B, T, D)
    camera: Tensor  # (B, T, D)


class IndependentTokens(nn.Module):
    """Clips -> SMPL's parameters. Single pictures are clips of one frame.

    Live, :meth:`encode` takes each new frame once, and :meth:`decode` the tokens of the last frames together.
    """

    def __init__(self, config: IndependentTokensConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or IndependentTokensConfig()
        channels, patch = 3, c.patch
        self.backbone: nn.Module = nn.Identity()
        if isinstance(c.backbone, BlazePoseConfig):
            self.backbone, channels, patch = BlazePoseBackbone(c.backbone), c.backbone.features, 1
        elif c.backbone:
            self.backbone, channels, patch = ResNetV2(c.backbone), c.backbone.channels[-1], 1
        self.embedding = nn.Conv2d(channels, c.width, patch, patch)
        self.joint_tokens = _learned(NUM_JOINTS, c.width)
        self.shape_token, self.camera_token, self.class_token = (_learned(1, c.width) for _ in range(3))
        self.place = _learned(1 + c.patches, c.width)
        self.blocks = nn.ModuleList(make_block(c, c.heads, c.parallel) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.width, c.eps)
        self.share = nn.Linear(c.width, c.joint_width) if c.temporal == "pose" else nn.Identity()
        moving = c.temporal_depth if c.temporal else 0
        self.temporal = nn.ModuleList(make_block(c, c.temporal_heads) for _ in range(moving))
        self.temporal_place = _learned(c.frames, c.width) if c.temporal and c.frames else None
        self.rotation_head = nn.Linear(c.joint_width, 6)
        self.shape_head, self.camera_head = nn.Linear(c.width, NUM_BETAS), nn.Linear(c.width, 3)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Clips (B, T, 3, S, S), RGB less ImageNet's mean, over its deviation -> what :meth:`decode` gives."""
        return self.decode(self.encode(pictures))

    def encode(self, pictures: Tensor) -> Tokens:
        """Clips (B, T, 3, S, S) -> tokens of each frame, which know of no other frame unless ``parallel``."""
        clips, frames = pictures.shape[:2]
        x = self.sequence(self.patches(pictures.flatten(0, 1)))
        if self.config.parallel:
            x = x.unflatten(0, (clips, frames))
        for block in self.blocks:
            x = block(x)
        x = self.norm(x).reshape(clips, frames, *x.shape[-2:])
        return Tokens(x[..., :NUM_JOINTS, :], x[..., NUM_JOINTS, :], x[..., NUM_JOINTS + 1, :])

    def patches(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, S, S) -> embedded patches, row by row (N, P, D)."""
        embedded: Tensor = self.embedding(self.backbone(pictures))
        return embedded.flatten(2).transpose(1, 2)

    def sequence(self, patches: Tensor) -> Tensor:
        """Patches (N, P, D) -> [24 joints | shape | camera | class | patches], places on the last two alone. The class
        token of ViT's weights is in the released code and not in the paper; nothing is read off it."""
        prior = torch.cat([self.joint_tokens, self.shape_token, self.camera_token], 1)
        count = patches.shape[0]
        seen = torch.cat([self.class_token.expand(count, -1, -1), patches], 1) + self.place
        return torch.cat([prior.expand(count, -1, -1), seen], 1)

    def decode(self, tokens: Tokens) -> dict[str, Tensor]:
        """Tokens of a clip -> "R" (B, T, 24, 3, 3) parent from joint, the pelvis' being the camera; "betas"
        (B, T, 10); "camera" (B, T, 3), see :func:`camera_translation`."""
        d6 = self.rotation_head(self.over_time(self.share(tokens.joints)))
        return {
            "R": interleaved6d_to_matrix(d6.float()),
            "betas": self.shape_head(tokens.shape),
            "camera": self.camera_head(tokens.camera),
        }

    def over_time(self, joints: Tensor) -> Tensor:
        """Joints' tokens (B, T, 24, W) -> same, after each has looked at the other frames' (section 3.3)."""
        if not self.config.temporal:
            return joints
        whole = self.config.temporal == "pose"
        x = joints.flatten(2) if whole else joints.transpose(1, 2).flatten(0, 1)  # (sequences, T, D)
        if self.temporal_place is not None:
            x = x + in_time(self.temporal_place, joints.shape[1])
        for block in self.temporal:
            x = block(x)
        return x.unflatten(2, (NUM_JOINTS, -1)) if whole else x.unflatten(0, (-1, NUM_JOINTS)).transpose(1, 2)


def make_block(config: IndependentTokensConfig, heads: int, parallel: bool = False) -> PreNormBlock:
    """ViT's block, or with ``parallel`` that of MAED, which takes (B, T, N, D)."""
    block = PreNormBlock(config.width, heads, config.hidden, bias=config.bias, eps=config.eps)
    if parallel:
        block.self_attention = SpatialTemporalAttention(config.width, heads, config.bias)
    return block


def in_time(place: Tensor, frames: int) -> Tensor:
    """Positions in time (1, F, D), stretched or shrunk to so many frames (1, T, D) by linear interpolation."""
    count = place.shape[1]
    if frames == count:
        return place
    # torch's own comes out wrong in OpenVINO 2026.4.
    at = ((torch.arange(frames, device=place.device) + 0.5) * (count / frames) - 0.5).clamp(0, count - 1)
    near = 1 - (at[:, None] - torch.arange(count, device=place.device)).abs()
    return near.clamp_min(0) @ place


def interleaved6d_to_matrix(d6: Tensor) -> Tensor:
    """SPIN's 6D vectors (..., 6), the two columns' entries by turns -> rotation matrices (..., 3, 3)."""
    return columns6d_to_matrix(d6.unflatten(-1, (3, 2)).mT.flatten(-2))


def camera_translation(camera: Tensor, focal: float = FOCAL_PX, square: float = SQUARE_PX) -> Tensor:
    """Camera heads' output (..., 3), scale and place of a weak perspective -> where the body's origin is in front of a
    camera of that focal length, which looks through the middle of the square (..., 3) m; both in px."""
    depth = 2 * focal / (square * camera[..., :1] + 1e-9)
    return torch.cat([camera[..., 1:], depth], -1)


def _learned(count: int, width: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, count, width), std=0.02))


# Released names, see mocap.models.checkpoints.
BLOCK_RULES: Rules = [*VIT_BLOCK, (r"\.ts_attn\.", ".shares.")]
RULES: Rules = [
    (r"^module\.", ""),
    (r"^smpl\.", None),  # the licensed body, no part of the network
    (r"^patch_embed\.proj\.", "embedding."),
    (r"^patch_embed\.", ""),
    *resnet_v2.RULES,
    *BLOCK_RULES,
    (r"^pos_embed$", "place"),
    (r"^cls_token$", "class_token"),
    (r"^cam_(token|head)", r"camera_\1"),
    (r"^joint3d_tokens$", "joint_tokens"),
    (r"^joint3d_head\.", "rotation_head."),
    (r"^temporal_transformer\.", "temporal."),
    (r"^temporal_pos_embedding$", "temporal_place"),
]


def from_released(weights: Mapping[str, Tensor], config: IndependentTokensConfig, source: str) -> IndependentTokens:
    """The network of released weights, in evaluation mode.

    Positions in time are as many as the file has: 16 in the released Model-1, 64 in Model-2. Weights over time that
    ``config`` has no use for are left out.

    Raises:
        MocapError: a tensor is missing, unknown or of another size (says both sizes).
    """
    unused = [] if config.temporal else [r"^temporal\."]
    unused += [] if config.temporal and config.frames else [r"^temporal_place$"]
    weights = renamed(weights, [*RULES, *((pattern, None) for pattern in unused)])
    if "temporal_place" in weights:
        config = replace(config, frames=weights["temporal_place"].shape[1])
    network = IndependentTokens(config)
    load_weights(network, weights, source)
    return network.eval()


def read(files: Sequence[Path], config: IndependentTokensConfig | None = None) -> IndependentTokens:
    """The network of the released file, which holds ``state_dict`` among what it was trained with, in evaluation mode.

    Raises:
        MocapError: it is not one file, or not that (see :func:`from_released`).
    """
    if len(files) != 1:
        raise MocapError(f"expected one file with INT's weights, found {len(files)}")
    found = read_file(files[0])
    weights = found.get("state_dict", found)
    return from_released(weights, config or IndependentTokensConfig(), str(files[0]))
