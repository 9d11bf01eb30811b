"""Scripted motion low on the ground: push-ups, crawling, sitting and kneeling on the floor."""

from __future__ import annotations

import numpy as np

from mocap.body.skeleton import JOINT
from training.corpus.curves import Track
from training.corpus.figure import ANKLE_HEIGHT
from training.corpus.kinematics import Float, rest_joints
from training.corpus.lying import loose_arms
from training.corpus.standing import SIDES, Kind, look, talking_hands, torso

_LEG = (("left_hip", "left_knee"), ("left_knee", "left_ankle"))


def hands_on_floor(t: Track, x: Float | float, z: Float | float, yaw: tuple[float, float] = (-15, 15)) -> None:
    """Palms down at (+-x, z) m from where the feet are."""
    for side, sign in (("left", 1.0), ("right", -1.0)):
        t.curves[f"{side}_hand_x"] = sign * x + 0 * t.t
        t.curves[f"{side}_hand_y"] = 0.05 + 0 * t.t
        t.curves[f"{side}_hand_z"] = z + 0 * t.t
        t.set(f"{side}_palm_yaw", *yaw)
    t.set("hands_in_world", 1)


def pushup(t: Track) -> None:
    """Push-ups and planks: a straight line from the balls of the feet to the head, on hands."""
    down = t.cycle(t.draw(1.2, 3), t.draw(0.6, 1.2)) if t.chance(0.75) else t.random_walk(0, 0.3, 2)
    high, low = t.draw(14, 24), t.draw(3, 8)
    slope = high + (low - high) * down  # degrees of the body over the floor
    pike = t.draw(-4, 14)
    t.curves["pitch"] = 90 - slope + 0.3 * pike
    t.curves["bend"] = t.random_walk(-6, 6, 3)
    t.wander("nod", -30, 10, 2)
    t.wander("turn", -15, 15, 2)
    for side in SIDES:
        t.curves[f"{side}_hip_flex"] = pike + 0 * t.t
        t.set(f"{side}_knee", 0, 8)
        t.set(f"{side}_hip_abduct", 0, 9)
        t.curves[f"{side}_ankle"] = 12 + slope - pike
        t.curves[f"{side}_toes"] = 35 + t.draw(-8, 8) + 0 * t.t
    t.set("anchor", 1)
    hands_on_floor(t, t.draw(0.16, 0.36), t.draw(1.17, 1.3))
    for side in SIDES:
        t.set(f"{side}_arm_out", 5, 60)


def all_fours(t: Track) -> None:
    """Crawling, cat and cow, a raised limb: hands and knees on the floor."""
    arch = t.random_walk(-1, 1, 1.6)
    rock = t.random_walk(-12, 12, 1.6)
    t.curves["pitch"] = 78 + rock - 8 * arch
    t.curves["bend"] = 6 + 26 * arch
    t.curves["nod"] = -30 - 25 * arch + t.random_walk(-10, 10, 1.5)
    t.wander("turn", -40, 40, 1.5)
    t.wander("side", -12, 12, 1.6)
    step = t.draw(0, 22) * np.sin(2 * np.pi * t.t / t.draw(0.9, 2) + t.draw(0, 6))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        t.curves[f"{side}_hip_flex"] = t.curves["pitch"] + sign * step
        t.curves[f"{side}_knee"] = 88 + t.draw(-4, 8) - 0.4 * sign * step
        t.set(f"{side}_hip_abduct", 0, 14)
        t.set(f"{side}_ankle", -50, -35)
        t.curves[f"{side}_flex"] = 86 + rock + 10 * arch - 0.9 * sign * step
        t.set(f"{side}_abduct", 4, 16)
        t.set(f"{side}_elbow", 2, 16)
        t.set(f"{side}_arm_twist", -10, 10)
        t.set(f"{side}_pronate", -15, 35)
        t.set(f"{side}_wrist", -75, -55)
    if t.chance(0.3):  # one arm, or the opposite leg too
        raised = t.cycle(t.draw(2, 4), 0.7)
        side = str(t.rng.choice(SIDES))
        other = "right" if side == "left" else "left"
        t.curves[f"{side}_flex"] = t.curves[f"{side}_flex"] + t.draw(40, 75) * raised
        t.curves[f"{side}_wrist"] = t.curves[f"{side}_wrist"] * (1 - raised)
        if t.chance(0.6):
            t.curves[f"{other}_hip_flex"] = t.curves[f"{other}_hip_flex"] * (1 - raised)
            t.curves[f"{other}_knee"] = t.curves[f"{other}_knee"] * (1 - 0.8 * raised)


