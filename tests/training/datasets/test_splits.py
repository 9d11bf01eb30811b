"""No person is in two splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.datasets.small_motion import random_motion
from training.datasets.packed import read_packed
from training.datasets.splits import SPLITS, split_of
from training.datasets.subjects import subject_of


def test_the_clip_does_not_matter_only_the_person() -> None:
    for subject in ("accad/male1", "cmu/02", "elsewhere/anna", "elsewhere/ben"):
        splits = {split_of(random_motion(2, seed=seed, subject=subject)) for seed in range(5)}
        assert len(splits) == 1


def test_one_source_is_held_out_whole() -> None:
    motion = random_motion(2)
    assert {split_of(replace(motion, source="deepmimic", subject=f"deepmimic/{i}")) for i in range(40)} == {"ood"}


def test_unknown_sources_are_shared_out_eight_to_one_to_one() -> None:
    splits = [split_of(random_motion(1, subject=f"elsewhere/{i}")) for i in range(2000)]
    assert splits.count("train") / 2000 == pytest.approx(0.8, abs=0.03)
    assert splits.count("val") / 2000 == pytest.approx(0.1, abs=0.03)
    assert splits.count("test") / 2000 == pytest.approx(0.1, abs=0.03)


def test_a_person_is_the_same_in_every_file_format() -> None:
    assert subject_of("cmu_iclone", "05_12") == subject_of("cmu", "005_12") == subject_of("cmu_amc", "5-12") == "cmu/05"
    assert subject_of("accad", "Training_Model05_Male1-Stand") == subject_of("accad_c3d", "Male1_B1") == "accad/male1"
    assert subject_of("accad", "E1_-__Jab_left") == subject_of("accad", "MartialArtsWalksTurns_c3d") == "accad/male2"


def test_a_subject_in_the_name_counts_and_otherwise_each_clip_is_a_person() -> None:
    assert subject_of("lafan1_bvh", "walk1_subject5") == subject_of("lafan1_bvh", "dance2_subject5")
    assert subject_of("lafan1_bvh", "walk1_subject5") != subject_of("lafan1_bvh", "walk1_subject2")
    assert subject_of("home_bvh", "wave") != subject_of("home_bvh", "bow")


@pytest.mark.shared
def test_the_splits_of_the_real_data_share_nobody(shared: Path) -> None:
    people: dict[str, set[str]] = {split: set() for split in SPLITS}
    for file in sorted((shared / "mocap").glob("*_smpl22*.npz")):
        for motion in read_packed(file):
            people[split_of(motion)].add(motion.subject)
    assert all(people.values())
    for a in SPLITS:
        for b in SPLITS:
            assert a == b or not people[a] & people[b]
