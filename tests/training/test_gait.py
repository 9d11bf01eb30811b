"""Scripted motion: planted feet stay, the legs reach them, and the same seed gives the same motion."""

from __future__ import annotations

import numpy as np
import pytest

from mocap.body.skeleton import JOINT, NUM_BETAS, load_skeleton

pytest.importorskip("anny")

from training.gait import Motion, Script, animate, walk_steps

SOLE = -1.16  # m, of the mean body in its rest pose
WALK = Script(
    duration=3.0,
    path={"x": [(0.5, 0), (2.3, 0.6)], "z": [(0.5, 0), (2.3, 0.5)], "yaw": [(0.4, 0), (1.0, 50)]},
    steps=walk_steps(0.5, 4, "right"),
    angles={"crouch": [(2.5, 0), (3.0, 0.3)]},
    seed=3,
)


@pytest.fixture(scope="module")
def motion() -> Motion:
    return animate(WALK, load_skeleton().mean.astype(float), SOLE, 30)


def test_feet_stay_where_they_stand(motion: Motion) -> None:
    joints = load_skeleton().forward(motion.R_parent_joint, motion.p_world_root, np.zeros(NUM_BETAS))
    for side, name in enumerate(("left_foot", "right_foot")):
        foot, contact = joints[:, JOINT[name]], motion.contact[:, side] > 0.5
        np.testing.assert_allclose(foot[contact, 1], load_skeleton().mean[JOINT[name], 1] - SOLE, atol=0.004)
        both = contact[1:] & contact[:-1]
        assert np.linalg.norm(np.diff(foot, axis=0), axis=-1)[both].max() < 2e-3
        assert both.sum() > 20
        assert np.linalg.norm(foot[-1] - foot[0]) > 0.4  # it walked


def test_rotations_are_rotations_and_the_body_follows_the_path(motion: Motion) -> None:
    R = motion.R_parent_joint
    np.testing.assert_allclose(R @ np.swapaxes(R, -1, -2), np.broadcast_to(np.eye(3), R.shape), atol=1e-9)
    heading = np.degrees(np.arctan2(R[:, 0, 0, 2], R[:, 0, 2, 2]))
    assert abs(heading[0]) < 5
    assert abs(heading[-1] - 50) < 8
    assert motion.p_world_root[0, 1] - motion.p_world_root[-1, 1] > 0.25  # crouched


def test_same_seed_same_motion(motion: Motion) -> None:
    again = animate(WALK, load_skeleton().mean.astype(float), SOLE, 30)
    np.testing.assert_array_equal(again.R_parent_joint, motion.R_parent_joint)
