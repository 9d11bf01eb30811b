"""Scripted motion on the floor: push-ups, lying, sitting and kneeling on the floor, crawling, yoga."""

from __future__ import annotations

import numpy as np

from training.corpus.curves import Track
from training.corpus.kinematics import Float
from training.corpus.standing import SIDES, Kind, hands_to_body, look, stand, talking_hands, torso


def _hands_on_floor(t: Track, x: Float | float, z: Float | float, yaw: tuple[float, float] = (-15, 15)) -> None:
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
    _hands_on_floor(t, t.draw(0.16, 0.36), t.draw(1.17, 1.3))
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


def _loose_arms(t: Track, every: float = 2.0) -> None:
    """Arms that lie beside the body or over the head, and move."""
    for side in SIDES:
        t.wander(f"{side}_abduct", 14, 150 if t.chance(0.4) else 70, every, 0.5)
        t.wander(f"{side}_flex", -8, 25, every, 0.5)
        t.wander(f"{side}_elbow", 5, 100, every, 0.5)
        t.wander(f"{side}_arm_twist", -20, 70, every, 0.5)
        t.wander(f"{side}_pronate", -50, 50, every)


def _loose_legs(t: Track, low: float, high: float, every: float = 2.2) -> None:
    """Legs that are drawn up and stretched, each by itself; on the back the soles stay near the floor."""
    for side in SIDES:
        flex = t.random_walk(low, high, every, 0.5)
        t.curves[f"{side}_hip_flex"] = flex
        t.curves[f"{side}_knee"] = np.clip(1.9 * flex + t.random_walk(-10, 15, every), 3, 135)
        t.wander(f"{side}_hip_abduct", 0, 30, every)
        t.wander(f"{side}_hip_twist", -15, 30, every)
        t.wander(f"{side}_ankle", -35, 5, every)


def lie_on_back(t: Track) -> None:
    t.curves["pitch"] = -90 + t.random_walk(-4, 6, 3)
    t.curves["spin"] = t.draw(-12, 12) + t.random_walk(-6, 6, 3)
    _loose_legs(t, 0, 62)
    look(t)
    t.curves["nod"] = t.random_walk(-5, 22, 2)
    t.wander("twist", -15, 15, 2.5)
    if t.chance(0.5):
        _loose_arms(t)
    else:
        _loose_arms(t)
        hands_to_body(t)


def sit_up(t: Track) -> None:
    """Sit-ups, crunches, getting up from the back to sitting."""
    up = t.cycle(t.draw(1.6, 4), t.draw(0.6, 1.2))
    full = t.chance(0.5)
    rise = t.draw(35, 72) * up if full else t.draw(0, 14) * up
    t.curves["pitch"] = -90 + rise
    t.curves["bend"] = t.draw(18, 55) * up
    t.curves["twist"] = t.draw(-30, 30) * up
    t.curves["nod"] = t.draw(5, 30) * up
    bent = t.draw(0, 60)
    for side in SIDES:
        t.curves[f"{side}_hip_flex"] = bent + rise
        t.curves[f"{side}_knee"] = 4 + 1.75 * bent + 0 * t.t
        t.set(f"{side}_hip_abduct", 0, 12)
        t.set(f"{side}_ankle", -25, 0)
    style = int(t.rng.integers(3))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        if style == 0:
            t.set(f"{side}_hand_x", sign * 0.1)
            t.set(f"{side}_hand_y", 0.29, 0.33)
            t.set(f"{side}_hand_z", -0.03, 0.03)
            t.set(f"{side}_arm_out", 52, 76)
        elif style == 1:
            t.set(f"{side}_hand_x", -sign * 0.05)
            t.set(f"{side}_hand_y", -0.14 if side == "left" else -0.02)
            t.set(f"{side}_hand_z", 0.23 if side == "left" else 0.29)
            t.set(f"{side}_arm_out", 70, 100)
        else:
            t.curves[f"{side}_flex"] = 15 + t.draw(40, 80) * up
            t.set(f"{side}_abduct", 8, 20)
            t.set(f"{side}_elbow", 3, 25)


