from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mocap.models.checkpoints import renamed
from mocap.models.tokenhmr import HEAD, RULES, PoseDecoder, SmplHead, TokenHmr, TokenHmrConfig, camera_translation
from mocap.models.tokenizer import PoseTokenizer

from .small_tokenhmr import SMALL, TOKENIZER, image

HMR2 = replace(SMALL, head=replace(SMALL.head, tokenizer=None))


@pytest.fixture(params=[SMALL, HMR2], ids=["tokens", "linear"])
def network(request: pytest.FixtureRequest) -> TokenHmr:
    return made(request.param)


def made(config: TokenHmrConfig) -> TokenHmr:
    torch.manual_seed(0)
    network = TokenHmr(config).eval()
    for parameter in network.vit.parameters():  # they start too small to tell two pictures apart
        parameter.data = 0.3 * torch.randn_like(parameter)
    return network


@torch.no_grad()
def test_gives_bodies_and_batch_is_single(network: TokenHmr) -> None:
    found = network(image())
    R = found["R"]
    assert R.shape == (2, 24, 3, 3)
    torch.testing.assert_close(R @ R.mT, torch.eye(3).expand_as(R), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(2, 24))
    assert found["betas"].shape == (2, 10)
    assert found["p_camera"].shape == found["camera"].shape == (2, 3)
    for name, single in network(image()[1:]).items():
        torch.testing.assert_close(found[name][1:], single, atol=1e-5, rtol=1e-4)
    assert (R[0] - R[1]).abs().max() > 1e-3


@torch.no_grad()
def test_tokens_have_probabilities() -> None:
    found = made(SMALL)(image())
    assert found["probabilities"].shape == (2, TOKENIZER.tokens, TOKENIZER.codes)
    torch.testing.assert_close(found["probabilities"].sum(-1), torch.ones(2, TOKENIZER.tokens))
    assert "probabilities" not in made(HMR2)(image())


def test_gradients_reach_all_but_the_frozen_tokenizer(network: TokenHmr) -> None:
    network.train().vit.eval()  # a dropped block gets none
    found = network(image())
    sum(found[name].square().sum() for name in ("betas", "p_camera")).backward(retain_graph=True)  # type: ignore[union-attr]
    (found["R"] * torch.randn(2, 24, 3, 3)).sum().backward()
    # The one token that is decoded is a zero, so that only the bias of its embedding counts.
    learned = {key: parameter for key, parameter in network.named_parameters() if key != "head.decoder.embed.weight"}
    frozen = {key for key in learned if ".tokenizer." in key}
    assert bool(frozen) == (network.config.head.tokenizer is not None)
    for key, parameter in learned.items():
        if key in frozen:
            assert not parameter.requires_grad, key
        else:
            # Attention of one token to itself depends on its value alone.
            alone = ".self_attention.query" in key or ".self_attention.key" in key
            assert parameter.grad is not None, key
            assert parameter.grad.abs().max() > 0 or alone or key.endswith("key.bias"), key


def test_exports_strictly(network: TokenHmr) -> None:
    program = torch.export.export(network, (image(),), strict=True)
    for name, value in program.module()(image()).items():
        torch.testing.assert_close(value, network(image())[name])


@torch.no_grad()
def test_certain_tokens_are_the_tokenizers_pose() -> None:
    tokenizer = PoseTokenizer(TOKENIZER).eval()
    half = PoseDecoder(TOKENIZER)
    weights = {key.removeprefix("quantizer."): value for key, value in tokenizer.weights().items()}
    half.load_state_dict({key: value for key, value in weights.items() if not key.startswith("encoder.")})
    tokens = torch.randint(TOKENIZER.codes, (3, TOKENIZER.tokens))
    certain = torch.nn.functional.one_hot(tokens, TOKENIZER.codes).float()
    torch.testing.assert_close(half(certain), tokenizer.decode_6d(tokenizer.quantizer.codebook[tokens]))


@torch.no_grad()
def test_predictions_are_differences_to_the_means(network: TokenHmr) -> None:
    head, memory = network.head, torch.randn(2, 5, 16)
    head.mean_pose += torch.tensor([1e4, 0, 0, 0, 1e4, 0]).repeat(24)
    before = head(memory)
    torch.testing.assert_close(before["R"], torch.eye(3).expand(2, 24, 3, 3), atol=1e-2, rtol=0)
    head.mean_betas += 3
    head.mean_camera += 2
    after = head(memory)
    torch.testing.assert_close(after["betas"], before["betas"] + 3)
    torch.testing.assert_close(after["camera"], before["camera"] + 2)


@torch.no_grad()
def test_columns_give_the_inverse_rotations(network: TokenHmr) -> None:
    columns = SmplHead(replace(network.config.head, rotation_6d="columns")).eval()
    columns.load_state_dict(network.head.state_dict())
    memory = torch.randn(2, 5, 16)
    torch.testing.assert_close(columns(memory)["R"], network.head(memory)["R"].mT)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_scale_is_of_a_crop_two_metres_wide(scale: float) -> None:
    p_camera = camera_translation(torch.tensor([scale, 0.3, -0.2]), focal=5000.0, side=256)
    torch.testing.assert_close(p_camera[:2], torch.tensor([0.3, -0.2]))
    half_width = 5000.0 / float(p_camera[2])  # px of one metre
    assert half_width == pytest.approx(128 * scale, rel=1e-5)


def meta_head() -> dict[str, Tensor]:
    with torch.device("meta"):
        state = SmplHead(HEAD).state_dict()
    return {key: tensor for key, tensor in state.items() if ".tokenizer." not in key}


def test_released_head_has_as_many_elements() -> None:
    assert sum(tensor.numel() for tensor in meta_head().values()) == 50_288_124


@pytest.mark.shared
def test_released_head_has_our_tensors(shared: Path) -> None:
    listed = json.loads((shared / "parity/tokenhmr/token_head_full.keys.json").read_text())["keys"]
    weights = {key: torch.empty(shape, device="meta") for key, (shape, _) in listed.items()}
    found = {key.removeprefix("head."): tensor.shape for key, tensor in renamed(weights, RULES).items()}
    assert found == {key: tensor.shape for key, tensor in meta_head().items()}
