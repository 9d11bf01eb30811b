from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mocap.errors import MocapError
from mocap.models import hrnet, resnet
from mocap.models.checkpoints import renamed
from mocap.models.hrnet import HRNet, HRNetConfig
from mocap.models.resnet import ResNet, ResNetConfig
from mocap.models.weights import load_weights

SMALL = {
    "resnet": lambda: ResNet(ResNetConfig(blocks=(1, 2, 1, 1), width=4)),
    "hrnet": lambda: HRNet(HRNetConfig(width=4, modules=(1, 2, 1), blocks=1, stem=4)),
}


def small(name: str) -> nn.Module:
    torch.manual_seed(0)
    network = SMALL[name]()
    for key, buffer in network.named_buffers():  # a fresh batch norm does nothing
        if "running" in key:
            buffer.uniform_(*(0.5, 1.5) if key.endswith("var") else (-0.2, 0.2))
    return network.eval()


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_a_picture_has_the_features_that_it_has_in_a_batch(name: str) -> None:
    network, pictures = small(name), torch.randn(3, 3, 96, 64)
    features = network(pictures)
    assert features.shape == (3, network.config.features, 3, 2)
    torch.testing.assert_close(network(pictures[1:2]), features[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_learns(name: str) -> None:
    network = small(name).train()
    network(torch.randn(4, 3, 64, 64)).square().mean().backward()
    assert [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_its_graph_is_whole(name: str) -> None:
    network, picture = small(name), torch.randn(1, 3, 64, 64)
    program = torch.export.export(network, (picture,), strict=True)
    torch.testing.assert_close(program.module()(picture), network(picture))


def test_sizes_are_the_published_ones() -> None:
    with torch.device("meta"):
        resnet_50, hrnet_w48 = ResNet(), HRNet()
    classifier = 2048 * 1000 + 1000
    assert sum(value.numel() for value in resnet_50.parameters()) == 25_557_032 - classifier
    heatmaps = 48 * 24 + 24
    assert sum(value.numel() for value in hrnet_w48.state_dict().values()) == 65_972_687 - heatmaps
    assert (resnet_50.config.features, hrnet_w48.config.features) == (2048, 720)


def test_torchvision_weights_load_by_name_and_by_number() -> None:
    network, other = small("resnet"), SMALL["resnet"]()
    named = network.state_dict() | {"fc.weight": torch.zeros(10, 128), "fc.bias": torch.zeros(10)}
    load_weights(other, renamed(named, resnet.RULES), "torchvision")
    number = {"conv1": "0", "bn1": "1", **{f"layer{layer}": str(layer + 3) for layer in range(1, 5)}}
    numbered = {number[key.split(".")[0]] + key[key.index(".") :]: value for key, value in network.state_dict().items()}
    assert "4.0.conv1.weight" in numbered
    load_weights(SMALL["resnet"](), renamed(numbered, resnet.RULES), "children")
    torch.testing.assert_close(other.layer2[1].conv2.weight, named["layer2.1.conv2.weight"])


def released_hrnet(network: nn.Module) -> dict[str, Tensor]:
    """The weights under the released names, and the heatmaps' layer."""
    starts = {
        "stem.0.": "conv1.", "stem.1.": "bn1.", "stem.3.": "conv2.", "stem.4.": "bn2.", "stem.6.": "layer1.0.",
        "stem.7.": "layer1.1.", "narrow.": "transition1.0.", "widen.0.": "transition1.1.0.",
        "widen.1.": "transition2.2.0.", "widen.2.": "transition3.3.0.", "stages.0.": "stage2.", "stages.1.": "stage3.",
        "stages.2.": "stage4.", "shrink.0.": "downsample_stage_1.", "shrink.1.": "downsample_stage_2.",
        "shrink.2.": "downsample_stage_3.",
    }  # fmt: skip
    found = {"final_layer.weight": torch.zeros(24, 4, 1, 1), "final_layer.bias": torch.zeros(24)}
    for key, value in network.state_dict().items():
        start = next(start for start in starts if key.startswith(start))
        found[starts[start] + key[len(start) :]] = value
    return found


@torch.no_grad()
def test_released_hrnet_loads() -> None:
    network, other, picture = small("hrnet"), SMALL["hrnet"]().eval(), torch.randn(1, 3, 64, 64)
    weights = released_hrnet(network)
    load_weights(other, renamed(weights, hrnet.RULES), "released")
    torch.testing.assert_close(other(picture), network(picture))
    del weights["transition2.2.0.0.weight"]
    with pytest.raises(MocapError, match=r"widen\.1\.0\.weight"):
        load_weights(other, renamed(weights, hrnet.RULES), "released")


@torch.no_grad()
def test_every_branch_hears_every_other() -> None:
    exchange = small("hrnet").stages[2][0]  # type: ignore[index]
    maps = [torch.randn(1, 4 * 2**branch, 16 // 2**branch, 16 // 2**branch) for branch in range(4)]
    before = exchange(maps)
    for changed in range(4):
        after = exchange([x + 1.0 * (branch == changed) for branch, x in enumerate(maps)])
        assert all((new != old).any() for new, old in zip(after, before, strict=True))


@pytest.mark.shared
def test_released_hrnet_lists_the_same_tensors(shared: Path) -> None:
    listed = json.loads((shared / "parity/vqhps/hrnet_w48_full.keys.json").read_text())["keys"]
    with torch.device("meta"):
        network = HRNet()
        weights = {key: torch.empty(shape) for key, (shape, _) in listed.items()}
    ours = {key: value.shape for key, value in network.state_dict().items()}
    assert {key: value.shape for key, value in renamed(weights, hrnet.RULES).items()} == ours
