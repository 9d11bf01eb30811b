"""The learned capture for files: a frame's pose is given when a few more frames have been seen, and knows of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import engines
from mocap.assets import asset_path
from mocap.clock import Clock
from mocap.models.token_capture import SEEN, TOKENS, WEIGHTS, estimates, part_network, read_sizes, seen, seen_shapes
from mocap.types import Array, Camera, Frame, Person, PoseEstimate

_AGAIN = ("roi", "camera")


@dataclass(frozen=True)
class _Seen:
    """One frame."""

    t: float  # s
    persons: tuple[Person, ...]
    camera: Camera
    given: dict[str, Array]  # the network's inputs that its heads need again
    tokens: dict[int, Array]  # track id -> (26, D)


class TokenLookahead:
    """Poses of each frame, given ``lookahead`` frames later; the tokens of a person's frames before and after count.
    Where the network fails the estimate is NaN, as :class:`mocap.models.token_capture.TokenCapture` has it.

    Args:
        lookahead: frames.
        engine, max_people, weights, cache_dir: see :class:`mocap.models.token_capture.TokenCapture`.
    """

    def __init__(
        self,
        lookahead: int,
        engine: str = "auto",
        max_people: int = 1,
        weights: Path | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        self._tokens, self._window = (
            engines.compile(network, engine, cache_dir=cache_dir)
            for network in networks(lookahead, max_people, weights)
        )
        frames, _, self._width = self._window.spec.inputs["tokens"].shape
        self.lookahead, self._past = lookahead, frames - 1 - lookahead
        self._before: deque[_Seen] = deque(maxlen=self._past)
        self._waiting: deque[_Seen] = deque()
        self._clock = Clock()

    def __call__(self, frame: Frame, persons: Sequence[Person], camera: Camera) -> list[PoseEstimate] | None:
        """Take one frame; the poses of the persons of the one that came ``lookahead`` frames before it, None as long as
        there is none.
        """
        t = self._clock(float(frame.t_capture))
        given = seen(persons, camera) if persons else {}
        taken = {name: given[name] for name in self._tokens.spec.inputs if persons}
        tokens = self._tokens(taken)["tokens"] if persons else np.zeros(0)
        by_id = {person.track_id: one for person, one in zip(persons, tokens, strict=True) if np.isfinite(one).all()}
        again = {name: given[name] for name in _AGAIN if persons}
        self._waiting.append(_Seen(t, tuple(persons), camera, again, by_id))
        return self._next() if len(self._waiting) > self.lookahead else None

    def flush(self) -> list[list[PoseEstimate]]:
        """The poses of the frames that still wait, at the end."""
        return [self._next() for _ in range(len(self._waiting))]

    def _next(self) -> list[PoseEstimate]:
        """The poses of the frame that waits longest."""
        now = self._waiting[0]
        window = [*self._before, *self._waiting]
        first, frames = self._past - len(self._before), self._past + 1 + self.lookahead
        shape = (len(now.persons), frames)
        tokens, t = np.zeros((*shape, TOKENS, self._width), np.float32), np.zeros(shape, np.float32)
        known = np.zeros(shape, np.float32)
        t[:] = window[-1].t - now.t  # where there are no frames yet, or no more
        for place, one in enumerate(window, first):
            t[:, place] = one.t - now.t
            for row, person in enumerate(now.persons):
                if person.track_id in one.tokens:
                    tokens[row, place], known[row, place] = one.tokens[person.track_id], 1
        self._before.append(self._waiting.popleft())
        if not now.persons:
            return []
        out = self._window({"tokens": tokens, "t": t, "known": known, **now.given})
        failed = [person.track_id not in now.tokens for person in now.persons]
        for name, value in out.items():
            out[name] = np.where(np.reshape(failed, (-1, *[1] * (value.ndim - 1))), np.float32(np.nan), value)
        return estimates(now.persons, now.camera, out)


def networks(
    lookahead: int, max_people: int = 1, weights: Path | None = None
) -> tuple[engines.Network, engines.Network]:
    """The regressor by itself, and the rest for a window of frames of which ``lookahead`` come later."""
    sizes = read_sizes(weights or asset_path(WEIGHTS))
    past = sizes["temporal"]["window"] - 1
    frames = past + 1 + lookahead
    shapes = {"tokens": (frames, TOKENS, sizes["regressor"]["width"]), "t": (frames,), "known": (frames,)}
    shapes |= {name: SEEN[name] for name in _AGAIN}
    return (
        part_network("CaptureTokens", (), weights, seen_shapes(sizes), ("tokens",), max_people),
        part_network("CaptureWindow", (past,), weights, shapes, ("R", "betas"), max_people),
    )
