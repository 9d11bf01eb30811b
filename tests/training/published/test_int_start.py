"""ImageNet's weights, under timm's names, in INT's network; a phase's weights in the next."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mocap.errors import MocapError
from mocap.models.independent_tokens import IndependentTokens, IndependentTokensConfig
from mocap.models.resnet_v2 import ResNetV2Config
from training.published.int_start import start_from_phase, start_from_vit

D, HIDDEN, BLOCKS, SIDE = 8, 16, 3, 32
BACKBONE = ResNetV2Config((1, 1), (16, 32), 8, 4)
CONFIG = IndependentTokensConfig(
    picture=SIDE, backbone=BACKBONE, width=D, hidden=HIDDEN, depth=2, heads=2, temporal_heads=1, temporal_depth=1
)


def vit(cells: int = 16) -> dict[str, Tensor]:
    """timm's names and sizes: a hybrid of two stages, three blocks, a classifier."""
    sizes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, D), "pos_embed": (1, 1 + cells, D), "norm.weight": (D,), "norm.bias": (D,),
        "head.weight": (5, D), "head.bias": (5,), "pre_logits.fc.weight": (D, D), "pre_logits.fc.bias": (D,),
        "patch_embed.proj.weight": (D, 32, 1, 1), "patch_embed.proj.bias": (D,),
    }  # fmt: skip
    for number in range(BLOCKS):
        of = f"blocks.{number}"
        sizes |= {f"{of}.norm{i}.{name}": (D,) for i in (1, 2) for name in ("weight", "bias")}
        sizes |= {f"{of}.attn.qkv.weight": (3 * D, D), f"{of}.attn.qkv.bias": (3 * D,)}
        sizes |= {f"{of}.attn.proj.weight": (D, D), f"{of}.attn.proj.bias": (D,)}
        sizes |= {f"{of}.mlp.fc1.weight": (HIDDEN, D), f"{of}.mlp.fc1.bias": (HIDDEN,)}
        sizes |= {f"{of}.mlp.fc2.weight": (D, HIDDEN), f"{of}.mlp.fc2.bias": (D,)}
    convolutions = {"stem.conv": (8, 3, 7, 7)}
    for stage, (inputs, outputs) in enumerate(((8, 16), (16, 32))):
        inner, of = outputs // 4, f"stages.{stage}.blocks.0"
        convolutions |= {f"{of}.downsample.conv": (outputs, inputs, 1, 1), f"{of}.conv1": (inner, inputs, 1, 1)}
        convolutions |= {f"{of}.conv2": (inner, inner, 3, 3), f"{of}.conv3": (outputs, inner, 1, 1)}
    for name, size in convolutions.items():
        norm = name.replace("conv", "norm")
        sizes[f"patch_embed.backbone.{name}.weight"] = size
        sizes |= {f"patch_embed.backbone.{norm}.{part}": size[:1] for part in ("weight", "bias")}
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(size, generator=generator) for name, size in sizes.items()}


def save(path: Path, weights: dict[str, Tensor]) -> Path:
    torch.save(weights, path)
    return path


def test_vit_is_taken_and_the_rest_is_fresh(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = vit()
    network = IndependentTokens(CONFIG)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with caplog.at_level(logging.INFO):
        start_from_vit(save(tmp_path / "vit.pth", given), network)
    after = network.state_dict()
    assert torch.equal(after["place"], given["pos_embed"])
    assert torch.equal(after["embedding.weight"], given["patch_embed.proj.weight"])
    assert torch.equal(
        after["backbone.stages.1.0.spread.conv.weight"], given["patch_embed.backbone.stages.1.blocks.0.conv2.weight"]
    )
    assert torch.equal(after["blocks.1.self_attention.key.weight"], given["blocks.1.attn.qkv.weight"][D : 2 * D])
    same = {name.split(".")[0] for name, tensor in after.items() if torch.equal(tensor, before[name])}
    fresh = {"joint_tokens", "shape_token", "camera_token", "rotation_head", "shape_head", "camera_head"}
    assert same == fresh | {"temporal", "temporal_place"}
    assert "fresh: camera_head, camera_token, joint_tokens, rotation_head, shape_head" in caplog.text
    assert "left out: head, pre_logits, blocks 2" in caplog.text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pos_embed": torch.zeros(1, 26, D)}, r"'place' of size 1 × 17 × 8, found 1 × 26 × 8"),
        ({"norm.weight": None}, r"found none for 'norm.weight'"),
        ({"blocks.0.attn.extra": torch.zeros(1)}, r"found also 'blocks.0.self_attention.extra'"),
        ({"blocks.1.mlp.fc1.weight": None}, r"found none for 'blocks.1.feed.wide.weight'"),
    ],
)
def test_other_weights_are_refused(tmp_path: Path, change: dict[str, Tensor | None], text: str) -> None:
    weights = {name: tensor for name, tensor in {**vit(), **change}.items() if tensor is not None}
    with pytest.raises(MocapError, match=text):
        start_from_vit(save(tmp_path / "vit.pth", weights), IndependentTokens(CONFIG))


def test_a_checkpoint_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    torch.save({"network": {"width": 8}, "model": {}, "ema": None}, path)
    with pytest.raises(MocapError, match=r"expected a checkpoint of training\.train_int, found one of"):
        start_from_phase(path, IndependentTokens(CONFIG))


def test_another_head_is_fresh(tmp_path: Path) -> None:
    """All joints as one token: its rotation head takes a share of it."""
    first = IndependentTokens(replace(CONFIG, width=24, temporal=None))
    state = {"network": {"system": "int", "config": asdict(first.config)}, "model": first.state_dict(), "ema": None}
    torch.save(state, tmp_path / "best.ckpt")
    network = IndependentTokens(replace(CONFIG, width=24, temporal="pose"))
    start_from_phase(tmp_path / "best.ckpt", network)
    assert torch.equal(network.shape_head.weight, first.shape_head.weight)
    assert network.rotation_head.weight.shape == (6, 1)
