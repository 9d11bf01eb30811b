"""The backbones that published networks may have: pictures (B, 3, H, W) -> last feature map (B, features, H / stride,
W / stride)."""

from __future__ import annotations

from torch import nn

from mocap.models.blazepose_backbone import BlazePoseBackbone, BlazePoseConfig
from mocap.models.hrnet import HRNet, HRNetConfig
from mocap.models.resnet import ResNet, ResNetConfig
from mocap.models.swin import Swin, SwinConfig

BackboneConfig = ResNetConfig | HRNetConfig | SwinConfig | BlazePoseConfig


def make_backbone(config: BackboneConfig) -> nn.Module:
    """The network of a configuration."""
    if isinstance(config, HRNetConfig):
        return HRNet(config)
    if isinstance(config, SwinConfig):
        return Swin(config)
    return BlazePoseBackbone(config) if isinstance(config, BlazePoseConfig) else ResNet(config)
