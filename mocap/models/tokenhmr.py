"""TokenHMR (Dwivedi et al. 2024, section 4.4): a cropped picture -> SMPL, the body pose by way of pose tokens.

HMR2.0 (Goel et al. 2023), on which it builds, is the same network with one linear layer in the tokens' place.

    network = read([Path("tokenhmr_model.ckpt"), Path("tokenizer.pth")])  # mocap.models.tokenhmr_checkpoint
    found = network(image)                        # (B, 3, 256, 256) RGB less ImageNet's mean, over its deviation
    found["R"], found["betas"], found["p_camera"]                                # SMPL in the crop's camera
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mocap.body.torch_rotations import columns6d_to_matrix, rows6d_to_matrix
from mocap.models import vit
from mocap.models.blazepose_backbone import BlazePoseConfig, BlazePoseTokens
from mocap.models.checkpoints import MIXER, Rules
from mocap.models.layers import DenseBlock, MixerLayer
from mocap.models.tokenizer import PAPER, TokenizerConfig
from mocap.models.tokenizer_networks import JointDecoder, SequenceDecoder
from mocap.models.vit import DECODER, VIT_H, DecoderConfig, QueryDecoder, VisionTransformer, VitConfig

JOINTS, HANDS = 24, 2  # SMPL's; the last two are the hands, which the tokenizer has not
BETAS, CAMERA = 10, 3


@dataclass(frozen=True)
class HeadConfig:
    """The heads' sizes and conventions."""

    decoder: DecoderConfig = DECODER
    tokenizer: TokenizerConfig | None = PAPER  # whose tokens are predicted; None: HMR2.0's linear layer instead
    rotation_6d: Literal["rows", "columns"] = "rows"  # columns for weights of HMR2.0's own release
    token_width: int = 64  # features of a token before it is classified
    mixers: int = 4  # layers of MLP-Mixer among the tokens
    mixer_hidden: int = 256  # of their feed-forward part within a token
    mixer_token_hidden: int = 64  # of the one across tokens


HEAD = HeadConfig()


@dataclass(frozen=True)
class TokenHmrConfig:
    """The whole network; the defaults are the paper's."""

    vit: VitConfig | BlazePoseConfig = VIT_H  # the backbone
    head: HeadConfig = HEAD
    focal: float = 5000.0  # px of the crop; no camera has it: the body is put far away, so that it hardly matters
    side: int = 256  # px of the crop


RELEASED = TokenHmrConfig()


class PoseDecoder(nn.Module):
    """The half of a :class:`~mocap.models.tokenizer.PoseTokenizer` that a regressor needs: codebook and decoder, frozen
    (section 4.4)."""

    codebook: Tensor  # (K, D)

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.register_buffer("codebook", torch.randn(config.codes, config.code_dim))
        self.decoder = JointDecoder(config) if config.per_joint else SequenceDecoder(config)
        self.requires_grad_(False)

    def forward(self, probabilities: Tensor) -> Tensor:
        """Probabilities of the codes (B, M, K) -> the joints' 6D vectors (B, 21, 6), by Eq. 7."""
        return self.decoder((probabilities @ self.codebook).transpose(1, 2)).transpose(1, 2)


class TokenClassifier(nn.Module):
    """Features -> probabilities of pose tokens -> body pose."""

    def __init__(self, inputs: int, config: HeadConfig, tokenizer: TokenizerConfig) -> None:
        super().__init__()
        width, tokens = config.token_width, tokenizer.tokens
        self.spread = DenseBlock(inputs, tokens * width)
        self.mixers = nn.ModuleList(
            MixerLayer(width, config.mixer_hidden, tokens, config.mixer_token_hidden) for _ in range(config.mixers)
        )
        self.last = DenseBlock(width, width)
        self.logits = nn.Linear(width, tokenizer.codes)
        self.tokenizer = PoseDecoder(tokenizer)
        self.tokens = tokens

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inputs) -> the joints' 6D vectors (B, 21, 6), probabilities (B, M, K)."""
        x = self.spread(features).unflatten(-1, (self.tokens, -1))
        for mixer in self.mixers:
            x = mixer(x)
        probabilities = self.logits(self.last(x)).softmax(-1)
        return self.tokenizer(probabilities), probabilities


