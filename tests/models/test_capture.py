from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mocap.errors import MocapError
from mocap.models.capture import (
    CaptureNetwork,
    CaptureNetworkConfig,
    CaptureStep,
    CaptureTokens,
    CaptureWindow,
    config_of,
    load_capture,
    save_capture,
)
from mocap.models.regressor import RegressorConfig, root_in_camera, seen_from, view_rotation
from mocap.models.temporal import TemporalConfig
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig, save_tokenizer

TOKENIZER = TokenizerConfig(tokens=42, codes=16, code_dim=2, width=12, per_joint=True)
CONFIG = CaptureNetworkConfig(
    RegressorConfig(width=16, depth=1, heads=2, slot_width=8, image_channels=288, tokenizer=TOKENIZER),
    TemporalConfig(width=16, depth=2, heads=2, window=4),
)
CLIPS, FRAMES = 3, 6
T = (torch.arange(FRAMES) / 30).expand(CLIPS, -1)
KNOWN = torch.ones(CLIPS, FRAMES, dtype=torch.bool)
CAUSAL, BOTH = torch.ones(CLIPS, dtype=torch.bool), torch.zeros(CLIPS, dtype=torch.bool)
Seen = dict[str, Tensor]


@pytest.fixture(scope="module")
def network() -> CaptureNetwork:
    torch.manual_seed(0)
    network = CaptureNetwork(CONFIG, PoseTokenizer(TOKENIZER)).eval()
    with torch.no_grad():
        for part in (network.regressor.blocks, network.temporal):  # fresh ones are the identity
            for parameter in part.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def seen(seed: int = 0) -> Seen:
    generator, count = torch.Generator().manual_seed(seed), CLIPS * FRAMES
    return {
        "landmarks_px": 400 + 100 * torch.randn(count, 33, 3, generator=generator),
        "landmarks_world": torch.randn(count, 33, 3, generator=generator),
        "visibility": torch.rand(count, 33, generator=generator),
        "roi": torch.tensor([400.0, 380, 500, 0.1]).repeat(count, 1),
        "camera": torch.tensor([900.0, 640, 360, 0.2]).repeat(count, 1),
        "shape": torch.randn(count, 11, generator=generator),
        "image": torch.rand(count, 16, 288, generator=generator),
    }


def changed_at(clip: int, frame: int) -> Seen:
    given, other = seen(), seen(seed=1)
    return {
        name: torch.where(
            (torch.arange(CLIPS * FRAMES) == clip * FRAMES + frame).view(-1, *[1] * (v.ndim - 1)), other[name], v
        )
        for name, v in given.items()
    }


@torch.no_grad()
def differs(
    network: CaptureNetwork, one: Seen, other: Seen, causal: Tensor, known: Tensor = KNOWN
) -> list[tuple[int, int]]:
    """Clip and frame of the poses in which two inputs make a difference."""
    first, second = (network(given, T, known, causal)["R"].unflatten(0, (CLIPS, FRAMES)) for given in (one, other))
    far = (first - second).abs().amax((2, 3, 4)) > 1e-6
    return [(int(clip), int(frame)) for clip, frame in far.nonzero()]


@torch.no_grad()
def test_without_time_no_frame_knows_of_another(network: CaptureNetwork) -> None:
    whole, other = (network(given)["R"] for given in (seen(), changed_at(1, 2)))
    apart = (whole - other).abs().amax((1, 2, 3)) > 1e-6
    assert apart.nonzero().flatten().tolist() == [FRAMES + 2]
    part = network({name: value[4:9] for name, value in seen().items()})["R"]
    torch.testing.assert_close(part, whole[4:9], rtol=0, atol=1e-5)


def test_frames_of_a_clip_know_the_past_or_both_sides(network: CaptureNetwork) -> None:
    given, other = seen(), changed_at(1, 2)
    assert differs(network, given, other, CAUSAL) == [(1, 2), (1, 3), (1, 4), (1, 5)]
    assert differs(network, given, other, BOTH) == [(1, frame) for frame in range(FRAMES)]
    mixed = torch.tensor([False, True, False])
    assert differs(network, given, other, mixed) == [(1, 2), (1, 3), (1, 4), (1, 5)]


