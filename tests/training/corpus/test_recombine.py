"""Recombined motion is made of parts of the bank, of one moment or one stretch each."""

from __future__ import annotations

import numpy as np
import pytest

from mocap.body.rotations import geodesic_angle
from training.corpus.kinematics import forward, lowest_point
from training.corpus.recombine import JOINTS_OF, PARTS, Bank, make_bank, poses, sequence, with_mirror_images
from training.corpus.scripted import scripted
from training.datasets.motion import NUM_BODY_JOINTS, SWAP_SIDES


@pytest.fixture(scope="module")
def bank() -> Bank:
    recorded = [scripted(kind, (7, 0)) for kind in ("march", "dance_arms", "reach")]
    return make_bank(with_mirror_images(recorded), [scripted("squat", (7, 1))])


def test_the_parts_make_a_whole_body() -> None:
    together = np.concatenate(list(JOINTS_OF.values()))
    assert sorted(together.tolist()) == list(range(NUM_BODY_JOINTS))


def test_every_part_of_a_pose_is_one_of_the_bank(bank: Bank) -> None:
    made = poses(bank, 30, np.random.default_rng(0))
    for part, joints in JOINTS_OF.items():
        own = bank.R[bank.parts[part].rows][:, joints].reshape(len(bank.parts[part].rows), -1)
        found = made.R_parent_joint[:, joints].reshape(30, -1)
        others = bank.R[:, joints].reshape(len(bank.R), -1)
        gap = np.abs(found[:, None] - others).max(-1).min(1)
        assert gap.max() == 0, part
        assert len(np.unique(own, axis=0)) > 1
    whole = np.abs(made.R_parent_joint[:, None] - bank.R[None, ::1]).max((2, 3, 4)).min(1)
    assert (whole > 0).mean() > 0.9  # and together they are none of it


def test_poses_stand_on_the_floor(bank: Bank) -> None:
    made = poses(bank, 30, np.random.default_rng(1))
    np.testing.assert_allclose(lowest_point(*forward(made.R_parent_joint, made.p_world_root)), 0, atol=1e-5)


def test_sequences_are_as_smooth_as_what_they_are_made_of(bank: Bank) -> None:
    fastest = np.degrees(geodesic_angle(bank.R[1:], bank.R[:-1]))
    inside = np.ones(len(fastest), bool)
    inside[bank.start[1:] - 1] = False  # from one clip to the next
    for seed in range(8):
        made = sequence(bank, np.random.default_rng(seed))
        assert 45 <= made.num_frames <= 180
        step = np.degrees(geodesic_angle(made.R_parent_joint[1:], made.R_parent_joint[:-1]))
        assert step.max() <= 1.4 * fastest[inside].max()  # played at up to 1.3 times the tempo
        assert lowest_point(*forward(made.R_parent_joint, made.p_world_root)).min() > -0.03


def test_the_seed_decides(bank: Bank) -> None:
    once, again = (sequence(bank, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(once.R_parent_joint, again.R_parent_joint)
    once, again = (poses(bank, 9, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(once.R_parent_joint, again.R_parent_joint)


def test_recorded_parts_are_the_larger_share(bank: Bank) -> None:
    rows = bank.parts["left_arm"].draw(4000, np.random.default_rng(0))
    cut = int(bank.start[-1])  # the last clip is the scripted one
    assert 0.66 < (rows < cut).mean() < 0.74


def test_mirror_images_double_the_clips() -> None:
    clip = scripted("reach", (1, 0))
    first, second = with_mirror_images([clip])
    assert second.name == f"{clip.name}/mirrored"
    left, right = first.R_parent_joint, second.R_parent_joint[:, SWAP_SIDES]
    np.testing.assert_allclose(left[..., 0, 0], right[..., 0, 0], atol=1e-6)
    np.testing.assert_allclose(left[..., 0, 1], -right[..., 0, 1], atol=1e-6)
    assert set(PARTS) == set(JOINTS_OF)
