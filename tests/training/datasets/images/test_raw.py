"""3DPW and EMDB as published: world to camera, boxes, valid frames; files of Python 2 and 3 that cannot run code."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mocap.errors import MocapError
from tests.hostile_pickles import payloads
from tests.training.datasets.images.small_files import matrices, python2_pickle, random_pose
from training.datasets.images.raw import read_3dpw, read_emdb

F = 4
K = np.array([[1960.0, 0, 540], [0, 1965, 960], [0, 0, 1]])
RNG = np.random.default_rng(0)


def cameras(level: bool = False) -> NDArray[np.float64]:
    """Camera from world (F, 4, 4): 5 m in front of the origin; level ones see a world of y up upright."""
    T = np.tile(np.eye(4), (F, 1, 1))
    flip = np.diag([1.0, -1, -1])
    turn = Rotation.from_rotvec(RNG.normal(scale=0.0 if level else 0.2, size=(F, 3))).as_matrix()
    T[:, :3, :3] = turn @ flip
    T[:, :3, 3] = [0.1, 0.2, 5]
    return T


def threedpw(people: int = 2, **changes: Any) -> dict[str, Any]:
    poses2d = RNG.uniform(1, 900, (F, 3, 18))
    return {
        "sequence": "downtown_walk_00", "cam_intrinsics": K, "cam_poses": cameras(), "img_frame_ids": np.arange(F),
        "poses": [random_pose(F, seed=p) for p in range(people)], "trans": [np.zeros((F, 3))] * people,
        "betas": [RNG.normal(size=300 if p else 10) for p in range(people)], "genders": ["m", "f"][:people],
        "jointPositions": [RNG.normal(scale=0.5, size=(F, 72)) for _ in range(people)], "poses2d": [poses2d] * people,
        "campose_valid": [np.array([1, 1, 0, 1])] * people, **changes,
    }  # fmt: skip


def save(path: Path, fields: Any, how: Callable[[Any], bytes] = pickle.dumps) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(how(fields))
    return path


@pytest.mark.parametrize("how", [python2_pickle, pickle.dumps])
def test_3dpw_comes_out_in_camera_axes(tmp_path: Path, how: Callable[[Any], bytes]) -> None:
    fields = threedpw()
    tables = read_3dpw(save(tmp_path / "sequenceFiles/test/downtown_walk_00.pkl", fields, how))
    assert len(tables) == 2
    for person, table in enumerate(tables):
        for frame, one in enumerate(table):
            T = fields["cam_poses"][frame]
            joints = fields["jointPositions"][person][frame].reshape(24, 3)
            p_camera = joints @ T[:3, :3].T + T[:3, 3]
            pixels = (p_camera / p_camera[:, 2:]) @ K.T
            R = matrices(fields["poses"][person][frame])
            assert one.keypoints_2d is not None
            assert one.keypoints_3d is not None
            assert one.R_parent_joint is not None
            np.testing.assert_allclose(one.keypoints_3d[:, :3], p_camera, atol=1e-5)
            np.testing.assert_allclose(one.keypoints_2d, fields["poses2d"][person][frame].T, rtol=1e-6)
            np.testing.assert_allclose(one.R_parent_joint[0], T[:3, :3] @ R[0], atol=1e-5)
            np.testing.assert_allclose(one.R_parent_joint[1:], R[1:], atol=1e-5)
            low, high = pixels[:, :2].min(0), pixels[:, :2].max(0)
            np.testing.assert_allclose(one.center_px, (low + high) / 2, rtol=1e-4)
            np.testing.assert_allclose(one.side_px, (high - low).max(), rtol=1e-4)
            np.testing.assert_allclose(one.betas, fields["betas"][person][:10], rtol=1e-6)
            np.testing.assert_allclose(one.K_camera, K)
            assert (one.joints_2d, one.joints_3d) == ("openpose18", "smpl24")
            assert one.image == tmp_path / f"imageFiles/downtown_walk_00/image_{frame:05d}.jpg"
            assert (one.gender, one.true_3d, one.valid) == (["male", "female"][person], True, frame != 2)
            assert (one.video, one.frame) == (f"downtown_walk_00_{person}", frame)


def test_a_standing_body_before_a_level_camera_is_upright_in_the_picture(tmp_path: Path) -> None:
    """SMPL's up is the camera's -y, its front (towards the camera) -z, and its left the camera's right."""
    standing = threedpw(1, poses=[np.zeros((F, 72))], cam_poses=cameras(level=True))
    one = read_3dpw(save(tmp_path / "sequenceFiles/test/a.pkl", standing))[0][0]
    assert one.R_parent_joint is not None
    np.testing.assert_allclose(one.R_parent_joint[0] @ [0, 1, 0], [0, -1, 0], atol=1e-6)
    np.testing.assert_allclose(one.R_parent_joint[0] @ [0, 0, 1], [0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(one.R_parent_joint[0] @ [1, 0, 0], [1, 0, 0], atol=1e-6)


def test_people_behind_the_camera_are_not_valid(tmp_path: Path) -> None:
    T = cameras()
    T[:, 2, 3] = -9
    (table,) = read_3dpw(save(tmp_path / "a/b/c.pkl", threedpw(1, cam_poses=T)))
    assert not any(one.valid for one in table)


def emdb(**changes: Any) -> dict[str, Any]:
    bboxes = np.array([[10.0, 20, 110, 320], [0, 0, 50, 20], [5, 5, 5, 5], [1, 1, 2, 9]])
    smpl = {
        "poses_root": random_pose(F, 1), "poses_body": random_pose(F, 23), "trans": np.zeros((F, 3)),
        "betas": RNG.normal(size=10),
    }  # fmt: skip
    return {
        "gender": "female", "name": "P0_walk", "emdb1": np.bool_(True), "n_frames": F, "smpl": smpl,
        "good_frames_mask": np.array([True, True, True, False]), "kp2d": RNG.uniform(0, 900, (F, 24, 2)),
        "camera": {"intrinsics": K, "extrinsics": cameras(), "width": 1440, "height": 1920},
        "bboxes": {"bboxes": bboxes, "invalid_idxs": np.array([1])}, **changes,
    }  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_emdb(tmp_path: Path, protocol: int) -> None:
    fields = emdb()
    path = save(tmp_path / "P0/walk/P0_walk_data.pkl", fields, lambda value: pickle.dumps(value, protocol))
    samples = list(read_emdb(path))
    assert [s.valid for s in samples] == [True, False, False, False]
    np.testing.assert_allclose(samples[0].center_px, [60, 170])
    assert samples[0].side_px == 300
    for frame, one in enumerate(samples):
        pose = np.concatenate([fields["smpl"]["poses_root"][frame], fields["smpl"]["poses_body"][frame]])
        R = matrices(pose)
        R[0] = fields["camera"]["extrinsics"][frame][:3, :3] @ R[0]
        np.testing.assert_allclose(one.R_parent_joint, R, atol=1e-5)
        assert one.keypoints_2d is not None
        np.testing.assert_allclose(one.keypoints_2d[:, :2], fields["kp2d"][frame], rtol=1e-6)
        np.testing.assert_array_equal(one.keypoints_2d[:, 2], 1)
        assert one.image == tmp_path / f"P0/walk/images/{frame:05d}.jpg"
        assert (one.gender, one.joints_2d, one.video, one.frame) == ("female", "smpl24", "P0_walk", frame)
        np.testing.assert_allclose(one.betas, fields["smpl"]["betas"], rtol=1e-6)


def without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


BAD_3DPW: dict[str, tuple[Any, str]] = {
    "list": ([1], "expected a dict with a sequence of 3dpw, found list"),
    "no poses": (without(threedpw(), "poses"), "expected a field poses, found: sequence"),
    "no camera": (without(threedpw(), "cam_poses"), "expected a field cam_poses"),
    "no valid": (without(threedpw(), "campose_valid"), "expected a field campose_valid"),
    "people": (threedpw(genders=["m"]), "expected 2 people in genders as in poses, found 1"),
    "frames": (threedpw(cam_poses=cameras()[:2]), r"expected cam_poses of shape \(4, 4, 4\), found \(2, 4, 4\)"),
    "joints": (threedpw(jointPositions=[np.zeros((F, 69))] * 2), "person 0: expected jointPositions of shape"),
    "points": (threedpw(poses2d=[np.zeros((F, 18, 3))] * 2), r"expected poses2d of shape \(4, 3, 18\)"),
    "betas": (threedpw(betas=[np.zeros(4)] * 2), "expected 10 numbers or more in betas, found 4"),
    "nan": (threedpw(cam_intrinsics=K * np.nan), "expected finite numbers in cam_intrinsics"),
    "no list": (threedpw(poses=3), "expected poses to be a list, found int"),
}
BAD_EMDB: dict[str, tuple[Any, str]] = {
    "no smpl": (without(emdb(), "smpl"), "expected a field smpl"),
    "no dict": (emdb(camera=3), "expected camera to be a dict, found int"),
    "extrinsics": (emdb(camera={"extrinsics": np.eye(4)}), r"camera: expected extrinsics of shape \(4, 4, 4\)"),
    "no boxes": (emdb(bboxes={}), "bboxes: expected a field bboxes, found: none"),
    "mask": (emdb(good_frames_mask=np.ones(3)), r"expected good_frames_mask of shape \(4\), found \(3\)"),
    "gender": (emdb(gender="dog"), "expected a gender"),
}


@pytest.mark.parametrize("kind", BAD_3DPW)
def test_bad_3dpw_fields(tmp_path: Path, kind: str) -> None:
    fields, message = BAD_3DPW[kind]
    with pytest.raises(MocapError, match=rf"a\.pkl.*{message}"):
        read_3dpw(save(tmp_path / "a.pkl", fields))


@pytest.mark.parametrize("kind", BAD_EMDB)
def test_bad_emdb_fields(tmp_path: Path, kind: str) -> None:
    fields, message = BAD_EMDB[kind]
    with pytest.raises(MocapError, match=rf"a\.pkl.*{message}"):
        read_emdb(save(tmp_path / "a.pkl", fields))


@pytest.mark.parametrize("read", [read_3dpw, read_emdb])
def test_missing_broken_and_hostile_files(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(MocapError, match="Its licence: https://"):
        read(tmp_path / "none.pkl")
    for content in (b"", b"no pickle", pickle.dumps(threedpw())[:500]):
        (tmp_path / "a.pkl").write_bytes(content)
        with pytest.raises(MocapError, match=r"a\.pkl: expected a pickle of arrays, could not read it"):
            read(tmp_path / "a.pkl")
    for kind, content in payloads(tmp_path / "mark").items():
        (tmp_path / "a.pkl").write_bytes(content)
        with pytest.raises(MocapError, match="expected"):
            read(tmp_path / "a.pkl")
        assert not (tmp_path / "mark").exists(), kind
