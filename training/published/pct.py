"""PCT's training: crops with COCO's 17 joints, and the tokenizer with the backbone that guides it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mocap.config import option
from mocap.errors import MocapError
from mocap.models.backbones import make_backbone
from mocap.models.blazepose_backbone import BlazePoseConfig
from mocap.models.hrnet import HRNetConfig
from mocap.models.network_file import from_dict
from mocap.models.pct import PctConfig, PctTokenizer, Reconstruction, joint_features
from mocap.models.resnet import ResNetConfig
from training.datasets.images.rendered import Rendered
from training.harness import load_weights
from training.published.crops import AugmentationConfig
from training.published.examples import Batches, Examples
from training.published.points import OpenPoints
from training.published.sets import SetsConfig, open_sets
from training.published.validation import Validation

COCO = "coco17"


@dataclass(frozen=True)
class PctAugmentation(AugmentationConfig):
    """PCT's release without half bodies, dropped cells and hues. Normal deviates are clipped at 1, rotations' at 2."""

    shift: float = option(0.05, "standard deviation, sides of the box; released: up to 0.16, of 30 %", low=0)
    scale: float = option(0.5, "standard deviation", low=0)
    rotation: float = option(40.0, "standard deviation, degrees", low=0)
    rotation_rate: float = option(0.6, "share of crops that are turned", low=0, high=1)
    flip_rate: float = option(0.5, "share that is mirrored", low=0, high=1)
    color: float = option(0.4, "largest relative change of a colour", low=0)
    part_rate: float = option(0.0, "none are cut to a part of the body, which takes 44 points", low=0, high=0)


@dataclass(frozen=True)
class PctNetworks:
    """What a run of PCT has trained."""

    config: PctConfig
    backbone: (
        ResNetConfig | HRNetConfig | BlazePoseConfig | None
    )  # of a tokenizer: that guides it; of a classifier: its own
    side: int  # px of the crop

    def network(self, system: str) -> dict[str, Any]:
        """As the run keeps it."""
        return {"system": system, **asdict(self)}


def read_pct(run: str, system: str) -> tuple[Path, PctNetworks]:
    """The checkpoint of a run, given by its folder or the file itself, and what it has trained.

    Raises:
        MocapError: there is none, or it is another system's.
    """
    path = Path(run) / "best.ckpt" if not Path(run).is_file() else Path(run)
    if not path.is_file():
        raise MocapError(f"{path}: expected a run of training.train_{system}, found nothing; train it first")
    state = torch.load(path, map_location="cpu", weights_only=True)
    found = dict(state["network"])
    if found.pop("system", None) != system:
        raise MocapError(f"{path}: expected a run of training.train_{system}, found {state['network']}")
    return path, from_dict(PctNetworks, found)


class GuidedTokenizer(nn.Module):
    """PCT's tokenizer with the backbone whose features guide it, where it is guided; that one is frozen."""

    def __init__(self, networks: PctNetworks) -> None:
        super().__init__()
        self.side, self.tokenizer = networks.side, PctTokenizer(networks.config)
        guided = networks.config.guided_width and networks.backbone is not None
        self.guide = make_backbone(networks.backbone).requires_grad_(False) if guided and networks.backbone else None

    def train(self, mode: bool = True) -> GuidedTokenizer:
        super().train(mode)
        if self.guide is not None:
            self.guide.eval()
        return self

    def forward(self, picture: Tensor, poses: Tensor) -> Reconstruction:
        """Crops (B, 3, S, S), of which nothing is needed without guidance, and poses (B, 17, 3) px."""
        out: Reconstruction = self.tokenizer(poses, self.features(picture, poses))
        return out

    @torch.no_grad()
    def features(self, picture: Tensor, poses: Tensor) -> Tensor | None:
        """Of the crops (B, 3, S, S) at the joints of poses (B, 17, 3) px: (B, 17, C); None without guidance."""
        return None if self.guide is None else joint_features(self.guide(picture), poses, self.side)


def load_tokenizer(run: str) -> tuple[GuidedTokenizer, PctNetworks]:
    """The tokenizer of a run, frozen, in evaluation mode.

    Raises:
        MocapError: there is none.
    """
    path, networks = read_pct(run, "pct_tokenizer")
    tokenizer = GuidedTokenizer(networks)
    load_weights(path, tokenizer, networks.network("pct_tokenizer"))
    return tokenizer.requires_grad_(False).eval(), networks


class PctData:
    """Crops to learn from, and to validate on."""

    def __init__(
        self,
        sets: SetsConfig,
        side: int,
        margin: float,
        augmentation: AugmentationConfig,
        batch_size: int,
        seed: int,
        pictures: bool,
    ) -> None:
        points = OpenPoints(COCO)
        self.people, self.side = open_sets(sets, points), side
        how = None if sets.maps else augmentation
        examples = Examples(self.people, COCO, side, margin, how, seed=seed, pictures=pictures)
        self.batches = Batches(examples, batch_size, sets.threads)
        self.validation = Validation(Rendered(Path(sets.validation), points, sets.maps), examples, sets.threads)

    def poses(self, batch: dict[str, Tensor]) -> Tensor:
        """(B, 17, 3) px, and 1 where a joint is seen."""
        return poses_px(batch["keypoints_2d"], self.side)

    def error_px(self, find: Callable[[Tensor, Tensor], Tensor], device: torch.device) -> float:
        """Mean distance of the seen joints that ``find`` makes of crops and true poses, (B, 17, 2) px."""
        total, count = 0.0, 0.0
        for batch in self.validation.batches(device):
            poses = self.poses(batch)
            off = (find(batch["image"], poses) - poses[..., :2]).norm(dim=-1)
            total, count = total + float((off * poses[..., 2]).sum()), count + float(poses[..., 2].sum())
        return total / max(count, 1.0)


def poses_px(keypoints: Tensor, side: int) -> Tensor:
    """Keypoints (B, n, 3) in sides of the crop, 0 in its middle -> px from its corner, and 1 where seen, else 0."""
    seen = (keypoints[..., 2:] > 0).to(keypoints)
    return torch.cat([(keypoints[..., :2] + 0.5) * side, torch.ones_like(seen)], -1) * seen