def legs_in_air(t: Track) -> None:
    """On the back: bicycle, leg raises, scissors."""
    t.curves["pitch"] = -90 + t.random_walk(0, 8, 2)
    t.curves["bend"] = t.random_walk(0, 30, 2)
    t.curves["twist"] = t.random_walk(-22, 22, 1)
    t.curves["nod"] = t.random_walk(0, 25, 2)
    phase = 2 * np.pi * t.t / t.draw(0.8, 2.2)
    middle, size, shift = t.draw(40, 75), t.draw(10, 40), t.draw(0, np.pi)
    bent = t.draw(0, 60)
    for side, sign in (("left", 0.5), ("right", -0.5)):
        wave = np.sin(phase + sign * (np.pi if t.chance(0.7) else 0.3) + shift)
        t.curves[f"{side}_hip_flex"] = middle + size * wave
        t.curves[f"{side}_knee"] = np.clip(5 + bent * (1 + wave), 2, 130)
        t.wander(f"{side}_hip_abduct", 0, 25, 2)
        t.set(f"{side}_ankle", -35, 0)
    _loose_arms(t)
    if t.chance(0.5):
        for side, sign in (("left", 1.0), ("right", -1.0)):
            t.set(f"{side}_hand_x", sign * 0.1)
            t.set(f"{side}_hand_y", 0.3)
            t.set(f"{side}_hand_z", 0.0)
            t.set(f"{side}_arm_out", 52, 76)


def lie_on_side(t: Track) -> None:
    sign = 1.0 if t.chance(0.5) else -1.0
    t.curves["pitch"] = -90 + 0 * t.t
    t.curves["spin"] = sign * (90 + t.draw(-20, 20)) + t.random_walk(-8, 8, 3)
    t.wander("bend", 0, 35, 2.5)
    t.wander("nod", 0, 25, 2.5)
    t.curves["tilt"] = t.random_walk(-12, 12, 2.5)
    for side in SIDES:
        flex = t.random_walk(0, 80, 2.5, 0.5)
        t.curves[f"{side}_hip_flex"] = flex
        t.curves[f"{side}_knee"] = np.clip(1.25 * flex + t.random_walk(-15, 15, 2), 3, 130)
        t.wander(f"{side}_hip_abduct", 0, 8, 2)
        t.set(f"{side}_ankle", -30, 0)
        t.wander(f"{side}_flex", 10, 110, 2.5, 0.5)
        t.wander(f"{side}_abduct", 5, 25, 2.5)
        t.wander(f"{side}_elbow", 15, 120, 2.5)
        t.wander(f"{side}_pronate", -40, 40, 2)


def lie_on_front(t: Track) -> None:
    """Prone, with back raises now and then."""
    t.curves["pitch"] = 90 + t.random_walk(-3, 3, 3)
    rise = t.cycle(t.draw(2, 5), 0.8) * (t.draw(8, 40) if t.chance(0.5) else 0.0)
    t.curves["bend"] = -rise
    t.curves["nod"] = -10 - 0.7 * rise
    t.curves["turn"] = t.random_walk(-60, 60, 3, 0.7)
    for side in SIDES:
        t.wander(f"{side}_hip_abduct", 2, 28, 2.5)
        t.wander(f"{side}_hip_twist", 0, 30, 2.5)
        t.curves[f"{side}_knee"] = np.clip(t.random_walk(-30, 95, 2, 0.4), 2, None)
        t.curves[f"{side}_hip_flex"] = -0.25 * rise
        t.wander(f"{side}_ankle", -50, -25, 2)
        t.wander(f"{side}_abduct", 25, 160, 2.5, 0.5)
        t.wander(f"{side}_flex", -12, 3, 2.5)
        t.wander(f"{side}_elbow", 5, 110, 2.5, 0.5)
        t.curves[f"{side}_arm_twist"] = 0.7 * t.curves[f"{side}_elbow"] * 0
        t.wander(f"{side}_pronate", -20, 40, 2)


def roll(t: Track) -> None:
    """From the back over the side to the front, and back."""
    t.curves["pitch"] = -90 + 0 * t.t
    t.curves["spin"] = t.draw(-40, 40) + t.random_walk(-170, 170, t.draw(2, 4), 0.3)
    t.wander("bend", 0, 30, 1.5)
    t.wander("twist", -25, 25, 1.5)
    _loose_legs(t, 0, 50, 1.5)
    for side in SIDES:
        t.wander(f"{side}_flex", 0, 110, 1.5)
        t.wander(f"{side}_abduct", 8, 60, 1.5)
        t.wander(f"{side}_elbow", 15, 115, 1.5)


