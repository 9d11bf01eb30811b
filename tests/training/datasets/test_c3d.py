"""C3D recordings: units, axes, labels, unseen markers, and files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ezc3d")

from mocap.errors import MocapError
from tests.training.datasets.small_c3d import to_z_up, write_c3d
from training.datasets.c3d import Markers, read_c3d, to_y_up, up_axis
from training.datasets.motion import Motion
from training.datasets.splits import split_of
from training.datasets.subjects import subject_of

LABELS = ("Anna:LFHD", "Anna:RFHD", "Anna:LHEE", "Anna:RHEE")
STANDING = np.array([[0.1, 1.7, 0.1], [-0.1, 1.7, 0.1], [0.1, 0.02, 0.0], [-0.1, 0.02, 0.0]])  # m, Y up


def standing(frames: int = 8) -> np.ndarray:
    return STANDING + 0.1 * np.arange(frames)[:, None, None] * (0, 0, 1.0)


@pytest.mark.parametrize(("unit", "scale"), [("mm", 1.0), ("cm", 0.1), ("m", 0.001)])
def test_units_axes_prefix_and_rate(tmp_path: Path, unit: str, scale: float) -> None:
    path = write_c3d(tmp_path / "walk.c3d", LABELS, scale * to_z_up(standing()), 100.0, unit)
    markers = read_c3d(path)
    assert (markers.name, markers.actor, markers.fps) == ("walk", "anna", 100.0)
    assert markers.labels == ("LFHD", "RFHD", "LHEE", "RHEE")
    np.testing.assert_allclose(markers.points, standing(), atol=1e-6)


@pytest.mark.parametrize("up", ["+X", "-X", "+Y", "-Y", "+Z", "-Z"])
def test_the_data_say_which_axis_is_up_and_not_a_wrong_header(up: str) -> None:
    axis, sign = "XYZ".index(up[1]), 1.0 if up[0] == "+" else -1.0
    turned = np.roll(standing() * (1.0 if sign > 0 else np.array([1.0, -1.0, -1.0])), axis - 1, axis=-1)
    assert up_axis(["LFHD", "RFHD", "LHEE", "RHEE"], turned, "+Y", "walk") == up
    np.testing.assert_allclose(to_y_up(turned, up), standing(), atol=1e-12)


def test_turning_the_axes_keeps_right_hands_right() -> None:
    for up in ("+X", "-X", "+Y", "-Y", "+Z", "-Z"):
        assert np.linalg.det(to_y_up(np.eye(3), up)) == pytest.approx(1.0)


def test_one_who_never_stands_leaves_it_to_the_header(tmp_path: Path) -> None:
    lying = STANDING[..., [0, 2, 1]] + (0.0, 0.1, 0.6) + np.zeros((8, 1, 1))  # head and feet at one height
    markers = read_c3d(write_c3d(tmp_path / "a.c3d", LABELS, to_z_up(lying), up="+Z"))
    np.testing.assert_allclose(markers.points, lying, atol=1e-6)
    with pytest.raises(MocapError, match=r"which axis is up.*Y_SCREEN.*'up'"):
        read_c3d(write_c3d(tmp_path / "b.c3d", LABELS, to_z_up(lying), up="up"))


def test_unseen_markers_are_nan(tmp_path: Path) -> None:
    points, hidden = to_z_up(standing()), np.zeros((8, 4), bool)
    points[2, 1], points[3, 2], hidden[4, 3] = np.nan, 0.0, True
    seen = read_c3d(write_c3d(tmp_path / "a.c3d", LABELS, points, hidden=hidden)).seen
    assert [tuple(at) for at in np.argwhere(~seen)] == [(2, 1), (3, 2), (4, 3)]


def test_pieces_of_a_marker_are_joined_and_unnamed_ones_left_out(tmp_path: Path) -> None:
    points = np.concatenate([to_z_up(standing())] + 2 * [to_z_up(standing())[:, :1]], 1)
    points[:5, 4], points[5:, 0], points[:, 5] = np.nan, np.nan, 77.0
    markers = read_c3d(write_c3d(tmp_path / "a.c3d", (*LABELS, "Anna:LFHD-1", "*12"), points))
    assert markers.labels == ("LFHD", "RFHD", "LHEE", "RHEE")
    np.testing.assert_allclose(markers.points, standing(), atol=1e-6)


def test_frames_in_which_nothing_is_seen_at_the_ends_are_cut(tmp_path: Path) -> None:
    points = to_z_up(standing())
    points[[0, 1, 4, 7]] = np.nan
    markers = read_c3d(write_c3d(tmp_path / "a.c3d", LABELS, points))
    np.testing.assert_allclose(markers.points, np.where(np.isnan(points[2:7]), np.nan, standing()[2:7]), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fps": 0.0}, "POINT:RATE above 0, found 0.0"),
        ({"unit": "ell"}, "POINT:UNITS to be one of mm.*found 'ell'"),
        ({"labels": ("*1", "*2", "*3", "*4")}, "labelled markers that are seen, found 4 labels"),
        ({"points": np.full((8, 4, 3), np.nan)}, "labelled markers that are seen"),
    ],
)
def test_what_a_file_lacks(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "bad.c3d"
    write_c3d(path, **{"labels": LABELS, "points": to_z_up(standing()), **change})
    with pytest.raises(MocapError, match=message) as error:
        read_c3d(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("keep", [0, 1, 3, 100, 512, 900, 1200])
def test_a_torn_file(tmp_path: Path, keep: int) -> None:
    path = write_c3d(tmp_path / "torn.c3d", LABELS, to_z_up(standing()))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(MocapError, match=r"torn\.c3d: expected a"):
        read_c3d(path)


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "text.c3d").write_text("HIERARCHY")
    with pytest.raises(MocapError, match="found another kind of file"):
        read_c3d(tmp_path / "text.c3d")
    with pytest.raises(MocapError, match="found no file"):
        read_c3d(tmp_path / "none.c3d")


def line(frames: int) -> Markers:
    points = np.arange(frames, dtype=float)[:, None, None] * (1.0, 2.0, 3.0)
    return Markers("line", "", 120.0, ("A",), points)


def test_resample_by_time() -> None:
    at_50 = line(121).resample(50.0)
    np.testing.assert_allclose(at_50.points[:, 0, 0], np.arange(51) * 120 / 50, atol=1e-9)
    np.testing.assert_array_equal(line(121).resample(120.0).points, line(121).points)
    with pytest.raises(MocapError, match="above 0"):
        line(5).resample(0.0)


def test_resample_invents_no_marker() -> None:
    holed = line(13)
    holed.points[5] = np.nan
    assert np.isfinite(holed.resample(30.0).points).all()  # frames 0, 4, 8, 12 are hit exactly
    between = holed.resample(80.0).points[:, 0, 0]  # frames 0, 1.5, 3, 4.5, 6 ...
    assert np.flatnonzero(np.isnan(between)).tolist() == [3]


def test_select_keeps_order_and_marks_what_is_missing() -> None:
    chosen = line(3).select(("B", "A"))
    assert chosen.labels == ("B", "A")
    assert np.isnan(chosen.points[:, 0]).all()
    np.testing.assert_array_equal(chosen.points[:, 1], line(3).points[:, 0])


@pytest.mark.shared
def test_the_real_recordings_are_by_the_actors_that_their_names_say(shared: Path) -> None:
    splits = {}
    for path in sorted((shared / "mocap" / "c3d").glob("*.c3d"))[::6]:
        markers = read_c3d(path)
        assert f"accad/{markers.actor}" == subject_of("accad_smpl22", path.stem)
        assert 0.3 < np.nanmax(markers.points[..., 1]) < 2.8
        nothing = np.zeros(0, np.float32)
        motion = Motion(path.stem, "accad_c3d", f"accad/{markers.actor}", 30.0, nothing, nothing)
        splits[markers.actor] = split_of(motion)
    assert splits == {"male1": "test", "male2": "train", "female1": "train"}
