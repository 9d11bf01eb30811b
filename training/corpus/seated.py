"""Scripted motion on chairs: at a desk, typing, talking, getting up."""

from __future__ import annotations

import numpy as np

from training.corpus.curves import Track
from training.corpus.kinematics import standing_height
from training.corpus.standing import SIDES, Kind, hands_to_body, look, talking_hands, torso


def sit(t: Track, crossed: float = 0.25) -> None:
    """On a chair of random height; the feet on the floor, apart, forward or drawn under; at times the legs crossed."""
    seat = t.draw(0.47, 0.62)
    t.curves["pelvis_y"] = seat + t.random_walk(-0.008, 0.008, 3)
    t.curves["pelvis_x"], t.curves["pelvis_z"] = t.random_walk(-0.02, 0.02, 3), t.random_walk(-0.02, 0.03, 3)
    half = t.draw(0.06, 0.28)
    forth = t.draw(0.2, 0.58)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        z = t.random_walk(-0.06, 0.06, 4, 0.7) + float(np.clip(forth + t.draw(-0.1, 0.1), 0.18, 0.62))
        t.curves[f"{side}_foot_z"] = z
        t.curves[f"{side}_foot_x"] = sign * half + t.random_walk(-0.04, 0.04, 4, 0.7)
        t.set(f"{side}_foot_yaw", -5, 30)
        t.set(f"{side}_knee_out", -8, 22)
        under = np.clip((0.3 - z) / 0.15, 0, 1)  # a foot drawn under the seat stands on its ball
        t.curves[f"{side}_foot_pitch"] = 38 * under
        t.curves[f"{side}_foot_y"] = 0.08 * under
    t.set("pitch", -22, 10)
    t.wander("yaw", -8, 8, 3)
    t.wander("bend", 0, 28, 3, 0.5)
    t.wander("side", -6, 6, 2.5)
    t.wander("twist", -12, 12, 2.5)
    if t.chance(crossed):
        _cross_legs(t)


def _cross_legs(t: Track) -> None:
    """One thigh over the other: that leg by joint angles."""
    side = str(t.rng.choice(SIDES))
    sign = 1.0 if side == "left" else -1.0
    for name in ("foot_x", "foot_y", "foot_z", "foot_yaw", "foot_pitch", "knee_out"):
        t.curves.pop(f"{side}_{name}", None)
    t.set(f"{side}_hip_flex", 100, 112)
    if t.chance(0.5):  # the ankle on the other knee
        t.set(f"{side}_hip_flex", 112, 124)
        t.set(f"{side}_hip_abduct", 4, 14)
        t.set(f"{side}_hip_twist", 44, 54)
        t.set(f"{side}_knee", 82, 96)
    else:
        t.set(f"{side}_hip_abduct", -26, -20)
        t.set(f"{side}_hip_twist", -12, 5)
        t.wander(f"{side}_knee", 70, 95, 2)
    t.wander(f"{side}_ankle", -25, 5, 1.5)
    other = "right" if side == "left" else "left"
    t.set(f"{other}_foot_x", -sign * 0.09)
    t.set(f"{other}_foot_z", 0.36, 0.42)


def desk_hands(t: Track, sides: tuple[str, ...], busy: float) -> None:
    """Hands on a table at 0.66 to 0.78 m, busy the size of their moves in m."""
    table = t.draw(0.66, 0.78)
    middle, apart = t.draw(-0.04, 0.04), t.draw(0.06, 0.22)
    away = t.draw(0.3, 0.44)
    for side in sides:
        sign = 1.0 if side == "left" else -1.0
        t.curves[f"{side}_hand_x"] = middle + sign * apart + t.random_walk(-busy, busy, 0.8)
        t.curves[f"{side}_hand_y"] = table + 0.045 + t.random_walk(0, 0.3 * busy, 0.4)
        t.curves[f"{side}_hand_z"] = away + t.random_walk(-busy, busy, 0.8)
        t.wander(f"{side}_arm_out", 0, 40, 4)
        t.wander(f"{side}_palm_yaw", -40, 5, 2.5)
    t.set("hands_in_world", 1)


