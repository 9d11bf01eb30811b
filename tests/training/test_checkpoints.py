from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from mocap.errors import MocapError
from mocap.models import tokenizer_checkpoint
from mocap.models.checkpoints import read_file
from mocap.models.tokenizer import PAPER, PoseTokenizer, TokenizerConfig, load_tokenizer
from training import checkpoints

ARCH = {
    "CODE_DIM": 8, "NB_CODE": 32, "DOWN_T": 1, "DEPTH": 2, "WIDTH": 12, "QUANTIZER": "ema_reset", "ROT_TYPE": "rot6d",
    "DILATION_RATE": 3, "TOKEN_SIZE_MUL": 2, "TOKEN_SIZE_DIV": 2, "NB_JOINTS": 21,
}  # fmt: skip
CONFIG = TokenizerConfig(tokens=40, codes=32, code_dim=8, width=12, upsamples=2, decoder_stages=2)


def released(config: TokenizerConfig = CONFIG) -> dict[str, Tensor]:
    """Random weights under the released names."""
    weights = PoseTokenizer(config).weights()
    return {key: weights[ours] for key, ours in tokenizer_checkpoint.tokenizer_keys(config).items()}


@pytest.fixture
def cfg_node(monkeypatch: pytest.MonkeyPatch) -> type[dict[str, Any]]:
    """yacs' class as pickle sees it: a dict with attributes, in a module that need not be installed to read it."""

    class CfgNode(dict[str, Any]):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.__dict__["__immutable__"] = True
            self.__dict__["__deprecated_keys__"] = set[str]()

    CfgNode.__module__, CfgNode.__qualname__ = "yacs.config", "CfgNode"
    module = ModuleType("yacs.config")
    module.CfgNode = CfgNode  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "yacs", ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    return CfgNode


@pytest.fixture
def save(
    tmp_path: Path, cfg_node: type[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, Tensor], dict[str, Any]], Path]:
    """Writes a tokenizer.pth as released, and takes yacs away again."""

    def write(net: dict[str, Tensor], arch: dict[str, Any]) -> Path:
        path = tmp_path / "tokenizer.pth"
        torch.save({"net": net, "hparams": cfg_node({"ARCH": cfg_node(arch)})}, path)
        monkeypatch.delitem(sys.modules, "yacs.config")
        return path

    return write


def test_released_layers_get_our_names() -> None:
    keys = tokenizer_checkpoint.tokenizer_keys(PAPER)
    assert keys["encoder.encoder.12.weight"] == "encoder.stretch.3.weight"
    assert keys["encoder.encoder.14.0.bias"] == "encoder.halve.0.bias"
    assert keys["encoder.encoder.14.1.model.1.conv2.weight"] == "encoder.stacks.0.narrow.1.weight"
    assert keys["encoder.encoder.15.weight"] == "encoder.last.weight"
    assert keys["decoder.decoder.3.weight"] == "decoder.shrink.0.weight"
    assert keys["decoder.decoder.14.0.model.0.conv1.weight"] == "decoder.stacks.0.wide.0.weight"
    assert keys["decoder.decoder.14.1.weight"] == "decoder.blend.0.weight"
    assert keys["quantizer.codebook"] == "quantizer.codebook"
    assert set(keys.values()) == set(PoseTokenizer(PAPER).weights())


@pytest.mark.shared
def test_released_file_lists_the_same_tensors(shared: Path) -> None:
    listed = json.loads((shared / "parity/tokenhmr/tokenizer_full.keys.json").read_text())["keys"]
    ours = PoseTokenizer(PAPER).weights()
    found = {key: list(ours[name].shape) for key, name in tokenizer_checkpoint.tokenizer_keys(PAPER).items()}
    assert found == {key: shape for key, (shape, _) in listed.items()}


@torch.no_grad()
def test_released_file_is_read_without_yacs(save: Callable[..., Path], tmp_path: Path) -> None:
    net = released()
    extras = {"body_model.shapedirs": torch.zeros(3)}
    path = save({f"module.{key}": value for key, value in (net | extras).items()}, ARCH)
    tokenizer = tokenizer_checkpoint.load_released_tokenizer(path, expected=CONFIG)
    assert not tokenizer.training
    torch.testing.assert_close(tokenizer.encoder.last.weight, net["encoder.encoder.9.weight"])
    assert bool(tokenizer.quantizer.initialised)  # training would not start the codebook anew
    assert checkpoints.main([str(path), "--out", str(tmp_path / "ours.npz")]) == 0
    R = torch.eye(3).expand(1, 21, 3, 3)
    ours = load_tokenizer(tmp_path / "ours.npz", expected=CONFIG)
    torch.testing.assert_close(ours(R).R, tokenizer(R).R)


def test_a_file_of_another_size_says_both_sizes(save: Callable[..., Path]) -> None:
    path = save(released(), ARCH)
    with pytest.raises(MocapError, match=r"expected a tokenizer of 160 tokens.*found one of 40 tokens"):
        tokenizer_checkpoint.load_released_tokenizer(path, expected=PAPER)


def test_weights_that_belie_their_sizes_are_refused(save: Callable[..., Path]) -> None:
    path = save(released(replace(CONFIG, codes=16)), ARCH)
    with pytest.raises(MocapError, match=r"'quantizer\.codebook' of size 32 × 8, found 16 × 8"):
        tokenizer_checkpoint.load_released_tokenizer(path)


class Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    path, marker = tmp_path / "tokenizer.pth", tmp_path / "it ran"
    torch.save({"net": Hostile(marker), "hparams": {}}, path)
    with pytest.raises(MocapError, match=r"tokenizer\.pth: expected .* only, found code: \w+\.mkdir"):
        tokenizer_checkpoint.load_released_tokenizer(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["tokenizer.pth", "tokenizer.safetensors"])
def test_files_that_are_no_checkpoints(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    with pytest.raises(MocapError, match="found no file"):
        read_file(path)
    path.write_text("")
    with pytest.raises(MocapError, match="expected a checkpoint"):
        read_file(path)
    path.write_text("hello")
    with pytest.raises(MocapError, match="expected a checkpoint"):
        read_file(path)
    with pytest.raises(SystemExit) as stopped:
        checkpoints.main([str(path), "--out", str(tmp_path / "out.npz")])
    assert stopped.value.code == 1
    assert name in capsys.readouterr().err


def test_other_torch_files_say_what_they_hold(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "model.ckpt")
    with pytest.raises(MocapError, match=r"expected TokenHMR's tokenizer.*found \['state_dict'\]"):
        tokenizer_checkpoint.load_released_tokenizer(tmp_path / "model.ckpt")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(MocapError, match="expected a checkpoint with a dict, found list"):
        read_file(tmp_path / "list.pth")


def test_architectures_that_are_not_the_released_one() -> None:
    assert tokenizer_checkpoint.tokenizer_config(ARCH) == CONFIG
    with pytest.raises(MocapError, match="expected QUANTIZER = ema_reset, found orig"):
        tokenizer_checkpoint.tokenizer_config(ARCH | {"QUANTIZER": "orig"})
    with pytest.raises(MocapError, match="WIDTH"):
        tokenizer_checkpoint.tokenizer_config({key: value for key, value in ARCH.items() if key != "WIDTH"})
