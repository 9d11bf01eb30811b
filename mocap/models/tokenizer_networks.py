"""The convolutions of the pose tokenizer: two ways from joints to tokens and back.

The *sequence* layout is TokenHMR's: the sequence of the joints is stretched to the number of tokens, and shrunk again.
The *joint* layout keeps the sequence of the joints throughout: a joint's tokens are slices of its channels.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocap.body.torch_rotations import matrix_to_rows6d

if TYPE_CHECKING:
    from mocap.models.tokenizer import TokenizerConfig


class _ResidualStack(nn.Module):
    """(B, width, L) -> same: ``x + conv1(relu(conv3(relu(x))))`` for each dilation, the widest first."""

    def __init__(self, width: int, depth: int, dilation: int) -> None:
        super().__init__()
        steps = [dilation**power for power in reversed(range(depth))]
        self.wide = nn.ModuleList(nn.Conv1d(width, width, 3, padding=step, dilation=step) for step in steps)
        self.narrow = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in steps)

    def start_as_identity(self) -> None:
        for parameter in self.narrow.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        for wide, narrow in zip(self.wide, self.narrow, strict=True):
            x = x + narrow(F.relu(wide(F.relu(x))))
        return x


class _Resample(nn.Module):
    """(B, C, old) -> (B, C, new) by the nearest neighbour, with the positions that torch's interpolation takes.

    They are fixed once: OpenVINO's interpolation rounds to other neighbours, two places off after four stages.
    """

    index: Tensor

    def __init__(self, old: int, new: int) -> None:
        super().__init__()
        index = F.interpolate(torch.arange(old, dtype=torch.float32)[None, None], new)[0, 0].long()
        self.register_buffer("index", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(-1, self.index)


class _Stretch(nn.Module):
    """:class:`_Resample` and then a convolution of three taps, computed at the old length where the new is far longer.

    A convolution over repeated entries: each tap is applied to the old entries once, and the new ones are sums of
    three of these products. From 21 joints to 160 places that is a fourth of the time, and the same numbers.
    """

    places: Tensor | None

    def __init__(self, old: int, new: int) -> None:
        super().__init__()
        self.resample = _Resample(old, new)
        source = F.pad(F.one_hot(self.resample.index, old), (0, 0, 1, 1))  # (new + 2, old), none at the two ends
        taps = torch.stack([source[tap : tap + new].T for tap in range(3)])  # (3, old, new)
        self.register_buffer("places", taps.flatten(0, 1).float() if new > 3 * old else None, persistent=False)

    def forward(self, x: Tensor, conv: nn.Conv1d) -> Tensor:
        """(B, C, old) -> (B, C', new), which is ``conv(resample(x))``."""
        if self.places is None or conv.bias is None:
            out: Tensor = conv(self.resample(x))
            return out
        taps = F.conv1d(x, conv.weight.transpose(1, 2).flatten(0, 1)[..., None])  # (B, C' 3, old)
        stretched = taps.unflatten(1, (-1, 3)).flatten(2) @ self.places.to(taps.dtype)
        return stretched + conv.bias.to(taps.dtype)[:, None]


class SequenceEncoder(nn.Module):
    """(B, 6, joints) -> (B, D, M)."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        width = config.width
        self.first = _conv3(6, width)
        lengths = itertools.pairwise([config.joints, *config.encoder_lengths])
        self.lengthen = nn.ModuleList(_Stretch(old, new) for old, new in lengths)
        self.stretch = nn.ModuleList(_conv3(width, width) for _ in self.lengthen)
        downs = range(config.downsamples)
        self.halve = nn.ModuleList(nn.Conv1d(width, width, 4, stride=2, padding=1) for _ in downs)
        self.stacks = nn.ModuleList(_ResidualStack(width, config.depth, config.dilation) for _ in downs)
        self.last = _conv3(width, config.code_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for lengthen, conv in zip(self.lengthen, self.stretch, strict=True):
            x = F.relu(lengthen(x, conv))
        for halve, stack in zip(self.halve, self.stacks, strict=True):
            x = stack(halve(x))
        return self.last(x)


class SequenceDecoder(nn.Module):
    """(B, D, M) -> (B, 6, joints)."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        width = config.width
        self.first = _conv3(config.code_dim, width)
        lengths = itertools.pairwise([config.tokens, *config.decoder_lengths])
        self.resample = nn.ModuleList(_Resample(old, new) for old, new in lengths)
        self.shrink = nn.ModuleList(_conv3(width, width) for _ in self.resample)
        downs = range(config.downsamples)
        self.stacks = nn.ModuleList(_ResidualStack(width, config.depth, config.dilation) for _ in downs)
        self.blend = nn.ModuleList(_conv3(width, width) for _ in downs)
        self.last = _to_joints(width)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for resample, conv in zip(self.resample, self.shrink, strict=True):
            x = F.relu(conv(resample(x)))
        for stack, blend in zip(self.stacks, self.blend, strict=True):
            x = blend(stack(x))
        return self.last(x)


class JointEncoder(nn.Module):
    """(B, 6, joints) -> (B, D, M): the tokens of a joint follow each other."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.tokens_of_joint = config.tokens // config.joints
        self.first = _conv3(6, config.width)
        self.trunk = _JointTrunk(config)
        self.last = nn.Conv1d(config.width, self.tokens_of_joint * config.code_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.trunk(self.first(x)))
        return x.unflatten(1, (-1, self.tokens_of_joint)).transpose(2, 3).flatten(2)


class JointDecoder(nn.Module):
    """(B, D, M) -> (B, 6, joints)."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.tokens_of_joint = config.tokens // config.joints
        self.first = nn.Conv1d(self.tokens_of_joint * config.code_dim, config.width, 1)
        self.trunk = _JointTrunk(config)
        self.last = _to_joints(config.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(2, (-1, self.tokens_of_joint)).transpose(2, 3).flatten(1, 2)
        return self.last(self.trunk(self.first(x)))


class _JointTrunk(nn.Module):
    """(B, width, joints) -> same: a bias for each joint, then residual stacks that start as the identity.

    The convolutions share their weights among the joints; by the bias they can tell which one they see. No ReLU stands
    in the way from the first layer to the last, so that encoder and decoder start as linear maps and learn the rest.
    """

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.joint = nn.Parameter(torch.zeros(config.width, config.joints))
        stacks = [_ResidualStack(config.width, config.depth, config.dilation) for _ in range(config.stacks)]
        for stack in stacks:
            stack.start_as_identity()
        self.stacks = nn.ModuleList(stacks)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.joint
        for stack in self.stacks:
            x = stack(x)
        return x


def _conv3(inputs: int, outputs: int) -> nn.Conv1d:
    return nn.Conv1d(inputs, outputs, 3, padding=1)


def _to_joints(width: int) -> nn.Conv1d:
    """The decoder's end, which starts at the rest pose: from zero a joint may turn upside down and stay so."""
    conv = _conv3(width, 6)
    conv.bias = nn.Parameter(matrix_to_rows6d(torch.eye(3)))
    return conv
