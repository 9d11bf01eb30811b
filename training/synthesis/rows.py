"""Rows of a shard: what is true of rendered people, and what was seen of them. See ``training.synthesize``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mocap.people.landmarks import FEATURES, Observation
from training.synthesis.people import People

Rows = dict[str, np.ndarray]


def truth_rows(people: People, at: list[int]) -> Rows:
    """Of some of the people."""
    views = people.views
    return {
        "R": people.R_parent_joint[at].numpy(),
        "betas": people.betas[at].numpy(),
        "p_camera_joint": views.to_camera(people.p_world_joint)[at].numpy(),
        "size_px": views.size_px[at].numpy(),
        "focal_px": views.focal_px[at].numpy(),
        "R_camera_world": views.R_camera_world[at].numpy(),
        "p_world_camera": views.p_world_camera[at].numpy(),
    }


def seen_rows(observations: Sequence[tuple[Observation, float] | None]) -> Rows:
    """Of what was seen in pictures, each with the pixels of the camera for one of the picture; zeros for nobody."""
    shapes = {"landmarks_px": (33, 3), "landmarks_world": (33, 3), "visibility": (33,), "roi": (4,), "score": ()}
    rows = {name: np.zeros((len(observations), *shape), np.float32) for name, shape in shapes.items()}
    rows["features"] = np.zeros((len(observations), *FEATURES), np.float16)
    for row, observation in enumerate(observations):
        if observation is not None:
            seen, scale = observation
            rows["landmarks_px"][row] = seen.landmarks_px * scale
            rows["landmarks_world"][row] = seen.landmarks_world
            rows["visibility"][row] = seen.visibility
            rows["roi"][row] = [*(scale * np.array([*seen.roi.center_px, seen.roi.size_px])), seen.roi.rotation]
            rows["score"][row] = seen.score
            if seen.features is not None:
                rows["features"][row] = seen.features
    return rows
