"""Scripted motion on the back, the side and the front."""

from __future__ import annotations

import numpy as np

from training.corpus.curves import Track
from training.corpus.standing import SIDES, Kind, hands_to_body, look


def loose_arms(t: Track, every: float = 2.0) -> None:
    """Arms that lie beside the body or over the head, and move."""
    for side in SIDES:
        t.wander(f"{side}_abduct", 14, 150 if t.chance(0.4) else 70, every, 0.5)
        t.wander(f"{side}_flex", -8, 25, every, 0.5)
        t.wander(f"{side}_elbow", 5, 100, every, 0.5)
        t.wander(f"{side}_arm_twist", -20, 70, every, 0.5)
        t.wander(f"{side}_pronate", -50, 50, every)


def _legs_drawn_up(t: Track, low: float, high: float, every: float = 2.2) -> None:
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
    _legs_drawn_up(t, 0, 62)
    look(t)
    t.curves["nod"] = t.random_walk(-5, 22, 2)
    t.wander("twist", -15, 15, 2.5)
    if t.chance(0.5):
        loose_arms(t)
    else:
        loose_arms(t)
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
    loose_arms(t)
    if t.chance(0.5):
        for side, sign in (("left", 1.0), ("right", -1.0)):
            t.set(f"{side}_hand_x", sign * 0.1)
            t.set(f"{side}_hand_y", 0.3)
            t.set(f"{side}_hand_z", 0.0)
            t.set(f"{side}_arm_out", 52, 76)


def lie_on_side(t: Track) -> None:
    """The lower arm and leg along the floor, the upper ones over the body."""
    sign = 1.0 if t.chance(0.5) else -1.0  # on the right side, or on the left
    t.curves["pitch"] = -90 + 0 * t.t
    t.curves["spin"] = sign * (90 + t.draw(-28, -4) + t.random_walk(-6, 6, 3))  # a little on the back
    t.wander("bend", 0, 35, 2.5)
    t.wander("nod", 0, 25, 2.5)
    lower = "left" if sign < 0 else "right"
    t.curves["tilt"] = sign * t.random_walk(0, 14, 2.5)  # the head rests on the floor or on the arm
    for side in SIDES:
        flex = t.random_walk(0, 80, 2.5, 0.5)
        t.curves[f"{side}_hip_flex"] = flex
        t.curves[f"{side}_knee"] = np.clip(1.25 * flex + t.random_walk(-15, 15, 2), 3, 130)
        t.wander(f"{side}_hip_abduct", *((-6, 0) if side == lower else (-8, 10)), 2)
        t.set(f"{side}_ankle", -30, 0)
        if side == lower:
            t.wander(f"{side}_flex", 65, 125, 2.5, 0.5)
            t.wander(f"{side}_abduct", -14, 0, 2.5)
        else:
            t.wander(f"{side}_flex", 0, 80, 2.5, 0.5)
            t.wander(f"{side}_abduct", -5, 25, 2.5)
        t.wander(f"{side}_elbow", 10, 115, 2.5)
        t.wander(f"{side}_pronate", -40, 40, 2)


def lie_on_front(t: Track) -> None:
    """Prone, with back raises now and then; the arms lie beside the body or ahead, bent within the floor's plane."""
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
        t.wander(f"{side}_abduct", 25, 150, 2.5, 0.5)
        t.wander(f"{side}_flex", -14, -4, 2.5)
        t.wander(f"{side}_elbow", 5, 110, 2.5, 0.5)
        t.wander(f"{side}_arm_twist", 82, 98, 2.5)  # the forearm stays level
        t.wander(f"{side}_pronate", -20, 40, 2)


def roll(t: Track) -> None:
    """From the back over the side to the front, and back; limbs close to the body."""
    t.curves["pitch"] = -90 + 0 * t.t
    t.curves["spin"] = t.draw(-40, 40) + t.random_walk(-170, 170, t.draw(2, 4), 0.3)
    t.wander("bend", 0, 30, 1.5)
    t.wander("twist", -25, 25, 1.5)
    prone = np.clip(-np.cos(np.radians(t.curves["spin"])), 0, 1)  # limbs that reach ahead would prop the body up
    for side in SIDES:
        flex = t.random_walk(0, 50, 1.5, 0.5) * (1 - prone)
        t.curves[f"{side}_hip_flex"] = flex
        t.curves[f"{side}_knee"] = np.clip(1.4 * flex + t.random_walk(-10, 15, 1.5), 3, 120)
        t.wander(f"{side}_hip_abduct", -4, 4, 1.5)
        t.wander(f"{side}_ankle", -35, 5, 1.5)
        t.curves[f"{side}_flex"] = t.random_walk(0, 110, 1.5) * (1 - prone) - 6 * prone
        t.wander(f"{side}_abduct", -8, 14, 1.5)
        t.curves[f"{side}_elbow"] = 12 + t.random_walk(0, 100, 1.5) * (1 - prone)


LYING: dict[str, Kind] = {
    "lie_on_back": lie_on_back, "sit_up": sit_up, "legs_in_air": legs_in_air, "lie_on_side": lie_on_side,
    "lie_on_front": lie_on_front, "roll": roll,
}  # fmt: skip
