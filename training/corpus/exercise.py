"""Scripted sport and dance on the feet."""

from __future__ import annotations

import numpy as np

from training.corpus.curves import Track
from training.corpus.kinematics import Float, standing_height
from training.corpus.standing import SIDES, Kind, hanging_arms, look, stand, torso


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
    stand(t, (0.1, 0.25), t.draw(0.01, 0.08) * bounce)
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
    stand(t, (0.1, 0.17), 0.03 + t.random_walk(0, 0.08, 0.8))
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


def throw(t: Track) -> None:
    """Overarm throws, racket and bat swings: one arm winds up behind and comes through, the trunk leads."""
    stand(t, (0.12, 0.22), t.draw(0, 0.05))
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


EXERCISE: dict[str, Kind] = {
    "squat": squat, "lunge": lunge, "jumping_jack": jumping_jack, "march": march, "dance_arms": dance_arms, "box": box,
    "kick": kick, "stretch": stretch, "throw": throw,
}  # fmt: skip
