"""Pictures of which less and less is seen: cropped ones (TokenHMR, Table 2), and a square that hides part after part
(PostoMETRO's supplement, D).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import engines
from mocap.people.landmarks import Observation, observe
from mocap.people.picture import Picture
from mocap.people.roi import is_usable, roi_from_points
from mocap.types import Roi
from training.evaluation.measures import figures, measure
from training.evaluation.runs import Outcome, answers_of, joined_answers
from training.evaluation.shards import clip_of
from training.evaluation.track import Array, System
from training.evaluation.truth import Clip, Truth, project
from training.evaluation.watching import SMOOTHED
from training.synthesis.pairs import PairMaker, only
from training.synthesis.rows import seen_rows, truth_rows
from training.synthesis.scenery import Scenery

Image = NDArray[np.uint8]
LEAST_SCORE = 0.5  # as the tracker: of a lower presence there is nobody
_MARGIN = 1.2  # side of the square around a person over the longer side of the box around the body
_GREY = 128


@dataclass(frozen=True)
class Shot:
    """One rendered frame with its truth."""

    name: str
    picture: Image  # (H, W, 3)
    scale: float  # pixels of the camera for one of the picture
    roi: Roi  # px of the picture, where the network looked at the whole picture
    arrays: dict[str, Array]  # the truth, (1, ...) each, as in a shard
    whole: Clip  # what was seen of the whole picture

    def seen_as(self, seen: Observation | None) -> Clip:
        """The clip of one frame in which the network saw this."""
        return clip_of(self.name, {**self.arrays, **seen_rows([None if seen is None else (seen, self.scale)])})


def shots(maker: PairMaker, count: int, seed: int = 0) -> Iterator[Shot]:
    """Rendered frames in which a person is found and is not somebody else; ``count`` are tried."""
    people, _ = maker.people(count, seed)
    scenery = Scenery([seed])
    for index in tqdm(range(count), desc="rendering", unit="frame"):
        pair = maker.frame(people, index, scenery, np.random.default_rng([seed, index]))
        if pair is None:
            continue
        arrays, name = truth_rows(people, [index]), f"render_{seed}/{index}"
        clip = clip_of(name, {**arrays, **seen_rows([(pair.seen, pair.scale)])})
        if clip.truth.scored.all():
            yield Shot(name, pair.picture, pair.scale, pair.seen.roi, arrays, clip)


def look(landmarker: engines.Engine, picture: Image, roi: Roi) -> Observation | None:
    """Twice, as the tracker does from one frame to the next; None where nobody is found."""
    seen: Observation | None = None
    for _ in range(2):
        if not is_usable(roi, picture.shape[1], picture.shape[0]):
            return None
        seen = observe(landmarker, Picture(picture), [roi])[0]
        if not seen.is_finite or seen.score < LEAST_SCORE:
            return None
        roi = roi_from_points(*seen.axis_px)
    return seen


def crop_evenly(picture: Image, body: Array, share: float) -> Image:
    """``share`` of the width and of the height of the square around a body is taken off, evenly at both ends.

    TokenHMR says no more than "evenly cropping images from the boundaries"; its images are such squares.

    Args:
        picture: (H, W, 3). It keeps its size, and so the camera its middle; what is cut off shows what our own crops
            show beyond a picture's border: the border's pixels again.
        body: (N, 2) px, points of it.
        share: in [0, 1).
    """
    low, high = body.min(0), body.max(0)
    half = 0.5 * _MARGIN * (1 - share) * float((high - low).max())
    middle = 0.5 * (low + high)
    return only(picture, middle - half, middle + half)


def crop_below(picture: Image, body: Array, share: float) -> Image:
    """``share`` of the height of the box around a body (N, 2) px is taken off from below: a desk, a close webcam."""
    low, high = body.min(0), body.max(0)
    margin = 0.5 * (_MARGIN - 1) * float((high - low).max())
    border = high[1] - share * (high[1] - low[1])
    return only(picture, np.array([-np.inf, low[1] - margin]), np.array([np.inf, border]))


CROPS: dict[str, Callable[[Image, Array, float], Image]] = {"evenly": crop_evenly, "from below": crop_below}
SHARES = (0.3, 0.5)


def crop_growth(
    some: list[Shot], landmarker: engines.Engine, systems: Mapping[str, System]
) -> dict[str, dict[str, dict[str, float]]]:
    """By crop and system: PA-MPJPE and MPJPE of the cropped pictures, and by how much they grow, mm, on the frames in
    which somebody is still found; ``found`` is their share.
    """
    whole = [Outcome(shot.whole, answers_of(shot.whole, systems)) for shot in tqdm(some, desc="whole", unit="frame")]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for kind, crop in CROPS.items():
        for share in SHARES:
            pairs = []
            for shot, before in zip(tqdm(some, desc=f"{kind}, {share:.0%}", unit="frame"), whole, strict=True):
                seen = look(landmarker, crop(shot.picture, body_px(shot), share), shot.roi)
                if seen is not None:
                    clip = shot.seen_as(seen)
                    pairs.append((before, Outcome(clip, answers_of(clip, systems))))
            found[f"{kind}, {share:.0%}"] = _growth(pairs, len(some)) if pairs else {}
    return found


def body_px(shot: Shot) -> Array:
    """(N, 2) px of the picture: where the body's points are, as far as they are inside."""
    truth = shot.whole.truth
    px = project(truth.points[0], shot.whole.track) / shot.scale
    return np.clip(px, 0, [shot.picture.shape[1], shot.picture.shape[0]])


