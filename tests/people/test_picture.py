"""Squares of a frame, by OpenCV and by torch."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from mocap.people import picture as picture_module
from mocap.people.detection import INPUT_SIZE, detect, letterbox
from mocap.people.landmarks import observe
from mocap.people.picture import Picture
from mocap.people.roi import apply_affine, frame_from_crop
from mocap.types import Roi
from tests.people.fakes import FakeDetector, FakeLandmarker, Scene

HOMES = (None, "cpu")  # OpenCV; torch, on whatever device


def crop(rgb: np.ndarray, roi: Roi, home: str | None = None) -> np.ndarray:
    """(256, 256, 3), 0 to 255."""
    squares = Picture(rgb).squares(frame_from_crop(roi)[None], 256, low=0.0, repeat=True, home=home)
    return 255 * np.asarray(squares)[0]


@pytest.mark.parametrize("home", HOMES)
def test_a_square_shows_what_the_map_says(home: str | None) -> None:
    y, x = np.mgrid[:300, :400]
    rgb = np.stack([x // 2, y // 2, np.zeros_like(x)], axis=-1).astype(np.uint8)
    roi = Roi((200.0, 150.0), 120.0, 0.7)
    shown = crop(rgb, roi, home)
    indices = np.array([(10, 20), (128, 128), (250, 100)])
    expected = apply_affine(frame_from_crop(roi), indices)
    assert np.abs(shown[indices[:, 1], indices[:, 0], :2] * 2 - expected).max() < 2.5


@pytest.mark.parametrize("home", HOMES)
def test_a_square_of_a_turned_picture_is_the_same(home: str | None) -> None:
    """Turning the person and the square together changes nothing for the network."""
    rng = np.random.default_rng(1)
    rgb = cv2.GaussianBlur(rng.integers(0, 255, (401, 401, 3), np.uint8), (0, 0), 6)
    straight = crop(rgb, Roi((200.0, 200.0), 200.0, 0.0), home)
    for degrees in (30, 90, -120):
        turned = cv2.warpAffine(rgb, cv2.getRotationMatrix2D((200, 200), -degrees, 1), (401, 401))
        again = crop(turned, Roi((200.0, 200.0), 200.0, math.radians(degrees)), home)
        assert np.abs(again - straight).mean() < 1
        assert np.abs(crop(turned, Roi((200.0, 200.0), 200.0, 0.0), home) - straight).mean() > 2


@pytest.mark.parametrize("home", HOMES)
def test_beyond_the_frame_its_border_repeats_or_all_is_black(home: str | None) -> None:
    rgb = np.zeros((50, 60, 3), np.uint8)
    rgb[:, -1] = 200
    assert crop(rgb, Roi((59.0, 25.0), 40.0, 0.0), home)[:, 140:] == pytest.approx(200)
    image, _ = letterbox(Picture(np.full((90, 160, 3), 255, np.uint8)), home)
    image = np.asarray(image)
    assert image.shape == (1, INPUT_SIZE, INPUT_SIZE, 3)
    assert image[:, 112, 5:-5] == pytest.approx(1)
    assert (image[:, [20, -20]] == -1).all()


@pytest.mark.parametrize(("repeat", "low"), [(True, 0.0), (False, -1.0)])
def test_torch_samples_as_opencv_does(repeat: bool, low: float) -> None:
    """To the place between two pixels that OpenCV knows (1/32), whatever the turn; several squares at once."""
    rng = np.random.default_rng(0)
    rgb = cv2.GaussianBlur(rng.integers(0, 255, (240, 320, 3), np.uint8), (0, 0), 2)
    rgb = cv2.normalize(rgb, None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    rois = [Roi((160.0, 120.0), 100.0, 0.3), Roi((10.0, 230.0), 300.0, -2.0), Roi((300.0, 20.0), 50.0, 0.0)]
    maps = np.array([frame_from_crop(roi) for roi in rois])
    picture = Picture(rgb)
    expected = picture.squares(maps, 256, low, repeat)
    found = np.asarray(picture.squares(maps, 256, low, repeat, "cpu"))
    levels = np.abs(found - expected) * 255 / (1 - low)
    assert found.dtype == expected.dtype == np.float32
    assert levels.mean() < 0.6  # rounding takes half a level at most
    assert levels.max() < 5
    again = np.asarray(picture.squares(maps[1:2], 256, low, repeat, "cpu"))
    np.testing.assert_allclose(again[0], found[1], atol=1e-6)


def test_a_frame_goes_to_the_gpu_once(monkeypatch: pytest.MonkeyPatch) -> None:
    upload, sent = picture_module._upload, []
    monkeypatch.setattr(picture_module, "_upload", lambda rgb, home: sent.append(home) or upload(rgb, home))
    rgb = Scene().frame(0, {0: (200, 180, 100), 1: (450, 200, 80)}).rgb
    rois, there = [Roi((200.0, 180.0), 250.0, 0.0), Roi((450.0, 200.0), 200.0, 0.1)], Picture(rgb)
    found, _ = detect(FakeDetector(home="cpu"), there, 0.5)
    seen = observe(FakeLandmarker(home="cpu"), there, rois)
    assert sent == ["cpu"]
    expected, _ = detect(FakeDetector(), Picture(rgb), 0.5)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.keypoints_px, other.keypoints_px, atol=3)  # a pixel of the detector's input
    for one, other in zip(seen, observe(FakeLandmarker(), Picture(rgb), rois), strict=True):
        np.testing.assert_allclose(one.landmarks_px, other.landmarks_px, atol=1)
