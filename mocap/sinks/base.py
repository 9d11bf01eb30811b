"""What every network sink shares: its interface, who is there, and numbers that are always finite."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from types import TracebackType
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from mocap.body.rotations import matrix_to_quat_xyzw
from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS
from mocap.types import Array, BodyPose, MocapFrame

log = logging.getLogger(__name__)

LEAVE_AFTER_S = 1.5  # as PeopleConfig.lost_after_s: by then the tracker, too, has given the id up for good

S = TypeVar("S", bound="Sink")


class Sink(ABC):
    """Takes every finished frame. Sending never raises: what the network refuses is counted and warned of once."""

    @property
    @abstractmethod
    def errors(self) -> int:
        """Datagrams that the network refused so far."""

    @property
    @abstractmethod
    def held(self) -> int:
        """Values so far that were not finite, so that the last good one was sent instead, or nothing."""

    @abstractmethod
    def send(self, frame: MocapFrame) -> None:
        """Send one frame, at once and in the caller's thread."""

    @abstractmethod
    def tick(self) -> None:
        """Called about twice a second while no frame comes: what the receiver must hear even then."""

    @abstractmethod
    def __str__(self) -> str:
        """Protocol and address, for messages: ``OSC 127.0.0.1:9100``."""

    @abstractmethod
    def close(self) -> None:
        """Say goodbye and free the sockets. A second call does nothing."""

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def finite_age_ms(frame: MocapFrame) -> float:
    """The frame's age in ms, within what a float32 and a clock can hold; 0 where it is not a number."""
    return min(max(frame.age_ms, 0.0), 1e9) if isfinite(frame.age_ms) else 0.0


def capture_wall_time(frame: MocapFrame) -> float:
    """When the frame was captured, in seconds since 1970: the age counts back from now, whatever clock stamped it."""
    return time.time() - finite_age_ms(frame) / 1000


class Presence:
    """Who is there. A person enters with the first pose and leaves ``leave_after_s`` after the last one.

    Time is that of the frames, whatever clock stamps them; while none comes, it goes on as the wall clock does.
    """

    def __init__(self, leave_after_s: float = LEAVE_AFTER_S) -> None:
        self._leave_after_s = leave_after_s
        self._last_seen: dict[int, float] = {}  # track_id -> t_capture of the last pose, s
        self._clock_offset_s = 0.0  # the last frame's t_capture minus the wall clock when it came

    def now(self) -> float:
        """The frames' time, s, at this moment."""
        return time.perf_counter() + self._clock_offset_s

    def update(self, t_capture: float, ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """Ids of the poses in the frame at ``t_capture`` s -> who entered, who left: never someone in the frame."""
        t = t_capture if isfinite(t_capture) else self.now()
        self._clock_offset_s = t - time.perf_counter()
        entered = [track_id for track_id in ids if track_id not in self._last_seen]
        left = [track_id for track_id in self.expire(t) if track_id not in ids]
        self._last_seen.update((track_id, t) for track_id in ids)
        return entered, left

    def expire(self, t: float) -> list[int]:
        """Who leaves by the time ``t`` s of the frames."""
        left = [track_id for track_id, seen in self._last_seen.items() if t - seen >= self._leave_after_s]
        for track_id in left:
            del self._last_seen[track_id]
        return left

    def clear(self) -> list[int]:
        """Everybody leaves."""
        left = list(self._last_seen)
        self._last_seen.clear()
        return left


@dataclass(frozen=True, slots=True)
class SafePose:
    """A pose as quaternions in float32. A row that was never finite for this person is NaN: leave it out."""

    track_id: int
    quats_xyzw: Array  # (24, 4) parent from joint, unit; entry 0: world from pelvis
    p_world_root: Array  # (3,) m
    betas: Array  # (10,)
    confidence: Array  # (24,) in [0, 1]
    contact: Array  # (2,) in [0, 1]

    @property
    def root_is_known(self) -> bool:
        return not (np.isnan(self.p_world_root[0]) or np.isnan(self.quats_xyzw[0, 0]))


class FiniteGuard:
    """Replaces what is not finite in a pose by the person's last good value."""

    def __init__(self) -> None:
        self.held = 0  # values replaced so far: a joint's rotation or a position counts as one
        self._last: dict[int, SafePose] = {}

    def clean(self, pose: BodyPose) -> SafePose:
        """A pose without infinities; NaN only where no good value is known yet."""
        last = self._last.get(pose.track_id) or _unknown_pose(pose.track_id)
        was_clean = self.held == 0
        with np.errstate(all="ignore"):  # infinities go through the conversion and come out as NaN
            quats = matrix_to_quat_xyzw(np.asarray(pose.R_parent_joint, np.float32))
            safe = SafePose(
                track_id=pose.track_id,
                quats_xyzw=self._hold(quats, last.quats_xyzw),
                p_world_root=self._hold(pose.p_world_root, last.p_world_root),
                betas=self._hold(pose.betas, last.betas),
                confidence=self._hold(np.reshape(pose.confidence, (-1, 1)), last.confidence[:, None])[:, 0],
                contact=self._hold(pose.contact, last.contact),
            )
        if was_clean and self.held:
            log.warning("person %d: the pose is not finite; the last good values are sent instead", pose.track_id)
        self._last[pose.track_id] = safe
        return safe

    def forget(self, track_id: int) -> None:
        self._last.pop(track_id, None)

    def _hold(self, values: ArrayLike, last: Array) -> Array:
        """Rows (..., k): a row with anything not finite in it becomes the last good row."""
        array = np.asarray(values, np.float32)
        bad = ~np.isfinite(array).all(-1)
        count = int(bad.sum())
        if count == 0:
            return array
        self.held += count
        return np.where(bad[..., None], last, array)


def _unknown_pose(track_id: int) -> SafePose:
    """What is sent for values that were never finite: no rotation, no place, the mean shape, no confidence."""
    return SafePose(
        track_id=track_id,
        quats_xyzw=np.full((NUM_JOINTS, 4), np.nan, np.float32),
        p_world_root=np.full(3, np.nan, np.float32),
        betas=np.zeros(NUM_BETAS, np.float32),
        confidence=np.zeros(NUM_JOINTS, np.float32),
        contact=np.zeros(2, np.float32),
    )
