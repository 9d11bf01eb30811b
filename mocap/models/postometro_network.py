"""PostoMETRO as a whole: PCT with a backbone of its own, and the mesh transformer with another. Nothing was released.

levels = mesh_levels(body.faces, body.v_template)
network = PostoMetroNetwork(PostoMetroNetworkConfig(), levels.neighbours, levels.sampler)
network(picture).vertices  # (B, V, 3) m
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, spmatrix
from torch import Tensor, nn

from mocap.errors import MocapError
from mocap.models.backbones import BackboneConfig, make_backbone
from mocap.models.pct import PctConfig, PctHead, PoseTokens
from mocap.models.postometro import BodyMesh, PostoMetro, PostoMetroConfig
from mocap.models.resnet import ResNetConfig
from mocap.models.swin import SwinConfig


@dataclass(frozen=True)
class PostoMetroNetworkConfig:
    """All of its parts. The defaults are the paper's with ResNet-50, and PCT's with SwinV2-B.

    Raises:
        MocapError: two parts do not fit.
    """

    metro: PostoMetroConfig = field(default_factory=PostoMetroConfig)
    pct: PctConfig | None = field(default_factory=PctConfig)  # None: FastMETRO
    backbone: BackboneConfig = field(default_factory=ResNetConfig)
    pct_backbone: BackboneConfig = field(default_factory=SwinConfig)
    side: int = 224  # of the mesh transformer's picture, px
    pct_side: int = 256  # of PCT's picture, px

    def __post_init__(self) -> None:
        pairs = [("metro.image_channels, the backbone's", self.metro.image_channels, self.backbone.features)]
        if self.pct:
            stride = self.pct_backbone.stride
            pairs += [
                ("pct.image_channels, PCT's backbone's", self.pct.image_channels, self.pct_backbone.features),
                (f"pct.cells, of pct_side / {stride}", self.pct.cells, (self.pct_side // stride) ** 2),
                ("metro.pose_tokens, PCT's", self.metro.pose_tokens, self.pct.tokens),
                ("metro.modulator.width, PCT's code_dim", self.metro.modulator.width, self.pct.code_dim),
            ]
        sides = [(self.side, self.backbone), *([(self.pct_side, self.pct_backbone)] if self.pct else [])]
        pairs += [("the side of Swin's picture", side, one.side) for side, one in sides if isinstance(one, SwinConfig)]
        for what, found, expected in pairs:
            if found != expected:
                raise MocapError(f"PostoMETRO: expected {what}: {expected}; found {found}")

    @property
    def picture(self) -> int:
        """Side of the square that goes in, px: the larger of the two."""
        return max(self.side, self.pct_side) if self.pct else self.side


class PctNetwork(nn.Module):
    """PCT's classifier with its backbone (and, in ``head.tokenizer``, the tokenizer): trained before PostoMETRO."""

    def __init__(self, config: PctConfig, backbone: nn.Module) -> None:
        super().__init__()
        self.config, self.backbone, self.head = config, backbone, PctHead(config)

    def forward(self, picture: Tensor) -> PoseTokens:
        """Crops (B, 3, S, S), ImageNet's mean and deviation taken out."""
        tokens: PoseTokens = self.head(self.backbone(picture))
        return tokens


class PostoMetroNetwork(nn.Module):
    """PostoMETRO; without PCT it is FastMETRO. PCT is frozen: it has no gradients, and stays in evaluation mode.

    Args:
        neighbours: (431, 431) bool, which vertices of the coarse mesh see each other.
        sampler: (V, 1723), the fixed matrix from middle vertices to all.

    Raises:
        MocapError: one of these has another size than the configuration says.
    """

    neighbours: Tensor  # (431, 431) bool
    sampler_entries: Tensor  # (2, E) int64 rows and columns
    sampler_values: Tensor  # (E,)
    sampler_rows: Tensor  # () int64, V

    def __init__(self, config: PostoMetroNetworkConfig, neighbours: NDArray[Any], sampler: spmatrix) -> None:
        super().__init__()
        found, expected = (*neighbours.shape, sampler.shape[1]), (*[config.metro.coarse] * 2, config.metro.middle)
        if found != expected:
            raise MocapError(f"PostoMETRO: expected neighbours and a sampler of {expected} vertices, found {found}")
        self.config, self.vertices = config, int(sampler.shape[0])
        matrix = csr_matrix(sampler).tocoo()  # each entry once
        entries = torch.stack([torch.as_tensor(at).long() for at in (matrix.row, matrix.col)])
        dense = torch.from_numpy(matrix.toarray()).float()
        self.pct = PctNetwork(config.pct, make_backbone(config.pct_backbone)) if config.pct else None
        seen = torch.from_numpy(neighbours).bool()
        self.metro = PostoMetro(config.metro, make_backbone(config.backbone), seen, dense)
        # What depends on the body belongs to the weights; the sampler is nearly empty.
        self.register_buffer("neighbours", seen)
        self.register_buffer("sampler_entries", entries)
        self.register_buffer("sampler_values", torch.from_numpy(matrix.data).float())
        self.register_buffer("sampler_rows", torch.tensor(self.vertices))
        if self.pct:
            self.pct.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> PostoMetroNetwork:
        super().train(mode)
        if self.pct:
            self.pct.eval()
        return self

    def forward(self, picture: Tensor, tokens: tuple[Tensor, ...] | None = None) -> BodyMesh:
        """Crops (B, 3, S, S), ``S = config.picture``, ImageNet's mean and deviation taken out.

        Args:
            tokens: Embeddings and score of others than PCT's, see :meth:`PostoMetro.forward`.
        """
        tokens = tokens or self.pose(picture)
        return self.mesh(picture, *(tokens[:2] if tokens else ()))

    def pose(self, picture: Tensor) -> PoseTokens | None:
        """PCT's tokens of a crop; None without PCT."""
        if self.pct is None:
            return None
        tokens: PoseTokens = self.pct(resized(picture, self.config.pct_side))
        return tokens

    def mesh(self, picture: Tensor, embeddings: Tensor | None = None, score: Tensor | None = None) -> BodyMesh:
        """The mesh of a crop and of pose tokens, see :meth:`PostoMetro.forward`."""
        found: BodyMesh = self.metro(resized(picture, self.config.side), embeddings, score)
        return found


def resized(picture: Tensor, side: int) -> Tensor:
    """Pictures (B, 3, S, S) -> (B, 3, side, side), bilinear; a backbone's maps stay as they are."""
    if picture.shape[-1] == side or picture.shape[1] != 3:
        return picture
    return F.interpolate(picture, (side, side), mode="bilinear", align_corners=False)


def build(config: PostoMetroNetworkConfig, weights: Mapping[str, Tensor]) -> PostoMetroNetwork:
    """For weights that are yet to be loaded.

    Raises:
        KeyError: the weights are others.
    """
    shape = int(weights["sampler_rows"]), config.metro.middle
    entries, values = weights["sampler_entries"].numpy(), weights["sampler_values"].numpy()
    sampler = coo_matrix((values, (entries[0], entries[1])), shape)
    return PostoMetroNetwork(config, weights["neighbours"].numpy(), sampler)


def read(files: Sequence[Path], config: Any = None, body: Any = None) -> NoReturn:
    """PostoMETRO's released files, of which there are none.

    Raises:
        MocapError: always; checkpoints of a run of training do not come here.
    """
    raise MocapError(
        f"PostoMETRO: expected a checkpoint of training.train_postometro (nothing was released), "
        f"found {', '.join(path.name for path in files) or 'no file'}"
    )
