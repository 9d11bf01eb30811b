"""Small configurations learn eight rendered frames by heart, from scratch: every part of the networks can be trained.

Minutes each, so only when asked for: ``pytest -m slow``.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mocap.assets import asset_path
from mocap.body.torch_figure import Figure
from mocap.body.torch_rotations import geodesic_angle
from mocap.models.independent_tokens import IndependentTokens, IndependentTokensConfig
from mocap.models.tokenhmr import HeadConfig, TokenHmr, TokenHmrConfig
from mocap.models.tokenizer import load_tokenizer
from mocap.models.vit import DecoderConfig, VitConfig
from tests.training.published.eight_frames import LIMIT_M, SIDE, descend, eight_frames

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
STEPS = 1500


def learn(network: nn.Module, run: Callable[[Tensor], Tensor]) -> float:
    """MPJPE in m of the body with the mean shape, after training on rotations and joints."""
    pictures, R, joints = eight_frames()
    figure, betas = Figure(), torch.zeros(len(R), 10)

    def loss() -> Tensor:
        found = run(pictures)
        return (found - R).square().sum((-2, -1)).mean() + 10 * (figure(found, betas)[0] - joints).norm(dim=-1).mean()

    network.train()
    descend(network.parameters(), loss, STEPS)
    network.eval()
    with torch.no_grad():
        found = run(pictures)
    error_m = float((figure(found, betas)[0] - joints).norm(dim=-1).mean())
    print(f"{error_m * 1e3:.2f} mm, rotations {float(geodesic_angle(found, R).rad2deg().mean()):.2f} degrees")
    return error_m


def test_independent_tokens() -> None:
    torch.manual_seed(0)
    config = IndependentTokensConfig(
        picture=SIDE, backbone=None, patch=16, width=96, depth=3, heads=4, hidden=192, temporal=None
    )
    network = IndependentTokens(config)
    assert learn(network, lambda pictures: network(pictures[:, None])["R"][:, 0]) <= LIMIT_M


def test_independent_tokens_over_time() -> None:
    """The eight frames as one clip."""
    torch.manual_seed(0)
    config = IndependentTokensConfig(
        picture=SIDE, backbone=None, patch=16, width=96, depth=2, heads=4, hidden=192, temporal_depth=2,
        temporal_heads=4, frames=8,
    )  # fmt: skip
    network = IndependentTokens(config)
    assert learn(network, lambda pictures: network(pictures[None])["R"][0]) <= LIMIT_M


def test_tokenhmr() -> None:
    """With the shipped tokenizer, frozen."""
    torch.manual_seed(0)
    tokenizer = load_tokenizer(asset_path("tokenizer_live.npz"))
    vit = VitConfig(height=SIDE, width=48, margin=8, patch=16, dim=96, layers=3, heads=4, drop_path=0.0)
    decoder = DecoderConfig(width=96, layers=2, heads=4, head_width=24, hidden=192, context=96)
    head = HeadConfig(decoder, tokenizer.config, token_width=32, mixers=2, mixer_hidden=64, mixer_token_hidden=32)
    network = TokenHmr(TokenHmrConfig(vit=vit, head=head, side=SIDE))
    weights = {key.removeprefix("quantizer."): value for key, value in tokenizer.state_dict().items()}
    own = network.head.pose.tokenizer.state_dict()
    network.head.pose.tokenizer.load_state_dict({key: weights[key] for key in own})
    assert learn(network, lambda pictures: network(pictures)["R"]) <= LIMIT_M
