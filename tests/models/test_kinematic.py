from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mocap.body.joint_limits import JointLimits, joint_limits
from mocap.body.landmarks import load_landmark_anchors
from mocap.body.rotations import axis_angle_to_matrix, geodesic_angle
from mocap.body.skeleton import JOINT, Skeleton, global_rotations, load_skeleton
from mocap.models.kinematic import KinematicRegressor
from mocap.models.kinematic_fit import Fit
from mocap.models.kinematic_shape import MAX_BETA
from mocap.types import Array, Frame, Person, PoseEstimate
from tests.models.synthetic_person import CAMERA, LEFT_RIGHT, POSES, frame, mirrored, person, pose, turn

LIMITS = joint_limits()


def perfect() -> KinematicRegressor:
    """For people made by ``landmarks_from_pose``: without the corrections for BlazePose's habits."""
    return KinematicRegressor(anchors=load_landmark_anchors())


def run(people: list[Person], regressor: KinematicRegressor | None = None, t0: float = 0.0) -> list[PoseEstimate]:
    """One person's frames at 30 per second."""
    regressor = regressor or perfect()
    return [regressor(frame(t0 + i / 30), [one], CAMERA)[0] for i, one in enumerate(people)]


def degrees(R_a: Array, R_b: Array) -> Array:
    return np.degrees(geodesic_angle(R_a, R_b))


def excess(limits: JointLimits, R_parent_joint: Array) -> Array:
    """How far the angles of the joints with limits lie outside them (n, 3), rad; 0 inside."""
    angles = limits.chart(R_parent_joint[limits.joints])
    return np.abs(angles - np.clip(angles, limits.lower[limits.joints], limits.upper[limits.joints]))


def assert_rotations(R: Array) -> None:
    assert np.isfinite(R).all()
    np.testing.assert_allclose(R @ np.swapaxes(R, -1, -2), np.broadcast_to(np.eye(3), R.shape), atol=1e-4)
    np.testing.assert_allclose(np.linalg.det(R), 1, atol=1e-4)


@pytest.mark.parametrize("name", POSES)
@pytest.mark.parametrize("yaw", [0, 40, -90, 180])
def test_clean_landmarks_give_the_pose_back(name: str, yaw: float) -> None:
    R = POSES[name].copy()
    R[0] = turn(y=yaw) @ R[0]
    estimate = run([person(R)] * 15)[-1]
    error = degrees(global_rotations(estimate.R_parent_joint), global_rotations(R))
    assert error.mean() < 3
    # A little of a forearm's turn is put into the wrist, and of the trunk's bend into the pelvis: priors share it.
    assert error[[JOINT["left_elbow"], JOINT["right_elbow"]]].max() < 9
    others = [j for j in range(24) if j not in (JOINT["left_elbow"], JOINT["right_elbow"])]
    assert error[others].max() < 6
    assert degrees(estimate.R_parent_joint[0], R[0]) < 6


def test_turning_the_world_turns_the_root_only() -> None:
    R = POSES["elbows_bent"]
    straight = run([person(R)] * 10)[-1].R_parent_joint
    for yaw in (30, 120, -75):
        turned = R.copy()
        turned[0] = turn(y=yaw) @ R[0]
        estimate = run([person(turned)] * 10)[-1].R_parent_joint
        assert degrees(estimate[0], turn(y=yaw) @ straight[0]) < 2
        assert degrees(estimate[1:], straight[1:]).max() < 4


def test_a_mirrored_person_has_the_mirrored_pose() -> None:
    R = pose(25, left_shoulder=(0, -60, -20), left_elbow=(20, -70, 0), right_hip=(-50, 0, 0), right_knee=(60, 0, 0))
    original = person(R, noise=0.02)
    px, world = original.landmarks_px[LEFT_RIGHT], original.landmarks_world[LEFT_RIGHT]
    mirror = replace(
        original,
        landmarks_px=(px * [-1, 1, 1] + [CAMERA.width, 0, 0]).astype(np.float32),
        landmarks_world=(world * [-1, 1, 1]).astype(np.float32),
        roi=replace(original.roi, center_px=(CAMERA.width - original.roi.center_px[0], original.roi.center_px[1])),
    )
    a, b = run([original] * 3)[-1], run([mirror] * 3)[-1]
    assert degrees(mirrored(a.R_parent_joint), b.R_parent_joint).max() < 0.5
    np.testing.assert_allclose(a.betas, b.betas, atol=1e-3)


