"""Weights that INT's training starts from: those of an earlier phase, or ImageNet's."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mocap.errors import MocapError
from mocap.models import weights as files
from mocap.models.checkpoints import Rules, read_file, renamed
from mocap.models.independent_tokens import RULES, IndependentTokens, IndependentTokensConfig, in_time
from training.harness import load_weights

log = logging.getLogger(__name__)

_OVER_TIME = r"temporal(\.|_place$)"
_ROTATIONS = r"(share|rotation_head)\."
# What ViT does not have: tokens, heads, what is over time, and MAED's shares of space and time.
_NOT_VIT = rf"(joint|shape|camera)_token|(shape|camera)_head\.|{_ROTATIONS}|{_OVER_TIME}|blocks\.\d+\..*\.shares\."


def network_entry(config: IndependentTokensConfig) -> dict[str, Any]:
    """What a checkpoint says of its network."""
    return {"system": "int", "config": asdict(config)}


def start_from_phase(checkpoint: Path, network: IndependentTokens) -> None:
    """Gives ``network`` the weights (EMA) of an earlier phase. What is over time is fresh where that phase had nothing
    over time, and so is the head of rotations where its input has another size. Positions in time are interpolated
    where its clips had other numbers of frames.

    Raises:
        MocapError: the checkpoint is missing, or of a network that differs in more than time.
    """
    own = network.config
    temporal, frames = _over_time(checkpoint)
    given = replace(own, temporal=temporal, frames=frames)
    earlier = IndependentTokens(given)
    load_weights(checkpoint, earlier, network_entry(given))
    if own.frames and earlier.temporal_place is not None:
        earlier.temporal_place = nn.Parameter(in_time(earlier.temporal_place.detach(), own.frames))
    fresh = [] if given.temporal == own.temporal else [_OVER_TIME]
    fresh += [] if given.joint_width == own.joint_width else [_ROTATIONS]
    taken = {key: tensor for key, tensor in earlier.state_dict().items() if not _any(fresh, key)}
    _take(network, taken, fresh, checkpoint)


def start_from_vit(file: Path, network: IndependentTokens) -> None:
    """Gives ``network`` the weights of timm's ViT, or of its hybrid with ResNetV2 (``vit_base_r50_s16`` of ImageNet-21k
    is the paper's): backbone, embedding, positions, class token, and as many blocks as there are here.

    Raises:
        MocapError: the file is missing, or a tensor is missing, unknown or of another size.
    """
    found = read_file(file)
    found = found.get("state_dict", found.get("model", found))
    numbers = {int(match[1]) for key in found if (match := re.match(r"blocks\.(\d+)\.", key))}
    spare = "|".join(str(number) for number in sorted(numbers) if number >= network.config.depth)
    classifier: Rules = [(r"^(head|pre_logits)\.", None), *([(rf"^blocks\.({spare})\.", None)] if spare else [])]
    left_out = sorted({key.split(".")[0] for key in found if re.match(r"(head|pre_logits)\.", key)})
    if spare:
        left_out.append(f"blocks {spare.replace('|', ', ')}")
    _take(network, renamed(found, [*classifier, *RULES]), [_NOT_VIT], file)
    log.info("%s: left out: %s", file, ", ".join(left_out) or "nothing")


def _over_time(checkpoint: Path) -> tuple[Any, Any]:
    """How the network of a checkpoint goes over time, and how many positions in time it has."""
    if not checkpoint.is_file():
        raise MocapError(f"{checkpoint}: expected a checkpoint of an earlier phase, found nothing; train it first")
    told = torch.load(checkpoint, map_location="cpu", weights_only=True).get("network")
    config = told.get("config") if isinstance(told, dict) and told.get("system") == "int" else None
    if not isinstance(config, dict) or not {"temporal", "frames"} <= config.keys():
        raise MocapError(f"{checkpoint}: expected a checkpoint of training.train_int, found one of {told}")
    return config["temporal"], config["frames"]


def _any(patterns: list[str], key: str) -> bool:
    return any(re.match(pattern, key) for pattern in patterns)


def _take(network: IndependentTokens, weights: Mapping[str, Tensor], fresh: list[str], source: Path) -> None:
    """All of ``weights``, and nothing else but what may be ``fresh``."""
    kept = {key: tensor for key, tensor in network.state_dict().items() if _any(fresh, key)}
    files.load_weights(network, {**kept, **weights}, str(source))
    names = sorted({key.split(".")[0] for key in kept.keys() - weights.keys()})
    log.info("%s: took %d tensors; fresh: %s", source, len(weights), ", ".join(names) or "nothing")
