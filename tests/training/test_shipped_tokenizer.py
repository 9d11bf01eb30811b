"""The tokenizer that ships, on the demo clip's exact poses: none of them was in its training."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from mocap.assets import asset_path
from mocap.models.tokenizer import PoseTokenizer, load_tokenizer
from training.evaluate_tokenizer import Meter, inside_limits, random_poses, reconstruction, robustness


@pytest.fixture(scope="module")
def tokenizer() -> PoseTokenizer:
    return load_tokenizer(asset_path("tokenizer_live.npz"))


@pytest.fixture(scope="module")
def poses() -> Tensor:
    with np.load(asset_path("demo.npz")) as truth:
        return torch.as_tensor(truth["R_parent_joint"][0, ::4, 1:22]).float()


def test_poses_survive_and_noise_does_not(tokenizer: PoseTokenizer, poses: Tensor) -> None:
    meter = Meter()
    figures = reconstruction(tokenizer, poses, meter)
    assert figures["mpjpe_mm"] < 6  # 3.6 when it was made
    assert robustness(tokenizer, poses, meter)["closer_by"] > 0.3


def test_any_tokens_make_a_possible_pose(tokenizer: PoseTokenizer) -> None:
    assert inside_limits(random_poses(tokenizer, 200)).mean() > 0.9


def test_the_sidecar_says_what_it_is(tokenizer: PoseTokenizer) -> None:
    note = json.loads(asset_path("tokenizer_live.json").read_text(encoding="utf-8"))
    assert note["size"]["weights"] == sum(weight.numel() for weight in tokenizer.weights().values())
    assert note["config"]["tokens"] == tokenizer.config.tokens
    assert {"accad_c3d", "cmu_amc"} <= set(note["trained_on"]["licences"])