def garbage() -> list[tuple[str, Person]]:
    good = person(POSES["standing"])
    rng = np.random.default_rng(5)
    px, world, seen = good.landmarks_px, good.landmarks_world, good.visibility
    cases = {
        "nan": (px * np.nan, world * np.nan, seen * np.nan),
        "infinite": (px + np.inf, world - np.inf, seen + np.inf),
        "zeros": (px * 0, world * 0, seen * 0),
        "all in one point": (px * 0 + 300, world * 0 + 0.3, seen),
        "all on one line": (px, np.linspace(0, 1, 33)[:, None] * np.ones(3), seen),
        "huge": (px * 1e30, world * 1e30, seen * 1e30),
        "tiny": (px * 1e-30, world * 1e-30, seen),
        "random": (rng.uniform(-2000, 2000, (33, 3)), rng.normal(0, 1, (33, 3)), rng.uniform(-1, 2, 33)),
        "upside down": (px, -world, seen),
        "half nan": (np.where(rng.random((33, 1)) < 0.5, np.nan, px), world, seen),
        "world nan here and there": (px, np.where(rng.random((33, 3)) < 0.2, np.nan, world), seen),
        "no px": (px * np.nan, world, seen),
        "px in one point": (px * 0, world, seen),
    }
    return [
        (name, replace(good, landmarks_px=a.astype(np.float32), landmarks_world=b.astype(np.float32), visibility=c))
        for name, (a, b, c) in cases.items()
    ]


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize(("name", "bad"), garbage(), ids=lambda value: value if isinstance(value, str) else "")
def test_any_input_gives_proper_rotations(name: str, bad: Person) -> None:
    good = person(POSES["elbows_bent"])
    for sequence in ([bad] * 3, [good, good, bad, bad, good]):
        for estimate in run(sequence):
            assert_rotations(estimate.R_parent_joint)
            assert np.isfinite(estimate.betas).all()
            assert np.abs(estimate.betas).max() <= MAX_BETA
            assert ((estimate.confidence >= 0) & (estimate.confidence <= 1)).all()
            assert excess(LIMITS, estimate.R_parent_joint).max() < 1e-3


def test_random_garbage_gives_proper_rotations() -> None:
    rng = np.random.default_rng(11)
    regressor = perfect()
    good = person(POSES["standing"])
    for i in range(60):
        scale = 10.0 ** rng.uniform(-3, 3)
        bad = replace(
            good,
            landmarks_px=(scale * 500 * rng.standard_normal((33, 3))).astype(np.float32),
            landmarks_world=(scale * rng.standard_normal((33, 3))).astype(np.float32),
            visibility=rng.random(33).astype(np.float32),
            roi=replace(good.roi, center_px=(float(scale * rng.normal()), float("nan") if i % 7 == 0 else 0.0)),
        )
        t = rng.choice([i / 30, i / 30, 0.0, i * 10.0])  # time stands still, runs back and jumps as well
        assert_rotations(regressor(frame(float(t)), [bad], CAMERA)[0].R_parent_joint)


def test_what_is_not_seen_relaxes_to_neutral_slowly() -> None:
    regressor = perfect()
    R = pose(left_shoulder=(0, -60, 40), left_elbow=(0, -100, 0), left_hip=(-70, 0, 0), left_knee=(80, 0, 0))
    run([person(R)] * 10, regressor)
    seen = np.ones(33)
    seen[[13, 15, 17, 19, 21, 25, 27, 29, 31]] = 0.05  # left arm and leg
    hidden = run([person(R, visibility=seen)] * 150, regressor, t0=1 / 3)
    rotations = np.stack([e.R_parent_joint for e in hidden])
    speed = geodesic_angle(rotations[:-1], rotations[1:]) * 30
    limbs = [JOINT[n] for n in ("left_elbow", "left_knee", "left_wrist", "left_ankle", "left_hip", "left_shoulder")]
    assert np.degrees(speed[:, limbs]).max() < 900
    assert np.degrees(speed[:, [JOINT["left_elbow"], JOINT["left_knee"]]]).max() < 300
    assert degrees(rotations[-1][limbs], LIMITS.R_neutral[limbs]).max() < 12
    assert hidden[-1].confidence[JOINT["left_elbow"]] < 0.1 < 0.9 < hidden[-1].confidence[JOINT["right_elbow"]]


def test_upper_body_only_leaves_the_legs_standing() -> None:
    seen = np.where(np.arange(33) < 23, 1.0, 0.02)
    estimate = run([person(POSES["squat"], visibility=seen, noise=0.03, seed=i) for i in range(30)])[-1]
    legs = [JOINT[n] for n in ("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle")]
    assert degrees(estimate.R_parent_joint[legs], LIMITS.R_neutral[legs]).max() < 10
    assert estimate.confidence[legs].max() < 0.1


