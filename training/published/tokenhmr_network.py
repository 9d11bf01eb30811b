"""TokenHMR's network as a training builds it: sizes, the frozen half of a pose tokenizer, and what is added to its
predictions."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mocap.assets import asset_path
from mocap.config import option
from mocap.errors import MocapError
from mocap.models.blazepose_backbone import BlazePoseConfig
from mocap.models.tokenhmr import JOINTS, HeadConfig, TokenClassifier, TokenHmr, TokenHmrConfig
from mocap.models.tokenizer import PoseTokenizer, load_tokenizer
from mocap.models.tokenizer_checkpoint import load_released_tokenizer
from mocap.models.vit import DecoderConfig, VitConfig
from mocap.models.weights import load_weights

SHIPPED = "tokenizer_live.npz"
_PADDING = 4  # px of both sides of the patches' convolution; smaller patches would be more than there are places
_UPRIGHT = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # 6D vector of a pelvis that faces the camera, which sees y down
_MEANS = {"pose": "mean_pose", "shape": "mean_betas", "cam": "mean_camera"}


@dataclass(frozen=True)
class Sizes:
    """Of the network; the defaults are TokenHMR's, 688 million numbers with its own tokenizer.

    Raises:
        MocapError: patches do not fill the picture.
    """

    blazepose: bool = option(False, "the backbone is BlazePose's landmark network, frozen, not ViT")
    side: int = option(256, "of the crop, of which ViT sees the middle three quarters", "PX", low=8)
    patch: int = option(16, "side of a patch, which divides side / 4", "PX", low=_PADDING + 1)
    width: int = option(1280, "entries of a patch's token", "D", low=1)
    depth: int = option(32, "blocks of the backbone, ViT", "N", low=1)
    heads: int = option(16, "of each block's attention; they divide the width", "N", low=1)
    drop_path: float = option(0.55, "share of samples that its last block is left out for", "SHARE", low=0, high=1)
    decoder_width: int = option(1024, "entries of the token that gathers what the heads need", "D", low=1)
    decoder_depth: int = option(6, "blocks that it passes", "N", low=1)
    decoder_heads: int = option(8, "of each of their attentions", "N", low=1)
    decoder_head_width: int = option(64, "entries of a head", "N", low=1)
    decoder_hidden: int = option(1024, "hidden width of their feed-forward parts", "N", low=1)
    tokenized: bool = option(True, "body pose by way of pose tokens, TokenHMR; off: by a linear layer, HMR2.0")
    token_width: int = option(64, "entries of a pose token's features", "N", low=1)
    mixers: int = option(4, "layers of MLP-Mixer among the pose tokens", "N", low=0)
    mixer_hidden: int = option(256, "of their feed-forward part within a token", "N", low=1)
    mixer_token_hidden: int = option(64, "of the one across tokens", "N", low=1)

    def __post_init__(self) -> None:
        if self.blazepose:
            return
        if self.side % (4 * self.patch):
            raise MocapError(f"network: expected a side that {4 * self.patch} divides (4 patches), found {self.side}")
        if self.width % self.heads:
            raise MocapError(f"network: expected a width that {self.heads} heads divide, found {self.width}")


def network_config(sizes: Sizes, tokenizer: PoseTokenizer | None) -> TokenHmrConfig:
    """Of these sizes and that tokenizer's; without one HMR2.0's."""
    vit = BlazePoseConfig() if sizes.blazepose else _vit(sizes)
    decoder = DecoderConfig(
        width=sizes.decoder_width,
        layers=sizes.decoder_depth,
        heads=sizes.decoder_heads,
        head_width=sizes.decoder_head_width,
        hidden=sizes.decoder_hidden,
        context=vit.features if isinstance(vit, BlazePoseConfig) else vit.dim,
    )
    head = HeadConfig(
        decoder=decoder,
        tokenizer=None if tokenizer is None else tokenizer.config,
        token_width=sizes.token_width,
        mixers=sizes.mixers,
        mixer_hidden=sizes.mixer_hidden,
        mixer_token_hidden=sizes.mixer_token_hidden,
    )
    return TokenHmrConfig(vit=vit, head=head, side=sizes.side)


def _vit(sizes: Sizes) -> VitConfig:
    return VitConfig(
        height=sizes.side,
        width=sizes.side * 3 // 4,
        margin=sizes.side // 8,
        patch=sizes.patch,
        dim=sizes.width,
        layers=sizes.depth,
        heads=sizes.heads,
        drop_path=sizes.drop_path,
    )


def read_tokenizer(file: str) -> PoseTokenizer:
    """Of a ``.npz``, of the released ``tokenizer.pth``, or the shipped one where there is no name.

    Raises:
        MocapError: no such file, or another.
    """
    path = Path(file) if file else asset_path(SHIPPED)
    return load_tokenizer(path) if path.suffix == ".npz" else load_released_tokenizer(path)


def fresh_network(config: TokenHmrConfig, tokenizer: PoseTokenizer | None, mean: str = "") -> TokenHmr:
    """Random weights, but for the tokenizer's codebook and decoder.

    Args:
        tokenizer: The one of the configuration.
        mean: ``smpl_mean_params.npz``, which the released networks add to their predictions, to the tokenizer's body
            pose, too. Without it they add an upright pelvis, hands at rest and the mean shape, and nothing to the body
            pose, which is the tokenizer's own; without a tokenizer it is at rest.

    Raises:
        MocapError: the file of means is missing, or another.
    """
    network = TokenHmr(config)
    head = network.head
    if tokenizer is not None:
        assert isinstance(head.pose, TokenClassifier)
        weights = {key.removeprefix("quantizer."): value for key, value in tokenizer.weights().items()}
        decoder = {key: value for key, value in weights.items() if not key.startswith("encoder.")}
        load_weights(head.pose.tokenizer, decoder, "the tokenizer")
    for name, value in (_read_means(Path(mean)) if mean else _means(tokenizer is not None)).items():
        getattr(head, name).copy_(value)
    return network


def _means(tokenized: bool) -> dict[str, Tensor]:
    pose = torch.eye(3)[:2].flatten().repeat(JOINTS, 1)
    pose[0] = torch.tensor(_UPRIGHT)
    if tokenized:
        pose[1:22] = 0
    return {"mean_pose": pose.flatten()[None]}


def _read_means(path: Path) -> dict[str, Tensor]:
    sizes = {"pose": 6 * JOINTS, "shape": 10, "cam": 3}
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: np.asarray(file[name], np.float32).reshape(1, size) for name, size in sizes.items()}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MocapError(
            f"{path}: expected smpl_mean_params.npz of SPIN's data with pose (144), shape (10) and cam (3), could not "
            f"read it ({error})"
        ) from error
    return {_MEANS[name]: torch.from_numpy(value) for name, value in found.items()}
