"""Who is where, with ids that stay."""

from __future__ import annotations

import logging
import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mocap.clock import Clock, Seldom
from mocap.config import PeopleConfig
from mocap.errors import MocapError
from mocap.people.detection import Detection, Network, detect
from mocap.people.landmarks import Observation, observe
from mocap.people.picture import Picture
from mocap.people.roi import is_usable, roi_from_points
from mocap.people.track import Track, duplicates, fit, is_reachable, shows, thaw
from mocap.types import Frame, Person, Roi

log = logging.getLogger(__name__)

_OWN_SQUARE = 0.5  # bonus for what was seen in a person's own square
_OWN_SQUARE_FROZEN = 0.15  # the same, while it may show somebody else
_TIE = 0.1  # a smaller difference in fit says nothing about who is who
_MIN_FIT = 0.05


class Tracker:
    """Finds people and follows them by their landmarks, as MediaPipe does for one person.

    A person in sight is looked for where it was in the last frame. The detector runs only while nobody or not
    everybody is in sight, and every ``redetect_s`` for newcomers. What the landmark network sees is given to people
    by one assignment over all: by landmarks against the motion so far, and by the colours of the clothes.

    Args:
        config: How many people, thresholds and times.
        detector: See :func:`mocap.models.blazepose.load_detector`.
        landmarker: See :func:`mocap.models.blazepose.load_landmarker`.

    Attributes:
        nan_frames: Frames in which a network gave a value that is not finite.
        detections: Frames in which the detector ran.
    """

    def __init__(self, config: PeopleConfig, detector: Network, landmarker: Network) -> None:
        if config.max_people < 1:
            raise MocapError(f"max_people: expected 1 or more, found {config.max_people}")
        self.config = config
        self.nan_frames = 0
        self.detections = 0
        self._detector = detector
        self._landmarker = landmarker
        self._tracks: list[Track] = []  # oldest first
        self._next_id = 0
        self._clock, self._due = Clock(), Seldom()
        self._detect_t = -math.inf

    def update(self, frame: Frame) -> tuple[Person, ...]:
        """The people in this frame, by id. Whoever is out of sight is left out, and keeps the id for ``lost_after_s``.

        Frames may be missing, and time may jump; a jump back counts as no time.
        """
        t = self._clock(frame.t_capture)
        self._tracks = [track for track in self._tracks if t - track.seen_t <= self.config.lost_after_s]
        active = [track for track in self._tracks if track.roi is not None]
        picture = Picture(frame.rgb)
        candidates, finite = self._detect(frame, picture, active, t)
        squares: list[tuple[Roi, Track | None]] = [(track.roi, track) for track in active if track.roi is not None]
        squares += [(_roi(one), None) for one in candidates]
        squares += self._where_they_should_be(frame, active, candidates, t)
        seen = observe(self._landmarker, picture, [roi for roi, _ in squares])

        held = [track for track, one in zip(active, seen, strict=False) if not one.is_finite]
        if not (finite and all(one.is_finite for one in seen)):
            self._count_nan(t)
        good = [
            (one, owner)
            for one, (_, owner) in zip(seen, squares, strict=True)
            if one.is_finite
            and one.score >= self.config.min_presence_score
            and is_usable(roi_from_points(*one.axis_px), *frame.size)
        ]
        present = self._assign([one for one, _ in good], [owner for _, owner in good], held, t)
        return tuple(track.person for track in self._tracks if track in present or track in held)

    def _detect(self, frame: Frame, picture: Picture, active: list[Track], t: float) -> tuple[list[Detection], bool]:
        """Detections that are worth a crop, best first; and whether the detector's outputs were finite."""
        free = self.config.max_people - len(active)
        lost = [track for track in self._tracks if track.roi is None]
        due = not active or lost or t - self._detect_t >= self.config.redetect_s
        if free <= 0 or not due:
            return [], True
        self._detect_t = t
        self.detections += 1
        found, finite = detect(self._detector, picture, self.config.min_detection_score)
        found = [
            one for one in found if is_usable(_roi(one), *frame.size) and not any(shows(one, track) for track in active)
        ]
        back = [one for one in found if any(_may_be(one, track, t) for track in lost)]
        new = sorted((one for one in found if one not in back), key=lambda one: -_salience(one, *frame.size))
        capacity = self.config.max_people - len(self._tracks)
        spare = 1 if capacity else 0  # the best detection may be a poster, which would block everybody else for good
        return back[:free] + new[: capacity + spare], finite

    def _where_they_should_be(
        self, frame: Frame, active: list[Track], candidates: list[Detection], t: float
    ) -> list[tuple[Roi, Track | None]]:
        """Where to look for people who are hidden by others, and of whom something is seen that may be another.

        The detector alone is not enough: it needs a face, and merges people who overlap.
        """
        lost = [track for track in self._tracks if track.roi is None]
        hidden = [track for track in lost if active and not any(_may_be(one, track, t) for one in candidates)]
        hidden += [track for track in active if track.is_doubtful]
        expected = [(roi_from_points(*(track.memory.seen.axis_px + track.memory.moved(t))), track) for track in hidden]
        return [(roi, track) for roi, track in expected if is_usable(roi, *frame.size)]

    def _assign(self, seen: list[Observation], owners: list[Track | None], held: list[Track], t: float) -> list[Track]:
        """Give observations to people; update those who are there. ``owners`` are those whose square was looked at."""
        same = duplicates(seen)
        tracks = [track for track in self._tracks if track not in held]
        given = _without_doubles(_match(tracks, seen, owners, t), same, tracks, t)
        for index, track in enumerate(tracks):
            if index in given:
                track.see(t, seen[given[index]])
            else:
                track.roi = None
        thaw(self._tracks, t, self.config.lost_after_s)
        present = [tracks[index] for index in given]
        taken = list(given.values())
        for j, one in enumerate(seen):
            if owners[j] is None and not same[j, taken].any() and len(self._tracks) < self.config.max_people:
                taken.append(j)
                present.append(Track.start(self._next_id, t, one))
                self._tracks.append(present[-1])
                self._next_id += 1
        return present

    def _count_nan(self, t: float) -> None:
        self.nan_frames += 1
        if self._due(t):
            log.warning("a network gave values that are not finite (%d frames so far); held", self.nan_frames)


