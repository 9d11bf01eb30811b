"""What the evaluations by the papers' protocols have in common: options, pictures to meshes, meshes to errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mocap.errors import MocapError
from training.datasets.images.sample import Sample
from training.metrics import mpjpe, pa_mpjpe
from training.published import crops
from training.published.evaluate_bodies import Bodies, posed, read_regressor
from training.published.evaluate_data import People
from training.published.evaluate_figures import MPJPE, PA_MPJPE

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """What the user may choose; the defaults are the papers'."""

    h36m_regressor: str = ""
    extra_regressor: str = ""
    spin_regressor: str = ""
    bodies: Literal["protocol", "gendered", "neutral"] = "protocol"  # of the true meshes
    hips: bool = True  # PostoMETRO: joints are compared from the middle of the hips, not from Human3.6M's pelvis
    every_frame: bool = False  # those too that the data set says not to count
    frames: int = 0  # INT: of a clip; 0: as many as the network has places in time
    pool: int = 128  # INT: frames that clips are taken from by turns
    over_batch: bool = False  # VQ-HPS: the released head's attention over the batch
    batch: int = 16


@dataclass(frozen=True)
class Found:
    """What the network makes of B pictures."""

    vertices: Tensor  # (B, V, 3) m
    joints: Tensor | None = None  # (B, 24, 3) m, SMPL's, where the network gives rotations

    def of(self, rows: NDArray[np.int64]) -> Found:
        """Of some of the people."""
        at = torch.from_numpy(rows).to(self.vertices.device)
        return Found(self.vertices[at], None if self.joints is None else self.joints[at])


@dataclass(frozen=True)
class Compared:
    """Of B people, m. NaN: the person has no truth of this."""

    errors: dict[str, Array]  # by a name of METRICS, (B,)
    found: Array | None = None  # (B, n, 3) m, what is compared over time as well
    true: Array | None = None


class Protocol:
    """Of one system on one data set; what all have in common.

    Args:
        network: Pictures (B, 3, S, S) -> vertices (B, V, 3), or an output with ``vertices``, or with ``R`` and
            ``betas``.
        side: S, of its pictures, px.
    """

    J: Array  # (n, V) joints out of vertices

    def __init__(self, data: str, network: nn.Module, side: int, bodies: Bodies, options: Options) -> None:
        self.data, self.network, self.side, self.bodies, self.options = data, network, side, bodies, options
        self.prepare()

    def prepare(self) -> None:
        """Reads the files that it needs, before anything takes long."""

    def counts(self, sample: Sample) -> bool:
        """Whether a person is evaluated, and does not only stand beside others in a clip."""
        return sample.valid or self.options.every_frame

    def units(self, people: People, limit: int) -> list[NDArray[np.int64]]:
        """Rows of the people that go through the network together."""
        counted = np.ones(len(people), bool) if self.options.every_frame else people.valid()
        rows = np.flatnonzero(counted)[: limit or None]
        return np.split(rows, range(self.options.batch, len(rows), self.options.batch)) if len(rows) else []

    def crop(self, sample: Sample, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The sample's square out of its picture (H, W, 3) -> (3, S, S), as the network takes it."""
        return crops.crop_image(rgb, crops.crop_affine(sample.center_px, sample.side_px, self.side), self.side)

    def predict(self, pictures: Tensor) -> Found:
        """Pictures (B, 3, S, S) -> their meshes."""
        return self.mesh_of(self.network(pictures))

    def mesh_of(self, out: Any) -> Found:
        """Of the network's output, whichever of these it is."""
        if isinstance(out, Tensor):
            return Found(out)
        fields = out if isinstance(out, dict) else out._asdict()
        if fields.get("vertices") is not None:
            return Found(fields["vertices"])
        R, betas, body = fields["R"], fields["betas"], self.bodies("neutral")
        return Found(posed(body, R, betas), body.joints(R, body.rest_joints(betas)[..., 0, :], betas))

    def compare(self, found: Found, samples: Sequence[Sample]) -> Compared:
        """Meshes with the labels."""
        raise NotImplementedError

    def true_vertices(self, samples: Sequence[Sample], gendered: bool, needed: bool = True) -> Array:
        """(B, V, 3) m by SMPL; NaN where a sample says that it has none.

        Args:
            gendered: As the protocol has it; the user may say otherwise.

        Raises:
            MocapError: it is ``needed`` and a sample has none.
        """
        if self.options.bodies != "protocol":
            gendered = self.options.bodies == "gendered"
        there = [row for row, sample in enumerate(samples) if needed or sample.R_parent_joint is not None]
        vertices = np.full((len(samples), self.J.shape[1], 3), np.nan)
        if there:
            known = to_array(self.bodies.vertices([samples[row] for row in there], gendered))
            _check_size(known, self.J)
            vertices[there] = known
        return vertices

    def regressor(self, option: str, vertices: int | None = None) -> Array:
        """(n, V) of the file that the option names, for the neutral body's vertices when no number is given."""
        vertices = vertices or self.bodies("neutral").num_vertices
        return to_array(read_regressor(option, getattr(self.options, option), vertices))


def joint_errors(found: Array, true: Array, known: NDArray[np.bool_] | None = None) -> dict[str, Array]:
    """Of points (B, n, 3) m, each (B,) m; only those that are ``known`` (B, n) take part. NaN without truth."""
    there = np.isfinite(true).all((1, 2))
    filled = np.where(there[:, None, None], true, 0)  # a decomposition of NaN is an error
    errors = {MPJPE: mpjpe(found, filled, known), PA_MPJPE: pa_mpjpe(found, filled, known)}
    return {name: np.where(there, error, np.nan) for name, error in errors.items()}


def labelled(samples: Sequence[Sample], joints: str, points: list[int], needed: list[int] | None = None) -> Array:
    """Points (B, n, 4) m and confidence of the samples' labels.

    Args:
        joints: The set, a name of JOINT_SETS.
        points: Which of its points.
        needed: Which of its points every sample has to know; all of ``points`` when not given.

    Raises:
        MocapError: a sample has no such points.
    """
    for sample in samples:
        if sample.joints_3d != joints or sample.keypoints_3d is None:
            raise MocapError(
                f"{sample.name}: expected 3D points of the set {joints}, which are the truth, found "
                f"{sample.joints_3d or 'none'}"
            )
        unknown = [point for point in needed or points if not sample.keypoints_3d[point, 3] > 0]
        if unknown:
            raise MocapError(f"{sample.name}: expected known 3D points, found points {unknown[:6]} without confidence")
    return np.stack([sample.keypoints_3d[points] for sample in samples if sample.keypoints_3d is not None]).astype(
        np.float64
    )


def to_array(values: Tensor) -> Array:
    """On the CPU, in double precision."""
    return values.detach().cpu().double().numpy()


def _check_size(vertices: Array, J: Array) -> None:
    if vertices.shape[1] != J.shape[1]:
        raise MocapError(f"expected meshes of {J.shape[1]} vertices, found {vertices.shape[1]}; name SMPL by --smpl")
