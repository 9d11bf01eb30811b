"""Scripted motion: what each kind is to look like, in numbers."""

from __future__ import annotations

import numpy as np
import pytest

from mocap.body.rotations import geodesic_angle
from mocap.body.skeleton import JOINT
from mocap.errors import MocapError
from training.corpus.figure import pose
from training.corpus.kinematics import forward, lowest_point, rest_joints
from training.corpus.limits import check
from training.corpus.scripted import KINDS, scripted
from training.datasets.motion import SWAP_SIDES, Motion, mirror_rotations


def joints_of(motion: Motion) -> np.ndarray:
    return forward(motion.R_parent_joint, motion.p_world_root)[0]


def heights(kind: str, joint: str, clips: int = 4) -> np.ndarray:
    return np.concatenate([joints_of(scripted(kind, (3, n)))[:, JOINT[joint], 1] for n in range(clips)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_is_smooth_stands_on_the_floor_and_is_mostly_possible(kind: str) -> None:
    clips = [scripted(kind, (0, n)) for n in range(4)]
    kept = []
    for clip in clips:
        R = clip.R_parent_joint
        assert 6 * 30 - 1 <= clip.num_frames <= 12 * 30 + 1
        np.testing.assert_allclose(R @ np.swapaxes(R, -1, -2), np.broadcast_to(np.eye(3), R.shape), atol=1e-5)
        assert np.linalg.det(R).min() > 0.99
        low = lowest_point(*forward(R, clip.p_world_root))
        assert low.min() > -1e-3
        assert low.min() < 1e-3
        kept.append(check(R, clip.p_world_root).possible.mean())
        speed = np.degrees(geodesic_angle(R[1:], R[:-1])) * clip.fps
        assert np.percentile(speed.max(1), 90) < 1500  # degrees a second; no joint jumps most of the time
    assert np.mean(kept) > 0.5


def test_the_seed_and_nothing_else_decides() -> None:
    once, again, other = scripted("wave", (1, 2)), scripted("wave", (1, 2)), scripted("wave", (1, 3))
    np.testing.assert_array_equal(once.R_parent_joint, again.R_parent_joint)
    np.testing.assert_array_equal(once.p_world_root, again.p_world_root)
    assert once.num_frames != other.num_frames or not np.allclose(once.R_parent_joint, other.R_parent_joint)


def test_an_unknown_kind_is_an_error_that_names_the_kinds() -> None:
    with pytest.raises(MocapError, match=r"juggle.*there are .*typing"):
        scripted("juggle", (0,))


@pytest.mark.parametrize("kind", ["gesture", "wave", "touch", "stretch"])
def test_people_who_stand_have_nearly_straight_knees(kind: str) -> None:
    R = np.concatenate([scripted(kind, (5, n)).R_parent_joint for n in range(6)]).astype(np.float64)
    knees = np.degrees(geodesic_angle(R[:, [JOINT["left_knee"], JOINT["right_knee"]]], np.eye(3)))
    assert np.median(knees) < 14
    assert np.percentile(knees, 95) < 25


def test_people_sit_stand_and_lie_where_their_kind_says() -> None:
    assert np.all(np.abs(heights("typing", "pelvis") - 0.55) < 0.15)
    assert heights("gesture", "pelvis").min() > 0.8
    for kind in ("lie_on_back", "lie_on_front", "lie_on_side"):
        assert np.median(heights(kind, "pelvis")) < 0.25
    assert heights("squat", "pelvis").min() < 0.6 < 0.85 < heights("squat", "pelvis").max()


def test_hands_are_where_the_work_is() -> None:
    for side in ("left", "right"):
        assert np.abs(heights("pushup", f"{side}_wrist") - 0.05).max() < 0.08
        table = heights("typing", f"{side}_wrist")
        assert table.min() > 0.62
        assert table.max() < 0.95
        assert heights("wave", f"{side}_wrist", 8).max() > 1.5


def test_prone_and_supine_faces_point_down_and_up() -> None:
    for kind, sign in (("lie_on_front", -1), ("pushup", -1), ("lie_on_back", 1), ("legs_in_air", 1)):
        forward_of_chest = forward(*_motion(kind))[1][:, JOINT["spine3"], 1, 2]
        assert (sign * forward_of_chest > 0.3).mean() > 0.9


def test_knees_and_elbows_bend_the_way_they_can() -> None:
    for kind in KINDS:
        R = scripted(kind, (5, 0)).R_parent_joint
        for side, sign in (("left", 1), ("right", -1)):
            shank_back = -R[:, JOINT[f"{side}_knee"], 2, 1]  # the shank hangs along -y
            assert shank_back.max() < 0.2, kind
            forearm_ahead = sign * R[:, JOINT[f"{side}_elbow"], 2, 0]
            assert forearm_ahead.min() > -0.1, kind


def test_planted_feet_stay() -> None:
    motion = scripted("gesture", (0, 1))
    ankles = joints_of(motion)[:, [JOINT["left_ankle"], JOINT["right_ankle"]]]
    assert np.ptp(ankles, axis=0).max() < 0.03


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_hand_reaches_its_target(side: str) -> None:
    rng, sign = np.random.default_rng(0), 1 if side == "left" else -1
    target = np.array([sign * 0.2, 0.0, 0.3]) + rng.uniform(-0.1, 0.1, (20, 3))
    curves = {f"{side}_hand_{axis}": target[:, n] for n, axis in enumerate("xyz")}
    motion = pose({**curves, "bend": rng.uniform(0, 30, 20), "yaw": rng.uniform(-90, 90, 20)}, 20, 30.0, "reach")
    joints, R = forward(motion.R_parent_joint, motion.p_world_root)
    chest = JOINT["spine3"]
    in_chest = np.einsum("tji,tj->ti", R[:, chest], joints[:, JOINT[f"{side}_wrist"]] - joints[:, chest])
    np.testing.assert_allclose(in_chest, target, atol=2e-3)


def test_left_and_right_do_the_same_for_the_same_numbers() -> None:
    rng = np.random.default_rng(1)
    names = {"flex": 60, "abduct": 60, "elbow": 90, "pronate": 40, "wrist": 30, "hip_flex": 60, "knee": 80, "ankle": 20}
    left = {f"left_{name}": rng.uniform(0, most, 10) for name, most in names.items()}
    right = {name.replace("left", "right"): curve for name, curve in left.items()}
    R = pose({**left, **right}, 10, 30.0, "both").R_parent_joint
    np.testing.assert_allclose(R, mirror_rotations(R), atol=2e-3)
    assert SWAP_SIDES[JOINT["left_knee"]] == JOINT["right_knee"]
    assert rest_joints().shape == (24, 3)


def _motion(kind: str) -> tuple[np.ndarray, np.ndarray]:
    motion = scripted(kind, (4, 0))
    return motion.R_parent_joint, motion.p_world_root
