from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mocap.batch import choose, join, split, take
from mocap.types import Array


@dataclass(frozen=True)
class Inner:
    x: Array


@dataclass(frozen=True)
class Outer:
    y: Array
    inner: Inner


def batch(*values: float) -> Outer:
    return Outer(np.array(values), Inner(np.array(values)[:, None, None] * np.ones((2, 3))))


def same(a: Outer, b: Outer) -> bool:
    return np.array_equal(a.y, b.y) and np.array_equal(a.inner.x, b.inner.x)


def test_join_and_split_are_inverse() -> None:
    persons = [batch(1), batch(2), batch(3)]
    assert same(join(persons), batch(1, 2, 3))
    assert all(same(a, b) for a, b in zip(split(join(persons), 3), persons, strict=True))
    assert same(join([batch(4)]), batch(4))


def test_take_and_choose() -> None:
    a, b = batch(1, 2, 3), batch(4, 5, 6)
    assert same(take(a, np.array([2, 0])), batch(3, 1))
    for first, expected in (((1, 1, 1), a), ((0, 0, 0), b), ((0, 1, 0), batch(4, 2, 6))):
        assert same(choose(np.array(first, bool), a, b), expected)
