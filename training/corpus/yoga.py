"""Scripted yoga: one pose a clip, entered from a plain position, held and left again."""

from __future__ import annotations

import numpy as np

from training.corpus.curves import Track
from training.corpus.ground import hands_on_floor
from training.corpus.kinematics import Float
from training.corpus.standing import SIDES, Kind, stand


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
    t.curves[f"{side}_hip_flex"] = (20 + 50 * high) * depth
    t.curves[f"{side}_hip_abduct"] = 3 + t.draw(8, 20) * depth
    t.curves[f"{side}_hip_twist"] = 5 + 35 * depth
    t.curves[f"{side}_knee"] = 4 + (50 + 66 * high) * depth
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
    hands_on_floor(t, t.draw(0.16, 0.28), 1.12 - 0.12 * depth)


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
    raised = 0.0 * depth if fold else depth
    lean = -t.draw(25, 45) * depth if not fold else t.draw(5, 30) * depth
    t.curves["pitch"] = lean
    t.curves["bend"] = t.draw(0, 15) * depth if not fold else t.draw(20, 65) * depth
    for side in SIDES:
        t.curves[f"{side}_hip_flex"] = 84 + lean + t.draw(25, 45) * raised
        t.curves[f"{side}_knee"] = 4 + t.draw(0, 60) * raised
        t.set(f"{side}_hip_abduct", 0, 12)
        t.set(f"{side}_ankle", -30, 0)
        t.curves[f"{side}_flex"] = 25 + t.draw(25, 50) * depth
        t.set(f"{side}_abduct", 10, 20)
        t.set(f"{side}_elbow", 3, 25)


YOGA: dict[str, Kind] = {"yoga_standing": yoga_standing, "yoga_floor": yoga_floor}