def _match(
    tracks: list[Track], seen: list[Observation], owners: list[Track | None], t: float
) -> dict[int, tuple[int, float]]:
    """The best assignment: index of a track -> index of its observation, and how well it fits."""
    if not tracks or not seen:
        return {}
    own = np.array(
        [[owner is track and one.roi is track.roi for one, owner in zip(seen, owners, strict=True)] for track in tracks]
    )
    bonus = np.array([_OWN_SQUARE if track.frozen_t is None else _OWN_SQUARE_FROZEN for track in tracks])
    score = fit(tracks, seen, t) + bonus[:, None] * own
    reachable = [
        [is_reachable(track.memory, one.axis_px[0], one.half_height_px, t) for one in seen] for track in tracks
    ]
    score = np.where(np.array(reachable) & (score > _MIN_FIT), score, -10.0)
    rows, columns = linear_sum_assignment(score, maximize=True)
    return {int(i): (int(j), score[i, j]) for i, j in zip(rows, columns, strict=True) if score[i, j] > _MIN_FIT}


def _without_doubles(
    given: dict[int, tuple[int, float]], same: NDArray[np.bool_], tracks: list[Track], t: float
) -> dict[int, int]:
    """Where two people were given the same person: it is the one who fits clearly better, else the older.

    The memories of both are frozen: from now on what is seen may be either of them.
    """
    left: dict[int, int] = {}
    fits: dict[int, float] = {}
    for index in sorted(given):  # oldest first
        j, score = given[index]
        rivals = [other for other in left if same[j, left[other]]]
        for one in (tracks[i] for i in (*rivals, index) if rivals):
            one.frozen_t = t if one.frozen_t is None else one.frozen_t
        if all(score > fits[other] + _TIE for other in rivals):
            for other in rivals:
                del left[other]
            left[index], fits[index] = j, score
    return left


def _roi(detection: Detection) -> Roi:
    return roi_from_points(*detection.keypoints_px[:2])


def _may_be(detection: Detection, track: Track, t: float) -> bool:
    return is_reachable(track.memory, detection.keypoints_px[0], detection.half_height_px, t)


def _salience(detection: Detection, width: int, height: int) -> float:
    """Large, central and certain first."""
    x, y = detection.keypoints_px[0]
    off_center = math.hypot(float(x) - width / 2, float(y) - height / 2) / math.hypot(width / 2, height / 2)
    return detection.score * detection.half_height_px * max(1 - off_center, 0.1)
