from __future__ import annotations

import numpy as np
import pytest

from mocap.body.model import load_body
from training.synthesis.backgrounds import random_background
from training.synthesis.looks import Parts, parts_of, random_look


@pytest.fixture(scope="module")
def parts() -> Parts:
    return parts_of(load_body())


def test_parts_of_the_body(parts: Parts) -> None:
    left = parts.rest[:, 0] > 0.01
    for where in (parts.arm >= 0, parts.leg >= 0, parts.foot, parts.torso):
        assert where.sum() > 100
        assert 0.45 < left[where].mean() < 0.55
    assert parts.arm.max() == pytest.approx(3)
    assert parts.leg[parts.foot].min() > 1.5
    forward, up = (parts.rest[parts.head, axis] for axis in (2, 1))
    hair = parts.hair[parts.head]
    assert hair[forward > np.quantile(forward, 0.9)].mean() < 0.2  # the face
    assert hair[forward < np.quantile(forward, 0.1)].mean() > 0.4  # from the nape upwards
    assert hair[up > np.quantile(up, 0.95)].mean() > 0.6  # the crown, forehead included
    assert (parts.hair[~parts.head] == 0).all()


def test_faces_and_hands_are_skin_and_the_trunk_is_dressed(parts: Parts) -> None:
    nose = int(np.argmax(np.where(parts.head, parts.rest[:, 2], -np.inf)))
    finger = int(np.argmax(parts.arm))
    chest = parts.torso & (parts.rest[:, 1] > np.median(parts.rest[parts.torso, 1]))
    for seed in range(20):
        look = random_look(parts, np.random.default_rng(seed))
        assert look.colors.min() >= 0
        assert look.colors.max() <= 1
        assert (look.thickness >= 0).all()
        assert look.thickness.max() < 0.04
        assert np.array_equal(look.colors[nose], look.colors[finger])
        assert look.thickness[nose] == look.thickness[finger] == 0
        assert (look.thickness[chest] > 0).mean() > 0.9


def test_looks_and_backgrounds_come_from_the_seed(parts: Parts) -> None:
    first, again, other = (random_look(parts, np.random.default_rng(seed)).colors for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    rooms = [random_background(64, 48, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert rooms[0].shape == (48, 64, 3)
    assert rooms[0].dtype == np.uint8
    assert np.array_equal(rooms[0], rooms[1])
    assert not np.array_equal(rooms[0], rooms[2])
