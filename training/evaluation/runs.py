"""Systems over sets of clips: one run, the same frames for all."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from mocap.errors import MocapError
from training.evaluation.measures import Figures, Measured, figures, join, measure
from training.evaluation.oracles import RUNGS, rungs
from training.evaluation.track import Answer, Points, System
from training.evaluation.truth import Clip, Truth
from training.evaluation.watching import RAW, SMOOTHED
from training.metrics import mean_of

log = logging.getLogger(__name__)
Answers = dict[str, Answer | Points]
_WRISTS = [15, 16]


@dataclass(frozen=True)
class Outcome:
    """What all systems said of one clip."""

    clip: Clip
    answers: Answers


@dataclass(frozen=True)
class SetResult:
    """A set of clips, measured.

    Attributes:
        title: of its table.
        note: what the figures are of.
        parts: by clip; one part for a set of unrelated frames.
        example: the clip in which the wrists move most, for pictures; None: there are no clips.
    """

    title: str
    note: str
    parts: dict[str, Measured]
    example: Outcome | None

    @property
    def whole(self) -> Measured:
        return join(list(self.parts.values()))

    def figures(self) -> dict[str, Figures]:
        """Of all frames together, by system."""
        whole = self.whole
        return {name: figures(samples, whole.dt) for name, samples in whole.systems.items()}

    def by_part(self) -> dict[str, dict[str, Figures]]:
        """By clip and system."""
        return {
            part: {name: figures(samples, measured.dt) for name, samples in measured.systems.items()}
            for part, measured in self.parts.items()
        }

    def ratios(self, measure_name: str, over: str = SMOOTHED) -> Figures:
        """Of each system: the mean over clips of its figure over that of ``over``; NaN where that is not there."""
        nothing = float("nan")
        rows = [part for part in self.by_part().values() if over in part]
        return {
            name: mean_of(
                np.array(
                    [part[name].get(measure_name, nothing) / part[over].get(measure_name, nothing) for part in rows]
                )
            )
            for name in self.whole.systems
        }


def run_set(
    title: str, note: str, clips: Iterable[Clip], systems: Mapping[str, System], total: int | None = None
) -> SetResult:
    """All systems over all clips; unrelated frames are measured as one part.

    Raises:
        MocapError: no frame counts.
    """
    parts: dict[str, Measured] = {}
    loose: list[Outcome] = []
    example: Outcome | None = None
    for clip in tqdm(clips, desc=title, unit="clip", total=total):
        outcome = Outcome(clip, answers_of(clip, systems))
        if len(clip.track) == 1:
            loose.append(outcome)
            continue
        measured = measure(clip.truth, outcome.answers)
        if not measured.frames:
            log.warning("%s: in no frame that counts does every system see the person; left out", clip.name)
            continue
        same = sum(name.split(" #")[0] == clip.name for name in parts)  # recordings may share a folder's name
        parts[f"{clip.name} #{same + 1}" if same else clip.name] = measured
        if example is None or travel(clip) > travel(example.clip):
            example = outcome
    if loose:
        parts["frames"] = measure_frames(loose)
    if not sum(part.frames for part in parts.values()):
        raise MocapError(
            f"{title}: expected frames in which every system sees the person, found none; "
            "look at the pictures: mocap file VIDEO --overlay overlay.mp4"
        )
    return SetResult(title, note, parts, example)


def answers_of(clip: Clip, systems: Mapping[str, System]) -> Answers:
    """What comes with the clip, and what each system says of it."""
    return {**clip.given, **{name: system(clip.track) for name, system in systems.items()}}


def measure_frames(outcomes: list[Outcome]) -> Measured:
    """Unrelated frames together."""
    truth = Truth.join([outcome.clip.truth for outcome in outcomes])
    return measure(truth, joined_answers([outcome.answers for outcome in outcomes]))


def joined_answers(parts: list[Answers]) -> Answers:
    """Answers of clips one after the other, by system."""
    joined: Answers = {}
    for name, first in parts[0].items():
        answers = [part[name] for part in parts]
        if isinstance(first, Answer):
            joined[name] = Answer.join([one for one in answers if isinstance(one, Answer)])
        else:
            joined[name] = Points.join([one for one in answers if isinstance(one, Points)])
    return joined


def travel(clip: Clip) -> float:
    """How much the wrists' depth varies, m, times the share of frames in which it is known."""
    depth = clip.truth.points[:, _WRISTS, 2] - clip.truth.points[:, list(clip.truth.root), 2].mean(1, keepdims=True)
    known = np.isfinite(depth) & clip.truth.scored[:, None]
    return max(float(depth[k, w].std() * k.mean()) if (k := known[:, w]).sum() > 3 else 0.0 for w in range(2))


def oracle_ladder(clips: Iterable[Clip], systems: Mapping[str, System]) -> dict[str, dict[str, Figures]]:
    """Figures by rung and system: what each would be worth if an oracle told it this or that."""
    outcomes: dict[str, list[Outcome]] = {rung: [] for rung in RUNGS}
    for clip in tqdm(clips, desc="oracle ladder", unit="clip"):
        for rung, track, shape in rungs(clip.track, clip.truth):
            answers: Answers = {name: system(track, shape) for name, system in systems.items()}
            outcomes[rung].append(Outcome(replace(clip, track=track), answers))
    found: dict[str, dict[str, Figures]] = {}
    for rung, some in outcomes.items():
        if some:
            is_loose = len(some[0].clip.track) == 1
            measured = measure_frames(some) if is_loose else join([measure(o.clip.truth, o.answers) for o in some])
            found[rung] = {name: figures(samples, measured.dt) for name, samples in measured.systems.items()}
    return found


def noise_ladder(clips: list[Clip], systems: Mapping[float, Mapping[str, System]]) -> dict[float, dict[str, Figures]]:
    """Figures by the noise on the pose tokens' logits, and system (PostoMETRO's supplement, C)."""
    found = {}
    for deviation, some in systems.items():
        result = run_set(f"noise {deviation:g} on the logits", "", clips, some, len(clips))
        found[deviation] = {name: row for name, row in result.figures().items() if name not in (RAW, SMOOTHED)}
    return found
