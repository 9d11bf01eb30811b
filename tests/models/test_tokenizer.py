from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mocap.body.torch_rotations import axis_angle_to_matrix, geodesic_angle, random_rotations
from mocap.errors import MocapError
from mocap.models.tokenizer import PAPER, PoseTokenizer, TokenizerConfig, load_tokenizer, save_tokenizer
from mocap.models.tokenizer_networks import _Stretch
from mocap.models.weights import write_weights

SMALL = TokenizerConfig(tokens=20, codes=32, code_dim=8, width=12, upsamples=2, decoder_stages=2)


def poses(count: int, seed: int = 0) -> Tensor:
    return random_rotations((count, 21), torch.Generator().manual_seed(seed))


def tokenizer(config: TokenizerConfig = SMALL, seed: int = 0) -> PoseTokenizer:
    torch.manual_seed(seed)
    return PoseTokenizer(config).eval()


def test_the_papers_sizes() -> None:
    model = PoseTokenizer(PAPER)
    assert sum(value.numel() for value in model.weights().values()) == 13_660_422  # as in the released file
    assert PAPER.encoder_lengths == [40, 80, 160, 320]
    assert PAPER.decoder_lengths == [125, 90, 55, 21]


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, tokens=40, upsamples=2, decoder_stages=1, depth=3),
        replace(SMALL, tokens=24, upsamples=1, downsamples=1),
        replace(SMALL, tokens=10, upsamples=2, downsamples=2),
        replace(SMALL, tokens=64, upsamples=3, joints=23),
        replace(SMALL, tokens=42, per_joint=True),
        replace(SMALL, tokens=23, per_joint=True, stacks=3, joints=23),
    ],
)
def test_any_size_encodes_and_decodes(config: TokenizerConfig) -> None:
    model, R = tokenizer(config), random_rotations((3, config.joints))
    indices = model.encode(R)
    assert indices.shape == (3, config.tokens)
    assert int(indices.max()) < config.codes
    back = model.decode_tokens(indices)
    assert back.shape == R.shape
    torch.testing.assert_close(back @ back.mT, torch.eye(3).expand_as(back), atol=1e-5, rtol=0)


@torch.no_grad()
def test_tokens_per_joint_follow_each_other() -> None:
    model = tokenizer(replace(SMALL, tokens=63, per_joint=True))  # fresh: its stacks are still the identity
    before = poses(1)
    after = before.clone()
    after[:, 10] = poses(1, seed=1)[:, 10]
    moved = (model.latent(after) - model.latent(before)).abs().amax((0, 1)) > 1e-6
    assert moved.nonzero()[:, 0].tolist() == list(range(9 * 3, 12 * 3))  # a convolution sees the joints beside it
    tokens = model.encode(before)
    tokens[:, 10 * 3 : 11 * 3] = (tokens[:, 10 * 3 : 11 * 3] + 1) % SMALL.codes
    turned = geodesic_angle(model.decode_tokens(tokens), model.decode_tokens(model.encode(before)))[0] > 1e-3
    assert turned.nonzero()[:, 0].tolist() == [9, 10, 11]


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, tokens=42, per_joint=True)])
@torch.no_grad()
def test_starts_near_the_rest_pose(config: TokenizerConfig) -> None:
    R = tokenizer(config).decode_tokens(torch.randint(config.codes, (50, config.tokens)))
    angles = geodesic_angle(R, torch.eye(3).expand_as(R))
    assert angles.median(0).values.max() < 1.0  # no joint is upside down, or anywhere, as it would be from zero


@torch.no_grad()
def test_all_ways_to_decode_agree() -> None:
    model, R = tokenizer(), poses(5)
    indices = model.encode(R)
    reconstruction = model(R)
    torch.testing.assert_close(reconstruction.indices, indices)
    torch.testing.assert_close(model.decode_tokens(indices), reconstruction.R)
    logits = 200.0 * F.one_hot(indices, SMALL.codes)
    torch.testing.assert_close(model.decode_logits(logits), reconstruction.R)


@torch.no_grad()
def test_tokens_are_the_nearest_codes() -> None:
    model, R = tokenizer(), poses(4)
    latent = model.latent(R).transpose(1, 2)
    distances = (latent[:, :, None] - model.quantizer.codebook).square().sum(-1)  # (B, M, K), without the expansion
    torch.testing.assert_close(model.encode(R), distances.argmin(-1))


