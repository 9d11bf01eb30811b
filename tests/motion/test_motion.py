"""The whole stage: placing, calibrating, smoothing people that a simulated camera sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from mocap.body.rotations import geodesic_angle
from mocap.config import MotionConfig
from mocap.motion import Motion
from mocap.types import BodyPose, Camera
from tests.motion.simulate import Noise, pitched_camera, see, sole_heights, standing, unplaced, walk

Body = Callable[[float], tuple[np.ndarray, np.ndarray]]


def stand(yaw_deg: float = 0.0, at: tuple[float, float] = (0.0, 0.0)) -> Body:
    R, p = standing(yaw_deg)
    return lambda t: (R, p + np.array([at[0], 0.0, at[1]]))


def play(
    motion: Motion, body: Body, camera: Camera, times: Iterable[float], noise: Noise | None = None
) -> list[tuple[BodyPose, Camera]]:
    out = []
    for t in times:
        estimate, person = see(*body(t), camera, noise)
        (pose,), placed = motion.update(t, [estimate], [person], unplaced(camera))
        out.append((pose, placed))
    return out


def clock(seconds: float, fps: float = 30.0) -> np.ndarray:
    return np.arange(0, seconds, 1 / fps)


@pytest.mark.parametrize("pitch", [-20, -8, 0, 7, 20])
@pytest.mark.parametrize("yaw", [0, 50])
def test_two_seconds_of_standing_give_pitch_floor_and_camera(pitch: float, yaw: float) -> None:
    camera, motion = pitched_camera(pitch, height_m=1.2, distance_m=7, focal_px=550), Motion(MotionConfig())
    pose, placed = play(motion, stand(yaw), camera, clock(2.1))[-1]
    assert motion.calibrated
    assert placed.calibrated
    assert motion.pitch_deg == pytest.approx(pitch, abs=0.5)
    assert sole_heights(pose.R_parent_joint, pose.p_world_root).min() == pytest.approx(0.0, abs=0.01)
    assert placed.p_world_camera[1] == pytest.approx(1.2, abs=0.03)
    assert pose.p_world_root[[0, 2]] == pytest.approx([0, 0], abs=0.02)  # the origin is under the person
    truth = standing(yaw)[0]
    assert np.degrees(geodesic_angle(pose.R_parent_joint, truth)).max() < 0.6
    assert placed.R_world_camera @ placed.R_world_camera.T == pytest.approx(np.eye(3), abs=1e-6)


def test_floor_is_found_in_noise() -> None:
    camera, motion = pitched_camera(-12), Motion(MotionConfig())
    out = play(motion, stand(), camera, clock(3), Noise(rotation_deg=2, landmarks_px=2))
    assert motion.pitch_deg == pytest.approx(-12, abs=1.5)
    heights = np.array([sole_heights(p.R_parent_joint, p.p_world_root).min() for p, _ in out[65:]])
    assert np.abs(heights).max() < 0.03


def test_the_change_of_world_has_no_jump() -> None:
    out = play(Motion(MotionConfig()), stand(), pitched_camera(-15), clock(4))
    roots = np.array([pose.p_world_root for pose, _ in out])
    turns = np.degrees(geodesic_angle(out[0][0].R_parent_joint[0], np.array([p.R_parent_joint[0] for p, _ in out])))
    assert np.linalg.norm(np.diff(roots, axis=0), axis=1).max() < 0.02  # m a frame
    assert np.abs(np.diff(turns)).max() < 2.0
    assert np.ptp(roots[70:], axis=0).max() < 1e-3  # and then the world stands still


def test_camera_and_poses_agree() -> None:
    """Through the camera that comes back, the joints fall on the same pixels as the truth through the true camera."""
    camera = pitched_camera(-10)
    motion = Motion(MotionConfig(smoothing=0.0))
    for t in clock(3):
        R, p = walk(t, still_s=2.0)
        estimate, person = see(R, p, camera)
        (pose,), placed = motion.update(t, [estimate], [person], unplaced(camera))
        seen = camera.project(camera.to_camera(p))
        assert placed.project(placed.to_camera(pose.p_world_root)) == pytest.approx(seen, abs=0.1)


def test_a_walk_comes_out_as_it_was() -> None:
    camera, motion, times = pitched_camera(-8, distance_m=4.5), Motion(MotionConfig()), clock(9)
    out = play(motion, lambda t: walk(t, speed=0.8), camera, times)
    truth = np.array([walk(t, speed=0.8)[1] for t in times])[75:]
    path = np.array([pose.p_world_root for pose, _ in out])[75:]
    off = path - truth
    assert np.sqrt(((off - off.mean(0)) ** 2).sum(1).mean()) < 0.08
    heights = np.array([sole_heights(p.R_parent_joint, p.p_world_root).min() for p, _ in out])[75:]
    assert np.abs(heights).max() < 0.04
    assert motion.pitch_deg == pytest.approx(-8, abs=1)


def test_contact_follows_the_feet() -> None:
    camera, motion = pitched_camera(0), Motion(MotionConfig())
    R, p = standing()
    lifted = R.copy()
    lifted[1] = lifted[4].T @ _about_x(-1.2)  # left thigh up
    lifted[4] = _about_x(1.3)
    out = play(motion, lambda t: (R if t < 2.5 else lifted, p), camera, clock(3.5))
    assert (out[70][0].contact > 0.9).all()
    assert out[-1][0].contact[0] < 0.1
    assert out[-1][0].contact[1] > 0.9
    assert all(((pose.contact >= 0) & (pose.contact <= 1)).all() for pose, _ in out)


def test_a_squat_that_is_seen_too_shallow_stays_on_the_floor() -> None:
    """The computed body is taller than the seen one, so its size puts it too far away; the standing feet do not."""

    def squat(depth: float) -> tuple[np.ndarray, np.ndarray]:
        R, _ = standing()
        R[[1, 2]], R[[4, 5]], R[[7, 8]] = _about_x(-1.6 * depth), _about_x(2.0 * depth), _about_x(-0.4 * depth)
        return R, np.array([0.0, -sole_heights(R, np.zeros(3)).min(), 0.0])

    camera, motion = pitched_camera(-8), Motion(MotionConfig())
    for t in clock(5):
        depth = float(np.clip(t - 3, 0, 1))
        truth = squat(depth)
        estimate, person = see(*truth, camera)
        shallow = np.concatenate([estimate.R_parent_joint[:1], squat(0.75 * depth)[0][1:]])
        (pose,), _ = motion.update(t, [replace(estimate, R_parent_joint=shallow)], [person], unplaced(camera))
        if t > 2:
            assert np.abs(sole_heights(pose.R_parent_joint, pose.p_world_root).min(1)).max() < 0.04
            assert (pose.contact > 0.8).all()
    assert squat(1.0)[1][1] - squat(0.75)[1][1] < -0.15
    assert pose.p_world_root[2] == pytest.approx(truth[1][2], abs=0.2)


def _about_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def test_smoothing_0_is_the_identity() -> None:
    motion, camera = Motion(MotionConfig(smoothing=0.0)), pitched_camera(0, height_m=1.0)
    noise = Noise(rotation_deg=5)
    for t in clock(1):
        R, p = standing()
        estimate, person = see(R, p, camera, noise)
        (pose,), _ = motion.update(t, [estimate], [person], unplaced(camera))
        assert pose.R_parent_joint == pytest.approx(estimate.R_parent_joint, abs=1e-6)
        assert pose.betas == pytest.approx(estimate.betas)
        assert pose.confidence == pytest.approx(estimate.confidence)


def test_smoothing_0_root_is_the_measured_one() -> None:
    camera = pitched_camera(0, height_m=1.0)
    out = play(Motion(MotionConfig(smoothing=0.0)), lambda t: walk(t, still_s=0), camera, clock(1.2))
    first = out[0][1].p_world_camera
    for (pose, placed), t in zip(out, clock(1.2), strict=True):
        expected = camera.to_camera(walk(t, still_s=0)[1]) * [1, -1, -1]
        assert pose.p_world_root - placed.p_world_camera == pytest.approx(expected, abs=1e-3)
    assert np.isfinite(first).all()


def test_joints_that_come_smooth_keep_less_of_the_smoothing() -> None:
    """Less of the jitter goes, and the smaller the share the nearer the poses stay to what came in."""
    off = []
    for share in (1.0, 0.1, 0.0):
        motion = Motion(MotionConfig(smoothing=1.0), joint_share=share)
        out = play(motion, stand(), pitched_camera(0), clock(3), Noise(rotation_deg=5, landmarks_px=5))
        R, p = (np.array([getattr(pose, name) for pose, _ in out[30:]]) for name in ("R_parent_joint", "p_world_root"))
        jitter = geodesic_angle(R[1:], R[:-1])[:, 1:].mean()
        off.append((jitter, np.abs(np.diff(p, axis=0)).mean()))
    jitter, path = np.array(off).T
    assert jitter[0] < 0.4 * jitter[1] < 0.4 * jitter[2]
    assert path.max() < 2 * path[0]  # the root is smoothed as before; where it is depends on the joints


def test_the_root_of_poses_that_come_smooth_follows_sooner() -> None:
    late = []
    for share in (1.0, 0.1):
        camera = pitched_camera(0)
        times = clock(4)
        out = play(Motion(MotionConfig(), joint_share=share), lambda t: walk(t, still_s=1), camera, times)
        path = np.array([pose.p_world_root for pose, _ in out])
        true = np.array([walk(t, still_s=1)[1] for t in times])
        off, velocity = path - true, np.gradient(true, times, axis=0)
        off -= off[20:30].mean(0)
        late.append(-(off * velocity)[30:, 0].sum() / np.square(velocity[30:, 0]).sum())
    assert 0 < late[1] < 0.8 * late[0]


def test_constant_input_is_a_fixed_point() -> None:
    out = play(Motion(MotionConfig(smoothing=1.0)), stand(20), pitched_camera(-5), clock(6))
    a, b = out[-60][0], out[-1][0]
    assert b.p_world_joint == pytest.approx(a.p_world_joint, abs=1e-4)
    assert b.R_parent_joint == pytest.approx(a.R_parent_joint, abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_what_is_not_finite_is_held(smoothing: float) -> None:
    motion, camera = Motion(MotionConfig(smoothing)), pitched_camera(-5)
    before = play(motion, stand(), camera, clock(3))[-1][0]
    estimate, person = see(*standing(), camera)
    R, px = estimate.R_parent_joint.copy(), person.landmarks_px.copy()
    R[[0, 5, 18]], px[:] = np.nan, np.inf
    broken = replace(estimate, R_parent_joint=R, betas=np.full(10, np.nan), confidence=np.full(24, np.nan))
    for k in range(1, 5):
        person = replace(person, landmarks_px=px, visibility=np.full(33, np.nan))
        (pose,), _ = motion.update(3 + k / 30, [broken], [person], unplaced(camera))
        assert pose.p_world_joint == pytest.approx(before.p_world_joint, abs=2e-3)
        assert pose.R_parent_joint == pytest.approx(before.R_parent_joint, abs=1e-3)
        assert np.isfinite(pose.betas).all()
        assert np.isfinite(pose.confidence).all()


def test_nothing_but_nan_from_the_start_is_still_finite() -> None:
    motion, camera = Motion(MotionConfig()), pitched_camera(0)
    estimate, person = see(*standing(), camera)
    estimate = replace(estimate, R_parent_joint=np.full((24, 3, 3), np.nan))
    person = replace(person, landmarks_px=np.full((33, 3), np.nan))
    (pose,), placed = motion.update(0.0, [estimate], [person], unplaced(camera))
    assert np.isfinite(pose.p_world_joint).all()
    assert np.isfinite(pose.R_parent_joint).all()
    assert np.isfinite(placed.p_world_camera).all()
    assert motion.update(0.1, [estimate], [], unplaced(camera))[0][0].track_id == 0


def test_two_people_do_not_touch_each_other() -> None:
    """The second person's pose does not depend on the first's, but for the world that the first calibrates."""
    camera, noise = pitched_camera(0, distance_m=4.5), Noise(rotation_deg=3, landmarks_px=1, seed=3)
    sights = [see(*stand(30, at=(0.7, 0))(t), camera, noise, track_id=1) for t in clock(3)]
    alone, both = Motion(MotionConfig()), Motion(MotionConfig())
    for t, (estimate, person) in zip(clock(3), sights, strict=True):
        first_estimate, first = see(*stand(-40, at=(-0.7, 0))(t), camera)
        (single,), _ = alone.update(t, [estimate], [person], unplaced(camera))
        (_, second), _ = both.update(t, [first_estimate, estimate], [first, person], unplaced(camera))
        assert second.track_id == 1
        assert second.R_parent_joint[1:] == pytest.approx(single.R_parent_joint[1:], abs=1e-6)
    assert second.p_world_root[0] == pytest.approx(1.4, abs=0.03)  # from the first one's place
    # Leaving and coming in change nothing for the other, and a new id starts fresh.
    (pose,), _ = both.update(3.0, [sights[-1][0]], [sights[-1][1]], unplaced(camera))
    assert pose.R_parent_joint == pytest.approx(second.R_parent_joint, abs=0.05)


def test_state_is_dropped_when_the_id_leaves() -> None:
    motion, camera = Motion(MotionConfig()), pitched_camera(0)
    play(motion, stand(), camera, clock(1))
    for t in clock(4):
        motion.update(1 + t, [], [], unplaced(camera))
    assert not motion._states


def test_how_long_an_absence_may_be_is_the_callers_choice() -> None:
    camera = pitched_camera(0)
    for forget_s, known in ((2.0, False), (5.5, True)):
        motion = Motion(MotionConfig(), forget_s=forget_s)
        play(motion, stand(), camera, clock(1))
        for t in clock(3):
            motion.update(1 + t, [], [], unplaced(camera))
        assert bool(motion._states) == known


def test_who_calibrates_next_starts_with_nothing_of_the_last_one() -> None:
    """Somebody stands for a second and leaves; the next one's first half second does not make it one and a half."""
    camera, motion = pitched_camera(-10), Motion(MotionConfig(), forget_s=0.5)
    play(motion, stand(), camera, clock(1.2))
    for t in clock(1):
        motion.update(1.2 + t, [], [], unplaced(camera))
    evidence = []
    for t in clock(2):
        estimate, person = see(*stand(at=(1.0, 0.5))(t), camera, track_id=1)
        motion.update(2.2 + t, [estimate], [person], unplaced(camera))
        evidence.append(motion.calibrated)
    assert not evidence[40]
    assert evidence[50]
    assert motion.pitch_deg == pytest.approx(-10, abs=0.5)


