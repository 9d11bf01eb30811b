"""Random smooth curves: the keys, tempo and noise that make two seeds of the same kind of motion differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from training.corpus.kinematics import Float

ARM = {"flex", "abduct", "arm_twist", "elbow", "pronate", "wrist", "deviate"}


class Track:
    """Collects the curves of one clip. Ranges are (low, high) in degrees or metres."""

    def __init__(self, rng: np.random.Generator, seconds: float, fps: float) -> None:
        self.rng, self.fps, self.seconds = rng, fps, seconds
        self.t = np.arange(round(seconds * fps)) / fps
        self.curves: dict[str, Float] = {}

    def draw(self, low: float, high: float) -> float:
        return float(self.rng.uniform(min(low, high), max(low, high)))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def set(self, name: str, low: float, high: float | None = None) -> None:
        """A constant, drawn once."""
        self.curves[name] = np.full_like(self.t, low if high is None else self.draw(low, high))

    def through(self, times: Sequence[float] | Float, values: Sequence[float] | Float) -> Float:
        curve = PchipInterpolator(np.asarray(times, float), np.asarray(values, float))
        smooth: Float = gaussian_filter1d(curve(np.clip(self.t, times[0], times[-1])), 0.06 * self.fps, mode="nearest")
        return smooth

    def wander(self, name: str, low: float, high: float, every: float = 1.2, hold: float = 0.3) -> None:
        """Goes from one random value to the next about every so many seconds, and rests there for a share of it."""
        self.curves[name] = self.random_walk(low, high, every, hold)

    def random_walk(self, low: float, high: float, every: float, hold: float = 0.3) -> Float:
        times, values, now = [0.0], [self.draw(low, high)], 0.0
        while now < self.seconds:
            span = every * self.draw(0.6, 1.5)
            rest = span * hold * self.draw(0.3, 1.2)
            times += [now + max(rest, 0.02), now + span + 0.04]
            values += [values[-1], self.draw(low, high)]
            now += span + 0.04
        return self.through(times, values)

    def cycle(self, period: float, sharp: float = 1.0, phase: float = 0.0, jitter: float = 0.15) -> Float:
        """Repetitions: 0 at rest, 1 at the far end, each of another length and depth; sharp < 1 dwells at the ends."""
        speed = 1 + self.random_walk(-jitter, jitter, 1.5 * period)
        turns = np.cumsum(speed) / self.fps / period + phase
        wave = 0.5 - 0.5 * np.cos(2 * np.pi * turns)
        depth = 1 - 1.5 * jitter * np.abs(self.random_walk(-1, 1, 1.5 * period))
        return np.power(wave, sharp) * depth

    def sway(self, scale: float = 1.0) -> None:
        """Slow noise on whatever is set, and on torso, head and pelvis: nobody holds still."""
        small = {
            "bend": 1.5,
            "side": 1.5,
            "twist": 2.0,
            "nod": 2.5,
            "turn": 4.0,
            "tilt": 2.0,
            "roll": 0.6,
            "pitch": 0.8,
        }
        for name in small:
            self.curves.setdefault(name, np.zeros_like(self.t))
        for name, curve in self.curves.items():
            part = name.split("_", 1)[-1]
            size = small.get(name, 1.5 if part in ARM else 0.004 if part in ("hand_x", "hand_y", "hand_z") else 0.0)
            if size:
                self.curves[name] = curve + scale * size * self._noise()

    def _noise(self) -> Float:
        waves = [np.sin(2 * np.pi * (f * self.t + self.rng.random())) for f in self.rng.uniform(0.12, 0.9, 4)]
        return np.sum(waves, axis=0) / 2