class SmplHead(nn.Module):
    """Picture tokens -> SMPL: TokenHMR's head, or HMR2.0's where the configuration has no tokenizer.

    Pose, shape and camera are predicted as differences to means. The mean pose is added to what the tokenizer decodes,
    too, so that the pose is not one of the tokenizer's (as released; the paper does not say it).
    """

    mean_pose: Tensor  # (1, 144) 6D vectors
    mean_betas: Tensor  # (1, 10)
    mean_camera: Tensor  # (1, 3)

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        width = config.decoder.width
        self.config = config
        self.decoder = QueryDecoder(config.decoder)
        self.shape, self.camera = nn.Linear(width, BETAS), nn.Linear(width, CAMERA)
        self.pose: nn.Module
        if config.tokenizer is None:
            self.pose = nn.Linear(width, 6 * JOINTS)
        else:
            self.orientation, self.hands = nn.Linear(width, 6), nn.Linear(width, 6 * HANDS)
            self.pose = TokenClassifier(width, config, config.tokenizer)
        # The identity is [1, 0, 0, 0, 1, 0] as rows and as columns.
        self.register_buffer("mean_pose", torch.eye(3)[:2].flatten().repeat(JOINTS)[None])
        self.register_buffer("mean_betas", torch.zeros(1, BETAS))
        self.register_buffer("mean_camera", torch.tensor([[0.9, 0.0, 0.0]]))

    def forward(self, memory: Tensor) -> dict[str, Tensor]:
        """Tokens of the picture (B, S, context) -> what :class:`TokenHmr` gives, but for ``p_camera``."""
        decoder = self.config.decoder
        features = self.decoder(memory.new_zeros(len(memory), 1, decoder.token_dim), memory)[:, 0]
        found = {"betas": self.shape(features) + self.mean_betas, "camera": self.camera(features) + self.mean_camera}
        if self.config.tokenizer is None:
            pose = self.pose(features)
        else:
            body, found["probabilities"] = self.pose(features)
            pose = torch.cat([self.orientation(features), body.flatten(1), self.hands(features)], -1)
        to_matrix = rows6d_to_matrix if self.config.rotation_6d == "rows" else columns6d_to_matrix
        return {"R": to_matrix((pose + self.mean_pose).unflatten(-1, (JOINTS, 6))), **found}


class TokenHmr(nn.Module):
    """Picture -> SMPL in the camera."""

    def __init__(self, config: TokenHmrConfig = RELEASED) -> None:
        super().__init__()
        self.config = config
        vit = config.vit
        self.vit = BlazePoseTokens(vit) if isinstance(vit, BlazePoseConfig) else VisionTransformer(vit)
        self.head = SmplHead(config.head)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Crops (B, 3, side, side) around a person, RGB less ImageNet's mean and over its deviation.

        Returns:
            ``R`` (B, 24, 3, 3), parent from joint, entry 0 camera (OpenCV's axes) from pelvis; ``betas`` (B, 10);
            ``camera`` (B, 3), a weak-perspective scale and then x and y in m; ``p_camera`` (B, 3) m, the body's
            translation in the crop's camera; ``probabilities`` (B, M, K) of the codes, if there are tokens.
        """
        found = self.head(self.vit(image))
        return {**found, "p_camera": camera_translation(found["camera"], self.config.focal, self.config.side)}


def camera_translation(camera: Tensor, focal: float = 5000.0, side: int = 256) -> Tensor:
    """Weak-perspective camera (..., 3): scale, x, y -> translation (..., 3) m, ``(x, y, 2 f / (side s))``.

    Args:
        focal: px of the crop.
        side: px of the crop.
    """
    scale, x, y = camera.unbind(-1)
    return torch.stack([x, y, 2 * focal / (side * scale + 1e-9)], -1)


# The released names, see mocap.models.checkpoints. The tokenizer comes from a file of its own.
_CLASSIFIER: Rules = [
    (r"\bmixer_trans\.", "spread."),
    (r"\bmixer_norm_layer\.", "last."),
    (r"\b(spread|last)\.ff\.0\.", r"\1.linear."),
    (r"\b(spread|last)\.ff\.1\.", r"\1.norm."),
    (r"\bmixer_head\.", "mixers."),
    (r"\bclass_pred_layer\.", "logits."),
]
_HEADS: Rules = [
    (r"\bdecpose_grot\.", "orientation."),
    (r"\bdecpose_hands\.", "hands."),
    (r"\bdecpose\.", "pose."),
    (r"\bdecshape\.", "shape."),
    (r"\bdeccam\.", "camera."),
    (r"\binit_body_pose$", "mean_pose"),
    (r"\binit_betas$", "mean_betas"),
    (r"\binit_cam$", "mean_camera"),
]
RULES: Rules = [
    (r"^(smpl|discriminator)\.|^initialized$", None),  # the licensed body, and what was only trained with
    (r"^backbone\.", "vit."),
    (r"^smpl_head\.", "head."),
    *vit.VIT_RULES,
    *MIXER,
    *_CLASSIFIER,
    *vit.DECODER_RULES,
    *_HEADS,
]
