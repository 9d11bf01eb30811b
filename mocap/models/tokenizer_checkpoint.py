"""TokenHMR's released tokenizer -> :class:`~mocap.models.tokenizer.PoseTokenizer`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mocap.errors import MocapError
from mocap.models.checkpoints import read_file
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig


def load_released_tokenizer(path: Path, expected: TokenizerConfig | None = None) -> PoseTokenizer:
    """TokenHMR's ``tokenizer.pth``: ``net`` (weights) and ``hparams`` with ``ARCH`` (sizes). In evaluation mode.

    Raises:
        MocapError: the file is not that, or the tokenizer has other sizes than ``expected`` (says both).
    """
    checkpoint = read_file(path)
    try:
        net, arch = checkpoint["net"], checkpoint["hparams"]["ARCH"]
    except (KeyError, TypeError) as error:
        raise MocapError(
            f"{path}: expected TokenHMR's tokenizer with 'net' and 'hparams.ARCH', found {sorted(map(str, checkpoint))}"
        ) from error
    config = tokenizer_config(arch)
    if expected is not None and expected != config:
        raise MocapError(f"{path}: expected a tokenizer of {expected}, found one of {config}")
    return import_tokenizer(net, config, str(path))


def import_tokenizer(net: Mapping[str, Tensor], config: TokenizerConfig, source: str) -> PoseTokenizer:
    """The tokenizer of released weights, in evaluation mode.

    Raises:
        MocapError: a tensor is missing, unknown or of another size (says both sizes).
    """
    tokenizer = PoseTokenizer(config)
    names = tokenizer_keys(config)
    net = {key.removeprefix("module."): value for key, value in net.items()}
    # The released file may carry the body model that its losses used; it is licensed, and no part of the network.
    net = {key: value for key, value in net.items() if "body_model" not in key}
    tokenizer.load({names.get(key, key): value for key, value in net.items()}, source)
    return tokenizer.eval()


def tokenizer_config(arch: Mapping[str, Any]) -> TokenizerConfig:
    """Sizes of TokenHMR's ``ARCH`` node.

    Raises:
        MocapError: a field is missing, or asks for another quantiser or rotation than the released tokenizer has.
    """
    known = {"QUANTIZER": "ema_reset", "ROT_TYPE": "rot6d"}
    for name, value in known.items():
        if arch.get(name, value) != value:
            raise MocapError(f"Tokenizer: expected {name} = {value}, found {arch[name]}")
    try:
        joints, ups, downs = int(arch["NB_JOINTS"]), int(arch["TOKEN_SIZE_MUL"]), int(arch["DOWN_T"])
        return TokenizerConfig(
            tokens=joints // 10 * 10 * 2**ups // 2**downs,
            codes=int(arch["NB_CODE"]),
            code_dim=int(arch["CODE_DIM"]),
            width=int(arch["WIDTH"]),
            depth=int(arch["DEPTH"]),
            dilation=int(arch["DILATION_RATE"]),
            upsamples=ups,
            downsamples=downs,
            decoder_stages=int(arch["TOKEN_SIZE_DIV"]),
            joints=joints,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MocapError(f"Tokenizer: expected its sizes in ARCH, found {dict(arch)} ({error!r})") from error


def tokenizer_keys(config: TokenizerConfig) -> dict[str, str]:
    """Released key -> ours. The released encoder and decoder are flat lists of layers, numbered with their activations
    and upsamplings: a convolution at 0, stages at 3, 6, …, then one block per downsampling, then the last."""
    keys = {"quantizer.codebook": "quantizer.codebook"}
    for part, stages, stage in (("encoder", config.upsamples, "stretch"), ("decoder", config.decoder_stages, "shrink")):
        blocks = 3 * stages + 2
        layers = {0: "first", blocks + config.downsamples: "last"}
        layers |= {3 * number + 3: f"{stage}.{number}" for number in range(stages)}
        for number in range(config.downsamples):
            keys |= _block_keys(f"{part}.{part}.{blocks + number}", part, number, config.depth)
        keys |= {f"{part}.{part}.{old}": f"{part}.{new}" for old, new in layers.items()}
    convs = [key for key in keys if key != "quantizer.codebook"]
    for key in convs:
        ours = keys.pop(key)
        keys |= {f"{key}.{tensor}": f"{ours}.{tensor}" for tensor in ("weight", "bias")}
    return keys


def _block_keys(released: str, part: str, number: int, depth: int) -> dict[str, str]:
    """Encoder: convolution, residual stack. Decoder: residual stack, convolution."""
    conv, stack = (0, 1) if part == "encoder" else (1, 0)
    keys = {f"{released}.{conv}": f"{part}.{'halve' if part == 'encoder' else 'blend'}.{number}"}
    for layer in range(depth):
        model = f"{released}.{stack}.model.{layer}"
        keys[f"{model}.conv1"] = f"{part}.stacks.{number}.wide.{layer}"
        keys[f"{model}.conv2"] = f"{part}.stacks.{number}.narrow.{layer}"
    return keys
