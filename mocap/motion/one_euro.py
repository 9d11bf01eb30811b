"""One-Euro filters on SO(3) and R^n, in seconds: a low-pass whose cut-off rises with speed.

Slow motion is smoothed hard, because jitter shows there; fast motion is let through, because lag shows there
(Casiez, Roussel, Vogel: 1 € filter, CHI 2012). Cut-offs are in Hz and times in seconds, so the frame rate, even an
uneven one, does not change the feel. ``stretch`` multiplies every time constant: 0 lets everything through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotation_vectors import fast_exp, fast_log
from mocap.body.skeleton import JOINT_NAMES

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Tuning:
    """How one group is filtered at smoothing 0.5."""

    min_cutoff: float  # Hz, at rest
    beta: float  # Hz per unit of speed (rad/s for rotations)


# At smoothing 0.5. What the eye rests on (root, spine, head) is smoothed most; hands and feet carry the noisiest
# rotations, arms and legs the fastest true ones. docs/smoothing.md has the lag and jitter that come of it.
GROUPS: dict[str, Tuning] = {
    "root": Tuning(0.4, 3.0),
    "spine": Tuning(0.4, 3.0),
    "head": Tuning(0.4, 2.5),
    "arms": Tuning(0.5, 2.2),
    "hands": Tuning(0.4, 1.4),
    "legs": Tuning(0.5, 2.0),
    "feet": Tuning(0.4, 2.0),
}
_GROUP_OF_NAME = {
    "pelvis": "root", "spine1": "spine", "spine2": "spine", "spine3": "spine", "neck": "head", "head": "head",
    "collar": "arms", "shoulder": "arms", "elbow": "arms", "wrist": "hands", "hand": "hands",
    "hip": "legs", "knee": "legs", "ankle": "feet", "foot": "feet",
}  # fmt: skip
JOINT_GROUPS = tuple(_GROUP_OF_NAME[name.split("_")[-1]] for name in JOINT_NAMES)  # (24,) names of groups
_SPEED_CUTOFF = 2.0  # Hz, of the low-pass on the speed


def stretch_of(smoothing: float) -> float:
    """The knob, 0...1, to the factor on every time constant: 0 -> 0 (raw), 0.5 -> 1, 1 -> 4."""
    return (2.0 * float(np.clip(smoothing, 0.0, 1.0))) ** 2


def smoothing_factor(cutoff_hz: Float64 | float, dt: Float64 | float, stretch: float = 1.0) -> Float64:
    """Share of the new sample in [0, 1] that a first-order low-pass takes after ``dt`` seconds; 0 without time."""
    return np.asarray(dt / np.maximum(dt + stretch / (2 * np.pi * np.asarray(cutoff_hz)), 1e-12))


@dataclass(frozen=True)
class Filtered:
    """State of a filter for P persons of n channels."""

    raw: Float64  # (P, n) or (P, n, 3, 3), the last sample
    value: Float64  # what the filter made of it
    speed: Float64  # (P, n) or (P, n, 3) per second


class VectorFilter:
    """One-Euro on R^n, each channel with a cut-off of its own."""

    def __init__(self, min_cutoff: Float64, beta: Float64, stretch: float) -> None:
        """``min_cutoff`` (n,) Hz, ``beta`` (n,) Hz per unit of speed."""
        self._min_cutoff, self._beta, self._stretch = np.asarray(min_cutoff), np.asarray(beta), stretch

    def start(self, x: Float64) -> Filtered:
        """The first samples (P, n) pass unchanged."""
        return Filtered(x, x, np.zeros_like(x))

    def step(self, last: Filtered, dt: Float64, x: Float64) -> Filtered:
        """Filter the samples (P, n) that come ``dt`` (P,) seconds after the last ones."""
        dt = dt[:, None]
        speed = (x - last.raw) / np.maximum(dt, 1e-9)
        speed = last.speed + smoothing_factor(_SPEED_CUTOFF, dt) * (speed - last.speed)
        cutoff = self._min_cutoff + self._beta * np.abs(speed)
        return Filtered(x, last.value + smoothing_factor(cutoff, dt, self._stretch) * (x - last.value), speed)


class RotationFilter:
    """One-Euro on SO(3), vectorised over joints and persons, with the exponential map at the filtered rotation.

    Only differences ``R_a^T R_b`` enter, so turning all inputs by one rotation from the left turns the outputs by it.
    """

    def __init__(self, min_cutoff: Float64, beta: Float64, stretch: float) -> None:
        """``min_cutoff`` (joints,) Hz, ``beta`` (joints,) Hz per rad/s."""
        self._min_cutoff, self._beta, self._stretch = np.asarray(min_cutoff), np.asarray(beta), stretch

    def start(self, R: Float64) -> Filtered:
        """The first rotations (P, joints, 3, 3) pass unchanged."""
        return Filtered(R, R, np.zeros(R.shape[:-1]))

    def step(self, last: Filtered, dt: Float64, R: Float64) -> Filtered:
        """Filter rotations (P, joints, 3, 3) that come ``dt`` (P,) seconds after the last ones."""
        dt = dt[:, None]
        turns = fast_log(np.swapaxes(np.stack([last.raw, last.value]), -1, -2) @ R)  # from the sample, from the filter
        speed = turns[0] / np.maximum(dt, 1e-9)[..., None]
        speed = last.speed + smoothing_factor(_SPEED_CUTOFF, dt)[..., None] * (speed - last.speed)
        cutoff = self._min_cutoff + self._beta * np.sqrt((speed * speed).sum(-1))
        share = smoothing_factor(cutoff, dt, self._stretch)
        value = last.value @ fast_exp(share[..., None] * turns[1])
        # One Newton step to the nearest rotation, so that rounding does not add up.
        return Filtered(R, 1.5 * value - 0.5 * (value @ (np.swapaxes(value, -1, -2) @ value)), speed)


def joint_filter(stretch: float) -> RotationFilter:
    """The filter of the 24 joints' rotations, each with the tuning of its group."""
    tunings = [GROUPS[group] for group in JOINT_GROUPS]
    return RotationFilter(np.array([t.min_cutoff for t in tunings]), np.array([t.beta for t in tunings]), stretch)
