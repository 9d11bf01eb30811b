"""Walking, standing, turning and squatting by rule: planted feet, two-bone leg IK, arms that swing with the legs.

A :class:`Script` says where a person is (keyed path), when each foot steps, and what the upper body does (keyed
angles); :func:`animate` turns it into SMPL rotations. Feet in contact never slide, because the steps are planned
first and the legs follow them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from mocap.body.rotations import axis_angle_to_matrix
from mocap.body.skeleton import JOINT, NUM_JOINTS, local_rotations
from training.anny_body import Float, align

Keys = Sequence[tuple[float, float]]  # (time s, value), monotone cubic between them
SIDES = (("left", 1.0), ("right", -1.0))
HEEL_RISE = np.radians(38)  # at the end of a long step's stance
TOE_LIFT = np.radians(16)  # at heel strike
ROLL_S, STRIKE_S = 0.2, 0.1  # s that the heel takes to rise before a step, and the toes to come down after it


@dataclass(frozen=True)
class Step:
    """One step: the foot leaves the floor at lift and lands at land, seconds."""

    foot: str
    lift: float
    land: float


@dataclass(frozen=True)
class Script:
    """What a person does.

    Attributes:
        duration: s.
        path: keys of x (m), z (m), yaw (deg, 0 faces +Z, 90 faces +X).
        steps: in order of time.
        angles: keys in degrees by name, see :func:`_upper_body`; "crouch" (m) lowers the pelvis.
        seed: of the small sway.
    """

    duration: float
    path: Mapping[str, Keys]
    steps: Sequence[Step]
    angles: Mapping[str, Keys] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Motion:
    """R_parent_joint (T, 24, 3, 3), p_world_root (T, 3) m, contact (T, 2) of the left and right foot."""

    R_parent_joint: Float
    p_world_root: Float
    contact: Float


def walk_steps(start: float, count: int, first: str, swing: float = 0.42, gap: float = 0.1) -> list[Step]:
    """Alternating steps with a double support of gap seconds between them."""
    feet = ("left", "right") if first == "left" else ("right", "left")
    period = swing + gap
    return [Step(feet[i % 2], start + i * period, start + i * period + swing) for i in range(count)]


def animate(script: Script, rest: Float, sole_height: float, fps: float) -> Motion:
    """Plays a script on a body.

    Args:
        script: what to do.
        rest: (24, 3) m rest joints.
        sole_height: height of the shoe soles in the rest pose, m.
        fps: frames per second.
    """
    t = np.arange(round(script.duration * fps)) / fps
    path = np.stack([_curve(script.path[axis], t) for axis in ("x", "z", "yaw")], -1)
    path = gaussian_filter1d(path, 0.06 * fps, axis=0, mode="nearest")
    wave = Sway(script.seed, t)
    feet = {side: _foot_track(script, side, rest, sole_height, t, path) for side, _ in SIDES}
    angle = {
        name: gaussian_filter1d(_curve(keys, t), 0.05 * fps, mode="nearest") for name, keys in script.angles.items()
    }
    R_pelvis, pelvis = _pelvis(rest, sole_height, feet, path, angle, wave, fps)
    R = np.broadcast_to(np.eye(3), (len(t), NUM_JOINTS, 3, 3)).copy()
    R[:, 0] = R_pelvis
    for side, sign in SIDES:
        _leg(R, pelvis, rest, feet[side], side, sign)
    local = local_rotations(_fill(R))
    _upper_body(local, feet, path, angle, wave)
    contact = np.stack([feet[side].contact for side, _ in SIDES], -1)
    return Motion(local, pelvis, contact)


class Sway:
    """Small slow noise, different for each name: nobody stands like a statue."""

    def __init__(self, seed: int, t: Float) -> None:
        self._seed, self._t = seed, t

    def __call__(self, name: str, amplitude: float) -> Float:
        rng = np.random.default_rng([self._seed, *name.encode()])
        waves = [np.sin(2 * np.pi * (f * self._t + rng.random())) for f in rng.uniform(0.15, 0.7, 4)]
        return amplitude * np.sum(waves, axis=0) / 2


def _curve(keys: Keys, t: Float) -> Float:
    times, values = zip(*keys, strict=True)
    if len(times) == 1:
        return np.full_like(t, values[0])
    curve: Float = PchipInterpolator(times, values)(np.clip(t, times[0], times[-1]))
    return curve


def rotation(axis: str, degrees: Float | float) -> Float:
    """Rotations (..., 3, 3) about a coordinate axis."""
    vector = np.eye(3)["xyz".index(axis)]
    return axis_angle_to_matrix(np.radians(np.asarray(degrees, float))[..., None] * vector)


@dataclass(frozen=True)
class FootTrack:
    """One foot over time: ankle (T, 3) m, R_foot and R_toes (T, 3, 3) global, contact (T,)."""

    ankle: Float
    R_foot: Float
    R_toes: Float
    contact: Float


def _foot_track(script: Script, side: str, rest: Float, sole: float, t: Float, path: Float) -> FootTrack:
    """Plants the foot where the path is in the middle of each stance, and swings it between."""
    ankle, ball = rest[JOINT[f"{side}_ankle"]], rest[JOINT[f"{side}_foot"]]
    heel = ankle + np.array([0.0, sole - ankle[1], -0.05])
    lateral = 0.85 * ankle[0]
    steps = [step for step in script.steps if step.foot == side]
    lifts, lands = [step.lift for step in steps], [step.land for step in steps]
    # The stances: the first lasts from the start, the last to the end; both stand where the path begins and ends.
    middles = [t[0], *[(a + b) / 2 for a, b in zip(lands[:-1], lifts[1:], strict=True)], t[-1]] if steps else [t[0]]
    place = np.stack([np.interp(middles, t, path[:, k]) for k in range(3)], -1)
    R_place = rotation("y", place[:, 2])
    floor = np.stack([place[:, 0], np.full(len(place), -sole), place[:, 1]], -1)
    anchor = floor + R_place @ np.array([lateral - ankle[0], 0.0, -ankle[2]])  # adds to rest points: soles on Y = 0
    lengths = [float(np.linalg.norm(b - a)) for a, b in pairwise(anchor)]
    pitch, p_ball, yaw = np.zeros(len(t)), np.zeros((len(t), 3)), np.zeros(len(t))
    contact = np.zeros(len(t))
    for n, now in enumerate(t):
        k = sum(now >= land for land in lands)
        swinging = k < len(lifts) and now > lifts[k]
        if not swinging:
            before = lengths[k - 1] if k else 0.0
            after = lengths[k] if k < len(lengths) else 0.0
            pitch[n] = _stance_pitch(
                now, lands[k - 1] if k else None, lifts[k] if k < len(lifts) else None, before, after
            )
            p_ball[n] = _planted_ball(anchor[k], R_place[k], ball, heel, pitch[n])
            yaw[n] = place[k, 2]
            contact[n] = float(-0.004 < pitch[n] < np.radians(6))  # the ball rests; the heel may begin to rise
            continue
        s = (now - lifts[k]) / (lands[k] - lifts[k])
        ease = s * s * (3 - 2 * s)
        size = min(lengths[k] / 0.6, 1.0)
        pitch[n] = size * (HEEL_RISE * (1 - ease) ** 1.5 - TOE_LIFT * np.clip(2 * s - 1, 0, 1) ** 2)
        start = _planted_ball(anchor[k], R_place[k], ball, heel, size * HEEL_RISE)
        end = _planted_ball(anchor[k + 1], R_place[k + 1], ball, heel, -size * TOE_LIFT)
        p_ball[n] = start + (end - start) * ease
        p_ball[n, 1] += (0.035 + 0.035 * size) * np.sin(np.pi * s) ** 1.3
        yaw[n] = place[k, 2] + (place[k + 1, 2] - place[k, 2]) * ease
    R_toes = rotation("y", yaw)
    R_foot = R_toes @ rotation("x", np.degrees(pitch))
    p_ankle = p_ball + np.einsum("tij,j->ti", R_foot, ankle - ball)
    lifted = np.where(pitch < 0, 1.0, 0.0)[:, None, None]  # raised toes turn with the foot, a raised heel bends them
    return FootTrack(p_ankle, R_foot, lifted * R_foot + (1 - lifted) * R_toes, contact)


def _stance_pitch(now: float, land: float | None, lift: float | None, before: float, after: float) -> float:
    """Rotation of a planted foot: toes come down after heel strike, the heel rises before the next step; rad."""
    pitch = 0.0
    if land is not None:
        pitch -= min(before / 0.6, 1.0) * TOE_LIFT * max(0.0, 1 - (now - land) / STRIKE_S) ** 2
    if lift is not None:
        pitch += min(after / 0.6, 1.0) * HEEL_RISE * max(0.0, 1 - (lift - now) / ROLL_S) ** 2
    return pitch


def _planted_ball(anchor: Float, R: Float, ball: Float, heel: Float, pitch: float) -> Float:
    """Ball of a foot (3,) m that rolls over its ball (pitch > 0) or its heel (pitch < 0)."""
    if pitch >= 0:
        return anchor + R @ ball
    return anchor + R @ (heel + rotation("x", np.degrees(pitch)) @ (ball - heel))


def _pelvis(
    rest: Float, sole: float, feet: dict[str, FootTrack], path: Float, angle: dict[str, Float], wave: Sway, fps: float
) -> tuple[Float, Float]:
    """Global rotation (T, 3, 3) and position (T, 3) m of the pelvis: over the feet, as high as the legs reach."""
    ankles = [feet[side].ankle for side, _ in SIDES]
    load = [
        gaussian_filter1d((feet[side].ankle[:, 1] < rest[7, 1] - sole + 0.02) * 1.0, 0.08 * fps) for side, _ in SIDES
    ]
    R_path = rotation("y", path[:, 2])
    ahead = np.einsum("tji,tj->ti", R_path, ankles[0] - ankles[1])[:, 2]  # left foot before right foot, m
    crouch = angle.get("crouch", np.zeros(len(path)))
    share = (load[0] - load[1]) / np.maximum(load[0] + load[1], 0.5)
    lean = gaussian_filter1d(np.gradient(path[:, :2], axis=0) * fps, 0.2 * fps, axis=0)
    pelvis = np.stack([path[:, 0], np.zeros(len(path)), path[:, 1]], -1)
    pelvis += np.einsum(
        "tij,tj->ti", R_path, np.stack([0.022 * share + wave("sway", 0.006), 0 * share, -0.3 * crouch], -1)
    )
    tilt = 2 + 3 * np.linalg.norm(lean, axis=-1) + 55 * crouch
    R = R_path @ rotation("y", -14 * ahead + wave("hips", 1.0)) @ rotation("z", 2.5 * share) @ rotation("x", tilt)
    high = np.full(len(path), rest[0, 1] - sole - 0.012)
    for side, _ in SIDES:
        hip, knee, ankle = (rest[JOINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle"))
        reach = 0.992 * (np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))
        offset = np.einsum("tij,j->ti", R, hip - rest[0])
        flat = np.linalg.norm((feet[side].ankle - pelvis - offset)[:, ::2], axis=-1)
        high = np.minimum(high, feet[side].ankle[:, 1] + np.sqrt(np.maximum(reach**2 - flat**2, 0.01)) - offset[:, 1])
    window = max(3, round(0.13 * fps))
    pelvis[:, 1] = gaussian_filter1d(minimum_filter1d(high, window), 0.045 * fps, mode="nearest") - crouch
    return R, pelvis


def _leg(R: Float, pelvis: Float, rest: Float, foot: FootTrack, side: str, sign: float) -> None:
    """Two-bone IK: global rotations of hip, knee, ankle and foot joints, the knee over the foot."""
    j = {name: JOINT[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot")}
    thigh, shank = rest[j["knee"]] - rest[j["hip"]], rest[j["ankle"]] - rest[j["knee"]]
    hip = pelvis + np.einsum("tij,j->ti", R[:, 0], rest[j["hip"]] - rest[0])
    line = foot.ankle - hip
    a, b = np.linalg.norm(thigh), np.linalg.norm(shank)
    d = np.clip(np.linalg.norm(line, axis=-1), 0.2, 0.9995 * (a + b))
    along = line / np.linalg.norm(line, axis=-1, keepdims=True)
    front = 0.5 * (R[:, 0, :, 2] + foot.R_toes[..., 2]) + sign * 0.08 * R[:, 0, :, 0]
    hinge = np.cross(front, along)  # the knee's axis, towards the body's left
    hinge /= np.linalg.norm(hinge, axis=-1, keepdims=True)
    cosine = (a * a + d * d - b * b) / (2 * a * d)
    sine = np.sqrt(np.maximum(1 - cosine**2, 0))
    knee = hip + a * (along * cosine[:, None] + np.cross(along, hinge) * sine[:, None])
    across = np.broadcast_to([1.0, 0.0, 0.0], knee.shape)
    R[:, j["hip"]] = align(np.broadcast_to(thigh, knee.shape), across, knee - hip, hinge)
    R[:, j["knee"]] = align(np.broadcast_to(shank, knee.shape), across, foot.ankle - knee, hinge)
    R[:, j["ankle"]], R[:, j["foot"]] = foot.R_foot, foot.R_toes


def _is_leg() -> NDArray[np.bool_]:
    legs = np.zeros(NUM_JOINTS, bool)
    legs[[1, 2, 4, 5, 7, 8, 10, 11]] = True
    return legs


def _fill(R: Float) -> Float:
    """Joints without a global rotation of their own follow the pelvis."""
    return np.where(_is_leg()[:, None, None], R, R[:, :1])


def _upper_body(local: Float, feet: dict[str, FootTrack], path: Float, angle: dict[str, Float], wave: Sway) -> None:
    """Spine, head and arms from keyed angles, the swing of the arms and sway.

    Angles by name, degrees: bend (spine forward), turn (spine to the left), look (head to the left), nod, and for each
    side flex (arm forward), abduct (arm out from the body), twist (forearm forward to up), elbow, pronate.
    """

    def get(name: str, default: float = 0.0) -> Float:
        return angle.get(name, np.full(len(path), default))

    R_path = rotation("y", path[:, 2])
    ahead = np.einsum("tji,tj->ti", R_path, feet["left"].ankle - feet["right"].ankle)[:, 2]
    bend, turn = get("bend"), get("turn") + 22 * ahead
    for joint in ("spine1", "spine2", "spine3"):
        share = rotation("y", turn / 3 + wave(joint, 0.8)) @ rotation("x", bend / 3 + wave(joint + "x", 0.5))
        local[:, JOINT[joint]] = share @ rotation("z", wave(joint + "z", 0.6))
    head_turn = get("look") - 0.6 * turn
    for joint in ("neck", "head"):
        nod = get("nod") / 2 - 0.3 * bend + wave(joint + "x", 1.2)
        local[:, JOINT[joint]] = rotation("y", head_turn / 2 + wave(joint, 2.0)) @ rotation("x", nod)
    for side, sign in SIDES:
        swing = -sign * 38 * ahead * get(f"{side}_swing", 1.0)
        flex = get(f"{side}_flex", 3.0) + swing + wave(side + "flex", 1.5)
        abduct = get(f"{side}_abduct", 11.0) + wave(side + "abduct", 1.2)
        elbow = get(f"{side}_elbow", 16.0) + np.maximum(swing, 0) * 0.6 + wave(side + "elbow", 2.0)
        lift = np.clip(np.maximum(abduct, 0.7 * flex) - 50, -45, 70)
        local[:, JOINT[f"{side}_collar"]] = rotation("z", sign * (0.22 * lift - 1))
        raised = rotation("z", -sign * (90 - abduct) - sign * (0.22 * lift - 1))
        local[:, JOINT[f"{side}_shoulder"]] = rotation("x", -flex) @ raised @ rotation("x", -get(f"{side}_twist"))
        local[:, JOINT[f"{side}_elbow"]] = rotation("y", -sign * elbow)
        pronate = rotation("x", get(f"{side}_pronate", 15.0)) @ rotation(
            "z", get(f"{side}_wrist") + wave(side + "w", 2)
        )
        local[:, JOINT[f"{side}_wrist"]] = pronate
        local[:, JOINT[f"{side}_hand"]] = rotation("z", -sign * (14 + wave(side + "h", 3)))
