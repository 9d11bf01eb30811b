"""Train PostoMETRO: a body's mesh from a picture and its 2D pose's tokens, with the losses of FastMETRO.

    python -m training.train_postometro --config configs/train_postometro_small.yaml
    python -m training.train_postometro --config configs/train_postometro_paper.yaml --train.devices 4
    python -m training.train_postometro --config configs/train_postometro_3dpw.yaml --train.devices 4

Needs PCT (training.train_pct_tokenizer, then training.train_pct_classifier), which stays as it is; ``--pct ""`` trains
FastMETRO, from the picture alone. The same command goes on where it was stopped. ``mocap import-checkpoint
<out>/best.ckpt --system postometro`` takes the network into the live loop.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mocap.body.smpl_file import write_smpl
from mocap.config import option
from mocap.errors import MocapError
from mocap.models.backbones import make_backbone
from mocap.models.pct import MixerSizes, PctConfig
from mocap.models.postometro import PostoMetroConfig
from mocap.models.postometro_network import (
    PctNetwork,
    PostoMetroNetwork,
    PostoMetroNetworkConfig,
    resized,
)
from mocap.models.published import BODY
from mocap.models.resnet import ResNetConfig
from training.datasets.images.rendered import Rendered
from training.harness import Share, TrainConfig, load_weights, train, unwrapped
from training.options import run
from training.published.backbones import BackboneSizes, channels_last, start
from training.published.examples import Batches, Examples
from training.published.metro import COCO17, MeshSizes, MetroAugmentation, open_body, smpl_body
from training.published.pct import GuidedTokenizer, PctNetworks, load_tokenizer, poses_px, read_pct
from training.published.points import OpenPoints
from training.published.postometro import (
    FastMetroLossWeights,
    fastmetro_losses,
    noisy_tokens,
    smpl_loss,
    true_tokens,
)
from training.published.sets import SetsConfig, open_sets
from training.published.validation import Validation, joint_errors_mm


@dataclass(frozen=True)
class PostoMetroRun:
    """A training run of PostoMETRO."""

    pct: str = option("out/pct_classifier", "run of training.train_pct_classifier; empty: FastMETRO", "DIR")
    start: str = option("", "best.ckpt of a run whose weights training starts from, to fine-tune them", "FILE")
    measure: bool = option(False, "validate the network of --start and stop")
    side: int = option(224, "px of the mesh transformer's picture", "PX", low=32)
    margin: float = option(1.0, "side of the crop over that of the data set's box", low=0.1)
    tokens: Literal["pct", "true"] = option("pct", "true: of the true 2D pose, the upper bound of appendix E")
    tokenizer: str = option("", "run of training.train_pct_tokenizer, for true tokens that pictures guide", "DIR")
    noise: float = option(0.0, "deviation of noise on PCT's logits in validation (appendix C, no figure given)", low=0)
    noise_in_training: float = option(0.0, "the same in training, where the paper has none", low=0)
    smpl: str = option("", "SMPL's file; empty: the open body", "FILE")
    regressor: str = option("", "with SMPL: J_regressor_h36m.npy", "FILE")
    levels: str = option("", "with SMPL: METRO's mesh_downsampling.npz", "FILE")
    smpl_weight: float = option(1000.0, "of the loss of SMPL's parameters, where there is a head", low=0)
    network: MeshSizes = field(default_factory=MeshSizes)
    backbone: BackboneSizes = field(default_factory=BackboneSizes)
    loss: FastMetroLossWeights = field(default_factory=FastMetroLossWeights)
    sets: SetsConfig = field(default_factory=SetsConfig)
    augmentation: MetroAugmentation = field(default_factory=MetroAugmentation)
    train: TrainConfig = field(default_factory=TrainConfig)


class PostoMetroTask:
    """PostoMETRO as :class:`training.harness.Task`.

    Raises:
        MocapError: a run or a file is missing, or another.
    """

    best = "pa_mpjpe_mm"

    def __init__(self, config: PostoMetroRun) -> None:
        self.config, sizes, sets = config, config.network, config.sets
        self.body = open_body(sizes.vertices, sizes.middle, sizes.coarse)
        if config.smpl:
            self.body = smpl_body(config.smpl, config.regressor, config.levels)
        self.pct = read_pct(config.pct, "pct_classifier") if config.pct else None
        self.guided = self._guided()
        self.network = network_config(config, self.body.counts, self.pct[1] if self.pct else None)
        points, side = OpenPoints(self.body.joint_set), self.network.picture
        self.people, seed = open_sets(sets, points), config.train.seed
        examples = Examples(
            self.people,
            self.body.joint_set,
            side,
            config.margin,
            None if sets.maps else config.augmentation,
            body=self.body.name,
            seed=seed,
        )
        self.batches = Batches(examples, config.train.batch_size, sets.threads)
        self.validation = Validation(Rendered(Path(sets.validation), points, sets.maps), examples, sets.threads)

    def _guided(self) -> GuidedTokenizer | None:
        if self.config.tokens != "true" or not self.pct or not self.pct[1].config.guided_width:
            return None
        if not self.config.tokenizer:
            raise MocapError("expected the run of a tokenizer that pictures guide (--tokenizer), found none")
        return load_tokenizer(self.config.tokenizer)[0]

    def model(self) -> nn.Module:
        """With PCT's weights, and all of those that training starts from."""
        model = PostoMetroNetwork(self.network, self.body.levels.neighbours, self.body.levels.sampler)
        start(model.metro.backbone, self.config.backbone.weights)
        if self.pct and self.network.pct and model.pct:
            path, networks = self.pct
            pct = PctNetwork(self.network.pct, make_backbone(self.network.pct_backbone))
            load_weights(path, pct, networks.network("pct_classifier"))
            model.pct.load_state_dict(pct.state_dict())
        else:  # nothing reaches these
            model.metro.modulator.requires_grad_(False)
            model.metro.reduce_pose.requires_grad_(False)
        if self.config.start:
            load_weights(Path(self.config.start), model, self.sidecar()["network"])
        return channels_last(model)

    def count(self) -> int:
        return len(self.people)

    def loss(self, model: nn.Module, rows: NDArray[Any], share: Share) -> dict[str, Tensor]:
        plain, batch, body = unwrapped(model), self.batches(share), self.body.to(share.device)
        assert isinstance(plain, PostoMetroNetwork)
        seed = (share.seed * 1_000_003 + share.step) * 1_009 + share.rows.start
        labels = body.labels(batch)
        found = model(batch["image"], self._tokens(plain, batch, self.config.noise_in_training, seed))
        joints = body.joints(found.vertices)
        terms = fastmetro_losses(self.config.loss, found, joints, labels, body.faces, body.edges)
        loss = terms.pop("total")
        if found.R is not None and found.betas is not None:
            terms["smpl"] = smpl_loss(found.R, batch["R"], found.betas, batch["betas"], labels.has_mesh)
            loss = loss + self.config.smpl_weight * terms["smpl"]
        return {"loss": loss, **terms}

    @torch.no_grad()
    def _tokens(
        self, model: PostoMetroNetwork, batch: dict[str, Tensor], sigma: float, seed: int
    ) -> tuple[Tensor, ...] | None:
        """Others than PCT's: of the true pose, or noisy ones."""
        if model.pct is None:
            return None
        if self.config.tokens == "true":
            poses = poses_px(batch["keypoints_2d"][:, COCO17], self.network.pct_side)
            picture = resized(batch["image"], self.network.pct_side)
            features = None if self.guided is None else self.guided.to(picture.device).features(picture, poses)
            return true_tokens(model.pct.head.tokenizer, poses, features)
        found = model.pose(batch["image"])
        if not sigma or found is None:
            return found
        generator = torch.Generator(found.logits.device).manual_seed(seed)
        return noisy_tokens(model.pct.head, found.logits, sigma, generator)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Errors of SMPL's 24 joints, read off the mesh, on rendered people; the body goes beside the checkpoints."""
        assert isinstance(model, PostoMetroNetwork)
        if Path(self.config.train.out).is_dir():
            write_smpl(Path(self.config.train.out) / BODY, self.body.arrays)
        device = next(model.parameters()).device
        body, parts = self.body.to(device), list[Tensor]()
        for number, batch in enumerate(self.validation.batches(device)):
            found = model(batch["image"], self._tokens(model, batch, self.config.noise, number))
            parts.append(body.smpl_joints(found.vertices).float().cpu())
        return joint_errors_mm(torch.cat(parts), self.validation.joints)

    def sidecar(self) -> dict[str, Any]:
        config = self.config
        return {
            "what": "PostoMETRO" if config.pct else "FastMETRO",
            "network": {"system": "postometro", "config": asdict(self.network)},
            "loss": asdict(config.loss),
            "sets": config.sets.sets,
            "augmentation": asdict(config.augmentation),
            "tokens": config.tokens,
            "pct": config.pct,
            "start": config.start,
        }


