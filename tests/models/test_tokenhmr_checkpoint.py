from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mocap.errors import MocapError
from mocap.models.tokenhmr_checkpoint import import_network, read
from mocap.models.tokenizer import PoseTokenizer
from mocap.models.tokenizer_checkpoint import tokenizer_keys
from tests.models.small_tokenhmr import SMALL, TOKENIZER, image, released_head, released_vit

ARCH = {
    "CODE_DIM": 8, "NB_CODE": 32, "DOWN_T": 1, "DEPTH": 2, "WIDTH": 12, "QUANTIZER": "ema_reset", "ROT_TYPE": "rot6d",
    "DILATION_RATE": 3, "TOKEN_SIZE_MUL": 2, "TOKEN_SIZE_DIV": 2, "NB_JOINTS": 21,
}  # fmt: skip
HMR2 = replace(SMALL, head=replace(SMALL.head, tokenizer=None))
Change = Callable[[dict[str, Tensor]], object]


def model(config: Any = SMALL) -> dict[str, Tensor]:
    parts = {"backbone.": released_vit(config.vit), "smpl_head.": released_head(config.head)}
    weights = {prefix + key: value for prefix, part in parts.items() for key, value in part.items()}
    return weights | {"smpl.v_template": torch.zeros(3), "initialized": torch.tensor(True)}


def tokenizer() -> tuple[PoseTokenizer, dict[str, Tensor]]:
    torch.manual_seed(0)
    tokenizer = PoseTokenizer(TOKENIZER).eval()
    weights = tokenizer.weights()
    return tokenizer, {key: weights[ours] for key, ours in tokenizer_keys(TOKENIZER).items()}


def test_both_files_become_one_network(tmp_path: Path) -> None:
    ours, net = tokenizer()
    torch.save({"state_dict": model(), "epoch": 3}, tmp_path / "model.ckpt")
    torch.save({"net": net, "hparams": {"ARCH": ARCH}}, tmp_path / "tokenizer.pth")
    network = read([tmp_path / "model.ckpt", tmp_path / "tokenizer.pth"], SMALL)
    assert not network.training
    state, released = network.state_dict(), model()
    query, key, value = (state[f"vit.blocks.1.self_attention.{name}.weight"] for name in ("query", "key", "value"))
    torch.testing.assert_close(torch.cat([query, key, value]), released["backbone.blocks.1.attn.qkv.weight"])
    key, value = (state[f"head.decoder.blocks.1.cross_attention.{name}.weight"] for name in ("key", "value"))
    there = released["smpl_head.transformer.transformer.layers.1.1.fn.to_kv.weight"]
    torch.testing.assert_close(torch.cat([key, value]), there)
    torch.testing.assert_close(state["head.pose.tokenizer.codebook"], ours.quantizer.codebook)
    torch.testing.assert_close(state["head.pose.tokenizer.decoder.last.weight"], ours.decoder.last.weight)
    assert not any("encoder" in name for name in state)


@torch.no_grad()
def test_hmr2_has_no_tokenizer(tmp_path: Path) -> None:
    torch.save({"state_dict": model(HMR2) | {"discriminator.bias": torch.zeros(1)}}, tmp_path / "model.ckpt")
    network = read([tmp_path / "model.ckpt"], HMR2)
    assert network(image())["R"].shape == (2, 24, 3, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("smpl_head.deccam.bias"), "none for 'head.camera.bias'"),
        (lambda weights: weights.update({"smpl_head.decfeet.bias": torch.zeros(1)}), "also 'head.decfeet.bias'"),
        (lambda weights: weights.update({"backbone.pos_embed": torch.zeros(1, 2, 16)}), "of size 1 × 13 × 16, found 1"),
    ],
)
def test_other_weights_are_an_error(change: Change, message: str) -> None:
    weights = model()
    change(weights)
    with pytest.raises(MocapError, match=re.escape(message)):
        import_network(weights, tokenizer()[1], SMALL, "test")


def test_missing_tokenizer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"none for 'head\.pose\.tokenizer\.codebook'"):
        import_network(model(), None, SMALL, "test")
    torch.save({"state_dict": model()}, tmp_path / "model.ckpt")
    with pytest.raises(MocapError, match=r"expected TokenHMR's tokenizer\.pth.* found .*model\.ckpt with state_dict"):
        read([tmp_path / "model.ckpt"], SMALL)
