"""What the published systems learn from: people of one or several data sets, cropped and augmented, in batches.

    sets = open_sets(SetsConfig(["rendered=out/pictures"]), OpenPoints("44"))  # training.published.sets
    batches = Batches(Examples(sets, "44", side=256), batch_size=32)
    batches(share)["image"]  # (32, 3, 256, 256), in training.harness' Task.loss

Draw n of a training is a function of the seed and n alone, and threads make the batches of the next steps while the
network learns from this one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mocap.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS
from mocap.body.smpl_file import GENDERS
from mocap.errors import MocapError
from training.datasets.images.joint_sets import JOINT_SETS
from training.datasets.images.sample import Float32, Sample, read_picture
from training.harness import Share
from training.published.crops import NOT_AUGMENTED, Augmentation, AugmentationConfig, Person, draw, get_example
from training.published.sets import Mixture

Example = dict[str, Float32]
_SIDES = {"left": "right", "right": "left"}
_LONGEST_SEARCH = 100  # samples in a row that are not trusted


@dataclass(frozen=True)
class Examples:
    """Samples as a network sees them: ``examples(n)`` is draw n of the training, ``examples.plain(sample)`` a sample as
    in evaluation.

    Args:
        joint_set: A name of ``JOINT_SETS``.
        side: px of the crop.
        margin: Side of the crop over the side of the sample's box.
        augmentation: None: nothing is done to crops.
        keep: A sample, or what of it is trusted; None: another is taken.
        body: Whose betas count: "open", "smpl" or "smplx". Those of other bodies are as if they were not there.
        pictures: Read them; otherwise ``image`` is empty, and labels are as they would be.
    """

    samples: Mixture
    joint_set: str
    side: int
    margin: float = 1.0
    augmentation: AugmentationConfig | None = None
    keep: Callable[[Sample], Sample | None] = lambda sample: sample
    body: str = "open"
    seed: int = 0
    pictures: bool = True

    def __call__(self, n: int) -> Example:
        rng = np.random.default_rng([self.seed, n])
        for _ in range(_LONGEST_SEARCH):
            sample = self.keep(self.samples.pick(rng))
            if sample is not None:
                return self.cropped(
                    sample, NOT_AUGMENTED if self.augmentation is None else draw(rng, self.augmentation)
                )
        raise MocapError(f"expected samples to learn from, found {_LONGEST_SEARCH} in a row that are not trusted")

    def plain(self, sample: Sample) -> Example:
        """Not augmented."""
        return self.cropped(sample, NOT_AUGMENTED)

    def cropped(self, sample: Sample, augmentation: Augmentation) -> Example:
        """Augmented in a given way; a backbone's map stands for the picture where the sample has one."""
        if sample.body != self.body:
            sample = replace(sample, betas=None)
        if sample.map is not None and augmentation != NOT_AUGMENTED:
            raise MocapError("expected no augmentation of samples with maps, which are of pictures as they are")
        person, box = person_of(sample, self.joint_set), self.margin * sample.side_px
        rgb, flipped = read_picture(sample) if self.pictures and sample.map is None else None, twins(self.joint_set)
        made = get_example(person, rgb, sample.center_px, box, augmentation, self.side, flipped, exact=False)
        pose = np.concatenate([made.person.orientation, made.person.pose]).reshape(NUM_JOINTS, 3)
        return {
            "image": made.image if sample.map is None else sample.map,
            "keypoints_2d": made.person.keypoints_2d.astype(np.float32),
            "keypoints_3d": made.person.keypoints_3d.astype(np.float32),
            "R": axis_angle_to_matrix(pose.astype(np.float64)).astype(np.float32),
            "betas": made.person.betas.astype(np.float32),
            "has_pose": np.asarray(sample.R_parent_joint is not None, np.float32),
            "has_betas": np.asarray(sample.betas is not None, np.float32),
            "true_3d": np.asarray(sample.true_3d, np.float32),
            "gender": np.asarray(GENDERS.index(sample.gender), np.float32),
        }


class Batches:
    """Examples of a step as tensors, made by threads.

    Args:
        make: Example of draw n; arrays of the same names and shapes.
        batch_size: Draws of a step, over all processes.
        threads: That make them.
        ahead: Steps that are begun before they are asked for.
    """

    def __init__(self, make: Callable[[int], Example], batch_size: int, threads: int = 4, ahead: int = 2) -> None:
        self._make, self._batch_size, self._ahead = make, batch_size, ahead
        self._pool, self._begun = ThreadPoolExecutor(threads), dict[int, list[Future[Example]]]()

    def __call__(self, share: Share) -> dict[str, Tensor]:
        """This process' part of the step's batch, on its device: each (B, ...)."""
        places = range(share.rows.start, share.rows.stop)
        for step in range(share.step, share.step + self._ahead + 1):
            if step not in self._begun:
                draws = (step * self._batch_size + place for place in places)
                self._begun[step] = [self._pool.submit(self._make, n) for n in draws]
        self._begun = {step: begun for step, begun in self._begun.items() if step >= share.step}
        return stacked([example.result() for example in self._begun.pop(share.step)], share.device)


def stacked(examples: Sequence[Example], device: torch.device | None = None) -> dict[str, Tensor]:
    """Examples as a batch, each (B, ...)."""
    return {name: torch.from_numpy(np.stack([e[name] for e in examples])).to(device) for name in examples[0]}


def person_of(sample: Sample, joint_set: str) -> Person:
    """A sample's labels with points of a set; 0, and a confidence of 0, for what it does not have."""
    pose = np.zeros((NUM_JOINTS, 3))
    if sample.R_parent_joint is not None:
        pose = matrix_to_axis_angle(sample.R_parent_joint.astype(np.float64))
    return Person(
        keypoints_2d=points_in(sample.keypoints_2d, sample.joints_2d, joint_set, 3),
        keypoints_3d=points_in(sample.keypoints_3d, sample.joints_3d, joint_set, 4),
        orientation=pose[0],
        pose=pose[1:].reshape(-1),
        betas=np.zeros(NUM_BETAS) if sample.betas is None else sample.betas.astype(np.float64),
    )


def points_in(points: Float32 | None, given: str | None, wanted: str, width: int) -> Float32:
    """Points (k, width) of a joint set as those of another (n, width), by their names; the last entry says how sure a
    point is, and is 0 where there is none."""
    names = JOINT_SETS[wanted]
    if points is None or given is None:
        return np.zeros((len(names), width), np.float32)
    if given == wanted:
        return points.astype(np.float32)
    at = [_same(name, JOINT_SETS[given]) for name in names]
    found = np.where(np.array(at)[:, None] >= 0, points[at], 0)
    return np.asarray(found, np.float32)


@functools.cache
def _same(name: str, names: tuple[str, ...]) -> int:
    """Where a set has the point of that name, or of that name as another data set defines it; -1: nowhere."""
    plain = name.rpartition(" ")[2]
    for candidate in (name, plain, f"lsp {plain}", f"openpose {plain}", f"coco {plain}"):
        if candidate in names:
            return names.index(candidate)
    return -1


@functools.cache
def twins(joint_set: str) -> tuple[int, ...]:
    """Index of each point's twin on the other side; its own where it has none."""
    names = JOINT_SETS[joint_set]

    def twin(name: str) -> str:
        return "_".join(" ".join(_SIDES.get(w, w) for w in word.split(" ")) for word in name.split("_"))

    return tuple(names.index(twin(name)) if twin(name) in names else at for at, name in enumerate(names))
