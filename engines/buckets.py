"""Static shapes: a batch runs in the smallest of a few sizes that holds it, what is too much in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from engines.engine import Arrays

SIZES = (1, 2, 4, 8)


def sizes(max_batch: int) -> tuple[int, ...]:
    """The sizes to get ready: all up to the first that holds ``max_batch``, or all."""
    enough = next((size for size in SIZES if size >= max_batch), SIZES[-1])
    return tuple(size for size in SIZES if size <= enough)


def run(by_size: Mapping[int, Callable[[Arrays], Arrays]], inputs: Arrays) -> Arrays:
    """Outputs for a batch of any size.

    Rows that only fill a bucket repeat the last one and are cut off again. They are ordinary numbers, so they neither
    slow the network down nor make it fail, and no network lets rows see one another.
    """
    batch = len(next(iter(inputs.values())))
    parts = []
    for first, count, size in _turns(batch, sorted(by_size)):
        rows = np.minimum(np.arange(first, first + size), first + count - 1)
        given = inputs if size == batch else {name: array[rows] for name, array in inputs.items()}
        parts.append({name: array[:count] for name, array in by_size[size](given).items()})
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _turns(batch: int, known: list[int]) -> Iterator[tuple[int, int, int]]:
    """First row, number of rows and size of the bucket of each turn."""
    first = 0
    while first < batch:
        count = min(batch - first, known[-1])
        yield first, count, next(size for size in known if size >= count)
        first += count
