"""Train INT (Yang et al. 2023): single pictures, then clips and pictures, then clips with the best labels.

    python -m training.train_int --config configs/train_int_phase1.yaml --pretrained jx_vit_base_resnet50_224_in21k.pth
    python -m training.train_int --config configs/train_int_phase2.yaml
    python -m training.train_int --config configs/train_int_phase3.yaml
    python -m training.train_int --config configs/train_int_small.yaml         (rendered people, on a CPU)
    python -m training.train_int --config configs/train_int_small_clips.yaml   (rendered clips, from the one before)

The same command goes on where it was stopped. On the open body unless ``--smpl`` and ``--regressor`` name SMPL's files.
Then ``mocap import-checkpoint out/int_small/best.ckpt --system int`` and ``mocap live --regressor int``.
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
from mocap.body.model import OPEN_BODY, Body
from mocap.body.smpl_file import read_smpl, write_smpl
from mocap.config import option
from mocap.errors import MocapError
from mocap.models.blazepose_backbone import BlazePoseConfig
from mocap.models.independent_tokens import IndependentTokens, IndependentTokensConfig
from mocap.models.published import BODY
from mocap.models.resnet_v2 import ResNetV2Config
from training.datasets.images.rendered import MAPS_MARGIN, Rendered
from training.harness import Share, TrainConfig, train
from training.options import run
from training.published.clips import MARGIN, ClipAugmentation, ClipExamples, ClipsConfig, Singles, open_clips
from training.published.examples import Batches, Examples
from training.published.independent_tokens import PHASES, Estimates, Labels, in_picture, losses, theta_of
from training.published.int_start import network_entry, start_from_phase, start_from_vit
from training.published.points import OpenPoints, load_points
from training.published.sets import Mixed, Mixture, SetsConfig, open_set
from training.published.validation import Validation

_PLAIN_MARGIN = 1.1  # of crops in evaluation and in the live loop
_JOINTS = "spin49"


@dataclass(frozen=True)
class Sizes:
    """Of the network; the defaults are the paper's."""

    picture: int = option(224, "side of a crop", "PX", low=16)
    blazepose: bool = option(False, "the backbone is BlazePose's landmark network, frozen, not ResNet")
    layers: list[int] = option([3, 4, 9], "bottlenecks of the backbone's stages; none: patches of pixels", "N")
    channels: list[int] = option([256, 512, 1024], "that each stage gives", "C")
    stem: int = option(64, "channels of the backbone's first convolution", "C", low=1)
    groups: int = option(32, "of each of its norms", "N", low=1)
    patch: int = option(16, "side of a patch where there is no backbone", "PX", low=1)
    width: int = option(768, "entries of a token", "D", low=1)
    depth: int = option(6, "blocks of the base model", "N", low=1)
    heads: int = option(12, "of their attention", "N", low=1)
    hidden: int = option(3072, "of their feed-forward parts", "N", low=1)
    parallel: bool = option(False, "the base model attends over time as well, as MAED's (table 3)")
    temporal: Literal["joint", "pose", "none"] = option(
        "joint", "what is followed over time from phase 2 on: joints by themselves, or as one token (table 2)"
    )
    temporal_depth: int = option(3, "blocks of the temporal transformer", "N", low=1)
    temporal_heads: int = option(12, "of their attention", "N", low=1)


@dataclass(frozen=True)
class IntRun:
    """A training run of INT."""

    phase: int = option(1, "1: pictures; 2: clips and pictures; 3: clips, velocities too", "1|2|3", low=1, high=3)
    start: str = option("", "checkpoint of an earlier phase whose weights training starts from", "FILE")
    pretrained: str = option("", "timm's weights of ViT or of its hybrid, for the base model", "FILE")
    smpl: str = option("", "SMPL's file; empty: the open body", "FILE")
    regressor: str = option("", "with SMPL, SPIN's J_regressor_extra.npy", "FILE")
    clips_3d: int = option(4, "clips with labels in space, of so many, from phase 2 on", "N", low=1)
    clips_2d: int = option(3, "clips with labels in the picture, beside these; phase 3: 0", "N", low=0)
    pictures: int = option(7, "single pictures, beside these; phase 3: 0", "N", low=0)
    pose_distance: Literal["matrix", "axis_angle"] = option("matrix", "of rotations; the paper has axis_angle")
    sets: SetsConfig = field(default_factory=SetsConfig)
    clips: ClipsConfig = field(default_factory=ClipsConfig)
    augmentation: ClipAugmentation = field(default_factory=ClipAugmentation)
    network: Sizes = field(default_factory=Sizes)
    train: TrainConfig = field(default_factory=TrainConfig)


