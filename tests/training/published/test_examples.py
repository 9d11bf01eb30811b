"""Draws are a function of seed and number, batches are draws, and what is mirrored in the picture is so in space."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mocap.errors import MocapError
from tests.training.published.pictures import write_shard
from training.datasets.images.joint_sets import JOINT_SETS
from training.datasets.images.rendered import Rendered
from training.datasets.images.sample import Sample
from training.harness import Share
from training.published.crops import DEVIATION, FLIPPED_JOINTS, FLIPPED_KEYPOINTS, MEAN, AugmentationConfig
from training.published.examples import Batches, Example, Examples, person_of, points_in, stacked, twins
from training.published.points import OpenPoints
from training.published.sets import Mixture

PLAIN = AugmentationConfig(0, 0, 0, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_shard(folder, people=8, size=96)
    return folder


def examples(shards: Path, joint_set: str = "44", **options: Any) -> Examples:
    people = Rendered(shards, OpenPoints(joint_set))
    return Examples(Mixture([people]), joint_set, side=32, **{"augmentation": AugmentationConfig(), **options})


def same(one: Example, other: Example) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def share(step: int, rows: slice = slice(0, 6)) -> Share:
    return Share(step, 0, rows, torch.device("cpu"))


def test_a_draw_depends_on_seed_and_number_alone(shards: Path) -> None:
    make, again = examples(shards), examples(shards)
    drawn = [make(n) for n in range(12)]
    for n in reversed(range(12)):
        assert same(again(n), drawn[n])
    assert not same(drawn[0], drawn[1])
    assert not same(examples(shards, seed=1)(0), drawn[0])
    assert len({example["betas"].tobytes() for example in drawn}) > 3  # several people


@pytest.mark.parametrize(("threads", "ahead"), [(1, 0), (3, 2), (4, 1)])
def test_batches_are_draws_whatever_the_threads(shards: Path, threads: int, ahead: int) -> None:
    make = examples(shards)
    batches = Batches(make, 6, threads, ahead)
    for step in (0, 1, 2, 7, 8):  # some left out, as when a run goes on
        expected = stacked([make(6 * step + place) for place in range(6)])
        found = batches(share(step))
        assert found.keys() == expected.keys()
        for name, value in found.items():
            assert torch.equal(value, expected[name]), (step, name)


def test_processes_share_a_batch(shards: Path) -> None:
    whole = Batches(examples(shards), 6)(share(4))
    parts = [Batches(examples(shards), 6)(share(4, rows)) for rows in (slice(0, 2), slice(2, 4), slice(4, 6))]
    for name, value in whole.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), value)


@pytest.mark.parametrize("joint_set", ["44", "smpl24"])
def test_what_is_mirrored_in_the_picture_is_so_in_space(shards: Path, joint_set: str) -> None:
    twin, mirror = list(twins(joint_set)), np.diag([-1.0, 1.0, 1.0])
    for n in range(4):
        one = examples(shards, joint_set, augmentation=PLAIN)(n)
        other = examples(shards, joint_set, augmentation=replace(PLAIN, flip_rate=1.0))(n)
        known = one["keypoints_3d"][:, 3:]
        np.testing.assert_allclose(other["keypoints_3d"][:, 3:], known[twin])
        space = one["keypoints_3d"][twin, :3] @ mirror
        np.testing.assert_allclose(other["keypoints_3d"][:, :3], space, atol=1e-6)
        picture = one["keypoints_2d"][twin] * [-1, 1, 1]
        np.testing.assert_allclose(other["keypoints_2d"][:, 1:], picture[:, 1:], atol=1e-5)
        np.testing.assert_allclose(other["keypoints_2d"][:, 0], picture[:, 0], atol=0.02)  # a pixel of the file
        R = mirror @ one["R"][list(FLIPPED_JOINTS)] @ mirror
        np.testing.assert_allclose(other["R"], R, atol=1e-5)
        np.testing.assert_array_equal(other["betas"], one["betas"])


@pytest.mark.parametrize("augmentation", [PLAIN, AugmentationConfig(part_rate=0.0, color=0.0)])
def test_points_are_where_the_picture_shows_them(shards: Path, augmentation: AugmentationConfig) -> None:
    """A joint's dot is bright, and what is around people is not."""
    people = Rendered(shards, OpenPoints("smpl24"))
    make = Examples(Mixture([people]), "smpl24", side=96, augmentation=augmentation)
    bright = []
    for n in range(8):
        example = make(n)
        rgb = example["image"] * (DEVIATION / 255)[:, None, None] + (MEAN / 255)[:, None, None]
        places = (96 * (example["keypoints_2d"][:, :2] + 0.5)).round().astype(int)
        inside = (example["keypoints_2d"][:, 2] > 0) & ((places >= 1) & (places < 95)).all(1)
        bright += [float(rgb[:, y, x].max()) for x, y in places[inside]]
    assert len(bright) > 100
    assert np.mean(np.array(bright) > 0.55) > 0.9  # dots may be hidden at the picture's border, or under others
    assert np.mean(rgb.max(0) > 0.55) < 0.2


