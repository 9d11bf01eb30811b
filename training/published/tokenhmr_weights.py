"""TokenHMR's and HMR2.0's released files -> :class:`~mocap.models.tokenhmr.TokenHmr`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from mocap.errors import MocapError
from mocap.models.checkpoints import read_file, renamed
from mocap.models.tokenhmr import HEAD, RELEASED, RULES, TokenHmr, TokenHmrConfig
from mocap.models.tokenizer import TokenizerConfig
from mocap.models.weights import load_weights
from training.checkpoints import tokenizer_config, tokenizer_keys

# HMR2.0's own release; the copy in TokenHMR's repository reads its vectors as rows.
HMR2 = TokenHmrConfig(head=replace(HEAD, tokenizer=None, rotation_6d="columns"))
_TOKENIZER = "head.pose.tokenizer."


def load_released(model: Path, tokenizer: Path | None, config: TokenHmrConfig = RELEASED) -> TokenHmr:
    """The network of a released checkpoint, in evaluation mode.

    Args:
        model: ``tokenhmr_model.ckpt``, or HMR2.0's with the configuration :data:`HMR2`.
        tokenizer: ``tokenizer.pth``, which the model's file does not hold; it says the tokenizer's sizes. None: the
            configuration has no tokenizer.

    Raises:
        MocapError: a file is not that, or does not fit the configuration (says both sizes).
    """
    weights = _entry(read_file(model), "state_dict", model)
    if tokenizer is None:
        return import_network(weights, None, config, str(model))
    file = read_file(tokenizer)
    sizes = tokenizer_config(_entry(_entry(file, "hparams", tokenizer), "ARCH", tokenizer))
    config = replace(config, head=replace(config.head, tokenizer=sizes))
    return import_network(weights, _entry(file, "net", tokenizer), config, f"{model} and {tokenizer}")


def import_network(
    weights: Mapping[str, Tensor], tokenizer: Mapping[str, Tensor] | None, config: TokenHmrConfig, source: str
) -> TokenHmr:
    """The network of released weights, in evaluation mode.

    Raises:
        MocapError: a tensor is missing, unknown or of another size (says both sizes).
    """
    ours = renamed(weights, RULES)
    if config.head.tokenizer is not None:
        ours |= {_TOKENIZER + key: value for key, value in pose_decoder(tokenizer or {}, config.head.tokenizer).items()}
    network = TokenHmr(config)
    load_weights(network, ours, source)
    return network.eval()


def pose_decoder(net: Mapping[str, Tensor], config: TokenizerConfig) -> dict[str, Tensor]:
    """A released tokenizer's weights as :class:`~mocap.models.tokenhmr.PoseDecoder` names them; the encoder's are left
    out, and those of the body model that the tokenizer was trained with."""
    names = tokenizer_keys(config)
    ours = {names.get(key, key): value for key, value in net.items() if "body_model" not in key}
    return {key.removeprefix("quantizer."): value for key, value in ours.items() if not key.startswith("encoder.")}


def _entry(file: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    found = file.get(name)
    if not isinstance(found, Mapping):
        raise MocapError(f"{path}: expected a checkpoint with '{name}', found {', '.join(sorted(map(str, file)))}")
    return found
