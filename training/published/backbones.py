"""Convolutional backbones of the training programs: their sizes as options, and published weights to start from."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from mocap.config import option
from mocap.errors import MocapError
from mocap.models import hrnet, resnet
from mocap.models.blazepose_backbone import BlazePoseConfig
from mocap.models.checkpoints import read_file, renamed, under
from mocap.models.hrnet import HRNet, HRNetConfig
from mocap.models.resnet import ResNetConfig

log = logging.getLogger(__name__)
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class BackboneSizes:
    """Of a convolutional backbone."""

    kind: Literal["resnet", "hrnet", "blazepose"] = option(
        "resnet", "ResNet with bottlenecks, HRNet with all maps at stride 32, or BlazePose's landmark network, frozen"
    )
    width: int = option(64, "channels: of a ResNet's stem; of HRNet's finest branch", "N", low=1)
    blocks: list[int] = option([3, 4, 6, 3], "of a ResNet's layers; three layers stop at stride 16", "N")
    weights: str = option(
        "", "where training starts: torchvision's ResNet, a released HRNet, a run of train_pct_classifier", "FILE"
    )

    def config(self) -> ResNetConfig | HRNetConfig | BlazePoseConfig:
        """Of the network."""
        if self.kind == "blazepose":
            return BlazePoseConfig()
        return HRNetConfig(self.width) if self.kind == "hrnet" else ResNetConfig(tuple(self.blocks), self.width)


def channels_last(model: M) -> M:
    """With weights in the order in which convolutions take a third less time."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def start(backbone: nn.Module, file: str) -> None:
    """Weights of a file into a backbone; none where no file is named. What the file does not have starts at random.

    Raises:
        MocapError: there is no such file, or it has not even half of the weights, or others of that name.
    """
    if not file:
        return
    own, found = backbone.state_dict(), _weights(read_file(Path(file)), backbone)
    wrong = [key for key in own if key in found and own[key].shape != found[key].shape]
    missing = [key for key in own if key not in found and not key.endswith("num_batches_tracked")]
    if wrong or 2 * len(missing) > len(own):
        what = f"{wrong[0]} {tuple(found[wrong[0]].shape)}" if wrong else f"no {', '.join(missing[:3])} ..."
        raise MocapError(f"{file}: expected weights of the backbone (--backbone gives its sizes), found {what}")
    if missing:
        log.info("%s: %d of %d weights start at random: %s ...", file, len(missing), len(own), ", ".join(missing[:3]))
    backbone.load_state_dict({key: found[key] for key in own if key in found}, strict=False)


def _weights(state: dict[str, Any], backbone: nn.Module) -> dict[str, Tensor]:
    """Under our names."""
    if "network" in state and "model" in state:  # a run of ours
        kept = under("module.", state["ema"]) if state.get("ema") else state["model"]
        return under("backbone.", kept)
    rules = hrnet.RULES if isinstance(backbone, HRNet) else resnet.RULES
    return renamed(state.get("state_dict", state), rules)
