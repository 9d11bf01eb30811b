"""BVH of any tool: channel orders, units, position channels, and errors with their line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mocap.errors import MocapError
from training.datasets.bvh import Bvh, read_bvh

TEXT = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Leg {
    OFFSET 0 -40 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 -42 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.041667
1 2 3 10 20 30 40 50 60
1 2 4 0 0 0 0 0 0
"""


ANGLES = (40, 50, 60)  # of the leg in frame 0


def read(tmp_path: Path, text: str) -> Bvh:
    (tmp_path / "a.bvh").write_text(text)
    return read_bvh(tmp_path / "a.bvh")


@pytest.mark.parametrize("order", ["ZXY", "XYZ", "ZYX", "YXZ", "XZY", "YZX"])
def test_the_first_channel_is_the_outermost_rotation(tmp_path: Path, order: str) -> None:
    bvh = read(tmp_path, TEXT.replace("Zrotation Xrotation Yrotation", " ".join(f"{a}rotation" for a in order)))
    turns = [Rotation.from_euler(axis.lower(), angle, degrees=True) for axis, angle in zip(order, ANGLES, strict=True)]
    np.testing.assert_allclose(bvh.R_parent_joint[0, 1], (turns[0] * turns[1] * turns[2]).as_matrix(), atol=1e-12)


def test_positions_offsets_and_the_frame_rate(tmp_path: Path) -> None:
    bvh = read(tmp_path, TEXT)
    assert bvh.fps == 24
    assert bvh.names == ("Hips", "Leg")
    np.testing.assert_allclose(bvh.joint_positions()[1], [[1, 2, 4], [1, -38, 4]])
    np.testing.assert_allclose(bvh.end_sites[1], [0, -42, 0])
    turned = bvh.R_parent_joint[0, 0] @ [0, -40, 0] + [1, 2, 3]
    np.testing.assert_allclose(bvh.joint_positions()[0, 1], turned)


@pytest.mark.parametrize("values", ["0 -40.5 0", "0.2 -0.5 0"])
def test_position_channels_below_the_root_replace_the_offset_or_are_added_to_it(tmp_path: Path, values: str) -> None:
    text = TEXT.replace("CHANNELS 3 Z", "CHANNELS 6 Xposition Yposition Zposition Z")
    text = text.replace("40 50 60", f"{values} 40 50 60").replace("4 0 0 0 0 0 0", f"4 0 0 0 {values} 0 0 0")
    assert np.linalg.norm(read(tmp_path, text).p_parent_joint[1, 1]) == pytest.approx(40.5, abs=0.01)


def test_windows_line_ends_tabs_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    plain = read(tmp_path, TEXT)
    (tmp_path / "b.bvh").write_bytes(b"\xef\xbb\xbf" + TEXT.replace("  ", "\t").replace("\n", "\r\n").encode())
    np.testing.assert_array_equal(read_bvh(tmp_path / "b.bvh").R_parent_joint, plain.R_parent_joint)


def test_nan_as_windows_prints_it_is_nan_not_an_error(tmp_path: Path) -> None:
    bvh = read(tmp_path, TEXT.replace("10 20 30", "-1.#IND 20 30"))
    assert np.isnan(bvh.R_parent_joint[0, 0]).all()
    assert np.isfinite(bvh.R_parent_joint[1]).all()


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ("HIERARCHY", "HIERARCHIE", 1, "expected HIERARCHY, found 'HIERARCHIE'"),
        ("OFFSET 0 -40 0", "OFFSET 0 -40", 7, "three numbers after OFFSET"),
        ("CHANNELS 3 Zrotation", "CHANNELS 4 Zrotation", 8, "as many different channel names"),
        ("CHANNELS 3 Zrotation", "CHANNELS 3 Wrotation", 8, "a channel of xposition"),
        ("Frames: 2", "Frames: two", 16, "Frames: <count>"),
        ("Frame Time: 0.041667", "Frame Time: 0", 17, "a frame time above 0"),
        ("40 50 60", "40 50", 18, "9 numbers, one for each channel, found '8 in frame 0'"),
        ("40 50 60", "40 5o 60", 18, "a number, found '5o'"),
        ("Frames: 2", "Frames: 3", 20, "3 frames, found '2 frames'"),
        ("Frames: 2", "Frames: 1", 19, "the end after 1 frames"),
    ],
)
def test_an_unreadable_file_says_the_line_and_what_was_expected(
    tmp_path: Path, old: str, new: str, line: int, expected: str
) -> None:
    with pytest.raises(MocapError) as caught:
        read(tmp_path, TEXT.replace(old, new, 1))
    assert f"line {line}: " in str(caught.value)
    assert expected in str(caught.value)


def test_a_file_that_ends_early_or_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match="the end of the file"):
        read(tmp_path, TEXT.split("MOTION")[0])
    with pytest.raises(MocapError, match="cannot read"):
        read_bvh(tmp_path / "nowhere.bvh")
