"""The published systems by name: configuration, network, files, and how each runs live."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mocap.body.smpl_file import SmplArrays
from mocap.errors import MocapError
from mocap.models import independent_tokens, postometro_network, tokenhmr_checkpoint, vqhps_checkpoint, vqhps_network
from mocap.models.independent_tokens import IndependentTokens, IndependentTokensConfig
from mocap.models.live_networks import LiveClip, LiveMesh, LivePose
from mocap.models.tokenhmr import TokenHmr, TokenHmrConfig


@dataclass(frozen=True)
class System:
    """What sets one system apart."""

    files: str  # that a user brings, in words
    config: type
    build: Callable[[Any, Mapping[str, Tensor]], nn.Module]  # of a configuration, for these weights
    read: Callable[[Sequence[Path], Any, SmplArrays | None], nn.Module]  # released files and SMPL's body -> the network
    live: Callable[[Any], nn.Module]
    side: Callable[[Any], int]  # of the picture, px
    outputs: tuple[str, ...] = ("R", "betas")  # or vertices
    margin: float = 1.2  # side of the crop over the box around the landmarks
    aspect: float = 1.0  # width over height of what the network sees of the crop


SYSTEMS: dict[str, System] = {
    "tokenhmr": System(
        files="tokenhmr_model.ckpt and tokenizer.pth",
        config=TokenHmrConfig,
        build=lambda config, _: TokenHmr(config),
        read=lambda files, config, _: tokenhmr_checkpoint.read(files, config or tokenhmr_checkpoint.RELEASED),
        live=LivePose,
        side=lambda config: int(config.side),
        aspect=0.75,  # a quarter of the columns is cut off
    ),
    "hmr2": System(
        files="HMR2.0's checkpoint (epoch=35-step=1000000.ckpt)",
        config=TokenHmrConfig,
        build=lambda config, _: TokenHmr(config),
        read=lambda files, config, _: tokenhmr_checkpoint.read(files, config or tokenhmr_checkpoint.HMR2),
        live=LivePose,
        side=lambda config: int(config.side),
        aspect=0.75,
    ),
    "int": System(
        files="the checkpoint (.pth.tar) with 'state_dict'",
        config=IndependentTokensConfig,
        build=lambda config, _: IndependentTokens(config),
        read=lambda files, config, _: independent_tokens.read(files, config),
        live=LiveClip,
        side=lambda config: int(config.picture),
        margin=1.1,
    ),
    "vqhps": System(
        files=vqhps_checkpoint.WANTED,
        config=vqhps_network.VQHPSNetworkConfig,
        build=vqhps_network.build,
        read=vqhps_checkpoint.read,
        live=lambda network: LiveMesh(network.alone()),
        side=lambda config: int(config.side),
        outputs=("vertices",),
    ),
    "postometro": System(
        files="a checkpoint of training.train_postometro; nothing was released",
        config=postometro_network.PostoMetroNetworkConfig,
        build=postometro_network.build,
        read=postometro_network.read,
        live=LiveMesh,
        side=lambda config: int(config.picture),
        outputs=("vertices",),
    ),
}


def known_system(system: str) -> System:
    """The system of that name.

    Raises:
        MocapError: there is none.
    """
    if system not in SYSTEMS:
        raise MocapError(f"expected a system of {', '.join(SYSTEMS)}; found '{system}'")
    return SYSTEMS[system]
