from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from training.synthesis import scenery as module
from training.synthesis.scenery import Occluder, Scenery

WIDTH, HEIGHT = 160, 120
BODY = np.stack([np.linspace(60, 100, 24), np.linspace(20, 110, 24)], 1)  # joints, px
Image = NDArray[np.uint8]


@pytest.fixture(scope="module", autouse=True)
def _few_rooms() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROOMS", 6)
        yield


@pytest.fixture(scope="module")
def scenery(_few_rooms: None) -> Scenery:
    return Scenery([3, 1])


@pytest.fixture(scope="module")
def occluders(scenery: Scenery) -> list[list[Occluder]]:
    """Of many pictures."""
    return [scenery.occluders(BODY, WIDTH, HEIGHT, rng(seed)) for seed in range(400)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def covered(occluder: Occluder) -> NDArray[np.bool_]:
    """Where an occluder lies in the picture."""
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    Occluder(occluder.corners, np.full_like(mask, 255))(mask)
    return np.asarray(mask[..., 0] > 0)


def is_desk(occluder: Occluder) -> bool:
    return bool((occluder.corners[:, 1] == 3 * HEIGHT).sum() == 2)


def test_rooms_have_the_pictures_size_whatever_its_shape(scenery: Scenery) -> None:
    for seed, (width, height) in enumerate([(512, 288), (288, 512), (512, 384), (700, 700), (640, 480), (30, 20)]):
        room = scenery.room(width, height, rng(seed))
        assert room.shape == (height, width, 3)
        assert room.dtype == np.uint8


def test_rooms_come_from_the_seeds(scenery: Scenery) -> None:
    room = scenery.room(WIDTH, HEIGHT, rng(5))
    assert np.array_equal(room, Scenery([3, 1]).room(WIDTH, HEIGHT, rng(5)))
    assert not np.array_equal(room, scenery.room(WIDTH, HEIGHT, rng(6)))
    assert not np.array_equal(room, Scenery([3, 2]).room(WIDTH, HEIGHT, rng(5)))


def test_rooms_vary_in_brightness_and_are_not_changed_by_what_is_drawn(scenery: Scenery) -> None:
    levels = [float(scenery.room(WIDTH, HEIGHT, rng(seed)).mean()) for seed in range(60)]
    assert np.ptp(levels) > 60
    room = scenery.room(WIDTH, HEIGHT, rng(5))
    before = room.copy()
    room[:] = 0
    assert np.array_equal(scenery.room(WIDTH, HEIGHT, rng(5)), before)


def test_an_occluder_shows_its_texture_inside_its_corners_alone() -> None:
    texture = np.arange(WIDTH * HEIGHT * 3, dtype=np.uint32).astype(np.uint8).reshape(HEIGHT, WIDTH, 3)
    picture = np.full((HEIGHT, WIDTH, 3), 9, np.uint8)
    Occluder(np.array([[20, 10], [60, 10], [60, 50], [20, 50]], np.int32), texture)(picture)
    assert np.array_equal(picture[10:51, 20:61], texture[10:51, 20:61])
    picture[10:51, 20:61] = 9
    assert (picture == 9).all()


def test_mostly_nothing_is_before_people(occluders: list[list[Occluder]]) -> None:
    bare = np.mean([not some for some in occluders])
    desks = np.mean([any(map(is_desk, some)) for some in occluders])
    assert 0.5 < bare < 0.9
    assert 0.03 < desks < 0.3
    assert 1 - bare - desks > 0.05
    assert {len(some) for some in occluders} == {0, 1, 2, 3}
    for occluder in (one for some in occluders for one in some):
        assert occluder.texture.shape == (HEIGHT, WIDTH, 3)
        assert occluder.corners.dtype == np.int32


def test_desks_hide_what_is_below_them(occluders: list[list[Occluder]]) -> None:
    for occluder in (one for some in occluders for one in some if is_desk(one)):
        mask = covered(occluder)
        middle = int(BODY[:, 0].mean())
        column = np.flatnonzero(mask[:, middle])
        assert column.max() == HEIGHT - 1
        assert np.array_equal(column, np.arange(column.min(), HEIGHT))
        assert 20 + 0.3 * 90 < column.min() < 20 + 0.9 * 90  # neither the head nor the feet alone


def test_boxes_hide_a_joint(occluders: list[list[Occluder]]) -> None:
    boxes = [one for some in occluders for one in some if not is_desk(one)]
    assert len(boxes) > 30
    for occluder in boxes:
        center = occluder.corners.mean(0)
        assert np.linalg.norm(BODY - center, axis=1).min() < 2
        sides = np.linalg.norm(np.diff(occluder.corners, axis=0), axis=1)
        size = float(np.linalg.norm(BODY.max(0) - BODY.min(0)))
        assert 0.05 * size - 2 < sides.min() <= sides.max() < 0.3 * size + 2


def test_people_far_out_of_the_picture_are_no_trouble(scenery: Scenery) -> None:
    far = BODY * 1e6
    for seed in range(60):
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for occluder in scenery.occluders(far, WIDTH, HEIGHT, rng(seed)):
            assert np.abs(occluder.corners).max() <= 1 << 14
            occluder(picture)
