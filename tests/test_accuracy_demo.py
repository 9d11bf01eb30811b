"""How right the whole chain is on the demo clip, whose truth is exact. ``training/evaluate_*.py`` print the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mocap.config import CaptureConfig
from mocap.pipeline import Pipeline
from mocap.sources import open_file
from mocap.types import BodyPose, Camera, Frame, MocapFrame, Person, PoseEstimate
from training.evaluate_root import ASSETS, Run, figures, load_truth
from training.evaluation.measures import measure
from training.evaluation.recordings import recorded_clips
from training.evaluation.runs import Answers
from training.evaluation.systems import kinematic
from training.evaluation.track import Answer, Points
from training.evaluation.truth import BODY_POINTS, LIMB_JOINTS
from training.metrics import heading_error, mean_of, pa_mpjpe, rotation_error


@dataclass(frozen=True)
class Played:
    """The demo clip after the whole chain, one entry a frame."""

    results: list[MocapFrame]
    estimates: list[PoseEstimate | None]
    pitch_deg: list[float]
    truth: dict[str, np.ndarray]

    @property
    def poses(self) -> list[BodyPose]:
        return [result.poses[0] for result in self.results]


@pytest.fixture(scope="module")
def played() -> Played:
    pipeline = Pipeline(CaptureConfig(fov=65, max_people=1, regressor="kinematic"))
    results: list[MocapFrame] = []
    estimates: list[PoseEstimate | None] = []
    pitch_deg: list[float] = []
    regressor = pipeline.regressor

    def recorded(frame: Frame, persons: Sequence[Person], camera: Camera) -> list[PoseEstimate]:
        found = regressor(frame, persons, camera)
        estimates.append(found[0] if found else None)
        return found

    pipeline.regressor = recorded  # type: ignore[assignment]
    with open_file(str(ASSETS / "demo.mp4")) as source:
        for frame in source:
            results += [result for _, result in pipeline(frame, 0.0)]
            pitch_deg.append(pipeline.motion.pitch_deg)
    return Played(results, estimates, pitch_deg, load_truth("demo"))


def test_the_person_is_seen_in_every_frame(played: Played) -> None:
    counts = [(len(result.persons), len(result.poses)) for result in played.results]
    assert counts == [(1, 1)] * len(played.truth["t"])
    assert {person.track_id for result in played.results for person in result.persons} == {0}


def test_rotations(played: Played) -> None:
    R = np.array([pose.R_parent_joint for pose in played.poses], np.float64)
    R_true = played.truth["R_parent_joint"][0].astype(np.float64)
    local, heading = rotation_error(R, R_true), heading_error(R[:, 0], R_true[:, 0])
    limbs = local[:, LIMB_JOINTS].mean()
    assert limbs <= 20, f"mean of the 12 limb joints {limbs:.1f}°, each {local[:, LIMB_JOINTS].mean(0).round(1)}"
    assert heading.mean() <= 10, f"root heading {heading.mean():.1f}°"


@pytest.mark.parametrize("points", [list(BODY_POINTS), list(range(33))], ids=["13 points", "33 landmarks"])
def test_the_rotations_landmarks_are_as_right_as_the_networks(played: Played, points: list[int]) -> None:
    true = played.truth["landmarks_world_true"][0][:, points]
    raw = np.array([result.persons[0].landmarks_world for result in played.results])
    fitted, smoothed = (Answer.of(poses).landmarks() for poses in (played.estimates, played.poses))
    columns = {"raw": raw, "kinematic": fitted, "smoothed": smoothed}
    errors = {name: 1e3 * float(pa_mpjpe(column[:, points], true).mean()) for name, column in columns.items()}
    assert errors["kinematic"] <= 1.05 * errors["raw"], f"PA-MPJPE in mm: {errors}"
    assert errors["smoothed"] <= 1.05 * errors["raw"], f"PA-MPJPE in mm: {errors}"


def test_root_path_and_standing_soles(played: Played) -> None:
    t = np.array([result.t_capture for result in played.results])
    run = Run(np.arange(len(t)), t, played.poses, np.array(played.pitch_deg))
    found = figures(run, played.truth)
    told = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
    assert found["root path rms"] <= 10, told  # cm
    assert found["standing soles max"] <= 4, told  # cm
    assert abs(found["pitch"] - found["true pitch"]) <= 4, told  # degrees


@pytest.mark.shared
def test_desk_views(shared: Path) -> None:
    """Real people at desks, from four sides, half of them hidden."""
    ratios = {}
    for clip in recorded_clips(shared / "media", cache=None, with_mediapipe=False):
        answers: Answers = {"raw": Points(clip.truth.observed), "kinematic": kinematic(clip.track)}
        means = {name: mean_of(one["pa_mpjpe"]) for name, one in measure(clip.truth, answers).systems.items()}
        ratios[clip.name] = round(means["kinematic"] / means["raw"], 3)
    assert len(ratios) == 8
    assert np.mean(list(ratios.values())) <= 1.05, f"kinematic over raw: {ratios}"