def test_a_coarse_clock_gives_the_motion_of_a_fine_one() -> None:
    """At 120 frames a second, a clock that ticks every 15.6 ms gives every other frame the time of the one before."""
    camera, times = pitched_camera(-8, distance_m=4.5), clock(5, 120)
    ways = []
    for stamps in (times, np.floor(times / 0.0156) * 0.0156):
        motion, roots, turns, contacts = Motion(MotionConfig()), [], [], []
        for t, stamp in zip(times, stamps, strict=True):
            estimate, person = see(*walk(t, speed=0.8), camera)
            (pose,), _ = motion.update(stamp, [estimate], [person], unplaced(camera))
            assert pose.t_capture == stamp
            roots.append(pose.p_world_root)
            turns.append(pose.R_parent_joint)
            contacts.append(pose.contact > 0.5)
        step = np.linalg.norm(np.diff(roots, axis=0), axis=1)[240:]
        turn = np.degrees(geodesic_angle(np.array(turns[240:-1]), np.array(turns[241:])))
        ways.append((np.array(roots), step.max(), turn.max(), np.array(contacts), motion.pitch_deg))
    fine, coarse = ways
    assert np.abs(coarse[0] - fine[0]).max() < 0.02
    assert coarse[1] < 2 * fine[1]
    assert coarse[2] < 2 * fine[2]
    assert (coarse[3] == fine[3]).mean() > 0.95
    assert coarse[4] == pytest.approx(fine[4], abs=0.3)


