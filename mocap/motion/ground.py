"""Camera pitch and the floor, from people who stand and walk in front of the camera.

The level frame is the world turned as if the camera were level: axes of the world (x right, y up, z to the camera),
origin in the camera. The world is the level frame, pitched about x and moved:
``p_world = R_x(pitch) p_level + p_world_camera``. Roll is taken to be 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocap.body.skeleton import JOINT
from mocap.motion.contact import ANKLES, leg_length

Float64 = NDArray[np.float64]

LEVEL_FROM_CAMERA: Float64 = np.diag([1.0, -1.0, -1.0])
_STANDING_S = 1.5  # evidence needed; with the blend the floor is in place after two seconds of standing
_BLEND_S = 0.5
_TRUST_S = 1.0
_WALKING_WORTH = 0.5  # a second upright on the move is worth this much of a second standing still
_STILL_SPEED = 0.2  # m/s of the pelvis
_STRAIGHT = np.cos(np.radians(28))  # hips against the trunk
_STRETCHED = np.cos(np.radians(38))  # knees, which networks see bent by 10 degrees when the camera looks down
_UPRIGHT = np.cos(np.radians(40))  # the body against the level camera's vertical
_PRIOR_DEG = (6.0, 7.0)  # deviation of the pitch that posture gives: standing, walking (docs/smoothing.md)
_DEPTH_SHARE = 0.04  # deviation of a footprint's depth, of its distance
_ACROSS_M = 0.015  # and across the line of sight
_MERGE_M = 0.3  # footprints closer than this are one
_MAX_FOOTPRINTS = 48
_MAX_MERGES = 4
_FOLLOW_S = 2.0  # the world follows a better estimate this slowly
_FIRST_S = 0.3  # evidence that begins to turn the world, once there was time for a stand
_CAMERA_DEG = 10.0  # deviation of cameras' pitches: what a walk says is weighed against it
_TURN_RATE = np.radians(4)  # rad/s, of a world that no standing person has calibrated
_FOLLOW_RATE = np.radians(1)  # rad/s, afterwards
_STOOD = 0.7  # share of standing in the evidence that makes it a calibration at a stand
_WALKED_S = 4.0  # evidence after which somebody who walks has calibrated
_GRID: Float64 = np.radians(np.linspace(-12, 12, 193))


def rotation_x(angle: float) -> Float64:
    """Rotation about +x by ``angle`` rad: +y turns to +z."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])


@dataclass(frozen=True)
class Sight:
    """What the ground learns from in one frame: the posed, placed body of one person, in the level frame."""

    track_id: int
    joints: Float64  # (24, 3) m
    heading: float  # rad about +y, of the pelvis
    soles: Float64  # (2 feet, 2 points, 3) m
    contact: Float64  # (2,)
    feet_seen: bool
    rest: Float64  # (24, 3) m, the rest joints of the body's shape


