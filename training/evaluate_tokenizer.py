"""What a trained pose tokenizer is worth: on held-out people, on a source held out whole, on noise, on random tokens.

    python -m training.evaluate_tokenizer out/tokenizer_live --corpus out/corpus [--split test ood] [--json FILE]

Errors are in mm on the open body in its mean shape, the pelvis at the origin and unturned: MPJPE over SMPL's joints 1
to 23, MVE over all vertices of the mesh.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocap.body.joint_limits import joint_limits
from mocap.body.model import Body, load_body
from mocap.body.skeleton import JOINT_NAMES
from mocap.body.torch_rotations import random_rotations
from mocap.errors import MocapError
from mocap.models.tokenizer import PoseTokenizer, TokenizerConfig
from training.datasets.corpus import Corpus
from training.harness import load_weights

BATCH = 256
HEADS = ("poses", "MPJPE", "p95", "MVE", "codes", "noise", "out", "closer")
POISONED = 0.1  # share of joints that the robustness test replaces by random rotations
Array = NDArray[np.float64]


def load_run(folder: Path, device: torch.device | None = None) -> PoseTokenizer:
    """The best tokenizer of a run of ``training.train_tokenizer``, in evaluation mode.

    Raises:
        MocapError: there is no such run, or it was not validated yet.
    """
    if not (folder / "run.json").is_file():
        raise MocapError(
            f"{folder}: expected a run of training.train_tokenizer with run.json, found none; train it first"
        )
    note = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    model = PoseTokenizer(TokenizerConfig(**note["network"]))
    load_weights(folder / "best.ckpt", model, note["network"])
    return model.to(device or "cpu").eval()


class Meter:
    """Joints and vertices of body poses (B, 21, 3, 3): the mean shape, the pelvis at the origin and unturned."""

    def __init__(self, body: Body | None = None) -> None:
        self.body = body or load_body()

    def joints(self, R: Tensor) -> Tensor:
        """(B, 24, 3) m."""
        return self.body.to(R.device).joints(self._whole(R), *self._still(R))

    def vertices(self, R: Tensor, at: Tensor | None = None) -> Tensor:
        """(B, V, 3) m, or only those with the indices ``at``."""
        return self.body.to(R.device).vertices(self._whole(R), *self._still(R), at=at)

    def mpjpe(self, R: Tensor, R_true: Tensor) -> Tensor:
        """Per pose and joint (B, 23), mm."""
        return 1e3 * (self.joints(R) - self.joints(R_true))[:, 1:].norm(dim=-1)

    def mve(self, R: Tensor, R_true: Tensor) -> Tensor:
        """Per pose (B,), mm."""
        return 1e3 * (self.vertices(R) - self.vertices(R_true)).norm(dim=-1).mean(-1)

    def _whole(self, R: Tensor) -> Tensor:
        still = torch.eye(3, dtype=R.dtype, device=R.device).expand(len(R), 1, 3, 3)
        return torch.cat([still, R, still, still], 1)

    def _still(self, R: Tensor) -> tuple[Tensor, Tensor]:
        return R.new_zeros(len(R), 3), R.new_zeros(len(R), 10)


@torch.no_grad()
def reconstruction(model: PoseTokenizer, poses: Tensor, meter: Meter) -> dict[str, Any]:
    """MPJPE, MVE, per joint, and the share of the codebook that these poses (N, 21, 3, 3) use."""
    joints, vertices, used = [], [], torch.zeros(model.config.codes, dtype=torch.bool)
    for R in poses.split(BATCH):
        tokens = model.encode(R)
        used[tokens.flatten().cpu()] = True
        decoded = model.decode_tokens(tokens)
        joints.append(meter.mpjpe(decoded, R))
        vertices.append(meter.mve(decoded, R))
    per_joint = torch.cat(joints).mean(0)
    return {
        "poses": len(poses),
        "mpjpe_mm": float(per_joint.mean()),
        "mve_mm": float(torch.cat(vertices).mean()),
        "mpjpe_p95_mm": float(torch.cat(joints).mean(1).quantile(0.95)),
        "code_use": float(used.float().mean()),
        "per_joint_mm": {name: round(float(e), 2) for name, e in zip(JOINT_NAMES[1:], per_joint, strict=True)},
    }


@torch.no_grad()
def robustness(model: PoseTokenizer, poses: Tensor, meter: Meter, seed: int = 0) -> dict[str, float]:
    """Poses with a tenth of their joints replaced by random rotations: how far off before and after the tokens, mm."""
    generator = torch.Generator().manual_seed(seed)
    before, after = [], []
    for R in poses.split(BATCH):
        poisoned = poison(R, generator)
        before.append(meter.mpjpe(poisoned, R).mean(1))
        after.append(meter.mpjpe(model.decode_tokens(model.encode(poisoned)), R).mean(1))
    noisy, decoded = float(torch.cat(before).mean()), float(torch.cat(after).mean())
    return {"input_mpjpe_mm": noisy, "decoded_mpjpe_mm": decoded, "closer_by": 1 - decoded / noisy}


def poison(R: Tensor, generator: torch.Generator) -> Tensor:
    """Each joint with a chance of a tenth a uniformly random rotation."""
    others = random_rotations(R.shape[:2], generator).to(R)
    chosen = torch.rand(R.shape[:2], generator=generator) < POISONED
    return torch.where(chosen[..., None, None].to(R.device), others, R)


@torch.no_grad()
def random_poses(model: PoseTokenizer, count: int, seed: int = 0) -> Tensor:
    """What uniformly random tokens decode to (count, 21, 3, 3)."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(model.config.codes, (count, model.config.tokens), generator=generator)
    device = model.quantizer.codebook.device
    return torch.cat([model.decode_tokens(part.to(device)) for part in tokens.split(BATCH)])


