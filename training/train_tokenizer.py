"""Train the pose tokenizer (TokenHMR, section 4.3) on the corpus.

    python -m training.train_tokenizer --config configs/train_tokenizer_live.yaml
    python -m training.train_tokenizer --config configs/train_tokenizer_paper.yaml --train.devices 4

The same command goes on where it was stopped; ``--start FILE`` starts from a shipped tokenizer, to train it further or
on motion of one's own. Then ``python -m training.evaluate_tokenizer out/tokenizer_live``.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mocap.body.joint_limits import joint_limits
from mocap.config import option
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig, load_tokenizer
from training.datasets.corpus import Corpus
from training.evaluate_tokenizer import Meter, held_out, reconstruction
from training.harness import Share, TrainConfig, train, unwrapped
from training.noise import ProgressiveNoise
from training.options import run
from training.tokenizer_losses import (
    TokenizerLossWeights,
    energy_distance,
    rotation_loss,
    tokenizer_losses,
    vertex_areas,
)


@dataclass(frozen=True)
class TokenizerRun:
    """A training run of the pose tokenizer."""

    corpus: str = option("out/corpus", "folder that training.make_corpus wrote", "DIR")
    start: str = option("", "tokenizer (.npz) of the same sizes whose weights training starts from", "FILE")
    recorded: int = option(1, "times that each recorded pose counts; others count once", "N", low=1)
    vertices: int = option(512, "vertices of the mesh in the loss, spread over the surface; 0: all", "N", low=0)
    validation_poses: int = option(4_000, "poses of the validation set that are measured", "N", low=1)
    random_poses: int = option(
        32, "poses from random tokens in each step, for the next two; the paper has none", "N", low=2
    )
    limits: float = option(10.0, "weight of their distance to the joint limits", low=0)
    prior: float = option(5.0, "weight of the distance of their distribution to that of real poses", low=0)
    network: TokenizerConfig = field(default_factory=TokenizerConfig)
    loss: TokenizerLossWeights = field(default_factory=TokenizerLossWeights)
    noise: ProgressiveNoise = field(default_factory=ProgressiveNoise)
    train: TrainConfig = field(default_factory=TrainConfig)


class TokenizerTask:
    """The tokenizer as :class:`training.harness.Task`."""

    best = "mpjpe_mm"

    def __init__(self, config: TokenizerRun) -> None:
        self.config = config
        self.corpus = Corpus.open(Path(config.corpus))
        rows = self.corpus.rows("train")
        self.rows = np.repeat(rows, np.where(self.corpus.of_kind(rows, "recorded"), config.recorded, 1))
        self.meter = Meter()
        self.validation = held_out(self.corpus, "val", config.validation_poses)
        self.joint_limits = joint_limits()
        self.at, self.areas = self._surface(config.vertices)

    def model(self) -> nn.Module:
        """Fresh, or with the weights of another tokenizer.

        Raises:
            MocapError: that one is not there, or of other sizes.
        """
        if self.config.start:
            return load_tokenizer(Path(self.config.start), expected=self.config.network)
        return PoseTokenizer(self.config.network)

    def count(self) -> int:
        return len(self.rows)

    def loss(self, model: nn.Module, rows: NDArray[np.int64], share: Share) -> dict[str, Tensor]:
        """Noise on the input, never on the target."""
        poses = self.corpus.body_poses(self.rows[rows])
        noisy = self.config.noise(poses, share.step, share.generator())[share.rows].to(share.device)
        truth = poses[share.rows].to(share.device)
        out = model(noisy)
        weights = self.config.loss
        vertices = (self.meter.vertices(out.R, self.at), self.meter.vertices(truth, self.at))
        terms = tokenizer_losses(
            weights,
            (out.R, truth),
            out.commitment,
            (self.meter.joints(out.R), self.meter.joints(truth)),
            vertices if weights.vertices else None,
            self.areas,
        )
        loss = terms.pop("total")
        if self.config.limits or self.config.prior:
            terms |= self._prior(model, poses.to(share.device), share)
            loss = loss + self.config.limits * terms["limits"] + self.config.prior * terms["prior"]
        return {"loss": loss, **terms, "perplexity": out.perplexity}

    def _prior(self, model: nn.Module, poses: Tensor, share: Share) -> dict[str, Tensor]:
        """Any tokens should make a pose, and random ones make poses as varied as real ones. The codebook does not move.

        ``limits``: how far poses of random tokens are from the nearest ones inside the joint limits, in matrix entries
        (L1). Alone it makes a T-pose of them all. ``prior``: energy distance to the batch's poses, of each joint's
        rotation and of the whole body's joint positions (m).
        """
        plain = unwrapped(model)
        assert isinstance(plain, PoseTokenizer)
        size = (self.config.random_poses, plain.config.tokens)
        tokens = torch.randint(plain.config.codes, size, generator=share.generator())
        R = plain.decode_tokens(tokens.to(share.device)).float()
        still = np.broadcast_to(np.eye(3), (len(R), 1, 3, 3))
        whole = np.concatenate([still, R.detach().cpu().double().numpy(), still, still], 1)
        inside = torch.as_tensor(self.joint_limits.clamp(whole)[:, 1:22]).to(R)
        turns = energy_distance(*(part.flatten(2).transpose(0, 1) for part in (R, poses)))
        places = energy_distance(*(self.meter.joints(part).flatten(1) for part in (R, poses)))
        return {"limits": rotation_loss(R, inside), "prior": turns.mean() + places}

    def validate(self, model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        assert isinstance(model, PoseTokenizer)
        figures = reconstruction(model, self.validation.to(device), self.meter)
        return {name: value for name, value in figures.items() if isinstance(value, float)}

    def sidecar(self) -> dict[str, Any]:
        return {
            "what": "pose tokenizer: 21 SMPL joint rotations <-> tokens",
            "network": asdict(self.config.network),
            "loss": asdict(self.config.loss),
            "noise": asdict(self.config.noise),
            "recorded": self.config.recorded,
            "start": Path(self.config.start).name or None,
            "data": self.corpus.description(),
        }

    def _surface(self, count: int) -> tuple[Tensor | None, Tensor]:
        """Vertices drawn by the area that they stand for, each then counting the same; or all, by their areas."""
        body = self.meter.body
        rest = self.meter.vertices(torch.eye(3).expand(1, 21, 3, 3))[0]
        areas = vertex_areas(rest, torch.as_tensor(np.asarray(body.faces), dtype=torch.int64))
        if count == 0:
            return None, areas
        at = torch.multinomial(areas, count, generator=torch.Generator().manual_seed(0))
        return at, torch.ones(count)


def main() -> int:
    """Command line."""
    return run(TokenizerRun, __doc__ or "", lambda config: train(config.train, TokenizerTask(config)))


if __name__ == "__main__":
    sys.exit(main())
