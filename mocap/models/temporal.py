"""INT's temporal transformer: the tokens of each joint over time, one sequence a joint, weights shared by the joints.

A clip is seen at once, causally or to both sides (:class:`JointTemporal`). Live, one frame comes at a time and older
ones are kept as keys and values (:class:`TemporalStep`); both give the same causal output. Time enters in seconds, as
rotary embedding (Su et al., 2021) of time differences: neither the frame rate nor the clock's zero matters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from mocap.config import option
from mocap.errors import MocapError
from mocap.models.layers import TransformerBlock


@dataclass(frozen=True)
class TemporalConfig:
    """Sizes.

    Raises:
        MocapError: the width does not divide by twice the heads.
    """

    width: int = option(128, "entries of a token, D", "D", low=1)
    depth: int = option(2, "transformer blocks", "N", low=1)
    heads: int = option(4, "of the attention", "N", low=1)
    expansion: int = option(2, "hidden width of the feed-forward part, times the width", "N", low=1)
    window: int = option(32, "frames that a frame sees, itself included, to each side", "N", low=2)
    memory_s: float = option(1.1, "what lies farther off than this is not seen either, s", "SECONDS", low=0)
    shortest_s: float = option(0.1, "shortest period of the rotary embedding", "SECONDS", low=0)
    longest_s: float = option(10.0, "longest period", "SECONDS", low=0)

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise MocapError(
                f"Temporal transformer: expected a width that divides by twice its {self.heads} heads, "
                f"found {self.width}"
            )


class JointTemporal(nn.Module):
    """Pre-norm transformer blocks over time; at first each block is the identity."""

    def __init__(self, config: TemporalConfig | None = None) -> None:
        super().__init__()
        self.config = config or TemporalConfig()
        c = self.config
        self.blocks = nn.ModuleList(TransformerBlock(c.width, c.heads, c.expansion) for _ in range(c.depth))
        self.turn = _Rotary(c.width // c.heads, c.shortest_s, c.longest_s)

    @property
    def layers(self) -> list[TransformerBlock]:
        """The blocks, first to last."""
        return [cast(TransformerBlock, block) for block in self.blocks]

    def forward(self, tokens: Tensor, t: Tensor, known: Tensor, causal: Tensor) -> Tensor:
        """A clip at once, (B, T, J, D) -> same.

        Args:
            tokens: (B, T, J, D).
            t: (B, T) s, increasing.
            known: (B, T) bool; nobody looks at the other frames, which still get an output.
            causal: (B,) bool; these clips see the past alone, the others both sides.
        """
        frame = torch.arange(t.shape[1], device=t.device)
        back = frame[:, None] - frame  # (T, T) how many frames a key lies before its query
        near = back.abs() < self.config.window
        seen = torch.where(causal[:, None, None], near & (back >= 0), near) & known[:, None]
        seen = seen & ((t[:, :, None] - t[:, None]).abs() < self.config.memory_s) | (back == 0)
        x, t = tokens.transpose(1, 2), t - t[:, -1:]  # (B, J, T, D); small times keep float32's precision
        for block in self.layers:
            keys, values = block.remember(x)
            x = block.hear(x, self.turn(block.ask(x), t), self.turn(keys, t), values, seen[:, None, None])
        return x.transpose(1, 2)


class TemporalStep(nn.Module):
    """One frame of each of P persons: what :class:`JointTemporal` gives causally. No person sees another.

    A past is {"keys", "values": (P, depth, J, heads, W - 1, D / heads), "age": (P, W - 1) seconds before now, "known":
    (P, W - 1) 1 where there is a frame}, W frames being the window, in any order: the ages tell when they were. Who
    calls writes the new key and value over the oldest, so that nothing large has to move from frame to frame.
    """

    def __init__(self, temporal: JointTemporal) -> None:
        super().__init__()
        self.temporal = temporal

    def start(self, persons: int, joints: int) -> dict[str, Tensor]:
        """The past of persons who were never seen."""
        config = self.temporal.config
        kept = config.window - 1
        memory = (persons, config.depth, joints, config.heads, kept, config.width // config.heads)
        return {
            "keys": torch.zeros(memory),
            "values": torch.zeros(memory),
            "age": torch.zeros(persons, kept),
            "known": torch.zeros(persons, kept),
        }

    def forward(self, tokens: Tensor, keys: Tensor, values: Tensor, age: Tensor, known: Tensor) -> dict[str, Tensor]:
        """Tokens (P, J, D) and the past -> the new tokens, and the frame's own "key" and "value" (P, depth, J, heads,
        D / heads).
        """
        now = torch.zeros_like(age[:, :1])
        age, known = torch.cat([age, now], 1), torch.cat([known, now + 1], 1)
        seen = (known > 0) & (age < self.temporal.config.memory_s)
        x, new_keys, new_values = tokens[:, :, None], [], []
        for index, block in enumerate(self.temporal.layers):
            key, value = block.remember(x)
            new_keys.append(key[..., 0, :])
            new_values.append(value[..., 0, :])
            turned = self.temporal.turn(torch.cat([keys[:, index], key], 3), -age)  # the query's own time is 0
            heard = torch.cat([values[:, index], value], 3)
            x = block.hear(x, block.ask(x), turned, heard, seen[:, None, None, None])
        return {"tokens": x[:, :, 0], "key": torch.stack(new_keys, 1), "value": torch.stack(new_values, 1)}


class _Rotary(nn.Module):
    """Turns queries and keys by their time, so that their products depend on time differences alone."""

    frequency: Tensor

    def __init__(self, entries: int, shortest_s: float, longest_s: float) -> None:
        super().__init__()
        periods = torch.logspace(math.log10(shortest_s), math.log10(longest_s), entries // 2)
        self.register_buffer("frequency", 2 * math.pi / periods, persistent=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(B, J, heads, T, entries) at t (B, T) s -> same."""
        angle = (t[..., None] * self.frequency)[:, None, None]
        cos, sin = angle.cos(), angle.sin()
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
