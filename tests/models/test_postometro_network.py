from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from mocap.errors import MocapError
from mocap.models.backbones import make_backbone
from mocap.models.hrnet import HRNetConfig
from mocap.models.network_file import from_dict
from mocap.models.pct import PctConfig
from mocap.models.postometro_network import (
    PctNetwork,
    PostoMetroNetwork,
    PostoMetroNetworkConfig,
    build,
    read,
    resized,
)
from mocap.models.resnet import ResNetConfig
from mocap.models.swin import SwinConfig
from mocap.models.systems import SYSTEMS
from tests.models.small_networks import POSTOMETRO, network, small_body
from tests.models.test_swin import SMALL as SMALL_SWIN


@pytest.fixture(scope="module")
def whole() -> PostoMetroNetwork:
    found = network("postometro", small_body())
    assert isinstance(found, PostoMetroNetwork)
    return found


def picture(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_the_mesh_knows_the_pose(whole: PostoMetroNetwork) -> None:
    """Each backbone gets the picture in its own size, and what PCT finds reaches the mesh."""
    tokens = whole.pose(picture())
    assert tokens is not None
    assert whole.pct is not None
    torch.testing.assert_close(tokens.embeddings, whole.pct(picture()).embeddings)
    found = whole(picture())
    assert found.vertices.shape == (2, 500, 3)
    small = resized(picture(), 32)
    torch.testing.assert_close(whole.metro(small, tokens.embeddings, tokens.score).vertices, found.vertices)
    other = whole.mesh(picture(), tokens.embeddings + 1, tokens.score)
    assert (other.vertices - found.vertices).abs().max() > 1e-4
    assert (whole.mesh(picture()).vertices - found.vertices).abs().max() > 1e-4  # FastMETRO


def test_pct_is_frozen(whole: PostoMetroNetwork) -> None:
    whole.train()
    assert whole.pct is not None
    before = {name: value.clone() for name, value in whole.pct.state_dict().items()}
    whole(picture()).vertices.sum().backward()
    assert not any(part.training for part in whole.pct.modules())
    assert all(parameter.grad is None for parameter in whole.pct.parameters())
    first = whole.metro.modulator.embed.weight.grad
    assert first is not None
    assert first.abs().max() > 0
    for name, value in whole.pct.state_dict().items():
        torch.testing.assert_close(value, before[name])
    whole.zero_grad(set_to_none=True)
    whole.eval()


def test_without_pct_it_is_fastmetro(whole: PostoMetroNetwork) -> None:
    sampler = csr_matrix(whole.metro.sampler.numpy())
    alone = PostoMetroNetwork(replace(POSTOMETRO, pct=None), whole.neighbours.numpy(), sampler).eval()
    assert alone.pct is None
    assert alone.config.picture == 32
    weights = {name: value for name, value in whole.state_dict().items() if not name.startswith("pct.")}
    alone.load_state_dict(weights)
    small = resized(picture(), 32)
    torch.testing.assert_close(alone(small).vertices, whole.metro(small).vertices)


def test_its_weights_hold_the_mesh(whole: PostoMetroNetwork) -> None:
    again = build(POSTOMETRO, whole.state_dict())
    torch.testing.assert_close(again.metro.sampler, whole.metro.sampler)
    torch.testing.assert_close(again.metro.blocked, whole.metro.blocked)
    assert again.vertices == 500


@pytest.mark.parametrize("config", [SYSTEMS["postometro"].config(), POSTOMETRO, replace(POSTOMETRO, pct=None)])
def test_its_configuration_goes_through_json(config: PostoMetroNetworkConfig) -> None:
    """Backbones of two kinds in one field."""
    assert from_dict(PostoMetroNetworkConfig, json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize("config", [ResNetConfig((1, 1, 1, 1), 2), HRNetConfig(2, (1, 1, 1), 1, 2), SMALL_SWIN])
def test_either_backbone_fits_either_part(config: Any) -> None:
    pct = replace(POSTOMETRO.pct or PctConfig(), image_channels=config.features)
    tokens = PctNetwork(pct, make_backbone(config)).eval()(picture())
    assert tokens.embeddings.shape == (2, 6, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": ResNetConfig((1, 1, 1, 1), 4)}, "metro.image_channels, the backbone's: 128; found 64"),
        ({"pct_side": 128}, r"pct.cells, of pct_side / 32: 16; found 4"),
        ({"pct_backbone": SwinConfig(width=8)}, "the side of Swin's picture: 256; found 64"),
        ({"pct_backbone": HRNetConfig(2)}, "PCT's backbone's: 30; found 64"),
    ],
)
def test_parts_that_do_not_fit_are_an_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MocapError, match=message):
        replace(POSTOMETRO, **change)


def test_other_files_are_an_error(whole: PostoMetroNetwork) -> None:
    with pytest.raises(MocapError, match=r"expected neighbours and a sampler of \(20, 20, 60\) vertices, found \(9, 9"):
        PostoMetroNetwork(POSTOMETRO, np.eye(9, dtype=bool), csr_matrix(np.ones((30, 60))))
    with pytest.raises(MocapError, match=r"nothing was released\), found x\.pth"):
        read([Path("x.pth")])
    with pytest.raises(KeyError):
        build(POSTOMETRO, {})


def test_pictures_of_the_right_size_are_left_alone() -> None:
    given = picture()
    assert resized(given, 64) is given
    half = resized(given, 32)
    torch.testing.assert_close(half, nn.functional.avg_pool2d(given, 2))
