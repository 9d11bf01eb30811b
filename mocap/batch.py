"""Dataclasses of arrays whose first axis counts persons: several persons' rows together, some of them, one of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Batch = TypeVar("Batch")
Some = slice | NDArray[np.intp] | NDArray[np.bool_]  # persons of a batch


def join(batches: Sequence[Batch]) -> Batch:
    """One batch of all persons, in their order."""
    return batches[0] if len(batches) == 1 else _each(lambda *values: np.concatenate(values), *batches)


def split(batch: Batch, count: int) -> list[Batch]:
    """Each of the ``count`` persons as a batch of one; views."""
    return [batch] if count == 1 else [take(batch, slice(i, i + 1)) for i in range(count)]


def take(batch: Batch, persons: Some) -> Batch:
    """Some of the persons; views where ``persons`` is a slice."""
    return _each(lambda value: value[persons], batch)


def choose(first: NDArray[np.bool_], a: Batch, b: Batch) -> Batch:
    """Each person from ``a`` where ``first`` (P,) says so, else from ``b``."""
    if first.all():
        return a
    return _each(lambda x, y: np.where(first.reshape(-1, *(1,) * (x.ndim - 1)), x, y), a, b) if first.any() else b


def _each(function: Any, *batches: Batch) -> Batch:
    """A batch of what ``function`` makes of each field, which is an array or a batch in turn."""
    made = []
    for values in zip(*(vars(batch).values() for batch in batches), strict=True):
        made.append(function(*values) if isinstance(values[0], np.ndarray) else _each(function, *values))
    return type(batches[0])(*made)
