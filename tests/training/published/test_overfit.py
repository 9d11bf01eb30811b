"""Small configurations learn eight rendered frames by heart, from scratch: every part of the networks can be trained.

Minutes each, so only when asked for: ``pytest -m slow``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mocap.assets import asset_path
from mocap.body.torch_figure import Figure
from mocap.body.torch_rotations import geodesic_angle
from mocap.models.image_regressor import frame_from_square
from mocap.models.independent_tokens import IndependentTokens, IndependentTokensConfig
from mocap.models.live_networks import Upright
from mocap.models.tokenhmr import HeadConfig, TokenHmr, TokenHmrConfig
from mocap.models.tokenizer import load_tokenizer
from mocap.models.vit import DecoderConfig, VitConfig
from mocap.people.picture import Picture
from mocap.sources.video import VideoFile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SIDE, STEPS, LIMIT_M = 64, 1500, 5e-3
FRAMES = range(5, 280, 35)


@pytest.fixture(scope="module")
def frames() -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (8, 3, 64, 64), R (8, 24, 3, 3), joints from the pelvis (8, 24, 3) m; camera axes."""
    with np.load(asset_path("demo.npz")) as truth:
        R, px, camera = truth["R_parent_joint"][0], truth["landmarks_px"][0], truth["R_world_camera"]
    pictures = []
    with VideoFile(asset_path("demo.mp4")) as video:
        for index in range(FRAMES[-1] + 1):
            frame = video.read()
            if frame is not None and index in FRAMES:
                low, high = px[index].min(0), px[index].max(0)
                square = (*((low + high) / 2), 1.2 * (high - low).max())
                pictures.append(Picture(frame.rgb).squares(frame_from_square(square, SIDE)[None], SIDE, 0.0, True))
    chosen = torch.from_numpy(R[list(FRAMES)].astype(np.float32))
    chosen[:, 0] = torch.from_numpy(camera.T.astype(np.float32)) @ chosen[:, 0]
    joints, _ = Figure()(chosen, torch.zeros(len(chosen), 10))
    return Upright(nn.Identity()).picture(torch.from_numpy(np.concatenate(pictures))), chosen, joints


def learn(network: nn.Module, run: Callable[[Tensor], Tensor], frames: tuple[Tensor, Tensor, Tensor]) -> float:
    """MPJPE in m of the body with the mean shape, after training on rotations and joints."""
    pictures, R, joints = frames
    figure, betas = Figure(), torch.zeros(len(R), 10)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, 1e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, 1e-5)
    network.train()
    for _ in range(STEPS):
        found = run(pictures)
        loss = (found - R).square().sum((-2, -1)).mean() + 10 * (figure(found, betas)[0] - joints).norm(dim=-1).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        found = run(pictures)
    error_m = float((figure(found, betas)[0] - joints).norm(dim=-1).mean())
    print(f"{error_m * 1e3:.2f} mm, rotations {float(geodesic_angle(found, R).rad2deg().mean()):.2f} degrees")
    return error_m


def test_independent_tokens(frames: tuple[Tensor, Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    config = IndependentTokensConfig(
        picture=SIDE, backbone=None, patch=16, width=96, depth=3, heads=4, hidden=192, temporal=None
    )
    network = IndependentTokens(config)
    assert learn(network, lambda pictures: network(pictures[:, None])["R"][:, 0], frames) <= LIMIT_M


def test_independent_tokens_over_time(frames: tuple[Tensor, Tensor, Tensor]) -> None:
    """The eight frames as one clip."""
    torch.manual_seed(0)
    config = IndependentTokensConfig(
        picture=SIDE, backbone=None, patch=16, width=96, depth=2, heads=4, hidden=192, temporal_depth=2,
        temporal_heads=4, frames=8,
    )  # fmt: skip
    network = IndependentTokens(config)
    assert learn(network, lambda pictures: network(pictures[None])["R"][0], frames) <= LIMIT_M


def test_tokenhmr(frames: tuple[Tensor, Tensor, Tensor]) -> None:
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
    assert learn(network, lambda pictures: network(pictures)["R"], frames) <= LIMIT_M
