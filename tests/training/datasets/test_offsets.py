"""Constant offsets of a source are found and taken out, and nothing else is."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from mocap.body.rotations import geodesic_angle
from mocap.body.skeleton import JOINT
from training.corpus.scripted import scripted
from training.datasets.kinematics import body_global_rotations, joint_positions, remove_heading
from training.datasets.motion import NUM_BODY_JOINTS, Motion, mirror_rotations
from training.datasets.offsets import (
    LOOK_DOWN_DEG,
    TOE_OUT_DEG,
    constant_offsets,
    degrees,
    mean_rotation,
    remove_offsets,
    turned,
)

NOTHING = np.tile(np.eye(3), (NUM_BODY_JOINTS, 1, 1))


def motions() -> list[Motion]:
    """Natural enough, with both feet on the floor."""
    return [scripted(kind, (11, n)) for kind in ("gesture", "touch", "dance_arms") for n in range(2)]


def habit(**turns: tuple[float, float, float]) -> np.ndarray:
    """The turns (22, 3, 3) of a solver that turns joints' rest frames by x, y, z degrees, the right like the left."""
    C = NOTHING.copy()
    for name, xyz in turns.items():
        C[JOINT[name]] = Rotation.from_rotvec(np.radians(xyz)).as_matrix()
        if name.startswith("left"):
            C[JOINT[name.replace("left", "right")]] = mirror_rotations(C[None])[0][JOINT[name.replace("left", "right")]]
    return C


def world_of(motions: list[Motion], joint: str) -> np.ndarray:
    """A joint's mean world rotation (3, 3), heading removed."""
    R = np.concatenate([m.R_parent_joint for m in motions]).astype(float)
    return mean_rotation(body_global_rotations(remove_heading(R))[:, JOINT[joint]])


def test_feet_rest_level_and_a_little_out() -> None:
    spoilt = [remove_offsets(m, habit(left_ankle=(-20, 30, 15), left_foot=(25, 0, 0))) for m in motions()]
    found = constant_offsets(spoilt)
    mended = [remove_offsets(m, found) for m in spoilt]
    for side, sign in (("left", 1), ("right", -1)):
        wanted = Rotation.from_euler("y", sign * TOE_OUT_DEG, degrees=True).as_matrix()
        for joint in (f"{side}_ankle", f"{side}_foot"):
            assert np.degrees(geodesic_angle(world_of(spoilt, joint), wanted)) > 15
            assert np.degrees(geodesic_angle(world_of(mended, joint), wanted)) < 4, joint


def test_heads_look_ahead_and_collars_come_to_rest() -> None:
    spoilt = [remove_offsets(m, habit(head=(36, 0, 0), left_collar=(0, -15, -45))) for m in motions()]
    mended = [remove_offsets(m, constant_offsets(spoilt)) for m in spoilt]
    down = Rotation.from_euler("x", LOOK_DOWN_DEG, degrees=True).as_matrix()
    assert np.degrees(geodesic_angle(world_of(mended, "head"), down)) < 4
    for name in ("left_collar", "right_collar"):
        rest = mean_rotation(np.concatenate([m.R_parent_joint[:, JOINT[name]] for m in mended]).astype(float))
        assert np.degrees(geodesic_angle(rest, np.eye(3))) < 8, name


def test_a_head_that_is_off_by_little_is_left_alone() -> None:
    found = constant_offsets([remove_offsets(m, habit(head=(-6, 0, 0))) for m in motions()])
    np.testing.assert_array_equal(found[JOINT["head"]], np.eye(3))


def test_feet_that_never_rest_are_left_alone() -> None:
    lying = [scripted("lie_on_back", (11, n)) for n in range(2)]
    found = constant_offsets(lying)
    np.testing.assert_array_equal(found[JOINT["left_ankle"]], np.eye(3))
    np.testing.assert_array_equal(found[JOINT["head"]], np.eye(3))


def test_elbows_become_hinges() -> None:
    spoilt = [remove_offsets(m, habit(left_shoulder=(30, 0, 0))) for m in motions()]
    found = constant_offsets(spoilt)
    for side, sign in (("left", 1), ("right", -1)):
        forearm = np.concatenate(
            [sign * turned(m.R_parent_joint, found)[:, JOINT[f"{side}_elbow"], :, 0] for m in spoilt]
        )
        assert abs(np.degrees(np.arctan2(forearm.mean(0)[1], forearm.mean(0)[2]))) < 3


def test_nothing_moves_but_the_bones_that_a_joint_turns() -> None:
    motion = motions()[0]
    C = habit(left_collar=(0, -15, -45))
    before, after = motion.R_parent_joint, turned(motion.R_parent_joint, C)
    gap = np.degrees(geodesic_angle(body_global_rotations(before), body_global_rotations(after)))
    moved = [JOINT["left_collar"], JOINT["right_collar"]]
    assert np.delete(gap, moved, 1).max() < 0.1
    assert gap[:, moved].min() > 40
    joints = np.linalg.norm(joint_positions(before) - joint_positions(after), axis=-1)
    assert joints[:, JOINT["head"]].max() < 1e-4 < 0.03 < joints[:, JOINT["left_shoulder"]].min()


def test_symmetric_and_reported() -> None:
    found = constant_offsets([remove_offsets(m, habit(head=(36, 0, 0))) for m in motions()])
    np.testing.assert_allclose(mirror_rotations(found[None].astype(np.float32))[0], found, atol=1e-3)
    told = degrees(found)
    assert 30 < told["head"] < 50
    assert "spine1" not in told
    assert "left_hip" not in told


def test_taking_out_nothing_changes_nothing() -> None:
    motion = motions()[0]
    np.testing.assert_array_equal(remove_offsets(motion, NOTHING).R_parent_joint, motion.R_parent_joint)
