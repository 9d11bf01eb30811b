"""Samples hold together, pictures come out as the labels mean them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mocap.errors import MocapError
from tests.training.datasets.images.small_files import jpeg, matrices, random_pose
from training.capture.tals import PICTURE_THRESHOLDS
from training.datasets.images.joint_sets import JOINT_SETS
from training.datasets.images.sample import Sample, Table, box_around, read_picture


def sample(image: Path | bytes, **more: object) -> Sample:
    return Sample("coco", "name.jpg", image, np.zeros(2, np.float32), 10.0, False, **more)  # type: ignore[arg-type]


def test_joint_sets_have_the_sizes_of_their_names_and_every_point_once() -> None:
    for name, points in JOINT_SETS.items():
        digits = int("".join(c for c in name if c.isdigit())[-2:])
        assert len(points) == digits
        assert len(set(points)) == digits
    assert JOINT_SETS["44"] == tuple(PICTURE_THRESHOLDS)
    assert JOINT_SETS["44"][39] == "mpii pelvis"
    assert JOINT_SETS["spin49"][:44] == JOINT_SETS["44"]
    assert JOINT_SETS["openpose18"][8:14:3] == ("right_hip", "left_hip")


@pytest.mark.parametrize(("joints", "shape"), [("coco17", (16, 3)), ("nobody", (17, 3)), (None, (17, 3)), ("44", None)])
def test_points_have_to_fit_their_set(joints: str | None, shape: tuple[int, int] | None) -> None:
    points = None if shape is None else np.zeros(shape, np.float32)
    with pytest.raises(MocapError, match=r"expected 2D points"):
        sample(b"", joints_2d=joints, keypoints_2d=points)


def test_a_table_has_a_column_for_every_field_of_a_sample() -> None:
    """A field that the table forgot would be lost without a word."""
    apart = {"name", "image", "gender", "R_parent_joint", "mask", "map", "reprojection_error", "video", "frame"}
    assert {f.name for f in fields(Sample)} - apart <= {f.name for f in fields(Table)}


def test_rows_of_a_table_are_its_samples() -> None:
    pose = random_pose(3).astype(np.float32)
    table = Table(
        "coco", [Path(f"{i}.jpg") for i in range(3)], np.arange(6, dtype=np.float32).reshape(3, 2),
        np.arange(1, 4, dtype=np.float32), False, ["male", "female", "neutral"], pose=pose.reshape(3, 24, 3),
        betas=np.ones((3, 10), np.float32), has_pose=np.array([True, False, True]), has_betas=np.array([1, 1, 0], bool),
    )  # fmt: skip
    samples = list(table)
    assert [s.side_px for s in samples] == [1, 2, 3]
    assert [s.gender for s in samples] == ["male", "female", "neutral"]
    assert [s.R_parent_joint is None for s in samples] == [False, True, False]
    assert [s.betas is None for s in samples] == [False, False, True]
    np.testing.assert_allclose(samples[2].R_parent_joint, matrices(pose)[2], atol=1e-5)
    with pytest.raises(IndexError):
        table[3]


def test_a_box_is_tight_around_the_seen_points() -> None:
    points = np.array([[[0, 0, 1], [10, 4, 1], [900, 900, 0]], [[1, 1, 0]] * 3], np.float32)
    center, side = box_around(points)
    np.testing.assert_array_equal(center, [[5, 2], [0, 0]])
    np.testing.assert_array_equal(side, [10, 0])


def test_pictures_come_from_files_and_bytes_and_are_turned_clockwise(tmp_path: Path) -> None:
    content = jpeg(12, 8)
    (tmp_path / "a.jpg").write_bytes(content)
    np.testing.assert_array_equal(read_picture(sample(tmp_path / "a.jpg")), read_picture(sample(content)))
    assert read_picture(sample(content)).shape == (8, 12, 3)
    half = np.zeros((8, 12, 3), np.uint8)
    half[:, :6] = 255  # left half white
    Image.fromarray(half).save(tmp_path / "half.png")
    turned = read_picture(sample(tmp_path / "half.png", quarter_turns=1))
    assert turned.shape == (12, 8, 3)
    assert turned[:6].min() == 255  # what was left is above
    assert turned[6:].max() == 0


@pytest.mark.parametrize("content", [b"", b"no picture", jpeg()[:60]])
def test_a_broken_picture_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    for image in (content, tmp_path / "a.jpg", tmp_path / "none.jpg"):
        with pytest.raises(MocapError, match=r"coco: expected a picture in name\.jpg"):
            read_picture(sample(image))