def inside_limits(poses: Tensor, slack_deg: float = 0.0) -> Array:
    """Share of poses (N, 21, 3, 3) that have each limited joint inside its limits, (joints,)."""
    limits = joint_limits()
    rows = limits.joints
    R = poses.cpu().double().numpy()[:, rows - 1]
    angles, slack = limits.chart(R), np.radians(slack_deg)
    inside = (angles >= limits.lower[rows] - slack) & (angles <= limits.upper[rows] + slack)
    return np.asarray(inside.all(-1).mean(0))


def evaluate(model: PoseTokenizer, corpus: Corpus, splits: list[str], most: int = 20_000) -> dict[str, Any]:
    """All figures of the issue's table; at most so many poses of each split, evenly spread."""
    meter = Meter()
    figures: dict[str, Any] = {}
    for split in splits:
        poses = held_out(corpus, split, most)
        figures[split] = reconstruction(model, poses, meter)
        figures[split]["robustness"] = robustness(model, poses, meter)
        figures[split]["inside_limits"] = float(inside_limits(poses).mean())
    figures["random_tokens"] = {"inside_limits": float(inside_limits(random_poses(model, 2000)).mean())}
    return figures


def held_out(corpus: Corpus, split: str, most: int) -> Tensor:
    """Poses (N, 21, 3, 3) of a split, evenly spread over its frames."""
    rows = corpus.rows(split)
    return corpus.body_poses(rows[:: max(1, len(rows) // most)][:most])


def table(figures: dict[str, Any]) -> Iterator[str]:
    """Lines for the terminal."""
    yield " " * 8 + "".join(f"{head:>8s}" for head in HEADS)
    for split, row in figures.items():
        if split != "random_tokens":
            noise = row["robustness"]
            yield (
                f"{split:8s}{row['poses']:8d}{row['mpjpe_mm']:8.2f}{row['mpjpe_p95_mm']:8.2f}{row['mve_mm']:8.2f}"
                f"{row['code_use']:8.1%}{noise['input_mpjpe_mm']:8.1f}{noise['decoded_mpjpe_mm']:8.1f}"
                f"{noise['closer_by']:8.1%}"
            )
    yield f"random tokens: {figures['random_tokens']['inside_limits']:.1%} of joints inside their limits"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run of training.train_tokenizer")
    parser.add_argument("--corpus", type=Path, default=Path("out/corpus"))
    parser.add_argument("--split", nargs="+", default=["val", "test", "ood"])
    parser.add_argument("--json", type=Path, default=None, help="write the figures there too")
    options = parser.parse_args()
    try:
        figures = evaluate(load_run(options.run), Corpus.open(options.corpus), options.split)
    except MocapError as error:
        parser.exit(1, f"error: {error}\n")
    print("\n".join(table(figures)))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
