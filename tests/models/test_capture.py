from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mocap.errors import MocapError
from mocap.models.capture import (
    LOOKED_AT,
    CaptureNetwork,
    CaptureNetworkConfig,
    CaptureStep,
    CaptureTokens,
    CaptureWindow,
    config_of,
    load_capture,
    save_capture,
)
from mocap.models.regressor import RegressorConfig, root_in_camera
from mocap.models.temporal import TemporalConfig
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig, save_tokenizer

TOKENIZER = TokenizerConfig(tokens=42, codes=16, code_dim=2, width=12, per_joint=True)
CONFIG = CaptureNetworkConfig(
    RegressorConfig(width=16, depth=1, heads=2, feedback=12, slot_width=8, tokenizer=TOKENIZER),
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
        # Fresh blocks are the identity, and the look at the first pose says nothing.
        for part in (network.regressor.blocks, network.temporal, network.heads.feedback):
            assert part is not None
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
    first, second = (network(given, T, known, causal)[-1]["R"].unflatten(0, (CLIPS, FRAMES)) for given in (one, other))
    far = (first - second).abs().amax((2, 3, 4)) > 1e-6
    return [(int(clip), int(frame)) for clip, frame in far.nonzero()]


@torch.no_grad()
def test_without_time_no_frame_knows_of_another(network: CaptureNetwork) -> None:
    whole, other = (network(given)[-1]["R"] for given in (seen(), changed_at(1, 2)))
    apart = (whole - other).abs().amax((1, 2, 3)) > 1e-6
    assert apart.nonzero().flatten().tolist() == [FRAMES + 2]
    part = network({name: value[4:9] for name, value in seen().items()})[-1]["R"]
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
        outs = network(lost, T, known, CAUSAL)
    assert all(torch.isfinite(part).all() for out in outs for part in out.values())


@torch.no_grad()
def test_untrained_parts_change_nothing() -> None:
    network = CaptureNetwork(CONFIG, PoseTokenizer(TOKENIZER)).eval()
    alone, clip = network(seen()), network(seen(), T, KNOWN, BOTH)
    assert len(alone) == len(clip) == 2
    for name, value in alone[0].items():
        for other in (alone[1], *clip):
            torch.testing.assert_close(other[name], value)


def test_all_but_the_tokenizer_learns(network: CaptureNetwork) -> None:
    network.zero_grad()
    given = seen()
    given["visibility"][0, 0] = -1
    outs = network(given, T, KNOWN, CAUSAL)
    values = [part for out in outs for part in out.values()]
    sum((part.square() * torch.arange(part[0].numel()).view(part[0].shape)).sum() for part in values).backward()
    still = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    assert {name for name in still if "tokenizer" not in name} == set()
    assert any("tokenizer" in name for name in still)


@torch.no_grad()
def test_the_look_at_the_first_pose_sees_how_far_it_is_off(network: CaptureNetwork) -> None:
    """The second pose depends on landmarks that the tokens, here always the same, know nothing of."""
    tokens, given = torch.randn(CLIPS * FRAMES, 26, 16, generator=torch.Generator().manual_seed(0)), seen()
    first, second = network.heads(tokens, given)
    for name in LOOKED_AT[:3]:
        again = network.heads(tokens, {**given, name: seen(seed=1)[name]})
        assert torch.equal(again[0]["R"], first["R"])
        assert (again[1]["R"] - second["R"]).abs().amax((1, 2, 3)).min() > 1e-7, name
    lost = {**given, "visibility": torch.full_like(given["visibility"], -1.0)}
    other = {**lost, "landmarks_px": seen(seed=1)["landmarks_px"]}
    assert torch.equal(network.heads(tokens, lost)[1]["R"], network.heads(tokens, other)[1]["R"])
    without = CaptureNetwork(replace(CONFIG, regressor=replace(CONFIG.regressor, feedback=0)), PoseTokenizer(TOKENIZER))
    assert len(without(given)) == 1


@torch.no_grad()
def test_frame_by_frame_is_the_causal_clip(network: CaptureNetwork) -> None:
    expected = network(seen(), T, KNOWN, CAUSAL)[-1]
    step, frames = CaptureStep(network), {name: v.unflatten(0, (CLIPS, FRAMES)) for name, v in seen().items()}
    memory = step.temporal.start(CLIPS, 26)
    for frame in range(FRAMES):
        now = {name: value[:, frame] for name, value in frames.items()}
        out = step(**now, elapsed=torch.full((CLIPS,), 1 / 30), reset=torch.zeros(CLIPS), **memory)
        memory = {name: out.pop(name) for name in memory}
        for name, value in expected.items():
            torch.testing.assert_close(out[name], value.unflatten(0, (CLIPS, FRAMES))[:, frame], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_window_is_a_clip_seen_to_both_sides(network: CaptureNetwork) -> None:
    place = 2
    expected = network(seen(), T, KNOWN, BOTH)[-1]["R"].unflatten(0, (CLIPS, FRAMES))[:, place]
    tokens = CaptureTokens(network)(**seen())["tokens"].unflatten(0, (CLIPS, FRAMES))
    looked_at = {name: seen()[name].unflatten(0, (CLIPS, FRAMES))[:, place] for name in LOOKED_AT}
    out = CaptureWindow(network, place)(tokens, T, KNOWN.float(), **looked_at)
    torch.testing.assert_close(out["R"], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_file_gives_the_same_network(network: CaptureNetwork, tmp_path: Path) -> None:
    save_tokenizer(network.heads.heads.tokenizer, tmp_path / "tokenizer.npz", {})
    save_capture(network, tmp_path / "capture.npz", {"note": 1})
    again = load_capture(tmp_path / "capture.npz", tmp_path / "tokenizer.npz")
    assert again.config == network.config
    out, expected = (n(seen(), T, KNOWN, BOTH)[-1] for n in (again, network))
    torch.testing.assert_close(out["betas"], expected["betas"], rtol=0.01, atol=0.01)  # half precision
    assert config_of(asdict(CONFIG), "here") == CONFIG
    other = replace(TOKENIZER, codes=32)
    save_tokenizer(PoseTokenizer(other), tmp_path / "other.npz", {})
    with pytest.raises(MocapError, match=r"codebook 16 × 2.*codebook 32 × 2"):
        load_capture(tmp_path / "capture.npz", tmp_path / "other.npz")
    with pytest.raises(MocapError, match="here: expected the learned capture's sizes"):
        config_of({"regressor": {}}, "here")


def test_the_pelvis_is_where_the_head_points() -> None:
    generator = torch.Generator().manual_seed(0)
    camera = 0.3 * torch.randn(50, 3, generator=generator)
    roi = torch.tensor([600.0, 300, 400, 0.3]) + 50 * torch.randn(50, 4, generator=generator)
    intrinsics = torch.tensor([800.0, 640, 360, 0.1]) + 20 * torch.randn(50, 4, generator=generator)
    p = root_in_camera(camera, roi, intrinsics)
    px = p[:, :2] / p[:, 2:] * intrinsics[:, :1] + intrinsics[:, 1:3]
    torch.testing.assert_close((px - roi[:, :2]) / roi[:, 2:3], camera[:, 1:], rtol=1e-3, atol=1e-4)
    across = p[:, 2] * roi[:, 2] / intrinsics[:, 0]  # what the square spans at the pelvis, m
    torch.testing.assert_close(across, 2.2 * camera[:, 0].exp())


def test_a_head_that_says_nothing_puts_the_pelvis_on_the_squares_axis() -> None:
    roi = torch.tensor([[640.0, 360, 440, 0.0], [840, 360, 440, 0]])
    p = root_in_camera(torch.zeros(2, 3), roi, torch.tensor([[800.0, 640, 360]]).expand(2, 3))
    torch.testing.assert_close(p, torch.tensor([[0.0, 0, 4], [1, 0, 4]]))


def test_no_depth_is_so_wrong_that_it_is_behind_the_camera() -> None:
    camera = torch.tensor([[100.0, 0, 0], [-100, 0, 0]])
    p = root_in_camera(camera, torch.tensor([[640.0, 360, 440, 0]]), torch.tensor([[800.0, 640, 360, 0]]))
    assert torch.isfinite(p).all()
    assert (p[:, 2] > 0.1).all()