class IntTask:
    """INT as :class:`training.harness.Task`."""

    best = "pa_mpjpe_mm"

    def __init__(self, config: IntRun) -> None:
        self.config, self.network = config, network_config(config)
        self.arrays = read_smpl(Path(config.smpl) if config.smpl else asset_path(OPEN_BODY))
        self.body = Body(self.arrays)
        self.points = load_points(_JOINTS, config.smpl, config.regressor)
        self.weights = replace(PHASES[config.phase - 1], pose_distance=config.pose_distance)
        moving, open_points = config.phase > 1, OpenPoints(_JOINTS)
        folder = Path(config.clips.validation if moving else config.sets.validation)
        people = Rendered(folder, open_points, config.sets.maps)
        body = "smpl" if config.smpl else "open"
        margins = (MAPS_MARGIN, MAPS_MARGIN) if config.sets.maps else (_PLAIN_MARGIN, MARGIN)
        plain = Examples(Mixture([people]), _JOINTS, config.network.picture, margins[0], body=body)
        clip_frames = config.clips.frames if moving else 0
        self.validation = Validation(people, plain, config.sets.threads, clip_frames=clip_frames)
        self.kinds = self._kinds(replace(plain, margin=margins[1]), open_points)
        self.parts = sum(count for count, _ in self.kinds.values())
        processes = config.train.devices * config.train.nodes
        if config.train.batch_size % (self.parts * processes):
            raise MocapError(
                f"expected a batch that {self.parts} samples in {processes} processes divide, found "
                f"{config.train.batch_size}: see --clips_3d, --clips_2d, --pictures and --train.batch_size"
            )
        times = config.train.batch_size // self.parts
        self.batches = {
            kind: Batches(make, count * times, config.sets.threads) for kind, (count, make) in self.kinds.items()
        }

    def model(self) -> nn.Module:
        """Fresh, or with the weights of an earlier phase, or ImageNet's."""
        network = IndependentTokens(self.network)
        if self.config.start and self.config.pretrained:
            raise MocapError("expected --start or --pretrained, found both")
        if self.config.start:
            start_from_phase(Path(self.config.start), network)
        if self.config.pretrained:
            start_from_vit(Path(self.config.pretrained), network)
        return network

    def count(self) -> int:
        return sum(len(make.clips) for _, make in self.kinds.values())

    def loss(self, model: nn.Module, rows: NDArray[Any], share: Share) -> dict[str, Tensor]:
        """Of clips and pictures, by their numbers of frames, as released. Samples are drawn by the step alone."""
        self.points.to(share.device)
        batches = {kind: batch(self._part(share, kind)) for kind, batch in self.batches.items()}
        moving = [batches[kind] for kind in ("2d", "3d") if kind in batches]
        groups = [group for group in (moving, [batches[kind] for kind in ("pictures",) if kind in batches]) if group]
        terms = [self._terms(model, group) for group in groups]
        frames = [sum(batch["image"].shape[:2].numel() for batch in group) for group in groups]
        means = {
            name: torch.stack([n * each[name] for n, each in zip(frames, terms, strict=True)]).sum() / sum(frames)
            for name in terms[0]
        }
        return {"loss": means.pop("total"), **means}

    def _part(self, share: Share, kind: str) -> Share:
        """A process' part of the step's samples of a kind."""
        count = self.kinds[kind][0]
        return replace(share, rows=slice(*(at * count // self.parts for at in (share.rows.start, share.rows.stop))))

    def _terms(self, model: nn.Module, batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Losses of clips; labels in space count of the last batch alone."""
        found = model(torch.cat([batch["image"] for batch in batches]))
        points = self.points(found["R"].flatten(0, 1), found["betas"].flatten(0, 1)).unflatten(0, found["R"].shape[:2])
        picture = torch.cat([batch["keypoints_2d"] for batch in batches])
        last = batches[-1]
        true = theta_of({**last, "camera": torch.zeros_like(last["betas"][..., :3])})
        labels = Labels(
            torch.cat([2 * picture[..., :2], picture[..., 2:]], -1),
            last["keypoints_3d"],
            true,
            last["has_pose"],
            last["has_betas"],
        )
        return losses(self.weights, Estimates(in_picture(points, found["camera"]), points, theta_of(found)), labels)

    def validate(self, model: nn.Module) -> dict[str, float]:
        # Beside the checkpoints, for the live loop: this is asked of one process, before it writes them.
        write_smpl(Path(self.config.train.out) / BODY, self.arrays)
        device = next(model.parameters()).device
        self.body.to(device)

        def joints(pictures: Tensor) -> Tensor:
            """Pictures (..., 3, S, S) -> (..., 24, 3) m."""
            found = model(pictures if pictures.ndim == 5 else pictures[:, None])
            p_pelvis = torch.zeros_like(found["betas"][..., :3])
            return self.body.joints(found["R"], p_pelvis, found["betas"]).reshape(*pictures.shape[:-3], -1, 3)

        return self.validation.errors_mm(joints, device)

    def sidecar(self) -> dict[str, Any]:
        config = self.config
        return {
            "what": f"INT, phase {config.phase}: crops of people -> SMPL rotations and shape",
            "network": network_entry(self.network),
            "body": Path(config.smpl).name or "open",
            "loss": asdict(self.weights),
            "augmentation": asdict(config.augmentation),
            "sets": asdict(config.sets),
            "clips": asdict(config.clips) if config.phase > 1 else None,
            "start": config.start or config.pretrained or None,
        }

    def _kinds(self, examples: Examples, rendered: OpenPoints) -> dict[str, tuple[int, ClipExamples]]:
        """Kinds of samples: how many of each there are in so many, and the samples."""
        config, how = self.config, self.config.augmentation
        counts = {"2d": config.clips_2d, "3d": config.clips_3d, "pictures": config.pictures}
        if config.phase == 1:
            counts = {"pictures": 1}
        sets = {"2d": config.clips.sets_2d, "3d": config.clips.sets_3d, "pictures": config.sets.sets}
        found = {}
        for seed, (kind, count) in enumerate(counts.items()):
            if not count:
                continue
            clips: list[Any] = [
                Singles(open_set(spec, rendered, config.sets.maps))
                if kind == "pictures"
                else open_clips(spec, rendered, config.clips, config.sets.maps)
                for spec in sets[kind]
            ]
            mixed = Mixed(clips, config.sets.weights if kind == "pictures" else ())
            augmentation = how if kind == "3d" else replace(how, color=0.0)
            found[kind] = count, ClipExamples(mixed, examples, augmentation, 3 * config.train.seed + seed)
        return found


def network_config(config: IntRun) -> IndependentTokensConfig:
    """The network's sizes; phase 1 has nothing over time."""
    sizes = config.network
    own = ("blazepose", "layers", "channels", "stem", "groups")
    fields = {key: value for key, value in asdict(sizes).items() if key not in own}
    resnet = ResNetV2Config(tuple(sizes.layers), tuple(sizes.channels), sizes.stem, sizes.groups)
    return IndependentTokensConfig(
        **{**fields, "temporal": None if config.phase == 1 or sizes.temporal == "none" else sizes.temporal},
        backbone=BlazePoseConfig() if sizes.blazepose else resnet if sizes.layers else None,
        frames=config.clips.frames,
    )


def main() -> int:
    """Command line."""
    return run(IntRun, __doc__ or "", lambda config: train(config.train, IntTask(config)))


if __name__ == "__main__":
    sys.exit(main())