def test_joint_limits_hold_for_impossible_poses() -> None:
    impossible = pose(left_knee=(-60, 0, 0), right_elbow=(0, -70, 0), head=(0, 120, 0), left_elbow=(0, -170, 0))
    for estimate in run([person(impossible)] * 5):
        assert excess(LIMITS, estimate.R_parent_joint).max() < 1e-3


def test_a_straight_arm_does_not_flip() -> None:
    arm = [JOINT["left_shoulder"], JOINT["left_elbow"], JOINT["right_shoulder"], JOINT["right_elbow"]]
    R = pose(left_shoulder=(0, 0, 0), right_shoulder=(0, 0, 0), left_elbow=(0, 0, 0), right_elbow=(0, 0, 0))
    rotations = np.stack([e.R_parent_joint[arm] for e in run([person(R, noise=0.015, seed=i) for i in range(60)])])
    assert degrees(rotations[5:-1], rotations[6:]).max() < 25
    assert degrees(rotations[5:], rotations[5]).max() < 40


def test_people_do_not_disturb_each_other() -> None:
    first = [person(POSES["squat"], 0, noise=0.02, seed=i) for i in range(8)]
    second = [person(POSES["arms_forward"], 7, noise=0.02, seed=50 + i) for i in range(8)]
    both = perfect()
    together = [both(frame(i / 30), [b, a], CAMERA) for i, (a, b) in enumerate(zip(first, second, strict=True))]
    for alone, index in ((run(first), 1), (run(second), 0)):
        for i, estimate in enumerate(alone):
            assert together[i][index].track_id == estimate.track_id
            np.testing.assert_array_equal(together[i][index].R_parent_joint, estimate.R_parent_joint)
            np.testing.assert_array_equal(together[i][index].betas, estimate.betas)


def test_newcomers_and_leavers_change_nothing_for_those_who_stay() -> None:
    """Who starts, is in doubt, jumps or is gone takes other steps in the same batch.

    To 0.1°: sums over a batch of another size round otherwise, and a fit may then stop a step sooner.
    """
    names = ("squat", "arms_forward", "standing")
    people = [
        [replace(person(POSES[name], noise=0.02, seed=100 * k + i), track_id=k) for i in range(20)]
        for k, name in enumerate(names)
    ]
    people[1][12:] = [replace(one, track_id=1) for one in people[2][12:]]  # a cut
    present = [range(20), range(4, 20), [*range(7, 10), *range(14, 20)]]
    together = perfect()
    found: dict[tuple[int, int], PoseEstimate] = {}
    for i in range(20):
        here = [people[k][i] for k in (2, 0, 1) if i in present[k]]
        found.update(((e.track_id, i), e) for e in together(frame(i / 30), here, CAMERA))
    for k, frames in enumerate(present):
        alone = perfect()
        for i in frames:
            (estimate,) = alone(frame(i / 30), [people[k][i]], CAMERA)
            np.testing.assert_allclose(found[k, i].R_parent_joint, estimate.R_parent_joint, atol=2e-3)
            np.testing.assert_allclose(found[k, i].betas, estimate.betas, atol=2e-2)


def test_an_id_that_was_away_starts_afresh() -> None:
    regressor = perfect()
    run([person(POSES["squat"], betas=np.full(10, 0.8, np.float32))] * 20, regressor)
    back = run([person(POSES["standing"])], regressor, t0=60.0)[0]
    fresh = run([person(POSES["standing"])])[0]
    np.testing.assert_allclose(back.R_parent_joint, fresh.R_parent_joint, atol=1e-6)
    np.testing.assert_allclose(back.betas, fresh.betas, atol=1e-6)


def test_a_short_absence_keeps_the_shape_as_long_as_forget_s_says() -> None:
    betas = {}
    for forget_s in (2.0, 5.5):
        regressor = KinematicRegressor(anchors=load_landmark_anchors(), forget_s=forget_s)
        before = run([person(POSES["squat"], betas=np.full(10, 0.8, np.float32))] * 30, regressor)[-1].betas
        betas[forget_s] = np.abs(run([person(POSES["squat"])], regressor, t0=4.0)[0].betas - before).max()
    assert betas[5.5] < 0.3 < betas[2.0]