def sit_on_floor(t: Track) -> None:
    """Cross-legged, legs ahead, legs apart, knees up; hands talk, rest or prop."""
    style = int(t.rng.integers(4))
    lean = t.random_walk(-22, 15, 2.5)
    t.curves["pitch"] = lean
    t.wander("bend", 0, 32, 2)
    t.wander("side", -10, 10, 2)
    t.wander("twist", -22, 22, 2)
    look(t)
    for side in SIDES:
        flex, abduct, twist, knee = (
            (t.draw(72, 92), t.draw(38, 50), t.draw(-62, -42), t.draw(102, 120)),
            (t.draw(78, 90), t.draw(0, 12), t.draw(0, 25), t.draw(0, 12)),
            (t.draw(76, 88), t.draw(20, 42), t.draw(5, 35), t.draw(0, 30)),
            (t.draw(100, 125), t.draw(0, 16), t.draw(-5, 10), t.draw(75, 115)),
        )[style]
        t.curves[f"{side}_hip_flex"] = flex + lean + t.random_walk(-3, 3, 3)
        t.curves[f"{side}_hip_abduct"] = abduct + t.random_walk(-4, 4, 3)
        t.curves[f"{side}_hip_twist"] = twist + t.random_walk(-4, 4, 3)
        t.curves[f"{side}_knee"] = knee + t.random_walk(-3, 6, 3)
        t.wander(f"{side}_ankle", -35, 0, 2)
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
        _loose_arms(t)


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
    _loose_arms(t, 1.5) if t.chance(0.4) else talking_hands(t)


# Yoga: (curves for both sides, curves per side by role) of the pose at full depth; a clip blends several of them.
def yoga_standing(t: Track) -> None:
    """Tree, warriors, triangle, chair, forward fold: one after the other from standing."""
    poses = [_tree, _warrior, _triangle, _chair, _fold, _dancer]
    t.rng.choice(np.array(poses, dtype=object))(t)
    t.wander("turn", -15, 15, 3)


def _breath(t: Track) -> Float:
    """Into the pose and out of it, slowly, with long holds."""
    return np.clip(1.25 * t.cycle(t.draw(4, 8), 0.5, t.draw(0, 1)), 0, 1)


def _overhead(t: Track, depth: Float, low: float = 130, high: float = 168) -> None:
    top, elbow = t.draw(low, high), t.draw(3, 40)
    for side in SIDES:
        t.curves[f"{side}_abduct"] = 12 + (top + t.draw(-5, 5) - 12) * depth
        t.curves[f"{side}_elbow"] = 10 + elbow * depth
        t.set(f"{side}_flex", 0, 12)
        t.curves[f"{side}_arm_twist"] = t.draw(10, 50) * depth


def _tree(t: Track) -> None:
    depth = _breath(t)
    side = str(t.rng.choice(SIDES))
    high = t.draw(0.5, 1.0)
    t.curves[f"{side}_hip_flex"] = (15 + 45 * high) * depth
    t.curves[f"{side}_hip_abduct"] = 3 + (18 + 24 * high) * depth
    t.curves[f"{side}_hip_twist"] = 5 - 58 * depth * high
    t.curves[f"{side}_knee"] = 4 + (50 + 62 * high) * depth
    t.curves[f"{side}_ankle"] = -20 * depth
    t.curves["roll"] = (1 if side == "left" else -1) * t.draw(0, 5) * depth
    _overhead(t, depth, 70, 168)