def test_a_jump_back_in_time_does_not_restart_the_filters() -> None:
    camera, (R, p) = pitched_camera(0), standing(yaw_deg=60)
    motion = Motion(MotionConfig(smoothing=1.0))
    play(motion, stand(), camera, clock(1))
    estimate, person = see(R, p, camera)
    (pose,), _ = motion.update(-30.0, [estimate], [person], unplaced(camera))
    assert np.degrees(geodesic_angle(pose.R_parent_joint[0], estimate.R_parent_joint[0])) > 20
    assert pose.t_capture == -30.0


def test_a_gap_resets_the_filters() -> None:
    camera = pitched_camera(0)
    R, p = standing()
    turned, _ = standing(yaw_deg=60)
    for pause, resets in ((0.6, True), (1 / 30, False)):
        motion = Motion(MotionConfig(smoothing=1.0))
        play(motion, stand(), camera, clock(1))
        estimate, person = see(turned, p, camera)
        (pose,), _ = motion.update(1 - 1 / 30 + pause, [estimate], [person], unplaced(camera))
        behind = np.degrees(geodesic_angle(pose.R_parent_joint[0], estimate.R_parent_joint[0]))
        assert (behind < 0.01) == resets
    assert R.shape == (24, 3, 3)


@pytest.mark.parametrize("fps", [15, 60, 0])
def test_any_frame_rate_gives_a_similar_motion(fps: int) -> None:
    camera = pitched_camera(-8, distance_m=4.5)
    marks = clock(6)[5:]

    def path(times: np.ndarray) -> np.ndarray:
        out = play(Motion(MotionConfig()), lambda t: walk(t, speed=0.8), camera, times)
        roots = np.array([pose.p_world_root for pose, _ in out])
        return np.stack([np.interp(marks, times, roots[:, i]) for i in range(3)], -1)

    uneven = np.sort(np.random.default_rng(0).uniform(0, 6, 180))
    difference = path(clock(6, fps) if fps else uneven) - path(clock(6))
    assert np.abs(difference[60:]).max() < 0.08  # m, at 0.8 m/s
    assert np.sqrt((difference[60:] ** 2).mean()) < 0.02


def test_the_upper_body_alone_stands_on_a_floor_that_is_assumed() -> None:
    camera = pitched_camera(0, height_m=1.5, distance_m=1.0)
    out = play(Motion(MotionConfig()), stand(), camera, clock(3))
    pose, placed = out[-1]
    assert pose.p_world_root == pytest.approx(standing()[1], abs=0.02)
    assert placed.p_world_camera[1] == pytest.approx(1.5, abs=0.02)
    assert (pose.contact == 0).all()
