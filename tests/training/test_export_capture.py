"""The mean of several runs' weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mocap.errors import MocapError
from mocap.models.capture import CaptureNetwork, CaptureNetworkConfig
from mocap.models.regressor import RegressorConfig
from mocap.models.temporal import TemporalConfig
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig
from training.export_capture import mean

TOKENIZER = TokenizerConfig(tokens=42, codes=16, code_dim=2, width=12, per_joint=True)
SMALL = CaptureNetworkConfig(
    RegressorConfig(width=16, depth=1, heads=2, stem=8, tokenizer=TOKENIZER), TemporalConfig(width=16, depth=1, heads=2)
)


def network(seed: int, config: CaptureNetworkConfig = SMALL) -> CaptureNetwork:
    torch.manual_seed(0)
    tokenizer = PoseTokenizer(TOKENIZER)
    torch.manual_seed(seed)
    return CaptureNetwork(config, tokenizer)


def test_each_weight_is_the_mean() -> None:
    states = [network(seed).state_dict() for seed in (1, 2, 4)]
    found = mean([network(seed) for seed in (1, 2, 4)]).state_dict()
    assert any(not torch.equal(states[0][name], states[1][name]) for name in found)
    for name, value in found.items():
        expected = sum(state[name].double() for state in states) / 3
        assert value.dtype == states[0][name].dtype, name
        torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-7, msg=name)


def test_of_one_it_is_itself() -> None:
    expected = network(3).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in mean([network(3)]).state_dict().items())


def test_other_sizes_are_refused() -> None:
    other = replace(SMALL, temporal=TemporalConfig(width=16, depth=2, heads=2))
    with pytest.raises(MocapError, match="one size"):
        mean([network(1), network(1, other)])
