from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from mocap.people.roi import (
    AxisFilter,
    apply_affine,
    frame_from_crop,
    is_usable,
    roi_from_points,
)
from mocap.types import Roi


def test_roi_of_an_upright_person() -> None:
    roi = roi_from_points(np.array([300, 200]), np.array([300, 100]))
    assert roi == Roi((300.0, 200.0), 250.0, 0.0)


def to_crop(roi: Roi, points: np.ndarray) -> np.ndarray:
    """Frame pixels (n, 2) -> crop pixels (n, 2)."""
    return apply_affine(cv2.invertAffineTransform(frame_from_crop(roi)), points)


@pytest.mark.parametrize("degrees", [-179, -90, -30, 0, 45, 90, 135, 180])
def test_the_head_is_up_in_the_crop(degrees: float) -> None:
    angle = math.radians(degrees)
    center = np.array([400.0, 300.0])
    top = center + 80 * np.array([math.sin(angle), -math.cos(angle)])  # clockwise from up
    roi = roi_from_points(center, top)
    assert -math.pi <= roi.rotation < math.pi
    assert math.cos(roi.rotation - angle) == pytest.approx(1)
    in_crop = to_crop(roi, np.stack([center, top]))
    assert np.allclose(in_crop, [(128, 128), (128, 128 - 128 / 1.25)], atol=1e-3)


def test_the_crop_is_the_turned_square() -> None:
    """Its corners lie half a diagonal from the centre, its edges along the rotation."""
    roi = Roi((300.0, 200.0), 100.0, 0.6)
    corners = apply_affine(frame_from_crop(roi), np.array([(0, 0), (256, 0), (256, 256), (0, 256)]))
    assert np.linalg.norm(corners - roi.center_px, axis=1) == pytest.approx(50 * math.sqrt(2))
    assert corners[1] - corners[0] == pytest.approx([100 * math.cos(0.6), 100 * math.sin(0.6)])
    assert corners[3] - corners[0] == pytest.approx([-100 * math.sin(0.6), 100 * math.cos(0.6)])


@pytest.mark.parametrize(
    "roi",
    [
        Roi((math.nan, 10), 50, 0),
        Roi((10, 10), math.inf, 0),
        Roi((10, 10), 50, math.nan),
        Roi((10, 10), 0.5, 0),
        Roi((10, 10), 1e6, 0),
        Roi((-500, 10), 100, 0),
        Roi((10, 2000), 100, 0),
    ],
)
def test_squares_without_a_person_are_refused(roi: Roi) -> None:
    assert not is_usable(roi, 640, 480)
    assert is_usable(Roi((-20, 470), 100, 1), 640, 480)


def test_axis_filter_rests_at_rest_and_follows_motion() -> None:
    axis = np.array([(300, 200), (300, 100)], np.float32)
    rng = np.random.default_rng(0)
    filtered = AxisFilter.start(0.0, axis)
    at_rest = [filtered.update(i / 30, axis + rng.normal(0, 1, (2, 2)).astype(np.float32)) for i in range(1, 90)]
    assert np.std([one - axis for one in at_rest]) < 0.3  # of 1 px
    for i in range(90, 150):
        moving = axis + np.float32(10 * (i - 89))
        last = filtered.update(i / 30, moving)
    assert np.abs(last - moving).max() < 25  # px behind, at 300 px/s
    assert np.array_equal(filtered.update(0.0, axis), axis)  # no time has passed
