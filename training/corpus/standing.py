"""Scripted motion on the feet: gestures, reaching, lifting. Every function sets the curves of one clip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mocap.body.skeleton import JOINT
from training.corpus.curves import Track
from training.corpus.figure import ANKLE_HEIGHT
from training.corpus.kinematics import Float, rest_joints

SIDES = ("left", "right")
Kind = Callable[[Track], None]


def stand(t: Track, width: tuple[float, float] = (0.07, 0.2), crouch: Float | float = 0.0) -> None:
    """Both feet planted, the knees nearly straight, the weight shifting a little; crouch lowers the pelvis, m."""
    half = t.draw(*width)
    stagger = t.draw(-0.1, 0.1)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        t.set(f"{side}_foot_x", sign * half)
        t.set(f"{side}_foot_z", sign * stagger + t.draw(-0.02, 0.02))
        t.set(f"{side}_foot_yaw", 0, 25)
    t.wander("pelvis_x", -0.3 * half, 0.3 * half, 2.5)
    t.wander("pelvis_z", -0.03, 0.03, 2.5)
    t.curves["pelvis_y"] = _pelvis_height(4 + 16 * t.draw(0, 1) ** 2, half, stagger) - crouch + 0 * t.t
    t.wander("yaw", -10, 10, 3)
    t.set("pitch", -2, 6)


def _pelvis_height(knees_deg: float, half: float, stagger: float) -> float:
    """Of somebody whose knees bend by so much, the feet half to the side and stagger ahead and behind, m."""
    rest = rest_joints()
    pelvis, hip, knee, ankle = (rest[JOINT[name]] for name in ("pelvis", "left_hip", "left_knee", "left_ankle"))
    length = float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee)) * np.cos(np.radians(knees_deg / 2))
    across = half - float(hip[0] - pelvis[0])
    return ANKLE_HEIGHT + float(np.sqrt(length**2 - across**2 - stagger**2) + pelvis[1] - hip[1])


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


STANDING: dict[str, Kind] = {"gesture": gesture, "wave": wave, "reach": reach, "touch": touch, "lift": lift}
