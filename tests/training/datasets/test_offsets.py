"""Constant offsets of a source are found and taken out, and nothing else is."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from mocap.body.rotations import geodesic_angle
from mocap.body.skeleton import JOINT
from training.corpus.scripted import scripted
from training.datasets.kinematics import body_global_rotations, joint_positions
from training.datasets.motion import NUM_BODY_JOINTS, Motion, mirror, mirror_rotations
from training.datasets.offsets import constant_offsets, degrees, mean_rotation, remove_offsets, turned

NOTHING = np.tile(np.eye(3), (NUM_BODY_JOINTS, 1, 1))


def motions() -> list[Motion]:
    """Natural enough: gestures, marching, reaching, and their mirror images."""
    once = [scripted(kind, (11, n)) for kind in ("gesture", "march", "reach", "dance_arms") for n in range(2)]
    return [m for clip in once for m in (clip, mirror(clip))]


def habit(**turns: tuple[float, float, float]) -> np.ndarray:
    """The turns (22, 3, 3) of a solver that turns joints' rest frames by x, y, z degrees, the right like the left."""
    C = NOTHING.copy()
    for name, xyz in turns.items():
        C[JOINT[name]] = Rotation.from_rotvec(np.radians(xyz)).as_matrix()
        if name.startswith("left"):
            C[JOINT[name.replace("left", "right")]] = mirror_rotations(C[None])[0][JOINT[name.replace("left", "right")]]
    return C


def test_offsets_are_found_and_taken_out() -> None:
    clean = motions()
    C = habit(head=(36, 0, 0), left_shoulder=(30, 0, 0), left_ankle=(0, 25, 0), left_collar=(0, -15, -45))
    before = constant_offsets(clean)
    spoilt = [remove_offsets(m, C) for m in clean]
    found = constant_offsets(spoilt)
    expected = np.swapaxes(C, -1, -2) @ before
    for name in ("head", "left_shoulder", "right_shoulder", "left_ankle", "left_collar"):
        off = np.degrees(geodesic_angle(found[JOINT[name]], expected[JOINT[name]]))
        assert off < 6, name
    mended = np.concatenate([remove_offsets(m, found).R_parent_joint for m in spoilt])
    for name in ("head", "left_collar", "right_collar"):
        rest = mean_rotation(mended[:, JOINT[name]].astype(float))
        assert np.degrees(geodesic_angle(rest, np.eye(3))) < 8, name


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
    assert 28 < told["head"] < 44
    assert "spine1" not in told
    assert "left_hip" not in told


def test_taking_out_nothing_changes_nothing() -> None:
    motion = motions()[0]
    np.testing.assert_array_equal(remove_offsets(motion, NOTHING).R_parent_joint, motion.R_parent_joint)
