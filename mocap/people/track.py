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
_COLORS_S = 1.0  # s, time constant of the colours
_COAST_S = 0.8  # s, how long a person out of sight keeps on moving
_DOUBT = 0.3  # clothes that differ more than this from the memory may be somebody else's
_MAX_SPEED = 6.0  # half bodies per second: a sprint


@dataclass(slots=True, eq=False)
class Memory:
    """How a person was and moved at time ``t``: what tells who is who after an occlusion."""

    t: float  # s
    seen: Observation
    colors: Array  # (3, 3), as in Observation, averaged over time
    velocity: Array  # (2,) px/s

    def update(self, t: float, seen: Observation) -> None:
        dt = t - self.t
        if dt > 0:
            limit = _MAX_SPEED * max(self.seen.half_height_px, 1.0)
            velocity = np.clip((seen.axis_px[0] - self.seen.axis_px[0]) / dt, -limit, limit)
            self.velocity = self.velocity + (velocity - self.velocity) * (1 - math.exp(-dt / _VELOCITY_S))
            mixed = self.colors + (seen.colors - self.colors) * (1 - math.exp(-dt / _COLORS_S))
            self.colors = np.where(np.isnan(self.colors), seen.colors, np.where(np.isnan(mixed), self.colors, mixed))
        self.t, self.seen = t, seen

    def moved(self, t: float) -> Array:
        """How far (2,) px the person should have moved by time ``t``, at the velocity it had."""
        return self.velocity * min(max(t - self.t, 0.0), _COAST_S)


@dataclass(slots=True, eq=False)
class Track:
    """A person with an id.

    When two people fall onto one another, or a person suddenly wears other colours, what is seen may be somebody else
    or a mixture. Memories are then frozen, until the doubt is over, so that they can tell who is who.
    """

    person: Person
    roi: Roi | None  # where to look next; None while out of sight
    seen_t: float  # s, when last seen
    axis: AxisFilter
    memory: Memory
    frozen_t: float | None = None  # s, when the memory was frozen
    is_doubtful: bool = False  # what was last seen does not look like this person

    @classmethod
    def start(cls, track_id: int, t: float, seen: Observation) -> Track:
        memory = Memory(t, seen, seen.colors, np.zeros(2, np.float32))
        return cls(
            person_of(track_id, seen), roi_from_points(*seen.axis_px), t, AxisFilter.start(t, seen.axis_px), memory
        )

    @property
    def center_px(self) -> Array:
        """(2,) px, between the hips, where last seen."""
        return self.axis.raw[0]

    @property
    def half_height_px(self) -> float:
        """About half a body, as last seen."""
        return float(np.linalg.norm(self.axis.raw[1] - self.axis.raw[0]))

    def see(self, t: float, seen: Observation) -> None:
        """The person was seen at time ``t``, s."""
        if self.roi is None:
            self.axis = AxisFilter.start(t, seen.axis_px)
        self.roi = roi_from_points(*self.axis.update(t, seen.axis_px))
        self.person, self.seen_t = person_of(self.person.track_id, seen), t
        self.is_doubtful = bool(color_distance(self.memory.colors[None], seen.colors[None])[0, 0] > _DOUBT)
        if self.is_doubtful and self.frozen_t is None:
            self.frozen_t = t
        if self.frozen_t is None:
            self.memory.update(t, seen)


def person_of(track_id: int, seen: Observation) -> Person:
    """What the landmark network saw, with an id."""
    return Person(
        track_id, seen.roi, seen.score, seen.landmarks_px, seen.landmarks_world, seen.visibility, seen.features
    )


def thaw(tracks: list[Track], t: float, longest_s: float) -> None:
    """Let memories follow again where nobody is in doubt, missing, or on top of others; or after ``longest_s``."""
    frozen = [track for track in tracks if track.frozen_t is not None]
    missing = any(track.roi is None for track in frozen)
    for track in frozen:
        distances = [np.linalg.norm(track.center_px - one.center_px) for one in frozen if one is not track]
        apart = not missing and not track.is_doubtful and min(distances, default=math.inf) > 0.5 * track.half_height_px
        if track.frozen_t is not None and (apart or t - track.frozen_t > longest_s):
            track.frozen_t, track.is_doubtful = None, False