def _warrior(t: Track) -> None:
    depth = _breath(t)
    front, back = SIDES if t.chance(0.5) else SIDES[::-1]
    sign = 1.0 if front == "left" else -1.0
    stride = t.draw(0.45, 0.62)
    second = t.chance(0.5)  # warrior II faces sideways, arms level
    stand(t)
    t.set(f"{front}_foot_z", stride)
    t.set(f"{back}_foot_z", -stride)
    t.set(f"{front}_foot_x", 0.06 * sign)
    t.set(f"{back}_foot_x", -0.1 * sign)
    t.set(f"{front}_foot_yaw", 0, 6)
    t.curves["pelvis_y"] = 0.77 - 0.2 * (stride - 0.45) - t.draw(0.1, 0.24) * depth
    t.curves["pelvis_z"] = 0.22 * depth
    t.curves["pelvis_x"] = 0 * t.t
    if second:
        t.curves["yaw"] = -sign * t.draw(45, 65) + 0 * t.t
        t.curves[f"{front}_foot_yaw"] = sign * -t.curves["yaw"]
        t.set(f"{back}_foot_yaw", 10, 30)
        t.curves[f"{front}_knee_out"] = 0 * t.t
        t.curves["turn"] = sign * 60 * depth
        for side in SIDES:
            t.curves[f"{side}_abduct"] = 14 + t.draw(68, 80) * depth
            t.set(f"{side}_elbow", 2, 12)
    else:
        t.curves["yaw"] = t.random_walk(-10, 10, 4)
        t.set(f"{back}_foot_yaw", 25, 40)
        _overhead(t, depth)
        t.curves["bend"] = -t.draw(0, 14) * depth


def _triangle(t: Track) -> None:
    depth = _breath(t)
    stand(t, (0.36, 0.46))
    t.curves["pelvis_y"] = 0.79 + 0 * t.t
    sign = 1.0 if t.chance(0.5) else -1.0
    t.curves["roll"] = -sign * t.draw(25, 45) * depth
    t.curves["side"] = -sign * t.draw(15, 35) * depth
    t.curves["pelvis_x"] = -sign * 0.1 * depth
    t.curves["twist"] = t.draw(-20, 20) * depth
    for side in SIDES:
        t.curves[f"{side}_abduct"] = 14 + t.draw(66, 82) * depth
        t.set(f"{side}_elbow", 2, 14)


def _chair(t: Track) -> None:
    depth = _breath(t)
    drop = t.draw(0.15, 0.4) * depth
    stand(t, (0.05, 0.14), drop)
    t.curves["pelvis_z"] = -0.5 * drop
    t.curves["pitch"] = 5 + 70 * drop
    _overhead(t, depth, 140, 168)


def _fold(t: Track) -> None:
    depth = _breath(t)
    stand(t, (0.06, 0.3))
    t.curves["pitch"] = t.draw(45, 88) * depth
    t.curves["bend"] = t.draw(25, 65) * depth
    t.curves["nod"] = t.draw(0, 30) * depth
    t.curves["pelvis_z"] = -0.16 * depth
    t.curves["pelvis_y"] = t.curves["pelvis_y"] - 0.04 * depth
    for side in SIDES:
        t.curves[f"{side}_flex"] = 5 + t.draw(60, 105) * depth
        t.set(f"{side}_abduct", 5, 14)
        t.set(f"{side}_elbow", 3, 30)


def _dancer(t: Track) -> None:
    """On one leg, the other behind, the trunk forward: dancer, warrior III."""
    depth = _breath(t)
    side, other = SIDES if t.chance(0.5) else SIDES[::-1]
    lean = t.draw(25, 80)
    t.curves["pitch"] = lean * depth
    t.curves[f"{other}_hip_flex"] = lean * depth
    t.curves[f"{other}_knee"] = 5 + t.draw(0, 15) * depth
    t.curves[f"{side}_hip_flex"] = -t.draw(5, 22) * depth
    t.curves[f"{side}_knee"] = 5 + t.draw(0, 75) * depth
    t.curves[f"{side}_ankle"] = -30 * depth
    t.curves["nod"] = -t.draw(10, 35) * depth
    for arm in SIDES:
        t.curves[f"{arm}_flex"] = t.draw(-45, 155) * depth
        t.curves[f"{arm}_abduct"] = 12 + t.draw(0, 30) * depth
        t.set(f"{arm}_elbow", 3, 25)


def yoga_floor(t: Track) -> None:
    """Downward dog, cobra, child's pose, bridge, seated fold, boat."""
    poses = [_dog, _cobra, _child, _bridge, _boat]
    t.rng.choice(np.array(poses, dtype=object))(t)