def test_of_a_part_the_points_are_still_right(shards: Path) -> None:
    whole = examples(shards, "smpl24", augmentation=PLAIN)(3)
    part = examples(shards, "44", augmentation=replace(PLAIN, part_rate=1.0))(3)
    np.testing.assert_array_equal(part["R"], whole["R"])
    assert part["image"].shape == whole["image"].shape


def test_betas_of_another_body_do_not_count(shards: Path) -> None:
    one, other = examples(shards)(0), examples(shards, body="smpl")(0)
    assert (one["has_betas"], other["has_betas"]) == (1, 0)
    assert one["betas"].any()
    assert not other["betas"].any()
    for name in ("image", "R", "keypoints_3d", "has_pose"):
        np.testing.assert_array_equal(one[name], other[name])


def test_what_is_not_trusted_is_not_learnt_from(shards: Path) -> None:
    def odd(sample: Sample) -> Sample | None:
        return replace(sample, R_parent_joint=None) if int(sample.name) % 2 else None

    people = Rendered(shards, OpenPoints("44"))
    shapes = {people[row].betas.tobytes() for row in range(1, 8, 2)}  # type: ignore[union-attr]
    drawn = [examples(shards, keep=odd)(n) for n in range(10)]
    assert {example["betas"].tobytes() for example in drawn} <= shapes
    assert not any(example["has_pose"] for example in drawn)
    with pytest.raises(MocapError, match="100 in a row that are not trusted"):
        examples(shards, keep=lambda sample: None)(0)


def test_without_labels_nothing_is_known() -> None:
    sample = Sample("coco", "a", b"", np.zeros(2, np.float32), 1.0, False)
    person = person_of(sample, "44")
    assert person.keypoints_2d.shape == (44, 3)
    assert person.keypoints_3d.shape == (44, 4)
    for value in vars(person).values():
        assert not value.any()


def test_points_are_found_by_their_names() -> None:
    count = len(JOINT_SETS["coco17"])
    points = np.column_stack([np.arange(count), np.arange(count), np.ones(count)]).astype(np.float32)
    found = points_in(points, "coco17", "44", 3)
    for name, point in zip(JOINT_SETS["44"], found, strict=True):
        plain = name.rpartition(" ")[2]
        if plain in JOINT_SETS["coco17"] and not name.startswith("human36m"):
            assert point.tolist() == [JOINT_SETS["coco17"].index(plain)] * 2 + [1], name
        else:
            assert not point.any(), name
    np.testing.assert_array_equal(points_in(points, "coco17", "coco17", 3), points)
    assert not points_in(None, None, "44", 4).any()


def test_twins_are_the_released_ones() -> None:
    assert twins("44") == FLIPPED_KEYPOINTS
    assert twins("smpl24") == FLIPPED_JOINTS
    for joint_set in JOINT_SETS:
        other = twins(joint_set)
        assert [other[place] for place in other] == list(range(len(other))), joint_set
