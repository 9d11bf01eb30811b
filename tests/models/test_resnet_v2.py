from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mocap.models.resnet_v2 import ResNetV2, ResNetV2Config, StandardisedConv, same_padded

SMALL = ResNetV2Config(layers=(1, 2), channels=(16, 32), stem=8, groups=4)


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [5, 6, 9, 16])
def test_padding_keeps_every_stride_th_place_and_gives_the_odd_one_to_the_end(
    kernel: int, stride: int, size: int
) -> None:
    x = torch.ones(1, 1, size, size + 1)
    padded = same_padded(x, kernel, stride)
    out = F.conv2d(padded, torch.ones(1, 1, kernel, kernel), stride=stride)
    assert out.shape[2:] == (-(-size // stride), -(-(size + 1) // stride))
    before, after = ((padded[0, 0] > 0).any(1).float().argmax().item(), padded.shape[2] - size)
    assert after - before in (before, before + 1)


def test_filters_count_by_their_pattern_not_by_scale_or_mean() -> None:
    torch.manual_seed(0)
    conv, x = StandardisedConv(3, 8, 3, 1, 4), torch.randn(2, 3, 6, 6)
    before = conv(x)
    with torch.no_grad():
        conv.conv.weight.mul_(7).add_(2)
    torch.testing.assert_close(conv(x), before, rtol=1e-3, atol=1e-3)


def test_pooling_takes_nothing_from_beyond_the_border() -> None:
    """Zeros stand for the minus infinity that the published pooling has there."""
    x = torch.rand(2, 4, 7, 8)
    outside = F.pad(x, (0, 1, 1, 1), value=-torch.inf)
    assert torch.equal(F.max_pool2d(same_padded(x, 3, 2), 3, 2), F.max_pool2d(outside, 3, 2))


@pytest.mark.parametrize("size", [32, 33, 40])
def test_the_map_has_a_cell_for_each_stride(size: int) -> None:
    out = ResNetV2(SMALL)(torch.randn(2, 3, size, 32))
    assert SMALL.stride == 8
    assert out.shape == (2, 32, -(-size // 8), 4)


def test_full_size() -> None:
    with torch.device("meta"):
        network = ResNetV2(ResNetV2Config())
        assert network(torch.empty(1, 3, 224, 224)).shape == (1, 1024, 14, 14)
    blocks = [len(stage) for stage in network.stages]  # type: ignore[arg-type]
    assert blocks == [3, 4, 9]
