"""A small learned capture of random weights, and people for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mocap.assets import asset_path
from mocap.models.capture import CaptureNetwork, CaptureNetworkConfig, save_capture
from mocap.models.regressor import RegressorConfig
from mocap.models.temporal import TemporalConfig
from mocap.models.tokenizer import load_tokenizer
from mocap.people.landmarks import FEATURES
from mocap.types import Camera, Person, Roi

WINDOW = 5
CAMERA = Camera(1280, 720, 900.0)


def write_weights(folder: Path, image_channels: int) -> Path:
    """A small network of random weights, none of its blocks the identity."""
    torch.manual_seed(0)
    tokenizer = load_tokenizer(asset_path("tokenizer_live.npz"))
    regressor = RegressorConfig(
        width=16, depth=1, heads=2, stem=12, slot_width=8, image_channels=image_channels, tokenizer=tokenizer.config
    )
    temporal = TemporalConfig(width=16, depth=2, heads=2, window=WINDOW)
    network = CaptureNetwork(CaptureNetworkConfig(regressor, temporal), tokenizer)
    for name, parameter in network.named_parameters():
        if "blocks" in name:
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    path = folder / "small.npz"
    save_capture(network, path, {"what": "a test"})
    return path


def person(seed: int, track_id: int = 0) -> Person:
    rng = np.random.default_rng(seed)
    px = np.float32(rng.normal((640, 360, 0), 120, (33, 3)))
    world = np.float32(rng.normal(0, 0.4, (33, 3)))
    visibility, features = np.float32(rng.random(33)), np.float32(rng.random(FEATURES))
    return Person(track_id, Roi((640.0, 360.0), 500.0, 0.1), 0.9, px, world, visibility, features)
