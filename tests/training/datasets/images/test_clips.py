"""INT's joblib files: read as joblib wrote them, grouped into clips, and without running what they name."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from mocap.errors import MocapError
from tests.hostile_pickles import Hostile, payloads
from tests.training.datasets.images.small_files import matrices, random_pose
from training.datasets.images.clips import read_clips
from training.datasets.images.joblib_file import read_joblib

RNG = np.random.default_rng(0)
N = 6


def database(**changes: Any) -> dict[str, Any]:
    fields = {
        "vid_name": np.array(["b", "b", "a", "b", "a", "a"]),
        "frame_id": np.array([f"frame_{i:06d}" for i in range(N)]),
        "img_name": np.array([f"3dpw/{i}.jpg" for i in range(N)]), "joints2D": RNG.uniform(0, 300, (N, 49, 3)),
        "joints3D": RNG.normal(size=(N, 49, 4)), "pose": random_pose(N), "shape": RNG.normal(size=(N, 10)),
        "bbox": RNG.uniform(100, 200, (N, 4)), "valid_i": np.array([1, 1, 1, 0, 1, 1]), "features": np.zeros((N, 2048)),
    }  # fmt: skip
    return {name: value for name, value in {**fields, **changes}.items() if value is not None}


def save(path: Path, value: Any, **how: Any) -> Path:
    joblib.dump(value, path, **how)
    return path


HOW: dict[str, dict[str, Any]] = {
    "plain": {},
    "zlib": {"compress": 3},
    "gzip": {"compress": ("gzip", 3)},
    "bz2": {"compress": ("bz2", 3)},
    "lzma": {"compress": ("lzma", 3)},
    "xz": {"compress": ("xz", 3)},
    "protocol 2": {"protocol": 2},
    "protocol 3": {"protocol": 3},
    "protocol 5": {"protocol": 5},
}


@pytest.mark.parametrize("how", HOW)
def test_every_way_that_joblib_writes_is_read_alike(tmp_path: Path, how: str) -> None:
    objects = np.array(["text", None, 3, np.arange(4)], dtype=object)
    shared = RNG.normal(size=(5, 3))
    value = {
        "a": shared, "again": shared, "fortran": np.asfortranarray(RNG.normal(size=(4, 3, 2))),
        "text": np.array(["x", "yz"]),
        "big end": np.arange(5, dtype=">i4"), "none": np.zeros((0, 3)), "number": np.float64(3), "objects": objects,
        "list": [np.arange(3), {"in": np.ones(2, bool)}], "tuple": (1, "b"), "zero": np.array(7.0),
    }  # fmt: skip
    found = read_joblib(save(tmp_path / "a.pt", value, **HOW[how]))
    assert list(found) == list(value)
    for name in ("a", "again", "fortran", "text", "big end", "none", "zero"):
        np.testing.assert_array_equal(found[name], value[name])
        assert found[name].dtype == value[name].dtype  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found["list"][0], np.arange(3))
    np.testing.assert_array_equal(found["list"][1]["in"], [True, True])
    assert found["objects"][:3].tolist() == ["text", None, 3]
    assert (found["tuple"], found["number"]) == ((1, "b"), 3)


def test_rows_are_grouped_into_clips(tmp_path: Path) -> None:
    fields = database()
    clips = read_clips(save(tmp_path / "3dpw_train_db.pt", fields), "3dpw", tmp_path)
    rows = [[0, 1, 3], [2, 4, 5]]
    assert [[s.video for s in clip] for clip in clips] == [["b"] * 3, ["a"] * 3]
    for clip, where in zip(clips, rows, strict=True):
        for one, row in zip(clip, where, strict=True):
            assert one.image == tmp_path / "3dpw" / f"{row}.jpg"
            assert (one.frame, one.valid) == (row, row != 3)
            assert (one.joints_2d, one.joints_3d, one.true_3d) == ("spin49", "spin49", True)
            np.testing.assert_allclose(one.keypoints_2d, fields["joints2D"][row], rtol=1e-6)
            np.testing.assert_allclose(one.keypoints_3d, fields["joints3D"][row], rtol=1e-6)
            np.testing.assert_allclose(one.center_px, fields["bbox"][row, :2], rtol=1e-6)
            np.testing.assert_allclose(one.side_px, fields["bbox"][row, 2:].max(), rtol=1e-6)
            np.testing.assert_allclose(one.R_parent_joint, matrices(fields["pose"])[row], atol=1e-5)
            np.testing.assert_allclose(one.betas, fields["shape"][row], rtol=1e-6)


def test_image_sets_matrices_and_what_files_lack(tmp_path: Path) -> None:
    pose = matrices(random_pose(N))
    fields = database(vid_name=None, frame_id=None, joints3D=None, shape=None, valid_i=None, pose=pose)
    (table,) = read_clips(save(tmp_path / "coco_train_db.pt", fields), "coco", tmp_path)
    assert len(table) == N
    assert (table[2].video, table[2].frame, table[2].valid) == ("", 2, True)
    assert (table[0].keypoints_3d, table[0].betas) == (None, None)
    for one, R in zip(table, pose, strict=True):
        np.testing.assert_allclose(one.R_parent_joint, R, atol=1e-5)


BAD: dict[str, tuple[Any, str]] = {
    "no names": (database(img_name=None), "expected a field img_name, found: vid_name"),
    "no box": (database(bbox=None), "expected a field bbox"),
    "box": (database(bbox=np.ones((N, 3))), r"expected bbox of shape \(3, 4\), found \(3, 3\)"),
    "flat box": (database(bbox=np.zeros((N, 4))), "expected boxes with width and height above 0"),
    "rows": (database(pose=random_pose(4)), r"expected pose with 6 rows, found \(4, 72\)"),
    "joints": (database(joints2D=np.zeros((N, 24, 3))), r"expected joints2D of shape \(3, 49, 3\)"),
    "ragged": (database(shape=[np.zeros(10), np.zeros(3)] * 3), "expected one array in shape, found something else"),
    "empty": (database(img_name=np.zeros(0, "U1")), "expected at least one picture"),
    "list": ([1, 2], "expected a dict of arrays, found list"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_fields_are_one_clear_error(tmp_path: Path, kind: str) -> None:
    fields, message = BAD[kind]
    with pytest.raises(MocapError, match=rf"a\.pt: {message}"):
        read_clips(save(tmp_path / "a.pt", fields), "3dpw", tmp_path)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"none\.pt: expected joblib's file, found none; docs"):
        read_clips(tmp_path / "none.pt", "3dpw", tmp_path)
    whole = save(tmp_path / "a.pt", database()).read_bytes()
    for content in (b"", b"no pickle", whole[:100], whole[: len(whole) // 2], whole[:-1], b"\x78\x9c" + whole[:50]):
        (tmp_path / "a.pt").write_bytes(content)
        with pytest.raises(MocapError, match=r"a\.pt: expected"):
            read_clips(tmp_path / "a.pt", "3dpw", tmp_path)


def test_a_joblib_file_cannot_run_code(tmp_path: Path) -> None:
    """Neither the pickle itself nor one inside of an array of objects."""
    mark = tmp_path / "mark"
    for kind, content in payloads(mark).items():
        (tmp_path / "a.pt").write_bytes(content)
        with pytest.raises(MocapError, match="expected"):
            read_joblib(tmp_path / "a.pt")
        assert not mark.exists(), kind
    inner = np.array([Hostile(open, str(mark), "w")], dtype=object)
    for value in (database(img_name=inner), inner):
        with pytest.raises(MocapError, match=r"expected a pickle of arrays only, found one that names (_?io)\.open"):
            read_joblib(save(tmp_path / "a.pt", value))
        assert not mark.exists()
    assert pickle.dumps(inner)  # and it would be harmful: see the next line
    joblib.load(tmp_path / "a.pt")
    assert mark.exists()
