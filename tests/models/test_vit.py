from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mocap.models.checkpoints import renamed
from mocap.models.tokenhmr import RULES
from mocap.models.vit import DECODER, QueryDecoder, VisionTransformer, VitConfig
from mocap.models.weights import load_weights

from .small_tokenhmr import DECODER as SMALL_DECODER
from .small_tokenhmr import VIT, image, released_vit


def network(config: VitConfig = VIT) -> VisionTransformer:
    vit = VisionTransformer(config)
    load_weights(vit, renamed(released_vit(config), RULES), "test")
    return vit.eval()


def with_torchs_layers(config: VitConfig, weights: dict[str, Tensor], image: Tensor) -> Tensor:
    """The same network from the released weights and torch's own encoder layers."""
    margin = config.margin
    x = nn.functional.conv2d(
        image[..., margin:-margin],
        weights["patch_embed.proj.weight"],
        weights["patch_embed.proj.bias"],
        config.patch,
        padding=2,
    )
    place = weights["pos_embed"]
    x = x.flatten(2).mT + place[:, 1:] + place[:, :1]
    names = {
        "self_attn.in_proj_": "attn.qkv.", "self_attn.out_proj.": "attn.proj.",
        "linear1.": "mlp.fc1.", "linear2.": "mlp.fc2.", "norm1.": "norm1.", "norm2.": "norm2.",
    }  # fmt: skip
    hidden = int(config.dim * config.expansion)
    for number in range(config.layers):
        layer = nn.TransformerEncoderLayer(
            config.dim, config.heads, hidden, 0.0, "gelu", config.eps, batch_first=True, norm_first=True
        )
        state = {
            ours + kind: weights[f"blocks.{number}.{theirs}{kind}"]
            for ours, theirs in names.items()
            for kind in ("weight", "bias")
        }
        layer.load_state_dict(state)
        x = layer(x)
    shape, eps = (config.dim,), config.eps
    return nn.functional.layer_norm(x, shape, weights["last_norm.weight"], weights["last_norm.bias"], eps)


@torch.no_grad()
def test_computes_what_torchs_encoder_layers_compute() -> None:
    torch.testing.assert_close(network()(image()), with_torchs_layers(VIT, released_vit(), image()))


@torch.no_grad()
def test_margins_are_not_seen_and_the_rest_is() -> None:
    vit, x = network(), image()
    masked = x.clone()
    masked[..., : VIT.margin] = 7
    masked[..., -VIT.margin :] = 7
    torch.testing.assert_close(vit(masked), vit(x))
    x[..., VIT.margin] = 7
    assert (vit(x) - vit(masked)).abs().max() > 1e-3


@torch.no_grad()
def test_class_place_belongs_to_every_patch() -> None:
    one, all_ = network(), network()
    one.place[:, :1] += 0.5
    all_.place[:, 1:] += 0.5
    torch.testing.assert_close(one(image()), all_(image()))


@torch.no_grad()
@pytest.mark.parametrize("overlap", [1, 2])
def test_batch_is_single_and_tokens_fill_the_grid(overlap: int) -> None:
    config = replace(VIT, width=16, margin=8, patch=16, overlap=overlap)
    vit = network(config)
    both = vit(image())
    assert both.shape == (2, config.grid[0] * config.grid[1], config.dim)
    torch.testing.assert_close(both[1:], vit(image()[1:]))


def test_later_blocks_are_left_out_more_often_and_only_in_training() -> None:
    vit = network()
    assert [block.drop_path for block in vit.blocks] == pytest.approx([0, 0.275, 0.55])
    torch.testing.assert_close(vit(image()), vit(image()))
    vit.train()
    torch.manual_seed(0)
    assert len({float(vit(image(1)).detach().sum()) for _ in range(20)}) > 1


def test_gradients_reach_every_parameter() -> None:
    vit = network()
    vit(image()).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in vit.parameters())


def test_vit_h_has_the_released_number_of_elements() -> None:
    with torch.device("meta"):
        vit = VisionTransformer()
    assert sum(tensor.numel() for tensor in vit.state_dict().values()) == 630_912_000


@pytest.mark.shared
def test_released_vit_h_has_our_tensors(shared: Path) -> None:
    listed = json.loads((shared / "parity/tokenhmr/vit_h_full.keys.json").read_text())["keys"]
    weights = {key: torch.empty(shape, device="meta") for key, (shape, _) in listed.items()}
    with torch.device("meta"):
        vit = VisionTransformer()
    found = {key.removeprefix("vit."): tensor.shape for key, tensor in renamed(weights, RULES).items()}
    assert found == {key: tensor.shape for key, tensor in vit.state_dict().items()}


@torch.no_grad()
def test_decoded_tokens_look_at_each_other_and_at_all_of_the_memory() -> None:
    torch.manual_seed(0)
    decoder = QueryDecoder(replace(SMALL_DECODER, tokens=3, token_dim=4)).eval()
    queries, memory = torch.randn(2, 3, 4), torch.randn(2, 7, 16)
    found = decoder(queries, memory)
    torch.testing.assert_close(found, decoder(queries, memory.flip(1)))  # the memory has no order
    torch.testing.assert_close(found[1:], decoder(queries[1:], memory[1:]))
    changed = queries.clone()
    changed[:, 2] += 1
    assert (decoder(changed, memory)[:, 0] - found[:, 0]).abs().max() > 1e-4
    memory[:, 6] += 1
    assert (decoder(queries, memory) - found).abs().amin((0, 1)).max() > 1e-4


def test_decoder_has_the_released_sizes() -> None:
    with torch.device("meta"):
        decoder = QueryDecoder(DECODER)
    shapes = {key: tuple(tensor.shape) for key, tensor in decoder.state_dict().items()}
    assert shapes["blocks.5.cross_attention.key.weight"] == (512, 1280)
    assert "blocks.5.cross_attention.key.bias" not in shapes
    assert shapes["blocks.0.feed.wide.weight"] == (1024, 1024)