class Footprints:
    """Places where a foot stood, in the level frame, and the plane through them."""

    def __init__(self) -> None:
        self.points: list[Float64] = []
        self._merges: list[int] = []
        self.drop_open()

    def drop_open(self) -> None:
        """Forget the footprints that are not closed yet."""
        self._open: list[list[Float64]] = [[], []]
        self._age = [0.0, 0.0]

    def add(self, dt: float, soles: Float64, contact: Float64) -> bool:
        """Gather the sole points (2, 3) of standing feet; true when a footprint was closed."""
        closed = False
        for foot in range(2):
            if contact[foot] > 0.7:
                self._open[foot].append(soles[foot])
                self._age[foot] += dt
            if self._open[foot] and (contact[foot] < 0.5 or self._age[foot] > 0.8):
                if self._age[foot] > 0.12:
                    self._merge(np.mean(self._open[foot], 0))
                    closed = True
                self._open[foot], self._age[foot] = [], 0.0
        return closed

    def _merge(self, point: Float64) -> None:
        for i, other in enumerate(self.points):
            if np.linalg.norm(point[[0, 2]] - other[[0, 2]]) < _MERGE_M:
                self._merges[i] = min(self._merges[i] + 1, _MAX_MERGES)
                self.points[i] = other + (point - other) / self._merges[i]
                return
        if len(self.points) < _MAX_FOOTPRINTS:
            self.points.append(point)
            self._merges.append(1)

    def fit(self, prior: float, prior_deviation: float) -> tuple[float, float]:
        """Pitch (rad) and floor height (m, in the pitched level frame) that explain the footprints best.

        A footprint's error is large along its line of sight and small across it. A fit that did not know this would lay
        the floor into the line of sight. Maximum likelihood over a grid of pitches, the height in closed form.
        """
        points = np.array(self.points)  # (n, 3)
        pitch = np.clip(prior + _GRID, -1.2, 1.2)
        normal = np.stack([np.cos(pitch), -np.sin(pitch)], -1)  # (g, 2): y of the world in (y, z) of the level frame
        height = normal @ points[:, 1:].T  # (g, n)
        variance = _ACROSS_M**2 + (_DEPTH_SHARE * height) ** 2  # height = distance times the ray's share in the normal
        weight = np.array(self._merges) / variance
        floor = (weight * height).sum(1) / weight.sum(1)
        spread = (weight * (height - floor[:, None]) ** 2).sum(1)
        best = int(np.argmin(spread + ((pitch - prior) / prior_deviation) ** 2))
        return float(pitch[best]), float(floor[best])


