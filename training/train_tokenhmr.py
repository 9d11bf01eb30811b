"""Train TokenHMR (Dwivedi et al. 2024, section 4.4) on pictures, or HMR2.0, on which it builds.

    python -m training.train_tokenhmr --config configs/train_tokenhmr_small.yaml       (rendered people, one core)
    python -m training.train_tokenhmr --config configs/train_tokenhmr_paper.yaml --train.devices 4 --start vitpose.pth

It learns from rendered people (``training.synthesize --picture_px 128``) and from the data sets that are listed in
docs/published_data.md alike: ``--sets.sets rendered=out/pictures h36m=data/h36m-train``. Labels that a sample does not
have do not count. The body is the open one; with ``--smpl FILE`` and ``--regressor FILE`` it is SMPL, whose shape
published labels tell. The pose tokenizer is frozen (training.train_tokenizer trains one). The same command goes on
where it was stopped, and

    mocap import-checkpoint out/tokenhmr_small/best.ckpt --system tokenhmr

makes a network of the run that ``mocap live --regressor tokenhmr`` takes.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mocap.assets import asset_path
from mocap.body.model import OPEN_BODY
from mocap.body.smpl_file import read_smpl, write_smpl
from mocap.config import option
from mocap.models.published import BODY
from mocap.models.tokenhmr import RULES
from training.datasets.images.rendered import Rendered
from training.harness import Share, TrainConfig, train
from training.options import run
from training.published.crops import AugmentationConfig
from training.published.examples import Batches, Examples
from training.published.points import OpenPoints, SmplPoints, load_points
from training.published.sets import SetsConfig, open_sets
from training.published.start import read_start, take_over
from training.published.tokenhmr import Known, LossConfig, People, token_hmr_losses
from training.published.tokenhmr_network import Sizes, fresh_network, network_config, read_tokenizer
from training.published.tokenhmr_samples import Trust, framed, projected, read_prior
from training.published.validation import Validation

_SET = "44"  # of points


@dataclass(frozen=True)
class TokenHmrRun:
    """A training run of TokenHMR or HMR2.0."""

    tokenizer: str = option("", "pose tokenizer, .npz or the released tokenizer.pth; empty: the shipped one", "FILE")
    mean: str = option(
        "", "smpl_mean_params.npz of SPIN's data: pose, shape and camera that are added to what the released networks "
        "predict; empty: an upright person of mean shape, and body poses are the tokenizer's own", "FILE"
    )  # fmt: skip
    start: str = option(
        "", "weights to start from, released (ViTPose, HMR2.0, TokenHMR), imported, or best.ckpt of a run", "FILE"
    )
    start_with: Literal["backbone", "all"] = option("backbone", "what is taken of them; all: whatever fits")
    smpl: str = option("", "SMPL's file, or the folder that holds it; empty: the open body", "FILE")
    regressor: str = option("", "SMPL_to_J19.pkl of 4D-Humans' data, with --smpl", "FILE")
    prior: str = option(
        "", "amass_poses_hist100_SMPL+H_G.npy of 4D-Humans' data, by which improbable pseudo-labels are left out; "
        "empty: no pose is improbable", "FILE"
    )  # fmt: skip
    margin: float = option(1.2, "side of the crop over the box around a rendered person; others have theirs", low=1)
    network: Sizes = field(default_factory=Sizes)
    loss: LossConfig = field(default_factory=LossConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    sets: SetsConfig = field(default_factory=SetsConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


class TokenHmrTask:
    """TokenHMR as :class:`training.harness.Task`."""

    best = "pa_mpjpe_mm"

    def __init__(self, config: TokenHmrRun) -> None:
        self.config = config
        self.tokenizer = read_tokenizer(config.tokenizer) if config.network.tokenized else None
        self.network = network_config(config.network, self.tokenizer)
        self.points = load_points(_SET, config.smpl, config.regressor)
        self.body = read_smpl(Path(config.smpl) if config.smpl else asset_path(OPEN_BODY))
        open_points = OpenPoints(_SET)  # rendered people have the open body
        self.samples = open_sets(config.sets, open_points)
        smpl = copy.deepcopy(self.points) if isinstance(self.points, SmplPoints) else None
        trust = Trust(config.margin, read_prior(config.prior), smpl)
        examples = Examples(
            self.samples,
            _SET,
            self.network.side,
            augmentation=None if config.sets.maps else config.augmentation,
            keep=trust,
            seed=config.train.seed,
            body="smpl" if config.smpl else "open",
        )
        self.batches = Batches(examples, config.train.batch_size, config.sets.threads)
        people = Rendered(Path(config.sets.validation), open_points, config.sets.maps)
        self.validation = Validation(
            people, examples, config.sets.threads, lambda sample: framed(sample, config.margin)
        )

    def model(self) -> nn.Module:
        """Fresh, with the tokenizer's decoder in it, and the backbone of another network if there is one.

        Raises:
            MocapError: a file is missing, or of other sizes.
        """
        model = fresh_network(self.network, self.tokenizer, self.config.mean)
        if self.config.start:
            weights = read_start(Path(self.config.start), RULES)
            if "patch.weight" in weights:  # ViTPose's backbone alone
                weights = {f"vit.{name}": value for name, value in weights.items()}
            take_over(model, weights, self.config.start, "vit.", self.config.start_with == "all")
        return model

    def count(self) -> int:
        return len(self.samples)

    def loss(self, model: nn.Module, rows: NDArray[np.int64], share: Share) -> dict[str, Tensor]:
        """Terms are means over samples. The released ones are sums over the 48 of a process, of which processes then
        average: 48 times as much, which Adam does not see.
        """
        batch, points = self.batches(share), self.points.to(share.device)
        out = model(batch["image"])
        keypoints = points(out["R"], out["betas"])
        in_picture = projected(keypoints, out["p_camera"], self.network)
        found = People(in_picture, keypoints, out["R"], out["betas"])
        label = People(
            _of_known(batch["keypoints_2d"], points.known),
            _of_known(batch["keypoints_3d"], points.known),
            batch["R"],
            batch["betas"],
        )
        known = Known(batch["has_pose"], batch["has_pose"], batch["has_betas"], batch["true_3d"])
        sums = token_hmr_losses(found, label, known, self.config.loss)
        terms = {name: term / len(batch["image"]) for name, term in sums.items()}
        return {"loss": terms.pop("total"), **terms}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """And writes the body, since only one process does this."""
        write_smpl(Path(self.config.train.out) / BODY, self.body)
        device = next(model.parameters()).device
        points = self.points.to(device)

        def joints(pictures: Tensor) -> Tensor:
            found = model(pictures)
            return points.joints(found["R"], found["betas"])

        return self.validation.errors_mm(joints, device)

    def sidecar(self) -> dict[str, Any]:
        config = self.config
        return {
            "what": "a picture -> SMPL's rotations and shape",
            "network": {
                "system": "hmr2" if self.tokenizer is None else "tokenhmr",
                "config": asdict(self.network),
            },
            "body": "SMPL" if config.smpl else "open",
            "loss": asdict(config.loss),
            "augmentation": asdict(config.augmentation),
            "margin": config.margin,
            "sets": asdict(config.sets),
            "files": {
                name: Path(file).name
                for name in ("tokenizer", "mean", "start", "prior", "regressor")
                if (file := getattr(config, name))
            },
        }


def _of_known(points: Tensor, known: Tensor) -> Tensor:
    """Labelled points (B, n, d), without confidence in those that the body does not have (n,)."""
    return torch.cat([points[..., :-1], points[..., -1:] * known[:, None]], -1)


def main() -> int:
    """Command line."""
    return run(TokenHmrRun, __doc__ or "", lambda config: train(config.train, TokenHmrTask(config)))


if __name__ == "__main__":
    sys.exit(main())
