"""Train VQ-HPS (Fiche et al. 2024, section 4) on pictures, after ``training.train_mesh_vqvae``.

    python -m training.train_vqhps --config configs/train_vqhps_small.yaml                   (rendered people, one core)
    python -m training.train_vqhps --config configs/train_vqhps_paper.yaml --smpl models/smpl --train.devices 4

It learns from rendered people (``training.synthesize --picture_px 128``) and from the data sets of
docs/published_data.md alike: ``--sets.sets rendered=out/pictures 3dpw=data/3DPW``. Labels that a sample does not have
do not count: tokens want a pose and a shape of this body, the rotation a pose, and the reprojection the points that are
there. The body is Mesh-VQ-VAE's. The same command goes on where it was stopped, and

    mocap import-checkpoint out/vqhps_small/best.ckpt --system vqhps

makes a network of the run that ``mocap live --regressor vqhps`` takes.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mocap.body.smpl_file import SmplArrays, write_smpl
from mocap.config import option
from mocap.errors import MocapError
from mocap.models import hrnet, resnet
from mocap.models.backbones import BackboneConfig
from mocap.models.blazepose_backbone import BlazePoseConfig
from mocap.models.checkpoints import read_file, renamed
from mocap.models.hrnet import HRNetConfig
from mocap.models.published import BODY
from mocap.models.resnet import ResNetConfig
from mocap.models.vqhps import VQHPSConfig
from mocap.models.vqhps_network import VQHPSNetwork, VQHPSNetworkConfig
from mocap.models.weights import load_weights
from training import harness
from training.datasets.images.rendered import Rendered
from training.datasets.images.sample import Sample
from training.harness import Share, TrainConfig, train, unwrapped
from training.options import run
from training.published.crops import AugmentationConfig
from training.published.examples import Batches, Examples
from training.published.meshes import CanonicalMeshes, TrainedMesh, joint_regressor, load_mesh, read_bodies
from training.published.points import OpenPoints
from training.published.sets import SetsConfig, open_sets
from training.published.validation import Validation
from training.published.vqhps import KnownLabels, VQHPSLossWeights, vqhps_losses


@dataclass(frozen=True)
class VQHPSAugmentation(AugmentationConfig):
    """What may be done to a crop: box and mirror as released. Its colours are ours, for albumentations' noise."""

    shift: float = option(0.0, "standard deviation of the box's place, in its sides", low=0)
    scale: float = option(0.25, "standard deviation of the box's side, relative", low=0, high=1)
    rotation_rate: float = option(0.4, "share of crops that are turned", "SHARE", low=0, high=1)
    part_rate: float = option(0.0, "share that is cut to a part of the body", "SHARE", low=0, high=1)


