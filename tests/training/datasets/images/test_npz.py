"""Every kind of npz gives the same person: units of scale, poses, points, cameras; bad files say what is wrong."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from mocap.errors import MocapError
from tests.hostile_pickles import payloads
from tests.training.datasets.images.small_files import Arrays, matrices, random_pose, save_npz
from training.datasets.images.npz import read_labels

N = 3
RNG = np.random.default_rng(0)
CENTER = RNG.uniform(100, 500, (N, 2))
SIDE = np.array([300.0, 220.0, 90.0])  # px
POSE = random_pose(N)
BETAS = RNG.normal(size=(N, 10))
NAMES = [f"imageFiles/a/{i}.jpg" for i in range(N)]
P25, P19, P24 = (RNG.uniform(0.1, 500, (N, k, 3)) for k in (25, 19, 24))
D25, D19, D24 = (RNG.normal(size=(N, k, 4)) for k in (25, 19, 24))


def evaluation(scale: object) -> Arrays:
    return {
        "imgname": NAMES, "center": CENTER, "scale": scale, "body_pose": POSE, "betas": BETAS,
        "gender": ["m", "f", "n"],
        "has_body_pose": np.array([1, 1, 0]), "has_betas": np.array([1, 0, 1]), "body_keypoints_2d": P25,
        "extra_keypoints_2d": P19, "body_keypoints_3d": D25, "extra_keypoints_3d": D19,
    }  # fmt: skip


def spin() -> Arrays:
    return {
        "imgname": NAMES, "center": CENTER, "scale": SIDE / 200, "pose": POSE, "shape": BETAS,
        "gender": ["m", "f", "m"],
        "part": P24, "openpose": P25, "S": D24, "has_smpl": np.array([1, 0, 1]),
    }  # fmt: skip


def vq_hps() -> Arrays:
    return {
        "imgname": NAMES, "center": CENTER, "scale": 200 / SIDE, "root_orient": POSE[:, :3], "pose_body": POSE[:, 3:66],
        "betas": BETAS, "gender": ["m", "f", "m"], "j2d": P24,
    }  # fmt: skip


def bedlam(width: int = 72, count: int = 45) -> Arrays:
    K = np.tile(np.array([[1000.0, 0, 640], [0, 1000, 360], [0, 0, 1]]), (N, 1, 1))
    cam_ext = np.tile(np.eye(4), (N, 1, 1))
    cam_ext[:, :3, 3] = [0.5, 1, 4]
    pose = np.concatenate([POSE, RNG.normal(size=(N, 200))], 1)[:, :width]
    points = np.concatenate([RNG.uniform(0, 700, (N, count, 2)), np.ones((N, count, 1))], 2)
    return {
        "imgname": NAMES, "center": CENTER, "scale": SIDE / 200, "pose_cam": pose, "shape": BETAS, "cam_int": K,
        "trans_cam": np.tile([0.1, 0.2, 0.3], (N, 1)), "cam_ext": cam_ext, "gtkps": points, "gender": ["male"] * N,
        "motion_info": np.array([{"a": 1}] * N, object),
    }  # fmt: skip


def test_scale_is_pixels_in_4d_humans_files_and_200_px_in_tokenhmrs_emdb(tmp_path: Path) -> None:
    pixels = read_labels(save_npz(tmp_path / "a.npz", evaluation(SIDE)), "3dpw", tmp_path)
    both = np.stack([SIDE * 0.75, SIDE], 1) / 200  # width and height
    emdb = read_labels(save_npz(tmp_path / "b.npz", evaluation(both)), "emdb", tmp_path)
    for table in (pixels, emdb):
        np.testing.assert_allclose(table.side_px, SIDE, rtol=1e-6)
        np.testing.assert_allclose(table.center_px, CENTER, rtol=1e-6)
        assert table.true_3d
    for scale, dataset in ((SIDE, "emdb"), (SIDE / 200, "3dpw")):
        with pytest.raises(MocapError, match=r"c\.npz: expected scale in .* for .*, found boxes of"):
            read_labels(save_npz(tmp_path / "c.npz", evaluation(scale)), dataset, tmp_path)


def test_the_evaluation_files_give_44_points_poses_and_who_has_them(tmp_path: Path) -> None:
    samples = list(read_labels(save_npz(tmp_path / "a.npz", evaluation(SIDE)), "3dpw", tmp_path / "3DPW"))
    assert samples[0].image == tmp_path / "3DPW" / NAMES[0]
    assert [s.gender for s in samples] == ["male", "female", "neutral"]
    assert [s.R_parent_joint is None for s in samples] == [False, False, True]
    assert [s.betas is None for s in samples] == [False, True, False]
    for i, one in enumerate(samples):
        assert (one.joints_2d, one.joints_3d) == ("44", "44")
        np.testing.assert_allclose(one.keypoints_2d, np.concatenate([P25[i], P19[i]]), rtol=1e-6)
        np.testing.assert_allclose(one.keypoints_3d, np.concatenate([D25[i], D19[i]]), rtol=1e-6)
    np.testing.assert_allclose(samples[1].R_parent_joint, matrices(POSE)[1], atol=1e-5)


def test_points_that_a_file_lacks_are_unknown(tmp_path: Path) -> None:
    fields = {**evaluation(SIDE), "body_keypoints_2d": None, "body_keypoints_3d": None, "extra_keypoints_3d": None}
    one = read_labels(save_npz(tmp_path / "a.npz", fields), "3dpw", tmp_path)[0]
    assert one.keypoints_2d is not None
    assert not one.keypoints_2d[:25].any()
    assert one.keypoints_3d is None
    assert one.joints_3d is None


def test_spin_and_cliff_files(tmp_path: Path) -> None:
    table = read_labels(save_npz(tmp_path / "a.npz", spin()), "coco", tmp_path)
    one = table[0]
    np.testing.assert_allclose(table.side_px, SIDE, rtol=1e-6)
    assert (one.joints_2d, one.joints_3d, one.true_3d) == ("spin49", "spin24", False)
    np.testing.assert_allclose(one.keypoints_2d, np.concatenate([P25[0], P24[0]]), rtol=1e-6)
    np.testing.assert_allclose(one.keypoints_3d, D24[0], rtol=1e-6)
    np.testing.assert_allclose(one.R_parent_joint, matrices(POSE)[0], atol=1e-5)
    assert table[1].R_parent_joint is None
    assert table[1].betas is None
    without = read_labels(save_npz(tmp_path / "b.npz", {**spin(), "openpose": None, "pose": None}), "coco", tmp_path)[0]
    assert without.joints_2d == "spin24"
    assert without.R_parent_joint is None


def test_vq_hps_has_the_inverse_scale_and_no_hands(tmp_path: Path) -> None:
    table = read_labels(save_npz(tmp_path / "a.npz", vq_hps()), "3dpw", tmp_path)
    np.testing.assert_allclose(table.side_px, SIDE, rtol=1e-6)
    one = table[0]
    assert one.joints_2d == "smpl24"
    assert one.keypoints_2d is not None
    assert one.R_parent_joint is not None
    np.testing.assert_array_equal(one.keypoints_2d[:, 2], 1)  # the third number was a depth
    np.testing.assert_allclose(one.R_parent_joint[:22], matrices(POSE)[0, :22], atol=1e-5)
    np.testing.assert_array_equal(one.R_parent_joint[22:], np.eye(3)[None].repeat(2, 0))


@pytest.mark.parametrize(("width", "count", "body", "joints"), [(72, 45, "smpl", 24), (165, 127, "smplx", 22)])
def test_bedlam_smpl_and_smplx(tmp_path: Path, width: int, count: int, body: str, joints: int) -> None:
    fields = bedlam(width, count)
    for dataset in ("bedlam", "agora"):
        one = read_labels(save_npz(tmp_path / "a.npz", fields), dataset, tmp_path)[0]
        assert (one.body, one.true_3d, one.quarter_turns) == (body, True, 0)
        assert one.joints_2d == f"{body}{joints}"
        assert one.keypoints_2d is not None
        assert one.R_parent_joint is not None
        np.testing.assert_allclose(one.keypoints_2d[:, :2], fields["gtkps"][0, :joints, :2], rtol=1e-6)
        np.testing.assert_allclose(one.R_parent_joint[:joints], matrices(POSE)[0, :joints], atol=1e-5)
        np.testing.assert_allclose(one.t_camera, [0.6, 1.2, 4.3], rtol=1e-6)  # the body's and the camera's
        np.testing.assert_allclose(one.K_camera, fields["cam_int"][0])


def test_bedlams_close_ups_have_to_be_turned(tmp_path: Path) -> None:
    fields = bedlam()
    fields["cam_int"][1, :2, 2] = [360, 640]
    path = save_npz(tmp_path / "a.npz", fields)
    assert [s.quarter_turns for s in read_labels(path, "bedlam", tmp_path)] == [0, 1, 0]
    assert [s.quarter_turns for s in read_labels(path, "agora", tmp_path)] == [0, 0, 0]


def test_agora_without_a_camera(tmp_path: Path) -> None:
    one = read_labels(
        save_npz(tmp_path / "a.npz", {**bedlam(165, 127), "cam_int": None, "cam_ext": None}), "agora", tmp_path
    )[0]
    assert one.K_camera is None
    np.testing.assert_allclose(one.t_camera, [0.1, 0.2, 0.3], rtol=1e-6)


def test_points_that_are_no_numbers_count_as_not_seen(tmp_path: Path) -> None:
    fields = spin()
    fields["part"] = P24.copy()
    fields["part"][0, 3, 0] = np.nan
    one = read_labels(save_npz(tmp_path / "a.npz", fields), "coco", tmp_path)[0]
    assert one.keypoints_2d is not None
    np.testing.assert_array_equal(one.keypoints_2d[25 + 3], 0)


NAN = np.where(np.arange(72) == 5, np.nan, POSE)
BAD: dict[str, tuple[Arrays, str]] = {
    "no scale": ({**spin(), "scale": None}, "expected a field scale, found: imgname"),
    "no center": ({**evaluation(SIDE), "center": None}, "expected a field center"),
    "center": ({**spin(), "center": CENTER[:, :1]}, r"expected center of shape \(3, 2\), found \(3, 1\)"),
    "few scales": ({**spin(), "scale": SIDE[:2]}, "expected 3 scales in scale, found 2"),
    "no size": ({**spin(), "scale": SIDE * 0}, "expected scales above 0 in scale, found 0"),
    "pose": ({**spin(), "pose": POSE[:, :71]}, "expected pose of width 66, 72, 156, 165, found 71"),
    "pose rows": ({**spin(), "pose": POSE[:2]}, r"expected pose with 3 rows, found \(2, 72\)"),
    "nan": ({**spin(), "pose": NAN}, "expected finite numbers in pose, found 3 of 216"),
    "betas": ({**evaluation(SIDE), "betas": BETAS[:, :5]}, "10 or more"),
    "text": ({**spin(), "shape": ["a", "b", "c"]}, "expected numbers in shape"),
    "gender": ({**spin(), "gender": ["m", "x", "f"]}, "expected a gender of male, female or neutral, found 'x'"),
    "genders": ({**spin(), "gender": ["m"]}, "expected 3 texts in gender, found 1"),
    "part": ({**spin(), "part": P19}, r"expected part of shape \(3, 24, 3\), found \(3, 19, 3\)"),
    "S": ({**spin(), "S": D19}, "expected 24 or 49 points in S, found 19"),
    "S width": ({**spin(), "S": D24[..., :2]}, "expected S of shape"),
    "flags": ({**spin(), "has_smpl": np.ones(2)}, "expected 3 values in has_smpl, found 2"),
    "gtkps": ({**bedlam(), "gtkps": P19}, "expected gtkps of at least 24 points"),
    "no pose_cam": ({**bedlam(), "pose_cam": None}, "expected a field pose_cam"),
    "no pictures": ({**spin(), "imgname": np.zeros(0, "U5")}, "expected at least one picture"),
    "other": ({"imgname": NAMES, "poses": POSE}, "expected labels with gtkps .* found imgname, poses"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_fields_are_one_clear_error(tmp_path: Path, kind: str) -> None:
    fields, message = BAD[kind]
    with pytest.raises(MocapError, match=rf"a\.npz: .*{message}"):
        read_labels(save_npz(tmp_path / "a.npz", fields), "3dpw", tmp_path)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"none\.npz: expected a file of labels, found none; docs"):
        read_labels(tmp_path / "none.npz", "3dpw", tmp_path)
    for content in (b"", b"no zip", save_npz(tmp_path / "ok.npz", spin()).read_bytes()[:2000]):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(MocapError, match=r"a\.npz: expected an npz file"):
            read_labels(tmp_path / "a.npz", "3dpw", tmp_path)
    with pytest.raises(MocapError, match="expected a data set of 3dpw"):
        read_labels(save_npz(tmp_path / "a.npz", spin()), "3pdw", tmp_path)


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    """Entries that no reader needs may be large, broken or hostile."""
    path = save_npz(tmp_path / "a.npz", {**spin(), "extra": np.array({"a": 1}, object)})
    replace_objects(path, "extra", b"not a pickle")
    assert len(read_labels(path, "coco", tmp_path)) == N
    replace_objects(path, "part", b"")
    with pytest.raises(MocapError, match=r"a\.npz.*part"):
        read_labels(path, "coco", tmp_path)


def test_an_npz_cannot_run_code(tmp_path: Path) -> None:
    """NumPy would unpickle an entry of objects with allow_pickle=True, which the published loaders set."""
    mark = tmp_path / "mark"
    for kind, content in payloads(mark).items():
        box = np.empty((), object)
        box[()] = 0
        path = save_npz(tmp_path / "a.npz", {**spin(), "gender": box})
        replace_objects(path, "gender", content)
        with pytest.raises(MocapError, match="expected"):
            read_labels(path, "coco", tmp_path)
        assert not mark.exists(), kind


def replace_objects(path: Path, name: str, content: bytes) -> None:
    """Puts this in the place of what follows the header of an array."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    old = entries[f"{name}.npy"]
    entries[f"{name}.npy"] = old[: 10 + int.from_bytes(old[8:10], "little")] + content
    with zipfile.ZipFile(path, "w") as archive:
        for entry, array in entries.items():
            archive.writestr(entry, array)
