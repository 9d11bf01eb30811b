"""What an oracle tells a system: true points in the picture, true limb lengths. It shows where the error comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mocap.body.landmarks import landmarks_from_pose, load_landmark_anchors
from mocap.errors import MocapError
from mocap.models.kinematic import blazepose_anchors
from training.evaluation.track import LEVEL, Array, Track
from training.evaluation.truth import TrueBody, Truth, project

AS_IS, LIMBS, PICTURE, BOTH = "as is", "true limbs", "true 2D", "true 2D + true limbs"
RUNGS = (AS_IS, LIMBS, PICTURE, BOTH)


def with_true_2d(track: Track, truth: Truth) -> Track:
    """The track with exact x and y in the picture, all of them visible, where somebody is seen.

    The points are where BlazePose means to point (with its habits at feet and eyes). Depths, world landmarks and the
    square stay as they were.
    """
    body = _body(truth)
    anchors = blazepose_anchors(load_landmark_anchors())
    points = landmarks_from_pose(body.R_parent_joint, np.zeros(3), body.betas, anchors=anchors) * LEVEL
    px = project(points + body.p_camera_joint[:, :1], track)
    seen = track.seen[:, None]
    landmarks = track.landmarks_px.copy()
    landmarks[..., :2] = np.where(seen[..., None], px, landmarks[..., :2])
    return replace(track, landmarks_px=landmarks, visibility=np.where(seen, 1.0, track.visibility))


def true_shape(truth: Truth) -> Array:
    """Betas (10,) of the person, one for the clip."""
    return _body(truth).betas[0]


def rungs(track: Track, truth: Truth) -> Iterator[tuple[str, Track, Array | None]]:
    """Each rung of the ladder: its name, the track, and the shape that is told."""
    exact, betas = with_true_2d(track, truth), true_shape(truth)
    yield AS_IS, track, None
    yield LIMBS, track, betas
    yield PICTURE, exact, None
    yield BOTH, exact, betas


def _body(truth: Truth) -> TrueBody:
    if truth.body is None:
        raise MocapError("oracles: expected clips whose pose is known (--pairs or --clips), found one with points only")
    return truth.body
