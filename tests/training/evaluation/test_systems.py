from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mocap.errors import MocapError
from tests.training.evaluation.made import made_clip, true_answer
from training.evaluation.measures import figures, measure
from training.evaluation.systems import KINEMATIC, MODES, TITLES, kinematic, network_systems, person_of, systems
from training.evaluation.track import Answer, Track


def test_kinematic_beats_what_it_was_given() -> None:
    clip = made_clip(frames=40, noise_m=0.04)
    found = measure(clip.truth, {**clip.given, KINEMATIC: kinematic(clip.track)})
    errors = {name: figures(samples, found.dt)["pa_mpjpe"] for name, samples in found.systems.items()}
    assert found.frames == 40
    assert errors[KINEMATIC] < 0.95 * errors["MediaPipe raw"]


def test_kinematic_says_nothing_of_nobody() -> None:
    clip = made_clip(frames=8)
    score = clip.track.score.copy()
    score[3:5] = 0
    answer = kinematic(replace(clip.track, score=score))
    assert np.isnan(answer.R_parent_joint).any((1, 2, 3)).tolist() == [False] * 3 + [True] * 2 + [False] * 3


def test_kinematic_with_true_limbs_has_that_body() -> None:
    clip = made_clip(frames=24, noise_m=0.03)
    body = clip.truth.body
    assert body is not None
    told = kinematic(clip.track, shape=body.betas[0])
    np.testing.assert_array_equal(told.betas, body.betas)
    alone = kinematic(clip.track)
    found = measure(clip.truth, {"told": told, "alone": alone, "true": true_answer(clip)})
    errors = {name: figures(samples, found.dt)["mpjpe"] for name, samples in found.systems.items()}
    assert errors["told"] < errors["alone"]


def test_a_person_of_a_track() -> None:
    clip = made_clip(frames=3)
    person = person_of(clip.track, 2)
    assert person.roi.size_px == pytest.approx(clip.track.roi[2, 2])
    np.testing.assert_allclose(person.landmarks_px, clip.track.landmarks_px[2], rtol=1e-6)
    assert person.landmarks_world.dtype == np.float32


def test_networks_are_asked_in_each_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, str, object, float]] = []
    module = ModuleType("training.capture.predict")

    def predict(network: object, track: Track, mode: str, shape: object = None, logits_noise: float = 0.0) -> Answer:
        asked.append((network, mode, shape, logits_noise))
        return Answer(np.tile(np.eye(3), (len(track), 24, 1, 1)), np.zeros((len(track), 10)))

    module.Mode = str  # type: ignore[attr-defined]
    module.load_network = lambda path: f"network of {path.name}"  # type: ignore[attr-defined]
    module.predict = predict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "training.capture.predict", module)
    path = tmp_path / "best.ckpt"
    path.touch()
    found = systems(path, ("frame", "causal"))
    assert list(found) == [KINEMATIC, TITLES["frame"], TITLES["causal"]]
    track, betas = made_clip(frames=2).track, np.ones(10)
    found[TITLES["causal"]](track)
    network_systems(path, ("full",), logits_noise=2.0)[TITLES["full"]](track, betas)
    assert asked == [("network of best.ckpt", "causal", None, 0.0), ("network of best.ckpt", "full", betas, 2.0)]


def test_without_a_checkpoint_there_is_no_network() -> None:
    assert list(systems(None)) == [KINEMATIC]
    assert set(TITLES) == set(MODES)


def test_errors_of_networks(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match="train_capture"):
        network_systems(tmp_path / "none.ckpt")
    with pytest.raises(MocapError, match="found backwards"):
        network_systems(tmp_path, ("backwards",))