@dataclass(frozen=True)
class VQHPSRun:
    """A training run of VQ-HPS."""

    mesh: str = option("out/mesh_vqvae", "run of training.train_mesh_vqvae; its body is this one's, too", "DIR")
    smpl: str = option(
        "", "folder of SMPL's neutral, male and female files, where Mesh-VQ-VAE's body is SMPL; empty: people whose "
        "shape is of a gender have no mesh", "DIR",
    )  # fmt: skip
    h36m: str = option(
        "",
        "SPIN's J_regressor_h36m.npy, with SMPL: its 17 joints are where the rotation starts; empty: the body's 24",
        "FILE",
    )
    reprojection: Literal["smpl24", "h36m17"] = option(
        "smpl24", "joints in the picture: the body's (paper), or Human3.6M's (released), with --h36m"
    )
    side: int = option(224, "side of the crop, a multiple of 32", "PX", low=32)
    margin: float = option(1.2, "side of the crop over the box around a rendered person; others have theirs", low=1)
    backbone: Literal["resnet", "hrnet", "blazepose"] = option(
        "resnet", "both backbones: the paper's, the released code's, or BlazePose's landmark network, frozen"
    )
    backbone_weights: str = option(
        "", "that both start from: torchvision's ResNet, or HRNet with the downsampling head; empty: random", "FILE"
    )
    start: str = option("", "best.ckpt of a run of the same sizes, whose weights training starts from", "FILE")
    resnet: ResNetConfig = field(default_factory=ResNetConfig)
    hrnet: HRNetConfig = field(default_factory=HRNetConfig)
    network: VQHPSConfig = field(default_factory=VQHPSConfig)  # but features, tokens, codes and joints, see sizes()
    loss: VQHPSLossWeights = field(default_factory=VQHPSLossWeights)
    augmentation: VQHPSAugmentation = field(default_factory=VQHPSAugmentation)
    sets: SetsConfig = field(default_factory=SetsConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


class VQHPSTask:
    """VQ-HPS as :class:`training.harness.Task`."""

    best = "pa_mpjpe_mm"

    def __init__(self, config: VQHPSRun) -> None:
        self.config = config
        self.mesh = mesh = load_mesh(Path(config.mesh))
        self.meshes = CanonicalMeshes(bodies_of(mesh, config.smpl))
        self.start_joints = joint_regressor(mesh.body, config.h36m)
        self.body_joints = joint_regressor(mesh.body, "")
        if config.reprojection == "h36m17" and not config.h36m:
            raise MocapError("expected --h36m FILE with --reprojection h36m17, found none")
        self.joints = self.body_joints if config.reprojection == "smpl24" else self.start_joints
        self.network = sizes(config, mesh, len(self.start_joints))
        points = OpenPoints(config.reprojection)
        self.samples = open_sets(config.sets, points)
        examples = Examples(
            self.samples,
            config.reprojection,
            config.side,
            augmentation=None if config.sets.maps else config.augmentation,
            keep=self._framed,
            body=mesh.kind,
            seed=config.train.seed,
        )
        self.batches = Batches(examples, config.train.batch_size, config.sets.threads)
        people = Rendered(Path(config.sets.validation), points, config.sets.maps)
        self.validation = Validation(people, examples, config.sets.threads, self._framed)

    def model(self) -> nn.Module:
        """Fresh, with the trained Mesh-VQ-VAE in it, which is frozen.

        Raises:
            MocapError: weights to start from are not there, or of other sizes.
        """
        rows = [torch.from_numpy(layer.rows) for layer in self.mesh.connections]
        model = VQHPSNetwork(self.network, rows, self.start_joints, torch.from_numpy(self.mesh.body.v_template))
        model.network.mesh.load_state_dict(self.mesh.network.state_dict())
        if self.config.backbone_weights:
            path = Path(self.config.backbone_weights)
            weights = renamed(read_file(path), resnet.RULES if self.config.backbone == "resnet" else hrnet.RULES)
            for backbone in (model.network.regressor.rotation_backbone, model.network.regressor.pose_backbone):
                load_weights(backbone, weights, str(path))
        if self.config.start:
            harness.load_weights(Path(self.config.start), model, self.sidecar()["network"])
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def count(self) -> int:
        return len(self.samples)

    def loss(self, model: nn.Module, rows: NDArray[Any], share: Share) -> dict[str, Tensor]:
        """The mesh is learnt by its tokens alone, the camera by the points in the picture, the rotation by both its
        own loss and them (section 4.3)."""
        batch, plain = self.batches(share), unwrapped(model)
        assert isinstance(plain, VQHPSNetwork)
        known = KnownLabels(batch["has_pose"] * batch["has_betas"] * self._gendered(batch), batch["has_pose"])
        with torch.no_grad(), torch.autocast(share.device.type, enabled=False):
            meshes = self.meshes.to(share.device)(batch["R"], batch["betas"], batch["gender"])
            tokens = plain.network.mesh.encode(meshes)
        found = model(batch["image"])
        points, joints = batch["keypoints_2d"], self.joints.to(share.device)
        in_picture = 2 * points[..., :2]  # -1 to 1
        terms = vqhps_losses(
            self.config.loss, found, tokens, batch["R"][:, 0], joints, in_picture, points[..., 2], known
        )
        right = (found.logits.argmax(-1) == tokens).float().mean()
        return {"loss": terms.pop("total"), **terms, "right_tokens": right}

    def _gendered(self, batch: dict[str, Tensor]) -> Tensor:
        """(B,) 1 for samples whose betas are of a gender that there is a body of."""
        return (batch["gender"] < len(self.meshes.bodies)).float()

    def _framed(self, sample: Sample) -> Sample:
        """With the box that the crop is cut around."""
        return replace(sample, side_px=self.config.margin * sample.side_px) if sample.body == "open" else sample

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Joints of the mesh by the body's own regressor, each person a batch of one as live; and writes the body,
        since only one process does this."""
        write_smpl(Path(self.config.train.out) / BODY, self.mesh.body)
        assert isinstance(model, VQHPSNetwork)
        device = next(model.parameters()).device
        network, joints = copy.deepcopy(model).alone(), self.body_joints.to(device)
        return self.validation.errors_mm(lambda pictures: joints @ network(pictures).vertices, device)

    def sidecar(self) -> dict[str, Any]:
        return {
            "what": "VQ-HPS: a picture of a person -> tokens of a mesh, its rotation, a camera",
            "network": {"system": "vqhps", "config": asdict(self.network)},
            "loss": asdict(self.config.loss),
            "reprojection": self.config.reprojection,
            "augmentation": asdict(self.config.augmentation),
            "sets": asdict(self.config.sets),
        }


def bodies_of(mesh: TrainedMesh, smpl: str) -> list[SmplArrays]:
    """Mesh-VQ-VAE's body, and those of the other genders that there are.

    Raises:
        MocapError: it is another body than the file's.
    """
    if not smpl:
        return [mesh.body]
    bodies = read_bodies(smpl)
    if not np.array_equal(bodies[0].v_template, mesh.body.v_template):
        raise MocapError(
            f"{smpl}: expected the body that Mesh-VQ-VAE was trained on, found another; train it with "
            f"python -m training.train_mesh_vqvae --smpl {smpl}"
        )
    return bodies


def sizes(config: VQHPSRun, mesh: TrainedMesh, joints: int) -> VQHPSNetworkConfig:
    """Of the whole network: what the mesh and the backbone have is taken from them.

    Raises:
        MocapError: a mesh's token is several codes.
    """
    if mesh.network.config.quantizers > 1:
        raise MocapError(f"{config.mesh}: expected tokens of one code, found {mesh.network.config.quantizers} codes")
    kinds: dict[str, BackboneConfig] = {
        "resnet": config.resnet,
        "hrnet": config.hrnet,
        "blazepose": BlazePoseConfig(),
    }
    coarsest = mesh.connections[mesh.network.config.encoder_layers - 1]
    return VQHPSNetworkConfig(
        regressor=replace(
            config.network,
            features=kinds[config.backbone].features,
            tokens=coarsest.outputs,
            codes=mesh.network.config.codes,
            joints=joints,
        ),
        hrnet=config.hrnet if config.backbone == "hrnet" else None,
        resnet=config.resnet if config.backbone == "resnet" else None,
        blazepose=BlazePoseConfig() if config.backbone == "blazepose" else None,
        mesh=mesh.network.config,
        connections=tuple(f"layer{number}" for number in range(len(mesh.connections))),
        side=config.side,
    )


def main() -> int:
    """Command line."""
    return run(VQHPSRun, __doc__ or "", lambda config: train(config.train, VQHPSTask(config)))


if __name__ == "__main__":
    sys.exit(main())