def test_nobody_looks_at_a_frame_in_which_nobody_is_seen(network: CaptureNetwork) -> None:
    known = KNOWN.clone()
    known[1, 2] = False
    assert differs(network, seen(), changed_at(1, 2), BOTH, known) == [(1, 2)]
    lost = seen()
    lost["visibility"][FRAMES + 2] = -1
    with torch.no_grad():
        out = network(lost, T, known, CAUSAL)
    assert all(torch.isfinite(part).all() for part in out.values())


@torch.no_grad()
def test_untrained_parts_change_nothing() -> None:
    network = CaptureNetwork(CONFIG, PoseTokenizer(TOKENIZER)).eval()
    alone, clip = network(seen()), network(seen(), T, KNOWN, BOTH)
    for name, value in alone.items():
        torch.testing.assert_close(clip[name], value)


def test_all_but_the_tokenizer_learns(network: CaptureNetwork) -> None:
    network.zero_grad()
    given = seen()
    given["visibility"][0, 0] = -1
    values = network(given, T, KNOWN, CAUSAL).values()
    sum((part.square() * torch.arange(part[0].numel()).view(part[0].shape)).sum() for part in values).backward()
    still = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    assert {name for name in still if "tokenizer" not in name} == set()
    assert any("tokenizer" in name for name in still)


@torch.no_grad()
def test_without_tokens_the_rotations_are_told_at_once(network: CaptureNetwork) -> None:
    config = replace(CONFIG, regressor=replace(CONFIG.regressor, tokenized=False))
    at_once = CaptureNetwork(config, PoseTokenizer(TOKENIZER)).eval()
    at_once.load_state_dict(
        {name: value for name, value in network.state_dict().items() if "turn" in name}, strict=False
    )
    tokens, given = torch.randn(CLIPS * FRAMES, 26, 16, generator=torch.Generator().manual_seed(0)), seen()
    out, whole = (n.heads(tokens, given["roi"], given["camera"]) for n in (at_once, network))
    assert set(whole) - set(out) == {"logits"}
    assert network.heads.tokenizer is not None
    decoded = network.heads.tokenizer.decode_logits(whole["logits"])
    torch.testing.assert_close(whole["R"][:, 1:], decoded @ out["R"][:, 1:])


@torch.no_grad()
def test_noise_on_the_logits_moves_the_body_alone(network: CaptureNetwork) -> None:
    tokens, given = torch.randn(CLIPS * FRAMES, 26, 16, generator=torch.Generator().manual_seed(0)), seen()
    plain = network.heads(tokens, given["roi"], given["camera"])
    noise = torch.randn(plain["logits"].shape, generator=torch.Generator().manual_seed(1))
    noisy = network.heads(tokens, given["roi"], given["camera"], noise)
    assert torch.equal(noisy["R"][:, 0], plain["R"][:, 0])
    assert (noisy["R"] - plain["R"])[:, 1:].abs().amax((1, 2, 3)).min() > 1e-4


