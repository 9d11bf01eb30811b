"""Train the learned capture: the token regressor on frames, then its temporal transformer on clips.

    python -m training.train_capture --config configs/train_capture_frames.yaml
    python -m training.train_capture --config configs/train_capture_clips.yaml

Needs ``out/pairs`` and ``out/pairs_clips`` (training.synthesize) and ``out/noise.pt`` (training.fit_noise). A part of
each batch is rendered people, the rest comes from the corpus through the fitted noise and is never the same twice. The
same command goes on where it was stopped.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mocap.assets import asset_path
from mocap.config import option
from mocap.errors import MocapError
from mocap.models.capture import CaptureNetwork, CaptureNetworkConfig
from mocap.models.regressor import RegressorConfig
from mocap.models.temporal import TemporalConfig
from mocap.models.tokenizer import load_tokenizer
from training.capture.landmark_noise import load as load_noise
from training.capture.losses import CaptureLoss, CaptureLossWeights
from training.capture.samples import Knowledge, Stream, inputs
from training.capture.shards import load_shards
from training.capture.truth import Seen, Truth
from training.capture.validation import errors_mm
from training.datasets.corpus import Corpus
from training.harness import Share, TrainConfig, load_weights, train
from training.options import run


@dataclass(frozen=True)
class Sizes:
    """Of the network; the tokenizer has its own."""

    width: int = option(128, "entries of a token", "D", low=1)
    depth: int = option(4, "blocks of the regressor", "N", low=1)
    stem: int = option(1024, "hidden width of the perceptron that the tokens start from; 0: none", "N", low=0)
    temporal_depth: int = option(2, "blocks of the temporal transformer", "N", low=1)
    window: int = option(32, "frames that the temporal transformer sees to each side", "N", low=2)


@dataclass(frozen=True)
class CaptureRun:
    """A training run of the learned capture."""

    corpus: str = option("out/corpus", "folder that training.make_corpus wrote", "DIR")
    pairs: str = option("out/pairs", "rendered frames, or clips, that training.synthesize wrote", "DIR")
    validation: str = option("out/pairs_val", "the same of the validation split", "DIR")
    noise: str = option("out/noise.pt", "what training.fit_noise wrote", "FILE")
    tokenizer: str = option("", "tokenizer (.npz); empty: the shipped one", "FILE")
    start: str = option("", "checkpoint whose weights training starts from", "FILE")
    frames: int = option(1, "frames of a clip; 1: unrelated frames", "N", low=1)
    rendered: float = option(0.5, "share of the batch that is rendered", "SHARE", low=0, high=1)
    learn: Literal["all", "temporal"] = option("all", "what learns: everything, or all but the regressor")
    network: Sizes = field(default_factory=Sizes)
    knowledge: Knowledge = field(default_factory=Knowledge)
    loss: CaptureLossWeights = field(default_factory=CaptureLossWeights)
    train: TrainConfig = field(default_factory=TrainConfig)


class CaptureTask:
    """The learned capture as :class:`training.harness.Task`."""

    best = "pa_mpjpe_mm"

    def __init__(self, config: CaptureRun) -> None:
        self.config = config
        self.tokenizer = load_tokenizer(Path(config.tokenizer) if config.tokenizer else asset_path(TOKENIZER))
        self.losses = CaptureLoss(config.loss, self.tokenizer)
        figure = self.losses.figure
        self.corpus = Corpus.open(Path(config.corpus))
        self.stream = Stream(self.corpus, "train", figure, load_noise(Path(config.noise)), config.frames)
        self.shards = load_shards(Path(config.pairs), figure)
        self.validation = load_shards(Path(config.validation), figure)
        for shards, folder in ((self.shards, config.pairs), (self.validation, config.validation)):
            if (shards.clip_frames == 1) != (config.frames == 1) or shards.clip_frames < config.frames:
                raise MocapError(
                    f"{folder}: expected clips of {config.frames} frames or more, found {shards.clip_frames}"
                )

    def model(self) -> nn.Module:
        """Fresh, or with the weights of an earlier stage."""
        model = CaptureNetwork(network_config(self.config), self.tokenizer)
        if self.config.start:
            load_weights(Path(self.config.start), model, self.sidecar()["network"])
        if self.config.frames == 1:  # nothing would reach these, which several processes would wait for
            model.temporal.requires_grad_(False)
            model.heads.heads.contact.requires_grad_(False)
        if self.config.learn == "temporal":
            model.regressor.requires_grad_(False)
        return model

    def count(self) -> int:
        return len(self.shards) // self.shards.clip_frames

    def loss(self, model: nn.Module, rows: NDArray[Any], share: Share) -> dict[str, Tensor]:
        """Rendered samples, then others; all are drawn by every process, which then takes its part."""
        generator, frames = share.generator(), self.config.frames
        rendered = round(self.config.rendered * len(rows))
        parts = []
        if rendered:
            parts.append(self._rendered(torch.as_tensor(rows[:rendered]), generator))
        if rendered < len(rows):
            parts.append(self.stream(len(rows) - rendered, generator))
        truth, seen = Truth.join([part[0] for part in parts]), Seen.join([part[1] for part in parts])
        t = torch.cat([part[2] for part in parts])
        flip = torch.rand(len(t), generator=generator) < self.config.knowledge.mirror
        flip = flip.repeat_interleave(frames)
        seen, truth = seen.mirrored(flip, truth.size_px[:, 0]), truth.mirrored(flip)
        given = inputs(truth, seen, self.config.knowledge, frames, generator)
        causal = torch.rand(len(t), generator=generator) < 0.6
        at = slice(share.rows.start * frames, share.rows.stop * frames)
        there = seen.there
        given = {name: value[at].to(share.device) for name, value in given.items()}
        if frames == 1:
            outs = model(given)
            return self._finish(outs, truth[at], given, there[at], None)
        known = there.unflatten(0, t.shape)[share.rows]
        outs = model(given, t[share.rows], known, causal[share.rows])
        # A frame in which nobody is seen has a pose too, which the others tell.
        return self._finish(outs, truth[at], given, torch.ones_like(there[at]), t[share.rows])

    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, CaptureNetwork)
        return errors_mm(model, self.validation, self.losses.figure, clip=self.config.frames > 1)

    def sidecar(self) -> dict[str, Any]:
        return {
            "what": "learned capture: BlazePose's landmarks -> SMPL rotations and shape",
            "network": asdict(network_config(self.config)),
            "loss": asdict(self.config.loss),
            "knowledge": asdict(self.config.knowledge),
            "rendered": {"share": self.config.rendered, "frames": len(self.shards)},
            "start": self.config.start or None,
            "data": self.corpus.description(),
        }

    def _finish(
        self, outs: list[dict[str, Tensor]], truth: Truth, given: dict[str, Tensor], there: Tensor, t: Tensor | None
    ) -> dict[str, Tensor]:
        """Losses of the last pose, and a part of those of the first."""
        terms: dict[str, Tensor] = self.losses(outs[-1], truth, given, there, t)
        for out in outs[:-1]:
            first = self.losses(out, truth, given, there, t)["loss"]
            terms |= {"loss": terms["loss"] + _FIRST * first, "first": first.detach()}
        return terms

    def _rendered(self, rows: Tensor, generator: torch.Generator) -> tuple[Truth, Seen, Tensor]:
        kept, frames = self.shards.clip_frames, self.config.frames
        most = (kept - 1) // max(1, frames - 1)  # frames between two that are taken
        stride = 2 ** torch.randint(0, max(1, most.bit_length()), (len(rows),), generator=generator)
        spare = kept - (frames - 1) * stride
        start = (torch.rand(len(rows), generator=generator) * spare).long()
        at = (rows * kept + start)[:, None] + stride[:, None] * torch.arange(frames)
        return (
            self.shards.truth[at.flatten()],
            self.shards.seen[at.flatten()],
            stride[:, None] * torch.arange(frames) / 30,
        )


TOKENIZER = "tokenizer_live.npz"
_FIRST = 0.3  # weight of the first pose's losses


def network_config(config: CaptureRun) -> CaptureNetworkConfig:
    """The network's sizes."""
    tokenizer = load_tokenizer(Path(config.tokenizer) if config.tokenizer else asset_path(TOKENIZER)).config
    sizes = config.network
    return CaptureNetworkConfig(
        RegressorConfig(width=sizes.width, depth=sizes.depth, stem=sizes.stem, tokenizer=tokenizer),
        TemporalConfig(width=sizes.width, depth=sizes.temporal_depth, window=sizes.window),
    )


def main() -> int:
    """Command line."""
    return run(CaptureRun, __doc__ or "", lambda config: train(config.train, CaptureTask(config)))


if __name__ == "__main__":
    sys.exit(main())
