"""One-Euro filters on SO(3) and R^n, in seconds: a low-pass whose cut-off rises with speed.

Slow motion is smoothed hard, because jitter shows there; fast motion is let through, because lag shows there
(Casiez, Roussel, Vogel: 1 € filter, CHI 2012). Cut-offs are in Hz and times in seconds, so the frame rate, even an
uneven one, does not change the feel. ``stretch`` multiplies every time constant: 0 lets everything through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocap.body.rotations import matrix_to_quat_xyzw, quat_xyzw_to_matrix
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


def smoothing_factor(cutoff_hz: Float64 | float, dt: float, stretch: float = 1.0) -> Float64:
    """Share of the new sample in [0, 1] that a first-order low-pass takes after ``dt`` seconds."""
    return np.asarray(dt / (dt + stretch / (2 * np.pi * np.asarray(cutoff_hz)))) if dt > 0 else np.zeros(())


class VectorFilter:
    """One-Euro on R^n, each channel with a cut-off of its own."""

    def __init__(self, min_cutoff: Float64, beta: Float64, stretch: float) -> None:
        """``min_cutoff`` (n,) Hz, ``beta`` (n,) Hz per unit of speed."""
        self._min_cutoff, self._beta, self._stretch = np.asarray(min_cutoff), np.asarray(beta), stretch
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next sample passes unchanged."""
        self._raw: Float64 | None = None
        self._value = self._speed = np.zeros_like(self._min_cutoff)

    def __call__(self, dt: float, x: Float64) -> Float64:
        """Filter the sample (n,) that comes ``dt`` seconds after the last one."""
        if self._raw is None:
            self._value, self._speed = x.copy(), np.zeros_like(x)
        elif dt > 0:
            self._speed = self._speed + smoothing_factor(_SPEED_CUTOFF, dt) * ((x - self._raw) / dt - self._speed)
            cutoff = self._min_cutoff + self._beta * np.abs(self._speed)
            self._value = self._value + smoothing_factor(cutoff, dt, self._stretch) * (x - self._value)
        self._raw = x.copy()
        return self._value.copy()


class RotationFilter:
    """One-Euro on SO(3), vectorised over joints, with the exponential map at the filtered rotation.

    Only differences ``R_a^T R_b`` enter, so turning all inputs by one rotation from the left turns the outputs by it.
    """

    def __init__(self, min_cutoff: Float64, beta: Float64, stretch: float) -> None:
        """``min_cutoff`` (joints,) Hz, ``beta`` (joints,) Hz per rad/s."""
        self._min_cutoff, self._beta, self._stretch = np.asarray(min_cutoff), np.asarray(beta), stretch
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next sample passes unchanged."""
        self._raw: Float64 | None = None
        self._value = np.tile([0.0, 0.0, 0.0, 1.0], (len(self._min_cutoff), 1))
        self._speed = np.zeros((len(self._min_cutoff), 3))

    def __call__(self, dt: float, R: NDArray[np.floating]) -> Float64:
        """Filter rotations (joints, 3, 3) that come ``dt`` seconds after the last ones; returns proper rotations."""
        raw = matrix_to_quat_xyzw(np.asarray(R, np.float64))
        if self._raw is None:
            self._value, self._speed = raw, np.zeros_like(self._speed)
        elif dt > 0:
            steps = _log(_between(np.stack([self._raw, self._value]), raw))  # from the last sample, from the filter
            self._speed = self._speed + smoothing_factor(_SPEED_CUTOFF, dt) * (steps[0] / dt - self._speed)
            cutoff = self._min_cutoff + self._beta * np.sqrt((self._speed**2).sum(-1))
            share = smoothing_factor(cutoff, dt, self._stretch)
            value = _multiply(self._value, _exp(share[:, None] * steps[1]))
            self._value = value / np.sqrt((value**2).sum(-1, keepdims=True))
        self._raw = raw
        return quat_xyzw_to_matrix(self._value)


def joint_filter(stretch: float) -> RotationFilter:
    """The filter of the 24 joints' rotations, each with the tuning of its group."""
    tunings = [GROUPS[group] for group in JOINT_GROUPS]
    return RotationFilter(np.array([t.min_cutoff for t in tunings]), np.array([t.beta for t in tunings]), stretch)


def _multiply(a: Float64, b: Float64) -> Float64:
    """Product of unit quaternions (..., 4) XYZW."""
    av, aw, bv, bw = a[..., :3], a[..., 3:], b[..., :3], b[..., 3:]
    cross = av[..., _NEXT] * bv[..., _AFTER] - av[..., _AFTER] * bv[..., _NEXT]
    return np.concatenate([aw * bv + bw * av + cross, aw * bw - (av * bv).sum(-1, keepdims=True)], -1)


def _between(a: Float64, b: Float64) -> Float64:
    """Quaternion of ``R_a^T R_b``."""
    return _multiply(a * _CONJUGATE, b)


def _log(quat: Float64) -> Float64:
    """Unit quaternion (..., 4) XYZW -> rotation vector (..., 3) rad, the short way round."""
    sin_half = np.sqrt((quat[..., :3] ** 2).sum(-1, keepdims=True))
    cos_half = quat[..., 3:]
    angle = 2 * np.arctan2(sin_half, np.abs(cos_half)) * np.where(cos_half < 0, -1.0, 1.0)
    return quat[..., :3] * np.where(sin_half > 1e-9, angle / np.maximum(sin_half, 1e-12), 2.0)


def _exp(vector: Float64) -> Float64:
    """Rotation vector (..., 3) rad -> unit quaternion (..., 4) XYZW."""
    half = 0.5 * np.sqrt((vector**2).sum(-1, keepdims=True))
    return np.concatenate([vector * 0.5 * np.sinc(half / np.pi), np.cos(half)], -1)


_CONJUGATE = np.array([-1.0, -1.0, -1.0, 1.0])
_NEXT, _AFTER = np.array([1, 2, 0]), np.array([2, 0, 1])
