"""Looks for the open body, made from numbers: skin, hair, shirt, trousers, shoes as colours and thickness by vertex.

Garments are not meshes of their own. A vertex that cloth covers is moved out along its normal, and takes the cloth's
colour and pattern; lengths of sleeves and legs, colours, patterns and looseness are drawn at random.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocap.body.model import Body
from mocap.body.skeleton import JOINT

Float = NDArray[np.floating[Any]]
_SKINS = np.array([
    (0.98, 0.84, 0.76), (0.92, 0.74, 0.62), (0.82, 0.62, 0.48),
    (0.66, 0.45, 0.32), (0.45, 0.29, 0.20), (0.28, 0.18, 0.13),
])  # fmt: skip
_HAIRS = np.array([(0.06, 0.05, 0.05), (0.20, 0.12, 0.07), (0.42, 0.27, 0.14), (0.75, 0.60, 0.35), (0.55, 0.55, 0.55)])
_LIPS_TO_CROWN_M = 0.16
_FOOT = ("ankle", "foot")


@dataclass(frozen=True)
class Look:
    """What a person wears, by vertex."""

    colors: Float  # (V, 3) in [0, 1]
    thickness: Float  # (V,) m, outwards


@dataclass(frozen=True)
class Parts:
    """Where each vertex of a body is.

    Attributes:
        rest: (V, 3) m, the mean body's T-pose.
        arm: (V,) 0 at the shoulder, 1 at the elbow, 2 at the wrist, beyond it on the hand; below 0 off the arms.
        leg: (V,) 0 at the hip, 1 at the knee, 2 at the ankle; below 0 off the legs.
        foot, head, torso: (V,) bool.
        hair: (V,) in [0, 1], how surely hair grows there.
    """

    rest: Float
    arm: Float
    leg: Float
    foot: NDArray[np.bool_]
    head: NDArray[np.bool_]
    torso: NDArray[np.bool_]
    hair: Float


def parts_of(body: Body) -> Parts:
    """The parts of a body's mean shape."""
    rest = body.smpl.v_template.double().numpy()
    joints = body.J_template.double().numpy()
    owner = body.smpl.lbs_weights.numpy().argmax(1)
    name = np.array(list(JOINT))[owner]

    def owned(*words: str) -> NDArray[np.bool_]:
        return np.array([any(word in one for word in words) for one in name])

    side = np.abs(rest[:, 0])
    arms = owned("shoulder", "elbow", "wrist", "hand")
    along = [abs(joints[JOINT[f"left_{part}"], 0]) for part in ("shoulder", "elbow", "wrist", "hand")]
    legs = owned("hip", "knee", *_FOOT)
    down = [joints[JOINT[f"left_{part}"], 1] for part in ("hip", "knee", "ankle")]
    head = owned("head")
    crown = rest[head, 1].max()
    above = (rest[:, 1] - (crown - _LIPS_TO_CROWN_M)) / _LIPS_TO_CROWN_M
    behind = (joints[JOINT["head"], 2] + 0.06 - rest[:, 2]) / 0.05
    hair = np.clip(np.minimum(2 * above, above + behind), 0, 1) * head
    return Parts(
        rest,
        np.where(arms, np.interp(side, along, [0, 1, 2, 3]), -1.0),
        np.where(legs, np.interp(-rest[:, 1], -np.array(down), [0, 1, 2]), -1.0),
        owned(*_FOOT),
        head,
        owned("pelvis", "spine", "collar"),
        hair,
    )


def random_look(parts: Parts, rng: np.random.Generator) -> Look:
    """Skin, hair, a shirt, trousers or shorts, shoes or bare feet."""
    count = len(parts.rest)
    skin = _SKINS[rng.integers(len(_SKINS))] * rng.uniform(0.9, 1.05)
    colors = np.tile(skin, (count, 1))
    thickness = np.zeros(count)
    sleeve, leg = rng.choice([0.25, 0.5, 1.0, 1.9]), rng.choice([0.35, 0.8, 1.4, 1.95])
    hem = rng.uniform(-0.12, 0.08)  # m, of the shirt below the hip joints
    hips = parts.rest[parts.leg >= 0, 1].max() - 0.05
    shirt = (parts.torso | (parts.leg >= 0)) & (parts.rest[:, 1] > hips - 0.05 - hem) | (parts.arm >= 0) & (
        parts.arm < sleeve
    )
    trousers = ((parts.leg >= 0) & (parts.leg < leg) | parts.torso & (parts.rest[:, 1] < hips + 0.08)) & ~shirt
    shoes = parts.foot if rng.random() < 0.75 else np.zeros(count, bool)
    for where, loose in ((trousers, rng.uniform(0.002, 0.02)), (shirt, rng.uniform(0.002, 0.025)), (shoes, 0.008)):
        colors[where] = _cloth(parts.rest[where], rng)
        thickness[where] = loose
    hair = parts.hair > rng.uniform(0.1, 0.7)
    if rng.random() < 0.9:
        colors[hair] = _HAIRS[rng.integers(len(_HAIRS))] * rng.uniform(0.8, 1.2, (int(hair.sum()), 1))
        thickness[hair] = rng.uniform(0.003, 0.03)
    return Look(np.clip(colors, 0, 1), thickness)


def _cloth(points: Float, rng: np.random.Generator) -> Float:
    """Colours (N, 3) of cloth at rest points (N, 3): plain, striped, chequered or blotched."""
    first, second = (np.array(colorsys.hsv_to_rgb(*rng.uniform((0, 0, 0.05), (1, 0.9, 1)))) for _ in range(2))
    pitch = rng.uniform(0.03, 0.2)
    wave = np.floor(points / pitch).astype(int)
    kind = rng.choice(["plain", "plain", "plain", "stripes", "checks", "blotches"])
    if kind == "stripes":
        mix = wave[:, rng.integers(2)] % 2
    elif kind == "checks":
        mix = wave.sum(1) % 2
    elif kind == "blotches":
        mix = np.sin(points @ rng.normal(0, 1 / pitch, (3, 3)) + rng.uniform(0, 6, 3)).sum(1) > 0
    else:
        mix = np.zeros(len(points))
    shade = 1 + 0.04 * rng.standard_normal((len(points), 1))
    return (first + (second - first) * np.asarray(mix, float)[:, None]) * shade