def sit_on_floor(t: Track) -> None:
    """Cross-legged (raised a little, as on a cushion), legs ahead, legs apart, knees up; hands talk, rest or prop."""
    style = int(t.rng.integers(4))
    lean = t.random_walk(-22, 15, 2.5)
    t.curves["pitch"] = lean
    t.wander("bend", 0, 32, 2)
    t.wander("side", -10, 10, 2)
    t.wander("twist", -22, 22, 2)
    look(t)
    for side in SIDES:
        flex, abduct, twist, knee = (
            (t.draw(112, 122), t.draw(26, 38), t.draw(22, 32), t.draw(98, 118)),
            (t.draw(86, 96), t.draw(0, 12), t.draw(0, 25), None),
            (t.draw(86, 100), t.draw(20, 40), t.draw(5, 25), None),
            (t.draw(112, 132), t.draw(0, 12), t.draw(-5, 10), None),
        )[style]
        knee = _knee_to_floor(flex) if knee is None else knee
        t.curves[f"{side}_hip_flex"] = flex + lean + t.random_walk(-3, 3, 3)
        t.curves[f"{side}_hip_abduct"] = abduct + t.random_walk(-4, 4, 3)
        t.curves[f"{side}_hip_twist"] = twist + t.random_walk(-4, 4, 3)
        t.curves[f"{side}_knee"] = knee + t.random_walk(-3, 6, 3)
        flat = max(-45.0, knee - flex) if style == 3 else -12.0  # the foot level, or in line with the leg
        t.wander(f"{side}_ankle", flat - 5, flat + 10, 2)
    if t.chance(0.6):
        talking_hands(t)
    elif t.chance(0.5):  # propped behind
        t.curves["pitch"] = t.curves["pitch"] - 14
        for side in SIDES:
            t.curves[f"{side}_hip_flex"] = t.curves[f"{side}_hip_flex"] - 14
            t.set(f"{side}_flex", -62, -42)
            t.set(f"{side}_abduct", 12, 30)
            t.set(f"{side}_elbow", 3, 15)
            t.set(f"{side}_wrist", -60, -40)
    else:
        loose_arms(t)


def _knee_to_floor(flex: float) -> float:
    """Bend of the knee (deg) that puts the foot on the floor one sits on, the thigh flex degrees from hanging."""
    rest, side = rest_joints(), JOINT["left_hip"]
    thigh, shank = (float(np.linalg.norm(rest[JOINT[b]] - rest[JOINT[a]])) for a, b in _LEG)
    hip_over_floor = float(rest[side, 1] - rest[0, 1]) + 0.11
    down = hip_over_floor + thigh * np.sin(np.radians(flex - 90)) - ANKLE_HEIGHT
    return max(0.0, flex - float(np.degrees(np.arccos(np.clip(down / shank, 0, 1)))))


def kneel(t: Track) -> None:
    """Upright on both knees, sitting on the heels, and between; hands busy."""
    low = t.random_walk(0, 1, 3, 0.6) if t.chance(0.6) else t.draw(0, 1) + 0 * t.t
    lean = t.random_walk(-5, 30, 2.5)
    t.curves["pitch"] = lean
    torso(t, 1.0, 2)
    look(t)
    for side in SIDES:
        t.curves[f"{side}_hip_flex"] = 62 * low + lean
        t.curves[f"{side}_knee"] = 92 + 56 * low - 0 * lean
        t.set(f"{side}_hip_abduct", 3, 16)
        t.set(f"{side}_ankle", -55, -35)
    loose_arms(t, 1.5) if t.chance(0.4) else talking_hands(t)


GROUND: dict[str, Kind] = {
    "pushup": pushup, "all_fours": all_fours, "sit_on_floor": sit_on_floor, "kneel": kneel,
}  # fmt: skip
