"""PCT: a 2D pose as compositional tokens (Geng et al., "Human Pose as Compositional Tokens", CVPR 2023).

A pose is J joints (B, J, 3): x and y in pixels of the square crop, and 1 where the joint is seen, else 0. The tokenizer
turns it into M tokens, each one of K codes with D entries, that together (and not one by one) say where the joints are.
The classifier finds the tokens from a picture's feature map (B, C, H, W); PostoMETRO takes them from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocap.errors import MocapError
from mocap.models.checkpoints import MIXER, Rules
from mocap.models.layers import DenseBlock, MixerLayer
from mocap.models.quantizer import LaplaceQuantizer


@dataclass(frozen=True)
class MixerSizes:
    """Of a stack of mixer layers."""

    layers: int
    width: int  # entries of a token
    hidden: int  # of the feed-forward part within a token
    token_hidden: int  # of the one across the tokens
    dropout: float = 0.0  # of hidden units, in training


@dataclass(frozen=True)
class PctConfig:
    """The defaults are those of the released model with Swin-Base and image guidance."""

    joints: int = 17  # J, COCO's
    tokens: int = 34  # M
    codes: int = 2048  # K
    code_dim: int = 512  # D
    decay: float = 0.9  # of the codebook's moving averages
    encoder: MixerSizes = MixerSizes(4, 512, 512, 64)
    decoder: MixerSizes = MixerSizes(1, 32, 64, 64)
    drop: float = 0.2  # share of the joints that the encoder does not see, in training
    guide_ratio: float = 0.5  # share of a joint's feature that comes from the picture; 0: from its place alone
    image_channels: int = 1024  # C, of the picture's feature map
    cells: int = 64  # H W, of the picture's feature map: 256 × 256 pixels at stride 32
    channels: int = 256  # of the classifier's convolutions
    conv_blocks: int = 2  # of the classifier, two convolutions each
    dilation: int = 1  # of these convolutions
    classifier: MixerSizes = MixerSizes(4, 64, 256, 64)

    @property
    def guided_width(self) -> int:
        """Entries of a joint's feature that come from the picture."""
        return int(self.encoder.width * self.guide_ratio)


class Reconstruction(NamedTuple):
    """A pose after encoding, quantising and decoding."""

    joints: Tensor  # (B, J, 2) px
    latent: Tensor  # (B, M, D) before quantising
    indices: Tensor  # (B, M)
    commitment: Tensor  # () mean of (latent - sg[code])^2


class PoseTokens(NamedTuple):
    """What the classifier says of a pose."""

    embeddings: Tensor  # (B, M, D) mean code of each token, by probability
    score: Tensor  # (B, M, 1) largest logit, no probability
    logits: Tensor  # (B, M, K)


class AcrossTokens(nn.Linear):
    """A linear layer along the tokens: (B, T, D) -> (B, T', D)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(-1, -2)).transpose(-1, -2)


def mixers(sizes: MixerSizes, tokens: int) -> nn.Sequential:
    """A stack of mixer layers for so many tokens."""
    layer = (
        MixerLayer(sizes.width, sizes.hidden, tokens, sizes.token_hidden, sizes.dropout) for _ in range(sizes.layers)
    )
    return nn.Sequential(*layer)


class PctTokenizer(nn.Module):
    """Encoder, codebook and decoder (section 3.1). In training mode it drops joints, and the codebook moves."""

    def __init__(self, config: PctConfig) -> None:
        super().__init__()
        self.config, encoder, decoder = config, config.encoder, config.decoder
        self.embed = nn.Linear(2, encoder.width - config.guided_width)
        if config.guided_width:
            self.embed_image = nn.Linear(config.image_channels, config.guided_width)
        self.unseen = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, encoder.width), std=0.02))
        self.encoder, self.encoder_norm = mixers(encoder, config.joints), nn.LayerNorm(encoder.width)
        self.to_tokens = AcrossTokens(config.joints, config.tokens)
        self.to_codes = nn.Linear(encoder.width, config.code_dim)
        self.quantizer = LaplaceQuantizer(config.codes, config.code_dim, config.decay)
        self.to_joints = AcrossTokens(config.tokens, config.joints)
        self.from_codes = nn.Linear(config.code_dim, decoder.width)
        self.decoder, self.decoder_norm = mixers(decoder, config.joints), nn.LayerNorm(decoder.width)
        self.place = nn.Linear(decoder.width, 2)

    def forward(self, joints: Tensor, features: Tensor | None = None) -> Reconstruction:
        """Poses (B, J, 3) and the picture's features there (B, J, C), with guidance only -> their reconstruction."""
        latent = self.latent(joints, features)
        quantized = self.quantizer(latent.transpose(1, 2))
        places = self.decode(quantized.z.transpose(1, 2))
        return Reconstruction(places, latent, quantized.indices, quantized.commitment)

    def latent(self, joints: Tensor, features: Tensor | None = None) -> Tensor:
        """Poses (B, J, 3) and the picture's features there (B, J, C) -> (B, M, D).

        Raises:
            MocapError: the tokenizer is guided by the picture, and there are no features, or the other way round.
        """
        if (features is not None) != bool(self.config.guided_width):
            needs = "features of the picture" if self.config.guided_width else "no features of the picture"
            raise MocapError(f"PCT's tokenizer: expected {needs}, since its guide ratio is {self.config.guide_ratio}")
        x = self.embed(joints[..., :2])
        if features is not None:
            x = torch.cat([x, self.embed_image(features)], -1)
        seen = joints[..., 2:] != 0
        if self.training:
            seen = seen & (torch.rand(seen.shape, device=seen.device) >= self.config.drop)
        x = self.encoder_norm(self.encoder(torch.where(seen, x, self.unseen)))
        out: Tensor = self.to_codes(self.to_tokens(x))
        return out

    def encode(self, joints: Tensor, features: Tensor | None = None) -> Tensor:
        """Poses (B, J, 3) and the picture's features there (B, J, C) -> tokens (B, M) int64."""
        latent = self.latent(joints, features)
        return self.quantizer.nearest(latent.flatten(0, 1)).view(latent.shape[:2])

    def look_up(self, tokens: Tensor) -> Tensor:
        """Tokens (B, M) -> embeddings (B, M, D)."""
        return F.embedding(tokens, self.quantizer.codebook)

    def decode(self, embeddings: Tensor) -> Tensor:
        """Embeddings (B, M, D) -> joints (B, J, 2) px."""
        x = self.decoder_norm(self.decoder(self.from_codes(self.to_joints(embeddings))))
        out: Tensor = self.place(x)
        return out