def similarity(points: Array, others: Array, weights: Array, sigma_px: Array) -> Array:
    """How alike poses are, in [0, 1]: the weighted mean over the body of exp(-d² / 2σ²).

    Args:
        points: (A, K, 2) px.
        others: (B, K, 2) px.
        weights: (A, B, K).
        sigma_px: (A, 1) or (A, B).

    Returns:
        (A, B).
    """
    squared = np.square(points[:, None] - others[None]).sum(axis=-1)
    alike = np.exp(-squared / (2 * np.square(sigma_px)[..., None]))
    return (alike * weights).sum(axis=-1) / weights.sum(axis=-1)


def color_distance(colors: Array, others: Array) -> Array:
    """Mean distance of clothes' colours (A, 3, 3) and (B, 3, 3) in [0, 1] RGB -> (A, B); 0 where nothing compares."""
    distance = np.linalg.norm(colors[:, None] - others[None], axis=-1)
    known = ~np.isnan(distance)
    return np.where(known, distance, 0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)


def _body(seen: list[Observation]) -> tuple[Array, Array]:
    """Points (N, K, 2) px of the body and their visibility (N, K)."""
    points = np.stack([one.landmarks_px[_BODY, :2] for one in seen])
    return points, np.stack([one.visibility[_BODY] for one in seen])


def fit(tracks: list[Track], seen: list[Observation], t: float) -> Array:
    """How well each observation fits where each person should be now, and how it should look: (tracks, seen).

    1 is a perfect fit; the tolerance grows with the age of the memory.
    """
    memories = [track.memory for track in tracks]
    points, visibility = _body([memory.seen for memory in memories])
    others, others_visibility = _body(seen)
    points = points + np.stack([memory.moved(t) for memory in memories])[:, None]
    weights = np.minimum(visibility[:, None], others_visibility[None]) + 0.02
    age = np.array([max(t - memory.t, 0.0) for memory in memories])
    size = np.array([memory.seen.half_height_px for memory in memories])
    sigma = size * (0.2 + 1.5 * np.minimum(age, 1.0))
    alike = similarity(points, others, weights, sigma[:, None])
    colors = color_distance(np.stack([memory.colors for memory in memories]), np.stack([one.colors for one in seen]))
    return alike - np.minimum(colors, 0.5)


def is_reachable(memory: Memory, center: Array, half_height: float, t: float) -> bool:
    """Whether the person can have come to ``center`` (2,) px, at this size, since then."""
    size = memory.seen.half_height_px
    if not 0.5 < half_height / max(size, 1e-6) < 2.0:
        return False
    distance = np.linalg.norm(center - memory.seen.axis_px[0] - memory.moved(t))
    return bool(distance < size * (0.5 + 2.5 * min(max(t - memory.t, 0.0), 1.0)))


def duplicates(seen: list[Observation]) -> NDArray[np.bool_]:
    """Which observations show the same person: (N, N)."""
    if len(seen) < 2:
        return np.ones((len(seen), len(seen)), bool)
    points, visibility = _body(seen)
    size = np.array([one.half_height_px for one in seen])
    weights = np.minimum(visibility[:, None], visibility[None]) + 0.02
    return similarity(points, points, weights, 0.12 * np.maximum(size[:, None], size[None])) > 0.35


def shows(detection: Detection, track: Track) -> bool:
    """Whether a detection is of a person who is in sight."""
    size = max(track.half_height_px, 1e-6)
    off_hips = np.linalg.norm(detection.keypoints_px[0] - track.center_px)
    return bool(off_hips < 0.3 * size and 0.6 < detection.half_height_px / size < 1.7)
