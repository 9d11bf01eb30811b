"""TokenHMR's and HMR2.0's released files -> :class:`~mocap.models.tokenhmr.TokenHmr`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from mocap.errors import MocapError
from mocap.models.checkpoints import read_file, renamed
from mocap.models.tokenhmr import HEAD, RELEASED, RULES, TokenHmr, TokenHmrConfig
from mocap.models.tokenizer import TokenizerConfig
from mocap.models.tokenizer_checkpoint import tokenizer_config, tokenizer_keys
from mocap.models.weights import load_weights

# HMR2.0's own release; the copy in TokenHMR's repository reads its vectors as rows.
HMR2 = TokenHmrConfig(head=replace(HEAD, tokenizer=None, rotation_6d="columns"))
_TOKENIZER = "head.pose.tokenizer."


def read(files: Sequence[Path], config: TokenHmrConfig = RELEASED) -> TokenHmr:
    """The network of released files, in evaluation mode.

    Args:
        files: ``tokenhmr_model.ckpt``, or HMR2.0's with the configuration :data:`HMR2`; and ``tokenizer.pth``, which
            the model's file does not hold and which says the tokenizer's sizes, unless the configuration has none.

    Raises:
        MocapError: a file is missing, is not that, or does not fit the configuration (says both sizes).
    """
    found = {path: read_file(path) for path in files}
    source = " and ".join(map(str, files))
    name = "HMR2.0's checkpoint" if config.head.tokenizer is None else "TokenHMR's tokenhmr_model.ckpt"
    weights = _entry(found, "state_dict", name, source)
    if config.head.tokenizer is None:
        return import_network(weights, None, config, source)
    sizes = _entry(found, "hparams", "TokenHMR's tokenizer.pth, with the settings", source).get("ARCH", {})
    config = replace(config, head=replace(config.head, tokenizer=tokenizer_config(sizes)))
    return import_network(weights, _entry(found, "net", "TokenHMR's tokenizer.pth", source), config, source)


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


def _entry(files: Mapping[Path, Mapping[str, Any]], name: str, what: str, source: str) -> Mapping[str, Any]:
    for file in files.values():
        if isinstance(file.get(name), Mapping) and (name != "state_dict" or "net" not in file):
            return dict(file[name])
    there = sorted({str(key) for file in files.values() for key in file})
    raise MocapError(f"expected {what} ('{name}'), found {source} with {', '.join(there[:8])}")