class Ground:
    """Calibrates the camera against gravity and the floor; provisional until someone has stood for two seconds."""

    def __init__(self) -> None:
        self.calibrated = False
        self.pitch = 0.0  # rad, positive looks up
        self.p_world_camera: Float64 | None = None  # (3,) m
        self._provisional: Float64 = np.zeros(3)
        self._anchor: Float64 = np.zeros(3)  # (3,) m level: the person's pelvis at first
        self._since_s, self._blend_s = 0.0, _BLEND_S
        self._provisional_pitch = 0.0
        self._stood = False
        self._prior = (0.0, 1.0)
        self._target: tuple[float, float] = (0.0, 0.0)  # pitch, floor height
        self._current: tuple[float, float] = (0.0, 0.0)
        self.footprints = Footprints()
        self._meet(None)

    def _meet(self, track_id: int | None) -> None:
        """Somebody else calibrates from now on: what was gathered of the last one's motion and posture is dropped."""
        self._track_id = track_id
        self._samples: list[tuple[float, float, float, Float64]] = []  # pitch, weight, still, lowest sole
        self._evidence_s = self._met_s = 0.0
        self._pelvis: Float64 | None = None
        self._velocity: Float64 = np.zeros(3)
        self.footprints.drop_open()

    @property
    def R_world_level(self) -> Float64:
        """(3, 3) world from level frame."""
        return rotation_x(self.pitch)

    @property
    def settled(self) -> bool:
        """Whether the calibrated world is in place, the change-over done."""
        return self.calibrated and self._since_s >= self._blend_s

    @property
    def trust(self) -> float:
        """How far the floor may place people, in [0, 1]: it rises after the change-over, so that nobody jumps."""
        return min(max(self._since_s - self._blend_s, 0.0) / _TRUST_S, 1.0)

    @property
    def camera_height_m(self) -> float:
        return float(self.p_world_camera[1]) if self.p_world_camera is not None else 0.0

    def update(self, dt: float, sight: Sight | None) -> None:
        """Learn from one frame of the person who calibrates (None: not there) and move the world by ``dt`` seconds."""
        if sight is not None:
            self._learn(dt, sight)
        if self.calibrated:
            self._move(dt)

    def _learn(self, dt: float, sight: Sight) -> None:
        if sight.track_id != self._track_id:
            self._meet(sight.track_id)
        if self.p_world_camera is None:
            self._start(sight)
        still, knees = self._is_still(dt, sight), upright_knees(sight.joints) if sight.feet_seen else 0
        if self._wants_posture and knees >= (2 if still else 1):
            self._observe_posture(dt, sight, still)
        if not self.calibrated:
            self._turn_provisionally(dt)
            self._follow_lowest_foot(dt, sight)
        contact = sight.contact if knees else np.zeros(2)  # a bent body's depth is not to be trusted
        if self.footprints.add(dt, self._lowest(sight, axis=1), contact) and self.calibrated:
            self._target = self.footprints.fit(*self._prior)

    def _start(self, sight: Sight) -> None:
        pelvis = sight.joints[0]
        floor = sight.soles[..., 1].min() if sight.feet_seen else pelvis[1] - leg_length(sight.rest)
        self._anchor = pelvis.copy()
        self._provisional = np.array([-pelvis[0], -floor, -pelvis[2]])
        self.p_world_camera = self._provisional

    def _is_still(self, dt: float, sight: Sight) -> bool:
        pelvis = sight.joints[0]
        if self._pelvis is not None and 0 < dt < 0.5:
            share = 1 - np.exp(-dt / 0.25)
            self._velocity = self._velocity + share * ((pelvis - self._pelvis) / dt - self._velocity)
        self._pelvis = pelvis
        return bool(np.hypot(self._velocity[0], self._velocity[1]) + 0.5 * abs(self._velocity[2]) < _STILL_SPEED)

    @property
    def _wants_posture(self) -> bool:
        """Whether more posture makes the pitch better: a walk has less to say in a second than a stand, so it is
        listened to for longer."""
        return not self.settled or (not self._stood and self._evidence_s < _WALKED_S)

    def _turn_provisionally(self, dt: float) -> None:
        """Before the calibration the world turns slowly to what is known, about the place of the person."""
        self._met_s += dt
        if self._met_s < _STANDING_S or self._evidence_s < _FIRST_S:
            return
        wanted = self._posture()[0]
        self._provisional_pitch = _towards(self._provisional_pitch, wanted, _TURN_RATE * dt)
        # The floor's point that the anchor stands over stays on the floor.
        point = -self.R_world_level.T @ self._provisional
        self.pitch = self._provisional_pitch
        at_anchor = self.R_world_level @ self._anchor
        self._provisional = -np.array([at_anchor[0], self.R_world_level[1] @ point, at_anchor[2]])
        self.p_world_camera = self._provisional

    def _posture(self) -> tuple[float, float, bool]:
        """Pitch (rad) that the postures tell, its deviation (rad), and whether they are those of a stand."""
        pitches, weights, still = (np.array([s[i] for s in self._samples]) for i in range(3))
        pitch, standing = _weighted_median(pitches, weights), float((weights * still).sum() / weights.sum())
        deviation = _PRIOR_DEG[0] * standing + _PRIOR_DEG[1] * (1 - standing)
        if standing < _STOOD:
            pitch /= 1 + (_PRIOR_DEG[1] / _CAMERA_DEG) ** 2
        return pitch, float(np.radians(deviation)), standing >= _STOOD

    def _follow_lowest_foot(self, dt: float, sight: Sight) -> None:
        """Provisional floor: down with the lowest foot at once, up only slowly, so that a step does not raise it."""
        if not sight.feet_seen:
            return
        wanted = -(sight.soles @ self.R_world_level[1]).min()
        share = 1 - np.exp(-dt / (0.1 if wanted > self._provisional[1] else 0.8))
        self._provisional = self._provisional + np.array([0, share * (wanted - self._provisional[1]), 0])
        self.p_world_camera = self._provisional

    def _observe_posture(self, dt: float, sight: Sight, still: bool) -> None:
        if not 0 < dt < 0.5:
            return
        worth = dt * (1.0 if still else _WALKING_WORTH)
        # In the median a second counts as a second: one stand is one posture, and it may lean.
        self._samples.append((posture_pitch(sight), dt, float(still), self._lowest(sight).copy()))
        self._evidence_s += worth
        if self._evidence_s >= _STANDING_S:
            self._calibrate()

    def _lowest(self, sight: Sight, axis: int | None = None) -> Float64:
        """Lowest sole point (3,), or with ``axis`` 1 of each foot (2, 3), in the level frame."""
        height = sight.soles @ self.R_world_level[1]
        if axis is None:
            return sight.soles.reshape(-1, 3)[int(np.argmin(height))]
        return np.take_along_axis(sight.soles, np.argmin(height, 1)[:, None, None], 1)[:, 0]

    def _calibrate(self) -> None:
        pitch, deviation, stood = self._posture()
        weights = np.array([s[1] for s in self._samples])
        self._prior = (pitch, deviation)
        soles = np.array([s[3] for s in self._samples])
        self._target = (pitch, _weighted_median(soles @ rotation_x(pitch)[1], weights))
        if self.footprints.points:
            self._target = self.footprints.fit(*self._prior)
        if not self.calibrated:
            self._current = self._target
            self._stood = stood
            if not self._stood:  # 1.5: the blend's steepest moment
                self._blend_s = max(_BLEND_S, 1.5 * abs(pitch - self._provisional_pitch) / _TURN_RATE)
        self.calibrated = True

    def _move(self, dt: float) -> None:
        """Blend from the provisional world to the calibrated one, which follows better estimates slowly."""
        self._since_s += dt
        progress = min(self._since_s / self._blend_s, 1.0)
        blend = progress**2 * (3 - 2 * progress)
        at_stand = self._stood and progress < 1
        most = (np.inf if at_stand else _FOLLOW_RATE) * dt
        share = 1 - np.exp(-dt / (0.1 if at_stand else _FOLLOW_S))
        wanted = [t - c for c, t in zip(self._current, self._target, strict=True)]
        # Floor and pitch belong together: they go the same share of their way.
        share = min(share, most / max(abs(wanted[0]), 1e-9))
        pitch, floor = (c + share * way for c, way in zip(self._current, wanted, strict=True))
        self._current = (pitch, floor)
        at_anchor = rotation_x(pitch) @ self._anchor
        calibrated = np.array([-at_anchor[0], -floor, -at_anchor[2]])
        self.pitch = (1 - blend) * self._provisional_pitch + blend * pitch
        self.p_world_camera = (1 - blend) * self._provisional + blend * calibrated