@torch.no_grad()
def test_frame_by_frame_is_the_causal_clip(network: CaptureNetwork) -> None:
    expected = network(seen(), T, KNOWN, CAUSAL)
    step, frames = CaptureStep(network), {name: v.unflatten(0, (CLIPS, FRAMES)) for name, v in seen().items()}
    memory = step.temporal.start(CLIPS, 26)
    for frame in range(FRAMES):
        now = {name: value[:, frame] for name, value in frames.items()}
        out = step(**now, **memory)
        slot = frame % memory["age"].shape[1]  # the oldest
        memory["keys"][..., slot, :], memory["values"][..., slot, :] = out.pop("key"), out.pop("value")
        memory["age"][:, slot], memory["known"][:, slot] = 0, 1
        memory["age"] += 1 / 30
        for name, value in expected.items():
            torch.testing.assert_close(out[name], value.unflatten(0, (CLIPS, FRAMES))[:, frame], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_window_is_a_clip_seen_to_both_sides(network: CaptureNetwork) -> None:
    place = 2
    expected = network(seen(), T, KNOWN, BOTH)["R"].unflatten(0, (CLIPS, FRAMES))[:, place]
    tokens = CaptureTokens(network)(**seen())["tokens"].unflatten(0, (CLIPS, FRAMES))
    now = {name: seen()[name].unflatten(0, (CLIPS, FRAMES))[:, place] for name in ("roi", "camera")}
    out = CaptureWindow(network, place)(tokens, T, KNOWN.float(), **now)
    torch.testing.assert_close(out["R"], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_file_gives_the_same_network(network: CaptureNetwork, tmp_path: Path) -> None:
    assert network.heads.tokenizer is not None
    save_tokenizer(network.heads.tokenizer, tmp_path / "tokenizer.npz", {})
    save_capture(network, tmp_path / "capture.npz", {"note": 1})
    again = load_capture(tmp_path / "capture.npz", tmp_path / "tokenizer.npz")
    assert again.config == network.config
    out, expected = (n(seen(), T, KNOWN, BOTH) for n in (again, network))
    torch.testing.assert_close(out["betas"], expected["betas"], rtol=0.01, atol=0.01)  # half precision
    assert config_of(asdict(CONFIG), "here") == CONFIG
    other = replace(TOKENIZER, codes=32)
    save_tokenizer(PoseTokenizer(other), tmp_path / "other.npz", {})
    with pytest.raises(MocapError, match=r"codebook 16 × 2.*codebook 32 × 2"):
        load_capture(tmp_path / "capture.npz", tmp_path / "other.npz")
    with pytest.raises(MocapError, match="here: expected the learned capture's sizes"):
        config_of({"regressor": {}}, "here")


def test_the_pelvis_is_where_the_head_points() -> None:
    """Seen by a camera that is turned to the square's middle."""
    generator = torch.Generator().manual_seed(0)
    head = 0.3 * torch.randn(50, 3, generator=generator)
    roi = torch.tensor([600.0, 300, 400, 0.3]) + 50 * torch.randn(50, 4, generator=generator)
    camera = torch.tensor([800.0, 640, 360, 0.1]) + 20 * torch.randn(50, 4, generator=generator)
    R = view_rotation(roi, camera)
    torch.testing.assert_close(R @ R.mT, torch.eye(3).expand(50, 3, 3), rtol=0, atol=1e-5)
    ray = torch.cat([(roi[:, :2] - camera[:, 1:3]) / camera[:, :1], torch.ones(50, 1)], 1)
    torch.testing.assert_close(R[..., 2], ray / ray.norm(dim=1, keepdim=True))
    p = (R.mT @ root_in_camera(head, roi, camera)[..., None])[..., 0]
    scale = camera[:, :1] / roi[:, 2:3]
    torch.testing.assert_close(p[:, :2] / p[:, 2:] * scale, head[:, 1:], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(p[:, 2] / scale[:, 0], 2.2 * head[:, 0].exp())


def test_where_in_the_picture_somebody_stands_does_not_matter() -> None:
    """A camera that turns about its own middle: the landmarks lie as far from the square's middle as before."""
    camera = torch.tensor([[900.0, 640, 360, 0.0]])
    px = torch.cat([700 + 60 * torch.randn(33, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(33, 1)], 1)
    turn = view_rotation(torch.tensor([[200.0, 250, 1, 0]]), camera)[0]

    def turned(points: Tensor) -> Tensor:
        rays = torch.cat([(points[:, :2] - camera[0, 1:3]) / 900, torch.ones(len(points), 1)], 1) @ turn.mT
        return torch.cat([rays[:, :2] / rays[:, 2:] * 900 + camera[0, 1:3], points[:, 2:]], 1)

    middle, offsets = torch.tensor([[700.0, 690, 0]]), []
    for points, at in ((px, middle), (turned(px), turned(middle))):
        roi = torch.cat([at[:, :2], torch.tensor([[300.0, 0]])], 1)
        offsets.append(seen_from(points[None], camera, view_rotation(roi, camera)).norm(dim=-1))
    torch.testing.assert_close(offsets[1], offsets[0], rtol=1e-3, atol=1e-4)


def test_a_head_that_says_nothing_puts_the_pelvis_on_the_squares_axis() -> None:
    roi = torch.tensor([[640.0, 360, 440, 0.0], [840, 360, 440, 0]])
    p = root_in_camera(torch.zeros(2, 3), roi, torch.tensor([[800.0, 640, 360, 0]]).expand(2, 4))
    aside = 4 / 17**0.5
    torch.testing.assert_close(p, torch.tensor([[0.0, 0, 4], [aside, 0, 4 * aside]]))


def test_no_depth_is_so_wrong_that_it_is_behind_the_camera() -> None:
    camera = torch.tensor([[100.0, 0, 0], [-100, 0, 0]])
    p = root_in_camera(camera, torch.tensor([[640.0, 360, 440, 0]]), torch.tensor([[800.0, 640, 360, 0]]))
    assert torch.isfinite(p).all()
    assert (p[:, 2] > 0.1).all()