@torch.no_grad()
def test_a_pose_does_not_see_its_neighbours_in_the_batch() -> None:
    model, R = tokenizer(), poses(6)
    together = model.encode(R)
    alone = torch.cat([model.encode(R[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(model.decode_tokens(together)[2:3], model.decode_tokens(together[2:3]))


@pytest.mark.parametrize(("old", "new"), [(21, 160), (21, 80), (21, 64), (21, 63), (21, 40), (1, 5)])
def test_the_short_way_to_a_stretched_sequence(old: int, new: int) -> None:
    torch.manual_seed(0)
    x, conv = torch.randn(2, 4, old, requires_grad=True), torch.nn.Conv1d(4, 6, 3, padding=1)
    stretch = _Stretch(old, new)
    assert (stretch.places is not None) == (new > 3 * old)
    slow, fast = conv(F.interpolate(x, new)), stretch(x, conv)
    torch.testing.assert_close(fast, slow)
    inputs, weight = (x, *conv.parameters()), torch.randn_like(slow)
    for ours, theirs in zip(
        torch.autograd.grad(fast, inputs, weight), torch.autograd.grad(slow, inputs, weight), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_gradients_reach_logits_and_encoder() -> None:
    model = tokenizer()
    logits = torch.randn(2, SMALL.tokens, SMALL.codes, requires_grad=True)
    model.decode_logits(logits)[..., 0, 1].sum().backward()
    assert logits.grad is not None
    assert (logits.grad.abs().amax(-1) > 0).any()
    model(poses(2)).R[..., 0, 1].sum().backward()
    first = model.encoder.first.weight.grad  # through the straight-through estimator
    assert first is not None
    assert first.abs().max() > 0


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Layers this small spend their time handing work from thread to thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_tiny_tokenizer_learns_to_tell_two_poses_apart() -> None:
    model = tokenizer(replace(SMALL, width=32)).train()
    R = axis_angle_to_matrix(0.6 * torch.randn(2, 21, 3, generator=torch.Generator().manual_seed(1)))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(200):
        found = model(R)
        optimiser.zero_grad()
        (50 * (found.R - R).abs().mean() + found.commitment).backward()
        optimiser.step()
    error = geodesic_angle(model.eval()(R).R, R).mean()
    one_answer_for_both = geodesic_angle(R[0], R[1]).mean() / 2
    assert error < 0.6 * one_answer_for_both


@pytest.mark.parametrize(("half", "atol"), [(False, 0.0), (True, 5e-3)])
def test_saved_and_loaded(half: bool, atol: float, tmp_path: Path) -> None:
    model, R = tokenizer(replace(SMALL, decay=0.95)), poses(3)
    save_tokenizer(model, tmp_path / "t.npz", {"data": "random"}, half=half)
    loaded = load_tokenizer(tmp_path / "t.npz", expected=SMALL)  # how the codebook learned is no size
    assert loaded.config.decay == 0.95
    assert json.loads((tmp_path / "t.json").read_text())["data"] == "random"
    with torch.no_grad():
        tokens = model.encode(R)
        torch.testing.assert_close(loaded.decode_tokens(tokens), model.decode_tokens(tokens), atol=atol, rtol=atol)


def test_a_tokenizer_of_another_size_says_both_sizes(tmp_path: Path) -> None:
    save_tokenizer(tokenizer(), tmp_path / "t.npz", {})
    with pytest.raises(MocapError, match=r"expected a tokenizer of 40 tokens.*found one of 20 tokens"):
        load_tokenizer(tmp_path / "t.npz", expected=replace(SMALL, tokens=40))
    with pytest.raises(MocapError, match=r"dilation 2.*dilation 3"):
        load_tokenizer(tmp_path / "t.npz", expected=replace(SMALL, dilation=2))
    with pytest.raises(MocapError, match=r"'quantizer\.codebook' of size 64 × 8, found 32 × 8"):
        PoseTokenizer(replace(SMALL, codes=64)).load(tokenizer().weights(), "t.npz")


def test_the_file_is_enough(tmp_path: Path) -> None:
    save_tokenizer(tokenizer(), tmp_path / "t.npz", {"data": "random"}, half=True)
    assert json.loads((tmp_path / "t.json").read_text())["config"]["tokens"] == 20
    (tmp_path / "t.json").unlink()
    assert load_tokenizer(tmp_path / "t.npz").config == SMALL


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    with pytest.raises(MocapError, match=r"t\.npz: expected the weights of a tokenizer .*found no such file"):
        load_tokenizer(path)
    path.write_bytes(b"PK no archive")
    with pytest.raises(MocapError, match=r"t\.npz: expected the weights of a tokenizer"):
        load_tokenizer(path)
    write_weights(path, {"tokenz": 3}, tokenizer().weights())
    with pytest.raises(MocapError, match=r"expected a tokenizer's sizes.*tokenz"):
        load_tokenizer(path)


def test_missing_and_unknown_weights_are_named() -> None:
    weights = tokenizer().weights()
    weights["decoder.end.bias"] = weights.pop("decoder.last.bias")
    with pytest.raises(MocapError, match=r"none for 'decoder\.last\.bias'"):
        tokenizer().load(weights, "t")
    weights["decoder.last.bias"] = weights["decoder.end.bias"]
    with pytest.raises(MocapError, match=r"also 'decoder\.end\.bias'"):
        tokenizer().load(weights, "t")


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(MocapError, match=r"divisible by 2\^\(upsamples - 1\) = 8, found 20"):
        TokenizerConfig(tokens=10, upsamples=4)
    with pytest.raises(MocapError, match="at least 1, found codes"):
        TokenizerConfig(codes=0)
    with pytest.raises(MocapError, match="multiple of its 21 joints, found 80"):
        TokenizerConfig(tokens=80, per_joint=True)