class ConvBlock(nn.Module):
    """ResNet's basic block: two 3 × 3 convolutions, added to what comes in (B, C, H, W)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class PctHead(nn.Module):
    """The classifier (section 3.2) with the tokenizer whose tokens it finds."""

    def __init__(self, config: PctConfig) -> None:
        super().__init__()
        self.config, sizes = config, config.classifier
        self.squeeze = nn.Sequential(
            nn.Conv2d(config.image_channels, config.channels, 1, bias=False), nn.BatchNorm2d(config.channels), nn.ReLU()
        )
        self.blocks = nn.Sequential(*(ConvBlock(config.channels, config.dilation) for _ in range(config.conv_blocks)))
        self.spread = DenseBlock(config.channels * config.cells, config.tokens * sizes.width)
        self.mixers, self.dense = mixers(sizes, config.tokens), DenseBlock(sizes.width, sizes.width)
        self.classify = nn.Linear(sizes.width, config.codes)
        self.tokenizer = PctTokenizer(config)

    def forward(self, features: Tensor) -> PoseTokens:
        """Last feature map (B, C, H, W) of a picture -> its tokens."""
        cells = self.blocks(self.squeeze(features)).flatten(2).transpose(1, 2)
        x = self.spread(cells.flatten(1)).unflatten(1, (self.config.tokens, -1))
        return self.read(self.classify(self.dense(self.mixers(x))))

    def read(self, logits: Tensor) -> PoseTokens:
        """Logits (B, M, K) -> tokens, ``softmax(logits) codebook``; differentiable by the logits."""
        embeddings = logits.softmax(-1) @ self.tokenizer.quantizer.codebook
        return PoseTokens(embeddings, logits.amax(-1, keepdim=True), logits)


def joint_features(features: Tensor, joints: Tensor, side: float) -> Tensor:
    """Image guidance: the cells of a feature map (B, C, H, W) at the joints (B, J, 2 or 3), (B, J, C).

    Joints outside take the nearest cell at the border.

    Args:
        side: Of the square crop, px.
    """
    height, width = features.shape[2:]
    cell = (joints[..., :2] / (side / width) + 0.5).floor().long()
    x, y = cell[..., 0].clamp(0, width - 1), cell[..., 1].clamp(0, height - 1)
    at = (y * width + x)[:, None].expand(-1, features.shape[1], -1)
    return features.flatten(2).gather(2, at).transpose(1, 2)


# The released names of a mixer layer and of a dense block, see mocap.models.checkpoints.
DENSE: Rules = [(r"\.ff\.0\.", ".linear."), (r"\.ff\.1\.", ".norm.")]  # after MIXER
# Of the head, of the tokenizer alone, and of a whole checkpoint, whose backbones are not ours to load.
RULES: Rules = [
    (r"^(extra_)?backbone\.", None),
    (r"^keypoint_head\.", ""),
    *MIXER,
    *DENSE,
    (r"^conv_trans\.", "squeeze."),
    (r"^conv_head\.0\.", "blocks."),
    (r"^mixer_trans\.", "spread."),
    (r"^mixer_head\.", "mixers."),
    (r"^mixer_norm_layer\.", "dense."),
    (r"^cls_pred_layer\.", "classify."),
    (r"\binvisible_token$", "unseen"),
    (r"\bcodebook$", "quantizer.codebook"),
    (r"\bema_w$", "quantizer.code_sum"),
    (r"\bema_cluster_size$", "quantizer.code_count"),
    (r"\bstart_embed\.", "embed."),
    (r"\bstart_img_embed\.", "embed_image."),
    (r"\b(encoder|decoder)_layer_norm\.", r"\1_norm."),
    (r"\btoken_mlp\.", "to_tokens."),
    (r"\bfeature_embed\.", "to_codes."),
    (r"\bdecoder_token_mlp\.", "to_joints."),
    (r"\bdecoder_start\.", "from_codes."),
    (r"\brecover_embed\.", "place."),
]
