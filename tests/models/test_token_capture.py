from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mocap.assets import asset_path
from mocap.errors import MocapError
from mocap.models.capture import load_capture
from mocap.models.token_capture import UNKNOWN_PITCH, TokenCapture, seen
from mocap.models.token_lookahead import TokenLookahead
from mocap.people.landmarks import FEATURES
from mocap.types import Frame, Person, PoseEstimate, Roi
from tests.engines.toy import pretend_a_gpu
from training.synthesis.views import Views, _looking

from .small_capture import CAMERA, WINDOW, person, write_weights

NOTHING = np.zeros((1, 1, 3), np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("capture"), image_channels=288)


@pytest.fixture(params=["eager", "cuda_graph"])
def capture(
    weights: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> TokenCapture:
    """With a memory on the host, and one that stays where the network runs."""
    pretend_a_gpu(monkeypatch)
    return TokenCapture(request.param, 2, weights=weights, cache_dir=tmp_path)


def frame(t: float) -> Frame:
    return Frame(round(30 * t), t, NOTHING)


def poses(estimates: Sequence[PoseEstimate]) -> np.ndarray:
    return np.stack([estimate.R_parent_joint for estimate in estimates])


def are_rotations(R: np.ndarray) -> bool:
    return bool(np.isfinite(R).all() and np.allclose(R @ R.swapaxes(-1, -2), np.eye(3), atol=1e-4))


@torch.no_grad()
def offline(weights: Path, times: Sequence[float], seeds: Sequence[int], causal: bool) -> np.ndarray:
    """(T, 22, 3, 3) of one clip at once."""
    parts = [seen([person(seed)], CAMERA) for seed in seeds]
    given = {name: torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in parts[0]}
    t, known = torch.tensor([times], dtype=torch.float32), torch.ones(1, len(times), dtype=torch.bool)
    out = load_capture(weights)(given, t, known, torch.full((1,), causal))
    return np.asarray(out["R"].numpy())


def test_frame_by_frame_is_the_causal_clip(capture: TokenCapture, weights: Path) -> None:
    times, seeds = [0.0, 0.03, 0.08, 0.1, 0.15, 0.2, 0.21, 0.3], range(8)
    live = [poses(capture(frame(t), [person(seed)], CAMERA))[0] for t, seed in zip(times, seeds, strict=True)]
    expected = offline(weights, times, seeds, causal=True)
    np.testing.assert_allclose(np.stack(live)[:, :22], expected, atol=1e-5)
    assert np.abs(np.diff(expected, axis=0)).max() > 0.01  # not a network that says the same of everything


def test_the_picture_counts_and_may_be_missing(weights: Path, tmp_path: Path) -> None:
    one, broken = person(0), np.full(FEATURES, np.nan, np.float32)
    features = (one.features, person(1).features, None, broken)
    capture = TokenCapture("eager", 4, weights=weights, cache_dir=tmp_path)
    some = [replace(one, track_id=index, features=part) for index, part in enumerate(features)]
    first, second, without, also_without = poses(capture(frame(0.0), some, CAMERA))
    assert np.abs(first - second).max() > 1e-4
    assert np.abs(first - without).max() > 1e-4
    np.testing.assert_array_equal(without, also_without)


def test_a_network_that_sees_no_picture_runs_too(tmp_path: Path) -> None:
    weights = write_weights(tmp_path, image_channels=0)
    live = TokenCapture("eager", weights=weights, cache_dir=tmp_path)(frame(0.0), [person(0)], CAMERA)
    later = TokenLookahead(0, "eager", weights=weights, cache_dir=tmp_path)(frame(0.0), [person(0)], CAMERA)
    assert later is not None
    assert are_rotations(poses(live))
    np.testing.assert_allclose(poses(later), poses(live), atol=1e-5)


def test_a_person_who_enters_changes_no_other(weights: Path, tmp_path: Path) -> None:
    alone, together = (TokenCapture("eager", 2, weights=weights, cache_dir=tmp_path) for _ in range(2))
    for index in range(6):
        here = [person(index)] if index < 3 else [person(50 + index, 7), person(index)]
        one = alone(frame(index / 30), [person(index)], CAMERA)[0]
        two = together(frame(index / 30), here, CAMERA)[-1]
        np.testing.assert_allclose(two.R_parent_joint, one.R_parent_joint, atol=1e-6)
        assert two.track_id == 0


def test_after_a_gap_the_past_says_nothing(weights: Path, tmp_path: Path) -> None:
    capture = TokenCapture("eager", weights=weights, cache_dir=tmp_path, forget_s=10)
    for index in range(4):
        capture(frame(index / 30), [person(index)], CAMERA)
    after = capture(frame(3.1), [person(9)], CAMERA)
    fresh = TokenCapture("eager", weights=weights, cache_dir=tmp_path)(frame(0.0), [person(9)], CAMERA)
    np.testing.assert_allclose(poses(after), poses(fresh), atol=1e-5)


def test_the_cameras_pitch_counts_once_it_is_calibrated() -> None:
    """As training has it: positive looks down."""
    views = Views(torch.ones(1, 2), torch.ones(1), _looking(torch.tensor([0.3]), torch.zeros(1)), torch.zeros(1, 3))
    placed = replace(CAMERA, R_world_camera=views.R_camera_world[0].T.numpy())
    for camera, pitch in ((CAMERA, UNKNOWN_PITCH), (placed, UNKNOWN_PITCH), (replace(placed, calibrated=True), 0.3)):
        assert seen([person(0)], camera)["camera"][0] == pytest.approx([900, 640, 360, pitch], rel=1e-5)
    assert float(views.pitch) == pytest.approx(0.3)


def test_a_pitch_of_0_is_not_the_same_as_none(weights: Path) -> None:
    network = load_capture(weights)
    given = {name: torch.from_numpy(value).repeat_interleave(3, 0) for name, value in seen([person(0)], CAMERA).items()}
    given["camera"][:, 3] = torch.tensor([UNKNOWN_PITCH, 0.0, -UNKNOWN_PITCH])
    with torch.no_grad():
        tokens = network.regressor(**given)
    torch.testing.assert_close(tokens[0], tokens[2])
    assert (tokens[0] - tokens[1]).abs().max() > 1e-3


def nothing_seen(one: Person) -> Person:
    nan = np.full((33, 3), np.nan, np.float32)
    return replace(one, landmarks_px=nan, landmarks_world=nan, visibility=np.full(33, np.nan, np.float32))


def only_hands(one: Person) -> Person:
    visibility = np.full(33, np.nan, np.float32)
    visibility[15:23] = 0.9
    return replace(one, visibility=visibility)


def upside_down(one: Person) -> Person:
    px = one.landmarks_px * [1, -1, 1] + np.float32([0, 720, 0])
    return replace(one, landmarks_px=px, landmarks_world=-one.landmarks_world, roi=Roi((640, 360), 500, np.pi))


def without_a_square(one: Person) -> Person:
    return replace(one, roi=Roi((np.nan, np.inf), 0.0, np.nan))


def far_away(one: Person) -> Person:
    return replace(one, landmarks_px=1e6 * one.landmarks_px, roi=Roi((640, 360), 0.0, 0.0))


@pytest.mark.parametrize("spoilt", [nothing_seen, only_hands, upside_down, without_a_square, far_away])
@pytest.mark.parametrize("fps", [5, 120])
def test_bad_input_gives_poses_all_the_same(capture: TokenCapture, spoilt, fps: int) -> None:  # type: ignore[no-untyped-def]
    for index in range(8):
        one = person(index)
        found = capture(frame(index / fps), [spoilt(one) if index % 4 else one], CAMERA)
        assert are_rotations(poses(found))
        assert np.isfinite(found[0].betas).all()
        assert ((found[0].confidence >= 0) & (found[0].confidence <= 1)).all()


def test_a_network_that_fails_is_held_and_forgotten(capture: TokenCapture, weights: Path, tmp_path: Path) -> None:
    capture(frame(0.0), [person(0)], CAMERA)
    engine = capture._engine
    spoilt = {name: np.full_like(value, np.nan) for name, value in engine(_inputs(capture)).items()}
    capture._engine = replace(engine, run=lambda inputs: spoilt)
    assert np.isnan(poses(capture(frame(0.03), [person(1)], CAMERA))[:, :22]).all()
    capture._engine = engine
    fresh = TokenCapture("eager", weights=weights, cache_dir=tmp_path)
    after, expected = (one(frame(0.06), [person(2)], CAMERA) for one in (capture, fresh))
    np.testing.assert_allclose(poses(after), poses(expected), atol=1e-6)


def _inputs(capture: TokenCapture) -> dict[str, np.ndarray]:
    return {name: np.zeros((1, *spec.shape), np.float32) for name, spec in capture._engine.spec.inputs.items()}


def test_nobody_is_nobody(capture: TokenCapture) -> None:
    assert capture(frame(0.0), [], CAMERA) == []


def test_later_frames_count_with_a_lookahead(weights: Path, tmp_path: Path) -> None:
    ahead = TokenLookahead(3, "eager", weights=weights, cache_dir=tmp_path)
    times, seeds = [index / 30 for index in range(7)], range(7)
    given = [ahead(frame(t), [person(seed)], CAMERA) for t, seed in zip(times, seeds, strict=True)]
    assert given[:3] == [None] * 3
    found = [*(one for one in given if one is not None), *ahead.flush()]
    assert len(found) == 7
    for now in range(7):
        part = slice(max(0, now - WINDOW + 1), now + 4)
        expected = offline(weights, times[part], seeds[part], causal=False)[now - part.start]
        np.testing.assert_allclose(poses(found[now])[0, :22], expected, atol=1e-5)
    assert ahead.flush() == []


def test_with_a_lookahead_people_come_and_go(weights: Path, tmp_path: Path) -> None:
    ahead = TokenLookahead(2, "eager", 2, weights=weights, cache_dir=tmp_path)
    crowd = [[], [person(1)], [person(2), person(3, 5)], [person(4, 5)], [], [nothing_seen(person(5, 5))]]
    given = [ahead(frame(index / 30), persons, CAMERA) for index, persons in enumerate(crowd)]
    found = [*(one for one in given if one is not None), *ahead.flush()]
    assert [[one.track_id for one in frame] for frame in found] == [[p.track_id for p in persons] for persons in crowd]
    assert all(are_rotations(poses(one)) for one in found if one)


def test_with_a_lookahead_a_network_that_fails_is_held(weights: Path, tmp_path: Path) -> None:
    ahead = TokenLookahead(1, "eager", 2, weights=weights, cache_dir=tmp_path)
    engine, calls = ahead._tokens, []

    def spoilt(*args: object) -> object:
        calls.append(args)
        out = engine.run(*args)  # type: ignore[arg-type]
        if len(calls) == 2:
            out["tokens"][0] = np.nan
        return out

    ahead._tokens = replace(engine, run=spoilt)  # type: ignore[arg-type]
    given = [ahead(frame(index / 30), [person(index), person(index, 5)], CAMERA) for index in range(4)]
    found = [*(one for one in given if one is not None), *ahead.flush()]
    finite = [[bool(np.isfinite(one.R_parent_joint).all()) for one in now] for now in found]
    assert finite == [[True, True], [False, True], [True, True], [True, True]]
    assert np.isnan(found[1][0].betas).all()


def test_weights_that_are_none_are_one_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"no archive")
    for path in (tmp_path / "none.npz", broken, asset_path("tokenizer_live.npz")):
        with pytest.raises(MocapError, match="expected the learned capture's weights"):
            TokenCapture("eager", weights=path, cache_dir=tmp_path)