def upright_knees(joints: Float64) -> int:
    """How many knees of a body (24, 3) are stretched; none where the trunk is not over the legs, or the body is far
    from upright for a level camera."""
    neck, pelvis = joints[JOINT["neck"]], joints[0]
    ankles = joints[list(ANKLES)]
    foot = (ankles[0] + ankles[1]) / 2
    bones = np.stack(
        [*joints[[1, 2]] - joints[[4, 5]], *joints[[4, 5]] - ankles, neck - pelvis, pelvis - foot, neck - foot]
    )
    unit = bones / np.maximum(np.sqrt((bones * bones).sum(-1, keepdims=True)), 1e-9)
    thighs, shins, (trunk, legs, body) = unit[:2], unit[2:4], unit[4:]
    stretched = (thighs * shins).sum(-1) > _STRETCHED
    return int(stretched.sum()) if trunk @ legs > _STRAIGHT and body[1] > _UPRIGHT else 0


def posture_pitch(sight: Sight) -> float:
    """Camera pitch (rad) that makes the body stand as the rest pose does, its neck over its ankles."""
    wanted = sight.rest[JOINT["neck"]] - sight.rest[list(ANKLES)].mean(0)
    seen = sight.joints[JOINT["neck"]] - sight.joints[list(ANKLES)].mean(0)
    forward = wanted[2] * np.cos(sight.heading)  # the rest pose faces +z
    return float(np.arctan2(forward, wanted[1]) - np.arctan2(seen[2], seen[1]))


def _towards(value: float, wanted: float, most: float) -> float:
    return value + min(max(wanted - value, -most), most)


def _weighted_median(values: Float64, weights: Float64) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])
