from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.synthesis.webcam import Webcam, _streak, random_webcam

SAME = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
Image = NDArray[np.uint8]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def scene() -> Image:
    """Smooth, as rooms are."""
    x, y = np.meshgrid(np.linspace(60, 180, 96), np.linspace(-30, 30, 64))
    return np.stack([x + y, x, x - y], -1).astype(np.uint8)


def grey(level: int = 128) -> Image:
    return np.full((120, 160, 3), level, np.uint8)


def test_a_perfect_webcam_changes_nothing_and_none_changes_its_input() -> None:
    picture = scene()
    assert np.array_equal(Webcam(SAME, None, 0.0, 0)(picture, rng()), scene())
    bad = Webcam(SAME[::-1].copy(), _streak(7, 0.3), 20.0, 40)(picture, rng())
    assert bad.shape == picture.shape
    assert bad.dtype == np.uint8
    assert np.array_equal(picture, scene())


def test_brightness_follows_the_table_colour_by_colour() -> None:
    table = SAME.copy()
    table[:, 1], table[:, 2] = SAME[:, 1] // 2, 7
    picture = scene()
    found = Webcam(table, None, 0.0, 0)(picture, rng())
    assert np.array_equal(found[..., 0], picture[..., 0])
    assert np.array_equal(found[..., 1], picture[..., 1] // 2)
    assert (found[..., 2] == 7).all()


def test_noise_has_its_size_and_differs_from_frame_to_frame() -> None:
    webcam, generator = Webcam(SAME, None, 8.0, 0), rng()
    frames = [webcam(grey(), generator).astype(float) for _ in range(2)]
    for frame in frames:
        assert frame.std() == pytest.approx(8, rel=0.1)
        assert frame.mean() == pytest.approx(128, abs=0.5)
        assert (frame[..., 0] == frame[..., 1]).all()  # of the brightness
    assert abs(np.corrcoef(frames[0].ravel(), frames[1].ravel())[0, 1]) < 0.1
    rows = frames[0][..., 0]
    assert abs(np.corrcoef(rows[:-1].ravel(), rows[1:].ravel())[0, 1]) < 0.1  # no stripes
    dark = webcam(grey(0), rng())
    assert dark.max() < 60  # and does not wrap around


def test_blur_smears_along_its_streak_and_keeps_the_light() -> None:
    line = np.zeros((41, 41, 3), np.uint8)
    line[20, 20] = 255
    across = Webcam(SAME, _streak(9, 0.0), 0.0, 0)(line, rng())
    rows, columns = np.nonzero(across[..., 0])
    assert set(rows) == {20}
    assert columns.min() == 16
    assert columns.max() == 24
    assert across[..., 0].sum() == pytest.approx(255, abs=9)
    assert np.array_equal(Webcam(SAME, _streak(9, 0.0), 0.0, 0)(grey(), rng()), grey())


@pytest.mark.parametrize("length", range(3, 10))
def test_streaks_have_their_length_and_direction(length: int) -> None:
    for angle in (0.0, np.pi / 4, np.pi / 2, 2.5):
        kernel = _streak(length, angle)
        assert kernel.sum() == pytest.approx(1)
        assert kernel.shape[0] == kernel.shape[1] == length | 1
        y, x = np.nonzero(kernel)
        middle = kernel.shape[0] // 2
        along = (x - middle) * np.cos(angle) + (y - middle) * np.sin(angle)
        beside = (y - middle) * np.cos(angle) - (x - middle) * np.sin(angle)
        assert np.abs(beside).max() <= 1
        assert np.ptp(along) == pytest.approx(length, abs=1.5)


def test_jpeg_of_low_quality_is_worse() -> None:
    picture = Webcam(SAME, None, 10.0, 0)(scene(), rng())
    errors = [np.abs(Webcam(SAME, None, 0.0, q)(picture, rng()).astype(float) - picture).mean() for q in (90, 40)]
    assert 0 < errors[0] < errors[1] < 20
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    assert Webcam(SAME, None, 0.0, 90)(red, rng())[..., 0].min() > 200  # colours keep their order


def test_webcams_come_from_the_seed_and_are_good_or_bad() -> None:
    first, again = (random_webcam(rng(3)) for _ in range(2))
    assert np.array_equal(first.table, again.table)
    assert (first.noise, first.quality) == (again.noise, again.quality)
    assert np.array_equal(first(scene(), rng(1)), again(scene(), rng(1)))
    assert not np.array_equal(first.table, random_webcam(rng(4)).table)
    many = [random_webcam(rng(seed)) for seed in range(300)]
    for webcam in many:
        assert webcam.table.shape == (256, 3)
        assert webcam.table.dtype == np.uint8
        assert (np.diff(webcam.table.astype(int), axis=0) >= 0).all()  # brighter stays brighter
        assert webcam.quality == 0 or 35 <= webcam.quality < 95
        if webcam.kernel is not None:
            assert webcam.kernel.sum() == pytest.approx(1, abs=1e-5)
    assert 0.3 < np.mean([webcam.kernel is None for webcam in many]) < 0.5
    assert 0.4 < np.mean([webcam.quality == 0 for webcam in many]) < 0.6
    assert np.mean([webcam.noise for webcam in many]) == pytest.approx(4.5, rel=0.15)