def sit_desk(t: Track) -> None:
    """Reading, writing, moving things on a table."""
    sit(t)
    look(t)
    desk_hands(t, SIDES, t.draw(0.06, 0.2))


def typing(t: Track) -> None:
    sit(t)
    desk_hands(t, SIDES, t.draw(0.015, 0.05))
    t.wander("turn", -20, 20, 2, 0.6)
    t.wander("nod", 0, 35, 2, 0.6)


def sit_talk(t: Track) -> None:
    sit(t)
    look(t)
    talking_hands(t, every=t.draw(0.5, 1.2))


def sit_touch(t: Track) -> None:
    """Phone, cup, glasses, scratching: one or both hands at the head or the body."""
    sit(t)
    look(t)
    for side, sign in (("left", 1.0), ("right", -1.0)):  # hands rest on the thighs until they are needed
        t.wander(f"{side}_hand_x", 0.16 * sign, 0.2 * sign, 3)
        t.wander(f"{side}_hand_y", -0.22, -0.18, 3)
        t.wander(f"{side}_hand_z", 0.24, 0.32, 3)
        t.wander(f"{side}_arm_out", 0, 30, 3)
    hands_to_body(t, rest=(0.18, -0.2, 0.28, 12))


def sit_reach(t: Track) -> None:
    """From a chair to the sides, up and down to the floor."""
    sit(t)
    torso(t, 1.6, 1.6)
    t.curves["bend"] = t.random_walk(-5, 55, 2)
    t.curves["pitch"] = t.random_walk(-10, 30, 2)
    look(t)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        angle = np.radians(t.random_walk(-35, 85, 1.5, 0.4))
        up = np.radians(t.random_walk(-60, 75, 1.5, 0.4))
        far = t.random_walk(0.25, 0.47, 1.2)
        t.curves[f"{side}_hand_x"] = sign * (0.176 + far * np.cos(up) * np.sin(angle))
        t.curves[f"{side}_hand_y"] = 0.09 + far * np.sin(up)
        t.curves[f"{side}_hand_z"] = 0.05 + far * np.cos(up) * np.cos(angle)
        t.wander(f"{side}_arm_out", 0, 50, 2)
        t.wander(f"{side}_pronate", -70, 40, 1.5)


def sit_to_stand(t: Track) -> None:
    """Up from the chair and down again."""
    sit(t, crossed=0.0)
    up = np.clip(1.3 * t.cycle(t.draw(3, 6), 0.6, 0.0, 0.1) - 0.15, 0, 1)
    lean = 4 * up * (1 - up)
    seat = t.curves["pelvis_y"]
    t.curves["pelvis_y"] = seat + (standing_height() - 0.01 - seat) * up
    forth = np.mean([t.curves[f"{s}_foot_z"].mean() for s in SIDES if f"{s}_foot_z" in t.curves])
    t.curves["pelvis_z"] = t.curves["pelvis_z"] + (forth - 0.02) * (0.8 * up + 0.2 * up**2)
    t.curves["pitch"] = t.curves["pitch"] * (1 - up) + t.draw(25, 45) * lean
    t.curves["bend"] = t.curves["bend"] * (1 - up) + t.draw(5, 30) * lean
    for side in SIDES:
        t.curves[f"{side}_flex"] = t.draw(25, 45) * (1 - up) + t.draw(0, 60) * lean + 3
        t.curves[f"{side}_elbow"] = t.draw(25, 75) * (1 - up) + 15
        t.set(f"{side}_abduct", 8, 20)
        t.set(f"{side}_pronate", 0, 40)


SEATED: dict[str, Kind] = {
    "sit_desk": sit_desk, "typing": typing, "sit_talk": sit_talk, "sit_touch": sit_touch, "sit_reach": sit_reach,
    "sit_to_stand": sit_to_stand,
}  # fmt: skip