def _dog(t: Track) -> None:
    depth = _breath(t)
    hip = 25 + t.draw(50, 75) * depth
    t.curves["pitch"] = 80 + t.draw(38, 52) * depth
    t.curves["nod"] = t.draw(-10, 20) * depth
    for side in SIDES:
        t.curves[f"{side}_hip_flex"] = hip
        t.set(f"{side}_knee", 2, 22)
        t.set(f"{side}_hip_abduct", 0, 8)
        t.curves[f"{side}_ankle"] = 12 + 8 * depth
        t.curves[f"{side}_toes"] = 30 - 20 * depth
        t.set(f"{side}_arm_out", 20, 50)
    t.set("anchor", 1)
    _hands_on_floor(t, t.draw(0.16, 0.28), 1.12 - 0.12 * depth)


def _cobra(t: Track) -> None:
    depth = _breath(t)
    t.curves["pitch"] = 90 - t.draw(8, 28) * depth
    t.curves["bend"] = -t.draw(28, 50) * depth
    t.curves["nod"] = -t.draw(5, 30) * depth
    for side in SIDES:
        t.curves[f"{side}_hip_flex"] = t.curves["pitch"] - 90
        t.set(f"{side}_hip_abduct", 0, 10)
        t.set(f"{side}_knee", 0, 6)
        t.set(f"{side}_ankle", -55, -40)
        t.curves[f"{side}_flex"] = 28 + 20 * depth
        t.set(f"{side}_abduct", 12, 24)
        t.curves[f"{side}_elbow"] = 118 - t.draw(70, 105) * depth
        t.curves[f"{side}_wrist"] = -40 - 25 * depth
        t.set(f"{side}_pronate", 0, 20)


def _child(t: Track) -> None:
    depth = _breath(t)
    t.curves["pitch"] = 25 + t.draw(35, 55) * depth
    t.curves["bend"] = t.draw(20, 50) * depth
    t.curves["nod"] = t.draw(0, 20) * depth
    for side in SIDES:
        t.curves[f"{side}_hip_flex"] = 62 + t.curves["pitch"] - 2 * depth
        t.curves[f"{side}_knee"] = 148 + 0 * t.t
        t.set(f"{side}_hip_abduct", 4, 26)
        t.set(f"{side}_ankle", -55, -40)
        t.curves[f"{side}_flex"] = 20 + t.draw(60, 125) * depth
        t.set(f"{side}_abduct", 8, 20)
        t.set(f"{side}_elbow", 5, 35)


def _bridge(t: Track) -> None:
    depth = _breath(t)
    t.curves["pitch"] = -90 - t.draw(15, 30) * depth
    t.curves["bend"] = -t.draw(5, 20) * depth
    t.curves["nod"] = t.draw(20, 40) * depth
    for side in SIDES:
        t.curves[f"{side}_hip_flex"] = 50 - t.draw(50, 58) * depth
        t.curves[f"{side}_knee"] = 105 - 8 * depth
        t.set(f"{side}_hip_abduct", 0, 10)
        t.set(f"{side}_ankle", -20, -5)
        t.curves[f"{side}_flex"] = -18 * depth - 4
        t.set(f"{side}_abduct", 12, 35)
        t.set(f"{side}_elbow", 2, 20)


def _boat(t: Track) -> None:
    depth = _breath(t)
    fold = t.chance(0.5)
    lean = -t.draw(25, 45) * depth if not fold else t.draw(5, 30) * depth
    t.curves["pitch"] = lean
    t.curves["bend"] = t.draw(0, 15) * depth if not fold else t.draw(20, 65) * depth
    for side in SIDES:
        t.curves[f"{side}_hip_flex"] = 84 + lean + (t.draw(25, 45) * depth if not fold else 0)
        t.curves[f"{side}_knee"] = 4 + (t.draw(0, 60) * depth if not fold else 0)
        t.set(f"{side}_hip_abduct", 0, 12)
        t.set(f"{side}_ankle", -30, 0)
        t.curves[f"{side}_flex"] = 25 + t.draw(25, 50) * depth
        t.set(f"{side}_abduct", 10, 20)
        t.set(f"{side}_elbow", 3, 25)


FLOOR: dict[str, Kind] = {
    "pushup": pushup, "all_fours": all_fours, "lie_on_back": lie_on_back, "sit_up": sit_up,
    "legs_in_air": legs_in_air, "lie_on_side": lie_on_side, "lie_on_front": lie_on_front, "roll": roll,
    "sit_on_floor": sit_on_floor, "kneel": kneel, "yoga_standing": yoga_standing, "yoga_floor": yoga_floor,
}  # fmt: skip
