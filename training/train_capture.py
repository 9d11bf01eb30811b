"""Train the learned capture: frames and clips with rotations told at once, then both again with pose tokens.

    python -m training.train_capture --config configs/train_capture_frames.yaml
    python -m training.train_capture --config configs/train_capture_clips.yaml
    python -m training.train_capture --config configs/train_capture_tokens.yaml
    python -m training.train_capture --config configs/train_capture_live.yaml

Needs ``out/corpus`` (training.make_corpus), ``out/pairs``, ``out/pairs_clips`` and the same of the validation split
(training.synthesize), and ``out/noise.pt`` (training.fit_noise). A part of each batch is rendered people, the rest
comes from the corpus through the fitted noise and is never the same twice. The same command goes on where it was
stopped.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mocap.assets import asset_path
from mocap.body.torch_figure import Figure
from mocap.config import option
from mocap.errors import MocapError
from mocap.models.capture import CaptureNetwork, CaptureNetworkConfig
from mocap.models.regressor import RegressorConfig
from mocap.models.temporal import TemporalConfig
from mocap.models.tokenizer import PoseTokenizer, load_tokenizer
from mocap.people.landmarks import FEATURES
from training.capture.landmark_noise import load as load_noise
from training.capture.losses import CaptureLoss, CaptureLossWeights
from training.capture.predict import load_network
from training.capture.samples import Knowledge, Stream, clearer, inputs
from training.capture.shards import load_shards
from training.capture.truth import Seen, Truth
from training.capture.validation import errors_mm
from training.capture.whole_pose import WholePoseTemporal
from training.datasets.corpus import Corpus
from training.harness import Share, TrainConfig, train
from training.options import run


@dataclass(frozen=True)
class Sizes:
    """Of the network; the tokenizer has its own."""

    width: int = option(128, "entries of a token", "D", low=1)
    depth: int = option(4, "blocks of the regressor", "N", low=1)
    stem: int = option(1024, "hidden width of the perceptron that the tokens start from; 0: none", "N", low=0)
    temporal_depth: int = option(2, "blocks of the temporal transformer", "N", low=1)
    window: int = option(32, "frames that the temporal transformer sees to each side", "N", low=2)
    image: bool = option(True, "the network sees the landmark network's features, where there is a picture")
    tokenized: bool = option(True, "rotations come of pose tokens; off: at once, twice as fast to train")


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
    lively: float = option(
        0.0, "share of the clips without pictures that are the liveliest of four", "SHARE", low=0, high=1
    )
    learn: Literal["all", "temporal", "time"] = option(
        "all", "what learns: everything, all but the regressor, or what is over time alone (transformer, contact)"
    )
    whole_pose: bool = option(False, "time is learnt from the pose as a whole, for comparison: nothing that ships")
    network: Sizes = field(default_factory=Sizes)
    knowledge: Knowledge = field(default_factory=Knowledge)
    loss: CaptureLossWeights = field(default_factory=CaptureLossWeights)
    train: TrainConfig = field(default_factory=TrainConfig)


class CaptureTask:
    """The learned capture as :class:`training.harness.Task`."""

    best = "mpjpe_mm"

    def __init__(self, config: CaptureRun) -> None:
        self.config = config
        self.tokenizer = load_tokenizer(Path(config.tokenizer) if config.tokenizer else asset_path(TOKENIZER))
        self.losses = CaptureLoss(config.loss, self.tokenizer)
        self.figure = figure = Figure()  # samples are made on the CPU
        self.corpus = Corpus.open(Path(config.corpus))
        self.stream = Stream(self.corpus, "train", figure, load_noise(Path(config.noise)), config.frames, config.lively)
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
            start(Path(self.config.start), model, self.tokenizer)
        if self.config.whole_pose:
            model.temporal = WholePoseTemporal(model.config.temporal)  # type: ignore[assignment]
        if self.config.frames == 1:  # nothing would reach these, which several processes would wait for
            model.temporal.requires_grad_(False)
            model.heads.contact.requires_grad_(False)
        if self.config.learn != "all":
            model.regressor.requires_grad_(False)
        if self.config.learn == "time":
            model.heads.requires_grad_(False)
            model.heads.contact.requires_grad_(True)
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
        seen = clearer(truth, seen, self.config.knowledge, frames, generator)
        flip = torch.rand(len(t), generator=generator) < self.config.knowledge.mirror
        flip = flip.repeat_interleave(frames)
        seen, truth = seen.mirrored(flip, truth.size_px[:, 0]), truth.mirrored(flip)
        given = inputs(truth, seen, self.config.knowledge, frames, generator)
        causal = torch.rand(len(t), generator=generator) < 0.6
        at = slice(share.rows.start * frames, share.rows.stop * frames)
        device, losses = share.device, self.losses.to(share.device)
        truth, there = truth[at].to(device), seen.there[at].to(device)
        given = {name: value[at].to(device) for name, value in given.items()}
        if frames == 1:
            return losses(model(given), truth, given, there, None)
        t = t[share.rows].to(device)
        out = model(given, t, there.unflatten(0, t.shape), causal[share.rows].to(device))
        return losses(out, truth, given, there, t)

    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, CaptureNetwork)
        return errors_mm(model, self.validation, self.figure, clip=self.config.frames > 1)

    def sidecar(self) -> dict[str, Any]:
        return {
            "what": "learned capture: BlazePose's landmarks -> SMPL rotations and shape",
            "network": asdict(network_config(self.config)),
            "loss": asdict(self.config.loss),
            "knowledge": asdict(self.config.knowledge),
            "rendered": {"share": self.config.rendered, "frames": len(self.shards)},
            "lively": self.config.lively,
            "start": self.config.start or None,
            "whole_pose": self.config.whole_pose,
            "data": self.corpus.description(),
        }

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


def network_config(config: CaptureRun) -> CaptureNetworkConfig:
    """The network's sizes."""
    tokenizer = load_tokenizer(Path(config.tokenizer) if config.tokenizer else asset_path(TOKENIZER)).config
    sizes = config.network
    return CaptureNetworkConfig(
        RegressorConfig(
            width=sizes.width,
            depth=sizes.depth,
            stem=sizes.stem,
            tokenized=sizes.tokenized,
            tokenizer=tokenizer,
            image_channels=FEATURES[1] if sizes.image else 0,
            image_places=FEATURES[0],
        ),
        TemporalConfig(width=sizes.width, depth=sizes.temporal_depth, window=sizes.window),
    )


def start(checkpoint: Path, model: CaptureNetwork, tokenizer: PoseTokenizer) -> None:
    """Gives ``model`` the weights of an earlier stage; of one without pose tokens all but the head that told the
    rotations.

    Raises:
        MocapError: the checkpoint is missing, or of another network.
    """
    earlier = load_network(checkpoint, tokenizer)
    own, given = model.config.regressor, earlier.config.regressor
    fits = own.tokenized or not given.tokenized
    if not fits or replace(model.config, regressor=replace(own, tokenized=given.tokenized)) != earlier.config:
        raise MocapError(f"{checkpoint}: expected a network of {model.config}, found one of {earlier.config}")
    weights = earlier.state_dict()
    if own.tokenized and not given.tokenized:
        weights = {name: value for name, value in weights.items() if not name.startswith("heads.turn.")}
    model.load_state_dict({**model.state_dict(), **weights})


def main() -> int:
    """Command line."""
    return run(CaptureRun, __doc__ or "", lambda config: train(config.train, CaptureTask(config)))


if __name__ == "__main__":
    sys.exit(main())
