from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from mocap.errors import MocapError
from mocap.sources import EndOfStream, ImageFolder, open_file
from mocap.sources.images import EXIF_IFD, focal_px
from tests.sources.helpers import number_of, numbered

ORIENTATION, FOCAL_MM, FOCAL_35MM, X_RESOLUTION, UNIT, X_DIMENSION = 0x0112, 0x920A, 0xA405, 0xA20E, 0xA210, 0xA002


def save(path: Path, image: np.ndarray, orientation: int | None = None, **exif_tags: Any) -> Path:
    exif = PillowImage.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    exif.get_ifd(EXIF_IFD).update({int(tag[1:], 16): value for tag, value in exif_tags.items()})
    PillowImage.fromarray(image).save(path, exif=exif)
    return path


def test_natural_order_and_times(tmp_path: Path) -> None:
    for number in (0, 1, 2, 9, 10, 11):
        save(tmp_path / f"shot {number}.png", numbered(number))
    save(tmp_path / "Shot 12.PNG", numbered(12))
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._shot 0.png").write_bytes(b"what macOS leaves")
    (tmp_path / "shot 3.png").mkdir()
    with open_file(tmp_path, fps=10) as source:
        assert isinstance(source, ImageFolder)
        frames = list(source)
        with pytest.raises(EndOfStream):
            source.read()
    assert [number_of(frame.rgb) for frame in frames] == [0, 1, 2, 9, 10, 11, 12]
    assert [frame.index for frame in frames] == list(range(7))
    np.testing.assert_allclose([frame.t_capture for frame in frames], np.arange(7) / 10)
    assert (source.fps, source.live, source.dropped, source.focal_px) == (10, False, 0, None)
    np.testing.assert_array_equal(frames[0].rgb, numbered(0))


def test_mirror_and_single_picture(tmp_path: Path) -> None:
    path = save(tmp_path / "one.png", numbered(4))
    (frame,) = open_file(path, mirror=True)
    np.testing.assert_array_equal(frame.rgb, numbered(4)[:, ::-1])


@pytest.mark.parametrize(("orientation", "clockwise"), [(1, 0), (6, 1), (3, 2), (8, 3)])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, clockwise: int) -> None:
    (frame,) = open_file(save(tmp_path / "one.png", numbered(4, 30, 20), orientation))
    np.testing.assert_array_equal(frame.rgb, np.rot90(numbered(4, 30, 20), -clockwise))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_every_kind_of_picture_becomes_rgb(tmp_path: Path, mode: str) -> None:
    PillowImage.fromarray(numbered(4)).convert(mode, palette=PillowImage.Palette.ADAPTIVE).save(tmp_path / "one.tif")
    (frame,) = open_file(tmp_path / "one.tif")
    assert frame.rgb.shape == (48, 64, 3)
    assert frame.rgb.dtype == np.uint8
    assert number_of(frame.rgb) == 4


def test_one_pixel(tmp_path: Path) -> None:
    (frame,) = open_file(save(tmp_path / "one.png", numbered(4, 1, 1)))
    assert frame.size == (1, 1)


def test_an_unreadable_picture_is_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(5):
        save(tmp_path / f"{number}.png", numbered(number))
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "3.png").write_bytes(b"no picture")
    with open_file(tmp_path) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == [number_of(frame.rgb) for frame in frames] == [0, 2, 4]
    assert source.broken == 2
    assert "1.png" in caplog.text
    assert "3.png" in caplog.text


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"expected pictures.*found none"):
        ImageFolder(tmp_path)
    with pytest.raises(MocapError, match="found nothing there"):
        ImageFolder(tmp_path / "nowhere")
    (tmp_path / "one.jpg").write_bytes(b"")
    with pytest.raises(MocapError, match="none can be read"):
        list(ImageFolder(tmp_path))
    with pytest.raises(MocapError, match="frames per second"):
        ImageFolder(tmp_path, fps=0)


# ---- focal length


def test_focal_length_from_the_35_mm_equivalent(tmp_path: Path) -> None:
    path = save(tmp_path / "one.jpg", numbered(1, 400, 300), xA405=26, x920A=4.2)
    source = ImageFolder(path)
    # 26 mm on a 36 × 24 mm film sees a diagonal of 2·atan(43.27 / 2 / 26) = 79.5 degrees; so has the picture.
    assert source.focal_px is not None
    diagonal = 2 * math.degrees(math.atan(math.hypot(400, 300) / 2 / source.focal_px))
    assert diagonal == pytest.approx(79.5, abs=0.1)


def test_focal_length_is_the_same_upright_and_on_the_side(tmp_path: Path) -> None:
    upright = ImageFolder(save(tmp_path / "a.jpg", numbered(1, 300, 400), xA405=50))
    on_side = ImageFolder(save(tmp_path / "b.jpg", numbered(1, 400, 300), 6, xA405=50))
    assert upright.focal_px == on_side.focal_px is not None


@pytest.mark.parametrize(("unit", "per_unit"), [(2, 2540.0), (3, 1000.0), (4, 100.0)])
def test_focal_length_from_the_sensor(unit: int, per_unit: float) -> None:
    # 100 pixels per mm: 20 mm are 2000 px of the picture as taken, 1000 px of one at half size
    exif = {FOCAL_MM: 20.0, X_RESOLUTION: per_unit, UNIT: unit, X_DIMENSION: 4000}
    assert focal_px(exif, 4000, 3000) == pytest.approx(2000)
    assert focal_px(exif, 2000, 1500) == pytest.approx(1000)


@pytest.mark.parametrize(
    "exif",
    [
        {},
        {FOCAL_35MM: 0},
        {FOCAL_35MM: "unknown"},
        {FOCAL_MM: 20.0},
        {FOCAL_MM: 20.0, X_RESOLUTION: 0.0, UNIT: 2},
        {FOCAL_MM: float("nan"), X_RESOLUTION: 100.0, UNIT: 4},
        {FOCAL_MM: 20.0, X_RESOLUTION: 100.0, UNIT: 1},
    ],
)
def test_exif_that_does_not_tell_gives_none(exif: dict[int, object]) -> None:
    assert focal_px(exif, 4000, 3000) is None


@pytest.mark.shared
def test_a_real_photograph(shared: Path) -> None:
    (frame,) = open_file(shared / "media" / "clips" / "barbell_lunge.jpg")
    assert max(frame.size) == 1600
