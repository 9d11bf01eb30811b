"""Legs of recorded people stretched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mocap.body.skeleton import JOINT
from training.corpus.legs import MOST, STRAIGHT_DEG, stretched
from training.datasets.kinematics import body_global_rotations, joint_positions
from training.datasets.motion import Motion
from training.gait import rotation

ANKLES = [JOINT["left_ankle"], JOINT["right_ankle"]]


def standing(knees_deg: np.ndarray) -> Motion:
    """Somebody whose knees bend by so much, pelvis and feet level."""
    R = np.tile(np.eye(3), (len(knees_deg), 22, 1, 1))
    for side in ("left", "right"):
        R[:, JOINT[f"{side}_hip"]] = rotation("x", -0.5 * knees_deg)
        R[:, JOINT[f"{side}_knee"]] = rotation("x", knees_deg)
        R[:, JOINT[f"{side}_ankle"]] = rotation("x", -0.5 * knees_deg)
    return Motion("stand", "made", "made/1", 30.0, R.astype(np.float32), np.zeros((len(R), 3), np.float32))


def knees_deg(motion: Motion) -> np.ndarray:
    """(T, 2) angle between thigh and shin."""
    joints = joint_positions(motion.R_parent_joint)
    angles = []
    for side in ("left", "right"):
        hip, knee, ankle = (joints[:, JOINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle"))
        thigh, shin = (bone / np.linalg.norm(bone, axis=-1, keepdims=True) for bone in (knee - hip, ankle - knee))
        angles.append(np.degrees(np.arccos(np.clip((thigh * shin).sum(-1), -1, 1))))
    return np.stack(angles, -1)


def test_somebody_who_never_stands_straight_is_stretched_until_a_tenth_of_the_frames_are() -> None:
    bent = standing(np.linspace(12, 60, 200))
    found = stretched(bent)
    assert np.percentile(knees_deg(bent).min(1), 10) > STRAIGHT_DEG + 8
    assert np.percentile(knees_deg(found).min(1), 10) == pytest.approx(STRAIGHT_DEG, abs=0.6)
    assert np.all(np.diff(knees_deg(found)[:, 0]) >= -1e-3)  # the order stays
    assert knees_deg(bent)[-1, 0] - knees_deg(found)[-1, 0] < 5  # a deep bend hardly changes


def test_feet_keep_their_turn_and_their_direction_from_the_hips() -> None:
    bent = standing(np.full(60, 30.0))
    found = stretched(bent)
    before, after = (joint_positions(m.R_parent_joint) for m in (bent, found))
    np.testing.assert_allclose(
        *(body_global_rotations(m.R_parent_joint)[:, [*ANKLES, 10, 11]] for m in (bent, found)), atol=1e-5
    )
    for side in ("left", "right"):
        lines = [p[:, JOINT[f"{side}_ankle"]] - p[:, JOINT[f"{side}_hip"]] for p in (before, after)]
        directions = [line / np.linalg.norm(line, axis=-1, keepdims=True) for line in lines]
        np.testing.assert_allclose(*directions, atol=1e-4)
    np.testing.assert_allclose(after[:, : JOINT["left_knee"]], before[:, : JOINT["left_knee"]], atol=1e-6)


def test_straight_crouching_and_lying_people_stay_within_reason() -> None:
    straight = standing(np.full(60, 1.0))
    assert stretched(straight) is straight
    crouching = standing(np.full(60, 70.0))
    assert np.ptp([knees_deg(m)[0, 0] for m in (crouching, stretched(crouching))]) < 8  # at most MOST
    assert MOST < 1.06
    lying = standing(np.full(60, 30.0))
    R = lying.R_parent_joint.copy()
    R[:, 0] = rotation("x", 90)
    lying = replace(lying, R_parent_joint=R)
    assert stretched(lying) is lying
