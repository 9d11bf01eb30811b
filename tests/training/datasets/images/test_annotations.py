"""COCO's and MPII's JSON: known points, boxes, pixels from 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mocap.errors import MocapError
from training.datasets.images.annotations import read_coco, read_mpii

RNG = np.random.default_rng(0)


def coco(**changes: Any) -> dict[str, Any]:
    keypoints = RNG.integers(1, 300, (17, 3))
    keypoints[:, 2] = np.arange(17) % 3  # not drawn, hidden, seen
    person = {
        "image_id": 7, "keypoints": keypoints.ravel().tolist(), "num_keypoints": 11, "bbox": [10.0, 20.0, 30.0, 100.0],
        "iscrowd": 0, **changes,
    }  # fmt: skip
    others = [{**person, "iscrowd": 1, "keypoints": None}, {**person, "num_keypoints": 0}]
    return {"images": [{"id": 7, "file_name": "COCO_train2014_000000000007.jpg"}], "annotations": [*others, person]}


def mpii(**changes: Any) -> dict[str, Any]:
    joints = RNG.uniform(50, 400, (16, 2)).tolist()
    joints[3] = [-1, -1]
    visible = [int(i != 3) for i in range(16)]
    return {"image": "a.jpg", "center": [200, 200], "scale": 1.5, "joints": joints, "joints_vis": visible, **changes}


def save(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_coco_people(tmp_path: Path) -> None:
    content = coco()
    table = read_coco(save(tmp_path / "a.json", content), tmp_path / "train2014")
    (one,) = table
    drawn = np.array(content["annotations"][2]["keypoints"]).reshape(17, 3)
    assert one.image == tmp_path / "train2014/COCO_train2014_000000000007.jpg"
    assert (one.joints_2d, one.joints_3d, one.true_3d) == ("coco17", None, False)
    assert one.keypoints_2d is not None
    np.testing.assert_array_equal(one.keypoints_2d[:, :2], drawn[:, :2])
    np.testing.assert_array_equal(one.keypoints_2d[:, 2], drawn[:, 2] > 0)
    np.testing.assert_array_equal(one.center_px, [25, 70])
    assert one.side_px == 100


def test_mpii_people_count_pixels_from_0(tmp_path: Path) -> None:
    content = [mpii(), mpii(joints_vis=[0] * 16)]
    one, unknown = read_mpii(save(tmp_path / "train.json", content), tmp_path / "images")
    places = np.array(content[0]["joints"]) - 1
    assert one.image == tmp_path / "images/a.jpg"
    assert one.keypoints_2d is not None
    np.testing.assert_allclose(one.keypoints_2d[:, :2], places, rtol=1e-5)
    np.testing.assert_array_equal(one.keypoints_2d[:, 2], np.arange(16) != 3)
    seen = np.delete(places, 3, 0)
    np.testing.assert_allclose(one.center_px, (seen.min(0) + seen.max(0)) / 2, rtol=1e-5)
    np.testing.assert_allclose(one.side_px, (seen.max(0) - seen.min(0)).max(), rtol=1e-5)
    assert (one.valid, unknown.valid) == (True, False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON, could not read it"),
        ([], "expected a dict with images and annotations, found a list"),
        ({"images": []}, "expected a field annotations, found: images"),
        ({"images": 3, "annotations": []}, "expected a list of dicts in images"),
        ({"images": [], "annotations": []}, "expected people with keypoints in annotations, found none"),
        (coco(keypoints=[1, 2, 3]), r"annotations 2: expected keypoints of shape \(51\), found \(3\)"),
        (coco(bbox="big"), "expected numbers in bbox"),
        (coco(image_id=8), "expected an image_id of images, found 8"),
    ],
)
def test_bad_coco(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(MocapError, match=rf"a\.json.*{message}"):
        read_coco(save(tmp_path / "a.json", content), tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, r"expected a list with image, joints and joints_vis \(HRNet's annot/train.json\), found a dict"),
        ([], "expected at least one person"),
        ([1], "expected a list of dicts in people"),
        ([{"image": "a"}], "people 0: expected a field joints, found: image"),
        ([mpii(joints_vis=[1])], r"expected joints_vis of shape \(16\), found \(1\)"),
    ],
)
def test_bad_mpii(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(MocapError, match=rf"a\.json.*{message}"):
        read_mpii(save(tmp_path / "a.json", content), tmp_path)


def test_missing_files_say_what_to_get(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"expected COCO 2014.*cocodataset\.org"):
        read_coco(tmp_path / "none.json", tmp_path)
    with pytest.raises(MocapError, match=r"expected MPII.*human-pose\.mpi-inf\.mpg\.de"):
        read_mpii(tmp_path / "none.json", tmp_path)
