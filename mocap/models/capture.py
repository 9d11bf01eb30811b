"""The learned capture: regressor, temporal transformer and heads as one network over a clip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mocap.assets import asset_path
from mocap.errors import MocapError
from mocap.models.regressor import PoseHeads, RegressorConfig, TokenRegressor
from mocap.models.temporal import JointTemporal, TemporalConfig, TemporalStep
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig, load_tokenizer
from mocap.models.weights import load_weights, read_weights, write_weights


@dataclass(frozen=True)
class CaptureNetworkConfig:
    """Sizes."""

    regressor: RegressorConfig = field(default_factory=RegressorConfig)
    temporal: TemporalConfig = field(default_factory=TemporalConfig)


class CaptureNetwork(nn.Module):
    """What a landmark network saw of one person in each clip -> poses. Live, its parts run one after the other."""

    def __init__(self, config: CaptureNetworkConfig, tokenizer: PoseTokenizer) -> None:
        super().__init__()
        self.config = config
        self.regressor = TokenRegressor(config.regressor)
        self.temporal = JointTemporal(config.temporal)
        self.heads = PoseHeads(config.regressor, tokenizer)

    def forward(
        self,
        seen: dict[str, Tensor],
        t: Tensor | None = None,
        known: Tensor | None = None,
        causal: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Heads' outputs of N = clips · frames, see :class:`PoseHeads`.

        Args:
            seen: :class:`TokenRegressor`'s inputs of N frames, clip by clip.
            t, known, causal: :class:`JointTemporal`'s; without them no frame knows of another.
        """
        tokens = self.regressor(**seen)
        if t is not None:
            assert known is not None
            assert causal is not None
            tokens = self.temporal(tokens.unflatten(0, t.shape), t, known, causal).flatten(0, 1)
        out: dict[str, Tensor] = self.heads(tokens, seen["roi"], seen["camera"])
        return out


class CaptureStep(nn.Module):
    """One frame of each of P persons, with what is kept of their past, see :class:`TemporalStep`."""

    def __init__(self, network: CaptureNetwork) -> None:
        super().__init__()
        self.regressor, self.heads = network.regressor, network.heads
        self.temporal = TemporalStep(network.temporal)

    def forward(
        self,
        landmarks_px: Tensor,
        landmarks_world: Tensor,
        visibility: Tensor,
        roi: Tensor,
        camera: Tensor,
        shape: Tensor,
        keys: Tensor,
        values: Tensor,
        age: Tensor,
        known: Tensor,
        image: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The heads' outputs, and the frame's key and value."""
        tokens = self.regressor(landmarks_px, landmarks_world, visibility, roi, camera, shape, image)
        heard = self.temporal(tokens, keys, values, age, known)
        return {**heard, **self.heads(heard.pop("tokens"), roi, camera)}


class CaptureWindow(nn.Module):
    """Tokens of a few frames of each of P persons -> the heads' outputs for one of the frames, which sees all others.

    Args:
        network: Whose temporal transformer and heads these are.
        place: Of that frame.
    """

    def __init__(self, network: CaptureNetwork, place: int) -> None:
        super().__init__()
        self.temporal, self.heads, self.place = network.temporal, network.heads, place

    def forward(self, tokens: Tensor, t: Tensor, known: Tensor, roi: Tensor, camera: Tensor) -> dict[str, Tensor]:
        """Tokens (P, W, 26, D), times (P, W) s, 1 where there is a frame (P, W); square and camera of that one."""
        both = torch.zeros_like(t[:, 0]) > 0
        out: dict[str, Tensor] = self.heads(self.temporal(tokens, t, known > 0, both)[:, self.place], roi, camera)
        return out


class CaptureTokens(nn.Module):
    """The regressor by itself, its tokens by name."""

    def __init__(self, network: CaptureNetwork) -> None:
        super().__init__()
        self.regressor = network.regressor

    def forward(
        self,
        landmarks_px: Tensor,
        landmarks_world: Tensor,
        visibility: Tensor,
        roi: Tensor,
        camera: Tensor,
        shape: Tensor,
        image: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """{"tokens": (P, 26, D)}."""
        return {"tokens": self.regressor(landmarks_px, landmarks_world, visibility, roi, camera, shape, image)}


def save_capture(network: CaptureNetwork, path: Path, notes: Mapping[str, Any]) -> None:
    """Writes ``path`` (.npz, float16, without the tokenizer) and beside it a .json with ``notes``."""
    config = asdict(network.config)
    weights = {name: value for name, value in network.state_dict().items() if not name.startswith(_TOKENIZER)}
    write_weights(path, config, weights, half=True)
    sidecar = json.dumps({**notes, "config": config}, indent=1, ensure_ascii=False)
    path.with_suffix(".json").write_text(sidecar + "\n", encoding="utf-8")


def load_capture(path: Path, tokenizer: Path | None = None) -> CaptureNetwork:
    """Reads what :func:`save_capture` wrote, with the shipped tokenizer or another; in evaluation mode.

    Raises:
        MocapError: a file is missing or unreadable, or the tokenizer has other sizes.
    """
    sizes, weights = read_weights(path, "the learned capture")
    config = config_of(sizes, str(path))
    tokens = config.regressor.tokenizer
    network = CaptureNetwork(config, load_tokenizer(tokenizer or asset_path("tokenizer_live.npz"), expected=tokens))
    own = {name: value for name, value in network.state_dict().items() if name.startswith(_TOKENIZER)}
    load_weights(network, {**own, **weights}, str(path))
    return network.eval()


def config_of(sizes: Mapping[str, Any], source: str) -> CaptureNetworkConfig:
    """What ``dataclasses.asdict`` made of a configuration, as one again.

    Raises:
        MocapError: it is something else; says ``source``.
    """
    try:
        regressor = dict(sizes["regressor"])
        tokenizer = TokenizerConfig(**regressor.pop("tokenizer"))
        return CaptureNetworkConfig(
            RegressorConfig(**regressor, tokenizer=tokenizer), TemporalConfig(**sizes["temporal"])
        )
    except (TypeError, KeyError, ValueError) as error:
        raise MocapError(f"{source}: expected the learned capture's sizes, found {sizes} ({error})") from error


_TOKENIZER = "heads.tokenizer."
