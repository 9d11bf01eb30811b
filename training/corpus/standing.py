"""Scripted motion on the feet: gestures, reaching, exercise, dance. Every function sets the curves of one clip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.corpus.curves import Track
from training.corpus.kinematics import Float, standing_height

SIDES = ("left", "right")
Kind = Callable[[Track], None]


def stand(t: Track, width: tuple[float, float] = (0.07, 0.2), crouch: Float | float = 0.02) -> None:
    """Both feet planted, the weight shifting a little; crouch lowers the pelvis, m."""
    half = t.draw(*width)
    stagger = t.draw(-0.1, 0.1)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        t.set(f"{side}_foot_x", sign * half)
        t.set(f"{side}_foot_z", sign * stagger + t.draw(-0.02, 0.02))
        t.set(f"{side}_foot_yaw", 0, 25)
    t.wander("pelvis_x", -0.3 * half, 0.3 * half, 2.5)
    t.wander("pelvis_z", -0.03, 0.03, 2.5)
    t.curves["pelvis_y"] = standing_height() - 0.012 - 0.35 * half**2 - crouch + 0 * t.t
    t.wander("yaw", -10, 10, 3)
    t.set("pitch", -2, 6)


def look(t: Track, every: float = 1.5) -> None:
    t.wander("turn", -45, 45, every, hold=0.5)
    t.wander("nod", -15, 30, every, hold=0.5)
    t.wander("tilt", -10, 10, every)


def torso(t: Track, size: float = 1.0, every: float = 1.5) -> None:
    t.wander("bend", -6 * size, 16 * size, every)
    t.wander("side", -9 * size, 9 * size, every)
    t.wander("twist", -18 * size, 18 * size, every)


def talking_hands(t: Track, sides: tuple[str, ...] = SIDES, every: float = 0.7) -> None:
    """Hands that speak, in front of the chest and belly."""
    size = t.draw(0.5, 1.2)
    together = t.chance(0.5)
    for n, side in enumerate(sides):
        sign = 1.0 if side == "left" else -1.0
        names = {"x": (0.04, 0.16 + 0.26 * size), "y": (-0.30, -0.05 + 0.15 * size), "z": (0.20, 0.28 + 0.12 * size)}
        for axis, (low, high) in names.items():
            own = t.random_walk(low, high, every)
            if together and n:
                other = t.curves[f"{sides[0]}_hand_{axis}"]
                own = 0.75 * (np.abs(other) if axis == "x" else other) + 0.25 * own
            t.curves[f"{side}_hand_{axis}"] = own * (sign if axis == "x" else 1)
        t.wander(f"{side}_arm_out", -5, 45, 2)
        t.wander(f"{side}_pronate", -85, 40, every)
        t.wander(f"{side}_wrist", -35, 30, every)


def hanging_arms(t: Track, sides: tuple[str, ...] = SIDES) -> None:
    for side in sides:
        t.wander(f"{side}_flex", -10, 18, 2)
        t.wander(f"{side}_abduct", 9, 24, 2)
        t.wander(f"{side}_elbow", 6, 45, 2)
        t.wander(f"{side}_arm_twist", -25, 35, 2)
        t.wander(f"{side}_pronate", -10, 50, 2)


def gesture(t: Track) -> None:
    stand(t)
    torso(t)
    look(t)
    talking_hands(t, every=t.draw(0.45, 1.1))


def wave(t: Track) -> None:
    stand(t)
    torso(t, 0.6)
    look(t)
    hanging_arms(t)
    both = t.chance(0.2)
    for side in SIDES if both else (str(t.rng.choice(SIDES)),):
        raised = t.through(*_hold(t, 0.0, 1.0))
        beat = t.cycle(t.draw(0.4, 1.0))
        t.curves[f"{side}_abduct"] = 14 + raised * t.draw(35, 150)
        t.curves[f"{side}_flex"] = raised * t.draw(-10, 45)
        t.curves[f"{side}_arm_twist"] = raised * (t.draw(50, 95) + t.draw(-20, 25) * beat)
        t.curves[f"{side}_elbow"] = 14 + raised * (t.draw(15, 75) + t.draw(15, 60) * beat)
        t.curves[f"{side}_deviate"] = raised * t.draw(-20, 20) * beat
        t.wander(f"{side}_pronate", -30, 30, 2)


def _hold(t: Track, low: float, high: float) -> tuple[list[float], list[float]]:
    """Keys that go from low to high, stay, and come back."""
    up, down = t.draw(0.05, 0.25) * t.seconds, t.draw(0.75, 0.95) * t.seconds
    span = t.draw(0.5, 1.1)
    return [0, up, up + span, down, down + span, down + span + 1], [low, low, high, high, low, low]


def reach(t: Track) -> None:
    """To shelves, to the sides, to the floor: knees and back follow the hand down."""
    stand(t, (0.1, 0.24))
    sides = SIDES if t.chance(0.4) else (str(t.rng.choice(SIDES)),)
    hanging_arms(t, tuple(s for s in SIDES if s not in sides))
    height = t.random_walk(0.15, 1.95, 1.7, 0.4)
    azimuth = t.random_walk(-75, 75, 1.7, 0.4)
    far = t.random_walk(0.28, 0.6, 1.3)
    low = np.clip((0.95 - height) / 0.8, 0, 1)
    share = t.draw(0.15, 0.85)  # of the way down that the knees take
    drop = low * share * 0.42
    t.curves["pelvis_y"] = t.curves["pelvis_y"] - drop
    t.curves["pelvis_z"] = t.curves["pelvis_z"] - 0.5 * drop - 0.08 * low
    t.curves["pitch"] = t.curves["pitch"] + low * (1 - 0.5 * share) * 60
    t.curves["bend"] = low * 45 - 6 * np.clip(height - 1.4, 0, 1)
    t.curves["twist"] = 0.35 * azimuth
    t.curves["yaw"] = t.curves["yaw"] + 0.2 * azimuth
    t.curves["side"] = t.random_walk(-6, 6, 2)
    t.curves["turn"] = 0.4 * azimuth
    t.curves["nod"] = -30 * np.clip(height - 1.2, 0, 1) + 15 * low
    gap = t.draw(0.1, 0.35)
    for side in sides:
        sign = 1.0 if side == "left" else -1.0
        apart = sign * (gap / 2 if len(sides) == 2 else 0.06)
        t.curves[f"{side}_hand_x"] = far * np.sin(np.radians(azimuth)) + apart
        t.curves[f"{side}_hand_y"] = height
        t.curves[f"{side}_hand_z"] = 0.12 + far * np.cos(np.radians(azimuth)) + 0.12 * low
        t.wander(f"{side}_arm_out", 0, 40, 2)
        t.wander(f"{side}_pronate", -60, 30, 1.5)
    t.set("hands_in_world", 1)


def squat(t: Track) -> None:
    depth = t.draw(0.2, 0.56)
    down = t.cycle(t.draw(1.6, 3.6), t.draw(0.6, 1.2))
    stand(t, (0.12, 0.26), depth * down)
    for side in SIDES:
        t.set(f"{side}_foot_yaw", 8, 35)
        t.set(f"{side}_knee_out", 0, 12)
    t.curves["pelvis_z"] = t.curves["pelvis_z"] - t.draw(0.25, 0.45) * depth * down
    t.curves["pitch"] = 4 + t.draw(25, 55) * down * depth / 0.5
    t.curves["bend"] = t.draw(-8, 14) * down
    t.curves["nod"] = -t.draw(5, 25) * down
    _exercise_arms(t, down)


def _exercise_arms(t: Track, effort: Float) -> None:
    """What hands do in squats and lunges: forward, at the chest, at the hips, behind the head, up, hanging."""
    style = int(t.rng.integers(6))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        if style == 0:
            t.curves[f"{side}_flex"] = 20 + t.draw(60, 80) * effort
            t.set(f"{side}_abduct", 6, 14)
            t.set(f"{side}_elbow", 4, 25)
        elif style in (1, 2, 3):
            low, high = (
                ((0.03, -0.14, 0.2), (0.07, 0.0, 0.3)),
                ((0.2, -0.35, 0.0), (0.23, -0.3, 0.04)),
                ((0.1, 0.28, -0.05), (0.12, 0.32, -0.01)),
            )[style - 1]
            for axis, a, b in zip("xyz", low, high, strict=True):
                t.wander(f"{side}_hand_{axis}", *((sign * a, sign * b) if axis == "x" else (a, b)), 3)
            t.set(f"{side}_arm_out", *((30, 60), (-35, -10), (52, 76))[style - 1])
        elif style == 4:
            t.curves[f"{side}_abduct"] = 20 + t.draw(100, 145) * effort
            t.set(f"{side}_elbow", 5, 30)
        else:
            hanging_arms(t, (side,))


def lunge(t: Track) -> None:
    """Forward and sideways lunges, the feet staying where they are."""
    down = t.cycle(t.draw(1.8, 3.5), t.draw(0.6, 1.1))
    front, back = SIDES if t.chance(0.5) else SIDES[::-1]
    sign = 1.0 if front == "left" else -1.0
    stride = t.draw(0.5, 0.85)
    stand(t, (0.08, 0.13))
    if t.chance(0.3):  # to the side
        t.set(f"{front}_foot_x", sign * (0.1 + 0.7 * stride))
        t.set(f"{back}_foot_x", -sign * 0.12)
        t.curves["pelvis_x"] = sign * (0.25 * stride + 0.38 * stride * down)
        t.curves["pelvis_z"] = -0.12 * down
        drop = 0.06 + t.draw(0.18, 0.3) * down
        t.curves["pitch"] = 5 + 30 * down
    else:
        t.set(f"{front}_foot_z", 0.55 * stride)
        t.set(f"{back}_foot_z", -0.45 * stride)
        t.set(f"{front}_foot_yaw", 0, 8)
        t.set(f"{back}_foot_yaw", 0, 8)
        t.curves[f"{back}_foot_pitch"] = 28 + 30 * down
        t.curves[f"{back}_foot_y"] = 0.055 + 0.045 * down
        t.curves["pelvis_z"] = 0.02 * down + t.draw(-0.03, 0.05)
        drop = 0.22 * stride**2 + 0.03 + t.draw(0.2, 0.34) * down
        t.curves["pitch"] = t.draw(0, 15) * down
    t.curves["pelvis_y"] = standing_height() - drop
    t.curves["yaw"] = 0 * t.t
    torso(t, 0.4)
    if t.chance(0.4):
        t.curves["twist"] = t.draw(-40, 40) * down
    _exercise_arms(t, down)


def jumping_jack(t: Track) -> None:
    out = t.cycle(t.draw(0.8, 1.4), 0.9)
    for side in SIDES:
        t.curves[f"{side}_hip_abduct"] = 2 + t.draw(18, 32) * out
        t.curves[f"{side}_knee"] = 8 + 14 * (1 - np.abs(2 * out - 1))
        t.curves[f"{side}_hip_flex"] = 0.5 * t.curves[f"{side}_knee"]
        t.curves[f"{side}_ankle"] = 0.5 * t.curves[f"{side}_knee"] - 10 * (1 - np.abs(2 * out - 1))
        t.curves[f"{side}_abduct"] = 14 + t.draw(120, 152) * out
        t.set(f"{side}_elbow", 6, 35)
        t.set(f"{side}_flex", 0, 15)
    t.curves["hop"] = t.draw(0.04, 0.12) * (1 - np.abs(2 * out - 1)) ** 2


def march(t: Track) -> None:
    """High knees on the spot, arms against the legs."""
    period = t.draw(0.7, 1.4)
    lift = t.draw(35, 105)
    swing = t.draw(15, 60)
    phase = 2 * np.pi * np.cumsum(1 + t.random_walk(-0.1, 0.1, 2)) / t.fps / period
    for side, sign in (("left", 1.0), ("right", -1.0)):
        up = np.clip(sign * np.sin(phase), 0, None) ** 1.2
        t.curves[f"{side}_hip_flex"] = 3 + lift * up
        t.curves[f"{side}_knee"] = 6 + (lift + t.draw(-10, 25)) * up
        t.curves[f"{side}_ankle"] = 3 - t.draw(0, 25) * up
        t.curves[f"{side}_flex"] = 5 - sign * swing * np.sin(phase)
        t.curves[f"{side}_elbow"] = t.draw(20, 90) - sign * 12 * np.sin(phase)
        t.set(f"{side}_abduct", 8, 20)
    t.curves["twist"] = t.draw(2, 12) * np.sin(phase)
    t.curves["roll"] = -t.draw(0, 4) * np.sin(phase)
    t.set("bend", -4, 15)


def dance_arms(t: Track) -> None:
    """Arms in wide arcs to a beat, hips and knees with it."""
    beat = t.draw(0.5, 1.1)
    bounce = t.cycle(beat)
    stand(t, (0.1, 0.25), 0.03 + t.draw(0.02, 0.1) * bounce)
    hips = np.sin(2 * np.pi * t.t / (2 * beat) + t.draw(0, 6))
    t.curves["pelvis_x"] = t.draw(0.02, 0.09) * hips
    t.curves["roll"] = t.draw(0, 8) * hips
    t.curves["yaw"] = t.random_walk(-25, 25, 2 * beat)
    torso(t, 1.2, 2 * beat)
    look(t, 2 * beat)
    mirror = t.chance(0.35)
    for n, side in enumerate(SIDES):
        ranges = {"flex": (-35, 120), "abduct": (15, 140), "arm_twist": (-45, 85), "elbow": (5, 125),
                  "pronate": (-70, 70), "wrist": (-50, 50)}  # fmt: skip
        for name, (low, high) in ranges.items():
            own = t.random_walk(low, high, beat * t.draw(1, 2.2), 0.15)
            if mirror and n:
                own = 0.85 * t.curves[f"left_{name}"] + 0.15 * own
            t.curves[f"{side}_{name}"] = own
        t.curves[f"{side}_flex"] *= np.clip(1.3 - t.curves[f"{side}_abduct"] / 160, 0, 1)


def box(t: Track) -> None:
    """Guard and punches."""
    stand(t, (0.1, 0.17), 0.05 + t.random_walk(0, 0.08, 0.8))
    front = str(t.rng.choice(SIDES))
    for side in SIDES:
        t.set(f"{side}_foot_z", 0.2 if side == front else -0.2)
    t.curves["yaw"] = t.random_walk(-30, 30, 0.8)
    torso(t, 1.0, 0.8)
    t.curves["bend"] = t.curves["bend"] + 8
    for side, sign in (("left", 1.0), ("right", -1.0)):
        punch = np.clip(t.random_walk(-1.2, 1.0, 0.42, 0.1), 0, 1)
        t.curves[f"{side}_hand_x"] = sign * (0.12 - 0.1 * punch) + t.random_walk(-0.03, 0.03, 0.7)
        t.curves[f"{side}_hand_y"] = t.draw(0.1, 0.2) + t.random_walk(-0.12, 0.08, 0.7) - 0.03 * punch
        t.curves[f"{side}_hand_z"] = t.draw(0.24, 0.3) + 0.25 * punch
        t.curves[f"{side}_arm_out"] = 5 + 45 * punch
        t.curves[f"{side}_pronate"] = -60 + 90 * punch


def kick(t: Track) -> None:
    side = str(t.rng.choice(SIDES))
    other = "right" if side == "left" else "left"
    up = t.cycle(t.draw(1.3, 2.6), 1.6)
    t.curves[f"{side}_hip_flex"] = -6 + t.draw(25, 105) * up
    t.curves[f"{side}_hip_abduct"] = 4 + t.draw(0, 35) * up
    t.curves[f"{side}_knee"] = 8 + t.random_walk(0, 70, 0.9) * up
    t.wander(f"{side}_ankle", -30, 10, 1.5)
    t.curves[f"{other}_knee"] = 8 + t.draw(0, 25) * up
    t.curves[f"{other}_hip_flex"] = 0.5 * t.curves[f"{other}_knee"]
    t.curves[f"{other}_ankle"] = 0.5 * t.curves[f"{other}_knee"]
    t.curves["pitch"] = -t.draw(0, 22) * up
    t.curves["roll"] = (1 if side == "left" else -1) * t.draw(0, 14) * up
    torso(t, 0.8)
    for arm in SIDES:
        t.wander(f"{arm}_flex", -30, 60, 1)
        t.wander(f"{arm}_abduct", 15, 90, 1)
        t.wander(f"{arm}_elbow", 15, 100, 1)


HEAD_SPOTS = {  # where a wrist goes at head and trunk: x outward, y up, z forward of the chest (m), elbow out (deg)
    "ear": (0.13, 0.29, 0.07, 55), "chin": (0.08, 0.08, 0.22, 40), "mouth": (0.09, 0.16, 0.24, 40),
    "brow": (0.12, 0.36, 0.18, 45), "nape": (0.12, 0.29, -0.03, 62), "crown": (0.1, 0.48, 0.06, 40),
    "heart": (0.0, 0.0, 0.22, 65), "hip": (0.22, -0.33, 0.02, -20), "belly": (0.06, -0.22, 0.2, 50),
    "back": (0.1, -0.3, -0.2, -40), "other_arm": (-0.13, -0.08, 0.24, 95),
}  # fmt: skip


def touch(t: Track) -> None:
    """Phone to the ear, drinking, thinking, hands on hips, arms behind the back: hands at body and head."""
    stand(t)
    torso(t, 0.7)
    look(t)
    hanging_arms(t)
    hands_to_body(t)


def hands_to_body(t: Track, rest: tuple[float, float, float, float] = (0.24, -0.3, 0.14, 10)) -> None:
    """One hand or both go to spots of HEAD_SPOTS and, now and then, to the rest spot (same order of numbers)."""
    sides = SIDES if t.chance(0.5) else (str(t.rng.choice(SIDES)),)
    same = t.chance(0.6)
    names = list(HEAD_SPOTS)
    order = [str(t.rng.choice(names)) for _ in range(int(t.seconds / 2) + 2)]
    for side in sides:
        sign = 1.0 if side == "left" else -1.0
        spots = order if same else [str(t.rng.choice(names)) for _ in order]
        times, rows = [], []
        for n, spot in enumerate(spots):
            place = rest if (n % 3 == 2 or t.chance(0.2)) else HEAD_SPOTS[spot]
            row = np.array(place) + t.rng.normal(0, [0.015, 0.02, 0.015, 10])
            row[0] *= sign
            times += [2.0 * n + t.draw(0, 0.3), 2.0 * n + t.draw(0.9, 1.4)]
            rows += [row, row + t.rng.normal(0, [0.01, 0.01, 0.01, 4])]
        for name, column in zip(("hand_x", "hand_y", "hand_z", "arm_out"), np.array(rows).T, strict=True):
            t.curves[f"{side}_{name}"] = t.through(times, column)
        t.wander(f"{side}_pronate", -80, 30, 1.5)
        t.wander(f"{side}_wrist", -20, 35, 1.5)


def stretch(t: Track) -> None:
    """Side bends, twists, arms overhead, toe touches."""
    stand(t, (0.08, 0.28))
    t.wander("side", -38, 38, 2.2, 0.4)
    t.wander("twist", -55, 55, 2.2, 0.4)
    t.wander("bend", -18, 25, 2.2)
    if t.chance(0.4):
        fold = t.cycle(t.draw(3, 6), 0.7)
        t.curves["pitch"] = t.draw(30, 75) * fold
        t.curves["bend"] = t.draw(20, 60) * fold
        t.curves["pelvis_z"] = -0.14 * fold
    for side in SIDES:
        t.wander(f"{side}_abduct", 15, 160, 1.8, 0.4)
        t.wander(f"{side}_flex", -20, 40, 1.8, 0.4)
        t.wander(f"{side}_elbow", 3, 110, 1.8, 0.4)
        t.wander(f"{side}_arm_twist", -30, 75, 1.8, 0.4)


def lift(t: Track) -> None:
    """An object lifted from the floor with both hands, carried, put on a shelf."""
    stand(t, (0.12, 0.22))
    height = t.random_walk(0.3, 1.5, 2.0, 0.4)
    low = np.clip((0.95 - height) / 0.65, 0, 1)
    share = t.draw(0.3, 0.95)
    drop = 0.5 * low * share
    t.curves["pelvis_y"] = t.curves["pelvis_y"] - drop
    t.curves["pelvis_z"] = -0.42 * drop - 0.1 * low
    t.curves["pitch"] = 3 + low * (62 - 22 * share)
    t.curves["bend"] = 38 * low
    t.curves["twist"] = t.random_walk(-25, 25, 2.5)
    t.curves["nod"] = t.random_walk(-5, 20, 2)
    half, far = t.draw(0.06, 0.26), t.draw(0.26, 0.42)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        t.curves[f"{side}_hand_x"] = sign * half + 0.1 * np.sin(np.radians(2 * t.curves["twist"]))
        t.curves[f"{side}_hand_y"] = height
        t.curves[f"{side}_hand_z"] = far + 0.12 * low
        t.set(f"{side}_arm_out", 5, 35)
        t.set(f"{side}_pronate", -85, -30)
    t.set("hands_in_world", 1)


def throw(t: Track) -> None:
    """Overarm throws, racket and bat swings: one arm winds up behind and comes through, the trunk leads."""
    stand(t, (0.12, 0.22), 0.06)
    arm = str(t.rng.choice(SIDES))
    sign = 1.0 if arm == "left" else -1.0
    for side in SIDES:
        t.set(f"{side}_foot_z", -0.18 if side == arm else 0.18)
    swing = t.cycle(t.draw(0.9, 2.0), 1.3)
    late = np.roll(swing, -max(1, round(0.1 * t.fps)))
    late[-max(1, round(0.1 * t.fps)) :] = late[-max(1, round(0.1 * t.fps)) - 1]
    t.curves["twist"] = sign * (25 - 55 * swing)
    t.curves["yaw"] = sign * (20 - 40 * swing)
    t.curves["bend"] = -6 + 28 * swing
    t.curves["side"] = sign * t.draw(-15, 15) * swing
    t.curves[f"{arm}_abduct"] = t.draw(60, 115) - t.draw(0, 40) * late
    t.curves[f"{arm}_flex"] = -28 + t.draw(70, 110) * late
    t.curves[f"{arm}_arm_twist"] = t.draw(60, 95) - t.draw(40, 90) * late
    t.curves[f"{arm}_elbow"] = t.draw(80, 115) - t.draw(50, 75) * late
    hanging_arms(t, ("right" if arm == "left" else "left",))
    other = "right" if arm == "left" else "left"
    t.curves[f"{other}_flex"] = 45 - 40 * swing
    t.curves[f"{other}_elbow"] = 40 + 40 * swing


STANDING: dict[str, Kind] = {
    "gesture": gesture, "wave": wave, "reach": reach, "squat": squat, "lunge": lunge, "jumping_jack": jumping_jack,
    "march": march, "dance_arms": dance_arms, "box": box, "kick": kick, "touch": touch, "stretch": stretch,
    "lift": lift, "throw": throw,
}  # fmt: skip
