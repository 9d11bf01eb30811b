"""VQ-HPS (Fiche et al., 2024): a picture of a person -> 54 tokens of a mesh, its rotation and a camera (section 4).

Two backbones look at the picture (B, 3, H, W), ImageNet-normalised RGB, 224 pixels in the paper. The rotation branch
gives rotation and camera; the other the tokens of the canonical mesh, which Mesh-VQ-VAE decodes and the rotation turns.
Rotations are camera from canonical body; their 6D vectors are the first two rows of the matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mocap.body.torch_rotations import rows6d_to_matrix
from mocap.config import option
from mocap.errors import MocapError
from mocap.models import fastmetro, hrnet, resnet
from mocap.models.checkpoints import Rules, renamed
from mocap.models.fastmetro import EncoderDecoder
from mocap.models.hrnet import HRNet
from mocap.models.layers import PreNormBlock, sine_positions
from mocap.models.mesh_vqvae import MeshVQVAE
from mocap.models.resnet import ResNet
from mocap.models.weights import load_weights


@dataclass(frozen=True)
class VQHPSConfig:
    """Sizes; the defaults are the paper's. The released model has ``features=720``, HRNet's, ``causal_head`` and
    ``attend_over_batch``.

    Raises:
        MocapError: attention over the batch without the causal head.
    """

    features: int = option(2048, "channels of either backbone's map, C", "C", low=1)
    width: int = option(512, "entries of a token in the transformer, D", "D", low=1)
    heads: int = option(8, "of each attention", "N", low=1)
    hidden: int = option(1024, "of the transformer's feed-forward parts", "N", low=1)
    encoder_layers: int = option(1, "of the transformer", "N", low=1)
    decoder_layers: int = option(1, "of the transformer", "N", low=1)
    dropout: float = option(0.2, "of the transformer, in training", low=0, high=1)
    tokens: int = option(54, "of a mesh, N", "N", low=1)
    codes: int = option(512, "entries of Mesh-VQ-VAE's codebook, S", "S", low=1)
    joints: int = option(17, "of the skeleton that the rotation branch starts from, Human3.6M's", "N", low=1)
    rotation_hidden: int = option(1024, "of the rotation branch", "N", low=1)
    rotation_dropout: float = option(0.5, "of the rotation branch, in training", low=0, high=1)
    causal_head: bool = option(False, "logits by causal blocks that know no rotation (released); off: by one layer")
    head_layers: int = option(1, "of the causal head", "N", low=1)
    attend_over_batch: bool = option(False, "the causal head mixes the samples of a batch, not the tokens (released)")
    refine_rotation: bool = option(False, "VQ-HPS-rot: a second rotation, from the first one's skeleton")

    def __post_init__(self) -> None:
        if self.attend_over_batch and not self.causal_head:
            raise MocapError("VQ-HPS: expected causal_head with attend_over_batch, found the linear head")


class CausalHead(nn.Module):
    """minGPT's blocks with a linear layer: tokens (B, T, D) -> logits (B, T, codes), each from itself and those before.

    Args:
        width, heads, hidden, dropout: See :class:`PreNormBlock`.
        layers, codes: Numbers of blocks, and of logits of a token.
        over_batch: The released system takes the batch for the sequence: a sample's tokens attend to the same token of
            the samples before it, and its logits depend on them. Its checkpoint was trained so.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, layers: int, codes: int, dropout: float = 0, over_batch: bool = False
    ) -> None:
        super().__init__()
        self.over_batch = over_batch
        self.blocks = nn.ModuleList(PreNormBlock(width, heads, hidden, dropout=dropout) for _ in range(layers))
        self.norm, self.logits = nn.LayerNorm(width), nn.Linear(width, codes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.over_batch:
            x = x.transpose(0, 1)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        for block in self.blocks:
            x = block(x, blocked=later)
        logits: Tensor = self.logits(self.norm(x))
        return logits.transpose(0, 1) if self.over_batch else logits


class Dense(nn.Module):
    """Two linear layers with dropout and, as in HMR and in the released code, no activation: (B, C) -> (B, hidden)."""

    def __init__(self, inputs: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second, self.drop = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.drop(self.second(self.drop(self.first(x))))
        return out


class Regressed(NamedTuple):
    """What the regressor makes of pictures."""

    logits: Tensor  # (B, N, S)
    rotation_6d: Tensor  # (B, 6), two rows, not orthonormal
    camera: Tensor  # (B, 3) scale, x, y: ``scale (X + (x, y))`` is -1 to 1 in the crop
    rotation_features: Tensor  # (B, C)


class MeshRegressor(nn.Module):
    """The two branches.

    Args:
        rotation_backbone, pose_backbone: Pictures -> (B, features, h, w); ResNet or HRNet, two of the same kind.
    """

    def __init__(self, config: VQHPSConfig, rotation_backbone: nn.Module, pose_backbone: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.rotation_backbone, self.pose_backbone = rotation_backbone, pose_backbone
        self.dense = Dense(config.features + 3 * config.joints, config.rotation_hidden, config.rotation_dropout)
        self.rotation, self.camera = nn.Linear(config.rotation_hidden, 6), nn.Linear(config.rotation_hidden, 3)
        sizes = config.width, config.heads, config.hidden
        self.embed = nn.Conv2d(config.features, config.width, 1)
        self.queries = nn.Parameter(torch.randn(config.tokens, config.width))
        self.transformer = EncoderDecoder(*sizes, config.encoder_layers, config.decoder_layers, config.dropout)
        self.head: CausalHead | nn.Linear = nn.Linear(config.width + 6 + 3, config.codes)
        if config.causal_head:
            shape = *sizes, config.head_layers, config.codes
            self.head = CausalHead(*shape, config.dropout, over_batch=config.attend_over_batch)

    def forward(self, picture: Tensor, skeleton: Tensor) -> Regressed:
        """Pictures (B, 3, H, W) and where to start, a skeleton (B, joints, 3) m, the T-pose's."""
        features = self.rotation_backbone(picture).mean((-2, -1))
        hidden = self.dense(torch.cat([features, skeleton.flatten(1)], -1))
        rotation_6d, camera = self.rotation(hidden), self.camera(hidden)
        tokens = self._tokens(self.pose_backbone(picture))
        if not self.config.causal_head:
            # The cross-entropy is no loss of rotation and camera (section 4.3, learning scheme).
            known = torch.cat([rotation_6d, camera], -1).detach()
            tokens = torch.cat([tokens, known[:, None].expand(-1, tokens.shape[1], -1)], -1)
        return Regressed(self.head(tokens), rotation_6d, camera, features)

    def _tokens(self, features: Tensor) -> Tensor:
        """Feature map (B, C, h, w) -> mesh tokens (B, N, D)."""
        height, width = features.shape[-2:]
        place = sine_positions(height, width, self.config.width, features.device)
        memory = self.transformer.encode(self.embed(features).flatten(2).transpose(1, 2), place)
        return self.transformer.decode(self.queries.expand(len(features), -1, -1), memory, place)


class Prediction(NamedTuple):
    """What VQ-HPS makes of pictures."""

    logits: Tensor  # (B, N, S)
    R: Tensor  # (B, 3, 3) of the canonical mesh
    camera: Tensor  # (B, 3) scale, x, y: ``scale (X + (x, y))`` is -1 to 1 in the crop
    canonical: Tensor  # (B, V, 3) m, the mean of its vertices near the origin
    vertices: Tensor  # (B, V, 3) m, turned
    first_R: Tensor | None  # (B, 3, 3) what VQ-HPS-rot started from, where it is on


class VQHPS(nn.Module):
    """Pictures -> meshes.

    Args:
        mesh: Trained; its weights are frozen.
        joint_regressor: (joints, V), from vertices to Human3.6M's joints.
        t_pose: (V, 3) m, the mesh in the T-pose.
    """

    joint_regressor: Tensor
    t_pose: Tensor

    def __init__(self, regressor: MeshRegressor, mesh: MeshVQVAE, joint_regressor: Tensor, t_pose: Tensor) -> None:
        super().__init__()
        self.config = config = regressor.config
        self.regressor, self.mesh = regressor, mesh.requires_grad_(False)
        self.register_buffer("joint_regressor", joint_regressor)
        self.register_buffer("t_pose", joint_regressor @ t_pose)
        if config.refine_rotation:
            # The paper gives its inputs alone; its layers are those of the first rotation.
            inputs = config.features + 6 + 3 + 3 * config.joints
            self.refiner = nn.Sequential(
                Dense(inputs, config.rotation_hidden, config.rotation_dropout), nn.Linear(config.rotation_hidden, 6)
            )

    def forward(self, picture: Tensor) -> Prediction:
        """Pictures (B, 3, H, W) -> their meshes."""
        found = self.regressor(picture, self.t_pose.expand(len(picture), -1, -1))
        canonical = self.mesh.decode(found.logits.argmax(-1))
        R, first = rows6d_to_matrix(found.rotation_6d), None
        if self.config.refine_rotation:
            skeleton = self.joint_regressor @ turned(canonical, R)
            known = [found.rotation_features, found.rotation_6d, found.camera, skeleton.flatten(1)]
            R, first = rows6d_to_matrix(self.refiner(torch.cat(known, -1))), R
        return Prediction(found.logits, R, found.camera, canonical, turned(canonical, R), first)


def turned(points: Tensor, R: Tensor) -> Tensor:
    """Points (B, n, 3) by rotations (B, 3, 3)."""
    return points @ R.transpose(-1, -2)


# Released key names -> ours, but for the backbones.
HEAD_RULES: Rules = [
    (r"\.attn\.mask$", None),
    (r"blocks\.(\d+)\.ln1\.", r"blocks.\1.self_norm."),
    (r"blocks\.(\d+)\.ln2\.", r"blocks.\1.feed_norm."),
    (r"blocks\.(\d+)\.attn\.", r"blocks.\1.self_attention."),
    (r"blocks\.(\d+)\.mlp\.0\.", r"blocks.\1.feed.wide."),
    (r"blocks\.(\d+)\.mlp\.2\.", r"blocks.\1.feed.narrow."),
    (r"(^|head\.)ln_f\.", r"\1norm."),
    (r"(^|dec_head\.)head\.", r"\1logits."),
]
RULES: Rules = [
    (r"^module\.", ""),
    (r"^rotcam_feat", None),
    (r"^backbone_rot\.", "rotation_backbone."),
    (r"^backbone_pose\.", "pose_backbone."),
    *HEAD_RULES,
    (r"^transformer\.dec_head\.", "head."),
    (r"^indices_regressor\.", "head."),
    *fastmetro.RULES,
    (r"^mesh_token_embed\.weight$", "queries"),
    (r"^conv_1x1\.", "embed."),
    (r"^fc1\.", "dense.first."),
    (r"^fc2\.", "dense.second."),
    (r"^rot_predictor\.", "rotation."),
    (r"^cam_predictor\.", "camera."),
]


def load_released(regressor: MeshRegressor, weights: Mapping[str, Tensor], source: str) -> None:
    """Loads the ``model`` of a released checkpoint.

    Raises:
        MocapError: tensors are missing, unknown or of another size (says both sizes).
    """
    rules = {ResNet: resnet.RULES, HRNet: hrnet.RULES}.get(type(regressor.pose_backbone), [])
    load_weights(regressor, renamed(weights, [*RULES, *rules]), source)
