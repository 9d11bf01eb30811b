from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mocap.errors import MocapError
from mocap.models.swin import (
    Swin,
    SwinBlock,
    SwinConfig,
    WindowAttention,
    apart,
    joined,
    log_offsets,
    offset_index,
    windows,
)

SMALL = SwinConfig(side=64, width=8, blocks=(2, 2, 2, 1), heads=(2, 2, 4, 4), window=4, bias_hidden=6, drop_path=0.0)


def small(config: SwinConfig = SMALL) -> Swin:
    """Blocks that add something from the start."""
    torch.manual_seed(0)
    network = Swin(config)
    for name, value in network.named_parameters():
        if name.endswith("_norm.weight"):
            torch.nn.init.uniform_(value, 0.5, 1.5)
    return network.eval()


def test_windows_are_taken_apart_and_joined() -> None:
    x = torch.arange(2 * 8 * 8 * 3).float().reshape(2, 8, 8, 3)
    found = windows(x, 4)
    assert found.shape == (8, 16, 3)
    torch.testing.assert_close(found[5].reshape(4, 4, 3), x[1, :4, 4:])  # the second picture's upper right
    torch.testing.assert_close(joined(found, 8), x)


def changed(block: SwinBlock, row: int, column: int) -> Tensor:
    """Which cells of the output notice a change of one cell (8, 8) bool."""
    torch.manual_seed(1)
    x = torch.randn(1, 8, 8, 16)
    other = x.clone()
    other[:, row, column] += 1
    return (block(other) - block(x)).abs().amax(-1)[0] > 1e-6


@torch.no_grad()
def test_cells_see_their_window_alone() -> None:
    """Shifted by 2 of 4 cells: one window spans cells 2 to 5, and those at the border are cut, not wrapped around."""
    network = small()
    plain, shifted = network.stages[1]
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[:4, 4:] = True
    assert (changed(plain, 1, 6) == expected).all()
    for cell, rows, columns in (((3, 4), (2, 6), (2, 6)), ((0, 7), (0, 2), (6, 8)), ((7, 3), (6, 8), (2, 6))):
        expected = torch.zeros(8, 8, dtype=torch.bool)
        expected[slice(*rows), slice(*columns)] = True
        assert (changed(shifted, *cell) == expected).all(), cell


def test_parts_of_a_shifted_map() -> None:
    blocked = apart(8, 4, 2)
    assert blocked.shape == (4, 16, 16)
    assert not blocked[0].any()
    assert [int((~window).sum()) for window in blocked] == [256, 2 * 64, 2 * 64, 4 * 16]


@torch.no_grad()
def test_attention_is_of_cosines() -> None:
    """It does not change with the size of the tokens, only what is heard does."""
    torch.manual_seed(0)
    attention, x = WindowAttention(16, 4, 3, 3, 5), torch.randn(2, 9, 16)
    bias = attention.out.bias
    torch.testing.assert_close(attention(3 * x) - bias, 3 * (attention(x) - bias), rtol=1e-4, atol=1e-5)
    attention.scale.fill_(50.0)  # far above the limit
    assert torch.isfinite(attention(x)).all()


@torch.no_grad()
def test_the_bias_depends_on_the_offset_alone() -> None:
    bias = WindowAttention(16, 4, 3, 3, 5).place_bias()
    assert bias.shape == (4, 9, 9)
    assert ((bias > 0) & (bias < 16)).all()
    torch.testing.assert_close(bias[:, 0, 4], bias[:, 4, 8])  # one down and one across
    torch.testing.assert_close(bias[:, 1, 3], bias[:, 5, 7])
    assert (bias[:, 0, 4] - bias[:, 4, 0]).abs().max() > 1e-6
    offsets = log_offsets(3, 3)[offset_index(3)]
    torch.testing.assert_close(offsets, -offsets.transpose(0, 1))
    torch.testing.assert_close(offsets[8, 0], torch.full((2,), 9.0).log() / torch.tensor(8.0).log())


@torch.no_grad()
def test_other_windows_keep_their_offsets() -> None:
    """Log-spaced, and counted by the window that weights were trained with: those nearby have the same places."""
    trained, larger = log_offsets(3, 3).reshape(5, 5, 2), log_offsets(5, 3).reshape(9, 9, 2)
    torch.testing.assert_close(larger[2:7, 2:7], trained)


@torch.no_grad()
def test_a_picture_has_the_features_that_it_has_in_a_batch() -> None:
    network, pictures = small(), torch.randn(3, 3, 64, 64)
    features = network(pictures)
    assert features.shape == (3, SMALL.features, 2, 2)
    torch.testing.assert_close(network(pictures[1:2]), features[1:2], rtol=1e-4, atol=1e-5)
    program = torch.export.export(network, (pictures[:1],), strict=True)
    torch.testing.assert_close(program.module()(pictures[:1]), features[:1], rtol=1e-4, atol=1e-5)


def test_every_weight_learns() -> None:
    network = small().train()
    network(torch.randn(2, 3, 64, 64)).square().mul(torch.rand(2, 64, 2, 2)).mean().backward()
    assert [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_the_size_is_the_published_one() -> None:
    with torch.device("meta"):
        count = sum(value.numel() for value in Swin().parameters())
    classifier = 1024 * 1000 + 1000
    assert abs(count + classifier - 87.9e6) < 0.1e6  # SwinV2-B, table 6


@pytest.mark.parametrize("config", [{"side": 250}, {"side": 192, "window": 16}])
def test_windows_have_to_fit(config: dict[str, int]) -> None:
    with pytest.raises(MocapError, match=r"Swin: expected a side that 32 divides.* found"):
        SwinConfig(**config)  # type: ignore[arg-type]
