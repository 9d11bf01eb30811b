"""One tracked person over time, and how well what is seen fits to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocap.people.detection import Detection
from mocap.people.landmarks import Observation
from mocap.people.roi import AxisFilter, roi_from_points
from mocap.types import Array, Person, Roi

# Nose, shoulders, elbows, wrists, hips, knees, ankles: one vote per part of the body.
_BODY = np.array([0, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28])
_VELOCITY_S = 0.25  # s, time constant of the velocity
_COAST_S = 0.8  # s, how long a person out of sight keeps on moving
_COLORS_S = 1.0  # s, time constant of the colours
_MAX_SPEED = 6.0  # half bodies per second: a sprint


@dataclass(slots=True, eq=False)
class Track:
    """A person with an id. ``roi`` is where to look next, or None while out of sight."""

    person: Person
    roi: Roi | None
    seen_t: float  # s, when last seen
    center: Array  # (2,) px, between the hips when last seen
    half_height: float  # px, about half a body
    colors: Array  # (3, 3), as in Observation
    velocity: Array  # (2,) px/s
    axis: AxisFilter

    @classmethod
    def start(cls, track_id: int, t: float, seen: Observation) -> Track:
        return cls(
            person=to_person(track_id, seen),
            roi=roi_from_points(*seen.axis_px),
            seen_t=t,
            center=seen.axis_px[0],
            half_height=seen.half_height_px,
            colors=seen.colors,
            velocity=np.zeros(2, np.float32),
            axis=AxisFilter.start(t, seen.axis_px),
        )

    def see(self, t: float, seen: Observation) -> None:
        """The person was seen at time ``t``, s."""
        dt = t - self.seen_t
        if dt > 0:
            limit = _MAX_SPEED * max(self.half_height, 1.0)
            velocity = np.clip((seen.axis_px[0] - self.center) / dt, -limit, limit)
            self.velocity = self.velocity + (velocity - self.velocity) * (1 - math.exp(-dt / _VELOCITY_S))
            learn = 1 - math.exp(-dt / _COLORS_S)
            mixed = self.colors + (seen.colors - self.colors) * learn
            self.colors = np.where(np.isnan(self.colors), seen.colors, np.where(np.isnan(mixed), self.colors, mixed))
        if self.roi is None:
            self.axis = AxisFilter.start(t, seen.axis_px)
        self.roi = roi_from_points(*self.axis.update(t, seen.axis_px))
        self.person, self.seen_t = to_person(self.person.track_id, seen), t
        self.center, self.half_height = seen.axis_px[0], seen.half_height_px

    def shift(self, seconds: float) -> None:
        """The clock jumped."""
        self.seen_t += seconds
        self.axis.t += seconds

    def moved(self, t: float) -> Array:
        """How far (2,) px the person should have moved since last seen, at the velocity it had."""
        return self.velocity * min(max(t - self.seen_t, 0.0), _COAST_S)


def to_person(track_id: int, seen: Observation) -> Person:
    return Person(track_id, seen.roi, seen.score, seen.landmarks_px, seen.landmarks_world, seen.visibility)


def similarity(points: Array, others: Array, weights: Array, sigma_px: Array) -> Array:
    """How alike poses are, in [0, 1]: the weighted mean over the body of exp(-d² / 2σ²).

    Args:
        points: (A, K, 2) px.
        others: (B, K, 2) px.
        weights: (A, B, K).
        sigma_px: (A, B).

    Returns:
        (A, B).
    """
    squared = np.square(points[:, None] - others[None]).sum(axis=-1)
    alike = np.exp(-squared / (2 * np.square(sigma_px)[..., None]))
    return (alike * weights).sum(axis=-1) / np.maximum(weights.sum(axis=-1), 1e-6)


def color_distance(colors: Array, others: Array) -> Array:
    """Mean distance of clothes' colours (A, 3, 3) and (B, 3, 3) in [0, 1] RGB -> (A, B); 0 where nothing compares."""
    distance = np.linalg.norm(colors[:, None] - others[None], axis=-1)
    known = ~np.isnan(distance)
    return np.where(known, distance, 0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)


def fit(tracks: list[Track], seen: list[Observation], t: float) -> Array:
    """How well each observation fits where each person should be now, and how it should look: (tracks, seen).

    1 is a perfect fit; the tolerance grows with the time out of sight.
    """
    lost_s = np.array([max(t - track.seen_t, 0.0) for track in tracks])
    size = np.array([track.half_height for track in tracks])
    points = np.stack([track.person.landmarks_px[_BODY, :2] + track.moved(t) for track in tracks])
    others = np.stack([one.landmarks_px[_BODY, :2] for one in seen])
    weights = np.minimum(
        np.stack([track.person.visibility[_BODY] for track in tracks])[:, None],
        np.stack([one.visibility[_BODY] for one in seen])[None],
    )
    sigma = size * (0.2 + 1.5 * np.minimum(lost_s, 1.0))
    alike = similarity(points, others, weights + 0.02, np.repeat(sigma[:, None], len(seen), axis=1))
    colors = color_distance(np.stack([track.colors for track in tracks]), np.stack([one.colors for one in seen]))
    return alike - np.minimum(colors, 0.5)


def is_reachable(track: Track, center: Array, half_height: float, t: float) -> bool:
    """Whether the person can have come to ``center`` (2,) px, at this size, since it was last seen."""
    lost_s = max(t - track.seen_t, 0.0)
    ratio = half_height / max(track.half_height, 1e-6)
    if not 0.5 < ratio < 2.0:
        return False
    distance = np.linalg.norm(center - track.center - track.moved(t))
    return bool(distance < track.half_height * (0.5 + 2.5 * min(lost_s, 1.0)))


def duplicates(seen: list[Observation]) -> NDArray[np.bool_]:
    """Which observations show the same person: (N, N) bool."""
    points = np.stack([one.landmarks_px[_BODY, :2] for one in seen])
    visibility = np.stack([one.visibility[_BODY] for one in seen])
    size = np.array([one.half_height_px for one in seen])
    weights = np.minimum(visibility[:, None], visibility[None]) + 0.02
    return similarity(points, points, weights, 0.12 * np.maximum(size[:, None], size[None])) > 0.5


def shows(detection: Detection, track: Track) -> bool:
    """Whether a detection is of a person who is in sight."""
    size = track.half_height
    off_hips = np.linalg.norm(detection.keypoints_px[0] - track.center)
    return bool(off_hips < 0.3 * size and 0.6 < detection.half_height_px / max(size, 1e-6) < 1.7)