def swinging(frames: int) -> list[Person]:
    """The left arm at 120 frames a second."""
    phase = 2 * np.pi * np.arange(frames) / 120
    arms = [pose(left_shoulder=(0, 0, -70 + 30 * np.sin(a)), left_elbow=(0, -60 + 30 * np.cos(a), 0)) for a in phase]
    return [person(R, noise=0.01, seed=i) for i, R in enumerate(arms)]


def test_a_coarse_clock_moves_the_pose_as_a_fine_one_does() -> None:
    """At 120 frames a second, a clock that ticks every 15.6 ms gives every other frame the time of the one before."""
    people, turns = swinging(90), []
    for tick in (1e-6, 0.0156):
        regressor = perfect()
        times = np.floor(np.arange(90) / 120 / tick) * tick
        picture = frame(0.0).rgb
        found = [
            regressor(Frame(i, t, picture), [one], CAMERA)[0].R_parent_joint
            for i, (t, one) in enumerate(zip(times, people, strict=True))
        ]
        turns.append(degrees(np.stack(found[20:-1]), np.stack(found[21:])))
    fine, coarse = turns
    assert coarse.mean() < 1.1 * fine.mean()
    assert coarse.max() < 2 * fine.max()


def test_a_jump_back_in_time_keeps_pose_and_shape() -> None:
    regressor = perfect()
    R = POSES["elbows_bent"]
    before = run([person(R, betas=np.full(10, 0.8, np.float32))] * 20, regressor, t0=50.0)[-1]
    after = run([person(R, betas=np.full(10, 0.8, np.float32))], regressor, t0=0.0)[0]
    assert degrees(before.R_parent_joint, after.R_parent_joint).max() < 0.5
    np.testing.assert_allclose(before.betas, after.betas, atol=0.05)


def test_poses_that_are_not_finite_are_held_told_once_and_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    regressor = perfect()
    fit = regressor._fitter.fit
    before = run([person(POSES["squat"])] * 10, regressor)[-1]

    def spoiled(*arguments: Any) -> Fit:
        return Fit(*(values * np.nan for values in vars(fit(*arguments)).values()))

    monkeypatch.setattr(regressor._fitter, "fit", spoiled)
    with caplog.at_level(logging.WARNING):
        for held in run([person(POSES["standing"])] * 30, regressor, t0=1 / 3):
            np.testing.assert_array_equal(held.R_parent_joint, before.R_parent_joint)
    assert len(caplog.records) == 1
    monkeypatch.undo()
    after = run([person(POSES["standing"])] * 15, regressor, t0=4 / 3)[-1]
    assert degrees(global_rotations(after.R_parent_joint), global_rotations(POSES["standing"])).mean() < 3


def lengths(skeleton: Skeleton, betas: Array) -> Array:
    bones = np.linalg.norm(skeleton.offsets(betas), axis=-1)
    return bones[[JOINT[n] for n in ("left_knee", "left_ankle", "left_elbow", "left_wrist")]]


def test_shape_has_the_limb_lengths_of_the_person() -> None:
    skeleton = load_skeleton()
    betas = np.zeros(10, np.float32)
    betas[:4] = (1.2, -0.8, 0.6, 0.5)
    people = [person(POSES["step"], betas=betas, noise=0.02, seed=i) for i in range(90)]
    estimated = lengths(skeleton, run(people)[-1].betas)
    np.testing.assert_allclose(estimated, lengths(skeleton, betas), rtol=0.05)


def test_a_pose_is_found_again_after_a_cut() -> None:
    """A picture that jumps to another pose, back turned: the fit must not stay in the old pose's valley."""
    regressor = perfect()
    run([person(POSES["arms_forward"])] * 10, regressor)
    target = POSES["elbows_bent"].copy()
    target[0] = turn(y=170)
    estimate = run([person(target)] * 15, regressor, t0=1 / 3)[-1]
    assert degrees(global_rotations(estimate.R_parent_joint), global_rotations(target)).mean() < 5


def test_limits_chart_round_trip() -> None:
    rng = np.random.default_rng(2)
    angles = rng.uniform(LIMITS.lower[LIMITS.joints], LIMITS.upper[LIMITS.joints])
    R = LIMITS.from_chart(angles)
    np.testing.assert_allclose(LIMITS.chart(R), angles, atol=1e-9)
    step = axis_angle_to_matrix(1e-5 * np.eye(3))
    for axis in range(3):
        numeric = (LIMITS.chart(R @ step[axis]) - LIMITS.chart(R @ step[axis].T)) / 2e-5
        np.testing.assert_allclose(LIMITS.chart_jacobian(angles)[:, :, axis], numeric, atol=0.02)
