"""All kinds of scripted motion, and the one function that makes a clip of a kind from a seed."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np

from mocap.errors import MocapError
from training.corpus.curves import Track
from training.corpus.exercise import EXERCISE
from training.corpus.figure import pose
from training.corpus.ground import GROUND
from training.corpus.lying import LYING
from training.corpus.seated import SEATED
from training.corpus.standing import STANDING
from training.corpus.yoga import YOGA
from training.datasets.motion import Motion
from training.gait import rotation

KINDS = {**STANDING, **EXERCISE, **SEATED, **LYING, **GROUND, **YOGA}
FPS = 30.0


def scripted(kind: str, seed: tuple[int, ...], fps: float = FPS) -> Motion:
    """One clip of 6 to 12 s: its tempo, size, sides, noise and heading come from the seed, and nothing else does.

    Raises:
        MocapError: there is no such kind.
    """
    if kind not in KINDS:
        raise MocapError(f"no scripted motion is called {kind!r}; there are {', '.join(KINDS)}")
    rng = np.random.default_rng([zlib.crc32(kind.encode()), *seed])
    track = Track(rng, float(rng.uniform(6, 12)), fps)
    KINDS[kind](track)
    track.sway(float(rng.uniform(0.6, 1.6)))
    motion = pose(track.curves, len(track.t), fps, f"{kind}/{'.'.join(map(str, seed))}")
    turn = rotation("y", float(rng.uniform(-180, 180))).astype(np.float32)
    R = motion.R_parent_joint.copy()
    R[:, 0] = turn @ R[:, 0]
    return replace(motion, R_parent_joint=R, p_world_root=motion.p_world_root @ turn.T)
