"""Does a body pass through itself? Capsules along the bones, all pairs of which the data never has deep contact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocap.body.skeleton import JOINT
from training.corpus.kinematics import Float

TOLERANCE = 0.025  # m: flesh gives way, and capsules are thicker than some people


@dataclass(frozen=True)
class Capsule:
    """A ball swept from a to b. Ends are (joint, offset in that joint's rest frame m)."""

    a: tuple[int, tuple[float, float, float]]
    b: tuple[int, tuple[float, float, float]]
    radius: float


def _capsules() -> dict[str, Capsule]:
    """Radii are those of the mean open body, less the softest centimetre."""
    zero = (0.0, 0.0, 0.0)
    parts = {
        "hips": Capsule((JOINT["pelvis"], (0.05, -0.02, 0.0)), (JOINT["pelvis"], (-0.05, -0.02, 0.0)), 0.105),
        "belly": Capsule((JOINT["spine1"], (0.04, 0.05, 0.035)), (JOINT["spine1"], (-0.04, 0.05, 0.035)), 0.095),
        "chest": Capsule((JOINT["spine3"], (0.05, 0.02, 0.04)), (JOINT["spine3"], (-0.05, 0.02, 0.04)), 0.105),
        "neck": Capsule((JOINT["neck"], zero), (JOINT["head"], zero), 0.05),
        "head": Capsule((JOINT["head"], (0.0, 0.03, 0.01)), (JOINT["head"], (0.0, 0.11, 0.02)), 0.085),
    }
    for side, sign in (("left", 1.0), ("right", -1.0)):
        j = {name: JOINT[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")}
        parts[f"{side}_upper_arm"] = Capsule((j["shoulder"], (sign * 0.08, 0, 0)), (j["elbow"], zero), 0.04)
        parts[f"{side}_forearm"] = Capsule((j["elbow"], zero), (j["wrist"], zero), 0.033)
        parts[f"{side}_hand"] = Capsule((j["wrist"], (sign * 0.03, 0, 0)), (j["wrist"], (sign * 0.14, 0, 0)), 0.025)
        parts[f"{side}_thigh"] = Capsule((j["hip"], (0, -0.06, 0)), (j["knee"], zero), 0.06)
        parts[f"{side}_shank"] = Capsule((j["knee"], (0, -0.03, 0)), (j["ankle"], zero), 0.042)
        parts[f"{side}_foot"] = Capsule((j["ankle"], (0, -0.02, 0.03)), (j["foot"], (0, 0, 0.04)), 0.03)
    return parts


CAPSULES = _capsules()
_TRUNK = ("hips", "belly", "chest", "neck", "head")
_LEG = ("thigh", "shank", "foot")


def _pairs() -> list[tuple[str, str]]:
    """Pairs that can meet: arm with trunk, leg or other arm, leg with leg, shank with trunk. Neighbours left out."""
    pairs: list[tuple[str, str]] = []
    for side in ("left", "right"):
        pairs += [(f"{side}_{arm}", trunk) for arm in ("forearm", "hand") for trunk in _TRUNK]
        pairs += [(f"{side}_upper_arm", part) for part in ("head", "hips", "belly", "chest")]
        legs = [f"{other}_{leg}" for other in ("left", "right") for leg in _LEG]
        pairs += [(f"{side}_{arm}", leg) for arm in ("upper_arm", "forearm", "hand") for leg in legs]
        pairs += [(f"{side}_{leg}", trunk) for leg in ("shank", "foot") for trunk in _TRUNK]
        pairs += [(f"{side}_thigh", trunk) for trunk in ("chest", "head")]
        pairs += [(f"{side}_foot", f"{side}_thigh")]
        pairs += [(f"{side}_hand", f"{side}_upper_arm")]
    for arm in ("upper_arm", "forearm", "hand"):
        pairs += [(f"left_{arm}", f"right_{other}") for other in ("upper_arm", "forearm", "hand")]
    pairs += [(f"left_{leg}", f"right_{other}") for leg in _LEG for other in _LEG]
    return pairs


PAIRS = tuple(_pairs())
_NAMES = tuple(CAPSULES)
_FIRST = np.array([_NAMES.index(a) for a, _ in PAIRS])
_SECOND = np.array([_NAMES.index(b) for _, b in PAIRS])


def ends(joints: Float, R_global: Float) -> tuple[Float, Float]:
    """Both ends of all capsules, each (T, C, 3) m, from joints (T, 24, 3) m and global rotations (T, 24, 3, 3)."""
    sides = []
    for side in ("a", "b"):
        at = [getattr(capsule, side) for capsule in CAPSULES.values()]
        rows = np.array([joint for joint, _ in at])
        offsets = np.array([offset for _, offset in at], np.float32)
        sides.append(joints[:, rows] + (R_global[:, rows] @ offsets[:, :, None])[..., 0])
    return sides[0], sides[1]


def depths(joints: Float, R_global: Float) -> Float:
    """How deep each of PAIRS overlaps, (T, P) m; negative where they are apart."""
    radius = np.array([capsule.radius for capsule in CAPSULES.values()], np.float32)
    a, b = ends(joints, R_global)
    out = np.empty((len(joints), len(PAIRS)), np.float32)
    for p, (i, j) in enumerate(zip(_FIRST, _SECOND, strict=True)):
        out[:, p] = radius[i] + radius[j] - segment_distance(a[:, i], b[:, i], a[:, j], b[:, j])
    return out


def segment_distance(p0: Float, p1: Float, q0: Float, q1: Float) -> Float:
    """Shortest distance (T,) between the segments p0-p1 and q0-q1, each end (T, 3)."""
    u, v, w = p1 - p0, q1 - q0, p0 - q0
    a, b, c = _dot(u, u) + 1e-9, _dot(u, v), _dot(v, v) + 1e-9
    d, e = _dot(u, w), _dot(v, w)
    s = np.clip((b * e - c * d) / np.maximum(a * c - b * b, 1e-9), 0, 1)
    t = (b * s + e) / c
    # Where t leaves the other segment, its end is nearest: clamp it, and find the best s for that end.
    clamped = np.clip(t, 0, 1)
    s = np.where(t == clamped, s, np.clip((b * clamped - d) / a, 0, 1))
    gap = w + s[:, None] * u - clamped[:, None] * v
    return np.sqrt(_dot(gap, gap))


def _dot(a: Float, b: Float) -> Float:
    return np.einsum("ti,ti->t", a, b)


def self_penetrates(joints: Float, R_global: Float, tolerance: float = TOLERANCE) -> NDArray[np.bool_]:
    """Frames (T,) in which any pair overlaps by more than the tolerance, m."""
    return (depths(joints, R_global) > tolerance).any(1)
