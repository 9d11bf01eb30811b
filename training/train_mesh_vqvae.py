"""Train Mesh-VQ-VAE (VQ-HPS, section 4), the first stage of VQ-HPS: meshes as tokens.

    python -m training.train_mesh_vqvae --config configs/train_mesh_vqvae_small.yaml
    python -m training.train_mesh_vqvae --config configs/train_mesh_vqvae_paper.yaml --smpl SMPL_NEUTRAL.pkl

Meshes are the corpus' poses in random shapes, on the open body or on SMPL. They are canonical: the pelvis is not
turned, and the mean of the vertices is at the origin. Then ``python -m training.train_vqhps --mesh out/mesh_vqvae``.
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

from mocap.body.smpl_file import write_smpl
from mocap.body.torch_kinematics import with_hands
from mocap.config import option
from mocap.models.mesh_graph import SMPL_COUNTS
from mocap.models.mesh_vqvae import MeshVQVAE, MeshVQVAEConfig
from mocap.models.published import BODY
from training.datasets.corpus import Corpus
from training.evaluate_tokenizer import held_out
from training.harness import Share, TrainConfig, load_weights, train
from training.options import run
from training.published.meshes import CanonicalMeshes, MeshNetwork, joint_regressor, read_bodies
from training.published.vqhps import MeshVQVAELossWeights, mesh_errors, mesh_vqvae_losses

_BATCH = 64  # of the validation


@dataclass(frozen=True)
class MeshRun:
    """A training run of Mesh-VQ-VAE."""

    corpus: str = option("out/corpus", "folder that training.make_corpus wrote", "DIR")
    shapes: float = option(1.0, "standard deviation of the betas", low=0)
    smpl: str = option("", "SMPL's file; empty: the open body", "FILE")
    h36m: str = option("", "SPIN's J_regressor_h36m.npy, with --smpl; empty: errors are of the body's joints", "FILE")
    vertices: int = option(0, "of the open body, which are spread over it; 0: all 13,524", "N", low=0)
    counts: list[int] = option(list(SMPL_COUNTS), "vertices of the coarser levels; the last one: tokens", "N")
    start: str = option("", "checkpoint of the same sizes whose weights training starts from", "FILE")
    validation_meshes: int = option(1_000, "meshes of the validation set", "N", low=1)
    network: MeshVQVAEConfig = field(default_factory=MeshVQVAEConfig)
    loss: MeshVQVAELossWeights = field(default_factory=MeshVQVAELossWeights)
    train: TrainConfig = field(default_factory=TrainConfig)


class MeshTask:
    """Mesh-VQ-VAE as :class:`training.harness.Task`."""

    best = "v2v_mm"

    def __init__(self, config: MeshRun) -> None:
        self.config = config
        self.corpus = Corpus.open(Path(config.corpus))
        self.rows = self.corpus.rows("train")
        bodies = read_bodies(config.smpl, config.vertices)
        self.body, self.meshes = bodies[0], CanonicalMeshes(bodies[:1])
        self.regressor = joint_regressor(self.body, config.h36m).numpy()
        self.sizes = MeshNetwork(config.network, tuple(config.counts), "smpl" if config.smpl else "open")
        self.connections = self.sizes.connections(self.body)
        poses = held_out(self.corpus, "val", config.validation_meshes)
        self.validation = self._meshes(poses, torch.Generator().manual_seed(0))

    def model(self) -> nn.Module:
        """Fresh, or with the weights of an earlier run.

        Raises:
            MocapError: that one is not there, or of other sizes.
        """
        model = MeshVQVAE(self.config.network, self.connections)
        if self.config.start:
            load_weights(Path(self.config.start), model, asdict(self.sizes))
        return model

    def count(self) -> int:
        return len(self.rows)

    def loss(self, model: nn.Module, rows: NDArray[Any], share: Share) -> dict[str, Tensor]:
        """Shapes are new in every step."""
        poses = self.corpus.body_poses(self.rows[rows])
        vertices = self._meshes(poses, share.generator(), share.rows).to(share.device)
        found = model(vertices)
        terms = mesh_vqvae_losses(self.config.loss, found, vertices)
        return {"loss": terms.pop("total"), **terms, "perplexity": found.perplexity.detach()}

    def _meshes(self, poses: Tensor, generator: torch.Generator, part: slice = slice(None)) -> Tensor:
        """(N, V, 3) m of body poses (N, 21, 3, 3), or of a part of them."""
        betas = self.config.shapes * torch.randn(len(poses), 10, generator=generator)
        still = torch.eye(3).expand(len(poses), 1, 3, 3)
        made: Tensor = self.meshes(with_hands(torch.cat([still, poses], 1))[part], betas[part])
        return made

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Of reconstructions, mm: of vertices (v2v) and joints, as they are and aligned; and the codebook's use. Writes
        the body, too, since only one process does this."""
        write_smpl(Path(self.config.train.out) / BODY, self.body)
        device, errors, perplexity = next(model.parameters()).device, [], []
        for true in self.validation.split(_BATCH):
            found = model(true.to(device))
            errors.append(mesh_errors(found.vertices.cpu().numpy(), true.numpy(), self.regressor))
            perplexity.append(float(found.perplexity))
        figures = {f"{name}_mm": 1e3 * float(np.concatenate([e[name] for e in errors]).mean()) for name in errors[0]}
        return {**figures, "perplexity": float(np.mean(perplexity))}

    def sidecar(self) -> dict[str, Any]:
        return {
            "what": "Mesh-VQ-VAE: canonical body meshes <-> tokens",
            "network": asdict(self.sizes),
            "vertices": len(self.body.v_template),
            "loss": asdict(self.config.loss),
            "shapes": self.config.shapes,
            "start": Path(self.config.start).name or None,
            "data": self.corpus.description(),
        }


def main() -> int:
    """Command line."""
    return run(MeshRun, __doc__ or "", lambda config: train(config.train, MeshTask(config)))


if __name__ == "__main__":
    sys.exit(main())
