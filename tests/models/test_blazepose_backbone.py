"""BlazePose's landmark network as a backbone: the map that the landmark network has, frozen, and maps made before."""

from __future__ import annotations

import pytest
import torch

from mocap.models.blazepose import LANDMARKER, build, sample_images
from mocap.models.blazepose_backbone import MAP, BlazePoseBackbone, BlazePoseConfig, BlazePoseTokens
from mocap.models.independent_tokens import IndependentTokens, IndependentTokensConfig
from mocap.models.network_file import from_dict
from mocap.models.tokenhmr import TokenHmrConfig

_MEAN, _DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def backbone() -> BlazePoseBackbone:
    return BlazePoseBackbone().eval()


def test_the_map_is_the_landmark_network_s(backbone: BlazePoseBackbone) -> None:
    image = torch.from_numpy(sample_images(LANDMARKER)["image"])
    expected = build(LANDMARKER, (MAP,))(image)[MAP].permute(0, 3, 1, 2)
    found = backbone(((image - _MEAN) / _DEVIATION).permute(0, 3, 1, 2))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    config = BlazePoseConfig()
    assert found.shape[1:] == (config.features, config.cells, config.cells)
    assert config.stride * config.cells == LANDMARKER.size


def test_maps_pass(backbone: BlazePoseBackbone) -> None:
    picture = torch.randn(2, 3, 64, 64)
    found = backbone(picture)
    assert backbone(found) is found


def test_nothing_learns_but_the_places() -> None:
    tokens = BlazePoseTokens()
    assert [name for name, weight in tokens.named_parameters() if weight.requires_grad] == ["place"]
    assert tokens(torch.zeros(1, 288, 8, 8)).shape == (1, 64, 288)


def test_independent_tokens_see_it() -> None:
    """A picture, and its map."""
    torch.manual_seed(0)
    config = IndependentTokensConfig(
        picture=64, backbone=BlazePoseConfig(), width=48, depth=1, heads=4, hidden=48, temporal=None
    )
    network, picture = IndependentTokens(config).eval(), torch.randn(1, 1, 3, 64, 64)
    found = network(picture)["R"]
    torch.testing.assert_close(network(network.backbone(picture[0])[None])["R"], found)
    assert (network(torch.randn(1, 1, 3, 64, 64))["R"] - found).abs().max() > 1e-3


def test_a_configuration_survives_its_file() -> None:
    from dataclasses import asdict

    config = TokenHmrConfig(vit=BlazePoseConfig())
    assert from_dict(TokenHmrConfig, asdict(config)) == config
    assert from_dict(TokenHmrConfig, asdict(TokenHmrConfig())) == TokenHmrConfig()
