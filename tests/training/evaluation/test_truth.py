from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mocap.errors import MocapError
from mocap.models.token_capture import UNKNOWN_PITCH
from mocap.types import Person, Roi
from tests.training.evaluation.made import FPS, PITCH, made_clip, rows, true_answer
from training.evaluation.oracles import AS_IS, BOTH, LIMBS, PICTURE, rungs, with_true_2d
from training.evaluation.shards import clip_of
from training.evaluation.track import Answer, Points, Track
from training.evaluation.truth import EXCHANGED, Truth, named_points, planted_feet, project, surface_points


def test_the_surface_points_of_the_truth_are_where_they_were_seen() -> None:
    clip = made_clip()
    np.testing.assert_allclose(project(clip.truth.points, clip.track), clip.track.landmarks_px[..., :2], atol=1e-3)
    hips = clip.truth.points[:, 23:25].mean(1, keepdims=True)
    np.testing.assert_allclose(clip.truth.points - hips, clip.track.landmarks_world, atol=1e-6)


def test_rotations_go_to_the_world_and_back() -> None:
    arrays = rows()
    body = clip_of("one", arrays).truth.body
    assert body is not None
    np.testing.assert_allclose(body.in_world(body.R_parent_joint), arrays["R"], atol=1e-12)
    points = surface_points(body.R_parent_joint, body.betas, body.p_camera_joint[:, 0])
    joints = Answer(body.R_parent_joint, body.betas).joints() + body.p_camera_joint[:, :1]
    np.testing.assert_allclose(joints, body.p_camera_joint, atol=1e-6)
    assert np.abs(points - joints.mean(1, keepdims=True)).max() < 1.5


def test_frames_that_show_somebody_else_do_not_count() -> None:
    arrays = rows()
    arrays["landmarks_px"][:20, :, 0] += 0.5 * arrays["roi"][:20, 2:3]
    arrays["roi"][:20, 0] += 0.5 * arrays["roi"][:20, 2]
    arrays["landmarks_px"][20:30, 15] += 400  # one point off is no stranger
    clip = clip_of("one", arrays)
    assert clip.truth.scored.tolist() == [False] * 20 + [True] * 44


def test_frames_without_a_person_do_not_count_and_are_not_observed() -> None:
    arrays = rows()
    for name in ("landmarks_px", "landmarks_world", "visibility", "roi", "score"):
        arrays[name][5:9] = 0
    clip = clip_of("one", arrays)
    gone = np.isin(np.arange(64), range(5, 9))
    assert (clip.truth.scored == ~gone).all()
    assert (np.isnan(clip.truth.observed).all((1, 2)) == gone).all()
    assert all(np.isnan(given.world[gone]).all() for given in clip.given.values())
    assert clip.track.seen.tolist() == (~gone).tolist()


def test_what_is_outside_the_picture_or_not_visible_is_hidden() -> None:
    arrays = rows()
    arrays["visibility"][:, [15, 16]] = 0.2
    assert clip_of("one", arrays).truth.hidden == pytest.approx(2 / 13)
    arrays["p_camera_joint"][..., 0] += 5.0  # aside: all of it
    arrays["visibility"][:] = 1
    assert clip_of("one", arrays).truth.hidden == pytest.approx(1)


def test_pitch_is_told_or_not() -> None:
    assert clip_of("one", rows()).track.pitch == pytest.approx(PITCH)
    assert clip_of("one", rows(), with_pitch=False).track.pitch == UNKNOWN_PITCH


def test_unrelated_frames_are_joined() -> None:
    clips = [made_clip(frames=1, seed=seed) for seed in range(3)]
    truth = Truth.join([clip.truth for clip in clips])
    assert len(truth) == 3
    assert truth.dt is None
    assert truth.body is not None
    np.testing.assert_array_equal(truth.points[2], clips[2].truth.points[0])
    answer = Answer.join([true_answer(clip) for clip in clips])
    np.testing.assert_array_equal(answer.R_parent_joint, truth.body.R_parent_joint)


def test_feet_stand_where_they_are_low_and_still() -> None:
    joints = np.zeros((30, 24, 3))
    joints[:, 10, 1] = 0.03  # left: stands, then slides away
    joints[15:, 10, 0] = 0.02 * np.arange(15)
    joints[:, 11, 1] = np.where(np.arange(30) < 10, 0.3, 0.03)  # right: comes down
    planted = planted_feet(joints, 1 / FPS)
    assert planted[:14, 0].all()
    assert not planted[17:, 0].any()
    assert not planted[:10, 1].any()
    assert planted[12:, 1].all()


def test_a_track_of_a_trackers_persons() -> None:
    random = np.random.default_rng(0)
    px, world = random.normal(size=(2, 33, 3))
    person = Person(3, Roi((10.0, 20.0), 30.0, 0.4), 0.9, px, world, np.full(33, 0.7))
    track = Track.of("one", [0.0, 0.1, 0.2], (640, 480), 500.0, [None, person, None])
    assert track.seen.tolist() == [False, True, False]
    np.testing.assert_allclose(track.roi[1], [10, 20, 30, 0.4])
    np.testing.assert_array_equal(track.landmarks_world[1], world)
    assert not track.landmarks_px[[0, 2]].any()


def test_names_of_points() -> None:
    assert named_points(["nose", "l_shoulder", "right_wrist", "L_Hip", "neck"]) == [0, 11, 16, 23, None]
    with pytest.raises(MocapError, match="l_shoulder"):
        named_points(["a", "b", "nose"])


def test_exchanging_sides_twice_changes_nothing() -> None:
    np.testing.assert_array_equal(EXCHANGED[EXCHANGED], np.arange(33))
    assert EXCHANGED[0] == 0
    assert EXCHANGED[11] == 12


def test_the_oracle_of_the_picture_corrects_the_picture_alone() -> None:
    clip = made_clip(noise_m=0.05)
    arrays = {name: getattr(clip.track, name).copy() for name in ("landmarks_px", "score", "visibility")}
    arrays["score"][7], arrays["landmarks_px"][7], arrays["visibility"][:] = 0, 0, 0.3
    track = replace(clip.track, **arrays)
    exact = with_true_2d(track, clip.truth)
    true = project(clip.truth.points, clip.track)
    body = [0, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
    seen = track.seen
    np.testing.assert_allclose(exact.landmarks_px[seen][:, body, :2], true[seen][:, body], atol=1e-3)
    assert np.abs(track.landmarks_px[seen][:, body, :2] - true[seen][:, body]).max() > 10
    np.testing.assert_array_equal(exact.landmarks_px[..., 2], track.landmarks_px[..., 2])
    np.testing.assert_array_equal(exact.landmarks_world, track.landmarks_world)
    assert (exact.visibility[seen] == 1).all()
    assert not exact.landmarks_px[7].any()


def test_the_rungs_of_the_ladder() -> None:
    clip = made_clip(noise_m=0.05)
    found = {name: (track, shape) for name, track, shape in rungs(clip.track, clip.truth)}
    assert list(found) == [AS_IS, LIMBS, PICTURE, BOTH]
    assert found[AS_IS] == (clip.track, None)
    assert found[LIMBS][0] is clip.track
    assert found[PICTURE][0] is found[BOTH][0] is not clip.track
    assert clip.truth.body is not None
    shape = found[BOTH][1]
    assert shape is not None
    np.testing.assert_array_equal(shape, clip.truth.body.betas[0])
    with pytest.raises(MocapError, match="points only"):
        list(rungs(clip.track, replace(clip.truth, body=None)))


def test_points_without_a_body() -> None:
    assert np.isnan(Points.nothing(3).landmarks()).all()