def network_config(config: PostoMetroRun, counts: tuple[int, int], pct: PctNetworks | None) -> PostoMetroNetworkConfig:
    """Of the whole network: with so many middle and coarse vertices, and PCT as it was trained."""
    sizes, backbone = config.network, config.backbone.config()
    given = pct.config if pct else PctConfig()
    metro = PostoMetroConfig(
        **{name: value for name, value in asdict(sizes).items() if name in _SAME},
        image_channels=backbone.features,
        middle=counts[0],
        coarse=counts[1],
        pose_tokens=given.tokens,
        modulator=MixerSizes(sizes.mixers, given.code_dim, sizes.mixer_hidden, sizes.mixer_token_hidden),
        smpl_hidden=sizes.smpl_hidden or None,
    )
    whole = PostoMetroNetworkConfig(metro, None, backbone, ResNetConfig(), config.side)
    if pct is None or pct.backbone is None:
        return whole
    return replace(whole, pct=pct.config, pct_backbone=pct.backbone, pct_side=pct.side)


_SAME = ("layers", "width", "hidden", "reduced_width", "reduced_hidden", "heads", "dropout", "pose_twice")


def program(config: PostoMetroRun) -> None:
    """Trains, or measures."""
    task = PostoMetroTask(config)
    if not config.measure:
        train(config.train, task)
        return
    if not config.start:
        raise MocapError("expected the network to measure (--start), found none")
    with torch.no_grad():
        print(json.dumps(task.validate(task.model().eval())))


def main() -> int:
    """Command line."""
    return run(PostoMetroRun, __doc__ or "", program)


if __name__ == "__main__":
    sys.exit(main())
