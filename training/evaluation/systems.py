"""The systems that are measured: from a track to poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from mocap.body.landmarks import LandmarkAnchors, load_landmark_anchors
from mocap.body.skeleton import NUM_BETAS, Skeleton, load_skeleton
from mocap.errors import MocapError
from mocap.models.kinematic import KinematicRegressor, blazepose_anchors
from mocap.types import Camera, Frame, Person, PoseEstimate, Roi
from training.evaluation.track import Answer, Array, System, Track

KINEMATIC = "kinematic"
MODES = ("frame", "causal", "lookahead", "full")
TITLES = {
    "frame": "network, frame by frame",
    "causal": "network, causal",
    "lookahead": "network, 4 frames ahead",
    "full": "network, whole clip",
}


def kinematic(track: Track, shape: Array | None = None) -> Answer:
    """The kinematic regressor frame by frame, as in the live path."""
    regressor = KinematicRegressor() if shape is None else KinematicRegressor(*_of_shape(shape))
    camera = Camera(*track.size, track.focal_px)
    nothing = np.zeros((1, 1, 3), np.uint8)
    poses: list[PoseEstimate | None] = []
    for index, t in enumerate(track.t):
        persons = [person_of(track, index)] if track.seen[index] else []
        poses.append(next(iter(regressor(Frame(index, float(t), nothing), persons, camera)), None))
    answer = Answer.of(poses)
    return answer if shape is None else Answer(answer.R_parent_joint, np.where(track.seen[:, None], shape, np.nan))


def person_of(track: Track, index: int) -> Person:
    """One frame of a track as the tracker gives it."""
    x, y, side, rotation = (float(value) for value in track.roi[index])
    arrays = (track.landmarks_px, track.landmarks_world, track.visibility, track.features)
    seen = (array[index].astype(np.float32) for array in arrays)
    return Person(0, Roi((x, y), side, rotation), float(track.score[index]), *seen)


def network_systems(path: Path, modes: Sequence[str] = MODES, logits_noise: float = 0.0) -> dict[str, System]:
    """The learned capture of a checkpoint, once for each mode, by title.

    Args:
        path: of the checkpoint, or of the product's weights.
        modes: some of ``MODES``.
        logits_noise: standard deviation of Gaussian noise on the logits of the pose tokens, before their softmax.

    Raises:
        MocapError: there is no such checkpoint, or no such mode.
    """
    from training.capture.predict import Mode, load_network, predict

    unknown = [mode for mode in modes if mode not in MODES]
    if unknown:
        raise MocapError(f"mode: expected some of {', '.join(MODES)}, found {', '.join(unknown)}")
    if not path.exists():
        raise MocapError(f"{path}: expected a trained network, found none. Run: python -m training.train_capture")
    network = load_network(path)

    def system(mode: Mode) -> System:
        def answer(track: Track, shape: Array | None = None) -> Answer:
            return predict(network, track, mode, shape=shape, logits_noise=logits_noise)

        return answer

    return {TITLES[mode]: system(cast(Mode, mode)) for mode in modes}


def systems(checkpoint: Path | None, modes: Sequence[str] = MODES) -> dict[str, System]:
    """What can be measured on a track, by title: the kinematic regressor, and a checkpoint's network."""
    found: dict[str, System] = {KINEMATIC: kinematic}
    return {**found, **network_systems(checkpoint, modes)} if checkpoint is not None else found


def _of_shape(betas: Array) -> tuple[Skeleton, LandmarkAnchors]:
    """The open body of one shape, which no betas change."""
    skeleton, anchors = load_skeleton(), blazepose_anchors(load_landmark_anchors())
    betas = np.asarray(betas, np.float32)
    still = np.zeros((24, 3, NUM_BETAS), np.float32)
    offset, still_offsets = anchors.offsets(betas), np.zeros_like(anchors.directions)
    return Skeleton(skeleton.rest_joints(betas), still), replace(anchors, offset=offset, directions=still_offsets)