def occlusion_map(
    shot: Shot, landmarker: engines.Engine, systems: Mapping[str, System], side: float = 0.2, stride: float = 0.05
) -> tuple[Array, dict[str, Array]]:
    """A grey square slides over a person; where it is, how wrong are the systems?

    Args:
        shot: a rendered frame.
        landmarker: the landmark network.
        systems: by title.
        side: of the grey square, in sides of the network's square.
        stride: from one place to the next, likewise.

    Returns:
        Centres (rows, columns, 2) px of the picture, and of each system the MPJPE (rows, columns) mm, NaN where nobody
        is found. Not the aligned error: alignment hides wrong directions of the whole body.
    """
    half, step = 0.5 * side * shot.roi.size_px, stride * shot.roi.size_px
    body = body_px(shot)
    low, high = body.min(0) - half, body.max(0) + half
    xs, ys = (np.arange(low[axis], high[axis] + step, step) for axis in (0, 1))
    centers = np.stack(np.meshgrid(xs, ys), -1)
    maps: dict[str, Array] = {}
    for row, column in tqdm(list(np.ndindex(*centers.shape[:2])), desc="occlusion map", unit="place"):
        clip = shot.seen_as(look(landmarker, covered(shot.picture, centers[row, column], half), shot.roi))
        for name, answer in answers_of(clip, systems).items():
            grid = maps.setdefault(name, np.full(centers.shape[:2], np.nan))
            if clip.track.seen.all():
                grid[row, column] = figures(measure(shot.whole.truth, {name: answer}).systems[name], None)["mpjpe"]
    return centers, {name: grid for name, grid in maps.items() if name != SMOOTHED}


def covered(picture: Image, center: Array, half: float) -> Image:
    """A copy with a grey square around ``center`` (2,) px."""
    hidden = picture.copy()
    (left, top), (right, bottom) = (np.maximum(np.round(center + sign * half), 0).astype(int) for sign in (-1, 1))
    hidden[top:bottom, left:right] = _GREY
    return hidden


def _growth(pairs: list[tuple[Outcome, Outcome]], tried: int) -> dict[str, dict[str, float]]:
    truth = Truth.join([before.clip.truth for before, _ in pairs])
    before, after = (joined_answers([pair[side].answers for pair in pairs]) for side in (0, 1))
    merged = {**{f"{name} before": answer for name, answer in before.items()}, **after}
    measured = measure(truth, merged)
    rows = {name: figures(samples, None) for name, samples in measured.systems.items()}
    return {
        name: {
            "pa_mpjpe": rows[name]["pa_mpjpe"],
            "pa_growth": rows[name]["pa_mpjpe"] - rows[f"{name} before"]["pa_mpjpe"],
            "mpjpe": rows[name]["mpjpe"],
            "mpjpe_growth": rows[name]["mpjpe"] - rows[f"{name} before"]["mpjpe"],
            "found": measured.frames / tried,
        }
        for name in after
        if name != SMOOTHED
    }
